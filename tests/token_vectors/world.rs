//! A scheme whose keys, ids and dates are fixed, so that every token in it comes out the same every
//! time. Ed25519 signatures are deterministic; those of the other algorithms are kept in a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ecaf::domain::party::Party;
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::effects::{Algorithm, KeyFault, SeededEntropy, Signer};
use ecaf::protocol::directory::{self, VerifiedDirectory};
use ecaf::protocol::hash::sha256;
use ecaf::protocol::trust::issue::{
    Ca, CrlContent, LeafKind, LeafRequest, Period, PrivateKey, Reason, Revoked,
};
use ecaf::protocol::trust::{Chain, Purpose, TrustScope, TrustStore, pem};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RSA_PSS_SHA256,
    RsaKeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

pub const DOMAIN: &str = "demo.ecaf.example";
/// The referral of the example document.
pub const REFERRAL: &str = "c0ee7722-8a3a-4522-8d71-e54f66ff1117";

pub fn writing() -> bool {
    std::env::var_os("ECAF_WRITE_VECTORS").is_some()
}

pub fn conformance(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(path)
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When the scheme was made.
pub fn made() -> Timestamp {
    time("2026-11-01T00:05:00Z")
}

/// When the gateway recorded the referral: a Wednesday at noon.
pub fn noon() -> Timestamp {
    time("2026-11-04T12:00:00Z")
}

pub fn party(path: &str) -> Party {
    format!("spiffe://{DOMAIN}/{path}").parse().unwrap()
}

/// The least that a referral can be, of school 900001, for authority 309.
pub fn document() -> Vec<u8> {
    std::fs::read(conformance("examples/danger-now-unknown-child.json")).unwrap()
}

/// The document with one member changed.
pub fn altered(alter: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&document()).unwrap();
    alter(&mut value);
    serde_json::to_vec(&value).unwrap()
}

/// A party with one certificate and its key.
pub struct Actor {
    pub party: Party,
    pub chain: Chain,
    pub key: Arc<dyn Signer>,
    /// The same key, to be given to others.
    pub private: PrivateKey,
}

/// Every actor by name.
pub struct World {
    pub root: Ca,
    pub issuing: Ca,
    actors: BTreeMap<&'static str, Actor>,
    pub directory: VerifiedDirectory,
}

/// Name, party, kind of leaf. The order gives serial numbers and keys: append only.
const ACTORS: &[(&str, &str, bool)] = &[
    ("school", "school/900001", true),
    ("school-tls", "school/900001", false),
    ("other-school", "school/900002", true),
    ("other-school-tls", "school/900002", false),
    ("nursery-tls", "school/900003", false),
    ("gateway", "gateway/london-1", true),
    ("gateway-tls", "gateway/london-1", false),
    ("other-gateway", "gateway/london-2", true),
    ("unlisted-gateway", "gateway/rogue-1", true),
    ("authority", "authority/309", true),
    ("authority-tls", "authority/309", false),
    ("other-authority", "authority/204", true),
    ("operator", "operator/scheme", true),
    ("school-person", "school/900001/person/dsl-1", true),
    ("school-other-person-tls", "school/900001/person/head-1", false),
    ("nursery", "school/900003", true),
    ("unlisted-school", "school/900009", true),
    ("unlisted-school-tls", "school/900009", false),
];

impl World {
    pub fn new() -> Self {
        let entropy = SeededEntropy::new(7);
        let key = |seed: u8| PrivateKey::ed25519(&[seed; 32]).unwrap();
        let root =
            Ca::new_root("Vector root", key(101), Period::of_root(made()), &entropy).unwrap();
        let period = Period::of_issuing(made());
        let issuing = root.new_issuing("Vector CA", key(102), period, &entropy).unwrap();
        let mut actors = BTreeMap::new();
        for (place, (name, path, signs)) in ACTORS.iter().enumerate() {
            let dns = match path.split('/').next() {
                Some("school") => Vec::new(),
                Some(role) => vec![format!("{role}.{DOMAIN}")],
                None => unreachable!(),
            };
            let kind = if *signs { LeafKind::Signing } else { LeafKind::Tls { dns } };
            let key = key(place as u8 + 1);
            let request = LeafRequest::new(party(path), kind, made());
            let leaf = issuing.leaf(&request, &key, &entropy).unwrap();
            let actor = Actor {
                party: party(path),
                chain: chain(leaf, &issuing),
                key: Arc::new(key.to_signing_key().unwrap()),
                private: key,
            };
            actors.insert(*name, actor);
        }
        for (name, algorithm, file) in OTHER_ALGORITHMS {
            let pem = std::fs::read(key_folder().join(file)).unwrap();
            let key = PrivateKey::from_pem(&pem).unwrap();
            let request = LeafRequest::new(party("school/900001"), LeafKind::Signing, made());
            let leaf = issuing.leaf(&request, &key, &entropy).unwrap();
            let signer = KeptSignatures { algorithm: *algorithm, pem };
            let actor = Actor {
                party: party("school/900001"),
                chain: chain(leaf, &issuing),
                key: Arc::new(signer),
                private: key,
            };
            actors.insert(*name, actor);
        }
        let operator = &actors["operator"];
        let document = serde_json::to_vec_pretty(&directory_document()).unwrap();
        let directory_bytes =
            directory::sign(&document, &operator.party, &*operator.key, &operator.chain).unwrap();
        let trust = trust_of(&root, &issuing, crls(&root, &issuing, noon(), Vec::new()));
        let verify = |chain: &Chain| trust.verify(chain, Purpose::Signing, noon());
        let directory = directory::accept(&directory_bytes, verify, noon(), None).unwrap();
        Self { root, issuing, actors, directory }
    }

