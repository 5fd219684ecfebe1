//! What the PostgreSQL store survives, and what it refuses: `kill -9` of the server in mid-load,
//! sessions cut in mid-transaction, commits that no replica confirmed, a primary that came back after
//! a promotion, strangers with certificates, and bytes that were changed behind its back.

mod postgres_support;
mod store_support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ecaf::effects::SystemEntropy;
use ecaf::protocol::trust::pem;
use ecaf::store::postgres::{
    Durability, Host, Kind, Migrated, PostgresGateway, Settings, Tls, migrate, promote,
};
use ecaf::store::*;
use postgres_support::{AUTHORITY, GATEWAY, OWNER, Server, open_gateway, shared};
use store_support::*;

async fn open(settings: &Settings) -> Result<Arc<dyn GatewayStore>, StoreFault> {
    let entropy = Arc::new(SystemEntropy::default());
    Ok(Arc::new(PostgresGateway::open(settings, vault(), entropy).await?))
}

/// Blocking work of a test on its own thread of the runtime.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Referrals accepted one after the other by several tasks, with the receipt that each was answered;
/// runs until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tasks: tokio::task::JoinSet<Vec<(u64, String)>>,
}

impl Load {
    fn start(store: &Arc<dyn GatewayStore>) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, next) = (store.clone(), next.clone());
            let (stop, answered) = (stop.clone(), answered.clone());
            tasks.spawn(async move {
                let mut receipts = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    receipts.push((n, accepted(&store, n).await));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                receipts
            });
        }
        let (store, deliverer) = (store.clone(), stop.clone());
        tasks.spawn(async move {
            // Deliveries and the sequencer beside it, over the same outages.
            for turn in 0.. {
                if deliverer.load(Ordering::Relaxed) {
                    break;
                }
                let now = at(1_000_000 + turn * 40_000);
                for d in store.lease_deliveries(lease_request(now, 8)).await.unwrap() {
                    let settled = store.delivered(d.lease, receipt(&d, d.head, now), now).await;
                    assert!(matches!(settled, Ok(Settled::Done | Settled::AlreadyDone)));
                }
                let fence = store.acquire("sequencer", "a".into(), now, 30_000).await.unwrap();
                store.sequence(&fence.unwrap(), 64, now).await.unwrap();
            }
            Vec::new()
        });
        Self { stop, answered, tasks }
    }

    /// Waits until so many more were answered.
    async fn until(&self, more: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        while self.answered.load(Ordering::Relaxed) < goal {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops, and finds everything that was answered in the store, byte for byte.
    async fn check(self, store: &Arc<dyn GatewayStore>) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let receipts: HashMap<u64, String> =
            self.tasks.join_all().await.into_iter().flatten().collect();
        for (n, receipt) in &receipts {
            let a = acceptance(*n);
            let Ok(Seen::Stored(stored)) = store.look_up(&a.sender, a.referral_id, 1).await else {
                panic!("referral {n} was answered and is lost");
            };
            assert_eq!(&stored.accepted, receipt);
            let body = store.document(a.referral_id, a.payload_sha256).await.unwrap().unwrap();
            assert_eq!(body.kept(), Some(&a.document));
        }
        let report = assert_sound_gateway(store).await;
        assert_eq!(report.referrals, receipts.len() as u64);
        report.referrals
    }
}

