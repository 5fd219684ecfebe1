//! Whole conversations about referrals, each with words of its own, that go on whatever happens to the
//! gateway: fifteen events, said until each is certain.

use std::collections::BTreeSet;
use std::time::Duration;

use ecaf::domain::case::EventKind;
use ecaf::domain::ids::ReferralId;
use ecaf::party::look::{NotSeen, detail, look};
use ecaf::party::member::Member;
use ecaf::party::poll::{News, Stream as Feed};
use ecaf::party::say::{NotSaid, Said, Saying, say};
use serde_json::json;
use tokio::time::Instant;

use super::story::{acknowledgement, coded, decision, worker_of};
use super::{PATIENCE, Stream};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    School,
    Worker,
}

/// One thing that is said, perhaps in answer to an earlier one (by its place in the conversation).
pub struct Turn {
    pub by: By,
    pub saying: Saying,
    pub answers: Option<usize>,
}

/// A conversation from the first look to the last, in which every document has a word of its own.
pub fn conversation(random: &mut Stream) -> Vec<Turn> {
    use By::{School, Worker};
    use EventKind as K;
    let mut word = || format!("Word {}.", random.word());
    let note = |words: String| coded(K::Progress, "note", &[1], json!({ "words": words }));
    let disagreed = coded(
        K::DisagreementRaised,
        "no_decision",
        &[],
        json!({"reason": word(), "wanted": "A second look."}),
    );
    let turn = |by, saying| Turn { by, saying, answers: None };
    let answer = |by, saying, answers| Turn { by, saying, answers: Some(answers) };
    let mut decided = decision("assessment");
    let reason = word();
    decided.detail.as_mut().unwrap().insert("reason".into(), reason.into());
    let worker = worker_of("Ben Example");
    vec![
        turn(Worker, Saying::of(K::Opened)),
        turn(Worker, acknowledgement()),
        turn(
            Worker,
            Saying::with(K::InformationRequested, json!({"worker": worker, "question": word()})),
        ),
        answer(School, Saying::with(K::InformationSupplied, json!({"answer": word()})), 2),
        turn(Worker, decided),
        answer(School, Saying::of(K::Read), 4),
        turn(
            Worker,
            Saying {
                children: vec![1],
                ..Saying::with(K::Allocated, json!({"worker": worker, "from": "2026-11-24"}))
            },
        ),
        turn(
            School,
            coded(
                K::CallRecorded,
                "front_door",
                &[],
                json!({
            "at": "2026-11-20T10:00:00Z", "words": word()}),
            ),
        ),
        turn(Worker, note(word())),
        turn(Worker, note(word())),
        turn(School, Saying { stage: Some(1), ..disagreed }),
        answer(
            Worker,
            Saying::with(K::DisagreementResponded, json!({"worker": worker, "response": word()})),
            10,
        ),
        turn(School, Saying { code: Some("agreed".into()), ..Saying::of(K::DisagreementResolved) }),
        turn(Worker, coded(K::Closed, "RC8", &[1], json!({"reason": word()}))),
        turn(Worker, Saying::of(K::Filed)),
    ]
}

/// Says all of it, each turn until it is certain that it is recorded.
pub async fn talk(school: &Member, worker: &Member, id: ReferralId, turns: &[Turn]) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    for turn in turns {
        let member = match turn.by {
            By::School => school,
            By::Worker => worker,
        };
        let answers = turn.answers.map(|of| said[of].position);
        said.push(insist(member, id, &Saying { answers, ..turn.saying.clone() }).await);
    }
    said
}

/// The same again until it is certain.
async fn insist(member: &Member, id: ReferralId, saying: &Saying) -> Said {
    let until = Instant::now() + PATIENCE;
    loop {
        match say(member, id, saying).await {
            Ok(said) => return said,
            Err(
                NotSaid::NotKnown
                | NotSaid::NoAnswer(_)
                | NotSaid::NotSeen(NotSeen::NoAnswer(_) | NotSeen::Unreadable),
            ) => {}
            Err(NotSaid::Refused(problem) | NotSaid::NotSeen(NotSeen::Refused(problem)))
                if problem.status == 503 => {}
            Err(not) => panic!("{:?}: {not:?}", saying.kind),
        }
        assert!(Instant::now() < until, "{:?} is not said", saying.kind);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The thread holds exactly these turns, once each, in this order, with the very documents, beside what
/// gateways said about clocks; whoever may see the referral sees the same.
pub async fn was_said(reader: &Member, id: ReferralId, turns: &[Turn], said: &[Said]) {
    let state = look(reader, id).await.unwrap();
    let events = state.events.iter().filter(|event| !event.event.starts_with("clock_"));
    let events: Vec<_> = events.collect();
    assert_eq!(events.len(), turns.len(), "{id}");
    for ((event, turn), said) in events.into_iter().zip(turns).zip(said) {
        assert_eq!(event.event, turn.saying.kind.name(), "{id}");
        assert_eq!((event.position, &event.sha256), (said.position, &said.sha256.to_string()));
        let Some(expected) = &turn.saying.detail else { continue };
        let named = event.detail_sha256.as_ref().expect("a digest");
        let document = detail(reader, id, named).await.unwrap().expect("a document");
        for (name, value) in expected {
            assert_eq!(document[name], *value, "{id} {name}");
        }
    }
}

/// Reads a feed until `until` says that this is all, across whatever happens to the gateway; what comes
/// more than once, because an acknowledgement was lost, is counted once, as a reader does.
pub async fn read_feed(
    member: &Member,
    name: &str,
    mut all: impl FnMut(&[News]) -> bool,
) -> Vec<News> {
    let (mut seen, mut news) = (BTreeSet::new(), Vec::new());
    let begun = Instant::now();
    let mut feed = Feed::new(member, name.into());
    while !all(&news) {
        assert!(begun.elapsed() < 4 * PATIENCE, "only {} of the feed", news.len());
        match feed.next(true).await {
            Ok(batch) => {
                assert!(batch.not_proved.is_empty(), "{:?}", batch.not_proved);
                let new = batch.news.into_iter().filter(|n| seen.insert(n.sha256.clone()));
                news.extend(new);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    // Lost with a gateway that is dead right now: then the last of it comes again.
    let _ = feed.finish().await;
    news
}
