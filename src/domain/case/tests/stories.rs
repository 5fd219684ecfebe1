//! What must be so before an event, and what is so afterwards: one story for each rule of the table.

use super::*;
use EventKind as K;

const SCHOOL: &str = "school/900001";
/// Newham has the referral first, Hackney is asked to take it over, Havering has a linked delivery.
const NEWHAM: &str = "authority/316/person/w7";
const HACKNEY: &str = "authority/204/person/w7";

fn newham() -> DfeCode {
    "316".parse().unwrap()
}

fn hackney() -> DfeCode {
    "204".parse().unwrap()
}

/// A referral about two children, with all its events.
#[derive(Debug, Clone)]
struct Story {
    case: Case,
    events: Vec<(Digest, EventKind)>,
}

/// What an event says beside its kind.
#[derive(Debug, Clone, Copy, Default)]
struct Words {
    children: &'static [u32],
    to: Option<DfeCode>,
    stage: Option<u8>,
    answers: Option<Digest>,
}

const BOTH: Words = Words { children: &[1, 2], to: None, stage: None, answers: None };
const FIRST: Words = Words { children: &[1], ..BOTH };
const SECOND: Words = Words { children: &[2], ..BOTH };
const NONE: Words = Words { children: &[], ..BOTH };

fn to(authority: DfeCode) -> Words {
    Words { to: Some(authority), ..NONE }
}

fn stage(stage: u8) -> Words {
    Words { stage: Some(stage), ..NONE }
}

fn answering(digest: Digest) -> Words {
    Words { answers: Some(digest), ..NONE }
}

impl Story {
    /// Accepted for Newham, and on its way there.
    fn accepted() -> Self {
        let case = Case::begin("900001".parse().unwrap(), newham(), 2);
        Self { case, events: Vec::new() }
    }

    fn delivered() -> Self {
        let mut story = Self::accepted();
        story.case.delivered(newham(), 1);
        story
    }

    fn acknowledged() -> Self {
        let mut story = Self::delivered();
        story.says(NEWHAM, K::Acknowledged, NONE);
        story
    }

    /// Every child is decided.
    fn decided() -> Self {
        let mut story = Self::acknowledged();
        story.says(NEWHAM, K::Decided, BOTH);
        story
    }

    fn digest(number: usize) -> Digest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
        Digest::from_bytes(bytes)
    }

    /// Judged, and taken if it is legal.
    fn tries(&mut self, author: &str, kind: EventKind, words: Words) -> Result<Digest, Illegal> {
        let author = party(author);
        let of = |digest: Digest| self.events.iter().find(|(d, _)| *d == digest).map(|(_, k)| *k);
        let statement = Statement {
            digest: Self::digest(self.events.len()),
            position: self.events.len() as u32 + 10,
            kind,
            author: &author,
            children: words.children,
            code: codes_of(kind).first().map(|(code, _)| *code),
            answers: words.answers,
            answered: words.answers.and_then(of),
            to: words.to,
            school: None,
            stage: words.stage,
            detailed: kind.detail() == Detail::Required,
        };
        self.case.judge(&statement)?;
        self.case.apply(&statement);
        self.events.push((statement.digest, kind));
        Ok(statement.digest)
    }

    fn says(&mut self, author: &str, kind: EventKind, words: Words) -> Digest {
        self.tries(author, kind, words).unwrap_or_else(|no| panic!("{kind:?}: {no}"))
    }

    /// Whether it would be taken now; any refusal but of the moment is a mistake of the test.
    fn may(&self, author: &str, kind: EventKind, words: Words) -> bool {
        match self.clone().tries(author, kind, words) {
            Ok(_) => true,
            Err(Illegal::NotNow(_)) => false,
            Err(other) => panic!("{kind:?}: {other}"),
        }
    }
}

