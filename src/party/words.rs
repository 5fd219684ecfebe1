//! Events in words: what is said and by whom, and what the document of an event answers.

use serde_json::Value;

use super::look::Event;
use crate::domain::case::EventKind;
use crate::domain::hours::england_text;
use crate::domain::time::Timestamp;
use crate::protocol::schema::{DETAIL_COMMON, Shape, list_of_system};

/// What is said and by whom, without what is personal; `all` has the event that it answers.
pub fn first_line(event: &Event, all: &[Event]) -> String {
    let kind = event.event.replace('_', " ");
    let by = without_scheme(&event.by);
    let mut line = format!("{}{}, by {by}", kind[..1].to_uppercase(), &kind[1..]);
    if let Some(gateway) = &event.attested_by {
        line.push_str(&format!(" (attested by {})", without_scheme(gateway)));
    }
    let answered = all.iter().find(|other| Some(other.position) == event.answers);
    if let Some(answered) = answered.filter(|_| event.event == "read") {
        line.push_str(&format!(": {}", answered.event.replace('_', " ")));
    }
    if let Some(words) = event.words.as_ref().or(event.code.as_ref()) {
        line.push_str(&format!(": {words}"));
    }
    if let Some(to) = &event.to {
        line.push_str(&format!(", to authority {to}"));
    }
    line.push_str(&held(event.since.as_deref(), event.next_attempt_at.as_deref()));
    if let Some(school) = &event.school {
        line.push_str(&format!(", to school {school}"));
    }
    if let Some(stage) = event.stage {
        line.push_str(&format!(", stage {stage}"));
    }
    if !event.children.is_empty() {
        let children: Vec<_> = event.children.iter().map(ToString::to_string).collect();
        line.push_str(&format!(" (child {})", children.join(", ")));
    }
    line
}

/// Since when a delivery is held, and when it is tried next, as the end of a line.
pub fn held(since: Option<&str>, next_attempt_at: Option<&str>) -> String {
    let times = [("held since", since), ("next attempt", next_attempt_at)];
    let told = times.into_iter().filter_map(|(what, at)| {
        let at = at?;
        Some(format!(", {what} {}", at.parse().map_or_else(|_| at.to_owned(), england_text)))
    });
    told.collect()
}

/// A SPIFFE ID without the scheme's name.
fn without_scheme(id: &str) -> &str {
    id.strip_prefix("spiffe://").and_then(|id| id.split_once('/')).map_or(id, |(_, rest)| rest)
}

/// The answers of a document in the order of its schema, under their titles.
pub fn members(event: &str, document: &Value) -> Vec<(String, String)> {
    let kind = EventKind::from_name(event).map(EventKind::name);
    let Some(shape) = kind.and_then(Shape::event) else { return Vec::new() };
    let names = shape.members().into_iter().filter(|name| !DETAIL_COMMON.contains(name));
    names
        .filter_map(|name| {
            let value = document.get(name)?;
            let title = shape.member(name)?.title();
            Some((title.to_owned(), said(value)))
        })
        .collect()
}

/// A value of a document, for a person.
pub fn said(value: &Value) -> String {
    match value {
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(at) => england_text(at),
            Err(_) => text.clone(),
        },
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join("; "),
        Value::Object(coded) if coded.contains_key("code_system") => said_code(value),
        Value::Object(person) => {
            let order = ["name", "role", "team", "phone", "email"];
            let parts = order.iter().filter_map(|part| person.get(*part)?.as_str());
            parts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A code of an open list, with the code itself: it is what the census counts by.
fn said_code(coded: &Value) -> String {
    let code = coded["code"].as_str().unwrap_or_default();
    let list = coded["code_system"].as_str().and_then(list_of_system);
    match list.and_then(|list| list.label(code)) {
        Some(label) => format!("{code}, {label}"),
        None => format!("{code} (a code of another version of the list)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_code_is_told_in_words_and_one_of_another_version_is_flagged() {
        let need = |code: &str, version: &str| {
            json!({"primary_need": {
                "code": code, "code_system": "https://ecaf.example/codes/dfe-cin/primary_need",
                "code_version": version,
            }})
        };
        let told = |document| members("closed", &document);
        assert_eq!(
            told(need("N1", "2025-26")),
            [("Primary need".to_owned(), "N1, Abuse or neglect".to_owned())]
        );
        assert_eq!(
            told(need("N12", "2031-32"))[0].1,
            "N12 (a code of another version of the list)"
        );
    }
}
