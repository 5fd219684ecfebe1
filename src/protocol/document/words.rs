//! Values of a referral in words: codes spelled out, ids as names, dates as people write them.

use std::collections::HashMap;

use serde_json::Value;

use crate::domain::time::{Date, Timestamp};
use crate::protocol::schema::{Shape, label, list_of_system};

/// Spells out the values of one document.
pub(super) struct Words<'d> {
    names: HashMap<&'d str, String>,
    /// The day on which the document was composed, for ages.
    composed: Option<Date>,
}

impl<'d> Words<'d> {
    pub fn new(document: &'d Value) -> Self {
        let mut words = Self {
            names: HashMap::new(),
            composed: document["composed_at"]
                .as_str()
                .and_then(|text| text.parse::<Timestamp>().ok())
                .map(|time| time.in_england().0),
        };
        for list in ["children", "people"] {
            for entry in document[list].as_array().into_iter().flatten() {
                if let Some(id) = entry["id"].as_str() {
                    let name = match short_name(&entry["name"]) {
                        name if name.is_empty() => format!("{id} (name not known)"),
                        name => name,
                    };
                    words.names.insert(id, name);
                }
            }
        }
        words
    }

    /// A `name.json` object.
    pub fn name(&self, name: &Value) -> String {
        if let Some(unknown) = self.unknown(name) {
            return unknown;
        }
        let name_alone = short_name(name);
        let also: Vec<&str> = name["also_known_as"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        match also.as_slice() {
            [] => name_alone,
            also => format!("{name_alone} (also known as {})", also.join(", ")),
        }
    }

    /// Whom a local id stands for.
    pub fn who(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    /// Whom a list of local ids names; `all` if there is none.
    pub fn whom(&self, ids: &Value, all: &str) -> String {
        match ids.as_array() {
            Some(ids) => ids
                .iter()
                .filter_map(Value::as_str)
                .map(|id| self.who(id))
                .collect::<Vec<_>>()
                .join(", "),
            None => all.to_owned(),
        }
    }

    /// "Not known: ..." for a value that is unknown with a reason.
    pub fn unknown(&self, value: &Value) -> Option<String> {
        let code = value.get("unknown")?.as_str()?;
        Some(match label("unknown_reason", code) {
            Some(label) => format!("Unknown: {}", lower_first(label)),
            None => "Unknown".to_owned(),
        })
    }

    /// A `birth.json` object.
    pub fn birth(&self, birth: &Value) -> String {
        if let Some(date) = birth["date"].as_str() {
            let age =
                date.parse::<Date>().ok().zip(self.composed).map(|(born, on)| on.years_since(born));
            return match age {
                Some(age) if age >= 0 => format!("{} (aged {age})", day(date)),
                _ => day(date),
            };
        }
        if let Some(date) = birth["expected_date"].as_str() {
            return format!("Expected {}", day(date));
        }
        if let Some(age) = birth["estimated_age"].as_u64() {
            return format!("About {age} years old (estimated)");
        }
        self.unknown(birth).unwrap_or_default()
    }

    /// Any value, guided by the schema; empty for a missing one.
    pub fn say(&self, value: &Value, shape: &Shape) -> String {
        if let Some(unknown) = self.unknown(value) {
            return unknown;
        }
        match value {
            Value::Null => String::new(),
            Value::Bool(true) => "Yes".to_owned(),
            Value::Bool(false) => "No".to_owned(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => self.say_text(text, shape),
            Value::Array(items) => {
                let item = shape.item();
                let item = item.as_ref().unwrap_or(shape);
                let said: Vec<String> = items.iter().map(|value| self.say(value, item)).collect();
                let long = said.iter().any(|text| text.len() > 40 || text.contains('\n'));
                said.join(if long { "\n" } else { ", " })
            }
            Value::Object(members) => self.say_object(value, members.len(), shape),
        }
    }

    fn say_text(&self, text: &str, shape: &Shape) -> String {
        if let Some(list) = shape.code_list() {
            return label(list, text).map_or_else(|| format!("{text} (code)"), str::to_owned);
        }
        let target = shape.target();
        let file = target.as_ref().map_or("", |target| target.path());
        let pattern = shape.text("pattern").unwrap_or_default();
        if file.ends_with("/local_id.json") || pattern.starts_with("^[a-z][a-z0-9_-]") {
            return self.who(text);
        }
        match shape.text("format") {
            Some("date") => day(text),
            Some("date-time") => moment(text),
            _ if file.ends_with("/partial_date.json") || pattern.starts_with("^[0-9]{4}(-") => {
                day(text)
            }
            _ => text.to_owned(),
        }
    }

    fn say_object(&self, value: &Value, members: usize, shape: &Shape) -> String {
        if let Some(list) = value["code_system"].as_str().and_then(list_of_system) {
            let said = |code: &Value| {
                let code = code.as_str().unwrap_or_default();
                list.label(code)
                    .map_or_else(|| format!("{code} (code of a later list)"), str::to_owned)
            };
            return match value["codes"].as_array() {
                Some(codes) => codes.iter().map(said).collect::<Vec<_>>().join("; "),
                None => said(&value["code"]),
            };
        }
        let file = shape.target().map_or("", |target| target.path());
        if file.ends_with("/name.json") {
            return self.name(value);
        }
        if file.ends_with("/birth.json") {
            return self.birth(value);
        }
        if let Some(text) = value["text"].as_str() {
            return match self.basis(value) {
                basis if basis.is_empty() => text.to_owned(),
                basis => format!("{text}\n[{basis}]"),
            };
        }
        if !value["answer"].is_null() && members <= 2 {
            let answer =
                shape.member("answer").map(|a| self.say(&value["answer"], &a)).unwrap_or_default();
            return match value["detail"].as_str() {
                Some(detail) => format!("{answer}. {detail}"),
                None => answer,
            };
        }
        let fields = self.fields(value, shape, &[]);
        fields
            .into_iter()
            .map(|(name, said)| format!("{name}: {said}"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// How a text is known, by whom.
    pub fn basis(&self, text: &Value) -> String {
        let mut parts = Vec::new();
        if let Some(basis) = text["basis"].as_str() {
            parts.push(label("text_basis", basis).unwrap_or(basis).to_owned());
        }
        if let Some(id) = text["said_by"].as_str() {
            parts.push(format!("said by {}", self.who(id)));
        }
        if text["source_anonymous"] == Value::Bool(true) {
            parts.push("the source wishes to stay anonymous".to_owned());
        }
        parts.join("; ")
    }

    /// The members of an object with their titles, in the order of the schema; `without` some.
    pub fn fields(&self, value: &Value, shape: &Shape, without: &[&str]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        for name in shape.members() {
            let Some(member) = value.get(name).filter(|_| !without.contains(&name)) else {
                continue;
            };
            let Some(shape) = shape.member(name) else { continue };
            fields.push((shape.title().to_owned(), self.say(member, &shape)));
        }
        fields
    }
}

fn short_name(name: &Value) -> String {
    let parts: Vec<&str> =
        ["given", "family"].iter().filter_map(|part| name[part].as_str()).collect();
    parts.join(" ")
}

/// "24 November 2026" for a full date, "November 2026" and "2026" for parts of one.
pub(super) fn day(text: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let parts: Vec<&str> = text.split('-').collect();
    let month = parts
        .get(1)
        .and_then(|m| m.parse::<usize>().ok())
        .and_then(|m| MONTHS.get(m.wrapping_sub(1)));
    match (parts.as_slice(), month) {
        ([year, _, day], Some(month)) => format!("{} {month} {year}", day.trim_start_matches('0')),
        ([year, _], Some(month)) => format!("{month} {year}"),
        _ => text.to_owned(),
    }
}

/// "24 November 2026, 14:26" in English local time.
pub(super) fn moment(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => {
            let (date, minute) = time.in_england();
            format!("{}, {:02}:{:02}", day(&date.to_string()), minute / 60, minute % 60)
        }
        Err(_) => text.to_owned(),
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_given_with_the_others_that_somebody_goes_by() {
        let document = json!({});
        let words = Words::new(&document);
        let name = |other: Value| {
            let mut name = json!({"given": "Tilda", "family": "Quill"});
            name["also_known_as"] = other;
            words.name(&name)
        };
        assert_eq!(name(Value::Null), "Tilda Quill");
        assert_eq!(name(json!(["Til", "T. Oak"])), "Tilda Quill (also known as Til, T. Oak)");
        assert_eq!(words.name(&json!({"unknown": "no such code"})), "Unknown");
        assert_eq!(words.name(&json!({})), "");
    }
}
