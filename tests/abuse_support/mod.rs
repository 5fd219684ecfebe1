//! A real gateway under attack: its limits, its memory, its metrics and log, and raw connections to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ecaf::cli::sandbox::{Process, operator_get};
use ecaf::party::member::Member;
use ecaf::protocol::trust::pem;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::exchange_support::{HACKNEY, PATIENCE, QUICK, Scene, Stream, post, receipt_of};

/// Short times and small pools, so that an attack meets its limit within seconds.
pub const TIGHT: &str = "handshakes = 64\nhandshake_rate = 100000\nhandshake_burst = 100000\n\
    connections = 512\nconnections_per_address = 1024\nconnections_per_party = 200\n\
    bodies_in_memory = \"16 MiB\"\nhandshake_timeout = \"2s\"\nhead_timeout = \"1s\"\n\
    body_timeout = \"2s\"\nwrite_timeout = \"2s\"\nidle_timeout = \"3s\"\nparty_rate = 100000\n\
    party_burst = 100000";

/// What an attack may add to the memory of a gateway with the limits of [`TIGHT`], at its peak: 64
/// handshakes with two messages of 64 KiB each (8 MiB), 512 connections of 36 KB (18 MiB), bodies and
/// large answers (16 MiB), and as much again for what the allocator keeps and caches fill.
pub const MOST_MEMORY: u64 = (2 * (8 + 18 + 16)) << 20;

pub type Tls = TlsStream<TcpStream>;

/// A gateway to be attacked by school 0, with a school that means no harm.
pub struct Target {
    pub scene: Scene,
    pub gateway: Process,
    honest: Member,
    stream: Stream,
    memory_before: u64,
    started: Instant,
}

impl Target {
    /// Starts a gateway with these lines as its `[limits]`.
    pub async fn start(limits: &str) -> Self {
        let scene = Scene::now(QUICK);
        let path = scene.world.gateway_config();
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, _) = text.split_once("[limits]").unwrap();
        std::fs::write(&path, format!("{before}[limits]\n{limits}\n")).unwrap();
        let mut gateway = scene.start_gateway();
        gateway.wait_ready().unwrap();
        let honest = scene.school(1).await;
        let (stream, started) = (Stream::new(41), Instant::now());
        let mut target = Self { scene, gateway, honest, stream, memory_before: 0, started };
        // Whatever is only made once, is made now.
        for _ in 0..8 {
            target.serves().await;
        }
        target.forget_peak();
        target
    }

    /// A referral of the school that means no harm gets its receipt, on the connection that it has and
    /// on a new one.
    pub async fn serves(&mut self) {
        for sender in [None, Some(self.scene.school(1).await)] {
            let sender = sender.as_ref().unwrap_or(&self.honest);
            let document = self.stream.document(1, HACKNEY);
            let answer = tokio::time::timeout(PATIENCE, post(sender, &document)).await;
            assert!(receipt_of(&answer.expect("not served").expect("not served")).new);
        }
    }

    /// The attack is over: the gateway serves, never needed more memory than it may, and wrote one line
    /// for each of at most so many reasons, and again after ten seconds at the earliest.
    pub async fn stands(&mut self, attack: &str, reasons: u64) {
        self.serves().await;
        let (peak, before) = (memory(&self.gateway, "VmHWM:"), self.memory_before);
        let more = peak.saturating_sub(before);
        println!("{attack}: {} MiB at rest, {} MiB more at the peak", before >> 20, more >> 20);
        assert!(more <= MOST_MEMORY, "{attack}: {} MiB more", more >> 20);
        let told = self.log().iter().filter(|l| l.contains("\"left_out\"")).count() as u64;
        let most = reasons * (2 + self.started.elapsed().as_secs() / 10);
        assert!(told <= most, "{attack}: {told} lines of log, at most {most}");
        self.forget_peak();
    }

    /// What the gateway has logged so far.
    pub fn log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.scene.gateway_log()).unwrap();
        log.lines().map(str::to_owned).collect()
    }

    /// From here on only a new peak counts.
    fn forget_peak(&mut self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.gateway.id()), "5").unwrap();
        self.memory_before = memory(&self.gateway, "VmRSS:");
    }

    /// The sum of a counter over all lines that have `label` in them.
    pub async fn count(&self, metric: &str, label: &str) -> u64 {
        let operator = self.gateway.operator();
        let asked = tokio::task::spawn_blocking(move || operator_get(operator, "/metrics"));
        let (status, text) = asked.await.unwrap().unwrap();
        assert_eq!(status, 200);
        let lines = text.lines().filter(|l| l.starts_with(metric) && l.contains(label));
        lines.map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Waits until a counter has reached `least`.
    pub async fn counted(&self, metric: &str, label: &str, least: u64) {
        let what = format!("{metric} {label} at {least}");
        crate::exchange_support::eventually(&what, async || {
            (self.count(metric, label).await >= least).then_some(())
        })
        .await;
    }

    pub fn address(&self) -> SocketAddr {
        self.scene.world.gateway_address()
    }

    /// A connection from another address of this machine, nothing sent on it.
    pub async fn socket(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(self.address()).await.unwrap()
    }

    /// The attacker's configuration, offering one protocol.
    pub fn tls(&self, school: usize, protocol: &str) -> Arc<ClientConfig> {
        let file = self.scene.world.school_config(school);
        let read = |path: &Path| std::fs::read(path).unwrap();
        let certificates = pem::certificates(&read(&file.with_file_name("tls.crt"))).unwrap();
        let key = pem::private_key(&read(&file.with_file_name("tls.key"))).unwrap();
        let mut roots = RootCertStore::empty();
        for root in pem::certificates(&read(&self.scene.world.root())).unwrap() {
            roots.add(root).unwrap();
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ecaf::http::tls::provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates, key)
            .unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }

    /// A connection of the attacker.
    pub async fn connect(&self, config: &Arc<ClientConfig>) -> std::io::Result<Tls> {
        let socket = TcpSocket::new_v4()?;
        // A peer that reads slowly shall be seen to, and not be helped by its kernel.
        socket.set_recv_buffer_size(16 * 1_024)?;
        let socket = socket.connect(self.address()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config.clone()).connect(name, socket).await
    }

    /// The head of a request in HTTP/1.1, without the empty line at its end.
    pub fn head(&self, method: &str, path: &str, fields: &str) -> String {
        let port = self.address().port();
        format!("{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{fields}")
    }
}

