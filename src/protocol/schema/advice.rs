//! Finds in a document what [`crate::domain::advice`] warns of. Nothing here refuses.

use super::codes::list_of_system;
use super::facts::{concerns, home_of, list};
use crate::domain::advice as rules;
use crate::domain::refusal::{Rule, Violation};
use crate::domain::time::Date;
use crate::protocol::json::{Json, Kind};

/// Every piece of advice on a document that fits the schema, in reading order.
pub(super) fn advice(document: Json<'_>, today: Date) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |rule: Rule, pointer: String| found.push(Violation::at(rule, pointer));
    if document.at("urgency") == "U0" {
        add(rules::CALL_999, "/urgency".into());
    }
    if document.at("completeness") == "urgent_minimal" {
        add(rules::SUPPLEMENT, "/completeness".into());
    }
    for (at, child) in list(document, "children").enumerate() {
        on_child(document, child, &format!("/children/{at}"), today, &mut add);
    }
    for (at, address) in list(document, "addresses").enumerate() {
        on_postcode(address.at("postcode"), format!("/addresses/{at}/postcode"), &mut add);
        let withheld = address.at("withhold_from").kind() == Kind::List
            || address.at("withhold_from_everyone").as_bool() == Some(true);
        if address.at("kind") == "refuge" && !withheld {
            add(rules::REFUGE_SHOWN, format!("/addresses/{at}"));
        }
    }
    for (at, place) in list(document, "where_now").enumerate() {
        on_postcode(place.at("postcode"), format!("/where_now/{at}/postcode"), &mut add);
    }
    if document.at("other_children").at("answer").as_bool() == Some(true)
        && list(document, "children").count() <= 1
        && !list(document, "relationships").any(is_sibling)
    {
        add(rules::SIBLINGS_MISSING, "/other_children".into());
    }
    if document.at("request_type") == "child_in_need"
        && document.at("agreement").at("status").as_str().is_none_or(|status| status != "yes")
    {
        add(rules::NO_AGREEMENT, "/agreement".into());
    }
    if document.at("completeness") == "standard"
        && document.at("request_type") != "lado"
        && list(document, "voice").all(|voice| voice.at("words").at("text").as_str().is_none())
        && list(document, "children").any(|child| child.at("role") != "unborn")
    {
        add(rules::NO_VOICE, "/voice".into());
    }
    on_codes(document, &mut found);
    found
}

fn on_child(
    document: Json<'_>,
    child: Json<'_>,
    here: &str,
    today: Date,
    add: &mut impl FnMut(Rule, String),
) {
    let id = child.at("id").as_str().unwrap_or_default();
    let mut about = |member: &str, rule: fn(&str) -> Option<Rule>| {
        if let Some(rule) = child.at(member).as_str().and_then(rule) {
            add(rule, format!("{here}/{member}"));
        }
    };
    about("upn", rules::on_upn);
    about("nhs_number", rules::on_nhs_number);
    let mut dated = |member: &str, rule: fn(Date, Date) -> Option<Rule>| {
        let date = child.at("birth").at(member).as_str().and_then(|text| text.parse().ok());
        if let Some(rule) = date.and_then(|date| rule(date, today)) {
            add(rule, format!("{here}/birth/{member}"));
        }
    };
    dated("date", rules::on_birth);
    dated("expected_date", rules::on_expected);
    let lado = document.at("request_type") == "lado";
    if !lado && home_of(document, id).is_none_or(|home| home.at("postcode").as_str().is_none()) {
        add(rules::POSTCODE_MISSING, here.to_owned());
    }
    let asked = document.at("completeness") == "standard" && !lado && child.at("role") != "unborn";
    let answered = list(document, "relationships").any(|edge| {
        let answer = edge.at("parental_responsibility");
        edge.at("to") == id && !answer.is_null() && answer.as_bool() != Some(false)
    });
    if asked && !answered {
        add(rules::NO_RESPONSIBILITY, here.to_owned());
    }
    let mut codes = child.at("disabilities").at("codes").items();
    if codes.clone().count() > 1 && codes.any(|code| code == "NONE") {
        add(rules::DISABILITY_NONE, format!("{here}/disabilities"));
    }
    let concerned = list(document, "concerns").any(|concern| concerns(concern, "children", id));
    if !lado && !concerned {
        add(rules::NO_CONCERN, here.to_owned());
    }
}

fn on_postcode(value: Json<'_>, pointer: String, add: &mut impl FnMut(Rule, String)) {
    if let Some(rule) = value.as_str().and_then(rules::on_postcode) {
        add(rule, pointer);
    }
}

fn is_sibling(edge: Json<'_>) -> bool {
    edge.at("type").as_str().is_some_and(|kind| kind.ends_with("sibling"))
}

/// Codes of a later version of a list than ours are passed on, and flagged.
fn on_codes(document: Json<'_>, found: &mut Vec<Violation>) {
    for (place, _, coded) in document.all() {
        let Some(system) = coded.at("code_system").as_str() else { continue };
        let Some(list) = list_of_system(system) else { continue };
        let unknown = |code: Json<'_>| code.as_str().is_some_and(|code| list.label(code).is_none());
        let mut flag = |below: String| {
            let pointer = document.pointer_to(place) + &below;
            found.push(Violation::at(rules::UNKNOWN_CODE, pointer));
        };
        if unknown(coded.at("code")) {
            flag("/code".into());
        }
        for (at, _) in coded.at("codes").items().enumerate().filter(|(_, code)| unknown(*code)) {
            flag(format!("/codes/{at}"));
        }
    }
}
