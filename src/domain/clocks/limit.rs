//! How long a clock may run, and the instant at which that ends.

use std::fmt;
use std::str::FromStr;

use super::id::ClockId;
use crate::domain::calendar::{
    AuthorityHours, BankHolidays, SchoolDays, THREE_PM, after_business_time, office_hours,
};
use crate::domain::hours::{Hours, england_instant};
use crate::domain::referral::Urgency;
use crate::domain::time::{Date, HOUR, MINUTE, SECOND, Timestamp};

/// A length of time in one of the calendars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Milliseconds as they pass, day and night.
    Real(i64),
    /// Milliseconds while the authority's office is open.
    Open(i64),
    /// To 17:00 of so many working days after the day of the start.
    WorkingDays(u16),
    /// To 15:00 of the school's next day.
    NextSchoolDay,
    /// To 15:00 of the school's next full day.
    NextFullSchoolDay,
    /// [`home_time_limit`].
    HomeTime,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Real(millis) if millis % HOUR == 0 => write!(f, "{} h", millis / HOUR),
            Limit::Real(millis) if millis % MINUTE == 0 => write!(f, "{} min", millis / MINUTE),
            Limit::Real(millis) => write!(f, "{} s", millis / SECOND),
            Limit::Open(millis) => write!(f, "{} of business", Limit::Real(*millis)),
            Limit::WorkingDays(1) => f.write_str("1 working day"),
            Limit::WorkingDays(days) => write!(f, "{days} working days"),
            Limit::NextSchoolDay => f.write_str("15:00 of the next school day"),
            Limit::NextFullSchoolDay => f.write_str("15:00 of the next full school day"),
            Limit::HomeTime => f.write_str("an hour before home time"),
        }
    }
}

impl FromStr for Limit {
    type Err = LimitError;

    /// As [`Limit`] is written: `30 min`, `2 h of business`, `44 working days`. Limits that follow a
    /// school's day are the scheme's alone.
    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (number, rest) = text.split_once(' ').ok_or(LimitError)?;
        let plain = !number.starts_with(['0', '+']) && number.len() <= 4;
        let number: u16 = number.parse().ok().filter(|_| plain).ok_or(LimitError)?;
        let of = |unit: i64| i64::from(number) * unit;
        Ok(match rest {
            "min" => Limit::Real(of(MINUTE)),
            "h" => Limit::Real(of(HOUR)),
            "min of business" => Limit::Open(of(MINUTE)),
            "h of business" => Limit::Open(of(HOUR)),
            "working day" if number == 1 => Limit::WorkingDays(1),
            "working days" => Limit::WorkingDays(number),
            _ => return Err(LimitError),
        })
    }
}

/// The text is not a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitError;

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a limit is written like 30 min, 2 h, 2 h of business or 44 working days")
    }
}

impl Limit {
    /// Whether it can never end after `other`, whenever both start and whatever days are off. Real time
    /// against working days: so many whole days less the eight hours between 17:00 and midnight and
    /// the one that a night of changing clocks may lack. Business hours: eight to a working day.
    pub const fn never_later_than(self, other: Limit) -> bool {
        match (self, other) {
            (Limit::Real(own), Limit::Real(of) | Limit::Open(of)) => own <= of,
            (Limit::Open(own), Limit::Open(of)) => own <= of,
            (Limit::WorkingDays(own), Limit::WorkingDays(of)) => own <= of,
            (Limit::Real(own), Limit::WorkingDays(of)) => own <= of as i64 * 24 * HOUR - 8 * HOUR,
            (Limit::Open(own), Limit::WorkingDays(of)) => own <= of as i64 * 8 * HOUR,
            _ => false,
        }
    }
}

/// The clocks on which an authority may promise more than the scheme asks for: those that wait for
/// its people.
pub const PROMISED: [ClockId; 8] = [
    ClockId::C3,
    ClockId::C5,
    ClockId::C7,
    ClockId::C8,
    ClockId::C9,
    ClockId::C10,
    ClockId::C11,
    ClockId::C13,
];

/// Whether `limit` is a promise on that clock: no slower than what the scheme asks for, at least for
/// some urgency. Where it is slower for another one, the scheme's limit counts there.
pub fn is_promise(id: ClockId, limit: Limit) -> bool {
    let faster = |urgency| limit.never_later_than(standard_limit(id, urgency));
    PROMISED.contains(&id) && Urgency::ALL.into_iter().any(faster)
}

/// Where an authority has promised more than the scheme asks for. It can make a clock faster and
/// never slower: the earlier of the two ends counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its own limits.
    pub faster: Vec<(ClockId, Limit)>,
    /// Whether its head of service wants to be on ladders.
    pub head_of_service: bool,
}