    pub fn actor(&self, name: &str) -> &Actor {
        &self.actors[name]
    }

    /// The name of the actor whose certificate this is.
    pub fn name_of(&self, chain: &Chain) -> &'static str {
        self.actors.iter().find(|(_, a)| a.chain == *chain).unwrap().0
    }

    /// All chains by name, as files have them.
    pub fn chains(&self) -> Value {
        let each = self.actors.iter().map(|(name, actor)| {
            let texts = actor.chain.certificates().iter().map(|c| STANDARD.encode(c));
            ((*name).to_owned(), texts.collect::<Vec<_>>().into())
        });
        Value::Object(each.collect())
    }

    /// Both lists as of the day before `at`, with `revoked` actors on them.
    pub fn crls(&self, at: Timestamp, revoked: Vec<Revoked>) -> Vec<Vec<u8>> {
        crls(&self.root, &self.issuing, at, revoked)
    }

    pub fn revoke(&self, name: &str, at: &str, invalid_from: Option<&str>) -> Revoked {
        let serial = ecaf::protocol::trust::serial(self.actor(name).chain.leaf()).unwrap();
        let invalid_from = invalid_from.map(time);
        Revoked { serial, at: time(at), reason: Reason::KeyCompromise, invalid_from }
    }

    pub fn trust(&self) -> TrustStore {
        trust_of(&self.root, &self.issuing, self.crls(noon(), Vec::new()))
    }

    /// What a reader of a file trusts.
    pub fn scheme(&self, crls: &[Vec<u8>]) -> Value {
        json!({
            "trust_domain": DOMAIN,
            "roots": [STANDARD.encode(self.root.certificate())],
            "issuing": [STANDARD.encode(self.issuing.certificate())],
            "crls": crls.iter().map(|c| STANDARD.encode(c)).collect::<Vec<_>>(),
        })
    }
}

fn chain(leaf: CertificateDer<'static>, issuing: &Ca) -> Chain {
    Chain::new(vec![leaf, issuing.certificate().clone()]).unwrap()
}

fn crls(root: &Ca, issuing: &Ca, at: Timestamp, revoked: Vec<Revoked>) -> Vec<Vec<u8>> {
    let content = |days: i64, revoked| CrlContent {
        number: 1,
        this_update: at.plus(-DAY),
        next_update: at.plus((days - 1) * DAY),
        revoked,
    };
    vec![root.crl(&content(90, Vec::new())).unwrap(), issuing.crl(&content(7, revoked)).unwrap()]
}

pub fn trust_of(root: &Ca, issuing: &Ca, crls: Vec<Vec<u8>>) -> TrustStore {
    let roots = vec![root.certificate().clone()];
    let issuing = vec![issuing.certificate().clone()];
    TrustStore::new(DOMAIN.parse().unwrap(), TrustScope::Live, roots, issuing, crls).unwrap()
}

/// The trust store that a file describes.
pub fn read_scheme(scheme: &Value) -> TrustStore {
    let certificates =
        |name: &str| bytes_of(&scheme[name]).into_iter().map(CertificateDer::from).collect();
    TrustStore::new(
        scheme["trust_domain"].as_str().unwrap().parse().unwrap(),
        TrustScope::Live,
        certificates("roots"),
        certificates("issuing"),
        bytes_of(&scheme["crls"]),
    )
    .unwrap()
}

pub fn bytes_of(list: &Value) -> Vec<Vec<u8>> {
    let texts = list.as_array().unwrap().iter().map(|v| v.as_str().unwrap());
    texts.map(|text| STANDARD.decode(text).unwrap()).collect()
}

pub fn read_chain(list: &Value) -> Chain {
    Chain::new(bytes_of(list).into_iter().map(CertificateDer::from).collect()).unwrap()
}

