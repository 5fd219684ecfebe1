//! School calendars, holiday contacts and promises of authorities in the directory's JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::document::{AuthorityDoc, SchoolDoc};
use super::read::Reader;
use super::rules;
use crate::domain::calendar::{BankHolidays, DayKind, EARLIEST_CUT_OFF, SchoolCalendar, Term};
use crate::domain::clocks::{ClockId, Limit, PROMISED, Profile, is_promise};
use crate::domain::directory::{
    AuthoritySettings, HolidayContact, HolidayRole, SchoolSettings, Verified,
};
use crate::domain::party::PersonId;
use crate::domain::time::Date;

/// The days of a school, or of the schools of an area.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarDoc {
    /// Runs of school days between holidays, half-term holidays too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<SpanDoc>,
    /// Days of a term on which pupils are not in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inset_days: Vec<String>,
    /// Days of a term that end early.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub half_days: Vec<HalfDayDoc>,
    /// Closed although it is term time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closures: Vec<SpanDoc>,
    /// `08:40`: when somebody is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens: Option<String>,
    /// `15:15`: when pupils go home on a full day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_time: Option<String>,
}

/// From a day to a day, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanDoc {
    /// First day.
    pub first: String,
    /// Last day.
    pub last: String,
}

/// A day that ends early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HalfDayDoc {
    /// The day.
    pub day: String,
    /// `12:30`.
    pub ends: String,
}

/// Whom to reach while a school is closed: a role, no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolidayContactDoc {
    /// `safeguarding_lead`, `deputy_safeguarding_lead`, `head_teacher`, `chair` or
    /// `trust_safeguarding_lead`.
    pub role: String,
    /// As a person would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// A secure mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When it is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// The day on which somebody tried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// Who did: a role or an opaque id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<String>,
}

/// What an authority promises beyond the scheme.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileDoc {
    /// By the clock's code: `4 h of business`, `44 working days`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
    /// Whether its head of service is on ladders.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub head_of_service: bool,
}

impl ProfileDoc {
    /// Nothing where nothing is promised.
    pub(super) fn of(profile: &Profile) -> Option<Self> {
        let limits =
            profile.faster.iter().map(|(id, limit)| (id.as_str().to_owned(), limit.to_string()));
        let doc = Self { limits: limits.collect(), head_of_service: profile.head_of_service };
        (doc != Self::default()).then_some(doc)
    }
}

impl From<&SchoolCalendar> for CalendarDoc {
    fn from(calendar: &SchoolCalendar) -> Self {
        let span =
            |first: Date, last: Date| SpanDoc { first: first.to_string(), last: last.to_string() };
        let half = |(day, ends): &(Date, u16)| HalfDayDoc {
            day: day.to_string(),
            ends: time_of_day(*ends),
        };
        Self {
            terms: calendar.terms.iter().map(|term| span(term.first, term.last)).collect(),
            inset_days: calendar.inset.iter().map(ToString::to_string).collect(),
            half_days: calendar.half_days.iter().map(half).collect(),
            closures: calendar.closures.iter().map(|(first, last)| span(*first, *last)).collect(),
            opens: calendar.opens.map(time_of_day),
            home_time: calendar.home_time.map(time_of_day),
        }
    }
}

impl From<&HolidayContact> for HolidayContactDoc {
    fn from(contact: &HolidayContact) -> Self {
        Self {
            role: contact.who.as_str().to_owned(),
            phone: contact.phone.clone(),
            email: contact.email.clone(),
            hours: contact.hours.as_ref().map(ToString::to_string),
            verified_at: contact.verified.as_ref().map(|v| v.on.to_string()),
            verified_by: contact.verified.as_ref().map(|v| v.by.clone()),
        }
    }
}

