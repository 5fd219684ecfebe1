//! One pass over the text of a document, into the list of its values. Written by hand because every
//! referral goes through it: it does what the reader of `serde_json` with our rules would do, which
//! the tests and a fuzz target hold it to, for less.

use std::borrow::Cow;
use std::collections::HashSet;

use super::tree::{Mark, Node, Scalar};
use super::{
    DUPLICATE_MEMBER, MAX_DEPTH, NUMBER, SURROGATE, SYNTAX, TOO_DEEP, TRAILING, TRUNCATED,
};
use crate::domain::refusal::Rule;

/// Fewer bytes stand for one value in hardly any document: an estimate of the room that reading takes.
const BYTES_PER_VALUE: usize = 16;

/// The values of a document, or the rule that it breaks and the byte where.
pub(super) fn nodes(text: &str) -> Result<Vec<Node<'_>>, (&'static Rule, usize)> {
    let nodes = Vec::with_capacity(text.len() / BYTES_PER_VALUE + 1);
    let mut scan = Scan { text, at: 0, nodes };
    match scan.value(Cow::Borrowed(""), Mark::of(""), 0).and_then(|()| scan.end()) {
        Ok(()) => Ok(scan.nodes),
        Err(rule) => Err((rule, scan.at)),
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    nodes: Vec<Node<'a>>,
}

type Step<T = ()> = Result<T, &'static Rule>;

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn need(&self) -> Step<u8> {
        self.peek().ok_or(&TRUNCATED)
    }

    /// The next byte that is not blank, which is not yet taken.
    fn visible(&mut self) -> Step<u8> {
        loop {
            match self.need()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Ok(byte),
            }
        }
    }

    fn end(&mut self) -> Step {
        self.visible().map_or(Ok(()), |_| Err(&TRAILING))
    }

    /// Appends one value, with what is inside it.
    fn value(&mut self, name: Cow<'a, str>, mark: Mark, depth: u8) -> Step {
        let value = match self.visible()? {
            b'"' => Scalar::Text(self.string()?),
            b'{' => Scalar::Object,
            b'[' => Scalar::List,
            b'-' | b'0'..=b'9' => Scalar::Number(self.number()?),
            b't' => self.word("true", Scalar::Bool(true))?,
            b'f' => self.word("false", Scalar::Bool(false))?,
            b'n' => self.word("null", Scalar::Null)?,
            _ => return Err(&SYNTAX),
        };
        let (list, object) = (matches!(value, Scalar::List), matches!(value, Scalar::Object));
        if (list || object) && depth == MAX_DEPTH {
            return Err(&TOO_DEEP);
        }
        let place = self.nodes.len();
        self.nodes.push(Node { name, mark, value, length: 1 });
        if list {
            self.list(depth)?;
        } else if object {
            self.object(place, depth)?;
        } else {
            return Ok(());
        }
        // A document is bounded to far fewer than 2^32 bytes.
        let length = (self.nodes.len() - place) as u32;
        if let Some(node) = self.nodes.get_mut(place) {
            node.length = length;
        }
        Ok(())
    }

    fn list(&mut self, depth: u8) -> Step {
        self.at += 1;
        let mut more = self.visible()? != b']';
        while more {
            self.value(Cow::Borrowed(""), const { Mark::of("") }, depth + 1)?;
            more = self.comma(b']')?;
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, place: usize, depth: u8) -> Step {
        self.at += 1;
        let mut names = Names::default();
        let mut more = self.visible()? != b'}';
        while more {
            if self.visible()? != b'"' {
                return Err(&SYNTAX);
            }
            let name = self.string()?;
            let mark = Mark::of(&name);
            if !names.is_new(self.nodes.get(place..).unwrap_or_default(), &name, mark) {
                return Err(&DUPLICATE_MEMBER);
            }
            if self.visible()? != b':' {
                return Err(&SYNTAX);
            }
            self.at += 1;
            self.value(name, mark, depth + 1)?;
            more = self.comma(b'}')?;
        }
        self.at += 1;
        Ok(())
    }

    /// Whether another value follows, and not the end.
    fn comma(&mut self, end: u8) -> Step<bool> {
        match self.visible()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == end => Ok(false),
            _ => Err(&SYNTAX),
        }
    }

    fn word(&mut self, word: &str, value: Scalar<'a>) -> Step<Scalar<'a>> {
        for byte in word.bytes() {
            if self.need()? != byte {
                return Err(&SYNTAX);
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Step<i64> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        // Counted down, as there is one negative number more.
        let (first, mut value) = (self.need()?, Some(0_i64));
        let count = self.digits(|digit| {
            value = value.and_then(|v| v.checked_mul(10)?.checked_sub(i64::from(digit)));
        })?;
        if first == b'0' && count > 1 {
            return Err(&SYNTAX);
        }
        // Fractions and exponents are read for the sake of the message.
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits(|_| value = None)?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits(|_| value = None)?;
        }
        match value {
            Some(0) if negative => Err(&NUMBER),
            Some(value) if negative => Ok(value),
            value => value.and_then(i64::checked_neg).ok_or(&NUMBER),
        }
    }

    /// One digit or more; how many.
    fn digits(&mut self, mut each: impl FnMut(u8)) -> Step<usize> {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            each(digit - b'0');
            self.at += 1;
        }
        if self.at == start {
            return Err(if self.need().is_ok() { &SYNTAX } else { &TRUNCATED });
        }
        Ok(self.at - start)
    }

    /// A text in quotation marks, of which the first is the next byte.
    fn string(&mut self) -> Step<Cow<'a, str>> {
        self.at += 1;
        let run = self.run();
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(run));
        }
        let mut text = run.to_owned();
        loop {
            match self.need()? {
                b'"' => break,
                b'\\' => text.push(self.escape()?),
                _ => return Err(&SYNTAX),
            }
            text.push_str(self.run());
        }
        self.at += 1;
        Ok(Cow::Owned(text))
    }

    /// What comes before the next quotation mark, backslash or control character, eight bytes at a
    /// time: a byte of `ends` has its highest bit where one of these stands, and perhaps in places
    /// after it, as subtracting borrows from there.
    fn run(&mut self) -> &'a str {
        const EACH: u64 = u64::MAX / 255;
        let (bytes, start) = (self.text.as_bytes(), self.at);
        while let Some(eight) = bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let word = u64::from_le_bytes(*eight);
            let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word;
            let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
            let ends = (below(word, 0x20) | is(b'"') | is(b'\\')) & (EACH << 7);
            if ends != 0 {
                self.at += ends.trailing_zeros() as usize / 8;
                return self.text.get(start..self.at).unwrap_or_default();
            }
            self.at += 8;
        }
        while self.peek().is_some_and(|byte| !matches!(byte, b'"' | b'\\' | ..0x20)) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The character that an escape stands for.
    fn escape(&mut self) -> Step<char> {
        self.at += 1;
        let letter = self.need()?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                if !matches!(first, 0xd800..=0xdbff) {
                    return char::from_u32(first).ok_or(&SURROGATE);
                }
                for wanted in *b"\\u" {
                    if self.need()? != wanted {
                        return Err(&SURROGATE);
                    }
                    self.at += 1;
                }
                let second = self.unit()?;
                if !matches!(second, 0xdc00..=0xdfff) {
                    return Err(&SURROGATE);
                }
                let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                char::from_u32(both).ok_or(&SURROGATE)?
            }
            _ => return Err(&SYNTAX),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Step<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(&TRUNCATED)?;
        let value = digits
            .iter()
            .try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?));
        self.at += 4;
        value.ok_or(&SYNTAX)
    }
}

/// The names that one object has so far: compared one by one while they are few.
#[derive(Default)]
struct Names<'a> {
    count: usize,
    /// A bit for each name; one that is not set is of no name so far.
    bits: u128,
    all: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 64;

    /// Whether no member of the object, the first of `nodes`, has this name yet.
    #[expect(clippy::ptr_arg, reason = "a long object keeps its names, borrowed as they are")]
    fn is_new(&mut self, nodes: &[Node<'a>], name: &Cow<'a, str>, mark: Mark) -> bool {
        let bit = 1 << (mark.mixed() % 128);
        let fresh = self.bits & bit == 0;
        self.bits |= bit;
        self.count += 1;
        if self.count <= Self::FEW {
            return fresh
                || members(nodes).all(|member| member.mark != mark || member.name != *name);
        }
        let all = || members(nodes).map(|member| member.name.clone()).collect();
        self.all.get_or_insert_with(all).insert(name.clone())
    }
}

/// The members of the first of some nodes.
fn members<'n, 'a>(nodes: &'n [Node<'a>]) -> impl Iterator<Item = &'n Node<'a>> {
    let mut at = 1;
    std::iter::from_fn(move || {
        let node = nodes.get(at)?;
        at += node.length as usize;
        Some(node)
    })
}
