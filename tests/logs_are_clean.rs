//! No personal data in any log line, metric or readiness text of a whole run: every text, name, number
//! and place that a document can hold is planted with a value found nowhere else, everything that can
//! happen happens to it, and everything that the processes say is searched.

mod exchange_support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use ecaf::cli::sandbox::{AUTHORITIES, SCHOOLS, operator_get};
use ecaf::party::member::Member;
use exchange_support::planting::{PLANTED, Planted, planted, planted_conversation, text};
use exchange_support::talking::talk;
use exchange_support::{
    Document, HACKNEY, NEWHAM, QUICK, Scene, Stream, ends_well, eventually, json_fields, post,
    receipt_of, signed_fields, still_open,
};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_in_any_log_metric_or_readiness() {
    let scene = Scene::now(QUICK);
    let (mut gateway, mut authorities) = scene.start_all();
    authorities[NEWHAM].kill();
    let mut schools = Vec::new();
    for index in 0..SCHOOLS.len() {
        schools.push(scene.school(index).await);
    }
    let mut stream = Stream::new(31);
    let (documents, mut planted) = planted(&mut stream);
    let turns = planted_conversation(&mut stream, &mut planted);
    assert!(planted.values.len() > 150, "only {} values planted", planted.values.len());
    let mut said = String::new();

    // Accepted, checked, sent twice, asked about, read.
    let mut receipts = Vec::new();
    for document in &documents {
        let sender = &schools[document.school];
        let receipt = receipt_of(&post(sender, document).await.unwrap());
        assert!(receipt.new);
        assert_eq!(receipt_of(&post(sender, document).await.unwrap()).accepted, receipt.accepted);
        receipts.push(receipt);
        posted(sender, "/v1/referrals/check", document.bytes.clone(), 200).await;
        let postcode = document.value["addresses"][0]["postcode"].as_str().unwrap_or("E8 1BG");
        let asked = json!({ "postcode": postcode }).to_string();
        posted(sender, "/v1/routes", asked.into(), 200).await;
        let path = format!("/v1/referrals/{}", document.id);
        for path in [&path, &format!("{path}/documents/{}", document.sha256)] {
            sender.client.get(path, Vec::new()).await.unwrap();
        }
    }
    for document in &documents {
        refuse_in_every_way(&schools, document, &planted).await;
    }
    knock(&scene, text(&documents[0].value["referrer"]["name"])).await;
    said.push_str(&asked_of_operators(&scene));

    // Killed with Newham's referrals held, and started again; then everything is delivered.
    gateway.kill();
    let mut gateway = scene.start_gateway();
    gateway.wait_ready().unwrap();
    authorities[NEWHAM] = scene.start_authority(NEWHAM);
    authorities[NEWHAM].wait_ready().unwrap();
    for (document, receipt) in documents.iter().zip(&receipts) {
        let again = receipt_of(&post(&schools[document.school], document).await.unwrap());
        assert_eq!(again.accepted, receipt.accepted);
    }
    let operator = gateway.operator();
    eventually("everything is delivered", async || {
        (still_open(operator).await == Some(0)).then_some(())
    })
    .await;
    let told = documents.iter().find(|d| d.school == 0 && d.authority == HACKNEY).unwrap();
    let worker = scene.worker(HACKNEY).await;
    talk(&schools[0], &worker, told.id, &turns).await;
    said.push_str(&asked_of_operators(&scene));
    // The command line of a school whose draft is wrong says rules and places, and no values of the
    // document that were not asked for.
    said.push_str(&commands(&scene, &documents));
    ends_well(&mut gateway);
    for authority in &mut authorities {
        ends_well(authority);
    }

    // The run left its traces, so that what was read is the log and not an empty file.
    let logs = logs(scene.world.folder());
    assert_eq!(logs.len(), 1 + AUTHORITIES.len());
    for (path, log) in &logs {
        assert!(log.contains("ready"), "{}", path.display());
        for bad in ["panic", "RUST_BACKTRACE", "unwrap", "overflow"] {
            assert!(!log.contains(bad), "{}: {bad}", path.display());
        }
        for line in log.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "not a line of ours: {line}");
        }
        assert_eq!(planted.found_in(log), [""; 0], "{}", path.display());
    }
    let gateway_log = &logs.iter().find(|(path, _)| path.ends_with("gateway/log.jsonl")).unwrap().1;
    for trace in ["refused", "delivered", "put off", &documents[0].id.to_string()] {
        assert!(gateway_log.contains(trace), "no {trace}");
    }
    assert!(said.contains("ecaf_refusals_total") && said.contains("the store commits"));
    assert_eq!(planted.found_in(&said), [""; 0], "metrics or readiness");
}

