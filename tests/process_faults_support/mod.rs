//! Real processes on a disk that fails on demand, and within limits of the operating system.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use ecaf::cli::sandbox::Process;

use crate::exchange_support::{Scene, ecaf, eventually};

/// A C library between a process and its disk. What it does is asked for by files in its folder.
pub struct FaultyDisk {
    folder: PathBuf,
    library: PathBuf,
}

impl FaultyDisk {
    /// Compiles it.
    pub fn make(scene: &Scene) -> Self {
        let folder = scene.world.folder().join("faulty-disk");
        fs::create_dir_all(&folder).unwrap();
        let library = folder.join("faulty_disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/process_faults_support/faulty_disk.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(compiled.expect("a C compiler is needed (cc)").success());
        Self { folder, library }
    }

    /// The arguments of env(1) that put a process on this disk.
    fn environment(&self) -> Vec<String> {
        vec![
            "/usr/bin/env".into(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FAULTY_DISK={}", self.folder.display()),
        ]
    }

    /// From now on it does this.
    pub fn ask(&self, what: &str) {
        fs::write(self.folder.join(what), "").unwrap();
    }

    /// No longer.
    pub fn mend(&self, what: &str) {
        fs::remove_file(self.folder.join(what)).unwrap();
    }

    /// The syncs of a store that failed since the last look, by the name of the file.
    pub fn failed_syncs(&self) -> Vec<String> {
        let path = self.folder.join("failed-syncs");
        let lines = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let names = lines.lines().map(|line| line.rsplit('/').next().unwrap_or_default());
        // Beside it small files are written whole, and take the place of the old one only then: they,
        // and the folder that they are in, may be synced at any time.
        names
            .filter(|name| name.ends_with(".db") || name.ends_with(".db-wal"))
            .map(str::to_owned)
            .collect()
    }
}

/// What stands before the program on its command line.
#[derive(Default)]
pub struct Under(Vec<String>);

impl Under {
    pub fn disk(disk: &FaultyDisk) -> Self {
        Self(disk.environment())
    }

    /// One limit of prlimit(1), such as `--nofile=200`.
    pub fn limit(limit: &str) -> Self {
        Self(vec!["/usr/bin/prlimit".into(), limit.into()])
    }

    /// Starts the gateway; it is not ready yet. `env` and `prlimit` become the program, so that the
    /// process id is the gateway's.
    pub fn gateway(&self, scene: &Scene) -> Process {
        let (config, log) = (scene.world.gateway_config(), scene.gateway_log());
        self.start(
            &["gateway", "--config", config.to_str().unwrap()],
            scene.world.gateway_operator(),
            &log,
        )
    }

    /// Starts an authority.
    pub fn authority(&self, scene: &Scene, index: usize) -> Process {
        let config = scene.world.authority_config(index);
        let log = config.with_file_name("log.jsonl");
        let operator = scene.world.authority_operator(index);
        self.start(&["authority", "--config", config.to_str().unwrap()], operator, &log)
    }

    fn start(&self, arguments: &[&str], operator: std::net::SocketAddr, log: &Path) -> Process {
        let program = ecaf().to_str().unwrap();
        let all =
            self.0.iter().map(String::as_str).chain([program]).chain(arguments.iter().copied());
        let all: Vec<&str> = all.collect();
        Process::start(Path::new(all[0]), &all[1..], operator, log).unwrap()
    }
}

/// Changes a limit of a running process.
pub fn limit(process: &Process, limit: &str) {
    let pid = process.id().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap();
    assert!(set.success(), "{limit}");
}

/// How many files a process has open.
pub fn open_files(process: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

/// Whether it has ended, and only waits to be asked how.
fn has_ended(process: &Process) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with('Z'))
}

/// Waits until the process has ended by itself: how.
pub async fn ends_by_itself(process: &mut Process) -> ExitStatus {
    eventually("the process ends", async || has_ended(process).then_some(())).await;
    process.stop().unwrap()
}

/// It saw its own end coming: an exit code, no signal.
pub fn ended_in_order(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| code != 0) && status.signal().is_none()
}
