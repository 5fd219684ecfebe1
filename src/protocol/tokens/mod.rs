//! The tokens of the protocol: small signed statements without personal data, kept for ever.
//!
//! Each token is a type; `verify` gives it only after form, signature, issuer and every fact that is
//! stated twice have been checked. All but the submission are Security Event Tokens (RFC 8417) with
//! exactly one event.

mod accepted;
mod case_event;
mod delivered;
mod dispatch;
mod recorded;
mod refused;
mod security_event;
mod submission;
pub mod text;

pub use accepted::Accepted;
pub use case_event::{CaseEvent, CaseEventBody};
pub use delivered::Delivered;
pub use dispatch::{DispatchNote, Purpose, SenderKind, Transfer};
pub use recorded::Recorded;
pub use refused::{BrokenRule, Refused};
pub use security_event::{Audience, Event, SET_TYPE, SecurityEvent, Subject};
pub use submission::{
    ATTESTED_TYPE, Attestation, Attested, SUBMISSION_TYPE, Submission, one_school, says_urgent,
};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::party::Party;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::protocol::jws::Verified;

/// The signature is good and the payload is not that of this kind of token.
pub const CLAIMS: Rule = Rule {
    id: "token.claims",
    title: "the token's claims are not exactly those of its kind",
    action: "Send every claim that the protocol names for this token, once, and no other.",
};
/// The `iss` claim is not the party of the signing certificate.
pub const ISSUER: Rule = Rule {
    id: "token.issuer",
    title: "the token's issuer is not the party of the certificate that signed it",
    action: "Put the SPIFFE ID of the signing certificate into iss.",
};
/// The `aud` claim does not name the reader.
pub const AUDIENCE: Rule = Rule {
    id: "token.audience",
    title: "the token is meant for another party",
    action: "Send it to the party that aud names, or sign one for this party.",
};
/// Two tokens, or a token and its document, disagree.
pub const MISMATCH: Rule = Rule {
    id: "token.mismatch",
    title: "a fact that is stated twice is not the same in both places",
    action: "Make the token, the tokens it refers to and the document agree.",
};

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}

/// A refusal because `what` (a claim's name, never its value) disagrees.
pub fn mismatch(what: &str) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(MISMATCH).with_detail(what))
}

/// Refuses the first fact, by name, that is not the same in both places.
fn agree(facts: &[(&str, bool)]) -> Result<(), Refusal> {
    match facts.iter().find(|(_, equal)| !equal) {
        Some((name, _)) => Err(mismatch(name)),
        None => Ok(()),
    }
}

/// Reads claims strictly and checks that the issuer is who signed.
fn claims<T: Serialize + DeserializeOwned>(
    verified: &Verified,
    issuer: impl Fn(&T) -> &Party,
) -> Result<T, Refusal> {
    let claims = serde_json::from_slice(verified.payload()).map_err(|_| refuse(CLAIMS))?;
    confirmed(claims, verified, issuer)
}

/// Checks that claims, read before or after it was verified, are exactly what the token says, and that
/// the issuer is who signed.
fn confirmed<T: Serialize>(
    claims: T,
    verified: &Verified,
    issuer: impl Fn(&T) -> &Party,
) -> Result<T, Refusal> {
    let payload = verified.payload();
    // serde also reads an array where an object stands, and null where a member may be absent;
    // other readers do not. What is read must be what would be written: byte for byte, as nearly
    // everybody writes it, or else with members in another order.
    let written = serde_json::to_vec(&claims).map_err(|_| refuse(CLAIMS))?;
    if written != payload {
        let stated: Option<Value> = serde_json::from_slice(payload).ok();
        if stated.is_none() || stated != serde_json::to_value(&claims).ok() {
            return Err(refuse(CLAIMS));
        }
    }
    if issuer(&claims) != verified.signer().party() {
        return Err(refuse(ISSUER));
    }
    Ok(claims)
}
