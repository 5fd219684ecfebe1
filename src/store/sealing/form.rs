//! The sealed form of a document, and the one cipher behind it: AES-256-GCM of `ring`.
//!
//! A document is encrypted under a random key of its own; that key is *wrapped*, which is to say
//! encrypted under the key of the document's retention period. Destroying the period's key makes
//! every document under it unreadable at once, wherever copies of the rows are.
//!
//! - **Body**: nonce of twelve zero bytes. Sound because the key is random, 256 bits long, and
//!   encrypts this one body and nothing else, ever: no (key, nonce) pair can occur twice.
//! - **Wrapped key**: a random nonce of 96 bits. NIST SP 800-38D, section 8.3, allows 2^32 = 4.3e9
//!   uses of a key with random nonces. England sends about 0.65 million referrals a year, 54,000 a
//!   month; ten thousand times that is 5.4e8 documents under one month's key: an eighth of the limit.
//!   Carrying forward and rotation wrap again under *another* key, so each adds at most one use per
//!   document and key.
//! - **Associated data**: the logical place (below) for both, so that neither can be moved to another
//!   row, column, table or kind of store. Row numbers are no part of it: copies move ciphertext
//!   verbatim.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use crate::domain::ids::{Digest, ReferralId};
use crate::effects::{Entropy, NoEntropy};

/// Bytes of every key here.
pub const KEY_BYTES: usize = 32;
/// Bytes of a wrapped key: nonce, encrypted key, tag.
pub const WRAPPED_BYTES: usize = NONCE_LEN + KEY_BYTES + TAG_BYTES;
const TAG_BYTES: usize = 16;

/// Begins all associated data: another version of the form would not open as this one.
const FORM: &[u8] = b"ecaf-sealed-1";

/// Key material in our hands; wiped when dropped.
pub type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Names a period key: random, so that it says nothing and never returns. Written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// From the bytes of a `key_id` column.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// As in a `key_id` column.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// By its written form: 16 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let lower = text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let number = (text.len() == 16 && lower).then(|| u64::from_str_radix(text, 16));
        Some(Self(number?.ok()?.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which kind of store a document lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum StoreKind {
    Gateway,
    Authority,
}

impl StoreKind {
    /// As it stands in the associated data.
    pub const fn as_str(self) -> &'static str {
        match self {
            StoreKind::Gateway => "gateway",
            StoreKind::Authority => "authority",
        }
    }
}

/// The logical place of a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which kind of store.
    pub store: StoreKind,
    /// The referral.
    pub referral_id: ReferralId,
    /// Its version; of an event's detail, the position of the event.
    pub version: u32,
    /// The purpose of the dispatch; in a gateway's store empty for a version, [`Place::DETAIL`] for a
    /// detail.
    pub purpose: String,
    /// What the row states as the document's digest: a row cannot claim another document's bytes.
    pub sha256: Digest,
}

impl Place {
    /// A document of a gateway's store.
    pub fn gateway(referral_id: ReferralId, version: u32, sha256: Digest) -> Self {
        let purpose = String::new();
        Self { store: StoreKind::Gateway, referral_id, version, purpose, sha256 }
    }

    /// The purpose of an event's detail.
    pub const DETAIL: &str = "detail";

    /// The detail of an event in a gateway's store.
    pub fn detail(referral_id: ReferralId, position: u32, sha256: Digest) -> Self {
        let purpose = Self::DETAIL.to_owned();
        Self { store: StoreKind::Gateway, referral_id, version: position, purpose, sha256 }
    }

    /// Which document of its referral, for a person.
    pub fn part(&self) -> String {
        match (self.store, self.purpose.as_str()) {
            (StoreKind::Gateway, Self::DETAIL) => format!("detail of event {}", self.version),
            _ => format!("version {}", self.version),
        }
    }

    /// A document of an authority's store.
    pub fn authority(
        referral_id: ReferralId,
        version: u32,
        purpose: impl Into<String>,
        sha256: Digest,
    ) -> Self {
        let purpose = purpose.into();
        Self { store: StoreKind::Authority, referral_id, version, purpose, sha256 }
    }

