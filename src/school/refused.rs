//! A parent has refused family help: the draft becomes what the school chooses next, and nothing is typed
//! again. Three ways, equal, none of them preselected: a refusal is not evidence of harm.
//!
//! Consulting takes out of the texts every name that the draft itself has in a field; what stands in a
//! text alone nobody can find by a rule, so a person reads it before it is sent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::domain::ids::ReferralId;
use crate::domain::refusal::Violation;
use crate::domain::time::{Date, Timestamp};
use crate::protocol::schema;

/// What a school does after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Ask the front door, with the child unnamed unless the school wishes otherwise.
    Consult,
    /// Refer as a child in need, with the reason why there is no agreement.
    ChildInNeed,
    /// Refer for protection, once somebody has said in words why harm is or may be significant.
    Protection,
}

impl Way {
    /// All of them, in no order of merit.
    pub const ALL: [Self; 3] = [Self::Consult, Self::ChildInNeed, Self::Protection];

    /// As written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consult => "consult",
            Self::ChildInNeed => "child_in_need",
            Self::Protection => "protection",
        }
    }

    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Consult => "ask the front door for advice; the child may stay unnamed",
            Self::ChildInNeed => {
                "refer as a child in need, with the reason why there is no agreement"
            }
            Self::Protection => "refer for protection, with the harm stated in words",
        }
    }
}

/// Why there is nothing to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTurned {
    /// It asks for something else than family help.
    NotFamilyHelp,
    /// It says that the family agrees.
    Agreed,
}

/// What makes a referral one of its own.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// Its id.
    pub referral_id: ReferralId,
    /// Its salt.
    pub salt: [u8; 16],
    /// The present.
    pub now: Timestamp,
}

