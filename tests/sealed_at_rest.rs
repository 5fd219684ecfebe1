//! Nothing personal lies anywhere in the clear: every field of a referral is planted with a value found
//! nowhere else, gateway and authorities run as processes and are killed in the middle, backups are taken
//! and restored, documents are erased, and every file that was ever there is searched byte by byte.

mod exchange_support;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ecaf::cli::sandbox::{AUTHORITIES, Process, SCHOOLS};
use ecaf::store::{AuthorityStore as _, GatewayStore as _};
use exchange_support::planting::{Planted, planted, planted_conversation, text};
use exchange_support::talking::talk;
use exchange_support::{
    Document, HACKNEY, NEWHAM, QUICK, Scene, Stream, ends_well, eventually, gateway_store,
    inbox_store, post, receipt_of, still_open,
};

/// Bytes of the shortest form that is searched for.
const SHORTEST: usize = 6;

/// Finds any of many values, in many forms, in one walk over some bytes.
struct Search {
    /// Whole needles by their first [`SHORTEST`] bytes.
    needles: HashMap<[u8; SHORTEST], Vec<(Vec<u8>, String)>>,
    /// Whether a needle begins with these two bytes: most places are ruled out by this alone.
    begins: Vec<bool>,
}

impl Search {
    fn of(values: &BTreeSet<String>) -> Self {
        let mut needles: HashMap<_, Vec<_>> = HashMap::new();
        let mut begins = vec![false; 1 << 16];
        for value in values {
            for form in forms(value) {
                let start: [u8; SHORTEST] = form[..SHORTEST].try_into().unwrap();
                begins[usize::from(form[0]) << 8 | usize::from(form[1])] = true;
                needles.entry(start).or_default().push((form, value.clone()));
            }
        }
        Self { needles, begins }
    }

    fn found_in(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (at, window) in bytes.windows(SHORTEST).enumerate() {
            if !self.begins[usize::from(window[0]) << 8 | usize::from(window[1])] {
                continue;
            }
            for (needle, value) in self.needles.get(window).into_iter().flatten() {
                if bytes[at..].starts_with(needle) {
                    found.insert(value.as_str());
                }
            }
        }
        found
    }

    /// No file below `folder` holds any of the values. How many files and bytes were looked at.
    #[track_caller]
    fn nothing_below(&self, folder: &Path) -> (usize, usize) {
        let (mut count, mut length) = (0, 0);
        for path in files(folder) {
            // A log of SQLite may vanish between listing and reading; it is found at the next search.
            let Ok(bytes) = fs::read(&path) else { continue };
            let found = self.found_in(&bytes);
            assert!(found.is_empty(), "{}: {found:?}", path.display());
            count += 1;
            length += bytes.len();
        }
        (count, length)
    }
}

/// A value as it could lie somewhere: as it is and in capitals or small letters, as hexadecimal, in both
/// alphabets of base64 at each place in a group of three where it could begin, in UTF-16 of both orders.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = vec![value.into(), value.to_lowercase().into()];
    forms.push(value.to_uppercase().into());
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    forms.push(hex.to_uppercase().into());
    forms.push(hex.into());
    for skip in 0..3 {
        let shifted = format!("{}{value}", "x".repeat(skip));
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            // What depends on the neighbours is left out at both ends.
            let inner = &encoded.as_bytes()[(skip * 8).div_ceil(6)..encoded.len() - 1];
            forms.push(inner.to_vec());
        }
    }
    forms.push(value.encode_utf16().flat_map(u16::to_le_bytes).collect());
    forms.push(value.encode_utf16().flat_map(u16::to_be_bytes).collect());
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// A process has no file open outside of the scene: no temporary file, named or not.
#[track_caller]
fn opens_nothing_else(process: &Process, scene: &Path) {
    let mut seen = 0;
    for entry in fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap() {
        let Ok(target) = fs::read_link(entry.unwrap().path()) else { continue };
        // Sockets, pipes and the like have no path; devices hold nothing.
        if !target.is_absolute() || target.starts_with("/dev") || target.starts_with("/proc") {
            continue;
        }
        assert!(target.starts_with(scene), "{}", target.display());
        assert!(!target.to_string_lossy().ends_with("(deleted)"), "{}", target.display());
        seen += 1;
    }
    assert!(seen >= 3, "database, log and lock are open");
}

