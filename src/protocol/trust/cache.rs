//! A bounded cache of chains whose signatures were checked, so that the hot path does not repeat
//! public-key work. Period and revocation are judged anew on every use: they are a few comparisons
//! and one look-up, and so the cache can never make an expired or revoked certificate pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::store::{Examined, TrustStore};
use super::{Chain, ChainRefusal, Purpose, VerifiedChain};
use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;

/// The cache. Entries of another [`TrustStore`] are never used.
#[derive(Debug)]
pub struct VerifiedCache {
    capacity: usize,
    entries: Mutex<Entries>,
    texts: Mutex<HashMap<Key, (Box<str>, Chain)>>,
}

/// What finds a text again: its last bytes, which are those of a signature.
type Key = [u8; 32];

type Entries = HashMap<(u64, Digest, Purpose), (Chain, Arc<Examined>)>;

impl VerifiedCache {
    /// A cache of at most `capacity` chains.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default(), texts: Mutex::default() }
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
        let key = (store.generation(), chain.x5t(), purpose);
        let known = self.lock().get(&key).cloned();
        // All certificates count, not only the leaf that finds the entry.
        if let Some((known, examined)) = known
            && known == *chain
        {
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
        entries.insert(key, (chain.clone(), examined));
        Ok(verified)
    }

    /// [`Chain::from_header`], with the decoding done once per text. Says nothing about the chain.
    pub fn presented(&self, text: &str) -> Result<Chain, ChainRefusal> {
        // The leaf comes first, and what is presented beside it is mostly the same issuer.
        let leaf = text.split(',').next().unwrap_or_default().as_bytes();
        let Some(key) = leaf.last_chunk::<32>() else { return Chain::from_header(text) };
        let texts = || self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, chain)) = texts().get(key)
            && **known == *text
        {
            return Ok(chain.clone());
        }
        let chain = Chain::from_header(text)?;
        let mut texts = texts();
        if texts.len() >= self.capacity {
            texts.clear();
        }
        texts.insert(*key, (text.into(), chain.clone()));
        Ok(chain)
    }

    /// How many chains it holds.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        // Nothing is half-written when a holder panics: every change is one map operation.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
