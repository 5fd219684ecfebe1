//! What one organisation may have of a listener: connections, requests a second, requests at a time,
//! bytes. What does not fit is refused at once, with the seconds after which it may fit; what fits
//! waits for its turn among the others (`turns`).
//!
//! No organisation gets all that there is, and neither do several: whatever an organisation holds, it
//! may only have as much as is still free for everybody else (A. Choudhury and E. Hahne, "Dynamic queue
//! length thresholds for shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2),
//! 1998). Of *k* that take whatever they can, each then ends with a part of *k + 1*, and one such part
//! is always free for those who ask for little.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::allowance::{Allowance, Rate};
use super::limits::Limits;
use super::refusal::EdgeRefusal;
use super::turns::{Lane, Ticket, Turns};
use crate::domain::party::Organisation;

/// Above this many organisations, those with nothing open and a full allowance are forgotten.
const ORGANISATIONS_KEPT: usize = 4_096;
/// One organisation may hold this part of the bytes in flight.
const SHARE_OF_BYTES: usize = 4;
/// Answers up to this length are not counted: they are fewer than the requests under way, which are.
const SMALL_ANSWER: usize = 16 * 1_024;
/// Told to whom there is no room for: by then most of what fills it has been answered.
const SOON: u32 = 2;

/// Admits connections and requests of authenticated organisations.
#[derive(Debug)]
pub(super) struct Admission {
    state: Mutex<State>,
    rate: Rate,
    /// In all and for one organisation.
    connections: [usize; 2],
    requests: [usize; 2],
    bytes: [usize; 2],
    longest_wait: Duration,
}

#[derive(Debug)]
struct State {
    names: HashMap<Organisation, usize>,
    accounts: Vec<Account>,
    /// Numbers of accounts that nobody has.
    unused: Vec<usize>,
    all: Held,
    turns: Turns,
}

/// What is held, by one organisation or by all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Held {
    connections: usize,
    requests: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Account {
    held: Held,
    allowance: Allowance,
}

