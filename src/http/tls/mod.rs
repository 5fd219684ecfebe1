//! TLS 1.3 with certificates on both sides. No older version, no anonymous peer, no early data, no
//! key log; nothing here can be switched off.

mod credentials;
mod inbound;
mod outbound;
mod reason;
mod verifiers;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::effects::Clock;

pub use credentials::{Credentials, IdentityFault, TlsIdentity};
pub use inbound::ServerTls;
pub use outbound::{ClientTls, Reached};
pub use reason::{Reason, rules};

/// The cryptography of every connection: TLS 1.3 suites, and key exchange X25519MLKEM768 before X25519
/// before P-256. Records about children stay sensitive for life, so that a recording made today must
/// not be readable by a quantum computer later (draft-ietf-tls-ecdhe-mlkem).
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
        ],
        ..aws_lc_rs::default_provider()
    }
}

/// TLS could not be set up; a fault of ours, never of the peer.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsFault(pub(super) rustls::Error);

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS could not be set up: {}", self.0)
    }
}

impl std::error::Error for TlsFault {}

/// Our clock for the TLS library.
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn the_hybrid_key_exchange_comes_first() {
        let groups: Vec<_> = provider().kx_groups.iter().map(|g| g.name()).collect();
        assert_eq!(groups, [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1]);
        assert!(provider().cipher_suites.iter().all(|s| s.tls13().is_some()));
    }
}
