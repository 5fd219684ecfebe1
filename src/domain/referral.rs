//! What the exchange needs to know of a referral: who sent it, how urgent, which version, where.
//!
//! Everything else in the document is for the social worker who reads it. Values here come from a
//! document that has passed the schema (`protocol::schema`).

use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, SchoolId};

/// How soon somebody must act, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Danger now. 999 comes first; this form summons nobody.
    U0,
    /// An answer is needed before the child goes home.
    U1,
    /// Within one working day.
    U2,
    /// Early help.
    U3,
}

impl Urgency {
    /// All of them, most urgent first.
    pub const ALL: [Self; 4] = [Self::U0, Self::U1, Self::U2, Self::U3];

    /// As written in the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Urgency::U0 => "U0",
            Urgency::U1 => "U1",
            Urgency::U2 => "U2",
            Urgency::U3 => "U3",
        }
    }

    /// By its code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|u| u.as_str() == code)
    }

    /// 0 for the most urgent; queues deliver lower ranks first.
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// Whether somebody must act today: nothing in the form may then stand in the way.
    pub const fn is_urgent(self) -> bool {
        matches!(self, Urgency::U0 | Urgency::U1)
    }
}

/// What the sender asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestType {
    /// A child may be suffering or likely to suffer significant harm.
    Protection,
    /// A child in need; agreement is sought and normal.
    ChildInNeed,
    /// Early or family help; rests on agreement.
    FamilyHelp,
    /// An allegation about an adult who works with children.
    Lado,
    /// A child who lives with somebody who is not a close relative.
    PrivateFostering,
    /// For information; no action asked for.
    InformationOnly,
}

impl RequestType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Protection,
        Self::ChildInNeed,
        Self::FamilyHelp,
        Self::Lado,
        Self::PrivateFostering,
        Self::InformationOnly,
    ];

    /// As written in the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestType::Protection => "protection",
            RequestType::ChildInNeed => "child_in_need",
            RequestType::FamilyHelp => "family_help",
            RequestType::Lado => "lado",
            RequestType::PrivateFostering => "private_fostering",
            RequestType::InformationOnly => "information_only",
        }
    }

    /// By its code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == code)
    }
}

/// How much of the form was filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Completeness {
    /// The dozen answers that an urgent referral needs; a supplement follows.
    UrgentMinimal,
    /// The whole form, with "unknown, because" where something is not known.
    Standard,
}

impl Completeness {
    /// As written in the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Completeness::UrgentMinimal => "urgent_minimal",
            Completeness::Standard => "standard",
        }
    }

    /// By its code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::UrgentMinimal, Self::Standard].into_iter().find(|c| c.as_str() == code)
    }
}

/// The part of a referral that its token repeats: codes, ids and digests, nothing personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The same for all versions.
    pub referral_id: ReferralId,
    /// 1 for the first, then one more for each supplement or correction.
    pub version: u32,
    /// SHA-256 of the document of the version before; `None` exactly for version 1.
    pub previous: Option<Digest>,
    /// Shared by the referrals that were composed once and split for several recipients.
    pub group_id: Option<ReferralId>,
    /// The sending school.
    pub school: SchoolId,
    /// How soon somebody must act.
    pub urgency: Urgency,
    /// What is asked for.
    pub request_type: RequestType,
    /// How much was filled in.
    pub completeness: Completeness,
}

/// Where a child is at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhereNow {
    /// At the sending school.
    AtSchool,
    /// At the place where they live.
    AtHome,
    /// In hospital.
    Hospital,
    /// Visiting or staying somewhere for a short time.
    Visiting,
    /// Missing.
    Missing,
    /// Somewhere else that is known.
    Elsewhere,
    /// Not known to the sender.
    Unknown,
}

/// Where a child lives, as far as the sender knows.
#[derive(Clone, PartialEq, Eq)]
pub enum Residence {
    /// A postcode as typed; it may be mistyped. Temporary accommodation counts.
    Postcode(String),
    /// No fixed address.
    NoFixedAbode,
    /// The sender does not know it.
    Unknown,
}

/// Why another authority already has a part in this child's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseKind {
    /// The child is looked after by that authority.
    LookedAfter,
    /// A child protection plan.
    ProtectionPlan,
    /// A child in need plan.
    InNeedPlan,
    /// An open case, assessment or enquiry.
    OpenCase,
    /// The family was housed by that authority, and nothing more.
    HousingOnly,
}

