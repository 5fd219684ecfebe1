//! A copy of a store while it is in use, and a store from a copy.
//!
//! `VACUUM INTO` rather than SQLite's backup interface: it copies one snapshot in one read transaction, so
//! that writers of other processes never make it start again, and it copies rows, not pages, so that no
//! freed page comes along. Writers go on; the write-ahead log cannot shrink until it ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{engine, schema};
use crate::store::contract::StoreFault;

/// A copy under a name of its own, until it has been checked: then [`Draft::keep`] gives it its name.
/// Dropped before, it leaves nothing behind.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
}

impl Draft {
    /// Begins a copy that will be `target`, which must not exist. What an earlier one left is removed.
    fn begin(target: &Path, ending: &str) -> io::Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(ending);
        let draft = Self { path: name.into(), target: target.to_owned() };
        for file in beside(target) {
            if file.exists() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
        draft.remove();
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.path)?;
        Ok(draft)
    }

    /// Where it lies meanwhile.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, durably. Everything that had it open must be closed.
    ///
    /// Crash before: nothing has the name, and the next attempt begins anew. After: the copy is whole.
    pub fn keep(self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        // Unlike a rename, a link never replaces what somebody else put there meanwhile.
        fs::hard_link(&self.path, &self.target)?;
        self.remove();
        let folder = self.target.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn remove(&self) {
        for file in beside(&self.path) {
            // What is not there need not be removed.
            let _ = fs::remove_file(file);
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A database with the files that SQLite keeps beside it.
fn beside(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    })
}

/// Why a copy could not be made.
#[derive(Debug)]
pub enum CopyFault {
    /// The store failed.
    Store(StoreFault),
    /// The file system failed; `AlreadyExists` where something has the name already.
    Io(io::Error),
}

impl std::fmt::Display for CopyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CopyFault::Store(fault) => fault.fmt(f),
            CopyFault::Io(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {
                f.write_str("there is something of that name already: nothing is ever overwritten")
            }
            CopyFault::Io(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for CopyFault {}

impl From<StoreFault> for CopyFault {
    fn from(fault: StoreFault) -> Self {
        CopyFault::Store(fault)
    }
}

impl From<io::Error> for CopyFault {
    fn from(fault: io::Error) -> Self {
        CopyFault::Io(fault)
    }
}

/// How many bytes a copy of the store at `from` will have, about: for showing progress.
pub fn size(from: &Path) -> Result<u64, StoreFault> {
    let conn = engine::connect(from)?;
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(u64::try_from(pages * number("page_size")?).unwrap_or(0))
}

/// Begins the backup of a store into `to`: an empty draft of mode 0600.
pub fn begin(to: &Path) -> Result<Draft, CopyFault> {
    Ok(Draft::begin(to, ".part")?)
}

/// Copies the store at `from` into a draft. Blocking, as long as the store is large; the draft's file
/// grows meanwhile.
pub fn copy(from: &Path, draft: &Draft) -> Result<(), CopyFault> {
    if !from.exists() {
        return Err(StoreFault::Missing.into());
    }
    let conn = engine::connect(from)?;
    let name = draft.path.to_str().ok_or(StoreFault::NoFolder)?;
    let mut copy = conn.prepare("VACUUM INTO ?1").map_err(StoreFault::from)?;
    copy.execute([name]).map_err(StoreFault::from)?;
    Ok(())
}

/// Begins to restore a store to `to`, where none may be, from the backup at `from`. The draft is a whole
/// store of the present version, also where the backup is older; what must not come back is taken out of
/// it before it gets its name.
pub fn restore(from: &Path, to: &Path) -> Result<Draft, CopyFault> {
    let mut backup = File::open(from)?;
    let draft = Draft::begin(to, ".restoring")?;
    let mut copy = OpenOptions::new().write(true).open(&draft.path)?;
    io::copy(&mut backup, &mut copy)?;
    copy.sync_all()?;
    // Crash before, in and after this: the draft has no name, and the next attempt begins anew.
    schema::renew(&mut engine::connect(&draft.path)?)?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_leaves_nothing_behind_unless_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("copy.db");
        let names = || {
            let files = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let draft = Draft::begin(&target, ".part").unwrap();
        let [_, wal, _] = beside(draft.path());
        fs::write(wal, b"what SQLite keeps beside it").unwrap();
        assert_eq!(names(), ["copy.db.part", "copy.db.part-wal"]);
        drop(draft);
        assert!(names().is_empty());
        Draft::begin(&target, ".part").unwrap().keep().unwrap();
        assert_eq!(names(), ["copy.db"]);
        let refused = Draft::begin(&target, ".part").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    }
}
