//! Processes that are killed at random moments under load, whatever their store is.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ecaf::cli::sandbox::Process;
use ecaf::domain::ids::ReferralId;
use ecaf::party::look::look;
use ecaf::party::member::Member;
use ecaf::party::poll::News;
use ecaf::party::say::Said;
use ecaf::school::follow::follow;
use ecaf::store::GatewayStore;
use tokio::time::Instant;

use super::PATIENCE;
use super::talking::{Turn, conversation, read_feed, talk, was_said};
use super::{Document, HACKNEY, HARINGEY, Load, NEWHAM, SUBMITTERS, Scene, Sent, Stream, insist};
use super::{count, ends_well, eventually, prove, same_receipts_again, still_open};

/// What [`the_gateway`] and [`an_authority`] check afterwards, for the report.
pub const CHECKED: &str = "every receipt verifies and comes again byte for byte; all of it is delivered \
                           once and unaltered; stores are sound";

/// Every authority of the sandbox.
pub const EVERYBODY: &[usize] = &[HACKNEY, HARINGEY, NEWHAM];

/// How many times each process is killed (`ECAF_TEST_KILLS`, or `usual`), and the moments
/// (`ECAF_TEST_SEED`), which differ by `of`.
pub fn moments(usual: usize, of: u64) -> (usize, Stream) {
    let seed = count("ECAF_TEST_SEED", 7) as u64;
    (count("ECAF_TEST_KILLS", usual), Stream::new(seed * 2 + of))
}

/// Kills the gateway again and again, sometimes while it starts; `while_dead` looks at what it left, by
/// the number of the kill. Nothing that got a receipt is lost. How many receipts.
pub async fn the_gateway(
    scene: &Scene,
    (kills, mut random): (usize, Stream),
    mut while_dead: impl AsyncFnMut(usize),
) -> usize {
    let (mut gateway, mut authorities) = scene.start_all();
    let load = Load::start(scene, EVERYBODY, Duration::ZERO).await;
    for kill in 0..kills {
        load.receipts(random.below(24)).await;
        // Anywhere in the work on the next one.
        tokio::time::sleep(Duration::from_micros(random.below(12_000) as u64)).await;
        gateway.kill();
        while_dead(kill).await;
        gateway = restarted(&mut random, kill, || scene.start_gateway()).await;
    }
    load.receipts(SUBMITTERS).await;
    let sent = load.stop().await;
    let receipts = sent.len();
    same_receipts_again(scene, &sent).await;
    prove(scene, sent, gateway, &mut authorities).await;
    receipts
}

/// Kills an authority again and again while the gateway brings it referrals, one from each submitter
/// every `pause`.
pub async fn an_authority(scene: &Scene, (kills, mut random): (usize, Stream), pause: Duration) {
    let (gateway, mut authorities) = scene.start_all();
    let load = Load::start(scene, &[NEWHAM], pause).await;
    let (mut stored, mut under_load) = (0, 0);
    let log = scene.gateway_log();
    for kill in 0..kills {
        // Something of this life of the authority is stored and more is on its way.
        eventually("deliveries go on", async || (deliveries(&log) > stored).then_some(())).await;
        tokio::time::sleep(Duration::from_micros(random.below(60_000) as u64)).await;
        authorities[NEWHAM].kill();
        under_load += usize::from(still_open(gateway.operator()).await > Some(0));
        let start = || scene.start_authority(NEWHAM);
        authorities[NEWHAM] = restarted(&mut random, kill, start).await;
        stored = deliveries(&log);
    }
    let sent: Vec<Sent> = load.stop().await;
    assert!(under_load > kills / 2, "under load {under_load} times only");
    prove(scene, sent, gateway, &mut authorities).await;
}

/// What [`the_gateway_while_they_talk`] checks afterwards.
pub const TALK_CHECKED: &str = "each of fifteen events of each conversation is recorded once, in its place, \
                                with its own words; a feed has each once; the evidence verifies";

