//! The key ring: which key belongs to which retention period, which are destroyed, and what was
//! erased before its time. What is written here decides; stores follow.
//!
//! Keys are prepared years ahead, so that serving processes only ever *read* the ring: any number of
//! gateways can share one, and none has to agree with another about a new key.

use crate::domain::ids::{Digest, ReferralId};
use crate::domain::retention::{Erasure, ErasureReason, Period};
use crate::domain::time::{MINUTE, Timestamp};
use crate::effects::{Entropy, NoEntropy};

use super::form::{KeyBytes, KeyId, fresh};
use super::kek::{KekFault, KeyWrapper};

/// A replaced key stays at least so long, in milliseconds: processes notice a new key within a second, and
/// what was sealed before that is committed long before this.
const RETIRE_AFTER: i64 = 10 * MINUTE;

/// A period key, wrapped under the KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingKey {
    /// Its name.
    pub id: KeyId,
    /// The period whose documents it is for.
    pub period: Period,
    /// When it was made. Of several keys of one period the one that stands last is used.
    pub created_at: Timestamp,
    /// The key, wrapped.
    pub wrapped: Vec<u8>,
}

/// What is left of a key that was destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestroyedKey {
    /// Its name.
    pub id: KeyId,
    /// The period that it was for.
    pub period: Period,
    /// When, and why.
    pub erasure: Erasure,
}

/// A document that was erased before its period ended. Holds no personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The referral.
    pub referral_id: ReferralId,
    /// The document's digest.
    pub sha256: Digest,
    /// When, and why.
    pub erasure: Erasure,
}

/// A key ring. Every change is one method here; [`RingFile`](super::RingFile) makes it durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing {
    /// Names the ring; bound into everything that the KEK wraps for it.
    pub(super) id: KeyId,
    /// Counts its changes: an older copy is told apart from a newer one.
    pub(super) revision: u64,
    /// Id of the KEK that it lies under.
    pub(super) kek: String,
    /// When it was last changed.
    pub(super) written_at: Timestamp,
    /// The key that authenticates the file, wrapped.
    pub(super) authentication: Vec<u8>,
    pub(super) keys: Vec<RingKey>,
    pub(super) destroyed: Vec<DestroyedKey>,
    pub(super) tombstones: Vec<Tombstone>,
}

/// Why a ring cannot be changed as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingFault {
    /// The KEK failed.
    Kek(KekFault),
    /// The operating system gave no random bytes.
    NoEntropy,
    /// The ring has no key for this period.
    NoKey(Period),
    /// The ring has no such key.
    UnknownKey(KeyId),
    /// The key is the one in use for its period.
    InUse(KeyId),
    /// The period has not ended.
    NotEnded(Period),
    /// The key was replaced only now: a process may still be sealing under it.
    TooSoon(KeyId),
}

impl std::fmt::Display for RingFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RingFault::Kek(fault) => fault.fmt(f),
            RingFault::NoEntropy => NoEntropy.fmt(f),
            RingFault::NoKey(period) => write!(f, "the key ring has no key for {period}"),
            RingFault::UnknownKey(id) => write!(f, "the key ring has no key {id}"),
            RingFault::InUse(id) => write!(f, "{id} is the key in use for its period"),
            RingFault::NotEnded(period) => write!(f, "{period} has not ended"),
            RingFault::TooSoon(id) => write!(
                f,
                "{id} was replaced less than {} minutes ago: a process may still use it",
                RETIRE_AFTER / MINUTE
            ),
        }
    }
}

impl std::error::Error for RingFault {}

impl From<KekFault> for RingFault {
    fn from(fault: KekFault) -> Self {
        RingFault::Kek(fault)
    }
}

impl From<NoEntropy> for RingFault {
    fn from(_: NoEntropy) -> Self {
        RingFault::NoEntropy
    }
}

impl KeyRing {
    /// A new ring with keys from the period of `now` up to and including `until`.
    pub fn create(
        kek: &dyn KeyWrapper,
        now: Timestamp,
        until: Period,
        entropy: &dyn Entropy,
    ) -> Result<Self, RingFault> {
        let id = fresh_id(entropy)?;
        let authentication = kek.wrap(&fresh(entropy)?, &authentication_data(id))?;
        let mut ring = Self {
            id,
            revision: 1,
            kek: kek.id().to_owned(),
            written_at: now,
            authentication,
            keys: Vec::new(),
            destroyed: Vec::new(),
            tombstones: Vec::new(),
        };
        ring.prepare(kek, now, until, entropy)?;
        Ok(ring)
    }

    /// Adds the keys that are missing from the period of `now` up to and including `until`. How many.
    pub fn prepare(
        &mut self,
        kek: &dyn KeyWrapper,
        now: Timestamp,
        until: Period,
        entropy: &dyn Entropy,
    ) -> Result<u32, RingFault> {
        let mut period = Period::of(now);
        let mut added = 0;
        while period <= until {
            if self.current(period).is_none() {
                self.add(kek, period, now, entropy)?;
                added += 1;
            }
            period = period.next();
        }
        Ok(added)
    }

