//! A scheme with its clock, servers on the loopback, raw TLS clients, and the log of it all.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ::http::{Method, StatusCode};
use ecaf::domain::party::{Party, Role};
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::effects::{Clock, FixedClock, SeededEntropy, SystemEntropy};
use ecaf::http::client::{Client, ClientLimits};
use ecaf::http::tls::{Credentials, ServerTls, TlsIdentity};
use ecaf::http::{Answer, Handler, Limits, Request, Response, Server, Service, Trust};
use ecaf::protocol::trust::issue::{
    Ca, CrlContent, LeafKind, LeafRequest, Period, PrivateKey, Reason, Revoked,
};
use ecaf::protocol::trust::{Chain, Purpose, TrustScope, TrustStore};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const DOMAIN: &str = "demo.ecaf.example";
pub const GATEWAY: &str = "gateway/example-1";
pub const GATEWAY_HOST: &str = "gateway.demo.ecaf.example";
pub const SCHOOL: &str = "school/900001";
/// Nothing waits this long; a test that does has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

pub fn party(path: &str) -> Party {
    format!("spiffe://{DOMAIN}/{path}").parse().unwrap()
}

pub fn dns(name: &str) -> LeafKind {
    LeafKind::Tls { dns: vec![name.to_owned()] }
}

pub fn no_dns() -> LeafKind {
    LeafKind::Tls { dns: Vec::new() }
}

/// A chain with its key, as a party has them.
pub struct Held {
    pub chain: Chain,
    pub key: PrivateKey,
}

impl Held {
    pub fn serial(&self) -> Vec<u8> {
        ecaf::protocol::trust::serial(self.chain.leaf()).unwrap()
    }

    pub fn copy(&self) -> Self {
        let key = PrivateKey::from_pem(self.key.to_pem().as_bytes()).unwrap();
        Self { chain: self.chain.clone(), key }
    }
}

pub struct Scheme {
    pub root: Ca,
    pub issuing: Ca,
    pub entropy: SeededEntropy,
    pub clock: FixedClock,
    crl_number: AtomicU64,
}

impl Scheme {
    pub fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let made = noon().plus(-30 * DAY);
        let key = || PrivateKey::generate().unwrap();
        let root = Ca::new_root("Root", key(), Period::of_root(made), &entropy).unwrap();
        let issuing =
            root.new_issuing("Issuing", key(), Period::of_issuing(made), &entropy).unwrap();
        let clock = FixedClock::at(noon());
        Self { root, issuing, entropy, clock, crl_number: AtomicU64::new(1) }
    }

    pub fn request(&self, path: &str, kind: LeafKind) -> LeafRequest {
        LeafRequest::new(party(path), kind, self.clock.now())
    }

    pub fn held(&self, leaf: CertificateDer<'static>, key: PrivateKey) -> Held {
        let chain = Chain::new(vec![leaf, self.issuing.certificate().clone()]).unwrap();
        Held { chain, key }
    }

    pub fn issue(&self, path: &str, kind: LeafKind) -> Held {
        self.issue_request(&self.request(path, kind))
    }

    pub fn issue_request(&self, request: &LeafRequest) -> Held {
        let key = PrivateKey::generate().unwrap();
        let leaf = self.issuing.leaf(request, &key, &self.entropy).unwrap();
        self.held(leaf, key)
    }

    pub fn crls(&self, revoked: &[&Held]) -> Vec<Vec<u8>> {
        let number = self.crl_number.fetch_add(1, Ordering::SeqCst);
        let this_update = self.clock.now().plus(-DAY);
        let entry = |held: &&Held| Revoked {
            serial: held.serial(),
            at: this_update,
            reason: Reason::KeyCompromise,
            invalid_from: None,
        };
        let content = |revoked| CrlContent {
            number,
            this_update,
            next_update: this_update.plus(5 * DAY),
            revoked,
        };
        let issuing = self.issuing.crl(&content(revoked.iter().map(entry).collect())).unwrap();
        vec![self.root.crl(&content(Vec::new())).unwrap(), issuing]
    }

    pub fn store(&self, revoked: &[&Held]) -> TrustStore {
        let roots = vec![self.root.certificate().clone()];
        let issuing = vec![self.issuing.certificate().clone()];
        let domain = DOMAIN.parse().unwrap();
        TrustStore::new(domain, TrustScope::Live, roots, issuing, self.crls(revoked)).unwrap()
    }

    pub fn trust(&self) -> Arc<Trust> {
        Trust::new(self.store(&[]), Arc::new(self.clock.clone()))
    }

    pub fn credentials(&self, held: &Held, purposes: &[Purpose]) -> Arc<Credentials> {
        let identity =
            TlsIdentity::new(held.chain.clone(), held.key.to_der(), purposes, &self.trust());
        Credentials::new(identity.unwrap())
    }
}

