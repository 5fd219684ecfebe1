//! Key ring, rotation, erasure, backup and restore over real stores and a real ring file, stopped between
//! any two steps.

mod store_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ecaf::domain::ids::ReferralId;
use ecaf::domain::retention::{ErasureReason, KeptBecause, Period};
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::effects::SystemEntropy;
use ecaf::store::sealing::{
    EraseFault, Eraser, Keks, KeyRing, KeyWrapper, LocalKek, RingFault, RingFile, RingFileFault,
    Vault, upkeep,
};
use ecaf::store::sqlite::{Access, Settings, SqliteAuthority, SqliteGateway, backup};
use ecaf::store::*;
use store_support::*;
use tempfile::TempDir;

/// When periods of the tests' referrals are due: fourteen months later.
const LATER: Timestamp = NOON.plus(430 * DAY);

/// A ring in a file with its KEK, and a place for stores.
struct Keyed {
    folder: TempDir,
    file: RingFile,
    kek: Arc<dyn KeyWrapper>,
    keks: Keks,
}

fn kek() -> Arc<dyn KeyWrapper> {
    let text = LocalKek::generate(&SystemEntropy::default()).unwrap();
    Arc::new(LocalKek::parse(&text, Box::new(SystemEntropy::default())).unwrap())
}

impl Keyed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = RingFile::at(folder.path().join("ring"));
        let kek = kek();
        let until = Period::of(LATER).plus_months(2);
        let ring = KeyRing::create(kek.as_ref(), NOON, until, &SystemEntropy::default()).unwrap();
        file.create(&ring, kek.as_ref()).unwrap();
        let keks = Keks::new(Arc::clone(&kek), None);
        Self { folder, file, kek, keks }
    }

    fn vault(&self) -> Arc<Vault> {
        let entropy = Arc::new(SystemEntropy::default());
        Arc::new(Vault::open(self.file.clone(), self.keks.clone(), entropy).unwrap())
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("gateway.db")
    }

    fn gateway(&self, vault: &Arc<Vault>) -> Arc<SqliteGateway> {
        let settings = Settings::owner(self.store()).or_create();
        let entropy = Arc::new(SystemEntropy::default());
        Arc::new(SqliteGateway::open(&settings, Arc::clone(vault), entropy).unwrap())
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut KeyRing, &dyn KeyWrapper) -> Result<T, RingFault>,
    ) -> T {
        let lock = self.file.lock().unwrap();
        self.file.change(&lock, &self.keks, NOON, change).unwrap()
    }

    fn rotate(&self, period: Period) {
        self.change(|ring, kek| ring.rotate(kek, period, NOON, &SystemEntropy::default()));
    }
}

/// Runs `$body` with an `Eraser` named `$eraser` that holds the lock.
macro_rules! erasing {
    ($keyed:expr, $store:expr, $vault:expr, |$eraser:ident| $body:expr) => {{
        let lock = $keyed.file.lock().unwrap();
        let $eraser = Eraser {
            store: $store.as_ref(),
            vault: &$vault,
            file: &$keyed.file,
            keks: &$keyed.keks,
            lock: &lock,
        };
        $body
    }};
}

fn period() -> Period {
    Period::of(NOON)
}

async fn commit(store: &dyn GatewayStore, n: u64) -> Acceptance {
    let a = acceptance(n);
    assert_eq!(store.accept(a.clone()).await, Ok(AcceptOutcome::Committed));
    a
}

async fn deliver_all(store: &dyn GatewayStore) {
    for d in store.lease_deliveries(lease_request(at(60_000), 100)).await.unwrap() {
        let settled = store.delivered(d.lease, receipt(&d, d.head, at(61_000)), at(61_000)).await;
        assert_eq!(settled, Ok(Settled::Done));
    }
}

async fn read(store: &dyn GatewayStore, a: &Acceptance) -> Document {
    store.document(a.referral_id, a.payload_sha256).await.unwrap().unwrap()
}

