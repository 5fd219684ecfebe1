//! Logs and metrics. Personal data never reaches either: only ids, codes, counts and times.
//!
//! Log lines are written with [`log!`](crate::log), which takes nothing but [`Safe`] values and
//! literal messages, or with `tracing` and no other fields than `tests/architecture.rs` lists. Log
//! lines of other crates, which know nothing of this rule, are not shown.

mod burst;
mod logs;
pub mod metric;
mod safe;

pub use burst::burst;
pub use logs::{AlreadyInstalled, LogFormat, LogLevel, init, writing_to};
pub use metric::{MetricsHandle, install_metrics};
pub use safe::{Safe, shown};

#[doc(hidden)]
pub use tracing;

/// Writes one log line: a level (`error`, `warn`, `info` or `debug`), a literal message, and fields
/// whose values are [`Safe`].
///
/// ```
/// let referral = ecaf::domain::ids::ReferralId::from_bytes([7; 16]);
/// ecaf::log!(info, "accepted", referral = referral, attempts = 1_u32);
/// ```
///
/// Free text does not compile:
///
/// ```compile_fail
/// let name = String::from("a child's name");
/// ecaf::log!(info, "accepted", name = name);
/// ```
#[macro_export]
macro_rules! log {
    ($level:ident, $message:literal $(, $field:ident = $value:expr)* $(,)?) => {
        $crate::telemetry::tracing::$level!(
            $($field = $crate::telemetry::shown(&$value),)* $message
        )
    };
}