#[test]
fn an_authority_works_on_what_it_has_and_decides_what_it_acknowledged() {
    let mut story = Story::accepted();
    for kind in [K::Opened, K::Acknowledged, K::Filed, K::Interim, K::InformationRequested] {
        assert!(!story.may(NEWHAM, kind, NONE), "{kind:?} before it is there");
    }
    story.case.delivered(newham(), 1);
    for (kind, may) in [
        (K::Opened, true),
        (K::Acknowledged, true),
        (K::Filed, false),
        (K::Interim, false),
        (K::InformationRequested, false),
    ] {
        assert_eq!(story.may(NEWHAM, kind, NONE), may, "{kind:?} when it is stored");
    }
    story.says(NEWHAM, K::Opened, NONE);
    assert!(!story.may(NEWHAM, K::Opened, NONE), "it is opened once");
    assert!(story.may(NEWHAM, K::Interim, NONE), "a request for today does not wait");
    assert!(!story.may(NEWHAM, K::Decided, BOTH));
    assert!(!story.may(NEWHAM, K::Filed, NONE));
    story.says(NEWHAM, K::Acknowledged, NONE);
    for (kind, words) in [(K::Decided, BOTH), (K::Filed, NONE), (K::InformationRequested, NONE)] {
        assert!(story.may(NEWHAM, kind, words), "{kind:?} when it is acknowledged");
    }
    let desk = Story::acknowledged().case.desk(newham()).unwrap();
    assert!(desk.delivered && desk.opened && desk.acknowledged, "who acknowledges has opened it");
    assert!(!desk.filed);
}

#[test]
fn the_way_of_a_child_through_its_case() {
    use ChildState as S;
    let kinds = [K::Decided, K::Allocated, K::WorkerChanged, K::Progress, K::Closed];
    for (state, legal) in [
        (S::Undecided, [true, false, false, false, false]),
        (S::Told, [false, true, false, true, true]),
        (S::Decided, [true, true, false, true, true]),
        (S::Allocated, [true, false, true, true, true]),
        (S::Closed, [false; 5]),
    ] {
        let mut story = Story::acknowledged();
        story.case.children = vec![state, S::Closed];
        assert_eq!(kinds.map(|kind| story.may(NEWHAM, kind, FIRST)), legal, "{state:?}");
        let with_a_closed_one = kinds.map(|kind| story.may(NEWHAM, kind, BOTH));
        assert_eq!(with_a_closed_one, [false; 5], "{state:?}: of all that are named");
    }
    let mut story = Story::decided();
    story.says(NEWHAM, K::Allocated, SECOND);
    assert_eq!(story.case.children(), [S::Decided, S::Allocated]);
    story.says(NEWHAM, K::WorkerChanged, SECOND);
    story.says(NEWHAM, K::Progress, BOTH);
    assert_eq!(story.case.children(), [S::Decided, S::Allocated], "a step changes no state");
    story.says(NEWHAM, K::Closed, FIRST);
    assert_eq!(story.case.children(), [S::Closed, S::Allocated]);
    assert!(!story.case.is_closed());
    story.says(NEWHAM, K::Closed, SECOND);
    assert!(story.case.is_closed());
    for kind in [K::InformationRequested, K::Interim, K::ResponsibilityDisputed] {
        assert!(!story.may(NEWHAM, kind, NONE), "{kind:?} when nothing is open");
    }
    assert!(!story.may(NEWHAM, K::TransferProposed, to(hackney())));
    assert!(!story.may(SCHOOL, K::WithdrawalRequested, NONE));
}

#[test]
fn a_later_version_opens_what_was_closed_and_loses_no_child() {
    use ChildState as S;
    let mut case = Case::begin("900001".parse().unwrap(), newham(), 3);
    case.children = vec![S::Closed, S::Decided, S::Allocated];
    case.supplemented(4);
    assert_eq!(case.children(), [S::Undecided, S::Decided, S::Allocated, S::Undecided]);
    case.supplemented(1);
    assert_eq!(case.children().len(), 4, "nobody is dropped");
}

