//! The reader that ours is held to, by the tests here and by a fuzz target: `serde_json`'s, with the
//! rules that ours adds.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The document, or the id of the rule that it breaks.
pub fn parse(bytes: &[u8]) -> Result<Value, &'static str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with('\u{feff}'));
    let broken = Cell::new(None);
    let mut parser = serde_json::Deserializer::from_str(text.ok_or("json.encoding")?);
    let value = Strict { depth: 0, broken: &broken }
        .deserialize(&mut parser)
        .map_err(|error| broken.get().unwrap_or_else(|| rule_of(&error)))?;
    parser.end().map_err(|_| "json.trailing")?;
    Ok(value)
}

/// `serde_json` has no public codes for its syntax errors.
fn rule_of(error: &serde_json::Error) -> &'static str {
    let phrase = error.to_string();
    if error.is_eof() {
        "json.truncated"
    } else if phrase.starts_with("lone leading surrogate")
        || phrase.starts_with("unexpected end of hex")
    {
        "json.surrogate"
    } else if phrase.starts_with("number out of range") {
        "json.number"
    } else {
        "json.syntax"
    }
}

#[derive(Clone, Copy)]
struct Strict<'b> {
    depth: u8,
    broken: &'b Cell<Option<&'static str>>,
}

impl Strict<'_> {
    fn refuse<T, E: Error>(self, rule: &'static str) -> Result<T, E> {
        self.broken.set(Some(rule));
        Err(E::custom(rule))
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == 32 {
            return self.refuse("json.too-deep");
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Value, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::from).or_else(|_| self.refuse("json.number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        self.refuse("json.number")
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let (deeper, mut all) = (self.deeper()?, Vec::new());
        while let Some(item) = items.next_element_seed(deeper)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let (deeper, mut all) = (self.deeper()?, Map::new());
        while let Some(name) = members.next_key::<String>()? {
            if all.contains_key(&name) {
                return self.refuse("json.duplicate-member");
            }
            let value = members.next_value_seed(deeper)?;
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}
