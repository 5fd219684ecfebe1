//! The life of one delivery: states, retries, giving up, and the circuit breaker per authority.

/// A delivery that is not stored at its authority after this many milliseconds is *delayed*, and the
/// school is told to ring.
pub const DELAYED_AFTER_MS: i64 = 5 * crate::domain::time::MINUTE;

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
}
