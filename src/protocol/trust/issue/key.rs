//! Private keys: PKCS #8, P-256 unless said otherwise.

use std::fmt;

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::IssueFault;
use crate::effects::{KeyFault, SigningKey};
use crate::protocol::trust::pem;

/// DER of an Ed25519 PKCS #8 key up to its 32-byte seed (RFC 8410 section 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A private key that certificates are made for or with. `Debug` shows nothing of it.
pub struct PrivateKey(pub(super) KeyPair);

impl PrivateKey {
    /// A new P-256 key from the operating system's generator (`ring` takes no other).
    pub fn generate() -> Result<Self, IssueFault> {
        Ok(Self(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?))
    }

    /// The Ed25519 key of a seed. Ed25519 signatures are deterministic, so vectors made with such
    /// keys can be made again byte for byte.
    pub fn ed25519(seed: &[u8; 32]) -> Result<Self, IssueFault> {
        let der = Zeroizing::new([&ED25519_PKCS8[..], seed].concat());
        Self::from_pkcs8(&der)
    }

    /// From PKCS #8 DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, IssueFault> {
        KeyPair::try_from(&PrivatePkcs8KeyDer::from(der)).map(Self).map_err(|_| IssueFault::Key)
    }

    /// From a PEM text with exactly one private key.
    pub fn from_pem(text: &[u8]) -> Result<Self, IssueFault> {
        match pem::private_key(text) {
            Ok(PrivateKeyDer::Pkcs8(der)) => Self::from_pkcs8(der.secret_pkcs8_der()),
            _ => Err(IssueFault::Key),
        }
    }

    /// As PEM (PKCS #8, not encrypted).
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// As rustls takes it.
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    /// As the signer of tokens takes it.
    pub fn to_signing_key(&self) -> Result<SigningKey, KeyFault> {
        SigningKey::from_pkcs8(self.0.serialized_der())
    }

    /// The bits of `subjectPublicKey`.
    pub fn public_key(&self) -> &[u8] {
        self.0.der_bytes()
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}
