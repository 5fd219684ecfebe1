//! The clocks of a referral: what must happen by when, whether it did, and whom to ask next.
//!
//! Everything follows from the facts of a thread, the calendars of its parties and the time: nothing
//! is stored, so a restart, a second gateway or a late reader comes to the same answer. A fact that
//! comes later never takes back a breach. `.docs/clocks.md` has the rules with worked examples, which
//! a test holds to this code.
//!
//! | file | owns |
//! |---|---|
//! | `id` | the clocks, their classes, what each is called |
//! | `limit` | how long each may take, and when it ends |
//! | `ladder` | who is asked when it does not |
//! | `fact` | what happens in a thread, as far as a clock depends on it |
//! | `delivery`, `answer`, `case`, `transfer`, `disagreement`, `school`, `reminder` | which facts start and stop which clock |
//! | `clock` | one clock at one instant |
//! | `held` | which authority held the referral when |
//! | `attention` | who is waited for, derived from all of it |

mod answer;
mod attention;
mod case;
mod clock;
mod delivery;
mod disagreement;
mod fact;
mod held;
mod id;
mod ladder;
mod limit;
mod notify;
mod reminder;
mod school;
mod transfer;
mod view;

#[cfg(test)]
mod tests;

pub use attention::{Attention, Reading, Waiting, read};
pub use clock::{About, Clock, Mark, State, WhyEnded};
pub use fact::{Dispatch, Fact, Setting, Step, Thread, What};
pub use held::{Held, Segment, held_between, segments};
pub use id::{Class, ClockId};
pub use ladder::{Role, Rung, Turn, ladder};
pub use limit::{
    Limit, LimitError, PROMISED, Profile, home_time_limit, is_promise, standard_limit,
};
pub use notify::{Tell, tell};
