//! Long random walks over the table: whatever happens, some things stay true.

mod stories;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Party, SchoolId};

const AUTHORITIES: [&str; 3] = ["204", "316", "309"];

fn party(text: &str) -> Party {
    format!("spiffe://example.test/{text}").parse().unwrap()
}

fn parties() -> Vec<Party> {
    let mut all = vec![party("school/900001"), party("school/900002"), party("gateway/one")];
    for code in AUTHORITIES {
        all.push(party(&format!("authority/{code}")));
        all.push(party(&format!("authority/{code}/person/w7")));
    }
    all
}

fn code(at: usize) -> DfeCode {
    AUTHORITIES[at % AUTHORITIES.len()].parse().unwrap()
}

/// One step of a walk, drawn blindly.
#[derive(Debug, Clone)]
struct Step {
    kind: usize,
    author: usize,
    children: u8,
    code: usize,
    answers: usize,
    other: usize,
    stage: u8,
    transport: u8,
}

fn step() -> impl Strategy<Value = Step> {
    (
        0..EventKind::all().len(),
        0..9usize,
        0..8u8,
        0..20usize,
        0..40usize,
        0..3usize,
        1..6u8,
        0..30u8,
    )
        .prop_map(|(kind, author, children, code, answers, other, stage, transport)| Step {
            kind,
            author,
            children,
            code,
            answers,
            other,
            stage,
            transport,
        })
}

/// A thread under test: the case, and every event in it.
struct Walk {
    case: Case,
    events: Vec<(Digest, EventKind)>,
}

impl Walk {
    fn begin(opening: Opening) -> Self {
        let school: SchoolId = "900001".parse().unwrap();
        let case = match opening {
            Opening::Referral => {
                let mut case = Case::begin(school, code(0), 2);
                case.delivered(code(0), 1);
                case
            }
            _ => Case::opened(opening, school, code(0)),
        };
        Self { case, events: Vec::new() }
    }

