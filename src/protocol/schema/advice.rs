//! Finds in a document what [`crate::domain::advice`] warns of. Nothing here refuses.

use serde_json::Value;

use super::codes::list_of_system;
use super::facts::{concerns, home_of, list};
use crate::domain::advice as rules;
use crate::domain::refusal::{Rule, Violation};
use crate::domain::time::Date;

/// Every piece of advice on a document that fits the schema, in reading order.
pub(super) fn advice(document: &Value, today: Date) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |rule: Rule, pointer: String| found.push(Violation::at(rule, pointer));
    if document["urgency"] == "U0" {
        add(rules::CALL_999, "/urgency".into());
    }
    if document["completeness"] == "urgent_minimal" {
        add(rules::SUPPLEMENT, "/completeness".into());
    }
    for (at, child) in list(document, "children").enumerate() {
        on_child(document, child, &format!("/children/{at}"), today, &mut add);
    }
    for (at, address) in list(document, "addresses").enumerate() {
        on_postcode(&address["postcode"], format!("/addresses/{at}/postcode"), &mut add);
        let withheld = address["withhold_from"].is_array()
            || address["withhold_from_everyone"] == Value::Bool(true);
        if address["kind"] == "refuge" && !withheld {
            add(rules::REFUGE_SHOWN, format!("/addresses/{at}"));
        }
    }
    for (at, place) in list(document, "where_now").enumerate() {
        on_postcode(&place["postcode"], format!("/where_now/{at}/postcode"), &mut add);
    }
    if document["other_children"]["answer"] == Value::Bool(true)
        && list(document, "children").count() <= 1
        && !list(document, "relationships").any(is_sibling)
    {
        add(rules::SIBLINGS_MISSING, "/other_children".into());
    }
    if document["request_type"] == "child_in_need"
        && document["agreement"]["status"].as_str().is_none_or(|status| status != "yes")
    {
        add(rules::NO_AGREEMENT, "/agreement".into());
    }
    if document["completeness"] == "standard"
        && document["request_type"] != "lado"
        && list(document, "voice").all(|voice| !voice["words"]["text"].is_string())
        && list(document, "children").any(|child| child["role"] != "unborn")
    {
        add(rules::NO_VOICE, "/voice".into());
    }
    on_codes(document, &mut String::new(), &mut found);
    found
}

fn on_child(
    document: &Value,
    child: &Value,
    here: &str,
    today: Date,
    add: &mut impl FnMut(Rule, String),
) {
    let id = child["id"].as_str().unwrap_or_default();
    let mut about = |member: &str, rule: fn(&str) -> Option<Rule>| {
        if let Some(rule) = child[member].as_str().and_then(rule) {
            add(rule, format!("{here}/{member}"));
        }
    };
    about("upn", rules::on_upn);
    about("nhs_number", rules::on_nhs_number);
    let mut dated = |member: &str, rule: fn(Date, Date) -> Option<Rule>| {
        let date = child["birth"][member].as_str().and_then(|text| text.parse().ok());
        if let Some(rule) = date.and_then(|date| rule(date, today)) {
            add(rule, format!("{here}/birth/{member}"));
        }
    };
    dated("date", rules::on_birth);
    dated("expected_date", rules::on_expected);
    let lado = document["request_type"] == "lado";
    if !lado && !home_of(document, id).is_some_and(|home| home["postcode"].is_string()) {
        add(rules::POSTCODE_MISSING, here.to_owned());
    }
    let asked = document["completeness"] == "standard" && !lado && child["role"] != "unborn";
    let answered = list(document, "relationships").any(|edge| {
        edge["to"] == id
            && !matches!(edge["parental_responsibility"], Value::Null | Value::Bool(false))
    });
    if asked && !answered {
        add(rules::NO_RESPONSIBILITY, here.to_owned());
    }
    let codes = child["disabilities"]["codes"].as_array();
    if codes.is_some_and(|codes| codes.len() > 1 && codes.iter().any(|code| code == "NONE")) {
        add(rules::DISABILITY_NONE, format!("{here}/disabilities"));
    }
    let concerned = list(document, "concerns").any(|concern| concerns(concern, "children", id));
    if !lado && !concerned {
        add(rules::NO_CONCERN, here.to_owned());
    }
}

fn on_postcode(value: &Value, pointer: String, add: &mut impl FnMut(Rule, String)) {
    if let Some(rule) = value.as_str().and_then(rules::on_postcode) {
        add(rule, pointer);
    }
}

fn is_sibling(edge: &Value) -> bool {
    edge["type"].as_str().is_some_and(|kind| kind.ends_with("sibling"))
}

/// Codes of a later version of a list than ours are passed on, and flagged.
fn on_codes(value: &Value, here: &mut String, found: &mut Vec<Violation>) {
    let length = here.len();
    match value {
        Value::Object(members) => {
            if let Some(list) =
                members.get("code_system").and_then(Value::as_str).and_then(list_of_system)
            {
                let mut known = |code: &Value, pointer: String| {
                    if code.as_str().is_some_and(|code| list.label(code).is_none()) {
                        found.push(Violation::at(rules::UNKNOWN_CODE, pointer));
                    }
                };
                known(&value["code"], format!("{here}/code"));
                for (at, code) in value["codes"].as_array().into_iter().flatten().enumerate() {
                    known(code, format!("{here}/codes/{at}"));
                }
                return;
            }
            for (name, value) in members {
                here.push('/');
                here.push_str(name);
                on_codes(value, here, found);
                here.truncate(length);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                here.push_str(&format!("/{at}"));
                on_codes(value, here, found);
                here.truncate(length);
            }
        }
        _ => {}
    }
}
