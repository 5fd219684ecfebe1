//! The check of a whole referral: schema, local ids, advice; and the value that proves it.

use serde_json::Value;

use super::violations::Finding;
use super::{Schema, advice, facts, references};
use crate::domain::referral::{Header, RoutingFacts};
use crate::domain::refusal::Violation;
use crate::domain::time::Date;
use crate::protocol::json::{Json, Tree};

/// A referral that has passed the check. Only [`check`] makes it.
#[derive(Clone)]
pub struct Checked {
    header: Header,
    facts: RoutingFacts,
    advice: Vec<Violation>,
}

impl Checked {
    /// What its token repeats.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What routing needs.
    pub fn facts(&self) -> &RoutingFacts {
        &self.facts
    }

    /// What looks mistaken or forgotten; none of it stands in the way.
    pub fn advice(&self) -> &[Violation] {
        &self.advice
    }
}

/// Checks a referral on the day `today`: all violations at once, or the proof that there are none.
pub fn check(document: &Value, today: Date) -> Result<Checked, Vec<Violation>> {
    check_read(Tree::from(document).root(), today)
}

/// The same for a document just read.
pub fn check_read(document: Json<'_>, today: Date) -> Result<Checked, Vec<Violation>> {
    let (broken, advice) = findings_in(document, today);
    if !broken.is_empty() {
        return Err(broken.into_iter().map(|finding| finding.violation).collect());
    }
    let header =
        facts::header(document).ok_or_else(|| vec![Violation::whole(super::violations::ANY_OF)])?;
    let facts = facts::routing(document, &header);
    Ok(Checked { header, facts, advice })
}

/// The same for a reader who gives no advice and does not route: what its token repeats.
pub fn check_header(document: Json<'_>) -> Result<Header, Vec<Violation>> {
    let broken = Schema::referral_v1().findings_in(document);
    let mut broken: Vec<_> = broken.into_iter().map(|finding| finding.violation).collect();
    if broken.is_empty() && !is_urgent(document) {
        broken = references::violations(document);
    }
    if !broken.is_empty() {
        return Err(broken);
    }
    facts::header(document).ok_or_else(|| vec![Violation::whole(super::violations::ANY_OF)])
}

/// Violations, with their exact places, and advice. Advice is given only on a document that fits
/// the schema: before that it would be noise.
pub fn findings(document: &Value, today: Date) -> (Vec<Finding>, Vec<Violation>) {
    findings_in(Tree::from(document).root(), today)
}

fn findings_in(document: Json<'_>, today: Date) -> (Vec<Finding>, Vec<Violation>) {
    let broken = Schema::referral_v1().findings_in(document);
    if !broken.is_empty() {
        return (broken, Vec::new());
    }
    let references = references::violations(document);
    let mut advice = advice::advice(document, today);
    if is_urgent(document) {
        advice.extend(references);
        return (Vec::new(), advice);
    }
    (references.into_iter().map(Finding::plain).collect(), advice)
}

/// An urgent referral is never stopped by a slip in its cross-references.
fn is_urgent(document: Json<'_>) -> bool {
    matches!(document.at("urgency").as_str(), Some("U0" | "U1"))
}
