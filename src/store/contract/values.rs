//! Values that both kinds of store keep and give back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use crate::domain::ids::Digest;
use crate::domain::party::Party;
use crate::domain::retention::Erasure;
use crate::domain::time::Timestamp;

/// What a token is, by its place in the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// The sender's signed submission.
    Submission,
    /// A gateway's attestation of what a school submitted through its browser certificate.
    Attested,
    /// The gateway's receipt of a version.
    Accepted,
    /// The gateway's note to exactly one authority.
    DispatchNote,
    /// The authority's receipt of a note.
    Delivered,
    /// An event of an authority or school.
    Event,
    /// The gateway's record that gives another token its position and time.
    Recorded,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Submission,
        Self::Attested,
        Self::Accepted,
        Self::DispatchNote,
        Self::Delivered,
        Self::Event,
        Self::Recorded,
    ];

    /// As written in the store and in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            TokenKind::Submission => "submission",
            TokenKind::Attested => "attested",
            TokenKind::Accepted => "accepted",
            TokenKind::DispatchNote => "dispatch_note",
            TokenKind::Delivered => "delivered",
            TokenKind::Event => "event",
            TokenKind::Recorded => "recorded",
        }
    }

    /// By its written name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A token with what is needed to judge it later as it was judged when it was recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its place in the exchange.
    pub kind: TokenKind,
    /// SHA-256 of the compact serialisation, `jws`.
    pub sha256: Digest,
    /// The compact serialisation, byte for byte as signed.
    pub jws: String,
    /// Who signed it.
    pub issuer: Party,
    /// The signing certificate; its chain is kept under this digest.
    pub x5t: Digest,
    /// The revocation lists that were consulted.
    pub crl_digests: Vec<Digest>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} {})", self.kind.as_str(), self.sha256)
    }
}

/// A token as it is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// The token.
    pub token: Token,
    /// Its position in the thread of its referral, for those that take one.
    pub position: Option<u32>,
    /// When it was recorded: the time at which its signature is judged.
    pub recorded_at: Timestamp,
}

/// Where the thread of a referral stands: the last position given out and the digest of the token
/// that holds it. Appends compare and swap on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    /// 1 for the first `accepted`, or for the record of the event that began the thread.
    pub position: u32,
    /// SHA-256 of the `accepted` or `recorded` token at that position.
    pub digest: Digest,
}

impl Head {
    /// Of a thread that does not exist yet: an event on top of it begins one.
    pub const START: Self = Self { position: 0, digest: Digest::from_bytes([0; 32]) };
}

/// A certificate chain that was seen beside a token. Kept once per leaf, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenChain {
    /// SHA-256 of the leaf.
    pub x5t: Digest,
    /// Leaf first. Shared, because a connection or a process presents the same chain many times.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// A revocation list that was consulted. Kept once per digest, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenCrl {
    /// SHA-256 of `der`.
    pub sha256: Digest,
    /// The list.
    pub der: Bytes,
}

/// A document as a store gives it back.
#[derive(Clone, PartialEq, Eq)]
pub enum Document {
    /// Its bytes, exactly as received.
    Kept(Bytes),
    /// It can no longer be read; its digest, tokens and receipts stay.
    Erased(Erasure),
}

impl Document {
    /// The bytes, unless it is erased.
    pub fn kept(&self) -> Option<&Bytes> {
        match self {
            Document::Kept(bytes) => Some(bytes),
            Document::Erased(_) => None,
        }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Document::Kept(bytes) => write!(f, "Kept({} bytes)", bytes.len()),
            Document::Erased(erasure) => write!(f, "Erased({erasure})"),
        }
    }
}

/// The result of re-hashing and cross-checking everything that lies in a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Referrals (gateway) or dispatches (authority) looked at.
    pub referrals: u64,
    /// Documents opened and re-hashed.
    pub documents: u64,
    /// Documents that are erased: everything else about them is checked.
    pub erased: u64,
    /// Tokens re-hashed.
    pub tokens: u64,
    /// Entries of the log walked (gateway only).
    pub log_entries: u64,
    /// Every contradiction found, by row, without values. Empty means sound.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}
