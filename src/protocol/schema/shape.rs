//! Reads the schema as a description: what a field is called, means, and which list it takes.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::codes::{CodeList, list_of_system};
use super::resources::{REFERRAL_V1_ID, Resource, resources};
use crate::protocol::json::position_of;

struct Parsed {
    resource: &'static Resource,
    schema: Value,
    /// Pointer of an object with `properties` -> their names in the order of the file.
    order: HashMap<String, Vec<String>>,
}

static PARSED: LazyLock<Vec<Parsed>> = LazyLock::new(|| {
    resources()
        .iter()
        .filter_map(|resource| {
            let schema: Value = serde_json::from_slice(resource.bytes).ok()?;
            let mut order = HashMap::new();
            collect_order(&schema, String::new(), resource.bytes, &mut order);
            Some(Parsed { resource, schema, order })
        })
        .collect()
});

fn collect_order(
    schema: &Value,
    here: String,
    bytes: &[u8],
    order: &mut HashMap<String, Vec<String>>,
) {
    let Some(keywords) = schema.as_object() else { return };
    if let Some(Value::Object(properties)) = keywords.get("properties") {
        let mut names: Vec<String> = properties.keys().cloned().collect();
        names.sort_by_cached_key(|name| position_of(bytes, &format!("{here}/properties/{name}")));
        order.insert(here.clone(), names);
    }
    for (name, value) in keywords {
        collect_order(value, format!("{here}/{name}"), bytes, order);
    }
}

/// One place in the schemas.
#[derive(Clone)]
pub struct Shape {
    parsed: &'static Parsed,
    pointer: String,
    schema: &'static Value,
}

impl Shape {
    /// The referral as a whole.
    pub fn referral_v1() -> Option<Self> {
        Self::file(REFERRAL_V1_ID.strip_prefix("https://ecaf.example/")?)
    }

    /// The document of an event, by the event's name; `None` for events without one.
    pub fn event(name: &str) -> Option<Self> {
        Self::file(&format!("schemas/event/1.0/{name}.json"))
    }

    fn file(path: &str) -> Option<Self> {
        let parsed = PARSED.iter().find(|parsed| parsed.resource.path == path)?;
        Some(Self { parsed, pointer: String::new(), schema: &parsed.schema })
    }

    /// The file it stands in (`schemas/referral/1.0/child.json`).
    pub fn path(&self) -> &'static str {
        self.parsed.resource.path
    }

    /// An annotation or keyword as text.
    pub fn text(&self, keyword: &str) -> Option<&'static str> {
        self.schema.get(keyword)?.as_str()
    }

    /// A keyword's value.
    pub fn keyword(&self, keyword: &str) -> Option<&'static Value> {
        self.schema.get(keyword)
    }

    /// What it is called.
    pub fn title(&self) -> &'static str {
        self.text("title").unwrap_or_default()
    }

    /// The schema that it refers to.
    pub fn target(&self) -> Option<Self> {
        let mut folder: Vec<&str> = self.parsed.resource.path.split('/').collect();
        folder.pop();
        for part in self.text("$ref")?.split('/') {
            if part == ".." {
                folder.pop();
            } else {
                folder.push(part);
            }
        }
        Self::file(&folder.join("/"))
    }

    /// The code list that it takes its values from.
    pub fn code_list(&self) -> Option<&'static str> {
        let target = self.target()?;
        target.path().strip_prefix("schemas/codes/")?.strip_suffix(".json")
    }

    /// The open list that its codes travel with.
    pub fn open_list(&self) -> Option<&'static CodeList> {
        let system = self.keyword("properties")?.get("code_system")?.get("const")?.as_str()?;
        list_of_system(system)
    }

    /// A declared member, here, in the schema referred to, or in its "value or unknown" branches.
    pub fn member(&self, name: &str) -> Option<Self> {
        let target = self.target();
        // `known.json` says only `unknown`; what stands beside the reference says the value.
        let own = self.below(&["properties", name]).filter(|own| !own.title().is_empty());
        own.or_else(|| target.as_ref()?.member(name))
            .or_else(|| self.below(&["else"])?.member(name))
            .or_else(|| self.below(&["then"])?.member(name))
    }

    /// What the entries of a list are.
    pub fn item(&self) -> Option<Self> {
        self.below(&["items"]).or_else(|| self.target()?.item())
    }

    /// The names of the members declared here or in the schema referred to, as ordered in the file.
    pub fn members(&self) -> Vec<&'static str> {
        let Some(names) = self.parsed.order.get(&self.pointer) else {
            let next = self.target().or_else(|| self.below(&["else"]));
            return next.map(|shape| shape.members()).unwrap_or_default();
        };
        let names: Vec<&'static str> = names.iter().map(String::as_str).collect();
        match self.target() {
            // A reference with conditions beside it: the members are those of the reference.
            Some(target) if names.iter().all(|name| self.member_is_bare(name)) => target.members(),
            _ => names,
        }
    }

    fn member_is_bare(&self, name: &str) -> bool {
        self.below(&["properties", name]).is_some_and(|member| member.title().is_empty())
    }

    fn below(&self, steps: &[&str]) -> Option<Self> {
        let mut shape = self.clone();
        for step in steps {
            shape.schema = shape.schema.get(step)?;
            shape.pointer.push('/');
            shape.pointer.push_str(step);
        }
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &[&str]) -> Shape {
        path.iter().fold(Shape::referral_v1().unwrap(), |shape, step| match *step {
            "[]" => shape.item().unwrap(),
            name => shape.member(name).unwrap_or_else(|| panic!("{path:?}: {name}")),
        })
    }

    #[test]
    fn fields_are_found_through_references_and_unknowns() {
        assert_eq!(at(&["urgency"]).code_list(), Some("urgency"));
        assert_eq!(at(&["children", "[]", "role"]).code_list(), Some("child_role"));
        assert_eq!(at(&["concerns", "[]", "narrative", "basis"]).code_list(), Some("text_basis"));
        assert_eq!(at(&["voice", "[]", "words", "text"]).path(), "schemas/referral/1.0/text.json");
        assert_eq!(at(&["known_plans", "[]", "kind"]).code_list(), Some("known_plan_kind"));
        assert_eq!(at(&["voice", "[]", "words", "unknown"]).code_list(), Some("unknown_reason"));
    }

    #[test]
    fn members_come_in_the_order_of_the_file() {
        let top = Shape::referral_v1().unwrap().members();
        assert_eq!(&top[..2], ["schema", "referral_id"]);
        assert_eq!(
            at(&["concerns", "[]", "abuse"]).members(),
            ["codes", "code_system", "code_version"]
        );
    }
}
