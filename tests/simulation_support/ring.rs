//! The key ring of one store, beside it and not in it: a crash of the store leaves it as it is.

use std::path::PathBuf;
use std::sync::Arc;

use ecaf::effects::{Entropy, SeededEntropy};
use ecaf::store::sealing::{Keks, KeyRing, LocalKek, RingFile, Vault};

use super::scheme::{BEGINNING, FIRST_PERIOD};

/// A ring's file and the key that it lies under.
#[derive(Clone)]
pub struct Ring {
    pub file: RingFile,
    kek: String,
    seed: u64,
}

impl Ring {
    /// A new ring with keys for the period in which runs begin and the one in which they end.
    pub fn create(folder: PathBuf, seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let kek = LocalKek::generate(&entropy).unwrap().to_string();
        let ring = Self { file: RingFile::at(folder), kek, seed };
        let keks = ring.keks();
        let kek = keks.find(&keks.ids()).unwrap();
        let until = FIRST_PERIOD.next();
        let keys = KeyRing::create(kek, BEGINNING, until, &entropy).unwrap();
        ring.file.create(&keys, kek).unwrap();
        ring
    }

    /// The key that the ring lies under.
    pub fn keks(&self) -> Keks {
        let entropy = Box::new(SeededEntropy::new(self.seed ^ 1));
        Keks::new(Arc::new(LocalKek::parse(&self.kek, entropy).unwrap()), None)
    }

    /// Opens the ring as it lies there now, for one process.
    pub fn vault(&self, entropy: Arc<dyn Entropy>) -> Arc<Vault> {
        Arc::new(Vault::open(self.file.clone(), self.keks(), entropy).unwrap())
    }

    /// The ring as it lies there now.
    pub fn read(&self) -> KeyRing {
        self.file.load(&self.keks()).unwrap()
    }
}
