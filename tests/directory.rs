//! Signed directories: what is taken, what is refused and by which rule. The cases are data in
//! `conformance/directory/`; this test makes them anew (`ECAF_WRITE_VECTORS=1` writes them), compares
//! and runs them.

#[path = "directory/vectors.rs"]
mod vectors;
#[path = "directory/world.rs"]
mod world;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecaf::domain::refusal::Refusal;
use ecaf::protocol::directory::{DirectoryHolder, InUse, VerifiedDirectory, accept};
use ecaf::protocol::trust::{Purpose, TrustScope, TrustStore};
use world::time;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/directory/accept.json");

/// The data of a case turned into the call.
fn run(case: &serde_json::Value) -> Result<VerifiedDirectory, Refusal> {
    let in_use = case["in_use"].as_object().map(|held| InUse {
        version: held["version"].as_u64().unwrap(),
        digest: held["document_sha256"].as_str().unwrap().parse().unwrap(),
    });
    run_with(case, in_use)
}

/// The same with another directory in use.
fn run_with(case: &serde_json::Value, in_use: Option<InUse>) -> Result<VerifiedDirectory, Refusal> {
    let text = |member: &str| case[member].as_str().unwrap();
    let der = |member: &str| {
        let list = case[member].as_array().unwrap();
        list.iter().map(|v| STANDARD.decode(v.as_str().unwrap()).unwrap()).collect::<Vec<_>>()
    };
    let certificates = |member| der(member).into_iter().map(Into::into).collect();
    let trust = TrustStore::new(
        text("trust_domain").parse().unwrap(),
        TrustScope::Live,
        certificates("roots"),
        certificates("issuing"),
        der("crls"),
    );
    let (trust, at) = (trust.unwrap(), time(text("at")));
    accept(text("file").as_bytes(), |chain| trust.verify(chain, Purpose::Signing, at), at, in_use)
}

#[test]
fn vectors_are_as_generated() {
    let made = serde_json::to_string_pretty(&vectors::all()).unwrap() + "\n";
    if std::env::var_os("ECAF_WRITE_VECTORS").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    assert!(std::fs::read_to_string(FILE).unwrap() == made, "run with ECAF_WRITE_VECTORS=1");
}

#[test]
fn vectors_give_what_they_expect() {
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let at = time(case["at"].as_str().unwrap());
        let answer = match run(case) {
            Ok(taken) => serde_json::json!({
                "accepted": taken.directory().version,
                "freshness": taken.directory().freshness(at).as_str(),
            }),
            Err(refusal) => serde_json::json!({ "refused": refusal.rule().unwrap().id }),
        };
        assert_eq!(answer, case["expect"], "{}", case["id"]);
    }
}

#[test]
fn every_rule_of_acceptance_has_a_vector() {
    let text = std::fs::read_to_string(FILE).unwrap();
    for rule in ecaf::protocol::directory::rules::ALL {
        let by_production_check = rule.id.starts_with("directory.production.");
        assert!(by_production_check || text.contains(&format!("\"{}\"", rule.id)), "{}", rule.id);
    }
}

#[test]
fn a_refused_newcomer_leaves_the_last_good_one_and_readiness_says_so() {
    let cases = serde_json::to_value(vectors::all()).unwrap();
    let case = |id: &str| {
        cases["cases"].as_array().unwrap().iter().find(|c| c["id"] == id).unwrap().clone()
    };
    let holder = DirectoryHolder::default();
    let noon = world::noon();
    assert_eq!(holder.readiness(noon).words, "no directory");
    assert!(holder.usable(noon).is_err());

    holder.offer(|_| run(&case("good"))).unwrap();
    assert_eq!(holder.readiness(noon).words, "directory 7 is fresh until 2026-11-30T00:00:00.000Z");
    holder.offer(|_| run(&case("altered-document"))).unwrap_err();
    let readiness = holder.readiness(noon);
    assert!(readiness.ready);
    assert!(readiness.words.ends_with("; a newer file was refused [directory.digest]"));
    assert_eq!(holder.usable(noon).unwrap().0.directory().version, 7);

    // The same file again clears the complaint.
    holder.offer(|in_use| run_with(&case("good"), in_use)).unwrap();
    assert!(!holder.readiness(noon).words.contains("refused"));
    // What was in use before a restart counts too.
    let before = InUse { version: 8, digest: holder.last_good().unwrap().digest() };
    let refusal = DirectoryHolder::new(Some(before))
        .offer(|in_use| run_with(&case("good"), in_use))
        .unwrap_err();
    assert_eq!(refusal.rule().unwrap().id, "directory.older");

    let (stale, expired) = (time("2026-11-30T12:00:00Z"), time("2026-12-01T00:00:01Z"));
    assert!(holder.readiness(stale).words.starts_with("directory 7 is stale since"));
    assert!(holder.usable(stale).is_ok());
    assert!(!holder.readiness(expired).ready);
    assert!(holder.usable(expired).is_err());
    assert!(holder.last_good().is_some(), "for phone numbers");
}
