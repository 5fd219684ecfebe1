//! Promotions. When a replica becomes the primary, its epoch is advanced once (`ecaf store promote`);
//! whoever has seen the higher epoch never again talks to a primary with a lower one, which is the old
//! primary that came back. Between promotion and the first sight of it, synchronous replication holds
//! the line: the old primary's commits wait for a replica that no longer follows it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::connect::{self, Connector};
use super::schema::Kind;
use super::settings::Settings;
use crate::effects::files;
use crate::store::contract::StoreFault;

/// The highest epoch that this process, or one before it on this machine, has seen.
pub(super) struct Seen {
    highest: Mutex<u64>,
    file: Option<PathBuf>,
}

impl Seen {
    /// Reads what is kept in `file`, if there is one.
    pub fn open(file: Option<PathBuf>) -> Result<Self, StoreFault> {
        let kept = match file.as_ref().map(std::fs::read_to_string) {
            None => 0,
            Some(Ok(text)) => text.trim().parse().map_err(|_| StoreFault::Corrupt)?,
            Some(Err(fault)) if fault.kind() == std::io::ErrorKind::NotFound => 0,
            Some(Err(_)) => return Err(StoreFault::NoFolder),
        };
        Ok(Self { highest: Mutex::new(kept), file })
    }

    /// The highest seen.
    pub fn highest(&self) -> u64 {
        *self.highest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges the epoch of a primary, and remembers it. Crash before it is kept: the next process
    /// sees it again, or has not met this primary.
    pub fn judge(&self, epoch: u64) -> Result<(), StoreFault> {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch < *highest {
            return Err(StoreFault::OldPrimary);
        }
        if epoch > *highest {
            if let Some(file) = &self.file {
                let text = format!("{epoch}\n");
                files::replace(file, text.as_bytes(), files::PRIVATE)
                    .map_err(|_| StoreFault::NoFolder)?;
            }
            *highest = epoch;
        }
        Ok(())
    }
}

/// Advances the epoch of the primary that `settings` lead to, with the owner's login: the last step of
/// a promotion, after the old primary is stopped or fenced off. Returns the new epoch. Done twice, it
/// counts twice, which does no harm.
pub async fn promote(settings: &Settings, kind: Kind) -> Result<u64, StoreFault> {
    let connector = Connector::new(settings, kind)?;
    let session = connector.first_primary(connect::Demands::OPERATOR).await?;
    // One statement, one commit. Crash before it: the epoch is as it was, and is advanced again.
    let advanced = session
        .query("UPDATE epoch SET epoch = epoch + 1 WHERE sole = 1 RETURNING epoch", &[])
        .await
        .map_err(|trouble| trouble.in_the_end(true))?;
    let row = advanced.first().ok_or(StoreFault::Corrupt)?;
    let epoch: i64 = row.try_get(0).map_err(|_| StoreFault::Corrupt)?;
    u64::try_from(epoch).map_err(|_| StoreFault::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_epoch_is_refused_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("epoch");
        let seen = Seen::open(Some(file.clone())).unwrap();
        assert_eq!(seen.judge(3), Ok(()));
        assert_eq!(seen.judge(3), Ok(()));
        assert_eq!(seen.judge(2), Err(StoreFault::OldPrimary));
        let again = Seen::open(Some(file.clone())).unwrap();
        assert_eq!((again.highest(), again.judge(2)), (3, Err(StoreFault::OldPrimary)));
        std::fs::write(&file, "not a number").unwrap();
        assert_eq!(Seen::open(Some(file)).err(), Some(StoreFault::Corrupt));
    }
}
