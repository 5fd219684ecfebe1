//! Gateways and authorities inside the test's own process, so that their clock can be moved and
//! their answers be spoiled on the way. The parts are the product's; only the wiring is repeated.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use ecaf::authority::collect::Collector;
use ecaf::authority::station::Station;
use ecaf::config::{self, AuthoritySettings, IdentitySettings, MemberSettings, TrustSettings};
use ecaf::domain::delivery::{BreakerPolicy, RetryPolicy};
use ecaf::domain::ids::ReferralId;
use ecaf::domain::party::{Organisation, Party, Role, TrustDomain};
use ecaf::domain::time::DAY;
use ecaf::effects::{Clock, Entropy, SigningKey, SystemEntropy};
use ecaf::gateway::courier::MutualTlsCourier;
use ecaf::gateway::deliver::{self, DeliverySettings};
use ecaf::gateway::exchange::Exchange;
use ecaf::gateway::lines::Lines;
use ecaf::gateway::{self, publish, push, remind};
use ecaf::http::reload::{IdentityFiles, TrustFiles};
use ecaf::http::tls::ServerTls;
use ecaf::http::{
    Answer, Client, ClientLimits, Credentials, Handler, Line, Request, Response, Server, Service,
    Trust,
};
use ecaf::party::member::Member;
use ecaf::party::receiver::Receiver;
use ecaf::protocol::directory::{DirectoryHolder, accept};
use ecaf::protocol::jws::LARGEST_TOKEN;
use ecaf::protocol::message::EVENTS_PATH;
use ecaf::protocol::routing_data::RoutingTables;
use ecaf::protocol::signing::SigningIdentity;
use ecaf::protocol::trust::{Chain, Purpose, TrustScope, VerifiedCache, pem};
use ecaf::store::Pushed;
use ecaf::store::sqlite::{Settings, SqliteAuthority, SqliteGateway};
use http::{Method, StatusCode};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::Scene;

fn files(settings: &TrustSettings) -> TrustFiles {
    TrustFiles {
        trust_domain: settings.domain.clone(),
        scope: if settings.demo { TrustScope::Demo } else { TrustScope::Live },
        roots: settings.roots.clone(),
        issuing: settings.issuing.clone(),
        crls: vec![settings.crls.clone()],
    }
}

async fn trust(settings: &TrustSettings, clock: &Arc<dyn Clock>) -> Arc<Trust> {
    Trust::new(files(settings).load().await.unwrap(), Arc::clone(clock))
}

async fn credentials(
    identity: &IdentitySettings,
    purposes: &[Purpose],
    trust: &Trust,
) -> Arc<Credentials> {
    let files = IdentityFiles {
        chain: identity.tls_certificate.clone(),
        key: identity.tls_key.path().to_owned(),
    };
    Credentials::new(files.load(purposes, trust).await.unwrap())
}

/// A signing identity from PEM bytes, as the trust data of this moment allows it.
pub fn signing(certificate: &[u8], key: &[u8], trust: &Trust) -> SigningIdentity {
    let chain = Chain::presented(pem::certificates(certificate).unwrap()).unwrap();
    let verified = trust.check(&chain, Purpose::Signing).unwrap();
    let der = pem::private_key(key).unwrap();
    let key = SigningKey::from_pkcs8(der.secret_der()).unwrap();
    SigningIdentity::new(Arc::new(key), chain, &verified).unwrap()
}

fn own_signing(identity: &IdentitySettings, trust: &Trust) -> SigningIdentity {
    let files = identity.signing.as_ref().unwrap();
    let read = |path: &Path| std::fs::read(path).unwrap();
    signing(&read(&files.certificate), &read(files.key.path()), trust)
}

fn directory(path: &Path, trust: &Trust) -> Arc<DirectoryHolder> {
    let holder = Arc::new(DirectoryHolder::new(None));
    let (bytes, at) = (std::fs::read(path).unwrap(), trust.clock().now());
    let verify = |chain: &Chain| trust.store().verify(chain, Purpose::Signing, at);
    holder.offer(|in_use| accept(&bytes, verify, at, in_use)).unwrap();
    holder
}

