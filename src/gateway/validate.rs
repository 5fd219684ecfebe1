//! Step 4: [`Authorised`] becomes [`Validated`]: the document is JSON, fits the schema, and says the
//! same as its token and its connection.

use serde_json::Value;

use crate::domain::referral::Urgency;
use crate::domain::refusal::{Class, Refusal, Violation};
use crate::domain::time::Timestamp;
use crate::effects::Entropy;
use crate::protocol::json;
use crate::protocol::schema::{self, Checked};
use crate::protocol::tokens::one_school;

use super::authenticate::Backing;
use super::authorise::Authorised;
use super::trouble::{Refused, Trouble};

/// A document that fits the schema and agrees with everything that was said about it.
#[derive(Clone)]
pub struct Validated {
    pub(super) authorised: Authorised,
    pub(super) checked: Checked,
}

impl Validated {
    /// Reads the document for the first time (the second for an attested one).
    pub fn check(
        authorised: Authorised,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, Trouble> {
        let authentic = &authorised.authentic;
        let bytes = &authentic.received.document;
        let document = json::read(bytes, bytes.len());
        let document = document.map_err(|v| Refusal::new(Class::Malformed, v))?;
        let document = document.root();
        let checked = schema::check_read(document, now.in_england().0)
            .map_err(|violations| refused(violations, &document.to_value(), entropy, now))?;
        if let Backing::Signed { claims, .. } = &authentic.backing {
            claims.agrees_with(checked.header())?;
        }
        one_school(checked.header(), &authentic.received.school)?;
        Ok(Self { authorised, checked })
    }
}

/// An incomplete form never stands in the way of an urgent referral: the refusal brings a document,
/// made from what was sent, that can go at once.
fn refused(
    violations: Vec<Violation>,
    document: &Value,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Trouble {
    let refusal = Refusal {
        class: Class::Invalid,
        culprit: crate::domain::refusal::Culprit::Sender,
        violations,
    };
    let urgency = document.get("urgency").and_then(Value::as_str).and_then(Urgency::from_code);
    let mut salt = [0; 16];
    let urgent = urgency.is_some_and(Urgency::is_urgent) && entropy.fill(&mut salt).is_ok();
    let minimal_document = urgent.then(|| schema::minimal_from(document, salt, now)).flatten();
    Trouble::Refused(Box::new(Refused { minimal_document, ..Refused::of(refusal) }))
}
