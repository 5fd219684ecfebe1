//! A document as it was read: every value in one list, in the order of the text. Names and texts
//! are borrowed from the document, so that reading allocates once and forgetting costs nothing.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// A document, read.
#[derive(Debug)]
pub struct Tree<'a> {
    pub(super) nodes: Vec<Node<'a>>,
}

/// One value; those inside it follow it.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Its name in the object around it; empty elsewhere.
    pub name: Cow<'a, str>,
    /// Of that name.
    pub mark: Mark,
    pub value: Scalar<'a>,
    /// How many nodes it takes, itself included.
    pub length: u32,
}

#[derive(Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(i64),
    Text(Cow<'a, str>),
    List,
    Object,
}

/// Length, first, middle and last byte of a name: tells nearly all names apart at one comparison, and
/// is known before the program runs where the name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u32);

impl Mark {
    /// Of a name.
    #[inline]
    pub const fn of(name: &str) -> Self {
        let (raw, length) = (name.as_bytes(), name.len());
        if length == 0 {
            return Self(0);
        }
        Self(u32::from_be_bytes([length as u8, raw[0], raw[length / 2], raw[length - 1]]))
    }

    /// Its 16 best mixed bits, for a table.
    #[inline]
    pub const fn mixed(self) -> usize {
        (self.0.wrapping_mul(0x9e37_79b1) >> 16) as usize
    }
}

/// One value of a document, or nothing: what is missing reads as null. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Json<'t> {
    nodes: &'t [Node<'t>],
}

/// What kind of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`, or missing.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Number,
    /// A string.
    Text,
    /// An array.
    List,
    /// An object.
    Object,
}

impl Tree<'_> {
    /// The document itself.
    pub fn root(&self) -> Json<'_> {
        Json { nodes: &self.nodes }
    }
}

impl<'a> From<&'a Value> for Tree<'a> {
    /// Of a value made otherwise than by reading. A number that the reader would refuse becomes
    /// null, which fits nowhere either.
    fn from(value: &'a Value) -> Self {
        let mut tree = Self { nodes: Vec::new() };
        tree.push(Cow::Borrowed(""), value);
        tree
    }
}

impl<'a> Tree<'a> {
    fn push(&mut self, name: Cow<'a, str>, value: &'a Value) {
        let at = self.nodes.len();
        let scalar = match value {
            Value::Null => Scalar::Null,
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Number(number) => number.as_i64().map_or(Scalar::Null, Scalar::Number),
            Value::String(text) => Scalar::Text(Cow::Borrowed(text)),
            Value::Array(_) => Scalar::List,
            Value::Object(_) => Scalar::Object,
        };
        self.nodes.push(Node { mark: Mark::of(&name), name, value: scalar, length: 1 });
        match value {
            Value::Array(items) => {
                items.iter().for_each(|item| self.push(Cow::Borrowed(""), item));
            }
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| self.push(Cow::Borrowed(name), value));
            }
            _ => {}
        }
        self.nodes[at].length = (self.nodes.len() - at) as u32;
    }
}

impl<'t> Json<'t> {
    /// What is missing.
    pub const NOTHING: Json<'static> = Json { nodes: &[] };

    /// What kind of value it is.
    pub fn kind(self) -> Kind {
        match self.scalar() {
            Scalar::Null => Kind::Null,
            Scalar::Bool(_) => Kind::Bool,
            Scalar::Number(_) => Kind::Number,
            Scalar::Text(_) => Kind::Text,
            Scalar::List => Kind::List,
            Scalar::Object => Kind::Object,
        }
    }

    /// Null, or missing.
    pub fn is_null(self) -> bool {
        matches!(self.scalar(), Scalar::Null)
    }

