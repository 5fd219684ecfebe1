//! PostgreSQL servers of the tests' own, from Debian's package, with their data in a temporary
//! folder: `fsync` on, a Unix socket and a loopback port with TLS.
//!
//! [`shared`] is one server for a whole test binary, with a fresh database for each test
//! ([`Server::database`]); [`Server::start`] is one that a test may kill, restart ([`Server::kill`],
//! [`Server::restart`]) or replicate ([`Server::replica`], [`Server::promote`]).
//!
//! Nothing is left behind, however the test process ends: the kernel ends the servers with it
//! (`PR_SET_PDEATHSIG`), and a shell that waits for the end of a pipe removes the folder.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod database;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub use database::*;

/// How long a server may take to start, to stop, or to catch up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name under which a replica follows, for `synchronous_standby_names`.
pub const REPLICA: &str = "replica";

/// One PostgreSQL server. Stopped when it is dropped.
pub struct Server {
    folder: PathBuf,
    data: PathBuf,
    port: u16,
    child: Option<Child>,
    /// Whether the template databases are made: a gateway's and an authority's.
    templates: [tokio::sync::OnceCell<()>; 2],
}

/// The server that all tests of this binary share.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

impl Server {
    /// A new, empty cluster, running.
    pub fn start() -> Self {
        let folder = new_folder();
        let data = folder.join("data");
        run(server_program("initdb").args(["--no-sync", "--auth-local=trust"]).args([
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--username=postgres",
            "--pgdata",
            data.to_str().unwrap(),
        ]));
        let certificates = Certificates::make();
        for (name, pem) in [("server.crt", &certificates.server), ("server.key", &certificates.key)]
        {
            write_as_server(&data.join(name), pem);
        }
        fs::write(folder.join("ca.crt"), &certificates.ca).unwrap();
        let mut server = Self { folder, data, port: 0, child: None, templates: Default::default() };
        server.write_settings();
        server.restart();
        server
    }

