//! Opening hours in England's local time, and when somebody will next be there.
//!
//! Written `mon-fri 09:00-17:00, sat 10:00-12:00`, optionally followed by `incl bank holidays`;
//! `always` means every minute of the year. A span may run past midnight (`fri 17:00-09:00` ends
//! on Saturday morning).

use std::fmt;
use std::str::FromStr;

use super::time::{Date, HOUR, MINUTE, Timestamp, Weekday};

/// A week of opening hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    spans: Vec<Span>,
    on_bank_holidays: bool,
}

/// A run of days with one opening on each: minutes after local midnight, `to` exclusive. `to` not
/// after `from` means that the opening ends on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first_day: u8,
    last_day: u8,
    from: u16,
    to: u16,
}

impl Hours {
    /// Every minute, bank holidays included.
    pub fn always() -> Self {
        let span = Span { first_day: 1, last_day: 7, from: 0, to: LAST_MINUTE };
        Self { spans: vec![span], on_bank_holidays: true }
    }

    /// Whether it is open at `at`. `bank_holidays` are sorted dates of England and Wales. An
    /// opening belongs to the day on which it starts: the night from a working Friday into a bank
    /// holiday is open, the night from the bank holiday on is not.
    pub fn open_at(&self, at: Timestamp, bank_holidays: &[Date]) -> bool {
        let (today, minute) = at.in_england();
        let yesterday = today.plus_days(-1);
        self.spans_on(today, bank_holidays)
            .any(|s| s.from <= minute && (minute < s.to || s.overnight()))
            || self.spans_on(yesterday, bank_holidays).any(|s| s.overnight() && minute < s.to)
    }

    /// The next instant, `at` included, at which it is open; `None` if it never opens within four
    /// weeks (no week has that many bank holidays, so it then never opens).
    pub fn next_open(&self, at: Timestamp, bank_holidays: &[Date]) -> Option<Timestamp> {
        if self.open_at(at, bank_holidays) {
            return Some(at);
        }
        let today = at.in_england().0;
        (0..28).map(|days| today.plus_days(days)).find_map(|day| {
            self.spans_on(day, bank_holidays)
                .map(|span| england_instant(day, span.from))
                .filter(|start| *start > at)
                .min()
        })
    }

    /// The instant at which the opening of `at` ends; `None` if it is not open at `at`. Another one
    /// may begin at once.
    pub fn open_until(&self, at: Timestamp, bank_holidays: &[Date]) -> Option<Timestamp> {
        if !self.open_at(at, bank_holidays) {
            return None;
        }
        let (today, minute) = at.in_england();
        let tomorrow = today.plus_days(1);
        let of_today = self
            .spans_on(today, bank_holidays)
            .filter(|s| s.from <= minute && (minute < s.to || s.overnight()))
            .map(|s| england_instant(if s.overnight() { tomorrow } else { today }, s.to));
        let of_yesterday = self
            .spans_on(today.plus_days(-1), bank_holidays)
            .filter(|s| s.overnight() && minute < s.to)
            .map(|s| england_instant(today, s.to));
        let end = of_today.chain(of_yesterday).max()?;
        // An end within the hour that comes twice is meant both times; one within the hour that is
        // skipped is the instant of the skip.
        let end = if end > at { end } else { end.plus(HOUR) };
        let skip = today.midnight_utc().plus(HOUR);
        let skipped = at < skip && skip < end && !self.open_at(end.plus(-1), bank_holidays);
        Some(if skipped { skip } else { end })
    }

    fn spans_on(&self, day: Date, bank_holidays: &[Date]) -> impl Iterator<Item = &Span> {
        let closed = !self.on_bank_holidays && bank_holidays.binary_search(&day).is_ok();
        let weekday = day.weekday().number();
        self.spans.iter().filter(move |s| !closed && (s.first_day..=s.last_day).contains(&weekday))
    }
}

impl Span {
    fn overnight(&self) -> bool {
        self.to <= self.from
    }
}

/// The instant of a local time in England. In the hour that summer time skips, the instant at which
/// the clock would have shown it; in the hour that comes twice, the first one.
pub fn england_instant(date: Date, minute: u16) -> Timestamp {
    let winter = date.midnight_utc().plus(i64::from(minute) * MINUTE);
    let summer = winter.plus(-HOUR);
    let wanted = (date.plus_days(i64::from(minute / LAST_MINUTE)), minute % LAST_MINUTE);
    if summer.in_england() == wanted { summer } else { winter }
}

