//! The school's side of TLS, the same towards gateway and nginx: TLS 1.3, its own certificate, no
//! resumption, so that a new connection is a full handshake.

use std::fs;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsConnector;

use ecaf::cli::sandbox::World;
use ecaf::http::tls::provider;

/// One connector for each version of HTTP.
#[derive(Clone)]
pub struct Connectors {
    pub h1: TlsConnector,
    pub h2: TlsConnector,
}

impl Connectors {
    /// With the certificate of school `index` of the sandbox.
    pub fn load(world: &World, index: usize) -> Result<Self, String> {
        let config = |alpn: &[u8]| {
            let config = config(world, index, provider(), alpn)?;
            Ok::<_, String>(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self { h1: config(b"http/1.1")?, h2: config(b"h2")? })
    }
}

fn config(
    world: &World,
    school: usize,
    provider: CryptoProvider,
    alpn: &[u8],
) -> Result<ClientConfig, String> {
    let said = |e: &dyn std::fmt::Display| e.to_string();
    // The issuing CA is the anchor: servers send their leaf alone, as the scheme's parties do.
    let mut roots = RootCertStore::empty();
    let issuing = world.folder().join("scheme/issuing.crt");
    for ca in CertificateDer::pem_file_iter(issuing).map_err(|e| said(&e))? {
        roots.add(ca.map_err(|e| said(&e))?).map_err(|e| said(&e))?;
    }
    let file = world.school_config(school);
    let chain = CertificateDer::pem_file_iter(file.with_file_name("tls.crt"));
    let chain: Vec<_> = chain.and_then(Iterator::collect).map_err(|e| said(&e))?;
    let key = fs::read(file.with_file_name("tls.key")).map_err(|e| said(&e))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| said(&e))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| said(&e))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| said(&e))?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
