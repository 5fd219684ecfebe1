//! What a store seals and opens its documents with: an open key ring that follows its file.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::form::{self, AeadKey, DoesNotOpen, KeyId, Place, Sealed};
use super::kek::Keks;
use super::ring::KeyRing;
use super::ring_file::{RingFile, RingFileFault, Stamp};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::retention::{Erasure, Period};
use crate::domain::time::Timestamp;
use crate::effects::Entropy;
use crate::store::contract::{Document, StoreFault};

/// How long a change of the ring's file may go unnoticed by a serving process.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Seals and opens documents. One per process and ring, shared by everything that uses its store.
///
/// A ring that cannot be read any more stops sealing at once: what was sealed under keys that exist
/// in this process alone would be lost with it. Opening goes on with the keys read last.
pub struct Vault {
    source: Option<Source>,
    entropy: Arc<dyn Entropy>,
    state: ArcSwap<State>,
}

struct Source {
    file: RingFile,
    keks: Keks,
    born: Instant,
    /// Milliseconds after `born` at which the file was last looked at.
    looked: AtomicU64,
}

#[derive(Clone)]
struct State {
    ring: Arc<KeyRing>,
    keys: Arc<HashMap<KeyId, AeadKey>>,
    erased: Arc<HashMap<(ReferralId, Digest), Erasure>>,
    stamp: Option<Stamp>,
    /// Why the file could not be read when it was last looked at.
    fault: Option<RingFileFault>,
}

