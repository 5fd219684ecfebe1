//! How often somebody may do something: so many a second on average, so many at once (a token bucket).

use tokio::time::Instant;

/// A rate, the same for all that it is measured for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    a_second: f64,
    at_once: f64,
}

impl Rate {
    /// `a_second` on average, `at_once` in a burst; each at least 1.
    pub(super) fn new(a_second: u32, at_once: u32) -> Self {
        Self { a_second: f64::from(a_second.max(1)), at_once: f64::from(at_once.max(1)) }
    }
}

/// What somebody has left of a [`Rate`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// Nothing used yet.
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.at_once, at: now }
    }

    /// Uses one; or the whole seconds, at least 1, after which there is one again.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), u32> {
        self.left = self.left_at(rate, now);
        self.at = now;
        if self.left < 1.0 {
            let wait = ((1.0 - self.left) / rate.a_second).ceil();
            return Err((wait as u32).max(1));
        }
        self.left -= 1.0;
        Ok(())
    }

    /// Whether it may be forgotten: a new one would be the same.
    pub(super) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.left_at(rate, now) >= rate.at_once
    }

    fn left_at(&self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + passed * rate.a_second).min(rate.at_once)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let (rate, start) = (Rate::new(2, 3), Instant::now());
        let mut left = Allowance::full(rate, start);
        for _ in 0..3 {
            left.take(rate, start).unwrap();
        }
        assert_eq!(left.take(rate, start), Err(1));
        let later = start + Duration::from_millis(500);
        left.take(rate, later).unwrap();
        assert_eq!(left.take(rate, later), Err(1));
        assert!(!left.is_full(rate, later));
        assert!(left.is_full(rate, later + Duration::from_secs(2)));
        let mut slow = Allowance::full(Rate::new(1, 1), start);
        slow.left = -4.5;
        assert_eq!(slow.take(Rate::new(1, 1), start), Err(6), "whole seconds, rounded up");
    }
}