/// The scheme's limit of a clock. C9's is the assessment's, C11's that of one stage.
pub const fn standard_limit(id: ClockId, urgency: Urgency) -> Limit {
    match (id, urgency) {
        (ClockId::C1, _) => Limit::Real(5 * SECOND),
        (ClockId::C2, Urgency::U0 | Urgency::U1) => Limit::Real(60 * SECOND),
        (ClockId::C2, _) => Limit::Real(15 * MINUTE),
        (ClockId::C3, Urgency::U0) => Limit::Real(15 * MINUTE),
        (ClockId::C3, Urgency::U1) => Limit::Real(HOUR),
        (ClockId::C3, Urgency::U2) => Limit::Open(4 * HOUR),
        (ClockId::C4, _) => Limit::HomeTime,
        (ClockId::C6 | ClockId::C11, Urgency::U0 | Urgency::U1) => Limit::Real(2 * HOUR),
        (ClockId::C8, Urgency::U0 | Urgency::U1) => Limit::Real(30 * MINUTE),
        (ClockId::C8, _) => Limit::Open(4 * HOUR),
        (ClockId::C9, _) => Limit::WorkingDays(45),
        (ClockId::C10, _) => Limit::WorkingDays(15),
        (ClockId::C12, _) => Limit::NextSchoolDay,
        (ClockId::C15, _) => Limit::NextFullSchoolDay,
        (ClockId::E10, _) => Limit::Real(5 * MINUTE),
        (ClockId::R1, _) => Limit::Real(24 * HOUR),
        (ClockId::R2, _) => Limit::NextSchoolDay,
        (
            ClockId::C3 | ClockId::C5 | ClockId::C6 | ClockId::C7 | ClockId::C11 | ClockId::C13,
            _,
        ) => Limit::WorkingDays(1),
    }
}

/// Working days between two progress notes of an assessment.
pub(super) const NOTE_EVERY: u16 = 10;

/// The end of a disagreement as a whole: one working week; one working day where a child is in danger.
pub(super) const fn whole_disagreement(urgency: Urgency) -> Limit {
    Limit::WorkingDays(if urgency.is_urgent() { 1 } else { 5 })
}

/// Whose days a limit is counted in.
pub(super) struct Count<'a> {
    pub bank_holidays: &'a BankHolidays,
    pub hours: &'a AuthorityHours,
    pub school: SchoolDays<'a>,
    /// Until when the authority's cut-off moves the day of a start: until somebody says that a child
    /// is in danger; `None` for all but what comes in.
    pub cut_off_before: Option<Timestamp>,
    /// When the child goes home, where the school has said so.
    pub goes_home_at: Option<Timestamp>,
}

impl Count<'_> {
    /// When a limit that starts at `start` ends.
    pub fn end(&self, start: Timestamp, limit: Limit) -> Timestamp {
        match limit {
            Limit::Real(millis) => start.plus(millis),
            Limit::Open(millis) => {
                after_business_time(start, millis, self.hours.staffed.as_ref(), self.bank_holidays)
            }
            Limit::WorkingDays(days) => {
                self.bank_holidays.end_of_working_days(self.day_0(start), days)
            }
            Limit::NextSchoolDay => self.school.three_pm_next(start),
            Limit::NextFullSchoolDay => self.school.three_pm_next_full(start),
            Limit::HomeTime => {
                let day = start.in_england().0;
                let goes_home = self.goes_home_at.or_else(|| self.school.home_time(day));
                home_time_limit(start, goes_home.unwrap_or(england_instant(day, THREE_PM))).0
            }
        }
    }

    /// The day that is not counted.
    pub fn day_0(&self, start: Timestamp) -> Date {
        let cut_off = self.cut_off_before.filter(|until| start < *until);
        let cut_off = cut_off.and_then(|_| self.hours.cut_off());
        self.bank_holidays.day_of_receipt(start, cut_off)
    }

    /// Until when a limit stands still at `now`, because its calendar does.
    pub fn still_until(&self, now: Timestamp, limit: Limit) -> Option<Timestamp> {
        let today = now.in_england().0;
        let from = |day: Date| Some(england_instant(day, 0));
        match limit {
            Limit::Real(_) | Limit::HomeTime => None,
            Limit::Open(_) => {
                let hours = self.hours.staffed.iter().chain([office_hours()]);
                let next = |h: &Hours| h.next_open(now, self.bank_holidays.days());
                hours.filter_map(next).min().filter(|at| *at > now)
            }
            Limit::WorkingDays(_) if self.bank_holidays.is_working_day(today) => None,
            Limit::WorkingDays(_) => from(self.bank_holidays.next_working_day(today)),
            Limit::NextSchoolDay | Limit::NextFullSchoolDay => {
                let away = !self.school.kind(today).pupils_in();
                if away { from(self.school.next_school_day(today)) } else { None }
            }
        }
    }

    /// Whether an end in this calendar may still move: computed bank holidays, a school's days or
    /// an authority's hours that nobody has told us.
    pub fn assumed(&self, limit: Limit, end: Timestamp) -> bool {
        let day = end.in_england().0;
        match limit {
            Limit::Real(_) => false,
            Limit::Open(_) => {
                self.hours.staffed.is_none() || self.bank_holidays.provisional(day.year())
            }
            Limit::WorkingDays(_) => self.bank_holidays.provisional(day.year()),
            Limit::NextSchoolDay | Limit::NextFullSchoolDay => self.school.assumed(day),
            Limit::HomeTime => {
                self.goes_home_at.is_none()
                    && (self.school.assumed(day) || self.school.calendar.home_time(day).1)
            }
        }
    }
}

