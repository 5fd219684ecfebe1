//! Brings a store to what its key ring says: purges what is erased, and moves documents from keys that
//! were replaced. Serving processes run it in the background, commands to their end, and a restored
//! store before it is used: the same code.
//!
//! Every step is safe to repeat and safe beside another process that does the same, because each change
//! compares the wrapped key that it was made from.

use crate::domain::retention::{Erasure, ErasureReason, Period};
use crate::domain::time::Timestamp;
use crate::store::contract::{DocumentId, RetentionStore, Rewrap, StoreFault, WrappedDocument};

use super::erase::Plan;
use super::form::KeyId;
use super::vault::Vault;

/// Documents per transaction: a few milliseconds of the writer's time.
const BATCH: u32 = 128;

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Documents whose ciphertext was deleted.
    pub purged: u64,
    /// Documents moved to the key in use for their period.
    pub rewrapped: u64,
    /// Documents that still lie under replaced keys.
    pub waiting: u64,
    /// Documents under keys that the ring never had: another store's ring, or an older copy of it.
    pub unknown: u64,
}

impl Upkeep {
    /// Whether anything was changed.
    pub fn did_something(&self) -> bool {
        self.purged + self.rewrapped > 0
    }
}

/// One whole pass. `progress` is told after every batch how many documents were dealt with.
pub async fn run(
    store: &dyn RetentionStore,
    vault: &Vault,
    now: Timestamp,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Upkeep, StoreFault> {
    let mut done = Upkeep::default();
    let ring = vault.ring();
    for stone in ring.tombstones() {
        let found = store.wrapped_of(stone.referral_id).await?;
        let found = found.into_iter().filter(|d| d.place.sha256 == stone.sha256);
        done.purged += purge(store, found.collect(), stone.erasure, now).await?;
    }
    for id in store.keys().await? {
        if let Some(gone) = ring.destroyed(id) {
            done.purged += purge_key(store, id, gone.erasure, now, &mut progress).await?;
        } else if let Some(key) = ring.key(id) {
            let replaced = ring.current(key.period).is_some_and(|current| current.id != id);
            if replaced {
                done.rewrapped += move_key(store, vault, id, key.period, &mut progress).await?;
                done.waiting += documents(store, id).await?;
            }
        } else {
            done.unknown += documents(store, id).await?;
        }
    }
    Ok(done)
}

/// How many documents lie under a key that should have none.
async fn documents(store: &dyn RetentionStore, id: KeyId) -> Result<u64, StoreFault> {
    let used = store.keys_in_use().await?;
    Ok(used.iter().find(|used| used.key_id == id).map_or(0, |used| used.documents))
}

/// What lies in a store under keys that are destroyed, or has a tombstone, and is not purged yet: what a
/// restored backup cannot give back. Documents that had to stay when the backup was made are named.
pub async fn unreadable(store: &dyn RetentionStore, vault: &Vault) -> Result<Plan, StoreFault> {
    let mut plan = Plan::default();
    for id in store.keys().await? {
        let mut pages = Pages::under(store, id);
        while let Some(page) = pages.next().await? {
            for document in page {
                let place = &document.place;
                let erasure = vault.erased(place.referral_id, place.sha256, Some(id));
                match (erasure.map(|erasure| erasure.why), document.facts.may_be_erased()) {
                    (None, _) => {}
                    (Some(ErasureReason::Misidentified), _) | (_, Ok(())) => plan.erase += 1,
                    (_, Err(why)) => plan.forward.push((document.place, why)),
                }
            }
        }
    }
    Ok(plan)
}

/// The documents under a key, batch by batch in the order of their numbers: each once, whatever becomes
/// of it meanwhile.
pub(super) struct Pages<'a> {
    store: &'a dyn RetentionStore,
    key: KeyId,
    after: Option<DocumentId>,
}

impl<'a> Pages<'a> {
    pub(super) fn under(store: &'a dyn RetentionStore, key: KeyId) -> Self {
        Self { store, key, after: None }
    }

    /// The next batch; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<WrappedDocument>>, StoreFault> {
        let page = self.store.wrapped_under(self.key, self.after, BATCH).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.id);
        Ok(Some(page))
    }
}

/// Deletes the ciphertext of documents that nobody can open any more.
pub(super) async fn purge(
    store: &dyn RetentionStore,
    documents: Vec<WrappedDocument>,
    erasure: Erasure,
    now: Timestamp,
) -> Result<u64, StoreFault> {
    if documents.is_empty() {
        return Ok(0);
    }
    let documents = documents.into_iter().map(|d| (d.id, d.wrapped)).collect();
    store.purge(documents, erasure, now).await
}

/// Purges everything under a destroyed key. Crash between two batches: the next pass goes on.
pub(super) async fn purge_key(
    store: &dyn RetentionStore,
    key: KeyId,
    erasure: Erasure,
    now: Timestamp,
    progress: &mut (impl FnMut(u64) + Send),
) -> Result<u64, StoreFault> {
    let mut purged = 0;
    loop {
        // From the start each time: what was purged is no longer there.
        let page = store.wrapped_under(key, None, BATCH).await?;
        let found = page.len() as u64;
        let gone = purge(store, page, erasure, now).await?;
        purged += gone;
        progress(gone);
        if found == 0 || gone == 0 {
            return Ok(purged);
        }
    }
}

/// Moves everything under a replaced key to the one in use for `period`. Crash between two batches: the
/// next pass goes on; both keys exist meanwhile.
async fn move_key(
    store: &dyn RetentionStore,
    vault: &Vault,
    key: KeyId,
    period: Period,
    progress: &mut (impl FnMut(u64) + Send),
) -> Result<u64, StoreFault> {
    let mut moved = 0;
    let mut pages = Pages::under(store, key);
    while let Some(page) = pages.next().await? {
        let changed = rewrap(store, vault, &page, period).await?;
        moved += changed;
        progress(changed);
    }
    Ok(moved)
}

/// Wraps the keys of `documents` under the key in use for `period`. A key that does not open is left
/// where it is: `check` names its row.
pub(super) async fn rewrap(
    store: &dyn RetentionStore,
    vault: &Vault,
    documents: &[WrappedDocument],
    period: Period,
) -> Result<u64, StoreFault> {
    let mut changes = Vec::with_capacity(documents.len());
    for document in documents {
        match vault.rewrap(&document.place, document.key_id, &document.wrapped, period) {
            Ok((to, wrapped)) => changes.push(Rewrap {
                id: document.id,
                from: document.wrapped.clone(),
                to,
                wrapped,
            }),
            Err(StoreFault::Corrupt) => {}
            Err(fault) => return Err(fault),
        }
    }
    if changes.is_empty() { Ok(0) } else { store.rewrap(changes).await }
}
