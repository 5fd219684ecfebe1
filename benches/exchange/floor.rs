//! The least that any gateway of this protocol can spend on one referral: one digest of the body,
//! one verification of the sender's signature, two signatures of its own (receipt and note).

use std::hint::black_box;
use std::thread;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};

use super::machine::{cores, thread_cpu_ns};

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

    /// Measures all three with every core at work, as they are under load: two processors of a
    /// machine are often one core, and each slower while the other works. `body` and `token` are the
    /// sizes in use, in bytes.
    pub fn measure(body: usize, token: usize) -> Result<Self, String> {
        let each: Vec<Self> = thread::scope(|scope| {
            let hands: Vec<_> =
                (0..cores()).map(|_| scope.spawn(|| Self::on_one_core(body, token))).collect();
            let found = hands.into_iter().map(|hand| hand.join().map_err(|_| "a panic")?);
            found.collect::<Result<_, String>>()
        })?;
        let mean = |part: fn(&Self) -> f64| each.iter().map(part).sum::<f64>() / each.len() as f64;
        Ok(Self { hash: mean(|f| f.hash), verify: mean(|f| f.verify), sign: mean(|f| f.sign) })
    }

    /// The run with the middle total.
    pub fn median(mut runs: Vec<Self>) -> Option<Self> {
        runs.sort_by(|a, b| a.total().total_cmp(&b.total()));
        runs.get(runs.len() / 2).copied()
    }

    fn on_one_core(body: usize, token: usize) -> Result<Self, String> {
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
        // All three in turn, so that each is measured while the other cores do the same.
        Ok(Self {
            hash: one(10_000, || {
                black_box(digest(&SHA256, black_box(&body)));
            }),
            verify: one(4_000, || {
                black_box(public.verify(black_box(&token), signature.as_ref()).is_ok());
            }),
            sign: one(8_000, || {
                black_box(pair.sign(&random, black_box(&token)).is_ok());
            }),
        })
    }
}

/// CPU microseconds of one.
fn one(times: u32, mut work: impl FnMut()) -> f64 {
    let before = thread_cpu_ns();
    (0..times).for_each(|_| work());
    (thread_cpu_ns() - before) as f64 / 1e3 / f64::from(times)
}
