//! Wires concrete parts together: the only folder that knows them all.

mod authority;
mod directory_file;
mod gateway;
mod member;
mod officer;
mod operator;
mod parts;
mod process;
mod sealed_store;
mod secrets;
mod stores;
pub mod upkeep;
mod vault;

pub use authority::{collect_once, run_authority, run_collector};
pub use gateway::run_gateway;
pub use member::open_member;
pub use officer::is_officer;
pub use parts::{AppFault, open_trust};
pub use process::{block_on, notify_ready};
pub use sealed_store::{OpenStore, SealedStore};
pub use stores::{open_authority, open_gateway};
pub use vault::{open_keks, open_vault};
