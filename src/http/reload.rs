//! Trust data and our own certificate from files, read again when they change. What is wrong in a new
//! file is told and the last good state kept; what was good is never replaced by something worse.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use super::tls::{Credentials, IdentityFault, TlsIdentity};
use super::trust::Trust;
use crate::domain::ids::Digest;
use crate::domain::party::TrustDomain;
use crate::effects::files;
use crate::protocol::hash::sha256;
use crate::protocol::trust::{Chain, Purpose, TrustScope, TrustStore, pem};

/// The largest file read, in bytes: a revocation list of some hundred thousand entries.
const LARGEST: u64 = 32 * 1_024 * 1_024;

/// Where trust data lies: PEM files.
#[derive(Debug, Clone)]
pub struct TrustFiles {
    /// The scheme.
    pub trust_domain: TrustDomain,
    /// Whether example keys are accepted.
    pub scope: TrustScope,
    /// Root certificates.
    pub roots: PathBuf,
    /// Issuing CA certificates.
    pub issuing: PathBuf,
    /// Revocation lists: files with one or more each, or folders of such files.
    pub crls: Vec<PathBuf>,
}

/// Where our certificate and key lie: PEM files, leaf first.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// The certificate chain.
    pub chain: PathBuf,
    /// The private key, PKCS #8.
    pub key: PathBuf,
}

/// Why files were not taken; each text is one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFault(pub Vec<String>);

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for LoadFault {}

fn at(path: &Path, what: impl fmt::Display) -> LoadFault {
    LoadFault(vec![format!("{}: {what}", path.display())])
}

async fn read(path: &Path) -> Result<Vec<u8>, LoadFault> {
    let file = tokio::fs::File::open(path).await.map_err(|fault| at(path, fault.kind()))?;
    whole(path, file).await
}

/// The file of a key, which nobody else may read.
async fn read_private(path: &Path) -> Result<Vec<u8>, LoadFault> {
    let file = files::open_private(path).map_err(|fault| at(path, fault))?;
    whole(path, tokio::fs::File::from_std(file)).await
}

async fn whole(path: &Path, file: tokio::fs::File) -> Result<Vec<u8>, LoadFault> {
    let mut bytes = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes).await;
    read.map_err(|fault| at(path, fault.kind()))?;
    if bytes.len() as u64 > LARGEST { Err(at(path, "too large")) } else { Ok(bytes) }
}

