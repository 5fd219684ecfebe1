//! SIGKILL at random moments under load: nothing that got a receipt is lost, every receipt verifies,
//! everything is delivered once and unaltered, and the stores are sound.
//!
//! `ECAF_TEST_KILLS` sets how many times each process is killed, 30 otherwise; `ECAF_TEST_SEED` the
//! moments.

mod exchange_support;

use std::time::Duration;

use ecaf::store::GatewayStore;
use exchange_support::{
    HACKNEY, HARINGEY, Load, NEWHAM, RESTLESS, SUBMITTERS, Scene, Stream, count, eventually,
    gateway_store, prove, same_receipts_again, still_open,
};
use tokio::time::Instant;

fn moments(kills_of: u64) -> (usize, Stream) {
    let seed = count("ECAF_TEST_SEED", 7) as u64;
    (count("ECAF_TEST_KILLS", 30), Stream::new(seed * 2 + kills_of))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_killed_again_and_again() {
    let (kills, mut random) = moments(0);
    let scene = Scene::now(RESTLESS);
    let (mut gateway, mut authorities) = scene.start_all();
    let everybody: &[usize] = &[HACKNEY, HARINGEY, NEWHAM];
    let load = Load::start(&scene, everybody, Duration::ZERO).await;
    let began = Instant::now();
    for kill in 0..kills {
        load.receipts(random.below(24)).await;
        // Anywhere in the work on the next one.
        tokio::time::sleep(Duration::from_micros(random.below(12_000) as u64)).await;
        gateway.kill();
        if kill % 10 == 9 {
            let report = gateway_store(&scene.gateway_store()).check().await.unwrap();
            assert!(report.is_sound(), "{:?}", report.problems);
        }
        gateway = scene.start_gateway();
        if kill % 6 == 5 {
            // While it starts, too.
            tokio::time::sleep(Duration::from_millis(random.below(400) as u64)).await;
            gateway.kill();
            gateway = scene.start_gateway();
        }
        gateway.wait_ready().unwrap();
    }
    load.receipts(SUBMITTERS).await;
    let sent = load.stop().await;
    println!("gateway: {kills} kills, {} receipts in {:?}", sent.len(), began.elapsed());
    assert!(sent.len() > kills * 4, "not under load");
    same_receipts_again(&scene, &sent).await;
    prove(&scene, sent, gateway, &mut authorities).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_killed_again_and_again() {
    let (kills, mut random) = moments(1);
    let scene = Scene::now(RESTLESS);
    let (gateway, mut authorities) = scene.start_all();
    let load = Load::start(&scene, &[NEWHAM], Duration::from_millis(350)).await;
    let began = Instant::now();
    let mut stored = 0;
    let mut cut_under_load = 0;
    for kill in 0..kills {
        // Something of this life of the authority is stored and more is on its way.
        let log = scene.gateway_log();
        eventually("deliveries go on", async || {
            let now = deliveries(&log);
            (now > stored).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_micros(random.below(60_000) as u64)).await;
        authorities[NEWHAM].kill();
        cut_under_load += usize::from(still_open(gateway.operator()).await > Some(0));
        authorities[NEWHAM] = scene.start_authority(NEWHAM);
        if kill % 6 == 5 {
            tokio::time::sleep(Duration::from_millis(random.below(400) as u64)).await;
            authorities[NEWHAM].kill();
            authorities[NEWHAM] = scene.start_authority(NEWHAM);
        }
        authorities[NEWHAM].wait_ready().unwrap();
        stored = deliveries(&log);
    }
    let sent = load.stop().await;
    println!("authority: {kills} kills, {} receipts in {:?}", sent.len(), began.elapsed());
    assert!(cut_under_load > kills / 2, "under load {cut_under_load} times only");
    prove(&scene, sent, gateway, &mut authorities).await;
}

/// Deliveries that the gateway's log tells of.
fn deliveries(log: &std::path::Path) -> usize {
    std::fs::read_to_string(log).unwrap().matches("\"delivered\"").count()
}