pub fn b64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn directory_document() -> Value {
    let authority = |code: &str, name: &str, gss: &str| {
        json!({
            "code": code,
            "name": name,
            "areas": [{ "gss": gss, "valid_from": "2009-01-01" }],
            "connection": "push",
            "endpoint": format!("https://authority.{DOMAIN}:8443"),
            "staffed_hours": "mon-fri 09:00-17:00",
            "out_of_hours": "phone_only",
            "contacts": [{
                "kind": "daytime",
                "label": "Multi-agency safeguarding hub",
                "phone": format!("020 7946 0{code}"),
                "verified_at": "2026-11-02",
                "verified_by": "operator-desk",
            }],
        })
    };
    let not_connected = json!({
        "code": "316",
        "name": "Newham",
        "areas": [{ "gss": "E09000025", "valid_from": "2009-01-01" }],
        "connection": "not_connected",
        "staffed_hours": "mon-fri 09:00-17:00",
        "out_of_hours": "phone_only",
        "contacts": [{
            "kind": "daytime",
            "label": "Multi-agency safeguarding hub",
            "phone": "020 7946 0316",
            "verified_at": "2026-11-02",
            "verified_by": "operator-desk",
        }],
    });
    let school = |id: &str, name: &str, authority: &str| {
        json!({
            "id": id, "name": name, "authority": authority, "signing": "signed",
        })
    };
    let gateway = |name: &str| {
        json!({
            "name": name, "base_url": format!("https://{name}.gateway.{DOMAIN}:8443"),
        })
    };
    json!({
        "version": 7,
        "issued_at": "2026-11-03T00:00:00.000Z",
        "expires_at": "2026-11-30T00:00:00.000Z",
        "trust_domain": DOMAIN,
        "bank_holidays": ["2026-12-25", "2026-12-28"],
        "authorities": [
            authority("204", "Hackney", "E09000012"),
            authority("309", "Haringey", "E09000014"),
            not_connected,
        ],
        "schools": [
            school("900001", "Marsh Lane Primary School", "309"),
            school("900002", "Lea Bridge Academy", "204"),
            {
                "id": "900003",
                "name": "St Brannock's Nursery School",
                "authority": "316",
                "signing": "attested",
                "attested_by": ["london-1"],
            },
        ],
        "gateways": [gateway("london-1"), gateway("london-2")],
    })
}

// --- keys whose signatures are not deterministic ---

const OTHER_ALGORITHMS: &[(&str, Algorithm, &str)] = &[
    ("school-es256", Algorithm::Es256, "p256.pem"),
    ("school-es384", Algorithm::Es384, "p384.pem"),
    ("school-ps256", Algorithm::Ps256, "rsa3072.pem"),
];

fn key_folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/token_vectors/keys")
}

fn kept_path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/token_vectors/signatures.json")
}

/// Signs anew only while vectors are written; otherwise gives back the signature that was kept for
/// these very bytes.
struct KeptSignatures {
    algorithm: Algorithm,
    pem: Vec<u8>,
}

static KEEPING: std::sync::Mutex<()> = std::sync::Mutex::new(());

impl Signer for KeptSignatures {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let _one_at_a_time = KEEPING.lock().unwrap_or_else(|e| e.into_inner());
        let kept = std::fs::read_to_string(kept_path()).unwrap_or_else(|_| "{}".into());
        let mut kept: BTreeMap<String, String> = serde_json::from_str(&kept).unwrap();
        let name = format!("{} {}", self.algorithm.as_str(), sha256(message));
        if let Some(signature) = kept.get(&name) {
            return Ok(URL_SAFE_NO_PAD.decode(signature).unwrap());
        }
        assert!(writing(), "no kept signature: write the vectors anew, see tests/token_vectors.rs");
        let signature = sign_anew(self.algorithm, &self.pem, message);
        kept.insert(name, b64url(&signature));
        let text = serde_json::to_string_pretty(&kept).unwrap() + "\n";
        std::fs::write(kept_path(), text).unwrap();
        Ok(signature)
    }
}

fn sign_anew(algorithm: Algorithm, text: &[u8], message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let PrivateKeyDer::Pkcs8(der) = pem::private_key(text).unwrap() else { panic!("PKCS #8") };
    let der = der.secret_pkcs8_der();
    let ecdsa = |kind| EcdsaKeyPair::from_pkcs8(kind, der, &random).unwrap();
    match algorithm {
        Algorithm::Es256 => {
            let key = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING);
            key.sign(&random, message).unwrap().as_ref().to_vec()
        }
        Algorithm::Es384 => {
            let key = ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING);
            key.sign(&random, message).unwrap().as_ref().to_vec()
        }
        Algorithm::Ps256 => {
            let key = RsaKeyPair::from_pkcs8(der).unwrap();
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap();
            signature
        }
        Algorithm::Ed25519 => unreachable!("deterministic"),
    }
}
