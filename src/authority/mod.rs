//! The receiving side: an authority's endpoint and inbox.
//!
//! ```text
//! bytes and peer -> receive  Received  it is a gateway of the directory, every part stands once
//!                -> verify   Noted     the dispatch note is for us, judged at the recorded time
//!                   (look-up: received before? the stored receipt)
//!                -> verify   Verified  submission, acceptance, school, schema
//!                -> answer   stored, and our signed receipt
//! pushed events  -> events   verified, kept beside the inbox, taken with 202 (RFC 8935)
//! a mailbox      -> collect  the same for what is claimed from a gateway; the receipt is posted
//! ```

pub mod answer;
pub mod api;
pub mod collect;
pub mod events;
pub mod inbox;
pub mod receive;
pub mod station;
pub mod verify;
