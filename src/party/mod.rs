//! What a school and an authority do alike towards the gateway.
//!
//! ```text
//! member   who speaks, with which keys, to which gateway
//! look     where a referral stands, and what was said about it
//! say      an event: composed, signed on top of what was seen, kept, sent until an answer is certain
//! begin    an event that begins a thread of its own, under an id that is made once
//! poll     a stream of everything that concerns this party, proved as it comes
//! threads  which threads without a referral this party has a part in
//! persist  the same bytes, until an answer is certain
//! words    events as a person reads them
//! outbox   what was signed, kept before it is sent and until it is recorded
//! ```

pub mod begin;
pub mod look;
pub mod member;
pub mod outbox;
pub mod persist;
pub mod poll;
pub mod receiver;
pub mod say;
pub mod threads;
pub mod words;
