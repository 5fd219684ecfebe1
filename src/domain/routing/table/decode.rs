//! Bytes -> table. Nothing in the bytes is believed: every count, reference and order is checked,
//! so that a hostile file gives an error here and never a wrong answer or a panic later.

use super::build::width_of;
use super::bytes::{Reader, TableError, index_at};
use super::{
    Counts, IN_PALETTE, Meta, NearBasis, NearEntry, OddEntry, Palette, PostcodeTable,
    SECTOR_NUMBERS, Sector, UNPLACED,
};
use crate::domain::ids::Digest;
use crate::domain::postcode::{AREAS, DISTRICTS, Postcode, SECTORS, SLOTS};
use crate::domain::routing::gss::Gss;

pub(super) fn decode(bytes: &[u8]) -> Result<PostcodeTable, TableError> {
    let mut reader = Reader::new(bytes);
    let version = reader.u16("version")?;
    if version != 1 {
        return Err(TableError::Version(version));
    }
    let mut table = PostcodeTable {
        meta: meta(&mut reader)?,
        counts: counts(&mut reader)?,
        codes: codes(&mut reader)?,
        areas: vec![0; AREAS as usize].into_boxed_slice(),
        districts: Vec::new(),
        digits: Vec::new(),
        sectors: Vec::new(),
        numbers: Vec::new(),
        palettes: Vec::new(),
        palette_codes: Vec::new(),
        indices: Vec::new(),
        near: Vec::new(),
        odd: Vec::new(),
    };
    sectors(&mut reader, &mut table)?;
    palettes(&mut reader, &mut table)?;
    retired(&mut reader, &mut table)?;
    near(&mut reader, &mut table)?;
    odd(&mut reader, &mut table)?;
    reader.end()?;

    if recount(&table) == table.counts { Ok(table) } else { Err(TableError::Invalid("counts")) }
}

/// The counts that the header must state.
fn recount(table: &PostcodeTable) -> Counts {
    let mut counts = Counts { near: table.near.len() as u32, ..Counts::default() };
    let mut place = |code: u16, n| counts.place(table.codes.get(usize::from(code)).copied(), n);
    for sector in &table.sectors {
        if sector.value & IN_PALETTE == 0 {
            place(sector.value as u16, population(sector));
            continue;
        }
        for rank in 0..population(sector) {
            // Every index was checked against its palette.
            place(table.palette_code(sector.value ^ IN_PALETTE, rank).unwrap_or(UNPLACED), 1);
        }
    }
    table.odd.iter().for_each(|odd| place(odd.code, 1));
    let retired = table.sectors.iter().flat_map(|s| s.retired).map(|word| word.count_ones());
    counts.retired =
        retired.sum::<u32>() + table.odd.iter().map(|o| u32::from(o.retired)).sum::<u32>();
    counts
}

fn meta(reader: &mut Reader) -> Result<Meta, TableError> {
    let source = reader.text("source")?;
    let (year, month) = (reader.u16("edition")?, reader.u8("edition")?);
    if !(1..=12).contains(&month) || !(1900..=9999).contains(&year) {
        return Err(TableError::Invalid("edition"));
    }
    let source_digest = Digest::from_bytes(reader.array("digest of the source")?);
    let near = match reader.u8("basis of the hints")? {
        0 => NearBasis::None,
        1 => NearBasis::Source,
        2 => NearBasis::CarriedOver,
        3 => NearBasis::Measured,
        _ => return Err(TableError::Invalid("basis of the hints")),
    };
    let lines = reader.u8("attribution")?;
    let attribution =
        (0..lines).map(|_| reader.text("attribution")).collect::<Result<Vec<_>, _>>()?;
    Ok(Meta { source, year, month, source_digest, near, attribution })
}

fn counts(reader: &mut Reader) -> Result<Counts, TableError> {
    let mut next = || reader.u32("counts");
    let counts = Counts {
        england: next()?,
        scotland: next()?,
        wales: next()?,
        unplaced: next()?,
        retired: next()?,
        near: next()?,
    };
    // Far above any real number, and low enough that no sum overflows.
    let all = [counts.england, counts.scotland, counts.wales, counts.unplaced];
    if all.iter().any(|&n| n > 100_000_000) {
        Err(TableError::Invalid("counts"))
    } else {
        Ok(counts)
    }
}

