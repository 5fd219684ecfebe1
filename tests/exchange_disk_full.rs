//! A full disk: every submission is refused in clear words and without a receipt, readiness says so,
//! everything with a receipt stays what it was, and work goes on when there is space again.

mod exchange_support;
mod fault_lines;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use ecaf::cli::sandbox::{Process, operator_get};
use ecaf::effects::{Clock, SystemClock};
use ecaf::party::member::Member;
use exchange_support::{
    Arrived, HACKNEY, Proof, QUICK, Scene, Sent, Stream, all_settled, ends_well, eventually, post,
    problem, receipt_of,
};
use fault_lines::{Line, held};

/// Set in the child that runs in a user namespace of its own.
const IN_NAMESPACE: &str = "ECAF_TEST_IN_NAMESPACE";

/// A small file system of its own. Unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs"])
            .arg(at)
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    /// Takes all space that is left, and gives `free` bytes of it back.
    fn fill(&self, free: u64) {
        let file = OpenOptions::new().append(true).create(true).open(self.ballast());
        let mut file = file.unwrap();
        let chunk = [0; 4_096];
        while file.write_all(&chunk).is_ok() {}
        let _ = file.sync_all();
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(free)).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_at_the_gateway() {
    in_own_mounts("a_full_disk_at_the_gateway", || on_runtime(the_gateway()));
}

#[test]
fn a_full_disk_at_an_authority() {
    in_own_mounts("a_full_disk_at_an_authority", || on_runtime(an_authority()));
}

fn on_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

/// Runs `test` where it may mount: here, if that is allowed, or in namespaces of this user's own.
/// Neither is a failure: this must not be skipped without anybody knowing.
fn in_own_mounts(name: &str, test: impl FnOnce()) {
    let folder = tempfile::tempdir().unwrap();
    if SmallDisk::mount(folder.path()).is_some() || std::env::var_os(IN_NAMESPACE).is_some() {
        return test();
    }
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(IN_NAMESPACE, "1")
        .status()
        .expect("a small disk can be mounted neither as root nor with unshare(1)");
    assert!(status.success(), "the test failed in its namespaces, or they are not allowed");
}

/// A scheme whose file in `folder` named `store` lies on a small disk.
fn small(scene: &Scene, config: &Path, store: &str) -> SmallDisk {
    let disk = scene.world.folder().join("small-disk");
    let disk = SmallDisk::mount(&disk).expect("the small disk could not be mounted");
    let text = fs::read_to_string(config).unwrap();
    let there = format!("path = \"{}\"", disk.0.join(store).display());
    assert!(text.contains(&format!("path = \"{store}\"")));
    fs::write(config, text.replace(&format!("path = \"{store}\""), &there)).unwrap();
    disk
}

/// Sends new referrals until one is refused; those with a receipt.
async fn until_refused(school: &Member, index: usize, stream: &mut Stream) -> Vec<Sent> {
    let mut sent = Vec::new();
    for _ in 0..2_000 {
        let document = stream.document(index, HACKNEY);
        let answer = post(school, &document).await.unwrap();
        if answer.status == 503 {
            let refused = problem(&answer, 503);
            assert_eq!(refused.violations[0].rule, "exchange.unavailable");
            assert_eq!(refused.culprit, "gateway");
            assert!(refused.help.as_ref().unwrap().contains("999"), "{refused:?}");
            assert!(answer.headers.contains_key("retry-after"));
            assert!(!String::from_utf8_lossy(&answer.body).contains("accepted\""));
            return sent;
        }
        let receipt = receipt_of(&answer);
        sent.push(Sent { document, receipt });
    }
    panic!("the disk never got full");
}

fn readiness(process: &Process) -> (u16, String) {
    operator_get(process.operator(), "/readyz").unwrap()
}

