//! Problem documents (RFC 9457): how a refusal is told on the wire.
//!
//! The rule's id, the place and what to do; never a value that was sent. The signed form of the same
//! refusal stands in the member `refusal`, and the number to ring meanwhile in `help`.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::Party;
use crate::domain::refusal::{Class, Refusal, Violation};
use crate::domain::time::Timestamp;
use crate::effects::Entropy;
use crate::protocol::signing::{SigningFault, SigningIdentity};
use crate::protocol::tokens::{Audience, Refused};

/// The media type of problem documents.
pub const PROBLEM_TYPE: &str = "application/problem+json";
/// Problem types are this base and the rule id.
pub const PROBLEM_BASE: &str = "https://ecaf.example/problems/";

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// URI of the first rule.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, in a sentence.
    pub title: String,
    /// The HTTP status, repeated for readers who kept only the body.
    pub status: u16,
    /// What to do.
    pub detail: String,
    /// `urn:uuid:` of the request, for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Whose move it is: `sender`, `gateway`, `authority` or `operator`.
    pub culprit: String,
    /// Every broken rule.
    pub violations: Vec<ProblemViolation>,
    /// Whom to ring meanwhile, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The signed refusal, a compact JWS; only to an authenticated peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// For an urgent referral that the schema refuses: a document made from it that can be sent at
    /// once, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimal_document: Option<String>,
    /// Where the exchange cannot deliver: the referral as plain text, to read out or to send by
    /// secure e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readable: Option<String>,
}

/// One broken rule in a problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemViolation {
    /// Id of the rule.
    pub rule: String,
    /// JSON Pointer into the document.
    pub pointer: String,
    /// What is wrong.
    pub title: String,
    /// More about this case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What to do.
    pub action: String,
}

impl From<&Violation> for ProblemViolation {
    fn from(violation: &Violation) -> Self {
        Self {
            rule: violation.rule.id.into(),
            pointer: violation.pointer.clone(),
            title: violation.rule.title.into(),
            detail: violation.detail.clone(),
            action: violation.rule.action.into(),
        }
    }
}

/// The HTTP status of a class of refusals.
pub const fn status(class: Class) -> u16 {
    match class {
        Class::Malformed => 400,
        Class::Forbidden => 403,
        Class::NotFound => 404,
        Class::Conflict => 409,
        Class::Gone => 410,
        Class::TooLarge => 413,
        Class::UnsupportedType => 415,
        Class::Invalid => 422,
        Class::TooMany => 429,
        Class::Unavailable => 503,
    }
}

impl ProblemDocument {
    /// The document of a refusal, without help or token.
    pub fn of(refusal: &Refusal) -> Self {
        let first = refusal.rule();
        let violations = refusal.violations.iter().map(ProblemViolation::from);
        Self {
            kind: format!("{PROBLEM_BASE}{}", first.map_or("unspecified", |r| r.id)),
            title: first.map_or("refused", |r| r.title).into(),
            status: status(refusal.class),
            detail: first.map_or("", |r| r.action).into(),
            instance: None,
            culprit: refusal.culprit.as_str().into(),
            violations: violations.collect(),
            help: None,
            refusal: None,
            minimal_document: None,
            readable: None,
        }
    }

    /// The same with the signed form of `refusal` for `peer`, about the request whose body has this
    /// digest.
    pub fn signed(
        mut self,
        refusal: &Refusal,
        identity: &SigningIdentity,
        entropy: &dyn Entropy,
        now: Timestamp,
        (peer, about, request_sha256): (&Party, Option<ReferralId>, Digest),
    ) -> Result<Self, SigningFault> {
        let to = vec![Audience::Party(peer.clone())];
        let event = Refused::of(refusal, request_sha256);
        self.refusal = Some(identity.state(entropy, now, to, about, event)?.jws);
        Ok(self)
    }

    /// The bytes of the document.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
