//! The file around a postcode table: `ECAFPCT1`, the SHA-256 of all that follows, the deflated
//! content. A damaged or altered file is refused before anything in it is read; whether it is the
//! *right* file is for a digest pinned in the operator's configuration to say.

use std::fmt;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::domain::ids::Digest;
use crate::domain::routing::district::DistrictError;
use crate::domain::routing::table::{PostcodeTable, TableError};
use crate::protocol::hash::sha256;

const MAGIC: &[u8; 8] = b"ECAFPCT1";
const HEADER: usize = MAGIC.len() + 32;
/// The content of all of Great Britain is 1.6 MB; more than this is an attack on memory.
const MAX_CONTENT: u64 = 16 * 1024 * 1024;

/// Why routing data is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataError {
    /// Not a file of this kind.
    NotATable,
    /// The content does not have the digest that the file states.
    Damaged,
    /// The content does not have the digest that the configuration pins.
    Pin,
    /// The content cannot be inflated, or is larger than 16 MB.
    Inflate,
    /// The content is not a table.
    Table(TableError),
    /// A file of authorities or districts is wrong in this line (counted from 1).
    Reference {
        /// Its name.
        file: &'static str,
        /// The line.
        line: u64,
    },
    /// The files of authorities and districts contradict each other.
    Districts(DistrictError),
}

/// Opens a postcode table file; gives its digest too.
pub fn open(bytes: &[u8]) -> Result<(PostcodeTable, Digest), DataError> {
    let (header, deflated) = bytes.split_at_checked(HEADER).ok_or(DataError::NotATable)?;
    let stated = header.strip_prefix(MAGIC).ok_or(DataError::NotATable)?;
    let digest = sha256(deflated);
    if digest.as_bytes() != stated {
        return Err(DataError::Damaged);
    }
    let mut content = Vec::with_capacity(2 << 20);
    let mut inflater = DeflateDecoder::new(deflated).take(MAX_CONTENT + 1);
    let length = inflater.read_to_end(&mut content).map_err(|_| DataError::Inflate)?;
    let used = inflater.into_inner().total_in();
    if length as u64 > MAX_CONTENT || used != deflated.len() as u64 {
        return Err(DataError::Inflate);
    }
    Ok((PostcodeTable::decode(&content).map_err(DataError::Table)?, digest))
}

/// Puts a table's content into a file.
pub fn close(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut deflater = DeflateEncoder::new(Vec::new(), Compression::best());
    deflater.write_all(content)?;
    let deflated = deflater.finish()?;
    let mut file = Vec::with_capacity(HEADER + deflated.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(sha256(&deflated).as_bytes());
    file.extend_from_slice(&deflated);
    Ok(file)
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::NotATable => f.write_str(
                "not a postcode table of ecaf; make one with: ecaf postcodes import FILE -o OUT",
            ),
            DataError::Damaged => {
                f.write_str("the postcode table is damaged: its content has another digest")
            }
            DataError::Pin => {
                f.write_str("the postcode table is not the one whose digest is configured")
            }
            DataError::Inflate => f.write_str("the postcode table cannot be inflated"),
            DataError::Table(error) => error.fmt(f),
            DataError::Reference { file, line } => write!(f, "{file}: line {line} is wrong"),
            DataError::Districts(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DataError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::routing::table::{Meta, NearBasis, build};

    fn file() -> Vec<u8> {
        let meta = Meta {
            source: "Made up".to_string(),
            year: 2026,
            month: 11,
            source_digest: sha256(b""),
            near: NearBasis::None,
            attribution: vec![],
        };
        close(&build(&meta, &mut vec![]).unwrap()).unwrap()
    }

    #[test]
    fn a_file_opens_and_any_altered_byte_is_noticed() {
        let file = file();
        assert_eq!(open(&file).unwrap().0.counts().total(), 0);
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(open(&altered).is_err(), "{at}");
            assert!(open(&file[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = close(&vec![0; MAX_CONTENT as usize + 1]).unwrap();
        assert_eq!(open(&bomb).err(), Some(DataError::Inflate));
    }

    #[test]
    fn bytes_behind_the_stream_are_refused_even_with_the_right_digest() {
        let mut deflated = file().split_off(HEADER);
        deflated.push(0);
        let longer = [MAGIC.as_slice(), sha256(&deflated).as_bytes(), &deflated].concat();
        assert_eq!(open(&longer).err(), Some(DataError::Inflate));
    }

    proptest! {
        #[test]
        fn arbitrary_content_never_panics(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(&close(&content).unwrap()).is_err());
            prop_assert!(open(&content).is_err());
        }
    }
}
