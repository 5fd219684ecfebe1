//! The life of one delivery: states, retries, giving up, and the circuit breaker per authority.
//!
//! Values only. Whoever stores a delivery and whoever works on it follow the same rules here; time
//! and randomness are arguments.

use crate::domain::time::{DAY, MINUTE, SECOND, Timestamp};

/// A delivery that is not stored at its authority after this many milliseconds is *delayed*, and the
/// school is told to ring.
pub const DELAYED_AFTER_MS: i64 = 5 * MINUTE;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Held by the exchange, waiting for an attempt.
    Held,
    /// A worker is trying right now.
    Leased,
    /// The authority has it and its receipt is stored.
    Delivered,
    /// Given up; an operator may replay it.
    Undeliverable,
    /// Handed over outside the exchange.
    ByHand,
}

/// What can happen to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// A worker takes it.
    Leased,
    /// The authority's verified receipt is stored.
    Delivered,
    /// An attempt failed, or its worker vanished; there will be another.
    Postponed,
    /// No further attempt will be made.
    GaveUp,
    /// An operator wants it tried again.
    Replayed,
    /// Somebody handed it over outside the exchange.
    HandedOver,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Held, Self::Leased, Self::Delivered, Self::Undeliverable, Self::ByHand];

    /// As written in the store and in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Held => "held",
            State::Leased => "leased",
            State::Delivered => "delivered",
            State::Undeliverable => "undeliverable",
            State::ByHand => "by_hand",
        }
    }

    /// By its written name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The state after `event`; `None` if that cannot happen here.
    pub const fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (State::Held, Event::Leased) => Some(State::Leased),
            (State::Leased, Event::Delivered) => Some(State::Delivered),
            (State::Leased, Event::Postponed) => Some(State::Held),
            (State::Leased, Event::GaveUp) => Some(State::Undeliverable),
            (State::Undeliverable, Event::Replayed) => Some(State::Held),
            (State::Held | State::Undeliverable, Event::HandedOver) => Some(State::ByHand),
            _ => None,
        }
    }

    /// Whether the exchange still works on it.
    pub const fn is_open(self) -> bool {
        matches!(self, State::Held | State::Leased)
    }

    /// Whether the authority still lacks it though it was recorded five minutes ago or more.
    pub fn is_delayed(self, recorded_at: Timestamp, now: Timestamp) -> bool {
        self.is_open() && now.since(recorded_at) >= DELAYED_AFTER_MS
    }
}

/// When to try again, and when to stop trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first failed attempt, in milliseconds.
    pub base_ms: i64,
    /// The wait doubles with each attempt up to this, in milliseconds.
    pub max_ms: i64,
    /// Give up when this long has passed since the first attempt, in milliseconds.
    pub give_up_after_ms: i64,
}

impl Default for RetryPolicy {
    /// 1 second doubling to 5 minutes; seven days, so that an authority that is switched off over
    /// the longest run of public holidays (Good Friday to Easter Monday, Christmas with a weekend)
    /// still gets everything by itself. People are told to ring after five minutes in any case.
    fn default() -> Self {
        Self { base_ms: SECOND, max_ms: 5 * MINUTE, give_up_after_ms: 7 * DAY }
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again then.
    RetryAt(Timestamp),
    /// Stop trying.
    GiveUp,
}

impl RetryPolicy {
    /// The wait after failed attempt number `attempt` (from 1), in milliseconds: between half of the
    /// exponential step and all of it, by `jitter` (any random number), so that what failed together
    /// does not come back together.
    pub fn wait_ms(&self, attempt: u32, jitter: u64) -> i64 {
        let doublings = attempt.saturating_sub(1).min(62);
        let step = self.base_ms.max(1).saturating_mul(1i64 << doublings);
        let step = step.min(self.max_ms.max(1));
        let half = step / 2;
        // 0 ..= step - half, without overflow: step - half is at least 1.
        let spread = (step - half).unsigned_abs() + 1;
        half + i64::try_from(jitter % spread).unwrap_or(0)
    }

    /// What follows failed attempt number `attempt` at `now`.
    pub fn next(
        &self,
        attempt: u32,
        first_tried_at: Timestamp,
        now: Timestamp,
        jitter: u64,
    ) -> Next {
        if now.since(first_tried_at) >= self.give_up_after_ms {
            return Next::GiveUp;
        }
        Next::RetryAt(now.plus(self.wait_ms(attempt, jitter).max(1)))
    }
}

/// When a circuit breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it, at least 1.
    pub failures: u32,
    /// How long it stays open the first time, in milliseconds; doubles while probes fail.
    pub open_ms: i64,
    /// The longest it stays open, in milliseconds.
    pub max_open_ms: i64,
    /// A probe that has not reported after this many milliseconds counts as lost, and another may go.
    pub probe_ms: i64,
}

impl Default for BreakerPolicy {
    /// Five failures; 2 seconds doubling to 1 minute, so that an authority that comes back is found
    /// well before anything addressed to it becomes delayed; a probe has 30 seconds.
    fn default() -> Self {
        Self { failures: 5, open_ms: 2 * SECOND, max_open_ms: MINUTE, probe_ms: 30 * SECOND }
    }
}

