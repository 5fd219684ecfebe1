//! Certificates: what the scheme accepts, on every chain, in TLS and beside tokens.

mod types;

pub use types::{Chain, ChainRefusal, PublicKey, Purpose, Revocation, VerifiedChain};
