//! What is kept: the only place with SQL.
//!
//! [`contract`] says what every store promises, in terms of the exchange and without a word of SQL;
//! [`sqlite`] keeps the promises in one file on one machine, [`postgres`] in a database that any number
//! of gateways share, both [`sealing`] documents; [`copy`] moves a store between the two. Nothing above
//! this module knows which store it talks to: it holds an `Arc<dyn GatewayStore>` or an
//! `Arc<dyn AuthorityStore>`.
//!
//! `DATA_MODEL.md` beside this file walks the tables through the life of a referral.

pub mod contract;
pub mod copy;
pub mod postgres;
pub mod recent;
pub mod sealing;
pub mod sqlite;

pub use contract::*;
