//! The mailbox of an authority that opens no endpoint: what it claims is what a push carries, in JSON.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{Digest, ReferralId};
use crate::domain::time::Timestamp;

/// The call that leases dispatches.
pub const CLAIM: &str = "/v1/inbox/claim";
/// The call that ends a lease with the authority's receipt.
pub const DELIVERED: &str = "/v1/inbox/delivered";
/// The call that ends a lease because the authority cannot take the dispatch.
pub const REFUSED: &str = "/v1/inbox/refused";

/// Dispatches of one answer at most, so that an answer stays below some 12 MB.
pub const MOST_CLAIMED: u32 = 8;
/// A claim waits at most this long, in seconds: less than the patience of clients (15 s unless configured).
pub const LONGEST_CLAIM: u64 = 10;

/// The dispatch was settled before in another way.
pub const SETTLED: &str = "inbox.settled";
/// The lease ended before.
pub const LEASE_OVER: &str = "inbox.lease-over";

/// Asks for dispatches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// At most so many, 1 to [`MOST_CLAIMED`]; more are not given, however many are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// How long to wait for one, at most [`LONGEST_CLAIM`]; not at all unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u64>,
}

/// What there is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Claimed {
    /// The most urgent first.
    pub dispatches: Vec<ClaimedDispatch>,
}

/// One dispatch under a lease.
#[derive(Clone, Serialize, Deserialize)]
pub struct ClaimedDispatch {
    /// What the answer to this dispatch names. Opaque.
    pub lease: String,
    /// From then on the dispatch may be given to another claim too. A receipt counts also after it.
    pub expires_at: String,
    /// The exact bytes of the document, base64url.
    pub document: String,
    /// The dispatch note.
    pub note: String,
    /// The chain of its signer, as in `Ecaf-Certificates`.
    pub certificates: String,
    /// The submission.
    pub submission: String,
    /// The chain of its signer.
    pub submission_certificates: String,
    /// The gateway's receipt to the school.
    pub accepted: String,
    /// The chain of its signer.
    pub accepted_certificates: String,
    /// The holder's signed proposal, for a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
}

/// A proposal with the chain of its signer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proposal {
    /// The event.
    pub token: String,
    /// The chain of its signer.
    pub certificates: String,
}

impl std::fmt::Debug for ClaimedDispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClaimedDispatch(until {})", self.expires_at)
    }
}

/// The authority has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Of the dispatch.
    pub lease: String,
    /// The authority's `delivered` token.
    pub delivered: String,
    /// The chain of its signer, as in `Ecaf-Certificates`.
    pub certificates: String,
}

/// The authority cannot take it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotTaken {
    /// Of the dispatch.
    pub lease: String,
    /// Id of the rule that it breaks.
    pub rule: String,
}

/// What a lease's text says to the gateway: which dispatch, and which lease of it. It proves nothing:
/// the dispatch must be one to the caller, and what ends a lease is judged by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseReference {
    /// The referral.
    pub referral_id: ReferralId,
    /// Digest of the dispatch note.
    pub note_sha256: Digest,
    /// The lease's random token.
    pub token: [u8; 16],
    /// Which attempt it is.
    pub attempt: u32,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A text that is not a [`LeaseReference`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotALease;

impl LeaseReference {
    const BYTES: usize = 16 + 32 + 16 + 4 + 8;

    /// As it stands in an answer.
    pub fn to_text(&self) -> String {
        let parts: [&[u8]; 5] = [
            self.referral_id.as_bytes(),
            self.note_sha256.as_bytes(),
            &self.token,
            &self.attempt.to_be_bytes(),
            &self.expires_at.millis().to_be_bytes(),
        ];
        URL_SAFE_NO_PAD.encode(parts.concat())
    }
}

impl FromStr for LeaseReference {
    type Err = NotALease;

    fn from_str(text: &str) -> Result<Self, NotALease> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotALease)?;
        let bytes: [u8; Self::BYTES] = bytes.try_into().map_err(|_| NotALease)?;
        let (mut id, mut note, mut token) = ([0; 16], [0; 32], [0; 16]);
        let (mut attempt, mut expires_at) = ([0; 4], [0; 8]);
        let mut rest = &bytes[..];
        for part in [&mut id[..], &mut note, &mut token, &mut attempt, &mut expires_at] {
            let (taken, left) = rest.split_at(part.len());
            part.copy_from_slice(taken);
            rest = left;
        }
        Ok(Self {
            referral_id: ReferralId::from_bytes(id),
            note_sha256: Digest::from_bytes(note),
            token,
            attempt: u32::from_be_bytes(attempt),
            expires_at: Timestamp::from_millis(i64::from_be_bytes(expires_at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_was_written() {
        let lease = LeaseReference {
            referral_id: ReferralId::from_bytes([1; 16]),
            note_sha256: Digest::from_bytes([2; 32]),
            token: [3; 16],
            attempt: 7,
            expires_at: Timestamp::from_millis(1_795_000_000_123),
        };
        let text = lease.to_text();
        assert_eq!(text.parse(), Ok(lease));
        for bad in ["", "x", &text[1..], &format!("{text}A"), "\u{e4}"] {
            assert_eq!(bad.parse::<LeaseReference>(), Err(NotALease), "{bad}");
        }
    }

    #[test]
    fn a_claim_has_few_members() {
        let read = |text| serde_json::from_str::<Claim>(text).ok();
        assert_eq!(read("{}"), Some(Claim::default()));
        let full = Claim { limit: Some(3), wait_seconds: Some(10) };
        assert_eq!(read(r#"{"limit":3,"wait_seconds":10}"#), Some(full));
        for bad in ["[]", r#"{"limit":-1}"#, r#"{"wait":1}"#, r#"{"limit":1,"limit":1}"#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
