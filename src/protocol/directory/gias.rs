//! A register of schools, read by column name: the daily `edubasealldata` extract of Get Information
//! about Schools (Windows-1252, about 135 columns that drift from year to year), or a table with
//! the columns `urn`, `name`, `la_dfe_code`, `status` in UTF-8. Either may be gzipped.
//!
//! Only the columns wanted are kept: the extract also names head teachers.

use std::collections::HashMap;
use std::io::Read;

use crate::domain::party::{DfeCode, SchoolId};

/// The largest extract that is read, in bytes after unpacking: today's has about 60 MB.
const LARGEST: u64 = 512 * 1024 * 1024;

/// One establishment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiasSchool {
    /// Its name.
    pub name: String,
    /// The English authority that maintains it; none for Wales, offshore and overseas.
    pub authority: Option<DfeCode>,
    /// Whether it is open (or open and proposed to close).
    pub open: bool,
}

/// Establishments by URN.
pub type Register = HashMap<SchoolId, GiasSchool>;

/// Why a file is not a register of schools.
#[derive(Debug)]
pub enum GiasFault {
    /// It could not be read or unpacked.
    Unreadable(std::io::Error),
    /// A column that is needed is missing.
    NoColumn(&'static str),
    /// A row is not CSV.
    BadRow(u64),
    /// Longer than any register; a part of it would be a register with schools missing.
    TooLarge,
}

impl std::fmt::Display for GiasFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GiasFault::Unreadable(fault) => write!(f, "cannot be read: {fault}"),
            GiasFault::NoColumn(name) => write!(f, "the header has no column \"{name}\""),
            GiasFault::BadRow(line) => write!(f, "line {line} is not a row of CSV"),
            GiasFault::TooLarge => f.write_str("it is longer than 512 MB after unpacking"),
        }
    }
}

impl std::error::Error for GiasFault {}

/// Reads a register from the bytes of a file.
pub fn read_register(file: impl Read) -> Result<Register, GiasFault> {
    read_within(LARGEST, file)
}

fn read_within(largest: u64, file: impl Read) -> Result<Register, GiasFault> {
    let mut file = std::io::BufReader::new(file);
    let start = std::io::BufRead::fill_buf(&mut file).map_err(GiasFault::Unreadable)?;
    if start.starts_with(&[0x1f, 0x8b]) {
        whole(largest, flate2::read::MultiGzDecoder::new(file))
    } else {
        whole(largest, file)
    }
}

fn whole(largest: u64, file: impl Read) -> Result<Register, GiasFault> {
    let mut file = file.take(largest.saturating_add(1));
    let register = rows(&mut file);
    if file.limit() == 0 { Err(GiasFault::TooLarge) } else { register }
}

fn rows(file: impl Read) -> Result<Register, GiasFault> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let header = reader.byte_headers().map_err(|_| GiasFault::BadRow(1))?.clone();
    let column = |names: [&'static str; 2]| {
        let named = |field: &[u8]| {
            let field = field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field);
            names.iter().any(|name| field.eq_ignore_ascii_case(name.as_bytes()))
        };
        header.iter().position(named).ok_or(GiasFault::NoColumn(names[0]))
    };
    let urn = column(["URN", "urn"])?;
    let name = column(["EstablishmentName", "name"])?;
    let authority = column(["LA (code)", "la_dfe_code"])?;
    let status = column(["EstablishmentStatus (name)", "status"])?;

    let mut register = Register::new();
    let mut row = csv::ByteRecord::new();
    while reader
        .read_byte_record(&mut row)
        .map_err(|fault| GiasFault::BadRow(fault.position().map_or(0, csv::Position::line)))?
    {
        let field = |at: usize| text(row.get(at).unwrap_or_default());
        // Rows without a usable URN are left out: nobody can be enrolled under them.
        let Ok(id) = field(urn).parse() else { continue };
        let school = GiasSchool {
            name: field(name),
            authority: field(authority).parse().ok(),
            open: field(status).starts_with("Open"),
        };
        register.insert(id, school);
    }
    Ok(register)
}

/// UTF-8 if it is that, otherwise Windows-1252 as the WHATWG Encoding Standard maps it.
fn text(bytes: &[u8]) -> String {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes
            .iter()
            .map(|&b| match b {
                0x80..=0x9f => HIGH[usize::from(b - 0x80)],
                _ => char::from(b),
            })
            .collect(),
    };
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const EXTRACT: &[u8] = b"URN,LA (code),LA (name),EstablishmentName,EstablishmentStatus (name),\
        HeadFirstName,HeadLastName\r\n\
        900001,316,Newham,St Anne\x92s Primary School,Open,Invented,Person\r\n\
        900002,,Wales,\"Ysgol, Example\",\"Open, but proposed to close\",,\r\n\
        ,316,Newham,No number,Open,,\r\n\
        900003,204,Hackney,Old School,Closed,,\r\n";

    #[test]
    fn the_daily_extract() {
        let register = read_register(EXTRACT).unwrap();
        assert_eq!(register.len(), 3);
        let school = |id: &str| &register[&id.parse::<SchoolId>().unwrap()];
        assert_eq!(school("900001").name, "St Anne’s Primary School");
        assert_eq!(school("900001").authority, Some("316".parse().unwrap()));
        assert_eq!((school("900002").authority, school("900002").open), (None, true));
        assert!(!school("900003").open);
        assert!(!format!("{register:?}").contains("Invented"), "no head teachers");
    }

    #[test]
    fn gzipped_and_with_other_column_names() {
        let table =
            "\u{feff}urn,name,la_dfe_code,la_name,status\n900001,Café School,316,Newham,Open\n";
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(table.as_bytes()).unwrap();
        let register = read_register(gz.finish().unwrap().as_slice()).unwrap();
        assert_eq!(register.values().next().unwrap().name, "Café School");
    }

    #[test]
    fn a_register_that_is_too_long_is_refused_and_never_cut() {
        let length = EXTRACT.len() as u64;
        assert_eq!(read_within(length, EXTRACT).unwrap().len(), 3);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(EXTRACT).unwrap();
        let zipped = gz.finish().unwrap();
        assert_eq!(read_within(length, zipped.as_slice()).unwrap().len(), 3);
        for file in [EXTRACT, &zipped] {
            let refused = read_within(length - 1, file);
            assert!(matches!(refused, Err(GiasFault::TooLarge)), "{refused:?}");
        }
        assert_eq!(LARGEST, 536_870_912);
        assert_eq!(GiasFault::TooLarge.to_string(), "it is longer than 512 MB after unpacking");
        assert_eq!(GiasFault::BadRow(7).to_string(), "line 7 is not a row of CSV");
    }

    #[test]
    fn a_missing_column_is_named() {
        let fault = read_register(&b"URN,Name\n1,x\n"[..]).unwrap_err();
        assert_eq!(fault.to_string(), "the header has no column \"LA (code)\"");
    }
}
