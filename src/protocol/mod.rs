//! Bytes <-> domain, deterministic: no I/O, no clock, no storage.
//!
#![doc = include_str!("PROTOCOL.md")]

pub mod clock_facts;
pub mod directory;
pub mod document;
pub mod evidence;
pub mod hash;
pub mod json;
pub mod jws;
pub mod mailbox;
pub mod message;
pub mod problem;
pub mod routing_data;
pub mod schema;
pub mod signing;
pub mod tokens;
pub mod trust;