/// Something that runs until it is told to stop.
struct Running {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    fn new() -> (Self, watch::Receiver<bool>) {
        let (stop, stopping) = watch::channel(false);
        (Self { stop, tasks: Vec::new() }, stopping)
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A gateway.
pub struct Gateway {
    pub exchange: Arc<Exchange>,
    pub lines: Arc<Lines>,
    files: TrustFiles,
    running: Running,
}

/// Retries at once by the machine's clock, gives up after three days by the test's clock.
pub fn eager() -> DeliverySettings {
    DeliverySettings {
        retry: RetryPolicy { base_ms: 1, max_ms: 1, give_up_after_ms: 3 * DAY },
        breaker: BreakerPolicy { failures: 1_000_000, ..BreakerPolicy::default() },
        parallel: 8,
        parallel_per_authority: 4,
        lease_ms: 60_000,
        look_every: Duration::from_millis(20),
    }
}

impl Gateway {
    /// Opens the gateway of a scene, at its own address and over its own store.
    pub async fn open(scene: &Scene, clock: &Arc<dyn Clock>, deliveries: DeliverySettings) -> Self {
        let settings = config::load_gateway(&scene.world.gateway_config()).unwrap();
        let trust = trust(&settings.trust, clock).await;
        let purposes = [Purpose::TlsServer, Purpose::TlsClient];
        let credentials = credentials(&settings.identity, &purposes, &trust).await;
        let party = credentials.identity().party().clone();
        let Organisation::Gateway(name) = party.organisation.clone() else { panic!("{party}") };
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let store = Settings::owner(settings.store.file().unwrap()).or_create();
        let exchange = Arc::new(Exchange {
            name,
            signing: ArcSwap::from_pointee(own_signing(&settings.identity, &trust)),
            trust: Arc::clone(&trust),
            cache: VerifiedCache::new(1_024),
            directory: directory(&settings.directory, &trust),
            tables: ArcSwap::from_pointee(RoutingTables::embedded().unwrap()),
            recent: Default::default(),
            store: {
                let vault = ecaf::app::open_vault(&settings.keys, true).unwrap();
                Arc::new(SqliteGateway::open(&store, vault, Arc::clone(&entropy)).unwrap())
            },
            clock: Arc::clone(clock),
            entropy: Arc::clone(&entropy),
            new_deliveries: Notify::new(),
            new_tokens: Notify::new(),
            waiting: Default::default(),
            broken: Notify::new(),
        });
        let roles = [Role::School, Role::Authority, Role::Gateway, Role::Operator];
        let tls = ServerTls::new(Arc::clone(&trust), Arc::clone(&credentials), &roles).unwrap();
        let api = gateway::api::Api::new(Arc::clone(&exchange), settings.limits.body_bytes)
            .with_retry(deliveries.retry);
        let limits = settings.limits.listener.clone();
        let service = Service { limits, ..Service::new(Arc::new(api), entropy) };
        let address = settings.listen.parties;
        let server = Server::bind(address, Arc::new(tls), service).await.unwrap();
        let lines = Arc::new(Lines::new(
            party.trust_domain,
            Arc::clone(&trust),
            credentials,
            ClientLimits::default(),
        ));
        let (mut running, stopping) = Running::new();
        let holder = "sandbox/test".to_owned();
        running.tasks.push(tokio::spawn(server.run(stopped(stopping.clone()))));
        running.tasks.push(tokio::spawn(deliver::run(
            Arc::clone(&exchange),
            Arc::new(MutualTlsCourier::new(Arc::clone(&lines))),
            deliveries.clone(),
            holder.clone(),
            stopping.clone(),
        )));
        let pushes = push::run(
            Arc::clone(&exchange),
            Arc::clone(&lines),
            deliveries.retry,
            holder.clone(),
            stopping.clone(),
        );
        running.tasks.push(tokio::spawn(pushes));
        let clocks = remind::run(Arc::clone(&exchange), holder.clone(), stopping.clone());
        running.tasks.push(tokio::spawn(clocks));
        running.tasks.push(tokio::spawn(publish::run(Arc::clone(&exchange), holder, stopping)));
        Self { exchange, lines, files: files(&settings.trust), running }
    }

    /// Takes the directory that lies in the scene's folder now.
    pub fn look_at_directory(&self, scene: &Scene) {
        let bytes = std::fs::read(scene.world.folder().join("directory.signed.json")).unwrap();
        let (trust, at) = (&self.exchange.trust, self.exchange.now());
        let verify = |chain: &Chain| trust.store().verify(chain, Purpose::Signing, at);
        self.exchange.directory.offer(|in_use| accept(&bytes, verify, at, in_use)).unwrap();
    }

    /// Reads trust data again.
    pub async fn reload(&self) {
        self.exchange.trust.publish(self.files.load().await.unwrap());
    }

