//! Whose request is answered next: round robin over the parties that wait, so that one that asks for
//! much waits behind itself and nobody else.
//!
//! Within a party what is urgent goes first. Over all parties urgent ones go first too, but after some
//! in a row comes one that is not: neither kind starves the other, and a party that calls everything
//! urgent gains a place in the faster round and none at the cost of another one's urgent request.
//!
//! After every change here one of two things holds: no place is free, or nobody waits who may have it.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

/// So many urgent requests are taken before one that is not, while such a one waits.
const URGENT_IN_A_ROW: u32 = 4;

/// How soon a request wants its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Urgent,
    Usual,
}

/// One that waits, to be taken out again with [`Turns::give_up`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(Lane, u64);

/// The places of requests being answered, and who waits for one. Parties are numbered by the caller.
#[derive(Debug)]
pub(super) struct Turns {
    most: usize,
    most_of_one: usize,
    taken: usize,
    parties: Vec<Line>,
    rounds: [VecDeque<usize>; 2],
    urgent_in_a_row: u32,
    next: u64,
}

#[derive(Debug, Default)]
struct Line {
    taken: usize,
    waiting: [BTreeMap<u64, oneshot::Sender<()>>; 2],
    /// Whether this party stands in the round of a lane; it may stand there with nothing waiting,
    /// and is passed over then.
    in_round: [bool; 2],
}

