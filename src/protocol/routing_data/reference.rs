//! The CSV files of authorities and districts -> a dated table.

use std::collections::BTreeMap;

use csv::StringRecord;

use super::DataError;
use crate::domain::ids::Digest;
use crate::domain::party::DfeCode;
use crate::domain::routing::district::{Announced, Authority, Districts, Parts, Row};
use crate::domain::routing::gss::Gss;
use crate::domain::time::Date;
use crate::protocol::hash::sha256;

/// Edition of the embedded files: the Department's list of authorities that they were made from.
pub const EDITION: &str = "2026-04";

/// The texts of the files.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// Area code, DfE code, name, from, to, status: authorities with their former area codes.
    pub history: &'a str,
    /// District, its authority, and the days between which that holds (empty: always).
    pub districts: &'a str,
    /// Abolished district codes and the codes that replaced them.
    pub successors: &'a str,
    /// Reorganisations to come; a row moves nothing until both codes are filled in.
    pub pending: &'a str,
}

/// The files inside this program.
pub const FILES: Files<'static> = Files {
    history: include_str!("data/la_code_history.csv"),
    districts: include_str!("data/lad_to_childrens_services.csv"),
    successors: include_str!("data/lad_code_successors.csv"),
    pending: include_str!("data/reorganisation_pending.csv"),
};

/// The embedded table of districts and its digest.
pub fn embedded() -> Result<(Districts, Digest), DataError> {
    let Files { history, districts, successors, pending } = FILES;
    let digest = sha256([history, districts, successors, pending].join("\0").as_bytes());
    Ok((read(FILES)?, digest))
}

/// Reads the files; refuses them with the first wrong line, or if they contradict each other.
pub fn read(files: Files) -> Result<Districts, DataError> {
    let mut parts = Parts {
        authorities: authorities(files.history)?,
        rows: rows("lad_to_childrens_services.csv", files.districts, |line| {
            Some(Row {
                district: line.gss("lad_gss")?,
                name: line.text("lad_name")?,
                authority: line.text("utla_dfe_code")?.parse().ok()?,
                from: line.date("valid_from")?,
                to: line.date("valid_to")?,
            })
        })?,
        successors: rows("lad_code_successors.csv", files.successors, |line| {
            Some((line.gss("old_lad_gss")?, line.gss("new_lad_gss")?))
        })?,
        announced: Vec::new(),
    };
    let pending = rows("reorganisation_pending.csv", files.pending, |line| {
        let announced = Announced {
            district: line.gss("lad_gss")?,
            to_name: line.text("to_utla_name")?,
            effective: line.date("effective")??,
        };
        let codes = (line.text("to_utla_gss")?, line.text("to_dfe_code")?);
        let codes = match codes {
            (gss, dfe) if gss.is_empty() && dfe.is_empty() => None,
            (gss, dfe) => Some((gss.parse().ok()?, dfe.parse().ok()?)),
        };
        Some((announced, codes))
    })?;
    for (announced, codes) in pending {
        match codes {
            Some((gss, code)) => activate(&mut parts, announced, gss, code),
            None => parts.announced.push(announced),
        }
    }
    Districts::new(parts).map_err(DataError::Districts)
}

/// A reorganisation whose codes are known: the district's open row ends on the eve, a new one
/// begins, and an authority that has lost all its districts ends.
fn activate(parts: &mut Parts, announced: Announced, gss: Gss, code: DfeCode) {
    let eve = Some(announced.effective.plus_days(-1));
    let mut left = None;
    let mut name = String::new();
    for row in &mut parts.rows {
        if row.district == announced.district && row.to.is_none() {
            (row.to, left) = (eve, Some(row.authority));
            name.clone_from(&row.name);
        }
    }
    parts.rows.push(Row {
        district: announced.district,
        name,
        authority: code,
        from: Some(announced.effective),
        to: None,
    });
    if parts.authorities.iter().all(|a| a.code != code) {
        let (name, from) = (announced.to_name, Some(announced.effective));
        parts.authorities.push(Authority { code, gss, name, from, to: None });
    }
    let emptied =
        left.filter(|left| parts.rows.iter().all(|r| r.authority != *left || r.to.is_some()));
    for authority in parts.authorities.iter_mut().filter(|a| Some(a.code) == emptied) {
        authority.to = eve;
    }
}

