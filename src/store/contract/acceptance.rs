//! What a gateway accepts, and what it answers when it was seen before.

use std::fmt;

use bytes::Bytes;

use super::{Head, SeenChain, SeenCrl, Token};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::time::Timestamp;

/// A token on its way into the store, with the organisations in whose feeds it will appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The token.
    pub token: Token,
    /// Who will find it in their feed. May be empty: the token then is in the log alone.
    pub audience: Vec<Organisation>,
}

/// One delivery that an acceptance calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// To whom.
    pub authority: DfeCode,
    /// Why, as the dispatch note says it. At most one delivery per authority and purpose.
    pub purpose: String,
    /// The note for exactly this authority.
    pub note: NewToken,
}

/// A verified, routed and signed version of a referral, ready to be made durable.
#[derive(Clone)]
pub struct Acceptance {
    /// The sender's organisation: with `referral_id` and `version` the idempotency key.
    pub sender: Organisation,
    /// The referral.
    pub referral_id: ReferralId,
    /// From 1, without gaps.
    pub version: u32,
    /// `payload_sha256` of the version before; `None` exactly for version 1.
    pub previous: Option<Digest>,
    /// Where the thread must stand for this to be appended; `None` exactly for version 1. The
    /// `accepted` token then holds the next position.
    pub after: Option<Head>,
    /// Code of the request type.
    pub request_type: String,
    /// 0 (danger now) to 3 (early help).
    pub urgency: u8,
    /// SHA-256 of `document`.
    pub payload_sha256: Digest,
    /// The document, byte for byte as received.
    pub document: Bytes,
    /// The sender's submission (or our attestation).
    pub submission: NewToken,
    /// Our receipt.
    pub accepted: NewToken,
    /// The accountable authority as it was routed. Version 1 makes it the holder of the referral; a
    /// later version changes no holder.
    pub authority: DfeCode,
    /// One per authority and purpose; may be empty for nothing to be delivered.
    pub deliveries: Vec<NewDelivery>,
    /// Chains of all tokens, our own included.
    pub chains: Vec<SeenChain>,
    /// Revocation lists consulted.
    pub crls: Vec<SeenCrl>,
    /// The recorded-at that the receipt states.
    pub recorded_at: Timestamp,
    /// When to look at the referral's clocks at the latest: a look that is due before stays due.
    pub wake_at: Timestamp,
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acceptance({} v{})", self.referral_id, self.version)
    }
}

/// A version that was accepted before: what the same submission gets as its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAcceptance {
    /// Digest of the document: equal means the same submission.
    pub payload_sha256: Digest,
    /// Digest of the submission token.
    pub submission_sha256: Digest,
    /// The receipt, byte for byte as signed.
    pub accepted: String,
    /// The accountable authority.
    pub authority: DfeCode,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// What the store knows about a submission's key, from the point of view of its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nobody has used this referral id.
    Never,
    /// Another sender's referral, or a thread that an event began: the caller must reveal nothing about
    /// it.
    Foreign,
    /// The sender's own referral, without this version.
    OtherVersions {
        /// Where its thread stands.
        head: Head,
        /// The newest version.
        latest_version: u32,
        /// Digest of the newest version's document.
        latest_payload_sha256: Digest,
    },
    /// This very version is stored.
    Stored(StoredAcceptance),
}

/// What became of an acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptOutcome {
    /// Durable now; release the receipt that came with it.
    Committed,
    /// The same document was accepted before, perhaps a moment ago by a twin of this request;
    /// release that receipt instead.
    Already(StoredAcceptance),
    /// The key stands for another document.
    OtherBytes(StoredAcceptance),
    /// The referral id is another sender's, or that of a thread that an event began.
    Foreign,
    /// `version` does not follow the newest version, or `previous` is not its digest.
    PreviousMismatch,
    /// The thread has moved since the receipt was signed: sign again on top of this head.
    HeadMoved(Head),
}
