//! A sandbox with a gateway, and with its authorities up or down: real processes of this program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ecaf::app;
use ecaf::cli::sandbox::{AUTHORITIES, Process, World, operator_get};
use ecaf::config;
use ecaf::effects::{Clock, SystemClock, SystemEntropy};
use ecaf::party::member::Member;
use http::StatusCode;

use super::generator::{self, Shape, Target};
use super::grown::{Documents, multiply, settled};
use super::machine;
use super::tls::Connectors;
use super::work::Work;

/// The sandbox's school that the example names, by its place.
const SCHOOL: usize = 0;
/// One authority gets everything here, so it may get more at a time than by default.
const DELIVERY: &str = "concurrency = 64\nconcurrency_per_authority = 32";

/// How a scheme is started.
#[derive(Default, Clone, Copy)]
pub struct Start {
    /// Whether the authorities run.
    pub authorities: bool,
    /// What each sync of the gateway's disk takes longer.
    pub slower_sync: Duration,
    /// Referrals that have gone through this gateway before, and what of their documents is left.
    pub stored: Option<(u64, Documents)>,
}

/// A running scheme. Its folder goes with it.
pub struct Scheme {
    pub world: World,
    pub sender: Member,
    pub gateway: Process,
    pub authorities: Vec<Process>,
    /// From starting the gateway's process to its first "ready".
    pub start: Duration,
    _folder: Folder,
}

/// Goes with all that is in it, also when a scheme does not come up.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Scheme {
    /// Prepares a sandbox in a new folder and starts it.
    pub async fn start(how: Start) -> Result<Self, String> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("ecaf-bench-{}-{number}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        let entropy = SystemEntropy::default();
        let world = World::prepare(&folder.0, SystemClock.now(), &entropy, DELIVERY)?;
        let mut authorities = Vec::new();
        if how.authorities {
            authorities = self::authorities(&world)?;
        }
        if let Some((copies, documents)) = how.stored {
            some_referrals(&world, &authorities).await?;
            multiply(&world.gateway_config().with_file_name("gateway.db"), copies, documents)?;
        }
        let under = match how.slower_sync {
            Duration::ZERO => Vec::new(),
            slower => slow_disk(&folder.0, slower)?,
        };
        let began = Instant::now();
        let config = world.gateway_config();
        let gateway = process(&under, "gateway", &config, world.gateway_operator())?;
        while !operator_get(world.gateway_operator(), "/readyz").is_ok_and(|(s, _)| s == 200) {
            if began.elapsed() > Duration::from_secs(30) {
                return Err("the gateway does not become ready".into());
            }
            #[allow(clippy::disallowed_methods, reason = "another process can only be polled")]
            std::thread::sleep(Duration::from_micros(500));
        }
        let start = began.elapsed();
        let sender = sender(&world).await?;
        Ok(Self { world, sender, gateway, authorities, start, _folder: folder })
    }

    /// The gateway as a target.
    pub fn target(&self) -> Result<Target, String> {
        Ok(Target {
            address: self.world.gateway_address(),
            pids: vec![self.gateway.id()],
            accepted: StatusCode::CREATED,
            connectors: self.connectors()?,
        })
    }

    /// A school's way to any server of this sandbox.
    pub fn connectors(&self) -> Result<Connectors, String> {
        Connectors::load(&self.world, SCHOOL)
    }

    /// The processes beside the gateway.
    pub fn helpers(&self) -> Vec<u32> {
        self.authorities.iter().map(Process::id).collect()
    }

    /// Memory of the gateway, now or at most so far (`VmRSS`, `VmHWM`), in MB.
    pub fn memory_mb(&self, field: &str) -> f64 {
        machine::memory_mb(self.gateway.id(), field)
    }

    /// How many deliveries have no receipt yet, as readiness says.
    pub fn waiting(&self) -> Option<u64> {
        let (_, text) = operator_get(self.world.gateway_operator(), "/readyz").ok()?;
        text.lines().find_map(|line| line.strip_prefix("info: ")?.split(' ').next()?.parse().ok())
    }
}

impl Drop for Scheme {
    fn drop(&mut self) {
        self.gateway.kill();
        self.authorities.iter_mut().for_each(Process::kill);
    }
}

async fn sender(world: &World) -> Result<Member, String> {
    let settings = config::load_school(&world.school_config(SCHOOL)).map_err(|e| e.to_string())?;
    app::open_member(&settings).await.map_err(|e| e.to_string())
}

/// Brings a few referrals through the gateway to their authority and back, and stops the gateway again, and
/// the authorities that were started for it.
async fn some_referrals(world: &World, running: &[Process]) -> Result<(), String> {
    let mut started = Vec::new();
    if running.is_empty() {
        started = authorities(world)?;
    }
    let mut gateway = process(&[], "gateway", &world.gateway_config(), world.gateway_operator())?;
    gateway.wait_ready().map_err(|e| e.to_string())?;
    let sender = sender(world).await?;
    let work = Arc::new(Work::prepare(&sender, 1)?);
    let target = Target {
        address: world.gateway_address(),
        pids: vec![gateway.id()],
        accepted: StatusCode::CREATED,
        connectors: Connectors::load(world, SCHOOL)?,
    };
    let times = (Duration::ZERO, Duration::from_secs(5));
    let seen = generator::run(target, work, Shape::KeepAlive(1), times, &[]).await;
    if seen.failed > 0 {
        return Err(format!("a first referral failed: {:?}", seen.failure));
    }
    // Delivered, recorded and sequenced within seconds, or never.
    let path = world.gateway_config().with_file_name("gateway.db");
    let until = Instant::now() + Duration::from_secs(20);
    while !settled(&path).unwrap_or(false) {
        if Instant::now() > until {
            return Err("a first referral is not delivered".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.stop();
    for process in &mut started {
        process.stop();
    }
    Ok(())
}

fn authorities(world: &World) -> Result<Vec<Process>, String> {
    let mut all = Vec::new();
    for index in 0..AUTHORITIES.len() {
        let config = world.authority_config(index);
        let mut process = process(&[], "authority", &config, world.authority_operator(index))?;
        process.wait_ready().map_err(|e| e.to_string())?;
        all.push(process);
    }
    Ok(all)
}

/// The arguments of env(1) that put a process on a disk with slower syncs. `env` becomes the program,
/// so that the process id is the gateway's.
fn slow_disk(folder: &Path, slower: Duration) -> Result<Vec<String>, String> {
    let library = folder.join("slow_sync.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/exchange/slow_sync.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).arg("-ldl");
    if !cc.status().map_err(|e| format!("cc: {e}"))?.success() {
        return Err("cc does not compile slow_sync.c".into());
    }
    Ok(vec![
        "/usr/bin/env".into(),
        format!("LD_PRELOAD={}", library.display()),
        format!("SLOW_SYNC_US={}", slower.as_micros()),
    ])
}

/// Starts a program of ours behind the words `under`, if there are any.
fn process(
    under: &[String],
    command: &str,
    config: &Path,
    operator: std::net::SocketAddr,
) -> Result<Process, String> {
    let log = config.with_file_name("log.jsonl");
    // Another build, for comparing two in turn.
    let program = std::env::var("ECAF_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_ecaf").into());
    let file = config.to_string_lossy();
    let own = [&program, command, "--config", &file];
    let all: Vec<&str> = under.iter().map(String::as_str).chain(own).collect();
    let (first, rest) = all.split_first().ok_or("no program")?;
    Process::start(Path::new(first), rest, operator, &log).map_err(|e| e.to_string())
}
