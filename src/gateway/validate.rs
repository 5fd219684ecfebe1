//! Step 4: [`Authorised`] becomes [`Validated`]: the document is JSON, fits the schema, and says the
//! same as its token and its connection.

use serde_json::Value;

use crate::domain::party::SchoolId;
use crate::domain::referral::{Header, Urgency};
use crate::domain::refusal::{Class, Refusal, Violation};
use crate::domain::time::Date;
use crate::effects::Entropy;
use crate::protocol::json;
use crate::protocol::schema::{self, Checked};
use crate::protocol::tokens::{self, Submission};

use super::authenticate::Backing;
use super::authorise::Authorised;
use super::trouble::{Refused, Trouble};

/// A document that fits the schema and agrees with everything that was said about it.
pub struct Validated {
    pub(super) authorised: Authorised,
    pub(super) document: Value,
    pub(super) checked: Checked,
}

impl Validated {
    /// Reads the document for the first time (the second for an attested one).
    pub fn check(mut authorised: Authorised, entropy: &dyn Entropy, today: Date) -> Result<Self, Trouble> {
        let authentic = &mut authorised.authentic;
        let document = match &mut authentic.backing {
            Backing::Connection { document } => std::mem::take(&mut **document),
            Backing::Signed { .. } => {
                let bytes = &authentic.received.document;
                json::parse(bytes, bytes.len()).map_err(|v| Refusal::new(Class::Malformed, v))?
            }
        };
        let checked = schema::check(&document, today)
            .map_err(|violations| refused(violations, &document, entropy))?;
        if let Backing::Signed { claims, .. } = &authentic.backing {
            agrees(checked.header(), claims)?;
        }
        one_school(checked.header(), &authentic.received.school)?;
        Ok(Self { authorised, document, checked })
    }
}

/// What is stated twice must be equal.
pub(crate) fn agrees(header: &Header, claims: &Submission) -> Result<(), Refusal> {
    let facts = [
        ("referral_id", header.referral_id == claims.sub_id.0),
        ("version", header.version == claims.version),
        ("previous_sha256", header.previous == claims.previous_sha256),
        ("urgency", header.urgency.as_str() == claims.urgency),
        ("request_type", header.request_type.as_str() == claims.request_type),
        ("schema", claims.schema == schema::Schema::referral_v1_id()),
    ];
    match facts.iter().find(|(_, equal)| !equal) {
        Some((name, _)) => Err(tokens::mismatch(name)),
        None => Ok(()),
    }
}

/// The document's school is the one that signed or is connected.
pub(crate) fn one_school(header: &Header, school: &SchoolId) -> Result<(), Refusal> {
    if header.school == *school { Ok(()) } else { Err(tokens::mismatch("/referrer/school/id")) }
}

/// An incomplete form never stands in the way of an urgent referral: the refusal brings a document,
/// made from what was sent, that can go at once.
fn refused(violations: Vec<Violation>, document: &Value, entropy: &dyn Entropy) -> Trouble {
    let refusal =
        Refusal { class: Class::Invalid, culprit: crate::domain::refusal::Culprit::Sender, violations };
    let urgency = document.get("urgency").and_then(Value::as_str).and_then(Urgency::from_code);
    let mut salt = [0; 16];
    let urgent = urgency.is_some_and(Urgency::is_urgent) && entropy.fill(&mut salt).is_ok();
    let minimal_document = urgent.then(|| schema::minimal_from(document, salt)).flatten();
    Trouble::Refused(Box::new(Refused { minimal_document, ..Refused::of(refusal) }))
}
