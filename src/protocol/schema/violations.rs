//! What the schema validator found, as rules in plain English that never show a value.

use std::collections::{HashMap, HashSet};

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::domain::refusal::{Rule, Violation};

/// No more than this many are listed, so that a hostile document cannot ask for a long answer.
pub const MAX_LISTED: usize = 100;

/// A violation, and the exact pointer for those who hold the document anyway and look for the line.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// What may be told to anyone.
    pub violation: Violation,
    /// JSON Pointer with member names as they stand in the document; never to be sent or logged.
    pub place: String,
}

impl Finding {
    /// Of a violation whose pointer has only names that the schema knows.
    pub fn plain(violation: Violation) -> Self {
        Self { place: violation.pointer.clone(), violation }
    }
}

macro_rules! rules {
    ($($name:ident $id:literal $title:literal $action:literal)*) => {
        $(#[doc = $title] pub const $name: Rule =
            Rule { id: concat!("schema.", $id), title: $title, action: $action };)*
        /// Every rule that the schema can break.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

rules! {
    REQUIRED "required" "An answer that is needed is missing"
        "Add it; where the form allows it, say that it is unknown and why."
    UNKNOWN_MEMBER "unknown-member" "There is a field here that the form does not have"
        "Check the spelling of its name, or take it out."
    TYPE "type" "This is not the kind of value that belongs here"
        "Write the kind of value that is asked for."
    ENUM "enum" "This is not one of the allowed answers"
        "Choose one of the allowed codes, spelled exactly."
    CONST "const" "This answer is fixed here, and it is another one"
        "Write the value that is asked for."
    BLANK "blank" "This is still blank"
        "Fill it in, take it out, or say that it is unknown."
    PATTERN "pattern" "This is not written in the form that is asked for"
        "Write it as the field reference shows."
    FORMAT "format" "This is not written in the form that is asked for"
        "Write it as the field reference shows."
    MIN_LENGTH "min-length" "This text is too short"
        "Say more; a social worker has only this to go by."
    MAX_LENGTH "max-length" "This text is too long"
        "Shorten it, or continue in another part of the form."
    MIN_ITEMS "min-items" "There are too few entries here"
        "Add what is missing."
    MAX_ITEMS "max-items" "There are too many entries here"
        "Keep the ones that matter, or send a second document."
    UNIQUE_ITEMS "unique-items" "The same entry stands here twice"
        "Keep one of them."
    MINIMUM "minimum" "This number is too small"
        "Check the number."
    MAXIMUM "maximum" "This number is too large"
        "Check the number."
    MEMBERS "members" "There are too few or too many fields here"
        "Compare this part with the field reference."
    CONTAINS "contains" "An entry of a certain kind is missing from this list"
        "Add it; the field reference says which kind is needed."
    ANY_OF "any-of" "This fits none of the forms that are allowed here"
        "Compare this part with the field reference."
    NOT_HERE "not-here" "This may not be given together with the other answers"
        "Take it out, or change the answer that it contradicts."
    MORE "more" "There are more mistakes than are listed"
        "Mend these first and check again."
}

/// What the schemas name: such words may be repeated to anyone.
#[derive(Default)]
pub(super) struct Names {
    /// Every declared member.
    pub members: HashSet<String>,
    /// What each pattern stands for.
    pub patterns: HashMap<String, String>,
}

impl Names {
    /// Adds those of one schema.
    pub fn collect(&mut self, schema: &Value) {
        match schema {
            Value::Object(keywords) => {
                if let Some(Value::Object(properties)) = keywords.get("properties") {
                    self.members.extend(properties.keys().cloned());
                }
                if let (Some(Value::String(pattern)), Some(Value::String(title))) =
                    (keywords.get("pattern"), keywords.get("title"))
                {
                    let first = self.patterns.entry(pattern.clone());
                    first.or_insert_with(|| title.to_lowercase());
                }
                keywords.values().for_each(|value| self.collect(value));
            }
            Value::Array(items) => items.iter().for_each(|value| self.collect(value)),
            _ => {}
        }
    }
}

fn is_blank(error: &ValidationError<'_>) -> bool {
    error.instance().as_str().is_some_and(|text| text.trim().is_empty())
}

/// Turns the validator's errors into findings, sorted by place, without repetitions.
pub(super) fn findings<'a>(
    errors: impl Iterator<Item = ValidationError<'a>>,
    document: &Value,
    known: &Names,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for error in errors.take(MAX_LISTED * 10) {
        translate(&error, document, known, &mut found);
    }
    found.sort_by(|a, b| a.violation.cmp(&b.violation));
    found.sort_by(|a, b| a.violation.pointer.cmp(&b.violation.pointer));
    found.dedup();
    if found.len() > MAX_LISTED {
        found.truncate(MAX_LISTED);
        found.push(Finding::plain(Violation::whole(MORE)));
    }
    found
}

fn translate(
    error: &ValidationError<'_>,
    document: &Value,
    known: &Names,
    found: &mut Vec<Finding>,
) {
    let place = error.instance_path().as_str();
    let mut add = |rule: Rule, detail: String, member: Option<&str>| {
        let place = match member {
            Some(name) => format!("{place}/{}", escape(name)),
            None => place.to_owned(),
        };
        let pointer = masked(&place, document, known);
        found.push(Finding { violation: Violation { rule, pointer, detail }, place });
    };
    match error.kind() {
        Kind::Required { property } => {
            add(REQUIRED, String::new(), Some(property.as_str().unwrap_or_default()));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected {
                add(UNKNOWN_MEMBER, String::new(), Some(name));
            }
        }
        Kind::PropertyNames { .. } => add(UNKNOWN_MEMBER, String::new(), None),
        Kind::Type { kind } => add(TYPE, format!("expected {}", types(kind)), None),
        Kind::Enum { options } => add(ENUM, one_of(options.as_array().map_or(&[], |o| o)), None),
        Kind::Constant { expected_value } => {
            add(CONST, format!("expected {}", plain(expected_value)), None);
        }
        Kind::Pattern { .. } | Kind::Format { .. } if is_blank(error) => {
            add(BLANK, String::new(), None);
        }
        Kind::Pattern { pattern } => {
            let meant = known.patterns.get(pattern);
            let expected = meant.map_or_else(String::new, |what| format!("expected: {what}"));
            add(PATTERN, expected, None);
        }
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            add(PATTERN, String::new(), None);
        }
        Kind::Format { format } => add(FORMAT, format!("expected {}", format_name(format)), None),
        Kind::ContentEncoding { .. } | Kind::ContentMediaType { .. } | Kind::FromUtf8 { .. } => {
            add(FORMAT, String::new(), None);
        }
        Kind::MinLength { limit } => {
            add(MIN_LENGTH, format!("at least {limit} {}", plural(*limit, "character")), None);
        }
        Kind::MaxLength { limit } => {
            add(MAX_LENGTH, format!("at most {limit} {}", plural(*limit, "character")), None);
        }
        Kind::MinItems { limit } => add(MIN_ITEMS, format!("at least {limit}"), None),
        Kind::MaxItems { limit } => add(MAX_ITEMS, format!("at most {limit}"), None),
        Kind::AdditionalItems { limit } => add(MAX_ITEMS, format!("at most {limit}"), None),
        Kind::UnevaluatedItems { .. } => add(MAX_ITEMS, String::new(), None),
        Kind::UniqueItems => add(UNIQUE_ITEMS, String::new(), None),
        Kind::Minimum { limit } => add(MINIMUM, format!("at least {limit}"), None),
        Kind::Maximum { limit } => add(MAXIMUM, format!("at most {limit}"), None),
        Kind::ExclusiveMinimum { limit } => add(MINIMUM, format!("more than {limit}"), None),
        Kind::ExclusiveMaximum { limit } => add(MAXIMUM, format!("less than {limit}"), None),
        Kind::MultipleOf { .. } => add(TYPE, String::new(), None),
        Kind::MinProperties { .. } | Kind::MaxProperties { .. } => {
            add(MEMBERS, String::new(), None);
        }
        Kind::Contains => add(CONTAINS, String::new(), None),
        Kind::FalseSchema | Kind::Not { .. } | Kind::OneOfMultipleValid { .. } => {
            add(NOT_HERE, String::new(), None);
        }
        Kind::AnyOf { .. }
        | Kind::OneOfNotValid { .. }
        | Kind::Custom { .. }
        | Kind::Referencing(_) => add(ANY_OF, String::new(), None),
    }
}

