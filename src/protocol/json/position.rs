//! Line and column of a value, for messages to a person with a text editor.

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Where the value named by an RFC 6901 `pointer` begins. Where a part of the pointer does not
/// exist (a missing member, `*`), the innermost value that does; `None` only if the bytes are not
/// JSON on the way there. `//` comments count as blanks, so that drafts can be searched too.
pub fn position_of(bytes: &[u8], pointer: &str) -> Option<Position> {
    let mut scan = Scan { bytes, at: 0 };
    scan.blanks();
    let mut found = scan.at;
    for part in pointer.split('/').skip(1) {
        if !scan.enter(&part.replace("~1", "/").replace("~0", "~"))? {
            break;
        }
        found = scan.at;
    }
    (found < bytes.len()).then(|| Position::of(bytes, found))
}

impl Position {
    /// Of the byte at `at`, or of the end.
    pub(super) fn of(bytes: &[u8], at: usize) -> Self {
        let before = bytes.get(..at).unwrap_or(bytes);
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        Self {
            line: before.iter().filter(|&&b| b == b'\n').count() + 1,
            // Continuation bytes of UTF-8 are not characters of their own.
            column: before[line_start..].iter().filter(|&&b| b & 0xc0 != 0x80).count() + 1,
        }
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'/' if self.bytes.get(self.at + 1) == Some(&b'/') => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// From the start of a container to the start of one of its values; `Some(false)` if there is
    /// no such value, `None` if this is not JSON.
    fn enter(&mut self, part: &str) -> Option<bool> {
        let object = match self.peek()? {
            b'{' => true,
            b'[' => false,
            _ => return Some(false),
        };
        let wanted: Option<usize> = part.parse().ok();
        self.at += 1;
        let mut index = 0;
        loop {
            self.blanks();
            if matches!(self.peek()?, b'}' | b']') {
                return Some(false);
            }
            let here = if object {
                let start = self.at;
                self.string()?;
                let name: String = serde_json::from_slice(self.bytes.get(start..self.at)?).ok()?;
                self.take(b':')?;
                name == part
            } else {
                wanted == Some(index)
            };
            self.blanks();
            if here {
                return Some(true);
            }
            self.skip()?;
            index += 1;
            self.blanks();
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// Over one value. Counts brackets instead of recursing, so that depth costs no stack.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            self.blanks();
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                b',' | b':' => return None,
                _ => {
                    while self.peek().is_some_and(|b| !b" \t\r\n,:{}[]\"/".contains(&b)) {
                        self.at += 1;
                    }
                    if self.peek() == Some(b'/') {
                        return None;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn at(text: &str, pointer: &str) -> (usize, usize) {
        let position = position_of(text.as_bytes(), pointer).unwrap();
        (position.line, position.column)
    }

    #[test]
    fn values_members_and_what_is_missing() {
        let text = "{\n  \"a\": [1, {\"é\": \"x\", \"b\": true}],\n  \"c/d\": null // why\n}";
        assert_eq!(at(text, ""), (1, 1));
        assert_eq!(at(text, "/a"), (2, 8));
        assert_eq!(at(text, "/a/1"), (2, 12));
        assert_eq!(at(text, "/a/1/b"), (2, 28));
        assert_eq!(at(text, "/c~1d"), (3, 10));
        assert_eq!(at(text, "/a/1/missing/deeper"), (2, 12));
        assert_eq!(at(text, "/*"), (1, 1));
        assert_eq!(at("// draft\n[1]", "/0"), (2, 2));
    }

    fn pointers(value: &Value, here: String, out: &mut Vec<(String, Value)>) {
        out.push((here.clone(), value.clone()));
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    pointers(value, format!("{here}/{name}"), out);
                }
            }
            Value::Array(items) => {
                for (i, value) in items.iter().enumerate() {
                    pointers(value, format!("{here}/{i}"), out);
                }
            }
            _ => {}
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\/~é\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c\"\\\\/~é]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_value_found_is_the_value_meant(value in any_json()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            let mut all = Vec::new();
            pointers(&value, String::new(), &mut all);
            for (pointer, value) in all {
                let place = position_of(text.as_bytes(), &pointer).unwrap();
                let line = text.split('\n').nth(place.line - 1).unwrap();
                let rest: String = line.chars().skip(place.column - 1).collect();
                let from_there: String = rest + "\n"
                    + &text.split('\n').skip(place.line).collect::<Vec<_>>().join("\n");
                let mut stream = serde_json::Deserializer::from_str(&from_there).into_iter::<Value>();
                prop_assert_eq!(stream.next().unwrap().unwrap(), value);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            text in r#"[\[\]{}:,"\\/0a \n]{0,60}"#, pointer in "[/0a~*]{0,8}"
        ) {
            let _ = position_of(text.as_bytes(), &pointer);
        }
    }
}