/// The search finds what it looks for.
#[test]
fn a_planted_value_is_found_in_every_form() {
    let mut planted = Planted::default();
    planted.plant("Zqwert Yuiop");
    for leak in [
        "name=Zqwert Yuiop".to_owned(),
        "ZQWERT YUIOP".into(),
        "zqwertyuiop".into(),
        "?q=Zqwert%20Yuiop".into(),
        format!("{:?}", b"Zqwert Yuiop"),
        format!("{:?}", b"Zqwert Yuiop".to_vec()),
        STANDARD.encode("Zqwert Yuiop"),
        STANDARD.encode("a name: Zqwert Yuiop."),
        URL_SAFE_NO_PAD.encode("{\"name\":\"Zqwert Yuiop\"}"),
        URL_SAFE_NO_PAD.encode("an Zqwert Yuiop"),
    ] {
        assert_eq!(planted.found_in(&leak).len(), 1, "{leak}");
    }
    assert_eq!(planted.found_in("Zqwert alone, and Yuiop").len(), 0);
}

/// The planted documents are good ones: nothing was planted where it would be refused.
#[test]
fn planted_documents_are_valid() {
    let (documents, _) = planted(&mut Stream::new(31));
    for (document, name) in documents.iter().zip(PLANTED) {
        let today = "2026-11-21".parse().unwrap();
        let found = ecaf::protocol::schema::check(&document.value, today);
        assert!(found.is_ok(), "{name}: {:?}", found.err());
    }
}

async fn posted(sender: &Member, path: &str, body: Bytes, status: u16) -> Bytes {
    let answer = sender.client.post(path, json_fields(), body).await.unwrap();
    assert_eq!(answer.status.as_u16(), status, "{}", String::from_utf8_lossy(&answer.body));
    answer.body
}

/// Everything that can be wrong with a request, made of a planted document.
async fn refuse_in_every_way(schools: &[Member], document: &Document, planted: &Planted) {
    let sender = &schools[document.school];
    let personal = text(&document.value["referrer"]["name"]).to_owned();
    assert!(planted.values.contains(&personal));
    let odd = document.changed(|v| {
        // Where a code, a number, a date and an id belong; and as the name of a member.
        v["urgency"] = personal.clone().into();
        v["children"][0]["sex"] = personal.clone().into();
        v["composed_at"] = personal.clone().into();
        v["children"][0]["id"] = personal.clone().into();
        v[&personal] = personal.clone().into();
        v["schema"] = format!("https://ecaf.example/{personal}").into();
    });
    let mut mistakes = vec![odd.bytes.clone()];
    // Another school, another version, other bytes, no id; cut off, doubled, not UTF-8, not JSON.
    for change in [
        &|v: &mut Value| v["referrer"]["school"]["id"] = json!("900999"),
        &|v: &mut Value| v["version"] = 7.into(),
        &|v: &mut Value| v["completeness"] = "standard".into(),
        &|v: &mut Value| v["referral_id"] = v["referrer"]["name"].clone(),
        &|v: &mut Value| v["request_type"] = v["referrer"]["name"].clone(),
    ] as [&dyn Fn(&mut Value); 5]
    {
        let mut value = document.value.clone();
        change(&mut value);
        mistakes.push(serde_json::to_vec(&value).unwrap().into());
    }
    let bytes = &document.bytes;
    mistakes.push(bytes.slice(..bytes.len() / 2));
    mistakes.push(format!("{{\"{personal}\":1,\"{personal}\":2}}").into());
    mistakes.push([b"{\"name\":\"", personal.as_bytes(), b"\xff\"}"].concat().into());
    mistakes.push(personal.clone().into());
    for body in mistakes {
        for path in ["/v1/referrals", "/v1/referrals/check", "/v1/routes"] {
            let plain = sender.client.post(path, json_fields(), body.clone()).await;
            // A refusal may well close the connection; what matters is what is logged.
            drop(plain);
            let signed = signed_fields(sender, document);
            drop(sender.client.post(path, signed, body.clone()).await);
        }
    }
    // Personal data where no document belongs: paths, queries, header fields, other methods.
    let word = personal.to_lowercase();
    for path in [
        format!("/v1/referrals/{word}"),
        format!("/v1/referrals/{}/documents/{word}", document.id),
        format!("/v1/certificates/{word}"),
        format!("/{word}"),
        format!("/v1/referrals?name={word}"),
    ] {
        drop(sender.client.get(&path, Vec::new()).await);
        drop(sender.client.post(&path, json_fields(), bytes.clone()).await);
    }
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    for fields in [
        vec![(CONTENT_TYPE, value(&format!("text/{word}")))],
        vec![
            (CONTENT_TYPE, value("application/json")),
            (ecaf::protocol::message::TOKEN, value(&personal)),
            (ecaf::protocol::message::CERTIFICATES, value(&personal)),
        ],
        vec![
            (CONTENT_TYPE, value("application/json")),
            (http::HeaderName::from_static("traceparent"), value(&personal)),
            (http::header::USER_AGENT, value(&personal)),
            (http::header::REFERER, value(&personal)),
        ],
    ] {
        drop(sender.client.post("/v1/referrals", fields, bytes.clone()).await);
    }
    // Somebody else's connection, and the same id with other bytes.
    let other = &schools[(document.school + 1) % schools.len()];
    drop(post(other, document).await);
    drop(other.client.get(&format!("/v1/referrals/{}", document.id), Vec::new()).await);
    let bytes = document.changed(|v| v["adults_at_home"] = json!("Someone else"));
    drop(post(sender, &bytes).await);
}

