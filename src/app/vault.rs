//! Opens the key ring with the key-encryption keys that the configuration names.

use std::sync::Arc;

use super::parts::AppFault;
use super::secrets;
use crate::config::{KeySettings, SecretSource};
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
    let text = secrets::line(source)?;
    // What is no text is no key either, and is called so.
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let kek = LocalKek::parse(text, Box::new(SystemEntropy::default())).map_err(|e| fault(&e))?;
    if is_published(kek.id()) && !demo {
        return Err(fault(&"this key is published with the program as an example"));
    }
    Ok(Arc::new(kek))
}
