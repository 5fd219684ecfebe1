//! Figures over many referrals, and what of them may be published.
//!
//! | file | owns |
//! |---|---|
//! | `record` | one referral as figures see it: codes and times |
//! | `tables` | what is counted |
//! | `beside` | the same of what is no referral: notices, consultations, hand-overs |
//! | `protect` | what of a count is shown, so that no small one follows from what is |
//! | `publish` | the public figures of a quarter, and of several together |
//! | `quantile` | medians and the like, exact and as classes |
//! | `period` | quarters, and from when on one never changes any more |
//!
//! `.docs/statistics.md` has the method, its proof and its sources.

mod beside;
mod period;
mod protect;
mod publish;
mod quantile;
mod record;
mod tables;

#[cfg(test)]
mod tests;

pub use beside::{Beside, Kind, Means, answers, beside};
pub use period::{NotQuarters, Quarter, quarters};
pub use protect::{BASE, Figure, SMALL, Share, protect, share};
pub use publish::{Published, ShownClock, ShownTable, ShownTimes, publish, together};
pub use quantile::{Class, MEDIAN_FROM, P90_FROM, class, quantile};
pub use record::{Child, ClockRecord, Ending, Outcome, Passing, Record};
pub use tables::{ClockCount, Form, Lists, Row, Table, Times, Unit, again, clocks, tables, times};
