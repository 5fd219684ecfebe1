//! The gateway: one file per step of a referral, in this order.
//!
//! ```text
//! bytes and peer -> receive      Received    it is a school, it is JSON, the token stands once
//!                -> authenticate Authentic   the token verified; signer and peer are one
//!                -> authorise    Authorised  the directory lists the school and this way of proof
//!                -> validate     Validated   the document fits the schema and its token
//!                -> route        Routed      which authorities, why, and that they can be reached
//!                -> note         Noted       receipt and dispatch notes signed
//!                -> accept       Receipt     one transaction, which finds a repetition; only then 201
//! an event       -> feedback              signed, allowed to follow, recorded at its place; only then 201
//!                -> opening               the thread that it begins, where it begins one
//!                -> attest                signed here for a school without a key of its own
//!                -> transfer              what a proposed transfer calls for
//!   worker       -> deliver, courier, acknowledge, settle: until the authority's receipt is stored
//! a claim        -> inbox, acknowledge, settle: the same for an authority that collects
//!   worker       -> remind: the clocks that are near their limit, or past it
//!   worker       -> publish: log index and feed positions
//!   worker       -> push: the same feeds to parties that have an endpoint for events, over `lines`
//! a poll         -> poll: what of its feed a party has not acknowledged; waits in `waiting`
//! ```
//!
//! Each arrow is a type with private fields, made only by the file that performs the check: a
//! skipped step does not compile.

pub mod accept;
pub mod acknowledge;
pub mod api;
mod attest;
pub mod authenticate;
pub mod authorise;
pub mod check;
mod clocks;
mod contacts;
pub mod courier;
pub mod deliver;
mod delivery_words;
pub mod exchange;
pub mod feedback;
pub mod inbox;
mod known;
pub mod lines;
pub mod note;
pub mod opening;
pub mod poll;
pub mod publish;
pub mod push;
pub mod read;
pub mod receive;
pub mod remind;
pub mod respond;
pub mod route;
mod settle;
pub mod shown;
mod transfer;
pub mod trouble;
pub mod validate;
mod versions;
pub mod waiting;
