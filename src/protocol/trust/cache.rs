//! A bounded cache of chains whose signatures were checked, so that the hot path does not repeat
//! public-key work. Period and revocation are judged anew on every use: they are a few comparisons
//! and one look-up, and so the cache can never make an expired or revoked certificate pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::store::{Examined, TrustStore};
use super::{Chain, ChainRefusal, Purpose, VerifiedChain};
use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;
use crate::protocol::hash::sha256;

/// The cache. Entries of another [`TrustStore`] are never used.
#[derive(Debug)]
pub struct VerifiedCache {
    capacity: usize,
    entries: Mutex<HashMap<(u64, Digest, Purpose), Arc<Examined>>>,
}

impl VerifiedCache {
    /// A cache of at most `capacity` chains.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// [`TrustStore::verify`], with the public-key work done once per chain, purpose and store.
    /// Refusals are not remembered.
    pub fn verify(
        &self,
        store: &TrustStore,
        chain: &Chain,
        purpose: Purpose,
        at: Timestamp,
    ) -> Result<VerifiedChain, ChainRefusal> {
        let key = (store.generation(), digest(chain), purpose);
        let known = self.lock().get(&key).cloned();
        if let Some(examined) = known {
            return store.judge(&examined, at);
        }
        let examined = Arc::new(store.examine(chain, purpose)?);
        let verified = store.judge(&examined, at)?;
        let mut entries = self.lock();
        if entries.len() >= self.capacity {
            entries.retain(|(generation, ..), _| *generation == store.generation());
        }
        if entries.len() >= self.capacity {
            entries.clear();
        }
        entries.insert(key, examined);
        Ok(verified)
    }

    /// How many chains it holds.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(u64, Digest, Purpose), Arc<Examined>>> {
        // Nothing is half-written when a holder panics: every change is one map operation.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SHA-256 of the SHA-256 of each certificate: all of them count, not only the leaf.
fn digest(chain: &Chain) -> Digest {
    let each: Vec<u8> = chain.certificates().iter().flat_map(|c| *sha256(c).as_bytes()).collect();
    sha256(&each)
}
