//! A school's TLS connection with HTTP/1.1 by hand on it, to be cut wherever a test likes.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ecaf::http::Fields;
use ecaf::protocol::trust::pem;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Scene;

/// A connection of the school at `school`, with nothing sent on it.
pub async fn connect(scene: &Scene, school: usize) -> std::io::Result<TlsStream<TcpStream>> {
    let file = scene.world.school_config(school);
    let read = |path: &Path| std::fs::read(path).unwrap();
    let certificates = pem::certificates(&read(&file.with_file_name("tls.crt"))).unwrap();
    let key = pem::private_key(&read(&file.with_file_name("tls.key"))).unwrap();
    let mut roots = RootCertStore::empty();
    for root in pem::certificates(&read(&scene.world.root())).unwrap() {
        roots.add(root).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ecaf::http::tls::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates, key)
        .unwrap();
    let socket = TcpStream::connect(scene.world.gateway_address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// Sends a whole request as the school at `school`. The answer is never read: dropping the connection
/// hangs up.
pub async fn send(
    scene: &Scene,
    school: usize,
    fields: &Fields,
    body: &Bytes,
) -> TlsStream<TcpStream> {
    let mut tls = connect(scene, school).await.unwrap();
    let port = scene.world.gateway_address().port();
    let mut head = format!(
        "POST /v1/referrals HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in fields {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    head.push_str("\r\n");
    tls.write_all(head.as_bytes()).await.unwrap();
    tls.write_all(body).await.unwrap();
    tls.flush().await.unwrap();
    tls
}
