//! What tests must control: time, randomness, signing and files. Each is a small trait with its real
//! implementation beside it; everything above takes them as arguments, and a lint bans the direct
//! calls.

mod clock;
mod entropy;
pub mod files;
mod signer;

pub use clock::{Clock, FixedClock, Sleep, SystemClock};
pub use entropy::{Entropy, NoEntropy, SeededEntropy, SystemEntropy};
pub use signer::{Algorithm, KeyFault, Signer, SigningKey};
