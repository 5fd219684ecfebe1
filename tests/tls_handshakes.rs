//! Who gets a connection, over real sockets: every way in which a certificate can be wrong has its
//! own reason in the log; key exchange, versions, protocols, resumption, revocation and renewal.

mod http_support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ecaf::domain::time::{DAY, HOUR};
use ecaf::effects::{Clock, files};
use ecaf::http::Limits;
use ecaf::http::client::ClientFault;
use ecaf::http::reload::{IdentityFiles, Reloader, TrustFiles};
use ecaf::http::tls::{IdentityFault, rules};
use ecaf::protocol::trust::issue::{LeafKind, Period, PrivateKey};
use ecaf::protocol::trust::{Purpose, TrustScope, pem, rules as certificate};
use rcgen::SanType;
use rustls::crypto::aws_lc_rs::kx_group;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use http_support::*;

const WHO: &str = "GET /who HTTP/1.1\r\nHost: gateway.demo.ecaf.example\r\n\r\n";

/// Shakes hands and asks; in TLS 1.3 a refused client learns of it on reading only.
async fn ask(server: &Running, held: Option<&Held>, raw: &Raw) -> std::io::Result<Answered> {
    let mut wire = Wire::open(server, raw.config(held)).await?;
    let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.0, WHO.as_bytes()).await;
    wire.answer().await
}

#[tokio::test]
async fn each_wrong_certificate_is_refused_with_its_own_reason() {
    keep_log();
    let scheme = Scheme::new(1);
    let other = Scheme::new(2);
    let server = serve(&scheme, Limits::default()).await;
    let now = scheme.clock.now();

    let with = |path: &str, kind, from: i64, days: i64| {
        let mut request = scheme.request(path, kind);
        let not_before = now.plus(from * DAY);
        request.period = Period { not_before, not_after: not_before.plus(days * DAY) };
        scheme.issue_request(&request)
    };
    let deviant = |alter: fn(&mut rcgen::CertificateParams)| {
        let key = PrivateKey::generate().unwrap();
        let request = scheme.request(SCHOOL, no_dns());
        let leaf = scheme.issuing.deviant_leaf(&request, &key, &scheme.entropy, alter).unwrap();
        scheme.held(leaf, key)
    };
    let revoked = scheme.issue(SCHOOL, no_dns());
    server.trust.publish(scheme.store(&[&revoked]));

    let cases = [
        (with(SCHOOL, no_dns(), -20, 10), certificate::EXPIRED),
        (with(SCHOOL, no_dns(), 1, 10), certificate::NOT_YET_VALID),
        (revoked, certificate::REVOKED),
        (other.issue(SCHOOL, no_dns()), certificate::UNKNOWN_AUTHORITY),
        (
            deviant(|params| {
                let foreign = "spiffe://other.example/school/900001".try_into().unwrap();
                params.subject_alt_names = vec![SanType::URI(foreign)];
            }),
            certificate::FOREIGN_TRUST_DOMAIN,
        ),
        (deviant(|params| params.subject_alt_names.clear()), certificate::NO_IDENTITY),
        (
            deviant(|params| {
                let second = "spiffe://demo.ecaf.example/school/900002".try_into().unwrap();
                params.subject_alt_names.push(SanType::URI(second));
            }),
            certificate::SEVERAL_IDENTITIES,
        ),
        (scheme.issue("operator/scheme", no_dns()), certificate::WRONG_ROLE),
        (scheme.issue(SCHOOL, LeafKind::Signing), certificate::WRONG_KEY_USAGE),
    ];
    for (held, rule) in cases {
        let refused = ask(&server, Some(&held), &Raw::default()).await;
        assert!(refused.is_err(), "{}", rule.id);
        let x5t = held.chain.x5t().to_string();
        let line = logged(&[rule.id, &x5t, "handshake refused"]).await;
        assert!(!line.contains("900001") && !line.contains("spiffe"), "{line}");
    }
    ask(&server, None, &Raw::default()).await.unwrap_err();
    logged(&[certificate::NONE.id, "handshake refused"]).await;

    // A certificate that is not the holder's own: the proof fails.
    let good = scheme.issue(SCHOOL, no_dns());
    let stolen = Held { key: PrivateKey::generate().unwrap(), ..good.copy() };
    let resolver = rustls::sign::CertifiedKey::new(
        stolen.chain.certificates().to_vec(),
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&key_der(&stolen)).unwrap(),
    );
    let mut config = (*Raw::default().config(None)).clone();
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(resolver));
    let mut wire = Wire::open(&server, Arc::new(config)).await.unwrap();
    wire.closed().await;
    logged(&[rules::PROOF.id, "handshake refused"]).await;

    assert_eq!(server.routes.entered.borrow().to_owned(), 0);
    assert_eq!(ask(&server, Some(&good), &Raw::default()).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_hybrid_key_exchange_is_preferred_and_older_clients_are_served() {
    keep_log();
    let scheme = Scheme::new(3);
    let server = serve(&scheme, Limits::default()).await;
    let school = scheme.issue(SCHOOL, no_dns());
    let with = |groups| Raw { groups, ..Raw::default() };

    let all = ask(&server, Some(&school), &Raw::default()).await.unwrap();
    assert!(all.text().contains("X25519MLKEM768"), "{}", all.text());
    // Whatever the client likes best, if it offers both, the hybrid is used.
    let reversed = with(vec![kx_group::X25519, kx_group::X25519MLKEM768]);
    let reversed = ask(&server, Some(&school), &reversed).await.unwrap();
    assert!(reversed.text().contains("X25519MLKEM768"), "{}", reversed.text());
    let x25519 = ask(&server, Some(&school), &with(vec![kx_group::X25519])).await.unwrap();
    assert!(x25519.text().contains("x25519"), "{}", x25519.text());
    let p256 = ask(&server, Some(&school), &with(vec![kx_group::SECP256R1])).await.unwrap();
    assert!(p256.text().contains("secp256r1"), "{}", p256.text());
    ask(&server, Some(&school), &with(vec![kx_group::SECP384R1])).await.unwrap_err();
    logged(&[rules::KEY_EXCHANGE.id]).await;

    // Our own client, which speaks HTTP/2.
    let answer = client(&scheme, &server, &school).get("/who", vec![]).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("h2 X25519MLKEM768"), "{text}");
}

