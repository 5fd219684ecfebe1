//! How long documents are kept: retention periods, and what must be true before one is erased.
//!
//! A document belongs to the calendar month (UTC) in which it was accepted. Months rather than
//! quarters: what is due for erasure waits at most a month longer than it must, one destroyed or
//! leaked key concerns a twelfth of a year, and ten years are still only 120 keys.

use std::fmt;
use std::str::FromStr;

use super::time::{DAY, Date, Timestamp};

/// A retention period: one calendar month in UTC. Written `2026-11`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    year: i32,
    month: u8,
}

impl Period {
    /// The period of an instant.
    pub const fn of(at: Timestamp) -> Self {
        let date = at.utc_date();
        Self { year: date.year(), month: date.month() }
    }

    /// The period after this one.
    pub const fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1 },
            month => Self { year: self.year, month: month + 1 },
        }
    }

    /// The period that many months later (or earlier, below zero).
    pub const fn plus_months(self, months: i32) -> Self {
        let index = self.year * 12 + self.month as i32 - 1 + months;
        Self { year: index.div_euclid(12), month: index.rem_euclid(12) as u8 + 1 }
    }

    /// Its first instant.
    pub fn starts(self) -> Timestamp {
        // Beyond the calendar's years 1 to 9999, the end of time on that side: what is kept for longer
        // than the calendar lasts is never due.
        let beyond = if self.year > 0 { i64::MAX } else { i64::MIN };
        Date::new(self.year, self.month, 1)
            .map_or(Timestamp::from_millis(beyond), Date::midnight_utc)
    }

    /// The first instant after it.
    pub fn ends(self) -> Timestamp {
        self.next().starts()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a month such as `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPeriod;

impl fmt::Display for NotAPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a month such as 2026-11")
    }
}

impl std::error::Error for NotAPeriod {}

impl FromStr for Period {
    type Err = NotAPeriod;

    fn from_str(text: &str) -> Result<Self, NotAPeriod> {
        let first: Date = format!("{text}-01").parse().map_err(|_| NotAPeriod)?;
        Ok(Self { year: first.year(), month: first.month() })
    }
}

/// Why a document can no longer be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErasureReason {
    /// Its retention period came to its end and the period's key was destroyed.
    Retention,
    /// Wrong child or wrong recipient: suppressed at once.
    Misidentified,
    /// The key it lay under was replaced and then retired; only an older backup still has it so.
    KeyRetired,
}

impl ErasureReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Retention, Self::Misidentified, Self::KeyRetired];

    /// As written in stores, key rings and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErasureReason::Retention => "retention",
            ErasureReason::Misidentified => "misidentified",
            ErasureReason::KeyRetired => "key_retired",
        }
    }

    /// By its written name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// For a person: what happened to the document.
    pub const fn words(self) -> &'static str {
        match self {
            ErasureReason::Retention => "erased at the end of its retention period",
            ErasureReason::Misidentified => "erased because it named the wrong child or recipient",
            ErasureReason::KeyRetired => "not readable any more: its key was replaced and retired",
        }
    }
}

/// When and why a document became unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Erasure {
    /// When its key was destroyed or its tombstone set.
    pub at: Timestamp,
    /// Why.
    pub why: ErasureReason,
}

impl fmt::Display for Erasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.why.words(), self.at.utc_date())
    }
}

/// Everything that decides whether a referral's documents may be erased at the end of their period.
/// The one place through which later parts of the exchange will say what they know: a transfer, a
/// dispute or a disagreement that is open is a hold, "filed in the case system" is the closure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionFacts {
    /// Deliveries that are neither stored at their authority nor handed over by hand.
    pub unsettled: u32,
    /// When the referral was marked as closed: every child decided, filed in the case system.
    pub closed_at: Option<Timestamp>,
    /// When its newest version was accepted: a closure before it does not count any more.
    pub newest_version_at: Option<Timestamp>,
    /// Holds that were not released.
    pub holds: u32,
}

/// Why a document is carried forward instead of erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeptBecause {
    /// A delivery is held, under way or undeliverable.
    Unsettled,
    /// Nobody has said that the case is closed and filed, or a version came after that.
    Open,
    /// Somebody holds it: a court, a dispute, a transfer under way.
    Held,
}

impl KeptBecause {
    /// For listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeptBecause::Unsettled => "a delivery is not settled",
            KeptBecause::Open => "the case is not closed",
            KeptBecause::Held => "it is on hold",
        }
    }
}

impl RetentionFacts {
    /// Whether the documents may be erased: every delivery settled, the case closed after its newest
    /// version, no hold. The first thing that speaks against it otherwise.
    pub fn may_be_erased(self) -> Result<(), KeptBecause> {
        let closed = self.closed_at.is_some() && self.closed_at >= self.newest_version_at;
        match self {
            RetentionFacts { unsettled: 1.., .. } => Err(KeptBecause::Unsettled),
            RetentionFacts { holds: 1.., .. } => Err(KeptBecause::Held),
            _ if !closed => Err(KeptBecause::Open),
            _ => Ok(()),
        }
    }
}

/// How long things are kept, as the operator decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Whole months that a period is kept after its end, at least.
    pub keep_months: u32,
    /// The oldest backup of the key ring that is kept, in days: so long after a key was destroyed
    /// somebody could still bring it back.
    pub ring_backup_days: u32,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { keep_months: 12, ring_backup_days: 30 }
    }
}

impl RetentionPolicy {
    /// The first instant at which a period may be erased.
    pub fn due(self, period: Period) -> Timestamp {
        // More months than the calendar has are as good as all of them.
        let months = self.keep_months.min(12 * 10_000) as i32;
        period.plus_months(months).ends()
    }

    /// When an erasure at `at` is complete: the last backup of the key ring with the key is gone.
    pub fn complete(self, at: Timestamp) -> Timestamp {
        at.plus(i64::from(self.ring_backup_days) * DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_is_a_month_in_utc() {
        let december: Period = "2026-12".parse().unwrap();
        assert_eq!(Period::of(at("2026-12-31T23:59:59.999Z")), december);
        assert_eq!(Period::of(at("2027-01-01T00:00:00Z")), december.next());
        assert_eq!(december.next().to_string(), "2027-01");
        assert_eq!((december.starts(), december.ends()).0, at("2026-12-01T00:00:00Z"));
        assert_eq!(december.ends(), december.next().starts());
        assert_eq!(december.plus_months(13).to_string(), "2028-01");
        assert_eq!(december.plus_months(-12).to_string(), "2025-12");
        for bad in ["", "2026", "2026-13", "2026-1", "2026-11-01", "november"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_must_be_true_before_a_document_is_erased() {
        let (early, late) = (Some(at("2026-11-02T00:00:00Z")), Some(at("2026-11-03T00:00:00Z")));
        let facts = |unsettled, closed_at, newest_version_at, holds| RetentionFacts {
            unsettled,
            closed_at,
            newest_version_at,
            holds,
        };
        for (facts, expected) in [
            (facts(0, late, early, 0), Ok(())),
            (facts(0, early, early, 0), Ok(())),
            (facts(1, late, early, 0), Err(KeptBecause::Unsettled)),
            (facts(9, None, None, 3), Err(KeptBecause::Unsettled)),
            (facts(0, late, early, 1), Err(KeptBecause::Held)),
            (facts(0, None, early, 1), Err(KeptBecause::Held)),
            (facts(0, None, early, 0), Err(KeptBecause::Open)),
            (facts(0, None, None, 0), Err(KeptBecause::Open)),
            (facts(0, early, late, 0), Err(KeptBecause::Open)),
        ] {
            assert_eq!(facts.may_be_erased(), expected, "{facts:?}");
        }
    }

    #[test]
    fn due_and_complete() {
        let policy = RetentionPolicy { keep_months: 12, ring_backup_days: 30 };
        let period: Period = "2025-10".parse().unwrap();
        assert_eq!(policy.due(period), at("2026-11-01T00:00:00Z"));
        assert_eq!(policy.complete(at("2026-11-02T00:00:00Z")), at("2026-12-02T00:00:00Z"));
    }

    #[test]
    fn what_is_kept_for_longer_than_the_calendar_is_never_due() {
        let period: Period = "2026-11".parse().unwrap();
        for keep_months in [12 * 8_000, i32::MAX as u32, u32::MAX] {
            let policy = RetentionPolicy { keep_months, ring_backup_days: 30 };
            assert_eq!(policy.due(period), Timestamp::from_millis(i64::MAX), "{keep_months}");
        }
    }

    #[test]
    fn reasons_have_one_name_each() {
        for reason in ErasureReason::ALL {
            assert_eq!(ErasureReason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(ErasureReason::from_name("because"), None);
    }

    #[test]
    fn what_a_person_reads_about_an_erasure() {
        let erasure = Erasure { at: at("2026-11-03T23:00:00Z"), why: ErasureReason::Retention };
        assert_eq!(erasure.to_string(), "erased at the end of its retention period (2026-11-03)");
        assert_eq!(
            ErasureReason::ALL.map(ErasureReason::as_str),
            ["retention", "misidentified", "key_retired"]
        );
        let words = ErasureReason::ALL.map(ErasureReason::words);
        assert!(words[1].contains("wrong child") && words[2].contains("key was replaced"));
        let kept = [KeptBecause::Unsettled, KeptBecause::Open, KeptBecause::Held];
        assert_eq!(
            kept.map(KeptBecause::as_str),
            ["a delivery is not settled", "the case is not closed", "it is on hold"]
        );
    }

    #[test]
    fn a_period_is_shown_as_it_is_written() {
        let period: Period = "0987-06".parse().unwrap();
        assert_eq!(format!("{period} {period:?}"), "0987-06 0987-06");
        assert_eq!(NotAPeriod.to_string(), "not a month such as 2026-11");
        let last: Period = "9999-12".parse().unwrap();
        assert_eq!(last.ends(), Timestamp::from_millis(i64::MAX), "no calendar goes so far");
        assert_eq!(period.plus_months(-12 * 987).starts(), Timestamp::from_millis(i64::MIN));
    }

    #[test]
    fn a_year_and_a_month_of_backups_by_default() {
        let policy = RetentionPolicy::default();
        assert_eq!((policy.keep_months, policy.ring_backup_days), (12, 30));
    }
}