#[test]
fn a_transfer_is_answered_once_and_makes_one_holder() {
    use ChildState as S;
    let mut story = Story::decided();
    story.says(NEWHAM, K::Closed, SECOND);
    let proposed = story.says(NEWHAM, K::TransferProposed, to(hackney()));
    let other: DfeCode = "309".parse().unwrap();
    assert!(!story.may(NEWHAM, K::TransferProposed, to(other)), "one at a time");
    assert_eq!(story.case.proposal().map(|open| open.to), Some(hackney()));
    assert!(!story.may(HACKNEY, K::TransferAccepted, answering(proposed)), "not there yet");
    // A receipt for what was sent before it was asked is not one for this.
    story.case.delivered(hackney(), story.case.desk(hackney()).unwrap().since - 1);
    assert!(!story.may(HACKNEY, K::TransferAccepted, answering(proposed)));
    story.case.delivered(hackney(), story.case.desk(hackney()).unwrap().since);
    assert!(story.may(HACKNEY, K::TransferDeclined, answering(proposed)));
    assert!(story.may(NEWHAM, K::TransferWithdrawn, answering(proposed)));
    story.says(HACKNEY, K::TransferAccepted, answering(proposed));
    assert_eq!(story.case.holder(), hackney());
    assert_eq!(story.case.former_holders().collect::<Vec<_>>(), [newham()]);
    assert_eq!(story.case.desk(newham()), None, "who passed it on works on it no more");
    assert_eq!(story.case.children(), [S::Undecided, S::Closed], "what is open is decided anew");
    assert_eq!(story.case.proposal(), None);
    assert!(!story.case.desk(hackney()).unwrap().only_asked);
    // Back again: nobody is holder and former holder at once.
    story.says(HACKNEY, K::Acknowledged, NONE);
    let back = story.says(HACKNEY, K::TransferProposed, to(newham()));
    assert!(!story.may(NEWHAM, K::TransferAccepted, answering(back)), "delivered anew");
    story.case.delivered(newham(), 100);
    let old = story.clone().tries(NEWHAM, K::TransferAccepted, answering(proposed));
    assert!(matches!(old, Err(Illegal::NotNow(_))), "that proposal is over");
    story.says(NEWHAM, K::TransferAccepted, answering(back));
    assert_eq!(story.case.former_holders().collect::<Vec<_>>(), [hackney()]);
}

#[test]
fn who_says_no_has_no_part_any_more_and_the_second_no_is_a_dispute() {
    let mut story = Story::acknowledged();
    let declines = |story: &mut Story| {
        let proposed = story.says(NEWHAM, K::TransferProposed, to(hackney()));
        story.says(HACKNEY, K::TransferDeclined, answering(proposed));
    };
    declines(&mut story);
    assert!(!story.case.is_disputed(), "one no is an answer");
    assert_eq!((story.case.proposal(), story.case.desk(hackney())), (None, None));
    // A receipt that comes late gives it no part again.
    story.case.delivered(hackney(), 100);
    assert_eq!(story.case.desk(hackney()), None);
    declines(&mut story);
    assert!(story.case.is_disputed());
    assert!(!story.may(HACKNEY, K::ResponsibilityDisputed, NONE), "it is one already");
    story.says(HACKNEY, K::DisputeResolved, NONE);
    assert!(!story.case.is_disputed());
    assert!(!story.may(NEWHAM, K::DisputeResolved, NONE));
    declines(&mut story);
    assert!(!story.case.is_disputed(), "counted anew since they agreed");
    story.says(HACKNEY, K::ResponsibilityDisputed, NONE);
    assert!(story.case.is_disputed());
    // Who takes it over ends the dispute, and the count.
    let proposed = story.says(NEWHAM, K::TransferProposed, to(hackney()));
    story.case.delivered(hackney(), 100);
    story.says(HACKNEY, K::TransferAccepted, answering(proposed));
    assert!(!story.case.is_disputed());
    let proposed = story.says(HACKNEY, K::TransferProposed, to(newham()));
    story.says(NEWHAM, K::TransferDeclined, answering(proposed));
    assert!(!story.case.is_disputed());
}

#[test]
fn who_has_a_delivery_of_its_own_keeps_it_when_a_proposal_ends() {
    for (author, kind) in [(HACKNEY, K::TransferDeclined), (NEWHAM, K::TransferWithdrawn)] {
        let mut story = Story::acknowledged();
        story.case.sent_to(hackney());
        story.case.delivered(hackney(), 1);
        story.says(HACKNEY, K::Opened, NONE);
        let proposed = story.says(NEWHAM, K::TransferProposed, to(hackney()));
        story.says(author, kind, answering(proposed));
        assert!(story.case.desk(hackney()).is_some_and(|desk| desk.opened), "{kind:?}");
        assert_eq!(story.case.proposal(), None);
        // Without one it has none.
        let mut story = Story::acknowledged();
        let proposed = story.says(NEWHAM, K::TransferProposed, to(hackney()));
        story.says(author, kind, answering(proposed));
        assert_eq!(story.case.desk(hackney()), None, "{kind:?}");
    }
}

