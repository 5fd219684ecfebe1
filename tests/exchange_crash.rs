//! SIGKILL at random moments under load: nothing that got a receipt is lost, every receipt verifies,
//! everything is delivered once and unaltered, and the stores are sound.
//!
//! `ECAF_TEST_KILLS` sets how many times each process is killed, 30 otherwise; `ECAF_TEST_SEED` the
//! moments.

mod exchange_support;
mod fault_lines;

use std::time::Duration;

use ecaf::store::GatewayStore;
use exchange_support::{RESTLESS, Scene, gateway_store, killing};
use fault_lines::{Line, held};

const SUITE: &str = "exchange_crash";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_killed_again_and_again() {
    let moments = killing::moments(30, 0);
    let kills = moments.0;
    let scene = Scene::now(RESTLESS);
    let receipts = killing::the_gateway(&scene, moments, async |kill| {
        if kill % 10 == 9 {
            let report = gateway_store(&scene.gateway_store()).check().await.unwrap();
            assert!(report.is_sound(), "{:?}", report.problems);
        }
    });
    let receipts = receipts.await;
    println!("gateway: {kills} kills, {receipts} receipts");
    assert!(receipts > kills * 4, "not under load");
    let (fault, at, checked) = ("killed (SIGKILL)", "gateway over SQLite", killing::CHECKED);
    held(&Line { suite: SUITE, fault, at, runs: kills as u64, checked });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_killed_again_and_again() {
    let moments = killing::moments(30, 1);
    let runs = moments.0 as u64;
    let scene = Scene::now(RESTLESS);
    killing::an_authority(&scene, moments, Duration::from_millis(350)).await;
    let (fault, at, checked) = ("killed (SIGKILL)", "authority over SQLite", killing::CHECKED);
    held(&Line { suite: SUITE, fault, at, runs, checked });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_killed_while_schools_and_workers_talk() {
    let moments = killing::moments(15, 2);
    let runs = moments.0 as u64;
    let scene = Scene::now(RESTLESS);
    let events = killing::the_gateway_while_they_talk(&scene, moments).await;
    println!("gateway: {runs} kills, {events} events");
    let (fault, at, checked) =
        ("killed (SIGKILL) among events", "gateway over SQLite", killing::TALK_CHECKED);
    held(&Line { suite: SUITE, fault, at, runs, checked });
}
