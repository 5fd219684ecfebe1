//! What is said about referrals: fifteen events each, with more and more referrals stored. The cost of
//! one event, of one timeline and of one page of a feed must not grow with them.

use std::sync::Arc;

use ecaf::store::*;

use super::store_support::*;
use super::{Make, load, rounds};

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
        talked(&store, stored, stage - stored).await;
        stored = stage;
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
                let one = event(n, &format!("turn {number}"), head);
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