impl CaseKind {
    /// Whether that authority gets a delivery that it must acknowledge. A housing placement alone
    /// is asked about, not copied.
    pub const fn is_delivered(self) -> bool {
        !matches!(self, CaseKind::HousingOnly)
    }
}

/// An authority that already holds a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaseHolder {
    /// The authority, if the sender knows which.
    pub authority: Option<DfeCode>,
    /// What it holds.
    pub kind: CaseKind,
}

/// The facts about one child that decide where the referral goes.
#[derive(Clone, PartialEq, Eq)]
pub struct ChildFacts {
    /// JSON Pointer of the child in the document (`/children/0`), to name the place of an answer.
    pub pointer: String,
    /// Where the child lives.
    pub residence: Residence,
    /// Where the child is now.
    pub where_now: WhereNow,
    /// Postcode of the place where the child is now, as typed.
    pub now_postcode: Option<String>,
    /// The child is in danger at this moment.
    pub danger_now: bool,
    /// The child cannot safely go home today.
    pub not_safe_home: bool,
    /// Time of day at which the child goes home, in minutes after midnight, English local time.
    pub goes_home_at: Option<u16>,
    /// Authorities that already hold a case.
    pub cases: Vec<CaseHolder>,
}

/// The setting of an adult about whom an allegation is made.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingFacts {
    /// The authority of the setting, if the sender names it.
    pub authority: Option<DfeCode>,
    /// Postcode of the setting, as typed.
    pub postcode: Option<String>,
}

/// Where the sender says that it should go, with a reason.
#[derive(Clone, PartialEq, Eq)]
pub struct SenderChoice {
    /// The chosen authority.
    pub authority: DfeCode,
    /// Code of the reason.
    pub reason: String,
}

/// All that routing needs of a referral. It holds postcodes, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutingFacts {
    /// How soon somebody must act.
    pub urgency: Urgency,
    /// What is asked for.
    pub request_type: RequestType,
    /// The children whom it concerns, in the order of the document; empty only for an allegation
    /// about an adult where no child is known.
    pub children: Vec<ChildFacts>,
    /// For allegations about an adult: where the adult works.
    pub setting: Option<SettingFacts>,
    /// The sender's own choice of authority.
    pub choice: Option<SenderChoice>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_the_most_urgent_comes_first() {
        for (rank, urgency) in Urgency::ALL.into_iter().enumerate() {
            assert_eq!(Urgency::from_code(urgency.as_str()), Some(urgency));
            assert_eq!(usize::from(urgency.rank()), rank);
        }
        assert!(Urgency::U0 < Urgency::U3 && Urgency::U1.is_urgent() && !Urgency::U2.is_urgent());
        for kind in RequestType::ALL {
            assert_eq!(RequestType::from_code(kind.as_str()), Some(kind));
        }
        assert_eq!(Urgency::from_code("u0"), None);
    }

    #[test]
    fn codes_are_those_of_the_schema() {
        assert_eq!(Urgency::ALL.map(Urgency::as_str), ["U0", "U1", "U2", "U3"]);
        assert!(Urgency::U0.is_urgent() && !Urgency::U3.is_urgent());
        assert_eq!(
            RequestType::ALL.map(RequestType::as_str),
            [
                "protection",
                "child_in_need",
                "family_help",
                "lado",
                "private_fostering",
                "information_only"
            ]
        );
        assert_eq!(RequestType::from_code("Lado"), None);
        for (code, completeness) in [
            ("urgent_minimal", Some(Completeness::UrgentMinimal)),
            ("standard", Some(Completeness::Standard)),
            ("full", None),
        ] {
            assert_eq!(Completeness::from_code(code), completeness);
            assert!(completeness.is_none_or(|c| c.as_str() == code));
        }
    }

    #[test]
    fn every_case_but_housing_alone_is_told() {
        use CaseKind::*;
        for kind in [LookedAfter, ProtectionPlan, InNeedPlan, OpenCase] {
            assert!(kind.is_delivered(), "{kind:?}");
        }
        assert!(!HousingOnly.is_delivered());
    }
}
