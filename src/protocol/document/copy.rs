//! A draft of a copy of a referral for one member of the family, named.
//!
//! An allow-list: what is not named here is not in it. The same sentence stands on every copy, so that
//! nobody can tell from it whether something was left out; what was left out is listed apart, for the
//! school's own record. Once any address is withheld from that person, everything that reveals a place
//! goes, and with it all free text, in which a place may stand. A data-protection officer decides
//! whether it is given.

use serde_json::Value;

use super::words::{Words, moment};
use super::{Block, Readable, Section, label};
use crate::domain::refusal::{Rule, Violation};

/// The local id names nobody in this referral but a child, or nobody at all.
pub const NO_SUCH_PERSON: Rule = Rule {
    id: "copy.no-such-person",
    title: "A copy is made for one person of the referral, by local id",
    action: "Give the id of an entry under people, such as p1.",
};
/// Parents were not informed.
pub const NOT_INFORMED: Rule = Rule {
    id: "copy.parents-not-informed",
    title: "The parents do not know of this referral, so there is no copy for the family",
    action: "Ask the authority and your data-protection officer before anybody in the family learns of it.",
};
/// The person is said to have done harm, or is excluded.
pub const NOT_FOR_THIS_PERSON: Rule = Rule {
    id: "copy.not-for-this-person",
    title: "This person is said to be a source of harm, or is to be kept from this referral",
    action: "Leave a request of this person to your data-protection officer.",
};
/// An allegation about staff.
pub const NOT_OF_THIS_KIND: Rule = Rule {
    id: "copy.not-of-this-kind",
    title: "There is no copy for a family of an allegation about a member of staff",
    action: "Leave it to the designated officer (LADO).",
};

/// The same on every copy.
pub const SENTENCE: &str = "Every copy like this one gives a part of what was written. It does not say \
    whether anything stands elsewhere. The school can be asked about it.";

/// A copy, and what it does not hold.
pub struct Copy {
    /// What the person would read.
    pub page: Readable,
    /// What was left out and why, for the school's internal record alone: pointers and reasons.
    pub left_out: Vec<(String, &'static str)>,
}

/// Makes a copy of `document` for the person with the local id `person`.
pub fn family_copy(document: &Value, person: &str) -> Result<Copy, Violation> {
    may_have_one(document, person)?;
    let words = Words::new(document);
    let maker =
        Maker { document, person, words: &words, place_withheld: place_withheld(document, person) };
    Ok(maker.make())
}

fn may_have_one(document: &Value, person: &str) -> Result<(), Violation> {
    let refuse = |rule| Err(Violation::whole(rule));
    if document["request_type"] == "lado" {
        return refuse(NOT_OF_THIS_KIND);
    }
    let named = |list: &str| items(document, list).any(|entry| entry["id"] == person);
    if !named("people") || named("children") {
        return refuse(NO_SUCH_PERSON);
    }
    // Before anything that depends on parents at large: the answer about this person is the stronger.
    let harms = items(document, "relationships")
        .any(|edge| edge["from"] == person && edge["alleged_source_of_harm"] == true);
    let accused = items(document, "concerns").any(|c| names(&c["alleged_sources"], person));
    let excluded = items(document, "exclude_persons").any(|entry| entry["person"] == person);
    if harms || accused || excluded {
        return refuse(NOT_FOR_THIS_PERSON);
    }
    if document["parents_informed"]["answer"] != true {
        return refuse(NOT_INFORMED);
    }
    Ok(())
}

/// Whether any address must not become known through a copy for this person.
fn place_withheld(document: &Value, person: &str) -> bool {
    items(document, "addresses").any(|address| {
        address["withhold_from_everyone"] == true || names(&address["withhold_from"], person)
    })
}

fn items<'d>(document: &'d Value, list: &str) -> impl Iterator<Item = &'d Value> {
    document[list].as_array().into_iter().flatten()
}

fn names(ids: &Value, id: &str) -> bool {
    ids.as_array().into_iter().flatten().any(|item| item == id)
}

struct Maker<'d> {
    document: &'d Value,
    person: &'d str,
    words: &'d Words<'d>,
    place_withheld: bool,
}

/// Members that hold nothing to read.
const BARE: [&str; 9] = [
    "schema",
    "referral_id",
    "version",
    "previous_sha256",
    "group_id",
    "salt",
    "composed_at",
    "completeness",
    "urgency",
];

