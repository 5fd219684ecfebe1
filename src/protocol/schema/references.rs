//! Local ids: each stands for one thing, and whatever is named exists.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;

use serde_json::Value;

use crate::domain::refusal::{Rule, Violation};

/// Two things under one local id.
pub const DUPLICATE_ID: Rule = Rule {
    id: "referral.duplicate-id",
    title: "Two entries of this referral have the same id",
    action: "Give each child, person, address and attachment an id of its own.",
};
/// A local id that nothing has.
pub const UNKNOWN_REFERENCE: Rule = Rule {
    id: "referral.unknown-reference",
    title: "This names an entry that the referral does not have",
    action: "Add the child or person, or correct the id.",
};
/// A person where only a child of the referral can stand.
pub const NOT_A_CHILD: Rule = Rule {
    id: "referral.not-a-child",
    title: "This must name one of the children of this referral",
    action: "Use the id of an entry under children.",
};
/// Somebody related to themselves.
pub const RELATED_TO_SELF: Rule = Rule {
    id: "referral.related-to-self",
    title: "This relationship has the same person at both ends",
    action: "Correct one of the two ids.",
};

/// The rules about local ids. They refuse a standard referral; of an urgent one they only warn.
pub const RULES: [Rule; 4] = [DUPLICATE_ID, UNKNOWN_REFERENCE, NOT_A_CHILD, RELATED_TO_SELF];

/// Members that name a child of the referral.
const TO_CHILD: [&str; 2] = ["child", "children"];
/// Members that name a person or a child.
const TO_ANYONE: [&str; 13] = [
    "residents",
    "withhold_from",
    "given_by",
    "covers",
    "persons",
    "alleged_sources",
    "witnesses",
    "mother",
    "father",
    "said_by",
    "adult",
    "carer",
    "person",
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Child,
    Person,
    Thing,
}

/// Every broken reference of a document that fits the schema, in the order of the document.
pub(super) fn violations(document: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut ids: HashMap<&str, Kind> = HashMap::new();
    for (list, kind) in [
        ("children", Kind::Child),
        ("people", Kind::Person),
        ("addresses", Kind::Thing),
        ("attachments", Kind::Thing),
    ] {
        for (at, entry) in document[list].as_array().into_iter().flatten().enumerate() {
            let Some(id) = entry["id"].as_str() else { continue };
            // The first one keeps the id, so that one slip is told once.
            match ids.entry(id) {
                Entry::Vacant(free) => drop(free.insert(kind)),
                Entry::Occupied(_) => {
                    found.push(Violation::at(DUPLICATE_ID, format!("/{list}/{at}/id")));
                }
            }
        }
    }
    let mut walk = Walk { ids, path: Vec::new(), found };
    walk.value(document);
    for (at, edge) in document["relationships"].as_array().into_iter().flatten().enumerate() {
        walk.path = vec![Step::Name("relationships"), Step::Index(at)];
        walk.reference("from", &edge["from"], Kind::Person);
        walk.reference("to", &edge["to"], Kind::Child);
        if edge["from"].is_string() && edge["from"] == edge["to"] {
            walk.broken(RELATED_TO_SELF);
        }
    }
    walk.found
}

#[derive(Clone, Copy)]
enum Step<'d> {
    Name(&'d str),
    Index(usize),
}

struct Walk<'d> {
    ids: HashMap<&'d str, Kind>,
    path: Vec<Step<'d>>,
    found: Vec<Violation>,
}

