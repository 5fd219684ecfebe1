//! The listening side of TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::{HandshakeKind, NamedGroup};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
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
    config: ArcSwapOption<Generation>,
}

/// The configuration made for one state of trust and credentials. Its ticket keys are its own, so
/// that a session can only be resumed as long as neither has changed.
#[derive(Debug)]
struct Generation {
    trust: u64,
    credentials: u64,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// For parties of the `allowed` kinds. Fails if the cryptography cannot be set up.
    pub fn new(
        trust: Arc<Trust>,
        credentials: Arc<Credentials>,
        allowed: &[Role],
    ) -> Result<Self, TlsFault> {
        let tls =
            Self { trust, credentials, allowed: allowed.into(), config: ArcSwapOption::empty() };
        tls.config()?;
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
        let config = self.config().map_err(|_| Reason::of(rules::FAULT))?;
        let stream = TlsAcceptor::from(config)
            .accept(socket)
            .await
            .map_err(|error: io::Error| Reason::of_handshake(&error))?;
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

    fn config(&self) -> Result<Arc<ServerConfig>, TlsFault> {
        // Read before building: a change meanwhile then only means building once more.
        let (trust, credentials) = (self.trust.generation(), self.credentials.generation());
        if let Some(current) = &*self.config.load()
            && (current.trust, current.credentials) == (trust, credentials)
        {
            return Ok(current.config.clone());
        }
        let config = Arc::new(self.build()?);
        let next = Generation { trust, credentials, config: config.clone() };
        self.config.store(Some(Arc::new(next)));
        Ok(config)
    }

    fn build(&self) -> Result<ServerConfig, TlsFault> {
        let provider = Arc::new(provider());
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
        config.ticketer = Ticketer::new().map_err(TlsFault)?;
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
