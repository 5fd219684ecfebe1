//! `refusal`: a signed "no", so that a negative answer can be trusted and shown to others.

use serde::{Deserialize, Serialize};

use super::{Event, text};
use crate::domain::ids::Digest;
use crate::domain::refusal::Refusal;

/// The body of a `refusal` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// SHA-256 of the body of the request; of an event without one, of its token or statement.
    #[serde(with = "text")]
    pub request_sha256: Digest,
    /// Whose move it is: `sender`, `gateway`, `authority` or `operator`.
    pub culprit: String,
    /// Every rule that was broken, and where; at most [`Refused::MOST_RULES`].
    pub rules: Vec<BrokenRule>,
    /// How many broken rules are not listed.
    pub unlisted: u64,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokenRule {
    /// Id of the rule.
    pub rule: String,
    /// JSON Pointer into the document, without values; empty for the whole.
    pub pointer: String,
}

impl Refused {
    /// The token stays small however bad the document was.
    pub const MOST_RULES: usize = 20;

    /// What a refusal says, for the request with this digest.
    pub fn of(refusal: &Refusal, request_sha256: Digest) -> Self {
        let all = &refusal.violations;
        let rules = all.iter().take(Self::MOST_RULES).map(|v| BrokenRule {
            rule: v.rule.id.into(),
            // A pointer longer than any of the schema's is cut, whatever it was made of.
            pointer: v.pointer.chars().take(120).collect(),
        });
        Self {
            request_sha256,
            culprit: refusal.culprit.as_str().into(),
            rules: rules.collect(),
            unlisted: all.len().saturating_sub(Self::MOST_RULES) as u64,
        }
    }
}

impl Event for Refused {
    const URI: &'static str = "https://ecaf.example/events/refusal";
}
