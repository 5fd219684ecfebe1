//! Postcode -> district for the whole of Great Britain: exact, compact, a few memory accesses.
//!
//! A sector (`W10 4`) can have 400 postcodes, so it is a map of 400 bits; most sectors lie in one
//! district, the others keep a palette of districts and an index per postcode that exists. Which
//! sector is found by arithmetic on the packed postcode. What is not in the map does not exist:
//! the table cannot invent an answer. Format of the bytes: `protocol/routing_data/FORMAT.md`.

mod build;
mod bytes;
mod decode;

pub use build::{BuildError, Row, build};
pub use bytes::TableError;

use super::gss::Gss;
use crate::domain::ids::Digest;
use crate::domain::postcode::{AREAS, DISTRICTS, Postcode, SECTORS, SLOTS};

/// Where a table comes from. Travels with it, licence statements included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Name of the source (`ONSPD`), at most 255 bytes.
    pub source: String,
    /// Year of the source's edition.
    pub year: u16,
    /// Month of the source's edition, 1 to 12.
    pub month: u8,
    /// SHA-256 of the file that it was made from.
    pub source_digest: Digest,
    /// Where the hints about near boundaries come from.
    pub near: NearBasis,
    /// Statements that the licences require wherever the data is used.
    pub attribution: Vec<String>,
}

/// Where the hints about near boundaries come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NearBasis {
    /// There are none: a warning to whoever uses the table.
    None,
    /// Taken from the source file.
    Source,
    /// Taken over from the table that was in use before.
    CarriedOver,
    /// Measured from the source's grid references.
    Measured,
}

/// How many postcodes a table has, and of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In England.
    pub england: u32,
    /// In Scotland.
    pub scotland: u32,
    /// In Wales.
    pub wales: u32,
    /// Known to exist, without a place.
    pub unplaced: u32,
    /// Of all these: no longer in use.
    pub retired: u32,
    /// Of all these: near a boundary.
    pub near: u32,
}

impl Counts {
    /// All postcodes.
    pub const fn total(&self) -> u32 {
        self.england + self.scotland + self.wales + self.unplaced
    }

    fn place(&mut self, district: Option<Gss>, n: u32) {
        *match district.map(|d| d.as_bytes()[0]) {
            None => &mut self.unplaced,
            Some(b'S') => &mut self.scotland,
            Some(b'W') => &mut self.wales,
            Some(_) => &mut self.england,
        } += n;
    }
}

/// A postcode of another authority that is close by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    /// Its district, or the area code of its authority.
    pub area: Gss,
    /// Distance in metres, from point to point.
    pub metres: u8,
}

/// What the table says about a postcode that it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The district; `None`: the postcode exists, but nobody says where.
    pub district: Option<Gss>,
    /// No longer in use.
    pub retired: bool,
    /// Another authority close by.
    pub near: Option<Near>,
}

/// The table, read-only and shareable.
pub struct PostcodeTable {
    meta: Meta,
    counts: Counts,
    codes: Vec<Gss>,
    /// Area letters -> 1 + index of a block of [`DISTRICTS`] in `districts`; 0: none.
    areas: Box<[u16]>,
    /// District part -> 1 + index of a block of [`SECTORS`] in `digits`; 0: none.
    districts: Vec<u16>,
    /// Sector digit -> 1 + index in `sectors`; 0: none.
    digits: Vec<u16>,
    /// In ascending order of sector number.
    sectors: Vec<Sector>,
    numbers: Vec<u32>,
    palettes: Vec<Palette>,
    palette_codes: Vec<u16>,
    indices: Vec<u8>,
    near: Vec<NearEntry>,
    odd: Vec<OddEntry>,
}

/// Two cache lines: everything about a sector that lies in one district away from a boundary is in
/// them.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Sector {
    present: [u64; 7],
    /// Index of the district code, or of the palette if [`IN_PALETTE`] is set.
    value: u32,
    near_from: u32,
    retired: [u64; 7],
    near_to: u32,
}

const IN_PALETTE: u32 = 1 << 31;
/// The district code index that says "known, without a place".
const UNPLACED: u16 = u16::MAX;

struct Palette {
    codes_from: u32,
    indices_from: u32,
    width: u8,
}

struct NearEntry {
    slot: u16,
    area: u16,
    metres: u8,
}

struct OddEntry {
    packed: u32,
    code: u16,
    retired: bool,
}

