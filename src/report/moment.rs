//! Times as a document for strangers writes them: the day in full, England's time, and how far that is
//! from UTC.

use crate::domain::hours::england_text;
use crate::domain::time::{MINUTE, Timestamp};

/// `Mon 23 Nov 2026 14:20:05 GMT (UTC+00:00)`.
pub fn moment(at: Timestamp) -> String {
    let (date, minute) = at.in_england();
    let local = date.midnight_utc().plus(i64::from(minute) * MINUTE);
    // Whole hours: England is on UTC or an hour ahead of it.
    let ahead = local.since(at.plus(-at.millis().rem_euclid(MINUTE))) / (60 * MINUTE);
    let zone = if ahead == 0 { "GMT" } else { "BST" };
    let text = england_text(at);
    let (day, time) = text.rsplit_once(' ').unwrap_or((&text, ""));
    let second = at.seconds().rem_euclid(60);
    format!("{day} {} {time}:{second:02} {zone} (UTC+{ahead:02}:00)", date.year())
}

/// Milliseconds as `2 d 3 h 5 min`; less than a minute as seconds.
pub fn length(millis: i64) -> String {
    let minutes = millis / MINUTE;
    let (days, hours, rest) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    match (days, hours, rest) {
        (0, 0, 0) => format!("{} s", millis / 1_000),
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, m) => format!("{d} d {h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_names_its_day_its_zone_and_its_distance_from_utc() {
        let said = |text: &str| moment(text.parse().unwrap());
        assert_eq!(said("2026-11-23T14:20:05.900Z"), "Mon 23 Nov 2026 14:20:05 GMT (UTC+00:00)");
        assert_eq!(said("2026-07-01T23:30:00Z"), "Thu 2 Jul 2026 00:30:00 BST (UTC+01:00)");
        // The hour that comes twice: the same words but for the zone.
        assert_eq!(said("2026-10-25T00:30:00Z"), "Sun 25 Oct 2026 01:30:00 BST (UTC+01:00)");
        assert_eq!(said("2026-10-25T01:30:00Z"), "Sun 25 Oct 2026 01:30:00 GMT (UTC+00:00)");
        assert_eq!(length(59_999), "59 s");
        assert_eq!(length(2 * 86_400_000 + 3 * 3_600_000 + 5 * 60_000), "2 d 3 h 5 min");
    }
}
