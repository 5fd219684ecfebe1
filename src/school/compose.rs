//! A draft becomes the exact bytes of a document. Deterministic: the same draft gives the same
//! bytes, so that sending it twice is sending one thing twice.

use serde_json::Value;

use crate::domain::ids::Digest;
use crate::domain::refusal::Violation;
use crate::domain::time::Date;
use crate::protocol::hash::sha256;
use crate::protocol::json;
use crate::protocol::schema::{self, Checked};

/// The largest draft that is read, in bytes.
pub const LARGEST_DRAFT: usize = 1024 * 1024;

/// A document ready to be signed.
pub struct Composed {
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub payload_sha256: Digest,
    /// The same, parsed.
    pub value: Value,
    /// What the check found.
    pub checked: Checked,
}

/// Takes comments out of a draft and checks what is left, as of `today`.
pub fn compose(draft: &[u8], today: Date) -> Result<Composed, Vec<Violation>> {
    let bytes = match std::str::from_utf8(draft) {
        Ok(text) => json::strip_comments(text).into_owned().into_bytes(),
        // Not UTF-8: the parser says so, in its own words.
        Err(_) => draft.to_vec(),
    };
    let value = json::parse(&bytes, LARGEST_DRAFT).map_err(|violation| vec![violation])?;
    let checked = schema::check(&value, today)?;
    Ok(Composed { payload_sha256: sha256(&bytes), bytes, value, checked })
}
