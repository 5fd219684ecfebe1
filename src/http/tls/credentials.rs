//! Our own certificate and key, replaceable while connections live.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::provider;
use crate::domain::party::Party;
use crate::domain::time::Timestamp;
use crate::http::trust::Trust;
use crate::protocol::trust::{Chain, ChainRefusal, Purpose};

/// A certificate chain with its key that has passed the check which our peers will make.
#[derive(Clone)]
pub struct TlsIdentity {
    party: Party,
    chain: Chain,
    not_after: Timestamp,
    purposes: Vec<Purpose>,
    certified: Arc<CertifiedKey>,
}

/// Why a certificate and key cannot be used for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFault {
    /// Our own verifier refuses the chain.
    Chain(ChainRefusal),
    /// The key is not readable or does not belong to the certificate.
    Key,
    /// The new certificate is of another party than the one in use.
    OtherParty,
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityFault::Chain(refusal) => refusal.fmt(f),
            IdentityFault::Key => {
                f.write_str("the private key is not readable or is not the certificate's")
            }
            IdentityFault::OtherParty => {
                f.write_str("the new certificate names another party than the one in use")
            }
        }
    }
}

impl std::error::Error for IdentityFault {}

impl TlsIdentity {
    /// Checks a chain for each of `purposes` and takes it with its key.
    pub fn new(
        chain: Chain,
        key: PrivateKeyDer<'static>,
        purposes: &[Purpose],
        trust: &Trust,
    ) -> Result<Self, IdentityFault> {
        let mut checked = None;
        for purpose in purposes {
            checked = Some(trust.check(&chain, *purpose).map_err(IdentityFault::Chain)?);
        }
        let checked = checked.ok_or(IdentityFault::Key)?;
        let certified = CertifiedKey::from_der(chain.certificates().to_vec(), key, &provider())
            .map_err(|_| IdentityFault::Key)?;
        Ok(Self {
            party: checked.party().clone(),
            not_after: checked.not_after(),
            purposes: purposes.to_vec(),
            certified: Arc::new(certified),
            chain,
        })
    }

    /// Whom it names.
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// Its certificates.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// When it expires.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({}, {})", self.party, self.chain.x5t())
    }
}

/// The identity in use for new handshakes.
pub struct Credentials {
    identity: ArcSwap<TlsIdentity>,
    generation: AtomicU64,
}

impl Credentials {
    /// Starts with `identity`.
    pub fn new(identity: TlsIdentity) -> Arc<Self> {
        Arc::new(Self { identity: ArcSwap::from_pointee(identity), generation: AtomicU64::new(0) })
    }

    /// The identity in use.
    pub fn identity(&self) -> Arc<TlsIdentity> {
        self.identity.load_full()
    }

    /// Uses `identity` from the next handshake on; connections live on with the old one.
    pub fn replace(&self, identity: TlsIdentity) -> Result<(), IdentityFault> {
        if identity.party != self.identity().party {
            return Err(IdentityFault::OtherParty);
        }
        self.identity.store(Arc::new(identity));
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Reads, checks for the same purposes as before, and uses another chain and key.
    pub fn renew(
        &self,
        chain: Chain,
        key: PrivateKeyDer<'static>,
        trust: &Trust,
    ) -> Result<(), IdentityFault> {
        let purposes = self.identity().purposes.clone();
        self.replace(TlsIdentity::new(chain, key, &purposes, trust)?)
    }

    /// The number of replacements so far.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self.identity.load(), f)
    }
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.identity.load().certified.clone())
    }
}

impl ResolvesClientCert for Credentials {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.identity.load().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
