//! Reading and writing the table's bytes: little-endian integers, varints, short texts.

use std::fmt;

/// Why bytes are not a postcode table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableError {
    /// The bytes end inside this part.
    Truncated(&'static str),
    /// This part holds something that cannot be.
    Invalid(&'static str),
    /// A format version that this program does not read.
    Version(u16),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableError::Truncated(part) => write!(f, "the postcode table ends inside its {part}"),
            TableError::Invalid(part) => write!(f, "the postcode table is not valid in its {part}"),
            TableError::Version(v) => {
                write!(f, "the postcode table has format version {v}; this program reads version 1")
            }
        }
    }
}

impl std::error::Error for TableError {}

/// Takes values off the front; every call names the part, for the error.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn take(&mut self, n: usize, part: &'static str) -> Result<&'a [u8], TableError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(TableError::Truncated(part))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        part: &'static str,
    ) -> Result<[u8; N], TableError> {
        self.take(N, part)?.try_into().map_err(|_| TableError::Truncated(part))
    }

    pub(super) fn u8(&mut self, part: &'static str) -> Result<u8, TableError> {
        self.array::<1>(part).map(|[b]| b)
    }

    pub(super) fn u16(&mut self, part: &'static str) -> Result<u16, TableError> {
        self.array(part).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, part: &'static str) -> Result<u32, TableError> {
        self.array(part).map(u32::from_le_bytes)
    }

    /// Seven bits a byte, low ones first, the shortest form only.
    pub(super) fn varint(&mut self, part: &'static str) -> Result<u32, TableError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8(part)?;
            let bits = u32::from(byte & 0x7f);
            if (shift == 28 && bits > 0x0f) || (shift > 0 && byte == 0) {
                return Err(TableError::Invalid(part));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(TableError::Invalid(part))
    }

    pub(super) fn text(&mut self, part: &'static str) -> Result<String, TableError> {
        let length = self.u8(part)?;
        let bytes = self.take(usize::from(length), part)?;
        let text = std::str::from_utf8(bytes).map_err(|_| TableError::Invalid(part))?;
        if text.chars().any(char::is_control) {
            return Err(TableError::Invalid(part));
        }
        Ok(text.to_string())
    }

    pub(super) fn end(&self) -> Result<(), TableError> {
        if self.rest.is_empty() { Ok(()) } else { Err(TableError::Invalid("end")) }
    }
}

/// An index of at most 8 bits that begins at bit `at`. It touches at most two bytes; the first may
/// be the last there is.
#[inline]
pub(super) fn index_at(bytes: &[u8], at: u32, width: u8) -> Option<u16> {
    let first = (at / 8) as usize;
    let (low, high) = (*bytes.get(first)?, bytes.get(first + 1).copied().unwrap_or(0));
    Some(u16::from_le_bytes([low, high]) >> (at % 8) & ((1 << width) - 1))
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// At most 255 bytes; longer ones are cut at a character.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(255)];
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}
