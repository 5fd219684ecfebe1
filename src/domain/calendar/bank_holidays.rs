//! Bank holidays of England and Wales: the published ones, and for later years those that the law
//! lets one compute, marked as provisional.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::easter::easter_sunday;
use crate::domain::time::{Date, Weekday};

/// How many bank holidays a year has without a proclamation. A list with as many covers the year.
pub const FULL_YEAR: usize = 8;

/// The last year for which gov.uk had published bank holidays when this table was made.
pub const LAST_PUBLISHED: i32 = 2028;

/// From `data/SOURCES.md`: gov.uk, Open Government Licence v3.0.
const TABLE: &str = include_str!("data/bank-holidays-england-and-wales.csv");

/// The years for which a list is made: from the first with an early May bank holiday to one that
/// no clock of this program reaches.
const YEARS: std::ops::RangeInclusive<i32> = 1978..=2199;

/// The bank holidays to count with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankHolidays {
    days: Vec<Date>,
    provisional: BTreeSet<i32>,
}

impl Default for BankHolidays {
    /// Without a directory: the published ones, and computed ones for all other years.
    fn default() -> Self {
        static SHIPPED: LazyLock<BankHolidays> = LazyLock::new(shipped);
        SHIPPED.clone()
    }
}

impl BankHolidays {
    /// With the list of a directory. Where that covers a year, with [`FULL_YEAR`] days or more, it
    /// alone counts; days of other years stand beside the published or computed ones, so that one
    /// proclaimed day does not turn the rest of its year into working days.
    pub fn new(directory: &[Date]) -> Self {
        let Self { mut days, mut provisional } = Self::default();
        let mut own: BTreeMap<i32, BTreeSet<Date>> = BTreeMap::new();
        for day in directory {
            own.entry(day.year()).or_default().insert(*day);
        }
        let covered = |year: i32| own.get(&year).is_some_and(|days| days.len() >= FULL_YEAR);
        days.retain(|day| !covered(day.year()));
        provisional.retain(|year| !covered(*year));
        days.extend(own.into_values().flatten());
        days.sort_unstable();
        days.dedup();
        Self { days, provisional }
    }

    /// Whether `day` is one.
    pub fn contains(&self, day: Date) -> bool {
        self.days.binary_search(&day).is_ok()
    }

    /// Whether those of a year are computed: a proclamation may still add or move one.
    pub fn provisional(&self, year: i32) -> bool {
        self.provisional.contains(&year)
    }

    /// All of them, sorted: what [`crate::domain::hours::Hours`] takes.
    pub fn days(&self) -> &[Date] {
        &self.days
    }
}

fn shipped() -> BankHolidays {
    let mut days: Vec<Date> = published().collect();
    let known: BTreeSet<i32> = days.iter().map(|day| day.year()).collect();
    let provisional: BTreeSet<i32> = YEARS.filter(|year| !known.contains(year)).collect();
    days.extend(provisional.iter().flat_map(|year| computed(*year)));
    days.sort_unstable();
    BankHolidays { days, provisional }
}

/// What gov.uk has published, 2012 to [`LAST_PUBLISHED`], sorted.
pub fn published() -> impl Iterator<Item = Date> {
    TABLE.lines().skip(1).filter_map(|line| line.split(',').next()?.parse().ok())
}

/// The bank holidays of a year by the Banking and Financial Dealings Act 1971, schedule 1, and the
/// proclamations that every year repeat New Year's Day (since 1974), the early May bank holiday
/// (since 1978) and the days instead of those that fall on a weekend. Sorted.
pub fn computed(year: i32) -> Vec<Date> {
    let date = |month, day| Date::new(year, month, day);
    let easter = easter_sunday(year);
    let mut days: Vec<Date> = Vec::with_capacity(FULL_YEAR);
    days.extend(date(1, 1).map(|day| next_free(day, &days)));
    days.extend(easter.map(|sunday| sunday.plus_days(-2)));
    days.extend(easter.map(|sunday| sunday.plus_days(1)));
    days.extend(date(5, 1).map(monday_from));
    days.extend(date(5, 25).map(monday_from));
    days.extend(date(8, 25).map(monday_from));
    for day in [25, 26] {
        let instead = date(12, day).map(|day| next_free(day, &days));
        days.extend(instead);
    }
    days.sort_unstable();
    days
}

