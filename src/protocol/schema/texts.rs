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
    /// A pattern whose pieces each take all that they can.
    Sequence(Vec<Piece>),
    Date,
    Moment,
    Mail,
    /// None is certain.
    Never,
}

/// A piece of a pattern.
enum Piece {
    /// So many bytes of a class, as a bit for each byte.
    Class { class: [u64; 4], least: usize, most: usize },
    /// The first of several sequences that fits, or perhaps nothing.
    Group { options: Vec<Vec<Piece>>, optional: bool },
}

/// An address as we write them ourselves.
const LINK: &str = "^https://[a-z][A-Za-z0-9./_-]*$";

impl Form {
    /// Of a keyword and its value; `library` knows this one keyword.
    pub fn new(keyword: &str, value: &str, library: Validator) -> Self {
        let plain = match (keyword, value) {
            ("pattern", r"\S") => Plain::Visible,
            ("pattern", pattern) => sequence(pattern).map_or(Plain::Never, Plain::Sequence),
            ("format", "date") => Plain::Date,
            ("format", "date-time") => Plain::Moment,
            ("format", "uri") => sequence(LINK).map_or(Plain::Never, Plain::Sequence),
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
            Plain::Sequence(pieces) => after(pieces, text.as_bytes()).is_some_and(<[u8]>::is_empty),
            Plain::Date => text.parse().is_ok_and(usual),
            Plain::Moment => {
                text.parse::<Timestamp>().is_ok()
                    && text.get(..10).is_some_and(|date| date.parse().is_ok_and(usual))
            }
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

/// What a sequence leaves of a text, if it fits so; it may fit otherwise.
fn after<'t>(pieces: &[Piece], text: &'t [u8]) -> Option<&'t [u8]> {
    pieces.iter().try_fold(text, |rest, piece| match piece {
        Piece::Class { class, least, most } => {
            let has = |c: u8| class[usize::from(c >> 6)] >> (c & 63) & 1 != 0;
            let taken = rest.iter().take(*most).take_while(|c| has(**c)).count();
            rest.get(taken..).filter(|_| taken >= *least)
        }
        Piece::Group { options, optional } => {
            let fit = options.iter().find_map(|pieces| after(pieces, rest));
            fit.or(optional.then_some(rest))
        }
    })
}

/// Reads a pattern of nothing but classes with counts and groups between `^` and `$`.
fn sequence(pattern: &str) -> Option<Vec<Piece>> {
    let mut rest = pattern.strip_prefix('^')?.strip_suffix('$')?.as_bytes();
    let mut all = options(&mut rest)?;
    // Alternatives outside of a group would not each be held by both ends.
    all.pop().filter(|_| all.is_empty() && rest.is_empty())
}

/// Alternatives, up to the end of their group.
fn options(rest: &mut &[u8]) -> Option<Vec<Vec<Piece>>> {
    let (mut all, mut pieces) = (Vec::new(), Vec::new());
    loop {
        match *rest {
            [] | [b')', ..] => {
                all.push(pieces);
                return Some(all);
            }
            [b'|', after @ ..] => {
                *rest = after;
                all.push(std::mem::take(&mut pieces));
            }
            [b'(', after @ ..] => {
                *rest = after;
                let options = options(rest)?;
                *rest = rest.strip_prefix(b")")?;
                let after = rest.strip_prefix(b"?");
                *rest = after.unwrap_or(rest);
                pieces.push(Piece::Group { options, optional: after.is_some() });
            }
            _ => {
                let class = class(rest)?;
                let (least, most) = count(rest)?;
                pieces.push(Piece::Class { class, least, most });
            }
        }
    }
}

fn class(rest: &mut &[u8]) -> Option<[u64; 4]> {
    let (members, after) = match *rest {
        [b'[', b'^', ..] => return None,
        [b'[', inside @ ..] => {
            let (members, after) = inside.split_at(inside.iter().position(|c| *c == b']')?);
            (members, after.get(1..)?)
        }
        [b'\\', c, after @ ..] if c.is_ascii_punctuation() => (std::slice::from_ref(c), after),
        [c, after @ ..] if c.is_ascii_alphanumeric() || b"-:/ ".contains(c) => {
            (std::slice::from_ref(c), after)
        }
        _ => return None,
    };
    *rest = after;
    let mut class = [0; 4];
    let mut at = 0;
    while let Some(&first) = members.get(at) {
        // `a-z`, or a single character.
        let last = match (members.get(at + 1), members.get(at + 2)) {
            (Some(b'-'), Some(&last)) => last,
            _ => first,
        };
        if !last.is_ascii() || first == b'\\' {
            return None;
        }
        (first..=last).for_each(|c| class[usize::from(c >> 6)] |= 1 << (c & 63));
        at += if last == first { 1 } else { 3 };
    }
    Some(class)
}

fn count(rest: &mut &[u8]) -> Option<(usize, usize)> {
    let (counts, after) = match *rest {
        [b'+', after @ ..] => ((1, usize::MAX), after),
        [b'*', after @ ..] => ((0, usize::MAX), after),
        [b'?', after @ ..] => ((0, 1), after),
        [b'{', inside @ ..] => {
            let end = inside.iter().position(|c| *c == b'}')?;
            let counts = std::str::from_utf8(inside.get(..end)?).ok()?;
            let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
            ((least.parse().ok()?, most.parse().ok()?), inside.get(end + 1..)?)
        }
        after => ((1, 1), after),
    };
    *rest = after;
    Some(counts)
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
            ("pattern", PARTIAL_DATE, "2019"),
            ("pattern", PARTIAL_DATE, "2026-10"),
            ("pattern", PARTIAL_DATE, "2026-10-31"),
            ("pattern", PHONE, "020 7946 0101"),
            ("pattern", PHONE, "+44 (0)20 7946 0101 ext 12"),
            ("format", "date", "2026-02-28"),
            ("format", "date-time", "2026-11-21T14:20:00.5+01:00"),
            ("format", "uri", "https://ecaf.example/codes/urgency"),
            ("format", "email", "office@school.example"),
        ] {
            assert!(form(keyword, value).plain.certainly(text), "{value}");
        }
        for pattern in [
            "^a|b$",
            "^[^a]$",
            "^[^]$",
            r"^[\d]$",
            r"^\d$",
            "^(?:a)$",
            "^(a)+$",
            "^(a)*$",
            "^a??$",
            "^a+?$",
            "^a++$",
            "^a{2}{3}$",
            "^(a$",
            "^a)$",
            "^a^b$",
            "^a$b$",
            "a",
            "^.$",
            "^[a$",
            "^a{1$",
            "^é$",
        ] {
            assert!(sequence(pattern).is_none(), "{pattern}");
        }
    }

    const PARTIAL_DATE: &str = "^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$";
    const PHONE: &str = r"^[+(]?[0-9][0-9 ().-]{4,24}( ?(x|ext|ext\.|extension) ?[0-9]{1,6})?$";

    static FORMS: LazyLock<Vec<(&str, Form)>> = LazyLock::new(|| {
        let forms = [
            ("pattern", r"\S"),
            ("pattern", "^[0-9]{3}$"),
            ("pattern", "^[a-z][a-z0-9_-]{0,39}$"),
            ("pattern", "^[0-9 ]+$"),
            ("pattern", "^[A-Za-z0-9_-]{21}[AQgw]$"),
            ("pattern", "^[0-9a-f]{8}-[0-9a-f]{4}$"),
            ("pattern", "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"),
            ("pattern", r"^a*(b|bc|[+]\.?)c*-{0,2}$"),
            ("pattern", PARTIAL_DATE),
            ("pattern", PHONE),
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
                "[0-9]{4}(-[0-3][0-9]?){0,3}",
                "[+(]?[0-9 ().-]{1,16}( ?(x|ext|ext\\.|extension) ?[0-9]{0,7})?",
                "a{0,2}[bc+.]{0,3}c?-{0,3}",
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
