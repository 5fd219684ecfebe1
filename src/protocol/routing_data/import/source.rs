//! Reading a published directory: CSV, CSV with gzip, or the zip archive as it is published.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use csv::{ReaderBuilder, StringRecord};
use flate2::read::MultiGzDecoder;
use zip::ZipArchive;

use super::columns::{Columns, Shape};
use crate::domain::postcode::Postcode;
use crate::domain::routing::gss::Nation;
use crate::domain::routing::table::{BuildError, Row};
use crate::protocol::routing_data::DataError;

/// What a directory holds, as far as this exchange may use it.
pub struct Source {
    /// Which publication it is.
    pub shape: Shape,
    /// The postcodes of Great Britain.
    pub rows: Vec<Row>,
    /// Grid reference in metres of each row, where there is one.
    pub grid: Vec<Option<(u32, u32)>>,
    /// Rows of Northern Ireland and the islands, left out: BT is not open data, the others have no
    /// district; all are recognised by their letters.
    pub outside: u32,
    /// Rows without a postcode or with a code that is none; many mean a wrong file.
    pub unreadable: u32,
}

/// Why a directory is not imported.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be read or written.
    Read(io::Error),
    /// No column for postcodes or districts, in no file of it.
    NoColumns,
    /// More than one row in a hundred cannot be read.
    Unreadable(u32),
    /// It lists far fewer live postcodes than the table in use: a part of a directory.
    Shrinks {
        /// Live postcodes of the file.
        live: u32,
        /// Live postcodes of the table in use.
        in_use: u32,
    },
    /// The edition is not a month.
    Edition,
    /// The rows contradict each other.
    Build(BuildError),
    /// The finished table does not give back what went into it: our fault.
    Verify,
    /// The finished table cannot be opened: our fault.
    Data(DataError),
}

/// Reads all of it; `progress` gets bytes read and bytes in all, after every few thousand rows.
pub fn read(
    mut file: impl Read + Seek,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Source, Failure> {
    let total = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut magic = [0; 2];
    let short = file.read(&mut magic)? < 2;
    file.rewind()?;
    let mut source =
        Source { shape: Shape::Onspd, rows: vec![], grid: vec![], outside: 0, unreadable: 0 };
    match &magic {
        _ if short => return Err(Failure::NoColumns),
        b"PK" => archive(file, &mut source, progress)?,
        &[0x1f, 0x8b] => {
            // How far a stream inflates is not known beforehand; these inflate about eightfold.
            let inflated = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
            table(inflated, &mut source, &mut |read| progress((read / 8).min(total), total))?;
        }
        _ => table(file, &mut source, &mut |read| progress(read, total))?,
    }
    let rows = source.rows.len() as u32;
    if source.unreadable > rows / 100 {
        Err(Failure::Unreadable(source.unreadable))
    } else {
        Ok(source)
    }
}

fn archive(
    file: impl Read + Seek,
    source: &mut Source,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Failure> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(io::Error::from)?;
    let mut files = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(io::Error::from)?;
        if entry.name().to_ascii_lowercase().ends_with(".csv") {
            files.push((entry.size(), entry.name().to_string()));
        }
    }
    // Code-Point Open: one file per postcode area in Data/CSV; its header lines are a file in Doc.
    let areas: Vec<_> =
        files.iter().filter(|(_, name)| name.contains("Data/CSV/")).cloned().collect();
    let chosen = if areas.len() > 1 {
        areas
    } else {
        // The whole directory is the largest file; beside it lie the same rows per area, and lists
        // of names.
        files.sort();
        files.into_iter().next_back().into_iter().collect()
    };
    let total = chosen.iter().map(|(size, _)| size).sum();
    let mut before = 0;
    for (size, name) in chosen {
        let entry = archive.by_name(&name).map_err(io::Error::from)?;
        table(entry, source, &mut |read| progress(before + read, total))?;
        before += size;
    }
    if source.rows.is_empty() { Err(Failure::NoColumns) } else { Ok(()) }
}

fn table(
    file: impl Read,
    source: &mut Source,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let mut record = StringRecord::new();
    let mut columns = None;
    while next(&mut reader, &mut record)? {
        let columns = match &columns {
            Some(columns) => columns,
            None if Columns::looks_like_code_point_open(&record) => {
                source.shape = Shape::CodePointOpen;
                columns.insert(Columns::CODE_POINT_OPEN)
            }
            None => {
                let found = columns.insert(Columns::of(&record).ok_or(Failure::NoColumns)?);
                source.shape = found.shape;
                continue;
            }
        };
        match columns.read(&record) {
            Some(line) if is_outside(line.row.postcode) => source.outside += 1,
            Some(line) => {
                source.rows.push(line.row);
                source.grid.push(line.grid);
            }
            None => source.unreadable += 1,
        }
        if source.rows.len().is_multiple_of(16_384) {
            progress(reader.position().byte());
        }
    }
    if columns.is_none() { Err(Failure::NoColumns) } else { Ok(()) }
}

fn next<R: Read>(reader: &mut csv::Reader<R>, record: &mut StringRecord) -> Result<bool, Failure> {
    reader.read_record(record).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(error) => Failure::Read(error),
        // Neither the line nor its text: only that it is not text in UTF-8.
        _ => Failure::Read(io::Error::new(io::ErrorKind::InvalidData, "not a CSV file in UTF-8")),
    })
}

fn is_outside(postcode: Postcode) -> bool {
    Nation::of_area(&postcode.area()).is_some()
}

impl Source {
    /// Refuses a file that lists fewer than nine live postcodes for every ten in use: half a
    /// download, or one area of many.
    pub fn check_size(&self, in_use: u32) -> Result<(), Failure> {
        let live = self.rows.iter().filter(|row| !row.found.retired).count() as u32;
        if u64::from(live) * 10 < u64::from(in_use) * 9 {
            return Err(Failure::Shrinks { live, in_use });
        }
        Ok(())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Read(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Read(error) => error.fmt(f),
            Failure::NoColumns => f.write_str(
                "not a postcode directory: no column for postcodes (pcds, pcd7, pcd, postcode) \
                 with one for districts (oslaua, laua, ladcd, lad25cd), and not Code-Point Open",
            ),
            Failure::Unreadable(n) => {
                write!(f, "{n} rows have no readable postcode or district code: a wrong file?")
            }
            Failure::Shrinks { live, in_use } => write!(
                f,
                "only {live} live postcodes, where the table in use has {in_use}: this is part of a \
                 directory, and importing it would make the others unknown"
            ),
            Failure::Edition => f.write_str("the edition is not a month such as 2025-11"),
            Failure::Build(error) => error.fmt(f),
            Failure::Verify => f.write_str("the finished table does not give back its source"),
            Failure::Data(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}
