//! Those who wait for something new in their feeds: rung by the sequencer, bounded, and let go when
//! the gateway stops.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::domain::party::Organisation;

/// Each that waits holds one of the listener's places for requests being answered (512 unless
/// configured): a quarter of them at most. Whoever finds none free is answered at once.
const PLACES: usize = 128;
/// Of one party, so that no council's many systems take all of them.
const PLACES_OF_ONE: usize = 8;

/// The waiting room of a gateway.
#[derive(Default)]
pub struct Waiting {
    bell: Notify,
    taken: Mutex<HashMap<Organisation, usize>>,
    closed: AtomicBool,
}

/// A place in it, given back on drop.
pub(super) struct Place<'a> {
    room: &'a Waiting,
    party: Organisation,
}

impl Waiting {
    /// Tells everybody that there is something new, perhaps for them.
    pub fn ring(&self) {
        self.bell.notify_waiters();
    }

    /// Lets everybody go, and nobody in any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.ring();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The next ring. Only once polled or enabled does it miss none.
    pub(super) fn bell(&self) -> Notified<'_> {
        self.bell.notified()
    }

    /// A place to wait in, if one is free for this party.
    pub(super) fn enter(&self, party: &Organisation) -> Option<Place<'_>> {
        let mut taken = self.taken();
        let own = taken.get(party).copied().unwrap_or(0);
        let full = taken.values().sum::<usize>() >= PLACES || own >= PLACES_OF_ONE;
        if full || self.is_closed() {
            return None;
        }
        taken.insert(party.clone(), own + 1);
        Some(Place { room: self, party: party.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Organisation, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        let left = taken.get(&self.party).map_or(0, |own| own.saturating_sub(1));
        match left {
            0 => taken.remove(&self.party),
            left => taken.insert(self.party.clone(), left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(code: usize) -> Organisation {
        Organisation::Authority(format!("{code}").parse().unwrap())
    }

    #[test]
    fn places_are_bounded_for_one_and_for_all_and_come_back() {
        let room = Waiting::default();
        let own: Vec<_> = (0..PLACES_OF_ONE).map(|_| room.enter(&authority(300))).collect();
        assert!(own.iter().all(Option::is_some));
        assert!(room.enter(&authority(300)).is_none());
        let others: Vec<_> =
            (PLACES_OF_ONE..PLACES).map(|n| room.enter(&authority(400 + n)).unwrap()).collect();
        assert!(room.enter(&authority(301)).is_none());
        drop(own);
        assert!(room.enter(&authority(300)).is_some());
        drop(others);
        assert!(room.taken().is_empty());
        room.close();
        assert!(room.enter(&authority(300)).is_none());
    }
}
