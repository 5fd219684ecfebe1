//! All calendars that the clocks of one thread need, in one place.

use std::collections::BTreeMap;

use super::bank_holidays::BankHolidays;
use super::school::{SchoolCalendar, UNKNOWN_SCHOOL};
use super::school_days::SchoolDays;
use crate::domain::directory::{AuthorityEntry, Directory, OutOfHours, SchoolEntry};
use crate::domain::hours::Hours;
use crate::domain::party::{DfeCode, SchoolId};
use crate::domain::time::Timestamp;

/// The earliest cut-off that is respected, 16:00 in minutes after midnight: what Kirklees states for
/// Fridays. An earlier one would turn a limit of one working day into two.
pub const EARLIEST_CUT_OFF: u16 = 16 * 60;

/// What is known of the days of everybody in a thread.
#[derive(Debug, Clone, Default)]
pub struct Calendars {
    /// Of England and Wales.
    pub bank_holidays: BankHolidays,
    /// When the offices of authorities are open.
    pub authorities: BTreeMap<DfeCode, AuthorityHours>,
    /// The terms that an authority publishes for the schools in its area.
    pub terms: BTreeMap<DfeCode, SchoolCalendar>,
    /// The calendars that schools themselves have told.
    pub schools: BTreeMap<SchoolId, SchoolCalendar>,
    /// In whose area each school is that has told nothing itself, for authorities in `terms`.
    pub areas: BTreeMap<SchoolId, DfeCode>,
}

/// When an authority's office is open, and until when a day's post is that day's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorityHours {
    /// Staffed hours; unknown where none are stated.
    pub staffed: Option<Hours>,
    /// Whether an emergency duty team reads the inbox at all other times.
    pub round_the_clock: bool,
    /// What comes after this minute of the day counts as received on the next working day, unless
    /// it is urgent. Not before [`EARLIEST_CUT_OFF`].
    pub cut_off: Option<u16>,
}

/// An authority of which nothing is known.
pub static UNKNOWN_HOURS: AuthorityHours =
    AuthorityHours { staffed: None, round_the_clock: false, cut_off: None };

impl AuthorityHours {
    /// Whether somebody is on duty at `at`. Unknown hours are treated as nobody.
    pub fn on_duty(&self, at: Timestamp, bank_holidays: &BankHolidays) -> bool {
        self.round_the_clock
            || self.staffed.as_ref().is_some_and(|h| h.open_at(at, bank_holidays.days()))
    }

    /// When somebody is next on duty: `at` itself if now; `None` if unknown.
    pub fn next_on_duty(&self, at: Timestamp, bank_holidays: &BankHolidays) -> Option<Timestamp> {
        if self.on_duty(at, bank_holidays) {
            return Some(at);
        }
        self.staffed.as_ref()?.next_open(at, bank_holidays.days())
    }

    /// The cut-off that counts.
    pub fn cut_off(&self) -> Option<u16> {
        self.cut_off.map(|minute| minute.max(EARLIEST_CUT_OFF))
    }
}

impl Calendars {
    /// What a directory says of everybody's days. Make it once for each issue of the
    /// directory, not for each question.
    pub fn of(directory: &Directory) -> Self {
        let hours = |entry: &AuthorityEntry| AuthorityHours {
            staffed: entry.staffed.clone(),
            round_the_clock: entry.connection.is_live()
                && entry.out_of_hours == OutOfHours::Endpoint,
            cut_off: entry.settings.cut_off,
        };
        let of_area = |code: DfeCode| directory.authorities.get(&code)?.settings.terms.as_ref();
        let own = |entry: &SchoolEntry| {
            let own = entry.settings.calendar.clone()?;
            Some((entry.id.clone(), own.or_of_area(of_area(entry.authority))))
        };
        let area = |entry: &SchoolEntry| {
            let told = entry.settings.calendar.is_none() && of_area(entry.authority).is_some();
            told.then(|| (entry.id.clone(), entry.authority))
        };
        let terms = |(code, entry): (&DfeCode, &AuthorityEntry)| {
            Some((*code, entry.settings.terms.clone()?))
        };
        Self {
            bank_holidays: directory.days_off.clone(),
            authorities: directory.authorities.iter().map(|(k, e)| (*k, hours(e))).collect(),
            terms: directory.authorities.iter().filter_map(terms).collect(),
            schools: directory.schools.values().filter_map(own).collect(),
            areas: directory.schools.values().filter_map(area).collect(),
        }
    }

    /// The hours of an authority; all unknown if it is.
    pub fn authority(&self, code: DfeCode) -> &AuthorityHours {
        self.authorities.get(&code).unwrap_or(&UNKNOWN_HOURS)
    }

    /// The days of a school: its own calendar, else its authority's, else assumed.
    pub fn school(&self, id: &SchoolId) -> SchoolDays<'_> {
        let of_area = || self.terms.get(self.areas.get(id)?);
        let calendar = self.schools.get(id).or_else(of_area).unwrap_or(&UNKNOWN_SCHOOL);
        SchoolDays { calendar, bank_holidays: &self.bank_holidays }
    }
}

#[cfg(test)]
mod tests {
    use super::super::school::{DayKind, Term};
    use super::*;
    use crate::domain::directory::{AuthoritySettings, Connection, SchoolSettings, Signing};

