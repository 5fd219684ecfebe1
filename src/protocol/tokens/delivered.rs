//! `delivered`: the authority's receipt. It says "durably stored here", nothing more; nobody need
//! have read it.

use serde::{Deserialize, Serialize};

use super::{Event, text};
use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;

/// The body of a `delivered` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// The version of the referral.
    pub version: u32,
    /// SHA-256 of the dispatch note.
    #[serde(with = "text")]
    pub note_sha256: Digest,
    /// SHA-256 of the document as stored.
    #[serde(with = "text")]
    pub payload_sha256: Digest,
    /// The authority's own reference: what to quote on the phone.
    pub reference: String,
    /// When the authority stored it, by its own clock: a claim.
    #[serde(with = "text")]
    pub stored_at: Timestamp,
}

impl Event for Delivered {
    const URI: &'static str = "https://ecaf.example/events/delivered";
}
