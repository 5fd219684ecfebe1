//! What can be told of referrals afterwards: a chronology that a court could read, and figures over
//! many.
//!
//! ```text
//! tokens   the tokens of one referral in order, each with its record
//! gather   evidence and documents of one referral: from the gateway, or from files
//! many     which referrals a party has
//! facts    one referral told to the clocks
//! figures  the same told to the statistics
//! words, moment            what happened and when, in plain English
//! chronology -> chronology_page   line by line, then as text and HTML
//! statistics, exact -> forms, plot   sheets, then as text, CSV and HTML
//! archive  a folder for an inspector: chronologies, evidence, an index, digests
//! ```

pub mod archive;
pub mod chronology;
mod chronology_page;
mod exact;
pub mod facts;
pub mod figures;
mod forms;
pub mod gather;
pub mod many;
pub mod moment;
mod plot;
pub mod statistics;
pub mod tokens;
pub mod words;
