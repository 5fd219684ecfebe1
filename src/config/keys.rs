//! `[keys]`: what documents are sealed with, and how long they are kept.

use std::path::{Path, PathBuf};

use super::reader::Section;
use super::values::SecretSource;
use crate::domain::retention::RetentionPolicy;

/// The key ring and the key-encryption key above it.
#[derive(Debug, Clone)]
pub struct KeySettings {
    /// The key ring's file.
    pub ring: PathBuf,
    /// Where the key-encryption key comes from.
    pub kek: SecretSource,
    /// The next one, while it is being rotated.
    pub next_kek: Option<SecretSource>,
    /// How long documents are kept, and backups of the ring.
    pub retention: RetentionPolicy,
}

/// `store`: the database, beside which the ring must not lie.
pub(super) fn keys(section: &mut Section<'_, '_>, store: Option<&Path>) -> Option<KeySettings> {
    let ring = section.required::<PathBuf>("ring");
    let kek = section.required("kek");
    let next_kek = section.optional("next_kek");
    let default = RetentionPolicy::default();
    let mut number = |key, default: u32, most: u64| {
        u32::try_from(section.bounded(key, u64::from(default), (1, most))).unwrap_or(default)
    };
    let keep_months = number("keep_months", default.keep_months, 1_200);
    let ring_backup_days = number("ring_backup_days", default.ring_backup_days, 365);
    let folder = |path: &Path| path.parent().map(Path::to_owned);
    if let (Some(ring), Some(store)) = (&ring, store)
        && folder(ring) == folder(store)
    {
        section.wrong(
            "ring",
            "must not lie in the folder of the store: whoever copies one must not get the other",
        );
    }
    if let (Some(ring), Some(SecretSource::File(kek))) = (&ring, &kek)
        && folder(ring) == folder(kek)
    {
        section.wrong(
            "kek",
            "must not lie in the folder of the key ring: whoever copies one must not get the other",
        );
    }
    let retention = RetentionPolicy { keep_months, ring_backup_days };
    Some(KeySettings { ring: ring?, kek: kek?, next_kek, retention })
}
