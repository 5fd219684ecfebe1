//! The sample configurations in `deploy/` are what the program reads: as they stand, and with every
//! commented key switched on, where each then has the default that the comment claims. None of them needs
//! systemd, so that an operator's commands read them too.

use std::path::Path;

use ecaf::config::{Kind, Settings, parse};

const SAMPLES: [(&str, Kind); 5] = [
    ("gateway", Kind::Gateway),
    ("authority", Kind::Authority),
    ("authority-collects", Kind::Authority),
    ("school", Kind::School),
    ("worker", Kind::Worker),
];

fn environment(variable: &str) -> Option<String> {
    match variable {
        "HOME" => Some("/home/dsl".to_owned()),
        _ => None,
    }
}

fn sample(name: &str) -> String {
    let path = format!("{}/deploy/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The sample with all its `#key = value` lines switched on.
fn all_keys(name: &str) -> String {
    let is_key = |line: &str| {
        line.strip_prefix('#').and_then(|rest| rest.split_once(" = ")).is_some_and(|(key, _)| {
            !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
    };
    let lines = sample(name);
    let lines = lines.lines().map(|line| if is_key(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

fn settings(name: &str, text: &str) -> Settings {
    let file = Path::new("/etc/ecaf").join(name).with_extension("toml");
    parse(&file, text, &environment).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn samples_are_accepted_as_they_stand() {
    for (name, kind) in SAMPLES {
        assert_eq!(settings(name, &sample(name)).kind(), kind);
    }
}

#[test]
fn commented_keys_show_the_defaults() {
    // What has no default is left out of the comparison: it is absent from the plain sample.
    let without = |text: String| {
        let skip = ["support = ", "table = ", "file = \"directory", "next_kek = "];
        let keep = |line: &&str| !skip.iter().any(|s| line.starts_with(s));
        text.lines().filter(keep).collect::<Vec<_>>().join("\n")
    };
    for (name, _) in SAMPLES {
        let directory = "\n[directory]\nfile = \"directory.signed.json\"";
        let complete = |text: String| {
            let text = without(text);
            text.replace("\n[directory]", directory)
        };
        let plain = settings(name, &complete(sample(name)));
        let full = settings(name, &complete(all_keys(name)));
        assert_eq!(format!("{plain:?}"), format!("{full:?}"), "{name}");
        assert!(all_keys(name).len() < sample(name).len(), "{name} has no commented keys");
    }
}

/// The gateway's sample with the `[store]` of a database.
fn with_database() -> String {
    let plain = sample("gateway");
    let (before, rest) = plain.split_once("[store]").unwrap();
    let after = rest.split_once("\n[keys]").unwrap().1;
    format!("{before}{}\n[keys]{after}", sample("postgres/store"))
}

#[test]
fn a_database_takes_the_place_of_the_file() {
    let Settings::Gateway(plain) = settings("gateway", &with_database()) else { panic!() };
    let ecaf::config::StoreSettings::Postgres(store) = &plain.store else { panic!() };
    assert_eq!(store.servers.to_string(), "db-1.example.org:5432, db-2.example.org:5432");
    assert!(store.on_replica && !store.plain_loopback);
    assert_eq!(store.state, Path::new("/var/lib/ecaf/gateway"));
    let refused = |from: &str, to: &str| {
        let text = with_database().replace(from, to);
        let mistakes = parse(Path::new("gateway.toml"), &text, &environment).unwrap_err();
        mistakes.list.into_iter().map(|m| m.key).collect::<Vec<_>>()
    };
    assert_eq!(refused("ca = ", "#ca = "), ["store.servers"]);
    assert_eq!(refused("ca = ", "plain_loopback = true\n#ca = "), ["store.servers"]);
    assert_eq!(refused("ca = ", "plain_loopback = true\nca = "), ["store.plain_loopback"]);
    assert_eq!(refused("\"db-1.example.org\"", "\"postgres://u:p@db\""), ["store.servers"]);
    assert_eq!(refused("#durable = \"replica\"", "durable = \"no\""), ["store.durable"]);
    assert_eq!(refused("#database = \"ecaf\"", "database = \"a b\""), ["store.database"]);
    assert_eq!(refused("#certificate = ", "certificate = "), ["store.certificate"]);
    assert_eq!(refused("kind = \"postgres\"", "kind = \"oracle\"")[0], "store.kind");
    assert_eq!(refused("state = ", "#state = "), ["store.state"]);
    assert_eq!(refused("state = ", "path = \"x\"\nstate = "), ["store.path"]);
}

#[test]
fn paths_start_at_the_file_and_credentials_where_systemd_puts_them() {
    let Settings::Gateway(gateway) = settings("gateway", &sample("gateway")) else { panic!() };
    assert_eq!(gateway.trust.roots, Path::new("/etc/ecaf/trust/root.crt"));
    assert_eq!(gateway.identity.tls_key.path(), Path::new("/etc/ecaf/private/gateway-tls.key"));
    assert_eq!(gateway.store.file(), Some(Path::new("/var/lib/ecaf/gateway.db")));
    let Settings::School(school) = settings("school", &sample("school")) else { panic!() };
    assert_eq!(school.state_dir, Path::new("/home/dsl/.local/state/ecaf"));

    let text = sample("gateway").replace("private/gateway-tls.key", "credential:tls-key");
    let systemd = |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some("/run/credentials/ecaf".to_owned()),
        _ => environment(name),
    };
    let file = Path::new("/etc/ecaf/gateway.toml");
    let Ok(Settings::Gateway(gateway)) = parse(file, &text, &systemd) else { panic!() };
    assert_eq!(gateway.identity.tls_key.path(), Path::new("/run/credentials/ecaf/tls-key"));
    let mistakes = parse(file, &text, &environment).unwrap_err();
    assert_eq!(mistakes.list.len(), 1, "{mistakes}");
}

#[test]
fn every_mistake_at_once_with_line_and_key() {
    let text = r#"kind = "gateway"
listen = "localhost:8443"
operator_listen = "0.0.0.0:9443"
surprise = 1

[trust]
domain = "demo.ecaf.example"
roots = 7
crls = "crls"

[identity]
tls_certificate = "tls.pem"
tls_key = "-----BEGIN PRIVATE KEY-----"
signing_certificate = "signing.pem"
signing_key = "credential:../../etc/shadow"

[delivery]
retry_first = "10"
concurrency = 0
give_up_after = "1s"

[limits]
body = "1 GiB"
"#;
    let mistakes = parse(Path::new("gateway.toml"), text, &environment).unwrap_err();
    let found: Vec<(usize, &str)> =
        mistakes.list.iter().map(|m| (m.line, m.key.as_str())).collect();
    assert_eq!(
        found,
        [
            (1, "directory.file"),
            (1, "keys.kek"),
            (1, "keys.ring"),
            (1, "store.path"),
            (2, "listen"),
            (3, "operator_listen"),
            (4, "surprise"),
            (6, "trust.issuing"),
            (7, "trust.domain"),
            (8, "trust.roots"),
            (13, "identity.tls_key"),
            (15, "identity.signing_key"),
            (18, "delivery.retry_first"),
            (19, "delivery.concurrency"),
            (20, "delivery.give_up_after"),
            (23, "limits.body"),
        ],
        "{mistakes}"
    );
    let text = mistakes.to_string();
    assert!(!text.contains("BEGIN") && !text.contains("shadow"), "{text}");
    assert!(text.contains("gateway.toml:8: trust.roots: must be a path"), "{text}");
}

#[test]
fn the_demonstration_is_fenced_in() {
    let with = |from: &str, to: &str| sample("gateway").replace(from, to);
    let refused = |text: &str| {
        let mistakes = parse(Path::new("gateway.toml"), text, &environment).unwrap_err();
        mistakes.list.into_iter().map(|m| m.key).collect::<Vec<_>>()
    };
    let domain = with("\"scheme.example.org\"", "\"demo.ecaf.example\"");
    assert_eq!(refused(&domain), ["trust.domain"]);
    assert_eq!(refused(&with("#demo = false", "demo = true")), ["listen", "trust.domain"]);
    let demo = domain.replace("#demo = false", "demo = true");
    assert_eq!(refused(&demo), ["listen"]);
    let local = demo.replace("[::]:8443", "[::1]:8443");
    assert!(parse(Path::new("gateway.toml"), &local, &environment).is_ok());
}

#[test]
fn the_environment_overrides_a_few_keys() {
    let listen = |value: &'static str| {
        move |variable: &str| match variable {
            "ECAF_LISTEN" => Some(value.to_owned()),
            other => environment(other),
        }
    };
    let file = Path::new("gateway.toml");
    let moved = listen("127.0.0.1:1");
    let Ok(Settings::Gateway(gateway)) = parse(file, &sample("gateway"), &moved) else { panic!() };
    assert_eq!(gateway.listen.parties.to_string(), "127.0.0.1:1");
    let wrong = listen("nowhere");
    let mistakes = parse(file, &sample("gateway"), &wrong).unwrap_err();
    assert!(mistakes.to_string().contains("environment variable ECAF_LISTEN"), "{mistakes}");
}

#[test]
fn not_toml_not_a_kind_not_that_kind() {
    let refused =
        |text: &str| parse(Path::new("x.toml"), text, &environment).unwrap_err().to_string();
    assert!(refused("kind = \"gateway\"\nlisten = \n[trust\n").starts_with("x.toml:2: not TOML"));
    assert!(refused("listen = 1").contains("kind: must be"));
    assert!(refused("kind = \"operator\"").contains("kind: must be"));
    assert!(refused("kind = \"school\"\nkind = \"school\"").starts_with("x.toml:2: not TOML"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("school.toml");
    std::fs::write(&file, sample("school")).unwrap();
    let mistakes = ecaf::config::load_gateway(&file).unwrap_err();
    assert!(
        mistakes
            .to_string()
            .ends_with("is the configuration of a school; this command needs a gateway's")
    );
}
