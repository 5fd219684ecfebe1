//! Stores of earlier versions: migrated by the process that owns them (SQLite) or by the operator's command
//! (PostgreSQL), whole and with everything that they held, and then worked with as with new ones.

#![allow(
    clippy::disallowed_methods,
    reason = "makes files of an older version, which no writer serves"
)]

mod postgres_support;
mod store_support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ecaf::domain::delivery::State;
use ecaf::effects::SystemEntropy;
use ecaf::protocol::hash::sha256;
use ecaf::store::postgres::{Kind, Migrated, PostgresGateway, migrate};
use ecaf::store::sqlite::{Access, Settings, SqliteGateway, backup};
use ecaf::store::*;
use postgres_support::{GATEWAY, OWNER, open_gateway, shared};
use store_support::*;

/// Rows that the program of version 1 wrote.
const ROWS: &str = include_str!("store_support/gateway_1.sql");

macro_rules! script {
    ($path:literal) => {
        include_str!(concat!("../src/store/", $path))
    };
}

/// Migrations that stores in use have gone through, with the SHA-256 that they had then, in base64url.
const RELEASED: [(&str, &str); 6] = [
    (script!("sqlite/migrations/common_0001.sql"), "RNzUodt4LAmySpThumcRB0hGncd2EvNcBRbj5t5mtVM"),
    (script!("sqlite/migrations/gateway_0001.sql"), "KFwLw6PQo9Cwp8tFYcyinCPs1LucczjX9CnsfWzV8kA"),
    (
        script!("sqlite/migrations/authority_0001.sql"),
        "3vhC4842cRpwIIoAmRHq1EefmprmEtE41NwbBN3DfNY",
    ),
    (script!("postgres/migrations/common_0001.sql"), "rP63GzIzpt5l3_1Ah2mUFxckc9p-cULcluazJMahyZU"),
    (
        script!("postgres/migrations/gateway_0001.sql"),
        "zGwL6ArWPOIeisNNUcX0K12gZoynCqFj4IEOqJ7kCrI",
    ),
    (
        script!("postgres/migrations/authority_0001.sql"),
        "w6lgUom-XKta_e_6aDA1RyTaaEtW-AVDLCbix2-FdhE",
    ),
];

#[test]
fn a_released_migration_is_never_edited() {
    for (script, digest) in RELEASED {
        let name = script.lines().next().unwrap_or_default();
        assert_eq!(sha256(script.as_bytes()).to_string(), digest, "{name}");
    }
}

/// A gateway's store of version 1.
fn sqlite_1(path: &Path) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let [common, gateway, ..] = RELEASED;
    conn.execute_batch(&format!("BEGIN; {} {} {ROWS} COMMIT;", common.0, gateway.0)).unwrap();
    conn.pragma_update(None, "application_id", 0x6563_6731).unwrap();
    conn.pragma_update(None, "user_version", 1).unwrap();
}

fn open(settings: &Settings) -> Result<Arc<dyn GatewayStore>, StoreFault> {
    Ok(Arc::new(SqliteGateway::open(settings, vault(), Arc::new(SystemEntropy::default()))?))
}

