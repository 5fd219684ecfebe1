#![doc = include_str!("PROFILE.md")]

mod cache;
mod crl;
mod example;
mod identity;
pub mod issue;
mod key;
mod load;
pub mod pem;
mod profile;
pub mod rules;
mod store;
mod types;

pub use cache::VerifiedCache;
pub use crl::{GRACE, ISSUING_CRL_DAYS, ROOT_CRL_DAYS};
pub use example::{is_example_key, is_example_public_key};
pub use identity::identity;
pub use load::{TrustFault, TrustItem};
pub use profile::{
    Description, ISSUING_DAYS, ORGANISATION_DAYS, PERSON_DAYS, ROOT_DAYS, SERVER_DAYS, SIGNING_EKU,
    describe, leaf_days, may_serve, serial,
};
pub use store::{Freshness, TrustScope, TrustStore, check_role, check_server_name};
pub use types::{Chain, ChainRefusal, PublicKey, Purpose, Revocation, VerifiedChain};