/// Minutes after midnight as `15:15`.
pub(super) fn time_of_day(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn minute_of(text: &str) -> Option<u16> {
    let bytes = text.as_bytes();
    let digit =
        |at: usize| bytes.get(at).filter(|b| b.is_ascii_digit()).map(|b| u16::from(b - b'0'));
    let minute = (digit(0)? * 10 + digit(1)?) * 60 + digit(3)? * 10 + digit(4)?;
    (bytes.len() == 5 && bytes[2] == b':' && digit(3)? < 6 && minute < 24 * 60).then_some(minute)
}

/// Reads what a school has told.
pub(super) fn school(
    r: &mut Reader,
    at: &str,
    doc: &SchoolDoc,
    days_off: &BankHolidays,
) -> SchoolSettings {
    let mut calendar = None;
    if let Some(doc) = &doc.calendar {
        calendar = Some(read_calendar(r, &format!("{at}/calendar"), doc, days_off));
    }
    let contact = doc.holiday_contact.as_ref();
    let holiday_contact = contact.and_then(|doc| holiday(r, &format!("{at}/holiday_contact"), doc));
    SchoolSettings { calendar, holiday_contact }
}

/// Reads what an authority has told.
pub(super) fn authority(
    r: &mut Reader,
    at: &str,
    doc: &AuthorityDoc,
    days_off: &BankHolidays,
) -> AuthoritySettings {
    let cut_off = time(r, format!("{at}/cut_off"), &doc.cut_off);
    if cut_off.is_some_and(|minute| minute < EARLIEST_CUT_OFF) {
        r.say(rules::CUT_OFF, &format!("{at}/cut_off"), "not before 16:00");
    }
    let mut officers: Vec<PersonId> = Vec::new();
    for (i, id) in doc.designated_officers.iter().enumerate() {
        let at = format!("{at}/designated_officers/{i}");
        let Some(id) = r.parse(&at, id) else { continue };
        if officers.contains(&id) {
            r.say(rules::DUPLICATE, &at, "the same officer twice");
        } else {
            officers.push(id);
        }
    }
    let terms =
        doc.calendar.as_ref().map(|doc| read_calendar(r, &format!("{at}/calendar"), doc, days_off));
    let profile = doc.profile.as_ref().map(|doc| profile(r, &format!("{at}/profile"), doc));
    AuthoritySettings { profile: profile.unwrap_or_default(), cut_off, officers, terms }
}

fn profile(r: &mut Reader, at: &str, doc: &ProfileDoc) -> Profile {
    let mut faster = Vec::new();
    for (i, (code, text)) in doc.limits.iter().enumerate() {
        // A member's name is the operator's word; its place among them says enough.
        let id = ClockId::from_code(code).filter(|id| PROMISED.contains(id));
        let place =
            id.map_or(format!("{at}/limits/*{i}"), |id| format!("{at}/limits/{}", id.as_str()));
        let Some(id) = id else {
            let codes = PROMISED.map(ClockId::as_str).join(", ");
            r.say(rules::VALUE, &place, &format!("a promise is for one of {codes}"));
            continue;
        };
        let Some(limit) = r.parse::<Limit>(&place, text) else { continue };
        if is_promise(id, limit) {
            faster.push((id, limit));
        } else {
            r.say(rules::SLOWER, &place, "the scheme's own limit ends sooner");
        }
    }
    Profile { faster, head_of_service: doc.head_of_service }
}

fn holiday(r: &mut Reader, at: &str, doc: &HolidayContactDoc) -> Option<HolidayContact> {
    let who = HolidayRole::ALL.into_iter().find(|role| role.as_str() == doc.role);
    let roles = HolidayRole::ALL.map(HolidayRole::as_str).join(", ");
    r.check(who.is_some(), format!("{at}/role"), &format!("one of {roles}"));
    let contact =
        r.way(at, (&doc.phone, &doc.email), &doc.hours, (&doc.verified_at, &doc.verified_by));
    let (hours, verified): (_, Option<Verified>) = contact;
    let (phone, email) = (doc.phone.clone(), doc.email.clone());
    Some(HolidayContact { who: who?, phone, email, hours, verified })
}

fn time(r: &mut Reader, at: String, text: &Option<String>) -> Option<u16> {
    let text = text.as_ref()?;
    let minute = minute_of(text);
    r.check(minute.is_some(), at, "a time of day such as 15:15");
    minute
}

fn span(r: &mut Reader, at: &str, doc: &SpanDoc) -> Option<(Date, Date)> {
    let first: Option<Date> = r.parse(&format!("{at}/first"), &doc.first);
    let last: Option<Date> = r.parse(&format!("{at}/last"), &doc.last);
    let (first, last) = (first?, last?);
    if last < first {
        r.say(rules::CONTRADICTION, &format!("{at}/last"), "ends before it begins");
        return None;
    }
    Some((first, last))
}

fn read_calendar(
    r: &mut Reader,
    at: &str,
    doc: &CalendarDoc,
    days_off: &BankHolidays,
) -> SchoolCalendar {
    let mut calendar = SchoolCalendar {
        opens: time(r, format!("{at}/opens"), &doc.opens),
        home_time: time(r, format!("{at}/home_time"), &doc.home_time),
        ..SchoolCalendar::default()
    };
    if let (Some(opens), Some(home)) = (calendar.opens, calendar.home_time)
        && home <= opens
    {
        r.say(rules::CONTRADICTION, &format!("{at}/home_time"), "before it opens");
    }
    let mut places = Vec::new();
    for (i, term) in doc.terms.iter().enumerate() {
        let at = format!("{at}/terms/{i}");
        let Some((first, last)) = span(r, &at, term) else { continue };
        if last.days() - first.days() > LONGEST_TERM {
            r.say(rules::VALUE, &at, "a term is not longer than 200 days");
        } else if calendar.terms.iter().any(|t| first <= t.last && t.first <= last) {
            r.say(rules::TERMS_OVERLAP, &at, "overlaps a term before it in the list");
        } else {
            calendar.terms.push(Term { first, last });
            places.push(at);
        }
    }
    for (i, closure) in doc.closures.iter().enumerate() {
        calendar.closures.extend(span(r, &format!("{at}/closures/{i}"), closure));
    }
    days_within(r, at, doc, &mut calendar, days_off);
    for (term, at) in calendar.terms.iter().zip(&places) {
        let mut days = (term.first.days()..=term.last.days()).map(Date::from_days);
        if !days.any(|day| calendar.day(day, days_off).0.pupils_in()) {
            r.say(rules::TERM_WITHOUT_DAYS, at, "no pupil is ever in");
        }
    }
    calendar
}

/// The longest term that is believed, in days: a year without any holiday would be a slip of the year.
const LONGEST_TERM: i64 = 200;

/// INSET and half days, each on a day of a known term on which there would be school.
fn days_within(
    r: &mut Reader,
    at: &str,
    doc: &CalendarDoc,
    calendar: &mut SchoolCalendar,
    days_off: &BankHolidays,
) {
    let (mut inset, mut half_days): (Vec<Date>, Vec<(Date, u16)>) = (Vec::new(), Vec::new());
    let mut taken: Vec<Date> = Vec::new();
    let mut fits = |r: &mut Reader, at: &str, day: Date, calendar: &SchoolCalendar| {
        let in_term = calendar.terms.iter().any(|term| term.first <= day && day <= term.last);
        // Without any terms they may be the area's.
        let known = calendar.terms.is_empty() || in_term;
        if !known
            || matches!(calendar.day(day, days_off).0, DayKind::Weekend | DayKind::BankHoliday)
        {
            r.say(rules::DAY_OUTSIDE_TERM, at, "not a weekday of a term");
        } else if taken.contains(&day) {
            r.say(rules::CONTRADICTION, at, "the same day stands twice");
        } else {
            taken.push(day);
        }
    };
    for (i, day) in doc.inset_days.iter().enumerate() {
        let at = format!("{at}/inset_days/{i}");
        let Some(day) = r.parse(&at, day) else { continue };
        fits(r, &at, day, calendar);
        inset.push(day);
    }
    for (i, half) in doc.half_days.iter().enumerate() {
        let at = format!("{at}/half_days/{i}");
        let (day, ends) = (r.parse(&format!("{at}/day"), &half.day), minute_of(&half.ends));
        r.check(ends.is_some(), format!("{at}/ends"), "a time of day such as 12:30");
        let (Some(day), Some(ends)) = (day, ends) else { continue };
        fits(r, &at, day, calendar);
        let too_late = calendar.home_time.is_some_and(|home| home <= ends);
        if too_late || calendar.opens.is_some_and(|opens| ends <= opens) {
            r.say(rules::CONTRADICTION, &format!("{at}/ends"), "not between opening and home time");
        }
        half_days.push((day, ends));
    }
    calendar.inset = inset;
    calendar.half_days = half_days;
}