impl Turns {
    /// At most `most` places in all, `most_of_one` for one party; each at least 1.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            most: most.max(1),
            most_of_one: most_of_one.max(1),
            taken: 0,
            parties: Vec::new(),
            rounds: Default::default(),
            urgent_in_a_row: 0,
            next: 0,
        }
    }

    /// Takes a place at once, if one is free for this party.
    pub(super) fn take(&mut self, party: usize) -> bool {
        if self.parties.len() <= party {
            self.parties.resize_with(party + 1, Line::default);
        }
        let line = &mut self.parties[party];
        let free = self.taken < self.most && line.taken < self.most_of_one;
        if free {
            line.taken += 1;
            self.taken += 1;
        }
        free
    }

    /// Waits for a place, after [`Turns::take`] gave none. When the receiver gets its message, the
    /// place is taken.
    pub(super) fn wait(&mut self, party: usize, lane: Lane) -> (Ticket, oneshot::Receiver<()>) {
        let (grant, granted) = oneshot::channel();
        let ticket = Ticket(lane, self.next);
        self.next += 1;
        let line = &mut self.parties[party];
        line.waiting[lane as usize].insert(ticket.1, grant);
        if !std::mem::replace(&mut line.in_round[lane as usize], true) {
            self.rounds[lane as usize].push_back(party);
        }
        (ticket, granted)
    }

    /// Waits no longer. `false` if the place was given already: it is the caller's to give back.
    pub(super) fn give_up(&mut self, party: usize, ticket: Ticket) -> bool {
        self.parties[party].waiting[ticket.0 as usize].remove(&ticket.1).is_some()
    }

    /// Gives a place back, to whoever is next.
    pub(super) fn give_back(&mut self, party: usize) {
        self.parties[party].taken -= 1;
        self.taken -= 1;
        while self.taken < self.most {
            let urgent_first = self.urgent_in_a_row < URGENT_IN_A_ROW;
            let lanes = match urgent_first {
                true => [Lane::Urgent, Lane::Usual],
                false => [Lane::Usual, Lane::Urgent],
            };
            let Some(lane) = lanes.into_iter().find(|lane| self.serve(*lane)) else { return };
            self.urgent_in_a_row = match lane {
                Lane::Urgent => self.urgent_in_a_row.saturating_add(1),
                Lane::Usual => 0,
            };
        }
    }

    /// Gives one place to the next party of this lane's round that may have one.
    fn serve(&mut self, lane: Lane) -> bool {
        let round = &mut self.rounds[lane as usize];
        // Parties with all their places taken are passed over; there can be most / most_of_one of them.
        for _ in 0..round.len() {
            let Some(party) = round.pop_front() else { return false };
            let line = &mut self.parties[party];
            let waiting = &mut line.waiting[lane as usize];
            if waiting.is_empty() {
                line.in_round[lane as usize] = false;
                continue;
            }
            round.push_back(party);
            if line.taken >= self.most_of_one {
                continue;
            }
            let Some((_, grant)) = waiting.pop_first() else { continue };
            line.taken += 1;
            self.taken += 1;
            // Whoever stopped listening finds with `give_up` that the place is theirs to give back.
            let _ = grant.send(());
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A party's requests by what they hold now.
    struct Asked {
        party: usize,
        place: Option<(Ticket, oneshot::Receiver<()>)>,
    }

    fn ask(turns: &mut Turns, party: usize, lane: Lane) -> Asked {
        let place = if turns.take(party) { None } else { Some(turns.wait(party, lane)) };
        Asked { party, place }
    }

    impl Asked {
        fn has_turn(&mut self) -> bool {
            self.place.as_mut().is_none_or(|(_, granted)| granted.try_recv().is_ok())
        }
    }

    /// In which order waiting requests get their turn while places come back one by one.
    fn order(turns: &mut Turns, mut first: usize, mut waiting: Vec<Asked>) -> Vec<usize> {
        let mut served = Vec::new();
        while !waiting.is_empty() {
            turns.give_back(first);
            let at =
                waiting.iter_mut().position(Asked::has_turn).expect("a free place, and no turn");
            first = waiting.remove(at).party;
            served.push(first);
        }
        served
    }

    #[test]
    fn parties_take_turns_however_much_one_asks() {
        let mut turns = Turns::new(1, 1);
        assert!(turns.take(0));
        let mut waiting: Vec<_> = (0..5).map(|_| ask(&mut turns, 0, Lane::Usual)).collect();
        waiting.push(ask(&mut turns, 1, Lane::Usual));
        waiting.push(ask(&mut turns, 2, Lane::Usual));
        waiting.push(ask(&mut turns, 1, Lane::Usual));
        assert_eq!(order(&mut turns, 0, waiting), [0, 1, 2, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn urgent_ones_go_first_and_others_still_get_their_turn() {
        let mut turns = Turns::new(1, 1);
        assert!(turns.take(9));
        let mut waiting: Vec<_> = (0..2).map(|_| ask(&mut turns, 1, Lane::Usual)).collect();
        waiting.extend((0..10).map(|_| ask(&mut turns, 2, Lane::Urgent)));
        assert_eq!(order(&mut turns, 9, waiting), [2, 2, 2, 2, 1, 2, 2, 2, 2, 1, 2, 2]);
    }

    #[test]
    fn one_party_has_its_share_of_places_and_no_more() {
        let mut turns = Turns::new(3, 2);
        assert!(turns.take(0) && turns.take(0));
        assert!(!turns.take(0), "a third place of one party");
        let mut waits = ask(&mut turns, 0, Lane::Urgent);
        let mut other = ask(&mut turns, 1, Lane::Usual);
        assert!(other.has_turn());
        turns.give_back(1);
        assert!(!waits.has_turn(), "given beyond the share");
        turns.give_back(0);
        assert!(waits.has_turn());
    }

    #[test]
    fn who_gives_up_is_passed_over() {
        let mut turns = Turns::new(1, 1);
        assert!(turns.take(0));
        let mut gone = ask(&mut turns, 1, Lane::Usual);
        let mut next = ask(&mut turns, 2, Lane::Usual);
        let (ticket, _) = gone.place.take().unwrap();
        assert!(turns.give_up(1, ticket));
        turns.give_back(0);
        assert!(next.has_turn());
        let (ticket, _) = next.place.take().unwrap();
        assert!(
            !turns.give_up(2, ticket),
            "the place was given, and is told to be still waited for"
        );
        turns.give_back(2);
        assert_eq!(turns.taken, 0);
    }

    proptest! {
        /// Whatever happens: never more places than there are, never a free one while somebody waits
        /// who may have it, and in the end everybody was served or gave up.
        #[test]
        fn no_place_is_lost_or_given_twice(steps in prop::collection::vec((0..3_u8, 0..4_usize, any::<bool>()), 1..200)) {
            let mut turns = Turns::new(3, 2);
            let (mut waiting, mut running) = (Vec::<Asked>::new(), Vec::<usize>::new());
            for (what, which, urgent) in steps {
                match what {
                    0 => waiting.push(ask(&mut turns, which, if urgent { Lane::Urgent } else { Lane::Usual })),
                    1 if !running.is_empty() => {
                        let party = running.remove(which % running.len());
                        turns.give_back(party);
                    }
                    2 if !waiting.is_empty() => {
                        let mut gone = waiting.remove(which % waiting.len());
                        if let Some((ticket, _)) = gone.place.take() {
                            prop_assert!(turns.give_up(gone.party, ticket));
                        } else {
                            turns.give_back(gone.party);
                        }
                    }
                    _ => {}
                }
                let (served, still) = waiting.into_iter().map(|mut w| (w.has_turn(), w)).partition::<Vec<_>, _>(|(has, _)| *has);
                running.extend(served.into_iter().map(|(_, w)| w.party));
                waiting = still.into_iter().map(|(_, w)| w).collect();
                prop_assert_eq!(turns.taken, running.len());
                let of = |party: usize| running.iter().filter(|r| **r == party).count();
                prop_assert!(running.len() <= 3 && (0..4).all(|p| of(p) <= 2));
                prop_assert!(running.len() == 3 || waiting.iter().all(|w| of(w.party) == 2));
            }
        }
    }
}
