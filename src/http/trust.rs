//! The trust data in use: one snapshot that everybody reads, replaced as a whole.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::effects::Clock;
use crate::protocol::trust::{
    Chain, ChainRefusal, Purpose, TrustStore, VerifiedCache, VerifiedChain,
};

/// Chains whose signatures are remembered: a second handshake of a peer, and the check after the
/// first, then cost no public-key work. Period and revocation are judged each time.
const CHAINS_REMEMBERED: usize = 4_096;

/// Roots and revocation lists as published last, and the clock that they are judged by.
pub struct Trust {
    store: ArcSwap<TrustStore>,
    generation: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    examined: VerifiedCache,
}

impl Trust {
    /// Starts with `store`.
    pub fn new(store: TrustStore, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            store: ArcSwap::from_pointee(store),
            generation: watch::Sender::new(0),
            clock,
            examined: VerifiedCache::new(CHAINS_REMEMBERED),
        })
    }

    /// The snapshot in use.
    pub fn store(&self) -> Arc<TrustStore> {
        self.store.load_full()
    }

    /// The clock that chains are judged by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Puts `store` in place of the snapshot. Every connection then checks its peer again: one whose
    /// chain no longer holds ends at once. Session tickets given out before are worthless.
    pub fn publish(&self, store: TrustStore) {
        self.store.store(Arc::new(store));
        // After the store: whoever sees the new generation sees the new snapshot.
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Counts publications; changes after the snapshot does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// The number of publications so far.
    pub fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Checks a chain by the snapshot in use, at this time.
    pub fn check(&self, chain: &Chain, purpose: Purpose) -> Result<VerifiedChain, ChainRefusal> {
        self.examined.verify(&self.store(), chain, purpose, self.clock.now())
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust(generation {})", self.generation())
    }
}
