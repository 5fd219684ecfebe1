//! The sheets that only a report for the organisation itself has, or has in another form: exact figures.

use std::collections::BTreeMap;

use super::moment::length;
use super::statistics::{CLOCKS, Plot, Sheet, SheetRow, clock_label};
use crate::domain::clocks::Class;
use crate::domain::referral::Urgency;
use crate::domain::statistics::{Lists, Record, Times, clocks, quantile, times};

pub(super) fn clock_sheet(records: &[&Record]) -> Sheet {
    let rows = clocks(records).into_iter().map(|clock| {
        let who = clock.authority.map(|a| a.to_string()).unwrap_or_default();
        let decided = clock.in_time + clock.breached;
        let percent = match decided {
            0 => "-".to_owned(),
            all => format!("{} %", (100 * clock.in_time + all / 2) / all),
        };
        SheetRow {
            key: format!("{} {} {who}", clock.id.as_str(), clock.class.as_str()),
            label: clock_label(clock.id, clock.authority),
            cells: vec![
                clock.class.as_str().into(),
                clock.in_time.to_string(),
                clock.breached.to_string(),
                percent,
                clock.running.to_string(),
                clock.ended.to_string(),
            ],
            bar: vec![Some(clock.in_time as f64), Some(clock.breached as f64)],
        }
    });
    let heads = ["Class", "In time", "Not", "Share in time", "Running", "Ended before"];
    Sheet {
        id: "clocks".into(),
        title: CLOCKS.into(),
        unit: "limits".into(),
        note: Some(format!(
            "Limits of the class {} are this scheme's own and are in no public report.",
            Class::Scheme.as_str()
        )),
        columns: heads.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        plot: Plot::Bars(&["In time", "Not in time"]),
    }
}

/// Need by ethnicity: only where exact figures may be shown. `.docs/statistics.md` says why.
pub(super) fn needs(records: &[&Record], lists: Lists<'_>) -> Sheet {
    let label = |list: &[(String, String)], code: &str| {
        let found = list.iter().find(|(known, _)| known == code);
        found.map_or_else(|| code.to_owned(), |(_, label)| label.clone())
    };
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for child in records.iter().flat_map(|record| &record.children) {
        let ethnicity = if child.ethnicity.is_empty() { "NOBT" } else { &child.ethnicity };
        let need = if child.need.is_empty() { "not_recorded" } else { &child.need };
        *counts.entry((ethnicity, need)).or_default() += 1;
    }
    let rows = counts.into_iter().map(|((ethnicity, need), count)| {
        let said = match need {
            "not_recorded" => "not yet recorded".to_owned(),
            need => label(lists.needs, need),
        };
        SheetRow {
            key: format!("{ethnicity} {need}"),
            label: format!("{}: {said}", label(lists.ethnicity, ethnicity)),
            cells: vec![count.to_string()],
            bar: vec![Some(count as f64)],
        }
    });
    Sheet {
        id: "needs_by_ethnicity".into(),
        title: "Primary need by ethnicity".into(),
        unit: "children".into(),
        note: Some("In no public report: most of its figures would be too small to show.".into()),
        columns: vec!["Number".into()],
        rows: rows.collect(),
        plot: Plot::Bars(&["Number"]),
    }
}

pub(super) fn time_sheet(records: &[&Record], answered: Times) -> Sheet {
    let mut rows = Vec::new();
    let mut add = |suffix: &str, key: &str, some: &[&Record], more: Option<Times>| {
        for times in times(some).into_iter().chain(more.filter(|more| !more.values.is_empty())) {
            let said = |percent| quantile(&times.values, percent).map_or("-".to_owned(), length);
            rows.push(SheetRow {
                key: format!("{}{key}", times.id),
                label: format!("{}{suffix}", times.title),
                cells: vec![times.values.len().to_string(), said(50), said(90), said(100)],
                bar: Vec::new(),
            });
        }
    };
    add("", "", records, Some(answered));
    for urgency in Urgency::ALL {
        let some: Vec<&Record> = records.iter().copied().filter(|r| r.urgency == urgency).collect();
        if !some.is_empty() {
            let name = urgency.as_str();
            add(&format!(", {name}"), &format!(" {name}"), &some, None);
        }
    }
    Sheet {
        id: "times".into(),
        title: "How long it took from acceptance".into(),
        unit: "days, hours, minutes".into(),
        note: None,
        columns: ["Times", "Median", "Nine of ten within", "Longest"].map(str::to_owned).to_vec(),
        rows,
        plot: Plot::None,
    }
}
