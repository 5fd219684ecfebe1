//! Quarters of a year: the only pieces that public figures are made of.
//!
//! Reports of any two periods could be subtracted from each other. Public ones are therefore made of
//! whole quarters, each protected by itself and always in the same way; a longer period shows the sums of
//! what its quarters show. Whoever has all reports ever made knows no more than each quarter's own.

use std::fmt;

use crate::domain::hours::england_instant;
use crate::domain::time::{DAY, Date, Timestamp};

/// From the end of a quarter until its figures are final: 45 working days (the longest statutory limit,
/// an assessment) are never more than this, Christmas and Easter included.
const SETTLES_AFTER_DAYS: i64 = 70;

/// A quarter of a calendar year, by England's days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quarter {
    year: i32,
    /// 0 to 3.
    index: u8,
}

impl Quarter {
    /// The quarter of a date.
    pub const fn of(date: Date) -> Self {
        Self { year: date.year(), index: (date.month() - 1) / 3 }
    }

    /// The one after it.
    pub const fn next(self) -> Self {
        match self.index {
            3 => Self { year: self.year + 1, index: 0 },
            index => Self { year: self.year, index: index + 1 },
        }
    }

    /// Its first day.
    pub fn first_day(self) -> Date {
        // The first of January, April, July and October exist in every year.
        Date::new(self.year, self.index * 3 + 1, 1).unwrap_or(Date::from_days(0))
    }

    /// Its last day.
    pub fn last_day(self) -> Date {
        self.next().first_day().plus_days(-1)
    }

    /// Whether an instant lies in it.
    pub fn has(self, at: Timestamp) -> bool {
        Self::of(at.in_england().0) == self
    }

    /// The instant as of which its figures are counted: what happens later changes them no more.
    pub fn settled_at(self) -> Timestamp {
        england_instant(self.next().first_day(), 0).plus(SETTLES_AFTER_DAYS * DAY)
    }
}

impl fmt::Display for Quarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["Jan-Mar", "Apr-Jun", "Jul-Sep", "Oct-Dec"];
        write!(f, "{} {}", names[usize::from(self.index % 4)], self.year)
    }
}

/// Why a period cannot be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotQuarters {
    /// It does not begin and end with a quarter: the nearest days that do.
    Uneven(Date, Date),
    /// Its last quarter is final only from this day on.
    NotSettled(Date),
}

impl fmt::Display for NotQuarters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotQuarters::Uneven(from, to) => write!(
                f,
                "figures are published for whole quarters only (Jan-Mar, Apr-Jun, Jul-Sep, Oct-Dec), so \
                 that no two reports can be subtracted: --from {from} --to {to}, or --internal"
            ),
            NotQuarters::NotSettled(day) => write!(
                f,
                "these figures are final from {day} on, when every statutory limit of the last quarter \
                 has run out; until then --internal"
            ),
        }
    }
}

/// The quarters from `from` to `to`, both days included, if they may be published at `now`.
pub fn quarters(from: Date, to: Date, now: Timestamp) -> Result<Vec<Quarter>, NotQuarters> {
    let (first, last) = (Quarter::of(from), Quarter::of(to));
    if first.first_day() != from || last.last_day() != to || first > last {
        let last = last.max(first);
        return Err(NotQuarters::Uneven(first.first_day(), last.last_day()));
    }
    if last.settled_at() > now {
        // The day after, so that it is so from its first minute on.
        return Err(NotQuarters::NotSettled(last.settled_at().in_england().0.plus_days(1)));
    }
    let next = |quarter: &Quarter| Some(quarter.next()).filter(|quarter| *quarter <= last);
    Ok(std::iter::successors(Some(first), next).collect())
}
