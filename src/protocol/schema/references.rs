//! Local ids: each stands for one thing, and whatever is named exists.

use crate::domain::refusal::{Rule, Violation};
use crate::protocol::json::Json;

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

/// What a local id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// A child of the referral.
    Child,
    /// A child of the referral or somebody else.
    Person,
    /// An address or an attachment.
    Thing,
}

impl Naming {
    /// What a member of this name names, if it names somebody of the referral.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "child" | "children" => Some(Naming::Child),
            "residents" | "withhold_from" | "given_by" | "covers" | "persons"
            | "alleged_sources" | "witnesses" | "mother" | "father" | "said_by" | "adult"
            | "carer" | "person" => Some(Naming::Person),
            _ => None,
        }
    }
}

type Ids<'d> = Vec<(&'d str, Naming)>;

/// Every broken reference of a document that fits the schema, in the order of the document.
pub(super) fn violations(document: Json<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    // Sorted; the schema allows a few hundred at most.
    let mut ids: Ids<'_> = Vec::new();
    for (list, kind) in [
        ("children", Naming::Child),
        ("people", Naming::Person),
        ("addresses", Naming::Thing),
        ("attachments", Naming::Thing),
    ] {
        for (at, entry) in document.at(list).items().enumerate() {
            let Some(id) = entry.at("id").as_str() else { continue };
            // The first one keeps the id, so that one slip is told once.
            match ids.binary_search_by_key(&id, |entry| entry.0) {
                Err(free) => ids.insert(free, (id, kind)),
                Ok(_) => found.push(Violation::at(DUPLICATE_ID, format!("/{list}/{at}/id"))),
            }
        }
    }
    for (place, name, value) in document.all() {
        let Some(wanted) = Naming::of(name) else { continue };
        if let Some(rule) = broken(&ids, value, wanted) {
            found.push(Violation::at(rule, document.pointer_to(place)));
        }
        for (at, item) in value.items().enumerate() {
            if let Some(rule) = broken(&ids, item, wanted) {
                found.push(Violation::at(rule, format!("{}/{at}", document.pointer_to(place))));
            }
        }
    }
    for (at, edge) in document.at("relationships").items().enumerate() {
        for (end, wanted) in [("from", Naming::Person), ("to", Naming::Child)] {
            if let Some(rule) = broken(&ids, edge.at(end), wanted) {
                found.push(Violation::at(rule, format!("/relationships/{at}/{end}")));
            }
        }
        if edge.at("from").as_str().is_some() && edge.at("from") == edge.at("to") {
            found.push(Violation::at(RELATED_TO_SELF, format!("/relationships/{at}")));
        }
    }
    found
}

/// Which rule a value breaks that should be the id of something `wanted`; none if it is no text.
fn broken(ids: &Ids<'_>, value: Json<'_>, wanted: Naming) -> Option<Rule> {
    let id = value.as_str()?;
    let found = ids.binary_search_by_key(&id, |entry| entry.0).ok().and_then(|at| ids.get(at));
    match (found.map(|(_, naming)| naming), wanted) {
        (Some(Naming::Child), _) | (Some(Naming::Person), Naming::Person | Naming::Thing) => None,
        (Some(Naming::Person | Naming::Thing), Naming::Child) => Some(NOT_A_CHILD),
        (Some(Naming::Thing) | None, _) => Some(UNKNOWN_REFERENCE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Tree;
    use crate::protocol::schema::resources;
    use serde_json::{Value, json};

    #[test]
    fn every_member_that_names_somebody_is_followed() {
        fn walk(schema: &Value, file: &str) {
            if let Some(properties) = schema["properties"].as_object() {
                for (name, member) in properties {
                    let points = [&member["$ref"], &member["items"]["$ref"]]
                        .iter()
                        .any(|r| **r == json!("local_id.json"))
                        || member["pattern"] == json!("^[a-z][a-z0-9_-]{0,39}$");
                    let followed =
                        Naming::of(name).is_some() || file.ends_with("/relationship.json");
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
        let found: Vec<(&str, String)> = violations(Tree::from(&document).root())
            .into_iter()
            .map(|v| (v.rule.id, v.pointer))
            .collect();
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
