//! The contract of keys, holds and erasure (`RetentionStore`), as tests: every implementation runs every
//! case. Their order in an erasure, and what a crash in it means, is in `store_sealing.rs`.

mod postgres_support;
mod store_support;

use std::sync::Arc;

use ecaf::domain::retention::{Erasure, ErasureReason, KeptBecause, Period};
use ecaf::effects::SystemEntropy;
use ecaf::store::postgres::{Kind, PostgresAuthority, PostgresGateway};
use ecaf::store::sqlite::{Settings, SqliteAuthority, SqliteGateway};
use ecaf::store::*;
use store_support::*;

/// A gateway's store with both of its contracts.
trait Gateway: GatewayStore + RetentionStore {}
impl<T: GatewayStore + RetentionStore> Gateway for T {}
/// An authority's.
trait Authority: AuthorityStore + RetentionStore {}
impl<T: AuthorityStore + RetentionStore> Authority for T {}

/// Runs each case on a fresh store of one implementation and re-checks every invariant afterwards.
macro_rules! run_against {
    ($module:ident, $open:path: $($case:ident),* $(,)?) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                let store = $open(folder.path()).await;
                super::$case(store.clone()).await;
                let report = store.check().await.unwrap();
                assert!(report.is_sound(), "{:#?}", report.problems);
            })*
        }
    };
}

macro_rules! gateway_cases {
    ($($module:ident: $open:path;)*) => {$(
        run_against!($module, $open:
            documents_are_found_under_their_key,
            a_key_is_replaced_only_where_it_still_stands,
            a_purged_document_is_erased_and_nothing_else_is,
            what_decides_about_an_erasure_is_told,
            holds_are_kept_until_released,
        );
    )*};
}

macro_rules! authority_cases {
    ($($module:ident: $open:path;)*) => {$(
        run_against!($module, $open: an_inbox_follows_the_same_contract);
    )*};
}

gateway_cases!(
    gateway_sqlite: super::sqlite_gateway;
    gateway_postgres: super::postgres_gateway;
);
authority_cases!(
    authority_sqlite: super::sqlite_authority;
    authority_postgres: super::postgres_authority;
);

async fn sqlite_gateway(folder: &std::path::Path) -> Arc<dyn Gateway> {
    let settings = Settings::owner(folder.join("gateway.db")).or_create();
    let entropy = Arc::new(SystemEntropy::default());
    Arc::new(SqliteGateway::open(&settings, vault(), entropy).unwrap())
}

async fn sqlite_authority(folder: &std::path::Path) -> Arc<dyn Authority> {
    let settings = Settings::owner(folder.join("authority.db")).or_create();
    Arc::new(SqliteAuthority::open(&settings, vault()).unwrap())
}

async fn postgres_gateway(_: &std::path::Path) -> Arc<dyn Gateway> {
    let server = postgres_support::shared();
    let name = server.database(Kind::Gateway).await;
    let settings = server.settings(&name, postgres_support::GATEWAY);
    let entropy = Arc::new(SystemEntropy::default());
    Arc::new(PostgresGateway::open(&settings, vault(), entropy).await.unwrap())
}

async fn postgres_authority(_: &std::path::Path) -> Arc<dyn Authority> {
    let server = postgres_support::shared();
    let name = server.database(Kind::Authority).await;
    let settings = server.settings(&name, postgres_support::AUTHORITY);
    Arc::new(PostgresAuthority::open(&settings, vault()).await.unwrap())
}

const ERASED: Erasure = Erasure { at: NOON, why: ErasureReason::Retention };

async fn commit(store: &Arc<dyn Gateway>, n: u64) -> Acceptance {
    let a = acceptance(n);
    assert_eq!(store.accept(a.clone()).await, Ok(AcceptOutcome::Committed));
    a
}

async fn one(store: &Arc<dyn Gateway>, a: &Acceptance) -> WrappedDocument {
    let mut found = store.wrapped_of(a.referral_id).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

async fn read(store: &Arc<dyn Gateway>, a: &Acceptance) -> Document {
    store.document(a.referral_id, a.payload_sha256).await.unwrap().unwrap()
}

async fn documents_are_found_under_their_key(store: Arc<dyn Gateway>) {
    assert_eq!(store.keys_in_use().await, Ok(vec![]));
    assert_eq!(store.keys().await, Ok(vec![]));
    let mut all = Vec::new();
    for n in 0..5 {
        all.push(commit(&store, n).await);
    }
    let used = store.keys_in_use().await.unwrap();
    assert_eq!(used.iter().map(|used| used.documents).collect::<Vec<_>>(), [5]);
    let key = used[0].key_id;
    assert_eq!(store.keys().await, Ok(vec![key]));
    assert_eq!(vault().ring().current(Period::of(NOON)).map(|key| key.id), Some(key));
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = store.wrapped_under(key, after, 2).await.unwrap();
        assert!(page.len() <= 2 && page.iter().all(|d| d.key_id == key));
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page);
    }
    let places: Vec<_> = found.iter().map(|d| (d.place.referral_id, d.place.sha256)).collect();
    let expected: Vec<_> = all.iter().map(|a| (a.referral_id, a.payload_sha256)).collect();
    assert_eq!(places, expected);
    assert!(found.iter().zip(&all).all(|(d, a)| d.accepted_at == a.recorded_at));
    let none = ecaf::store::sealing::KeyId::from_bytes([0; 8]);
    assert_eq!(store.wrapped_under(none, None, 9).await, Ok(vec![]));
    assert_eq!(store.wrapped_of(referral_id(99)).await, Ok(vec![]));
}

