//! The school year that is assumed where nobody has told us a school's own.
//!
//! Wrong in the safe direction: closed only where nearly all schools of England are, so that a limit
//! in school days rather ends too early than too late. Every answer that rests on it is marked.

use super::bank_holidays::BankHolidays;
use super::school::DayKind;
use crate::domain::time::{Date, Weekday};

/// What a day is at a school of which nothing is known. Holidays: 25 July to 31 August, 22 December
/// to 1 January, the Monday to Thursday before Good Friday, and the week of the last Monday in May.
pub(super) fn kind(day: Date, bank_holidays: &BankHolidays) -> DayKind {
    if matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
        return DayKind::Weekend;
    }
    if bank_holidays.contains(day) {
        return DayKind::BankHoliday;
    }
    let holiday = match (day.month(), day.day()) {
        (7, 25..) | (8, _) | (12, 22..) | (1, 1) => true,
        (3 | 4, _) => super::easter::easter_sunday(day.year())
            .is_some_and(|sunday| (3..=6).contains(&(sunday.days() - day.days()))),
        (5 | 6, _) => {
            let monday = day.plus_days(1 - i64::from(day.weekday().number()));
            monday.month() == 5 && monday.day() >= 25
        }
        _ => false,
    };
    if holiday { DayKind::Holiday } else { DayKind::Full }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_where_nearly_all_are() {
        let shipped = BankHolidays::default();
        let kind = |day: &str| kind(day.parse().unwrap(), &shipped);
        for holiday in [
            "2026-07-27",
            "2026-08-03",
            "2026-12-22",
            "2026-12-31",
            "2026-03-30",
            "2026-04-02",
            "2026-05-26",
            "2026-05-29",
            "2024-05-31",
            "2026-08-28",
        ] {
            assert_eq!(kind(holiday), DayKind::Holiday, "{holiday}");
        }
        for open in [
            "2026-07-24",
            "2026-09-01",
            "2026-12-21",
            "2026-03-27",
            "2026-04-07",
            "2026-05-22",
            "2026-06-01",
            "2027-01-04",
            "2026-10-28",
            "2026-02-18",
            "2026-06-30",
        ] {
            assert_eq!(kind(open), DayKind::Full, "{open}");
        }
        assert_eq!(kind("2026-04-03"), DayKind::BankHoliday, "Good Friday");
        assert_eq!(kind("2026-05-25"), DayKind::BankHoliday);
        assert_eq!(kind("2027-01-01"), DayKind::BankHoliday);
        assert_eq!(kind("2026-08-01"), DayKind::Weekend);
        assert_eq!(kind("2026-11-22"), DayKind::Weekend);
        // June begins within the week of the last Monday in May.
        assert_eq!(kind("2027-06-04"), DayKind::Holiday);
        assert_eq!(kind("2027-06-07"), DayKind::Full);
        assert_eq!(BankHolidays::default().days().first().unwrap().year(), 1978);
    }
}
