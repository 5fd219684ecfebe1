//! What a school's machine keeps of each version that it sent, one folder each:
//!
//! ```text
//! <state>/referrals/<referral id>/v<version>/
//!     document.json   the exact bytes that were signed
//!     submission.jws  the signed submission; for an attested school there is none
//!     receipt.json    evidence bundle: submission, accepted, chains, revocation lists
//!     status.json     the newest evidence bundle that the gateway gave
//! <state>/referrals/<referral id>/v<version>-refused-<n>/   what the gateway certainly did not take
//! ```
//!
//! Document and submission are written before anything is sent: a crash at any point, and a reply
//! that was lost, end in sending the same bytes again.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::domain::ids::ReferralId;
use crate::effects::files;

/// Only the owner reads what a school keeps.
const PRIVATE: u32 = 0o600;

/// The folder of one version of one referral.
#[derive(Debug, Clone)]
pub struct VersionFolder {
    folder: PathBuf,
}

/// What was found where a document was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is there now, for the first time.
    Now,
    /// The same bytes were there before.
    Before,
    /// Other bytes stand under this id and version.
    OtherBytes,
}

impl VersionFolder {
    /// The folder of a version below the state folder `state`; nothing is created.
    pub fn new(state: &Path, id: ReferralId, version: u32) -> Self {
        Self { folder: referral_folder(state, id).join(format!("v{version}")) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The document, if one is kept.
    pub fn document(&self) -> io::Result<Option<Vec<u8>>> {
        self.read("document.json")
    }

    /// Keeps the document, once. Crash before it is there: nothing was sent; the next call begins
    /// anew. After it: the next call finds the same bytes and goes on to sign them.
    pub fn keep_document(&self, bytes: &[u8]) -> io::Result<Kept> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.keep_once("document.json", bytes)
    }

    /// The submission that was signed before, if any.
    pub fn submission(&self) -> io::Result<Option<String>> {
        self.read("submission.jws").map(|t| t.map(|b| String::from_utf8_lossy(&b).into_owned()))
    }

    /// Keeps the signed submission, once; gives back the one that counts from now on. Crash before it
    /// is there: it was not sent, the next call signs another. After it: that one is sent again.
    pub fn keep_submission(&self, jws: &str) -> io::Result<String> {
        match self.keep_once("submission.jws", jws.as_bytes())? {
            Kept::Now | Kept::Before => Ok(jws.to_owned()),
            // Another process signed first: its token is the one to send.
            Kept::OtherBytes => Ok(self.submission()?.unwrap_or_else(|| jws.to_owned())),
        }
    }

    /// The stored receipt, an evidence bundle.
    pub fn receipt(&self) -> io::Result<Option<Vec<u8>>> {
        self.read("receipt.json")
    }

    /// Keeps the verified receipt. Crash before it is there: nobody was shown one; the same bytes are
    /// sent again and bring the same receipt.
    pub fn keep_receipt(&self, bundle: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join("receipt.json");
        files::replace(&path, bundle, PRIVATE)?;
        Ok(path)
    }

    /// Keeps the newest evidence. Crash before it is there: the last one stays, and is asked for again.
    pub fn keep_status(&self, bundle: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join("status.json");
        files::replace(&path, bundle, PRIVATE)?;
        Ok(path)
    }

    /// Puts a version that the gateway certainly did not take out of the way, so that a corrected
    /// one can be sent under the same id. Nothing is deleted. Crash before it: the same bytes are sent
    /// again and are refused again.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        for number in 1..=u32::MAX {
            let aside = self.folder.with_file_name(format!("{name}-refused-{number}"));
            if !aside.exists() {
                fs::rename(&self.folder, &aside)?;
                return Ok(aside);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn keep_once(&self, name: &str, bytes: &[u8]) -> io::Result<Kept> {
        let path = self.folder.join(name);
        match files::create(&path, bytes, PRIVATE) {
            Ok(()) => Ok(Kept::Now),
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {
                let same = fs::read(&path)? == bytes;
                Ok(if same { Kept::Before } else { Kept::OtherBytes })
            }
            Err(fault) => Err(fault),
        }
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.folder.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

/// The newest version of a referral that this machine keeps, if any.
pub fn newest(state: &Path, id: ReferralId) -> io::Result<Option<(u32, VersionFolder)>> {
    let entries = match fs::read_dir(referral_folder(state, id)) {
        Ok(entries) => entries,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let mut newest = None;
    for entry in entries {
        let name = entry?.file_name();
        let version = name.to_str().and_then(|n| n.strip_prefix('v')?.parse::<u32>().ok());
        newest = newest.max(version);
    }
    Ok(newest.map(|version| (version, VersionFolder::new(state, id, version))))
}

fn referral_folder(state: &Path, id: ReferralId) -> PathBuf {
    state.join("referrals").join(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_kept_once() {
        let state = tempfile::tempdir().unwrap();
        let id: ReferralId = "018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10".parse().unwrap();
        assert!(newest(state.path(), id).unwrap().is_none());
        let folder = VersionFolder::new(state.path(), id, 1);
        assert_eq!(folder.keep_document(b"{}").unwrap(), Kept::Now);
        assert_eq!(folder.keep_document(b"{}").unwrap(), Kept::Before);
        assert_eq!(folder.keep_document(b"{ }").unwrap(), Kept::OtherBytes);
        assert_eq!(folder.submission().unwrap(), None);
        assert_eq!(folder.keep_submission("first").unwrap(), "first");
        assert_eq!(folder.keep_submission("second").unwrap(), "first");
        assert_eq!(folder.receipt().unwrap(), None);
        folder.keep_receipt(b"r").unwrap();
        assert_eq!(folder.receipt().unwrap().unwrap(), b"r");
        assert_eq!(newest(state.path(), id).unwrap().unwrap().0, 1);
        folder.set_aside().unwrap();
        assert!(newest(state.path(), id).unwrap().is_none());
        assert_eq!(folder.keep_document(b"{ }").unwrap(), Kept::Now);
        assert!(folder.set_aside().unwrap().ends_with("v1-refused-2"));
    }
}
