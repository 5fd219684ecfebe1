//! The signed directory: document, token and the signer's certificates in one file.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{read::read_json, rules};
use crate::domain::clocks::Setting;
use crate::domain::directory::{Directory, Freshness};
use crate::domain::ids::Digest;
use crate::domain::party::{Party, Role};
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::effects::{KeyFault, Signer};
use crate::protocol::hash::sha256;
use crate::protocol::jws::{self, Unverified};
use crate::protocol::tokens::text;
use crate::protocol::trust::{Chain, ChainRefusal, Revocation, VerifiedChain};

/// The `typ` of the token that binds a directory.
pub const DIRECTORY_TYPE: &str = "ecaf-directory+jwt";
/// The largest signed directory that is read, in bytes: about 30,000 schools take 6 MB.
pub const LARGEST_BUNDLE: usize = 32 * 1024 * 1024;

/// What the operator signs: no more than is needed to bind the document and to order issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    #[serde(with = "text")]
    iss: Party,
    version: u64,
    #[serde(with = "text")]
    issued_at: Timestamp,
    #[serde(with = "text")]
    expires_at: Timestamp,
    #[serde(with = "text")]
    document_sha256: Digest,
}

/// The file as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    /// The exact bytes of the document, base64url.
    document: String,
    token: String,
    /// Standard base64 of each certificate's DER, the leaf first, as in `x5c` (RFC 7515 4.1.6).
    certificates: Vec<String>,
}

/// A directory that its operator signed and that may be acted on. Made only by [`accept`].
#[derive(Debug, Clone)]
pub struct VerifiedDirectory {
    directory: Arc<Directory>,
    digest: Digest,
    signer: Party,
    revocation: Revocation,
    calendars: OnceLock<Setting>,
}

impl VerifiedDirectory {
    /// What it says of everybody's days and promises, for clocks: made once for an issue, when first
    /// asked for.
    pub fn calendars(&self) -> &Setting {
        self.calendars.get_or_init(|| Setting::of(&self.directory))
    }

    /// Its content.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// SHA-256 of the document, as kept in evidence.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The operator who signed it.
    pub fn signer(&self) -> &Party {
        &self.signer
    }

    /// What the revocation lists said about the signer.
    pub fn revocation(&self) -> Revocation {
        self.revocation
    }

    /// Version and digest, to be kept where they survive a restart.
    pub fn in_use(&self) -> InUse {
        InUse { version: self.directory.version, digest: self.digest }
    }
}

/// Which directory was accepted last: an older one is refused from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its document.
    pub digest: Digest,
}

