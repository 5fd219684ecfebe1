//! Processes that are killed at random moments under load, whatever their store is.

use std::path::Path;
use std::time::Duration;

use ecaf::cli::sandbox::Process;

use super::{HACKNEY, HARINGEY, Load, NEWHAM, SUBMITTERS, Scene, Sent, Stream};
use super::{count, eventually, prove, same_receipts_again, still_open};

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
