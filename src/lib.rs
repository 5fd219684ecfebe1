//! ecaf: secure electronic exchange of child safeguarding referrals between schools and English
//! local authorities.
//!
//! The folder names are the architecture; a module imports only from the ones above it in this
//! list (`tests/architecture.rs` enforces it):
//!
//! | module | owns |
//! |---|---|
//! | [`domain`] | pure values and rules; std only: no I/O, no clock, no wire format |
//! | [`effects`] | what tests must control: clock, entropy, signer |
//! | [`telemetry`] | logs and metrics without personal data |
//! | [`protocol`] | bytes <-> domain, deterministic: JSON, schema, tokens, certificates, directory |
//! | [`store`] | the only place with SQL |
//! | [`http`] | listeners, mutual TLS, limits, responses, the outbound client |
//! | [`party`] | what schools and authorities do alike: read a referral, say something about it |
//! | [`gateway`] | one file per step of a referral through the exchange |
//! | [`authority`] | the receiving side |
//! | [`school`] | the sending side |
//! | [`report`] | chronologies and statistics, from evidence and documents |
//! | [`config`] | files as typed -> settings as used |
//! | [`app`] | wires concrete parts together |
//! | [`cli`] | one file per subcommand |

pub mod app;
pub mod authority;
pub mod cli;
pub mod config;
pub mod domain;
pub mod effects;
pub mod gateway;
pub mod http;
pub mod party;
pub mod protocol;
pub mod report;
pub mod school;
pub mod store;
pub mod telemetry;
