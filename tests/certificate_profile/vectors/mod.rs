//! The cases: one function per file of `conformance/certificates/`.

mod authorities;
mod chains;
mod leaves;
mod lists;
mod revocation;
mod uses;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ecaf::domain::time::Timestamp;
use ecaf::protocol::trust::issue::Ca;
use rcgen::SanType;
use rustls::pki_types::CertificateDer;

use crate::world::{DOMAIN, Expect, Vector, World, noon};

type Make = fn() -> Vec<Vector>;

/// Each file and what makes it.
pub const FILES: &[(&str, Make)] = &[
    ("leaves.json", leaves::leaves),
    ("chains.json", chains::chains),
    ("authorities.json", authorities::authorities),
    ("revocation.json", revocation::revocation),
    ("lists.json", lists::lists),
];

/// The text of a file.
pub fn to_json(cases: &[Vector]) -> String {
    #[derive(serde::Serialize)]
    struct File<'a> {
        about: &'a str,
        cases: &'a [Vector],
    }
    let about = "Certificate chains and what a verifier of the scheme must say about each. All \
                 certificates and lists are base64 of DER, the leaf first. `roots`, `issuing` and \
                 `crls` are all that is trusted; a fault in them is the answer. Every key is of \
                 no use anywhere else.";
    serde_json::to_string_pretty(&File { about, cases }).unwrap() + "\n"
}

/// A case under construction, judged in a scheme where all else is good.
struct Case<'a> {
    world: &'a World,
    purpose: &'static str,
    at: Timestamp,
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    issuing: Vec<CertificateDer<'static>>,
    crls: Vec<Vec<u8>>,
}

impl<'a> Case<'a> {
    fn of(world: &'a World, purpose: &'static str, leaf: CertificateDer<'static>) -> Self {
        Self {
            world,
            purpose,
            at: noon(),
            chain: vec![leaf, world.issuing.certificate().clone()],
            roots: vec![world.root.certificate().clone()],
            issuing: vec![world.issuing.certificate().clone()],
            crls: vec![world.root_crl(), world.issuing_crl()],
        }
    }

    fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    fn chain(mut self, chain: Vec<CertificateDer<'static>>) -> Self {
        self.chain = chain;
        self
    }

    fn roots(mut self, roots: &[&Ca]) -> Self {
        self.roots = roots.iter().map(|ca| ca.certificate().clone()).collect();
        self
    }

    fn issuing(mut self, issuing: Vec<CertificateDer<'static>>) -> Self {
        self.issuing = issuing;
        self
    }

    fn crls(mut self, crls: Vec<Vec<u8>>) -> Self {
        self.crls = crls;
        self
    }

    /// The root's good list and this one.
    fn crl(self, issuing_crl: Vec<u8>) -> Self {
        let root_crl = self.world.root_crl();
        self.crls(vec![root_crl, issuing_crl])
    }

    fn expect(self, id: &str, shows: &str, expect: Expect) -> Vector {
        let encode = |der: &[u8]| STANDARD.encode(der);
        Vector {
            id: id.to_owned(),
            shows: shows.to_owned(),
            trust_domain: DOMAIN.to_owned(),
            purpose: self.purpose,
            at: self.at.to_string(),
            chain: self.chain.iter().map(|c| encode(c)).collect(),
            roots: self.roots.iter().map(|c| encode(c)).collect(),
            issuing: self.issuing.iter().map(|c| encode(c)).collect(),
            crls: self.crls.iter().map(|c| encode(c)).collect(),
            expect,
        }
    }

    fn verified(self, id: &str, shows: &str, path: &str, revocation: &'static str) -> Vector {
        let party = format!("spiffe://{DOMAIN}/{path}");
        self.expect(id, shows, Expect::Verified { party, revocation })
    }

    fn refused(self, id: &str, shows: &str, rule: ecaf::domain::refusal::Rule) -> Vector {
        self.expect(id, shows, Expect::Refused { rule: rule.id })
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}
