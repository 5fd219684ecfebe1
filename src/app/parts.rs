//! Parts that every process needs: trust data, certificates, signing key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::secrets;
use crate::config::{IdentitySettings, TrustSettings};
use crate::domain::party::Organisation;
use crate::effects::{Clock, SigningKey, SystemClock};
use crate::http::Trust;
use crate::http::reload::{IdentityFiles, TrustFiles};
use crate::http::tls::Credentials;
use crate::protocol::signing::SigningIdentity;
use crate::protocol::trust::{Chain, Purpose, TrustScope, TrustStore, is_example_public_key, pem};

/// Why a process could not start, in one line for its operator.
#[derive(Debug)]
pub struct AppFault(String);

impl AppFault {
    pub(crate) fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }

    /// What speaks for itself.
    pub(crate) fn plain(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }

    pub(crate) fn at(path: &Path, why: impl fmt::Display) -> Self {
        Self::new(path.display(), why)
    }
}

impl fmt::Display for AppFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AppFault {}

/// Trust data and our TLS certificate, with where they come from.
pub(super) struct Parts {
    pub trust: Arc<Trust>,
    pub credentials: Arc<Credentials>,
    pub clock: Arc<dyn Clock>,
    pub trust_files: TrustFiles,
    pub identity_files: IdentityFiles,
}

/// Loads what every process needs. `purposes`: what our TLS certificate is used for.
pub(super) async fn load(
    trust: &TrustSettings,
    identity: &IdentitySettings,
    purposes: &[Purpose],
) -> Result<Parts, AppFault> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let trust_files = trust_files(trust);
    let store = trust_files.load().await.map_err(|f| AppFault::new("trust", f))?;
    let trust = Trust::new(store, Arc::clone(&clock));
    let identity_files = IdentityFiles {
        chain: identity.tls_certificate.clone(),
        key: identity.tls_key.path().to_owned(),
    };
    let tls = identity_files
        .load(purposes, &trust)
        .await
        .map_err(|f| AppFault::new("identity.tls_certificate", f))?;
    Ok(Parts { credentials: Credentials::new(tls), trust, clock, trust_files, identity_files })
}

/// The trust data alone: enough to judge signatures.
pub async fn open_trust(trust: &TrustSettings) -> Result<TrustStore, AppFault> {
    trust_files(trust).load().await.map_err(|f| AppFault::new("trust", f))
}

fn trust_files(trust: &TrustSettings) -> TrustFiles {
    TrustFiles {
        trust_domain: trust.domain.clone(),
        scope: scope(trust),
        roots: trust.roots.clone(),
        issuing: trust.issuing.clone(),
        crls: vec![trust.crls.clone()],
    }
}

fn scope(trust: &TrustSettings) -> TrustScope {
    if trust.demo { TrustScope::Demo } else { TrustScope::Live }
}

/// The signing key with its chain, which must belong to `expected`.
pub(super) fn signing_identity(
    identity: &IdentitySettings,
    trust: &Trust,
    expected: &Organisation,
) -> Result<SigningIdentity, AppFault> {
    let Some(signing) = &identity.signing else {
        return Err(AppFault::new("identity.signing_certificate", "is missing"));
    };
    let (certificate, key) = (&signing.certificate, signing.key.path());
    let chain = std::fs::read(certificate).map_err(|e| AppFault::at(certificate, e.kind()))?;
    let chain = pem::certificates(&chain).map_err(|f| AppFault::at(certificate, f))?;
    let chain = Chain::presented(chain).map_err(|f| AppFault::at(certificate, f))?;
    let verified =
        trust.check(&chain, Purpose::Signing).map_err(|f| AppFault::at(certificate, f))?;
    let pem = secrets::key_file(&signing.key)?;
    let der = pem::private_key(&pem).map_err(|f| AppFault::at(key, f))?;
    let key_bytes = SigningKey::from_pkcs8(der.secret_der()).map_err(|f| AppFault::at(key, f))?;
    if is_example_public_key(key_bytes.public_key()) && trust.store().scope() == TrustScope::Live {
        return Err(AppFault::at(key, "this key is published with the program as an example"));
    }
    if verified.party().organisation != *expected {
        let party = verified.party();
        return Err(AppFault::at(certificate, format_args!("belongs to {party}, another party")));
    }
    SigningIdentity::new(Arc::new(key_bytes), chain, &verified)
        .map_err(|_| AppFault::at(key, "is not the key of the signing certificate"))
}

/// Reads the signing key again and takes it if it is another and good, and of the same party.
pub(super) fn renew_signing(
    settings: &IdentitySettings,
    trust: &Trust,
    in_use: &ArcSwap<SigningIdentity>,
) {
    let held = in_use.load_full();
    match signing_identity(settings, trust, &held.party().organisation) {
        Ok(identity) if identity.x5t() != held.x5t() => {
            tracing::info!(x5t = %identity.x5t(), "signing certificate in use");
            in_use.store(Arc::new(identity));
        }
        Ok(_) => {}
        Err(_) => tracing::error!("the signing certificate cannot be used; the last one stays"),
    }
}