/// An instant as a person in England reads it: `Mon 23 Nov 09:00`.
pub fn england_text(at: Timestamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, minute) = at.in_england();
    let month = MONTHS[usize::from(date.month() - 1)];
    let day = match date.weekday() {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    };
    format!("{day} {} {month} {:02}:{:02}", date.day(), minute / 60, minute % 60)
}

/// Minutes of a day; as an end, midnight at the end of the day.
const LAST_MINUTE: u16 = 24 * 60;
const BANK_HOLIDAYS: &str = "incl bank holidays";
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The text is not opening hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotHours;

impl fmt::Display for NotHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not opening hours such as \"mon-fri 09:00-17:00, sat 10:00-12:00\", with \
             \"incl bank holidays\" at the end where that is so, or \"always\"",
        )
    }
}

impl std::error::Error for NotHours {}

impl FromStr for Hours {
    type Err = NotHours;

    fn from_str(text: &str) -> Result<Self, NotHours> {
        if text == "always" {
            return Ok(Self::always());
        }
        let (week, on_bank_holidays) = match text.strip_suffix(BANK_HOLIDAYS) {
            Some(week) => (week.strip_suffix(' ').ok_or(NotHours)?, true),
            None => (text, false),
        };
        let spans = week.split(", ").map(span).collect::<Option<Vec<_>>>().ok_or(NotHours)?;
        if spans.len() > 14 { Err(NotHours) } else { Ok(Self { spans, on_bank_holidays }) }
    }
}

fn span(text: &str) -> Option<Span> {
    let (days, times) = text.split_once(' ')?;
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    let (from, to) = times.split_once('-')?;
    let day = |text: &str| DAYS.iter().zip(1..).find(|(day, _)| **day == text).map(|(_, n)| n);
    let (first_day, last_day) = (day(first)?, day(last)?);
    let (from, to) = (minute(from)?, minute(to)?);
    let valid = first_day <= last_day && from < LAST_MINUTE && from != to && to > 0;
    valid.then_some(Span { first_day, last_day, from, to })
}

