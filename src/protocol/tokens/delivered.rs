//! `delivered`: the authority's receipt. It says "durably stored here", nothing more; nobody need
//! have read it.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

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
    /// The authority's own reference: what to quote on the phone. 1 to 64 printable ASCII
    /// characters, as it is shown on other people's screens.
    #[serde(deserialize_with = "reference")]
    pub reference: String,
    /// When the authority stored it, by its own clock: a claim.
    #[serde(with = "text")]
    pub stored_at: Timestamp,
}

impl Event for Delivered {
    const URI: &'static str = "https://ecaf.example/events/delivered";
}

fn reference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let printable = text.bytes().all(|c| c == b' ' || c.is_ascii_graphic());
    if printable && (1..=64).contains(&text.len()) {
        Ok(text)
    } else {
        Err(D::Error::custom("not a reference"))
    }
}
