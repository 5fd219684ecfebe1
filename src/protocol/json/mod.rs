//! Strict JSON from hostile bytes, and places in it for messages.
//!
//! Stricter than RFC 8259, along the lines of I-JSON (RFC 7493): what two parsers could read
//! differently is refused, so that every reader of a signed document sees the same values.

mod draft;
mod position;
mod scan;
#[cfg(test)]
mod stock;
mod tree;

use serde_json::Value;

use crate::domain::refusal::{Rule, Violation};

pub use draft::{blank_comments, strip_comments};
pub use position::{Position, position_of};
pub use tree::{Json, Kind, Mark, Tree};

/// The limit for a referral, in bytes, unless configured otherwise.
pub const DEFAULT_LIMIT: usize = 1 << 20;
/// The deepest nesting of arrays and objects; the schema itself needs 9.
pub const MAX_DEPTH: u8 = 32;

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

/// The same, borrowing from the document: a fraction of the cost, and all that the checks need.
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
    scan::nodes(text).map(|nodes| Tree { nodes }).map_err(|(rule, at)| {
        let Position { line, column } = Position::of(bytes, at);
        Violation::whole(*rule).with_detail(format!("line {line}, column {column}"))
    })
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

    #[test]
    fn many_members_and_many_alike() {
        // As many as are compared one by one, one more, and names of one mark.
        for count in [2, 16, 63, 64, 65, 66, 300] {
            let all: Vec<String> = (0..count).map(|n| format!("\"x{n:03}m{n:03}x\":{n}")).collect();
            assert!(parse(format!("{{{}}}", all.join(",")).as_bytes(), DEFAULT_LIMIT).is_ok());
            for again in [0, count / 2, count - 1] {
                let twice = format!("{{{},{}}}", all.join(","), all[again]);
                assert_eq!(refused(&twice), "json.duplicate-member", "{count} {again}");
            }
        }
    }

    /// What the reader of `serde_json` says with our rules.
    fn same(bytes: &[u8]) -> Result<(), TestCaseError> {
        let ours = parse(bytes, DEFAULT_LIMIT).map_err(|violation| violation.rule.id);
        prop_assert_eq!(ours, stock::parse(bytes), "{:?}", String::from_utf8_lossy(bytes));
        Ok(())
    }

    /// Pieces of JSON, whole and broken.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            "[\\[\\]{}:,]",
            "[ \n\r\t]{0,9}",
            r#""[a-c]{0,2}""#,
            r#""[ -~é😀]{0,20}""#,
            r#""(\\["\\/bfnrtuxU0]|\\u[0-9a-fA-F]{4}|\\u[dD][89a-fA-F]..|[a-z]){0,6}"?"#,
            r"-?[0-9]{1,21}(\.[0-9]{0,2})?([eE][+-]?[0-9]{0,3})?",
            r"-?(0|9223372036854775807|9223372036854775808|18446744073709551616)",
            "true|false|null|tru|nul|x|\u{1}|\u{feff}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn any_bytes_are_read_as_serde_json_does(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            same(&bytes)?;
        }

        #[test]
        fn pieces_of_json_are_read_as_serde_json_does(
            pieces in proptest::collection::vec(piece(), 0..12), inside in 0..4
        ) {
            let text = pieces.concat();
            let text = match inside {
                0 => text,
                1 => format!("[{text}]"),
                2 => format!("{{\"a\":{text},\"b\":{text}}}"),
                _ => format!("[{}]", pieces.join(",")),
            };
            same(text.as_bytes())?;
        }

        #[test]
        fn changed_documents_are_read_as_serde_json_does(
            at in any::<prop::sample::Index>(), take in 0..40_usize, put in r#"[ -~]{0,3}|\PC|\\u"#
        ) {
            let whole = include_bytes!("../../../conformance/examples/a02-address-on-file-is-old.json");
            let at = at.index(whole.len());
            let after = &whole[(at + take).min(whole.len())..];
            same(&[&whole[..at], put.as_bytes(), after].concat())?;
            same(&whole[..at])?;
        }

        #[test]
        fn texts_of_any_length_end_where_they_end(
            before in "[ -~é]{0,20}", end in r#"["\\\n\x1f\x7f]"#, after in r#"[a-z"]{0,20}"#
        ) {
            let text = before.replace(['"', '\\'], "x");
            same(format!("[\"{text}{end}{after}\"]").as_bytes())?;
        }
    }
}
