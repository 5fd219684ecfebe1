//! Strict JSON from hostile bytes, and places in it for messages.
//!
//! Stricter than RFC 8259, along the lines of I-JSON (RFC 7493): what two parsers could read
//! differently is refused, so that every reader of a signed document sees the same values.

mod draft;
mod position;
mod tree;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::domain::refusal::{Rule, Violation};

pub use draft::{blank_comments, strip_comments};
pub use position::{Position, position_of};
pub use tree::{Json, Kind, Tree};
use tree::{Node, Scalar};

/// The limit for a referral, in bytes, unless configured otherwise.
pub const DEFAULT_LIMIT: usize = 1 << 20;
/// The deepest nesting of arrays and objects; the schema itself needs 9.
pub const MAX_DEPTH: u8 = 32;
/// Fewer bytes stand for one value in hardly any document: an estimate of the room that reading takes.
const BYTES_PER_VALUE: usize = 16;

/// More bytes than allowed.
pub const TOO_LARGE: Rule = Rule {
    id: "json.too-large",
    title: "The document is larger than is allowed",
    action: "Shorten it, or send attachments separately.",
};
/// Not UTF-8, or a byte order mark.
pub const ENCODING: Rule = Rule {
    id: "json.encoding",
    title: "The document is not plain UTF-8",
    action: "Save it as UTF-8 without a byte order mark.",
};
/// An escape sequence that stands for half a character.
pub const SURROGATE: Rule = Rule {
    id: "json.surrogate",
    title: "A \\u escape stands for half a character",
    action: "Write the character itself, or both halves of the pair.",
};
/// The text ends in the middle.
pub const TRUNCATED: Rule = Rule {
    id: "json.truncated",
    title: "The document ends before it is complete",
    action: "Send it again whole; look for a missing bracket, brace or quotation mark.",
};
/// Not JSON.
pub const SYNTAX: Rule = Rule {
    id: "json.syntax",
    title: "This is not JSON",
    action: "Look for a missing comma or quotation mark, or a comma too many, just before this place.",
};
/// Something follows the document.
pub const TRAILING: Rule = Rule {
    id: "json.trailing",
    title: "Something follows the end of the document",
    action: "Send one document and nothing after it.",
};
/// The same member name twice in one object.
pub const DUPLICATE_MEMBER: Rule = Rule {
    id: "json.duplicate-member",
    title: "The same member name stands twice in one object",
    action: "Keep one of them: readers would disagree on which counts.",
};
/// Nested too deep.
pub const TOO_DEEP: Rule = Rule {
    id: "json.too-deep",
    title: "Arrays and objects are nested too deep",
    action: "Nest at most 32 levels.",
};
/// A number that readers could round differently.
pub const NUMBER: Rule = Rule {
    id: "json.number",
    title: "A number is not a plain whole number of at most 64 bits",
    action: "Write whole numbers without fraction or exponent; anything else is text.",
};

/// Every rule of this module.
pub const RULES: [Rule; 9] = [
    TOO_LARGE,
    ENCODING,
    SURROGATE,
    TRUNCATED,
    SYNTAX,
    TRAILING,
    DUPLICATE_MEMBER,
    TOO_DEEP,
    NUMBER,
];

/// Parses one document of at most `limit` bytes. The violation names line and column, and never
/// shows a part of the document. Costs one pass; a document that breaks a rule costs less.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Value, Violation> {
    read(bytes, limit).map(|tree| tree.root().to_value())
}

/// The same, borrowing from the document: a quarter of the cost, and all that the checks need.
pub fn read(bytes: &[u8], limit: usize) -> Result<Tree<'_>, Violation> {
    if bytes.len() > limit {
        return Err(Violation::whole(TOO_LARGE).with_detail(format!("at most {limit} bytes")));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Violation::whole(ENCODING).with_detail("a byte order mark at the start"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Violation::whole(ENCODING).with_detail(format!("at byte {}", error.valid_up_to() + 1))
    })?;
    let mut nodes = Vec::with_capacity(text.len() / BYTES_PER_VALUE + 1);
    let broken = Cell::new(None);
    let mut parser = serde_json::Deserializer::from_str(text);
    let strict = Strict { nodes: &mut nodes, name: Cow::Borrowed(""), depth: 0, broken: &broken };
    let done = strict
        .deserialize(&mut parser)
        .map_err(|error| (broken.get().unwrap_or_else(|| rule_of(&error)), error))
        .and_then(|()| parser.end().map_err(|error| (TRAILING, error)));
    match done {
        Ok(()) => Ok(Tree { nodes }),
        Err((rule, error)) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            Err(Violation::whole(rule).with_detail(place))
        }
    }
}

fn rule_of(error: &serde_json::Error) -> Rule {
    if error.is_eof() {
        return TRUNCATED;
    }
    // serde_json has no public codes for its syntax errors; its fixed phrases carry no input, and
    // the vectors of this module would show a change of wording.
    let phrase = error.to_string();
    if phrase.starts_with("lone leading surrogate") || phrase.starts_with("unexpected end of hex") {
        SURROGATE
    } else if phrase.starts_with("number out of range") {
        NUMBER
    } else if phrase.starts_with("recursion limit") {
        TOO_DEEP
    } else {
        SYNTAX
    }
}

