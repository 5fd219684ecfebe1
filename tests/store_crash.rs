//! What the SQLite store survives: SIGKILL at any moment, a full disk, files that are not what they
//! should be, and bytes that were changed behind its back.

mod fault_lines;
mod store_support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use ecaf::effects::{Entropy, SeededEntropy, SystemEntropy};
use ecaf::store::sqlite::{Access, Settings, SqliteAuthority, SqliteGateway};
use ecaf::store::*;
use fault_lines::{Line, held};
use store_support::*;

/// Set in child processes: the file to open.
const CHILD_STORE: &str = "ECAF_TEST_STORE";
/// Set in child processes: number of the first referral.
const CHILD_FIRST: &str = "ECAF_TEST_FIRST";
const KILLS: u64 = 40;
const NUMBERS_PER_CHILD: u64 = 1_000_000;

fn open_gateway(settings: &Settings) -> Result<Arc<dyn GatewayStore>, StoreFault> {
    let store = SqliteGateway::open(settings, vault(), Arc::new(SystemEntropy::default()))?;
    Ok(Arc::new(store))
}

fn gateway_at(path: &Path) -> Arc<dyn GatewayStore> {
    open_gateway(&Settings::owner(path).or_create()).unwrap()
}

fn authority_at(path: &Path) -> Arc<dyn AuthorityStore> {
    Arc::new(SqliteAuthority::open(&Settings::owner(path).or_create(), vault()).unwrap())
}