#[track_caller]
fn assert_erased(document: &Document, why: ErasureReason) {
    match document {
        Document::Erased(erasure) => assert_eq!(erasure.why, why),
        Document::Kept(_) => panic!("still readable"),
    }
}

async fn assert_kept(store: &dyn GatewayStore, a: &Acceptance) {
    assert_eq!(read(store, a).await.kept(), Some(&a.document));
}

/// Five referrals: erasable, open, held, not delivered, reopened by a second version.
async fn five(store: &SqliteGateway) -> Vec<Acceptance> {
    let mut all = Vec::new();
    for n in 0..3 {
        all.push(commit(store, n).await);
    }
    let mut reopened = commit(store, 4).await;
    deliver_all(store).await;
    all.push(commit(store, 3).await);
    for n in [0, 2, 3, 4] {
        assert_eq!(store.close(referral_id(n), at(100_000)).await, Ok(true));
    }
    let code = "court-17".to_owned();
    let hold = Hold { referral_id: referral_id(2), code, placed_at: at(100_000) };
    assert_eq!(store.hold(hold).await, Ok(true));
    let head = store.head(referral_id(4)).await.unwrap().unwrap();
    let mut second = next_version(4, 2, &reopened, head);
    second.deliveries.clear();
    second.recorded_at = at(200_000);
    assert_eq!(store.accept(second.clone()).await, Ok(AcceptOutcome::Committed));
    reopened.version = 1;
    all.push(reopened);
    all.push(second);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_is_erased_and_what_must_stay_is_carried_forward() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    let all = five(&store).await;
    let plan = erasing!(keyed, store, vault, |eraser| eraser.plan(period()).await.unwrap());
    assert_eq!(plan.erase, 1);
    let mut reasons: Vec<_> =
        plan.forward.iter().map(|(place, why)| (place.referral_id, place.version, *why)).collect();
    reasons.sort();
    let mut expected = vec![
        (referral_id(1), 1, KeptBecause::Open),
        (referral_id(2), 1, KeptBecause::Held),
        (referral_id(3), 1, KeptBecause::Unsettled),
        (referral_id(4), 1, KeptBecause::Open),
        (referral_id(4), 2, KeptBecause::Open),
    ];
    expected.sort();
    assert_eq!(reasons, expected);
    for a in &all {
        assert_kept(store.as_ref(), a).await;
    }
    let erased = erasing!(keyed, store, vault, |eraser| {
        eraser.erase_period(period(), LATER, |_| {}).await.unwrap()
    });
    assert_eq!((erased.forwarded, erased.keys, erased.purged), (5, 1, 1));
    assert_erased(&read(store.as_ref(), &all[0]).await, ErasureReason::Retention);
    for a in &all[1..] {
        assert_kept(store.as_ref(), a).await;
    }
    // The erased one is still what it was: receipt, proof, timeline.
    let seen = store.look_up(&all[0].sender, all[0].referral_id, 1).await.unwrap();
    let Seen::Stored(stored) = seen else { panic!("{seen:?}") };
    assert_eq!(stored.accepted, all[0].accepted.token.jws);
    let again = Acceptance { recorded_at: LATER, ..all[0].clone() };
    let again = store.accept(again).await.unwrap();
    assert!(matches!(again, AcceptOutcome::Already(s) if s == stored));
    let other = digest("other");
    let other = Acceptance { payload_sha256: other, recorded_at: LATER, ..all[0].clone() };
    assert!(matches!(store.accept(other).await.unwrap(), AcceptOutcome::OtherBytes(_)));
    let timeline = store.timeline(all[0].referral_id).await.unwrap().unwrap();
    assert_eq!(timeline.versions[0].erased.map(|e| e.why), Some(ErasureReason::Retention));
    assert_eq!(timeline.tokens.len(), 5);
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.documents, report.erased), (5, 1));
    // Once more finds nothing to do.
    let again = erasing!(keyed, store, vault, |eraser| {
        eraser.erase_period(period(), LATER, |_| {}).await.unwrap()
    });
    assert_eq!((again.forwarded, again.keys, again.purged), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_stopped_between_any_two_steps_is_finished_by_the_next() {
    for stop_after in 0..4 {
        let keyed = Keyed::new();
        let all;
        {
            let vault = keyed.vault();
            let store = keyed.gateway(&vault);
            all = five(&store).await;
            erasing!(keyed, store, vault, |eraser| {
                if stop_after > 0 {
                    eraser.forward(period(), LATER, &mut |_| {}).await.unwrap();
                }
                if stop_after > 1 {
                    assert_eq!(eraser.destroy(period(), LATER).unwrap(), 1);
                }
                if stop_after > 2 {
                    eraser.purge_destroyed(period(), LATER, &mut |_| {}).await.unwrap();
                }
            });
            // Nothing is half erased: readable until the key is gone, never afterwards.
            match stop_after {
                0 | 1 => assert_kept(store.as_ref(), &all[0]).await,
                _ => assert_erased(&read(store.as_ref(), &all[0]).await, ErasureReason::Retention),
            }
        }
        let vault = keyed.vault();
        let store = keyed.gateway(&vault);
        if stop_after >= 2 {
            // The serving process finishes what only deletes.
            upkeep::run(store.as_ref(), &vault, LATER, |_| {}).await.unwrap();
        } else {
            erasing!(keyed, store, vault, |eraser| {
                eraser.erase_period(period(), LATER, |_| {}).await.unwrap()
            });
        }
        assert_erased(&read(store.as_ref(), &all[0]).await, ErasureReason::Retention);
        for a in &all[1..] {
            assert_kept(store.as_ref(), a).await;
        }
        let report = store.check().await.unwrap();
        assert!(report.is_sound(), "{stop_after}: {:?}", report.problems);
        assert_eq!((report.documents, report.erased), (5, 1), "{stop_after}");
        let left: u64 = store.keys_in_use().await.unwrap().iter().map(|k| k.documents).sum();
        assert_eq!(left, 5, "{stop_after}: the ciphertext is deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_forward_stops_the_erasure() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    let a = commit(store.as_ref(), 0).await;
    let raw = rusqlite::Connection::open(keyed.store()).unwrap();
    raw.execute("UPDATE documents SET wrapped = zeroblob(60)", []).unwrap();
    drop(raw);
    let refused = erasing!(keyed, store, vault, |eraser| {
        eraser.erase_period(period(), LATER, |_| {}).await
    });
    assert_eq!(refused, Err(EraseFault::Unmovable(1)));
    assert!(keyed.file.load(&keyed.keks).unwrap().current(period()).is_some());
    assert_eq!(store.document(a.referral_id, a.payload_sha256).await, Err(StoreFault::Corrupt));
    let early = erasing!(keyed, store, vault, |eraser| {
        eraser.erase_period(period(), NOON, |_| {}).await
    });
    assert_eq!(early, Err(EraseFault::NotEnded(period())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misidentified_referral_is_suppressed_at_once_and_stays_so() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    let (wrong, right) = (commit(store.as_ref(), 0).await, commit(store.as_ref(), 1).await);
    // Kept as an old backup would keep it.
    let old = keyed.folder.path().join("old.db");
    let draft = backup::begin(&old).unwrap();
    backup::copy(&keyed.store(), &draft).unwrap();
    draft.keep().unwrap();
    let count = erasing!(keyed, store, vault, |eraser| {
        eraser.erase_referral(wrong.referral_id, ErasureReason::Misidentified, at(9)).await.unwrap()
    });
    assert_eq!(count, 1);
    assert_erased(&read(store.as_ref(), &wrong).await, ErasureReason::Misidentified);
    assert_kept(store.as_ref(), &right).await;
    // Its delivery is ended for good; the other one goes on.
    let leased = store.lease_deliveries(lease_request(at(60_000), 9)).await.unwrap();
    assert_eq!(leased.iter().map(|d| d.referral_id).collect::<Vec<_>>(), [right.referral_id]);
    let row = &store.timeline(wrong.referral_id).await.unwrap().unwrap().deliveries[0];
    assert_eq!(row.reason.as_deref(), Some("erased"));
    assert_eq!(store.replay(DeliverySelector::All, at(70_000)).await, Ok(0));
    assert!(store.check().await.unwrap().is_sound());
    drop(store);
    // The old copy does not bring it back: refused at once, deleted by the upkeep.
    for file in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{file}", keyed.store().display()));
    }
    let draft = backup::restore(&old, &keyed.store()).unwrap();
    draft.keep().unwrap();
    let store = keyed.gateway(&vault);
    assert_erased(&read(store.as_ref(), &wrong).await, ErasureReason::Misidentified);
    assert!(store.lease_deliveries(lease_request(at(60_000), 9)).await.unwrap().len() < 2);
    let done = upkeep::run(store.as_ref(), &vault, at(80_000), |_| {}).await.unwrap();
    assert_eq!(done.purged, 1);
    assert_eq!(store.wrapped_of(wrong.referral_id).await, Ok(vec![]));
    assert_kept(store.as_ref(), &right).await;
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_move_to_a_new_key_and_the_old_one_is_retired() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    let mut all = Vec::new();
    for n in 0..300 {
        all.push(commit(store.as_ref(), n).await);
    }
    let old = keyed.file.load(&keyed.keks).unwrap().current(period()).unwrap().id;
    keyed.rotate(period());
    vault.refresh().unwrap();
    all.push(commit(store.as_ref(), 300).await);
    let lock = keyed.file.lock().unwrap();
    let in_use = |ring: &mut KeyRing, _: &dyn KeyWrapper| {
        let current = ring.current(period()).unwrap().id;
        ring.retire(current, NOON)
    };
    let refused = keyed.file.change(&lock, &keyed.keks, NOON, in_use);
    assert!(matches!(refused, Err(RingFileFault::Refused(RingFault::InUse(_)))), "{refused:?}");
    let too_soon = |ring: &mut KeyRing, _: &dyn KeyWrapper| ring.retire(old, at(1_000));
    let refused = keyed.file.change(&lock, &keyed.keks, NOON, too_soon);
    assert!(matches!(refused, Err(RingFileFault::Refused(RingFault::TooSoon(_)))), "{refused:?}");
    drop(lock);
    // A reader meanwhile never sees a document that does not open.
    let reading = {
        let (store, all) = (Arc::clone(&store), all.clone());
        tokio::spawn(async move {
            for a in &all {
                assert_kept(store.as_ref(), a).await;
            }
        })
    };
    let done = upkeep::run(store.as_ref(), &vault, NOON, |_| {}).await.unwrap();
    assert_eq!((done.rewrapped, done.waiting, done.unknown), (300, 0, 0));
    reading.await.unwrap();
    let used = store.keys_in_use().await.unwrap();
    assert_eq!((used.len(), used[0].documents), (1, 301));
    assert_ne!(used[0].key_id, old);
    keyed.change(|ring, _| ring.retire(old, NOON.plus(DAY)));
    vault.refresh().unwrap();
    for a in &all {
        assert_kept(store.as_ref(), a).await;
    }
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_upkeeps_at_once_lose_nothing() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    for n in 0..200 {
        commit(store.as_ref(), n).await;
    }
    keyed.rotate(period());
    vault.refresh().unwrap();
    let run = || upkeep::run(store.as_ref(), &vault, NOON, |_| {});
    let (one, two) = tokio::join!(run(), run());
    assert_eq!(one.unwrap().rewrapped + two.unwrap().rewrapped, 200);
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.documents, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_older_ring_stops_accepting_and_reading_goes_on() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    let first = commit(store.as_ref(), 0).await;
    let older = fs::read(keyed.file.path()).unwrap();
    keyed.rotate(period());
    vault.refresh().unwrap();
    let newer = fs::read(keyed.file.path()).unwrap();
    let refused = |fault: RingFileFault| {
        assert_eq!(vault.refresh(), Err(fault));
    };
    fs::remove_file(keyed.file.path()).unwrap();
    refused(RingFileFault::Io(std::io::ErrorKind::NotFound));
    assert_eq!(store.accept(acceptance(1)).await, Err(StoreFault::RingLost));
    assert_kept(store.as_ref(), &first).await;
    let write = |bytes: &[u8]| {
        fs::write(keyed.file.path(), bytes).unwrap();
        fs::set_permissions(keyed.file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(&older);
    refused(RingFileFault::Older);
    assert_eq!(store.accept(acceptance(1)).await, Err(StoreFault::RingLost));
    write(&newer);
    assert_eq!(vault.refresh(), Ok(()));
    commit(store.as_ref(), 1).await;
    // A month without a key: nothing of it is accepted.
    let late = Acceptance { recorded_at: LATER.plus(400 * DAY), ..acceptance(2) };
    assert_eq!(store.accept(late).await, Err(StoreFault::NoPeriodKey));
    assert!(vault.ring().runs_out(NOON) > LATER);
}

#[test]
fn a_ring_is_its_owners_alone_and_every_bit_of_it_counts() {
    let keyed = Keyed::new();
    let mode = fs::metadata(keyed.file.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let ring = keyed.file.load(&keyed.keks).unwrap();
    let kek = keyed.keks.find(ring.kek()).unwrap();
    assert_eq!(
        keyed.file.create(&ring, kek),
        Err(RingFileFault::Io(std::io::ErrorKind::AlreadyExists))
    );
    for loose in [0o640, 0o604, 0o660] {
        fs::set_permissions(keyed.file.path(), fs::Permissions::from_mode(loose)).unwrap();
        assert_eq!(keyed.file.load(&keyed.keks), Err(RingFileFault::Readable));
    }
    fs::set_permissions(keyed.file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    // What a change that was cut short left beside it goes with the next one.
    let left = keyed.file.path().with_file_name(".ring.4711.part");
    fs::write(&left, "keys").unwrap();
    keyed.rotate(period());
    assert!(!left.exists());
    let ring = keyed.file.load(&keyed.keks).unwrap();
    let other = Keks::new(self::kek(), None);
    let refused = keyed.file.load(&other).unwrap_err();
    let (wanted, given) = (ring.kek().to_owned(), other.ids());
    assert_eq!(refused, RingFileFault::WrongKek { wanted: wanted.clone(), given: given.clone() });
    assert!(refused.to_string().contains(&wanted) && refused.to_string().contains(&given));
    let bytes = fs::read(keyed.file.path()).unwrap();
    let read = |bytes: &[u8]| ecaf::store::sealing::from_bytes(bytes, &keyed.keks);
    assert_eq!(read(&bytes).unwrap(), ring);
    for place in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[place] ^= 1;
        assert!(read(&altered).is_err(), "byte {place}");
    }
    for length in [0, 1, bytes.len() / 2, bytes.len() - 2] {
        assert!(read(&bytes[..length]).is_err(), "{length} bytes");
    }
    // One line of another ring, both genuine.
    let another = Keyed::new();
    let more = fs::read(another.file.path()).unwrap();
    let (body, _) = std::str::from_utf8(&bytes).unwrap().split_once('\n').unwrap();
    let (_, tag) = std::str::from_utf8(&more).unwrap().split_once('\n').unwrap();
    assert!(read(format!("{body}\n{tag}").as_bytes()).is_err());
    let shown = format!("{:?} {:?} {:?}", keyed.vault(), keyed.keks, keyed.file);
    assert!(shown.contains(ring.kek()) && shown.len() < 300, "{shown}");
}

#[test]
fn the_kek_is_rotated_while_the_vault_is_in_use() {
    let keyed = Keyed::new();
    let next = kek();
    let ring = keyed.file.load(&keyed.keks).unwrap();
    let both = Keks::new(Arc::clone(&keyed.kek), Some(Arc::clone(&next)));
    let entropy = Arc::new(SystemEntropy::default());
    let vault = Vault::open(keyed.file.clone(), both.clone(), entropy).unwrap();
    let lock = keyed.file.lock().unwrap();
    assert_eq!(keyed.file.lock().unwrap_err(), RingFileFault::Busy);
    let rotate = |ring: &mut KeyRing, kek: &dyn KeyWrapper| ring.rotate_kek(kek, next.as_ref());
    keyed.file.change(&lock, &both, NOON, rotate).unwrap();
    vault.refresh().unwrap();
    let after = vault.ring();
    assert_eq!(after.kek(), next.id());
    assert_eq!(after.revision(), ring.revision() + 1);
    let ids = |ring: &KeyRing| ring.keys().iter().map(|key| key.id).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&ring));
    // The old KEK opens nothing of it any more.
    let refused = keyed.file.load(&keyed.keks).unwrap_err();
    assert!(matches!(refused, RingFileFault::WrongKek { .. }), "{refused}");
    assert!(keyed.file.load(&Keks::new(next, None)).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authoritys_store_is_erased_like_a_gateways() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let settings = Settings::owner(keyed.folder.path().join("inbox.db")).or_create();
    let store = Arc::new(SqliteAuthority::open(&settings, Arc::clone(&vault)).unwrap());
    for n in 0..3 {
        store.receive(dispatch(n, &format!("NEW-2026-{n:06}"))).await.unwrap();
    }
    assert_eq!(store.close(referral_id(0), at(1_000)).await, Ok(true));
    assert_eq!(store.close(referral_id(99), at(1_000)).await, Ok(false));
    let hold =
        |code: &str| Hold { referral_id: referral_id(0), code: code.into(), placed_at: at(1_000) };
    assert_eq!(store.hold(hold("Mrs Smith")).await, Err(StoreFault::Misuse));
    assert_eq!(store.hold(hold("court-1")).await, Ok(true));
    assert_eq!(store.holds().await, Ok(vec![hold("court-1")]));
    assert_eq!(store.release_hold(referral_id(0), "court-1".into()).await, Ok(true));
    assert_eq!(store.release_hold(referral_id(0), "court-1".into()).await, Ok(true));
    assert_eq!(store.holds().await, Ok(vec![]));
    assert_eq!(store.release_hold(referral_id(99), "court-1".into()).await, Ok(false));
    let erased = erasing!(keyed, store, vault, |eraser| {
        eraser.erase_period(period(), LATER, |_| {}).await.unwrap()
    });
    assert_eq!((erased.forwarded, erased.purged), (2, 1));
    let documents: Vec<_> = [1, 2, 3].map(|entry| store.item(entry)).into_iter().collect();
    let mut kept = 0;
    for item in documents {
        let item = item.await.unwrap().unwrap();
        match (&item.document, item.entry.key.referral_id == referral_id(0)) {
            (Document::Erased(erasure), true) => assert_eq!(erasure.at, LATER),
            (Document::Kept(_), false) => kept += 1,
            (other, _) => panic!("{other:?}"),
        }
        assert_eq!(item.tokens.len(), 4);
    }
    assert_eq!(kept, 2);
    let again = Dispatch { received_at: LATER, ..dispatch(0, "NEW-2026-000009") };
    let again = store.receive(again).await.unwrap();
    assert!(matches!(again, ReceiveOutcome::Already(_)));
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.documents, report.erased), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_snapshot_of_a_store_in_use() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    for n in 0..50 {
        commit(store.as_ref(), n).await;
    }
    let to = keyed.folder.path().join("backup.db");
    let writing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 50..150 {
                commit(store.as_ref(), n).await;
            }
        })
    };
    let from = keyed.store();
    let target = to.clone();
    let copied = tokio::task::spawn_blocking(move || {
        let draft = backup::begin(&target).unwrap();
        assert!(backup::size(&from).unwrap() > 0);
        backup::copy(&from, &draft).unwrap();
        draft.keep().unwrap();
    });
    copied.await.unwrap();
    writing.await.unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        matches!(backup::begin(&to), Err(backup_fault) if backup_fault.to_string().contains("already"))
    );
    assert!(backup::restore(&to, &keyed.store()).is_err(), "never over a store");
    let elsewhere = keyed.folder.path().join("restored.db");
    backup::restore(&to, &elsewhere).unwrap().keep().unwrap();
    let settings = Settings { access: Access::Operator, ..Settings::owner(&elsewhere) };
    let entropy = Arc::new(SystemEntropy::default());
    let restored = SqliteGateway::open(&settings, Arc::clone(&vault), entropy).unwrap();
    let report = restored.check().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert!((50..=150).contains(&report.documents), "{}", report.documents);
    assert_kept(&restored, &acceptance(7)).await;
    left_nothing(keyed.folder.path());
}

/// Appends an event with a detail; gives it and the detail.
async fn state(store: &dyn GatewayStore, n: u64, what: &str) -> Append {
    let head = store.head(referral_id(n)).await.unwrap().unwrap();
    let e = event(n, what, head);
    assert_eq!(store.append(e.clone()).await, Ok(AppendOutcome::Committed));
    e
}

async fn detail(store: &dyn GatewayStore, e: &Append) -> Document {
    let sha256 = e.detail.as_ref().unwrap().sha256;
    let document = store.document(e.referral_id, sha256).await.unwrap().unwrap();
    // The thread says the same about it.
    let thread = store.thread(e.referral_id).await.unwrap().unwrap();
    let row = thread.events.iter().find_map(|s| s.detail.filter(|d| d.sha256 == sha256)).unwrap();
    match &document {
        Document::Kept(_) => assert_eq!(row.erased, None),
        Document::Erased(erasure) => assert_eq!(row.erased, Some(*erasure)),
    }
    document
}

async fn assert_detail(store: &dyn GatewayStore, e: &Append) {
    let kept = detail(store, e).await;
    assert_eq!(kept.kept(), Some(&e.detail.as_ref().unwrap().document));
}

#[tokio::test(flavor = "multi_thread")]
async fn details_stay_and_go_with_their_referral() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    for n in 0..3 {
        commit(store.as_ref(), n).await;
    }
    deliver_all(store.as_ref()).await;
    // One is closed, one open, one named the wrong child.
    let mut events = Vec::new();
    for n in 0..3 {
        events.push(state(store.as_ref(), n, "opened").await);
        events.push(state(store.as_ref(), n, "acknowledged").await);
    }
    assert_eq!(store.close(referral_id(0), at(100_000)).await, Ok(true));
    let old = keyed.folder.path().join("old.db");
    let draft = backup::begin(&old).unwrap();
    backup::copy(&keyed.store(), &draft).unwrap();
    draft.keep().unwrap();

    let count = erasing!(keyed, store, vault, |eraser| {
        eraser.erase_referral(referral_id(2), ErasureReason::Misidentified, at(9)).await.unwrap()
    });
    assert_eq!(count, 3, "the document and two details");
    let plan = erasing!(keyed, store, vault, |eraser| eraser.plan(period()).await.unwrap());
    let mut parts: Vec<_> = plan.forward.iter().map(|(place, _)| place.part()).collect();
    parts.sort();
    assert_eq!(plan.erase, 3);
    assert_eq!(parts, ["detail of event 3", "detail of event 4", "version 1"]);
    let erased = erasing!(keyed, store, vault, |eraser| {
        eraser.forward(period(), LATER, &mut |_| {}).await.unwrap();
        let keys = eraser.destroy(period(), LATER).unwrap();
        // Before a single row is deleted.
        assert_erased(&detail(store.as_ref(), &events[0]).await, ErasureReason::Retention);
        let purged = eraser.purge_destroyed(period(), LATER, &mut |_| {}).await.unwrap();
        (keys, purged)
    });
    assert_eq!(erased, (1, 3));
    let check = async |store: &dyn GatewayStore| {
        for e in &events[..2] {
            assert_erased(&detail(store, e).await, ErasureReason::Retention);
        }
        for e in &events[2..4] {
            assert_detail(store, e).await;
        }
        for e in &events[4..] {
            assert_erased(&detail(store, e).await, ErasureReason::Misidentified);
        }
    };
    check(store.as_ref()).await;
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.documents, report.erased), (3, 6));
    // An erased thread goes on, and what was said can still be proved.
    let again = Append { recorded_at: LATER, ..events[0].clone() };
    let again = store.append(again).await.unwrap();
    let AppendOutcome::Already(stored) = again else { panic!("{again:?}") };
    assert_eq!(stored.recorded.token, events[0].recorded.token);
    let head = store.head(referral_id(0)).await.unwrap().unwrap();
    let late = Append { recorded_at: LATER, ..event(0, "filed", head) };
    assert_eq!(store.append(late.clone()).await, Ok(AppendOutcome::Committed));
    assert_detail(store.as_ref(), &late).await;
    drop(store);

    // An old backup brings no detail back.
    for file in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{file}", keyed.store().display()));
    }
    backup::restore(&old, &keyed.store()).unwrap().keep().unwrap();
    let store = keyed.gateway(&vault);
    let lost = upkeep::unreadable(store.as_ref(), &vault).await.unwrap();
    assert_eq!((lost.erase, lost.forward.len()), (6, 3));
    let done = upkeep::run(store.as_ref(), &vault, LATER, |_| {}).await.unwrap();
    assert_eq!(done.purged, 9);
    for e in &events {
        let gone = detail(store.as_ref(), e).await;
        assert!(gone.kept().is_none());
    }
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn details_move_to_a_new_key_with_their_documents() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    let a = commit(store.as_ref(), 0).await;
    let said = state(store.as_ref(), 0, "opened").await;
    let before = store.keys().await.unwrap();
    keyed.rotate(period());
    vault.refresh().unwrap();
    let done = upkeep::run(store.as_ref(), &vault, NOON, |_| {}).await.unwrap();
    assert_eq!((done.rewrapped, done.waiting, done.unknown), (2, 0, 0));
    assert_ne!(store.keys().await.unwrap(), before);
    assert_kept(store.as_ref(), &a).await;
    assert_detail(store.as_ref(), &said).await;
    assert!(store.check().await.unwrap().is_sound());
}

