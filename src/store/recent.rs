//! Which referrals were stored lately: a hint where to look first, never an answer.
//!
//! Nearly every submission and every dispatch is new, and the transaction that stores it finds out for itself
//! if one is not. Only one that this hint knows, or that is refused, is looked up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::domain::ids::ReferralId;

/// So many are remembered at most: half a megabyte, which at a thousand a second is the last minute.
const PLACES: usize = 1 << 16;

/// Some of the latest referrals, each in the one place that its id allows.
pub struct Recent {
    places: Box<[AtomicU64]>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Recent {
    /// Remembers a referral, and forgets the one in its place.
    pub fn add(&self, id: ReferralId) {
        let (place, mark) = self.place(id);
        place.store(mark, Relaxed);
    }

    /// Whether a referral is remembered. Wrong by chance once in 2^48 for random ids.
    pub fn has(&self, id: ReferralId) -> bool {
        let (place, mark) = self.place(id);
        place.load(Relaxed) == mark
    }

    fn place(&self, id: ReferralId) -> (&AtomicU64, u64) {
        let bytes = *id.as_bytes();
        let [first, last] = [0, 8].map(|from| {
            let half: [u8; 8] = std::array::from_fn(|at| bytes[from + at]);
            u64::from_le_bytes(half)
        });
        // The rotation parts the fixed bits of a UUID. Zero is what an empty place holds.
        let mark = (first ^ last.rotate_left(7)).max(1);
        (&self.places[mark as usize % PLACES], mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_others_are_not() {
        let recent = Recent::default();
        let id = |n: u128| {
            // Spread like random ids.
            ReferralId::from_bytes(
                n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes(),
            )
        };
        assert!((0..100).all(|n| !recent.has(id(n))));
        (0..100).for_each(|n| recent.add(id(n)));
        assert!((0..100).all(|n| recent.has(id(n))));
        assert!((100..1_000).all(|n| !recent.has(id(n))));
        // Far more than there are places: most of the first are forgotten, the last is there.
        (1_000..400_000).for_each(|n| recent.add(id(n)));
        assert!(recent.has(id(399_999)));
        assert!((0..100).filter(|n| recent.has(id(*n))).count() < 20);
    }
}