/// One authority per DfE code, whatever its boundary's codes were.
fn authorities(history: &str) -> Result<Vec<Authority>, DataError> {
    let spans = rows("la_code_history.csv", history, |line| {
        let code = line.text("dfe_code")?;
        let gss = line.gss("gss_code")?;
        let (name, from, to) = (line.text("name")?, line.date("from")?, line.date("to")?);
        // Five counties that ended in 2009 have no DfE code here; nothing refers to them.
        if code.is_empty() {
            return Some(None);
        }
        Some(Some(Authority { code: code.parse().ok()?, gss, name, from, to }))
    })?;
    let mut by_code: BTreeMap<DfeCode, Authority> = BTreeMap::new();
    for span in spans.into_iter().flatten() {
        let Some(known) = by_code.get_mut(&span.code) else {
            by_code.insert(span.code, span);
            continue;
        };
        let from = known.from.min(span.from);
        if span.to.is_none() || (known.to.is_some() && span.to > known.to) {
            *known = span;
        }
        known.from = from;
    }
    Ok(by_code.into_values().collect())
}

struct Line<'a> {
    header: &'a StringRecord,
    record: &'a StringRecord,
}

impl Line<'_> {
    fn text(&self, column: &str) -> Option<String> {
        let at = self.header.iter().position(|name| name == column)?;
        self.record.get(at).map(str::to_string)
    }

    fn gss(&self, column: &str) -> Option<Gss> {
        self.text(column)?.parse().ok()
    }

    /// `Some(None)` for an empty field.
    fn date(&self, column: &str) -> Option<Option<Date>> {
        let text = self.text(column)?;
        if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
    }
}

fn rows<T>(
    file: &'static str,
    text: &str,
    read: impl Fn(Line) -> Option<T>,
) -> Result<Vec<T>, DataError> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|_| DataError::Reference { file, line: 1 })?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let line = rows.len() as u64 + 2;
        let row = record.ok().and_then(|record| read(Line { header: &header, record: &record }));
        rows.push(row.ok_or(DataError::Reference { file, line })?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::routing::district::Standing;

    fn standing(table: &Districts, code: &str, day: &str) -> Standing {
        table.standing(code.parse().unwrap(), day.parse().unwrap())
    }

    fn authority(code: &str) -> Standing {
        Standing::Authority(code.parse().unwrap())
    }

    #[test]
    fn the_153_authorities_of_england() {
        let (table, _) = embedded().unwrap();
        assert_eq!(table.counts("2026-11-21".parse().unwrap()), (296, 153));
        let on = |code, day| standing(&table, code, day);
        assert_eq!(on("E09000012", "2026-11-21"), authority("204"));
        assert_eq!(on("E07000107", "2026-11-21"), authority("886"), "Dartford is in Kent");
        assert_eq!(on("E10000016", "2026-11-21"), authority("886"), "Kent by its own code");
        assert_eq!(on("E08000016", "2026-11-21"), authority("370"), "Barnsley's former code");
        assert_eq!(on("E07000028", "2026-11-21"), authority("942"), "Carlisle is Cumberland now");
        assert_eq!(on("E07000028", "2023-03-31"), Standing::Unknown, "and was not then");
    }

    #[test]
    fn surrey_is_certain_until_it_ends_and_no_longer() {
        let (table, _) = embedded().unwrap();
        assert_eq!(standing(&table, "E07000207", "2027-03-31"), authority("936"));
        let after = standing(&table, "E07000207", "2027-04-01");
        assert_eq!(after, Standing::Reorganised { was: "936".parse().unwrap() });
    }

    #[test]
    fn filling_in_the_codes_of_the_announcement_is_the_whole_change() {
        // The codes are made up: the real ones were not published when this was written.
        let fill = |line: &str| {
            line.replace("East Surrey,,", "East Surrey,E06000901,991")
                .replace("West Surrey,,", "West Surrey,E06000902,992")
        };
        let pending: Vec<String> = FILES.pending.lines().map(fill).collect();
        let table = read(Files { pending: &pending.join("\n"), ..FILES }).unwrap();
        assert_eq!(standing(&table, "E07000207", "2027-03-31"), authority("936"));
        assert_eq!(standing(&table, "E07000207", "2027-04-01"), authority("991"));
        assert_eq!(standing(&table, "E07000209", "2027-04-01"), authority("992"));
        assert_eq!(table.counts("2027-03-31".parse().unwrap()).1, 153);
        assert_eq!(table.counts("2027-04-01".parse().unwrap()).1, 154);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let districts = FILES.districts.replacen("E06000002", "E0600002", 1);
        let file = "lad_to_childrens_services.csv";
        let refused = read(Files { districts: &districts, ..FILES }).err();
        assert_eq!(refused, Some(DataError::Reference { file, line: 3 }));
    }
}