/// No draft is left behind.
fn left_nothing(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(!name.contains(".part") && !name.contains(".restoring"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_backup_can_no_longer_give_back_is_named() {
    let keyed = Keyed::new();
    let vault = keyed.vault();
    let store = keyed.gateway(&vault);
    five(&store).await;
    let old = keyed.folder.path().join("old.db");
    let draft = backup::begin(&old).unwrap();
    backup::copy(&keyed.store(), &draft).unwrap();
    draft.keep().unwrap();
    erasing!(keyed, store, vault, |eraser| {
        eraser.erase_period(period(), LATER, |_| {}).await.unwrap()
    });
    drop(store);
    let settings = Settings { access: Access::Operator, ..Settings::owner(&old) };
    let entropy = Arc::new(SystemEntropy::default());
    let restored = SqliteGateway::open(&settings, Arc::clone(&vault), entropy).unwrap();
    let lost = upkeep::unreadable(&restored, &vault).await.unwrap();
    let ids: Vec<ReferralId> = lost.forward.iter().map(|(place, _)| place.referral_id).collect();
    assert_eq!(
        (lost.erase, ids.len()),
        (1, 5),
        "the rightly erased one, and those carried forward"
    );
    let done = upkeep::run(&restored, &vault, LATER, |_| {}).await.unwrap();
    assert_eq!(done.purged, 6);
    assert!(restored.check().await.unwrap().is_sound());
}