/// Appends one value, with what is inside it, and notes in `broken` which rule of ours stopped it.
struct Strict<'b, 'de> {
    nodes: &'b mut Vec<Node<'de>>,
    name: Cow<'de, str>,
    depth: u8,
    broken: &'b Cell<Option<Rule>>,
}

impl<'de> Strict<'_, 'de> {
    fn refuse<T, E: Error>(broken: &Cell<Option<Rule>>, rule: Rule) -> Result<T, E> {
        broken.set(Some(rule));
        Err(E::custom(rule.id))
    }

    fn leaf<E>(self, value: Scalar<'de>) -> Result<(), E> {
        self.nodes.push(Node { name: self.name, value, length: 1 });
        Ok(())
    }

    /// Opens an array or object; its place.
    fn open<E: Error>(&mut self, value: Scalar<'de>) -> Result<usize, E> {
        if self.depth == MAX_DEPTH {
            return Self::refuse(self.broken, TOO_DEEP);
        }
        let at = self.nodes.len();
        self.nodes.push(Node { name: std::mem::take(&mut self.name), value, length: 1 });
        Ok(at)
    }

    fn inside(&mut self, name: Cow<'de, str>) -> Strict<'_, 'de> {
        Strict { nodes: self.nodes, name, depth: self.depth + 1, broken: self.broken }
    }

    /// Closes what was opened at a place.
    fn close(self, at: usize) {
        // A document is bounded to far fewer than 2^32 bytes.
        let length = (self.nodes.len() - at) as u32;
        if let Some(node) = self.nodes.get_mut(at) {
            node.length = length;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.leaf(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.leaf(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.leaf(Scalar::Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.leaf(Scalar::Number(value)),
            Err(_) => Self::refuse(self.broken, NUMBER),
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Self::refuse(self.broken, NUMBER)
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<(), E> {
        self.leaf(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.leaf(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let at = self.open(Scalar::List)?;
        while items.next_element_seed(self.inside(Cow::Borrowed("")))?.is_some() {}
        self.close(at);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let at = self.open(Scalar::Object)?;
        let mut names = Names { count: 0, seen: HashSet::new() };
        while let Some(name) = members.next_key_seed(Name)? {
            if !names.is_new(&self.nodes[at..], name.clone()) {
                return Self::refuse(self.broken, DUPLICATE_MEMBER);
            }
            members.next_value_seed(self.inside(name))?;
        }
        self.close(at);
        Ok(())
    }
}

/// The name of a member, borrowed if it holds no escape.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The names that one object has so far: compared one by one while they are few.
struct Names<'de> {
    count: usize,
    seen: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    const FEW: usize = 16;

    /// Whether no member of the object, the first of `nodes`, has this name yet.
    fn is_new(&mut self, nodes: &[Node<'de>], name: Cow<'de, str>) -> bool {
        self.count += 1;
        let mut members = Members { nodes, at: 1 };
        if self.count <= Self::FEW {
            return members.all(|member| *member != name);
        }
        if self.seen.is_empty() {
            self.seen.extend(members.cloned());
        }
        self.seen.insert(name)
    }
}

/// The names of the members of the first of some nodes.
struct Members<'n, 'de> {
    nodes: &'n [Node<'de>],
    at: usize,
}

impl<'n, 'de> Iterator for Members<'n, 'de> {
    type Item = &'n Cow<'de, str>;

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.nodes.get(self.at)?;
        self.at += node.length as usize;
        Some(&node.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> &'static str {
        parse(text.as_bytes(), DEFAULT_LIMIT).expect_err("must be refused").rule.id
    }

    #[test]
    fn depth_is_counted_in_arrays_and_objects() {
        let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nest(32).as_bytes(), DEFAULT_LIMIT).is_ok());
        assert_eq!(refused(&nest(33)), "json.too-deep");
        assert_eq!(refused(&"[".repeat(500_000)), "json.too-deep");
        assert_eq!(refused(&r#"{"a":"#.repeat(100_000)), "json.too-deep");
    }

    #[test]
    fn the_place_is_named_and_nothing_else() {
        let error = parse(b"{\n \"a\": 1,\n \"secret\": 2, \"secret\": 3}", 100).unwrap_err();
        assert_eq!(error.rule, DUPLICATE_MEMBER);
        assert!(error.detail.starts_with("line 3, column "), "{}", error.detail);
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn duplicates_are_seen_after_unescaping() {
        assert_eq!(refused(r#"{"a":1,"\u0061":2}"#), "json.duplicate-member");
        assert_eq!(refused(r#"[{"b":{"c":1,"c":1}}]"#), "json.duplicate-member");
    }

    #[test]
    fn the_limit_counts_bytes() {
        assert!(parse(b"\"12345678\"", 10).is_ok());
        assert_eq!(parse(b"\"12345678\"", 9).unwrap_err().rule, TOO_LARGE);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(violation) = parse(&bytes, DEFAULT_LIMIT) {
                prop_assert!(RULES.contains(&violation.rule));
            }
        }

        #[test]
        fn json_like_text_parses_as_serde_json_does_or_is_refused(
            text in r#"[\[\]{}:,"\\u0-9a-e.\- ]{0,60}"#
        ) {
            match (parse(text.as_bytes(), DEFAULT_LIMIT), serde_json::from_str::<Value>(&text)) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
                (Ok(_), Err(_)) => prop_assert!(false, "accepted what is not JSON"),
                (Err(_), _) => {}
            }
        }
    }
}
