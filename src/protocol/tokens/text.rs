//! Domain values on the wire: each is written by its `Display` and read by its `FromStr`, so that
//! there is one spelling, defined in one place.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes the value as a JSON string.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads the value from a JSON string. The error never repeats the text.
pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom("not in the expected form"))
}

/// The same for a value that may be absent.
pub mod optional {
    use super::{Display, Error, FromStr};
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the value, or nothing if the field is skipped when `None`.
    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the value; an explicit `null` is refused, absence is `None` by `#[serde(default)]`.
    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Some).map_err(|_| D::Error::custom("not in the expected form"))
    }
}

/// The same for a list.
pub mod list {
    use super::{Display, Error, FromStr};
    use serde::ser::SerializeSeq;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a JSON array of strings.
    pub fn serialize<T: Display, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(values.len()))?;
        for value in values {
            list.serialize_element(&format_args!("{value}"))?;
        }
        list.end()
    }

    /// Reads a JSON array of strings.
    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let wrong = || D::Error::custom("not in the expected form");
        texts.iter().map(|text| text.parse().map_err(|_| wrong())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::domain::party::DfeCode;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Values {
        #[serde(with = "super")]
        one: DfeCode,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "super::optional")]
        perhaps: Option<DfeCode>,
        #[serde(with = "super::list")]
        many: Vec<DfeCode>,
    }

    fn read(text: &str) -> Result<Values, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn values_are_their_own_spelling() {
        let code = |text: &str| text.parse::<DfeCode>().unwrap();
        for text in
            [r#"{"one":"309","many":[]}"#, r#"{"one":"309","perhaps":"204","many":["316","204"]}"#]
        {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        let escaped = read(r#"{"one":"\u003309","many":[]}"#).unwrap();
        assert_eq!(escaped, Values { one: code("309"), perhaps: None, many: vec![] });
    }

    #[test]
    fn what_is_not_one_is_refused_without_being_repeated() {
        for text in [
            r#"{"one":"Mimi","many":[]}"#,
            r#"{"one":309,"many":[]}"#,
            r#"{"one":null,"many":[]}"#,
            r#"{"one":"309","perhaps":null,"many":[]}"#,
            r#"{"one":"309","perhaps":"Mimi","many":[]}"#,
            r#"{"one":"309","many":"204"}"#,
            r#"{"one":"309","many":["204","Mimi"]}"#,
            r#"{"one":"309","many":null}"#,
        ] {
            let error = read(text).unwrap_err();
            assert!(!error.contains("Mimi"), "{error}");
        }
    }
}