async fn a_key_is_replaced_only_where_it_still_stands(store: Arc<dyn Gateway>) {
    let (a, b) = (commit(&store, 0).await, commit(&store, 1).await);
    let (first, second) = (one(&store, &a).await, one(&store, &b).await);
    let vault = vault();
    let next = Period::of(NOON).next();
    let wrap = |d: &WrappedDocument| {
        let (to, wrapped) = vault.rewrap(&d.place, d.key_id, &d.wrapped, next).unwrap();
        Rewrap { id: d.id, from: d.wrapped.clone(), to, wrapped }
    };
    let (to_first, to_second) = (wrap(&first), wrap(&second));
    // Made from another document's key: nothing may happen to this one.
    let stale = Rewrap { from: second.wrapped.clone(), ..to_first.clone() };
    assert_eq!(store.rewrap(vec![stale, to_second]).await, Ok(1));
    assert_eq!(one(&store, &a).await, first);
    let mut both = vec![first.key_id, to_first.to];
    both.sort();
    assert_eq!(store.keys().await, Ok(both));
    assert_eq!(store.rewrap(vec![to_first.clone()]).await, Ok(1));
    assert_eq!(store.rewrap(vec![to_first.clone()]).await, Ok(0), "it was done before");
    assert_eq!(store.rewrap(vec![]).await, Ok(0));
    let used = store.keys_in_use().await.unwrap();
    assert_eq!((used.len(), used[0].key_id, used[0].documents), (1, to_first.to, 2));
    for a in [&a, &b] {
        assert_eq!(read(&store, a).await.kept(), Some(&a.document));
    }
}

async fn a_purged_document_is_erased_and_nothing_else_is(store: Arc<dyn Gateway>) {
    let (a, b) = (commit(&store, 0).await, commit(&store, 1).await);
    let (gone, kept) = (one(&store, &a).await, one(&store, &b).await);
    // One that is being delivered: its worker comes too late.
    let leased = store.lease_deliveries(lease_request(at(100), 9)).await.unwrap();
    let late = leased.iter().find(|d| d.referral_id == a.referral_id).unwrap();
    let wrong = vec![(gone.id, kept.wrapped.clone())];
    assert_eq!(store.purge(wrong, ERASED, at(200)).await, Ok(0));
    let right = vec![(gone.id, gone.wrapped.clone())];
    assert_eq!(store.purge(right.clone(), ERASED, at(200)).await, Ok(1));
    assert_eq!(store.purge(right, ERASED, at(300)).await, Ok(0), "it was done before");
    assert_eq!(read(&store, &a).await, Document::Erased(ERASED));
    assert_eq!(read(&store, &b).await.kept(), Some(&b.document));
    assert_eq!(store.wrapped_of(a.referral_id).await, Ok(vec![]));
    let tokens = receipt(late, late.head, at(250));
    assert_eq!(store.delivered(late.lease, tokens, at(250)).await, Ok(Settled::LeaseLost));
    let timeline = store.timeline(a.referral_id).await.unwrap().unwrap();
    assert_eq!(timeline.versions[0].erased, Some(ERASED));
    let row = &timeline.deliveries[0];
    assert_eq!((row.state.as_str(), row.reason.as_deref()), ("undeliverable", Some("erased")));
    let given_up = store.counts(at(300)).await.unwrap().undeliverable;
    assert_eq!(given_up, 0, "there is nothing that a person could do about it");
    assert_eq!(store.replay(DeliverySelector::All, at(400)).await, Ok(0));
    // What it was stays: the same submission gets its receipt.
    let seen = store.look_up(&a.sender, a.referral_id, 1).await.unwrap();
    assert!(matches!(seen, Seen::Stored(s) if s.accepted == a.accepted.token.jws));
    let report = GatewayStore::check(store.as_ref()).await.unwrap();
    assert_eq!((report.documents, report.erased), (1, 1));
}