async fn the_gateway() {
    let scene = Scene::now(QUICK);
    let disk = small(&scene, &scene.world.gateway_config(), "gateway.db");
    let mut gateway = scene.start_gateway();
    gateway.wait_ready().unwrap();
    let schools = [scene.school(0).await, scene.school(1).await, scene.school(2).await];
    let mut stream = Stream::new(17);
    let mut sent = Vec::new();
    for round in 0..3 {
        disk.fill(300_000);
        sent.extend(until_refused(&schools[round], round, &mut stream).await);
        disk.fill(0);
        // What readiness found just before counts for some seconds.
        let words = eventually("the gateway is not ready", async || {
            let (status, words) = readiness(&gateway);
            (status == 503).then_some(words)
        })
        .await;
        assert!(words.contains("NOT READY: store"), "{words}");
        // Reading goes on: who has a receipt is told about it, and gets it again.
        if let Some(one) = sent.last() {
            let school = &schools[one.document.school];
            let path = format!("/v1/referrals/{}", one.document.id);
            assert_eq!(school.client.get(&path, Vec::new()).await.unwrap().status, 200);
            let again = receipt_of(&post(school, &one.document).await.unwrap());
            assert_eq!((again.new, &again.accepted), (false, &one.receipt.accepted));
        }
        disk.empty();
        // Nothing but space is needed.
        let document = stream.document(round, HACKNEY);
        let answer = eventually("accepted again", async || {
            let answer = post(&schools[round], &document).await.unwrap();
            answer.status.is_success().then_some(answer)
        })
        .await;
        sent.push(Sent { receipt: receipt_of(&answer), document });
        assert_eq!(readiness(&gateway).0, 200);
        assert!(scene.gateway().await.check().await.unwrap().is_sound());
    }
    assert!(sent.len() > 6, "the disk was full before anything was accepted");

    // Killed on a full disk, and started again when there is space.
    disk.fill(0);
    gateway.kill();
    disk.empty();
    let mut gateway = scene.start_gateway();
    let mut hackney = scene.start_authority(HACKNEY);
    gateway.wait_ready().unwrap();
    hackney.wait_ready().unwrap();
    all_delivered(&scene).await;
    ends_well(&mut gateway);
    ends_well(&mut hackney);
    prove(&schools[0], &scene, &sent).await;
    report("no space left", "gateway: refuses, goes on when there is space", 3);
    report("killed (SIGKILL) while there is no space", "gateway", 1);
}

async fn an_authority() {
    let scene = Scene::now(QUICK);
    let disk = small(&scene, &scene.world.authority_config(HACKNEY), "inbox.db");
    let mut hackney = scene.start_authority(HACKNEY);
    let mut gateway = scene.start_gateway();
    gateway.wait_ready().unwrap();
    hackney.wait_ready().unwrap();
    let school = scene.school(0).await;
    let mut stream = Stream::new(18);
    let mut sent = Vec::new();
    disk.fill(200_000);
    // The gateway accepts all of it; the authority takes what fits.
    for _ in 0..60 {
        let document = stream.document(0, HACKNEY);
        let receipt = receipt_of(&post(&school, &document).await.unwrap());
        sent.push(Sent { document, receipt });
    }
    disk.fill(0);
    let words = eventually("the authority is not ready", async || {
        let (status, words) = readiness(&hackney);
        (status == 503).then_some(words)
    })
    .await;
    assert!(words.contains("NOT READY: store"), "{words}");
    assert!(open(&scene).await > 0, "everything fitted on the full disk");
    disk.empty();
    all_delivered(&scene).await;
    assert_eq!(readiness(&hackney).0, 200);
    ends_well(&mut gateway);
    ends_well(&mut hackney);
    prove(&school, &scene, &sent).await;
    report("no space left", "authority: refuses, goes on when there is space", 1);
}

fn report(fault: &str, at: &str, runs: u64) {
    let checked = "not ready meanwhile, reading goes on; every receipt and its evidence verify; all of \
                   it is delivered once and unaltered; stores are sound";
    held(&Line { suite: "exchange_disk_full", fault, at, runs, checked });
}

/// Deliveries that are open. Read from the store: asking for readiness writes, and space is scarce.
async fn open(scene: &Scene) -> u64 {
    let counts = scene.gateway().await.counts(SystemClock.now()).await.unwrap();
    counts.held + counts.leased
}

async fn all_delivered(scene: &Scene) {
    let done = async || (open(scene).await == 0).then_some(());
    eventually("everything is delivered", done).await;
}

async fn prove(school: &Member, scene: &Scene, sent: &[Sent]) {
    let store = &*scene.gateway().await;
    let arrived = Arrived::of(vec![scene.inbox(HACKNEY).await]).await;
    assert_eq!(arrived.counts(), (sent.len(), sent.len()));
    let delivered = all_settled(store).await;
    assert_eq!(delivered.len(), sent.len());
    let proof = Proof::of(school);
    for one in sent {
        proof.receipt(&one.receipt, &one.document, SystemClock.now());
        arrived.once(&one.document);
        proof.evidence(store, one).await;
    }
}