fn codes(reader: &mut Reader) -> Result<Vec<Gss>, TableError> {
    let part = "area codes";
    let count = reader.u16(part)?;
    let invalid = TableError::Invalid(part);
    if count == UNPLACED {
        return Err(invalid);
    }
    let codes = (0..count)
        .map(|_| Gss::from_bytes(reader.array(part)?).map_err(|_| invalid))
        .collect::<Result<Vec<_>, _>>()?;
    if codes.is_sorted_by(|a, b| a < b) { Ok(codes) } else { Err(invalid) }
}

fn sectors(reader: &mut Reader, table: &mut PostcodeTable) -> Result<(), TableError> {
    let part = "sectors";
    let count = reader.u32(part)?;
    if count >= u32::from(u16::MAX) {
        return Err(TableError::Invalid(part));
    }
    let mut next = 0u32;
    for i in 0..count as u16 {
        let number = next.checked_add(reader.varint(part)?).filter(|n| *n < SECTOR_NUMBERS);
        let number = number.ok_or(TableError::Invalid(part))?;
        next = number + 1;
        if Postcode::at_slot(number, 0).is_none() {
            return Err(TableError::Invalid(part));
        }
        enter(table, number, i).ok_or(TableError::Invalid(part))?;
        table.numbers.push(number);
    }
    for _ in 0..count {
        let bits = reader.array::<{ SLOTS as usize / 8 }>(part)?;
        if bits.iter().all(|&b| b == 0) {
            return Err(TableError::Invalid(part));
        }
        let mut sector = Sector::default();
        for (i, byte) in bits.into_iter().enumerate() {
            sector.present[i / 8] |= u64::from(byte) << (i % 8 * 8);
        }
        table.sectors.push(sector);
    }
    Ok(())
}

/// Makes the sector findable by arithmetic.
fn enter(table: &mut PostcodeTable, number: u32, index: u16) -> Option<()> {
    let (area, district, digit) =
        (number / SECTORS / DISTRICTS, number / SECTORS % DISTRICTS, number % SECTORS);
    let area = table.areas.get_mut(area as usize)?;
    if *area == 0 {
        *area = u16::try_from(table.districts.len() / DISTRICTS as usize + 1).ok()?;
        table.districts.resize(table.districts.len() + DISTRICTS as usize, 0);
    }
    let at = (usize::from(*area) - 1) * DISTRICTS as usize + district as usize;
    let district = table.districts.get_mut(at)?;
    if *district == 0 {
        *district = u16::try_from(table.digits.len() / SECTORS as usize + 1).ok()?;
        table.digits.resize(table.digits.len() + SECTORS as usize, 0);
    }
    let at = (usize::from(*district) - 1) * SECTORS as usize + digit as usize;
    *table.digits.get_mut(at)? = index + 1;
    Some(())
}

fn population(sector: &Sector) -> u32 {
    sector.present.iter().map(|word| word.count_ones()).sum()
}

fn palettes(reader: &mut Reader, table: &mut PostcodeTable) -> Result<(), TableError> {
    let part = "palettes";
    let mut lengths = Vec::with_capacity(table.sectors.len());
    for sector in &mut table.sectors {
        let length = reader.u8(part)?;
        let from = table.palette_codes.len();
        for _ in 0..length {
            let code = reader.u16(part)?;
            if code != UNPLACED && usize::from(code) >= table.codes.len() {
                return Err(TableError::Invalid(part));
            }
            table.palette_codes.push(code);
        }
        let palette = table.palette_codes.get(from..).unwrap_or_default();
        if !palette.is_sorted_by(|a, b| a < b) {
            return Err(TableError::Invalid(part));
        }
        match *palette {
            [] => return Err(TableError::Invalid(part)),
            [one] => {
                sector.value = u32::from(one);
                table.palette_codes.pop();
            }
            _ => {
                sector.value = table.palettes.len() as u32 | IN_PALETTE;
                table.palettes.push(Palette {
                    codes_from: from as u32,
                    indices_from: 0,
                    width: width_of(usize::from(length)),
                });
                lengths.push((length, population(sector)));
            }
        }
    }
    let part = "palette indices";
    for (palette, (length, population)) in table.palettes.iter_mut().zip(lengths) {
        let bits = population * u32::from(palette.width);
        let bytes = reader.take(bits.div_ceil(8) as usize, part)?;
        palette.indices_from = table.indices.len() as u32;
        table.indices.extend_from_slice(bytes);
        // Every index names an entry, and every entry is named: one table has one form.
        let mut used = vec![false; usize::from(length)];
        for rank in 0..population {
            let index = index_at(bytes, rank * u32::from(palette.width), palette.width);
            let entry = index.and_then(|index| used.get_mut(usize::from(index)));
            *entry.ok_or(TableError::Invalid(part))? = true;
        }
        if used.contains(&false) {
            return Err(TableError::Invalid(part));
        }
        no_spare_bits(bytes, bits, part)?;
    }
    Ok(())
}