/// Answers `/echo`, `/who`, `/hold` (until [`Running::release`]), `/panic`, `/query`.
pub struct Routes {
    pub entered: watch::Sender<usize>,
    pub finished: watch::Sender<usize>,
    pub release: Semaphore,
}

pub const ECHO_LIMIT: usize = 100_000;

impl Handler for Routes {
    fn handle(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            self.entered.send_modify(|n| *n += 1);
            let response = match request.path.as_str() {
                "/echo" => Response::new(StatusCode::OK, "application/octet-stream", request.body),
                "/hold" => {
                    let _ = self.release.acquire().await;
                    Response::new(StatusCode::CREATED, "text/plain", "held")
                }
                "/panic" => panic!("as asked"),
                "/query" => {
                    Response::new(StatusCode::OK, "text/plain", request.query.unwrap_or_default())
                }
                _ => {
                    let peer = &request.peer;
                    let text = format!(
                        "{} {} {} resumed={}",
                        peer.chain.party(),
                        peer.alpn.as_str(),
                        peer.key_exchange,
                        peer.resumed
                    );
                    Response::new(StatusCode::OK, "text/plain", text)
                }
            };
            self.finished.send_modify(|n| *n += 1);
            response
        })
    }

    fn body_limit(&self, method: &Method, path: &str) -> Option<usize> {
        match (method.as_str(), path) {
            ("POST", "/echo") => Some(ECHO_LIMIT),
            ("POST", "/hold") => Some(1_000),
            ("GET", "/who" | "/panic" | "/query") => Some(0),
            _ => None,
        }
    }

    fn methods(&self, path: &str) -> &'static str {
        match path {
            "/echo" | "/hold" => "POST",
            "/who" | "/panic" | "/query" => "GET",
            _ => "",
        }
    }

    fn takes_query(&self, _: &Method, path: &str) -> bool {
        path == "/query"
    }
}

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    pub trust: Arc<Trust>,
    pub credentials: Arc<Credentials>,
    pub routes: Arc<Routes>,
    shutdown: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Running {
    pub fn stop(&mut self) -> JoinHandle<()> {
        self.shutdown.take().unwrap().send(()).unwrap();
        self.task.take().unwrap()
    }

    pub fn release(&self) {
        self.routes.release.add_permits(1_000);
    }

    pub async fn entered(&self, count: usize) {
        let mut entered = self.routes.entered.subscribe();
        within(entered.wait_for(|n| *n >= count)).await.unwrap();
    }

    pub async fn finished(&self, count: usize) {
        let mut finished = self.routes.finished.subscribe();
        within(finished.wait_for(|n| *n >= count)).await.unwrap();
    }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("waited too long")
}

pub async fn serve(scheme: &Scheme, limits: Limits) -> Running {
    let held = scheme.issue(GATEWAY, dns(GATEWAY_HOST));
    let credentials = scheme.credentials(&held, &[Purpose::TlsServer, Purpose::TlsClient]);
    let trust = scheme.trust();
    let allowed = [Role::School, Role::Authority];
    let tls = ServerTls::new(trust.clone(), credentials.clone(), &allowed).unwrap();
    let routes = Arc::new(Routes {
        entered: watch::Sender::new(0),
        finished: watch::Sender::new(0),
        release: Semaphore::new(0),
    });
    let service =
        Service { limits, ..Service::new(routes.clone(), Arc::new(SystemEntropy::default())) };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, Arc::new(tls), service).await.unwrap();
    let address = server.local_addr().unwrap();
    let (shutdown, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Running { address, trust, credentials, routes, shutdown: Some(shutdown), task: Some(task) }
}

