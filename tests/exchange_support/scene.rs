//! A prepared scheme and the processes in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use ecaf::app;
use ecaf::cli::sandbox::{AUTHORITIES, GATEWAY, Process, World, operator_get};
use ecaf::config;
use ecaf::domain::party::{Organisation, Party, TrustDomain};
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::effects::{Clock, SystemClock, SystemEntropy, files};
use ecaf::party::member::Member;
use ecaf::protocol::directory;
use ecaf::protocol::trust::issue::PrivateKey;
use ecaf::protocol::trust::{Chain, pem};
use ecaf::store::{AuthorityStore, GatewayStore};
use tempfile::TempDir;
use tokio::time::Instant;

use super::PATIENCE;

/// Delivery settings with short waits.
pub const QUICK: &str = "retry_first = \"100ms\"\nretry_longest = \"1s\"\nbreaker_pause = \"1s\"\n\
                         attempt_timeout = \"2s\"\nconcurrency_per_authority = 8";

/// The program under test.
pub fn ecaf() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ecaf"))
}

pub struct Scene {
    pub world: World,
    folder: TempDir,
    /// Places of the authorities that collect, as processes.
    collecting: Vec<usize>,
}

impl Scene {
    /// A scheme made now.
    pub fn now(delivery: &str) -> Self {
        Self::at(SystemClock.now(), delivery)
    }

    /// A scheme made at `now`.
    pub fn at(now: Timestamp, delivery: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("scheme-of-a-test");
        let world = World::prepare(&place, now, &SystemEntropy::default(), delivery).unwrap();
        Self { world, folder, collecting: Vec::new() }
    }

    /// Starts the gateway; it is not ready yet.
    pub fn start_gateway(&self) -> Process {
        let file = self.world.gateway_config();
        let log = self.gateway_log();
        let arguments = ["gateway", "--config", file.to_str().unwrap()];
        Process::start(ecaf(), &arguments, self.world.gateway_operator(), &log).unwrap()
    }

    /// Starts an authority; it is not ready yet.
    pub fn start_authority(&self, index: usize) -> Process {
        let file = self.world.authority_config(index);
        let log = file.with_file_name("log.jsonl");
        let mut arguments = vec!["authority", "--config", file.to_str().unwrap()];
        if self.collecting.contains(&index) {
            arguments.insert(1, "collect");
        }
        Process::start(ecaf(), &arguments, self.world.authority_operator(index), &log).unwrap()
    }

    /// Starts everything and waits until it is ready.
    pub fn start_all(&self) -> (Process, Vec<Process>) {
        let mut gateway = self.start_gateway();
        let mut authorities: Vec<_> =
            (0..AUTHORITIES.len()).map(|i| self.start_authority(i)).collect();
        gateway.wait_ready().unwrap();
        authorities.iter_mut().for_each(|a| a.wait_ready().unwrap());
        (gateway, authorities)
    }

    pub fn gateway_log(&self) -> PathBuf {
        self.world.folder().join("gateway/log.jsonl")
    }

    pub fn gateway_store(&self) -> PathBuf {
        self.world.folder().join("gateway/gateway.db")
    }

    pub fn inbox_store(&self, index: usize) -> PathBuf {
        self.world.authority_config(index).with_file_name("inbox.db")
    }

    /// The gateway's store as an operator opens it: file or database, as the configuration says.
    pub async fn gateway(&self) -> Arc<dyn GatewayStore> {
        let settings = config::load_gateway(&self.world.gateway_config()).unwrap();
        app::open_gateway(&settings).await.unwrap()
    }

    /// An authority's.
    pub async fn inbox(&self, index: usize) -> Arc<dyn AuthorityStore> {
        let settings = config::load_authority(&self.world.authority_config(index)).unwrap();
        app::open_authority(&settings).await.unwrap()
    }

    /// A school's machine with connections of its own.
    pub async fn school(&self, index: usize) -> Member {
        let settings = config::load_school(&self.world.school_config(index)).unwrap();
        app::open_member(&settings).await.unwrap()
    }

    /// The machine of the worker of an authority.
    pub async fn worker(&self, index: usize) -> Member {
        let settings = config::load_worker(&self.world.worker_config(index)).unwrap();
        app::open_member(&settings).await.unwrap()
    }

