//! The directory file: read at start and again when it changes. Which one was accepted last is kept
//! beside the store, so that an older one is refused also after a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::parts::AppFault;
use crate::domain::ids::Digest;
use crate::effects::files;
use crate::http::Trust;
use crate::protocol::directory::{
    DirectoryHolder, InUse, LARGEST_BUNDLE, accept, unpack_unverified,
};
use crate::protocol::hash::sha256;
use crate::protocol::trust::rules::REVOKED;
use crate::protocol::trust::{Chain, Purpose};

/// Watches one directory file.
pub(super) struct DirectoryFile {
    path: PathBuf,
    memory: PathBuf,
    holder: Arc<DirectoryHolder>,
    trust: Arc<Trust>,
    seen: Option<(Digest, u64)>,
    told: Option<(Digest, &'static str)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    version: u64,
    #[serde(with = "crate::protocol::tokens::text")]
    digest: Digest,
}

impl DirectoryFile {
    /// Opens what is remembered from before. `store` names the file beside which it is kept.
    pub fn new(path: PathBuf, store: &Path, trust: Arc<Trust>) -> Result<Self, AppFault> {
        let mut memory = store.as_os_str().to_owned();
        memory.push(".directory");
        let memory = PathBuf::from(memory);
        let last = match std::fs::read(&memory) {
            Ok(bytes) => {
                let read: Memory = serde_json::from_slice(&bytes)
                    .map_err(|_| AppFault::at(&memory, "unreadable; remove it to start afresh"))?;
                Some(InUse { version: read.version, digest: read.digest })
            }
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => None,
            Err(fault) => return Err(AppFault::at(&memory, fault.kind())),
        };
        let holder = Arc::new(DirectoryHolder::new(last));
        Ok(Self { path, memory, holder, trust, seen: None, told: None })
    }

    /// Where the directory in use is found.
    pub fn holder(&self) -> Arc<DirectoryHolder> {
        Arc::clone(&self.holder)
    }

    /// Looks at the file; takes it if it is new and good. A refused one is told once in the log and
    /// in readiness, and the last good one kept.
    pub fn look(&mut self) {
        let bytes = match std::fs::metadata(&self.path) {
            Ok(data) if data.len() > LARGEST_BUNDLE as u64 => {
                return tracing::error!("the directory file is too large; the last good one stays");
            }
            Ok(_) => std::fs::read(&self.path),
            Err(fault) => Err(fault),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(fault) => {
                return tracing::error!(kind = %fault.kind(), "the directory file cannot be read");
            }
        };
        // Judged again when the trust data changed: its signer may be revoked by now.
        let this = (sha256(&bytes), self.trust.generation());
        if self.seen == Some(this) {
            return;
        }
        let (trust, at) = (self.trust.store(), self.trust.clock().now());
        let verify = |chain: &_| trust.verify(chain, Purpose::Signing, at);
        match self.holder.offer(|in_use| accept(&bytes, verify, at, in_use)) {
            Ok(taken) => {
                self.seen = Some(this);
                let in_use = taken.in_use();
                let memory = Memory { version: in_use.version, digest: in_use.digest };
                let bytes = serde_json::to_vec(&memory).unwrap_or_default();
                // A crash before this: the next start remembers an older issue, and takes the file
                // that lies there anyway; only an older file put there meanwhile would pass too.
                if let Err(fault) = files::replace(&self.memory, &bytes, 0o600) {
                    tracing::error!(kind = %fault.kind(), "the directory's version could not be kept");
                }
                tracing::info!(version = in_use.version, "directory in use");
            }
            Err(refusal) => {
                let rule = refusal.rule().map_or("unknown", |r| r.id);
                self.withdraw_if_revoked(&bytes);
                // Judged again at the next look, because some reasons pass with time; told once.
                if self.told.replace((this.0, rule)) != Some((this.0, rule)) {
                    tracing::error!(rule, "the directory file is refused; the last good one stays");
                }
            }
        }
    }

    /// A directory whose signer is revoked by now was perhaps never the operator's: it is not acted
    /// on any longer, also if it is the one in use.
    fn withdraw_if_revoked(&self, bytes: &[u8]) {
        let (trust, at) = (self.trust.store(), self.trust.clock().now());
        let mut revoked = false;
        let verify = |chain: &Chain| {
            let judged = trust.verify(chain, Purpose::Signing, at);
            revoked = judged.as_ref().is_err_and(|refusal| refusal.0 == REVOKED);
            judged
        };
        let _ = accept(bytes, verify, at, None);
        if let Some(document) = unpack_unverified(bytes).filter(|_| revoked) {
            tracing::error!("the signer of the directory is revoked: it is out of use");
            self.holder.withdraw(sha256(&document));
        }
    }
}