/// `day`, or the first day after it that is neither at a weekend nor taken.
fn next_free(day: Date, taken: &[Date]) -> Date {
    let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    if weekend || taken.contains(&day) { next_free(day.plus_days(1), taken) } else { day }
}

/// The first Monday that is not before `day`.
fn monday_from(day: Date) -> Date {
    day.plus_days(i64::from((8 - day.weekday().number()) % 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Date {
        text.parse().unwrap()
    }

    /// What proclamations moved or added: (year, not on, but on).
    const ONE_OFF: [(i32, &[&str], &[&str]); 4] = [
        // The Diamond Jubilee, with the spring bank holiday moved to it.
        (2012, &["2012-05-28"], &["2012-06-04", "2012-06-05"]),
        // 75 years after VE Day.
        (2020, &["2020-05-04"], &["2020-05-08"]),
        // The Platinum Jubilee, with the spring bank holiday moved to it; the state funeral.
        (2022, &["2022-05-30"], &["2022-06-02", "2022-06-03", "2022-09-19"]),
        // The coronation.
        (2023, &[], &["2023-05-08"]),
    ];

    #[test]
    fn the_computed_ones_are_the_published_ones_but_for_the_known_one_offs() {
        let all: Vec<Date> = published().collect();
        assert_eq!(all.len(), 140);
        assert!(all.is_sorted());
        for year in 2012..=LAST_PUBLISHED {
            let mut expected = computed(year);
            for (_, not_on, but_on) in ONE_OFF.iter().filter(|(y, ..)| *y == year) {
                expected.retain(|day| !not_on.contains(&day.to_string().as_str()));
                expected.extend(but_on.iter().map(|day| d(day)));
            }
            expected.sort_unstable();
            let of_year: Vec<Date> = all.iter().copied().filter(|d| d.year() == year).collect();
            assert_eq!(of_year, expected, "{year}");
        }
        assert_eq!(all.last().unwrap().year(), LAST_PUBLISHED);
    }

    #[test]
    fn every_year_has_eight_different_weekdays() {
        for year in YEARS {
            let days = computed(year);
            assert_eq!(days.len(), FULL_YEAR, "{year}");
            assert!(days.windows(2).all(|pair| pair[0] < pair[1]), "{year}");
            assert!(days.iter().all(|day| day.weekday().number() <= 5), "{year}");
        }
        assert!(computed(0).is_empty());
    }

    #[test]
    fn a_year_is_published_provisional_or_the_directorys() {
        let shipped = BankHolidays::default();
        assert!(shipped.contains(d("2022-09-19")) && !shipped.provisional(2022));
        assert!(!shipped.provisional(LAST_PUBLISHED) && shipped.provisional(LAST_PUBLISHED + 1));
        assert!(shipped.contains(d("2029-03-30")), "Good Friday");
        assert!(shipped.provisional(1978) && shipped.provisional(2199));
        assert!(!shipped.provisional(1977) && !shipped.provisional(2200));

        let own: Vec<Date> = (1..=8).map(|day| Date::new(2030, 2, day).unwrap()).collect();
        let with_own = BankHolidays::new(&own);
        assert!(!with_own.contains(d("2030-12-25")) && with_own.contains(d("2030-02-03")));
        assert!(!with_own.provisional(2030) && with_own.provisional(2031));

        let one_more = BankHolidays::new(&own[..7]);
        assert!(one_more.contains(d("2030-12-25")) && one_more.contains(d("2030-02-03")));
        assert!(one_more.provisional(2030));
    }

    #[test]
    fn a_list_given_twice_or_unsorted_is_the_same_list() {
        let own: Vec<Date> = published().chain(published()).collect();
        let mut backwards = own.clone();
        backwards.reverse();
        assert_eq!(BankHolidays::new(&own), BankHolidays::new(&backwards));
        assert_eq!(BankHolidays::new(&own), BankHolidays::default());
        assert!(BankHolidays::new(&backwards).days().is_sorted());
    }
}
