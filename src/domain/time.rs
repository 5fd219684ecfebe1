//! Instants and civil dates. Values only: nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

/// An instant in UTC, in milliseconds since 1970-01-01T00:00:00Z. Leap seconds do not exist here,
/// as in POSIX time. Written in RFC 3339 with three decimals: `2026-11-21T14:20:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A length of time in milliseconds, for readability at call sites.
pub const SECOND: i64 = 1_000;
/// Sixty seconds, in milliseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// Sixty minutes, in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// Twenty-four hours, in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// How far apart two clocks may be, in milliseconds.
const CLOCKS_APART: i64 = 5 * MINUTE;

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch (X.509 and JWT times), saturating.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant moved by `millis`, saturating at the ends of time.
    pub const fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Whether this lies so far ahead of `now`, by more than five minutes, that the clock it was read
    /// from or this one is wrong.
    pub const fn is_ahead_of(self, now: Self) -> bool {
        self.since(now) > CLOCKS_APART
    }

    /// Milliseconds from `earlier` to this instant; negative if this is the earlier one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The civil date in UTC.
    pub const fn utc_date(self) -> Date {
        Date::from_days(self.0.div_euclid(DAY))
    }

    /// The civil date and time of day (minutes after midnight) in England, with British Summer
    /// Time: last Sunday of March 01:00 UTC to last Sunday of October 01:00 UTC (Summer Time
    /// Order 2002, SI 2002/262).
    pub fn in_england(self) -> (Date, u16) {
        let utc = self.utc_date();
        let starts = last_sunday(utc.year, 3).midnight_utc().plus(HOUR);
        let ends = last_sunday(utc.year, 10).midnight_utc().plus(HOUR);
        let local = if starts <= self && self < ends { self.plus(HOUR) } else { self };
        (local.utc_date(), (local.0.rem_euclid(DAY) / MINUTE) as u16)
    }
}

fn last_sunday(year: i32, month: u8) -> Date {
    let last = Date { year, month, day: 31 };
    let back = i64::from(last.weekday().number() % 7);
    Date::from_days(last.days() - back)
}

/// A day of the proleptic Gregorian calendar, valid by construction. Written `2026-11-21`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

impl Date {
    /// A date, or `None` if there is no such day (or a year outside 1..=9999).
    pub const fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        if year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 {
            return None;
        }
        if day > days_in_month(year, month) { None } else { Some(Self { year, month, day }) }
    }

    /// Year, 1 to 9999.
    pub const fn year(self) -> i32 {
        self.year
    }

    /// Month, 1 to 12.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// Day of the month, 1 to 31.
    pub const fn day(self) -> u8 {
        self.day
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i64 {
        // Days of the civil calendar counted in 400-year eras that start in March, so that the
        // leap day is the last day of its year.
        let y = self.year as i64 - (self.month <= 2) as i64;
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let month_from_march = (self.month as i64 + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + self.day as i64 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The date that many days after 1970-01-01.
    pub const fn from_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = (year_of_era + era * 400 + (month <= 2) as i64) as i32;
        Self { year, month: month as u8, day }
    }

    /// The instant at which this date begins in UTC.
    pub const fn midnight_utc(self) -> Timestamp {
        Timestamp(self.days() * DAY)
    }

    /// Day of the week.
    pub const fn weekday(self) -> Weekday {
        // 1970-01-01 was a Thursday.
        match (self.days() + 3).rem_euclid(7) {
            0 => Weekday::Monday,
            1 => Weekday::Tuesday,
            2 => Weekday::Wednesday,
            3 => Weekday::Thursday,
            4 => Weekday::Friday,
            5 => Weekday::Saturday,
            _ => Weekday::Sunday,
        }
    }

    /// This date moved by whole days.
    pub const fn plus_days(self, days: i64) -> Self {
        Self::from_days(self.days() + days)
    }

    /// Completed years from `birth` to this date (an age); negative before birth. A child born on
    /// 29 February completes a year on 1 March of common years.
    pub const fn years_since(self, birth: Self) -> i32 {
        let before_birthday =
            self.month < birth.month || (self.month == birth.month && self.day < birth.day);
        self.year - birth.year - before_birthday as i32
    }
}

const fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        _ => 31,
    }
}

/// A day of the week, in ISO order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// ISO 8601 number: Monday 1 to Sunday 7.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }
}

/// The text is not a date or time in the one accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date (2026-11-21) or a time with offset (2026-11-21T14:20:00Z)")
    }
}

impl std::error::Error for NotATime {}

fn digits(raw: &[u8]) -> Option<i64> {
    raw.iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
}

