//! What begins a thread without a referral: a notice to a school, a consultation, a hand-over. Checked by
//! the directory, judged like any other event in a thread that is not there yet, and recorded at
//! position 1. From then on it is a thread like any other.

use super::authorise::proved_rightly;
use super::exchange::{Desk, Exchange};
use super::feedback::{FORM, Signed};
use super::known::Known;
use super::read::nothing_here;
use super::route::{NO_OFFICER, PERSON_NEEDED, reachable};
use super::trouble::Trouble;
use crate::domain::case::Opening;
use crate::domain::directory::Directory;
use crate::domain::ids::ReferralId;
use crate::domain::party::{DfeCode, Organisation, SchoolId};
use crate::domain::referral::RequestType;
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::domain::visibility::Part;
use crate::protocol::json;
use crate::protocol::schema::LARGEST_DETAIL;
use crate::store::{Head, Thread};

/// The id stands for another thread of this party.
pub const ID_USED: Rule = Rule {
    id: "opening.id-used",
    title: "this id stands for another thread",
    action: "Begin again under a new random id; the very bytes of the first time bring its record.",
};
/// A notice to a school that the exchange does not reach.
pub const NO_SUCH_SCHOOL: Rule = Rule {
    id: "opening.school-not-enrolled",
    title: "the school that this notice is for is not enrolled in the exchange",
    action: "Ring the school's safeguarding lead; check the URN; ask the scheme's operator to enrol it.",
};
/// An authority that no directory names.
pub const NO_SUCH_AUTHORITY: Rule = Rule {
    id: "opening.unknown-authority",
    title: "the directory does not list this authority",
    action: "Check the DfE code (ecaf directory show); an authority outside England is rung, not recorded here.",
};
/// Nobody there could read the question.
pub const NO_ANSWER_HERE: Rule = Rule {
    id: "opening.not-connected",
    title: "this authority answers nobody through the exchange",
    action: "Ring its front door now; keep what was said with: ecaf school handed-over.",
};
/// An authority that is not in the directory now says something on its own account.
pub const NOT_LISTED: Rule = Rule {
    id: "opening.not-listed",
    title: "this authority is not in the directory now",
    action: "Ring the school; ask the scheme's operator about the entry.",
};
/// A notice that names a referral which the school may not know of.
pub const NOT_TO_BE_NAMED: Rule = Rule {
    id: "opening.not-to-be-named",
    title: "this school may not learn of the referral that the notice names",
    action: "Leave stems_from out: a notice names only referrals that the school itself has sent to you.",
};

/// The thread that `signed` may begin under an id that nobody has used. Its legality is judged by the
/// caller, as of any event; for anybody who begins nothing there is nothing here.
pub(super) async fn begin(
    exchange: &Exchange,
    desk: &Desk,
    signed: &Signed,
    id: ReferralId,
) -> Result<Known, Trouble> {
    let kind = signed.said.kind();
    let Some(opening) = kind.opens() else { return Err(nothing_here()) };
    let thread = Thread {
        referral_id: id,
        sender: signed.said.author().organisation.clone(),
        head: Head::START,
        holder: holder(signed).ok_or_else(form)?,
        wake_at: None,
        versions: Vec::new(),
        deliveries: Vec::new(),
        events: Vec::new(),
        reached: Vec::new(),
    };
    let known = exchange.begun_by(&signed.said, thread).ok_or_else(form)?;
    // Only the person who signed it may ever see it again: without one, nobody could be told.
    if known.request_type == RequestType::Lado && known.sender.person.is_none() {
        let refusal = Refusal::new(Class::Forbidden, Violation::whole(PERSON_NEEDED));
        return Err(Trouble::from(refusal).ring(Some(known.case.holder())));
    }
    let (directory, _) = exchange.directory.usable(desk.now)?;
    let directory = directory.directory();
    if opening != Opening::Notice {
        let signed = signed.said.attested.is_none();
        proved_rightly(directory, &exchange.name, known.case.sender(), signed, desk.now)?;
    }
    check_sides(directory, opening, &known, desk)?;
    if opening == Opening::Notice {
        check_stem(exchange, signed, &known).await?;
    }
    Ok(known)
}

/// The id stands for something else of this party.
pub(super) fn id_used() -> Trouble {
    Refusal::new(Class::Conflict, Violation::whole(ID_USED)).into()
}

fn form() -> Trouble {
    Refusal::new(Class::Invalid, Violation::whole(FORM)).into()
}

fn holder(signed: &Signed) -> Option<DfeCode> {
    match signed.said.author().organisation {
        Organisation::Authority(code) => Some(code),
        _ => signed.said.body().to,
    }
}

/// Both sides stand in the directory, and who has to answer can be reached.
fn check_sides(
    directory: &Directory,
    opening: Opening,
    known: &Known,
    desk: &Desk,
) -> Result<(), Trouble> {
    let (school, authority) = (known.case.sender(), known.case.holder());
    let is_enrolled = |school: &SchoolId| directory.school(school, desk.now).is_some();
    let listed = directory.authority(authority, desk.now).is_some();
    let refuse = |class, rule| Err(Trouble::from(Refusal::new(class, Violation::whole(rule))));
    match opening {
        Opening::Notice if !listed => refuse(Class::Forbidden, NOT_LISTED),
        Opening::Notice if !is_enrolled(school) => refuse(Class::Invalid, NO_SUCH_SCHOOL),
        Opening::Notice => Ok(()),
        _ if !listed => refuse(Class::Invalid, NO_SUCH_AUTHORITY),
        Opening::Consultation if known.has_no_reader_there() => {
            let refusal = Refusal::new(Class::Invalid, Violation::whole(NO_OFFICER));
            Err(Trouble::from(refusal.blame(Culprit::Operator)).ring(Some(authority)))
        }
        Opening::Consultation => match reachable(directory, authority, desk.now) {
            Ok(()) => Ok(()),
            Err(_) => {
                let refusal = Refusal::new(Class::Invalid, Violation::whole(NO_ANSWER_HERE));
                let refusal = refusal.blame(Culprit::Operator);
                Err(Trouble::from(refusal).ring(Some(authority)))
            }
        },
        Opening::Referral | Opening::HandOver => Ok(()),
    }
}

/// A referral that a notice says it comes from is one that this school may see anyway, and that is with
/// the author of the notice.
async fn check_stem(exchange: &Exchange, signed: &Signed, known: &Known) -> Result<(), Trouble> {
    let Some(detail) = &signed.detail else { return Ok(()) };
    // What is no such document is refused by its schema, a step later.
    let Ok(tree) = json::read(&detail.document, LARGEST_DETAIL) else { return Ok(()) };
    let stem = tree.root().at("stems_from");
    let Some(stem) = stem.as_str().and_then(|id| id.parse().ok()) else { return Ok(()) };
    let stem = exchange.known(stem).await?;
    let may_be_named = stem.is_some_and(|stem| {
        stem.allows(&known.sender, Part::Timeline)
            && stem.case.holder() == known.case.holder()
            && stem.case.sender() == known.case.sender()
    });
    match may_be_named {
        true => Ok(()),
        false => {
            let violation = Violation::at(NOT_TO_BE_NAMED, "/stems_from");
            Err(Refusal::new(Class::Forbidden, violation).into())
        }
    }
}