    /// Stops it and lets go of its store.
    pub async fn stop(self) {
        let Self { exchange, running, .. } = self;
        running.stop().await;
        // The last holder closes the file.
        let exchange = Arc::try_unwrap(exchange).ok().expect("the exchange is still in use");
        drop(exchange);
    }
}

/// An authority.
pub struct Authority {
    pub station: Arc<Station>,
    running: Running,
}

impl Authority {
    /// Opens an authority of a scene at its own address. `around` may put something between the
    /// edge and the real answers.
    pub async fn open(
        scene: &Scene,
        index: usize,
        clock: &Arc<dyn Clock>,
        around: impl FnOnce(ecaf::authority::api::Api) -> Arc<dyn Handler>,
    ) -> Self {
        let (station, settings) = station(scene, index, clock).await;
        let trust = Arc::clone(&station.trust);
        let credentials = credentials(&settings.identity, &[Purpose::TlsServer], &trust).await;
        let entropy = Arc::clone(&station.entropy);
        let tls = ServerTls::new(trust, credentials, &[Role::Gateway]).unwrap();
        let body_bytes = settings.limits.body_bytes;
        let api = ecaf::authority::api::Api::new(Arc::clone(&station), body_bytes);
        let limits = settings.limits.listener.clone();
        let service = Service { limits, ..Service::new(around(api), entropy) };
        let address = settings.parties.unwrap();
        let server = Server::bind(address, Arc::new(tls), service).await.unwrap();
        let (mut running, stopping) = Running::new();
        running.tasks.push(tokio::spawn(server.run(stopped(stopping))));
        Self { station, running }
    }

    /// Stops it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// A receiver of pushed events that a school, or its supplier, runs: it keeps each token once.
pub struct Receiving {
    parts: Arc<ReceivingParts>,
    running: Running,
}

struct ReceivingParts {
    trust: Arc<Trust>,
    cache: VerifiedCache,
    directory: Arc<DirectoryHolder>,
    scheme: TrustDomain,
    kept: Arc<Mutex<Vec<Pushed>>>,
}

impl Handler for ReceivingParts {
    fn handle(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            let receiver = Receiver {
                scheme: &self.scheme,
                trust: &self.trust,
                cache: &self.cache,
                directory: &self.directory,
                now: self.trust.clock().now(),
            };
            match receiver.judge(&request) {
                Ok(pushed) => {
                    self.kept.lock().unwrap().push(pushed);
                    Response::empty(StatusCode::ACCEPTED)
                }
                Err(not_taken) => not_taken.response(),
            }
        })
    }

    fn body_limit(&self, method: &Method, path: &str) -> Option<usize> {
        (path == EVENTS_PATH && method == Method::POST).then_some(LARGEST_TOKEN)
    }

    fn methods(&self, path: &str) -> &'static str {
        if path == EVENTS_PATH { "POST" } else { "" }
    }
}

impl Receiving {
    /// Listens with the certificate that a school's configuration names; what came before is in `kept`.
    pub async fn open(
        scene: &Scene,
        file: &Path,
        clock: &Arc<dyn Clock>,
        address: SocketAddr,
        kept: Arc<Mutex<Vec<Pushed>>>,
    ) -> Self {
        let settings = config::load_school(file).unwrap();
        let trust = trust(&settings.trust, clock).await;
        let credentials = credentials(&settings.identity, &[Purpose::TlsServer], &trust).await;
        let parts = Arc::new(ReceivingParts {
            cache: VerifiedCache::new(64),
            directory: directory(&scene.world.folder().join("directory.signed.json"), &trust),
            scheme: settings.trust.domain,
            kept,
            trust: Arc::clone(&trust),
        });
        let tls = ServerTls::new(trust, credentials, &[Role::Gateway]).unwrap();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let service = Service::new(Arc::clone(&parts) as Arc<dyn Handler>, entropy);
        let server = Server::bind(address, Arc::new(tls), service).await.unwrap();
        let (mut running, stopping) = Running::new();
        running.tasks.push(tokio::spawn(server.run(stopped(stopping))));
        Self { parts, running }
    }

    /// The referrals and tokens that came, in order.
    pub fn kept(&self) -> Vec<(ReferralId, String)> {
        let kept = self.parts.kept.lock().unwrap();
        kept.iter().map(|pushed| (pushed.referral_id, pushed.token.jws.clone())).collect()
    }

