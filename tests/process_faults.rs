//! Faults of the machine under real processes: a disk that fails to sync, is slow or read-only; no open
//! files left; no memory left. Whatever happens, nothing that got a receipt is lost or altered: the
//! stores are read afterwards and every receipt is verified. (A full disk and SIGKILL have files of
//! their own: `exchange_disk_full.rs`, `exchange_crash.rs`.)

mod exchange_support;
mod fault_lines;
mod process_faults_support;

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use ecaf::cli::sandbox::{Process, operator_get};
use ecaf::store::GatewayStore;
use exchange_support::{
    HACKNEY, HARINGEY, Load, NEWHAM, PATIENCE, RESTLESS, SUBMITTERS, Scene, Sent, Stream, count,
    eventually, gateway_store, insist, post, problem, prove, same_receipts_again, wire,
};
use fault_lines::{Line, held};
use process_faults_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

static SPACES: [u8; 65_536] = [b' '; 65_536];
/// abort(3).
const SIGABRT: i32 = 6;
/// A row of the report on faults.
fn report(fault: &str, at: &str, runs: usize) {
    held(&Line {
        suite: "process_faults",
        fault,
        at,
        runs: runs as u64,
        checked: "every receipt verifies and comes again byte for byte; all of it is delivered once \
                  and unaltered; stores are sound",
    });
}

const EVERYBODY: &[usize] = &[HACKNEY, HARINGEY, NEWHAM];

/// Rounds of a test that repeats a fault; `ECAF_TEST_FAULTS` sets another number.
fn rounds() -> usize {
    count("ECAF_TEST_FAULTS", 4)
}

async fn readiness(operator: SocketAddr) -> (u16, String) {
    let asked = tokio::task::spawn_blocking(move || operator_get(operator, "/readyz"));
    asked.await.unwrap().unwrap()
}

