//! Which clocks there are.

/// One of the scheme's clocks. C14, the file that follows a pupil to the next school, is none of
/// this exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClockId {
    /// Receipt from the exchange.
    C1,
    /// Delivered to the authority.
    C2,
    /// Opened by a person.
    C3,
    /// An answer before the child goes home.
    C4,
    /// Acknowledged by a named social worker, and decided.
    C5,
    /// The school's answer to a question.
    C6,
    /// The school knows who works with the child.
    C7,
    /// An answer to a proposed transfer.
    C8,
    /// The assessment, and progress notes until then.
    C9,
    /// The initial child protection conference.
    C10,
    /// An answer at each stage of a disagreement, and its end.
    C11,
    /// The school has read what was decided.
    C12,
    /// An allegation: passed on by the school, answered by the designated officer.
    C13,
    /// The school is told of a notice or change by 3 pm of the next full school day.
    C15,
    /// The school has read what it is asked to do today.
    E10,
    /// A reminder of the rest of an urgent-minimal referral.
    R1,
    /// The other side has confirmed changed contacts.
    R2,
}

/// Where the limit of a clock comes from. Public reports show the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Statutory guidance (Working Together to Safeguard Children).
    Statutory,
    /// Procedures of safeguarding partnerships.
    Procedure,
    /// Agreed within this scheme.
    Scheme,
}

impl Class {
    /// As written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Statutory => "statutory",
            Class::Procedure => "procedure",
            Class::Scheme => "scheme",
        }
    }
}

impl ClockId {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::C1,
        Self::C2,
        Self::C3,
        Self::C4,
        Self::C5,
        Self::C6,
        Self::C7,
        Self::C8,
        Self::C9,
        Self::C10,
        Self::C11,
        Self::C12,
        Self::C13,
        Self::C15,
        Self::E10,
        Self::R1,
        Self::R2,
    ];

    /// Its code, as in events, metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            ClockId::C1 => "C1",
            ClockId::C2 => "C2",
            ClockId::C3 => "C3",
            ClockId::C4 => "C4",
            ClockId::C5 => "C5",
            ClockId::C6 => "C6",
            ClockId::C7 => "C7",
            ClockId::C8 => "C8",
            ClockId::C9 => "C9",
            ClockId::C10 => "C10",
            ClockId::C11 => "C11",
            ClockId::C12 => "C12",
            ClockId::C13 => "C13",
            ClockId::C15 => "C15",
            ClockId::E10 => "E10",
            ClockId::R1 => "R1",
            ClockId::R2 => "R2",
        }
    }

    /// By its code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|id| id.as_str() == code)
    }

    /// What must happen, for a person.
    pub const fn name(self) -> &'static str {
        match self {
            ClockId::C1 => "Receipt from the exchange",
            ClockId::C2 => "Stored at the authority",
            ClockId::C3 => "Opened by a person",
            ClockId::C4 => "Answer before the child goes home",
            ClockId::C5 => "Acknowledged by a named social worker, and decided",
            ClockId::C6 => "The school's answer to a question",
            ClockId::C7 => "The school knows who works with the child",
            ClockId::C8 => "Answer to a proposed transfer",
            ClockId::C9 => "Assessment completed, with progress notes until then",
            ClockId::C10 => "Initial child protection conference",
            ClockId::C11 => "Answer to a disagreement",
            ClockId::C12 => "Outcome read by the school",
            ClockId::C13 => "Allegation passed on and answered",
            ClockId::C15 => "School told by 3 pm of the next full school day",
            ClockId::E10 => "Request for today read by the school",
            ClockId::R1 => "Reminder: supplement the urgent-minimal referral",
            ClockId::R2 => "Changed contacts confirmed by the other side",
        }
    }

    /// Whether it only reminds, once: it is never late, and nobody is said to be waited for.
    pub const fn is_reminder(self) -> bool {
        matches!(self, ClockId::R1)
    }

    /// Where its limit comes from in the usual case; a clock itself says where it differs.
    pub const fn class(self) -> Class {
        match self {
            ClockId::C5 | ClockId::C9 | ClockId::C10 => Class::Statutory,
            ClockId::C4 | ClockId::C11 | ClockId::C13 => Class::Procedure,
            _ => Class::Scheme,
        }
    }

    /// Whether a breach pages a person, if one is on duty: undelivered, urgent and unopened, no
    /// answer before home time, a request for today unread. All else waits for the digest of the
    /// next duty shift.
    pub const fn pages(self, urgent: bool) -> bool {
        match self {
            ClockId::C2 | ClockId::C4 | ClockId::E10 => true,
            ClockId::C3 => urgent,
            _ => false,
        }
    }
}
