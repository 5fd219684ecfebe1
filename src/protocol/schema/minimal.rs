//! The way out for an urgent referral that the schema refuses: a minimal document made of
//! everything in it that can be kept, which one step sends again.
//!
//! Nothing that was written is lost: what fits nowhere goes into the narrative, as it was sent.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::Schema;
use crate::domain::time::Timestamp;

/// Longest free text, in characters (`prose.json`), and most concerns (`referral.json`).
const LONGEST_TEXT: usize = 10_000;
const MOST_CONCERNS: usize = 30;

/// Members dealt with before the rest.
const DONE: [&str; 11] = [
    "schema",
    "referral_id",
    "version",
    "previous_sha256",
    "salt",
    "composed_at",
    "group_id",
    "completeness",
    "urgency",
    "children",
    "people",
];

/// Builds a valid urgent-minimal document from one that was refused, with the same referral id.
/// `salt` is used if it has no good one of its own. `None` if it is not urgent, or if even the
/// least is missing: referral id, school, a telephone number to ring back, or anything said.
pub fn minimal_from(document: &Value, salt: [u8; 16], now: Timestamp) -> Option<Vec<u8>> {
    let schema = Schema::referral_v1();
    let urgency = document["urgency"].as_str().filter(|u| matches!(*u, "U0" | "U1"))?;
    let mut left_over = Vec::new();
    let mut minimal = json!({
        "schema": Schema::referral_v1_id(),
        "referral_id": document["referral_id"],
        "version": 1,
        "salt": URL_SAFE_NO_PAD.encode(salt),
        "composed_at": now.to_string(),
        "completeness": "urgent_minimal",
        "urgency": urgency,
        "request_type": "protection",
        "referrer": {
            "school": {"id": document["referrer"]["school"]["id"]},
            "call_back_phone": phone_of(&document["referrer"])?
        },
        "children": [essentials("children", 0)],
        "concerns": [{"narrative": {"text": "?"}}]
    });
    if !schema.fits(&minimal) {
        return None;
    }
    // A LADO referral stays one, so that it never reaches people whom it must not reach.
    if document["request_type"] == "lado" {
        let what = texts_of(&document["request"]).unwrap_or_else(|| "See the concern.".to_owned());
        let what: String = what.chars().take(LONGEST_TEXT).collect();
        minimal["request_type"] = json!("lado");
        minimal["request"] = json!({"lado": {"what": {"text": what}}});
    }
    let members = document.as_object()?;
    // Version and previous digest belong together; the rest of the envelope stands or falls alone.
    let pair = (minimal.clone(), &document["version"], &document["previous_sha256"]);
    minimal["version"] = pair.1.clone();
    minimal["previous_sha256"] = pair.2.clone();
    if !schema.fits(&minimal) {
        minimal = pair.0;
    }
    for name in ["salt", "composed_at", "group_id"] {
        if let Some(value) = members.get(name) {
            keeps(schema, &mut minimal, name, value.clone());
        }
    }
    for first in ["children", "people"] {
        salvage(schema, &mut minimal, first, members.get(first), &mut left_over);
    }
    for (name, value) in members {
        if !DONE.contains(&name.as_str()) {
            salvage(schema, &mut minimal, name, Some(value), &mut left_over);
        }
    }
    add_left_over(&mut minimal, &left_over)?;
    if !schema.fits(&minimal) {
        return None;
    }
    let mut bytes = serde_json::to_vec_pretty(&minimal).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

/// Keeps a member whole if the document then still fits, otherwise whatever parts of it fit.
fn salvage(
    schema: &Schema,
    minimal: &mut Value,
    name: &str,
    value: Option<&Value>,
    left_over: &mut Vec<String>,
) {
    let Some(value) = value else { return };
    if keeps(schema, minimal, name, value.clone()) {
        return;
    }
    match value {
        Value::Array(items) => {
            let mut kept = Vec::new();
            for item in items {
                kept.push(item.clone());
                if keeps(schema, minimal, name, Value::Array(kept.clone())) {
                    continue;
                }
                kept.pop();
                let mut parts = essentials(name, kept.len());
                let mut lost = Vec::new();
                for (member, value) in item.as_object().into_iter().flatten() {
                    let before = parts.insert(member.clone(), value.clone());
                    let mut with = kept.clone();
                    with.push(Value::Object(parts.clone()));
                    if !keeps(schema, minimal, name, Value::Array(with)) {
                        match before {
                            Some(before) => parts.insert(member.clone(), before),
                            None => parts.remove(member),
                        };
                        lost.push((member.as_str(), value));
                    }
                }
                kept.push(Value::Object(parts));
                if keeps(schema, minimal, name, Value::Array(kept.clone())) {
                    lost.iter().for_each(|(member, value)| {
                        tell(&format!("{name}, {member}"), value, left_over)
                    });
                } else {
                    kept.pop();
                    tell(name, item, left_over);
                }
            }
        }
        Value::Object(members) => {
            let mut parts = minimal[name].as_object().cloned().unwrap_or_default();
            for (member, value) in members {
                let before = parts.insert(member.clone(), value.clone());
                if !keeps(schema, minimal, name, Value::Object(parts.clone())) {
                    match before {
                        Some(before) => parts.insert(member.clone(), before),
                        None => parts.remove(member),
                    };
                    tell(&format!("{name}, {member}"), value, left_over);
                }
            }
        }
        other => tell(name, other, left_over),
    }
}

/// What an entry of a list cannot be without, so that its other parts can be tried one by one.
fn essentials(list: &str, index: usize) -> Map<String, Value> {
    let least = match list {
        "children" => json!({"id": format!("c{}", index + 1), "role": "at_risk",
                             "name": {"unknown": "not_yet_provided"}}),
        "people" => {
            json!({"id": format!("p{}", index + 1), "name": {"unknown": "not_yet_provided"}})
        }
        "concerns" => json!({"narrative": {"text": "See below."}}),
        "addresses" => json!({"id": format!("a{}", index + 1), "kind": "usual",
                              "postcode": {"unknown": "not_yet_provided"}}),
        _ => json!({}),
    };
    least.as_object().cloned().unwrap_or_default()
}

fn keeps(schema: &Schema, minimal: &mut Value, name: &str, value: Value) -> bool {
    let Some(members) = minimal.as_object_mut() else { return false };
    let before = members.insert(name.to_owned(), value);
    if schema.fits(minimal) {
        return true;
    }
    if let Some(members) = minimal.as_object_mut() {
        match before {
            Some(before) => members.insert(name.to_owned(), before),
            None => members.remove(name),
        };
    }
    false
}

fn tell(name: &str, value: &Value, left_over: &mut Vec<String>) {
    if let Some(text) = texts_of(value) {
        left_over.push(format!("{}: {text}", name.replace('_', " ")));
    }
}

/// All that a value says, without its structure.
fn texts_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => items.iter().filter_map(texts_of).collect::<Vec<_>>().join("; "),
        Value::Object(members) => members
            .iter()
            .filter_map(|(name, value)| {
                Some(format!("{}: {}", name.replace('_', " "), texts_of(value)?))
            })
            .collect::<Vec<_>>()
            .join("; "),
    };
    (!text.is_empty()).then_some(text)
}

