//! What is said about referrals: fifteen events each, with more and more referrals stored. The cost of
//! one event, of one timeline and of one page of a feed must not grow with them.

use std::sync::Arc;

use ecaf::domain::clocks::{Fact, Setting, Step, Thread, What, read};
use ecaf::domain::party::{Organisation, SchoolId};
use ecaf::domain::referral::{RequestType, Urgency};
use ecaf::domain::time::{HOUR, MINUTE, Timestamp};
use ecaf::store::{AcceptOutcome, AppendOutcome, GatewayStore, Sequencing};

use super::store_support::*;
use super::{Line, Make, load, rounds};

/// Events of one referral.
const EVENTS: u32 = 15;
/// Referrals stored at each stage; `ECAF_TALK_TO` names a larger last one.
const STAGES: [u64; 3] = [100, 1_000, 10_000];
/// Referrals whose events are measured at each stage.
const MEASURED: u64 = 200;

/// Tells how fast it goes at each stage.
pub async fn grows(make: &Make) {
    let last = std::env::var("ECAF_TALK_TO").ok().and_then(|n| n.parse().ok());
    let store = make.gateway().await;
    let mut stored = 0;
    for stage in STAGES.into_iter().chain(last) {
        talked(&store, stored, stage.saturating_sub(stored)).await;
        stored = stored.max(stage);
        for _ in 0..rounds() {
            let (line, said) =
                (talked(&store, stored, MEASURED).await, MEASURED * u64::from(EVENTS));
            stored += MEASURED;
            println!(
                "{}: {stage} referrals: {:.0} events/s, 32 at once",
                make.name(),
                said as f64 / line
            );
        }
        let placed = place(&store).await;
        let name = make.name();
        let known = store.clone();
        let line = load(8, 2_000, move |n| {
            let store = known.clone();
            async move {
                // Spread over all that is stored.
                let thread = store.thread(referral_id(n * 7_919 % stage)).await;
                assert_eq!(thread.unwrap().unwrap().events.len(), EVENTS as usize);
            }
        });
        line.await.print(&format!("{name}: {stage} referrals: a timeline, 8 at once"));
        looks(&store, stage)
            .await
            .print(&format!("{name}: {stage} referrals: a look at the clocks of one"));
        for (where_, after) in [("first", 0), ("last", end_of_feed(&store, placed).await - 100)] {
            let known = store.clone();
            let line = load(8, 400, move |_| {
                let store = known.clone();
                async move {
                    let page = store.feed(&school(1), after, 100).await.unwrap();
                    assert!(!page.is_empty());
                }
            });
            line.await.print(&format!("{name}: {stage} referrals: the {where_} page of a feed"));
        }
    }
}

/// What a gateway does to look at the clocks of referrals that are due, one after the other: it reads the thread
/// and its document, reads the clocks of so many facts, and writes down when to look again.
async fn looks(store: &Arc<dyn GatewayStore>, stage: u64) -> Line {
    let due = store.due_referrals(at(i64::MAX / 2), 64).await.unwrap();
    assert_eq!(due.len(), 64);
    let (known, story) = (store.clone(), Arc::new(story()));
    load(1, 2_000, move |n| {
        let (store, story) = (known.clone(), story.clone());
        async move {
            if n % 64 == 0 {
                store.due_referrals(at(i64::MAX / 2), 64).await.unwrap();
            }
            let id = referral_id(n * 7_919 % stage);
            let thread = store.thread(id).await.unwrap().unwrap();
            let newest = thread.versions.last().unwrap().payload_sha256;
            assert!(store.document(id, newest).await.unwrap().is_some());
            let now = story.facts.last().unwrap().at.plus(HOUR);
            assert!(!read(&story, &Setting::default(), now).clocks.is_empty());
            let seen = (thread.head, thread.wake_at);
            store.looked_at(id, seen, Some(at(1_000_000 + n as i64))).await.unwrap();
        }
    })
    .await
}

/// A referral with as many facts as there are events.
fn story() -> Thread {
    let (school, newham): (SchoolId, _) = ("900001".parse().unwrap(), "316".parse().unwrap());
    let by = |authority: bool| match authority {
        true => Organisation::Authority(newham),
        false => Organisation::School(school.clone()),
    };
    let urgency = Urgency::U2;
    let opening = [
        (false, What::Submitted),
        (false, What::Accepted { to: newham }),
        (false, What::Version { children: 2, urgency, in_school: true, goes_home_at: None }),
        (true, What::Delivered { to: newham, of: 2 }),
        (true, What::Opened),
        (true, What::Acknowledged),
        (true, What::Decided { child: 1, assessed: true }),
        (true, What::Decided { child: 2, assessed: true }),
        (true, What::Allocated { child: 1 }),
        (true, What::Allocated { child: 2 }),
    ];
    let notes = (1..=5).map(|_| (true, What::Progress { child: 1, step: Step::Note, since: None }));
    let facts =
        opening.into_iter().chain(notes).enumerate().map(|(place, (authority, what))| Fact {
            at: "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap().plus(place as i64 * MINUTE),
            position: place as u32 + 1,
            by: by(authority),
            what,
        });
    Thread {
        school: school.clone(),
        request_type: RequestType::Protection,
        known_since: None,
        accused: Vec::new(),
        facts: facts.collect(),
    }
}

/// How long the feed is that is read; no longer than `most`.
async fn end_of_feed(store: &Arc<dyn GatewayStore>, most: u64) -> u64 {
    let (mut within, mut beyond) = (0, most);
    while within < beyond {
        let middle = within.midpoint(beyond);
        match store.feed(&school(1), middle, 1).await.unwrap().is_empty() {
            true => beyond = middle,
            false => within = middle + 1,
        }
    }
    within
}

/// So many more referrals, each with all of its events; how many seconds the events took.
async fn talked(store: &Arc<dyn GatewayStore>, from: u64, count: u64) -> f64 {
    let to = store.clone();
    load(64, count, move |n| {
        let (store, a) = (to.clone(), acceptance(from + n));
        async move { assert_eq!(store.accept(a).await, Ok(AcceptOutcome::Committed)) }
    })
    .await;
    let (to, began) = (store.clone(), std::time::Instant::now());
    load(32, count, move |n| {
        let (store, n) = (to.clone(), from + n);
        async move {
            let mut head = head_of(&acceptance(n));
            for number in 0..EVENTS {
                let mut one = event(n, &format!("turn {number}"), head);
                one.wake_at = Some(at(n as i64));
                head = head_after(&one);
                assert_eq!(store.append(one).await, Ok(AppendOutcome::Committed));
            }
        }
    })
    .await;
    began.elapsed().as_secs_f64()
}

/// Everything gets its place; how many tokens have one.
async fn place(store: &Arc<dyn GatewayStore>) -> u64 {
    let fence = store.acquire("sequencer", "bench".into(), at(0), 1_000_000_000).await;
    let fence = fence.unwrap().expect("free");
    loop {
        match store.sequence(&fence, 512, at(0)).await.unwrap() {
            Sequencing::Done { count: 0, log_size } => return log_size,
            Sequencing::Done { .. } => {}
            Sequencing::FenceLost => panic!("nobody else sequences"),
        }
    }
}
