//! Time that only runs while an authority's office is open.

use std::sync::LazyLock;

use super::bank_holidays::BankHolidays;
use crate::domain::hours::Hours;
use crate::domain::time::Timestamp;

/// More openings than this are not counted: a limit of hours that needs so many is none.
const MOST_OPENINGS: usize = 64;

/// Monday to Friday 09:00 to 17:00, not on bank holidays: assumed where no hours are known, and the
/// slowest that any authority's hours may make a limit.
pub fn office_hours() -> &'static Hours {
    // A constant text, which a test reads.
    static OFFICE: LazyLock<Hours> =
        LazyLock::new(|| "mon-fri 09:00-17:00".parse().unwrap_or_else(|_| Hours::always()));
    &OFFICE
}

/// The instant at which `millis` of opening time have passed since `start`. Real time is counted, so
/// that a night in which the clocks change has the hours that it has. An authority's own hours may
/// bring the end forward; they never put it off beyond what [`office_hours`] give.
pub fn after_business_time(
    start: Timestamp,
    millis: i64,
    hours: Option<&Hours>,
    bank_holidays: &BankHolidays,
) -> Timestamp {
    let end = |hours: &Hours| run(start, millis, hours, bank_holidays);
    [end(office_hours()), hours.and_then(end)]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(start.plus(millis))
}

fn run(
    start: Timestamp,
    millis: i64,
    hours: &Hours,
    bank_holidays: &BankHolidays,
) -> Option<Timestamp> {
    let mut left = millis;
    let mut at = start;
    for _ in 0..MOST_OPENINGS {
        at = hours.next_open(at, bank_holidays.days())?;
        let end = hours.open_until(at, bank_holidays.days())?;
        if left <= end.since(at) {
            return Some(at.plus(left));
        }
        left -= end.since(at);
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::hours::england_text;
    use crate::domain::time::{HOUR, MINUTE};

    fn end(start: &str, minutes: i64, hours: &str) -> String {
        let hours: Hours = hours.parse().unwrap();
        let start = start.parse().unwrap();
        let end =
            after_business_time(start, minutes * MINUTE, Some(&hours), &BankHolidays::default());
        england_text(end)
    }

    const OFFICE: &str = "mon-fri 09:00-17:00";

    #[test]
    fn four_business_hours() {
        assert_eq!(office_hours().to_string(), OFFICE);
        assert_eq!(end("2026-11-23T09:30:00Z", 240, OFFICE), "Mon 23 Nov 13:30");
        assert_eq!(end("2026-11-23T13:00:00Z", 240, OFFICE), "Mon 23 Nov 17:00", "to the minute");
        assert_eq!(end("2026-11-20T15:00:00Z", 240, OFFICE), "Mon 23 Nov 11:00");
        assert_eq!(end("2026-11-21T10:00:00Z", 240, OFFICE), "Mon 23 Nov 13:00", "a Saturday");
        assert_eq!(end("2026-12-24T16:00:00Z", 240, OFFICE), "Tue 29 Dec 12:00", "Christmas");
        assert_eq!(end("2026-11-20T18:00:00Z", 240, "always"), "Fri 20 Nov 22:00");
        let early = "mon-fri 08:00-12:00";
        assert_eq!(end("2026-11-23T07:00:00Z", 240, early), "Mon 23 Nov 12:00");
    }

    #[test]
    fn short_hours_never_make_a_limit_longer_than_office_hours_do() {
        assert_eq!(end("2026-11-24T09:00:00Z", 240, "mon 09:00-10:00"), "Tue 24 Nov 13:00");
        assert_eq!(end("2026-11-24T09:00:00Z", 40 * 60, "mon 09:00-09:01"), "Mon 30 Nov 17:00");
    }

    #[test]
    fn a_night_of_changing_clocks_has_the_hours_that_it_has() {
        let night = "sat 22:00-06:00";
        // 28 March 2026: 22:00 to 06:00 local is seven hours; 24 October: nine.
        assert_eq!(end("2026-03-28T22:00:00Z", 420, night), "Sun 29 Mar 06:00");
        assert_eq!(end("2026-10-24T21:00:00Z", 540, night), "Sun 25 Oct 06:00");
        assert_eq!(end("2026-10-24T21:00:00Z", 300, night), "Sun 25 Oct 02:00");
    }

    proptest! {
        #[test]
        fn later_starts_and_longer_limits_never_end_earlier(
            minute in 0i64..600_000, later in 0i64..6_000, limit in 1i64..1_200, more in 0i64..600,
            own in prop::sample::select(vec![OFFICE, "always", "mon-thu 08:30-17:30, fri 08:30-16:00",
                "fri 17:00-09:00 incl bank holidays", "wed 10:00-11:00"]),
        ) {
            let holidays = BankHolidays::default();
            let hours: Hours = own.parse().unwrap();
            let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let start = from.plus(minute * MINUTE);
            let due = |start, minutes| {
                after_business_time(start, minutes * MINUTE, Some(&hours), &holidays)
            };
            let end = due(start, limit);
            prop_assert!(end >= start.plus(limit * MINUTE));
            prop_assert!(end <= due(start, limit + more));
            prop_assert!(end <= due(start.plus(later * MINUTE), limit));
            prop_assert!(end <= after_business_time(start, limit * MINUTE, None, &holidays));
            let last = end.plus(-1);
            prop_assert!(
                hours.open_at(last, holidays.days()) || office_hours().open_at(last, holidays.days())
            );
            prop_assert!(end.since(start) < 300 * 24 * HOUR);
        }
    }
}