    /// The associated data of one column: each part with its length before it (two bytes, the most
    /// significant first), so that no two places are written alike.
    fn associated(&self, column: &str, key: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        let version = self.version.to_be_bytes();
        let parts: [&[u8]; 9] = [
            FORM,
            self.store.as_str().as_bytes(),
            b"documents",
            column.as_bytes(),
            self.referral_id.as_bytes(),
            &version,
            self.purpose.as_bytes(),
            self.sha256.as_bytes(),
            key,
        ];
        for part in parts {
            // A purpose is a code of a few letters; one of 64 KiB would still not be cut in silence,
            // because its whole text follows.
            out.extend_from_slice(&(part.len() as u16).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

/// A document as it lies on disk: the columns of a row of `documents`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The period key under which `wrapped` lies.
    pub key_id: KeyId,
    /// The document's own key, wrapped.
    pub wrapped: Vec<u8>,
    /// The encrypted document and its tag.
    pub body: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(under {}, {} bytes)", self.key_id, self.body.len())
    }
}

/// The bytes do not open with this key in this place: altered, moved, or another key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoesNotOpen;

/// Takes fresh key material from the machine.
pub fn fresh(entropy: &dyn Entropy) -> Result<KeyBytes, NoEntropy> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    entropy.fill(key.as_mut_slice())?;
    Ok(key)
}

/// A key ready for use. `ring` keeps its expanded form, which is not wiped when dropped.
pub struct AeadKey(LessSafeKey);

impl AeadKey {
    /// Prepares a key.
    pub fn new(key: &KeyBytes) -> Self {
        // Cannot fail: the length is that of the algorithm.
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice());
        Self(LessSafeKey::new(key.expect("32 bytes are an AES-256 key")))
    }

    /// Wraps a key with a fresh nonce: [`WRAPPED_BYTES`] bytes.
    pub fn wrap(
        &self,
        key: &KeyBytes,
        associated: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce)?;
        let mut out = Vec::with_capacity(WRAPPED_BYTES);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(key.as_slice());
        let tag = self.encrypt(nonce, associated, &mut out[NONCE_LEN..]);
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Undoes [`AeadKey::wrap`].
    pub fn unwrap(&self, wrapped: &[u8], associated: &[u8]) -> Result<KeyBytes, DoesNotOpen> {
        let (nonce, rest) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(DoesNotOpen)?;
        if wrapped.len() != WRAPPED_BYTES {
            return Err(DoesNotOpen);
        }
        let mut clear = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(associated), &mut clear);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(opened.map_err(|_| DoesNotOpen)?);
        Ok(key)
    }

    fn encrypt(
        &self,
        nonce: [u8; NONCE_LEN],
        associated: &[u8],
        bytes: &mut [u8],
    ) -> ring::aead::Tag {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated), bytes);
        // Fails only above 64 GiB; a request's body has at most 10 MiB.
        sealed.expect("a document is shorter than AES-GCM's limit")
    }
}

/// Encrypts a document under a key of its own, and that under `period`.
pub fn seal(
    place: &Place,
    (key_id, period): (KeyId, &AeadKey),
    clear: &[u8],
    entropy: &dyn Entropy,
) -> Result<Sealed, NoEntropy> {
    let own = fresh(entropy)?;
    let wrapped = period.wrap(&own, &place.associated("wrapped", key_id.as_bytes()), entropy)?;
    let mut body = Vec::with_capacity(clear.len() + TAG_BYTES);
    body.extend_from_slice(clear);
    let tag = AeadKey::new(&own).encrypt([0; NONCE_LEN], &place.associated("body", &[]), &mut body);
    body.extend_from_slice(tag.as_ref());
    Ok(Sealed { key_id, wrapped, body })
}

/// Undoes [`seal`].
pub fn open(place: &Place, period: &AeadKey, sealed: Sealed) -> Result<Vec<u8>, DoesNotOpen> {
    let Sealed { key_id, wrapped, mut body } = sealed;
    let own = period.unwrap(&wrapped, &place.associated("wrapped", key_id.as_bytes()))?;
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let associated = place.associated("body", &[]);
    let opened = AeadKey::new(&own).0.open_in_place(nonce, Aad::from(&associated), &mut body);
    let length = match opened {
        Ok(clear) => clear.len(),
        Err(_) => {
            body.zeroize();
            return Err(DoesNotOpen);
        }
    };
    body.truncate(length);
    Ok(body)
}