#[test]
fn a_withdrawal_needs_the_holder() {
    let mut story = Story::acknowledged();
    let asked = story.says(SCHOOL, K::WithdrawalRequested, NONE);
    assert!(story.case.withdrawal_is_open());
    assert!(!story.may(SCHOOL, K::WithdrawalRequested, NONE), "asked once");
    story.says(NEWHAM, K::WithdrawalRefused, answering(asked));
    assert!(!story.case.withdrawal_is_open() && !story.case.is_closed(), "the case goes on");
    assert!(!story.may(NEWHAM, K::WithdrawalConfirmed, answering(asked)), "answered already");
    let again = story.says(SCHOOL, K::WithdrawalRequested, NONE);
    assert!(!story.may(NEWHAM, K::WithdrawalConfirmed, answering(asked)), "the older request");
    story.says(NEWHAM, K::TransferProposed, to(hackney()));
    story.says(NEWHAM, K::WithdrawalConfirmed, answering(again));
    assert!(story.case.is_closed() && !story.case.withdrawal_is_open());
    assert_eq!((story.case.proposal(), story.case.desk(hackney())), (None, None));
}

#[test]
fn a_disagreement_climbs_and_each_stage_is_answered_once() {
    let mut story = Story::acknowledged();
    assert!(!story.may(SCHOOL, K::DisagreementStepped, stage(2)), "nothing to step up from");
    assert!(!story.may(SCHOOL, K::DisagreementResolved, NONE));
    let first = story.says(SCHOOL, K::DisagreementRaised, stage(1));
    assert!(!story.may(SCHOOL, K::DisagreementRaised, stage(2)), "one at a time");
    assert!(!story.may(SCHOOL, K::DisagreementStepped, stage(1)), "the same stage");
    story.says(NEWHAM, K::DisagreementResponded, answering(first));
    assert!(!story.may(NEWHAM, K::DisagreementResponded, answering(first)), "answered once");
    let third = story.says(SCHOOL, K::DisagreementStepped, stage(3));
    assert_eq!(story.case.disagreement().map(|d| (d.stage, d.responded)), Some((3, false)));
    assert!(!story.may(SCHOOL, K::DisagreementStepped, stage(2)), "never down");
    assert!(!story.may(NEWHAM, K::DisagreementResponded, answering(first)), "of a stage before");
    assert!(story.may(NEWHAM, K::DisagreementResponded, answering(third)));
    assert!(story.may(SCHOOL, K::DisagreementStepped, stage(5)));
    for out_of_range in [0, 6] {
        let tried = story.clone().tries(SCHOOL, K::DisagreementStepped, stage(out_of_range));
        assert_eq!(tried, Err(Illegal::Fields));
    }
    story.says(SCHOOL, K::DisagreementResolved, NONE);
    assert_eq!(story.case.disagreement(), None);
    assert!(story.may(SCHOOL, K::DisagreementRaised, stage(1)), "another one");
}

#[test]
fn reading_is_not_answering() {
    let mut story = Story::acknowledged();
    let asked = story.says(NEWHAM, K::InformationRequested, NONE);
    let waits = |story: &Story| story.case.unanswered().any(|(digest, _)| digest == asked);
    let unread = |story: &Story| story.case.unread().any(|(digest, _)| digest == asked);
    assert!(waits(&story) && unread(&story));
    story.says(SCHOOL, K::Read, answering(asked));
    assert!(waits(&story) && !unread(&story));
    assert!(!story.may(SCHOOL, K::Read, answering(asked)), "read once");
    story.says(SCHOOL, K::InformationSupplied, answering(asked));
    assert!(!waits(&story));
    assert!(!story.may(SCHOOL, K::InformationSupplied, answering(asked)), "answered once");
    let today = story.says(NEWHAM, K::Interim, NONE);
    story.says(SCHOOL, K::InterimAnswered, answering(today));
    assert!(unread(&story) || story.case.unread().any(|(digest, _)| digest == today));
}

