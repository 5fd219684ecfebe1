//! Every way in which a chain can be wrong is refused with its own reason. The cases are the
//! vectors in `conformance/certificates/`; this file also makes them again, byte for byte, so that
//! what integrators get is what this code produced and passes.
//!
//! To write the vectors anew after a change: `ECAF_WRITE_VECTORS=1 cargo test --test
//! certificate_profile`.

#[path = "certificate_profile/store.rs"]
mod store;
#[path = "certificate_profile/vectors/mod.rs"]
mod vectors;
#[path = "certificate_profile/world.rs"]
mod world;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ecaf::domain::time::Timestamp;
use ecaf::protocol::trust::{
    Chain, Purpose, Revocation, TrustScope, TrustStore, VerifiedCache, rules,
};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use vectors::FILES;

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/certificates")
}

#[test]
fn the_committed_vectors_are_the_ones_that_this_code_makes() {
    for (file, make) in FILES {
        let made = vectors::to_json(&make());
        let path = folder().join(file);
        if std::env::var_os("ECAF_WRITE_VECTORS").is_some() {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(committed == made, "{file} differs from what is made: see the head of this test");
    }
}

/// The case as an integrator reads it: from the file alone.
fn read(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["cases"].as_array().unwrap().clone()
}

fn bytes(list: &Value) -> Vec<Vec<u8>> {
    let texts = list.as_array().unwrap().iter().map(|v| v.as_str().unwrap());
    texts.map(|text| STANDARD.decode(text).unwrap()).collect()
}

fn certificates(list: &Value) -> Vec<CertificateDer<'static>> {
    bytes(list).into_iter().map(CertificateDer::from).collect()
}

/// `ok:<party>:<revocation>` or the id of a rule.
fn outcome(case: &Value) -> String {
    let text = |name: &str| case[name].as_str().unwrap();
    let at: Timestamp = text("at").parse().unwrap();
    let purpose = match text("purpose") {
        "tls_client" => Purpose::TlsClient,
        "tls_server" => Purpose::TlsServer,
        "signing" => Purpose::Signing,
        other => panic!("{other}"),
    };
    let store = TrustStore::new(
        text("trust_domain").parse().unwrap(),
        TrustScope::Live,
        certificates(&case["roots"]),
        certificates(&case["issuing"]),
        bytes(&case["crls"]),
    );
    let store = match store {
        Ok(store) => store,
        Err(faults) => return faults[0].rule.id.to_owned(),
    };
    let chain = match Chain::presented(certificates(&case["chain"])) {
        Ok(chain) => chain,
        Err(refusal) => return refusal.0.id.to_owned(),
    };
    assert_eq!(Chain::from_header(&chain.to_header()), Ok(chain.clone()));
    let verified = store.verify(&chain, purpose, at);
    // The cache says the same, filled and unfilled.
    let cache = VerifiedCache::new(2);
    assert_eq!(cache.verify(&store, &chain, purpose, at), verified);
    assert_eq!(cache.verify(&store, &chain, purpose, at), verified);
    match verified {
        Ok(chain) => {
            let revocation = match chain.revocation() {
                Revocation::Good => "good",
                Revocation::Stale => "stale",
                Revocation::Doubted => "doubted",
            };
            format!("ok:{}:{revocation}", chain.party())
        }
        Err(refusal) => refusal.0.id.to_owned(),
    }
}

fn expected(case: &Value) -> String {
    let expect = &case["expect"];
    match expect["rule"].as_str() {
        Some(rule) => rule.to_owned(),
        None => format!(
            "ok:{}:{}",
            expect["party"].as_str().unwrap(),
            expect["revocation"].as_str().unwrap()
        ),
    }
}

#[test]
fn each_vector_has_its_expected_outcome() {
    let mut wrong = Vec::new();
    for (file, _) in FILES {
        for case in read(file) {
            let (expected, outcome) = (expected(&case), outcome(&case));
            if expected != outcome {
                wrong.push(format!("{file} {}: expected {expected}, got {outcome}", case["id"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_vector_and_every_id_is_used_once() {
    // These depend on more than a chain and what is trusted; `store.rs` has their tests.
    let elsewhere = [rules::WRONG_NAME.id, rules::EXAMPLE_KEY.id, rules::CRL_OLDER.id];
    let (mut ids, mut covered) = (BTreeSet::new(), BTreeSet::new());
    for (file, _) in FILES {
        for case in read(file) {
            assert!(ids.insert(case["id"].as_str().unwrap().to_owned()), "{}", case["id"]);
            covered.insert(expected(&case));
        }
    }
    for rule in rules::ALL.iter().filter(|rule| !elsewhere.contains(&rule.id)) {
        assert!(covered.contains(rule.id), "no vector for {}", rule.id);
    }
}
