//! The connecting side of TLS, towards one addressee.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::HandshakeKind;
use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::credentials::Credentials;
use super::inbound::group_name;
use super::reason::{Reason, rules};
use super::verifiers::{ServerVerifier, check, is_expected, presented};
use super::{Time, TlsFault, provider};
use crate::domain::party::Party;
use crate::http::message::Alpn;
use crate::http::trust::Trust;
use crate::protocol::trust::{Chain, Purpose};

/// A configuration, and the state of trust and credentials that it was made for: sessions are resumed
/// only as long as neither has changed.
type Made = ((u64, u64), Arc<ClientConfig>);

/// Connects to one party of the scheme.
#[derive(Debug)]
pub struct ClientTls {
    trust: Arc<Trust>,
    credentials: Arc<Credentials>,
    expected: Party,
    config: Mutex<Option<Made>>,
}

/// The other end of an outbound connection.
#[derive(Debug, Clone)]
pub struct Reached {
    /// Its certificates.
    pub certificates: Chain,
    /// The protocol agreed on.
    pub alpn: Alpn,
    /// Whether the handshake resumed an earlier session.
    pub resumed: bool,
    /// The key exchange used, by its IANA name.
    pub key_exchange: &'static str,
}

impl ClientTls {
    /// Towards `expected`.
    pub fn new(trust: Arc<Trust>, credentials: Arc<Credentials>, expected: Party) -> Self {
        Self { trust, credentials, expected, config: Mutex::default() }
    }

    /// The trust data that the other end is checked by.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// What the connections depend on: publications of trust, replacements of our certificate.
    pub fn generation(&self) -> (u64, u64) {
        (self.trust.generation(), self.credentials.generation())
    }

    /// Performs a handshake and checks the other end, also when it resumed an earlier session.
    pub async fn connect(
        &self,
        name: ServerName<'static>,
        socket: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Reached), Reason> {
        let config = self.config().map_err(|_| Reason::of(rules::FAULT))?;
        let stream = TlsConnector::from(config)
            .connect(name, socket)
            .await
            .map_err(|error| Reason::of_handshake(&error))?;
        let session = stream.get_ref().1;
        let reached = Reached {
            certificates: presented(session)?,
            alpn: if session.alpn_protocol() == Some(b"h2") { Alpn::H2 } else { Alpn::Http11 },
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            key_exchange: session
                .negotiated_key_exchange_group()
                .map_or("", |group| group_name(group.name())),
        };
        self.check(&reached.certificates)?;
        Ok((stream, reached))
    }

    /// Whether the other end may still be talked to.
    pub fn check(&self, certificates: &Chain) -> Result<(), Reason> {
        let found = check(&self.trust, certificates, Purpose::TlsServer)?;
        is_expected(&self.expected, &found)
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TlsFault> {
        let generation = self.generation();
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_for, config)) = &*current
            && *made_for == generation
        {
            return Ok(config.clone());
        }
        let config = Arc::new(self.build()?);
        *current = Some((generation, config.clone()));
        Ok(config)
    }

    fn build(&self) -> Result<ClientConfig, TlsFault> {
        let provider = Arc::new(provider());
        let time = Arc::new(Time(self.trust.clock().clone()));
        let verifier = ServerVerifier {
            trust: self.trust.clone(),
            provider: provider.clone(),
            expected: self.expected.clone(),
        };
        let mut config = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsFault)?
            .dangerous() // Stricter than the default verifier; the name warns of laxer ones.
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.credentials.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(4);
        config.enable_early_data = false;
        Ok(config)
    }
}
