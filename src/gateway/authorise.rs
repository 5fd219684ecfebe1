//! Step 3: [`Authentic`] becomes [`Authorised`]: the directory lists the school, and its submissions
//! are proved in the way that the directory says.

use std::sync::Arc;

use crate::domain::directory::{Directory, Signing};
use crate::domain::party::{DfeCode, Name};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;

use super::authenticate::{Authentic, Backing};

/// The school is not in the directory now.
pub const UNKNOWN_SCHOOL: Rule = Rule {
    id: "directory.unknown-school",
    title: "this school is not enrolled in the directory",
    action: "Ring the authority now; ask the scheme's operator to enrol the school.",
};
/// The directory wants a signature.
pub const MUST_SIGN: Rule = Rule {
    id: "directory.must-sign",
    title: "this school signs its own submissions, and this one is not signed",
    action: "Sign with the school's signing certificate and send Ecaf-Token and Ecaf-Certificates.",
};
/// The directory names other gateways, or a signature came where none is registered.
pub const NOT_ATTESTED_HERE: Rule = Rule {
    id: "directory.not-attested-here",
    title: "the directory does not let this gateway take submissions of this school in this way",
    action: "Send through a gateway that the directory names for this school.",
};
/// A submission that the directory allows.
#[derive(Clone)]
pub struct Authorised {
    pub(super) authentic: Authentic,
    pub(super) directory: Arc<Directory>,
    pub(super) school_authority: DfeCode,
    /// The school's name, for the printed form of a referral that cannot be delivered.
    pub(super) school_name: String,
}

impl Authorised {
    /// Asks the directory, at `now`.
    pub fn check(
        authentic: Authentic,
        directory: Arc<Directory>,
        gateway: &Name,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let Some(school) = directory.school(&authentic.received.school, now) else {
            return Err(refuse(UNKNOWN_SCHOOL));
        };
        match (&authentic.backing, &school.signing) {
            (Backing::Signed { .. }, Signing::Signed) => {}
            (Backing::Connection { .. }, Signing::AttestedBy(gateways))
                if gateways.contains(gateway) => {}
            (Backing::Connection { .. }, Signing::Signed) => return Err(refuse(MUST_SIGN)),
            _ => return Err(refuse(NOT_ATTESTED_HERE)),
        }
        let (school_authority, school_name) = (school.authority, school.name.clone());
        Ok(Self { authentic, school_authority, school_name, directory })
    }
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
