//! The directory on the wire: a JSON document signed by the scheme's operator, and the one in use.

mod bundle;
mod document;
mod gias;
mod holder;
mod overlay;
mod production;
mod read;
pub mod rules;
mod settings;
pub mod table;

pub use bundle::{
    DIRECTORY_TYPE, InUse, LARGEST_BUNDLE, SignFault, VerifiedDirectory, accept, sign,
    unpack_unverified,
};
pub use document::{AreaDoc, AuthorityDoc, ContactDoc, DirectoryDoc, GatewayDoc, SchoolDoc};
pub use gias::{GiasFault, GiasSchool, Register, read_register};
pub use holder::{DirectoryHolder, Readiness};
pub use overlay::{BuildFault, Header, Overlay, build, read_overlay};
pub use production::{DEMO_TRUST_DOMAIN, check_production, is_drama_number};
pub use read::{LONGEST_LIFE_MILLIS, is_https_base_url, read, read_json};
pub use settings::{CalendarDoc, HalfDayDoc, HolidayContactDoc, ProfileDoc, SpanDoc};

use crate::domain::directory::Directory;

/// The directory as the bytes that are signed: indented, so that a person can compare two of them.
pub fn write_json(directory: &Directory) -> Vec<u8> {
    // Serialising plain strings and numbers into memory cannot fail.
    let mut bytes = serde_json::to_vec_pretty(&DirectoryDoc::from(directory)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
