//! What happens to a referral after it was accepted: the events of its thread, and which of them may
//! follow which. A thread can begin with an event too: a notice, a consultation, a hand-over.
//!
//! Three axes are kept apart: the transport of each delivery ([`crate::domain::delivery`]), the case
//! of each child (here; the authority's), and attention (derived from both and from the clocks).
//! `kind` is the table of events, `state` what a thread's events have made of it, `judge` the one
//! function that says whether an event may follow.

mod codes;
mod judge;
mod kind;
mod page;
mod state;
#[cfg(test)]
mod tests;

pub use codes::{Decision, codes_of, words_of};
pub use judge::{Illegal, MOST_STATEMENTS, Statement};
pub use kind::{Author, Detail, EventKind, Opening, Scope};
pub use page::page;
pub use state::{Case, ChildState, Desk, Disagreement, Proposal};