    /// Adds another key for `period`, which is used from now on; the ones before stay until retired.
    pub fn rotate(
        &mut self,
        kek: &dyn KeyWrapper,
        period: Period,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<KeyId, RingFault> {
        self.current(period).ok_or(RingFault::NoKey(period))?;
        self.add(kek, period, now, entropy)
    }

    /// Destroys a key that another one of its period has replaced. The caller has made sure that no
    /// document lies under it.
    pub fn retire(&mut self, id: KeyId, at: Timestamp) -> Result<(), RingFault> {
        let key = self.key(id).ok_or(RingFault::UnknownKey(id))?;
        let current = self.current(key.period).ok_or(RingFault::UnknownKey(id))?;
        if current.id == id {
            return Err(RingFault::InUse(id));
        }
        if at < current.created_at.plus(RETIRE_AFTER) {
            return Err(RingFault::TooSoon(id));
        }
        let erasure = Erasure { at, why: ErasureReason::KeyRetired };
        self.destroy(erasure, |key| key.id == id);
        Ok(())
    }

    /// Destroys every key of a period that has ended. How many; none if they were destroyed before.
    pub fn destroy_period(&mut self, period: Period, at: Timestamp) -> Result<u32, RingFault> {
        if at < period.ends() {
            return Err(RingFault::NotEnded(period));
        }
        let erasure = Erasure { at, why: ErasureReason::Retention };
        Ok(self.destroy(erasure, |key| key.period == period))
    }

    /// Sets tombstones. Those that stand already keep their time.
    pub fn bury(&mut self, stones: impl IntoIterator<Item = Tombstone>) {
        for stone in stones {
            if self.tombstone(stone.referral_id, stone.sha256).is_none() {
                self.tombstones.push(stone);
            }
        }
    }

    /// Everything under another KEK.
    pub fn rotate_kek(
        &mut self,
        from: &dyn KeyWrapper,
        to: &dyn KeyWrapper,
    ) -> Result<(), RingFault> {
        let ring = self.id;
        let data = authentication_data(ring);
        self.authentication = to.wrap(&from.unwrap(&self.authentication, &data)?, &data)?;
        for key in &mut self.keys {
            let data = key_data(ring, key.id, key.period);
            key.wrapped = to.wrap(&from.unwrap(&key.wrapped, &data)?, &data)?;
        }
        to.id().clone_into(&mut self.kek);
        Ok(())
    }

    /// The key in use for a period.
    pub fn current(&self, period: Period) -> Option<&RingKey> {
        self.keys.iter().rev().find(|key| key.period == period)
    }

    /// A key by its name.
    pub fn key(&self, id: KeyId) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// What a key was destroyed for.
    pub fn destroyed(&self, id: KeyId) -> Option<&DestroyedKey> {
        self.destroyed.iter().find(|key| key.id == id)
    }

    /// The tombstone of a document.
    pub fn tombstone(&self, id: ReferralId, sha256: Digest) -> Option<&Tombstone> {
        self.tombstones.iter().find(|t| t.referral_id == id && t.sha256 == sha256)
    }

    /// All keys, in the order in which they were made.
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// All that was destroyed, in order.
    pub fn destroyed_keys(&self) -> &[DestroyedKey] {
        &self.destroyed
    }

    /// All tombstones, in order.
    pub fn tombstones(&self) -> &[Tombstone] {
        &self.tombstones
    }

    /// The ring's name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// How many times it was written.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Id of the KEK that it lies under.
    pub fn kek(&self) -> &str {
        &self.kek
    }

    /// When it was last changed.
    pub fn written_at(&self) -> Timestamp {
        self.written_at
    }

    /// The first instant from `now` on for which there is no key.
    pub fn runs_out(&self, now: Timestamp) -> Timestamp {
        let mut period = Period::of(now);
        while self.current(period).is_some() {
            period = period.next();
        }
        period.starts().max(now)
    }

    /// The key itself.
    pub(super) fn unwrap(&self, kek: &dyn KeyWrapper, key: &RingKey) -> Result<KeyBytes, KekFault> {
        kek.unwrap(&key.wrapped, &key_data(self.id, key.id, key.period))
    }

    /// The key that authenticates the file.
    pub(super) fn unwrap_authentication(&self, kek: &dyn KeyWrapper) -> Result<KeyBytes, KekFault> {
        kek.unwrap(&self.authentication, &authentication_data(self.id))
    }

    fn add(
        &mut self,
        kek: &dyn KeyWrapper,
        period: Period,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<KeyId, RingFault> {
        let id = fresh_id(entropy)?;
        let wrapped = kek.wrap(&fresh(entropy)?, &key_data(self.id, id, period))?;
        self.keys.push(RingKey { id, period, created_at: now, wrapped });
        Ok(id)
    }

    fn destroy(&mut self, erasure: Erasure, doomed: impl Fn(&RingKey) -> bool) -> u32 {
        let before = self.keys.len();
        let gone = self.keys.iter().filter(|key| doomed(key));
        let gone = gone.map(|key| DestroyedKey { id: key.id, period: key.period, erasure });
        self.destroyed.extend(gone);
        self.keys.retain(|key| !doomed(key));
        u32::try_from(before - self.keys.len()).unwrap_or(u32::MAX)
    }
}

fn fresh_id(entropy: &dyn Entropy) -> Result<KeyId, NoEntropy> {
    let mut id = [0; 8];
    entropy.fill(&mut id)?;
    Ok(KeyId::from_bytes(id))
}

fn key_data(ring: KeyId, key: KeyId, period: Period) -> Vec<u8> {
    format!("ecaf-ring-1 key {ring} {key} {period}").into_bytes()
}

fn authentication_data(ring: KeyId) -> Vec<u8> {
    format!("ecaf-ring-1 authentication {ring}").into_bytes()
}
