//! Whether a referral fits the schema, in one walk: the answer for the many that do.
//!
//! Made from the same files as the library's validator, for exactly the keywords that they use: a
//! keyword that is not known here does not compile. "Yes" is the library's yes, which the tests hold
//! it to; after a "no" the library is asked, and its word counts. A text whose form is not plain (an
//! unusual date, a pattern with alternatives) is put to the library too, by itself.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::resources::Resource;
use super::table::Table;
use super::texts::Form;
use crate::protocol::json::{Json, Kind, Mark};

/// The compiled schema: rules that name each other by their places.
pub(super) struct Quick {
    rules: Vec<Rules>,
    root: Place,
}

type Place = u32;

/// What one schema object says. A part is missing where it says nothing; a walk touches hundreds of
/// these, so that they are kept small.
#[derive(Default)]
struct Rules {
    kinds: Kinds,
    text: Option<Box<TextRules>>,
    number: Option<Box<NumberRules>>,
    list: Option<Box<ListRules>>,
    object: Option<Box<ObjectRules>>,
    one_of: Option<Box<Constants>>,
    more: Option<Box<More>>,
}

/// The kinds of value that are allowed.
#[derive(Clone, Copy)]
struct Kinds(u8);

#[derive(Default)]
struct TextRules {
    longest: Option<usize>,
    forms: Vec<Arc<Form>>,
}

#[derive(Default)]
struct NumberRules {
    least: Option<i64>,
    most: Option<i64>,
}

#[derive(Default)]
struct ListRules {
    items: Option<Place>,
    least: usize,
    most: Option<usize>,
    unique: bool,
}

struct ObjectRules {
    members: Table<Member>,
    required: usize,
    closed: bool,
    least: usize,
    most: Option<usize>,
    /// So few that each is looked for in the object, and not each of the object's in the table.
    few: bool,
}

struct Member {
    rules: Option<Place>,
    required: bool,
}

/// Texts, and which of false and true.
struct Constants {
    texts: Table<()>,
    bools: [bool; 2],
}

/// What the same value must fit besides.
#[derive(Default)]
struct More {
    all_of: Vec<Place>,
    not: Option<Place>,
    condition: Option<Condition>,
}

#[derive(Clone, Copy)]
struct Condition {
    condition: Place,
    then: Option<Place>,
    otherwise: Option<Place>,
}

/// More entries than this are not compared each with each.
const FEW: usize = 64;
/// More members than this are not each looked for.
const FEW_MEMBERS: usize = 8;

impl Quick {
    /// Compiles the schema with the id `root`. The library's validator for one keyword is made by
    /// `library`. Fails on whatever it does not know.
    pub fn compile(
        resources: &[Resource],
        root: &str,
        library: &dyn Fn(&Value) -> Result<Validator, String>,
    ) -> Result<Self, String> {
        let mut schemas = HashMap::new();
        for resource in resources {
            let value: Value = serde_json::from_slice(resource.bytes).map_err(|e| e.to_string())?;
            schemas.insert(resource.id, value);
        }
        let (files, forms) = (HashMap::new(), HashMap::new());
        let mut compiler = Compiler { schemas, library, files, forms, rules: Vec::new() };
        let root = compiler.file(root)?;
        Ok(Self { rules: compiler.rules, root })
    }

    /// Whether the document certainly fits.
    pub fn fits(&self, document: Json<'_>) -> bool {
        self.holds(self.root, document)
    }

    fn holds(&self, at: Place, value: Json<'_>) -> bool {
        let Some(rules) = self.rules.get(at as usize) else { return false };
        let kind = value.kind();
        rules.kinds.allow(kind)
            && match kind {
                Kind::Text => rules.text.as_ref().is_none_or(|text| text.hold(value)),
                Kind::Number => rules.number.as_ref().is_none_or(|number| number.hold(value)),
                Kind::List => rules.list.as_ref().is_none_or(|list| self.list(list, value)),
                Kind::Object => rules.object.as_ref().is_none_or(|rules| self.object(rules, value)),
                Kind::Bool | Kind::Null => true,
            }
            && rules.one_of.as_ref().is_none_or(|constants| constants.have(value))
            && rules.more.as_ref().is_none_or(|more| self.more(more, value))
    }

    fn more(&self, more: &More, value: Json<'_>) -> bool {
        more.all_of.iter().all(|at| self.holds(*at, value))
            && more.not.is_none_or(|at| !self.holds(at, value))
            && more.condition.is_none_or(|c| {
                let branch = if self.holds(c.condition, value) { c.then } else { c.otherwise };
                branch.is_none_or(|at| self.holds(at, value))
            })
    }

