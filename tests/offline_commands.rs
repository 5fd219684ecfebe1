//! The commands that need no gateway, run as a person runs them: what they print, their exit codes, and what they
//! refuse. `exchange_commands.rs` has those that talk to a gateway.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder in which commands are run.
struct Desk(TempDir);

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, words: &str) -> Said {
        self.run_with(words, "")
    }

    fn run_with(&self, words: &str, input: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecaf"));
        command.args(words.split_whitespace()).current_dir(self.0.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read it has ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    #[track_caller]
    fn ok(&self, words: &str) -> String {
        self.ends(words, 0)
    }

    /// What it prints, if it ends with `code`.
    #[track_caller]
    fn ends(&self, words: &str, code: i32) -> String {
        let said = self.run(words);
        assert_eq!(said.code, code, "{words}: {}{}", said.out, said.err);
        said.out + &said.err
    }

    #[track_caller]
    fn json(&self, words: &str) -> Value {
        let said = self.run(words);
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{words}: {e}: {}", said.err))
    }
}

/// The subcommands that a help page names, but `help` itself.
fn subcommands(page: &str) -> Vec<String> {
    let Some((_, rest)) = page.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_says_how_it_is_used_with_an_example() {
    let desk = Desk::new();
    let mut open = vec![(String::new(), false)];
    let mut commands = 0;
    while let Some((command, is_shown)) = open.pop() {
        let page = desk.ok(&format!("{command} --help"));
        assert!(page.contains(&format!("Usage: ecaf{command}")), "{command}: {page}");
        let is_shown = is_shown || page.contains("Example");
        let below = subcommands(&page);
        if below.is_empty() {
            assert!(is_shown, "no example of{command}");
            commands += 1;
        }
        open.extend(below.into_iter().map(|name| (format!("{command} {name}"), is_shown)));
    }
    assert!(commands > 80, "{commands}");
    assert!(desk.ends("no-such-command", 2).contains("Usage"));
}

#[test]
fn a_referral_is_begun_checked_and_read() {
    let desk = Desk::new();
    assert!(
        desk.ok("referral new --minimal --school 900001 -o today.jsonc").contains("today.jsonc")
    );
    desk.ends("referral new --minimal --school 900001 -o today.jsonc", 2);
    let unfinished = desk.ends("referral check today.jsonc", 1);
    assert!(
        unfinished.contains("This is still blank\n    at /children/0/name/given"),
        "{unfinished}"
    );
    assert!(unfinished.ends_with("mistakes\n") && !unfinished.contains("900001"), "{unfinished}");
    let found = desk.json("referral check today.jsonc --json");
    assert!(found.to_string().contains(r#""schema.blank""#), "{found}");
    desk.ends("referral check nowhere.jsonc", 2);

    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/conformance/examples/a03a-three-siblings-two-schools.json"
    );
    desk.ok(&format!("referral check {example}"));
    let text = fs::read_to_string(example).unwrap();
    let shown = desk.run_with("referral show -", &text);
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    assert!(shown.out.contains("nothing here has been verified"), "{}", shown.out);
    let page = desk.run_with("referral show --html -", &text).out;
    assert!(page.starts_with("<!doctype html>") && !page.contains("http://"), "{page}");
    // All of them in one area: one referral will do.
    let split = desk.ends(&format!("referral split {example} -o drafts"), 1);
    assert!(!desk.path("drafts").exists() && !split.is_empty(), "{split}");
    for page in ["referral fields", "referral events"] {
        assert!(desk.ok(page).starts_with('#'), "{page}");
    }
}

#[test]
fn siblings_in_two_areas_become_a_draft_for_each() {
    let desk = Desk::new();
    let example =
        concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/examples/a04a-harmed-by-a-sibling.json");
    let mut referral: Value = serde_json::from_slice(&fs::read(example).unwrap()).unwrap();
    referral.as_object_mut().unwrap().remove("group_id");
    referral["addresses"].as_array_mut().unwrap().push(json!({
        "id": "a2", "kind": "usual", "lines": ["9 Mercers Wharf"], "postcode": "E12 6BX",
        "residents": ["c2", "p2"]
    }));
    fs::write(desk.path("siblings.json"), referral.to_string()).unwrap();
    let said = desk.run("referral split siblings.json -o drafts --json");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let mut drafts: Vec<_> =
        fs::read_dir(desk.path("drafts")).unwrap().map(|e| e.unwrap().path()).collect();
    drafts.sort();
    assert_eq!(drafts.len(), 2, "{drafts:?}");
    let children = |path: &Path| {
        let shown = desk.ok(&format!("referral show {}", path.display()));
        assert!(!shown.is_empty());
        fs::read(path).unwrap()
    };
    let before: Vec<_> = drafts.iter().map(|path| children(path)).collect();
    desk.ok("referral split siblings.json -o again");
    let again: Vec<_> = drafts
        .iter()
        .map(|path| children(&desk.path("again").join(path.file_name().unwrap())))
        .collect();
    assert_eq!(before, again, "splitting twice sends nothing twice");
}

#[test]
fn where_a_child_lives_is_explained() {
    let desk = Desk::new();
    for words in ["route explain E15 4LZ", "route explain e154lz"] {
        assert!(desk.ok(words).starts_with("Newham is responsible."), "{words}");
    }
    let typed = desk.run_with("route explain - --json", "E15 4LZ\n");
    let answer: Value = serde_json::from_str(&typed.out).unwrap();
    assert_eq!((typed.code, &answer["authority"]["dfe_code"]), (0, &"316".into()));
    let unlisted = desk.ends("route explain ZZ1 1ZZ", 1);
    assert!(unlisted.contains("typing mistake") && !unlisted.contains("ZZ1"), "{unlisted}");
    desk.ends("route explain nonsense", 2);
    assert!(desk.ends("route explain E15 4LZ --at 31.12.2026", 2).contains("--at"));
}

#[test]
fn a_table_of_postcodes_is_built_read_and_used() {
    let desk = Desk::new();
    let rows = "postcode,lad25cd,status,near_m,near_utla\n\
                E15 4LZ,E09000025,live,,\nN1 1AA,E09000019,live,,\n";
    fs::write(desk.path("two.csv"), rows).unwrap();
    desk.ok("postcodes build two.csv --edition 2026-02 -o two.table");
    let shown = desk.json("postcodes show --table two.table --json");
    assert!(shown.to_string().contains("2026-02"), "{shown}");
    assert!(desk.ok("route explain E15 4LZ --table two.table").contains("ONSPD 2026-02"));
    desk.ends("route explain E15 4LA --table two.table", 1);
    assert!(desk.ok("postcodes show").contains("Contains OS data"));
    // A table that was cut off, or altered, is none.
    let bytes = fs::read(desk.path("two.table")).unwrap();
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    for (name, bytes) in [("cut", &bytes[..bytes.len() - 1]), ("altered", &altered)] {
        fs::write(desk.path(name), bytes).unwrap();
        let said = desk.run(&format!("route explain E15 4LZ --table {name}"));
        assert!(said.code > 1 && said.out.is_empty(), "{name}: {}", said.out);
    }
    fs::write(desk.path("bad.csv"), rows.replace("E09000019", "E0900001")).unwrap();
    let said = desk.run("postcodes build bad.csv --edition 2026-02 -o bad.table");
    assert!(said.code != 0 && !desk.path("bad.table").exists(), "{}", said.out);
}

#[test]
fn a_scheme_issues_renews_and_revokes() {
    let desk = Desk::new();
    desk.ok("pki init --trust-domain scheme.example.org");
    desk.run("pki init --trust-domain scheme.example.org").refused_without_a_trace();
    desk.ok("pki issue school/900001 --out school");
    let shown = desk.ok("pki show school-tls.crt --scheme scheme");
    for line in ["spiffe://scheme.example.org/school/900001", "not revoked", "accepted at"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert_eq!(private_mode(&desk.path("school-tls.key")), 0o600);
    assert_eq!(private_mode(&desk.path("scheme/root.key")), 0o600);
    desk.run("pki renew school-tls.crt --out next").refused_without_a_trace();
    assert!(!desk.path("next.key").exists(), "it is not due");
    desk.ok("pki renew school-tls.crt --early --out next");
    desk.ok("pki revoke school-tls.crt --reason key-compromise");
    let shown = desk.ends("pki show school-tls.crt --scheme scheme", 1);
    assert!(shown.contains("revoked"), "{shown}");
    desk.ok("pki show next.crt --scheme scheme");
    desk.ok("pki crl");
    desk.run("pki issue school/../x --out x").refused_without_a_trace();
}

#[test]
fn a_directory_is_built_signed_and_verified() {
    let desk = Desk::new();
    desk.ok("pki init --trust-domain scheme.example.org");
    desk.ok("pki issue operator/scheme --out operator");
    desk.ok("pki issue school/900001 --out school");
    desk.ok("directory build --trust-domain scheme.example.org -o plain.json");
    let sign = "directory sign plain.json --chain operator-signing.crt --key operator-signing.key";
    desk.ok(&format!("{sign} -o signed.json"));
    let verify = "directory verify --trust-domain scheme.example.org";
    assert!(desk.ok(&format!("{verify} signed.json")).contains("Good: issue 1"));
    // Nobody else's signature, nothing altered, nothing of another scheme.
    let other = sign.replace("operator-", "school-");
    if desk.run(&format!("{other} -o other.json")).code == 0 {
        assert!(desk.ends(&format!("{verify} other.json"), 1).contains('['));
    }
    let text = fs::read_to_string(desk.path("signed.json")).unwrap();
    fs::write(desk.path("altered.json"), text.replacen('e', "f", 1)).unwrap();
    assert_ne!(desk.run(&format!("{verify} altered.json")).code, 0);
    let elsewhere = verify.replace("scheme.example", "another.example");
    desk.ends(&format!("{elsewhere} signed.json"), 1);
    assert!(desk.ok("directory show signed.json").contains("Newham"));
    for wanted in ["316", "E09000025", "Newham"] {
        let found = desk.ok(&format!("directory lookup authority {wanted}"));
        assert!(found.contains("316  Newham") && found.contains("999"), "{found}");
    }
    desk.ends("directory lookup authority Nowhere", 1);
    desk.ends("directory lookup school 900001 --directory signed.json", 1);
}

#[test]
fn keys_are_made_prepared_and_replaced() {
    let desk = Desk::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/gateway.toml");
    let sample = fs::read_to_string(sample).unwrap();
    let changed = [
        ("/var/lib/ecaf-keys/gateway.ring", "ring/gateway.ring"),
        ("/var/lib/ecaf/gateway.db", "gateway.db"),
        ("#next_kek = ", "next_kek = "),
    ];
    let text = changed.iter().fold(sample, |text, (old, new)| text.replace(old, new));
    fs::write(desk.path("gateway.toml"), text).unwrap();
    for folder in ["ring", "private"] {
        fs::create_dir(desk.path(folder)).unwrap();
    }
    let run = |words: &str| desk.ok(&format!("keys {words} --config gateway.toml"));
    assert!(run("create --months 2").contains("back up"));
    let (ring, kek) = (desk.path("ring/gateway.ring"), desk.path("private/gateway.kek"));
    assert_eq!((private_mode(&ring), private_mode(&kek)), (0o600, 0o600));
    let made = fs::read(&kek).unwrap();
    assert!(run("create").contains("already"), "nothing is overwritten");
    assert_eq!(fs::read(&kek).unwrap(), made);
    assert!(run("prepare --months 4").starts_with("2 keys added"));
    run("rotate-kek");
    let shown = desk.json("keys show --json --config gateway.toml");
    let secret = String::from_utf8(made).unwrap();
    assert!(!shown.to_string().contains(secret.trim()), "a KEK is never shown");
    let table = run("show");
    let (month, key) = table.lines().skip(2).find_map(|line| line.split_once("  ")).unwrap();
    let key = key.split(' ').next().unwrap();
    run(&format!("rotate --period {month}"));
    let retire = desk.ends(&format!("keys retire --key {key} --config gateway.toml"), 1);
    assert!(retire.contains("less than 10 minutes ago"), "{retire}");
    desk.ends("keys retire --key 0123456789abcdef --config gateway.toml", 1);
    desk.ends("keys retire --key short --config gateway.toml", 2);
    // Without its KEK the ring says nothing.
    fs::remove_file(desk.path("private/gateway-next.kek")).unwrap();
    fs::write(&kek, fs::read_to_string(&kek).unwrap().replacen('a', "b", 1)).unwrap();
    assert!(desk.run("keys show --config gateway.toml").code > 1);
}

#[test]
fn a_configuration_is_checked_with_every_mistake_at_once() {
    let desk = Desk::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/gateway.toml");
    desk.ok(&format!("config check --no-files {sample}"));
    let text = fs::read_to_string(sample).unwrap();
    let text = text.replace("[::]:8443", "nowhere").replace("ring = ", "rings = ");
    fs::write(desk.path("bad.toml"), text).unwrap();
    let said = desk.ends("config check --no-files bad.toml", 2);
    for key in ["listen", "keys.rings", "keys.ring"] {
        assert!(said.contains(key), "{key}: {said}");
    }
    fs::copy(sample, desk.path("good.toml")).unwrap();
    let said = desk.ends("config check good.toml", 2);
    assert!(said.contains("trust.roots") && said.contains("identity.tls_key"), "{said}");
    desk.ends("config check nowhere.toml", 2);
}

impl Said {
    /// It ends with an error and says why on the error stream, and that alone.
    #[track_caller]
    fn refused_without_a_trace(&self) {
        assert!(self.code != 0 && self.out.is_empty(), "{}{}", self.out, self.err);
        assert!(!self.err.is_empty() && !self.err.contains("panicked"), "{}", self.err);
    }
}

fn private_mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