/// Our own client towards a running server.
pub fn client(scheme: &Scheme, server: &Running, held: &Held) -> Client {
    let credentials = scheme.credentials(held, &[Purpose::TlsClient]);
    let endpoint = format!("https://{GATEWAY_HOST}:{}", server.address.port()).parse().unwrap();
    Client::new(endpoint, party(GATEWAY), credentials, scheme.trust())
        .at(server.address)
        .with_limits(ClientLimits { response: PATIENCE, ..ClientLimits::default() })
}

/// How a raw client shakes hands.
#[derive(Clone)]
pub struct Raw {
    pub alpn: Vec<Vec<u8>>,
    pub groups: Vec<&'static dyn SupportedKxGroup>,
}

impl Default for Raw {
    fn default() -> Self {
        let groups = ecaf::http::tls::provider().kx_groups;
        Self { alpn: vec![b"http/1.1".to_vec()], groups }
    }
}

impl Raw {
    pub fn config(&self, held: Option<&Held>) -> Arc<ClientConfig> {
        let provider =
            CryptoProvider { kx_groups: self.groups.clone(), ..aws_lc_rs::default_provider() };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
        let mut config = match held {
            Some(held) => builder
                .with_client_auth_cert(held.chain.certificates().to_vec(), held.key.to_der())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.clone();
        Arc::new(config)
    }
}

/// A raw TLS connection with a parsed-by-hand HTTP/1.1 on it.
pub struct Wire(pub TlsStream<TcpStream>);

impl Wire {
    pub async fn open(server: &Running, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let socket = TcpStream::connect(server.address).await?;
        let name = ServerName::try_from(GATEWAY_HOST).unwrap();
        Ok(Self(TlsConnector::from(config).connect(name, socket).await?))
    }

    pub async fn new(server: &Running, held: &Held) -> Self {
        Self::open(server, Raw::default().config(Some(held))).await.unwrap()
    }

    pub async fn send(&mut self, raw: impl AsRef<[u8]>) {
        self.0.write_all(raw.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// One answer: status, head in lower case, body.
    pub async fn answer(&mut self) -> std::io::Result<Answered> {
        let mut raw = Vec::new();
        let head = loop {
            if let Some(at) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if within(self.0.read_buf(&mut raw)).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        let text = String::from_utf8(raw[..head].to_vec()).unwrap().to_lowercase();
        let status = text[9..12].parse().unwrap();
        let length: usize = text
            .split("\r\n")
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |n| n.parse().unwrap());
        let mut body = raw.split_off(head + 4);
        while body.len() < length {
            assert_ne!(within(self.0.read_buf(&mut body)).await?, 0, "cut off");
        }
        assert_eq!(body.len(), length, "more than was announced");
        Ok(Answered { status, head: text, body })
    }

    /// Waits until the server has closed; what else it sent.
    pub async fn closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A close without close_notify is an error to rustls, and a close to us.
        let _ = within(self.0.read_to_end(&mut rest)).await;
        rest
    }
}

#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answered {
    pub fn rule(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["violations"][0]["rule"].as_str().unwrap().to_owned()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Takes every server: these tests are about what the server takes.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub fn key_der(held: &Held) -> PrivateKeyDer<'static> {
    held.key.to_der()
}

// --- the log of this process ---

struct Log {
    text: Mutex<String>,
    lines: watch::Sender<usize>,
    written: AtomicUsize,
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        tracing_subscriber::fmt().with_ansi(false).with_writer(|| LogWriter).init();
        Log { text: Mutex::default(), lines: watch::Sender::new(0), written: AtomicUsize::new(0) }
    })
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let log = log();
        log.text.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        log.lines.send_replace(log.written.fetch_add(1, Ordering::SeqCst) + 1);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Starts to keep the log; before anything that is looked for later.
pub fn keep_log() {
    log();
}

/// Waits for a line that has all of `parts`.
pub async fn logged(parts: &[&str]) -> String {
    let log = log();
    let mut lines = log.lines.subscribe();
    within(async {
        loop {
            let found = {
                let text = log.text.lock().unwrap();
                text.lines().find(|l| parts.iter().all(|p| l.contains(p))).map(str::to_owned)
            };
            match found {
                Some(line) => return line,
                None => lines.changed().await.unwrap(),
            }
        }
    })
    .await
}
