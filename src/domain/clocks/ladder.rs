//! Who is asked, in which order, when something has not happened by its limit.

use std::fmt;

use super::id::ClockId;
use super::limit::Limit;
use crate::domain::party::Organisation;
use crate::domain::referral::Urgency;
use crate::domain::time::{MINUTE, Timestamp};

/// What a person does, at a school or an authority. Names and numbers are the directory's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Whoever mends the authority's connection.
    Technical,
    /// On duty at the authority's front door.
    DutyWorker,
    /// In charge of the duty worker.
    DutyManager,
    /// In charge of the front door (multi-agency safeguarding hub).
    HubManager,
    /// In charge of the social worker's team.
    TeamManager,
    /// In charge of several teams.
    ServiceManager,
    /// In charge of the service. On ladders only where the authority wants it.
    HeadOfService,
    /// In charge of the designated officers for allegations.
    LadoManager,
    /// The school's designated safeguarding lead, or whoever sent the referral.
    Sender,
    /// Stands in for the lead.
    Deputy,
    /// The head teacher.
    Head,
    /// The chair of governors, or the proprietor.
    Chair,
    /// Whom to reach while the school is closed.
    HolidayContact,
    /// The safeguarding partners' independent scrutineer.
    Scrutineer,
}

/// One contact of a ladder and from when on it is that contact's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// From when on.
    pub at: Timestamp,
    /// Whom to ask.
    pub role: Role,
    /// Where.
    pub of: Organisation,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Technical,
        Self::DutyWorker,
        Self::DutyManager,
        Self::HubManager,
        Self::TeamManager,
        Self::ServiceManager,
        Self::HeadOfService,
        Self::LadoManager,
        Self::Sender,
        Self::Deputy,
        Self::Head,
        Self::Chair,
        Self::HolidayContact,
        Self::Scrutineer,
    ];

    /// In plain English.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Technical => "technical contact",
            Role::DutyWorker => "duty worker",
            Role::DutyManager => "duty manager",
            Role::HubManager => "MASH manager",
            Role::TeamManager => "team manager",
            Role::ServiceManager => "service manager",
            Role::HeadOfService => "head of service",
            Role::LadoManager => "LADO manager",
            Role::Sender => "safeguarding lead",
            Role::Deputy => "deputy safeguarding lead",
            Role::Head => "head teacher",
            Role::Chair => "chair of governors or proprietor",
            Role::HolidayContact => "holiday contact",
            Role::Scrutineer => "independent scrutineer",
        }
    }

    /// Whether that is somebody at a school.
    pub const fn at_school(self) -> bool {
        matches!(
            self,
            Role::Sender | Role::Deputy | Role::Head | Role::Chair | Role::HolidayContact
        )
    }
}

/// When it becomes a contact's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// When the limit has passed.
    AtBreach,
    /// So many milliseconds after the start.
    Since(i64),
    /// So many milliseconds after the breach.
    After(i64),
    /// When the limit has passed once more after the turn before.
    Again,
    /// So many working days after the turn before.
    WorkingDays(u16),
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Turn::AtBreach => f.write_str("at the limit"),
            Turn::Since(millis) => write!(f, "{} after the start", Limit::Real(*millis)),
            Turn::After(millis) => write!(f, "{} after the limit", Limit::Real(*millis)),
            Turn::Again => f.write_str("after the same time again"),
            Turn::WorkingDays(days) => write!(f, "{} later", Limit::WorkingDays(*days)),
        }
    }
}

/// The ladder of a clock. Whose turn it is after a stage of C11 depends on the stage: the team manager
/// after the first, then the service manager, the head of service, the independent scrutineer.
pub const fn ladder(id: ClockId, urgency: Urgency) -> &'static [(Role, Turn)] {
    use Role::*;
    use Turn::*;
    match id {
        // The sender's own program repeats, and shows the number to ring.
        ClockId::C1 => &[],
        ClockId::C2 if urgency.is_urgent() => {
            &[(Technical, AtBreach), (DutyWorker, AtBreach), (Sender, Since(5 * MINUTE))]
        }
        ClockId::C2 => {
            &[(Technical, AtBreach), (DutyWorker, AtBreach), (Sender, Since(60 * MINUTE))]
        }
        ClockId::C3 => &[(DutyManager, AtBreach), (HubManager, Again)],
        ClockId::C4 => {
            &[(HubManager, AtBreach), (Sender, AtBreach), (HeadOfService, After(15 * MINUTE))]
        }
        ClockId::C5 => &[(TeamManager, AtBreach), (ServiceManager, Again)],
        ClockId::R1 => &[(Sender, AtBreach)],
        ClockId::C6 | ClockId::C15 | ClockId::R2 => &[(Deputy, AtBreach), (Head, Again)],
        ClockId::C7 => &[(TeamManager, AtBreach)],
        ClockId::C8 => &[(HubManager, AtBreach), (HeadOfService, Again)],
        ClockId::C9 | ClockId::C10 => &[(TeamManager, AtBreach), (ServiceManager, WorkingDays(5))],
        ClockId::C11 => &[],
        ClockId::C12 => &[(Deputy, AtBreach), (Head, Again), (DutyWorker, Again)],
        ClockId::C13 => &[(Head, AtBreach), (LadoManager, Again)],
        ClockId::E10 => &[(DutyWorker, AtBreach), (DutyManager, Again)],
    }
}

/// How long after a delivery began the school is told to ring if the authority has not stored it, in
/// milliseconds: its own turn on the ladder of C2.
pub fn school_rings_after(urgency: Urgency) -> i64 {
    let own = ladder(ClockId::C2, urgency).iter().find_map(|(role, turn)| match (role, turn) {
        (Role::Sender, Turn::Since(millis)) => Some(*millis),
        _ => None,
    });
    own.unwrap_or(0)
}

/// Who answers at the stage after `stage`; at the authority, at the last stage the partners.
pub(super) const fn next_stage(stage: u8) -> Role {
    match stage {
        0 | 1 => Role::TeamManager,
        2 => Role::ServiceManager,
        3 => Role::HeadOfService,
        _ => Role::Scrutineer,
    }
}

/// Who takes the place of somebody whom an allegation is about: for the head teacher the chair or
/// proprietor, for anybody else at the school, the chair too, straight to the designated officer's
/// manager.
pub(super) fn instead_of(role: Role, accused: &[Role]) -> Role {
    match role {
        Role::Head if accused.contains(&role) && !accused.contains(&Role::Chair) => Role::Chair,
        role if role.at_school() && accused.contains(&role) => Role::LadoManager,
        role => role,
    }
}