impl Maker<'_> {
    fn make(&self) -> Copy {
        let d = self.document;
        let (mut sections, mut left_out) = (Vec::new(), Vec::new());
        let mut fields = vec![
            ("For".to_owned(), self.words.who(self.person)),
            ("Children".to_owned(), self.children(&mut left_out)),
            ("Asked for".to_owned(), code("request_type", &d["request_type"])),
            ("Written".to_owned(), moment(d["composed_at"].as_str().unwrap_or_default())),
        ];
        if self.place_withheld {
            left_out.push(("/referrer".into(), "reveals a place"));
        } else {
            let school = d["referrer"]["school"]["name"].as_str().unwrap_or_default();
            fields.push(("School".to_owned(), school.to_owned()));
        }
        sections.push(Section { heading: "In short".into(), blocks: vec![Block::Fields(fields)] });
        let mut quotes = Vec::new();
        for (at, concern) in items(d, "concerns").enumerate() {
            let pointer = format!("/concerns/{at}/narrative");
            match self.may_read(&concern["narrative"], &concern["children"]) {
                Ok(text) => quotes.push(self.quote(text, &concern["narrative"])),
                Err(why) => left_out.push((pointer, why)),
            }
        }
        add(&mut sections, "What the school wrote", quotes);
        for (name, heading) in
            [("working_well", "What is going well"), ("what_needs_to_change", "What should change")]
        {
            let Some(text) = d.get(name) else { continue };
            match self.may_read(text, &Value::Null) {
                Ok(read) => add(&mut sections, heading, vec![self.quote(read, text)]),
                Err(why) => left_out.push((format!("/{name}"), why)),
            }
        }
        let told = [
            "concerns",
            "working_well",
            "what_needs_to_change",
            "children",
            "request_type",
            "referrer",
        ];
        let rest = d.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let rest = rest.filter(|name| !told.contains(name) && !BARE.contains(name));
        left_out.extend(rest.map(|name| (format!("/{name}"), "not part of a copy")));
        let page = Readable {
            title: "Draft of a copy of what the school wrote".into(),
            provenance: format!(
                "{SENTENCE} Draft: a data-protection officer decides whether it is given."
            ),
            warnings: Vec::new(),
            sections,
        };
        Copy { page, left_out }
    }

    /// The children that the person is parent or carer of; of the others not even that they are there.
    fn children(&self, left_out: &mut Vec<(String, &'static str)>) -> String {
        let mut theirs = Vec::new();
        for (at, child) in items(self.document, "children").enumerate() {
            match self.is_theirs(&child["id"]) {
                true => theirs.push(self.words.name(&child["name"])),
                false => left_out.push((format!("/children/{at}"), "not a child of this person")),
            }
        }
        theirs.join("\n")
    }

    fn is_theirs(&self, child: &Value) -> bool {
        items(self.document, "relationships").any(|edge| {
            edge["from"] == self.person
                && edge["to"] == *child
                && (edge["parental_responsibility"] == true || edge["main_carer"] == true)
        })
    }

    /// A text that is the school's own and about this person's children alone, or why it is left out.
    fn may_read<'t>(&self, text: &'t Value, about: &Value) -> Result<&'t str, &'static str> {
        if self.place_withheld {
            return Err("may reveal a place");
        }
        let all = items(self.document, "children").map(|child| &child["id"]);
        let theirs = match about.as_array() {
            Some(ids) => ids.iter().all(|id| self.is_theirs(id)),
            None => all.into_iter().all(|id| self.is_theirs(id)),
        };
        if !theirs {
            return Err("about another child too");
        }
        if text["source_anonymous"] == true {
            return Err("its source wishes to stay anonymous");
        }
        match (text["basis"].as_str(), text["text"].as_str()) {
            (Some("direct_observation" | "professional_opinion"), Some(text)) => Ok(text),
            (Some("child_said"), _) => Err("a child's own words"),
            (_, None) => Err("unknown to the school"),
            _ => Err("somebody else's words, or it does not say whose"),
        }
    }

    /// Not whoever told it: the school alone stands behind it.
    fn quote(&self, text: &str, of: &Value) -> Block {
        Block::Quote { by: code("text_basis", &of["basis"]), text: text.to_owned() }
    }
}

fn code(list: &str, code: &Value) -> String {
    let code = code.as_str().unwrap_or_default();
    label(list, code).unwrap_or(code).to_owned()
}

