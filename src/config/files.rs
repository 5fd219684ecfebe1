//! Whether the files that a configuration names are there, and whether keys are kept from others.

use std::path::Path;

use crate::effects::files::is_private;

use super::values::SecretFile;
use super::{IdentitySettings, Settings, StoreSettings, TrustSettings};

impl Settings {
    /// What is wrong with the named files, one sentence each. Reads no content.
    pub fn file_mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self {
            Settings::Gateway(settings) => {
                shared(&settings.trust, &settings.identity, &mut found);
                file(&settings.directory, "directory.file", &mut found);
                if let Some(table) = &settings.postcodes {
                    file(table, "postcodes.table", &mut found);
                }
                store(&settings.store, &mut found);
            }
            Settings::Authority(settings) => {
                shared(&settings.trust, &settings.identity, &mut found);
                file(&settings.directory, "directory.file", &mut found);
                store(&settings.store, &mut found);
            }
            Settings::School(settings) | Settings::Worker(settings) => {
                shared(&settings.trust, &settings.identity, &mut found);
                if let Some(directory) = &settings.directory {
                    file(directory, "directory.file", &mut found);
                }
            }
        }
        found
    }
}

fn shared(trust: &TrustSettings, identity: &IdentitySettings, found: &mut Vec<String>) {
    file(&trust.roots, "trust.roots", found);
    file(&trust.issuing, "trust.issuing", found);
    if !trust.crls.is_dir() {
        found.push(format!("trust.crls: {} is not a folder", trust.crls.display()));
    }
    file(&identity.tls_certificate, "identity.tls_certificate", found);
    secret(&identity.tls_key, "identity.tls_key", found);
    if let Some(signing) = &identity.signing {
        file(&signing.certificate, "identity.signing_certificate", found);
        secret(&signing.key, "identity.signing_key", found);
    }
}

fn file(path: &Path, key: &str, found: &mut Vec<String>) {
    if let Err(fault) = std::fs::File::open(path) {
        found.push(format!("{key}: {} cannot be read: {fault}", path.display()));
    } else if !path.is_file() {
        found.push(format!("{key}: {} is not a file", path.display()));
    }
}

fn parent(path: &Path, key: &str, found: &mut Vec<String>) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.is_dir() {
        found.push(format!("{key}: the folder {} does not exist", folder.display()));
    }
}

fn store(store: &StoreSettings, found: &mut Vec<String>) {
    let settings = match store {
        StoreSettings::Sqlite(path) => return parent(path, "store.path", found),
        StoreSettings::Postgres(settings) => settings,
    };
    parent(&settings.state, "store.state", found);
    if let Some(ca) = &settings.ca {
        file(ca, "store.ca", found);
    }
    if let Some((certificate, key)) = &settings.certificate {
        file(certificate, "store.certificate", found);
        secret(key, "store.key", found);
    }
}

fn secret(secret: &SecretFile, key: &str, found: &mut Vec<String>) {
    let path = secret.path();
    file(path, key, found);
    if std::fs::metadata(path).is_ok_and(|data| !is_private(&data)) {
        let path = path.display();
        found.push(format!("{key}: {path} can be read by other users; run: chmod 600 {path}"));
    }
}
