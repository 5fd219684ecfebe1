//! The sending side: a school's machine.
//!
//! ```text
//! draft -> split    one draft for each authority, where its children live in several
//!       -> compose  the exact bytes of the document
//!       -> state    stored with its signed submission before anything is sent
//!       -> submit   sent until an answer is certain; the receipt verified, then stored
//!       -> follow   what became of it, proved where it can be
//! ```

pub mod compose;
pub mod follow;
pub mod refused;
pub mod split;
pub mod state;
pub mod submit;
