//! Whatever a peer sends, over a real TLS connection to real processes: it is refused, it costs
//! little, it leaves nothing behind, and the next good request is answered as ever.
//!
//! `ECAF_HOSTILE_ROUNDS` multiplies the random part.

mod exchange_support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecaf::cli::sandbox::{Process, operator_get};
use ecaf::protocol::evidence::Bundle;
use ecaf::protocol::trust::pem;
use exchange_support::{
    Document, HARINGEY, QUICK, Scene, Stream, count, eventually, gateway_store, inbox_store, post,
    receipt_of, signed_fields, still_open,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// One process under attack, and with whose certificate.
struct Target {
    name: &'static str,
    address: SocketAddr,
    path: &'static str,
    tls: Arc<ClientConfig>,
    /// Header fields and body of a request that is taken.
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

fn client(scene: &Scene, place: &Path) -> Arc<ClientConfig> {
    let read = |path: &Path| std::fs::read(path).unwrap();
    let mut roots = RootCertStore::empty();
    for root in pem::certificates(&read(&scene.world.root())).unwrap() {
        roots.add(root).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ecaf::http::tls::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            pem::certificates(&read(&place.join("tls.crt"))).unwrap(),
            pem::private_key(&read(&place.join("tls.key"))).unwrap(),
        );
    Arc::new(config.unwrap())
}

/// What came back for some bytes: the status of the first answer, or that there was none.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Got {
    Status(u16),
    Closed,
}

impl Got {
    fn is_refusal(self) -> bool {
        matches!(self, Got::Status(400..500) | Got::Closed)
    }
}

impl Target {
    /// Sends bytes as they are, then nothing more, and reads to the end.
    async fn send(&self, bytes: &[u8]) -> Got {
        let answered = async {
            let socket = TcpStream::connect(self.address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let tls = TlsConnector::from(self.tls.clone()).connect(name, socket).await?;
            let (mut reader, mut writer) = tokio::io::split(tls);
            // The answer may come, and the connection end, while there is still something to say.
            let write = async {
                let _ = writer.write_all(bytes).await;
                let _ = writer.shutdown().await;
            };
            let read = async {
                let mut answer = Vec::new();
                let _ = reader.read_to_end(&mut answer).await;
                answer
            };
            let ((), answer) = tokio::join!(write, read);
            Ok::<_, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(40), answered).await;
        let answer = answer.expect("a request that ends is answered or closed").unwrap();
        match answer.get(9..12).and_then(|s| std::str::from_utf8(s).ok()?.parse().ok()) {
            Some(status) => Got::Status(status),
            None => Got::Closed,
        }
    }

    /// A request with these header fields and this body, framed as it should be.
    fn request(&self, fields: &[(String, String)], body: &[u8]) -> Vec<u8> {
        let port = self.address.port();
        let mut bytes = format!(
            "POST {} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
             Content-Length: {}\r\n",
            self.path,
            body.len()
        )
        .into_bytes();
        for (name, value) in fields {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes
    }

    /// Refused with a status of the client's own fault, or the connection ended: never taken, and
    /// never a failure of ours.
    async fn refuses(&self, what: &str, bytes: &[u8]) {
        let got = self.send(bytes).await;
        assert!(got.is_refusal(), "{}: {what}: {got:?}", self.name);
    }

    /// Refused, or answered with the stored receipt: an authority that knows the note and the
    /// document does not look at the rest again.
    async fn keeps_nothing_of(&self, what: &str, bytes: &[u8]) {
        let got = self.send(bytes).await;
        assert!(got.is_refusal() || got == Got::Status(200), "{}: {what}: {got:?}", self.name);
    }

    async fn takes(&self, what: &str) {
        let got = self.send(&self.request(&self.fields, &self.body)).await;
        assert_eq!(got, Got::Status(200), "{}: {what}", self.name);
    }
}

/// A gateway and an authority that have exchanged one referral, which both will take again.
async fn attacked(scene: &Scene) -> (Vec<Target>, Document) {
    let world = &scene.world;
    let sender = scene.school(0).await;
    let document = Stream::new(61).document(0, HARINGEY);
    let fields = signed_fields(&sender, &document);
    let receipt = receipt_of(&post(&sender, &document).await.unwrap());
    assert!(receipt.new);
    let operator = world.gateway_operator();
    eventually("delivered", async || still_open(operator).await.filter(|n| *n == 0)).await;
    // What the gateway brought to the authority, from the evidence.
    let path = format!("/v1/referrals/{}/evidence", document.id);
    let evidence = sender.client.get(&path, Vec::new()).await.unwrap();
    let bundle = Bundle::parse(&evidence.body).unwrap();
    let token = |event: &str| {
        let named = |text: &&String| {
            let claims = ecaf::protocol::evidence::unverified_claims(text).unwrap();
            match claims["events"].as_object() {
                Some(events) => events.keys().next().unwrap().ends_with(event),
                None => event.is_empty(),
            }
        };
        bundle.tokens.iter().find(named).unwrap().clone()
    };
    let chain = |token: &str| {
        let x5t = ecaf::protocol::jws::Unverified::parse(token).unwrap().x5t();
        let named = |chain: &&Vec<String>| {
            ecaf::protocol::hash::sha256(&STANDARD.decode(&chain[0]).unwrap()) == x5t
        };
        bundle.certificates.iter().find(named).unwrap().join(",")
    };
    let (submission, accepted, note) = (token(""), token("/accepted"), token("/dispatch"));
    let text = |name: &str, value: String| (name.to_owned(), value);
    let json = || text("Content-Type", "application/json".into());
    let gateway = Target {
        name: "gateway",
        address: world.gateway_address(),
        path: "/v1/referrals",
        tls: client(scene, world.school_config(0).parent().unwrap()),
        fields: fields
            .iter()
            .map(|(name, value)| text(name.as_str(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: document.bytes.to_vec(),
    };
    let authority = Target {
        name: "authority",
        address: world.authority_address(HARINGEY),
        path: "/dispatches",
        tls: client(scene, world.gateway_config().parent().unwrap()),
        fields: vec![
            json(),
            text("Ecaf-Certificates", chain(&note)),
            text("Ecaf-Submission-Certificates", chain(&submission)),
            text("Ecaf-Token", note),
            text("Ecaf-Submission", submission),
            text("Ecaf-Accepted", accepted),
        ],
        body: document.bytes.to_vec(),
    };
    (vec![gateway, authority], document)
}

/// The most memory that a process ever had, in KiB (`VmHWM`, proc(5)).
fn peak_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Bodies that are not a referral, each with what it is.
fn bodies(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = String::from_utf8(good.to_vec()).unwrap();
    let with = |member: &str| text.replacen('{', &format!("{{{member},"), 1).into_bytes();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("nothing", Vec::new()),
        ("a blank", b" ".to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"7".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("all but the last byte", good[..good.len() - 1].to_vec()),
        ("twice", [good, good].concat()),
        ("a byte order mark", [&b"\xef\xbb\xbf"[..], good].concat()),
        ("UTF-16", utf16),
        ("Latin-1", [&good[..good.len() - 1], b",\"x\":\"\xe9\"}"].concat()),
        ("overlong UTF-8", [&good[..good.len() - 1], b",\"x\":\"\xc0\x80\"}"].concat()),
        ("surrogate as UTF-8", [&good[..good.len() - 1], b",\"x\":\"\xed\xa0\x80\"}"].concat()),
        ("a lone surrogate", with(r#""x":"\ud800""#)),
        ("a lone surrogate as a name", with(r#""\udc00":1"#)),
        ("nul", [good, b"\0"].concat()),
        ("a member twice", with(r#""version":1"#)),
        ("prototype", with(r#""__proto__":{"admin":true}"#)),
        ("a huge number", with(r#""x":1e400"#)),
        ("a long number", with(&format!(r#""x":{}"#, "9".repeat(100_000)))),
        ("a long name", with(&format!(r#""{}":1"#, "x".repeat(500_000)))),
        ("depth", with(&format!(r#""x":{}{}"#, "[".repeat(200_000), "]".repeat(200_000)))),
        ("depth of objects", with(&format!(r#""x":{}1{}"#, r#"{"a":"#.repeat(99_999), "}".repeat(99_999)))),
        ("only brackets", vec![b'['; 1_000_000]),
        ("only quotes", vec![b'"'; 1_000_000]),
        ("many members", with(&(0..60_000).map(|i| format!(r#""m{i}":{i}"#)).collect::<Vec<_>>().join(","))),
        ("many children", with(&format!(r#""children":[{}]"#, vec!["{}"; 200_000].join(",")))),
        ("many wrong addresses", text.replacen(r#""addresses":["#,
            &format!(r#""addresses":[{},"#, vec![r#"{"id":"a"}"#; 60_000].join(",")), 1).into_bytes()),
        ("XML", b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>".to_vec()),
        ("compressed", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 4, 0]),
        ("random bytes", (0..9_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_is_refused_costs_little_and_leaves_nothing() {
    let scene = Scene::now(QUICK);
    let mut gateway = scene.start_gateway();
    let mut authority = scene.start_authority(HARINGEY);
    gateway.wait_ready().unwrap();
    authority.wait_ready().unwrap();
    let (targets, document) = attacked(&scene).await;
    for target in &targets {
        target.takes("before").await;
    }
    let before = [&gateway, &authority].map(peak_memory);

    for target in &targets {
        for (what, body) in bodies(&target.body) {
            target.refuses(what, &target.request(&target.fields, &body)).await;
            // And with nothing beside it.
            let alone = [("Content-Type".to_owned(), "application/json".to_owned())];
            target.refuses(what, &target.request(&alone, &body)).await;
        }
        sizes(target).await;
        fields(target).await;
        mutations(target).await;
        garbage(target).await;
        target.takes("after all of it").await;
    }

    for (process, before) in [&gateway, &authority].into_iter().zip(before) {
        let (status, said) = operator_get(process.operator(), "/readyz").unwrap();
        assert_eq!(status, 200, "{said}");
        let grown = peak_memory(process) - before;
        // One body of a megabyte takes some times its size while it is parsed; many in a row take
        // no more than that.
        assert!(grown < 64 * 1024, "{} KiB more than before, of {before}", grown);
    }
    assert!(gateway.stop().unwrap().success());
    assert!(authority.stop().unwrap().success());
    kept(&scene, &document).await;
}

/// More than is taken, announced or not, and less than was announced.
async fn sizes(target: &Target) {
    let ten_megabytes = vec![b'x'; 10_000_000];
    let request = target.request(&target.fields, &ten_megabytes);
    assert_eq!(target.send(&request).await, Got::Status(413), "{}", target.name);
    let head = |framing: &str| {
        let port = target.address.port();
        format!("POST {} HTTP/1.1\r\nHost: localhost:{port}\r\n{framing}\r\n\r\n", target.path)
    };
    let chunk = [b"100000\r\n".to_vec(), vec![b'y'; 0x10_0000], b"\r\n".to_vec()].concat();
    let chunked = [head("Transfer-Encoding: chunked").into_bytes(), chunk.repeat(10)].concat();
    target.refuses("ten chunked megabytes", &chunked).await;
    let small = b"1\r\n{\r\n".repeat(600_000);
    let small = [head("Transfer-Encoding: chunked").into_bytes(), small].concat();
    target.refuses("a chunk for each byte", &small).await;
    for (what, framing) in [
        ("a body that ends early", "Content-Length: 1000"),
        ("a length beyond all numbers", "Content-Length: 99999999999999999999999"),
        ("a negative length", "Content-Length: -1"),
        ("a chunk beyond all numbers", "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff"),
    ] {
        target.refuses(what, &[head(framing).as_bytes(), b"{\"a\":"].concat()).await;
    }
}

/// Header fields of the protocol that are not as they should be, beside a good body.
async fn fields(target: &Target) {
    for index in 0..target.fields.len() {
        let (name, value) = target.fields[index].clone();
        let with = |value: Option<String>| {
            let mut fields = target.fields.clone();
            match value {
                Some(value) => fields[index].1 = value,
                None => drop(fields.remove(index)),
            }
            fields
        };
        let half = value[..value.len() / 2].to_owned();
        for (what, fields) in [
            ("missing", with(None)),
            ("empty", with(Some(String::new()))),
            ("half", with(Some(half))),
            ("twice in one", with(Some(format!("{value},{value}")))),
            ("long", with(Some("A".repeat(20_000)))),
            ("dots", with(Some(".".repeat(2_000)))),
            ("commas", with(Some(",".repeat(2_000)))),
            ("not ASCII", with(Some("\u{e9}\u{1f600}".into()))),
            ("a format string", with(Some("%s%n${jndi:ldap://x}' OR 1=1--".into()))),
            ("another field's value", {
                with(Some(target.fields[(index + 1) % target.fields.len()].1.clone()))
            }),
        ] {
            let request = target.request(&fields, &target.body);
            let what = format!("{name} {what}");
            if name == "Ecaf-Submission-Certificates" {
                target.keeps_nothing_of(&what, &request).await;
            } else {
                target.refuses(&what, &request).await;
            }
        }
        let twice = [target.fields.clone(), vec![(name.clone(), value)]].concat();
        target.refuses(&format!("{name} repeated"), &target.request(&twice, &target.body)).await;
    }
}

/// Good requests with a few bytes changed. A change may leave the meaning as it is (the case of a
/// field's name); then the very same receipt comes, and nothing new is kept.
async fn mutations(target: &Target) {
    let rounds = count("ECAF_HOSTILE_ROUNDS", 1);
    let mut random = Stream::new(67);
    let mut refused = 0;
    for round in 0..300 * rounds {
        let mut bytes = target.request(&target.fields, &target.body);
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.below(256) as u8,
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.below(256) as u8),
            }
        }
        match target.send(&bytes).await {
            Got::Status(200) => {}
            Got::Status(400..500) | Got::Closed => refused += 1,
            got => panic!("{} round {round}: {got:?}", target.name),
        }
    }
    assert!(refused > 250 * rounds, "only {refused} refused");
}

/// Bytes that are no request at all, inside TLS and instead of it.
async fn garbage(target: &Target) {
    let rounds = count("ECAF_HOSTILE_ROUNDS", 1);
    let mut random = Stream::new(71);
    let starts: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"POST /v1/referrals HTTP/1.1\r\nHost: localhost\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"{\"a\":",
    ];
    for round in 0..500 * rounds {
        let length = random.below(300);
        let bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        let bytes = [starts[random.below(starts.len())], &bytes].concat();
        if round % 2 == 0 {
            target.refuses("garbage", &bytes).await;
        } else {
            let mut socket = TcpStream::connect(target.address).await.unwrap();
            let _ = socket.write_all(&bytes).await;
            // Some of it looks like the start of a handshake: it is left alone then.
            drop(socket);
        }
    }
}

/// Both stores are sound and hold the one good referral, and nothing of all the rest.
async fn kept(scene: &Scene, document: &Document) {
    let store = gateway_store(&scene.gateway_store());
    let report = ecaf::store::GatewayStore::check(&store).await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.referrals, report.documents), (1, 1), "gateway");
    let stored = ecaf::store::GatewayStore::document(&store, document.id, document.sha256);
    assert_eq!(stored.await.unwrap().unwrap().kept(), Some(&document.bytes));
    let store = inbox_store(&scene.inbox_store(HARINGEY));
    let report = ecaf::store::AuthorityStore::check(&store).await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.referrals, report.documents), (1, 1), "authority");
}