async fn what_decides_about_an_erasure_is_told(store: Arc<dyn Gateway>) {
    let a = commit(&store, 0).await;
    let facts = one(&store, &a).await.facts;
    assert_eq!((facts.unsettled, facts.holds, facts.closed_at), (1, 0, None));
    assert_eq!(facts.newest_version_at, Some(a.recorded_at));
    assert_eq!(facts.may_be_erased(), Err(KeptBecause::Unsettled));
    let d = store.lease_deliveries(lease_request(at(100), 1)).await.unwrap().remove(0);
    store.delivered(d.lease, receipt(&d, d.head, at(200)), at(200)).await.unwrap();
    assert_eq!(one(&store, &a).await.facts.may_be_erased(), Err(KeptBecause::Open));
    assert_eq!(store.close(a.referral_id, at(300)).await, Ok(true));
    assert_eq!(one(&store, &a).await.facts.may_be_erased(), Ok(()));
    assert_eq!(store.close(referral_id(99), at(300)).await, Ok(false));
    // A version after the closure opens the case again, until it is closed once more.
    let head = store.head(a.referral_id).await.unwrap().unwrap();
    let mut next = next_version(0, 2, &a, head);
    next.deliveries.clear();
    next.recorded_at = at(400);
    assert_eq!(store.accept(next).await, Ok(AcceptOutcome::Committed));
    let both = store.wrapped_of(a.referral_id).await.unwrap();
    assert_eq!(both.iter().map(|d| d.place.version).collect::<Vec<_>>(), [1, 2]);
    assert!(both.iter().all(|d| d.facts.may_be_erased() == Err(KeptBecause::Open)));
    assert_eq!(store.close(a.referral_id, at(500)).await, Ok(true));
    let both = store.wrapped_of(a.referral_id).await.unwrap();
    assert!(both.iter().all(|d| d.facts.may_be_erased() == Ok(())));
}

async fn holds_are_kept_until_released(store: Arc<dyn Gateway>) {
    let a = commit(&store, 0).await;
    let hold = |n, code: &str, ms| Hold {
        referral_id: referral_id(n),
        code: code.into(),
        placed_at: at(ms),
    };
    assert_eq!(store.hold(hold(99, "court-1", 1)).await, Ok(false), "no such referral");
    for bad in ["", "Mrs Smith", "a_b", &"x".repeat(41)] {
        assert_eq!(store.hold(hold(0, bad, 1)).await, Err(StoreFault::Misuse), "{bad}");
    }
    assert_eq!(store.hold(hold(0, "court-2", 2)).await, Ok(true));
    assert_eq!(store.hold(hold(0, "court-1", 3)).await, Ok(true));
    assert_eq!(store.hold(hold(0, "court-1", 9)).await, Ok(true), "placed before");
    assert_eq!(store.holds().await, Ok(vec![hold(0, "court-1", 3), hold(0, "court-2", 2)]));
    assert_eq!(one(&store, &a).await.facts.holds, 2);
    assert_eq!(store.release_hold(a.referral_id, "court-2".into()).await, Ok(true));
    assert_eq!(store.release_hold(a.referral_id, "court-2".into()).await, Ok(true), "done before");
    assert_eq!(store.release_hold(referral_id(99), "court-2".into()).await, Ok(false));
    assert_eq!(one(&store, &a).await.facts.holds, 1);
}

async fn an_inbox_follows_the_same_contract(store: Arc<dyn Authority>) {
    for n in 0..3 {
        store.receive(dispatch(n, &format!("NEW-2026-{n:06}"))).await.unwrap();
    }
    let used = store.keys_in_use().await.unwrap();
    assert_eq!((used.len(), used[0].documents), (1, 3));
    let page = store.wrapped_under(used[0].key_id, None, 9).await.unwrap();
    assert_eq!(page.len(), 3);
    assert!(page.iter().all(|d| d.facts.unsettled == 0 && d.place.purpose == "accountable"));
    let vault = vault();
    let d = &page[0];
    let next = Period::of(NOON).next();
    let (to, wrapped) = vault.rewrap(&d.place, d.key_id, &d.wrapped, next).unwrap();
    let change = Rewrap { id: d.id, from: d.wrapped.clone(), to, wrapped };
    assert_eq!(store.rewrap(vec![change.clone()]).await, Ok(1));
    assert_eq!(store.rewrap(vec![change]).await, Ok(0));
    let gone = &page[1];
    let which = vec![(gone.id, gone.wrapped.clone())];
    assert_eq!(store.purge(which, ERASED, at(100)).await, Ok(1));
    assert_eq!(store.close(gone.place.referral_id, at(100)).await, Ok(true));
    assert_eq!(store.close(referral_id(99), at(100)).await, Ok(false));
    let entries = store.inbox(InboxFilter::default()).await.unwrap();
    assert_eq!(entries.iter().filter(|e| e.erased == Some(ERASED)).count(), 1);
    for entry in entries {
        let item = store.item(entry.entry).await.unwrap().unwrap();
        assert_eq!(item.document.kept().is_none(), entry.erased.is_some());
        assert_eq!(item.entry, entry);
    }
    let again = store.receive(dispatch(1, "NEW-2026-000009")).await.unwrap();
    assert!(matches!(again, ReceiveOutcome::Already(_)));
}