#[tokio::test]
async fn older_versions_and_things_that_are_not_tls_are_refused() {
    keep_log();
    let scheme = Scheme::new(4);
    let server = serve(&scheme, Limits::default()).await;
    let school = scheme.issue(SCHOOL, no_dns());
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, pem::to_pem(school.chain.certificates())).unwrap();
    std::fs::write(&key, school.key.to_pem().as_bytes()).unwrap();
    let openssl = |version: &'static str| {
        let mut command = tokio::process::Command::new("openssl");
        command
            .args(["s_client", "-connect", &server.address.to_string(), version, "-cert"])
            .arg(&chain)
            .arg("-key")
            .arg(&key)
            .stdin(std::process::Stdio::null());
        command
    };
    let current = within(openssl("-tls1_3").output()).await.unwrap();
    let text = String::from_utf8_lossy(&current.stdout).into_owned();
    assert!(text.contains("TLSv1.3"), "{text}");
    let old = within(openssl("-tls1_2").output()).await.unwrap();
    assert!(!old.status.success());
    logged(&[rules::VERSION.id, "handshake refused"]).await;

    let mut plain = TcpStream::connect(server.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, WHO.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = within(plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "answered in plain text");
    logged(&[rules::NOT_TLS.id, "handshake refused"]).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_off() {
    keep_log();
    let scheme = Scheme::new(5);
    let limits = Limits { handshake: Duration::from_millis(20), ..Limits::default() };
    let server = serve(&scheme, limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(within(silent.read(&mut [0; 9])).await.unwrap(), 0);
    logged(&[rules::TIMEOUT.id]).await;
}

#[tokio::test]
async fn the_protocol_is_chosen_by_alpn_alone() {
    keep_log();
    let scheme = Scheme::new(6);
    let server = serve(&scheme, Limits::default()).await;
    let school = scheme.issue(SCHOOL, no_dns());
    let with = |alpn: &[&str]| Raw {
        alpn: alpn.iter().map(|a| a.as_bytes().to_vec()).collect(),
        ..Raw::default()
    };
    let none = ask(&server, Some(&school), &with(&[])).await.unwrap();
    assert!(none.text().contains(" http/1.1 "), "{}", none.text());
    ask(&server, Some(&school), &with(&["http/1.0", "spdy/3"])).await.unwrap_err();
    logged(&[rules::PROTOCOL.id]).await;
    // HTTP/1.1 where HTTP/2 was agreed on gets no answer of HTTP/1.1.
    let mut wire = Wire::open(&server, with(&["h2"]).config(Some(&school))).await.unwrap();
    wire.send(WHO).await;
    assert!(!wire.closed().await.windows(8).any(|w| w == b"HTTP/1.1"));
}

#[tokio::test]
async fn sessions_resume_until_trust_changes_and_never_for_a_revoked_peer() {
    keep_log();
    let scheme = Scheme::new(7);
    let server = serve(&scheme, Limits::default()).await;
    let mut request = scheme.request(SCHOOL, no_dns());
    request.period.not_after = noon().plus(HOUR);
    let school = scheme.issue_request(&request);
    let config = Raw::default().config(Some(&school));
    let again = || async {
        let mut wire = Wire::open(&server, config.clone()).await?;
        tokio::io::AsyncWriteExt::write_all(&mut wire.0, WHO.as_bytes()).await?;
        wire.answer().await.map(|answer| answer.text().contains("resumed=true"))
    };
    assert!(!again().await.unwrap());
    assert!(again().await.unwrap());
    assert!(again().await.unwrap());
    server.trust.publish(scheme.store(&[]));
    assert!(!again().await.unwrap(), "a ticket from before the publication was taken");
    assert!(again().await.unwrap());

    // Also without a publication: the ticket is still good, the certificate in it is not.
    scheme.clock.advance(2 * HOUR);
    again().await.unwrap_err();
    logged(&[certificate::EXPIRED.id, &school.chain.x5t().to_string()]).await;
    scheme.clock.set(noon());
    server.trust.publish(scheme.store(&[&school]));
    again().await.unwrap_err();
    logged(&[certificate::REVOKED.id, &school.chain.x5t().to_string(), "handshake refused"]).await;
}

fn school_end(held: &Held, scheme: &Scheme) -> ecaf::domain::time::Timestamp {
    let trust = scheme.trust();
    trust.check(&held.chain, Purpose::TlsClient).unwrap().not_after()
}

#[tokio::test]
async fn live_connections_of_a_revoked_peer_end_unanswered_and_others_stay() {
    keep_log();
    let scheme = Scheme::new(8);
    let server = serve(&scheme, Limits::default()).await;
    let (bad, good) = (scheme.issue(SCHOOL, no_dns()), scheme.issue("school/900002", no_dns()));
    let mut idle = Wire::new(&server, &bad).await;
    idle.send(WHO).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut asking = Wire::new(&server, &bad).await;
    asking.send("POST /hold HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n\r\nx").await;
    server.entered(2).await;
    let over_h2 = client(&scheme, &server, &bad);
    let over_h2 =
        tokio::spawn(async move { over_h2.post("/hold", vec![], Bytes::from_static(b"x")).await });
    let mut other = Wire::new(&server, &good).await;
    server.entered(3).await;

    server.trust.publish(scheme.store(&[&bad]));
    assert_eq!(idle.closed().await, b"");
    assert_eq!(asking.closed().await, b"");
    assert_eq!(within(over_h2).await.unwrap().unwrap_err(), ClientFault::OutcomeUnknown);
    logged(&[certificate::REVOKED.id, "connection ended"]).await;
    other.send(WHO).await;
    assert_eq!(other.answer().await.unwrap().status, 200);
    // What had begun is brought to its end all the same.
    server.release();
    server.finished(4).await;
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let scheme = Scheme::new(9);
    let server = serve(&scheme, Limits::default()).await;
    let school = scheme.issue(SCHOOL, no_dns());
    let mut wire = Wire::new(&server, &school).await;
    wire.send(WHO).await;
    assert_eq!(wire.answer().await.unwrap().status, 200);
    scheme.clock.set(school_end(&school, &scheme).plus(2_000));
    wire.send(WHO).await;
    let refused = wire.answer().await.unwrap();
    assert_eq!((refused.status, refused.rule().as_str()), (403, "http.peer-no-longer-trusted"));
    assert_eq!(wire.closed().await, b"");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_at_once_and_a_wrong_one_never() {
    let scheme = Scheme::new(10);
    let server = serve(&scheme, Limits::default()).await;
    let school = scheme.issue(SCHOOL, no_dns());
    let shown = |wire: &Wire| wire.0.get_ref().1.peer_certificates().unwrap()[0].clone();
    let mut before = Wire::new(&server, &school).await;

    let renewed = scheme.issue(GATEWAY, dns(GATEWAY_HOST));
    let trust = &server.trust;
    server.credentials.renew(renewed.chain.clone(), renewed.key.to_der(), trust).unwrap();
    let after = Wire::new(&server, &school).await;
    assert_ne!(shown(&before), shown(&after));
    assert_eq!(&shown(&after), renewed.chain.leaf());
    before.send(WHO).await;
    assert_eq!(before.answer().await.unwrap().status, 200);

    let other = scheme.issue("gateway/example-2", dns(GATEWAY_HOST));
    let fault = server.credentials.renew(other.chain.clone(), other.key.to_der(), trust);
    assert_eq!(fault, Err(IdentityFault::OtherParty));
    let fault = server.credentials.renew(renewed.chain.clone(), other.key.to_der(), trust);
    assert_eq!(fault, Err(IdentityFault::Key));
    let nameless = scheme.issue(GATEWAY, no_dns());
    let fault = server.credentials.renew(nameless.chain.clone(), nameless.key.to_der(), trust);
    assert!(matches!(fault, Err(IdentityFault::Chain(_))), "{fault:?}");
    assert_eq!(server.credentials.identity().chain(), &renewed.chain);
}

#[tokio::test]
async fn a_client_talks_to_its_addressee_only() {
    keep_log();
    let scheme = Scheme::new(11);
    let server = serve(&scheme, Limits::default()).await;
    let school = scheme.issue(SCHOOL, no_dns());
    let own = client(&scheme, &server, &school);
    let body = Bytes::from_static(b"exact bytes");
    let answer = own.post("/echo", vec![], body.clone()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body), (200, body));

    let credentials = scheme.credentials(&school, &[Purpose::TlsClient]);
    let to = |host: &str, addressee: &str| {
        let endpoint = format!("https://{host}").parse().unwrap();
        let (credentials, trust) = (credentials.clone(), scheme.trust());
        ecaf::http::client::Client::new(endpoint, party(addressee), credentials, trust)
            .at(server.address)
    };
    let reason = |outcome: Result<_, ClientFault>| match outcome.map(|_| ()) {
        Err(ClientFault::Refused(reason)) => reason.rule,
        other => panic!("{other:?}"),
    };
    let other_party = to(GATEWAY_HOST, "gateway/example-2").get("/who", vec![]).await;
    assert_eq!(reason(other_party), rules::OTHER_PARTY);
    let other_name = to("other.example", GATEWAY).get("/who", vec![]).await;
    assert_eq!(reason(other_name), certificate::WRONG_NAME);
    let server_leaf = server.credentials.identity().chain().clone();
    let trust = scheme.trust();
    let key = PrivateKey::generate().unwrap();
    trust.publish(scheme.store(&[&Held { chain: server_leaf, key }]));
    let endpoint = format!("https://{GATEWAY_HOST}").parse().unwrap();
    let revoked =
        ecaf::http::client::Client::new(endpoint, party(GATEWAY), credentials.clone(), trust)
            .at(server.address)
            .get("/who", vec![])
            .await;
    assert_eq!(reason(revoked), certificate::REVOKED);

    // The server refuses us: nothing was taken, and we know.
    server.trust.publish(scheme.store(&[&school]));
    let refused = client(&scheme, &server, &school).get("/who", vec![]).await;
    assert_eq!(reason(refused), rules::REFUSED_BY_PEER);
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let nobody = to(GATEWAY_HOST, GATEWAY).at(nobody).get("/who", vec![]).await.unwrap_err();
    assert_eq!(nobody, ClientFault::Unreachable);
    assert!(nobody.had_no_effect());
}

#[tokio::test]
async fn a_client_notices_that_its_kept_connection_is_gone() {
    let scheme = Scheme::new(12);
    let mut server = serve(&scheme, Limits::default()).await;
    let school = scheme.issue(SCHOOL, no_dns());
    let own = client(&scheme, &server, &school);
    assert_eq!(own.get("/who", vec![]).await.unwrap().status, 200);
    // Many at a time over one connection.
    let many = (0..50).map(|n| own.post("/echo", vec![], Bytes::from(vec![n; 2_000])));
    for (n, answer) in futures_util::future::join_all(many).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().body, vec![n as u8; 2_000]);
    }
    within(server.stop()).await.unwrap();
    let gone = own.get("/who", vec![]).await.unwrap_err();
    assert!(gone.had_no_effect(), "{gone:?}");
}

