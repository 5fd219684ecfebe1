//! The least that any gateway of this protocol can spend on one referral: one digest of the body,
//! one verification of the sender's signature, two signatures of its own (receipt and note).

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, Signature,
    UnparsedPublicKey,
};

use super::machine::{cores, median, thread_cpu_ns};

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
        let parts = Parts::new(body, token)?;
        // All three in turn, so that each is measured while the other cores do the same.
        Ok(Self {
            hash: one(10_000, || parts.hash()),
            verify: one(4_000, || parts.verify()),
            sign: one(8_000, || parts.sign()),
        })
    }
}

/// The same operations in small bursts while a load runs, on the same cores in the same seconds: what
/// else the machine does, and which cores share what, changes by the minute.
pub struct Beside {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<[Vec<f64>; 3]>,
}

impl Beside {
    /// Operations of a burst: about a millisecond and a half, so that all but the first find caches warm.
    const BURST: usize = 12;
    /// From burst to burst: together three per cent of one core.
    const PAUSE: Duration = Duration::from_millis(50);

    /// Starts measuring on a thread of its own.
    pub fn start(body: usize, token: usize) -> Result<Self, String> {
        let parts = Parts::new(body, token)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut seen = [const { Vec::new() }; 3];
            while !stopped.load(Relaxed) {
                for (times, work) in seen.iter_mut().zip([Parts::hash, Parts::verify, Parts::sign])
                {
                    for _ in 0..Self::BURST {
                        let began = Instant::now();
                        work(&parts);
                        times.push(began.elapsed().as_nanos() as f64 / 1e3);
                    }
                }
                #[allow(
                    clippy::disallowed_methods,
                    reason = "a thread of its own beside the load"
                )]
                thread::sleep(Self::PAUSE);
            }
            seen
        });
        Ok(Self { stop, thread })
    }

    /// The medians of single operations: one that was interrupted does not count.
    pub fn end(self) -> Result<Floor, String> {
        self.stop.store(true, Relaxed);
        let [hash, verify, sign] = self.thread.join().map_err(|_| "a panic")?.map(median);
        Ok(Floor { hash, verify, sign })
    }
}

/// The operations, ready to be run.
struct Parts {
    random: SystemRandom,
    pair: EcdsaKeyPair,
    public: UnparsedPublicKey<Vec<u8>>,
    signature: Signature,
    body: Vec<u8>,
    token: Vec<u8>,
}

impl Parts {
    fn new(body: usize, token: usize) -> Result<Self, String> {
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
        Ok(Self { random, pair, public, signature, body, token })
    }

    fn hash(&self) {
        black_box(digest(&SHA256, black_box(&self.body)));
    }

    fn verify(&self) {
        black_box(self.public.verify(black_box(&self.token), self.signature.as_ref()).is_ok());
    }

    fn sign(&self) {
        black_box(self.pair.sign(&self.random, black_box(&self.token)).is_ok());
    }
}

/// CPU microseconds of one.
fn one(times: u32, mut work: impl FnMut()) -> f64 {
    let before = thread_cpu_ns();
    (0..times).for_each(|_| work());
    (thread_cpu_ns() - before) as f64 / 1e3 / f64::from(times)
}
