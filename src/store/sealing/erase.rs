//! Erasure: of a whole period by destroying its keys, of one referral by a tombstone.
//!
//! A period, in this order:
//!
//! 1. **Forward.** Documents that may not be erased yet (open cases, holds, unsettled deliveries) are
//!    wrapped under the present period's key. *Crash: some lie under one key, some under the other;
//!    both exist. Run again.*
//! 2. **Look again**, until nothing that must stay is left under the period's keys. Commands that place
//!    holds or close cases wait meanwhile: they need the ring's lock, which the caller holds.
//! 3. **Destroy.** The ring is written without the keys, durably. *Crash before: nothing is erased. After:
//!    the documents are, whatever happens next; no step can take it back.*
//! 4. **Purge** the ciphertext, in small batches. *Crash: the rows say nothing to anybody; the upkeep of
//!    the serving process, or the next command, goes on.*
//!
//! One referral: tombstones into the ring, durably (*crash after: every process refuses to open its
//! documents from then on, and the upkeep purges them*), then the purge.

use std::fmt;

use crate::domain::ids::ReferralId;
use crate::domain::retention::{Erasure, ErasureReason, KeptBecause, Period};
use crate::domain::time::Timestamp;
use crate::store::contract::{RetentionStore, StoreFault, WrappedDocument};

use super::form::{KeyId, Place};
use super::kek::Keks;
use super::ring::{RingFault, Tombstone};
use super::ring_file::{RingFile, RingFileFault, RingLock};
use super::upkeep::{self, Pages};
use super::vault::Vault;

/// Why an erasure did not happen, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EraseFault {
    /// The store failed.
    Store(StoreFault),
    /// The ring failed.
    Ring(RingFileFault),
    /// The period is the present one or lies ahead: its documents are still coming in.
    NotEnded(Period),
    /// Documents that must stay do not open, so that they cannot be carried forward: how many.
    Unmovable(u64),
}

impl fmt::Display for EraseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EraseFault::Store(fault) => fault.fmt(f),
            EraseFault::Ring(fault) => fault.fmt(f),
            EraseFault::NotEnded(period) => write!(f, "{period} has not ended"),
            EraseFault::Unmovable(count) => write!(
                f,
                "{count} documents must stay and cannot be carried forward: run a check; nothing was \
                 erased"
            ),
        }
    }
}

impl std::error::Error for EraseFault {}

impl From<StoreFault> for EraseFault {
    fn from(fault: StoreFault) -> Self {
        EraseFault::Store(fault)
    }
}

impl From<RingFileFault> for EraseFault {
    fn from(fault: RingFileFault) -> Self {
        EraseFault::Ring(fault)
    }
}

/// What an erasure of a period would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Documents that would be erased.
    pub erase: u64,
    /// Documents that would be carried forward, with the first reason for each.
    pub forward: Vec<(Place, KeptBecause)>,
}

/// What an erasure did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Documents carried forward.
    pub forwarded: u64,
    /// Keys destroyed.
    pub keys: u32,
    /// Documents whose ciphertext was deleted by this call.
    pub purged: u64,
}

/// Everything that an erasure works on. The lock is held for its whole length.
pub struct Eraser<'a> {
    /// The store.
    pub store: &'a dyn RetentionStore,
    /// Its vault, over `file`.
    pub vault: &'a Vault,
    /// The ring.
    pub file: &'a RingFile,
    /// The keys that the ring lies under.
    pub keks: &'a Keks,
    /// The ring's lock.
    pub lock: &'a RingLock,
}