/// Connections that never become any: plain text, and TLS with a name where none belongs.
async fn knock(scene: &Scene, personal: &str) {
    let addresses = (0..AUTHORITIES.len()).map(|index| scene.world.authority_address(index));
    for address in addresses.chain([scene.world.gateway_address()]) {
        let Ok(mut socket) = TcpStream::connect(address).await else { continue };
        let plain = format!("POST /{personal} HTTP/1.1\r\nHost: {personal}\r\n\r\n{personal}");
        let _ = socket.write_all(plain.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        let socket = TcpStream::connect(address).await.unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ecaf::http::tls::provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = format!("{}.example", personal.to_lowercase());
        let name = ServerName::try_from(name).unwrap();
        assert!(TlsConnector::from(Arc::new(config)).connect(name, socket).await.is_err());
    }
}

/// Metrics and readiness of every process that is up.
fn asked_of_operators(scene: &Scene) -> String {
    let world = &scene.world;
    let operators = (0..AUTHORITIES.len()).map(|index| world.authority_operator(index));
    let mut said = String::new();
    for operator in operators.chain([world.gateway_operator()]) {
        for path in ["/metrics", "/readyz", "/livez", "/nothing"] {
            said.extend(operator_get(operator, path).ok().map(|(_, body)| body));
        }
    }
    said
}

/// What operators' commands print: lists of codes, ids and times.
fn commands(scene: &Scene, documents: &[Document]) -> String {
    let config = scene.world.gateway_config();
    let inbox = scene.world.authority_config(HACKNEY);
    let (config, inbox) = (config.to_str().unwrap(), inbox.to_str().unwrap());
    let id = documents[0].id.to_string();
    let mut said = String::new();
    for arguments in [
        &["gateway", "deliveries", "--config", config, "--state", "delivered"][..],
        &["gateway", "deliveries", "--config", config, "--state", "delivered", "--json"],
        &["gateway", "replay", "--config", config, "--referral", &id],
        &["authority", "inbox", "list", "--config", inbox],
        &["authority", "inbox", "list", "--config", inbox, "--json"],
    ] {
        let output = scene.run(arguments);
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert!(said.contains(&id), "{said}");
    said
}

/// Every log below a folder.
fn logs(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            logs.extend(self::logs(&path));
        } else if path.file_name().is_some_and(|name| name == "log.jsonl") {
            let text = std::fs::read_to_string(&path).unwrap();
            logs.push((path, text));
        }
    }
    logs
}
