//! A small scheme whose keys, serial numbers and dates are fixed, so that everything signed in it
//! comes out the same every time (Ed25519 signatures are deterministic).

use ecaf::domain::time::{DAY, Timestamp};
use ecaf::effects::SeededEntropy;
use ecaf::protocol::trust::issue::{
    Ca, CrlContent, LeafKind, LeafRequest, Period, PrivateKey, Reason, Revoked,
};
use rcgen::CertificateParams;
use rustls::pki_types::CertificateDer;
use serde::Serialize;

pub const DOMAIN: &str = "demo.ecaf.example";
pub const SCHOOL: &str = "school/900001";
pub const AUTHORITY: &str = "authority/204";
pub const GATEWAY: &str = "gateway/example-1";

/// One case, as it stands in the file.
#[derive(Serialize)]
pub struct Vector {
    pub id: String,
    pub shows: String,
    pub trust_domain: String,
    pub purpose: &'static str,
    pub at: String,
    pub chain: Vec<String>,
    pub roots: Vec<String>,
    pub issuing: Vec<String>,
    pub crls: Vec<String>,
    pub expect: Expect,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum Expect {
    Verified { party: String, revocation: &'static str },
    Refused { rule: &'static str },
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When the scheme was made.
pub fn made() -> Timestamp {
    time("2026-11-01T00:05:00Z")
}

/// When chains are judged unless the case says otherwise.
pub fn noon() -> Timestamp {
    time("2026-11-04T12:00:00Z")
}

pub fn key(seed: u8) -> PrivateKey {
    PrivateKey::ed25519(&[seed; 32]).unwrap()
}

pub struct World {
    pub entropy: SeededEntropy,
    pub root: Ca,
    pub issuing: Ca,
}

impl World {
    pub fn new(seed: u8) -> Self {
        let entropy = SeededEntropy::new(u64::from(seed));
        let period = Period::of_root(made());
        let root = Ca::new_root("Example root", key(seed), period, &entropy).unwrap();
        let period = Period::of_issuing(made());
        let issuing =
            root.new_issuing("Example issuing CA", key(seed + 1), period, &entropy).unwrap();
        Self { entropy, root, issuing }
    }

    pub fn request(&self, path: &str, kind: LeafKind) -> LeafRequest {
        let party = format!("spiffe://{DOMAIN}/{path}").parse().unwrap();
        LeafRequest::new(party, kind, made())
    }

    /// A leaf that keeps the profile.
    pub fn leaf(&self, path: &str, kind: LeafKind) -> CertificateDer<'static> {
        self.issuing.leaf(&self.request(path, kind), &key(9), &self.entropy).unwrap()
    }

    /// A leaf altered before signing.
    pub fn deviant(
        &self,
        path: &str,
        kind: LeafKind,
        alter: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let request = self.request(path, kind);
        self.issuing.deviant_leaf(&request, &key(9), &self.entropy, alter).unwrap()
    }

    pub fn content(&self, days: i64, revoked: Vec<Revoked>) -> CrlContent {
        let this_update = made();
        CrlContent { number: 1, this_update, next_update: this_update.plus(days * DAY), revoked }
    }

    pub fn root_crl(&self) -> Vec<u8> {
        self.root.crl(&self.content(90, Vec::new())).unwrap()
    }

    pub fn issuing_crl(&self) -> Vec<u8> {
        self.issuing.crl(&self.content(7, Vec::new())).unwrap()
    }
}

pub fn client() -> LeafKind {
    LeafKind::Tls { dns: Vec::new() }
}

pub fn server(name: &str) -> LeafKind {
    LeafKind::Tls { dns: vec![name.to_owned()] }
}

/// The serial number of a certificate.
pub fn serial(der: &[u8]) -> Vec<u8> {
    ecaf::protocol::trust::serial(der).unwrap()
}

pub fn revoked(der: &[u8], at: &str, reason: Reason, invalid_from: Option<&str>) -> Revoked {
    let invalid_from = invalid_from.map(time);
    Revoked { serial: serial(der), at: time(at), reason, invalid_from }
}