    /// Tries the step, with its form mended so that it meets the rules and not only the form.
    fn step(
        &mut self,
        at: usize,
        step: &Step,
        parties: &[Party],
    ) -> Option<Result<EventKind, (EventKind, Illegal)>> {
        let transport = match self.case.opening() {
            Opening::Referral => step.transport,
            _ => step.transport.max(7),
        };
        match transport {
            0 => {
                self.case.supplemented(2 + usize::from(step.stage == 5));
                return None;
            }
            1..=6 => {
                self.case.delivered(code(step.other), at as u32);
                return None;
            }
            _ => {}
        }
        let kind = EventKind::all().nth(step.kind).unwrap();
        // It ends every walk, so not every time.
        if kind == EventKind::Misidentified && step.transport < 29 {
            return None;
        }
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&(at as u64 + 1).to_be_bytes());
        let children: Vec<u32> = match kind.scope() {
            Scope::Referral => Vec::new(),
            Scope::Children => (1..=3).filter(|n| step.children & (1 << (n - 1)) != 0).collect(),
        };
        let codes = codes_of(kind);
        let answerable: Vec<_> =
            self.events.iter().filter(|(_, k)| kind.answers().contains(k)).rev().collect();
        let answered =
            (!answerable.is_empty()).then(|| *answerable[step.answers % answerable.len().min(3)]);
        let staged = matches!(kind, EventKind::DisagreementRaised | EventKind::DisagreementStepped);
        let school: SchoolId = "900001".parse().unwrap();
        let statement = Statement {
            digest: Digest::from_bytes(digest),
            position: at as u32,
            kind,
            author: &parties[step.author],
            children: &children,
            code: (!codes.is_empty()).then(|| codes[step.code % codes.len()].0),
            answers: answered.map(|(digest, _)| digest),
            answered: answered.map(|(_, kind)| kind),
            to: kind.names_authority().then(|| code(step.other)),
            school: (kind == EventKind::PupilNotice).then_some(&school),
            stage: staged.then_some(step.stage),
            detailed: kind.detail() == Detail::Required,
        };
        if let Err(illegal) = self.case.judge(&statement) {
            return Some(Err((kind, illegal)));
        }
        let before = self.case.clone();
        self.case.apply(&statement);
        self.events.push((statement.digest, kind));
        self.holds(&before, &statement);
        Some(Ok(kind))
    }

    fn holds(&self, before: &Case, event: &Statement<'_>) {
        let (case, kind) = (&self.case, event.kind);
        assert!(case.desk(case.holder()).is_some(), "the holder has it");
        assert!(case.former_holders().all(|code| code != case.holder()));
        assert!(case.proposal().is_none_or(|p| p.to != case.holder() && case.desk(p.to).is_some()));
        assert_eq!(before.holder() != case.holder(), kind == EventKind::TransferAccepted);
        assert!(!before.is_misidentified(), "nothing follows");
        assert!(kind.within().contains(&case.opening()), "{kind:?} in another thread");
        assert_eq!(kind.opens().is_some(), !before.begun, "begun once, and first");
        assert_eq!(before.children().len(), case.children().len());
        for (was, is) in before.children().iter().zip(case.children()) {
            assert!(*was != ChildState::Closed || is == was, "{kind:?} opened a closed case");
        }
        if kind == EventKind::Decided {
            let desk = before.desk(before.holder()).unwrap();
            assert!(
                desk.delivered && desk.opened && desk.acknowledged,
                "decided by who acknowledged"
            );
        }
        assert!(event.answers.is_none() || case.judge(event).is_err(), "{kind:?} answered twice");
        if case.may_be_erased() {
            assert!(
                case.is_closed() && case.begun && case.proposal().is_none() && !case.is_disputed()
            );
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_some_things_stay_true(
        opening in 0..Opening::ALL.len(), steps in proptest::collection::vec(step(), 0..400),
    ) {
        let parties = parties();
        let mut walk = Walk::begin(Opening::ALL[opening]);
        for (at, step) in steps.iter().enumerate() {
            walk.step(at, step, &parties);
        }
    }
}

/// Walks reach every row of the table, and the rule of every row that has one refuses something.
#[test]
fn every_row_is_reached_and_every_rule_refuses() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let parties = parties();
    let (mut reached, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for n in 0..400 {
        // Most of them are referrals: they have most of the rules.
        let opening = Opening::ALL.get(n % 10).copied().unwrap_or(Opening::Referral);
        let mut walk = Walk::begin(opening);
        for at in 0..600 {
            let step = step().new_tree(&mut runner).unwrap().current();
            match walk.step(at, &step, &parties) {
                Some(Ok(kind)) => drop(reached.insert(kind)),
                Some(Err((kind, Illegal::NotNow(_)))) => drop(refused.insert(kind)),
                _ => {}
            }
        }
    }
    let all: BTreeSet<_> = EventKind::all().collect();
    assert_eq!(
        all.difference(&reached).collect::<Vec<_>>(),
        Vec::<&EventKind>::new(),
        "never legal"
    );
    // Those that answer an open proposal, and nothing else, are refused as somebody else's.
    let needs: BTreeSet<_> =
        all.into_iter().filter(|kind| !matches!(kind.row().needs, "nothing")).collect();
    let clocks = [EventKind::ClockWarning, EventKind::ClockBreached];
    let missing: Vec<_> =
        needs.difference(&refused).filter(|kind| !clocks.contains(kind)).collect();
    assert_eq!(missing, Vec::<&EventKind>::new(), "a rule that never refuses");
}

/// A statement of this kind, with a document if it must have one and nothing else.
fn statement(author: &Party, kind: EventKind) -> Statement<'_> {
    Statement {
        digest: Digest::from_bytes([9; 32]),
        position: 2,
        kind,
        author,
        children: &[],
        code: None,
        answers: None,
        answered: None,
        to: None,
        school: None,
        stage: None,
        detailed: kind.detail() == Detail::Required,
    }
}