fn add(sections: &mut Vec<Section>, heading: &str, blocks: Vec<Block>) {
    if !blocks.is_empty() {
        sections.push(Section { heading: heading.to_owned(), blocks });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn example(name: &str) -> Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/examples");
        serde_json::from_slice(&std::fs::read(path.join(format!("{name}.json"))).unwrap()).unwrap()
    }

    fn rule(document: &Value, person: &str) -> Option<&'static str> {
        family_copy(document, person).err().map(|violation| violation.rule.id)
    }

    /// Every text of a document, however deep.
    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(members) => members.values().for_each(|value| texts(value, found)),
            _ => {}
        }
    }

    #[test]
    fn a6_nothing_that_reveals_a_refuge_is_on_the_copy() {
        let document = example("a06-refuge-address");
        assert_eq!(rule(&document, "p2"), Some("copy.not-for-this-person"));
        let copy = family_copy(&document, "p1").unwrap();
        for shown in [copy.page.to_text(), copy.page.to_html()] {
            let secrets = [
                "E13",
                "Refuge",
                "refuge",
                "nursery",
                "Nursery",
                "Brannock",
                "Newham",
                "020 7946",
                "316",
                "Plaistow",
                "interpreter",
                "Walid",
                "b622790b",
            ];
            for secret in secrets {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
            assert!(shown.contains("Amira Haddad") && shown.contains("Samar Haddad"), "{shown}");
            assert!(shown.contains("Every copy like this one"), "{shown}");
        }
        assert!(
            copy.left_out.iter().any(|(at, why)| at == "/referrer" && *why == "reveals a place")
        );
        assert!(copy.left_out.iter().any(|(at, _)| at == "/addresses"));
    }

    #[test]
    fn a7_a_family_that_must_not_know_gets_nothing() {
        let document = example("a07-parent-must-not-know");
        let people: Vec<&str> =
            items(&document, "people").filter_map(|p| p["id"].as_str()).collect();
        assert!(!people.is_empty());
        for person in people {
            let rule = rule(&document, person).unwrap();
            assert!(["copy.parents-not-informed", "copy.not-for-this-person"].contains(&rule));
        }
    }

    /// Whatever the document, a copy for somebody holds nothing of another child and nothing that
    /// others said, and the sentence is the same one.
    #[test]
    fn a_copy_holds_the_schools_own_words_about_ones_own_children() {
        let mut document = example("a02-address-on-file-is-old");
        let before = family_copy(&document, "p1").unwrap();
        assert!(before.page.to_text().contains("What the school wrote"));
        let other = json!({"id": "c9", "role": "at_risk", "name": {"given": "Quentin", "family": "Zebedee"},
            "birth": {"date": "2015-01-01"}, "sex": "M"});
        document["children"].as_array_mut().unwrap().push(other);
        document["concerns"].as_array_mut().unwrap().push(json!({
            "children": ["c9"], "narrative": {"text": "Zebedee alone.", "basis": "direct_observation"}}));
        document["concerns"].as_array_mut().unwrap().push(json!({
            "children": ["c1"], "narrative": {"text": "A neighbour rang.", "basis": "third_party"}}));
        let copy = family_copy(&document, "p1").unwrap();
        let shown = copy.page.to_text();
        assert!(!shown.contains("Zebedee") && !shown.contains("neighbour"), "{shown}");
        assert_eq!(before.page.provenance, copy.page.provenance);
        assert_eq!(rule(&document, "c1"), Some("copy.no-such-person"));
        assert_eq!(rule(&document, "p77"), Some("copy.no-such-person"));
        // Whether an address is withheld or not, the words around what is shown are the same.
        document["addresses"][0]["withhold_from"] = json!(["p1"]);
        let copy = family_copy(&document, "p1").unwrap();
        assert_eq!(copy.page.provenance, before.page.provenance);
        let mut all = Vec::new();
        texts(&document["addresses"], &mut all);
        texts(&document["concerns"], &mut all);
        let shown = copy.page.to_text();
        assert!(
            all.iter().filter(|text| text.len() > 3).all(|text| !shown.contains(text.as_str()))
        );
    }

    #[test]
    fn there_is_no_copy_of_an_allegation_about_staff() {
        assert_eq!(
            rule(&example("a15a-allegation-about-a-teacher"), "p1"),
            Some("copy.not-of-this-kind")
        );
    }
}