fn bit_at(bytes: &[u8], at: u32) -> u32 {
    bytes.get((at / 8) as usize).map_or(0, |byte| u32::from(byte >> (at % 8) & 1))
}

/// Unused bits of the last byte are zero, for the same reason.
fn no_spare_bits(bytes: &[u8], used: u32, part: &'static str) -> Result<(), TableError> {
    let spare = (used..used.next_multiple_of(8)).any(|at| bit_at(bytes, at) == 1);
    if spare { Err(TableError::Invalid(part)) } else { Ok(()) }
}

fn retired(reader: &mut Reader, table: &mut PostcodeTable) -> Result<(), TableError> {
    let part = "retired postcodes";
    let total = table.sectors.iter().map(population).sum::<u32>();
    let bytes = reader.take(total.div_ceil(8) as usize, part)?;
    let mut rank = 0;
    for sector in &mut table.sectors {
        for (present, retired) in sector.present.into_iter().zip(&mut sector.retired) {
            let mut left = present;
            while left != 0 {
                *retired |= u64::from(bit_at(bytes, rank)) << left.trailing_zeros();
                left &= left - 1;
                rank += 1;
            }
        }
    }
    no_spare_bits(bytes, total, part)
}

fn near(reader: &mut Reader, table: &mut PostcodeTable) -> Result<(), TableError> {
    let part = "boundary hints";
    let invalid = TableError::Invalid(part);
    let count = reader.u32(part)?;
    let mut next = 0u32;
    let mut last_sector = None;
    for at in 0..count {
        let ordinal = next.checked_add(reader.varint(part)?).ok_or(invalid)?;
        next = ordinal.checked_add(1).ok_or(invalid)?;
        let (sector, slot) = (ordinal / u32::from(SLOTS), (ordinal % u32::from(SLOTS)) as u16);
        let entry = table.sectors.get_mut(sector as usize).ok_or(invalid)?;
        if entry.present[usize::from(slot / 64)] >> (slot % 64) & 1 == 0 {
            return Err(invalid);
        }
        if last_sector != Some(sector) {
            entry.near_from = at;
            last_sector = Some(sector);
        }
        entry.near_to = at + 1;
        table.near.push(NearEntry { slot, area: 0, metres: 0 });
    }
    for entry in &mut table.near {
        entry.metres = reader.u8(part)?;
    }
    for entry in &mut table.near {
        entry.area = reader.u16(part)?;
        if usize::from(entry.area) >= table.codes.len() {
            return Err(invalid);
        }
    }
    Ok(())
}

fn odd(reader: &mut Reader, table: &mut PostcodeTable) -> Result<(), TableError> {
    let part = "odd postcodes";
    let count = reader.u32(part)?;
    for _ in 0..count {
        let (packed, code, retired) = (reader.u32(part)?, reader.u16(part)?, reader.u8(part)?);
        let odd = Postcode::from_packed(packed).is_some_and(|p| p.sector_and_slot().is_none());
        let known = code == UNPLACED || usize::from(code) < table.codes.len();
        let ascending = table.odd.last().is_none_or(|last| last.packed < packed);
        if !odd || !known || !ascending || retired > 1 {
            return Err(TableError::Invalid(part));
        }
        table.odd.push(OddEntry { packed, code, retired: retired == 1 });
    }
    Ok(())
}
