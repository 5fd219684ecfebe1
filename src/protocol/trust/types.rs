//! The values that certificate checking takes and gives.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;

use crate::domain::ids::Digest;
use crate::domain::party::Party;
use crate::domain::refusal::Rule;
use crate::domain::time::Timestamp;
use crate::effects::Algorithm;
use crate::protocol::hash::sha256;

/// What a leaf certificate is used for. Each kind of leaf is refused in the other's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// TLS, connecting side: a `tls` leaf with client authentication.
    TlsClient,
    /// TLS, listening side: a `tls` leaf with server authentication and a DNS name.
    TlsServer,
    /// Signing of tokens: a `signing` leaf with the scheme's own extended key usage.
    Signing,
}

/// Certificates as presented: the leaf first, then its issuers, not yet checked.
/// Cheap to clone: everything is shared, and the leaf's digest and the header form are made once.
#[derive(Clone)]
pub struct Chain(Arc<Presented>);

struct Presented {
    x5t: Digest,
    certificates: Arc<[CertificateDer<'static>]>,
    header: OnceLock<String>,
}

impl Chain {
    /// More certificates than root, issuing CA and leaf are never needed.
    pub const LONGEST: usize = 3;
    /// The largest certificate accepted, in bytes of DER.
    pub const LARGEST_CERTIFICATE: usize = 4_096;

    /// A chain of 1 to [`Chain::LONGEST`] certificates of bounded size; `None` otherwise.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let fits = (1..=Self::LONGEST).contains(&certificates.len())
            && certificates.iter().all(|c| !c.is_empty() && c.len() <= Self::LARGEST_CERTIFICATE);
        let x5t = sha256(certificates.first().filter(|_| fits)?);
        let certificates = certificates.into();
        Some(Self(Arc::new(Presented { x5t, certificates, header: OnceLock::new() })))
    }

    /// The certificate of the party itself.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.0.certificates[0]
    }

    /// All certificates, leaf first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0.certificates
    }

    /// The same, shared.
    pub fn shared(&self) -> Arc<[CertificateDer<'static>]> {
        Arc::clone(&self.0.certificates)
    }

    /// SHA-256 of the leaf's DER: the JOSE header member `x5t#S256`.
    pub fn x5t(&self) -> Digest {
        self.0.x5t
    }

    /// The value of the header field `Ecaf-Certificates`, made at the first call.
    pub fn header(&self) -> &str {
        self.0.header.get_or_init(|| super::pem::header_of(self))
    }
}

impl PartialEq for Chain {
    /// All certificates count, not only the leaf.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.certificates == other.0.certificates
    }
}

impl Eq for Chain {}

impl std::hash::Hash for Chain {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.x5t.hash(state);
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({}, {} certificates)", self.0.x5t, self.0.certificates.len())
    }
}

/// What the revocation lists say about a chain. Revoked and unknown are refusals, see
/// [`ChainRefusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// A current list names none of its certificates.
    Good,
    /// The newest list is past its `nextUpdate`, by no more than 24 hours: go on, and say so.
    Stale,
    /// Not revoked at the time in question, but a later entry's invalidity date lies before it:
    /// the evidence reads "doubted".
    Doubted,
}

/// A public key and the one algorithm that it is used with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    /// The JOSE algorithm of the key.
    pub algorithm: Algorithm,
    /// As `ring` takes it: an uncompressed point, 32 bytes, or a DER `RSAPublicKey`.
    pub bytes: Vec<u8>,
}

/// A chain that has passed every check for one purpose at one time. Only the verifier makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedChain {
    pub(super) party: Party,
    pub(super) purpose: Purpose,
    pub(super) x5t: Digest,
    pub(super) public_key: PublicKey,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) revocation: Revocation,
    pub(super) crl_digests: Vec<Digest>,
}

impl VerifiedChain {
    /// The one identity in the leaf.
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// What it was checked for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// SHA-256 of the leaf.
    pub fn x5t(&self) -> Digest {
        self.x5t
    }

    /// The key of the leaf.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Start of the period in which every certificate of the chain is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of the period in which every certificate of the chain is valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Good, stale or doubted.
    pub fn revocation(&self) -> Revocation {
        self.revocation
    }

    /// Digests of the revocation lists that were consulted, kept as evidence.
    pub fn crl_digests(&self) -> &[Digest] {
        &self.crl_digests
    }
}

/// Why a chain is refused: one reason, the first in the order of the written profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainRefusal(pub Rule);

impl std::fmt::Display for ChainRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}. {} [{}]", self.0.title, self.0.action, self.0.id)
    }
}

impl std::error::Error for ChainRefusal {}
