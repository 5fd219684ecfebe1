//! The directory on the wire: a JSON document signed by the scheme's operator, and the one in use.

mod document;
mod read;
pub mod rules;
pub mod table;

pub use document::{AreaDoc, AuthorityDoc, ContactDoc, DirectoryDoc, GatewayDoc, SchoolDoc};
pub use read::{LONGEST_LIFE_MILLIS, is_https_base_url, read, read_json};

use crate::domain::directory::Directory;

/// The directory as the bytes that are signed: indented, so that a person can compare two of them.
pub fn write_json(directory: &Directory) -> Vec<u8> {
    // Serialising plain strings and numbers into memory cannot fail.
    let mut bytes = serde_json::to_vec_pretty(&DirectoryDoc::from(directory)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
