//! Whether an event may follow, given everything that was recorded before it.

use std::fmt;

use super::{Author, Case, ChildState, Decision, Detail, EventKind, Scope, codes_of};
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Organisation, Party, SchoolId};

/// One event, as far as its place in the thread depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// SHA-256 of its token.
    pub digest: Digest,
    /// The place in the thread that it takes, or would take.
    pub position: u32,
    /// What it says.
    pub kind: EventKind,
    /// Who says it.
    pub author: &'a Party,
    /// The children that it is about: their places in the newest document, from 1.
    pub children: &'a [u32],
    /// Its code.
    pub code: Option<&'a str>,
    /// The event that it answers.
    pub answers: Option<Digest>,
    /// The kind of that event, as far as it is in the thread.
    pub answered: Option<EventKind>,
    /// The authority that it is for: that a transfer is proposed to, that is consulted, that something
    /// was handed over to, whose delivery it is about.
    pub to: Option<DfeCode>,
    /// The school that it is for.
    pub school: Option<&'a SchoolId>,
    /// The stage of a disagreement.
    pub stage: Option<u8>,
    /// Whether a document comes with it.
    pub detailed: bool,
}

/// Why an event may not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Illegal {
    /// This party has another part in the referral, or none.
    NotYours,
    /// Only a person's own certificate may sign it.
    NeedsAPerson,
    /// It names no child, one that the referral does not have, or one twice; or it names children
    /// and is about the referral as a whole.
    Children,
    /// It has no code or one that this kind of event does not have.
    Code,
    /// It comes without its document, or with one that it may not have.
    Detail,
    /// It answers nothing, or something that is not in this thread or cannot be answered so.
    Answers,
    /// It names an authority, a stage or none of them, against its kind.
    Fields,
    /// It belongs in threads that began otherwise.
    Elsewhere,
    /// What must be so before is not: in words.
    NotNow(&'static str),
    /// The referral was said to be about the wrong child or to the wrong recipient.
    Misidentified,
    /// Its author has said [`MOST_STATEMENTS`] in this thread.
    TooMuch,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Illegal::NotYours => "not for this party to say",
            Illegal::NeedsAPerson => "to be signed by a person's own certificate",
            Illegal::Children => "names the wrong children",
            Illegal::Code => "has not one of its codes",
            Illegal::Detail => "has no document of its own, or one too many",
            Illegal::Answers => "answers no event of this thread that it could answer",
            Illegal::Fields => {
                "names an authority or a stage where it may not, or none where it must"
            }
            Illegal::Elsewhere => "no event of a thread that began like this one",
            Illegal::NotNow(needs) => needs,
            Illegal::Misidentified => "this referral was taken out of use",
            Illegal::TooMuch => "its author has said more here than anybody could read",
        })
    }
}

impl std::error::Error for Illegal {}

/// What one organisation may say in one thread. Somebody who talks for two years about one child says a
/// fraction of it; without a limit a program that repeats itself would make a referral too long to be read, for
/// everybody. It stops its author alone, and never that a mistaken referral is taken out of use.
pub const MOST_STATEMENTS: u32 = 500;

/// The highest stage of a disagreement.
const LAST_STAGE: u8 = 5;

impl Statement<'_> {
    /// The thread that it begins, if it may begin one: for [`Case::judge`], which then judges it there.
    pub fn begins(&self) -> Option<Case> {
        let opening = self.kind.opens()?;
        let (school, authority) = match (&self.author.organisation, self.school, self.to) {
            (Organisation::Authority(authority), Some(school), None) => (school, *authority),
            (Organisation::School(school), None, Some(authority)) => (school, authority),
            _ => return None,
        };
        Some(Case::opened(opening, school.clone(), authority))
    }
}

impl Case {
    /// Whether `event` may be recorded next. Changes nothing; [`Case::apply`] does.
    pub fn judge(&self, event: &Statement<'_>) -> Result<(), Illegal> {
        if self.misidentified {
            return Err(Illegal::Misidentified);
        }
        if !self.is_theirs(event) {
            return Err(Illegal::NotYours);
        }
        let belongs = event.kind.within().contains(&self.opening);
        if !belongs || (!self.begun && event.kind.opens().is_none()) {
            return Err(Illegal::Elsewhere);
        }
        let said = self.statements.get(&event.author.organisation).copied().unwrap_or(0);
        if said >= MOST_STATEMENTS && event.kind != EventKind::Misidentified {
            return Err(Illegal::TooMuch);
        }
        if event.kind.by_a_person() && event.author.person.is_none() {
            return Err(Illegal::NeedsAPerson);
        }
        self.check_form(event)?;
        if self.allows(event) { Ok(()) } else { Err(Illegal::NotNow(event.kind.row().needs)) }
    }

    fn is_theirs(&self, event: &Statement<'_>) -> bool {
        let is_sender =
            matches!(&event.author.organisation, Organisation::School(id) if *id == self.sender);
        let authority = match event.author.organisation {
            Organisation::Authority(code) => Some(code),
            _ => None,
        };
        let is_holder = authority == Some(self.holder);
        let has_desk = authority.is_some_and(|code| self.desks.contains_key(&code));
        let was_asked = authority.is_some_and(|code| self.asked.contains(&code));
        match event.kind.author() {
            Author::Sender => is_sender,
            Author::Holder => is_holder,
            Author::AnyRecipient => has_desk,
            Author::Proposed => self.proposal.is_some_and(|p| Some(p.to) == authority),
            Author::SenderOrHolder => is_sender || is_holder,
            Author::HolderOrProposed => is_holder || was_asked,
            Author::Gateway => matches!(event.author.organisation, Organisation::Gateway(_)),
        }
    }