fn judged(
    case: &Case,
    change: impl FnOnce(&mut Statement<'_>),
    author: &str,
    kind: EventKind,
) -> Result<(), Illegal> {
    let author = party(author);
    let mut statement = statement(&author, kind);
    change(&mut statement);
    case.judge(&statement)
}

#[test]
fn what_is_wrong_is_named() {
    let mut case = Case::begin("900001".parse().unwrap(), code(0), 2);
    let organisation = "authority/204";
    let person = "authority/204/person/w7";
    let opened = |case: &Case, author| judged(case, |_| (), author, EventKind::Opened);
    assert!(matches!(opened(&case, person), Err(Illegal::NotNow(_))), "not delivered yet");
    case.delivered(code(0), 1);
    assert_eq!(opened(&case, person), Ok(()));
    assert_eq!(opened(&case, organisation), Err(Illegal::NeedsAPerson));
    assert_eq!(opened(&case, "authority/316/person/w7"), Err(Illegal::NotYours));
    assert_eq!(opened(&case, "school/900001"), Err(Illegal::NotYours));
    let decided = |children: &'static [u32], code: Option<&'static str>| {
        let change = move |s: &mut Statement<'_>| (s.children, s.code) = (children, code);
        judged(&case, change, organisation, EventKind::Decided)
    };
    assert!(matches!(decided(&[1, 2], Some("advice")), Err(Illegal::NotNow(_))));
    for children in [&[][..], &[0], &[3], &[1, 1]] {
        assert_eq!(decided(children, Some("advice")), Err(Illegal::Children), "{children:?}");
    }
    assert_eq!(decided(&[1], None), Err(Illegal::Code));
    assert_eq!(decided(&[1], Some("rejected")), Err(Illegal::Code));
    let bare =
        |s: &mut Statement<'_>| (s.children, s.code, s.detailed) = (&[1], Some("advice"), false);
    assert_eq!(judged(&case, bare, organisation, EventKind::Decided), Err(Illegal::Detail));
    let to_itself = |s: &mut Statement<'_>| s.to = Some(code(0));
    assert_eq!(
        judged(&case, to_itself, organisation, EventKind::TransferProposed),
        Err(Illegal::Fields)
    );
    let nothing_read = |s: &mut Statement<'_>| s.answers = Some(Digest::from_bytes([1; 32]));
    assert_eq!(
        judged(&case, nothing_read, "school/900001", EventKind::Read),
        Err(Illegal::Answers)
    );
    let stage_six = |s: &mut Statement<'_>| (s.stage, s.code) = (Some(6), Some("other"));
    assert_eq!(
        judged(&case, stage_six, "school/900001", EventKind::DisagreementRaised),
        Err(Illegal::Fields)
    );
}

#[test]
fn who_repeats_itself_without_end_stops_only_itself() {
    let mut case = Case::begin("900001".parse().unwrap(), code(0), 1);
    case.delivered(code(0), 1);
    let call = |s: &mut Statement<'_>| s.code = Some("front_door");
    let calls = |case: &Case, author| judged(case, call, author, EventKind::CallRecorded);
    let school = party("school/900001/person/p1");
    for position in 2..2 + MOST_STATEMENTS {
        assert_eq!(calls(&case, "school/900001"), Ok(()));
        let mut said = statement(&school, EventKind::CallRecorded);
        call(&mut said);
        case.apply(&Statement { position, ..said });
    }
    assert_eq!(calls(&case, "school/900001"), Err(Illegal::TooMuch));
    assert_eq!(calls(&case, "school/900001/person/p2"), Err(Illegal::TooMuch), "one organisation");
    assert_eq!(calls(&case, "authority/204"), Ok(()), "the other side goes on");
    let wrong = |s: &mut Statement<'_>| s.code = Some("wrong_child");
    assert_eq!(judged(&case, wrong, "school/900001", EventKind::Misidentified), Ok(()));
}

#[test]
fn a_referral_about_no_child_is_decided_as_a_whole() {
    let mut case = Case::begin("900001".parse().unwrap(), code(0), 0);
    case.delivered(code(0), 1);
    let person = party("authority/204/person/w7");
    let statement = statement(&person, EventKind::Acknowledged);
    case.apply(&statement);
    let decided =
        Statement { kind: EventKind::Decided, code: Some("designated_officer"), ..statement };
    assert_eq!(case.judge(&Statement { children: &[1], ..decided }), Err(Illegal::Children));
    assert_eq!(case.judge(&decided), Ok(()));
    case.apply(&decided);
    assert_eq!(case.children(), [ChildState::Decided]);
}

#[test]
fn a_thread_begins_with_the_one_who_may_begin_it() {
    let school: SchoolId = "900001".parse().unwrap();
    let begins = |author: &str, kind, to: Option<usize>, told: bool| {
        let author = party(author);
        let statement = Statement {
            digest: Digest::from_bytes([9; 32]),
            position: 1,
            kind,
            author: &author,
            children: &[],
            code: Some(codes_of(kind)[0].0),
            answers: None,
            answered: None,
            to: to.map(code),
            school: told.then_some(&school),
            stage: None,
            detailed: true,
        };
        let case = statement.begins()?;
        Some(case.judge(&statement).map(|()| {
            let mut case = case;
            case.apply(&statement);
            (case.holder(), case.sender().clone(), case.children()[0], case.unread().count())
        }))
    };
    let (told, undecided) = (ChildState::Told, ChildState::Undecided);
    let made = |state, unread| Some(Ok((code(0), school.clone(), state, unread)));
    for authority in ["authority/204", "authority/204/person/w7"] {
        assert_eq!(begins(authority, EventKind::PupilNotice, None, true), made(told, 1));
    }
    for kind in [EventKind::Consultation, EventKind::HandedOver] {
        assert_eq!(begins("school/900001", kind, Some(0), false), made(undecided, 0));
        assert_eq!(begins("school/900001", kind, None, false), None, "to whom?");
        assert_eq!(begins("authority/204", kind, Some(0), false), None);
        let swapped = begins("authority/204", kind, None, true);
        assert_eq!(swapped, Some(Err(Illegal::NotYours)), "{kind:?}");
    }
    let notice = EventKind::PupilNotice;
    assert_eq!(begins("authority/204", notice, None, false), None, "to whom?");
    assert_eq!(begins("authority/204", notice, Some(1), true), None);
    assert_eq!(begins("school/900001", notice, Some(0), false), Some(Err(Illegal::NotYours)));
    assert_eq!(begins("gateway/one", notice, None, true), None);
    assert_eq!(begins("school/900001", EventKind::CallRecorded, Some(0), false), None);
}

#[test]
fn what_was_handed_over_by_hand_is_closed_by_the_school_alone() {
    let mut case = Case::opened(Opening::HandOver, "900001".parse().unwrap(), code(0));
    let early = judged(&case, |_| (), "school/900001", EventKind::HandOverNoted);
    assert_eq!(early, Err(Illegal::Elsewhere), "before it began");
    case.begun = true;
    assert_eq!(judged(&case, |_| (), "school/900001", EventKind::HandOverNoted), Ok(()));
    let coded = |s: &mut Statement<'_>| s.code = Some("confirmed");
    let closed = EventKind::HandOverClosed;
    assert_eq!(judged(&case, coded, "authority/204", closed), Err(Illegal::NotYours));
    assert_eq!(judged(&case, coded, "school/900002", closed), Err(Illegal::NotYours));
    assert_eq!(judged(&case, coded, "school/900001", closed), Ok(()));
    assert!(!case.may_be_erased());
    case.children.fill(ChildState::Closed);
    assert!(case.may_be_erased());
    assert!(matches!(judged(&case, coded, "school/900001", closed), Err(Illegal::NotNow(_))));
    let elsewhere = judged(&case, |_| (), "authority/204", EventKind::Filed);
    assert_eq!(elsewhere, Err(Illegal::Elsewhere));
}
