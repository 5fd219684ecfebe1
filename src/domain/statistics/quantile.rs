//! Medians and the like: exact for internal use, as classes of length for the public.

use crate::domain::time::{DAY, HOUR, MINUTE};

/// A median is published over at least this many values.
pub const MEDIAN_FROM: usize = 20;
/// The ninetieth percentile is published over at least this many: five lie beyond it.
pub const P90_FROM: usize = 50;

/// The smallest value that is not exceeded by more than `percent` of all (nearest rank; method 1 of
/// Hyndman and Fan, 1996). `values` are sorted. `None` of nothing.
pub fn quantile(values: &[i64], percent: usize) -> Option<i64> {
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied()
}

/// A class of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(usize);

/// The longest of each class, with its words.
const CLASSES: [(i64, &str); 9] = [
    (MINUTE, "up to 1 minute"),
    (15 * MINUTE, "1 to 15 minutes"),
    (HOUR, "15 minutes to 1 hour"),
    (4 * HOUR, "1 to 4 hours"),
    (DAY, "4 to 24 hours"),
    (3 * DAY, "1 to 3 days"),
    (7 * DAY, "3 to 7 days"),
    (63 * DAY, "1 to 9 weeks"),
    (i64::MAX, "more than 9 weeks"),
];

/// The class of a length in milliseconds.
pub fn class(millis: i64) -> Class {
    Class(CLASSES.iter().position(|(longest, _)| millis <= *longest).unwrap_or(CLASSES.len() - 1))
}

impl Class {
    /// For a person.
    pub fn as_str(self) -> &'static str {
        CLASSES.get(self.0).map_or("", |(_, words)| words)
    }
}
