//! A draft becomes the exact bytes of a document. Deterministic: the same draft gives the same
//! bytes, so that sending it twice is sending one thing twice.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::domain::ids::Digest;
use crate::domain::refusal::Violation;
use crate::domain::time::{Date, Timestamp};
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

/// What a later version does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Adds what was missing.
    Supplement,
    /// Corrects what was wrong.
    Correction,
}

/// The next version of a document, to be changed by a person: everything stands as it was, with what
/// every version has of its own; what changed is for them to say, and refused until they do. `None` if it is not a document.
pub fn next_version(
    document: &[u8],
    change: Change,
    now: Timestamp,
    salt: [u8; 16],
) -> Option<String> {
    let mut value: Value = serde_json::from_slice(document).ok()?;
    let version = value.get("version")?.as_u64()?;
    let members = value.as_object_mut()?;
    members.insert("version".into(), (version + 1).into());
    members.insert("previous_sha256".into(), sha256(document).to_string().into());
    members.insert("salt".into(), URL_SAFE_NO_PAD.encode(salt).into());
    members.insert("composed_at".into(), now.to_string().into());
    let kind = match change {
        Change::Supplement => "supplement",
        Change::Correction => "correction",
    };
    members.insert("change".into(), json!({ "kind": kind, "summary": "" }));
    serde_json::to_string_pretty(&value).ok()
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