/// The circuit breaker of one authority: after failures in a row nothing is sent for a while, then
/// one attempt probes whether it is back. It spares the authority and us; correctness never depends
/// on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    policy: BreakerPolicy,
    circuit: Circuit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    Closed { failures: u32 },
    Open { until: Timestamp, open_ms: i64 },
    HalfOpen { probe_lost_at: Timestamp, open_ms: i64 },
}

impl Breaker {
    /// A closed one.
    pub const fn new(policy: BreakerPolicy) -> Self {
        Self { policy, circuit: Circuit::Closed { failures: 0 } }
    }

    /// From when on an attempt would be admitted; `None` means any time.
    pub const fn blocked_until(&self) -> Option<Timestamp> {
        match self.circuit {
            Circuit::Closed { .. } => None,
            Circuit::Open { until, .. } => Some(until),
            Circuit::HalfOpen { probe_lost_at, .. } => Some(probe_lost_at),
        }
    }

    /// Whether an attempt would be admitted now. Changes nothing.
    pub fn would_admit(&self, now: Timestamp) -> bool {
        self.blocked_until().is_none_or(|until| until <= now)
    }

    /// Asks to make an attempt now. Once open, admits one probe at a time.
    pub fn admit(&mut self, now: Timestamp) -> bool {
        if !self.would_admit(now) {
            return false;
        }
        if let Circuit::Open { open_ms, .. } | Circuit::HalfOpen { open_ms, .. } = self.circuit {
            let probe_lost_at = now.plus(self.policy.probe_ms.max(1));
            self.circuit = Circuit::HalfOpen { probe_lost_at, open_ms };
        }
        true
    }

    /// An attempt got an answer, of whatever kind: the authority is there.
    pub fn succeeded(&mut self) {
        self.circuit = Circuit::Closed { failures: 0 };
    }

    /// An attempt got no answer.
    pub fn failed(&mut self, now: Timestamp) {
        self.circuit = match self.circuit {
            Circuit::Closed { failures } if failures + 1 < self.policy.failures => {
                Circuit::Closed { failures: failures + 1 }
            }
            Circuit::Closed { .. } => self.open(now, self.policy.open_ms),
            Circuit::HalfOpen { open_ms, .. } => self.open(now, open_ms.saturating_mul(2)),
            // Attempts that began before it opened say nothing new.
            open @ Circuit::Open { .. } => open,
        };
    }

