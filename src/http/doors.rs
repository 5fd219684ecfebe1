//! Who may shake hands now. Nobody is proved yet, so all that can be told apart is addresses: each has
//! its share of the places, a rate, and a number of connections. Handshakes have places of their own:
//! those who say nothing cannot take the places of parties.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::allowance::{Allowance, Rate};
use super::limits::Limits;

/// Addresses remembered before those with nothing open and a full allowance are forgotten.
const SITES_KEPT: usize = 4_096;

/// Lets connections in by their address.
#[derive(Debug)]
pub(super) struct Doors {
    state: Mutex<State>,
    handshakes: usize,
    connections_of_one: usize,
    rate: Rate,
}

#[derive(Debug, Default)]
struct State {
    /// By age: numbers only grow.
    handshakes: BTreeMap<u64, Handshake>,
    next: u64,
    sites: HashMap<IpAddr, Site>,
    forget_at: usize,
}

#[derive(Debug)]
struct Handshake {
    site: IpAddr,
    displace: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Site {
    connections: usize,
    handshakes: usize,
    allowance: Allowance,
}

/// Why a connection is closed before anything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Too many connections of this address.
    TooMany,
    /// Too many handshakes of this address within short.
    TooOften,
}

impl Closed {
    /// A stable label for logs and metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::TooMany => "address.connections",
            Self::TooOften => "address.rate",
        }
    }
}

/// A place for one handshake; given back on drop.
#[derive(Debug)]
pub(super) struct Door {
    peer: SocketAddr,
    displaced: oneshot::Receiver<()>,
    address: Address,
}

/// One connection of an address; given back on drop.
#[derive(Debug)]
pub(super) struct Address {
    doors: Arc<Doors>,
    site: IpAddr,
    /// While it shakes hands.
    handshake: Option<u64>,
}

impl Doors {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            handshakes: limits.handshakes.max(1),
            connections_of_one: limits.connections_per_address,
            rate: Rate::new(limits.handshake_rate, limits.handshake_burst),
        })
    }

    /// A place for a connection from `peer`. Where all places are taken, the oldest handshake of
    /// the address that holds the most gives way: whoever holds many by saying nothing loses those,
    /// and a flood from everywhere at once has to come again within the time of a true handshake.
    pub(super) fn enter(self: &Arc<Self>, peer: SocketAddr, now: Instant) -> Result<Door, Closed> {
        let site = site(peer.ip());
        let mut state = self.state();
        state.forget(self.rate, now);
        let fresh =
            || Site { connections: 0, handshakes: 0, allowance: Allowance::full(self.rate, now) };
        let of_site = state.sites.entry(site).or_insert_with(fresh);
        if of_site.connections >= self.connections_of_one {
            return Err(Closed::TooMany);
        }
        of_site.allowance.take(self.rate, now).map_err(|_| Closed::TooOften)?;
        of_site.connections += 1;
        of_site.handshakes += 1;
        while state.handshakes.len() >= self.handshakes {
            state.displace_one();
        }
        let (displace, displaced) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        state.handshakes.insert(number, Handshake { site, displace });
        let address = Address { doors: self.clone(), site, handshake: Some(number) };
        Ok(Door { peer, displaced, address })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn displace_one(&mut self) {
        let held = |site: &IpAddr| self.sites.get(site).map_or(0, |site| site.handshakes);
        // The first of the largest is wanted, and `max_by_key` gives the last: hence backwards.
        let victim = self.handshakes.iter().rev().max_by_key(|(_, h)| held(&h.site));
        if let Some(victim) = victim.map(|(number, _)| *number) {
            self.end_handshake(victim);
        }
    }

    /// Frees the place. Its holder is told by the end of `displace`, if it still listens.
    fn end_handshake(&mut self, number: u64) {
        let Some(Handshake { site, displace }) = self.handshakes.remove(&number) else { return };
        if let Some(site) = self.sites.get_mut(&site) {
            site.handshakes -= 1;
        }
        drop(displace);
    }

    /// Forgets addresses when there are many. Done when their number has doubled since the last time,
    /// so that it costs little however they come.
    fn forget(&mut self, rate: Rate, now: Instant) {
        if self.sites.len() >= self.forget_at.max(SITES_KEPT) {
            self.sites.retain(|_, site| site.connections > 0 || !site.allowance.is_full(rate, now));
            self.forget_at = self.sites.len() * 2;
        }
    }
}

