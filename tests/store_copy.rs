//! A store moves between databases: SQLite into PostgreSQL and back, cut short in between, and is the
//! same afterwards, row by row; nobody serves from half a copy.

mod postgres_support;
mod store_support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ecaf::domain::retention::{Erasure, ErasureReason};
use ecaf::effects::SystemEntropy;
use ecaf::store::copy::{
    AUTHORITY as INBOX, GATEWAY as TABLES, NotCopied, Row, Source, Table, Target, copy,
};
use ecaf::store::postgres::{Kind, PostgresCopy};
use ecaf::store::sqlite::{Settings, SqliteAuthority, SqliteCopy, SqliteGateway};
use ecaf::store::*;
use postgres_support::{AUTHORITY, GATEWAY, OWNER, open_authority, open_gateway, shared};
use store_support::*;

/// More than one batch of every kind of row.
const REFERRALS: u64 = 300;
/// Threads that an event began.
const BEGUN: std::ops::Range<u64> = 1_000..1_003;

fn open_sqlite(path: &Path) -> Result<Arc<dyn GatewayStore>, StoreFault> {
    let entropy = Arc::new(SystemEntropy::default());
    Ok(Arc::new(SqliteGateway::open(&Settings::owner(path), vault(), entropy)?))
}

/// Accepted, some delivered, some leased, some in log and feeds.
async fn fill(path: &Path) {
    let settings = Settings::owner(path).or_create();
    let entropy = Arc::new(SystemEntropy::default());
    let store = SqliteGateway::open(&settings, vault(), entropy).unwrap();
    for n in 0..REFERRALS {
        assert_eq!(store.accept(acceptance(n)).await, Ok(AcceptOutcome::Committed));
    }
    for leased in
        store.lease_deliveries(lease_request(at(1_000_000), 40)).await.unwrap().into_iter().take(20)
    {
        let tokens = receipt(&leased, leased.head, at(1_001_000));
        assert_eq!(store.delivered(leased.lease, tokens, at(1_001_000)).await, Ok(Settled::Done));
    }
    // Events with details, one of them erased; transferred, called for, closed.
    for n in 0..40 {
        let id = referral_id(n);
        let head = store.head(id).await.unwrap().unwrap();
        let mut said = proposal(n, "proposed", authority(7), head);
        said.holder = (n % 3 == 0).then(|| authority(7));
        said.case = (n % 4 == 0).then_some(CaseChange::Closed);
        assert_eq!(store.append(said).await, Ok(AppendOutcome::Committed));
    }
    for n in BEGUN {
        assert_eq!(store.append(opening(n, "notice")).await, Ok(AppendOutcome::Committed));
    }
    let erasure = Erasure { at: NOON, why: ErasureReason::Misidentified };
    let gone = store.wrapped_of(referral_id(ERASED)).await.unwrap();
    let gone = gone.into_iter().map(|d| (d.id, d.wrapped)).collect();
    assert_eq!(store.purge(gone, erasure, NOON).await, Ok(2));
    let fence =
        store.acquire("sequencer", "london-1".into(), at(0), 60_000).await.unwrap().unwrap();
    store.sequence(&fence, 500, at(1)).await.unwrap();
    // A stream with a gap, with a token that its reader could not take, and with an event.
    let party = acceptance(0).sender;
    let feed = store.feed(&party, 0, 500).await.unwrap();
    let event = feed.iter().find(|entry| entry.token.token.kind == TokenKind::Event).unwrap();
    let acks = StreamAcks {
        id: StreamId { party, person: "w7".into(), name: StreamName::default() },
        positions: vec![1, 2, 4, 7, event.position],
        taken: vec![1, 2, 7, event.position],
        errors: vec![(4, "invalid_key".parse().unwrap())],
        now: NOON,
    };
    store.acknowledge(acks).await.unwrap();
}

/// The referral of [`fill`] whose documents are erased.
const ERASED: u64 = 5;

/// Every thread, and every detail.
async fn threads(store: &dyn GatewayStore) -> Vec<(Thread, Vec<Document>)> {
    let mut all = Vec::new();
    for n in (0..REFERRALS).chain(BEGUN) {
        let thread = store.thread(referral_id(n)).await.unwrap().unwrap();
        let mut details = Vec::new();
        for detail in thread.events.iter().filter_map(|event| event.detail) {
            let found = store.document(thread.referral_id, detail.sha256).await.unwrap();
            details.push(found.unwrap());
        }
        all.push((thread, details));
    }
    all
}

/// Fails at the so-many-th insertion, as a process that is killed there.
struct CutShort<'a, T: Target> {
    target: &'a T,
    left: AtomicU32,
}