    fn open(&self, now: Timestamp, open_ms: i64) -> Circuit {
        let open_ms = open_ms.clamp(1, self.policy.max_open_ms.max(1));
        Circuit::Open { until: now.plus(open_ms), open_ms }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::time::HOUR;

    const EVENTS: [Event; 6] = [
        Event::Leased,
        Event::Delivered,
        Event::Postponed,
        Event::GaveUp,
        Event::Replayed,
        Event::HandedOver,
    ];

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn names_round_trip() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
        }
        assert_eq!(State::from_name("accepted"), None);
    }

    #[test]
    fn delivered_and_by_hand_are_final_and_only_a_lease_delivers() {
        for state in State::ALL {
            for event in EVENTS {
                let after = state.after(event);
                if matches!(state, State::Delivered | State::ByHand) {
                    assert_eq!(after, None, "{state:?} {event:?}");
                }
                if after == Some(State::Delivered) {
                    assert_eq!((state, event), (State::Leased, Event::Delivered));
                }
            }
        }
    }

    #[test]
    fn delayed_means_five_minutes_without_a_receipt() {
        let recorded = at(1_000);
        assert!(!State::Held.is_delayed(recorded, recorded.plus(5 * MINUTE - 1)));
        assert!(State::Held.is_delayed(recorded, recorded.plus(5 * MINUTE)));
        assert!(State::Leased.is_delayed(recorded, recorded.plus(HOUR)));
        assert!(!State::Delivered.is_delayed(recorded, recorded.plus(HOUR)));
    }

    #[test]
    fn a_breaker_opens_probes_once_and_closes() {
        let policy = BreakerPolicy { failures: 3, open_ms: 100, max_open_ms: 300, probe_ms: 50 };
        let mut breaker = Breaker::new(policy);
        breaker.failed(at(0));
        breaker.failed(at(0));
        breaker.succeeded();
        for _ in 0..2 {
            breaker.failed(at(10));
            assert!(breaker.admit(at(10)));
        }
        breaker.failed(at(10));
        assert!(!breaker.admit(at(109)));
        assert!(breaker.would_admit(at(110)) && breaker.admit(at(110)));
        assert!(!breaker.admit(at(110)), "one probe at a time");
        assert!(breaker.admit(at(160)), "a lost probe makes room for another");
        breaker.failed(at(160));
        assert_eq!(breaker.blocked_until(), Some(at(360)), "twice as long");
        breaker.failed(at(200));
        assert_eq!(breaker.blocked_until(), Some(at(360)), "a straggler says nothing new");
        assert!(breaker.admit(at(360)));
        breaker.failed(at(360));
        assert_eq!(breaker.blocked_until(), Some(at(660)), "never longer than the maximum");
        assert!(breaker.admit(at(660)));
        breaker.succeeded();
        assert!(breaker.admit(at(660)) && breaker.admit(at(660)));
    }

    proptest! {
        #[test]
        fn waits_stay_between_half_a_step_and_the_step(
            base in 1i64..100_000, factor in 1i64..1_000, attempt in 1u32.., jitter: u64,
        ) {
            let policy = RetryPolicy { base_ms: base, max_ms: base * factor, give_up_after_ms: DAY };
            let wait = policy.wait_ms(attempt, jitter);
            let step = base.saturating_mul(1i64 << (attempt - 1).min(40)).min(base * factor);
            prop_assert!(step / 2 <= wait && wait <= step, "{wait} of {step}");
        }

        #[test]
        fn any_policy_goes_forward_and_ends(
            base: i64, max: i64, give_up: i64, attempt: u32, first in 0i64..1 << 50,
            later in 0i64..1 << 50, jitter: u64,
        ) {
            let policy = RetryPolicy { base_ms: base, max_ms: max, give_up_after_ms: give_up };
            let (first, now) = (at(first), at(first + later));
            match policy.next(attempt, first, now, jitter) {
                Next::RetryAt(next) => prop_assert!(next > now && later < give_up),
                Next::GiveUp => prop_assert!(later >= give_up),
            }
        }

        /// Whatever happens, a breaker admits again once its authority has been left alone for the
        /// longest time that it may stay open or a probe may take; and while blocked it admits none.
        #[test]
        fn a_breaker_never_locks_an_authority_out(
            steps in proptest::collection::vec((0u8..3, 0i64..5_000), 0..200),
        ) {
            let policy =
                BreakerPolicy { failures: 3, open_ms: 100, max_open_ms: 2_000, probe_ms: 700 };
            let mut breaker = Breaker::new(policy);
            let mut now = at(0);
            for (what, passes) in steps {
                now = now.plus(passes);
                match what {
                    0 => {
                        let blocked = breaker.blocked_until().is_some_and(|until| until > now);
                        prop_assert_eq!(breaker.admit(now), !blocked);
                    }
                    1 => breaker.failed(now),
                    _ => breaker.succeeded(),
                }
                prop_assert!(breaker.would_admit(now.plus(2_000)));
            }
        }
    }

    #[test]
    fn each_state_allows_what_is_written_and_nothing_else() {
        use {Event as E, State as S};
        for state in State::ALL {
            for event in EVENTS {
                let allowed = match (state, event) {
                    (S::Held, E::Leased) => Some(S::Leased),
                    (S::Held, E::HandedOver) => Some(S::ByHand),
                    (S::Leased, E::Delivered) => Some(S::Delivered),
                    (S::Leased, E::Postponed) => Some(S::Held),
                    (S::Leased, E::GaveUp) => Some(S::Undeliverable),
                    (S::Undeliverable, E::Replayed) => Some(S::Held),
                    (S::Undeliverable, E::HandedOver) => Some(S::ByHand),
                    _ => None,
                };
                assert_eq!(state.after(event), allowed, "{state:?} {event:?}");
            }
        }
        assert_eq!(State::ALL.map(State::is_open), [true, true, false, false, false]);
        assert_eq!(
            State::ALL.map(State::as_str),
            ["held", "leased", "delivered", "undeliverable", "by_hand"]
        );
    }

    #[test]
    fn the_wait_doubles_up_to_the_longest_and_jitter_takes_off_up_to_half() {
        let policy = RetryPolicy { base_ms: 100, max_ms: 1_000, give_up_after_ms: DAY };
        assert_eq!(
            (1..=5).map(|n| policy.wait_ms(n, 0)).collect::<Vec<_>>(),
            [50, 100, 200, 400, 500]
        );
        assert_eq!(policy.wait_ms(1, 50), 100, "the whole step");
        assert_eq!(policy.wait_ms(1, 51), 50, "and round again");
        assert_eq!(policy.wait_ms(0, 0), 50, "as the first");
        assert_eq!(policy.wait_ms(u32::MAX, 0), 500);
        assert_eq!(policy.next(2, at(0), at(7), 3), Next::RetryAt(at(110)));
        assert_eq!(policy.next(2, at(0), at(DAY - 1), 0), Next::RetryAt(at(DAY + 99)));
        assert_eq!(policy.next(2, at(0), at(DAY), 0), Next::GiveUp);
    }

    #[test]
    fn defaults_are_those_documented() {
        let retry = RetryPolicy::default();
        let lengths = (retry.base_ms, retry.max_ms, retry.give_up_after_ms);
        assert_eq!(lengths, (1_000, 300_000, 604_800_000));
        let breaker = BreakerPolicy::default();
        assert_eq!(breaker.failures, 5);
        assert_eq!(
            (breaker.open_ms, breaker.max_open_ms, breaker.probe_ms),
            (2_000, 60_000, 30_000)
        );
    }
}