    fn write_settings(&mut self) {
        self.port = free_port();
        let path = self.data.join("postgresql.auto.conf");
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let own = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\n\
             ssl = on\nfsync = on\nwal_level = replica\nmax_wal_senders = 8\nmax_connections = 200\n\
             shared_buffers = '64MB'\nlog_min_messages = warning\nwal_receiver_status_interval = 1\n\
             wal_retrieve_retry_interval = '200ms'\n",
            self.port,
            self.folder.display(),
        );
        write_as_server(&path, &(kept + &own));
    }

    /// Starts it (again), and waits until it answers.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("{}.log", self.port)))
            .unwrap();
        let mut command = server_program("postgres");
        command.arg("-D").arg(&self.data).stdout(Stdio::null()).stderr(log).stdin(Stdio::null());
        self.child = Some(spawn_for_good(command));
        let until = Instant::now() + PATIENCE;
        loop {
            let mut ready = program("pg_isready");
            ready
                .args(["-q", "-U", "postgres", "-h"])
                .arg(&self.folder)
                .arg("-p")
                .arg(self.port.to_string());
            if ready.status().unwrap().success() {
                return;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{}", self.log());
            pause();
        }
    }

    /// `kill -9` of the postmaster. Its other processes notice and end; returns when they have, as far
    /// as that can be seen: the data folder can be started again.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().unwrap();
        child.wait().unwrap();
        // A new postmaster refuses to start while an old backend holds the shared memory block.
        let until = Instant::now() + PATIENCE;
        while self.backends_left() {
            assert!(Instant::now() < until, "backends of a killed postmaster stay");
            pause();
        }
    }

    /// Whether a process still works in the data folder.
    fn backends_left(&self) -> bool {
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        processes.flatten().any(|process| {
            fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == self.data)
        })
    }

    /// Stops it at once, with its memory lost but its processes ended (`immediate`).
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
        let until = Instant::now() + PATIENCE;
        while child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > until {
                let _ = child.kill();
            }
            pause();
        }
    }

    /// The folder of its Unix socket.
    pub fn socket(&self) -> &Path {
        &self.folder
    }

    /// Its port, of the Unix socket and on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// PEM file of the authority that signed the server's certificate (for `localhost`).
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// What the server has said, for assertions.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join(format!("{}.log", self.port))).unwrap_or_default()
    }

    /// User and system time of all its processes, those that have ended too, in microseconds (fields
    /// 14 to 17 of `proc(5)` stat, in ticks of 10 ms).
    pub fn cpu_us(&self) -> f64 {
        let Ok(processes) = fs::read_dir("/proc") else { return 0.0 };
        let ours = processes.flatten().map(|process| process.path());
        let ours =
            ours.filter(|path| fs::read_link(path.join("cwd")).is_ok_and(|d| d == self.data));
        let ticks = ours.map(|path| -> u64 {
            let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().skip(11).take(4).flat_map(str::parse::<u64>).sum()
        });
        ticks.sum::<u64>() as f64 * 10_000.0
    }

    /// Runs SQL as the superuser and gives what it returns, a line for each row.
    pub fn sql(&self, database: &str, sql: &str) -> Vec<String> {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, where it may be refused.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<Vec<String>, String> {
        let out = program("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .output()
            .unwrap();
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
    }

    /// A streaming replica of this server, running and caught up; `synchronous` makes every commit
    /// here wait for it.
    pub fn replica(&self, synchronous: bool) -> Self {
        let folder = self.folder.clone();
        let port = self.port.to_string();
        let data = folder.join(format!("replica-{}", free_port()));
        run(server_program("pg_basebackup")
            .args([
                "--write-recovery-conf",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
            ])
            .args(["-U", "postgres", "-p", &port, "-h"])
            .arg(&folder)
            .arg("--pgdata")
            .arg(&data));
        let mut replica =
            Self { folder, data, port: 0, child: None, templates: Default::default() };
        replica.write_settings();
        replica.follow(self);
        replica.restart();
        if synchronous {
            self.sql(
                "postgres",
                &format!("ALTER SYSTEM SET synchronous_standby_names = '{REPLICA}'"),
            );
            self.sql("postgres", "SELECT pg_reload_conf()");
        }
        let count = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        let and = if synchronous { " AND sync_state = 'sync'" } else { "" };
        self.wait_until("postgres", &format!("{count}{and}"), "1");
        replica
    }

    /// Makes this (stopped) server follow `primary` from its next start on.
    pub fn follow(&self, primary: &Self) {
        let path = self.data.join("postgresql.auto.conf");
        let kept = fs::read_to_string(&path).unwrap();
        let line = format!(
            "primary_conninfo = 'host={} port={} user=postgres application_name={REPLICA}'\n\
             synchronous_standby_names = ''\n",
            primary.folder.display(),
            primary.port
        );
        write_as_server(&path, &(kept + &line));
        write_as_server(&self.data.join("standby.signal"), "");
    }

    /// Asks until the answer is `wanted`.
    pub fn wait_until(&self, database: &str, sql: &str, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        while self.sql(database, sql) != [wanted] {
            assert!(Instant::now() < until, "{sql} is never {wanted}: {}", self.log());
            pause();
        }
    }

    /// Makes a replica a primary, and waits until it accepts writes. The promotion epoch is the
    /// operator's to advance: `ecaf store promote`.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote(true, 60)"), ["t"]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A program of the newest PostgreSQL installed.
fn program(name: &str) -> Command {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL from Debian's package `postgresql`")
        .flatten()
        .map(|entry| entry.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    versions.sort();
    Command::new(versions.pop().expect("PostgreSQL from Debian's package `postgresql`"))
}

/// The same, as the user that may run a server (never root), to be ended with this process.
fn server_program(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if server_user().is_some() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg("--").arg(program(name).get_program()).current_dir("/");
    command.env_remove("PGHOST").env_remove("PGPORT").env("LC_ALL", "C");
    command
}

/// User and group of `postgres` where this process is root.
fn server_user() -> Option<(u32, u32)> {
    let id = |what: &[&str]| -> u32 {
        let out = Command::new("id").args(what).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().parse().expect("a user `postgres`")
    };
    static FOUND: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
    })
}

fn own_by_server(path: &Path) {
    if let Some((user, group)) = server_user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

fn write_as_server(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    own_by_server(path);
}

/// A folder that a watcher removes when this process has ended.
fn new_folder() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("ecaf-pg-").tempdir().unwrap().keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).unwrap();
    own_by_server(&folder);
    let mut watcher = Command::new("sh");
    // The servers end on their own; a few turns, because they write while they end.
    watcher
        .args([
            "-c",
            "read _; for _ in 1 2 3 4 5 6 7 8; do rm -rf \"$1\" && break; sleep 0.5; done",
        ])
        .arg("sh")
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let watcher = watcher.spawn().unwrap();
    // The pipe is held for as long as this process lives.
    static WATCHERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    WATCHERS.lock().unwrap().push(watcher);
    folder
}

fn run(command: &mut Command) {
    let out = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {text}");
}

/// Spawns from a thread that lives as long as this process: the kernel's signal to a child comes
/// when the very thread ends that made it.
fn spawn_for_good(command: Command) -> Child {
    type Job = (Command, Sender<Child>);
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                answer.send(command.spawn().unwrap()).unwrap();
            }
        });
        Mutex::new(jobs)
    });
    let (answer, child) = channel();
    spawner.lock().unwrap().send((command, answer)).unwrap();
    child.recv().unwrap()
}

/// A port that nobody used a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Between two looks at another process.
#[allow(clippy::disallowed_methods, reason = "another process can only be polled")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A certificate authority of this server's own with a leaf for `localhost`, in PEM.
struct Certificates {
    ca: String,
    server: String,
    key: String,
}

impl Certificates {
    fn make() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let server = leaf.signed_by(&key, &issuer).unwrap().pem();
        Self { ca, server, key: key.serialize_pem() }
    }
}
