//! One referral as figures see it: codes and times, nobody's name. It exists in memory only.

use crate::domain::case::Decision;
use crate::domain::clocks::{Class, ClockId};
use crate::domain::party::DfeCode;
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::time::Timestamp;

/// A referral.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When the exchange recorded it.
    pub recorded_at: Timestamp,
    /// The authority in whose area the sending school is, if the document can be read.
    pub school_area: Option<DfeCode>,
    /// The authority that it was routed to.
    pub first_authority: DfeCode,
    /// The accountable one at the end.
    pub holder: DfeCode,
    /// Of the newest version.
    pub urgency: Urgency,
    /// Of the newest version.
    pub request_type: RequestType,
    /// Until it was stored at the accountable authority, in milliseconds.
    pub stored_after: Option<i64>,
    /// Until a person had opened it.
    pub opened_after: Option<i64>,
    /// Until a named social worker had acknowledged it.
    pub acknowledged_after: Option<i64>,
    /// Until every child was decided.
    pub decided_after: Option<i64>,
    /// Whether it was passed on.
    pub passing: Passing,
    /// Whether the school disagreed.
    pub disagreed: bool,
    /// How it ended.
    pub ending: Ending,
    /// Its clocks.
    pub clocks: Vec<ClockRecord>,
    /// Its children.
    pub children: Vec<Child>,
    /// Whether the newest document could be read: without it nothing is known of the children.
    pub readable: bool,
    /// Whether the documents of its decisions and closings could be read: else a primary need may stand
    /// in one that is not known.
    pub answers_readable: bool,
}

/// Whether a referral was passed on to another authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Passing {
    /// Another authority took it over.
    PassedOn,
    /// That was proposed, and has not happened.
    Proposed,
    /// No.
    No,
}

/// How a referral stands at the end of what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// Somebody works on it.
    Open,
    /// Every child's case is closed.
    Closed,
    /// Taken back by the school.
    Withdrawn,
}

/// One clock of a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockRecord {
    /// Which.
    pub id: ClockId,
    /// Where its limit comes from.
    pub class: Class,
    /// Who was waited for the longest; `None` is a school or the exchange.
    pub authority: Option<DfeCode>,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether nothing is waited for any more.
    pub stopped: bool,
}

/// What became of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Met by its limit.
    InTime,
    /// The limit passed first.
    Breached,
    /// It has not come to its limit yet.
    Running,
    /// Nothing was waited for any more.
    Ended,
}

/// A child of a referral.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Child {
    /// Ethnicity, in the codes of the children in need census; empty if not said.
    pub ethnicity: String,
    /// Categories of abuse, of the concerns that name this child.
    pub abuse: Vec<String>,
    /// Factors, likewise.
    pub factors: Vec<String>,
    /// The last decision.
    pub decision: Option<Decision>,
    /// Primary need, in the census's code: the authority's last word. Empty if it has said none.
    pub need: String,
    /// What tells this child from others in memory: never written anywhere.
    pub key: Option<u64>,
    /// Whether another referral of this child was recorded in the twelve months before.
    pub again: bool,
}