/// A figure of /proc/PID/status, in bytes.
fn memory(process: &Process, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1_024
}

/// Reads what comes until the other side closes.
pub async fn until_closed(tls: &mut Tls) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = tls.read_to_end(&mut read);
    // A close without close_notify is an error to rustls, and a close to us.
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("never closed");
    read
}

/// One answer in HTTP/1.1: its status, and the whole of it.
pub async fn answer(tls: &mut Tls) -> (u16, String) {
    let mut read = Vec::new();
    loop {
        let more = tokio::time::timeout(PATIENCE, tls.read_buf(&mut read)).await;
        assert_ne!(more.expect("no answer").unwrap(), 0, "closed instead of answered");
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
            return (head[9..12].parse().unwrap(), text);
        }
    }
}

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut raw = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    raw.extend_from_slice(&[kind, flags]);
    raw.extend_from_slice(&stream.to_be_bytes());
    raw.extend_from_slice(payload);
    raw
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The preface of HTTP/2 with one setting, or none.
pub fn preface(setting: Option<(u16, u32)>) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some((name, value)) = setting {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &payload)].concat()
}

/// Fields as HPACK literals that are not indexed (RFC 7541 6.2.2), each part shorter than 127 bytes.
pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for part in [name, value] {
            block.push(u8::try_from(part.len()).unwrap());
            block.extend_from_slice(part.as_bytes());
        }
    }
    block
}

/// The pseudo-header fields of a request.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)];
    literals(&pseudo)
}

/// Sends `next(0)`, `next(1)`, ... and reads whatever comes, until the other side ends the connection
/// or `most` were sent. Whether it was ended.
pub async fn flood(tls: Tls, most: u32, next: impl Fn(u32) -> Vec<u8>) -> bool {
    let (mut from, mut to) = tokio::io::split(tls);
    let reading = tokio::spawn(async move {
        let mut sink = vec![0; 65_536];
        while matches!(from.read(&mut sink).await, Ok(1..)) {}
    });
    let sending = async {
        let mut batch = Vec::new();
        for number in 0..most {
            batch.extend(next(number));
            if batch.len() > 8_192 {
                if to.write_all(&batch).await.is_err() || to.flush().await.is_err() {
                    return true;
                }
                batch.clear();
            }
        }
        to.write_all(&batch).await.is_err() || to.flush().await.is_err()
    };
    let ended = tokio::time::timeout(PATIENCE, sending).await.expect("the flood got stuck");
    if ended {
        tokio::time::timeout(PATIENCE, reading).await.expect("ended, and left open").unwrap();
        return true;
    }
    // All of it went out: it may still be cut off.
    tokio::time::timeout(PATIENCE, reading).await.is_ok()
}
