//! A gateway without a network: everything behind the listener, and submissions of a school.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ecaf::app;
use ecaf::cli::sandbox::World;
use ecaf::config;
use ecaf::domain::party::Organisation;
use ecaf::effects::{Clock, Entropy, SigningKey, SystemClock, SystemEntropy};
use ecaf::gateway::api::Api;
use ecaf::gateway::exchange::Exchange;
use ecaf::http::reload::TrustFiles;
use ecaf::http::{Alpn, Peer, Request, RequestId, Trust};
use ecaf::party::member::Member;
use ecaf::protocol::directory::{DirectoryHolder, accept};
use ecaf::protocol::message::{CERTIFICATES, TOKEN};
use ecaf::protocol::routing_data::RoutingTables;
use ecaf::protocol::signing::SigningIdentity;
use ecaf::protocol::trust::{Chain, Purpose, TrustScope, VerifiedCache, pem};
use ecaf::store::sqlite::{Settings, SqliteGateway};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::Notify;

use super::work::Work;

/// Everything of one gateway, in a folder that goes with it.
pub struct Scene {
    pub exchange: Arc<Exchange>,
    pub api: Api,
    pub sender: Member,
    peer: Arc<Peer>,
    folder: PathBuf,
}

impl Scene {
    pub async fn open() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("ecaf-instructions-{}", std::process::id()));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let world = World::prepare(&folder, clock.now(), &*entropy, "")?;
        let settings = config::load_gateway(&world.gateway_config()).map_err(|e| e.to_string())?;
        let files = TrustFiles {
            trust_domain: settings.trust.domain.clone(),
            scope: TrustScope::Demo,
            roots: settings.trust.roots.clone(),
            issuing: settings.trust.issuing.clone(),
            crls: vec![settings.trust.crls.clone()],
        };
        let trust = files.load().await.map_err(|e| e.to_string())?;
        let trust = Trust::new(trust, Arc::clone(&clock));
        let read = |path: PathBuf| std::fs::read(path).map_err(|e| e.to_string());
        let chain_in = |path: PathBuf| {
            let chain = pem::certificates(&read(path)?).map_err(|e| e.to_string())?;
            Chain::presented(chain).map_err(|e| e.to_string())
        };
        let chain = chain_in(folder.join("gateway/signing.crt"))?;
        let verified = trust.check(&chain, Purpose::Signing).map_err(|e| e.to_string())?;
        let Organisation::Gateway(name) = verified.party().organisation.clone() else {
            return Err("not a gateway".into());
        };
        let key = pem::private_key(&read(folder.join("gateway/signing.key"))?);
        let key = SigningKey::from_pkcs8(key.map_err(|e| e.to_string())?.secret_der());
        let key = Arc::new(key.map_err(|e| e.to_string())?);
        let signing = SigningIdentity::new(key, chain, &verified).map_err(|e| e.to_string())?;
        let directory = Arc::new(DirectoryHolder::new(None));
        let (bundle, at) = (read(settings.directory.clone())?, clock.now());
        let verify = |chain: &Chain| trust.store().verify(chain, Purpose::Signing, at);
        directory
            .offer(|in_use| accept(&bundle, verify, at, in_use))
            .map_err(|_| "the directory is refused")?;
        let file = settings.store.file().ok_or("the sandbox keeps a file")?;
        let store = Settings::owner(file).or_create();
        let vault = ecaf::app::open_vault(&settings.keys, true).map_err(|e| e.to_string())?;
        let store = SqliteGateway::open(&store, vault, Arc::clone(&entropy));
        let store = store.map_err(|e| e.to_string())?;
        let exchange = Arc::new(Exchange {
            name,
            signing: ArcSwap::from_pointee(signing),
            trust: Arc::clone(&trust),
            cache: VerifiedCache::new(1_024),
            directory,
            tables: ArcSwap::from_pointee(RoutingTables::embedded().map_err(|e| e.to_string())?),
            recent: Default::default(),
            store: Arc::new(store),
            clock,
            entropy,
            new_deliveries: Notify::new(),
            new_tokens: Notify::new(),
            waiting: Default::default(),
            broken: Notify::new(),
        });
        let school = config::load_school(&world.school_config(0)).map_err(|e| e.to_string())?;
        let certificates = chain_in(world.school_config(0).with_file_name("tls.crt"))?;
        let sender = app::open_member(&school).await.map_err(|e| e.to_string())?;
        let peer = Arc::new(Peer {
            chain: trust.check(&certificates, Purpose::TlsClient).map_err(|e| e.to_string())?,
            certificates,
            address: world.gateway_address(),
            alpn: Alpn::Http11,
            resumed: false,
            key_exchange: "X25519MLKEM768",
        });
        let api = Api::new(Arc::clone(&exchange), 1 << 20);
        Ok(Self { exchange, api, sender, peer, folder })
    }

    /// The next submission as the listener would hand it over.
    pub fn request(&self, work: &Work) -> Option<Request> {
        let (number, token, body) = work.take()?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(TOKEN, token);
        headers.insert(CERTIFICATES, work.certificates.clone());
        Some(Request {
            method: Method::POST,
            path: "/v1/referrals".into(),
            query: None,
            headers,
            body,
            peer: Arc::clone(&self.peer),
            request_id: RequestId((number as u128).to_le_bytes()),
            traceparent: None,
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
