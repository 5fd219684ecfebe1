//! A whole scheme in a temporary folder, its real processes, its schools, and the proofs that what
//! arrived is what was sent.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

pub mod afterwards;
mod documents;
pub mod inside;
pub mod killing;
pub mod load;
pub mod planting;
mod proof;
mod scene;
mod sending;
pub mod stage;
pub mod story;
pub mod talking;
pub mod wire;

pub use afterwards::{RESTLESS, prove, same_receipts_again};
pub use documents::{Document, HACKNEY, HARINGEY, NEWHAM, Stream, example};
pub use load::{Load, SUBMITTERS, insist};
pub use proof::{Arrived, Proof, all_settled, gateway_store, inbox, inbox_store, vault};
pub use scene::{QUICK, Scene, ecaf, ends_well, eventually, still_open, to_deliver};
pub use sending::{Receipt, Sent, json_fields, post, problem, receipt_of, sign, signed_fields};

use std::time::Duration;

/// Nothing waits this long; a test that does has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A number from the environment, for runs longer than the usual one.
pub fn count(variable: &str, usual: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")),
        Err(_) => usual,
    }
}