    /// The text of a string.
    pub fn as_str(self) -> Option<&'t str> {
        match self.scalar() {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number.
    pub fn as_i64(self) -> Option<i64> {
        match self.scalar() {
            Scalar::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// True or false.
    pub fn as_bool(self) -> Option<bool> {
        match self.scalar() {
            Scalar::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A member of an object; nothing if it has none of that name or is no object.
    #[inline]
    pub fn at(self, name: &str) -> Json<'t> {
        self.get(name).unwrap_or(Self::NOTHING)
    }

    /// A member of an object, if it has one of that name.
    #[inline]
    pub fn get(self, name: &str) -> Option<Json<'t>> {
        self.find(Mark::of(name), name)
    }

    /// The same, where the mark of the name is known.
    pub fn find(self, mark: Mark, name: &str) -> Option<Json<'t>> {
        if !matches!(self.scalar(), Scalar::Object) {
            return None;
        }
        let mut rest = self.nodes.get(1..)?;
        while let Some(node) = rest.first() {
            let (nodes, after) = rest.split_at_checked(node.length as usize)?;
            if node.mark == mark && node.name == name {
                return Some(Json { nodes });
            }
            rest = after;
        }
        None
    }

    /// The mark of its own name in the object around it.
    #[inline]
    pub fn mark(self) -> Mark {
        self.nodes.first().map_or(const { Mark::of("") }, |node| node.mark)
    }

    /// The entries of an array; none of anything else.
    pub fn items(self) -> impl Iterator<Item = Json<'t>> + Clone {
        let list = matches!(self.scalar(), Scalar::List);
        Inside { rest: self.inside(list) }.map(|(_, value)| value)
    }

    /// The members of an object, in the order of the document; none of anything else.
    pub fn members(self) -> impl Iterator<Item = (&'t str, Json<'t>)> + Clone {
        let object = matches!(self.scalar(), Scalar::Object);
        Inside { rest: self.inside(object) }
    }

    /// Every value inside this one at any depth, with its name (empty in an array) and its place
    /// for [`Json::pointer_to`], in the order of the document.
    pub fn all(self) -> impl Iterator<Item = (usize, &'t str, Json<'t>)> {
        self.nodes.iter().enumerate().skip(1).map(move |(at, node)| {
            let nodes = self.nodes.get(at..at + node.length as usize).unwrap_or_default();
            (at, &*node.name, Json { nodes })
        })
    }

    /// JSON Pointer (RFC 6901) to the value at a place that [`Json::all`] gave.
    pub fn pointer_to(self, place: usize) -> String {
        let (mut pointer, mut here, mut from) = (String::new(), self, 0);
        while place > from {
            let object = matches!(here.scalar(), Scalar::Object);
            let mut at = from + 1;
            let mut inside = Inside { rest: here.nodes.get(1..).unwrap_or_default() }.enumerate();
            let found = inside.find(|(_, (_, value))| {
                let next = at + value.nodes.len();
                let hit = place < next;
                at = if hit { at } else { next };
                hit
            });
            let Some((index, (name, value))) = found else { break };
            pointer.push('/');
            match object {
                true => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                false => pointer.push_str(&index.to_string()),
            }
            (here, from) = (value, at);
        }
        pointer
    }

    /// The same as a value of `serde_json`, for what is asked less often.
    pub fn to_value(self) -> Value {
        match self.scalar() {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => Value::Bool(*value),
            Scalar::Number(number) => Value::from(*number),
            Scalar::Text(text) => Value::String(text.clone().into_owned()),
            Scalar::List => Value::Array(self.items().map(Json::to_value).collect()),
            Scalar::Object => {
                let members =
                    self.members().map(|(name, value)| (name.to_owned(), value.to_value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    fn scalar(self) -> &'t Scalar<'t> {
        self.nodes.first().map_or(&Scalar::Null, |node| &node.value)
    }

    fn inside(self, wanted: bool) -> &'t [Node<'t>] {
        self.nodes.get(1..).filter(|_| wanted).unwrap_or_default()
    }
}

impl PartialEq<str> for Json<'_> {
    fn eq(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }
}

impl PartialEq<&str> for Json<'_> {
    fn eq(&self, text: &&str) -> bool {
        self.as_str() == Some(*text)
    }
}

/// Equal as JSON: the order of members does not count.
impl PartialEq for Json<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.scalar(), other.scalar()) {
            (Scalar::Null, Scalar::Null) => true,
            (Scalar::Bool(a), Scalar::Bool(b)) => a == b,
            (Scalar::Number(a), Scalar::Number(b)) => a == b,
            (Scalar::Text(a), Scalar::Text(b)) => a == b,
            (Scalar::List, Scalar::List) => self.items().eq(other.items()),
            (Scalar::Object, Scalar::Object) => {
                self.members().count() == other.members().count()
                    && self.members().all(|(name, value)| other.get(name) == Some(value))
            }
            _ => false,
        }
    }
}

/// The values directly inside one.
#[derive(Clone)]
struct Inside<'t> {
    rest: &'t [Node<'t>],
}

impl<'t> Iterator for Inside<'t> {
    type Item = (&'t str, Json<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.rest.first()?;
        let (nodes, rest) = self.rest.split_at_checked(first.length as usize)?;
        self.rest = rest;
        Some((&first.name, Json { nodes }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULT_LIMIT, read};
    use super::*;
    use serde_json::json;

    #[test]
    fn members_items_and_what_is_missing() {
        let text = br#"{"a":[1,{"b":"x","n":null}],"c/d":{"~":[true]},"e":-5}"#;
        let tree = read(text, DEFAULT_LIMIT).unwrap();
        let root = tree.root();
        assert_eq!(root.kind(), Kind::Object);
        let inner = root.at("a").items().nth(1).unwrap();
        assert_eq!(inner.at("b"), "x");
        assert!(inner.at("n").is_null() && inner.get("n").is_some());
        assert!(inner.at("m").is_null() && inner.get("m").is_none());
        assert!(root.at("e").at("f").at("g").is_null());
        assert_eq!((root.at("e").as_i64(), root.at("e").items().count()), (Some(-5), 0));
        assert_eq!(root.members().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "c/d", "e"]);
        assert_eq!(root.to_value(), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn every_value_has_its_pointer() {
        let value = json!({"a": [1, {"b": "x"}], "c/d": {"~": [true, []]}, "e": {}});
        let tree = Tree::from(&value);
        let mut seen = 0;
        for (place, _, inner) in tree.root().all() {
            let pointer = tree.root().pointer_to(place);
            let same = value.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}"));
            assert_eq!(inner.to_value(), *same, "{pointer}");
            seen += 1;
        }
        assert_eq!((seen, tree.root().pointer_to(0)), (9, String::new()));
    }

    #[test]
    fn equal_whatever_the_order_of_members() {
        let text = |text: &'static str| read(text.as_bytes(), DEFAULT_LIMIT).unwrap();
        let (one, two) = (text(r#"{"a":1,"b":[2,"c"]}"#), text(r#"{"b":[2,"c"],"a":1}"#));
        assert_eq!(one.root(), two.root());
        for other in [r#"{"a":1,"b":["c",2]}"#, r#"{"a":1}"#, r#"{"a":1,"c":[2,"c"]}"#, "[]"] {
            assert!(one.root() != text(other).root(), "{other}");
        }
    }
}