/// The document's own key under another period key. The body stays as it is.
pub fn rewrap(
    place: &Place,
    (from_id, from): (KeyId, &AeadKey),
    wrapped: &[u8],
    (to_id, to): (KeyId, &AeadKey),
    entropy: &dyn Entropy,
) -> Result<Result<Vec<u8>, DoesNotOpen>, NoEntropy> {
    let own = match from.unwrap(wrapped, &place.associated("wrapped", from_id.as_bytes())) {
        Ok(own) => own,
        Err(fault) => return Ok(Err(fault)),
    };
    to.wrap(&own, &place.associated("wrapped", to_id.as_bytes()), entropy).map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::SystemEntropy;

    fn key() -> AeadKey {
        AeadKey::new(&fresh(&SystemEntropy::default()).unwrap())
    }

    fn place() -> Place {
        let id = ReferralId::from_bytes([7; 16]);
        Place::authority(id, 2, "accountable", Digest::from_bytes([9; 32]))
    }

    const ID: KeyId = KeyId::from_bytes([1; 8]);
    const CLEAR: &[u8] = b"what a school wrote";

    fn sealed(period: &AeadKey) -> Sealed {
        seal(&place(), (ID, period), CLEAR, &SystemEntropy::default()).unwrap()
    }

    #[test]
    fn opens_where_it_was_sealed_and_nowhere_else() {
        let period = key();
        let sealed = sealed(&period);
        assert_eq!(open(&place(), &period, sealed.clone()).unwrap(), CLEAR);
        assert!(sealed.body.windows(CLEAR.len()).all(|w| w != CLEAR));
        let elsewhere = [
            Place { store: StoreKind::Gateway, ..place() },
            Place { referral_id: ReferralId::from_bytes([8; 16]), ..place() },
            Place { version: 3, ..place() },
            Place { purpose: "linked".into(), ..place() },
            Place { purpose: String::new(), ..place() },
            Place { sha256: Digest::from_bytes([1; 32]), ..place() },
        ];
        for place in elsewhere {
            assert_eq!(open(&place, &period, sealed.clone()), Err(DoesNotOpen), "{place:?}");
        }
        assert_eq!(open(&place(), &key(), sealed.clone()), Err(DoesNotOpen));
        let renamed = Sealed { key_id: KeyId::from_bytes([2; 8]), ..sealed };
        assert_eq!(open(&place(), &period, renamed), Err(DoesNotOpen));
    }

    #[test]
    fn every_bit_and_every_length_counts() {
        let period = key();
        let sealed = sealed(&period);
        for bit in 0..8 * sealed.body.len() {
            let mut other = sealed.clone();
            other.body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&place(), &period, other), Err(DoesNotOpen));
        }
        for bit in 0..8 * sealed.wrapped.len() {
            let mut other = sealed.clone();
            other.wrapped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&place(), &period, other), Err(DoesNotOpen));
        }
        for length in 0..sealed.body.len() {
            let mut other = sealed.clone();
            other.body.truncate(length);
            assert_eq!(open(&place(), &period, other), Err(DoesNotOpen));
        }
        for length in 0..sealed.wrapped.len() {
            let mut other = sealed.clone();
            other.wrapped.truncate(length);
            assert_eq!(open(&place(), &period, other), Err(DoesNotOpen));
        }
    }

    #[test]
    fn two_sealings_of_one_document_share_nothing() {
        let period = key();
        let (a, b) = (sealed(&period), sealed(&period));
        assert_ne!(a.body, b.body);
        assert_ne!(a.wrapped, b.wrapped);
        // Taking the key of one with the body of the other does not open either.
        let mixed = Sealed { body: b.body, ..a };
        assert_eq!(open(&place(), &period, mixed), Err(DoesNotOpen));
    }

    #[test]
    fn a_rewrapped_document_opens_under_the_new_key_only() {
        let (old, new, entropy) = (key(), key(), SystemEntropy::default());
        let sealed = sealed(&old);
        let to = KeyId::from_bytes([2; 8]);
        let wrapped =
            rewrap(&place(), (ID, &old), &sealed.wrapped, (to, &new), &entropy).unwrap().unwrap();
        let moved = Sealed { key_id: to, wrapped, body: sealed.body };
        assert_eq!(open(&place(), &new, moved.clone()).unwrap(), CLEAR);
        assert_eq!(open(&place(), &old, moved), Err(DoesNotOpen));
        let foreign = rewrap(&place(), (to, &new), &sealed.wrapped, (ID, &old), &entropy).unwrap();
        assert_eq!(foreign, Err(DoesNotOpen));
    }

    #[test]
    fn key_ids_have_one_spelling() {
        assert_eq!(KeyId::from_hex("00000000000000ff").unwrap().to_string(), "00000000000000ff");
        for bad in ["", "ff", "00000000000000FF", "+0000000000000ff", "00000000000000fg"] {
            assert_eq!(KeyId::from_hex(bad), None, "{bad}");
        }
    }
}
