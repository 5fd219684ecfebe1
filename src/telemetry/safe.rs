//! Which values may stand in a log line.

use std::fmt::Display;
use std::time::Duration;

use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Name, Organisation, Party, PersonId, SchoolId, TrustDomain};
use crate::domain::refusal::{Culprit, Rule};
use crate::domain::time::{Date, Timestamp};

/// A value that says nothing about a child, a family or a worker beyond an opaque id: identifiers
/// of the scheme, codes, counts, digests and times. `String` is not one, and must never be.
pub trait Safe {
    /// As it stands in the log line.
    fn shown(&self) -> impl Display;
}

/// The form of a safe value that the log takes.
pub fn shown(value: &(impl Safe + ?Sized)) -> tracing::field::DisplayValue<impl Display> {
    tracing::field::display(value.shown())
}

macro_rules! safe_as_displayed {
    ($($type:ty),* $(,)?) => {$(
        impl Safe for $type {
            fn shown(&self) -> impl Display {
                self
            }
        }
    )*};
}

safe_as_displayed!(
    ReferralId,
    Digest,
    DfeCode,
    Name,
    Organisation,
    Party,
    PersonId,
    SchoolId,
    TrustDomain,
    Timestamp,
    Date,
    bool,
    u8,
    u16,
    u32,
    u64,
    usize,
    i32,
    i64,
);

/// Text of the program itself.
impl Safe for &'static str {
    fn shown(&self) -> impl Display {
        *self
    }
}

/// Rule ids are public and stable.
impl Safe for Rule {
    fn shown(&self) -> impl Display {
        self.id
    }
}

impl Safe for Culprit {
    fn shown(&self) -> impl Display {
        self.as_str()
    }
}

/// In milliseconds.
impl Safe for Duration {
    fn shown(&self) -> impl Display {
        self.as_millis()
    }
}

/// The kind of an operating system's error, not its text, which can hold a path.
impl Safe for std::io::Error {
    fn shown(&self) -> impl Display {
        self.kind()
    }
}

impl<T: Safe> Safe for Option<T> {
    fn shown(&self) -> impl Display {
        match self {
            Some(value) => value.shown().to_string(),
            None => "none".to_owned(),
        }
    }
}

impl<T: Safe> Safe for &T {
    fn shown(&self) -> impl Display {
        (*self).shown()
    }
}
