//! Who may ask now: connections by address, requests and bytes by organisation, bytes in all. Nothing
//! waits here: what does not fit is refused at once, with the seconds after which it may fit.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::limits::Limits;
use super::refusal::EdgeRefusal;
use crate::domain::party::Organisation;

/// Above this many organisations, those with nothing under way and a full allowance are forgotten.
const ORGANISATIONS_KEPT: usize = 4_096;
/// One organisation may hold this part of the bytes in flight.
const SHARE_OF_BYTES: usize = 4;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts connections by address.
#[derive(Debug, Default)]
pub(super) struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// A place for one connection; given back on drop.
#[derive(Debug)]
pub(super) struct AddressPlace(Arc<Addresses>, IpAddr);

impl Addresses {
    /// A place for a connection from `address`, unless `most` are taken already.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<AddressPlace> {
        let address = site(address);
        let mut counts = lock(&self.0);
        let count = counts.entry(address).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(AddressPlace(self.clone(), address))
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        release(&mut lock(&self.0.0), &self.1);
    }
}

fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// An IPv6 site has at least a /64 (RFC 6177), so a single host can use any address in it.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & (!0 << 64)).into(),
        v4 => v4,
    }
}

/// Admits requests.
#[derive(Debug)]
pub(super) struct Admission {
    parties: Mutex<HashMap<Organisation, Account>>,
    bytes: Arc<Semaphore>,
    rate: f64,
    burst: f64,
    concurrency: usize,
    bytes_of_one: usize,
}

#[derive(Debug)]
struct Account {
    allowance: f64,
    at: Instant,
    under_way: usize,
    bytes: usize,
}

/// Room for one request; given back on drop.
#[derive(Debug)]
pub(super) struct Room {
    admission: Arc<Admission>,
    organisation: Organisation,
    bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let bytes = limits.bytes_in_flight.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            parties: Mutex::default(),
            bytes: Arc::new(Semaphore::new(bytes)),
            rate: f64::from(limits.party_rate.max(1)),
            burst: f64::from(limits.party_burst.max(1)),
            concurrency: limits.party_concurrency,
            bytes_of_one: bytes / SHARE_OF_BYTES,
        })
    }

    /// Room for a request of `organisation` with up to `bytes` of body.
    pub(super) fn enter(
        self: &Arc<Self>,
        organisation: &Organisation,
        bytes: usize,
        now: Instant,
    ) -> Result<Room, EdgeRefusal> {
        self.charge(organisation, bytes, now)?;
        let wanted = u32::try_from(bytes).ok();
        let permit = wanted.and_then(|n| self.bytes.clone().try_acquire_many_owned(n).ok());
        let Some(permit) = permit else {
            self.leave(organisation, bytes);
            return Err(EdgeRefusal::Busy(1));
        };
        let organisation = organisation.clone();
        Ok(Room { admission: self.clone(), organisation, bytes, _permit: permit })
    }

    fn charge(
        &self,
        organisation: &Organisation,
        bytes: usize,
        now: Instant,
    ) -> Result<(), EdgeRefusal> {
        let mut parties = lock(&self.parties);
        if !parties.contains_key(organisation) {
            if parties.len() >= ORGANISATIONS_KEPT {
                parties.retain(|_, account| {
                    account.under_way > 0 || account.allowance_at(now, self) < self.burst
                });
            }
            let account = Account { allowance: self.burst, at: now, under_way: 0, bytes: 0 };
            parties.insert(organisation.clone(), account);
        }
        let Some(account) = parties.get_mut(organisation) else {
            return Err(EdgeRefusal::Fault);
        };
        account.allowance = account.allowance_at(now, self);
        account.at = now;
        if account.allowance < 1.0 {
            let wait = ((1.0 - account.allowance) / self.rate).ceil();
            return Err(EdgeRefusal::TooOften((wait as u32).max(1)));
        }
        let fits = account.bytes == 0 || account.bytes + bytes <= self.bytes_of_one;
        if account.under_way >= self.concurrency || !fits {
            return Err(EdgeRefusal::TooManyAtOnce(1));
        }
        account.allowance -= 1.0;
        account.under_way += 1;
        account.bytes += bytes;
        Ok(())
    }

    fn leave(&self, organisation: &Organisation, bytes: usize) {
        if let Some(account) = lock(&self.parties).get_mut(organisation) {
            account.under_way = account.under_way.saturating_sub(1);
            account.bytes = account.bytes.saturating_sub(bytes);
        }
    }
}

impl Account {
    fn allowance_at(&self, now: Instant, admission: &Admission) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.allowance + passed * admission.rate).min(admission.burst)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.admission.leave(&self.organisation, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn school(id: &str) -> Organisation {
        Organisation::School(id.parse().unwrap())
    }

    fn admission() -> Arc<Admission> {
        Admission::new(&Limits {
            party_rate: 2,
            party_burst: 3,
            party_concurrency: 2,
            bytes_in_flight: 1_000,
            ..Limits::default()
        })
    }

    #[test]
    fn a_party_that_asks_too_often_waits_and_others_do_not() {
        let (admission, start) = (admission(), Instant::now());
        for _ in 0..3 {
            admission.enter(&school("900001"), 10, start).unwrap();
        }
        let refused = admission.enter(&school("900001"), 10, start).unwrap_err();
        assert_eq!(refused, EdgeRefusal::TooOften(1));
        admission.enter(&school("900002"), 10, start).unwrap();
        let later = start + Duration::from_millis(500);
        admission.enter(&school("900001"), 10, later).unwrap();
        admission.enter(&school("900001"), 10, later).unwrap_err();
    }

    #[test]
    fn a_party_holds_no_more_than_its_share() {
        let (admission, start) = (admission(), Instant::now());
        let first = admission.enter(&school("900001"), 200, start).unwrap();
        let too_many_bytes = admission.enter(&school("900001"), 51, start).unwrap_err();
        assert_eq!(too_many_bytes, EdgeRefusal::TooManyAtOnce(1));
        let _second = admission.enter(&school("900001"), 50, start).unwrap();
        let too_many = admission.enter(&school("900001"), 0, start).unwrap_err();
        assert_eq!(too_many, EdgeRefusal::TooManyAtOnce(1));
        drop(first);
        admission.enter(&school("900001"), 200, start).unwrap();
    }

    #[test]
    fn bytes_in_flight_are_bounded_and_come_back() {
        let (admission, start) = (admission(), Instant::now());
        let held = admission.enter(&school("900001"), 990, start).unwrap();
        let refused = admission.enter(&school("900002"), 11, start).unwrap_err();
        assert_eq!(refused, EdgeRefusal::Busy(1));
        drop(held);
        admission.enter(&school("900002"), 11, start).unwrap();
    }

    #[test]
    fn hosts_of_one_ipv6_site_count_together() {
        let addresses = Arc::new(Addresses::default());
        let first = addresses.enter("2001:db8:1:2::1".parse().unwrap(), 1).unwrap();
        assert!(addresses.enter("2001:db8:1:2:ffff::9".parse().unwrap(), 1).is_none());
        assert!(addresses.enter("2001:db8:1:3::1".parse().unwrap(), 1).is_some());
        drop(first);
        assert!(addresses.enter("2001:db8:1:2::7".parse().unwrap(), 1).is_some());
        assert!(lock(&addresses.0).is_empty());
    }
}
