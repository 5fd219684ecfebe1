//! Which servers, which login, TLS, and what counts as durable.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use crate::store::contract::StoreFault;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// The folder of its Unix socket.
    Socket(PathBuf),
    /// A name or address; the server's certificate must be for it.
    Name(String),
}

/// One server of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where.
    pub host: Host,
    /// Its port; part of the socket's name too.
    pub port: u16,
}

/// A client certificate instead of, or beside, a password.
pub struct ClientCertificate {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// Who logs in.
#[derive(Clone)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<Arc<Zeroizing<Vec<u8>>>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// How connections over a network are protected. There is no way to skip the check of a certificate;
/// a Unix socket needs none.
#[derive(Clone)]
pub struct Tls(Protection);

#[derive(Clone)]
enum Protection {
    Verified(MakeRustlsConnect),
    /// Unix sockets only.
    None,
    /// Unix sockets, and loopback addresses because the operator said so.
    PlainLoopback,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Protection::Verified(_) => "Tls(verified)",
            Protection::None => "Tls(none)",
            Protection::PlainLoopback => "Tls(plain loopback)",
        })
    }
}

impl Tls {
    /// TLS 1.3, with the server's certificate checked against `roots` and for the name it is reached
    /// by.
    pub fn verified(
        roots: &[CertificateDer<'static>],
        client: Option<ClientCertificate>,
    ) -> Result<Self, rustls::Error> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone())?;
        }
        if store.is_empty() {
            return Err(rustls::Error::General("no certificate authority is given".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(store);
        let config = match client {
            Some(client) => config.with_client_auth_cert(client.chain, client.key)?,
            None => config.with_no_client_auth(),
        };
        Ok(Self(Protection::Verified(MakeRustlsConnect::new(config))))
    }

    /// No TLS: for Unix sockets alone.
    pub fn socket_only() -> Self {
        Self(Protection::None)
    }

    /// No TLS, to loopback addresses only (`127.0.0.1`, `::1`), never to a name.
    pub fn plain_loopback() -> Self {
        Self(Protection::PlainLoopback)
    }

    /// What to connect to `host` with, and whether TLS must be spoken;
    /// [`StoreFault::Misuse`] where it would be without protection.
    pub(super) fn to(&self, host: &Host) -> Result<(MakeRustlsConnect, bool), StoreFault> {
        match (&self.0, host) {
            (Protection::Verified(connect), Host::Name(_)) => Ok((connect.clone(), true)),
            (_, Host::Socket(_)) => Ok((unused(), false)),
            (Protection::PlainLoopback, Host::Name(name)) if is_loopback(name) => {
                Ok((unused(), false))
            }
            _ => Err(StoreFault::Misuse),
        }
    }
}

/// Whether a host is a loopback address, written as such.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The driver wants a TLS connector also where it must not use one; this one trusts nobody.
fn unused() -> MakeRustlsConnect {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap_or_else(|_| unreachable!("the provider has TLS 1.3"))
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}

/// What a commit must have reached before anybody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The disk of the primary.
    Primary,
    /// The disk of the primary and of its synchronous replicas. Without one nothing is accepted.
    Replica,
}

/// How a store in PostgreSQL is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In the order in which they are tried; one of them is the primary.
    pub servers: Vec<Server>,
    /// The database.
    pub database: String,
    /// Who logs in.
    pub login: Login,
    /// How connections are protected.
    pub tls: Tls,
    /// What counts as durable.
    pub durability: Durability,
    /// Connections of this process at most.
    pub connections: usize,
    /// How long an operation is repeated, over lost connections and a promotion, before it is given
    /// up. One try takes at most a third of it.
    pub patience: Duration,
    /// Where the highest promotion epoch seen is kept over restarts.
    pub epoch_file: Option<PathBuf>,
}

impl Settings {
    /// Connections of a process, unless said otherwise.
    pub const CONNECTIONS: usize = 12;
    /// Patience, unless said otherwise.
    pub const PATIENCE: Duration = Duration::from_secs(15);
}
