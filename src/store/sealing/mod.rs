//! Sealed at rest: documents are encrypted under keys of their own, those under a key per retention
//! period, those under one key-encryption key. Whoever has the database has ciphertext; whoever
//! destroys a period's key has erased its documents, in every backup too.
//!
//! | file | owns |
//! |---|---|
//! | `form` | the sealed form and the cipher |
//! | `kek` | the key-encryption key, behind a trait that a key-management service can implement |
//! | `ring` | which key for which period, what was destroyed, tombstones |
//! | `ring_file` | the ring as an authenticated file |
//! | `vault` | what a store seals and opens with |
//! | `upkeep` | brings a store to what its ring says: purging, moving to new keys |
//! | `erase` | the order of an erasure, and what a crash in it means |

mod erase;
mod form;
mod kek;
mod ring;
mod ring_file;
pub mod upkeep;
mod vault;

pub use erase::{EraseFault, Erased, Eraser, Plan};
pub use form::{KeyBytes, KeyId, Place, Sealed, StoreKind, WRAPPED_BYTES};
pub use kek::{KekFault, Keks, KeyWrapper, LocalKek, is_published};
pub use ring::{DestroyedKey, KeyRing, RingFault, RingKey, Tombstone};
pub use ring_file::{RingFile, RingFileFault, RingLock, from_bytes, to_bytes};
pub(in crate::store) use vault::DocumentRow;
pub use vault::Vault;
