//! Processes over PostgreSQL: a gateway and an authority that are killed at random moments under load,
//! and a server that cuts their connections in the middle of their work. Nothing that got a receipt is
//! lost, every receipt verifies, everything is delivered once and unaltered.
//!
//! `ECAF_TEST_KILLS` sets how many times each process is killed, 8 otherwise; `ECAF_TEST_SEED` the
//! moments.

mod exchange_support;
mod fault_lines;
mod postgres_support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use ecaf::store::postgres::Kind;
use exchange_support::killing::{self, EVERYBODY};
use exchange_support::{Load, NEWHAM, RESTLESS, SUBMITTERS, Scene, prove, same_receipts_again};
use fault_lines::{Line, held};
use postgres_support::{Server, shared};

/// A row of the report on faults.
fn report(fault: &str, at: &str, runs: usize) {
    let (suite, checked) = ("exchange_crash_postgres", killing::CHECKED);
    held(&Line { suite, fault, at, runs: runs as u64, checked });
}

/// Blocking work of a test on its own thread of the runtime.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Puts a database into the place of a store's file; the database's name.
async fn move_to(server: &Server, config: &Path, file: &str, kind: Kind) -> String {
    let database = server.database(kind).await;
    let text = fs::read_to_string(config).unwrap();
    let before = format!("path = \"{file}\"");
    assert!(text.contains(&before));
    let there = format!(
        "kind = \"postgres\"\nservers = [\"{}:{}\"]\ndatabase = \"{database}\"\n\
         durable = \"primary\"\nstate = \"state-of-the-store\"",
        server.socket().display(),
        server.port(),
    );
    fs::write(config, text.replace(&before, &there)).unwrap();
    database
}

/// A scheme whose gateway and first authority keep everything in databases of this server; their names.
async fn scene_over(server: &Server) -> (Scene, [String; 2]) {
    let scene = Scene::now(RESTLESS);
    let gateway = scene.world.gateway_config();
    let gateway = move_to(server, &gateway, "gateway.db", Kind::Gateway).await;
    let newham = scene.world.authority_config(NEWHAM);
    let newham = move_to(server, &newham, "inbox.db", Kind::Authority).await;
    (scene, [gateway, newham])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_over_postgresql_is_killed_again_and_again() {
    let moments = killing::moments(8, 8);
    let kills = moments.0;
    let (scene, _) = scene_over(shared()).await;
    let receipts = killing::the_gateway(&scene, moments, async |_| {}).await;
    println!("gateway over PostgreSQL: {kills} kills, {receipts} receipts");
    report("killed (SIGKILL)", "gateway over PostgreSQL", kills);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_over_postgresql_is_killed_again_and_again() {
    let moments = killing::moments(8, 9);
    let kills = moments.0;
    let (scene, _) = scene_over(shared()).await;
    killing::an_authority(&scene, moments, Duration::from_millis(200)).await;
    report("killed (SIGKILL)", "authority over PostgreSQL", kills);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_the_database_are_cut_in_the_middle_of_their_work() {
    let server = shared();
    let (scene, databases) = scene_over(server).await;
    let (mut gateway, mut authorities) = scene.start_all();
    let load = Load::start(&scene, EVERYBODY, Duration::ZERO).await;
    load.receipts(SUBMITTERS).await;
    let cut = |database: &str| {
        // Whoever is at work is cut, every ten milliseconds for three seconds; inside of the server,
        // so that no start of a program stands between two cuts.
        let sql = format!(
            "DO $$ DECLARE cut int := 0; BEGIN FOR turn IN 1..300 LOOP
               PERFORM pg_stat_clear_snapshot();
               cut := cut + (SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
                 FROM pg_stat_activity WHERE datname = '{database}' AND state <> 'idle');
               PERFORM pg_sleep(0.01);
             END LOOP; RAISE WARNING 'connections cut: %', cut; END $$"
        );
        server.sql("postgres", &sql);
    };
    let before = server.log().len();
    for round in 0..4 {
        blocking(|| cut(&databases[round % 2]));
        // It is the same process that goes on.
        load.receipts(SUBMITTERS).await;
        gateway.wait_ready().unwrap();
        authorities[NEWHAM].wait_ready().unwrap();
    }
    let log = server.log();
    let cuts = log[before..].lines().filter_map(|line| line.split("connections cut: ").nth(1));
    let cuts: Vec<usize> = cuts.map(|n| n.trim().parse().unwrap()).collect();
    let sent = load.stop().await;
    println!("connections cut: {cuts:?}, {} receipts", sent.len());
    assert_eq!(cuts.len(), 4);
    assert!(cuts[0] + cuts[2] >= 20 && cuts[1] + cuts[3] >= 4, "hardly anything was cut: {cuts:?}");
    same_receipts_again(&scene, &sent).await;
    prove(&scene, sent, gateway, &mut authorities).await;
    report("database connections cut while they work", "gateway, authority", cuts.iter().sum());
}
