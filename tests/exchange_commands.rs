//! The commands of a school, an authority and an operator against real processes: what they print
//! is for people, their exit codes for programs. And what SIGTERM does in the middle of work.

mod exchange_support;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ecaf::cli::sandbox::{SCHOOLS, SandboxSchool, World};
use ecaf::effects::{Clock, SystemClock, SystemEntropy};
use ecaf::store::GatewayStore;
use exchange_support::{
    Document, HACKNEY, NEWHAM, Proof, QUICK, Scene, Sent, Stream, ends_well, eventually,
    gateway_store, post, receipt_of,
};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

struct School<'a> {
    scene: &'a Scene,
    config: String,
    folder: PathBuf,
}

impl<'a> School<'a> {
    fn new(scene: &'a Scene, index: usize) -> Self {
        let config = scene.world.school_config(index);
        let folder = config.parent().unwrap().to_owned();
        Self { scene, config: config.to_str().unwrap().to_owned(), folder }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn submit(&self, file: &str) -> Output {
        self.scene.run(&["submit", file, "--config", &self.config])
    }

    fn kept(&self, document: &Document, name: &str) -> PathBuf {
        self.folder.join(format!("state/referrals/{}/v1/{name}", document.id))
    }
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exit code `expected`, and on standard error nothing else than what a person needs.
#[track_caller]
fn ends(output: &Output, expected: i32) {
    assert_eq!(code(output), Some(expected), "{}{}", out(output), err(output));
    for odd in ["panicked", "RUST_BACKTRACE", "Some(", "Err("] {
        assert!(!err(output).contains(odd), "{}", err(output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submit_status_and_receipt_verify() {
    let scene = Scene::now(QUICK);
    let (mut gateway, mut authorities) = scene.start_all();
    authorities[NEWHAM].kill();
    let mut stream = Stream::new(3);
    #[allow(clippy::needless_range_loop, reason = "the place is what the scene asks for")]
    for index in 0..SCHOOLS.len() {
        let school = School::new(&scene, index);
        let document = stream.document(index, NEWHAM);
        let file = school.file("referral.json", &document.bytes);
        let first = school.submit(&file);
        ends(&first, 0);
        assert!(out(&first).starts_with("Held by the exchange; Newham does not have it yet\n"));
        assert!(out(&first).contains("020 7946 0"), "the number to ring: {}", out(&first));
        let receipt = std::fs::read(school.kept(&document, "receipt.json")).unwrap();
        assert_eq!(std::fs::read(school.kept(&document, "document.json")).unwrap(), document.bytes);
        let again = school.submit(&file);
        ends(&again, 0);
        assert!(out(&again).contains("this is the same receipt"), "{}", out(&again));
        assert_eq!(std::fs::read(school.kept(&document, "receipt.json")).unwrap(), receipt);
        let other = document.changed(|v| v["children"][0]["year_group"] = "Year 4".into());
        let other = school.submit(&school.file("other.json", &other.bytes));
        ends(&other, 1);
        assert!(err(&other).contains("sent before with other content"), "{}", err(&other));

        let id = document.id.to_string();
        let status = scene.run(&["status", &id, "--config", &school.config]);
        ends(&status, 1);
        assert!(out(&status).contains("Newham"), "{}", out(&status));
        // Somebody else's.
        let is_other = |s: &SandboxSchool| s.id != SCHOOLS[index].id;
        let stranger = School::new(&scene, SCHOOLS.iter().position(is_other).unwrap());
        let theirs = scene.run(&["status", &id, "--config", &stranger.config]);
        ends(&theirs, 1);
        assert!(out(&theirs).is_empty(), "{}", out(&theirs));
        verifies_offline(&scene, &school, &document);
    }
    authorities[NEWHAM] = scene.start_authority(NEWHAM);
    authorities[NEWHAM].wait_ready().unwrap();
    let school = School::new(&scene, 0);
    let document = stream.document(0, HACKNEY);
    ends(&school.submit(&school.file("referral.json", &document.bytes)), 0);
    let id = document.id.to_string();
    let status = eventually("stored at Hackney", async || {
        let status = scene.run(&["status", &id, "--config", &school.config]);
        (code(&status) == Some(0)).then_some(status)
    })
    .await;
    assert!(out(&status).contains("Stored at Hackney"), "{}", out(&status));
    assert!(out(&status).contains("stored by authority/204 under HAC-"), "{}", out(&status));
    let evidence = school.kept(&document, "status.json");
    let root = scene.world.root();
    let verified = verify(&scene, &evidence, &root, Some(&document.bytes));
    ends(&verified, 0);
    assert!(out(&verified).contains("stored by authority/204"), "{}", out(&verified));

    // The authority reads it, and takes it out with its evidence.
    let config = scene.world.authority_config(HACKNEY);
    let config = config.to_str().unwrap();
    let shown = scene.run(&["authority", "inbox", "show", &id, "--config", config]);
    ends(&shown, 0);
    assert!(out(&shown).contains("Quillfeather Court"), "{}", out(&shown));
    let folder = scene.world.folder().join("exported");
    let folder_text = folder.to_str().unwrap();
    let export = ["authority", "inbox", "export", &id, "--out", folder_text, "--config", config];
    ends(&scene.run(&export), 0);
    assert_eq!(std::fs::read(folder.join("document.json")).unwrap(), document.bytes);
    let bytes = Some(&document.bytes[..]);
    ends(&verify(&scene, &folder.join("evidence.json"), &root, bytes), 0);
    let receipt = std::fs::read_to_string(folder.join("delivered.jws")).unwrap();
    assert!(std::fs::read_to_string(&evidence).unwrap().contains(&receipt), "another receipt");
    let none = scene.run(&["authority", "inbox", "show", "HAC-2026-999999", "--config", config]);
    ends(&none, 1);
    ends_well(&mut gateway);
}

fn verify(scene: &Scene, bundle: &Path, root: &Path, document: Option<&[u8]>) -> Output {
    let document = document.map(|bytes| {
        let path = scene.world.folder().join("to-verify.json");
        std::fs::write(&path, bytes).unwrap();
        path
    });
    let mut arguments =
        vec!["receipt", "verify", bundle.to_str().unwrap(), "--root", root.to_str().unwrap()];
    if let Some(path) = &document {
        arguments.extend(["--document", path.to_str().unwrap()]);
    }
    scene.run(&arguments)
}

/// A receipt verifies with the root alone, and nothing else does.
fn verifies_offline(scene: &Scene, school: &School<'_>, document: &Document) {
    let root = scene.world.root();
    let receipt = school.kept(document, "receipt.json");
    let bytes = &document.bytes[..];
    let good = verify(scene, &receipt, &root, None);
    ends(&good, 0);
    assert!(out(&good).contains("accepted by gateway/sandbox"), "{}", out(&good));
    let with_document = verify(scene, &receipt, &root, Some(bytes));
    ends(&with_document, 0);
    assert!(out(&with_document).contains("byte for byte"), "{}", out(&with_document));
    let spaced = [bytes, b"\n"].concat();
    ends(&verify(scene, &receipt, &root, Some(&spaced)), 1);

    // One character of each token, in turn, in the middle of each of its three parts.
    let bundle: Value = serde_json::from_slice(&std::fs::read(&receipt).unwrap()).unwrap();
    let changed = scene.world.folder().join("changed.json");
    for token in 0..bundle["tokens"].as_array().unwrap().len() {
        for part in 0..3 {
            let mut other = bundle.clone();
            let text = other["tokens"][token].as_str().unwrap();
            let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
            let middle = parts[part].len() / 2;
            let new = if parts[part].as_bytes()[middle] == b'A' { "B" } else { "A" };
            parts[part].replace_range(middle..=middle, new);
            other["tokens"][token] = parts.join(".").into();
            std::fs::write(&changed, serde_json::to_vec(&other).unwrap()).unwrap();
            let refused = verify(scene, &changed, &root, None);
            ends(&refused, 1);
            assert!(!out(&refused).contains("Verified"), "{}", out(&refused));
        }
    }
    let mut other = bundle.clone();
    other["referral_id"] = "018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10".into();
    std::fs::write(&changed, serde_json::to_vec(&other).unwrap()).unwrap();
    ends(&verify(scene, &changed, &root, None), 1);
    // Everything taken out: with nothing left that could be wrong, nothing is proved either.
    let mut other = bundle.clone();
    other["tokens"] = serde_json::json!([]);
    std::fs::write(&changed, serde_json::to_vec(&other).unwrap()).unwrap();
    ends(&verify(scene, &changed, &root, None), 1);
    let (changed_text, root_text) = (changed.to_str().unwrap(), root.to_str().unwrap());
    let arguments = ["receipt", "verify", changed_text, "--root", root_text, "--domain"];
    let emptied = scene.run(&[&arguments[..], &["demo.ecaf.example"]].concat());
    ends(&emptied, 1);
    assert!(!out(&emptied).contains("Verified"), "{}", out(&emptied));
    std::fs::write(&changed, b"{}").unwrap();
    ends(&verify(scene, &changed, &root, None), 2);
    ends(&verify(scene, &scene.world.folder().join("missing.json"), &root, None), 2);
    ends(&verify(scene, &receipt, &another_root(scene), None), 1);
}

/// The root of another scheme of the same name.
fn another_root(scene: &Scene) -> PathBuf {
    let folder = scene.world.folder().join("another");
    if !folder.exists() {
        let entropy = SystemEntropy::default();
        World::prepare(&folder, SystemClock.now(), &entropy, "").unwrap();
    }
    folder.join("scheme/root.crt")
}

/// What cannot be sent: mistakes, no gateway, wrong files. Each in words, with its own exit code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_said() {
    let scene = Scene::now(QUICK);
    let mut stream = Stream::new(4);
    let school = School::new(&scene, 0);
    let patient = std::fs::read_to_string(&school.config).unwrap();
    let hasty =
        patient.replace("[gateway]\n", "[gateway]\ntimeout = \"1s\"\ngive_up_after = \"1s\"\n");
    std::fs::write(&school.config, hasty).unwrap();
    // Nobody is there.
    let document = stream.document(0, HACKNEY);
    let file = school.file("referral.json", &document.bytes);
    let nobody = school.submit(&file);
    ends(&nobody, 3);
    assert!(err(&nobody).contains("send the same file again"), "{}", err(&nobody));
    assert!(err(&nobody).contains("999"), "{}", err(&nobody));
    let status = scene.run(&["status", &document.id.to_string(), "--config", &school.config]);
    ends(&status, 3);

    let (mut gateway, _authorities) = scene.start_all();
    // The very bytes that were signed then are sent now.
    let kept = std::fs::read(school.kept(&document, "submission.jws")).unwrap();
    ends(&school.submit(&file), 0);
    assert_eq!(std::fs::read(school.kept(&document, "submission.jws")).unwrap(), kept);
    // Mistakes are found before anything is sent.
    let wrong = stream.document(0, HACKNEY).changed(|v| v["urgency"] = "very".into());
    let refused = school.submit(&school.file("wrong.json", &wrong.bytes));
    ends(&refused, 1);
    assert!(err(&refused).contains("nothing was sent"), "{}", err(&refused));
    assert!(!school.kept(&wrong, "document.json").exists());
    // An authority that is not connected: the text for the phone lies beside the file.
    let leeds = stream.document(0, HACKNEY);
    let leeds = leeds.changed(|v| v["addresses"][0]["postcode"] = "LS1 1UR".into());
    let refused = school.submit(&school.file("leeds.json", &leeds.bytes));
    ends(&refused, 1);
    let readable = school.folder.join(format!("{}.txt", leeds.id));
    assert!(std::fs::read_to_string(readable).unwrap().contains("Quillfeather"));
    // The document of another school.
    let theirs = stream.document(1, HACKNEY);
    let refused = school.submit(&school.file("theirs.json", &theirs.bytes));
    ends(&refused, 1);
    assert!(err(&refused).contains("token.mismatch"), "{}", err(&refused));
    for (arguments, expected) in [
        (vec!["submit", "/nowhere.json", "--config", &school.config], 2),
        (vec!["submit", &file, "--config", "/nowhere.toml"], 2),
        (vec!["submit"], 2),
        (vec!["status", "not-an-id", "--config", &school.config], 2),
        (vec!["gateway", "--config", &school.config], 2),
        (vec!["gateway", "replay", "--config", &school.config], 2),
    ] {
        let output = scene.run(&arguments);
        ends(&output, expected);
        assert!(!err(&output).is_empty());
    }
    ends_well(&mut gateway);
}

/// SIGTERM under load: every response that was given is durable, and the process ends well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_keeps_every_promise() {
    let scene = Scene::now(QUICK);
    // No authority is up, so that attempts to deliver are under way, too.
    for round in 0..3 {
        let mut gateway = scene.start_gateway();
        gateway.wait_ready().unwrap();
        let receipts = Arc::new(AtomicUsize::new(0));
        let mut submitters = JoinSet::new();
        for submitter in 0..8 {
            let sender = scene.school(submitter % SCHOOLS.len()).await;
            let receipts = Arc::clone(&receipts);
            submitters.spawn(async move {
                let mut stream = Stream::new(round * 100 + submitter as u64);
                let mut sent = Vec::new();
                // Until it no longer answers: in between, answers are receipts or "not now".
                loop {
                    let document = stream.document(submitter % SCHOOLS.len(), HACKNEY);
                    match post(&sender, &document).await {
                        Ok(answer) if answer.status == 503 => return sent,
                        Ok(answer) => {
                            let receipt = receipt_of(&answer);
                            sent.push(Sent { document, receipt });
                            receipts.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => return sent,
                    }
                }
            });
        }
        let until = Instant::now() + exchange_support::PATIENCE;
        while receipts.load(Ordering::Relaxed) < 40 {
            assert!(Instant::now() < until, "no receipts");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let ended = tokio::task::spawn_blocking(move || gateway.stop()).await.unwrap();
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
        let store = gateway_store(&scene.gateway_store());
        assert!(store.check().await.unwrap().is_sound());
        let mut all = 0;
        let proof = Proof::of(&scene.school(0).await);
        while let Some(sent) = submitters.join_next().await {
            for one in sent.unwrap() {
                proof.receipt(&one.receipt, &one.document, SystemClock.now());
                let id = one.document.id;
                let timeline = store.timeline(id).await.unwrap().expect("a receipt without a case");
                let digest = ecaf::protocol::hash::sha256(one.receipt.accepted.as_bytes());
                let token = store.token(id, digest).await.unwrap().expect("not this receipt");
                assert_eq!(token.token.jws, one.receipt.accepted);
                let body = store.document(id, timeline.versions[0].payload_sha256).await.unwrap();
                assert_eq!(body.unwrap().kept(), Some(&one.document.bytes));
                all += 1;
            }
        }
        assert!(all >= 40);
    }
    let log = std::fs::read_to_string(scene.gateway_log()).unwrap();
    assert_eq!(log.matches("\"stopped\"").count(), 3, "each of them ended by itself");
}

/// More systems of a party follow than the gateway lets wait: the others are answered at once, and ask again without
/// haste.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_room_to_wait_does_not_spin() {
    let scene = Scene::now(QUICK);
    let mut gateway = scene.start_gateway();
    tokio::task::block_in_place(|| gateway.wait_ready().unwrap());
    let school = School::new(&scene, 0);
    let follow = |number: usize| {
        let stream = format!("system-{number}");
        std::process::Command::new(exchange_support::ecaf())
            .args(["follow", "--stream", &stream, "--config", &school.config])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut followers: Vec<_> = (0..12).map(follow).collect();
    let operator = scene.world.gateway_operator();
    let requests = async || {
        let asked = move || ecaf::cli::sandbox::operator_get(operator, "/metrics").unwrap().1;
        let metrics = tokio::task::spawn_blocking(asked).await.unwrap();
        let polls = metrics.lines().filter(|line| line.starts_with("ecaf_http_requests_total"));
        polls.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    eventually("all follow", async || (requests().await >= 12).then_some(())).await;
    let before = requests().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let asked = requests().await - before;
    for follower in &mut followers {
        follower.kill().unwrap();
        follower.wait().unwrap();
    }
    // Four of them once a second; without a rest it would be thousands.
    assert!((1..100).contains(&asked), "{asked} polls in four seconds");
    ends_well(&mut gateway);
}