    fn check_form(&self, event: &Statement<'_>) -> Result<(), Illegal> {
        let kind = event.kind;
        let children_fit = match kind.scope() {
            Scope::Referral => event.children.is_empty(),
            Scope::Children => {
                let count = if self.no_child { 0 } else { self.children.len() };
                let mut named = event.children.to_vec();
                named.sort_unstable();
                named.windows(2).all(|pair| pair[0] != pair[1])
                    && named.iter().all(|n| (1..=count).contains(&(*n as usize)))
                    && named.is_empty() == (count == 0)
            }
        };
        if !children_fit {
            return Err(Illegal::Children);
        }
        let codes = codes_of(kind);
        let code_fits = match event.code {
            None => codes.is_empty(),
            Some(code) => {
                let decision = Decision::from_code(code).filter(|_| kind == EventKind::Decided);
                codes.iter().any(|(known, _)| *known == code)
                    && decision.is_none_or(|decision| decision.fits(self.allegation))
            }
        };
        if !code_fits {
            return Err(Illegal::Code);
        }
        let detail_fits = match kind.detail() {
            Detail::None => !event.detailed,
            Detail::Optional => true,
            Detail::Required => event.detailed,
        };
        if !detail_fits {
            return Err(Illegal::Detail);
        }
        let answers_fit = match event.answers {
            None => kind.answers().is_empty(),
            Some(_) => event.answered.is_some_and(|answered| kind.answers().contains(&answered)),
        };
        if !answers_fit {
            return Err(Illegal::Answers);
        }
        let opens = kind.opens().is_some();
        let staged = matches!(kind, EventKind::DisagreementRaised | EventKind::DisagreementStepped);
        let fields_fit = event.to.is_some() == kind.names_authority()
            && (kind.is_of_a_delivery()
                || (event.to == Some(self.holder)) == (opens && event.to.is_some()))
            && event.school.is_some() == (kind == EventKind::PupilNotice)
            && event.school.is_none_or(|school| *school == self.sender)
            && event.stage.is_some() == staged
            && event.stage.is_none_or(|stage| (1..=LAST_STAGE).contains(&stage));
        if fields_fit { Ok(()) } else { Err(Illegal::Fields) }
    }

    /// The rule behind the words in [`super::kind`]'s column `needs`.
    fn allows(&self, event: &Statement<'_>) -> bool {
        use EventKind as K;
        let desk = match event.author.organisation {
            Organisation::Authority(code) => self.desk(code).unwrap_or_default(),
            _ => Default::default(),
        };
        let are = |states: &[ChildState]| {
            self.named(event.children)
                .all(|at| self.children.get(at).is_some_and(|child| states.contains(child)))
        };
        let awaits = |answered: Option<Digest>| {
            answered.is_some_and(|digest| self.unanswered.contains_key(&digest))
        };
        match event.kind {
            K::Opened => desk.delivered && !desk.opened,
            K::Acknowledged => desk.delivered,
            K::InformationRequested => desk.acknowledged && !self.is_closed(),
            K::Interim => desk.opened && !self.is_closed(),
            K::InformationSupplied | K::InterimAnswered => awaits(event.answers),
            K::Decided => {
                desk.acknowledged
                    && are(&[ChildState::Undecided, ChildState::Decided, ChildState::Allocated])
            }
            K::Allocated => are(&[ChildState::Decided, ChildState::Told]),
            K::WorkerChanged => are(&[ChildState::Allocated]),
            K::Progress | K::Closed => {
                are(&[ChildState::Decided, ChildState::Told, ChildState::Allocated])
            }
            K::TransferProposed => self.proposal.is_none() && !self.is_closed(),
            K::TransferWithdrawn | K::TransferDeclined => self.proposes(event.answers),
            K::TransferAccepted => self.proposes(event.answers) && desk.delivered,
            K::ResponsibilityDisputed => !self.disputed && !self.is_closed(),
            K::DisputeResolved => self.disputed,
            K::WithdrawalRequested => self.withdrawal.is_none() && !self.is_closed(),
            K::WithdrawalConfirmed | K::WithdrawalRefused => {
                self.withdrawal.is_some() && self.withdrawal == event.answers
            }
            K::Filed => desk.acknowledged,
            K::Read => event.answers.is_some_and(|digest| self.unread.contains_key(&digest)),
            K::DisagreementRaised => self.disagreement.is_none(),
            K::DisagreementResponded => self
                .disagreement
                .is_some_and(|open| Some(open.event) == event.answers && !open.responded),
            K::DisagreementStepped => {
                self.disagreement.is_some_and(|open| event.stage > Some(open.stage))
            }
            K::DisagreementResolved => self.disagreement.is_some(),
            K::ContactsConfirmed => {
                let change = event.answers.and_then(|digest| self.unanswered.get(&digest));
                change.is_some_and(|(_, by)| *by != event.author.organisation)
            }
            K::PupilNotice | K::Consultation | K::HandedOver => !self.begun,
            K::HandOverNoted | K::HandOverClosed => !self.is_closed(),
            // Which delivery it is, and that nothing was said of it, its gateway sees.
            K::DeliveryDelayed | K::DeliveryFailed => {
                event.to.is_some_and(|to| self.desks.contains_key(&to))
            }
            // Which warning of which clock is still to come, the clocks themselves say.
            K::Misidentified
            | K::CallRecorded
            | K::ContactsChanged
            | K::ConsultationAnswered
            | K::ClockWarning
            | K::ClockBreached => true,
        }
    }

    fn proposes(&self, answered: Option<Digest>) -> bool {
        self.proposal.is_some_and(|open| Some(open.event) == answered)
    }
}