fn start_authorities(scene: &Scene) -> Vec<Process> {
    let mut all: Vec<_> = EVERYBODY.iter().map(|index| scene.start_authority(*index)).collect();
    all.iter_mut().for_each(|authority| authority.wait_ready().unwrap());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_sync_ends_the_gateway_and_loses_nothing() {
    let scene = Scene::now(RESTLESS);
    let disk = FaultyDisk::make(&scene);
    let mut authorities = start_authorities(&scene);
    let mut gateway = Under::disk(&disk).gateway(&scene);
    gateway.wait_ready().unwrap();
    let load = Load::start(&scene, EVERYBODY, Duration::ZERO).await;
    for round in 0..rounds() {
        // Failed, or failed but done all the same: nobody can tell them apart.
        let fault = if round % 2 == 0 { "fail-sync" } else { "late-fail" };
        load.receipts(12).await;
        disk.ask(fault);
        let status = ends_by_itself(&mut gateway).await;
        assert!(ended_in_order(status), "{status}: {}", gateway.last_lines());
        disk.mend(fault);
        // The writer tried once; a second try could succeed although the pages are lost.
        let failed = disk.failed_syncs();
        assert_eq!(failed, ["gateway.db-wal"], "{fault}");
        assert!(gateway_store(&scene.gateway_store()).check().await.unwrap().is_sound());
        gateway = Under::disk(&disk).gateway(&scene);
        gateway.wait_ready().unwrap();
    }
    load.receipts(SUBMITTERS).await;
    let sent = load.stop().await;
    println!("gateway, failing sync: {} rounds, {} receipts", rounds(), sent.len());
    same_receipts_again(&scene, &sent).await;
    prove(&scene, sent, gateway, &mut authorities).await;
    report(
        "a sync fails, every second one done all the same; the process ends",
        "gateway",
        rounds(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_sync_ends_an_authority_and_loses_nothing() {
    let scene = Scene::now(RESTLESS);
    let disk = FaultyDisk::make(&scene);
    let mut gateway = scene.start_gateway();
    gateway.wait_ready().unwrap();
    let mut authorities = start_authorities(&scene);
    authorities[NEWHAM].kill();
    authorities[NEWHAM] = Under::disk(&disk).authority(&scene, NEWHAM);
    authorities[NEWHAM].wait_ready().unwrap();
    let load = Load::start(&scene, &[NEWHAM], Duration::from_millis(100)).await;
    for round in 0..rounds() {
        let fault = if round % 2 == 0 { "fail-sync" } else { "late-fail" };
        load.receipts(6).await;
        disk.ask(fault);
        let status = ends_by_itself(&mut authorities[NEWHAM]).await;
        assert!(ended_in_order(status), "{status}: {}", authorities[NEWHAM].last_lines());
        disk.mend(fault);
        assert_eq!(disk.failed_syncs(), ["inbox.db-wal"], "{fault}");
        authorities[NEWHAM] = Under::disk(&disk).authority(&scene, NEWHAM);
        authorities[NEWHAM].wait_ready().unwrap();
    }
    let sent = load.stop().await;
    println!("authority, failing sync: {} rounds, {} receipts", rounds(), sent.len());
    prove(&scene, sent, gateway, &mut authorities).await;
    report(
        "a sync fails, every second one done all the same; the process ends",
        "authority",
        rounds(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_delays_receipts_and_changes_nothing_else() {
    let scene = Scene::now(RESTLESS);
    let disk = FaultyDisk::make(&scene);
    disk.ask("slow-sync");
    let mut gateway = Under::disk(&disk).gateway(&scene);
    let mut authorities: Vec<_> =
        EVERYBODY.iter().map(|index| Under::disk(&disk).authority(&scene, *index)).collect();
    gateway.wait_ready().unwrap();
    authorities.iter_mut().for_each(|authority| authority.wait_ready().unwrap());
    let load = Load::start(&scene, EVERYBODY, Duration::ZERO).await;
    load.receipts(200).await;
    assert_eq!(readiness(gateway.operator()).await.0, 200);
    // Killed in the middle of slow syncs, too.
    gateway.kill();
    gateway = Under::disk(&disk).gateway(&scene);
    gateway.wait_ready().unwrap();
    load.receipts(SUBMITTERS).await;
    let sent = load.stop().await;
    println!("slow sync: {} receipts", sent.len());
    same_receipts_again(&scene, &sent).await;
    prove(&scene, sent, gateway, &mut authorities).await;
    report("each sync takes 20 ms longer, a kill in the middle", "gateway, authorities", 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_turns_read_only_gives_refusals_and_no_receipts() {
    let scene = Scene::now(RESTLESS);
    let disk = FaultyDisk::make(&scene);
    let mut authorities = start_authorities(&scene);
    let mut gateway = Under::disk(&disk).gateway(&scene);
    gateway.wait_ready().unwrap();
    let load = Load::start(&scene, EVERYBODY, Duration::from_millis(5)).await;
    let school = scene.school(0).await;
    let (mut stream, mut own) = (Stream::new(91), Vec::new());
    for _ in 0..rounds() {
        load.receipts(12).await;
        disk.ask("read-only");
        let document = stream.document(0, HACKNEY);
        let refused = post(&school, &document).await.unwrap();
        assert_eq!(problem(&refused, 503).violations[0].rule, "exchange.unavailable");
        assert!(!String::from_utf8_lossy(&refused.body).contains("accepted\""));
        let words = eventually("not ready", async || {
            let (status, words) = readiness(gateway.operator()).await;
            (status == 503).then_some(words)
        })
        .await;
        assert!(words.contains("NOT READY: store"), "{words}");
        // The same process goes on when the disk can be written again.
        disk.mend("read-only");
        load.receipts(SUBMITTERS).await;
        assert_eq!(readiness(gateway.operator()).await.0, 200);
        let receipt = insist(std::slice::from_ref(&school), &document).await;
        assert!(receipt.new, "kept although it was refused");
        own.push(Sent { document, receipt });
    }
    let mut sent = load.stop().await;
    println!("read-only: {} rounds, {} receipts", rounds(), sent.len());
    same_receipts_again(&scene, &sent).await;
    sent.extend(own);
    prove(&scene, sent, gateway, &mut authorities).await;
    report("writes fail: read-only; the process goes on", "gateway", rounds());
}
/// As many connections of school 0 as the gateway takes, of so many; nothing is asked on them.
async fn crowd(scene: &Scene, number: usize) -> Vec<TlsStream<TcpStream>> {
    let mut taken = Vec::new();
    for _ in 0..number {
        if let Ok(Ok(tls)) = timeout(Duration::from_secs(5), wire::connect(scene, 0)).await {
            taken.push(tls);
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_file_to_open_the_gateway_serves_whom_it_has_and_recovers() {
    let scene = Scene::now(RESTLESS);
    let mut authorities = start_authorities(&scene);
    // Too few for the connections that are configured: it takes fewer, and says so.
    let mut gateway = Under::limit("--nofile=300").gateway(&scene);
    gateway.wait_ready().unwrap();
    let log = std::fs::read_to_string(scene.gateway_log()).unwrap();
    assert!(log.contains("fewer connections than configured"), "{log}");
    let load = Load::start(&scene, EVERYBODY, Duration::from_millis(5)).await;
    load.receipts(SUBMITTERS * 2).await;
    let crowd = crowd(&scene, 400).await;
    println!("open files: {} connections of 400, {} files", crowd.len(), open_files(&gateway));
    assert!(open_files(&gateway) < 300 - 32, "nothing is left for deliveries");
    load.receipts(SUBMITTERS * 2).await;

    // None at all: whoever is connected is served, nobody new is, and nothing ends.
    for _ in 0..3 {
        // Below what it has: those stay open, and every further one is refused.
        limit(&gateway, "--nofile=16:");
        let stranger = tokio::net::TcpStream::connect(scene.world.gateway_address()).await;
        eventually("it is told", async || {
            let log = std::fs::read_to_string(scene.gateway_log()).unwrap();
            log.contains("a connection could not be accepted").then_some(())
        })
        .await;
        load.receipts(SUBMITTERS * 2).await;
        limit(&gateway, "--nofile=300:");
        drop(stranger);
        load.receipts(SUBMITTERS).await;
    }
    drop(crowd);
    eventually("new connections are served", async || {
        let school = scene.school(2).await;
        school.client.get("/.well-known/ecaf", Vec::new()).await.ok()
    })
    .await;
    let sent = load.stop().await;
    println!("open files: {} receipts", sent.len());
    same_receipts_again(&scene, &sent).await;
    prove(&scene, sent, gateway, &mut authorities).await;
    report("no file can be opened", "gateway", 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_memory_the_gateway_ends_and_loses_nothing() {
    let scene = Scene::now(RESTLESS);
    let mut authorities = start_authorities(&scene);
    // More bodies allowed than the machine has memory for: the operator's mistake, not the peer's.
    let path = scene.world.gateway_config();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}bodies_in_memory = \"8 GiB\"\n")).unwrap();
    // Address space, of which the two allocators and the threads reserve a good part at rest.
    let small = Under::limit(&format!("--as={}", 640 << 20));
    let mut gateway = small.gateway(&scene);
    gateway.wait_ready().unwrap();
    let load = Load::start(&scene, EVERYBODY, Duration::from_millis(5)).await;
    for _ in 0..rounds().div_ceil(2) {
        load.receipts(12).await;
        let mut bodies = JoinSet::new();
        for _ in 0..700 {
            let Ok(mut tls) = wire::connect(&scene, 0).await else { break };
            bodies.spawn(async move {
                // A megabyte but for its last byte, which never comes.
                let head = "POST /v1/referrals/check HTTP/1.1\r\nHost: localhost\r\n\
                            Content-Length: 1048576\r\n\r\n";
                let _ = tls.write_all(head.as_bytes()).await;
                for length in [65_536; 15].into_iter().chain([65_535]) {
                    let _ = tls.write_all(&SPACES[..length]).await;
                }
                let _ = tls.flush().await;
                let _ = timeout(PATIENCE, tls.read_to_end(&mut Vec::new())).await;
            });
        }
        let status = ends_by_itself(&mut gateway).await;
        // Rust ends a process whose memory is refused: at once, and without a word to anybody.
        assert_eq!(status.signal(), Some(SIGABRT), "{status}: {}", gateway.last_lines());
        bodies.abort_all();
        gateway = small.gateway(&scene);
        gateway.wait_ready().unwrap();
    }
    let sent = load.stop().await;
    println!("memory: {} receipts", sent.len());
    same_receipts_again(&scene, &sent).await;
    prove(&scene, sent, gateway, &mut authorities).await;
    report("memory is refused; the process ends", "gateway", rounds().div_ceil(2));
}