/// The parties whose machines are not the school's: what must hold no document in the clear.
fn parties(scene: &Scene) -> Vec<PathBuf> {
    let folder = scene.world.folder();
    let authorities = AUTHORITIES.iter().map(|a| folder.join(format!("authority-{}", a.code)));
    [folder.join("gateway"), folder.join("backups")].into_iter().chain(authorities).collect()
}

fn search_all(search: &Search, scene: &Scene) -> (usize, usize) {
    let each = parties(scene).into_iter().map(|folder| search.nothing_below(&folder));
    each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[track_caller]
fn done(scene: &Scene, arguments: &[&str]) -> String {
    let output = scene.run(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{wrong}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_lies_in_the_clear() {
    let scene = Scene::now(QUICK);
    let folder = scene.world.folder().to_owned();
    fs::create_dir(folder.join("backups")).unwrap();
    let (mut gateway, mut authorities) = scene.start_all();
    authorities[NEWHAM].kill();
    let mut schools = Vec::new();
    for index in 0..SCHOOLS.len() {
        schools.push(scene.school(index).await);
    }
    let mut stream = Stream::new(77);
    let (mut documents, mut values) = planted(&mut stream);
    // Some that stay held until Newham is back.
    for _ in 0..5 {
        let document = stream.document(0, NEWHAM);
        values.plant(text(&document.value["children"][0]["name"]["family"]));
        values.plant(text(&document.value["salt"]));
        documents.push(document);
    }
    let turns = planted_conversation(&mut stream, &mut values);
    // A name of three letters is found in noise; such values say nothing.
    values.values.retain(|value| value.len() >= SHORTEST);
    assert!(values.values.len() > 150, "only {} values planted", values.values.len());
    let search = Search::of(&values.values);

    let config = scene.world.gateway_config();
    let config = config.to_str().unwrap().to_owned();
    for (n, document) in documents.iter().enumerate() {
        assert!(receipt_of(&post(&schools[document.school], document).await.unwrap()).new);
        if n == 3 {
            // Taken while referrals come in.
            done(&scene, &["store", "backup", "--to", "backups/early.db", "--config", &config]);
        }
    }
    opens_nothing_else(&gateway, &folder);
    opens_nothing_else(&authorities[HACKNEY], &folder);
    // The write-ahead log holds everything now; killed, it stays where it is.
    gateway.kill();
    authorities[HACKNEY].kill();
    let (count, length) = search_all(&search, &scene);
    assert!(count >= 20 && length > 300_000, "{count} files, {length} bytes");

    let mut gateway = scene.start_gateway();
    authorities[HACKNEY] = scene.start_authority(HACKNEY);
    authorities[NEWHAM] = scene.start_authority(NEWHAM);
    gateway.wait_ready().unwrap();
    for index in [HACKNEY, NEWHAM] {
        authorities[index].wait_ready().unwrap();
    }
    let operator = gateway.operator();
    eventually("everything is delivered", async || {
        (still_open(operator).await == Some(0)).then_some(())
    })
    .await;
    // What is said about one of them lies as its document does.
    let of_school = |d: &&Document| d.school == 0 && d.authority == HACKNEY;
    let told = documents[1..].iter().find(of_school).unwrap();
    let worker = scene.worker(HACKNEY).await;
    let said = talk(&schools[0], &worker, told.id, &turns).await;
    let inbox = scene.world.authority_config(HACKNEY);
    let inbox = inbox.to_str().unwrap().to_owned();
    done(&scene, &["store", "backup", "--to", "backups/late.db", "--config", &config]);
    done(&scene, &["store", "backup", "--to", "backups/inbox.db", "--config", &inbox]);
    search_all(&search, &scene);

    // One is erased while the process runs, which then says so to the school.
    let gone = &documents[0];
    let id = gone.id.to_string();
    let why = ["--why", "misidentified", "--yes", "--config", &config];
    done(&scene, &[&["store", "erase", "--referral", &id][..], &why].concat());
    erased_for_its_sender(&schools[gone.school], gone).await;
    ends_well(&mut gateway);
    for authority in &mut authorities {
        ends_well(authority);
    }
    restore(&scene, &config, &documents).await;
    let (count, length) = search_all(&search, &scene);
    println!("{} values, {count} files, {length} bytes", values.values.len());

    // Not for want of documents: with the keys everything is there.
    let store = gateway_store(&scene.gateway_store());
    for document in &documents[1..] {
        let kept = store.document(document.id, document.sha256).await.unwrap().unwrap();
        assert_eq!(kept.kept(), Some(&document.bytes));
    }
    let thread = store.thread(told.id).await.unwrap().unwrap();
    assert_eq!(thread.events.len(), said.len());
    let details: Vec<_> = thread.events.iter().filter_map(|event| event.detail).collect();
    for detail in &details {
        let kept = store.document(told.id, detail.sha256).await.unwrap().unwrap();
        assert!(kept.kept().is_some());
    }
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(
        (report.documents, report.erased),
        ((documents.len() + details.len()) as u64 - 1, 1)
    );
    let report = inbox_store(&scene.inbox_store(NEWHAM)).check().await.unwrap();
    assert!(report.is_sound() && report.documents >= 5, "{report:?}");
    // And the search finds them where they are in the clear: what an authority exports.
    let entry = inbox_store(&scene.inbox_store(NEWHAM)).inbox(Default::default()).await.unwrap();
    let out = folder.join("exported");
    let config = scene.world.authority_config(NEWHAM);
    let arguments = ["authority", "inbox", "export", &entry[0].reference, "-o"];
    let place = [out.to_str().unwrap(), "--config", config.to_str().unwrap()];
    done(&scene, &[&arguments[..], &place[..]].concat());
    let exported = fs::read(out.join("document.json")).unwrap();
    assert!(!search.found_in(&exported).is_empty(), "the search finds nothing in clear text");
}

/// The sender is told that the document is erased, still gets the receipt, and can still prove it.
async fn erased_for_its_sender(sender: &ecaf::party::member::Member, document: &Document) {
    let path = format!("/v1/referrals/{}", document.id);
    let asked = format!("{path}/documents/{}", document.sha256);
    // The process follows its key ring within a second.
    let problem = eventually("the document is gone", async || {
        let answer = sender.client.get(&asked, Vec::new()).await.unwrap();
        (answer.status != 200).then_some(answer)
    })
    .await;
    let problem = exchange_support::problem(&problem, 410);
    assert_eq!(problem.violations[0].rule, "referral.document-erased");
    let again = receipt_of(&post(sender, document).await.unwrap());
    assert!(!again.new);
    let state = sender.client.get(&path, Vec::new()).await.unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state.body).unwrap();
    assert_eq!(state["erased"][0]["reason"], "misidentified", "{state}");
    let evidence = sender.client.get(&format!("{path}/evidence"), Vec::new()).await.unwrap();
    let bundle: ecaf::protocol::evidence::Bundle = serde_json::from_slice(&evidence.body).unwrap();
    bundle.verify(&sender.trust.store(), sender.scheme()).unwrap();
}

/// The early backup becomes a store at another place: sound, and without what was erased since.
async fn restore(scene: &Scene, config: &str, documents: &[Document]) {
    let other = scene.world.folder().join("gateway/restored.toml");
    let text = fs::read_to_string(config).unwrap().replace("gateway.db", "restored.db");
    fs::write(&other, text).unwrap();
    let other = other.to_str().unwrap();
    let said = done(scene, &["store", "restore", "--from", "backups/early.db", "--config", other]);
    assert!(said.contains("1 documents were erased after this backup"), "{said}");
    let store = gateway_store(&scene.world.folder().join("gateway/restored.db"));
    let erased = store.document(documents[0].id, documents[0].sha256).await.unwrap().unwrap();
    assert!(erased.kept().is_none());
    let kept = store.document(documents[1].id, documents[1].sha256).await.unwrap().unwrap();
    assert_eq!(kept.kept(), Some(&documents[1].bytes));
    drop(store);
    let again = ["store", "restore", "--from", "backups/late.db", "--config", other];
    let refused = scene.run(&again);
    assert_eq!(refused.status.code(), Some(1), "a store is never overwritten");
}

/// Without its keys a process does not start, and says which it wants; never a byte of one.
#[test]
fn a_process_without_its_keys_does_not_start() {
    let scene = Scene::now(QUICK);
    let folder = scene.world.folder().join("gateway");
    let config = scene.world.gateway_config();
    let (ring, kek) = (folder.join("keys/ring"), folder.join("kek/kek"));
    let read = |path: &Path| fs::read(path).unwrap();
    let (good_ring, good_kek) = (read(&ring), read(&kek));
    let other_kek = read(&scene.world.authority_config(0).with_file_name("kek/kek"));
    let secret = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim()[11..].to_owned();
    let refused = |arguments: &[&str], because: &str| {
        let output = scene.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(because), "{said}");
        for key in [&good_kek, &other_kek] {
            assert!(!said.contains(&secret(key)), "{said}");
        }
        said
    };
    let start = ["gateway", "--config", config.to_str().unwrap()];
    let put =
        |path: &Path, bytes: &[u8]| ecaf::effects::files::replace(path, bytes, 0o600).unwrap();
    put(&kek, &other_kek);
    let said = refused(&start, "the key ring needs the key-encryption key");
    assert_eq!(said.matches(';').count(), 1, "wanted and given: {said}");
    put(&kek, b"not a key");
    refused(&start, "not a key-encryption key");
    fs::remove_file(&kek).unwrap();
    refused(&start, "No such file");
    put(&kek, &good_kek);
    let mut altered = good_ring.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    put(&ring, &altered);
    refused(&start, "key ring");
    fs::remove_file(&ring).unwrap();
    refused(&start, "not found");
    put(&ring, &good_ring);
    let may = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for key in [&ring, &kek, &folder.join("tls.key"), &folder.join("signing.key")] {
        may(key, 0o644);
        let said = refused(&start, "chmod 600");
        assert!(said.contains(key.to_str().unwrap()), "{said}");
        may(key, 0o600);
    }
    // The published key, outside of the demonstration.
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/sealing/sealed.json");
    let vectors: serde_json::Value = serde_json::from_slice(&read(&vectors)).unwrap();
    put(&kek, text(&vectors["kek"]).as_bytes());
    let live = fs::read_to_string(&config).unwrap();
    let live = live.replace("demo = true", "demo = false");
    let live = live.replace("demo.ecaf.example", "scheme.example.org");
    let live_config = folder.join("live.toml");
    fs::write(&live_config, live).unwrap();
    let show = ["keys", "show", "--config", live_config.to_str().unwrap()];
    refused(&show, "published with the program");
    assert!(!folder.join("gateway.db").exists(), "nothing was stored without keys");
}

/// The search finds what it looks for, in every form and wherever it begins.
#[test]
fn the_search_finds_every_form() {
    let mut planted = Planted::default();
    planted.plant("Zqwertyuiop");
    let search = Search::of(&planted.values);
    let value = "Zqwertyuiop";
    for skip in 0..7 {
        let clear = format!("{}{value} and more", "-".repeat(skip));
        let utf16 = |order: fn(u16) -> [u8; 2]| clear.encode_utf16().flat_map(order).collect();
        let hex = |upper: bool| {
            let digits = |b: u8| if upper { format!("{b:02X}") } else { format!("{b:02x}") };
            clear.bytes().map(digits).collect::<String>().into_bytes()
        };
        let leaks: [Vec<u8>; 8] = [
            clear.clone().into_bytes(),
            clear.to_lowercase().into_bytes(),
            hex(false),
            hex(true),
            STANDARD_NO_PAD.encode(&clear).into_bytes(),
            URL_SAFE_NO_PAD.encode(&clear).into_bytes(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
        ];
        for leak in leaks {
            assert_eq!(search.found_in(&leak).len(), 1, "{leak:?}");
        }
    }
    assert!(search.found_in(b"Zqwert and yuiop").is_empty());
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("below/file"), b"\0\0Zqwertyuiop\0").unwrap();
    let seen = std::panic::catch_unwind(|| search.nothing_below(folder.path()));
    assert!(seen.is_err(), "a file with a planted value passes");
}
