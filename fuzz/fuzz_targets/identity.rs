//! Certificates, chains and revocation lists of a stranger: who they name, and that nothing which our
//! CAs did not sign is ever trusted.
#![no_main]

use std::sync::LazyLock;

use ecaf::domain::time::Timestamp;
use ecaf::protocol::trust::{
    self, Chain, Purpose, TrustScope, TrustStore, identity, may_serve, pem,
};
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::CertificateDer;

struct World {
    roots: Vec<CertificateDer<'static>>,
    issuing: Vec<CertificateDer<'static>>,
    crls: Vec<Vec<u8>>,
    trust: TrustStore,
    known: Vec<CertificateDer<'static>>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let roots = pem::certificates(include_bytes!("../../certs-example/scheme/root.crt")).unwrap();
    let issuing =
        pem::certificates(include_bytes!("../../certs-example/scheme/issuing.crt")).unwrap();
    let mut crls = pem::crls(include_bytes!("../../certs-example/scheme/crl/root.crl")).unwrap();
    crls.extend(pem::crls(include_bytes!("../../certs-example/scheme/crl/issuing.crl")).unwrap());
    let trust = store(&roots, &issuing, &crls).unwrap();
    let known = [
        &include_bytes!("../../certs-example/parties/school-900001-signing.crt")[..],
        include_bytes!("../../certs-example/parties/school-900001-tls.crt"),
        include_bytes!("../../certs-example/parties/gateway-signing.crt"),
        include_bytes!("../../certs-example/parties/gateway-tls.crt"),
    ];
    let known = known.iter().flat_map(|pem| pem::certificates(pem).unwrap()).collect();
    World { roots, issuing, crls, trust, known }
});

fn store(
    roots: &[CertificateDer<'static>],
    issuing: &[CertificateDer<'static>],
    crls: &[Vec<u8>],
) -> Option<TrustStore> {
    let domain = "demo.ecaf.example".parse().unwrap();
    let (roots, issuing, crls) = (roots.to_vec(), issuing.to_vec(), crls.to_vec());
    TrustStore::new(domain, TrustScope::Demo, roots, issuing, crls).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    let at: Timestamp = "2026-11-04T12:00:00Z".parse().unwrap();
    let der = CertificateDer::from(bytes.to_vec());
    if let Ok(party) = identity(bytes) {
        let text = party.to_string();
        assert_eq!(text.parse().as_ref(), Ok(&party), "one spelling for each party");
        assert!(text.starts_with("spiffe://"));
        let _ = may_serve(&party);
    }
    let _ = (trust::describe(bytes), trust::serial(bytes));
    let judge = |chain: &Chain| {
        for purpose in [Purpose::TlsClient, Purpose::TlsServer, Purpose::Signing] {
            let trusted = world.trust.verify(chain, purpose, at).is_ok();
            assert!(!trusted || world.known.contains(chain.leaf()), "a forged leaf is trusted");
        }
    };
    if let Ok(chain) = Chain::presented(vec![der.clone()]) {
        judge(&chain);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(chain) = Chain::from_header(text) {
            assert_eq!(Chain::from_header(&chain.to_header()).as_ref(), Ok(&chain));
            judge(&chain);
        }
    }
    let _ = (pem::certificates(bytes), pem::crls(bytes), pem::private_key(bytes));
    // As what the operator loads: a forged list or CA never gets in.
    let issuing = [world.issuing.clone(), vec![der.clone()]].concat();
    let forged = store(&world.roots, &issuing, &world.crls).is_some();
    assert!(!forged || world.issuing.contains(&der), "a forged issuing CA is loaded");
    let crls = [world.crls.clone(), vec![bytes.to_vec()]].concat();
    let forged = store(&world.roots, &world.issuing, &crls).is_some();
    assert!(!forged || world.crls.iter().any(|c| c == bytes), "a forged list is loaded");
});