impl Door {
    /// Where the connection comes from.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Ready when somebody else took this place.
    pub(super) async fn displaced(&mut self) {
        let _ = (&mut self.displaced).await;
    }

    /// The handshake is over: its place is free, the connection is still one of its address.
    pub(super) fn through(mut self) -> Address {
        if let Some(number) = self.address.handshake.take() {
            self.address.doors.state().end_handshake(number);
        }
        self.address
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut state = self.doors.state();
        if let Some(number) = self.handshake {
            state.end_handshake(number);
        }
        if let Some(site) = state.sites.get_mut(&self.site) {
            site.connections -= 1;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn doors(handshakes: usize, connections_per_address: usize) -> Arc<Doors> {
        let (handshake_rate, handshake_burst) = (10, 100);
        Doors::new(&Limits {
            handshakes,
            connections_per_address,
            handshake_rate,
            handshake_burst,
            ..Limits::default()
        })
    }

    fn from(doors: &Arc<Doors>, address: &str) -> Result<Door, Closed> {
        doors.enter(peer(address), Instant::now())
    }

    fn peer(address: &str) -> SocketAddr {
        (address.parse::<IpAddr>().unwrap(), 40_000).into()
    }

    fn was_displaced(door: &mut Door) -> bool {
        door.displaced.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn hosts_of_one_ipv6_site_count_together() {
        let doors = doors(10, 1);
        let first = from(&doors, "2001:db8:1:2::1").unwrap();
        assert_eq!(from(&doors, "2001:db8:1:2:ffff::9").unwrap_err(), Closed::TooMany);
        from(&doors, "2001:db8:1:3::1").unwrap();
        let through = first.through();
        assert_eq!(from(&doors, "2001:db8:1:2::7").unwrap_err(), Closed::TooMany);
        drop(through);
        from(&doors, "2001:db8:1:2::7").unwrap();
    }

    #[test]
    fn the_oldest_of_the_largest_gives_way() {
        let doors = doors(4, 100);
        let mut quiet = from(&doors, "192.0.2.1").unwrap();
        let mut many: Vec<_> = (0..3).map(|_| from(&doors, "192.0.2.2").unwrap()).collect();
        let mut newcomer = from(&doors, "192.0.2.3").unwrap();
        assert!(was_displaced(&mut many[0]));
        assert!(!many[1..].iter_mut().any(was_displaced) && !was_displaced(&mut quiet));
        // The one who holds most displaces itself.
        let mut again = from(&doors, "192.0.2.2").unwrap();
        assert!(was_displaced(&mut many[1]) && !was_displaced(&mut again));
        assert!(!was_displaced(&mut newcomer));
        // A displaced one that ends gives back nothing twice.
        drop(many);
        drop((quiet, newcomer, again));
        let state = doors.state();
        assert!(state.handshakes.is_empty());
        assert!(state.sites.values().all(|s| s.connections == 0 && s.handshakes == 0));
    }

    #[test]
    fn those_who_are_through_keep_no_place() {
        let doors = doors(1, 100);
        let through = from(&doors, "192.0.2.1").unwrap().through();
        let mut second = from(&doors, "192.0.2.2").unwrap();
        assert!(!was_displaced(&mut second));
        drop(through);
    }

    #[test]
    fn an_address_that_comes_too_often_is_closed() {
        let (doors, now) = (doors(1_000, 1_000), Instant::now());
        let enter = |at| doors.enter(peer("192.0.2.1"), at);
        (0..100).for_each(|_| drop(enter(now).unwrap()));
        assert_eq!(enter(now).unwrap_err(), Closed::TooOften);
        drop(enter(now + Duration::from_millis(100)).unwrap());
        doors.enter(peer("192.0.2.2"), now).unwrap();
    }

    #[test]
    fn addresses_that_are_gone_are_forgotten() {
        let (doors, start) = (doors(10, 10), Instant::now());
        for n in 0..3 * SITES_KEPT as u32 {
            let now = start + Duration::from_millis(u64::from(n) * 10);
            let address = std::net::Ipv4Addr::from(0xC000_0000 + n);
            drop(doors.enter((address, 40_000).into(), now).unwrap());
        }
        assert!(doors.state().sites.len() <= SITES_KEPT + 1);
    }
}
