//! What is counted. Each table counts its units by one attribute, and no attribute is in two tables:
//! that is what lets `protect` look at each by itself.

use std::collections::BTreeMap;

use super::record::{Child, Ending, Outcome, Passing, Record};
use crate::domain::case::{Decision, EventKind, codes_of};
use crate::domain::clocks::{Class, ClockId};
use crate::domain::party::DfeCode;
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::time::DAY;

/// Twelve months: the window in which the census speaks of a re-referral.
const AGAIN_WITHIN: i64 = 365 * DAY;

/// Codes and labels, in their order.
pub type Codes = [(String, String)];

/// The code lists that counts go by.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    /// Ethnicity.
    pub ethnicity: &'a Codes,
    /// Categories of abuse.
    pub abuse: &'a Codes,
    /// Factors.
    pub factors: &'a Codes,
    /// Primary needs.
    pub needs: &'a Codes,
}

/// What one of a count is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A referral.
    Referrals,
    /// A child of a referral: twice in two referrals is two.
    Children,
    /// A notice to a school.
    Notices,
    /// A consultation.
    Consultations,
    /// A hand-over outside of the exchange.
    HandOvers,
    /// A delivery to one authority.
    Deliveries,
}

impl Unit {
    /// As written in heads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unit::Referrals => "referrals",
            Unit::Children => "children",
            Unit::Notices => "notices",
            Unit::Consultations => "consultations",
            Unit::HandOvers => "hand-overs",
            Unit::Deliveries => "deliveries",
        }
    }
}

/// How the categories of a table hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// One figure.
    Total,
    /// Every unit is in exactly one of them, and all of them are listed.
    Partition,
    /// The same, with more than can be listed: rows without a unit, or too small to show, are left out.
    Open,
    /// A unit may be in none, one or several.
    Flags,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name for programs.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// How the rows hang together.
    pub form: Form,
    /// Categories with their exact counts. What can be withheld with the least loss stands last.
    pub rows: Vec<Row>,
}

/// A category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its code.
    pub key: String,
    /// For a person.
    pub label: String,
    /// How many.
    pub count: u64,
}

/// One clock's outcomes with one authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockCount {
    /// Which clock.
    pub id: ClockId,
    /// Where its limit comes from.
    pub class: Class,
    /// Who was waited for the longest.
    pub authority: Option<DfeCode>,
    /// Met by the limit.
    pub in_time: u64,
    /// Not.
    pub breached: u64,
    /// Has not come to its limit.
    pub running: u64,
    /// Nothing was waited for any more.
    pub ended: u64,
}

/// How long something took, each time that it happened, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// Its name for programs.
    pub id: &'static str,
    /// What took so long.
    pub title: &'static str,
    /// In milliseconds, from the shortest on.
    pub values: Vec<i64>,
}

pub(super) fn partition<K: PartialEq>(
    id: &'static str,
    title: &'static str,
    categories: impl IntoIterator<Item = (K, String, String)>,
    units: &[K],
) -> Table {
    let rows = categories.into_iter().map(|(category, key, label)| Row {
        key,
        label,
        count: units.iter().filter(|unit| **unit == category).count() as u64,
    });
    Table { id, title, unit: Unit::Referrals, form: Form::Partition, rows: rows.collect() }
}

fn of_children(table: Table) -> Table {
    Table { unit: Unit::Children, ..table }
}