impl<T: Target> Source for CutShort<'_, T> {
    fn rows(&self, t: &'static Table, after: Option<Row>, limit: u32) -> Pending<'_, Vec<Row>> {
        self.target.rows(t, after, limit)
    }

    fn count(&self, t: &'static Table) -> Pending<'_, u64> {
        self.target.count(t)
    }
}

impl<T: Target> Target for CutShort<'_, T> {
    fn last(&self, t: &'static Table) -> Pending<'_, Option<Row>> {
        self.target.last(t)
    }

    fn insert(&self, t: &'static Table, rows: Vec<Row>) -> Pending<'_, ()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Box::pin(async { Err(StoreFault::Unavailable) });
        }
        self.target.insert(t, rows)
    }

    fn finish(&self) -> Pending<'_, ()> {
        self.target.finish()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_store_goes_to_postgresql_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (old, back) = (folder.path().join("old.db"), folder.path().join("back.db"));
    fill(&old).await;
    let server = shared();
    let database = server.database(Kind::Gateway).await;
    let owner = server.settings(&database, OWNER);

    let before = threads(open_sqlite(&old).unwrap().as_ref()).await;
    assert_eq!(before.iter().filter(|(_, details)| !details.is_empty()).count(), 43);
    let source = SqliteCopy::source(&Settings::owner(&old), TABLES).unwrap();
    assert_eq!(open_sqlite(&old).err(), Some(StoreFault::InUse), "written to while it is copied");
    for step in [0, 2, 5, 9] {
        let target = PostgresCopy::target(&owner, TABLES).await.unwrap();
        let cut = CutShort { target: &target, left: AtomicU32::new(step) };
        let ended = copy(TABLES, &source, &cut, |_| {}).await;
        assert_eq!(ended, Err(NotCopied::Target(StoreFault::Unavailable)));
        let half = server.settings(&database, GATEWAY);
        let entropy = Arc::new(SystemEntropy::default());
        let opened = ecaf::store::postgres::PostgresGateway::open(&half, vault(), entropy).await;
        assert_eq!(opened.err(), Some(StoreFault::NotAStore), "half a copy is served from");
    }
    let target = PostgresCopy::target(&owner, TABLES).await.unwrap();
    let mut steps = Vec::new();
    let there = copy(TABLES, &source, &target, |at| steps.push(at.rows)).await.unwrap();
    assert!(there.kept > 0 && there.rows > REFERRALS * 6 && steps.len() > TABLES.len());
    drop((source, target));

    // It is a store: everything is there, and work goes on with row numbers behind those copied.
    let store = open_gateway(&server.settings(&database, GATEWAY), vault()).await;
    assert!(store.check().await.unwrap().is_sound());
    assert_eq!(threads(store.as_ref()).await, before);
    for n in 0..REFERRALS {
        let Ok(AcceptOutcome::Already(_)) = store.accept(acceptance(n)).await else {
            panic!("referral {n} is lost");
        };
    }
    assert_eq!(store.accept(acceptance(REFERRALS)).await, Ok(AcceptOutcome::Committed));
    let more = event(0, "opened", before[0].0.head);
    assert_eq!(store.append(more.clone()).await, Ok(AppendOutcome::Committed));
    drop(store);

    // A store in use is never the target of a copy, and half a store never its source.
    assert_eq!(PostgresCopy::target(&owner, TABLES).await.err(), Some(StoreFault::NotAStore));
    let source = PostgresCopy::source(&owner, TABLES).await.unwrap();
    let target = SqliteCopy::target(&Settings::owner(&back), TABLES).unwrap();
    let again = copy(TABLES, &source, &target, |_| {}).await.unwrap();
    assert!(again.rows > there.rows);
    drop((source, target));
    let store = open_sqlite(&back).unwrap();
    assert!(store.check().await.unwrap().is_sound());
    let after = threads(store.as_ref()).await;
    assert_eq!(after[1..], before[1..]);
    assert_eq!(after[0].0.head, head_after(&more));
    for n in (0..=REFERRALS).filter(|n| *n != ERASED) {
        let a = acceptance(n);
        let found = store.document(a.referral_id, a.payload_sha256).await.unwrap();
        assert_eq!(found, Some(Document::Kept(a.document.clone())));
    }
    drop(store);
    let finished = SqliteCopy::target(&Settings::owner(&back), TABLES).err();
    assert_eq!(finished, Some(StoreFault::NotAStore));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_goes_to_postgresql() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("inbox.db");
    let store = SqliteAuthority::open(&Settings::owner(&old).or_create(), vault()).unwrap();
    for n in 0..REFERRALS {
        let reference = store.next_reference("NEW".into(), 2026).await.unwrap();
        assert_eq!(store.receive(dispatch(n, &reference)).await, Ok(ReceiveOutcome::Stored));
    }
    drop(store);
    let server = shared();
    let database = server.database(Kind::Authority).await;
    let source = SqliteCopy::source(&Settings::owner(&old), INBOX).unwrap();
    let owner = server.settings(&database, OWNER);
    let target = PostgresCopy::target(&owner, INBOX).await.unwrap();
    copy(INBOX, &source, &target, |_| {}).await.unwrap();
    let store = open_authority(&server.settings(&database, AUTHORITY), vault()).await;
    assert!(store.check().await.unwrap().is_sound());
    assert_eq!(store.received_count().await, Ok(REFERRALS));
    // Numbers go on where they were.
    let next = store.next_reference("NEW".into(), 2026).await.unwrap();
    assert_eq!(next, format!("NEW-2026-{:06}", REFERRALS + 1));
}

/// What stood in the new store before is found out by the comparison.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_differ_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.db"), folder.path().join("two.db"));
    fill(&one).await;
    let source = SqliteCopy::source(&Settings::owner(&one), TABLES).unwrap();
    let target = SqliteCopy::target(&Settings::owner(&two), TABLES).unwrap();
    let cut = CutShort { target: &target, left: AtomicU32::new(4) };
    copy(TABLES, &source, &cut, |_| {}).await.unwrap_err();
    drop(target);
    let conn = rusqlite::Connection::open(&two).unwrap();
    conn.execute("UPDATE documents SET body = x'00' WHERE id = 1", []).unwrap();
    drop(conn);
    let target = SqliteCopy::target(&Settings::owner(&two), TABLES).unwrap();
    let ended = copy(TABLES, &source, &target, |_| {}).await;
    assert_eq!(ended, Err(NotCopied::Differs("documents")));
    drop(target);
    assert_eq!(open_sqlite(&two).err(), Some(StoreFault::NotAStore));
}