    fn list(&self, rules: &ListRules, list: Json<'_>) -> bool {
        let mut count = 0;
        for item in list.items() {
            count += 1;
            if rules.items.is_some_and(|at| !self.holds(at, item)) {
                return false;
            }
        }
        count >= rules.least
            && rules.most.is_none_or(|most| count <= most)
            && !(rules.unique && has_twice(list, count))
    }

    fn object(&self, rules: &ObjectRules, object: Json<'_>) -> bool {
        if rules.few {
            return rules.members.entries().iter().all(|entry| {
                match object.find(entry.mark, &entry.name) {
                    Some(value) => entry.about.rules.is_none_or(|at| self.holds(at, value)),
                    None => !entry.about.required,
                }
            });
        }
        let (mut count, mut required) = (0, 0);
        for (name, value) in object.members() {
            count += 1;
            let Some(member) = rules.members.find(value.mark(), name) else {
                if rules.closed {
                    return false;
                }
                continue;
            };
            if rules.closed && member.rules.is_none() {
                return false;
            }
            required += usize::from(member.required);
            if member.rules.is_some_and(|at| !self.holds(at, value)) {
                return false;
            }
        }
        required == rules.required
            && count >= rules.least
            && rules.most.is_none_or(|most| count <= most)
    }
}

/// Whether a list certainly has no entry twice is answered with no for long ones too.
fn has_twice(list: Json<'_>, count: usize) -> bool {
    let mut rest = list.items();
    count > FEW
        || std::iter::from_fn(|| rest.next().map(|one| (one, rest.clone())))
            .any(|(one, mut others)| others.any(|other| other == one))
}

impl TextRules {
    fn hold(&self, value: Json<'_>) -> bool {
        let text = value.as_str().unwrap_or_default();
        let fits = |most| text.len() <= most || text.chars().count() <= most;
        self.longest.is_none_or(fits) && self.forms.iter().all(|form| form.holds(text))
    }
}

impl NumberRules {
    fn hold(&self, value: Json<'_>) -> bool {
        let number = value.as_i64().unwrap_or_default();
        self.least.is_none_or(|least| number >= least)
            && self.most.is_none_or(|most| number <= most)
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self(u8::MAX)
    }
}

impl Kinds {
    fn of(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }

    fn allow(self, kind: Kind) -> bool {
        self.0 & Self::of(kind).0 != 0
    }
}

impl Constants {
    fn new<'v>(values: impl IntoIterator<Item = &'v Value>) -> Result<Self, String> {
        let (mut texts, mut bools) = (Vec::new(), [false; 2]);
        for value in values {
            match value {
                Value::String(text) => texts.push((text.clone(), ())),
                Value::Bool(value) => bools[usize::from(*value)] = true,
                _ => return Err("a constant that is neither text nor true or false".into()),
            }
        }
        Ok(Self { texts: Table::new(texts)?, bools })
    }

    fn have(&self, value: Json<'_>) -> bool {
        match value.as_str() {
            Some(text) => self.texts.find(Mark::of(text), text).is_some(),
            None => value.as_bool().is_some_and(|value| self.bools[usize::from(value)]),
        }
    }
}

struct Compiler<'c> {
    schemas: HashMap<&'static str, Value>,
    library: &'c dyn Fn(&Value) -> Result<Validator, String>,
    files: HashMap<String, Place>,
    forms: HashMap<(String, String), Arc<Form>>,
    rules: Vec<Rules>,
}

/// Whether a keyword only describes.
fn describes(keyword: &str) -> bool {
    ["$schema", "$id", "title", "description"].contains(&keyword) || keyword.starts_with("x-")
}