/// Whether one more of `more` fits: into what one may have, and into what is free for all.
fn fits(one: usize, all: usize, more: usize, [most, most_of_one]: [usize; 2]) -> Fit {
    let free = most.saturating_sub(all);
    match one.saturating_add(more) {
        _ if more > free => Fit::Full,
        // The first is only asked whether it fits at all.
        _ if one == 0 => Fit::Yes,
        wanted if wanted > most_of_one => Fit::OverShare,
        wanted if wanted > free => Fit::Full,
        _ => Fit::Yes,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fit {
    Yes,
    OverShare,
    Full,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let bytes = limits.bytes_in_flight;
        Arc::new(Self {
            state: Mutex::new(State {
                names: HashMap::new(),
                accounts: Vec::new(),
                unused: Vec::new(),
                all: Held::default(),
                turns: Turns::new(limits.concurrency, limits.party_concurrency),
            }),
            rate: Rate::new(limits.party_rate, limits.party_burst),
            connections: [limits.connections, limits.connections_per_party],
            requests: [
                limits.concurrency.saturating_add(limits.waiting),
                limits.party_concurrency.saturating_add(limits.party_waiting),
            ],
            bytes: [bytes, bytes / SHARE_OF_BYTES],
            longest_wait: limits.turn,
        })
    }

    /// A place for a connection of `organisation`.
    pub(super) fn connect(
        self: &Arc<Self>,
        organisation: &Organisation,
        now: Instant,
    ) -> Result<Seat, EdgeRefusal> {
        let mut state = self.state();
        let party = state.account(organisation, self.rate, now);
        let State { accounts, all, .. } = &mut *state;
        let held = &mut accounts[party].held;
        match fits(held.connections, all.connections, 1, self.connections) {
            Fit::OverShare => return Err(EdgeRefusal::TooManyConnections(SOON)),
            Fit::Full => return Err(EdgeRefusal::Busy(SOON)),
            Fit::Yes => {}
        }
        held.connections += 1;
        all.connections += 1;
        Ok(Seat { admission: self.clone(), party })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The number of an organisation's account, new ones made.
    fn account(&mut self, organisation: &Organisation, rate: Rate, now: Instant) -> usize {
        if let Some(party) = self.names.get(organisation) {
            return *party;
        }
        if self.names.len() >= ORGANISATIONS_KEPT {
            let Self { names, accounts, unused, .. } = self;
            names.retain(|_, party| {
                let account = &accounts[*party];
                let kept = account.held != Held::default() || !account.allowance.is_full(rate, now);
                if !kept {
                    unused.push(*party);
                }
                kept
            });
        }
        let account = Account { held: Held::default(), allowance: Allowance::full(rate, now) };
        let party = match self.unused.pop() {
            Some(party) => {
                self.accounts[party] = account;
                party
            }
            None => {
                self.accounts.push(account);
                self.accounts.len() - 1
            }
        };
        self.names.insert(organisation.clone(), party);
        party
    }
}

/// A place for one connection; given back on drop.
#[derive(Debug)]
pub(super) struct Seat {
    admission: Arc<Admission>,
    party: usize,
}

impl Seat {
    /// Room for a request with up to `bytes` of body.
    pub(super) fn enter(&self, bytes: usize, now: Instant) -> Result<Room, EdgeRefusal> {
        let Admission { rate, requests, bytes: limit, .. } = &*self.admission;
        let mut state = self.admission.state();
        let State { accounts, all, .. } = &mut *state;
        let Account { held, allowance } = &mut accounts[self.party];
        allowance.take(*rate, now).map_err(EdgeRefusal::TooOften)?;
        for fit in [
            fits(held.requests, all.requests, 1, *requests),
            fits(held.bytes, all.bytes, bytes, *limit),
        ] {
            match fit {
                Fit::OverShare => return Err(EdgeRefusal::TooManyAtOnce(SOON)),
                Fit::Full => return Err(EdgeRefusal::Busy(SOON)),
                Fit::Yes => {}
            }
        }
        for held in [held, all] {
            held.requests += 1;
            held.bytes += bytes;
        }
        drop(state);
        Ok(Room { admission: self.admission.clone(), party: self.party, bytes, stage: Stage::In })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.accounts[self.party].held.connections -= 1;
        state.all.connections -= 1;
    }
}

/// Room for one request, from its head to the last byte of its answer; given back on drop, whatever
/// stage it has reached.
#[derive(Debug)]
pub(super) struct Room {
    admission: Arc<Admission>,
    party: usize,
    bytes: usize,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Being read, or already answered.
    In,
    Waiting(Ticket),
    /// Being answered: has a place of `turns`.
    Turn,
}

impl Room {
    /// Waits for this request's turn. `urgent` is only asked where it matters.
    pub(super) async fn turn(&mut self, urgent: impl FnOnce() -> bool) -> Result<(), EdgeRefusal> {
        let admission = self.admission.clone();
        if admission.state().turns.take(self.party) {
            self.stage = Stage::Turn;
            return Ok(());
        }
        let lane = if urgent() { Lane::Urgent } else { Lane::Usual };
        let granted = {
            let mut state = admission.state();
            // A place may have come free meanwhile.
            if state.turns.take(self.party) {
                self.stage = Stage::Turn;
                return Ok(());
            }
            let (ticket, granted) = state.turns.wait(self.party, lane);
            self.stage = Stage::Waiting(ticket);
            granted
        };
        match timeout(admission.longest_wait, granted).await {
            Ok(Ok(())) => {
                self.stage = Stage::Turn;
                Ok(())
            }
            _ => {
                self.give_up_turn();
                Err(EdgeRefusal::Busy(SOON))
            }
        }
    }

    /// The turn is over and an answer of `length` bytes is to be written: the body's bytes are free
    /// again. A large answer that there is no room for is not held: it has to be asked for again.
    pub(super) fn answered(&mut self, length: usize) -> Result<(), EdgeRefusal> {
        self.give_up_turn();
        let length = if length > SMALL_ANSWER { length } else { 0 };
        let mut state = self.admission.state();
        let State { accounts, all, .. } = &mut *state;
        let held = &mut accounts[self.party].held;
        held.bytes -= self.bytes;
        all.bytes -= self.bytes;
        self.bytes = 0;
        if length == 0 {
            return Ok(());
        }
        if fits(held.bytes, all.bytes, length, self.admission.bytes) != Fit::Yes {
            return Err(EdgeRefusal::Busy(SOON));
        }
        held.bytes += length;
        all.bytes += length;
        self.bytes = length;
        Ok(())
    }

    fn give_up_turn(&mut self) {
        let mut state = self.admission.state();
        match std::mem::replace(&mut self.stage, Stage::In) {
            Stage::In => {}
            Stage::Turn => state.turns.give_back(self.party),
            Stage::Waiting(ticket) => {
                if !state.turns.give_up(self.party, ticket) {
                    state.turns.give_back(self.party);
                }
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_up_turn();
        let mut state = self.admission.state();
        let State { accounts, all, .. } = &mut *state;
        for held in [&mut accounts[self.party].held, all] {
            held.requests -= 1;
            held.bytes -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn school(id: &str) -> Organisation {
        Organisation::School(id.parse().unwrap())
    }

    fn admission() -> Arc<Admission> {
        Admission::new(&Limits {
            party_rate: 2,
            party_burst: 4,
            party_concurrency: 1,
            party_waiting: 2,
            concurrency: 2,
            waiting: 4,
            connections: 8,
            connections_per_party: 6,
            bytes_in_flight: 1_000,
            turn: Duration::from_millis(20),
            ..Limits::default()
        })
    }

    fn seat(admission: &Arc<Admission>, id: &str) -> Seat {
        admission.connect(&school(id), Instant::now()).unwrap()
    }

    #[test]
    fn a_party_that_asks_too_often_waits_and_others_do_not() {
        let (admission, start) = (admission(), Instant::now());
        let (one, other) = (seat(&admission, "900001"), seat(&admission, "900002"));
        for _ in 0..4 {
            one.enter(10, start).unwrap();
        }
        assert_eq!(one.enter(10, start).unwrap_err(), EdgeRefusal::TooOften(1));
        // Another connection of the same organisation has the same account.
        let again = seat(&admission, "900001");
        assert_eq!(again.enter(10, start).unwrap_err(), EdgeRefusal::TooOften(1));
        other.enter(10, start).unwrap();
        let later = start + Duration::from_millis(500);
        one.enter(10, later).unwrap();
        one.enter(10, later).unwrap_err();
    }

    #[test]
    fn a_party_holds_no_more_than_its_share() {
        let (admission, start) = (admission(), Instant::now());
        let one = seat(&admission, "900001");
        let first = one.enter(200, start).unwrap();
        let too_many_bytes = one.enter(51, start).unwrap_err();
        assert_eq!(too_many_bytes, EdgeRefusal::TooManyAtOnce(SOON));
        let _second = one.enter(50, start).unwrap();
        drop(first);
        one.enter(200, start).unwrap();
    }

    #[test]
    fn whatever_some_take_there_is_room_for_one_who_asks_for_little() {
        let (admission, start) = (admission(), Instant::now());
        // Six may be under way in all and three of one party.
        let greedy = [seat(&admission, "900001"), seat(&admission, "900002")];
        let mut held = Vec::new();
        let mut refusals = Vec::new();
        for _ in 0..3 {
            for seat in &greedy {
                match seat.enter(0, start) {
                    Ok(room) => held.push(room),
                    Err(refusal) => refusals.push(refusal),
                }
            }
        }
        assert_eq!((held.len(), refusals), (4, vec![EdgeRefusal::Busy(SOON); 2]));
        let modest = seat(&admission, "900003");
        modest.enter(0, start).unwrap();

        // The same of connections: eight in all, six of one.
        let now = Instant::now();
        let more: Vec<_> =
            (0..6).map_while(|_| admission.connect(&school("900001"), now).ok()).collect();
        assert_eq!(more.len(), 2, "as many as are free for all others");
        let refused = admission.connect(&school("900001"), now).unwrap_err();
        assert_eq!(refused, EdgeRefusal::Busy(SOON));
        admission.connect(&school("900004"), now).unwrap();
    }

    #[test]
    fn bytes_in_flight_are_bounded_and_come_back() {
        let (admission, start) = (admission(), Instant::now());
        let seats: Vec<_> = (1..=5).map(|n| seat(&admission, &format!("90000{n}"))).collect();
        let mut held: Vec<_> = seats[..4].iter().map(|s| s.enter(240, start).unwrap()).collect();
        assert_eq!(seats[4].enter(41, start).unwrap_err(), EdgeRefusal::Busy(SOON));
        held.pop();
        seats[4].enter(41, start).unwrap();
        drop(held);
        assert_eq!(admission.state().all.bytes, 0);
    }

    #[test]
    fn large_answers_count_until_they_are_written() {
        let (admission, start) = (Admission::new(&Limits::default()), Instant::now());
        let one = seat(&admission, "900001");
        let share = Limits::default().bytes_in_flight / SHARE_OF_BYTES;
        let (mut first, mut second) = (one.enter(0, start).unwrap(), one.enter(0, start).unwrap());
        let mut small = one.enter(0, start).unwrap();
        assert_eq!(first.answered(share), Ok(()));
        assert_eq!(second.answered(SMALL_ANSWER + 1), Err(EdgeRefusal::Busy(SOON)));
        assert_eq!(small.answered(SMALL_ANSWER), Ok(()));
        drop(first);
        assert_eq!(second.answered(SMALL_ANSWER + 1), Ok(()));
        drop((second, small));
        assert_eq!(admission.state().all, Held { connections: 1, ..Held::default() });
    }

    #[tokio::test]
    async fn a_turn_comes_or_the_wait_ends() {
        let (admission, start) = (admission(), Instant::now());
        let one = seat(&admission, "900001");
        let (mut first, mut second) = (one.enter(0, start).unwrap(), one.enter(0, start).unwrap());
        first.turn(|| unreachable!("asked without need")).await.unwrap();
        let refused = second.turn(|| false).await.unwrap_err();
        assert_eq!(refused, EdgeRefusal::Busy(SOON));
        let waiting = tokio::spawn(async move {
            second.turn(|| true).await.unwrap();
            second
        });
        tokio::task::yield_now().await;
        drop(first);
        let second = waiting.await.unwrap();
        // Whoever is dropped while waiting takes nothing along.
        let mut third = one.enter(0, start).unwrap();
        tokio::select! {
            biased;
            _ = third.turn(|| false) => panic!("two turns at once"),
            () = tokio::task::yield_now() => {}
        }
        drop((second, third));
        let mut last = one.enter(0, start).unwrap();
        last.turn(|| false).await.unwrap();
    }

    #[test]
    fn organisations_that_are_gone_are_forgotten() {
        let admission = admission();
        let now = Instant::now();
        for n in 0..ORGANISATIONS_KEPT + 10 {
            admission.connect(&school(&format!("{}", 100_000 + n)), now).unwrap();
        }
        let state = admission.state();
        assert!(state.accounts.len() <= ORGANISATIONS_KEPT + 1, "{}", state.accounts.len());
        assert!(state.names.len() <= ORGANISATIONS_KEPT);
    }
}
