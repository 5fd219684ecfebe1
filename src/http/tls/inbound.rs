//! The listening side of TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{Acceptor, NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::{HandshakeKind, NamedGroup};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::credentials::Credentials;
use super::reason::{Reason, rules};
use super::verifiers::{ClientVerifier, check_client, presented};
use super::{Time, TlsFault, provider};
use crate::domain::party::Role;
use crate::http::message::{Alpn, Peer};
use crate::http::trust::Trust;
use crate::protocol::trust::{Chain, VerifiedChain};

/// Accepts TLS connections of parties of the scheme.
#[derive(Debug)]
pub struct ServerTls {
    trust: Arc<Trust>,
    credentials: Arc<Credentials>,
    allowed: Arc<[Role]>,
    current: ArcSwapOption<Generation>,
}

/// The configuration made for one state of trust and credentials. Its ticket keys are its own, so
/// that a session can only be resumed as long as neither has changed.
#[derive(Debug)]
struct Generation {
    trust: u64,
    credentials: u64,
    configs: Configs,
}

/// The library follows the client's order of groups. A client that speaks the hybrid at all shall use
/// it, whatever it would rather have, so it meets a configuration that has nothing else.
#[derive(Debug, Clone)]
struct Configs {
    hybrid: Arc<ServerConfig>,
    any: Arc<ServerConfig>,
}

impl ServerTls {
    /// For parties of the `allowed` kinds. Fails if the cryptography cannot be set up.
    pub fn new(
        trust: Arc<Trust>,
        credentials: Arc<Credentials>,
        allowed: &[Role],
    ) -> Result<Self, TlsFault> {
        let tls =
            Self { trust, credentials, allowed: allowed.into(), current: ArcSwapOption::empty() };
        tls.configs()?;
        Ok(tls)
    }

    /// The trust data that peers are checked by.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Our own certificate.
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Performs a handshake and checks the peer, also when it resumed an earlier session.
    pub async fn accept(
        &self,
        socket: TcpStream,
        address: SocketAddr,
    ) -> Result<(TlsStream<TcpStream>, Peer), Reason> {
        let failed = |error: io::Error| Reason::of_handshake(&error);
        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await.map_err(failed)?;
        let configs = self.configs().map_err(|_| Reason::of(rules::FAULT))?;
        let groups = hello.client_hello().named_groups();
        let config = match groups {
            Some(groups) if groups.contains(&NamedGroup::X25519MLKEM768) => configs.hybrid,
            _ => configs.any,
        };
        let stream = hello.into_stream(config).await.map_err(failed)?;
        let peer = self.peer(&stream, address)?;
        Ok((stream, peer))
    }

    /// Whether a peer may (still) be connected.
    pub fn check(&self, certificates: &Chain) -> Result<VerifiedChain, Reason> {
        check_client(&self.trust, certificates, &self.allowed)
    }

    fn peer(&self, stream: &TlsStream<TcpStream>, address: SocketAddr) -> Result<Peer, Reason> {
        let session = stream.get_ref().1;
        let certificates = presented(session)?;
        Ok(Peer {
            chain: self.check(&certificates)?,
            certificates,
            address,
            alpn: if session.alpn_protocol() == Some(b"h2") { Alpn::H2 } else { Alpn::Http11 },
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            key_exchange: session
                .negotiated_key_exchange_group()
                .map_or("", |group| group_name(group.name())),
        })
    }

    fn configs(&self) -> Result<Configs, TlsFault> {
        // Read before building: a change meanwhile then only means building once more.
        let (trust, credentials) = (self.trust.generation(), self.credentials.generation());
        if let Some(current) = &*self.current.load()
            && (current.trust, current.credentials) == (trust, credentials)
        {
            return Ok(current.configs.clone());
        }
        let configs = self.build()?;
        let next = Generation { trust, credentials, configs: configs.clone() };
        self.current.store(Some(Arc::new(next)));
        Ok(configs)
    }

    fn build(&self) -> Result<Configs, TlsFault> {
        let ticketer = Ticketer::new().map_err(TlsFault)?;
        let mut hybrid = provider();
        hybrid.kx_groups.retain(|group| group.name() == NamedGroup::X25519MLKEM768);
        Ok(Configs {
            hybrid: Arc::new(self.build_with(hybrid, ticketer.clone())?),
            any: Arc::new(self.build_with(provider(), ticketer)?),
        })
    }

    fn build_with(
        &self,
        provider: CryptoProvider,
        ticketer: Arc<dyn ProducesTickets>,
    ) -> Result<ServerConfig, TlsFault> {
        let provider = Arc::new(provider);
        let time = Arc::new(Time(self.trust.clock().clone()));
        let verifier = ClientVerifier {
            trust: self.trust.clone(),
            allowed: self.allowed.clone(),
            provider: provider.clone(),
        };
        let mut config = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsFault)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(self.credentials.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ticketer;
        // One is enough: a resumed session gives out the next.
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 0;
        Ok(config)
    }
}

/// The IANA name of a group.
pub(super) fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        NamedGroup::X25519 => "x25519",
        NamedGroup::secp256r1 => "secp256r1",
        _ => "",
    }
}