impl Compiler<'_> {
    /// The rules of a whole file, which may refer to itself.
    fn file(&mut self, id: &str) -> Result<Place, String> {
        if let Some(at) = self.files.get(id) {
            return Ok(*at);
        }
        let schema = self.schemas.get(id).cloned().ok_or_else(|| format!("no schema {id}"))?;
        let at = self.place()?;
        self.files.insert(id.to_owned(), at);
        self.fill(at, &schema, id)?;
        Ok(at)
    }

    fn place(&mut self) -> Result<Place, String> {
        self.rules.push(Rules::default());
        Place::try_from(self.rules.len() - 1).map_err(|e| e.to_string())
    }

    fn fill(&mut self, at: Place, schema: &Value, base: &str) -> Result<(), String> {
        self.rules[at as usize] = self.schema(schema, base)?;
        Ok(())
    }

    fn inner(&mut self, schema: &Value, base: &str) -> Result<Place, String> {
        let says = |schema: &Map<String, Value>| schema.keys().filter(|k| !describes(k)).count();
        if let (Some(file), Some(1)) = (schema.get("$ref"), schema.as_object().map(says)) {
            return self.file(&absolute(base, file)?);
        }
        let at = self.place()?;
        self.fill(at, schema, base)?;
        Ok(at)
    }

    fn schema(&mut self, schema: &Value, base: &str) -> Result<Rules, String> {
        let keywords = schema.as_object().ok_or("a schema that is no object")?;
        let (mut rules, mut object) = (Rules::default(), false);
        for (keyword, value) in keywords {
            match keyword.as_str() {
                "type" => rules.kinds = kinds(value)?,
                "$ref" => {
                    let file = self.file(&absolute(base, value)?)?;
                    rules.more.get_or_insert_default().all_of.push(file);
                }
                "const" => rules.one_of = Some(Box::new(Constants::new([value])?)),
                "enum" => {
                    let all = value.as_array().ok_or("enum")?;
                    rules.one_of = Some(Box::new(Constants::new(all)?));
                }
                "maxLength" => rules.text.get_or_insert_default().longest = Some(size(value)?),
                "pattern" | "format" => {
                    let form = self.form(keyword, value)?;
                    rules.text.get_or_insert_default().forms.push(form);
                }
                "minimum" => {
                    rules.number.get_or_insert_default().least =
                        Some(value.as_i64().ok_or("minimum")?)
                }
                "maximum" => {
                    rules.number.get_or_insert_default().most =
                        Some(value.as_i64().ok_or("maximum")?)
                }
                "items" => {
                    rules.list.get_or_insert_default().items = Some(self.inner(value, base)?)
                }
                "minItems" => rules.list.get_or_insert_default().least = size(value)?,
                "maxItems" => rules.list.get_or_insert_default().most = Some(size(value)?),
                "uniqueItems" => {
                    rules.list.get_or_insert_default().unique =
                        value.as_bool().ok_or("uniqueItems")?
                }
                "properties"
                | "required"
                | "additionalProperties"
                | "minProperties"
                | "maxProperties" => object = true,
                "allOf" => {
                    for one in value.as_array().ok_or("allOf")? {
                        let at = self.inner(one, base)?;
                        rules.more.get_or_insert_default().all_of.push(at);
                    }
                }
                "not" => rules.more.get_or_insert_default().not = Some(self.inner(value, base)?),
                "if" => {
                    rules.more.get_or_insert_default().condition =
                        Some(self.condition(keywords, value, base)?)
                }
                // Read with "if"; without one they say nothing.
                "then" | "else" => {}
                known if describes(known) => {}
                other => return Err(format!("keyword {other}")),
            }
        }
        if object {
            rules.object = Some(Box::new(self.object(keywords, base)?));
        }
        Ok(rules)
    }

    /// The form that a keyword asks for, made once.
    fn form(&mut self, keyword: &str, value: &Value) -> Result<Arc<Form>, String> {
        let text = value.as_str().ok_or("a form that is no text")?;
        let key = (keyword.to_owned(), text.to_owned());
        if let Some(form) = self.forms.get(&key) {
            return Ok(Arc::clone(form));
        }
        let alone = Map::from_iter([(keyword.to_owned(), value.clone())]);
        let library = (self.library)(&Value::Object(alone))?;
        let form = Arc::new(Form::new(keyword, text, library));
        self.forms.insert(key, Arc::clone(&form));
        Ok(form)
    }

    fn condition(
        &mut self,
        keywords: &Map<String, Value>,
        condition: &Value,
        base: &str,
    ) -> Result<Condition, String> {
        let condition = self.inner(condition, base)?;
        let mut branch =
            |name: &str| keywords.get(name).map(|schema| self.inner(schema, base)).transpose();
        Ok(Condition { condition, then: branch("then")?, otherwise: branch("else")? })
    }

    fn object(&mut self, keywords: &Map<String, Value>, base: &str) -> Result<ObjectRules, String> {
        let mut members = Vec::new();
        if let Some(properties) = keywords.get("properties") {
            for (name, schema) in properties.as_object().ok_or("properties")? {
                let rules = Some(self.inner(schema, base)?);
                members.push((name.clone(), Member { rules, required: false }));
            }
        }
        let mut required = 0;
        if let Some(names) = keywords.get("required") {
            for name in names.as_array().ok_or("required")? {
                let name = name.as_str().ok_or("required")?;
                required += 1;
                match members.iter_mut().find(|(member, _)| member == name) {
                    Some((_, member)) => member.required = true,
                    None => members.push((name.into(), Member { rules: None, required: true })),
                }
            }
        }
        let closed = match keywords.get("additionalProperties") {
            None | Some(Value::Bool(true)) => false,
            Some(Value::Bool(false)) => true,
            Some(_) => return Err("additionalProperties".into()),
        };
        let limit = |name: &str| keywords.get(name).map(size).transpose();
        let (least, most) = (limit("minProperties")?.unwrap_or(0), limit("maxProperties")?);
        let few = members.len() <= FEW_MEMBERS && !closed && least == 0 && most.is_none();
        Ok(ObjectRules { members: Table::new(members)?, required, closed, least, most, few })
    }
}

