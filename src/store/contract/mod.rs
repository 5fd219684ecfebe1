//! The promises of a store. Every implementation keeps all of them, and one contract test suite
//! (`tests/store_contract.rs`) holds each implementation to them.
//!
//! What is promised throughout:
//!
//! - **Durable on return.** An operation that writes returns `Ok` only after its transaction is
//!   committed and synced. A crash at any later instant loses nothing of it.
//! - **Whole or not at all.** Everything one operation writes is one transaction. A fault leaves
//!   nothing half-written, nor does a future that is dropped: the operation then happens whole, or
//!   not at all, and nobody was told.
//! - **Safe to repeat.** After any [`StoreFault`] the caller may repeat the call with the same
//!   arguments; where the first had been committed after all, the answer is the stored one
//!   (`Already`, `AlreadyDone`), byte for byte.
//! - **Serialisable.** Concurrent operations have the effect of some order of them, one by one; a
//!   read sees every operation that returned before it began.
//! - **No clock, no meaning.** Every time is an argument. A store does not verify signatures or
//!   digests on the way in: its callers hold the proofs. `check` re-hashes what lies on disk.
//! - **No values in faults.** A [`StoreFault`] says what is wrong with the store and nothing about
//!   what was stored.

mod acceptance;
mod authority;
mod delivery;
mod fault;
mod gateway;
mod retention;
mod stream;
mod thread;
mod values;

use std::future::Future;
use std::pin::Pin;

pub use acceptance::*;
pub use authority::*;
pub use delivery::*;
pub use fault::*;
pub use gateway::*;
pub use retention::*;
pub use stream::*;
pub use thread::*;
pub use values::*;

/// What a store operation returns: a future that can be sent between threads. Dropping it does not
/// undo the operation.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreFault>> + Send + 'a>>;