fn minute(text: &str) -> Option<u16> {
    let [h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    if [h1, h2, m1, m2].iter().any(|c| !c.is_ascii_digit()) {
        return None;
    }
    let digit = |c: &u8| u16::from(c - b'0');
    let (hour, minute) = (digit(h1) * 10 + digit(h2), digit(m1) * 10 + digit(m2));
    let total = hour * 60 + minute;
    (minute < 60 && total <= LAST_MINUTE).then_some(total)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::always() {
            return f.write_str("always");
        }
        for (i, s) in self.spans.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            let day = |number: u8| DAYS[usize::from(number - 1)];
            f.write_str(day(s.first_day))?;
            if s.last_day > s.first_day {
                write!(f, "-{}", day(s.last_day))?;
            }
            let (from, to) = (s.from, s.to);
            write!(f, " {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)?;
        }
        if self.on_bank_holidays { write!(f, " {BANK_HOLIDAYS}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn office() -> Hours {
        "mon-fri 09:00-17:00".parse().unwrap()
    }

    #[test]
    fn one_spelling_per_week() {
        for text in [
            "mon-fri 09:00-17:00",
            "mon-thu 08:30-17:30, fri 08:30-16:30",
            "fri 17:00-09:00 incl bank holidays",
            "sun 00:00-24:00",
            "always",
        ] {
            assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "Mon-Fri 09:00-17:00",
            "fri-mon 09:00-17:00",
            "mon 9:00-17:00",
            "mon 09:00",
            "mon 09:00-09:00",
            "mon 24:00-09:00",
            "mon 09:00-00:00",
            "mon 08:60-10:00",
            "mon 09:00-16:60",
            "mon 09:00-24:30",
            "incl bank holidays",
            "mon 09:00-17:00incl bank holidays",
        ] {
            assert_eq!(text.parse::<Hours>(), Err(NotHours), "{text}");
        }
    }

    #[test]
    fn hours_are_local_on_both_sides_of_summer_time() {
        let hours = office();
        // Friday before and Monday after the clocks go forward: 09:00 moves from 09:00Z to 08:00Z.
        assert!(!hours.open_at(at("2026-03-27T08:59:00Z"), &[]));
        assert!(hours.open_at(at("2026-03-27T09:00:00Z"), &[]));
        assert!(hours.open_at(at("2026-03-30T08:00:00Z"), &[]));
        assert!(!hours.open_at(at("2026-03-30T16:00:00Z"), &[]));
        // And back in October.
        assert!(hours.open_at(at("2026-10-23T08:00:00Z"), &[]));
        assert!(!hours.open_at(at("2026-10-26T08:59:00Z"), &[]));
        assert!(hours.open_at(at("2026-10-26T09:00:00Z"), &[]));
    }

    #[test]
    fn next_opening_over_a_weekend_with_a_clock_change() {
        let next = |t| office().next_open(at(t), &[]).unwrap().to_string();
        assert_eq!(next("2026-03-27T17:00:00Z"), "2026-03-30T08:00:00.000Z");
        assert_eq!(next("2026-10-23T16:30:00Z"), "2026-10-26T09:00:00.000Z");
        assert_eq!(next("2026-11-20T12:00:00Z"), "2026-11-20T12:00:00.000Z");
        assert_eq!(next("2026-11-20T06:00:00Z"), "2026-11-20T09:00:00.000Z");
    }

    #[test]
    fn an_opening_ends() {
        let until = |hours: &str, t: &str| {
            let hours: Hours = hours.parse().unwrap();
            hours.open_until(at(t), &[]).map(|end| end.to_string()[..16].to_owned())
        };
        let week = "mon-fri 09:00-17:00, wed 12:00-19:00";
        assert_eq!(until(week, "2026-11-23T09:00:00Z").unwrap(), "2026-11-23T17:00");
        assert_eq!(until(week, "2026-11-23T17:00:00Z"), None);
        assert_eq!(until(week, "2026-11-25T12:00:00Z").unwrap(), "2026-11-25T19:00");
        assert_eq!(until(week, "2026-11-25T11:59:00Z").unwrap(), "2026-11-25T17:00");
        let night = "fri 17:00-09:00";
        assert_eq!(until(night, "2026-11-20T18:00:00Z").unwrap(), "2026-11-21T09:00");
        assert_eq!(until(night, "2026-11-21T08:59:00Z").unwrap(), "2026-11-21T09:00");
        assert_eq!(until(night, "2026-11-21T09:00:00Z"), None);
        assert_eq!(until("always", "2026-07-01T12:00:00Z").unwrap(), "2026-07-01T23:00");
        // The hour that is skipped, and the one that comes twice.
        assert_eq!(until("sun 00:30-01:30", "2026-03-29T00:40:00Z").unwrap(), "2026-03-29T01:00");
        assert_eq!(until("sun 00:30-02:30", "2026-03-29T00:40:00Z").unwrap(), "2026-03-29T01:30");
        assert_eq!(until("sun 01:00-01:45", "2026-10-25T00:10:00Z").unwrap(), "2026-10-25T00:45");
        assert_eq!(until("sun 01:00-01:45", "2026-10-25T01:10:00Z").unwrap(), "2026-10-25T01:45");
        assert_eq!(until("sun 01:00-02:00", "2026-10-25T00:10:00Z").unwrap(), "2026-10-25T02:00");
    }

    #[test]
    fn bank_holidays_are_closed_unless_said_otherwise() {
        let holidays = ["2026-12-25", "2026-12-28"].map(|d| d.parse().unwrap());
        let next = office().next_open(at("2026-12-24T17:00:00Z"), &holidays).unwrap();
        assert_eq!(england_text(next), "Tue 29 Dec 09:00");
        let open: Hours = "mon-fri 09:00-17:00 incl bank holidays".parse().unwrap();
        assert!(open.open_at(at("2026-12-25T10:00:00Z"), &holidays));
        assert!(Hours::always().open_at(at("2026-12-25T03:00:00Z"), &holidays));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_starts() {
        let nights: Hours = "mon-thu 17:00-09:00".parse().unwrap();
        assert!(nights.open_at(at("2026-11-20T08:59:00Z"), &[]), "Friday morning");
        assert!(!nights.open_at(at("2026-11-20T09:00:00Z"), &[]));
        assert!(!nights.open_at(at("2026-11-20T17:00:00Z"), &[]), "Friday evening");
        assert!(!nights.open_at(at("2026-11-23T08:00:00Z"), &[]), "Monday morning");
        let sunday: Hours = "sun 00:00-24:00".parse().unwrap();
        assert!(sunday.open_at(at("2026-11-22T23:59:00Z"), &[]));
        assert!(!sunday.open_at(at("2026-11-23T00:00:00Z"), &[]));
    }

    #[test]
    fn local_times_that_come_twice_or_never() {
        let day = |t: &str| t.parse::<Date>().unwrap();
        let text = |d, m| england_instant(day(d), m).to_string();
        assert_eq!(text("2026-10-25", 90), "2026-10-25T00:30:00.000Z");
        assert_eq!(text("2026-10-25", 120), "2026-10-25T02:00:00.000Z");
        assert_eq!(text("2026-03-29", 90), "2026-03-29T01:30:00.000Z");
        assert_eq!(text("2026-07-01", 0), "2026-06-30T23:00:00.000Z");
    }

    #[test]
    fn an_opening_within_the_hour_that_is_skipped_is_not_offered() {
        let skipped: Hours = "sun 01:10-01:50".parse().unwrap();
        let now = at("2026-03-29T01:10:00Z");
        assert!(!skipped.open_at(now, &[]));
        assert_eq!(skipped.next_open(now, &[]), Some(at("2026-04-05T00:10:00Z")));
    }

    #[test]
    fn hours_that_never_open() {
        let monday: Hours = "mon 09:00-10:00".parse().unwrap();
        let all: Vec<Date> =
            (0..60).map(|d| "2026-11-20".parse::<Date>().unwrap().plus_days(d)).collect();
        assert_eq!(monday.next_open(at("2026-11-20T12:00:00Z"), &all), None);
    }

    #[test]
    fn a_week_has_at_most_fourteen_openings() {
        let week = |n: usize| vec!["mon 09:00-10:00"; n].join(", ").parse::<Hours>();
        assert!(week(14).is_ok());
        assert_eq!(week(15), Err(NotHours));
        assert!(NotHours.to_string().starts_with("not opening hours such as"));
    }

    #[test]
    fn times_of_day_have_two_digits_each() {
        for text in [
            "mon 0a:00-17:00",
            "mon a0:00-17:00",
            "mon 09:0a-17:00",
            "mon 09:a0-17:00",
            "mon 09.00-17:00",
        ] {
            assert_eq!(text.parse::<Hours>(), Err(NotHours), "{text}");
        }
        assert_eq!("mon 12:34-23:59".parse::<Hours>().unwrap().to_string(), "mon 12:34-23:59");
    }

    #[test]
    fn every_month_and_day_of_the_week_has_its_name() {
        let text = |t: &str| england_text(at(t));
        let months: Vec<String> =
            (1..=12).map(|m| text(&format!("2026-{m:02}-05T12:34:00Z"))[6..9].to_owned()).collect();
        assert_eq!(months.join(" "), "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec");
        let days: Vec<String> =
            (16..=22).map(|d| text(&format!("2026-11-{d}T12:34:00Z"))[..6].to_owned()).collect();
        assert_eq!(days.join(", "), "Mon 16, Tue 17, Wed 18, Thu 19, Fri 20, Sat 21, Sun 22");
        assert_eq!(text("2026-07-05T23:05:00Z"), "Mon 6 Jul 00:05", "summer time");
    }

    #[test]
    fn the_next_opening_is_the_earliest_of_its_day() {
        let twice: Hours = "mon 13:00-14:00, mon 09:00-10:00".parse().unwrap();
        let next = |t| twice.next_open(at(t), &[]).map(england_text).unwrap();
        assert_eq!(next("2026-11-22T12:00:00Z"), "Mon 23 Nov 09:00");
        assert_eq!(next("2026-11-23T10:00:00Z"), "Mon 23 Nov 13:00");
        assert_eq!(next("2026-11-23T14:00:00Z"), "Mon 30 Nov 09:00");
    }
}