#[tokio::test]
async fn files_are_taken_when_good_and_the_last_good_ones_kept() {
    let scheme = Scheme::new(13);
    let server = serve(&scheme, Limits::default()).await;
    let school = scheme.issue(SCHOOL, no_dns());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: String| {
        files::replace(&path(name), text.as_bytes(), files::PRIVATE).unwrap()
    };
    let crl = |revoked: &[&Held]| {
        scheme.crls(revoked).iter().map(|der| pem::crl_to_pem(der)).collect::<String>()
    };
    write("roots.pem", pem::to_pem([scheme.root.certificate()]));
    write("issuing.pem", pem::to_pem([scheme.issuing.certificate()]));
    write("crl.pem", crl(&[]));
    let first = scheme.issue(GATEWAY, dns(GATEWAY_HOST));
    write("chain.pem", pem::to_pem(first.chain.certificates()));
    write("key.pem", first.key.to_pem().to_string());
    let trust_files = TrustFiles {
        trust_domain: DOMAIN.parse().unwrap(),
        scope: TrustScope::Live,
        roots: path("roots.pem"),
        issuing: path("issuing.pem"),
        crls: vec![path("crl.pem")],
    };
    let identity_files = IdentityFiles { chain: path("chain.pem"), key: path("key.pem") };
    let watched = Some((server.credentials.clone(), identity_files));
    let mut reloader = Reloader::new(server.trust.clone(), trust_files, watched);
    let health = reloader.health();

    assert!(reloader.look().await);
    assert_eq!(server.credentials.identity().chain(), &first.chain);
    assert!(!reloader.look().await, "published without a change");
    let mut wire = Wire::new(&server, &school).await;

    write("crl.pem", "not a list".into());
    write("key.pem", scheme.issue(GATEWAY, dns(GATEWAY_HOST)).key.to_pem().to_string());
    assert!(!reloader.look().await);
    assert_eq!(health.faults().len(), 2, "{:?}", health.faults());
    wire.send(WHO).await;
    assert_eq!(wire.answer().await.unwrap().status, 200);
    assert_eq!(server.credentials.identity().chain(), &first.chain);

    write("crl.pem", crl(&[&school]));
    write("key.pem", first.key.to_pem().to_string());
    let key = path("key.pem");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    assert!(reloader.look().await, "the list is good");
    assert!(health.faults().concat().contains("others than its owner"), "{:?}", health.faults());
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    reloader.look().await;
    assert_eq!(health.faults(), Vec::<String>::new());
    assert_eq!(wire.closed().await, b"");
}

