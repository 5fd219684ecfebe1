//! `accepted`: the gateway's receipt to the school. It says "durably held by the exchange", not
//! that anyone at the authority has seen it.

use serde::{Deserialize, Serialize};

use super::{Event, Submission, agree, text};
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Party};
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;

/// The body of an `accepted` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The version of the referral that was accepted.
    pub version: u32,
    /// Its place in the referral's order of events: 1 for the first acceptance.
    pub position: u64,
    /// When the exchange recorded it: the time that counts for every clock.
    #[serde(with = "text")]
    pub recorded_at: Timestamp,
    /// SHA-256 of the gateway's token at the position before; absent at position 1, the start of the
    /// chain.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub previous_sha256: Option<Digest>,
    /// SHA-256 of the submission token.
    #[serde(with = "text")]
    pub submission_sha256: Digest,
    /// SHA-256 of the document.
    #[serde(with = "text")]
    pub payload_sha256: Digest,
    /// The sending party, as verified.
    #[serde(with = "text")]
    pub sender: Party,
    /// The one accountable authority.
    #[serde(with = "text")]
    pub authority: DfeCode,
    /// Id of the routing rule that named it.
    pub routing_rule: String,
    /// The directory that was in force.
    pub directory_version: u64,
    /// The postcode table that was in force.
    pub postcode_table: String,
    /// `good` or `stale`: what was known of the sender's certificate.
    pub revocation: String,
    /// Authorities that should know of it too and cannot be reached through the exchange: somebody
    /// must ring them. Signed, so that no lost reply can lose it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "text::list")]
    pub also_ring: Vec<DfeCode>,
}

impl Event for Accepted {
    const URI: &'static str = "https://ecaf.example/events/accepted";
}

impl Accepted {
    /// Everything that this receipt and the submission both say must be the same.
    pub fn agrees_with(&self, submission: &Submission) -> Result<(), Refusal> {
        agree(&[
            ("version", submission.version == self.version),
            ("payload_sha256", submission.payload_sha256 == self.payload_sha256),
            ("sender", *submission.sender() == self.sender),
        ])
    }
}
