//! Step 3: [`Authentic`] becomes [`Authorised`]: the directory lists the school, and its submissions
//! are proved in the way that the directory says.

use std::sync::Arc;

use crate::domain::directory::{Directory, SchoolEntry, Signing};
use crate::domain::party::{DfeCode, Name, SchoolId};
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
    title: "this school signs what it sends, and this is not signed",
    action: "Sign with the school's signing certificate and send Ecaf-Token and Ecaf-Certificates.",
};
/// The directory names other gateways, or a signature came where none is registered.
pub const NOT_ATTESTED_HERE: Rule = Rule {
    id: "directory.not-attested-here",
    title: "the directory does not let this gateway take what this school sends in this way",
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
        let signed = matches!(authentic.backing, Backing::Signed { .. });
        let school = proved_rightly(&directory, gateway, &authentic.received.school, signed, now)?;
        let (school_authority, school_name) = (school.authority, school.name.clone());
        Ok(Self { authentic, school_authority, school_name, directory })
    }
}

/// The school, if what it sends is proved in the way that the directory says: by its own signature, or
/// by `gateway` that attests for it.
pub(super) fn proved_rightly<'a>(
    directory: &'a Directory,
    gateway: &Name,
    school: &SchoolId,
    signed: bool,
    now: Timestamp,
) -> Result<&'a SchoolEntry, Refusal> {
    let entry = directory.school(school, now).ok_or_else(|| refuse(UNKNOWN_SCHOOL))?;
    match (&entry.signing, signed) {
        (Signing::Signed, true) => Ok(entry),
        (Signing::Signed, false) => Err(refuse(MUST_SIGN)),
        (Signing::AttestedBy(gateways), false) if gateways.contains(gateway) => Ok(entry),
        (Signing::AttestedBy(_), _) => Err(refuse(NOT_ATTESTED_HERE)),
    }
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