impl<'d> Walk<'d> {
    fn value(&mut self, value: &'d Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if TO_CHILD.contains(&name.as_str()) {
                        self.references(name, value, Kind::Child);
                    } else if TO_ANYONE.contains(&name.as_str()) {
                        self.references(name, value, Kind::Person);
                    }
                    self.inside(Step::Name(name), value);
                }
            }
            Value::Array(items) => {
                for (at, value) in items.iter().enumerate() {
                    self.inside(Step::Index(at), value);
                }
            }
            _ => {}
        }
    }

    fn inside(&mut self, step: Step<'d>, value: &'d Value) {
        if matches!(value, Value::Object(_) | Value::Array(_)) {
            self.path.push(step);
            self.value(value);
            self.path.pop();
        }
    }

    fn references(&mut self, name: &'d str, value: &'d Value, wanted: Kind) {
        match value {
            Value::Array(items) => {
                self.path.push(Step::Name(name));
                for (at, item) in items.iter().enumerate() {
                    self.step(Step::Index(at), item, wanted);
                }
                self.path.pop();
            }
            one => self.reference(name, one, wanted),
        }
    }

    fn reference(&mut self, name: &'d str, value: &'d Value, wanted: Kind) {
        self.step(Step::Name(name), value, wanted);
    }

    fn step(&mut self, step: Step<'d>, value: &'d Value, wanted: Kind) {
        let Some(id) = value.as_str() else { return };
        let rule = match (self.ids.get(id), wanted) {
            (Some(Kind::Child), _) | (Some(Kind::Person), Kind::Person) => return,
            (Some(Kind::Person | Kind::Thing), Kind::Child) => NOT_A_CHILD,
            (Some(Kind::Thing) | None, _) => UNKNOWN_REFERENCE,
            (Some(Kind::Person), Kind::Thing) => return,
        };
        self.path.push(step);
        self.broken(rule);
        self.path.pop();
    }

    fn broken(&mut self, rule: Rule) {
        let mut pointer = String::new();
        for step in &self.path {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Name(name) => write!(pointer, "/{name}"),
                Step::Index(at) => write!(pointer, "/{at}"),
            };
        }
        self.found.push(Violation::at(rule, pointer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::resources;
    use serde_json::json;

    #[test]
    fn every_member_that_names_somebody_is_followed() {
        fn walk(schema: &Value, file: &str) {
            if let Some(properties) = schema["properties"].as_object() {
                for (name, member) in properties {
                    let points = [&member["$ref"], &member["items"]["$ref"]]
                        .iter()
                        .any(|r| **r == json!("local_id.json"))
                        || member["pattern"] == json!("^[a-z][a-z0-9_-]{0,39}$");
                    let followed = TO_CHILD.contains(&name.as_str())
                        || TO_ANYONE.contains(&name.as_str())
                        || file.ends_with("/relationship.json");
                    assert!(!points || name == "id" || followed, "{file}: {name}");
                }
            }
            match schema {
                Value::Object(members) => members.values().for_each(|value| walk(value, file)),
                Value::Array(items) => items.iter().for_each(|value| walk(value, file)),
                _ => {}
            }
        }
        for resource in resources() {
            walk(&serde_json::from_slice(resource.bytes).unwrap(), resource.path);
        }
    }

    #[test]
    fn dangling_doubled_and_misdirected_ids_are_found() {
        let document = json!({
            "children": [{"id": "c1", "mother": "p1", "father": {"unknown": "not_known"}},
                         {"id": "c1", "mother": "nobody"}],
            "people": [{"id": "p1"}],
            "addresses": [{"id": "a1", "residents": ["c1", "a1"]}],
            "concerns": [{"children": ["c1", "p1"], "narrative": {"said_by": "c9"}}],
            "relationships": [{"from": "p1", "to": "c1"}, {"from": "p1", "to": "p1"}]
        });
        let found: Vec<(&str, String)> =
            violations(&document).into_iter().map(|v| (v.rule.id, v.pointer)).collect();
        for expected in [
            ("referral.duplicate-id", "/children/1/id"),
            ("referral.unknown-reference", "/children/1/mother"),
            ("referral.unknown-reference", "/addresses/0/residents/1"),
            ("referral.not-a-child", "/concerns/0/children/1"),
            ("referral.unknown-reference", "/concerns/0/narrative/said_by"),
            ("referral.not-a-child", "/relationships/1/to"),
            ("referral.related-to-self", "/relationships/1"),
        ] {
            assert!(found.contains(&(expected.0, expected.1.to_owned())), "{expected:?} {found:?}");
        }
        assert_eq!(found.len(), 7, "{found:?}");
    }
}
