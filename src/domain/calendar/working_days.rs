//! Working days: Monday to Friday less bank holidays.
//!
//! The day on which a count starts is day 0: it is not counted, and neither is its hour. A limit of
//! one working day that starts on Monday at 09:00 or at 23:00 ends on Tuesday. Reasons: "within one
//! working day of" a referral leaves one whole working day whatever the hour; and a start on a
//! Saturday needs no rule of its own. (The validator of the children in need census,
//! github.com/data-to-insight/csc-validator-be-cin, counts first and last day alike, so its 45th
//! day is the 44th here. A profile may be that much faster; see `clocks::Limit`.)

use super::bank_holidays::BankHolidays;
use crate::domain::hours::england_instant;
use crate::domain::time::{Date, Timestamp};

/// The hour at which a limit in working days ends on its last day: 17:00, in minutes after
/// midnight. One hour for all authorities, so that their figures can be compared.
pub const END_OF_WORKING_DAY: u16 = 17 * 60;

impl BankHolidays {
    /// Whether `day` is a working day.
    pub fn is_working_day(&self, day: Date) -> bool {
        day.weekday().number() <= 5 && !self.contains(day)
    }

    /// `day` if it is a working day, otherwise the first one after it.
    pub fn working_day_from(&self, day: Date) -> Date {
        // No run of days off is longer than a week, so this ends; a directory that lists every day
        // of a year is left after it.
        let mut day = day;
        while !self.is_working_day(day) {
            day = day.plus_days(1);
        }
        day
    }

    /// The first working day after `day`.
    pub fn next_working_day(&self, day: Date) -> Date {
        self.working_day_from(day.plus_days(1))
    }

    /// The last day of a limit of `count` working days whose day 0 is `day`. Of none: `day` itself,
    /// or the first working day after it.
    pub fn add_working_days(&self, day: Date, count: u16) -> Date {
        match count {
            0 => self.working_day_from(day),
            _ => (0..count).fold(day, |day, _| self.next_working_day(day)),
        }
    }

    /// How many working days there are after `from`, up to `to` and including it; 0 if `to` is not
    /// after `from`.
    pub fn working_days_between(&self, from: Date, to: Date) -> usize {
        (from.days() + 1..=to.days()).filter(|d| self.is_working_day(Date::from_days(*d))).count()
    }

    /// Day 0 of something received at `at`: the day itself, in England. With a cut-off (minutes
    /// after midnight) what comes later than that, or on a day off, counts as received on the next
    /// working day. Whoever is in danger is never made to wait by a cut-off: pass `None`.
    pub fn day_of_receipt(&self, at: Timestamp, cut_off: Option<u16>) -> Date {
        let (day, minute) = at.in_england();
        match cut_off {
            Some(_) if !self.is_working_day(day) => self.next_working_day(day),
            Some(cut_off) if minute > cut_off => self.next_working_day(day),
            _ => day,
        }
    }

    /// When a limit of `count` working days ends whose day 0 is `day`: 17:00 of the last one.
    pub fn end_of_working_days(&self, day: Date, count: u16) -> Timestamp {
        england_instant(self.add_working_days(day, count), END_OF_WORKING_DAY)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::hours::england_text;

    fn d(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn day_0_is_not_counted_whatever_it_is() {
        let shipped = BankHolidays::default();
        let one = |day| shipped.add_working_days(d(day), 1).to_string();
        assert_eq!(one("2026-11-20"), "2026-11-23", "Friday");
        assert_eq!(one("2026-11-21"), "2026-11-23", "Saturday");
        assert_eq!(one("2026-11-22"), "2026-11-23", "Sunday");
        assert_eq!(one("2026-11-23"), "2026-11-24", "Monday");
        assert_eq!(one("2026-12-24"), "2026-12-29", "Christmas Eve");
        assert_eq!(shipped.add_working_days(d("2026-12-26"), 0), d("2026-12-29"));
        assert_eq!(shipped.add_working_days(d("2026-11-20"), 0), d("2026-11-20"));
        assert_eq!(shipped.add_working_days(d("2028-02-28"), 1), d("2028-02-29"), "leap day");
    }

    #[test]
    fn the_cut_off_moves_day_0_and_nothing_else() {
        let shipped = BankHolidays::default();
        let day = |at: &str, cut_off| shipped.day_of_receipt(at.parse().unwrap(), cut_off);
        let four = Some(16 * 60);
        assert_eq!(day("2026-11-20T16:00:00Z", four), d("2026-11-20"), "at the hour itself");
        assert_eq!(day("2026-11-20T16:01:00Z", four), d("2026-11-23"));
        assert_eq!(day("2026-11-21T10:00:00Z", four), d("2026-11-23"), "a Saturday");
        assert_eq!(day("2026-11-21T10:00:00Z", None), d("2026-11-21"));
        assert_eq!(day("2026-11-20T23:59:00Z", None), d("2026-11-20"));
        assert_eq!(day("2026-07-03T15:01:00Z", four), d("2026-07-06"), "summer time");
        let end = shipped.end_of_working_days(d("2026-11-20"), 1);
        assert_eq!(england_text(end), "Mon 23 Nov 17:00");
    }

    #[test]
    fn a_directory_that_lists_every_day_of_a_year_does_not_stop_the_count() {
        let all: Vec<Date> = (0..366).map(|i| d("2028-01-01").plus_days(i)).collect();
        let closed = BankHolidays::new(&all);
        assert_eq!(closed.next_working_day(d("2028-01-01")), d("2029-01-02"));
    }

    proptest! {
        #[test]
        fn more_working_days_never_end_earlier_and_always_on_a_working_day(
            day in 2_000i64..80_000, count in 0u16..60, more in 0u16..60,
        ) {
            let shipped = BankHolidays::default();
            let day = Date::from_days(day);
            let last = shipped.add_working_days(day, count);
            prop_assert!(shipped.is_working_day(last));
            prop_assert!(last <= shipped.add_working_days(day, count + more));
            prop_assert!(last <= shipped.add_working_days(day.plus_days(1), count));
            let end = shipped.end_of_working_days(day, count);
            prop_assert_eq!(end.in_england(), (last, END_OF_WORKING_DAY));
            if count > 0 {
                prop_assert_eq!(shipped.working_days_between(day, last), usize::from(count));
            }
            prop_assert_eq!(shipped.working_days_between(last, day.plus_days(-1)), 0);
        }

        #[test]
        fn what_comes_later_never_has_an_earlier_day_0(
            minute in 0i64..2_000_000, later in 0i64..20_000, cut_off in prop::option::of(0u16..1440),
        ) {
            let shipped = BankHolidays::default();
            let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let at = from.plus(minute * crate::domain::time::MINUTE);
            let then = at.plus(later * crate::domain::time::MINUTE);
            prop_assert!(shipped.day_of_receipt(at, cut_off) <= shipped.day_of_receipt(then, cut_off));
        }
    }
}