/// The pointer with every member name that the schema does not know written `*`. A number stands
/// only where the document has an array: as a member name it could be somebody's.
fn masked(place: &str, document: &Value, known: &Names) -> String {
    let mut here = Some(document);
    let mut out = String::with_capacity(place.len());
    for part in place.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        out.push('/');
        match here {
            Some(Value::Array(items)) => {
                out.push_str(part);
                here = name.parse::<usize>().ok().and_then(|i| items.get(i));
            }
            other => {
                out.push_str(if known.members.contains(&name) { part } else { "*" });
                here = other.and_then(|value| value.get(&name));
            }
        }
    }
    out
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

fn types(kind: &TypeKind) -> String {
    let name = |name: &str| match name {
        "object" => "an object { ... }".to_owned(),
        "array" => "a list [ ... ]".to_owned(),
        "string" => "text in quotation marks".to_owned(),
        "integer" | "number" => "a whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    };
    match kind {
        TypeKind::Single(one) => name(one.as_str()),
        // Where several types are allowed, the object is always the one of `known.json`.
        TypeKind::Multiple(set) => set
            .iter()
            .map(|one| match one.as_str() {
                "object" => "{\"unknown\": reason}".to_owned(),
                other => name(other),
            })
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn format_name(format: &str) -> &str {
    match format {
        "date" => "a date such as 2026-11-21",
        "date-time" => "a date and time with offset such as 2026-11-21T14:20:00Z",
        "time" => "a time",
        "email" => "an e-mail address",
        "uuid" => "a UUID",
        "uri" => "a URI",
        other => other,
    }
}

fn one_of(options: &[Value]) -> String {
    const SHOWN: usize = 14;
    let shown: Vec<String> = options.iter().take(SHOWN).map(plain).collect();
    let more = if options.len() > SHOWN { ", ..." } else { "" };
    format!("one of: {}{more}", shown.join(", "))
}

/// A value of the schema, without quotation marks around text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
