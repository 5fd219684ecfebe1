//! A small scheme with fixed keys, serial numbers and dates: everything signed in it comes out the
//! same every time (Ed25519 signatures are deterministic).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::effects::SeededEntropy;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws;
use ecaf::protocol::trust::Chain;
use ecaf::protocol::trust::issue::{
    Ca, CrlContent, LeafKind, LeafRequest, Period, PrivateKey, Reason, Revoked,
};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

pub const DOMAIN: &str = "scheme.example.org";

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When the scheme was made.
fn made() -> Timestamp {
    time("2026-11-01T00:05:00Z")
}

/// When files are judged unless a case says otherwise.
pub fn noon() -> Timestamp {
    time("2026-11-04T12:00:00Z")
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::ed25519(&[seed; 32]).unwrap()
}

/// One signing party: chain and key.
pub struct Signer {
    pub chain: Chain,
    pub key: PrivateKey,
}

pub struct World {
    entropy: SeededEntropy,
    pub root: Ca,
    pub issuing: Ca,
}

impl World {
    pub fn new(seed: u8) -> Self {
        let entropy = SeededEntropy::new(u64::from(seed));
        let root =
            Ca::new_root("Vector root", key(seed), Period::of_root(made()), &entropy).unwrap();
        let period = Period::of_issuing(made());
        let issuing = root.new_issuing("Vector CA", key(seed + 1), period, &entropy).unwrap();
        Self { entropy, root, issuing }
    }

    pub fn signer(&self, path: &str, kind: LeafKind, seed: u8) -> Signer {
        let party = format!("spiffe://{DOMAIN}/{path}").parse().unwrap();
        let request = LeafRequest::new(party, kind, made());
        let leaf = self.issuing.leaf(&request, &key(seed), &self.entropy).unwrap();
        let chain = Chain::new(vec![leaf, self.issuing.certificate().clone()]).unwrap();
        Signer { chain, key: key(seed) }
    }

    /// The lists of both CAs as of the day before `at`.
    pub fn crls(&self, at: Timestamp, revoked: Option<&CertificateDer<'static>>) -> Vec<Vec<u8>> {
        let revoked: Vec<Revoked> = revoked
            .iter()
            .map(|der| Revoked {
                serial: X509Certificate::from_der(der).unwrap().1.raw_serial().to_vec(),
                at: time("2026-11-02T00:00:00Z"),
                reason: Reason::KeyCompromise,
                invalid_from: None,
            })
            .collect();
        let content = |days: i64, revoked| CrlContent {
            number: 1,
            this_update: at.plus(-DAY),
            next_update: at.plus((days - 1) * DAY),
            revoked,
        };
        let root = self.root.crl(&content(90, Vec::new())).unwrap();
        let issuing = self.issuing.crl(&content(7, revoked)).unwrap();
        vec![root, issuing]
    }
}

/// A small directory, as JSON that cases alter.
pub fn document() -> Value {
    json!({
        "version": 7,
        "issued_at": "2026-11-04T00:00:00.000Z",
        "expires_at": "2026-11-30T00:00:00.000Z",
        "trust_domain": DOMAIN,
        "bank_holidays": ["2026-12-25", "2026-12-28"],
        "authorities": [{
            "code": "316",
            "name": "Newham",
            "areas": [{ "gss": "E09000025", "valid_from": "2009-01-01" }],
            "connection": "push",
            "endpoint": "https://newham.example.org:8443/ecaf",
            "staffed_hours": "mon-fri 09:00-17:00",
            "out_of_hours": "phone_only",
            "contacts": [{
                "kind": "daytime",
                "label": "Multi-agency safeguarding hub",
                "phone": "01632 960316",
                "verified_at": "2026-11-02",
                "verified_by": "operator-desk",
            }],
        }],
        "schools": [{
            "id": "900001",
            "name": "Example Primary School",
            "authority": "316",
            "signing": "attested",
            "attested_by": ["london-1"],
        }],
        "gateways": [{ "name": "london-1", "base_url": "https://gateway.example.org:8443" }],
    })
}

/// The claims that go with a document.
pub fn claims(document: &Value, bytes: &[u8]) -> Value {
    json!({
        "iss": format!("spiffe://{DOMAIN}/operator/scheme"),
        "version": document["version"],
        "issued_at": document["issued_at"],
        "expires_at": document["expires_at"],
        "document_sha256": sha256(bytes).to_string(),
    })
}

/// A signed file from its parts, whatever they say.
pub fn file(bytes: &[u8], token: &str, chain: &Chain) -> Value {
    let certificates: Vec<_> = chain.certificates().iter().map(|c| STANDARD.encode(c)).collect();
    json!({
        "document": URL_SAFE_NO_PAD.encode(bytes),
        "token": token,
        "certificates": certificates,
    })
}

pub fn token(signer: &Signer, typ: &str, claims: &Value) -> String {
    let key = signer.key.to_signing_key().unwrap();
    jws::sign(&key, typ, signer.chain.x5t(), claims).unwrap()
}
