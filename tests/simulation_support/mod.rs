//! A deterministic world: the product's own schools, gateways and authorities, on a network, disks
//! and clocks that a seed decides about.
//!
//! | file | owns |
//! |---|---|
//! | `scheduler` | virtual time, the seed's randomness, whose turn it is, the trace |
//! | `scheme` | certificates, directory and keys, the same in every run |
//! | `documents` | referrals that are complete, invented and unlike each other |
//! | `stores` | a store between its caller and the real one: waiting, failing, failing though done |
//! | `ring` | the key ring of a store |
//! | `erasing` | what operators close, hold and erase, and what must follow from it |
//! | `database` | the files of a store: what a crash leaves of them, and opening them again |
//! | `network` | requests and answers between parties: late, lost, doubled, cut off |
//! | `sites` | gateways and authorities as processes that crash and start again |
//! | `schools` | what people at schools do |
//! | `people`, `choices` | workers and clerks, and what each says next |
//! | `days` | the way back in a run: people, issues of the directory, hours in which everything is off |
//! | `plan` | what a seed decides before a run |
//! | `run` | one run: work, trouble, then quiet |
//! | `rest` | everything comes right once it is quiet |
//! | `proof` | every invariant, re-checked from stored bytes |
//! | `threads` | the same of what was said: threads, holders, clocks, readers, pushes |
//! | `planted` | bugs put in on purpose, so that it is seen that the proof can fail |
#![allow(dead_code, reason = "accessors that only some checks need")]

pub mod choices;
pub mod database;
pub mod days;
#[path = "../exchange_support/documents.rs"]
pub mod documents;
pub mod erasing;
pub mod network;
pub mod people;
pub mod plan;
pub mod planted;
pub mod proof;
pub mod rest;
pub mod ring;
pub mod run;
pub mod scheduler;
pub mod scheme;
pub mod schools;
pub mod sites;
pub mod stores;
pub mod threads;

pub use plan::Plan;
pub use planted::Bug;
pub use run::run;