/// Accepts referral `n`; the receipt that is answered. Whatever happens to connections, there is one.
async fn accepted(store: &Arc<dyn GatewayStore>, n: u64) -> String {
    let a = acceptance(n);
    let receipt = a.accepted.token.jws.clone();
    match store.accept(a).await {
        Ok(AcceptOutcome::Committed) => receipt,
        Ok(AcceptOutcome::Already(stored)) => {
            // Its own, committed by a try whose answer was lost.
            assert_eq!(stored.accepted, receipt);
            receipt
        }
        other => panic!("referral {n}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_answered_survives_kill_9_of_the_server() {
    let mut server = blocking(Server::start);
    let name = server.database(Kind::Gateway).await;
    let settings =
        Settings { patience: Duration::from_secs(60), ..server.settings(&name, GATEWAY) };
    let store = open_gateway(&settings, vault()).await;
    let load = Load::start(&store);
    for _ in 0..3 {
        load.until(50).await;
        blocking(|| {
            server.kill();
            server.restart();
        });
    }
    load.until(50).await;
    let stored = load.check(&store).await;
    assert!(stored >= 200, "{stored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_cut_in_mid_transaction_lose_and_double_nothing() {
    let server = shared();
    let name = server.database(Kind::Gateway).await;
    let store = open_gateway(&server.settings(&name, GATEWAY), vault()).await;
    let load = Load::start(&store);
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = '{name}' AND usename = '{GATEWAY}' AND state <> 'idle'"
    );
    let mut cuts = 0;
    while cuts < 20 {
        load.until(5).await;
        cuts += blocking(|| server.sql("postgres", &cut))[0].parse::<u64>().unwrap();
    }
    load.until(20).await;
    load.check(&store).await;
}

/// The sessions of one database's gateways, each with what it is doing.
fn sessions(server: &Server, database: &str) -> Vec<String> {
    let sql = format!(
        "SELECT pid, state FROM pg_stat_activity WHERE datname = '{database}'
         AND usename = '{GATEWAY}' ORDER BY pid"
    );
    blocking(|| server.sql("postgres", &sql))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_failed_is_undone_before_anybody_is_told() {
    let server = shared();
    let (store, name) = server.gateway(vault()).await;
    let id = StreamId { party: school(1), person: String::new(), name: StreamName::default() };
    let acks = |position| StreamAcks {
        id: id.clone(),
        positions: vec![position],
        taken: vec![],
        errors: Vec::new(),
        now: NOON,
    };
    store.acknowledge(acks(1)).await.unwrap();
    let before = sessions(server, &name);
    // It has locked the stream's row when it finds that there is no such position.
    assert_eq!(store.acknowledge(acks(0)).await, Err(StoreFault::Misuse));
    // The same connection, with nothing open.
    assert_eq!(sessions(server, &name), before);
    let lock = "SET lock_timeout = 1; SELECT name FROM ecaf.streams FOR UPDATE";
    assert_eq!(blocking(|| server.sql(&name, lock)), ["default"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_is_gone_leaves_no_transaction_open() {
    let server = shared();
    let (store, name) = server.gateway(vault()).await;
    accepted(&store, 1).await;
    let address =
        format!("host={} port={} user=postgres", server.socket().display(), server.port());
    let connect = format!("{address} dbname={name}");
    let (other, driver) = tokio_postgres::connect(&connect, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    other.batch_execute("BEGIN; LOCK TABLE ecaf.events").await.unwrap();
    let reading = tokio::spawn({
        let store = store.clone();
        async move { store.thread(referral_id(1)).await }
    });
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{name}' AND usename = '{GATEWAY}' AND wait_event_type = 'Lock'"
    );
    blocking(|| server.wait_until("postgres", &waits, "1"));
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    // Now its statement ends, and nobody is there to end its transaction.
    other.batch_execute("COMMIT").await.unwrap();
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{name}' AND usename = '{GATEWAY}' AND state <> 'idle'"
    );
    blocking(|| server.wait_until("postgres", &open, "0"));
    assert!(store.thread(referral_id(1)).await.unwrap().is_some(), "others go on");
    driver.abort();
}

/// The same for a statement without a transaction: its session is not given to the next one, who would wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_is_gone_keeps_nobody_waiting() {
    let server = shared();
    let (store, name) = server.gateway(vault()).await;
    accepted(&store, 1).await;
    let address =
        format!("host={} port={} user=postgres", server.socket().display(), server.port());
    let connect = format!("{address} dbname={name}");
    let (other, driver) = tokio_postgres::connect(&connect, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    other.batch_execute("BEGIN; LOCK TABLE ecaf.deliveries").await.unwrap();
    let counting = tokio::spawn({
        let store = store.clone();
        async move { store.counts(NOON).await }
    });
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{name}' AND usename = '{GATEWAY}' AND wait_event_type = 'Lock'"
    );
    blocking(|| server.wait_until("postgres", &waits, "1"));
    counting.abort();
    assert!(counting.await.unwrap_err().is_cancelled());
    store.probe_writable(NOON).await.unwrap();
    assert_eq!(blocking(|| server.sql("postgres", &waits)), ["1"], "the lock is still waited for");
    other.batch_execute("COMMIT").await.unwrap();
    driver.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_no_replica_confirmed_is_no_commit() {
    let primary = blocking(Server::start);
    let name = primary.database(Kind::Gateway).await;
    let mut replica = blocking(|| primary.replica(true));
    let settings = Settings {
        durability: Durability::Replica,
        patience: Duration::from_secs(6),
        ..primary.settings(&name, GATEWAY)
    };
    let store = open_gateway(&settings, vault()).await;
    accepted(&store, 1).await;
    blocking(|| replica.stop());
    // It is committed here and waits for a replica that is gone; nobody is told.
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.accept(acceptance(2)).await }
    });
    // An operator cancels the wait: the server says "committed", with a warning. Still nobody is told.
    let cancel = format!(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
         WHERE datname = '{name}' AND wait_event = 'SyncRep'"
    );
    let mut cancelled = 0;
    while !waiting.is_finished() {
        cancelled += blocking(|| primary.sql("postgres", &cancel))[0].parse::<u64>().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let outcome = waiting.await.unwrap();
    assert!(cancelled > 0, "the commit waited");
    assert!(matches!(outcome, Err(StoreFault::Unconfirmed | StoreFault::NoReplica)), "{outcome:?}");
    assert!(!StoreFault::Unconfirmed.is_final(), "the process goes on");
    // The row is visible now. It is no receipt before a replica has it.
    let a = acceptance(2);
    let row = format!("SELECT count(*) FROM ecaf.referrals WHERE referral_id = '\\x{}'", hex(&a));
    assert_eq!(blocking(|| primary.sql(&name, &row)), ["1"]);
    let seen = store.look_up(&a.sender, a.referral_id, 1).await;
    assert!(seen.is_err(), "{seen:?}");
    assert!(store.probe_writable(NOON).await.is_err(), "not ready");
    assert_eq!(open(&settings).await.err(), Some(StoreFault::NoReplica));
    // The replica comes back: the same call gets its own receipt.
    blocking(|| {
        replica.restart();
        let streaming = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        primary.wait_until("postgres", streaming, "1");
    });
    accepted(&store, 2).await;
    store.probe_writable(NOON).await.unwrap();
    // Without names of replicas no commit waits for one: that is refused, not believed.
    blocking(|| {
        primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
        primary.sql("postgres", "SELECT pg_reload_conf()");
        primary.wait_until("postgres", "SHOW synchronous_standby_names", "");
    });
    assert!(store.accept(acceptance(3)).await.is_err());
}

/// A manager of the database that gives up the replica (`synchronous_standby_names` emptied) lets go of every commit
/// that waits for it, and no warning comes with that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_whose_replica_was_given_up_meanwhile_is_no_commit() {
    let primary = blocking(Server::start);
    let name = primary.database(Kind::Gateway).await;
    let mut replica = blocking(|| primary.replica(true));
    let settings = Settings {
        durability: Durability::Replica,
        patience: Duration::from_secs(15),
        ..primary.settings(&name, GATEWAY)
    };
    let store = open_gateway(&settings, vault()).await;
    // At once, so that there are several sessions: without a replica no new one is made.
    let probe = || store.probe_writable(NOON);
    tokio::try_join!(probe(), probe(), probe(), probe()).unwrap();
    blocking(|| replica.stop());
    // One of each kind: a statement that is a transaction by itself, and one with a commit of its own.
    let accepting = tokio::spawn({
        let store = store.clone();
        async move { store.accept(acceptance(2)).await.map(drop) }
    });
    let probing = tokio::spawn({
        let store = store.clone();
        async move { store.probe_writable(NOON).await }
    });
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'SyncRep'"
    );
    blocking(|| {
        primary.wait_until("postgres", &waits, "2");
        primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
        primary.sql("postgres", "SELECT pg_reload_conf()");
        primary.wait_until("postgres", &waits, "0");
    });
    for outcome in [accepting.await.unwrap(), probing.await.unwrap()] {
        assert_eq!(outcome, Err(StoreFault::Unconfirmed));
    }
}

fn hex(a: &Acceptance) -> String {
    a.referral_id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_old_primary_that_comes_back_is_refused() {
    let mut old = blocking(Server::start);
    let name = old.database(Kind::Gateway).await;
    let new = blocking(|| old.replica(true));
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        servers: vec![old.address(), new.address()],
        durability: Durability::Replica,
        epoch_file: Some(folder.path().join("epoch")),
        patience: Duration::from_secs(90),
        ..old.settings(&name, GATEWAY)
    };
    let store = open_gateway(&settings, vault()).await;
    let load = Load::start(&store);
    load.until(50).await;
    // A replica alone is no primary.
    let alone = Settings { servers: vec![new.address()], ..settings.clone() };
    assert_eq!(open(&alone).await.err(), Some(StoreFault::NotPrimary));
    // The primary dies under load; the replica is promoted, with a replica of its own.
    blocking(|| {
        old.kill();
        new.promote();
        // Copied from the old one; meanwhile commits would wait for the replica itself.
        new.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
        new.sql("postgres", "SELECT pg_reload_conf()");
    });
    let next = blocking(|| new.replica(true));
    let owner = Settings { durability: Durability::Primary, ..new.settings(&name, OWNER) };
    assert_eq!(promote(&owner, Kind::Gateway).await, Ok(2));
    load.until(50).await;
    let stored = load.check(&store).await;
    assert!(stored >= 100, "{stored}");
    // A process that starts now sees the new epoch; it is the old primary that is left out then.
    drop(open_gateway(&settings, vault()).await);
    blocking(|| {
        old.restart();
        old.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
        old.sql("postgres", "SELECT pg_reload_conf()");
    });
    let both = Settings { durability: Durability::Primary, ..settings };
    let alone = Settings { servers: vec![old.address()], ..both.clone() };
    assert_eq!(open(&alone).await.err(), Some(StoreFault::OldPrimary));
    let again = open_gateway(&both, vault()).await;
    assert_eq!(
        again.check().await.unwrap().referrals,
        stored,
        "the new primary, though listed last"
    );
    drop(next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_run_once_and_only_known_databases_are_opened() {
    let server = shared();
    blocking(|| server.empty_database("fresh"));
    let (owner, gateway) = (server.settings("fresh", OWNER), server.settings("fresh", GATEWAY));
    assert_eq!(open(&gateway).await.err(), Some(StoreFault::Missing));
    let denied = migrate(&gateway, Kind::Gateway).await;
    assert_eq!(denied, Err(StoreFault::Denied), "the role that serves changes no tables");
    let (one, other) = tokio::join!(migrate(&owner, Kind::Gateway), migrate(&owner, Kind::Gateway));
    let mut both = [one.unwrap(), other.unwrap()];
    both.sort_by_key(|migrated| migrated.from);
    assert_eq!(both, [Migrated { from: 0, to: 5 }, Migrated { from: 5, to: 5 }]);
    assert!(open(&gateway).await.is_ok());
    assert_eq!(migrate(&owner, Kind::Authority).await, Err(StoreFault::NotAStore));
    blocking(|| server.sql("fresh", "UPDATE ecaf.store SET version = 99"));
    let newer = StoreFault::UnknownSchema { found: 99, known: 5 };
    assert_eq!(open(&gateway).await.err(), Some(newer));
    assert_eq!(migrate(&owner, Kind::Gateway).await, Err(newer));
    let nowhere = Settings { database: "nowhere".into(), ..gateway };
    assert_eq!(open(&nowhere).await.err(), Some(StoreFault::Missing));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roles_that_serve_can_do_no_more_than_they_must() {
    let server = shared();
    let gateway = server.database(Kind::Gateway).await;
    let authority = server.database(Kind::Authority).await;
    for (database, role, statement) in [
        (&gateway, GATEWAY, "CREATE TABLE ecaf.more (x int)"),
        (&gateway, GATEWAY, "CREATE TABLE public.more (x int)"),
        (&gateway, GATEWAY, "DROP TABLE ecaf.tokens"),
        (&gateway, GATEWAY, "TRUNCATE ecaf.unsequenced"),
        (&gateway, GATEWAY, "DELETE FROM ecaf.tokens"),
        (&gateway, GATEWAY, "DELETE FROM ecaf.referrals"),
        (&gateway, GATEWAY, "DELETE FROM ecaf.log"),
        (&gateway, GATEWAY, "UPDATE ecaf.tokens SET jws = ''"),
        (&gateway, GATEWAY, "UPDATE ecaf.log SET idx = idx"),
        (&gateway, GATEWAY, "UPDATE ecaf.documents SET body = ''"),
        (&gateway, GATEWAY, "UPDATE ecaf.versions SET payload_sha256 = ''"),
        (&gateway, GATEWAY, "UPDATE ecaf.epoch SET epoch = 7"),
        (&gateway, GATEWAY, "UPDATE ecaf.store SET version = 7"),
        (&gateway, AUTHORITY, "SELECT * FROM ecaf.documents"),
        (&authority, AUTHORITY, "DELETE FROM ecaf.dispatches"),
        (&authority, AUTHORITY, "UPDATE ecaf.dispatches SET reference = ''"),
        (&authority, GATEWAY, "SELECT * FROM ecaf.documents"),
    ] {
        let tried = format!("SET ROLE {role}; {statement}");
        let refused = blocking(|| server.try_sql(database, &tried)).unwrap_err();
        assert!(
            refused.contains("permission denied") || refused.contains("must be owner"),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_is_crossed_only_under_a_certificate_that_verifies() {
    let server = shared();
    let name = server.database(Kind::Gateway).await;
    let settings = server.settings_over_tls(&name, GATEWAY);
    let store = open_gateway(&settings, vault()).await;
    accepted(&store, 1).await;
    let encrypted = format!(
        "SELECT bool_and(s.ssl AND s.version = 'TLSv1.3')
         FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
         WHERE a.datname = '{name}' AND a.usename = '{GATEWAY}'"
    );
    assert_eq!(blocking(|| server.sql("postgres", &encrypted)), ["t"]);
    // Another authority's certificate, or a name that is not in it.
    let other = blocking(Server::start);
    let roots = pem::certificates(&std::fs::read(other.ca_file()).unwrap()).unwrap();
    let stranger = Settings { tls: Tls::verified(&roots, None).unwrap(), ..settings.clone() };
    assert_eq!(open(&stranger).await.err(), Some(StoreFault::Untrusted));
    let mut misnamed = settings.clone();
    misnamed.servers[0].host = Host::Name("127.0.0.1".into());
    assert_eq!(open(&misnamed).await.err(), Some(StoreFault::Untrusted));
    let mut wrong = settings.clone();
    wrong.login.password = None;
    assert!(open(&wrong).await.is_err());
    // Plain only to a loopback address, written as such, and only if it was said.
    let plain = Settings { tls: Tls::plain_loopback(), ..misnamed.clone() };
    assert!(open(&plain).await.is_ok());
    let by_name = Settings { tls: Tls::plain_loopback(), ..settings.clone() };
    assert_eq!(open(&by_name).await.err(), Some(StoreFault::Misuse));
    let unsaid = Settings { tls: Tls::socket_only(), ..misnamed };
    assert_eq!(open(&unsaid).await.err(), Some(StoreFault::Misuse));
    assert!(Tls::verified(&[], None).is_err(), "somebody must be trusted");
}

/// The check is worth nothing unless it finds what is wrong: each change alone must be named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_finds_every_kind_of_damage() {
    let server = shared();
    let (store, sound) = server.gateway(vault()).await;
    for n in 0..3 {
        store.accept(acceptance(n)).await.unwrap();
    }
    for d in store.lease_deliveries(lease_request(at(100), 2)).await.unwrap() {
        store.delivered(d.lease, receipt(&d, d.head, at(200)), at(200)).await.unwrap();
    }
    let fence = store.acquire("sequencer", "a".into(), NOON, 1_000).await.unwrap().unwrap();
    store.sequence(&fence, 8, NOON).await.unwrap();
    let report = assert_sound_gateway(&store).await;
    assert_eq!((report.referrals, report.documents), (3, 3));
    assert_eq!((report.tokens, report.log_entries), (13, 8));
    drop(store);
    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{sound}'");
    blocking(|| server.wait_until("postgres", &gone, "0"));
    let zeros = format!("'\\x{}'", "00".repeat(32));
    let one = "(SELECT min(id) FROM";
    for (n, damage) in [
        format!("UPDATE documents SET body = '\\x00' WHERE id = {one} documents)"),
        format!(
            "UPDATE documents d SET (wrapped, body) = (SELECT wrapped, body FROM documents
                 WHERE id = (SELECT max(id) FROM documents)) WHERE id = {one} documents)"
        ),
        format!("UPDATE documents SET key_id = '\\x0000000000000001' WHERE id = {one} documents)"),
        format!("DELETE FROM documents WHERE id = {one} documents)"),
        format!("UPDATE tokens SET jws = jws || 'x' WHERE id = {one} tokens)"),
        format!("UPDATE tokens SET x5t = {zeros} WHERE id = {one} tokens)"),
        format!("UPDATE tokens SET crls = {zeros} WHERE id = {one} tokens)"),
        format!(
            "UPDATE tokens SET kind = 'event' WHERE id = {one} tokens WHERE kind = 'dispatch_note')"
        ),
        format!("UPDATE tokens SET position = 7 WHERE id = {one} tokens)"),
        format!("UPDATE tokens SET owner = -1 WHERE id = {one} tokens)"),
        "UPDATE chains SET der = '\\x00' WHERE place = 0".into(),
        "UPDATE crls SET der = '\\x00'".into(),
        format!("UPDATE referrals SET head_digest = {zeros}"),
        "UPDATE referrals SET head_position = head_position + 1".into(),
        "UPDATE versions SET version = 2".into(),
        "UPDATE versions SET accepted = submission".into(),
        "UPDATE deliveries SET note = -1".into(),
        "UPDATE deliveries SET delivered = note WHERE state = 'delivered'".into(),
        "UPDATE deliveries SET version = 3".into(),
        "DELETE FROM versions".into(),
        "DELETE FROM referrals".into(),
        "DELETE FROM tokens WHERE id = (SELECT max(id) FROM tokens)".into(),
        "DELETE FROM unsequenced".into(),
        "INSERT INTO unsequenced (token, audience) SELECT token, '' FROM log WHERE idx = 0"
            .to_owned(),
        "DELETE FROM log WHERE idx = 3".into(),
        format!("UPDATE log SET sha256 = {zeros} WHERE idx = 3"),
        "UPDATE log SET idx = idx + 100; UPDATE log SET idx = 107 - idx".into(),
        "DELETE FROM feeds WHERE position = 1".into(),
        "SELECT setval('row_numbers', 1)".into(),
    ]
    .into_iter()
    .enumerate()
    {
        let damaged = format!("damaged{n}");
        blocking(|| {
            server.sql("postgres", &format!("CREATE DATABASE {damaged} TEMPLATE {sound}"));
            server.sql(&damaged, &format!("SET search_path = ecaf; {damage}"));
        });
        let store = open_gateway(&server.settings(&damaged, GATEWAY), vault()).await;
        let report = store.check().await.unwrap();
        assert!(!report.is_sound(), "{damage}");
        drop(store);
        blocking(|| server.sql("postgres", &format!("DROP DATABASE {damaged} WITH (FORCE)")));
    }
}
