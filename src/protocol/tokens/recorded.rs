//! `recorded`: the gateway gives another party's statement its place and time in a referral's order.

use serde::{Deserialize, Serialize};

use super::{Event, text};
use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;

/// The body of a `recorded` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Its place in the referral's order: one more than the one before.
    pub position: u64,
    /// SHA-256 of the token that is recorded.
    #[serde(with = "text")]
    pub event_sha256: Digest,
    /// SHA-256 of the gateway's token at the position before: a chain back to `accepted`, or to the record
    /// of the event that began the thread. That one alone has none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub previous_sha256: Option<Digest>,
    /// When the exchange recorded it.
    #[serde(with = "text")]
    pub recorded_at: Timestamp,
}

impl Event for Recorded {
    const URI: &'static str = "https://ecaf.example/events/recorded";
}
