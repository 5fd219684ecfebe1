//! Rows -> bytes of a table. The same rows in any order give the same bytes.

use std::collections::BTreeMap;
use std::fmt;

use super::bytes::{put_text, put_varint};
use super::{Counts, Found, Meta, Near, NearBasis, UNPLACED};
use crate::domain::postcode::{Postcode, SLOTS};
use crate::domain::routing::gss::Gss;

/// One postcode of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The postcode.
    pub postcode: Postcode,
    /// What the source says about it.
    pub found: Found,
}

/// Why rows are not a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildError {
    /// That many postcodes occur twice with different districts.
    Conflicts(usize),
    /// More sectors, or more areas, than the format can hold.
    TooMany,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Conflicts(n) => {
                write!(f, "{n} postcodes occur more than once and contradict themselves")
            }
            BuildError::TooMany => f.write_str("more sectors or areas than the format can hold"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Makes the bytes of a table; sorts `rows` and removes repetitions.
pub fn build(meta: &Meta, rows: &mut Vec<Row>) -> Result<Vec<u8>, BuildError> {
    rows.sort_unstable_by_key(|row| row.postcode);
    let conflicts = rows.windows(2).filter(|w| w[0].postcode == w[1].postcode && w[0] != w[1]);
    match conflicts.count() {
        0 => rows.dedup(),
        n => return Err(BuildError::Conflicts(n)),
    }
    let codes = code_list(rows)?;
    let code = |district: Option<Gss>| district.map_or(UNPLACED, |d| codes[&d]);

    let mut counts = Counts::default();
    for Row { found, .. } in rows.iter() {
        counts.place(found.district, 1);
        counts.retired += u32::from(found.retired);
        counts.near += u32::from(found.near.is_some());
    }
    let mut out = header(meta, &counts);
    put_u16(&mut out, codes.len() as u16);
    codes.keys().for_each(|gss| out.extend_from_slice(gss.as_bytes()));

    let (regular, odd) = split(rows);
    let sectors: Vec<&[Placed]> = regular.chunk_by(|a, b| a.sector == b.sector).collect();
    if sectors.len() >= usize::from(u16::MAX) {
        return Err(BuildError::TooMany);
    }
    put_u32(&mut out, sectors.len() as u32);
    let mut next = 0;
    for sector in &sectors {
        put_varint(&mut out, sector[0].sector - next);
        next = sector[0].sector + 1;
    }
    for sector in &sectors {
        let mut present = [0u8; SLOTS as usize / 8];
        sector.iter().for_each(|p| present[usize::from(p.slot / 8)] |= 1 << (p.slot % 8));
        out.extend_from_slice(&present);
    }
    let palettes: Vec<Vec<u16>> = sectors
        .iter()
        .map(|sector| {
            let mut palette: Vec<u16> = sector.iter().map(|p| code(p.found.district)).collect();
            palette.sort_unstable();
            palette.dedup();
            palette
        })
        .collect();
    for palette in &palettes {
        out.push(u8::try_from(palette.len()).map_err(|_| BuildError::TooMany)?);
        palette.iter().for_each(|&c| put_u16(&mut out, c));
    }
    for (sector, palette) in sectors.iter().zip(&palettes).filter(|(_, p)| p.len() > 1) {
        let width = width_of(palette.len());
        let mut bits = Bits::default();
        for placed in *sector {
            let index = palette.binary_search(&code(placed.found.district)).unwrap_or(0);
            bits.push(index as u32, width);
        }
        out.extend_from_slice(&bits.bytes);
    }
    let mut retired = Bits::default();
    regular.iter().for_each(|placed| retired.push(u32::from(placed.found.retired), 1));
    out.extend_from_slice(&retired.bytes);
    put_near(&mut out, &sectors, &codes);

    put_u32(&mut out, odd.len() as u32);
    for row in odd {
        put_u32(&mut out, row.postcode.packed());
        put_u16(&mut out, code(row.found.district));
        out.push(u8::from(row.found.retired));
    }
    Ok(out)
}

/// Bits that an index into a palette of that length takes.
pub(super) const fn width_of(palette: usize) -> u8 {
    (usize::BITS - (palette - 1).leading_zeros()) as u8
}

struct Placed {
    sector: u32,
    slot: u16,
    found: Found,
}

fn split(rows: &[Row]) -> (Vec<Placed>, Vec<&Row>) {
    let (mut regular, mut odd) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match row.postcode.sector_and_slot() {
            Some((sector, slot)) => regular.push(Placed { sector, slot, found: row.found }),
            None => odd.push(row),
        }
    }
    (regular, odd)
}

fn code_list(rows: &[Row]) -> Result<BTreeMap<Gss, u16>, BuildError> {
    let mut codes: BTreeMap<Gss, u16> = BTreeMap::new();
    for row in rows {
        codes.extend(row.found.district.map(|d| (d, 0)));
        codes.extend(row.found.near.map(|n| (n.area, 0)));
    }
    if codes.len() >= usize::from(UNPLACED) {
        return Err(BuildError::TooMany);
    }
    codes.values_mut().enumerate().for_each(|(i, index)| *index = i as u16);
    Ok(codes)
}

fn header(meta: &Meta, counts: &Counts) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 21);
    put_u16(&mut out, 1);
    put_text(&mut out, &meta.source);
    put_u16(&mut out, meta.year);
    out.push(meta.month);
    out.extend_from_slice(meta.source_digest.as_bytes());
    out.push(match meta.near {
        NearBasis::None => 0,
        NearBasis::Source => 1,
        NearBasis::CarriedOver => 2,
        NearBasis::Measured => 3,
    });
    let lines = &meta.attribution[..meta.attribution.len().min(255)];
    out.push(lines.len() as u8);
    lines.iter().for_each(|line| put_text(&mut out, line));
    let Counts { england, scotland, wales, unplaced, retired, near } = *counts;
    for count in [england, scotland, wales, unplaced, retired, near] {
        put_u32(&mut out, count);
    }
    out
}

/// Columns apart, since each compresses better among its own.
fn put_near(out: &mut Vec<u8>, sectors: &[&[Placed]], codes: &BTreeMap<Gss, u16>) {
    let entries: Vec<(u32, Near)> = sectors
        .iter()
        .enumerate()
        .flat_map(|(i, sector)| {
            sector.iter().filter_map(move |placed| {
                Some((i as u32 * u32::from(SLOTS) + u32::from(placed.slot), placed.found.near?))
            })
        })
        .collect();
    put_u32(out, entries.len() as u32);
    let mut next = 0;
    for (ordinal, _) in &entries {
        put_varint(out, ordinal - next);
        next = ordinal + 1;
    }
    entries.iter().for_each(|(_, near)| out.push(near.metres));
    entries.iter().for_each(|(_, near)| put_u16(out, codes[&near.area]));
}

fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Bits packed into bytes, low ones first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u8,
}

impl Bits {
    fn push(&mut self, value: u32, width: u8) {
        for i in 0..width {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> i & 1) as u8) << self.used;
            }
            self.used = (self.used + 1) % 8;
        }
    }
}
