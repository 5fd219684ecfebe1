//! Events that this machine signed, kept before they are sent and until they are recorded:
//!
//! ```text
//! <state>/referrals/<referral id>/events/
//!     <digest>.json           signed, and perhaps sent: to be sent again until an answer is certain
//!     <digest>.recorded.json  the gateway's record of it
//!     <digest>.refused.json   what the gateway certainly did not take
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Digest, ReferralId};
use crate::effects::files::{self, PRIVATE};
use crate::protocol::hash::sha256;
use crate::protocol::jws::Unverified;
use crate::protocol::tokens::CaseEvent;

/// An event as it goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The signed token; without a key of one's own the statement that the gateway signs.
    pub token: String,
    /// The chain of its signer, as in `Ecaf-Certificates`; none for a statement.
    pub certificates: Option<String>,
    /// The exact text of its document, if it has one.
    pub detail: Option<String>,
}

impl Outgoing {
    /// SHA-256 of the token, or of the statement.
    pub fn digest(&self) -> Digest {
        sha256(self.token.as_bytes())
    }

    /// What it says.
    pub fn claims(&self) -> Option<CaseEvent> {
        match self.certificates {
            Some(_) => Unverified::parse(&self.token).ok()?.peek(),
            None => CaseEvent::from_statement(&self.token),
        }
    }
}

/// Threads that this machine has begun, or may have, until an answer is certain: an empty file of the
/// thread's id each, in `<state>/openings`.
pub struct Openings {
    folder: PathBuf,
    state: PathBuf,
}

impl Openings {
    /// Below the state folder `state`; nothing is created.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("openings"), state: state.to_owned() }
    }

    /// Keeps the event that begins the thread `id`, before it is sent. Crash before the event is there:
    /// nothing was sent, and the id is forgotten. After it: the next opening sends it again.
    pub fn keep(&self, id: ReferralId, event: &Outgoing) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        files::replace(&self.folder.join(id.to_string()), b"", PRIVATE)?;
        Outbox::new(&self.state, id).keep(event)
    }

    /// The answer about the thread `id` is certain. Crash before it: there is nothing to be sent for it.
    pub fn settled(&self, id: ReferralId) -> io::Result<()> {
        done_or_gone(fs::remove_file(self.folder.join(id.to_string())))
    }

    /// Threads without an answer, with the event that begins each; those that were never sent are
    /// forgotten.
    pub fn pending(&self) -> io::Result<Vec<(ReferralId, Outgoing)>> {
        let mut pending = Vec::new();
        for name in names_in(&self.folder)? {
            let Ok(id) = name.parse() else { continue };
            match Outbox::new(&self.state, id).pending()?.into_iter().next() {
                Some(event) => pending.push((id, event)),
                None => self.settled(id)?,
            }
        }
        Ok(pending)
    }
}

/// The events of one referral.
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// Below the state folder `state`; nothing is created.
    pub fn new(state: &Path, id: ReferralId) -> Self {
        Self { folder: state.join("referrals").join(id.to_string()).join("events") }
    }

    /// Keeps an event before it is sent. Crash before it is there: nothing was sent. After it: the
    /// next call on this referral sends it again.
    pub fn keep(&self, event: &Outgoing) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let bytes = serde_json::to_vec_pretty(event).unwrap_or_default();
        files::replace(&self.path(event.digest(), "json"), &bytes, PRIVATE)
    }

    /// Keeps the gateway's record of it. Crash before it is there: it is sent again, and brings the
    /// same record.
    pub fn recorded(&self, event: Digest, answer: &[u8]) -> io::Result<()> {
        files::replace(&self.path(event, "recorded.json"), answer, PRIVATE)
    }

    /// Puts what the gateway certainly did not take out of the way. Crash before it: it is sent again
    /// and is refused again. Another process of this machine may have done it already.
    pub fn refused(&self, event: Digest) -> io::Result<()> {
        done_or_gone(fs::rename(self.path(event, "json"), self.path(event, "refused.json")))
    }

    /// Events without an answer.
    pub fn pending(&self) -> io::Result<Vec<Outgoing>> {
        let mut pending = Vec::new();
        for name in names_in(&self.folder)? {
            let digest = name.strip_suffix(".json").and_then(|name| name.parse().ok());
            let Some(digest) = digest else { continue };
            if self.path(digest, "recorded.json").exists() {
                continue;
            }
            let bytes = match fs::read(self.path(digest, "json")) {
                // Another process of this machine has had its answer meanwhile.
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes?,
            };
            let event: Outgoing = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
            pending.push(event);
        }
        Ok(pending)
    }

    fn path(&self, event: Digest, ending: &str) -> PathBuf {
        self.folder.join(format!("{event}.{ending}"))
    }
}

fn done_or_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// What stands in a folder; nothing in one that is not there yet.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_pending_until_its_answer_is_certain() {
        let state = tempfile::tempdir().unwrap();
        let openings = Openings::new(state.path());
        assert_eq!(openings.pending().unwrap(), []);
        let event = Outgoing { token: "one".into(), certificates: Some("c".into()), detail: None };
        let id = ReferralId::from_bytes([7; 16]);
        openings.keep(id, &event).unwrap();
        assert_eq!(openings.pending().unwrap(), [(id, event.clone())]);
        // Recorded, and the machine died before it took note that it is settled.
        Outbox::new(state.path(), id).recorded(event.digest(), b"{}").unwrap();
        assert_eq!(openings.pending().unwrap(), []);
        assert!(!state.path().join("openings").join(id.to_string()).exists());
        openings.settled(id).unwrap();
        // An id without its event was never sent.
        std::fs::write(state.path().join("openings").join(id.to_string()), "").unwrap();
        assert_eq!(openings.pending().unwrap(), []);
    }

    #[test]
    fn an_event_is_pending_until_it_is_recorded_or_refused() {
        let state = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(state.path(), ReferralId::from_bytes([7; 16]));
        assert_eq!(outbox.pending().unwrap(), []);
        let event = |text: &str| Outgoing {
            token: text.into(),
            certificates: Some("c".into()),
            detail: Some("{ }".into()),
        };
        for text in ["one", "two"] {
            outbox.keep(&event(text)).unwrap();
        }
        assert_eq!(outbox.pending().unwrap().len(), 2);
        outbox.recorded(event("one").digest(), b"{}").unwrap();
        assert_eq!(outbox.pending().unwrap(), [event("two")]);
        // Two windows on the same referral may both hear of it.
        for _ in 0..2 {
            outbox.refused(event("two").digest()).unwrap();
        }
        assert_eq!(outbox.pending().unwrap(), []);
    }
}