impl PostcodeTable {
    /// Reads the bytes that [`build()`] makes; checks every reference in them.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        decode::decode(bytes)
    }

    /// What the table says; `None` if the postcode is not listed.
    #[inline]
    pub fn lookup(&self, postcode: Postcode) -> Option<Found> {
        let Some((number, slot)) = postcode.sector_and_slot() else { return self.odd(postcode) };
        self.found(self.sectors.get(self.sector_index(number)?)?, slot)
    }

    /// Where it comes from.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How many postcodes there are.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Every district code that occurs, and every area near a boundary, in ascending order.
    pub fn codes(&self) -> &[Gss] {
        &self.codes
    }

    /// Every postcode listed, in ascending order of its packed value.
    pub fn iter(&self) -> impl Iterator<Item = (Postcode, Found)> {
        let regular = self.sectors.iter().zip(&self.numbers).flat_map(move |(sector, &number)| {
            (0..SLOTS).filter_map(move |slot| {
                Some((Postcode::at_slot(number, slot)?, self.found(sector, slot)?))
            })
        });
        let mut odd = self.odd.iter().filter_map(|e| {
            let postcode = Postcode::from_packed(e.packed)?;
            Some((postcode, self.odd(postcode)?))
        });
        // Odd units of regular sectors stand between regular postcodes: merge the two orders.
        let mut regular = regular.peekable();
        let mut next_odd = odd.next();
        std::iter::from_fn(move || match (regular.peek(), &next_odd) {
            (Some((r, _)), Some((o, _))) if r > o => std::mem::replace(&mut next_odd, odd.next()),
            (None, Some(_)) => std::mem::replace(&mut next_odd, odd.next()),
            _ => regular.next(),
        })
    }

    #[inline]
    fn sector_index(&self, number: u32) -> Option<usize> {
        let (area, district, digit) =
            (number / SECTORS / DISTRICTS, number / SECTORS % DISTRICTS, number % SECTORS);
        let block = self.areas.get(area as usize)?.checked_sub(1)?;
        let at = usize::from(block) * DISTRICTS as usize + district as usize;
        let block = self.districts.get(at)?.checked_sub(1)?;
        let at = usize::from(block) * SECTORS as usize + digit as usize;
        Some(usize::from(self.digits.get(at)?.checked_sub(1)?))
    }

    #[inline]
    fn found(&self, sector: &Sector, slot: u16) -> Option<Found> {
        let (word, bit) = (usize::from(slot / 64), slot % 64);
        if sector.present.get(word)? >> bit & 1 == 0 {
            return None;
        }
        let code = if sector.value & IN_PALETTE == 0 {
            sector.value as u16
        } else {
            let before = sector.present[..word].iter().map(|w| w.count_ones()).sum::<u32>();
            let within = sector.present[word] & ((1u64 << bit) - 1);
            self.palette_code(sector.value ^ IN_PALETTE, before + within.count_ones())?
        };
        let near = if sector.near_from == sector.near_to {
            None
        } else {
            let entries = self.near.get(sector.near_from as usize..sector.near_to as usize)?;
            entries.iter().find(|e| e.slot == slot).and_then(|e| {
                Some(Near { area: *self.codes.get(usize::from(e.area))?, metres: e.metres })
            })
        };
        Some(Found {
            // The number of unplaced is not an index, so it finds no code.
            district: self.codes.get(usize::from(code)).copied(),
            retired: sector.retired.get(word)? >> bit & 1 == 1,
            near,
        })
    }

    #[inline]
    fn palette_code(&self, palette: u32, rank: u32) -> Option<u16> {
        let palette = self.palettes.get(palette as usize)?;
        let indices = self.indices.get(palette.indices_from as usize..)?;
        let index = bytes::index_at(indices, rank * u32::from(palette.width), palette.width)?;
        self.palette_codes.get(palette.codes_from as usize + usize::from(index)).copied()
    }

    #[cold]
    fn odd(&self, postcode: Postcode) -> Option<Found> {
        let at = self.odd.binary_search_by_key(&postcode.packed(), |e| e.packed).ok()?;
        let entry = self.odd.get(at)?;
        let district = self.codes.get(usize::from(entry.code)).copied();
        Some(Found { district, retired: entry.retired, near: None })
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        size_of_val(self.areas.as_ref())
            + size_of_val(self.districts.as_slice())
            + size_of_val(self.digits.as_slice())
            + size_of_val(self.sectors.as_slice())
            + size_of_val(self.numbers.as_slice())
            + size_of_val(self.palettes.as_slice())
            + size_of_val(self.palette_codes.as_slice())
            + size_of_val(self.indices.as_slice())
            + size_of_val(self.near.as_slice())
            + size_of_val(self.odd.as_slice())
    }
}

impl std::fmt::Debug for PostcodeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostcodeTable")
            .field("meta", &self.meta)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// One more than the highest sector number.
const SECTOR_NUMBERS: u32 = AREAS * DISTRICTS * SECTORS;

#[cfg(test)]
mod tests;