/// The lists that a path names: itself, or the files of a folder in the order of their names.
/// Dot-files are left out: they are on their way in.
fn lists(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Files as read, before they are understood.
struct Raw(Vec<(PathBuf, Vec<u8>)>);

impl Raw {
    async fn read(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self, LoadFault> {
        let mut files = Vec::new();
        for path in paths {
            let bytes = read(&path).await?;
            files.push((path, bytes));
        }
        Ok(Self(files))
    }

    fn digest(&self) -> Digest {
        let each: Vec<u8> = self.0.iter().flat_map(|(_, file)| *sha256(file).as_bytes()).collect();
        sha256(&each)
    }
}

impl TrustFiles {
    /// Reads and checks all of it.
    pub async fn load(&self) -> Result<TrustStore, LoadFault> {
        self.parse(&self.read().await?)
    }

    async fn read(&self) -> Result<Raw, LoadFault> {
        let mut paths = vec![self.roots.clone(), self.issuing.clone()];
        for path in &self.crls {
            paths.extend(lists(path).map_err(|error| at(path, error.kind()))?);
        }
        Raw::read(paths).await
    }

    fn parse(&self, raw: &Raw) -> Result<TrustStore, LoadFault> {
        let [(_, roots), (_, issuing), lists @ ..] = &raw.0[..] else {
            return Err(LoadFault(vec!["no trust files are named".into()]));
        };
        let roots = pem::certificates(roots).map_err(|fault| at(&self.roots, fault))?;
        let issuing = pem::certificates(issuing).map_err(|fault| at(&self.issuing, fault))?;
        let mut crls = Vec::new();
        for (path, list) in lists {
            crls.extend(pem::crls(list).map_err(|fault| at(path, fault))?);
        }
        TrustStore::new(self.trust_domain.clone(), self.scope, roots, issuing, crls)
            .map_err(|faults| LoadFault(faults.iter().map(ToString::to_string).collect()))
    }
}

impl IdentityFiles {
    /// Reads, and checks as our peers will.
    pub async fn load(
        &self,
        purposes: &[Purpose],
        trust: &Trust,
    ) -> Result<TlsIdentity, LoadFault> {
        let (chain, key) = self.parse(&self.read().await?)?;
        TlsIdentity::new(chain, key, purposes, trust).map_err(|fault| self.refused(fault))
    }

    async fn read(&self) -> Result<Raw, LoadFault> {
        let chain = (self.chain.clone(), read(&self.chain).await?);
        Ok(Raw(vec![chain, (self.key.clone(), read_private(&self.key).await?)]))
    }

    fn parse(
        &self,
        raw: &Raw,
    ) -> Result<(Chain, rustls::pki_types::PrivateKeyDer<'static>), LoadFault> {
        let [(_, chain), (_, key)] = &raw.0[..] else {
            return Err(at(&self.chain, "no certificate is named"));
        };
        let chain = pem::certificates(chain).map_err(|fault| at(&self.chain, fault))?;
        let chain = Chain::presented(chain).map_err(|fault| at(&self.chain, fault))?;
        let key = pem::private_key(key).map_err(|fault| at(&self.key, fault))?;
        Ok((chain, key))
    }

    fn refused(&self, fault: IdentityFault) -> LoadFault {
        at(if fault == IdentityFault::Key { &self.key } else { &self.chain }, fault)
    }
}

/// What readiness says about reloading: empty while the newest files are in use.
#[derive(Debug, Default)]
pub struct ReloadHealth(Mutex<[Vec<String>; 2]>);

impl ReloadHealth {
    /// One line for each mistake in files that could not be taken.
    pub fn faults(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).concat()
    }

    fn set(&self, kind: usize, outcome: &Result<bool, LoadFault>) {
        let faults = match outcome {
            Ok(_) => Vec::new(),
            Err(LoadFault(faults)) => faults.clone(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !faults.is_empty() && all[kind] != faults {
            tracing::error!(
                faults = faults.len(),
                "new files are refused; the last good ones stay"
            );
        }
        all[kind] = faults;
    }
}

/// Reads files again and publishes what is good.
#[derive(Debug)]
pub struct Reloader {
    trust: Arc<Trust>,
    trust_files: TrustFiles,
    identity: Option<(Arc<Credentials>, IdentityFiles)>,
    health: Arc<ReloadHealth>,
    seen: [Option<Digest>; 2],
}

impl Reloader {
    /// Watches the files of trust data, and those of our certificate if there is one.
    pub fn new(
        trust: Arc<Trust>,
        trust_files: TrustFiles,
        identity: Option<(Arc<Credentials>, IdentityFiles)>,
    ) -> Self {
        Self { trust, trust_files, identity, health: Arc::default(), seen: [None, None] }
    }

    /// For readiness.
    pub fn health(&self) -> Arc<ReloadHealth> {
        self.health.clone()
    }

    /// Looks once; what changed and is good is in use when this returns. Gives whether anything was
    /// published. The first look publishes what it finds.
    pub async fn look(&mut self) -> bool {
        // Trust first: a new certificate may come from a new issuing CA.
        let trust = self.look_at_trust().await;
        self.health.set(0, &trust);
        let identity = self.look_at_identity().await;
        self.health.set(1, &identity);
        trust.unwrap_or(false) | identity.unwrap_or(false)
    }

    /// Looks every `interval` and whenever `now` is notified, for ever.
    pub async fn run(mut self, interval: Duration, now: Arc<Notify>) {
        loop {
            self.look().await;
            let _ = tokio::time::timeout(interval, now.notified()).await;
        }
    }

    async fn look_at_trust(&mut self) -> Result<bool, LoadFault> {
        let raw = self.trust_files.read().await?;
        let digest = raw.digest();
        if self.seen[0] == Some(digest) {
            return Ok(false);
        }
        let store = self.trust_files.parse(&raw)?;
        // An older list would make revoked certificates pass again.
        store
            .check_successor_of(&self.trust.store())
            .map_err(|faults| LoadFault(faults.iter().map(ToString::to_string).collect()))?;
        // Remembered when it was good only: a refused file is read, and told, again.
        self.seen[0] = Some(digest);
        self.trust.publish(store);
        tracing::info!(%digest, "trust data in use");
        Ok(true)
    }

    async fn look_at_identity(&mut self) -> Result<bool, LoadFault> {
        let Some((credentials, files)) = &self.identity else { return Ok(false) };
        let raw = files.read().await?;
        let digest = raw.digest();
        if self.seen[1] == Some(digest) {
            return Ok(false);
        }
        let (chain, key) = files.parse(&raw)?;
        credentials.renew(chain, key, &self.trust).map_err(|fault| files.refused(fault))?;
        self.seen[1] = Some(digest);
        tracing::info!(x5t = %credentials.identity().chain().x5t(), "certificate in use");
        Ok(true)
    }
}