/// A server of HTTP/1.1 that says what it is told to, once per connection and request.
async fn scripted(scheme: &Scheme, answers: Vec<&'static [u8]>) -> std::net::SocketAddr {
    let held = scheme.issue(GATEWAY, dns(GATEWAY_HOST));
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(held.chain.certificates().to_vec(), key_der(&held))
    .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut answers = answers.into_iter().peekable();
        while answers.peek().is_some() {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(socket).await.unwrap();
            let mut asked = Vec::new();
            while stream.read_buf(&mut asked).await.is_ok_and(|n| n > 0) {
                if !asked.ends_with(b"\r\n\r\n") {
                    continue;
                }
                asked.clear();
                let Some(answer) = answers.next() else { return };
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
                tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
                if !answer.ends_with(b"kept") {
                    break;
                }
            }
        }
    });
    address
}

#[tokio::test]
async fn a_client_of_http11_keeps_connections_follows_nothing_and_tells_unknown_outcomes() {
    let scheme = Scheme::new(14);
    let school = scheme.issue(SCHOOL, no_dns());
    let address = scripted(
        &scheme,
        vec![
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nkept",
            b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 4\r\n\r\nkept",
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nmore than 10",
            b"not HTTP\r\n\r\n",
        ],
    )
    .await;
    let credentials = scheme.credentials(&school, &[Purpose::TlsClient]);
    let endpoint = format!("https://{GATEWAY_HOST}").parse().unwrap();
    let limits = ecaf::http::client::ClientLimits { response_bytes: 10, ..Default::default() };
    let own =
        ecaf::http::client::Client::new(endpoint, party(GATEWAY), credentials, scheme.trust())
            .at(address)
            .with_limits(limits);
    let ask = || within(own.get("/x", vec![]));
    assert_eq!(&ask().await.unwrap().body[..], b"kept");
    assert_eq!(ask().await.unwrap().status, 302);
    assert_eq!(ask().await.unwrap_err(), ClientFault::OutcomeUnknown);
    assert_eq!(ask().await.unwrap_err(), ClientFault::AnswerTooLarge);
    assert_eq!(ask().await.unwrap_err(), ClientFault::OutcomeUnknown);
}