/// What came of the draft.
#[derive(Debug, Clone, PartialEq)]
pub struct Turned {
    /// A draft of a referral, or what `ecaf school consult` takes.
    pub document: Value,
    /// What is still missing: pointers and what to do.
    pub asked: Vec<(String, &'static str)>,
}

/// The draft as it goes on from a refusal.
pub fn turn(draft: &Value, way: Way, fresh: Fresh, named: bool) -> Result<Turned, NotTurned> {
    if draft["request_type"] != "family_help" {
        return Err(NotTurned::NotFamilyHelp);
    }
    if draft["agreement"]["status"] == "yes" {
        return Err(NotTurned::Agreed);
    }
    let today = fresh.now.in_england().0;
    Ok(match way {
        Way::Consult => consultation(draft, named, today),
        Way::ChildInNeed => referral(draft, way, "assessment", fresh, today),
        Way::Protection => referral(draft, way, "protection_enquiry", fresh, today),
    })
}

fn referral(draft: &Value, way: Way, ask: &str, fresh: Fresh, today: Date) -> Turned {
    let mut document = draft.clone();
    let Value::Object(members) = &mut document else {
        return Turned { document, asked: Vec::new() };
    };
    // A referral of its own: the refused one may have been sent.
    for of_a_later_version in ["change", "previous_sha256"] {
        members.remove(of_a_later_version);
    }
    members.insert("referral_id".into(), json!(fresh.referral_id.to_string()));
    members.insert("salt".into(), json!(URL_SAFE_NO_PAD.encode(fresh.salt)));
    members.insert("version".into(), json!(1));
    members.insert("composed_at".into(), json!(fresh.now.to_string()));
    members.insert("request_type".into(), json!(way.as_str()));
    if draft["urgency"] == "U3" {
        members.insert("urgency".into(), json!("U2"));
    }
    let mut agreement = object(members, "agreement");
    agreement.insert("status".into(), json!("no"));
    agreement.insert("after_refusal".into(), json!(way.as_str()));
    members.insert("agreement".into(), Value::Object(agreement));
    // Family help is not asked for any more; whatever else was asked for still is.
    let mut request = object(members, "request");
    let asks = request.get("asks").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut asks: Vec<Value> = asks.into_iter().filter(|code| code != "family_help").collect();
    if asks.is_empty() {
        asks.push(json!(ask));
    }
    request.insert("asks".into(), Value::Array(asks));
    members.insert("request".into(), Value::Object(request));
    let (broken, _) = schema::findings(&document, today);
    let missing = |violation: &Violation| (violation.pointer.clone(), violation.rule.action);
    let asked = broken.iter().map(|finding| missing(&finding.violation)).collect();
    Turned { document, asked }
}

/// A member that is to be changed; empty where there is none.
fn object(members: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match members.remove(name) {
        Some(Value::Object(found)) => found,
        _ => Map::new(),
    }
}

/// What `ecaf school consult` takes, from the answers of the draft.
fn consultation(draft: &Value, named: bool, today: Date) -> Turned {
    let names = if named { BTreeMap::new() } else { names(draft) };
    let text = |value: &Value| value.as_str().map(|text| without(text, &names));
    let items = |list: &str| draft[list].as_array().cloned().unwrap_or_default();
    let narratives: Vec<String> =
        items("concerns").iter().filter_map(|c| text(&c["narrative"]["text"])).collect();
    let referrer = &draft["referrer"];
    let role = [&referrer["job_title"], &referrer["role"]].into_iter().find_map(Value::as_str);
    let mut asked_by = Map::new();
    for (name, value) in [
        ("name", referrer["name"].as_str()),
        ("role", role),
        ("phone", referrer["call_back_phone"].as_str()),
        ("email", referrer["email"].as_str()),
    ] {
        asked_by.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    let children = items("children");
    let ages: Vec<String> = children.iter().filter_map(|child| age(child, today)).collect();
    let district = items("addresses").iter().find_map(|a| district(a["postcode"].as_str()?));
    let mut document = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        document.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("question", text(&draft["request"]["hoped_for"]).map(Value::String));
    put("situation", (!narratives.is_empty()).then(|| json!(narratives.join("\n\n"))));
    put("asked_by", (!asked_by.is_empty()).then(|| Value::Object(asked_by)));
    put("family_knows", draft["parents_informed"]["answer"].as_bool().map(Value::Bool));
    put("age", (!ages.is_empty()).then(|| json!(ages.join(" and "))));
    put("area", district.map(Value::String));
    if named {
        let full: Vec<String> = children.iter().filter_map(full_name).collect();
        put("child_name", (!full.is_empty()).then(|| json!(full.join(" and "))));
        if let [child] = &children[..] {
            put("child_born", child["birth"]["date"].as_str().map(|day| json!(day)));
        }
    }
    const NEEDED: [(&str, &str); 4] = [
        ("question", "Say what you want to know."),
        ("situation", "Say what happened, as far as advice needs it."),
        ("asked_by", "Say who asks, with a direct number."),
        ("family_knows", "Say whether the family knows that you ask."),
    ];
    let missing = NEEDED.into_iter().filter(|(name, _)| !document.contains_key(*name));
    let asked = missing.map(|(name, action)| (format!("/{name}"), action)).collect();
    Turned { document: Value::Object(document), asked }
}

fn full_name(child: &Value) -> Option<String> {
    let name = &child["name"];
    let parts: Vec<&str> =
        ["given", "family"].iter().filter_map(|part| name[*part].as_str()).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn age(child: &Value, today: Date) -> Option<String> {
    let birth = &child["birth"];
    let born: Option<Date> = birth["date"].as_str().and_then(|day| day.parse().ok());
    let years = born.map(|born| i64::from(today.years_since(born)));
    years.or(birth["estimated_age"].as_i64()).map(|years| years.to_string())
}

/// The first half of a postcode: where, and no house.
fn district(postcode: &str) -> Option<String> {
    let plain: String = postcode.chars().filter(char::is_ascii_alphanumeric).collect();
    let cut = plain.len().checked_sub(3).filter(|at| (2..=4).contains(at))?;
    Some(plain[..cut].to_uppercase())
}

/// Every word of a name that the draft has in a field, in small letters, and what stands in its place.
fn names(draft: &Value) -> BTreeMap<String, &'static str> {
    let mut found = BTreeMap::new();
    for (list, instead) in [("people", "[name]"), ("children", "the child")] {
        for person in draft[list].as_array().into_iter().flatten() {
            let mut texts = Vec::new();
            strings(&person["name"], &mut texts);
            for word in texts.iter().flat_map(|text| words(text)) {
                found.insert(word.to_lowercase(), instead);
            }
        }
    }
    // The reason why a name is not known is none.
    found.retain(|word, _| word.chars().count() > 1);
    found
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(members) => {
            let known = members.iter().filter(|(name, _)| *name != "unknown");
            known.for_each(|(_, value)| strings(value, found));
        }
        _ => {}
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_of_a_word(c)).filter(|word| !word.is_empty())
}

/// The text with every such word replaced; two in a row, a full name, by one.
fn without(text: &str, names: &BTreeMap<String, &'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut last: Option<(&'static str, usize)> = None;
    while let Some(c) = rest.chars().next() {
        let in_word = is_of_a_word(c);
        let end = rest.find(|c| is_of_a_word(c) != in_word).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        match names.get(&piece.to_lowercase()).filter(|_| in_word) {
            Some(instead) => match last {
                Some((before, at)) if before == *instead && out[at..].trim().is_empty() => {
                    out.truncate(at);
                }
                _ => {
                    out.push_str(instead);
                    last = Some((instead, out.len()));
                }
            },
            None => out.push_str(piece),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_and_the_rest_of_a_text_stays() {
        let draft = json!({
            "children": [{"name": {"given": "Callum James", "family": "Pryce-Jones"}}],
            "people": [{"name": {"given": "Siân", "family": "Pryce"}}, {"name": {"unknown": "refused"}}],
        });
        let names = names(&draft);
        for (text, expected) in [
            ("Callum came alone.", "the child came alone."),
            ("CALLUM PRYCE-JONES came.", "the child came."),
            (
                "Callum's bag; Ms Siân Pryce, at home.",
                "the child's bag; Ms [name] the child, at home.",
            ),
            ("He refused, Callumlike.", "He refused, Callumlike."),
            ("", ""),
        ] {
            assert_eq!(without(text, &names), expected);
        }
        assert_eq!(without("Callum", &BTreeMap::new()), "Callum");
    }

    #[test]
    fn a_district_is_no_house() {
        assert_eq!(district("E5 8QJ").as_deref(), Some("E5"));
        assert_eq!(district("sw1a1aa").as_deref(), Some("SW1A"));
        assert_eq!(district("E5"), None);
        assert_eq!(district("not a postcode at all"), None);
    }
}
