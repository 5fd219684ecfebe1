//! Opens the key ring with the key-encryption keys that the configuration names.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::parts::AppFault;
use crate::config::{KeySettings, SecretSource, process_environment};
use crate::effects::SystemEntropy;
use crate::store::sealing::{Keks, KeyWrapper, LocalKek, RingFile, Vault, is_published};

/// The vault of a store. A missing or wrong key is a fault that says which key is wanted.
pub fn open_vault(settings: &KeySettings, demo: bool) -> Result<Arc<Vault>, AppFault> {
    let keks = open_keks(settings, demo)?;
    let vault = Vault::open(RingFile::at(&settings.ring), keks, Arc::new(SystemEntropy::default()));
    vault.map(Arc::new).map_err(|fault| AppFault::at(&settings.ring, fault))
}

/// The key-encryption keys. Published ones are refused outside of the demonstration.
pub fn open_keks(settings: &KeySettings, demo: bool) -> Result<Keks, AppFault> {
    let open = |source| open_kek(source, demo);
    let next = settings.next_kek.as_ref().map(open).transpose()?;
    Ok(Keks::new(open(&settings.kek)?, next))
}

pub(super) fn open_kek(source: &SecretSource, demo: bool) -> Result<Arc<dyn KeyWrapper>, AppFault> {
    let fault = |why: &dyn std::fmt::Display| AppFault::new(source, why);
    let text = match source {
        SecretSource::File(path) => {
            let found = std::fs::metadata(path).map_err(|e| fault(&e.kind()))?;
            if found.mode() & 0o077 != 0 {
                return Err(fault(&"others than its owner may read this key: chmod 600"));
            }
            read(path)
        }
        SecretSource::Credential(path) => read(path),
        SecretSource::Environment(name) => process_environment(name)
            .map(Zeroizing::new)
            .ok_or_else(|| std::io::ErrorKind::NotFound.into()),
    };
    let text = text.map_err(|e| fault(&e.kind()))?;
    let kek = LocalKek::parse(&text, Box::new(SystemEntropy::default())).map_err(|e| fault(&e))?;
    if is_published(kek.id()) && !demo {
        return Err(fault(&"this key is published with the program as an example"));
    }
    Ok(Arc::new(kek))
}

fn read(path: &Path) -> std::io::Result<Zeroizing<String>> {
    std::fs::read_to_string(path).map(Zeroizing::new)
}
