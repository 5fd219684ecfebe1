//! Processes over PostgreSQL: a gateway and an authority that are killed at random moments under load,
//! and a server that cuts their connections in the middle of their work. Nothing that got a receipt is
//! lost, every receipt verifies, everything is delivered once and unaltered. Two gateways push to one
//! authority and are killed in turn: it gets every token once, in order.
//!
//! `ECAF_TEST_KILLS` sets how many times each process is killed, 8 otherwise; `ECAF_TEST_SEED` the
//! moments.

mod exchange_support;
mod fault_lines;
mod postgres_support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ecaf::cli::sandbox::{AUTHORITIES, Process};
use ecaf::effects::{Clock, SystemClock};
use ecaf::store::postgres::Kind;
use exchange_support::killing::{self, EVERYBODY, from_first_to_last};
use exchange_support::talking::was_said;
use exchange_support::{
    Load, NEWHAM, RESTLESS, SUBMITTERS, Scene, ecaf, ends_well, eventually, prove,
    same_receipts_again,
};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_of_a_gateway_over_postgresql_is_killed_again_and_again() {
    let moments = killing::moments(8, 10);
    let kills = moments.0;
    let (mut scene, _) = scene_over(shared()).await;
    scene.collects(NEWHAM);
    scene.sign_pull(2, &[NEWHAM], SystemClock.now());
    killing::an_authority(&scene, moments, Duration::from_millis(350)).await;
    report("killed (SIGKILL)", "collector and its gateway over PostgreSQL", kills);
}

/// Another process of the gateway over the same database, with listeners of its own.
struct Second {
    config: PathBuf,
    operator: SocketAddr,
}

impl Second {
    fn of(scene: &Scene) -> Self {
        let usual = scene.world.gateway_config();
        let text = fs::read_to_string(&usual).unwrap();
        // Held together, so that they differ.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [parties, operator] = free.map(|listener| listener.local_addr().unwrap());
        let changed = [
            (scene.world.gateway_address().to_string(), parties.to_string()),
            (scene.world.gateway_operator().to_string(), operator.to_string()),
            ("state-of-the-store".to_owned(), "state-of-the-second".to_owned()),
        ];
        let text = changed.iter().fold(text, |text, (old, new)| {
            assert!(text.contains(old), "{old}");
            text.replace(old, new)
        });
        let config = usual.with_file_name("second.toml");
        fs::write(&config, text).unwrap();
        Self { config, operator }
    }

    fn start(&self) -> Process {
        let arguments = ["gateway", "--config", self.config.to_str().unwrap()];
        let log = self.config.with_extension("jsonl");
        Process::start(ecaf(), &arguments, self.operator, &log).unwrap()
    }
}

/// Digests of what is to be pushed to Newham, in the order of its feed.
fn to_push(server: &Server, gateway: &str) -> Vec<String> {
    let code = AUTHORITIES[NEWHAM].code;
    let sql = format!(
        "SELECT encode(t.sha256, 'hex') FROM ecaf.feeds f JOIN ecaf.tokens t ON t.id = f.token
         WHERE f.party = 'authority/{code}' AND t.kind NOT IN ('submission', 'attested')
         ORDER BY f.position"
    );
    blocking(|| server.sql(gateway, &sql))
}

/// Digests of what Newham was pushed, and the time at which each came first, in milliseconds.
fn pushed(server: &Server, newham: &str) -> BTreeMap<String, i64> {
    let sql = "SELECT encode(sha256, 'hex') || ' ' || received_at FROM ecaf.pushed";
    let rows = blocking(|| server.sql(newham, sql)).into_iter();
    rows.map(|row| {
        let (digest, at) = row.split_once(' ').unwrap();
        (digest.to_owned(), at.parse().unwrap())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_gateways_push_to_one_authority_and_are_killed_in_turn() {
    const TALKS: usize = 6;
    let (kills, mut random) = killing::moments(4, 11);
    let server = shared();
    let (scene, [gateway, newham]) = scene_over(server).await;
    scene.sign_events(2, NEWHAM, SystemClock.now());
    let second = Second::of(&scene);
    let (first, mut authorities) = scene.start_all();
    let mut gateways = [first, second.start()];
    blocking(|| gateways[1].wait_ready().unwrap());
    let (mut talks, over) = (tokio::task::JoinSet::new(), Arc::<AtomicUsize>::default());
    for talk in 0..TALKS {
        let (school, worker) = (scene.school(talk % 2).await, scene.worker(NEWHAM).await);
        let document = random.document(talk % 2, NEWHAM);
        let over = Arc::clone(&over);
        let talk = from_first_to_last(school, worker, document, 9_000 + talk as u64);
        talks.spawn(async move {
            let talk = talk.await;
            over.fetch_add(1, Ordering::Relaxed);
            talk
        });
    }
    let mut midway = 0;
    for kill in 0..kills {
        let before = pushed(server, &newham).len();
        eventually("events are pushed", async || {
            let more = pushed(server, &newham).len() > before;
            (more || over.load(Ordering::Relaxed) == TALKS).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_micros(random.below(100_000) as u64)).await;
        // Whoever lives has every right, so this one has them: the other has been dead since.
        gateways[kill % 2].kill();
        let due = to_push(server, &gateway);
        midway += usize::from(pushed(server, &newham).len() < due.len());
        // Rights of the dead last a minute at most: as if that were over.
        blocking(|| server.sql(&gateway, "UPDATE ecaf.rights SET expires_at = 0"));
        eventually("the other one goes on", async || {
            let there = pushed(server, &newham);
            due.iter().all(|token| there.contains_key(token)).then_some(())
        })
        .await;
        gateways[kill % 2] = match kill % 2 {
            0 => scene.start_gateway(),
            _ => second.start(),
        };
        blocking(|| gateways[kill % 2].wait_ready().unwrap());
    }
    println!("{midway} of {kills} kills with something on its way");
    assert!(midway > 0, "nothing was on its way");
    while let Some(talk) = talks.join_next().await {
        let (school, worker, id, turns, said) = talk.unwrap();
        was_said(&school, id, &turns, &said).await;
        was_said(&worker, id, &turns, &said).await;
    }
    eventually("everything is pushed", async || {
        let (due, there) = (to_push(server, &gateway), pushed(server, &newham));
        (due.len() >= TALKS * 2 * 15 && due.len() == there.len()).then_some(())
    })
    .await;
    let there = pushed(server, &newham);
    let times: Vec<i64> = to_push(server, &gateway).iter().map(|token| there[token]).collect();
    assert!(times.is_sorted(), "in the order of the feed: {times:?}");
    gateways.iter_mut().for_each(ends_well);
    authorities.iter_mut().for_each(ends_well);
    assert!(scene.gateway().await.check().await.unwrap().is_sound());
    assert!(scene.inbox(NEWHAM).await.check().await.unwrap().is_sound());
    held(&Line {
        suite: "exchange_crash_postgres",
        fault: "killed (SIGKILL) while it pushes events",
        at: "two gateways over PostgreSQL, in turn",
        runs: kills as u64,
        checked: "each event of the feed lies at the authority once, in the feed's order; checks",
    });
}
