//! One log line for a burst of the same: whoever can make us write a line as often as they like could
//! fill the disk, and hide what matters. Metrics count every one.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// After a line, the next one about the same is written after this at the earliest.
const QUIET: Duration = Duration::from_secs(10);
/// Pairs of what and who remembered; beyond, all others have one line together.
const REMEMBERED: usize = 1_024;

/// Whether a line about `what` that `who` did shall be written now: then, how many were left out since
/// the last one. `who` only tells bursts of different parties apart and is kept as a hash.
pub fn burst(what: &'static str, who: impl Hash, now: Instant) -> Option<u64> {
    static BURSTS: OnceLock<Bursts> = OnceLock::new();
    BURSTS.get_or_init(Bursts::default).line(what, who, now)
}

#[derive(Debug, Default)]
struct Bursts(Mutex<HashMap<(&'static str, u64), Burst>>);

#[derive(Debug)]
struct Burst {
    written: Instant,
    left_out: u64,
}

impl Bursts {
    fn line(&self, what: &'static str, who: impl Hash, now: Instant) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        who.hash(&mut hasher);
        let mut key = (what, hasher.finish());
        let mut bursts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bursts.len() >= REMEMBERED && !bursts.contains_key(&key) {
            let over = |burst: &Burst| now.saturating_duration_since(burst.written) >= QUIET;
            bursts.retain(|_, burst| !(over(burst) && burst.left_out == 0));
            if bursts.len() >= REMEMBERED {
                bursts.retain(|_, burst| !over(burst));
            }
            if bursts.len() >= REMEMBERED {
                key.1 = 0;
            }
        }
        match bursts.get_mut(&key) {
            Some(burst) if now.saturating_duration_since(burst.written) < QUIET => {
                burst.left_out += 1;
                None
            }
            Some(burst) => {
                burst.written = now;
                Some(std::mem::take(&mut burst.left_out))
            }
            None => {
                bursts.insert(key, Burst { written: now, left_out: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_then_silence_then_the_number() {
        let (bursts, start) = (Bursts::default(), Instant::now());
        assert_eq!(bursts.line("a", 1, start), Some(0));
        for n in 0..1_000 {
            assert_eq!(bursts.line("a", 1, start + Duration::from_millis(n)), None);
        }
        assert_eq!(bursts.line("a", 2, start), Some(0), "another party");
        assert_eq!(bursts.line("b", 1, start), Some(0), "another reason");
        assert_eq!(bursts.line("a", 1, start + QUIET), Some(1_000));
        assert_eq!(bursts.line("a", 1, start + 2 * QUIET), Some(0));
    }

    #[test]
    fn however_many_there_are_few_lines_come_of_it() {
        let (bursts, start) = (Bursts::default(), Instant::now());
        let lines = (0..100_000).filter(|who| bursts.line("a", who, start).is_some()).count();
        assert_eq!(lines, REMEMBERED + 1);
        assert_eq!(bursts.0.lock().unwrap().len(), REMEMBERED + 1);
        let later = start + QUIET;
        assert_eq!(bursts.line("a", "new", later), Some(0), "those that are over are forgotten");
    }
}