/// C4: the later of 20 minutes after receipt and the earlier of 15:00 and an hour before the child
/// goes home; and whether that is short notice, with less than the 20 minutes that anybody needs.
pub fn home_time_limit(received: Timestamp, goes_home_at: Timestamp) -> (Timestamp, bool) {
    let three = england_instant(goes_home_at.in_england().0, THREE_PM);
    let wanted = three.min(goes_home_at.plus(-HOUR));
    let possible = received.plus(20 * MINUTE);
    (wanted.max(possible), possible > wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_it_is_written() {
        for text in ["30 min", "2 h", "2 h of business", "90 min of business", "1 working day"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        assert_eq!("44 working days".parse(), Ok(Limit::WorkingDays(44)));
        for bad in ["", "2", "2 days", "0 h", "+2 h", "02 h", "-1 h", "2  h", "99999 h", "2 hours"]
        {
            assert_eq!(bad.parse::<Limit>(), Err(LimitError), "{bad}");
        }
    }

    #[test]
    fn a_promise_is_never_slower_than_the_scheme() {
        let takes = |id, text: &str| is_promise(id, text.parse().unwrap());
        for (id, text) in [
            (ClockId::C3, "30 min"),
            (ClockId::C3, "2 h of business"),
            (ClockId::C3, "1 working day"),
            (ClockId::C5, "1 working day"),
            (ClockId::C5, "8 h of business"),
            (ClockId::C5, "16 h"),
            (ClockId::C9, "44 working days"),
            (ClockId::C13, "4 h of business"),
            (ClockId::C8, "3 h of business"),
            (ClockId::C8, "4 h of business"),
            (ClockId::C8, "20 min"),
        ] {
            assert!(takes(id, text), "{} {text}", id.as_str());
        }
        for (id, text) in [
            (ClockId::C3, "2 working days"),
            (ClockId::C5, "2 working days"),
            (ClockId::C5, "9 h of business"),
            (ClockId::C5, "17 h"),
            (ClockId::C8, "5 h of business"),
            (ClockId::C8, "5 h"),
            (ClockId::C9, "46 working days"),
            (ClockId::C4, "10 min"),
            (ClockId::C12, "1 h"),
        ] {
            assert!(!takes(id, text), "{} {text}", id.as_str());
        }
    }

    #[test]
    fn what_is_never_later_ends_never_later() {
        let holidays = BankHolidays::default();
        let hours = AuthorityHours::default();
        let school = SchoolDays {
            calendar: &crate::domain::calendar::UNKNOWN_SCHOOL,
            bank_holidays: &holidays,
        };
        let count = Count {
            bank_holidays: &holidays,
            hours: &hours,
            school,
            cut_off_before: None,
            goes_home_at: None,
        };
        let from: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let pairs = [
            (Limit::Real(16 * HOUR), Limit::WorkingDays(1)),
            (Limit::Open(8 * HOUR), Limit::WorkingDays(1)),
            (Limit::Open(40 * HOUR), Limit::WorkingDays(5)),
            (Limit::Real(4 * HOUR), Limit::Open(4 * HOUR)),
        ];
        // A spring and an autumn, with both nights of changing clocks.
        for (own, of) in pairs {
            assert!(own.never_later_than(of));
            for half_hour in 0..48 * 250 {
                let start = from.plus(half_hour * 30 * MINUTE + 29 * MINUTE);
                assert!(count.end(start, own) <= count.end(start, of), "{own} {of} {start}");
            }
        }
    }
}
