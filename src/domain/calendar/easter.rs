//! Easter Sunday in the Gregorian calendar, from which two bank holidays follow.

use crate::domain::time::Date;

/// Easter Sunday of a year; `None` outside of the years 1583 to 9999.
///
/// Method: J. Meeus, Astronomical Algorithms, chapter 8, which gives the Sunday of the tables in the
/// Calendar (New Style) Act 1750.
pub fn easter_sunday(year: i32) -> Option<Date> {
    if year < 1583 {
        return None;
    }
    let (century, of_century) = (year / 100, year % 100);
    let moon_shift = (century - (century + 8) / 25 + 1) / 3;
    // Days from 21 March to the paschal full moon, before its one correction below.
    let moon = (19 * (year % 19) + century - century / 4 - moon_shift + 15) % 30;
    let to_sunday = (32 + 2 * (century % 4) + 2 * (of_century / 4) - moon - of_century % 4) % 7;
    let correction = (year % 19 + 11 * moon + 22 * to_sunday) / 451;
    let after_21_march = moon + to_sunday - 7 * correction + 1;
    Some(Date::new(year, 3, 21)?.plus_days(i64::from(after_21_march)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Weekday;

    /// Full moons of the tables in the Calendar (New Style) Act 1750 by golden number, as days of
    /// March (32 is 1 April): from 1900 to 2199, and one day earlier from 1700 to 1899 except
    /// where the tables squeeze two golden numbers into one place.
    const MOON_1900: [i64; 19] =
        [45, 34, 23, 42, 31, 49, 39, 28, 47, 36, 25, 44, 33, 22, 41, 30, 48, 38, 27];
    const MOON_1700: [i64; 19] =
        [44, 33, 22, 41, 30, 49, 38, 27, 46, 35, 24, 43, 32, 21, 40, 29, 48, 37, 26];

    #[test]
    fn four_hundred_years_as_in_the_tables_of_the_act() {
        for year in 1800..2200 {
            let golden = (year % 19) as usize;
            let moon = if year < 1900 { MOON_1700[golden] } else { MOON_1900[golden] };
            let full_moon = Date::new(year, 3, 1).unwrap().plus_days(moon - 1);
            let sunday = (1..=7)
                .map(|days| full_moon.plus_days(days))
                .find(|day| day.weekday() == Weekday::Sunday);
            assert_eq!(easter_sunday(year), sunday, "{year}");
        }
    }

    #[test]
    fn dates_that_people_remember() {
        for day in [
            "1818-03-22",
            "1916-04-23",
            "1943-04-25",
            "1961-04-02",
            "1981-04-19",
            "1999-04-04",
            "2000-04-23",
            "2008-03-23",
            "2011-04-24",
            "2019-04-21",
            "2024-03-31",
            "2026-04-05",
            "2038-04-25",
            "2049-04-18",
            "2076-04-19",
            "2285-03-22",
        ] {
            let day: Date = day.parse().unwrap();
            assert_eq!(easter_sunday(day.year()), Some(day));
        }
    }

    #[test]
    fn always_a_sunday_between_22_march_and_25_april() {
        for year in 1583..=9999 {
            let day = easter_sunday(year).unwrap();
            assert_eq!(day.weekday(), Weekday::Sunday, "{year}");
            assert!((322..=425).contains(&(u32::from(day.month()) * 100 + u32::from(day.day()))));
        }
        assert_eq!((easter_sunday(1582), easter_sunday(10_000)), (None, None));
    }
}
