//! The public figures of one quarter, and of several together.

use super::beside::{Beside, answers, beside};
use super::protect::{Figure, Share, protect, share};
use super::quantile::{Class, MEDIAN_FROM, P90_FROM, class, quantile};
use super::record::Record;
use super::tables::{ClockCount, Form, Lists, Table, Unit, clocks, tables, times};
use crate::domain::clocks::{Class as ClockClass, ClockId};
use crate::domain::party::DfeCode;

/// Everything that is published of a quarter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The tables.
    pub tables: Vec<ShownTable>,
    /// Clocks of statutory guidance and of procedures, with each authority.
    pub clocks: Vec<ShownClock>,
    /// How long things took.
    pub times: Vec<ShownTimes>,
}

/// A table as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTable {
    /// Its name for programs.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// Whether it is one figure for all.
    pub total: bool,
    /// Whether categories that are not listed exist.
    pub open: bool,
    /// Code, words, figure.
    pub rows: Vec<(String, String, Figure)>,
}

/// A clock with one authority as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownClock {
    /// Which clock.
    pub id: ClockId,
    /// Where its limit comes from.
    pub class: ClockClass,
    /// Who was waited for the longest.
    pub authority: Option<DfeCode>,
    /// Met by the limit.
    pub in_time: Figure,
    /// Not.
    pub breached: Figure,
    /// How large the first part is.
    pub share: Share,
}

/// How long something took, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTimes {
    /// Its name for programs.
    pub id: &'static str,
    /// What took so long.
    pub title: &'static str,
    /// The class of the median, if it is over enough.
    pub median: Option<Class>,
    /// The class of the ninetieth percentile, if it is over enough.
    pub p90: Option<Class>,
}

/// What may be published of the records of one quarter, and of what happened `aside` from them.
pub fn publish(records: &[&Record], aside: &[&Beside], lists: Lists<'_>) -> Published {
    let shown = |table: Table| {
        let figures = protect(&table);
        let open = table.form == Form::Open;
        let rows = table.rows.into_iter().zip(figures).map(|(r, f)| (r.key, r.label, f));
        // Whether a category of an open list has no unit or too few is not to be told apart.
        let rows = rows.filter(|(.., figure)| !open || figure.parts > 0).collect();
        let total = table.form == Form::Total;
        ShownTable { id: table.id, title: table.title, unit: table.unit, total, open, rows }
    };
    let public = clocks(records).into_iter().filter(|clock| clock.class != ClockClass::Scheme);
    let times = times(records).into_iter().chain([answers(aside)]).map(|times| {
        let of = |percent, from| {
            let enough = times.values.len() >= from;
            quantile(&times.values, percent).filter(|_| enough).map(class)
        };
        let (median, p90) = (of(50, MEDIAN_FROM), of(90, P90_FROM));
        ShownTimes { id: times.id, title: times.title, median, p90 }
    });
    Published {
        tables: tables(records, lists, true)
            .into_iter()
            .chain(beside(aside, true))
            .map(shown)
            .collect(),
        clocks: public.filter_map(clock).collect(),
        times: times.collect(),
    }
}

/// A clock, unless nothing of it can be shown: then not even that there is one.
fn clock(count: ClockCount) -> Option<ShownClock> {
    let both = Figure::of(count.in_time).parts > 0 && Figure::of(count.breached).parts > 0;
    let figure = |count| if both { Figure::of(count) } else { Figure::WITHHELD };
    let share = share(count.in_time, count.breached);
    (share != Share::Withheld).then(|| ShownClock {
        id: count.id,
        class: count.class,
        authority: count.authority,
        in_time: figure(count.in_time),
        breached: figure(count.breached),
        share,
    })
}

/// Several quarters together: sums of what each shows, and nothing that needs more than that.
pub fn together(quarters: &[Published]) -> Published {
    let [first, rest @ ..] = quarters else {
        return Published { tables: Vec::new(), clocks: Vec::new(), times: Vec::new() };
    };
    if rest.is_empty() {
        return first.clone();
    }
    let in_all = |table: &&ShownTable| {
        rest.iter().all(|other| other.tables.iter().any(|t| t.id == table.id))
    };
    let tables = first.tables.iter().filter(in_all).map(|table| sum(table, quarters)).collect();
    let mut keys: Vec<_> = quarters
        .iter()
        .flat_map(|q| q.clocks.iter().map(|c| (c.id, c.class, c.authority)))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let clocks = keys.into_iter().map(|key| sum_of_clock(key, quarters)).collect();
    Published { tables, clocks, times: Vec::new() }
}

fn sum(table: &ShownTable, quarters: &[Published]) -> ShownTable {
    let same = quarters.iter().flat_map(|q| q.tables.iter().filter(|t| t.id == table.id));
    let same: Vec<&ShownTable> = same.collect();
    let mut rows: Vec<(String, String, Figure)> = Vec::new();
    for (key, label, _) in same.iter().flat_map(|table| &table.rows) {
        if rows.iter().any(|(k, ..)| k == key) {
            continue;
        }
        let figure = |table: &&ShownTable| {
            let row = table.rows.iter().find(|(k, ..)| k == key);
            row.map_or(Figure::WITHHELD, |(.., figure)| *figure)
        };
        let sum = same.iter().map(figure).fold(Figure::default(), Figure::and);
        rows.push((key.clone(), label.clone(), sum));
    }
    if table.open {
        rows.sort();
    }
    ShownTable { rows, ..table.clone() }
}

fn sum_of_clock(
    (id, class, authority): (ClockId, ClockClass, Option<DfeCode>),
    quarters: &[Published],
) -> ShownClock {
    let of =
        |clock: &&ShownClock| (clock.id, clock.class, clock.authority) == (id, class, authority);
    let each: Vec<Option<&ShownClock>> =
        quarters.iter().map(|quarter| quarter.clocks.iter().find(of)).collect();
    let sum = |figure: fn(&ShownClock) -> Figure| {
        let figures = each.iter().map(|clock| clock.map_or(Figure::WITHHELD, figure));
        figures.fold(Figure::default(), Figure::and)
    };
    let (in_time, breached) = (sum(|c| c.in_time), sum(|c| c.breached));
    let share = match (in_time.whole(), breached.whole()) {
        (Some(yes), Some(no)) => share(yes, no),
        _ => Share::Withheld,
    };
    ShownClock { id, class, authority, in_time, breached, share }
}
