//! Tokens and evidence bundles of a stranger, and claims that were really signed, so that what lies
//! behind the signature is reached too.
#![no_main]

use std::sync::LazyLock;

use ecaf::domain::time::Timestamp;
use ecaf::effects::Signer;
use ecaf::protocol::evidence::Bundle;
use ecaf::protocol::jws::{self, Unverified};
use ecaf::protocol::tokens::{
    Accepted, CaseEvent, Delivered, DispatchNote, Recorded, Refused, SET_TYPE, SUBMISSION_TYPE, SecurityEvent,
    Submission,
};
use ecaf::protocol::trust::issue::PrivateKey;
use ecaf::protocol::trust::{Chain, Purpose, TrustScope, TrustStore, VerifiedChain, pem};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

struct World {
    trust: TrustStore,
    key: Box<dyn Signer>,
    signer: VerifiedChain,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let domain = "demo.ecaf.example".parse().unwrap();
    let roots = pem::certificates(include_bytes!("../../certs-example/scheme/root.crt")).unwrap();
    let issuing =
        pem::certificates(include_bytes!("../../certs-example/scheme/issuing.crt")).unwrap();
    let mut crls = pem::crls(include_bytes!("../../certs-example/scheme/crl/root.crl")).unwrap();
    crls.extend(pem::crls(include_bytes!("../../certs-example/scheme/crl/issuing.crl")).unwrap());
    let trust = TrustStore::new(domain, TrustScope::Demo, roots, issuing, crls).unwrap();
    let chain = include_bytes!("../../certs-example/parties/school-900001-signing.crt");
    let chain = Chain::new(pem::certificates(chain).unwrap()).unwrap();
    let key = include_bytes!("../../certs-example/parties/school-900001-signing.key");
    let key = Box::new(PrivateKey::from_pem(key).unwrap().to_signing_key().unwrap());
    let at: Timestamp = "2026-11-04T12:00:00Z".parse().unwrap();
    let signer = trust.verify(&chain, Purpose::Signing, at).unwrap();
    World { trust, key, signer }
});

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    let domain = world.trust.trust_domain();
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(token) = Unverified::parse(text) {
            let _ = (token.x5t(), token.peek::<serde_json::Value>());
            // Nobody but the holder of the key makes a token that verifies.
            assert!(token.verify(SUBMISSION_TYPE, &world.signer).is_err());
        }
        // Any JSON at all, correctly signed.
        if let Ok(claims) = serde_json::from_str::<&RawValue>(text) {
            signed(world, claims);
        }
    }
    if let Ok(bundle) = Bundle::parse(bytes) {
        let _ = (bundle.claimed_domain(), bundle.crls(), bundle.issuing());
        if let Ok(proven) = bundle.verify(&world.trust, domain) {
            assert!(proven.statements.len() == bundle.tokens.len());
        }
    }
});

fn signed(world: &World, claims: &RawValue) {
    let domain = world.trust.trust_domain();
    let read = |typ: &str| {
        let token = jws::sign(&*world.key, typ, world.signer.x5t(), &claims).unwrap();
        Unverified::parse(&token).and_then(|t| t.verify(typ, &world.signer))
    };
    // Too long for a token of this protocol.
    let Ok(token) = read(SUBMISSION_TYPE) else { return };
    if let Ok(submission) = Submission::read(&token, domain) {
        assert_eq!(submission.iss, *world.signer.party());
        let again = serde_json::to_value(&submission).unwrap();
        let stated: serde_json::Value = serde_json::from_str(claims.get()).unwrap();
        assert_eq!(again, stated, "what is read is what was said");
    }
    let Ok(token) = read(SET_TYPE) else { return };
    let _ = SecurityEvent::<Accepted>::read(&token, None);
    let _ = SecurityEvent::<DispatchNote>::read(&token, None);
    let _ = SecurityEvent::<Delivered>::read(&token, None);
    let _ = SecurityEvent::<Recorded>::read(&token, None);
    let _ = SecurityEvent::<Refused>::read(&token, None);
    let stated: Option<CaseEvent> = serde_json::from_str(claims.get()).ok();
    if let Some(event) = stated.filter(|event| event.iss == *world.signer.party()) {
        let read = CaseEvent::read(&token, domain, event.sub_id.0);
        assert!(read.is_err() || read == Ok(event), "what is read is what was said");
    }
}