#[test]
fn a_change_of_contacts_is_confirmed_by_the_other_side() {
    for (author, other) in [(SCHOOL, NEWHAM), (NEWHAM, SCHOOL)] {
        let mut story = Story::acknowledged();
        let changed = story.says(author, K::ContactsChanged, NONE);
        assert!(!story.may(author, K::ContactsConfirmed, answering(changed)), "not by itself");
        story.says(other, K::ContactsConfirmed, answering(changed));
        assert!(!story.may(other, K::ContactsConfirmed, answering(changed)), "once");
    }
}

#[test]
fn nothing_is_erased_while_anything_is_open() {
    let mut story = Story::decided();
    story.says(NEWHAM, K::Closed, BOTH);
    assert!(!story.case.may_be_erased(), "not filed by its holder");
    story.says(NEWHAM, K::Filed, NONE);
    assert!(story.case.may_be_erased());
    let but = |change: &dyn Fn(&mut Case)| {
        let mut case = story.case.clone();
        change(&mut case);
        case.may_be_erased()
    };
    assert!(!but(&|case| case.children[1] = ChildState::Decided));
    assert!(!but(&|case| case.disputed = true));
    assert!(!but(&|case| case.withdrawal = Some(Story::digest(1))));
    let (event, to) = (Story::digest(1), hackney());
    assert!(!but(&|case| case.proposal = Some(Proposal { event, to })));
    let open = Disagreement { event, stage: 1, responded: true };
    assert!(!but(&|case| case.disagreement = Some(open)));
    assert!(!but(&|case| case.holder = hackney()), "filed by somebody else");
}

#[test]
fn an_allegation_has_decisions_of_its_own() {
    for allegation in [false, true] {
        let mut case = Case::begin("900001".parse().unwrap(), newham(), 0);
        if allegation {
            case = case.of_allegation();
        }
        case.delivered(newham(), 1);
        let mut story = Story { case, events: Vec::new() };
        story.says(NEWHAM, K::Acknowledged, NONE);
        for decision in Decision::ALL {
            let judged = judged(
                &story.case,
                |s| s.code = Some(decision.as_str()),
                NEWHAM,
                EventKind::Decided,
            );
            let expected = if decision.fits(allegation) { Ok(()) } else { Err(Illegal::Code) };
            assert_eq!(judged, expected, "{} {allegation}", decision.as_str());
        }
    }
    let fits = |decision: Decision| [decision.fits(false), decision.fits(true)];
    for (decision, expected) in [
        (Decision::Assessment, [true, false]),
        (Decision::EarlyHelp, [true, false]),
        (Decision::Advice, [true, true]),
        (Decision::OtherAuthority, [true, true]),
        (Decision::AllegationMeeting, [false, true]),
        (Decision::EmployerInvestigates, [false, true]),
        (Decision::LowLevelConcern, [false, true]),
    ] {
        assert_eq!(fits(decision), expected, "{}", decision.as_str());
    }
}

#[test]
fn each_part_has_its_own_things_to_say() {
    let mut story = Story::acknowledged();
    story.says(NEWHAM, K::TransferProposed, to(hackney()));
    story.case.sent_to("309".parse().unwrap());
    let theirs = |author: &str, kind: EventKind| {
        !matches!(judged(&story.case, |_| (), author, kind), Err(Illegal::NotYours))
    };
    let parties =
        [SCHOOL, NEWHAM, HACKNEY, "authority/309", "authority/213", "school/900002", "gateway/one"];
    for (kind, expected) in [
        (K::WithdrawalRequested, [true, false, false, false, false, false, false]),
        (K::Decided, [false, true, false, false, false, false, false]),
        (K::Opened, [false, true, true, true, false, false, false]),
        (K::TransferAccepted, [false, false, true, false, false, false, false]),
        (K::CallRecorded, [true, true, false, false, false, false, false]),
        (K::ResponsibilityDisputed, [false, true, true, false, false, false, false]),
        (K::ClockBreached, [false, false, false, false, false, false, true]),
    ] {
        assert_eq!(parties.map(|author| theirs(author, kind)), expected, "{kind:?}");
    }
}