/// Kills the gateway again and again while schools and workers talk about referrals, each in its own
/// conversation, and one reads the feed. Says how many events were recorded.
pub async fn the_gateway_while_they_talk(
    scene: &Scene,
    (kills, mut random): (usize, Stream),
) -> usize {
    const TALKS: usize = 6;
    let (mut gateway, mut authorities) = scene.start_all();
    let (mut talks, over) = (tokio::task::JoinSet::new(), std::sync::Arc::<AtomicUsize>::default());
    for place in 0..TALKS {
        let (school, authority) = ([0, 1][place % 2], place % EVERYBODY.len());
        let (school, worker) = (scene.school(school).await, scene.worker(authority).await);
        let document = random.document([0, 1][place % 2], authority);
        let over = std::sync::Arc::clone(&over);
        let talk = from_first_to_last(school, worker, document, 5_000 + place as u64);
        talks.spawn(async move {
            let talk = talk.await;
            over.fetch_add(1, Ordering::Relaxed);
            talk
        });
    }
    let feed = {
        let school = scene.school(0).await;
        tokio::spawn(async move {
            let ended = |news: &[News]| {
                news.iter().filter(|n| n.event == "filed").count() == TALKS.div_ceil(2)
            };
            read_feed(&school, "while-it-is-killed", ended).await
        })
    };
    let mut while_talking = 0;
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(60 + random.below(400) as u64)).await;
        gateway.kill();
        while_talking += usize::from(over.load(Ordering::Relaxed) < TALKS);
        gateway = restarted(&mut random, kill, || scene.start_gateway()).await;
    }
    println!("{while_talking} of {kills} kills while somebody spoke");
    assert!(while_talking > kills / 3, "{while_talking} of {kills} kills while somebody spoke");
    let (mut events, mut told) = (0, Vec::new());
    while let Some(talk) = talks.join_next().await {
        let (school, worker, id, turns, said) = talk.unwrap();
        was_said(&school, id, &turns, &said).await;
        was_said(&worker, id, &turns, &said).await;
        follow(&school, id).await.unwrap().proven.unwrap();
        events += turns.len();
        if school.party.to_string().ends_with("900001") {
            let each = turns.iter().zip(&said);
            told.extend(each.map(|(turn, said)| {
                (said.sha256.to_string(), id.to_string(), said.position, turn.saying.kind.name())
            }));
        }
    }
    let mut news = feed.await.unwrap();
    news.retain(|n| {
        !matches!(n.event.as_str(), "accepted" | "delivered" | "clock_warning" | "clock_breached")
    });
    let missing: Vec<_> = told.iter().filter(|t| !news.iter().any(|n| n.sha256 == t.0)).collect();
    assert!(missing.is_empty(), "not in the feed: {missing:?}");
    assert_eq!(news.len(), told.len(), "each once in the feed");
    ends_well(&mut gateway);
    authorities.iter_mut().for_each(ends_well);
    assert!(scene.gateway().await.check().await.unwrap().is_sound());
    events
}

/// A referral is sent, delivered, and talked about to its end.
pub async fn from_first_to_last(
    school: Member,
    worker: Member,
    document: Document,
    seed: u64,
) -> (Member, Member, ReferralId, Vec<Turn>, Vec<Said>) {
    let id = document.id;
    insist(std::slice::from_ref(&school), &document).await;
    let until = Instant::now() + PATIENCE;
    loop {
        let state = look(&worker, id).await;
        if state.is_ok_and(|state| state.deliveries.iter().all(|d| d.state == "stored")) {
            break;
        }
        assert!(Instant::now() < until, "it is not delivered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let turns = conversation(&mut Stream::new(seed));
    let said = talk(&school, &worker, id, &turns).await;
    (school, worker, id, turns, said)
}

/// Started again, and every third time killed while it starts.
async fn restarted(random: &mut Stream, kill: usize, start: impl Fn() -> Process) -> Process {
    let mut process = start();
    if kill % 3 == 2 {
        tokio::time::sleep(Duration::from_millis(random.below(400) as u64)).await;
        process.kill();
        process = start();
    }
    process.wait_ready().unwrap();
    process
}

/// Deliveries that the gateway's log tells of.
fn deliveries(log: &Path) -> usize {
    std::fs::read_to_string(log).unwrap().matches("\"delivered\"").count()
}
