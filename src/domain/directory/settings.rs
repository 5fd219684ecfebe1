//! What parties have told the operator of their days and of what they promise: terms of schools, whom
//! to reach while one is closed, faster limits of authorities, their designated officers.

use crate::domain::calendar::SchoolCalendar;
use crate::domain::clocks::{Profile, Role};
use crate::domain::hours::Hours;
use crate::domain::party::PersonId;
use crate::domain::time::Timestamp;

use super::Verified;

/// What a school has told. Nothing of it need be known: days are then assumed, and marked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchoolSettings {
    /// Its days; what it leaves out comes from its authority's.
    pub calendar: Option<SchoolCalendar>,
    /// Whom to reach while it is closed.
    pub holiday_contact: Option<HolidayContact>,
}

/// Whom to reach while a school is closed: a role, never a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolidayContact {
    /// Whose turn it is in holidays.
    pub who: HolidayRole,
    /// A number of the school's, not of anybody's home.
    pub phone: Option<String>,
    /// A secure mailbox.
    pub email: Option<String>,
    /// When it is answered, if that is known.
    pub hours: Option<Hours>,
    /// Who last tried it; until then it is not given out.
    pub verified: Option<Verified>,
}

impl HolidayContact {
    /// Whether somebody had tried it by `at`.
    pub fn is_verified(&self, at: Timestamp) -> bool {
        self.verified.as_ref().is_some_and(|v| v.on <= at.in_england().0)
    }
}

/// Who stands in for a closed school.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HolidayRole {
    /// The designated safeguarding lead.
    Lead,
    /// Stands in for the lead.
    Deputy,
    /// The head teacher.
    Head,
    /// The chair of governors, or the proprietor.
    Chair,
    /// The safeguarding lead of the trust that the school belongs to.
    Trust,
}

impl HolidayRole {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Lead, Self::Deputy, Self::Head, Self::Chair, Self::Trust];

    /// As written in the directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "safeguarding_lead",
            Self::Deputy => "deputy_safeguarding_lead",
            Self::Head => "head_teacher",
            Self::Chair => "chair",
            Self::Trust => "trust_safeguarding_lead",
        }
    }

    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Trust => "safeguarding lead of the trust",
            _ => match self.role() {
                Some(role) => role.as_str(),
                None => "holiday contact",
            },
        }
    }

    /// The rung of a ladder on which the same person stands, so that nobody whom an allegation is about
    /// comes back as the holiday contact.
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Lead => Some(Role::Sender),
            Self::Deputy => Some(Role::Deputy),
            Self::Head => Some(Role::Head),
            Self::Chair => Some(Role::Chair),
            Self::Trust => None,
        }
    }
}

/// What an authority has told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthoritySettings {
    /// What it promises beyond the scheme, and whether its head of service is on ladders.
    pub profile: Profile,
    /// What comes after this minute of a day counts as received on the next working day, unless it is
    /// urgent.
    pub cut_off: Option<u16>,
    /// Its designated officers for allegations (LADO), by the ids in their certificates: nobody else
    /// there sees such a referral.
    pub officers: Vec<PersonId>,
    /// The school days that it publishes for its area.
    pub terms: Option<SchoolCalendar>,
}
