//! The written form of one text: plain ones are recognised at sight, the library decides the others.

use jsonschema::Validator;
use serde_json::Value;

use crate::domain::time::{Date, Timestamp};

/// A `pattern` or a `format`.
pub(super) struct Form {
    plain: Plain,
    library: Validator,
}

/// Texts that certainly have the form; none of the others is thereby wrong.
enum Plain {
    /// `\S`: a visible character of ASCII somewhere.
    Visible,
    /// `^` classes with counts `$`, each taking all that it can.
    Sequence(Vec<Part>),
    Date,
    Moment,
    Link,
    Mail,
    /// None is certain.
    Never,
}

/// So many characters of a class.
struct Part {
    class: [bool; 128],
    least: usize,
    most: usize,
}

impl Form {
    /// Of a keyword and its value; `library` knows this one keyword.
    pub fn new(keyword: &str, value: &str, library: Validator) -> Self {
        let plain = match (keyword, value) {
            ("pattern", r"\S") => Plain::Visible,
            ("pattern", pattern) => sequence(pattern).map_or(Plain::Never, Plain::Sequence),
            ("format", "date") => Plain::Date,
            ("format", "date-time") => Plain::Moment,
            ("format", "uri") => Plain::Link,
            ("format", "email") => Plain::Mail,
            _ => Plain::Never,
        };
        Self { plain, library }
    }

    /// Whether the text has this form.
    pub fn holds(&self, text: &str) -> bool {
        self.plain.certainly(text) || self.library.is_valid(&Value::String(text.to_owned()))
    }
}

impl Plain {
    fn certainly(&self, text: &str) -> bool {
        match self {
            Plain::Visible => text.bytes().any(|c| c.is_ascii_graphic()),
            Plain::Sequence(parts) => {
                let mut rest = text.as_bytes();
                let all = parts.iter().all(|part| {
                    let taken = rest.iter().take(part.most).take_while(|c| part.has(**c)).count();
                    rest = rest.get(taken..).unwrap_or_default();
                    taken >= part.least
                });
                all && rest.is_empty()
            }
            Plain::Date => text.parse().is_ok_and(usual),
            Plain::Moment => {
                text.parse::<Timestamp>().is_ok()
                    && text.get(..10).is_some_and(|date| date.parse().is_ok_and(usual))
            }
            Plain::Link => text.strip_prefix("https://").is_some_and(|rest| {
                rest.starts_with(|c: char| c.is_ascii_lowercase())
                    && rest.bytes().all(|c| c.is_ascii_alphanumeric() || b"-./_".contains(&c))
            }),
            Plain::Mail => text.split_once('@').is_some_and(|(name, host)| {
                let words = |text: &str| {
                    text.split('.').all(|word| {
                        (1..=60).contains(&word.len())
                            && word.bytes().all(|c| c.is_ascii_lowercase())
                    })
                };
                name.len() <= 60 && host.len() <= 200 && words(name) && words(host)
            }),
            Plain::Never => false,
        }
    }
}

fn usual(date: Date) -> bool {
    (1900..2200).contains(&date.year())
}

impl Part {
    fn has(&self, c: u8) -> bool {
        self.class.get(usize::from(c)).copied().unwrap_or(false)
    }
}

/// Reads a pattern of nothing but classes with counts between `^` and `$`.
fn sequence(pattern: &str) -> Option<Vec<Part>> {
    let mut rest = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let mut class = [false; 128];
        let after = match rest.strip_prefix('[') {
            Some(inside) => {
                let (members, after) = inside.split_once(']')?;
                add(&mut class, members)?;
                after
            }
            None => {
                let c = rest.chars().next().filter(|c| c.is_ascii_alphanumeric() || *c == '-')?;
                *class.get_mut(c as usize)? = true;
                &rest[1..]
            }
        };
        let (least, most, after) = match after.as_bytes().first() {
            Some(b'+') => (1, usize::MAX, &after[1..]),
            Some(b'{') => {
                let (counts, after) = after[1..].split_once('}')?;
                let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
                (least.parse().ok()?, most.parse().ok()?, after)
            }
            Some(b'*' | b'?') => return None,
            _ => (1, 1, after),
        };
        parts.push(Part { class, least, most });
        rest = after;
    }
    Some(parts)
}

/// Adds `a-z` and single characters to a class.
fn add(class: &mut [bool; 128], members: &str) -> Option<()> {
    let raw = members.as_bytes();
    if raw.first() == Some(&b'^') || raw.iter().any(|c| !c.is_ascii() || *c == b'\\') {
        return None;
    }
    let mut at = 0;
    while let Some(&first) = raw.get(at) {
        let last = match (raw.get(at + 1), raw.get(at + 2)) {
            (Some(b'-'), Some(&last)) => last,
            _ => first,
        };
        class.get_mut(usize::from(first)..=usize::from(last))?.fill(true);
        at += if last == first { 1 } else { 3 };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn form(keyword: &str, value: &str) -> Form {
        let library = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(&json!({keyword: value}))
            .unwrap();
        Form::new(keyword, value, library)
    }

    #[test]
    fn plain_forms_are_recognised_without_the_library() {
        for (keyword, value, text) in [
            ("pattern", r"\S", " a"),
            ("pattern", "^[0-9]{3}$", "204"),
            ("pattern", "^[a-z][a-z0-9_-]{0,39}$", "c1"),
            ("pattern", "^[0-9 ]+$", "999 000 0000"),
            ("pattern", "^[A-Za-z0-9_-]{21}[AQgw]$", "abcdefghijklmnopqrstuA"),
            ("format", "date", "2026-02-28"),
            ("format", "date-time", "2026-11-21T14:20:00.5+01:00"),
            ("format", "uri", "https://ecaf.example/codes/urgency"),
            ("format", "email", "office@school.example"),
        ] {
            assert!(form(keyword, value).plain.certainly(text), "{value}");
        }
        for pattern in ["^a(b)$", "^a|b$", "^[^a]$", r"^\d$", "^a?$", "^a*$", "a", "^.$"] {
            assert!(sequence(pattern).is_none(), "{pattern}");
        }
    }

    static FORMS: LazyLock<Vec<(&str, Form)>> = LazyLock::new(|| {
        let forms = [
            ("pattern", r"\S"),
            ("pattern", "^[0-9]{3}$"),
            ("pattern", "^[a-z][a-z0-9_-]{0,39}$"),
            ("pattern", "^[0-9 ]+$"),
            ("pattern", "^[A-Za-z0-9_-]{21}[AQgw]$"),
            ("pattern", "^[0-9a-f]{8}-[0-9a-f]{4}$"),
            ("format", "date"),
            ("format", "date-time"),
            ("format", "uri"),
            ("format", "email"),
        ];
        forms.map(|(keyword, value)| (value, form(keyword, value))).into()
    });

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]
        #[test]
        fn what_is_certain_is_what_the_library_says(
            text in prop_oneof![
                "[0-9a-zA-Z_ -]{0,45}",
                "[0-9]{4}-[0-9]{2}-[0-9]{2}",
                "[12][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,3})?\
                 (Z|[+-][0-2][0-9]:[0-6][0-9])",
                "https://[a-z./:_@-]{0,20}",
                "[a-z.]{1,9}@[a-z.-]{1,9}",
                "\\PC{0,10}",
            ]
        ) {
            for (value, form) in FORMS.iter() {
                if form.plain.certainly(&text) {
                    prop_assert!(form.library.is_valid(&json!(text)), "{value}");
                }
            }
        }
    }
}