    /// Stops it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// The receiving side of an authority, with nothing open.
async fn station(
    scene: &Scene,
    index: usize,
    clock: &Arc<dyn Clock>,
) -> (Arc<Station>, AuthoritySettings) {
    let settings = config::load_authority(&scene.world.authority_config(index)).unwrap();
    let trust = trust(&settings.trust, clock).await;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let store = Settings::owner(settings.store.file().unwrap()).or_create();
    let station = Arc::new(Station {
        code: settings.code,
        reference_prefix: settings.reference_prefix.clone(),
        signing: ArcSwap::from_pointee(own_signing(&settings.identity, &trust)),
        trust: Arc::clone(&trust),
        cache: VerifiedCache::new(1_024),
        directory: directory(&settings.directory, &trust),
        store: {
            let vault = ecaf::app::open_vault(&settings.keys, true).unwrap();
            Arc::new(SqliteAuthority::open(&store, vault).unwrap())
        },
        clock: Arc::clone(clock),
        entropy,
        recent: Default::default(),
        broken: Notify::new(),
    });
    (station, settings)
}

/// An authority that collects, with its own connections to the gateway.
pub async fn collector(scene: &Scene, index: usize, clock: &Arc<dyn Clock>) -> Collector {
    let (station, _) = station(scene, index, clock).await;
    let gateway = config::load_school(&scene.world.school_config(0)).unwrap().gateway.identity;
    let line = authority_caller(scene, index, clock).await;
    Collector { station, gateway, line, wait: Duration::from_secs(5) }
}

/// A school's machine with a clock of the test's.
pub async fn school(scene: &Scene, index: usize, clock: &Arc<dyn Clock>) -> Member {
    member(config::load_school(&scene.world.school_config(index)).unwrap(), clock).await
}

/// The machine of a worker at an authority with a clock of the test's.
pub async fn worker(scene: &Scene, index: usize, clock: &Arc<dyn Clock>) -> Member {
    member(config::load_worker(&scene.world.worker_config(index)).unwrap(), clock).await
}

/// The machine of whoever this configuration is for.
pub async fn member_of(file: &Path, clock: &Arc<dyn Clock>) -> Member {
    member(config::load_member(file).unwrap(), clock).await
}

async fn member(settings: MemberSettings, clock: &Arc<dyn Clock>) -> Member {
    let trust = trust(&settings.trust, clock).await;
    let credentials = credentials(&settings.identity, &[Purpose::TlsClient], &trust).await;
    let signing =
        settings.identity.signing.is_some().then(|| own_signing(&settings.identity, &trust));
    let endpoint = settings.gateway.url.as_str().parse().unwrap();
    let (gateway, party) =
        (settings.gateway.identity.clone(), credentials.identity().party().clone());
    Member {
        client: Box::new(Client::new(endpoint, gateway.clone(), credentials, Arc::clone(&trust))),
        signing,
        gateway,
        trust,
        state: settings.state_dir.clone(),
        give_up_after: Duration::from_secs(1),
        clock: Arc::clone(clock),
        entropy: Arc::new(SystemEntropy::default()),
        party,
    }
}

/// The gateway as a caller of an authority.
pub async fn gateway_caller(scene: &Scene, index: usize, clock: &Arc<dyn Clock>) -> Box<dyn Line> {
    let settings = config::load_gateway(&scene.world.gateway_config()).unwrap();
    let trust = trust(&settings.trust, clock).await;
    let credentials = credentials(&settings.identity, &[Purpose::TlsClient], &trust).await;
    let expected = config::load_authority(&scene.world.authority_config(index)).unwrap().code;
    let expected = Party::organisation(settings.trust.domain, Organisation::Authority(expected));
    let url = format!("https://localhost:{}", scene.world.authority_address(index).port());
    Box::new(Client::new(url.parse().unwrap(), expected, credentials, trust))
}

/// An authority as a caller of the gateway.
pub async fn authority_caller(
    scene: &Scene,
    index: usize,
    clock: &Arc<dyn Clock>,
) -> Box<dyn Line> {
    let settings = config::load_authority(&scene.world.authority_config(index)).unwrap();
    let trust = trust(&settings.trust, clock).await;
    let credentials = credentials(&settings.identity, &[Purpose::TlsClient], &trust).await;
    let school = config::load_school(&scene.world.school_config(0)).unwrap().gateway;
    let url = school.url.as_str().parse().unwrap();
    Box::new(Client::new(url, school.identity, credentials, trust))
}