/// All tables of some referrals. Of `settled` ones that are never to change any more, what the documents
/// say is left out if one of them can no longer be read: a count would shrink as they are erased. Where none can be, children are those whom decisions name.
pub fn tables(records: &[&Record], lists: Lists<'_>, settled: bool) -> Vec<Table> {
    let children: Vec<&Child> = records.iter().flat_map(|r| &r.children).collect();
    let total = |id, title, unit, count: usize| Table {
        id,
        title,
        unit,
        form: Form::Total,
        rows: vec![Row { key: "all".into(), label: "All".into(), count: count as u64 }],
    };
    let urgencies: Vec<Urgency> = records.iter().map(|r| r.urgency).collect();
    let types: Vec<RequestType> = records.iter().map(|r| r.request_type).collect();
    let passing: Vec<Passing> = records.iter().map(|r| r.passing).collect();
    let endings: Vec<Ending> = records.iter().map(|r| r.ending).collect();
    let disagreed: Vec<bool> = records.iter().map(|r| r.disagreed).collect();
    let word = |key: &str, label: &str| (key.to_owned(), label.to_owned());
    let named = |rows: &[(&str, &str)]| rows.iter().map(|(k, l)| word(k, l)).collect::<Vec<_>>();
    let with = |codes: Vec<(String, String)>| codes.into_iter();
    let mut all = vec![
        // Only schools send through the exchange; education services (2B) have no certificates in it.
        total(
            "referrals",
            "Referrals from schools (census source 2A)",
            Unit::Referrals,
            records.len(),
        ),
        partition(
            "urgency",
            "By urgency",
            Urgency::ALL.map(|u| (u, u.as_str().to_owned(), urgency_words(u).to_owned())),
            &urgencies,
        ),
        partition(
            "request_type",
            "By what was asked for",
            // Allegations about adults are for named persons only, and not counted.
            RequestType::ALL
                .into_iter()
                .filter(|t| *t != RequestType::Lado)
                .map(|t| (t, t.as_str().to_owned(), sentence(&t.as_str().replace('_', " ")))),
            &types,
        ),
        areas(
            "first_authority",
            "By the authority it was routed to",
            records.iter().map(|r| r.first_authority),
        ),
        areas(
            "school_area",
            "By the area of the sending school",
            records.iter().filter_map(|r| r.school_area),
        ),
        partition(
            "transfers",
            "Passed on to another authority",
            [Passing::PassedOn, Passing::Proposed, Passing::No]
                .into_iter()
                .zip(with(named(&[
                    ("passed_on", "Passed on"),
                    ("proposed", "Proposed, not accepted"),
                    ("no", "Not passed on"),
                ])))
                .map(|(c, (k, l))| (c, k, l)),
            &passing,
        ),
        partition(
            "disagreements",
            "Disagreements",
            [true, false]
                .into_iter()
                .zip(with(named(&[("raised", "Raised by the school"), ("none", "None")])))
                .map(|(c, (k, l))| (c, k, l)),
            &disagreed,
        ),
        partition(
            "endings",
            "How they stand",
            [Ending::Closed, Ending::Withdrawn, Ending::Open]
                .into_iter()
                .zip(with(named(&[
                    ("closed", "Closed"),
                    ("withdrawn", "Withdrawn"),
                    ("open", "Open"),
                ])))
                .map(|(c, (k, l))| (c, k, l)),
            &endings,
        ),
    ];
    let readable = records.iter().filter(|record| record.readable).count();
    let whole = readable == records.len() || !settled;
    if readable == 0 || whole {
        all.extend(decisions(&children));
    }
    if whole {
        all.insert(1, total("children", "Children in them", Unit::Children, children.len()));
        let again: Vec<bool> = children.iter().map(|child| child.again).collect();
        let rows = named(&[("again", "Within 12 months of another"), ("no", "None known")]);
        let rows = [true, false].into_iter().zip(with(rows)).map(|(c, (k, l))| (c, k, l));
        all.push(of_children(partition("re_referrals", "Re-referrals", rows, &again)));
        all.extend(ethnicity(&children, lists.ethnicity));
        all.push(flags("abuse", "Categories of abuse named", lists.abuse, &children, |c| &c.abuse));
        all.push(flags("factors", "Concern factors named", lists.factors, &children, |c| {
            &c.factors
        }));
        if !settled || records.iter().all(|record| record.answers_readable) {
            all.push(needs(&children, lists.needs));
        }
    }
    all
}

