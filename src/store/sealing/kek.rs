//! The key-encryption key (KEK): everything in a key ring lies under it.
//!
//! [`KeyWrapper`] is all that the ring asks of it, so that a key-management service or a security
//! module can take the place of [`LocalKek`] without its key ever coming here.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::form::{AeadKey, KEY_BYTES, KeyBytes, fresh};
use crate::effects::{Entropy, NoEntropy};
use crate::protocol::hash::sha256;

/// Wraps and unwraps keys of 32 bytes. Called when a ring is opened or changed, never per document;
/// an implementation may block.
pub trait KeyWrapper: Send + Sync + 'static {
    /// Names the key; a ring says which one it wants. No secret.
    fn id(&self) -> &str;
    /// Encrypts `key`, bound to `associated`.
    fn wrap(&self, key: &KeyBytes, associated: &[u8]) -> Result<Vec<u8>, KekFault>;
    /// Undoes `wrap`.
    fn unwrap(&self, wrapped: &[u8], associated: &[u8]) -> Result<KeyBytes, KekFault>;
}

/// The KEKs that a process was given: the one in use and, while it is being rotated, the next one.
/// The ring says which it wants.
#[derive(Clone)]
pub struct Keks(Vec<Arc<dyn KeyWrapper>>);

impl Keks {
    /// At least one; the first is the one for new rings.
    pub fn new(first: Arc<dyn KeyWrapper>, next: Option<Arc<dyn KeyWrapper>>) -> Self {
        Self([first].into_iter().chain(next).collect())
    }

    /// The one with this id.
    pub fn find(&self, id: &str) -> Option<&dyn KeyWrapper> {
        self.0.iter().find(|kek| kek.id() == id).map(AsRef::as_ref)
    }

    /// Their ids, for messages.
    pub fn ids(&self) -> String {
        self.0.iter().map(|kek| kek.id()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for Keks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keks({})", self.ids())
    }
}

/// Why a KEK could not do its work. Says nothing about any key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KekFault {
    /// Not the text of a KEK.
    Unreadable,
    /// What was to be unwrapped was not wrapped by this key, or was altered.
    DoesNotOpen,
    /// No randomness, or the service behind the key does not answer.
    Unavailable,
}

impl fmt::Display for KekFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KekFault::Unreadable => {
                "not a key-encryption key as \"ecaf keys create\" writes it (ecaf-kek-1:...)"
            }
            KekFault::DoesNotOpen => "the key-encryption key does not open the key ring",
            KekFault::Unavailable => "the key-encryption key cannot be used now",
        })
    }
}

impl std::error::Error for KekFault {}

impl From<NoEntropy> for KekFault {
    fn from(_: NoEntropy) -> Self {
        KekFault::Unavailable
    }
}

/// Begins the text of a KEK, so that no other secret is taken for one.
const PREFIX: &str = "ecaf-kek-1:";

/// KEKs that are published with the program, by id: the one of the conformance vectors. Whoever has
/// the program can open what lies under them.
const PUBLISHED: [&str; 1] = ["0fbfd858cbacdd77"];

/// Whether a KEK is published with the program; refused outside of the demonstration.
pub fn is_published(id: &str) -> bool {
    PUBLISHED.contains(&id)
}

/// A KEK in the memory of this process, from a file, a systemd credential or the environment.
pub struct LocalKek {
    id: String,
    key: AeadKey,
    entropy: Box<dyn Entropy>,
}

impl LocalKek {
    /// The text of a new KEK, as it is written to its file.
    pub fn generate(entropy: &dyn Entropy) -> Result<Zeroizing<String>, NoEntropy> {
        let key = fresh(entropy)?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.as_slice()));
        Ok(Zeroizing::new(format!("{PREFIX}{}\n", text.as_str())))
    }

    /// From its text; spaces and line ends around it do not matter.
    pub fn parse(text: &str, entropy: Box<dyn Entropy>) -> Result<Self, KekFault> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(KekFault::Unreadable)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| KekFault::Unreadable)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(KekFault::Unreadable);
        }
        key.copy_from_slice(&bytes);
        // The id follows from the key, so that a renamed file cannot pose as another; a hash of 256
        // random bits tells nothing about them.
        let mut named = Zeroizing::new(b"ecaf-kek-id-1".to_vec());
        named.extend_from_slice(key.as_slice());
        let hash = sha256(&named);
        let id = hash.as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id, key: AeadKey::new(&key), entropy })
    }
}

impl KeyWrapper for LocalKek {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, key: &KeyBytes, associated: &[u8]) -> Result<Vec<u8>, KekFault> {
        Ok(self.key.wrap(key, associated, self.entropy.as_ref())?)
    }

    fn unwrap(&self, wrapped: &[u8], associated: &[u8]) -> Result<KeyBytes, KekFault> {
        self.key.unwrap(wrapped, associated).map_err(|_| KekFault::DoesNotOpen)
    }
}

impl fmt::Debug for LocalKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKek({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{SeededEntropy, SystemEntropy};

    fn kek(text: &str) -> Result<LocalKek, KekFault> {
        LocalKek::parse(text, Box::new(SystemEntropy::default()))
    }

    #[test]
    fn the_text_is_the_key_and_the_id_follows_from_it() {
        let text = LocalKek::generate(&SeededEntropy::new(1)).unwrap();
        let (one, again) = (kek(&text).unwrap(), kek(&format!("  {}\r\n", text.trim())).unwrap());
        assert_eq!(one.id(), again.id());
        assert_eq!(format!("{one:?}"), format!("LocalKek({})", one.id()));
        let secret = fresh(&SystemEntropy::default()).unwrap();
        let wrapped = one.wrap(&secret, b"here").unwrap();
        assert_eq!(*again.unwrap(&wrapped, b"here").unwrap(), *secret);
        assert_eq!(again.unwrap(&wrapped, b"there").unwrap_err(), KekFault::DoesNotOpen);
        let other = kek(&LocalKek::generate(&SeededEntropy::new(2)).unwrap()).unwrap();
        assert_ne!(other.id(), one.id());
        assert_eq!(other.unwrap(&wrapped, b"here").unwrap_err(), KekFault::DoesNotOpen);
    }

    #[test]
    fn other_texts_are_refused_without_repeating_them() {
        for bad in ["", "ecaf-kek-1:", "ecaf-kek-1:c2hvcnQ", "ecaf-kek-2:", "c2VjcmV0", "{}"] {
            let fault = kek(bad).unwrap_err();
            assert_eq!(fault, KekFault::Unreadable, "{bad}");
            assert!(!fault.to_string().contains("c2"), "{fault}");
        }
    }
}
