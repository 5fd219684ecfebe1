//! Counting a school's days: 3 pm on the next one, and an hour before pupils go home.

use super::bank_holidays::BankHolidays;
use super::school::{DayKind, SchoolCalendar};
use crate::domain::hours::england_instant;
use crate::domain::time::{Date, MINUTE, Timestamp};

/// 15:00 in minutes after midnight: before parents collect.
pub const THREE_PM: u16 = 15 * 60;

/// How far the next school day is looked for. Past that a working day stands in.
const FARTHEST: i64 = 120;

/// A school's calendar together with the bank holidays.
#[derive(Debug, Clone, Copy)]
pub struct SchoolDays<'a> {
    /// As told, or empty where nothing is known.
    pub calendar: &'a SchoolCalendar,
    /// Of England and Wales.
    pub bank_holidays: &'a BankHolidays,
}

impl SchoolDays<'_> {
    /// What `day` is.
    pub fn kind(&self, day: Date) -> DayKind {
        self.calendar.day(day, self.bank_holidays).0
    }

    /// Whether what `day` is, or when it ends, rests on an assumption.
    pub fn assumed(&self, day: Date) -> bool {
        self.calendar.day(day, self.bank_holidays).1
    }

    /// The first day after `day` on which pupils are in.
    pub fn next_school_day(&self, day: Date) -> Date {
        self.next(day, DayKind::pupils_in)
    }

    /// The first day after `day` on which pupils are in until home time.
    pub fn next_full_school_day(&self, day: Date) -> Date {
        self.next(day, |kind| kind == DayKind::Full)
    }

    /// 15:00 on the next school day: the day of `at` is day 0 and not counted. Where that is a half
    /// day, when it ends.
    pub fn three_pm_next(&self, at: Timestamp) -> Timestamp {
        let day = self.next_school_day(at.in_england().0);
        england_instant(day, THREE_PM.min(self.end_of(day)))
    }

    /// 15:00 on the next *full* school day: no INSET, no half day, no closure.
    pub fn three_pm_next_full(&self, at: Timestamp) -> Timestamp {
        england_instant(self.next_full_school_day(at.in_england().0), THREE_PM)
    }

    /// When pupils go home on `day`; `None` if they are not in.
    pub fn home_time(&self, day: Date) -> Option<Timestamp> {
        let (minute, _) = self.calendar.home_time(day);
        self.kind(day).pupils_in().then(|| england_instant(day, minute))
    }

    /// So many minutes before pupils go home on `day`, in real time; `None` if they are not in.
    pub fn before_home_time(&self, day: Date, minutes: i64) -> Option<Timestamp> {
        self.home_time(day).map(|at| at.plus(-minutes * MINUTE))
    }

    /// Half days end early; a full day may end before 15:00 and is 15:00 for limits all the same,
    /// for its desk is staffed.
    fn end_of(&self, day: Date) -> u16 {
        match self.kind(day) {
            DayKind::Half => self.calendar.home_time(day).0,
            _ => THREE_PM,
        }
    }

    fn next(&self, day: Date, fits: impl Fn(DayKind) -> bool) -> Date {
        (1..=FARTHEST)
            .map(|ahead| day.plus_days(ahead))
            .find(|day| fits(self.kind(*day)))
            .unwrap_or_else(|| self.bank_holidays.next_working_day(day.plus_days(FARTHEST)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::school::{ASSUMED_HOME_TIME, Term};
    use super::*;
    use crate::domain::hours::england_text;
    use crate::domain::time::HOUR;

    fn d(text: &str) -> Date {
        text.parse().unwrap()
    }

    /// Autumn 2026 and spring 2027, with what a school year has.
    fn school() -> SchoolCalendar {
        let term = |first, last| Term { first: d(first), last: d(last) };
        SchoolCalendar {
            terms: vec![
                term("2027-01-05", "2027-02-12"),
                term("2026-09-03", "2026-10-23"),
                term("2026-11-02", "2026-12-18"),
            ],
            inset: vec![d("2026-11-27"), d("2027-01-04")],
            half_days: vec![(d("2026-12-18"), 12 * 60 + 30)],
            closures: vec![(d("2026-11-30"), d("2026-12-01"))],
            home_time: Some(15 * 60 + 30),
            opens: Some(8 * 60 + 30),
        }
    }

    fn with<T>(calendar: &SchoolCalendar, run: impl Fn(SchoolDays<'_>) -> T) -> T {
        run(SchoolDays { calendar, bank_holidays: &BankHolidays::default() })
    }

    #[test]
    fn a_day_is_what_the_school_said() {
        with(&school(), |days| {
            let kind = |day| days.kind(d(day));
            assert_eq!(kind("2026-11-23"), DayKind::Full);
            assert_eq!(kind("2026-11-27"), DayKind::Inset);
            assert_eq!(kind("2027-01-04"), DayKind::Inset, "between terms");
            assert_eq!(kind("2026-11-30"), DayKind::Closed);
            assert_eq!(kind("2026-12-01"), DayKind::Closed);
            assert_eq!(kind("2026-12-02"), DayKind::Full);
            assert_eq!(kind("2026-12-18"), DayKind::Half);
            assert_eq!(kind("2026-12-21"), DayKind::Holiday);
            assert_eq!(kind("2026-12-25"), DayKind::BankHoliday);
            assert_eq!(kind("2026-10-28"), DayKind::Holiday);
            assert_eq!(kind("2026-11-22"), DayKind::Weekend);
            for known in ["2026-09-03", "2027-02-12", "2026-12-21", "2026-11-30", "2027-02-13"] {
                assert!(!days.assumed(d(known)), "{known}");
            }
            for assumed in ["2026-09-02", "2027-02-15", "2027-08-02"] {
                assert!(days.assumed(d(assumed)), "{assumed}");
            }
        });
    }

    #[test]
    fn three_pm_the_next_school_day() {
        with(&school(), |days| {
            let next = |at: &str| england_text(days.three_pm_next(at.parse().unwrap()));
            let full = |at: &str| england_text(days.three_pm_next_full(at.parse().unwrap()));
            assert_eq!(next("2026-11-23T08:00:00Z"), "Tue 24 Nov 15:00");
            assert_eq!(next("2026-11-23T23:59:00Z"), "Tue 24 Nov 15:00");
            assert_eq!(next("2026-11-26T12:00:00Z"), "Wed 2 Dec 15:00", "INSET, snow");
            assert_eq!(next("2026-12-17T12:00:00Z"), "Fri 18 Dec 12:30", "a half day");
            assert_eq!(full("2026-12-17T12:00:00Z"), "Tue 5 Jan 15:00");
            assert_eq!(full("2026-11-21T12:00:00Z"), "Mon 23 Nov 15:00");
            assert_eq!(next("2026-10-23T14:00:00Z"), "Mon 2 Nov 15:00", "half-term");
        });
        with(&SchoolCalendar::default(), |days| {
            let next = |at: &str| england_text(days.three_pm_next_full(at.parse().unwrap()));
            assert_eq!(next("2026-08-11T12:00:00Z"), "Tue 1 Sep 15:00", "August");
        });
    }

    #[test]
    fn home_time() {
        with(&school(), |days| {
            let before = |day| days.before_home_time(d(day), 60).map(england_text);
            assert_eq!(before("2026-11-23").unwrap(), "Mon 23 Nov 14:30");
            assert_eq!(before("2026-12-18").unwrap(), "Fri 18 Dec 11:30");
            assert_eq!(before("2026-11-27"), None, "INSET");
            assert_eq!(before("2026-09-14").unwrap(), "Mon 14 Sep 14:30", "summer time");
        });
        let unknown = SchoolCalendar::default();
        assert_eq!(unknown.home_time(d("2026-11-23")), (ASSUMED_HOME_TIME, true));
        assert_eq!(school().home_time(d("2026-11-23")), (930, false));
        assert_eq!(school().home_time(d("2026-12-18")), (750, false));
    }

    #[test]
    fn who_is_in() {
        use DayKind::*;
        let all = [Full, Half, Inset, Closed, Holiday, BankHoliday, Weekend];
        assert_eq!(all.map(DayKind::pupils_in), [true, true, false, false, false, false, false]);
        let away = [false, false, false, true, true, false, false];
        assert_eq!(all.map(DayKind::holiday_contact), away);
        let words = all.map(DayKind::as_str).join(", ");
        assert_eq!(words, "full day, half day, INSET day, closed, holiday, bank holiday, weekend");
    }

    #[test]
    fn a_school_that_is_closed_for_good_does_not_stop_the_count() {
        let closed = SchoolCalendar {
            closures: vec![(d("2026-09-01"), d("2030-09-01"))],
            ..SchoolCalendar::default()
        };
        with(&closed, |days| {
            let next = days.next_school_day(d("2026-09-01"));
            assert_eq!(next, d("2026-12-31"));
        });
    }

    proptest! {
        #[test]
        fn always_later_never_longer_than_the_summer_and_at_three(
            hour in 0i64..20_000, later in 0i64..200, known in any::<bool>(),
        ) {
            let calendar = if known { school() } else { SchoolCalendar::default() };
            let shipped = BankHolidays::default();
            let days = SchoolDays { calendar: &calendar, bank_holidays: &shipped };
            let at = d("2026-01-01").midnight_utc().plus(hour * HOUR);
            let (next, full) = (days.three_pm_next(at), days.three_pm_next_full(at));
            prop_assert!(at < next && next <= full);
            prop_assert_eq!(full.in_england().1, THREE_PM);
            prop_assert_eq!(days.kind(full.in_england().0), DayKind::Full);
            prop_assert!(days.kind(next.in_england().0).pupils_in());
            prop_assert!(full.since(at) < 46 * 24 * HOUR);
            let then = at.plus(later * HOUR);
            prop_assert!(days.three_pm_next(then) >= next && days.three_pm_next_full(then) >= full);
        }
    }
}
