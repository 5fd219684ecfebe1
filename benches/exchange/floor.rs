//! The least that any gateway of this protocol can spend on one referral: one digest of the body,
//! one verification of the sender's signature, two signatures of its own (receipt and note).

use std::hint::black_box;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};

use super::machine::thread_cpu_ns;

/// CPU microseconds of the parts, on one core.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    pub hash: f64,
    pub verify: f64,
    pub sign: f64,
}

impl Floor {
    /// One digest, one verification, two signatures.
    pub fn total(self) -> f64 {
        self.hash + self.verify + 2.0 * self.sign
    }

    /// Measures all three. `body` and `token` are the sizes in use, in bytes.
    pub fn measure(body: usize, token: usize) -> Result<Self, String> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let key = key.map_err(|_| "no key")?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random)
                .map_err(|_| "no key")?;
        let (body, token) = (vec![0x5a; body], vec![0x5a; token]);
        let signature = pair.sign(&random, &token).map_err(|_| "no signature")?;
        let public =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref().to_vec());
        Ok(Self {
            hash: one(20_000, || {
                black_box(digest(&SHA256, black_box(&body)));
            }),
            verify: one(4_000, || {
                black_box(public.verify(black_box(&token), signature.as_ref()).is_ok());
            }),
            sign: one(10_000, || {
                black_box(pair.sign(&random, black_box(&token)).is_ok());
            }),
        })
    }
}

/// The best of three runs: whatever else the machine does only ever adds.
fn one(times: u32, mut work: impl FnMut()) -> f64 {
    let run = |work: &mut dyn FnMut()| {
        let before = thread_cpu_ns();
        (0..times).for_each(|_| work());
        (thread_cpu_ns() - before) as f64 / 1e3 / f64::from(times)
    };
    (0..3).map(|_| run(&mut work)).fold(f64::INFINITY, f64::min)
}
