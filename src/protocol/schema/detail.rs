//! The document of an event: which schema it follows, and what it must have in common with its token.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Schema, resources};
use crate::domain::case::EventKind;
use crate::domain::ids::ReferralId;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::protocol::json;

/// The largest document of an event, in bytes: several long texts.
pub const LARGEST_DETAIL: usize = 128 * 1024;

/// What every document of an event has, written by the program: all else is its author's.
pub const DETAIL_COMMON: [&str; 4] = ["event", "referral_id", "salt", "code"];

/// The document belongs to another event or another referral than its token.
pub const OTHER_EVENT: Rule = Rule {
    id: "event.other-document",
    title: "the event's document names another event, referral or code than its token",
    action: "Send each event with the document that was written for it.",
};

/// A schema for each kind of event that may have a document.
static SCHEMAS: LazyLock<BTreeMap<EventKind, Schema>> = LazyLock::new(|| {
    let with_schema = EventKind::all().filter_map(|kind| Some((kind, id(kind)?)));
    // Part of the program: what fails here fails in every test run.
    #[allow(clippy::expect_used, reason = "embedded constants, proved by the tests of this module")]
    with_schema
        .map(|(kind, id)| (kind, Schema::compile(id).expect("the embedded schemas compile")))
        .collect()
});

/// The `$id` of the schema of an event's document; `None` for kinds that have no document.
fn id(kind: EventKind) -> Option<&'static str> {
    let file = format!("schemas/event/1.0/{}.json", kind.name());
    resources().iter().find(|r| r.path == file).map(|r| r.id)
}

/// Checks the document of an event: strict JSON, its schema, and that it is about this referral and
/// says the same code as its token.
pub fn check_detail(
    bytes: &[u8],
    kind: EventKind,
    code: Option<&str>,
    referral: ReferralId,
) -> Result<(), Refusal> {
    let tree = json::read(bytes, LARGEST_DETAIL)
        .map_err(|violation| Refusal::new(Class::Malformed, violation))?;
    let document = tree.root();
    let schema = SCHEMAS
        .get(&kind)
        .ok_or_else(|| Refusal::new(Class::Invalid, Violation::whole(OTHER_EVENT)))?;
    let broken = schema.findings_in(document);
    if !broken.is_empty() {
        let mut refusal = Refusal::new(Class::Invalid, Violation::whole(OTHER_EVENT));
        refusal.violations = broken.into_iter().map(|finding| finding.violation).collect();
        return Err(refusal);
    }
    let same = [
        (
            "/referral_id",
            document.at("referral_id").as_str() == Some(referral.to_string().as_str()),
        ),
        ("/code", document.at("code").as_str() == code),
    ];
    match same.into_iter().find(|(_, equal)| !equal) {
        Some((place, _)) => Err(Refusal::new(Class::Invalid, Violation::at(OTHER_EVENT, place))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::case::{Detail, codes_of};

    const ID: ReferralId = ReferralId::from_bytes([7; 16]);

    fn check(document: &Value, kind: EventKind, code: Option<&str>) -> Result<(), Refusal> {
        check_detail(document.to_string().as_bytes(), kind, code, ID)
    }

    fn decided() -> Value {
        json!({
            "event": "decided", "referral_id": ID.to_string(), "salt": "AAAAAAAAAAAAAAAAAAAAAA",
            "code": "assessment", "disclosure": "outcome", "reason": "Two earlier referrals.",
            "school_should": "Keep a chronology.", "how_to_challenge": "Ring the team manager.",
            "referrer_spoken_to": true, "child_seen": false
        })
    }

    #[test]
    fn every_kind_with_a_document_has_a_schema_with_its_codes() {
        for kind in EventKind::all() {
            let schema = id(kind).and_then(|id| resources().iter().find(|r| r.id == id));
            assert_eq!(schema.is_some(), kind.detail() != Detail::None, "{}", kind.name());
            let Some(schema) = schema else { continue };
            let schema: Value = serde_json::from_slice(schema.bytes).unwrap();
            let codes: Vec<_> = codes_of(kind).iter().map(|(code, _)| json!(code)).collect();
            let stated = schema["properties"]["code"]["enum"].as_array().cloned();
            assert_eq!(stated.unwrap_or_default(), codes, "{}", kind.name());
            assert_eq!(schema["properties"]["event"]["const"], kind.name());
            assert!(SCHEMAS.contains_key(&kind));
        }
    }

    #[test]
    fn a_decision_says_why_and_what_would_change_it() {
        let kind = EventKind::Decided;
        assert_eq!(check(&decided(), kind, Some("assessment")), Ok(()));
        let mut bare = decided();
        bare["code"] = json!("not_proceeding");
        let refusal = check(&bare, kind, Some("not_proceeding")).unwrap_err();
        let missing: Vec<_> = refusal.violations.iter().map(|v| v.rule.id).collect();
        assert_eq!(missing, ["schema.required", "schema.required"], "why is not enough: {refusal}");
        bare["what_would_change"] = json!("An account of the child's own.");
        bare["other_support"] = json!("The family centre.");
        assert_eq!(check(&bare, kind, Some("not_proceeding")), Ok(()));
        bare.as_object_mut().unwrap().remove("reason");
        assert!(check(&bare, kind, Some("not_proceeding")).is_err());
        bare["disclosure"] = json!("acknowledgement");
        assert_eq!(
            check(&bare, kind, Some("not_proceeding")),
            Ok(()),
            "the school may be told less"
        );
    }

    #[test]
    fn a_document_of_another_event_referral_or_code_is_refused() {
        let rule = |document: &Value, kind, code| {
            check(document, kind, code).unwrap_err().rule().map(|rule| rule.id)
        };
        let other = EventKind::Closed;
        assert_eq!(rule(&decided(), EventKind::Decided, Some("advice")), Some(OTHER_EVENT.id));
        assert_ne!(rule(&decided(), other, Some("assessment")), None);
        assert_eq!(rule(&decided(), EventKind::Opened, None), Some(OTHER_EVENT.id));
        let mut elsewhere = decided();
        elsewhere["referral_id"] = json!(ReferralId::from_bytes([8; 16]).to_string());
        assert_eq!(rule(&elsewhere, EventKind::Decided, Some("assessment")), Some(OTHER_EVENT.id));
        let mut home = json!({
            "event": "interim", "referral_id": ID.to_string(), "salt": "AAAAAAAAAAAAAAAAAAAAAA",
            "code": "send_home", "request": "He can go home with his aunt.",
            "worker": {"name": "Ada Example", "role": "Social worker", "phone": "01632 960123"}
        });
        assert!(check(&home, EventKind::Interim, Some("send_home")).is_err(), "nobody has rung");
        home["phoned_at"] = json!("2026-11-23T14:50:00Z");
        assert_eq!(check(&home, EventKind::Interim, Some("send_home")), Ok(()));
    }
}