fn kinds(value: &Value) -> Result<Kinds, String> {
    let one = |value: &Value| {
        Ok::<_, String>(Kinds::of(match value.as_str() {
            Some("null") => Kind::Null,
            Some("boolean") => Kind::Bool,
            // Other numbers than whole ones are refused when a document is read.
            Some("integer" | "number") => Kind::Number,
            Some("string") => Kind::Text,
            Some("array") => Kind::List,
            Some("object") => Kind::Object,
            _ => return Err("type".into()),
        }))
    };
    match value {
        Value::Array(all) => all.iter().try_fold(Kinds(0), |k, v| Ok(Kinds(k.0 | one(v)?.0))),
        value => one(value),
    }
}

fn size(value: &Value) -> Result<usize, String> {
    let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| "a limit that is no number".into())
}

/// The id of the file that a reference in the file `base` names.
fn absolute(base: &str, reference: &Value) -> Result<String, String> {
    let mut path: Vec<&str> = base.split('/').collect();
    path.pop();
    for part in reference.as_str().ok_or("$ref")?.split('/') {
        match part {
            ".." => drop(path.pop()),
            part if part.contains(['#', ':']) => return Err("a reference into a file".into()),
            part => path.push(part),
        }
    }
    Ok(path.join("/"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Schema;
    use crate::protocol::json::Tree;

    use super::*;

    static EXAMPLES: LazyLock<Vec<Value>> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/examples");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let json = files.filter(|path| path.extension().is_some_and(|e| e == "json"));
        json.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
    });

    fn both(document: &Value) -> (bool, bool) {
        let schema = Schema::referral_v1();
        (schema.quick.fits(Tree::from(document).root()), schema.fits(document))
    }

    #[test]
    fn every_example_is_found_good_without_the_library() {
        for example in EXAMPLES.iter() {
            assert_eq!(both(example), (true, true), "{}", example["referral_id"]);
        }
    }

    /// Every place of a document, as pointers.
    fn places(value: &Value, here: String, out: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                places(value, format!("{here}/{name}"), out);
            }),
            Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| {
                places(value, format!("{here}/{at}"), out);
            }),
            _ => {}
        }
        out.push(here);
    }

    /// Values at the edge of some rule, or of the wrong kind.
    fn odd(pick: usize, old: &Value, name: &str, whole: &Value) -> Value {
        let text = |n: usize| "x".repeat(n);
        let odd = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(-1),
            json!(1),
            json!(2),
            json!(99_999),
            json!(i64::MAX),
            json!(""),
            json!(" "),
            json!("\u{a0}"),
            json!("\u{feff}"),
            json!("é"),
            json!("c1"),
            json!("C1"),
            json!("204"),
            json!("20 4"),
            json!("2026-02-29"),
            json!("2026-02-28"),
            json!("2026-13-01"),
            json!("2026-05"),
            json!("0000-01-01"),
            json!("2026-11-21T24:00:00Z"),
            json!("2026-11-21T14:20:00Z"),
            json!("2026-11-21t14:20:00z"),
            json!("2026-11-21T14:20:60Z"),
            json!("2026-11-21T14:20:00+25:00"),
            json!("https://"),
            json!("https://a b"),
            json!("urn:x"),
            json!("a@b"),
            json!("a@b."),
            json!("@"),
            json!("U0"),
            json!("U2"),
            json!("U3"),
            json!("lado"),
            json!("protection"),
            json!("child_in_need"),
            json!("family_help"),
            json!("private_fostering"),
            json!("standard"),
            json!("urgent_minimal"),
            json!("no"),
            json!("not_sought"),
            json!("unborn"),
            json!(text(39)),
            json!(text(40)),
            json!(text(41)),
            json!(text(500)),
            json!(text(501)),
            json!(text(10_000)),
            json!(text(10_001)),
            json!("é".repeat(500)),
            json!("é".repeat(501)),
            json!({}),
            json!([]),
            json!([1]),
            json!([[]]),
            json!({"unknown": "not_known"}),
            json!({"unknown": "not_asked_unsafe"}),
            json!({"unknown": 1}),
            json!({"text": "a"}),
            json!({"unknown": "not_known", "text": "a"}),
            json!({"answer": true}),
            json!({"answer": false}),
            Value::Array(vec![old.clone(); 2]),
            Value::Array(vec![old.clone(); 70]),
            Value::Array((0..70).map(|n| json!(format!("c{n}"))).collect()),
            json!({name: old}),
            json!(old.as_str().map(|text| format!("{text} "))),
            json!(old.as_str().map(str::to_uppercase)),
            whole["children"][0].clone(),
            whole["people"][0].clone(),
            whole["request"].clone(),
            whole["concerns"].clone(),
            // The other answers that the schema allows anywhere.
            json!("2025-26"),
            json!("https://ecaf.example/codes/dfe-cin/ethnicity"),
            json!("NONE"),
        ];
        odd[pick % odd.len()].clone()
    }

    /// One change at a place: a member less, one more, another value, an entry twice or gone.
    fn change(document: &mut Value, place: &str, how: u8, pick: usize) {
        let whole = document.clone();
        let name = place.rsplit('/').next().unwrap_or_default().to_owned();
        let (parent, _) = place.rsplit_once('/').unwrap_or_default();
        match (how % 5, document.pointer_mut(parent)) {
            (0, Some(Value::Object(members))) => drop(members.remove(&name)),
            (0, Some(Value::Array(items))) => {
                if let Ok(at) = name.parse::<usize>() {
                    items.remove(at);
                }
            }
            (1, Some(Value::Object(members))) => {
                members.insert(format!("{name}x"), json!(1));
            }
            (1, Some(Value::Array(items))) => {
                let again = items[pick % items.len()].clone();
                items.push(again);
            }
            // A member that stands elsewhere in the document.
            (2, Some(Value::Object(members))) => {
                let mut all = Vec::new();
                places(&whole, String::new(), &mut all);
                let from = &all[pick % all.len()];
                if let (Some(value), Some(name)) = (whole.pointer(from), from.rsplit('/').next()) {
                    members.insert(name.to_owned(), value.clone());
                }
            }
            _ => {
                if let Some(value) = document.pointer_mut(place) {
                    *value = odd(pick, value, &name, &whole);
                }
            }
        }
    }

    #[test]
    fn every_place_of_every_example_changed_in_every_way_is_judged_as_the_library_does() {
        let mut fitting = 0;
        for (number, example) in EXAMPLES.iter().enumerate() {
            let mut all = Vec::new();
            places(example, String::new(), &mut all);
            for (at, place) in all.iter().enumerate() {
                // One in each way would take a minute; neighbours are changed in the other ways.
                for how in [at % 5, (at + 2) % 5].map(|how| how as u8) {
                    let mut document = example.clone();
                    change(&mut document, place, how, at * 7 + number + usize::from(how));
                    let (ours, theirs) = both(&document);
                    assert_eq!(ours, theirs, "example {number} {place} {how}");
                    fitting += usize::from(theirs);
                }
            }
        }
        assert!(fitting > 500, "{fitting}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn changed_referrals_are_judged_as_the_library_does(
            example in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<usize>()), 1..4)
        ) {
            let mut document = EXAMPLES[example.index(EXAMPLES.len())].clone();
            for (at, how, pick) in changes {
                let mut all = Vec::new();
                places(&document, String::new(), &mut all);
                change(&mut document, &all[at.index(all.len())], how, pick);
            }
            let (ours, theirs) = both(&document);
            prop_assert_eq!(ours, theirs, "{:#}", document);
        }
    }

    #[test]
    fn a_keyword_that_is_not_known_does_not_compile() {
        let library = |_: &Value| Err(String::from("not asked"));
        for bytes in [
            &br#"{"anyOf": []}"#[..],
            br##"{"$ref": "#/x"}"##,
            br#"{"properties": {"a": {"minLength": 1}}}"#,
            br#"{"additionalProperties": {}}"#,
            br#"{"const": 1.5}"#,
            br#"{"items": true}"#,
        ] {
            let bytes: &'static [u8] = Box::leak(bytes.to_vec().into_boxed_slice());
            let resource = Resource { path: "a", id: "https://a/b", bytes };
            assert!(Quick::compile(&[resource], "https://a/b", &library).is_err(), "{bytes:?}");
        }
    }
}