    #[test]
    fn a_schools_own_calendar_comes_before_its_areas_and_that_before_a_guess() {
        let (own, area, none): (SchoolId, SchoolId, SchoolId) =
            ("900001".parse().unwrap(), "900002".parse().unwrap(), "900003".parse().unwrap());
        let hackney: DfeCode = "204".parse().unwrap();
        let year = |last: &str| SchoolCalendar {
            terms: vec![Term { first: "2026-09-01".parse().unwrap(), last: last.parse().unwrap() }],
            ..SchoolCalendar::default()
        };
        let known = Calendars {
            terms: [(hackney, year("2027-07-01"))].into(),
            schools: [(own.clone(), year("2027-07-20"))].into(),
            areas: [(own.clone(), hackney), (area.clone(), hackney)].into(),
            ..Calendars::default()
        };
        let day = "2027-07-02".parse().unwrap();
        let answer = |id| (known.school(id).kind(day), known.school(id).assumed(day));
        assert_eq!(answer(&own), (DayKind::Full, false));
        assert_eq!(answer(&area), (DayKind::Full, true), "past the terms that are known");
        assert_eq!(answer(&none), (DayKind::Full, true));
    }

    #[test]
    fn on_duty_only_when_somebody_is_known_to_be() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (day, night) = (at("2026-11-23T10:00:00Z"), at("2026-11-23T20:00:00Z"));
        let holidays = BankHolidays::default();
        let office = AuthorityHours {
            staffed: Some(super::super::office_hours().clone()),
            ..Default::default()
        };
        assert!(office.on_duty(day, &holidays) && !office.on_duty(night, &holidays));
        assert_eq!(office.next_on_duty(night, &holidays), Some(at("2026-11-24T09:00:00Z")));
        assert_eq!(office.next_on_duty(day, &holidays), Some(day));
        let unknown = AuthorityHours::default();
        assert!(!unknown.on_duty(day, &holidays));
        assert_eq!(unknown.next_on_duty(day, &holidays), None);
        let team = AuthorityHours { round_the_clock: true, ..Default::default() };
        assert_eq!(team.next_on_duty(night, &holidays), Some(night));
        let early = AuthorityHours { cut_off: Some(9 * 60), ..Default::default() };
        assert_eq!((early.cut_off(), unknown.cut_off()), (Some(EARLIEST_CUT_OFF), None));
        let late = AuthorityHours { cut_off: Some(17 * 60), ..Default::default() };
        assert_eq!(late.cut_off(), Some(17 * 60));
    }

    #[test]
    fn what_a_directory_says() {
        let (hackney, newham): (DfeCode, DfeCode) =
            ("204".parse().unwrap(), "316".parse().unwrap());
        let entry = |code: DfeCode, out_of_hours, connection| AuthorityEntry {
            code,
            name: "Somewhere".to_owned(),
            areas: Vec::new(),
            valid_from: None,
            valid_to: None,
            connection,
            events_endpoint: None,
            staffed: Some(super::super::office_hours().clone()),
            out_of_hours,
            contacts: Vec::new(),
            settings: AuthoritySettings { cut_off: Some(990), ..AuthoritySettings::default() },
        };
        let school = |id: &str, authority| SchoolEntry {
            id: id.parse().unwrap(),
            name: "A school".to_owned(),
            authority,
            events_endpoint: None,
            signing: Signing::Signed,
            valid_from: None,
            valid_to: None,
            settings: SchoolSettings::default(),
        };
        let mut own = school("900003", hackney);
        own.settings.calendar =
            Some(SchoolCalendar { opens: Some(500), ..SchoolCalendar::default() });
        let schools = [school("900001", hackney), school("900002", newham), own];
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut directory = Directory {
            version: 1,
            issued_at: at("2026-11-01T00:00:00Z"),
            expires_at: at("2026-12-01T00:00:00Z"),
            trust_domain: "demo.ecaf.example".parse().unwrap(),
            bank_holidays: Vec::new(),
            days_off: BankHolidays::new(&["2026-11-23".parse().unwrap()]),
            authorities: [
                (hackney, entry(hackney, OutOfHours::Endpoint, Connection::Pull)),
                (newham, entry(newham, OutOfHours::Endpoint, Connection::NotConnected)),
            ]
            .into(),
            schools: schools.map(|entry| (entry.id.clone(), entry)).into(),
            gateways: BTreeMap::new(),
        };
        let known = Calendars::of(&directory);
        assert!(known.bank_holidays.contains("2026-11-23".parse().unwrap()));
        assert!(known.bank_holidays.contains("2026-12-25".parse().unwrap()));
        assert!(known.authority(hackney).round_the_clock);
        assert!(!known.authority(newham).round_the_clock, "nothing reaches it");
        assert_eq!(known.authority(newham).staffed.as_ref(), Some(super::super::office_hours()));
        assert_eq!(known.authority("886".parse().unwrap()), &UNKNOWN_HOURS);
        assert_eq!(known.authority(hackney).cut_off(), Some(990));
        let terms = SchoolCalendar { home_time: Some(900), ..SchoolCalendar::default() };
        directory.authorities.get_mut(&hackney).unwrap().settings.terms = Some(terms);
        let known = Calendars::of(&directory);
        let times = |id: &str| {
            let id = id.parse().unwrap();
            let calendar = known.school(&id).calendar;
            (calendar.home_time, calendar.opens)
        };
        assert_eq!(times("900001"), (Some(900), None), "its area's");
        assert_eq!(times("900002"), (None, None), "nobody's");
        assert_eq!(times("900003"), (Some(900), Some(500)), "its own, and its area's");
        assert_eq!(times("900004"), (None, None), "not enrolled");
    }
}
