//! The calendar of a school, or of the schools of an authority, as it was told to us.

use crate::domain::time::{Date, Weekday};

use super::assumed;
use super::bank_holidays::BankHolidays;

/// When a school day ends if nobody has told us: 15:15, in minutes after midnight.
pub const ASSUMED_HOME_TIME: u16 = 15 * 60 + 15;

/// What is known of a school's days. What lies outside of its terms' years is assumed, and marked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchoolCalendar {
    /// The parts of the school year between holidays, half-term holidays too, in any order.
    pub terms: Vec<Term>,
    /// Days within a term on which staff are in and pupils are not.
    pub inset: Vec<Date>,
    /// Days that end early, with the time: minutes after midnight.
    pub half_days: Vec<(Date, u16)>,
    /// First and last day of unplanned closures: snow, a burst pipe, a polling station.
    pub closures: Vec<(Date, Date)>,
    /// When pupils go home on a full day, in minutes after midnight.
    pub home_time: Option<u16>,
    /// When somebody is there in the morning of a school day, in minutes after midnight.
    pub opens: Option<u16>,
}

/// A run of school days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The first day.
    pub first: Date,
    /// The last day.
    pub last: Date,
}

/// What a day is at a school.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DayKind {
    /// Pupils are in until home time.
    Full,
    /// Pupils are in and go home early.
    Half,
    /// Staff are in, pupils are not.
    Inset,
    /// Closed although it is term time.
    Closed,
    /// Between terms.
    Holiday,
    /// A bank holiday.
    BankHoliday,
    /// Saturday or Sunday.
    Weekend,
}

impl DayKind {
    /// Whether pupils are in: what a limit in school days counts.
    pub const fn pupils_in(self) -> bool {
        matches!(self, DayKind::Full | DayKind::Half)
    }

    /// Whether the school's ordinary contacts are away, so that the holiday contact is asked. Not
    /// for a weekend or a bank holiday by itself: what comes then waits for the next day's desk.
    pub const fn holiday_contact(self) -> bool {
        matches!(self, DayKind::Closed | DayKind::Holiday)
    }

    /// In plain English.
    pub const fn as_str(self) -> &'static str {
        match self {
            DayKind::Full => "full day",
            DayKind::Half => "half day",
            DayKind::Inset => "INSET day",
            DayKind::Closed => "closed",
            DayKind::Holiday => "holiday",
            DayKind::BankHoliday => "bank holiday",
            DayKind::Weekend => "weekend",
        }
    }
}

/// A school of which nothing is known.
pub static UNKNOWN_SCHOOL: SchoolCalendar = SchoolCalendar {
    terms: Vec::new(),
    inset: Vec::new(),
    half_days: Vec::new(),
    closures: Vec::new(),
    home_time: None,
    opens: None,
};

impl SchoolCalendar {
    /// What `day` is, and whether that is assumed. A day between two known terms is known to be a
    /// holiday; before the first and after the last one nothing is known.
    pub fn day(&self, day: Date, bank_holidays: &BankHolidays) -> (DayKind, bool) {
        let within = |first: Date, last: Date| first <= day && day <= last;
        if self.closures.iter().any(|(first, last)| within(*first, *last)) {
            return (DayKind::Closed, false);
        }
        let first = self.terms.iter().map(|term| term.first).min();
        let last = self.terms.iter().map(|term| term.last).max();
        let known = first.zip(last).is_some_and(|(first, last)| within(first, last));
        let kind = if known {
            self.known_day(day, bank_holidays)
        } else {
            assumed::kind(day, bank_holidays)
        };
        let kind = match kind {
            DayKind::Full | DayKind::Holiday if self.inset.contains(&day) => DayKind::Inset,
            DayKind::Full if self.half_days.iter().any(|(half, _)| *half == day) => DayKind::Half,
            kind => kind,
        };
        // That nobody is in on a Saturday or a bank holiday is no guess.
        (kind, !known && !matches!(kind, DayKind::Weekend | DayKind::BankHoliday))
    }

    fn known_day(&self, day: Date, bank_holidays: &BankHolidays) -> DayKind {
        if matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
            DayKind::Weekend
        } else if bank_holidays.contains(day) {
            DayKind::BankHoliday
        } else if self.terms.iter().any(|term| term.first <= day && day <= term.last) {
            DayKind::Full
        } else {
            DayKind::Holiday
        }
    }

    /// Its own days, and its area's as far as it has told none: a school that only tells of a burst pipe
    /// has the terms of everybody around it.
    pub fn or_of_area(mut self, area: Option<&SchoolCalendar>) -> SchoolCalendar {
        let Some(area) = area else { return self };
        if self.terms.is_empty() {
            self.terms.clone_from(&area.terms);
            self.inset.extend(&area.inset);
            self.half_days.extend(&area.half_days);
        }
        self.closures.extend(&area.closures);
        self.home_time = self.home_time.or(area.home_time);
        self.opens = self.opens.or(area.opens);
        self
    }

    /// When pupils go home on a day, in minutes after midnight, and whether that is assumed.
    pub fn home_time(&self, day: Date) -> (u16, bool) {
        match self.half_days.iter().find(|(half, _)| *half == day) {
            Some((_, minute)) => (*minute, false),
            None => (self.home_time.unwrap_or(ASSUMED_HOME_TIME), self.home_time.is_none()),
        }
    }
}