    /// A school's machine that asks the gateway at this port of the loopback.
    pub async fn school_at(&self, index: usize, port: u16) -> Member {
        let file = self.world.school_config(index);
        let usual = format!("localhost:{}", self.world.gateway_address().port());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&usual));
        let file = file.with_file_name(format!("school-at-{port}.toml"));
        std::fs::write(&file, text.replace(&usual, &format!("localhost:{port}"))).unwrap();
        app::open_member(&config::load_school(&file).unwrap()).await.unwrap()
    }

    /// From here on this authority opens no endpoint: its process collects. The directory has to say so.
    pub fn collects(&mut self, index: usize) {
        let file = self.world.authority_config(index);
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("listen = "));
        let port = self.world.gateway_address().port();
        let scheme = directory::DEMO_TRUST_DOMAIN;
        let gateway = format!(
            "[gateway]\nurl = \"https://localhost:{port}\"\n\
             identity = \"spiffe://{scheme}/gateway/{GATEWAY}\"\n"
        );
        let text = lines.collect::<Vec<_>>().join("\n") + "\n" + &gateway;
        std::fs::write(&file, text).unwrap();
        self.collecting.push(index);
    }

    /// Signs issue `version` of the directory, in which these authorities collect.
    pub fn sign_pull(&self, version: u64, collect: &[usize], now: Timestamp) {
        let pull = |mut overlay: String| {
            for index in collect {
                let (code, port) =
                    (AUTHORITIES[*index].code, self.world.authority_address(*index).port());
                let push = format!(
                    "code = \"{code}\"\nconnection = \"push\"\n\
                     endpoint = \"https://localhost:{port}\"\n"
                );
                assert!(overlay.contains(&push));
                let pull = format!("code = \"{code}\"\nconnection = \"pull\"\n");
                overlay = overlay.replace(&push, &pull);
            }
            overlay
        };
        self.sign_made(version, now, pull, |_| {});
    }

    /// Signs issue `version` of the directory, in which this authority has an endpoint for events.
    pub fn sign_events(&self, version: u64, index: usize, now: Timestamp) {
        let (code, port) = (AUTHORITIES[index].code, self.world.authority_address(index).port());
        let push = format!("code = \"{code}\"\nconnection = \"push\"\n");
        let with_events = |overlay: String| {
            assert!(overlay.contains(&push));
            let events = format!("{push}events_endpoint = \"https://localhost:{port}\"\n");
            overlay.replace(&push, &events)
        };
        self.sign_made(version, now, with_events, |_| {});
    }

    /// Signs issue `version` of the directory, made of the sandbox's overlay with `more` after it.
    pub fn sign_directory(&self, version: u64, more: &str, now: Timestamp) {
        self.sign_changed(version, more, now, |_| {});
    }

    /// The same with the overlay changed.
    pub fn sign_changed(
        &self,
        version: u64,
        more: &str,
        now: Timestamp,
        change: impl FnOnce(&mut directory::Overlay),
    ) {
        self.sign_made(version, now, |overlay| format!("{overlay}\n{more}"), change);
    }

    fn sign_made(
        &self,
        version: u64,
        now: Timestamp,
        written: impl FnOnce(String) -> String,
        change: impl FnOnce(&mut directory::Overlay),
    ) {
        let folder = self.world.folder();
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let overlay = String::from_utf8(read("directory.overlay.toml")).unwrap();
        let mut overlay = directory::read_overlay(&written(overlay)).unwrap();
        change(&mut overlay);
        let trust_domain: TrustDomain = directory::DEMO_TRUST_DOMAIN.parse().unwrap();
        let header = directory::Header {
            version,
            issued_at: now,
            expires_at: now.plus(30 * DAY),
            trust_domain: trust_domain.clone(),
        };
        let (built, _) = directory::build(header, overlay, None).unwrap();
        let chain = pem::certificates(&read("operator/signing.crt")).unwrap();
        let chain = Chain::presented(chain).unwrap();
        let key = PrivateKey::from_pem(&read("operator/signing.key")).unwrap();
        let operator = Organisation::Operator("sandbox".parse().unwrap());
        let party = Party::organisation(trust_domain, operator);
        let document = directory::write_json(&built);
        let key = key.to_signing_key().unwrap();
        let signed = directory::sign(&document, &party, &key, &chain).unwrap();
        files::replace(&folder.join("directory.signed.json"), &signed, files::PUBLIC).unwrap();
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(ecaf()).args(arguments).current_dir(self.world.folder()).output().unwrap()
    }
}

/// Asks a process to stop (SIGTERM); it must end well.
#[track_caller]
pub fn ends_well(process: &mut Process) {
    let ended = process.stop();
    let well = ended.is_some_and(|status| status.success());
    assert!(well, "{ended:?} after SIGTERM: {}", process.last_lines());
}

/// How many deliveries are open, by the gateway's readiness; `None` while it does not say.
pub fn to_deliver(operator: SocketAddr) -> Option<usize> {
    let (_, text) = operator_get(operator, "/readyz").ok()?;
    text.lines().find_map(|line| line.strip_prefix("info: ")?.split(' ').next()?.parse().ok())
}

/// [`to_deliver`] without blocking the runtime.
pub async fn still_open(operator: SocketAddr) -> Option<usize> {
    tokio::task::spawn_blocking(move || to_deliver(operator)).await.unwrap()
}

/// Asks until the answer comes. Another process can only be polled; a wrong answer that never
/// changes fails the test after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
