//! The 153 children's services authorities of England as they stand, with their area codes over
//! time, and the bank holidays: what every directory starts from. Sources in `data/SOURCES.md`.

use std::collections::HashMap;

use super::document::{AreaDoc, AuthorityDoc};
use crate::domain::calendar;

const AUTHORITIES: &str = include_str!("data/childrens_services_authorities.csv");
const HISTORY: &str = include_str!("data/la_code_history.csv");

/// How many authorities England has had since 1 April 2023.
pub const AUTHORITY_COUNT: usize = 153;

/// Every authority, not connected, without contacts.
pub fn authorities() -> Vec<AuthorityDoc> {
    let mut areas: HashMap<String, Vec<AreaDoc>> = HashMap::new();
    for [gss, dfe_code, from, to] in columns(HISTORY, ["gss_code", "dfe_code", "from", "to"]) {
        let valid_to = (!to.is_empty()).then_some(to);
        areas.entry(dfe_code).or_default().push(AreaDoc { gss, valid_from: from, valid_to });
    }
    let wanted = ["dfe_code", "name", "gss_code", "gss_from"];
    columns(AUTHORITIES, wanted)
        .map(|[code, name, gss, from]| {
            let mut areas = areas.remove(&code).unwrap_or_default();
            if !areas.iter().any(|area| area.gss == gss) {
                areas.push(AreaDoc { gss, valid_from: from, valid_to: None });
            }
            areas.sort_by(|a, b| a.valid_from.cmp(&b.valid_from));
            AuthorityDoc { code, name: Some(name), areas: Some(areas), ..AuthorityDoc::default() }
        })
        .collect()
}

/// Bank holidays of England and Wales as published, 2012 to 2028.
pub fn bank_holidays() -> Vec<String> {
    calendar::published().map(|day| day.to_string()).collect()
}

/// The named columns of a table that is part of this program; a test reads both.
fn columns<const N: usize>(
    table: &'static str,
    names: [&str; N],
) -> impl Iterator<Item = [String; N]> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().cloned().unwrap_or_default();
    let at = names.map(|name| header.iter().position(|column| column == name));
    reader
        .into_records()
        .filter_map(Result::ok)
        .map(move |row| at.map(|at| at.and_then(|at| row.get(at)).unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::time::Date;

    #[test]
    fn all_authorities_with_a_current_area_code() {
        let all = authorities();
        assert_eq!(all.len(), AUTHORITY_COUNT);
        let codes: HashSet<_> = all.iter().map(|a| &a.code).collect();
        assert_eq!(codes.len(), AUTHORITY_COUNT);
        for authority in &all {
            let areas = authority.areas.as_ref().unwrap();
            let current = areas.iter().filter(|a| a.valid_to.is_none()).count();
            assert_eq!(current, 1, "{}", authority.code);
        }
    }

    #[test]
    fn the_area_code_changes_where_the_organisation_stays() {
        let all = authorities();
        let barnsley = all.iter().find(|a| a.code == "370").unwrap();
        let gss: Vec<_> = barnsley
            .areas
            .iter()
            .flatten()
            .map(|a| (a.gss.as_str(), a.valid_to.as_deref()))
            .collect();
        assert_eq!(gss, [("E08000016", Some("2025-04-30")), ("E08000038", None)]);
    }

    #[test]
    fn bank_holidays_are_dates_in_order() {
        let days: Vec<Date> = bank_holidays().iter().map(|d| d.parse().unwrap()).collect();
        assert_eq!(days.len(), 140);
        assert!(days.is_sorted());
        assert!(days.contains(&"2026-12-28".parse().unwrap()), "Boxing Day, substitute");
    }
}
