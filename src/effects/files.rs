//! Files that are whole or not there: written beside their place, synced, then renamed into it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Readable by its owner only: keys, documents, evidence.
pub const PRIVATE: u32 = 0o600;
/// Readable by everybody: certificates, lists.
pub const PUBLIC: u32 = 0o644;

/// Whether nobody but its owner may read a file. Where root owns it, its group may too: so systemd
/// hands out credentials, and Kubernetes secrets.
pub fn is_private(file: &Metadata) -> bool {
    let others = if file.uid() == 0 { 0o037 } else { 0o077 };
    file.mode() & others == 0
}

/// Opens a file that must be private, as [`is_private`] has it.
pub fn open_private(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Asked of what was opened, not of what lies at the path by then.
    if is_private(&file.metadata()?) {
        return Ok(file);
    }
    let why = "others than its owner may read it: chmod 600, and ask who did";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// Reads a file that must be private, as [`is_private`] has it.
pub fn read_private(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = open_private(path)?;
    let size = file.metadata()?.len();
    // Room for all of it at once: what a growing buffer leaves behind is not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file that must not exist yet, readable by others only if `mode` says so. Fails with
/// [`io::ErrorKind::AlreadyExists`] if it does. Durable on return. Crash before the link: nothing
/// but a `.part` file is there, which the next writer of the same process number removes and nobody
/// reads. After it: the file is there, whole.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = write_beside(path, bytes, mode)?;
    // A hard link, unlike a rename, never replaces what somebody else put there meanwhile.
    let linked = fs::hard_link(&beside, path);
    let removed = fs::remove_file(&beside);
    linked?;
    removed?;
    sync_folder(path)
}

/// Writes a file, replacing the one that is there, if any. Readers see the old or the new one,
/// whole, also after a crash at any point; its owner stays who it was, so that what root changes for
/// a service stays the service's. Durable on return.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = write_beside(path, bytes, mode)?;
    if let (Ok(old), Ok(new)) = (fs::metadata(path), fs::metadata(&beside))
        && (old.uid(), old.gid()) != (new.uid(), new.gid())
    {
        // Without the right to give files away, the new one stays its writer's.
        let _ = std::os::unix::fs::chown(&beside, Some(old.uid()), Some(old.gid()));
    }
    fs::rename(&beside, path).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    sync_folder(path)
}

fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    // What an earlier process of the same number left half-written is of no use to anybody.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    Ok(beside)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_may_read_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        create(&path, b"key", PRIVATE).unwrap();
        assert_eq!(**read_private(&path).unwrap(), *b"key");
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for readable in [0o604, 0o644, 0o602, 0o660] {
            mode(readable);
            let refused = read_private(&path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{readable:o}");
            assert!(refused.to_string().contains("chmod 600"));
        }
        mode(0o440);
        let by_root = fs::metadata(&path).unwrap().uid() == 0;
        assert_eq!(read_private(&path).is_ok(), by_root);
    }

    #[test]
    fn created_once_replaced_whole_and_nothing_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        create(&path, b"one", 0o600).unwrap();
        assert_eq!(create(&path, b"two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = folder.path().join("no/such/folder");
        assert!(create(&missing, b"x", 0o600).is_err());
    }
}