impl FromStr for Date {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let raw = text.as_bytes();
        if raw.len() != 10 || raw[4] != b'-' || raw[7] != b'-' {
            return Err(NotATime);
        }
        let part = |range: std::ops::Range<usize>| digits(&raw[range]).ok_or(NotATime);
        Date::new(part(0..4)? as i32, part(5..7)? as u8, part(8..10)? as u8).ok_or(NotATime)
    }
}

impl FromStr for Timestamp {
    type Err = NotATime;

    /// RFC 3339 with an upper-case `T`, optional decimals (cut to milliseconds) and `Z` or `±hh:mm`.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let raw = text.as_bytes();
        if raw.len() < 20
            || !text.is_ascii()
            || raw[10] != b'T'
            || raw[13] != b':'
            || raw[16] != b':'
        {
            return Err(NotATime);
        }
        let date: Date = text[..10].parse()?;
        let part = |range: std::ops::Range<usize>| digits(&raw[range]).ok_or(NotATime);
        let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
        if hour > 23 || minute > 59 || second > 59 {
            return Err(NotATime);
        }
        let mut rest = &raw[19..];
        let mut millis = 0;
        if let [b'.', decimals @ ..] = rest {
            let count = decimals.iter().take_while(|c| c.is_ascii_digit()).count();
            if !(1..=9).contains(&count) {
                return Err(NotATime);
            }
            for place in 0..3 {
                millis = millis * 10
                    + decimals
                        .get(place)
                        .filter(|_| place < count)
                        .map_or(0, |c| i64::from(c - b'0'));
            }
            rest = &decimals[count..];
        }
        let offset = match rest {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (h, m) =
                    (digits(&[*h1, *h2]).ok_or(NotATime)?, digits(&[*m1, *m2]).ok_or(NotATime)?);
                if h > 23 || m > 59 {
                    return Err(NotATime);
                }
                (if *sign == b'-' { -1 } else { 1 }) * (h * HOUR + m * MINUTE)
            }
            _ => return Err(NotATime),
        };
        let local =
            date.midnight_utc().millis() + hour * HOUR + minute * MINUTE + second * SECOND + millis;
        Ok(Self(local - offset))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_day = self.0.rem_euclid(DAY);
        write!(
            f,
            "{}T{:02}:{:02}:{:02}.{:03}Z",
            self.utc_date(),
            of_day / HOUR,
            of_day / MINUTE % 60,
            of_day / SECOND % 60,
            of_day % SECOND
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_round_trips() {
        let first = Date::new(1900, 1, 1).unwrap().days();
        let mut before = None;
        for days in first..first + 146_097 {
            let date = Date::from_days(days);
            assert_eq!(date.days(), days);
            assert_eq!(date.to_string().parse(), Ok(date));
            assert!(before < Some(date));
            before = Some(date);
        }
    }

    #[test]
    fn known_instants() {
        let t: Timestamp = "2026-11-21T14:20:00.5Z".parse().unwrap();
        assert_eq!(t.to_string(), "2026-11-21T14:20:00.500Z");
        assert_eq!(t.utc_date().weekday(), Weekday::Saturday);
        assert_eq!("2026-11-21T15:20:00.500+01:00".parse(), Ok(t));
        assert_eq!("1970-01-01T00:00:00Z".parse(), Ok(Timestamp::from_millis(0)));
        for bad in [
            "2026-02-29T00:00:00Z",
            "2026-11-21 14:20:00Z",
            "2026-11-21T14:20:00",
            "2026-11-21T24:00:00Z",
            "2026-11-21T14:20:00.Z",
            "2026-1é-21T14:20:00Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(NotATime), "{bad}");
        }
    }

    #[test]
    fn english_summer_time_starts_and_ends_at_one_utc() {
        let local = |t: &str| t.parse::<Timestamp>().unwrap().in_england().1;
        assert_eq!(local("2026-03-29T00:59:00Z"), 59);
        assert_eq!(local("2026-03-29T01:00:00Z"), 120);
        assert_eq!(local("2026-10-25T00:59:00Z"), 119);
        assert_eq!(local("2026-10-25T01:00:00Z"), 60);
        let (date, minute) = "2026-07-01T23:30:00Z".parse::<Timestamp>().unwrap().in_england();
        assert_eq!((date.to_string().as_str(), minute), ("2026-07-02", 30));
    }

    #[test]
    fn age_in_completed_years() {
        let d = |t: &str| t.parse::<Date>().unwrap();
        assert_eq!(d("2026-11-21").years_since(d("2008-11-22")), 17);
        assert_eq!(d("2026-11-22").years_since(d("2008-11-22")), 18);
        assert_eq!(d("2025-02-28").years_since(d("2008-02-29")), 16);
        assert_eq!(d("2025-03-01").years_since(d("2008-02-29")), 17);
    }

    #[test]
    fn seconds_round_towards_the_past_and_lengths_add() {
        let half_past = Timestamp::from_millis(-500);
        assert_eq!((half_past.seconds(), half_past.millis()), (-1, -500));
        assert_eq!(Timestamp::from_millis(1_999).seconds(), 1);
        assert_eq!(Timestamp::from_seconds(3), Timestamp::from_millis(3_000));
        assert_eq!(Timestamp::from_seconds(3).plus(-1_500).since(Timestamp::from_seconds(1)), 500);
        assert_eq!([SECOND, MINUTE, HOUR, DAY], [1_000, 60_000, 3_600_000, 86_400_000]);
    }

    #[test]
    fn a_date_exists_or_there_is_none() {
        for (year, month, day) in
            [(1, 1, 1), (9999, 12, 31), (2024, 2, 29), (2000, 2, 29), (2026, 4, 30), (2026, 9, 30)]
        {
            let date = Date::new(year, month, day).unwrap();
            assert_eq!((date.year(), date.month(), date.day()), (year, month, day));
        }
        for (year, month, day) in [
            (0, 1, 1),
            (10_000, 1, 1),
            (2026, 0, 1),
            (2026, 13, 1),
            (2026, 1, 0),
            (2026, 1, 32),
            (2026, 4, 31),
            (2026, 6, 31),
            (2026, 9, 31),
            (2026, 11, 31),
            (2026, 2, 29),
            (2100, 2, 29),
            (2024, 2, 30),
        ] {
            assert_eq!(Date::new(year, month, day), None, "{year} {month} {day}");
        }
    }

    #[test]
    fn the_days_of_a_week_follow_each_other() {
        let monday: Date = "2026-11-16".parse().unwrap();
        use Weekday::*;
        let week = [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday];
        for (weekday, ahead) in week.into_iter().zip(0..) {
            let day = monday.plus_days(ahead);
            assert_eq!((day.weekday(), i64::from(day.weekday().number())), (weekday, ahead + 1));
            assert_eq!(day.plus_days(-7).weekday(), weekday);
        }
    }

    #[test]
    fn offsets_and_decimals_move_the_instant() {
        let is = |text: &str, same: &str| {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), same, "{text}");
        };
        is("2026-11-21T14:20:30+23:59", "2026-11-20T14:21:30.000Z");
        is("2026-11-21T14:20:30-05:30", "2026-11-21T19:50:30.000Z");
        is("2026-11-21T23:59:59.9Z", "2026-11-21T23:59:59.900Z");
        is("2026-11-21T23:59:59.98Z", "2026-11-21T23:59:59.980Z");
        is("2026-11-21T23:59:59.987654321Z", "2026-11-21T23:59:59.987Z");
        is("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
        for bad in [
            "2026-11-21T14:60:00Z",
            "2026-11-21T14:20:60Z",
            "2026-11-21T14:20:00.1234567890Z",
            "2026-11-21T14:20:00+24:00",
            "2026-11-21T14:20:00+01:60",
            "2026-11-21T14:20:00+0100",
            "2026-11-21T14:20:00*01:00",
            "2026-11-21T14:20:00+01:00Z",
            "2026-11-21T14:20:00",
            "2026-11-21T14:20:00é",
            "",
            "2026-11-21",
            "2026-11-21T14-20:00Z",
            "2026-11-21T14:20-00Z",
            "2026-11-21T1x:20:00Z",
            "2026-11-21t14:20:00Z",
            "2026/11-21T14:20:00Z",
            "2026-11/21T14:20:00Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(NotATime), "{bad}");
        }
        for bad in ["", "2026-11-2", "2026-11-211", "2026:11-21", "2026-11:21", "20x6-11-21"] {
            assert_eq!(bad.parse::<Date>(), Err(NotATime), "{bad}");
        }
    }

    #[test]
    fn shown_as_written() {
        let instant = Timestamp::from_millis(1_795_277_109_007);
        assert_eq!(format!("{instant:?}"), instant.to_string());
        assert_eq!(instant.to_string().parse(), Ok(instant));
        assert_eq!(format!("{:?}", Date::new(987, 6, 5).unwrap()), "0987-06-05");
        assert_eq!(
            NotATime.to_string(),
            "not a date (2026-11-21) or a time with offset (2026-11-21T14:20:00Z)"
        );
    }
}
