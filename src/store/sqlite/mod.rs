//! The store in one SQLite file: write-ahead log, every commit synced, one writer.
//!
//! | file | owns |
//! |---|---|
//! | `engine` | opening, lock file, and how operations reach the writer and the readers |
//! | `writer` | the one thread that writes: groups what waits into one commit |
//! | `transaction` | what operations write through: statements held, evidence remembered |
//! | `schema` | migrations and what makes a file ours |
//! | `faults` | SQLite's errors as [`StoreFault`](crate::store::StoreFault)s |
//! | `rows` | values <-> columns, and what both stores write alike |
//! | `accept`, `thread`, `deliveries`, `sequence`, `read` | the gateway's operations |
//! | `backup` | copies of a store in use, and stores from copies |
//! | `retention` | both kinds' keys, holds and erasure |
//! | `gateway`, `authority` | the contracts' traits over them |
//! | `check`, `check_gateway` | re-hashing and cross-checking of everything |

mod accept;
mod authority;
pub mod backup;
mod check;
mod check_gateway;
mod checkpoint;
mod copy;
mod deliveries;
mod engine;
mod faults;
mod gateway;
mod inbox;
mod pushed;
mod read;
mod retention;
mod rows;
mod schema;
mod sequence;
mod streams;
#[cfg(test)]
mod test_plans;
mod thread;
mod transaction;
mod writer;

pub use authority::SqliteAuthority;
pub use backup::{CopyFault, Draft};
pub use copy::SqliteCopy;
pub use engine::{Access, Settings};
pub use gateway::SqliteGateway;