/// Signs a directory document as `signer_party`, whose signing certificate leads `chain`. The
/// document goes into the file byte for byte.
pub fn sign(
    document: &[u8],
    signer_party: &Party,
    signer: &dyn Signer,
    chain: &Chain,
) -> Result<Vec<u8>, SignFault> {
    let directory = read_json(document).map_err(invalid)?;
    if signer_party.organisation.role() != Role::Operator {
        return Err(SignFault::Refused(refuse(rules::SIGNER)));
    }
    if signer_party.trust_domain != directory.trust_domain {
        return Err(SignFault::Refused(refuse(rules::TRUST_DOMAIN)));
    }
    let claims = Claims {
        iss: signer_party.clone(),
        version: directory.version,
        issued_at: directory.issued_at,
        expires_at: directory.expires_at,
        document_sha256: sha256(document),
    };
    let bundle = Bundle {
        document: URL_SAFE_NO_PAD.encode(document),
        token: jws::sign(signer, DIRECTORY_TYPE, chain.x5t(), &claims).map_err(SignFault::Key)?,
        certificates: chain.certificates().iter().map(|c| STANDARD.encode(c)).collect(),
    };
    // Serialising plain strings into memory cannot fail.
    let mut bytes =
        serde_json::to_vec_pretty(&bundle).map_err(|_| SignFault::Key(KeyFault::SigningFailed))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Why a directory was not signed.
#[derive(Debug)]
pub enum SignFault {
    /// It would be refused by everybody.
    Refused(Refusal),
    /// The key does not sign.
    Key(KeyFault),
}

impl std::fmt::Display for SignFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SignFault::Refused(refusal) => refusal.fmt(f),
            SignFault::Key(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for SignFault {}

/// Checks a signed directory: its form, its signer (by `verify`, for the purpose of signing, at
/// `at`), that everything stated twice is equal, its dates, and that it is no step back behind
/// `in_use`. One refusal for the signature's side; every mistake at once in the document.
pub fn accept(
    bytes: &[u8],
    verify: impl FnOnce(&Chain) -> Result<VerifiedChain, ChainRefusal>,
    at: Timestamp,
    in_use: Option<InUse>,
) -> Result<VerifiedDirectory, Refusal> {
    let (document, token, chain) = unpack(bytes).ok_or_else(|| refuse(rules::UNREADABLE))?;
    let signer = verify(&chain).map_err(|why| refuse_because(rules::CERTIFICATE, why.0))?;
    if signer.party().organisation.role() != Role::Operator || signer.party().person.is_some() {
        return Err(refuse(rules::SIGNER));
    }
    let token = Unverified::parse(&token)
        .and_then(|token| token.verify(DIRECTORY_TYPE, &signer))
        .map_err(|why| match why.rule() {
        Some(rule) => refuse_because(rules::SIGNATURE, rule),
        None => refuse(rules::SIGNATURE),
    })?;
    let claims: Claims =
        serde_json::from_slice(token.payload()).map_err(|_| refuse(rules::SIGNATURE))?;
    let digest = sha256(&document);
    if claims.document_sha256 != digest {
        return Err(refuse(rules::DIGEST));
    }
    let directory = read_json(&document).map_err(|violations| Refusal {
        class: Class::Invalid,
        culprit: Culprit::Operator,
        violations,
    })?;
    let stated_twice = claims.version == directory.version
        && claims.issued_at == directory.issued_at
        && claims.expires_at == directory.expires_at;
    if !stated_twice {
        return Err(refuse(rules::CONTRADICTION));
    }
    if claims.iss != *signer.party() {
        return Err(refuse(rules::SIGNER));
    }
    if directory.trust_domain != signer.party().trust_domain {
        return Err(refuse(rules::TRUST_DOMAIN));
    }
    if directory.issued_at.is_ahead_of(at) {
        return Err(refuse(rules::NOT_YET));
    }
    if directory.freshness(at) == Freshness::Expired {
        return Err(refuse(rules::EXPIRED));
    }
    match in_use {
        Some(held) if directory.version < held.version => return Err(refuse(rules::OLDER)),
        Some(held) if directory.version == held.version && digest != held.digest => {
            return Err(refuse(rules::CHANGED));
        }
        _ => {}
    }
    Ok(VerifiedDirectory {
        calendars: OnceLock::new(),
        directory: Arc::new(directory),
        digest,
        signer: signer.party().clone(),
        revocation: signer.revocation(),
    })
}

/// The document inside a signed directory and its token, unchecked: for showing and comparing.
pub fn unpack_unverified(bytes: &[u8]) -> Option<Vec<u8>> {
    unpack(bytes).map(|(document, ..)| document)
}

fn unpack(bytes: &[u8]) -> Option<(Vec<u8>, String, Chain)> {
    if bytes.len() > LARGEST_BUNDLE {
        return None;
    }
    let bundle: Bundle = serde_json::from_slice(bytes).ok()?;
    let document = URL_SAFE_NO_PAD.decode(bundle.document).ok()?;
    let decode = |text| STANDARD.decode(text).ok().map(CertificateDer::from);
    let certificates: Option<Vec<_>> = bundle.certificates.into_iter().map(decode).collect();
    Some((document, bundle.token, Chain::new(certificates?)?))
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule)).blame(Culprit::Operator)
}

fn refuse_because(rule: Rule, why: Rule) -> Refusal {
    let mut refusal = refuse(rule);
    refusal.violations.push(Violation::whole(why));
    refusal
}

fn invalid(violations: Vec<Violation>) -> SignFault {
    SignFault::Refused(Refusal { class: Class::Invalid, culprit: Culprit::Operator, violations })
}