fn version(path: &Path) -> u32 {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Everything is there as it was, and the thread goes on.
async fn works_on(store: Arc<dyn GatewayStore>) {
    let report = assert_sound_gateway(&store).await;
    assert_eq!((report.referrals, report.documents, report.tokens), (1, 2, 8));
    let first = acceptance(1);
    let second = next_version(1, 2, &first, head_of(&first));
    for a in [&first, &second] {
        let Ok(AcceptOutcome::Already(stored)) = store.accept(a.clone()).await else {
            panic!("version {} is lost", a.version)
        };
        assert_eq!(stored.accepted, a.accepted.token.jws);
        let found = store.document(a.referral_id, a.payload_sha256).await;
        assert_eq!(found, Ok(Some(Document::Kept(a.document.clone()))));
    }
    let thread = store.thread(first.referral_id).await.unwrap().unwrap();
    assert_eq!((thread.holder, thread.events.len()), (first.authority, 0));
    let of: Vec<_> = thread.deliveries.iter().map(|d| (d.version, d.state, d.called_by)).collect();
    assert_eq!(of, [(1, State::Delivered, None), (2, State::Held, None)]);
    let timeline = store.timeline(first.referral_id).await.unwrap().unwrap();
    assert_eq!((timeline.holder, timeline.tokens.len()), (first.authority, 8));

    let to = authority(7);
    let proposed = proposal(1, "proposed", to, thread.head);
    assert_eq!(store.append(proposed.clone()).await, Ok(AppendOutcome::Committed));
    let mut taken = event(1, "accepted", head_after(&proposed));
    taken.holder = Some(to);
    assert_eq!(store.append(taken).await, Ok(AppendOutcome::Committed));
    for d in store.lease_deliveries(lease_request(at(60_000), 9)).await.unwrap() {
        let head = store.head(d.referral_id).await.unwrap().unwrap();
        let tokens = receipt(&d, head, at(61_000));
        assert_eq!(store.delivered(d.lease, tokens, at(61_000)).await, Ok(Settled::Done));
    }
    assert_eq!(store.accept(acceptance(2)).await, Ok(AcceptOutcome::Committed));
    let thread = store.thread(first.referral_id).await.unwrap().unwrap();
    assert_eq!((thread.holder, thread.head.position), (to, 7));
    assert!(thread.deliveries.iter().all(|d| d.state == State::Delivered));
    assert_sound_gateway(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_version_1_is_migrated_by_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    sqlite_1(&path);
    let beside = Settings { access: Access::Operator, ..Settings::owner(&path) };
    let refused = StoreFault::UnknownSchema { found: 1, known: 5 };
    assert_eq!(open(&beside).err(), Some(refused), "an operator's command migrates nothing");
    assert_eq!(version(&path), 1);
    works_on(open(&Settings::owner(&path)).unwrap()).await;
    assert_eq!(version(&path), 5);
    assert!(open(&beside).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_fails_leaves_the_old_version_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    sqlite_1(&path);
    // In the way of its last statements.
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE deliveries_2 (id INTEGER)").unwrap();
    assert!(open(&Settings::owner(&path)).is_err());
    assert_eq!(version(&path), 1);
    conn.execute_batch("DROP TABLE deliveries_2").unwrap();
    drop(conn);
    works_on(open(&Settings::owner(&path)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_version_1_is_restored_as_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    sqlite_1(&at("store.db"));
    let draft = backup::begin(&at("backup.db")).unwrap();
    backup::copy(&at("store.db"), &draft).unwrap();
    draft.keep().unwrap();
    assert_eq!(version(&at("backup.db")), 1);
    let draft = backup::restore(&at("backup.db"), &at("restored.db")).unwrap();
    // As `ecaf store restore` opens it, to look at it before it gets its name.
    let beside = Settings { access: Access::Operator, ..Settings::owner(draft.path()) };
    assert!(open(&beside).unwrap().check().await.unwrap().is_sound());
    draft.keep().unwrap();
    works_on(open(&Settings::owner(at("restored.db"))).unwrap()).await;
    assert_eq!(version(&at("backup.db")), 1, "the backup stays what it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_version_1_is_migrated_by_the_operator() {
    let server = shared();
    let [_, _, _, common, gateway, _] = RELEASED;
    let store = "CREATE TABLE store (sole smallint PRIMARY KEY DEFAULT 1 CHECK (sole = 1),
                 kind text NOT NULL, version integer NOT NULL DEFAULT 0);
                 INSERT INTO store (kind, version) VALUES ('gateway', 1);";
    let rows = ROWS.replace("X'", "'\\x");
    tokio::task::block_in_place(|| {
        server.empty_database("old");
        server.sql(
            "old",
            &format!(
                "SET ROLE {OWNER}; SET search_path = ecaf; {store} {} {} {rows}
                 SELECT setval('row_numbers', 1000)",
                common.0, gateway.0
            ),
        );
    });
    let (owner, serving) = (server.settings("old", OWNER), server.settings("old", GATEWAY));
    let entropy = Arc::new(SystemEntropy::default());
    let refused = PostgresGateway::open(&serving, vault(), entropy).await.err();
    assert_eq!(refused, Some(StoreFault::OldSchema { found: 1, known: 5 }));
    assert_eq!(migrate(&owner, Kind::Gateway).await, Ok(Migrated { from: 1, to: 5 }));
    works_on(open_gateway(&serving, vault()).await).await;
}