impl Eraser<'_> {
    /// What [`Eraser::erase_period`] would do now. Changes nothing.
    pub async fn plan(&self, period: Period) -> Result<Plan, EraseFault> {
        let mut plan = Plan::default();
        for key in self.keys_of(period) {
            let mut pages = Pages::under(self.store, key);
            while let Some(page) = pages.next().await? {
                for document in &page {
                    match document.facts.may_be_erased() {
                        Ok(()) => plan.erase += 1,
                        Err(why) => {
                            plan.forward.push((document.place.clone(), why));
                        }
                    }
                }
            }
        }
        Ok(plan)
    }

    /// Erases a period that has ended. Running it again finishes what a crash left.
    pub async fn erase_period(
        &self,
        period: Period,
        now: Timestamp,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Erased, EraseFault> {
        if now < period.ends() {
            return Err(EraseFault::NotEnded(period));
        }
        let forwarded = self.forward(period, now, &mut progress).await?;
        let keys = self.destroy(period, now)?;
        let purged = self.purge_destroyed(period, now, &mut progress).await?;
        Ok(Erased { forwarded, keys, purged })
    }

    /// Steps 1 and 2: everything that must stay lies under the present period's key afterwards.
    pub async fn forward(
        &self,
        period: Period,
        now: Timestamp,
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<u64, EraseFault> {
        let mut forwarded = 0;
        loop {
            let (mut staying, mut moved) = (0, 0);
            for key in self.keys_of(period) {
                let mut pages = Pages::under(self.store, key);
                while let Some(page) = pages.next().await? {
                    let must_stay = |d: &WrappedDocument| d.facts.may_be_erased().is_err();
                    let page: Vec<_> = page.into_iter().filter(must_stay).collect();
                    staying += page.len() as u64;
                    let present = Period::of(now);
                    let changed = upkeep::rewrap(self.store, self.vault, &page, present).await?;
                    moved += changed;
                    progress(changed);
                }
            }
            forwarded += moved;
            if staying == 0 {
                return Ok(forwarded);
            }
            if moved == 0 {
                return Err(EraseFault::Unmovable(staying));
            }
        }
    }

    /// Step 3: the keys of the period are gone for good.
    pub fn destroy(&self, period: Period, now: Timestamp) -> Result<u32, EraseFault> {
        if self.keys_of(period).is_empty() {
            return Ok(0);
        }
        let destroy = |ring: &mut super::ring::KeyRing, _: &dyn super::kek::KeyWrapper| {
            ring.destroy_period(period, now)
        };
        let keys = self.file.change(self.lock, self.keks, now, destroy);
        let keys = keys.map_err(|fault| match fault {
            RingFileFault::Refused(RingFault::NotEnded(period)) => EraseFault::NotEnded(period),
            fault => EraseFault::Ring(fault),
        })?;
        self.vault.refresh()?;
        Ok(keys)
    }

    /// Step 4, also for keys that an earlier call destroyed.
    pub async fn purge_destroyed(
        &self,
        period: Period,
        now: Timestamp,
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<u64, EraseFault> {
        let mut purged = 0;
        let ring = self.vault.ring();
        for key in ring.destroyed_keys().iter().filter(|key| key.period == period) {
            purged += upkeep::purge_key(self.store, key.id, key.erasure, now, progress).await?;
        }
        Ok(purged)
    }

    /// The documents of a referral that [`Eraser::erase_referral`] would erase.
    pub async fn documents_of(&self, id: ReferralId) -> Result<Vec<WrappedDocument>, EraseFault> {
        Ok(self.store.wrapped_of(id).await?)
    }

    /// Erases every document of one referral before its time. How many.
    pub async fn erase_referral(
        &self,
        id: ReferralId,
        why: ErasureReason,
        now: Timestamp,
    ) -> Result<u64, EraseFault> {
        let documents = self.store.wrapped_of(id).await?;
        let erasure = Erasure { at: now, why };
        let stones = documents.iter().map(|document| Tombstone {
            referral_id: id,
            sha256: document.place.sha256,
            erasure,
        });
        let stones: Vec<_> = stones.collect();
        if stones.is_empty() {
            return Ok(0);
        }
        self.file.change(self.lock, self.keks, now, |ring, _| {
            ring.bury(stones);
            Ok(())
        })?;
        self.vault.refresh()?;
        Ok(upkeep::purge(self.store, documents, erasure, now).await?)
    }

    fn keys_of(&self, period: Period) -> Vec<KeyId> {
        let ring = self.vault.ring();
        ring.keys().iter().filter(|key| key.period == period).map(|key| key.id).collect()
    }
}