/// This test binary again, running one function in a process of its own.
fn child(test: &str, path: &Path, first: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_STORE, path)
        .env(CHILD_FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

fn in_child() -> Option<(PathBuf, u64)> {
    let path = std::env::var_os(CHILD_STORE)?.into();
    Some((path, std::env::var(CHILD_FIRST).ok()?.parse().ok()?))
}

/// One line per acknowledgement, written by one call, after the store has promised.
fn acknowledge(what: &str) {
    let line = format!("ack {what}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Runs children one after the other on one file and kills each after a random number of
/// acknowledgements, none included; returns what each was told. Everything a child wrote before it
/// died is still in the pipe.
fn kill_again_and_again(test: &str, path: &Path, mut after_each: impl FnMut(u64, Vec<String>)) {
    let dice: Box<dyn Entropy> = Box::new(SeededEntropy::new(7));
    for round in 0..KILLS {
        let mut roll = [0; 2];
        dice.fill(&mut roll).unwrap();
        let wait_for = if round % 8 == 0 { 0 } else { u16::from_le_bytes(roll) % 120 };
        let (mut process, output) = child(test, path, round * NUMBERS_PER_CHILD);
        let mut told = Vec::new();
        let mut killed = false;
        for line in output.lines() {
            if let Some(what) = line.unwrap().strip_prefix("ack ") {
                told.push(what.to_owned());
            }
            // The harness's first lines come before the store is open: a kill then hits recovery.
            if !killed && told.len() >= usize::from(wait_for) {
                process.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "the child ended by itself in round {round}");
        process.wait().unwrap();
        after_each(round, told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_child() {
    let Some((path, first)) = in_child() else { return };
    let store = gateway_at(&path);
    let mut tasks = Vec::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for n in (first + task..).step_by(8) {
                let outcome = store.accept(acceptance(n)).await.unwrap();
                assert_eq!(outcome, AcceptOutcome::Committed);
                acknowledge(&format!("accepted {n}"));
            }
        }));
    }
    let deliverer = store.clone();
    tasks.push(tokio::spawn(async move {
        for round in 0.. {
            // Far enough ahead of the child before for its leases to have run out.
            let now = at(((first + round) * 100) as i64 + 10_000_000);
            for d in deliverer.lease_deliveries(lease_request(now, 4)).await.unwrap() {
                let tokens = receipt(&d, d.head, now);
                let settled = deliverer.delivered(d.lease, tokens, now).await.unwrap();
                assert_eq!(settled, Settled::Done);
                acknowledge(&format!("delivered {}", d.lease.delivery.0));
            }
            let holder = format!("child {first}");
            let fence = deliverer.acquire("sequencer", holder, now, 1_000).await.unwrap();
            if let Some(fence) = fence {
                deliverer.sequence(&fence, 16, now).await.unwrap();
            }
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_acknowledged_survives_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    let (mut accepted, mut delivered) = (0, 0);
    let runtime = tokio::runtime::Handle::current();
    kill_again_and_again("gateway_child", &path, |round, told| {
        tokio::task::block_in_place(|| {
            runtime.block_on(async {
                let store = gateway_at(&path);
                assert_sound_gateway(&store).await;
                for line in told {
                    match line.split_once(' ').unwrap() {
                        ("accepted", n) => {
                            assert_kept(&store, n.parse().unwrap()).await;
                            accepted += 1;
                        }
                        (_, id) => {
                            assert_delivered(&store, DeliveryId(id.parse().unwrap())).await;
                            delivered += 1;
                        }
                    }
                }
                // And it goes on: recovered stores accept.
                let next = acceptance((round + 1) * NUMBERS_PER_CHILD - 1);
                assert_eq!(store.accept(next).await, Ok(AcceptOutcome::Committed));
            });
        });
    });
    // A run in which nothing was acknowledged would prove nothing.
    assert!(
        accepted > KILLS * 10 && delivered > KILLS,
        "{accepted} accepted, {delivered} delivered"
    );
    report("killed (SIGKILL) while it writes", "gateway's store", KILLS);
}

async fn assert_kept(store: &Arc<dyn GatewayStore>, n: u64) {
    let a = acceptance(n);
    let Ok(Seen::Stored(stored)) = store.look_up(&a.sender, a.referral_id, 1).await else {
        panic!("referral {n} was acknowledged and is lost");
    };
    assert_eq!(stored.accepted, a.accepted.token.jws);
    let body = store.document(a.referral_id, a.payload_sha256).await.unwrap();
    let body = body.and_then(|document| document.kept().cloned());
    assert_eq!(body.as_ref(), Some(&a.document));
}

async fn assert_delivered(store: &Arc<dyn GatewayStore>, id: DeliveryId) {
    let just_it =
        DeliveryFilter { after: Some(DeliveryId(id.0 - 1)), limit: 1, ..Default::default() };
    let row = store.deliveries(just_it).await.unwrap().remove(0);
    assert_eq!((row.id, row.state), (id, ecaf::domain::delivery::State::Delivered));
    let digest = row.delivered_sha256.unwrap();
    assert!(store.token(row.referral_id, digest).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn authority_child() {
    let Some((path, first)) = in_child() else { return };
    let store = authority_at(&path);
    let mut tasks = Vec::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for n in (first + task..).step_by(8) {
                let reference = store.next_reference("NEW".into(), 2026).await.unwrap();
                let outcome = store.receive(dispatch(n, &reference)).await.unwrap();
                assert_eq!(outcome, ReceiveOutcome::Stored);
                acknowledge(&format!("{n} {reference}"));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_authority_acknowledged_survives_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.db");
    let runtime = tokio::runtime::Handle::current();
    let mut references = HashMap::new();
    kill_again_and_again("authority_child", &path, |_, told| {
        tokio::task::block_in_place(|| {
            runtime.block_on(async {
                let store = authority_at(&path);
                assert_sound_authority(&store).await;
                for line in told {
                    let (n, reference) = line.split_once(' ').unwrap();
                    let d = dispatch(n.parse().unwrap(), reference);
                    let stored = store.received(d.key.clone()).await.unwrap().unwrap();
                    assert_eq!(stored.delivered, d.delivered.jws);
                    assert_eq!(stored.reference, reference);
                    let twice = references.insert(reference.to_owned(), d.key);
                    assert_eq!(twice, None, "a reference was given out twice");
                }
            });
        });
    });
    assert!(references.len() as u64 > KILLS * 10, "{}", references.len());
    report("killed (SIGKILL) while it writes", "authority's store", KILLS);
}

/// A small disk of its own. The test fails where none can be had.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(path)
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_refused_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        assert!(in_child().is_none(), "no small disk even in a namespace of our own");
        let again = Command::new("unshare")
            .arg("-rm")
            .arg(std::env::current_exe().unwrap())
            .args(["a_full_disk_is_refused_and_recovers", "--exact"])
            .env(CHILD_STORE, folder.path())
            .env(CHILD_FIRST, "0")
            .status();
        assert!(again.is_ok_and(|status| status.success()), "needs root or user namespaces");
        return;
    };
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let path = disk.0.join("gateway.db");
    let store = gateway_at(&path);
    let mut kept = 0;
    let refused = loop {
        match store.accept(acceptance(kept)).await {
            Ok(outcome) => assert_eq!(outcome, AcceptOutcome::Committed),
            Err(fault) => break fault,
        }
        kept += 1;
    };
    assert_eq!(refused, StoreFault::Full);
    assert!(kept > 5, "{kept}");
    // Nothing of the refused one is there, everything else is, and reading goes on.
    let lost = acceptance(kept);
    assert_eq!(store.look_up(&lost.sender, lost.referral_id, 1).await, Ok(Seen::Never));
    for n in 0..kept {
        assert_kept(&store, n).await;
    }
    assert_sound_gateway(&store).await;
    // Many at once are refused one by one as well.
    let both = tokio::join!(store.accept(acceptance(900)), store.accept(acceptance(901)));
    assert_eq!(both, (Err(StoreFault::Full), Err(StoreFault::Full)));
    // Space returns: the same process goes on with the same call.
    fs::remove_file(&ballast).unwrap();
    store.probe_writable(NOON).await.unwrap();
    assert_eq!(store.accept(lost).await, Ok(AcceptOutcome::Committed));
    drop(store);
    let store = gateway_at(&path);
    for n in 0..=kept {
        assert_kept(&store, n).await;
    }
    assert_sound_gateway(&store).await;
    report("no space left", "gateway's store", 3);
}

/// A row of the report on faults.
fn report(fault: &str, at: &str, runs: u64) {
    let checked = "everything acknowledged is kept, byte for byte; the store is sound and goes on";
    held(&Line { suite: "store_crash", fault, at, runs, checked });
}

#[test]
fn a_store_is_opened_only_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    let open = |settings: &Settings| open_gateway(settings).err();
    assert_eq!(open(&Settings::owner(&path)), Some(StoreFault::Missing));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    let nowhere = folder.path().join("none/gateway.db");
    assert_eq!(open(&Settings::owner(&nowhere)), Some(StoreFault::NoFolder));
    assert_eq!(open(&Settings::owner(&nowhere).or_create()), Some(StoreFault::NoFolder));
    // A creation that was cut short is finished by the next one, and by nothing else.
    fs::write(&path, b"").unwrap();
    assert_eq!(open(&Settings::owner(&path)), Some(StoreFault::Missing));
    assert_eq!(open(&Settings::owner(&path).or_create()), None);
    assert_eq!(open(&Settings::owner(&path)), None);
    let other = SqliteAuthority::open(&Settings::owner(&path), vault()).err();
    assert_eq!(other, Some(StoreFault::NotAStore), "an authority's store is another kind");
    let text = folder.path().join("text.db");
    fs::write(&text, "not a database at all, but long enough to be looked at".repeat(100)).unwrap();
    assert_eq!(open(&Settings::owner(&text)), Some(StoreFault::NotAStore));
}

#[test]
fn one_process_owns_a_store_and_its_files_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    let store = gateway_at(&path);
    assert_eq!(open_gateway(&Settings::owner(&path)).err(), Some(StoreFault::InUse));
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        files += 1;
    }
    assert_eq!(files, 4, "database, log, shared memory, lock");
    drop(store);
    assert!(open_gateway(&Settings::owner(&path)).is_ok());
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    drop(gateway_at(&path));
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let before = fs::read(&path).unwrap();
    let refused = open_gateway(&Settings::owner(&path)).err();
    assert_eq!(refused, Some(StoreFault::UnknownSchema { found: 99, known: 5 }));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn an_operator_works_beside_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    let settings = Settings { access: Access::Operator, ..Settings::owner(&path) };
    assert_eq!(open_gateway(&settings).err(), Some(StoreFault::Missing));
    let eager = Settings { access: Access::Operator, ..Settings::owner(&path).or_create() };
    assert_eq!(open_gateway(&eager).err(), Some(StoreFault::Missing));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "only an owner creates");
    let owner = gateway_at(&path);
    owner.accept(acceptance(1)).await.unwrap();
    let d = owner.lease_deliveries(lease_request(at(100), 1)).await.unwrap().remove(0);
    owner.gave_up(d.lease, "refused", at(200)).await.unwrap();
    let operator = open_gateway(&settings).unwrap();
    assert_eq!(operator.replay(DeliverySelector::All, at(300)).await, Ok(1));
    let again = owner.lease_deliveries(lease_request(at(400), 1)).await.unwrap();
    assert_eq!(again[0].lease.attempt, 1);
}

/// The check is worth nothing unless it finds what is wrong: each change alone must be named.
#[tokio::test]
async fn the_check_finds_every_kind_of_damage() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("gateway.db");
    let store = gateway_at(&sound);
    for n in 0..3 {
        store.accept(acceptance(n)).await.unwrap();
    }
    for d in store.lease_deliveries(lease_request(at(100), 2)).await.unwrap() {
        store.delivered(d.lease, receipt(&d, d.head, at(200)), at(200)).await.unwrap();
    }
    let fence = store.acquire("sequencer", "a".into(), NOON, 1_000).await.unwrap().unwrap();
    store.sequence(&fence, 8, NOON).await.unwrap();
    // A stream with the second token done, and not the first.
    let party = acceptance(0).sender;
    let id = StreamId { party, person: String::new(), name: StreamName::default() };
    let acks = StreamAcks { id, positions: vec![2], taken: vec![2], errors: Vec::new(), now: NOON };
    store.acknowledge(acks).await.unwrap();
    let report = assert_sound_gateway(&store).await;
    assert_eq!((report.referrals, report.documents), (3, 3));
    assert_eq!((report.tokens, report.log_entries), (13, 8));
    drop(store);
    for damage in [
        "UPDATE documents SET body = x'00' WHERE id = 1",
        "UPDATE documents SET body = (SELECT body FROM documents WHERE id = 2) WHERE id = 1",
        "UPDATE documents SET wrapped = (SELECT wrapped FROM documents WHERE id = 2) WHERE id = 1",
        // Ciphertext moved whole to another row: genuine, and in the wrong place.
        "UPDATE documents SET (wrapped, body) = (SELECT wrapped, body FROM documents WHERE id = 2)
         WHERE id = 1",
        "UPDATE documents SET key_id = x'0000000000000001' WHERE id = 1",
        "UPDATE tokens SET jws = jws || 'x' WHERE id = 2",
        "UPDATE tokens SET x5t = zeroblob(32) WHERE id = 2",
        "UPDATE tokens SET crls = zeroblob(32) WHERE id = 2",
        "UPDATE tokens SET kind = 'event' WHERE id = 3",
        "UPDATE tokens SET position = 7 WHERE id = 2",
        "UPDATE chains SET der = x'00' WHERE place = 0",
        "UPDATE crls SET der = x'00'",
        "UPDATE referrals SET head_digest = zeroblob(32) WHERE ref = 1",
        "UPDATE referrals SET head_position = 1 WHERE ref = 1",
        "UPDATE versions SET version = 2 WHERE ref = 3",
        "UPDATE versions SET accepted = submission WHERE ref = 1",
        "UPDATE deliveries SET note = 1 WHERE id = 2",
        "UPDATE deliveries SET delivered = note WHERE id = 1",
        "DELETE FROM versions WHERE ref = 2",
        "DELETE FROM tokens WHERE id = 13",
        "DELETE FROM unsequenced WHERE token = 13",
        "INSERT INTO unsequenced (token, audience) VALUES (1, '')",
        "DELETE FROM log WHERE idx = 3",
        "UPDATE log SET sha256 = zeroblob(32) WHERE idx = 3",
        "UPDATE log SET idx = -idx - 1; UPDATE log SET idx = 8 + idx",
        "DELETE FROM feeds WHERE position = 1",
        "UPDATE streams SET done = 9",
        "UPDATE streams SET done = 1",
        "UPDATE stream_acks SET position = 9",
    ] {
        let path = folder.path().join("damaged.db");
        fs::copy(&sound, &path).unwrap();
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.pragma_update(None, "foreign_keys", false).unwrap();
        raw.pragma_update(None, "ignore_check_constraints", true).unwrap();
        for statement in damage.split(';') {
            assert!(raw.execute(statement, []).unwrap() > 0, "{statement}");
        }
        drop(raw);
        let report = gateway_at(&path).check().await.unwrap();
        assert!(!report.is_sound(), "{damage}");
    }
}
