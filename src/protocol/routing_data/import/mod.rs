//! Published postcode directories -> a postcode table.
//!
//! Reads ONSPD, NSPL, Code-Point Open and the project's own extract, as CSV, CSV with gzip, or the
//! zip archive as published; columns by header name. Gives the bytes of the new table and a summary
//! of what changes; writes nothing itself.

mod columns;
mod near;
mod source;
mod summary;

pub use columns::Shape;
pub use source::{Failure, Source, read};
pub use summary::{Summary, compare};

use std::collections::BTreeMap;

use super::{DataError, envelope};
use crate::domain::ids::Digest;
use crate::domain::postcode::{AREAS, DISTRICTS, Postcode, SECTORS, SLOTS};
use crate::domain::routing::district::Districts;
use crate::domain::routing::gss::Gss;
use crate::domain::routing::table::{Found, Meta, NearBasis, PostcodeTable, Row, build};
use crate::domain::time::Date;

/// A new table, not yet in use.
pub struct Compiled {
    /// The bytes of its file.
    pub file: Vec<u8>,
    /// The digest of its content.
    pub digest: Digest,
    /// The table.
    pub table: PostcodeTable,
    /// Postcodes of the table in use that the source does not list, kept as retired (only for
    /// Code-Point Open, which lists live ones alone).
    pub kept_as_retired: u32,
    /// Codes that the table of districts does not know, with the number of their postcodes: these
    /// answer "known, cannot be placed" until the table of districts is brought up to date.
    pub unknown_codes: BTreeMap<Gss, u32>,
}

/// Makes the table and verifies it: every row of the source comes back as it was, and nothing else
/// is listed. Without a table in use nothing is carried over from it.
pub fn compile(
    source: Source,
    digest: Digest,
    edition: (u16, u8),
    districts: &Districts,
    in_use: Option<&PostcodeTable>,
) -> Result<Compiled, Failure> {
    let Source { shape, mut rows, grid, .. } = source;
    for row in &mut rows {
        row.found.district = row.found.district.map(|code| districts.current(code));
    }
    let day = Date::new(i32::from(edition.0), edition.1, 1).ok_or(Failure::Edition)?;
    let measured = grid.iter().any(Option::is_some);
    let near = if shape == Shape::Own {
        NearBasis::Source
    } else if measured {
        near::measure(&mut rows, &grid, districts, day);
        NearBasis::Measured
    } else if let Some(in_use) = in_use {
        near::carry_over(&mut rows, in_use);
        NearBasis::CarriedOver
    } else {
        NearBasis::None
    };
    let kept_as_retired = match in_use {
        Some(in_use) if shape == Shape::CodePointOpen => keep_retired(&mut rows, in_use),
        _ => 0,
    };
    let mut unknown_codes = BTreeMap::new();
    for code in rows.iter().filter_map(|row| row.found.district) {
        if code.nation().is_none() && !districts.knows(code) {
            *unknown_codes.entry(code).or_default() += 1;
        }
    }
    let meta = Meta {
        source: shape.name().to_string(),
        year: edition.0,
        month: edition.1,
        source_digest: digest,
        near,
        attribution: shape.attribution(edition.0),
    };
    let content = build(&meta, &mut rows).map_err(Failure::Build)?;
    let file = envelope::close(&content).map_err(Failure::Read)?;
    let (table, digest) = envelope::open(&file).map_err(Failure::Data)?;
    verify(&table, &rows)?;
    Ok(Compiled { file, digest, table, kept_as_retired, unknown_codes })
}

/// The postcodes in use that a list of live ones leaves out stay, as retired.
fn keep_retired(rows: &mut Vec<Row>, in_use: &PostcodeTable) -> u32 {
    rows.sort_unstable_by_key(|row| row.postcode);
    let listed = rows.len();
    for (postcode, found) in in_use.iter() {
        if rows[..listed].binary_search_by_key(&postcode, |row| row.postcode).is_err() {
            rows.push(Row { postcode, found: Found { retired: true, ..found } });
        }
    }
    (rows.len() - listed) as u32
}

/// Every row comes back; every other place of every sector, and every sector that has no row, is
/// empty.
fn verify(table: &PostcodeTable, rows: &[Row]) -> Result<(), Failure> {
    let same = rows.iter().all(|row| table.lookup(row.postcode) == Some(row.found));
    let mut listed = 0;
    let mut odd = 0;
    let mut by_sector: BTreeMap<u32, u32> = BTreeMap::new();
    for row in rows {
        match row.postcode.sector_and_slot() {
            Some((sector, _)) => *by_sector.entry(sector).or_default() += 1,
            None => odd += 1,
        }
    }
    for sector in 0..AREAS * DISTRICTS * SECTORS {
        let places = if by_sector.contains_key(&sector) { 0..SLOTS } else { 0..1 };
        let there = |slot| Postcode::at_slot(sector, slot).and_then(|p| table.lookup(p)).is_some();
        let found = places.filter(|slot| there(*slot)).count() as u32;
        if found != by_sector.get(&sector).copied().unwrap_or(0) {
            return Err(Failure::Verify);
        }
        listed += found;
    }
    let all = listed + odd == rows.len() as u32 && table.counts().total() == rows.len() as u32;
    if same && all { Ok(()) } else { Err(Failure::Verify) }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Failure::Data(error)
    }
}

#[cfg(test)]
mod tests;
