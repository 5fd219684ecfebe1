//! Reads what the configuration names as secret: keys and passwords.

use std::path::Path;

use zeroize::Zeroizing;

use super::parts::AppFault;
use crate::config::{SecretFile, SecretSource, process_environment};
use crate::effects::files::read_private;

/// A key file that nobody else may read.
pub(super) fn key_file(file: &SecretFile) -> Result<Zeroizing<Vec<u8>>, AppFault> {
    read(file.path())
}

/// A secret of one line, without its end.
pub(super) fn line(source: &SecretSource) -> Result<Zeroizing<Vec<u8>>, AppFault> {
    let mut bytes = match source {
        SecretSource::File(path) | SecretSource::Credential(path) => read(path)?,
        SecretSource::Environment(name) => {
            let value = process_environment(name);
            let value = value.ok_or_else(|| AppFault::new(source, "is not set"))?;
            Zeroizing::new(value.into_bytes())
        }
    };
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(bytes)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, AppFault> {
    read_private(path).map_err(|fault| AppFault::at(path, fault))
}
