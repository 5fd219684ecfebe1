//! The dispatch note: what a gateway tells exactly one authority with a referral.

use serde::{Deserialize, Serialize};

use super::{Accepted, Event, agree, text};
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Party};
use crate::domain::refusal::Refusal;
use crate::domain::routing::decide as routing;
use crate::domain::time::Timestamp;

/// Why an authority gets the referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// It is the one accountable authority.
    Accountable,
    /// The child is in its area now, and in danger or not safe to go home.
    Linked,
    /// It holds an open case, plan or order, and must acknowledge.
    CaseHolding,
    /// The accountable authority asks it to take the referral over.
    Transfer,
}

impl Purpose {
    /// As written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Accountable => "accountable",
            Purpose::Linked => "linked",
            Purpose::CaseHolding => "case_holding",
            Purpose::Transfer => "transfer",
        }
    }

    /// By the word on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Accountable, Self::Linked, Self::CaseHolding, Self::Transfer]
            .into_iter()
            .find(|p| p.as_str() == name)
    }
}

impl From<routing::Purpose> for Purpose {
    fn from(purpose: routing::Purpose) -> Self {
        match purpose {
            routing::Purpose::Accountable => Purpose::Accountable,
            routing::Purpose::CaseHolding => Purpose::CaseHolding,
            routing::Purpose::Linked => Purpose::Linked,
        }
    }
}

/// Who stands behind the submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderKind {
    /// The school signed it.
    Signed,
    /// The gateway attests it.
    Attested,
}

/// What a note says of the transfer that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// SHA-256 of the holder's signed proposal.
    #[serde(with = "text")]
    pub proposal_sha256: Digest,
    /// When the exchange recorded the proposal: the note's and the proposal's signatures are judged at
    /// this time.
    #[serde(with = "text")]
    pub proposed_at: Timestamp,
}

/// The body of a `dispatch` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatchNote {
    /// The version of the referral.
    pub version: u32,
    /// Why this authority gets it.
    pub purpose: Purpose,
    /// Id of the routing rule.
    pub routing_rule: String,
    /// True if the routing wants a person's confirmation (near a boundary, unknown postcode).
    pub routing_to_confirm: bool,
    /// SHA-256 of the `accepted` token.
    #[serde(with = "text")]
    pub accepted_sha256: Digest,
    /// SHA-256 of the submission token.
    #[serde(with = "text")]
    pub submission_sha256: Digest,
    /// SHA-256 of the document.
    #[serde(with = "text")]
    pub payload_sha256: Digest,
    /// The sending party, as the gateway verified it.
    #[serde(with = "text")]
    pub sender: Party,
    /// Signed or attested.
    pub sender_kind: SenderKind,
    /// When the exchange recorded the submission: signatures are judged at this time.
    #[serde(with = "text")]
    pub recorded_at: Timestamp,
    /// The directory that was in force.
    pub directory_version: u64,
    /// The postcode table that was in force.
    pub postcode_table: String,
    /// For a transfer, and for nothing else: the proposal that comes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
}

impl Event for DispatchNote {
    const URI: &'static str = "https://ecaf.example/events/dispatch";
}

impl DispatchNote {
    /// The time at which its own signature is judged.
    pub fn judged_at(&self) -> Timestamp {
        self.transfer.as_ref().map_or(self.recorded_at, |transfer| transfer.proposed_at)
    }

    /// Everything that this note to `authority` and `accepted` both say must be the same.
    pub fn agrees_with(&self, accepted: &Accepted, authority: DfeCode) -> Result<(), Refusal> {
        let accountable = accepted.authority == authority;
        let fits = match self.purpose {
            // Back to the one that was accountable first, too.
            Purpose::Transfer => true,
            purpose => accountable == (purpose == Purpose::Accountable),
        };
        agree(&[
            ("version", accepted.version == self.version),
            ("recorded_at", accepted.recorded_at == self.recorded_at),
            ("submission_sha256", accepted.submission_sha256 == self.submission_sha256),
            ("payload_sha256", accepted.payload_sha256 == self.payload_sha256),
            ("sender", accepted.sender == self.sender),
            ("routing_rule", accepted.routing_rule == self.routing_rule),
            ("directory_version", accepted.directory_version == self.directory_version),
            ("postcode_table", accepted.postcode_table == self.postcode_table),
            ("authority and purpose", fits),
            (
                "purpose and transfer",
                (self.purpose == Purpose::Transfer) == self.transfer.is_some(),
            ),
        ])
    }
}