/// Puts what fitted nowhere into concerns of its own. `None` if nothing at all was said.
fn add_left_over(minimal: &mut Value, left_over: &[String]) -> Option<()> {
    let concerns = minimal["concerns"].as_array_mut()?;
    concerns.retain(|concern| concern["narrative"]["text"] != "?");
    if !left_over.is_empty() {
        let all =
            format!("From parts of the form that could not be read:\n{}", left_over.join("\n"));
        let letters: Vec<char> = all.chars().collect();
        for chunk in letters.chunks(LONGEST_TEXT) {
            let text: String = chunk.iter().collect();
            if concerns.len() < MOST_CONCERNS && !text.trim().is_empty() {
                concerns.push(json!({"narrative": {"text": text}}));
            }
        }
    }
    (!concerns.is_empty()).then_some(())
}

/// A number to ring back, from wherever the sender put one that can be dialled.
fn phone_of(referrer: &Value) -> Option<String> {
    let candidates = [
        &referrer["call_back_phone"],
        &referrer["out_of_hours_phone"],
        &referrer["school"]["phone"],
        &referrer["holiday_contact"]["phone"],
    ];
    candidates.iter().filter_map(|value| value.as_str()).find_map(|text| {
        let dialled: String =
            text.chars().filter(|c| c.is_ascii_digit() || matches!(c, ' ' | '+')).collect();
        let dialled = dialled.trim();
        let digits = dialled.bytes().filter(u8::is_ascii_digit).count();
        (7..=15).contains(&digits).then(|| dialled.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json;

    fn example() -> Value {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/conformance/examples/a01-disclosure-before-the-bell.json"
        );
        json::parse(&std::fs::read(path).unwrap(), json::DEFAULT_LIMIT).unwrap()
    }

    fn rescued(document: &Value) -> Value {
        let now = "2026-11-21T14:20:00Z".parse().unwrap();
        let bytes = minimal_from(document, [7; 16], now).expect("salvageable");
        let minimal = json::parse(&bytes, json::DEFAULT_LIMIT).unwrap();
        assert_eq!(Schema::referral_v1().check(&minimal), Ok(()));
        assert_eq!(minimal["referral_id"], document["referral_id"]);
        assert_eq!(minimal["completeness"], "urgent_minimal");
        minimal
    }

    #[test]
    fn what_was_right_is_kept_and_what_was_wrong_is_told() {
        let good = example();
        let mut broken = good.clone();
        broken["children"][0]["birth"]["date"] = json!("the eleventh of March");
        broken["children"][0]["favourite"] = json!("Zebra Crossing");
        broken["addresses"][0]["kind"] = json!("houseboat");
        broken["safe_now"] = json!("She is in the office with Ms Rawal");
        broken["interpreter"]["answer"] = json!("perhaps Portuguese");
        let minimal = rescued(&broken);
        assert_eq!(minimal["children"][0]["name"], good["children"][0]["name"]);
        assert_eq!(minimal["addresses"][0]["postcode"], good["addresses"][0]["postcode"]);
        assert_eq!(minimal["concerns"][0], good["concerns"][0]);
        assert_eq!(minimal["salt"], good["salt"]);
        let text = minimal["concerns"][1]["narrative"]["text"].as_str().unwrap();
        for said in
            ["the eleventh of March", "Zebra Crossing", "houseboat", "Ms Rawal", "Portuguese"]
        {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn a_narrative_of_the_wrong_kind_or_length_is_kept_in_full() {
        let mut broken = example();
        broken["concerns"] = json!("He hit her with a belt.");
        assert!(
            rescued(&broken)["concerns"][0]["narrative"]["text"]
                .as_str()
                .unwrap()
                .contains("a belt.")
        );
        let mut long = example();
        long["concerns"][0]["narrative"]["text"] =
            json!(format!("{}the end", "word ".repeat(5_000)));
        let minimal = rescued(&long);
        let all: String = minimal["concerns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["narrative"]["text"].as_str().unwrap())
            .collect();
        assert!(all.contains("the end") && all.matches("word").count() == 5_000);
    }

    #[test]
    fn a_later_version_stays_one() {
        let mut broken = example();
        broken["version"] = json!(3);
        broken["previous_sha256"] = json!("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
        broken["safe_now"] = json!("yes");
        let minimal = rescued(&broken);
        assert_eq!(minimal["version"], 3);
        assert_eq!(minimal["previous_sha256"], broken["previous_sha256"]);
    }

    #[test]
    fn a_lado_referral_stays_one() {
        let mut broken = example();
        broken["request_type"] = json!("lado");
        broken["request"] = json!({"lado": {"what": "He grabbed a pupil"}});
        let minimal = rescued(&broken);
        assert_eq!(minimal["request_type"], "lado");
        assert!(minimal["request"]["lado"]["what"]["text"].as_str().unwrap().contains("grabbed"));
    }

    #[test]
    fn without_the_least_there_is_nothing_to_send() {
        let now = Timestamp::from_millis(0);
        let none = |change: fn(&mut Value)| {
            let mut document = example();
            change(&mut document);
            minimal_from(&document, [7; 16], now).is_none()
        };
        assert!(!none(|_| ()));
        assert!(none(|d| d["urgency"] = json!("U2")));
        assert!(none(|d| d["referral_id"] = json!("x")));
        assert!(none(|d| d["referrer"] = json!({"school": {"id": "900001"}})));
        assert!(minimal_from(&json!({"urgency": "U0"}), [7; 16], now).is_none());
    }
}
