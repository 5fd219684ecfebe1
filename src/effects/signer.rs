//! Signing as an argument: today a key in memory, later a key that never leaves its module.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

/// A signature algorithm by its JOSE name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518): the default.
    Es256,
    /// ECDSA on P-384 with SHA-384 (RFC 7518): verified only.
    Es384,
    /// Ed25519 (RFC 9864 name).
    Ed25519,
    /// RSASSA-PSS with SHA-256 (RFC 7518): verified only.
    Ps256,
}

impl Algorithm {
    /// The value of the `alg` header member.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::Ed25519 => "Ed25519",
            Algorithm::Ps256 => "PS256",
        }
    }

    /// By the value of `alg`; `None` for everything that is not allowed, `none` and HMAC included.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::Es384, Self::Ed25519, Self::Ps256]
            .into_iter()
            .find(|a| a.as_str() == name)
    }
}

/// Signs bytes with one key.
pub trait Signer: Send + Sync + 'static {
    /// The algorithm of its key.
    fn algorithm(&self) -> Algorithm;
    /// The JOSE signature of `message` (raw r||s for ECDSA).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault>;
}

/// A key that cannot be read or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// Not an unencrypted PKCS #8 key on P-256 or Ed25519.
    Unreadable,
    /// The signing operation failed.
    SigningFailed,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyFault::Unreadable => "not an unencrypted PKCS #8 private key on P-256 or Ed25519",
            KeyFault::SigningFailed => "the signing operation failed",
        })
    }
}

impl std::error::Error for KeyFault {}

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key held in memory. Its `Debug` output shows the algorithm and nothing else.
pub struct SigningKey {
    key: Key,
    random: SystemRandom,
}

impl SigningKey {
    /// From PKCS #8 DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyFault> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map(Key::P256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Key::Ed25519))
            .map_err(|_| KeyFault::Unreadable)?;
        Ok(Self { key, random })
    }

    /// The public key as it stands in a certificate's `subjectPublicKey` bits: an uncompressed
    /// point for P-256, 32 bytes for Ed25519.
    pub fn public_key(&self) -> &[u8] {
        match &self.key {
            Key::P256(key) => key.public_key().as_ref(),
            Key::Ed25519(key) => key.public_key().as_ref(),
        }
    }
}

impl Signer for SigningKey {
    fn algorithm(&self) -> Algorithm {
        match self.key {
            Key::P256(_) => Algorithm::Es256,
            Key::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        match &self.key {
            Key::P256(key) => {
                let signature =
                    key.sign(&self.random, message).map_err(|_| KeyFault::SigningFailed)?;
                Ok(signature.as_ref().to_vec())
            }
            Key::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm().as_str())
    }
}