impl Vault {
    /// Opens the ring in a file; the file is looked at again while the vault is used.
    pub fn open(
        file: RingFile,
        keks: Keks,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RingFileFault> {
        let state = State::load(&file, &keks)?;
        let source = Source { file, keks, born: Instant::now(), looked: AtomicU64::new(0) };
        Ok(Self { source: Some(source), entropy, state: ArcSwap::from_pointee(state) })
    }

    /// Over a ring in memory, for what ends with its process.
    pub fn of_ring(
        ring: KeyRing,
        keks: &Keks,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RingFileFault> {
        let state = ArcSwap::from_pointee(State::of(ring, keks, None)?);
        Ok(Self { source: None, entropy, state })
    }

    /// Seals a document accepted at `accepted_at`. [`StoreFault::NoPeriodKey`] if the ring has no key
    /// for that period, [`StoreFault::RingLost`] if the ring cannot be read any more.
    pub fn seal(
        &self,
        place: &Place,
        accepted_at: Timestamp,
        clear: &[u8],
    ) -> Result<Sealed, StoreFault> {
        self.look();
        let state = self.state.load();
        if state.fault.is_some() {
            return Err(StoreFault::RingLost);
        }
        let (id, key) = state.current(Period::of(accepted_at))?;
        form::seal(place, (id, key), clear, self.entropy.as_ref())
            .map_err(|_| StoreFault::NoEntropy)
    }

    /// Opens a document: its bytes, or when and why it was erased. [`StoreFault::Corrupt`] if the row
    /// was altered or moved, [`StoreFault::UnknownKey`] if the ring never had its key.
    pub fn unseal(&self, place: &Place, sealed: Sealed) -> Result<Document, StoreFault> {
        self.look();
        if let Some(erasure) = self.erased(place.referral_id, place.sha256, Some(sealed.key_id)) {
            return Ok(Document::Erased(erasure));
        }
        let key_id = sealed.key_id;
        self.with_key(key_id, |key| form::open(place, key, sealed))?
            .map(|clear| Document::Kept(clear.into()))
            .map_err(|DoesNotOpen| StoreFault::Corrupt)
    }

    /// When and why a document became unreadable, by its tombstone or by the key that it lies under.
    pub fn erased(
        &self,
        referral_id: ReferralId,
        sha256: Digest,
        key: Option<KeyId>,
    ) -> Option<Erasure> {
        let state = self.state.load();
        let destroyed = || state.ring.destroyed(key?).map(|key| key.erasure);
        state.erased.get(&(referral_id, sha256)).copied().or_else(destroyed)
    }

    /// The document's own key, wrapped under the key in use for the period of `period_of`: the key's
    /// id and the wrapped key.
    pub fn rewrap(
        &self,
        place: &Place,
        from: KeyId,
        wrapped: &[u8],
        period: Period,
    ) -> Result<(KeyId, Vec<u8>), StoreFault> {
        self.look();
        let state = self.state.load();
        if state.fault.is_some() {
            return Err(StoreFault::RingLost);
        }
        let (to_id, to) = state.current(period)?;
        let old = state.keys.get(&from).ok_or(StoreFault::UnknownKey)?;
        let entropy = self.entropy.as_ref();
        form::rewrap(place, (from, old), wrapped, (to_id, to), entropy)
            .map_err(|_| StoreFault::NoEntropy)?
            .map(|wrapped| (to_id, wrapped))
            .map_err(|DoesNotOpen| StoreFault::Corrupt)
    }

    /// The ring as it was last read.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.state.load().ring)
    }

    /// Reads the ring's file again if it has changed, now.
    pub fn refresh(&self) -> Result<(), RingFileFault> {
        if let Some(source) = &self.source {
            self.reload(source);
        }
        self.state.load().fault.clone().map_or(Ok(()), Err)
    }

    /// Looks at the file, at most once in [`LOOK_EVERY`].
    fn look(&self) {
        let Some(source) = &self.source else { return };
        let now = u64::try_from(source.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = source.looked.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= LOOK_EVERY.as_millis() as u64;
        // One of many callers looks; the others go on with what was read last.
        let mine =
            || source.looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if due && mine().is_ok() {
            self.reload(source);
        }
    }

    fn reload(&self, source: &Source) {
        let held = self.state.load();
        let stamp = source.file.stamp();
        if held.fault.is_none() && stamp.as_ref().ok() == held.stamp.as_ref() {
            return;
        }
        let fault = match State::load(&source.file, &source.keks) {
            Ok(state) if state.ring.revision() >= held.ring.revision() => {
                self.state.store(Arc::new(state));
                return;
            }
            // The keys in use stay: what was destroyed does not come back by an old copy.
            Ok(_) => RingFileFault::Older,
            Err(fault) => fault,
        };
        self.state.store(Arc::new(State { fault: Some(fault), ..State::clone(&held) }));
    }

    /// Runs `with` on a key, after reading the file again if the key is not known.
    fn with_key<T>(&self, id: KeyId, with: impl FnOnce(&AeadKey) -> T) -> Result<T, StoreFault> {
        let mut state = self.state.load_full();
        if !state.keys.contains_key(&id)
            && let Some(source) = &self.source
        {
            self.reload(source);
            state = self.state.load_full();
        }
        let key = state.keys.get(&id).ok_or(StoreFault::UnknownKey)?;
        Ok(with(key))
    }
}

impl State {
    fn load(file: &RingFile, keks: &Keks) -> Result<Self, RingFileFault> {
        // Taken before reading: a change in between is read again, never missed.
        let stamp = file.stamp()?;
        Self::of(file.load(keks)?, keks, Some(stamp))
    }

    fn of(ring: KeyRing, keks: &Keks, stamp: Option<Stamp>) -> Result<Self, RingFileFault> {
        let Some(kek) = keks.find(ring.kek()) else {
            let (wanted, given) = (ring.kek().to_owned(), keks.ids());
            return Err(RingFileFault::WrongKek { wanted, given });
        };
        let mut keys = HashMap::with_capacity(ring.keys().len());
        for key in ring.keys() {
            let bytes = ring.unwrap(kek, key).map_err(RingFileFault::Kek)?;
            keys.insert(key.id, AeadKey::new(&bytes));
        }
        let stones = ring.tombstones().iter();
        let erased = stones.map(|t| ((t.referral_id, t.sha256), t.erasure)).collect();
        let (ring, keys, erased) = (Arc::new(ring), Arc::new(keys), Arc::new(erased));
        Ok(Self { ring, keys, erased, stamp, fault: None })
    }

    fn current(&self, period: Period) -> Result<(KeyId, &AeadKey), StoreFault> {
        let id = self.ring.current(period).ok_or(StoreFault::NoPeriodKey)?.id;
        let key = self.keys.get(&id).ok_or(StoreFault::UnknownKey)?;
        Ok((id, key))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.load();
        write!(f, "Vault(ring {} revision {})", state.ring.id(), state.ring.revision())
    }
}
/// What a row of either database says about its document: sealed, or erased.
pub(in crate::store) enum DocumentRow {
    Sealed(Sealed),
    Erased(Erasure),
}

impl DocumentRow {
    /// The first of them that can be read; erased only if all are.
    pub fn open_one(
        rows: Vec<(Place, Self)>,
        vault: &Vault,
    ) -> Result<Option<Document>, StoreFault> {
        let mut erased = None;
        for (place, row) in rows {
            match row.open(vault, &place)? {
                kept @ Document::Kept(_) => return Ok(Some(kept)),
                document => erased = erased.or(Some(document)),
            }
        }
        Ok(erased)
    }

    /// Opened, on the caller's task.
    pub fn open(self, vault: &Vault, place: &Place) -> Result<Document, StoreFault> {
        match self {
            DocumentRow::Sealed(sealed) => vault.unseal(place, sealed),
            DocumentRow::Erased(erasure) => Ok(Document::Erased(erasure)),
        }
    }
}