const fn urgency_words(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::U0 => "Danger now",
        Urgency::U1 => "Before the child goes home",
        Urgency::U2 => "Within one working day",
        Urgency::U3 => "Early help",
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

pub(super) fn areas(
    id: &'static str,
    title: &'static str,
    codes: impl Iterator<Item = DfeCode>,
) -> Table {
    let mut counts: BTreeMap<DfeCode, u64> = BTreeMap::new();
    for code in codes {
        *counts.entry(code).or_default() += 1;
    }
    let row = |(code, count): (DfeCode, u64)| Row {
        key: code.to_string(),
        label: format!("Authority {code}"),
        count,
    };
    let rows = counts.into_iter().map(row).collect();
    Table { id, title, unit: Unit::Referrals, form: Form::Open, rows }
}

fn is_assessed(child: &Child) -> bool {
    child.decision.is_some_and(Decision::is_assessed)
}

/// Decisions, in two tables: ethnicity is counted beside whether an assessment follows, so that a unit
/// can change its decision within either without changing that.
fn decisions(children: &[&Child]) -> [Table; 2] {
    let words = codes_of(EventKind::Decided);
    let category = |decision: Decision| {
        let code = decision.as_str();
        let label = words.iter().find(|(c, _)| *c == code).map_or(code, |(_, label)| label);
        (Some(decision), code.to_owned(), label.to_owned())
    };
    let units = |assessed: bool| -> Vec<Option<Decision>> {
        let those = children.iter().filter(|child| is_assessed(child) == assessed);
        those.map(|child| child.decision).collect()
    };
    // The most usual one first: what stands last is the first to be withheld.
    let rest = Decision::ALL.into_iter().filter(|decision| *decision != Decision::Assessment);
    let all = |assessed: bool| {
        let order = [Decision::Assessment].into_iter().chain(rest.clone());
        order.filter(move |decision| decision.is_assessed() == assessed).map(category)
    };
    let not_yet = (None, "undecided".to_owned(), "Not decided yet".to_owned());
    [
        of_children(partition(
            "decisions_assessed",
            "Decisions: an assessment or enquiry follows",
            all(true),
            &units(true),
        )),
        of_children(partition(
            "decisions_other",
            "Decisions: something else follows",
            all(false).chain([not_yet]),
            &units(false),
        )),
    ]
}

/// Ethnicity, apart for children with and without an assessment or enquiry.
fn ethnicity(children: &[&Child], codes: &Codes) -> [Table; 2] {
    let known = |child: &&&Child| codes.iter().any(|(code, _)| *code == child.ethnicity);
    let units = |assessed: bool| -> Vec<String> {
        let those = children.iter().filter(|child| is_assessed(child) == assessed);
        // Not said is not yet obtained.
        those
            .map(|child| match known(&child) {
                true => child.ethnicity.clone(),
                false => "NOBT".to_owned(),
            })
            .collect()
    };
    let all = || codes.iter().map(|(code, label)| (code.clone(), code.clone(), label.clone()));
    [
        of_children(partition(
            "ethnicity_assessed",
            "Ethnicity: an assessment or enquiry follows",
            all(),
            &units(true),
        )),
        of_children(partition(
            "ethnicity_other",
            "Ethnicity: something else follows, or not decided yet",
            all(),
            &units(false),
        )),
    ]
}

/// Primary need. What is not recorded stands last, so that it is the first to be withheld.
fn needs(children: &[&Child], codes: &Codes) -> Table {
    let known = |need: &str| codes.iter().any(|(code, _)| code == need);
    let units: Vec<String> = children
        .iter()
        .map(|child| match child.need.as_str() {
            "" => NOT_RECORDED.0,
            need if known(need) => need,
            _ => OTHER_NEED.0,
        })
        .map(str::to_owned)
        .collect();
    let more = [OTHER_NEED, NOT_RECORDED].map(|(code, label)| (code.to_owned(), label.to_owned()));
    let all = codes.iter().cloned().chain(more).map(|(code, label)| (code.clone(), code, label));
    of_children(partition("needs", "Primary need, as the authority recorded it", all, &units))
}

const OTHER_NEED: (&str, &str) = ("other", "A code of another version of the list");
const NOT_RECORDED: (&str, &str) = ("not_recorded", "Not yet recorded");

fn flags(
    id: &'static str,
    title: &'static str,
    codes: &Codes,
    children: &[&Child],
    of: impl Fn(&Child) -> &Vec<String>,
) -> Table {
    let row = |(code, label): &(String, String)| Row {
        key: code.clone(),
        label: label.clone(),
        count: children.iter().filter(|child| of(child).contains(code)).count() as u64,
    };
    let rows = codes.iter().map(row).collect();
    Table { id, title, unit: Unit::Children, form: Form::Flags, rows }
}

/// The clocks of some referrals, by clock, class and authority.
pub fn clocks(records: &[&Record]) -> Vec<ClockCount> {
    let mut counts: BTreeMap<(ClockId, Class, Option<DfeCode>), ClockCount> = BTreeMap::new();
    for clock in records.iter().flat_map(|record| &record.clocks) {
        let (id, class, authority) = (clock.id, clock.class, clock.authority);
        let new =
            ClockCount { id, class, authority, in_time: 0, breached: 0, running: 0, ended: 0 };
        let count = counts.entry((id, class, authority)).or_insert(new);
        *match clock.outcome {
            Outcome::InTime => &mut count.in_time,
            Outcome::Breached => &mut count.breached,
            Outcome::Running => &mut count.running,
            Outcome::Ended => &mut count.ended,
        } += 1;
    }
    counts.into_values().collect()
}

/// How long each step took.
pub fn times(records: &[&Record]) -> [Times; 4] {
    let sorted = |id, title, of: fn(&Record) -> Option<i64>| {
        let mut values: Vec<i64> = records.iter().filter_map(|record| of(record)).collect();
        values.sort_unstable();
        Times { id, title, values }
    };
    [
        sorted("stored", "Stored at the authority", |r| r.stored_after),
        sorted("opened", "Opened by a person", |r| r.opened_after),
        sorted("acknowledged", "Acknowledged by a social worker", |r| r.acknowledged_after),
        sorted("decided", "Decided for every child", |r| r.decided_after),
    ]
}

/// Marks the children of whom another referral was recorded in the twelve months before.
pub fn again(records: &mut [Record]) {
    let mut seen: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for record in records.iter() {
        for key in record.children.iter().filter_map(|child| child.key) {
            seen.entry(key).or_default().push(record.recorded_at.millis());
        }
    }
    for record in records.iter_mut() {
        let at = record.recorded_at.millis();
        for child in &mut record.children {
            let times = child.key.and_then(|key| seen.get(&key));
            child.again =
                times.is_some_and(|times| times.iter().any(|t| *t < at && at - t <= AGAIN_WITHIN));
        }
    }
}
