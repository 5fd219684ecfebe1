//! Named streams: how much of a party's feed each of its systems has acknowledged.
//!
//! A feed has positions 1, 2, 3 without gaps, and a stream stands at the last position up to which all
//! are done, with single positions beyond it. So it costs what is out of order, not what was ever read.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::StoreFault;
use crate::domain::party::{Organisation, Party};
use crate::domain::time::Timestamp;

/// How far beyond the first position that is not done others can be done: bounds what a stream keeps
/// and what one look at it reads.
pub const STREAM_WINDOW: u64 = 1_000;
/// Streams of one party: a council has some systems, not hundreds.
pub const MOST_STREAMS: i64 = 16;

/// The name of a stream: 1 to 32 small letters, digits and hyphens, a letter or digit first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Box<str>);

impl StreamName {
    /// As written on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl StreamName {
    /// The stream by which a gateway pushes to a party. Nobody can name it on the wire, so that nobody
    /// acknowledges it by polling.
    pub fn of_pushes() -> Self {
        Self("_push".into())
    }
}

impl Default for StreamName {
    fn default() -> Self {
        Self("default".into())
    }
}

/// A text that is not a [`StreamName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAStreamName;

impl FromStr for StreamName {
    type Err = NotAStreamName;

    fn from_str(text: &str) -> Result<Self, NotAStreamName> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let sound = (1..=32).contains(&text.len())
            && text.bytes().all(|c| plain(c) || c == b'-')
            && text.bytes().next().is_some_and(plain);
        if sound { Ok(Self(text.into())) } else { Err(NotAStreamName) }
    }
}

/// One stream. A person with a certificate of their own has streams of their own: what they may see
/// differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Whose feed.
    pub party: Organisation,
    /// The person who reads it, empty for the organisation.
    pub person: String,
    /// Its name.
    pub name: StreamName,
}

impl StreamId {
    /// The stream of this name that `reader` reads.
    pub fn of(reader: &Party, name: StreamName) -> Self {
        let person = reader.person.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { party: reader.organisation.clone(), person, name }
    }
}

/// A reader's word for what was wrong with a token (RFC 8936 2.4.1, `err`): 1 to 64 letters, digits
/// and `_ . -`. Nothing else of what it says is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamError(Box<str>);

impl StreamError {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is not a [`StreamError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAStreamError;

impl FromStr for StreamError {
    type Err = NotAStreamError;

    fn from_str(text: &str) -> Result<Self, NotAStreamError> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
        let sound = (1..=64).contains(&text.len()) && text.bytes().all(plain);
        if sound { Ok(Self(text.into())) } else { Err(NotAStreamError) }
    }
}

/// Positions that are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAcks {
    /// In which stream.
    pub id: StreamId,
    /// Acknowledged, passed over, or found to be wrong.
    pub positions: Vec<u64>,
    /// Those of them that the reader says it has: what they tell has reached its party, the first time
    /// now.
    pub taken: Vec<u64>,
    /// Those of them that the reader could not take, with its word for why.
    pub errors: Vec<(u64, StreamError)>,
    /// The present.
    pub now: Timestamp,
}

impl fmt::Display for StreamAcks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.positions.len(), self.id.party)
    }
}

/// How far a stream is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStanding {
    /// Every position up to this one is done; 0 for none.
    pub done: u64,
    /// Single positions beyond it that are done, fewer than [`STREAM_WINDOW`].
    pub beyond: BTreeSet<u64>,
}

impl StreamStanding {
    /// The standing with `positions` done too. What was done before may be among them.
    ///
    /// [`StoreFault::Misuse`] for position 0 and for those past the window.
    pub(in crate::store) fn with(&self, positions: &[u64]) -> Result<Self, StoreFault> {
        let last = self.done.saturating_add(STREAM_WINDOW);
        if positions.iter().any(|position| *position == 0 || *position > last) {
            return Err(StoreFault::Misuse);
        }
        let mut next = self.clone();
        next.beyond.extend(positions.iter().filter(|position| **position > self.done));
        while next.beyond.remove(&(next.done + 1)) {
            next.done += 1;
        }
        Ok(next)
    }
}

/// What became of acknowledgements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamOutcome {
    /// Done, durably; the stream stands here now.
    Standing(StreamStanding),
    /// The stream is new and its party has [`MOST_STREAMS`] already; nothing was changed.
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_words_have_one_form() {
        for good in ["default", "a", "0", "mis-2", &"x".repeat(32)] {
            assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
        }
        for bad in [
            StreamName::of_pushes().as_str(),
            "",
            "-a",
            "A",
            "a b",
            "a/b",
            "\u{e4}",
            "a_b",
            &"x".repeat(33),
        ] {
            assert_eq!(bad.parse::<StreamName>(), Err(NotAStreamName), "{bad}");
        }
        assert_eq!("invalid_key".parse::<StreamError>().unwrap().as_str(), "invalid_key");
        for bad in ["", "Tom Example", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<StreamError>(), Err(NotAStreamError), "{bad}");
        }
    }

    #[test]
    fn what_is_done_out_of_order_waits_for_the_gap() {
        let start = StreamStanding::default();
        let three = start.with(&[3, 5]).unwrap();
        assert_eq!((three.done, three.beyond.len()), (0, 2));
        assert_eq!(three.with(&[3]).unwrap(), three, "again changes nothing");
        let one = three.with(&[1]).unwrap();
        assert_eq!((one.done, one.beyond.len()), (1, 2));
        let two = one.with(&[2]).unwrap();
        assert_eq!((two.done, two.beyond), (3, BTreeSet::from([5])));
        assert_eq!(start.with(&[0]), Err(StoreFault::Misuse));
        assert_eq!(start.with(&[STREAM_WINDOW + 1]), Err(StoreFault::Misuse));
        assert!(start.with(&[STREAM_WINDOW]).is_ok());
    }
}
