//! The codes that events carry, with what a person reads for each.

use super::EventKind;
use crate::domain::clocks::ClockId;

/// What an authority decided for a child. Labels say what follows, never "rejected": a bare rejection
/// cannot be expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Somebody acts at once.
    ImmediateProtection,
    /// Strategy discussion and enquiry under section 47 of the Children Act 1989.
    StrategyDiscussion,
    /// Assessment under section 17 of the Children Act 1989.
    Assessment,
    /// Family help by a lead practitioner.
    FamilyHelp,
    /// Early help in the community.
    EarlyHelp,
    /// Advice to the school.
    Advice,
    /// Not proceeding to assessment.
    NotProceeding,
    /// The child has a worker already, who gets this.
    OpenCaseAdded,
    /// Another authority is responsible; a transfer follows.
    OtherAuthority,
    /// A child protection plan comes with the child from another area.
    PlanTransferIn,
    /// To the designated officer for allegations.
    DesignatedOfficer,
    /// A private fostering arrangement to be assessed.
    PrivateFostering,
    /// To the team for families without recourse to public funds.
    NoRecourse,
    /// To the team for disabled children.
    DisabledChildren,
    /// An allegation: people meet about it.
    AllegationMeeting,
    /// An allegation: the employer investigates.
    EmployerInvestigates,
    /// An allegation: below the harm threshold.
    LowLevelConcern,
}

impl Decision {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::ImmediateProtection,
        Self::StrategyDiscussion,
        Self::Assessment,
        Self::FamilyHelp,
        Self::EarlyHelp,
        Self::Advice,
        Self::NotProceeding,
        Self::OpenCaseAdded,
        Self::OtherAuthority,
        Self::PlanTransferIn,
        Self::DesignatedOfficer,
        Self::PrivateFostering,
        Self::NoRecourse,
        Self::DisabledChildren,
        Self::AllegationMeeting,
        Self::EmployerInvestigates,
        Self::LowLevelConcern,
    ];

    /// As written in the token.
    pub fn as_str(self) -> &'static str {
        DECISIONS[self as usize].0
    }

    /// By its code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == code)
    }

    /// Whether statutory social care does not go on with it: the school then is told why, what would
    /// change it, and who else helps.
    pub const fn is_below_threshold(self) -> bool {
        matches!(self, Self::EarlyHelp | Self::Advice | Self::NotProceeding)
    }

    /// Whether it can be said of an allegation about an adult (LADO), and of another referral. Source of
    /// the first: Keeping children safe in education, part four.
    pub const fn fits(self, allegation: bool) -> bool {
        match self {
            Self::AllegationMeeting | Self::EmployerInvestigates | Self::LowLevelConcern => {
                allegation
            }
            Self::Advice | Self::OtherAuthority => true,
            _ => !allegation,
        }
    }

    /// Whether an assessment or enquiry follows, with its clocks.
    pub const fn is_assessed(self) -> bool {
        matches!(
            self,
            Self::ImmediateProtection
                | Self::StrategyDiscussion
                | Self::Assessment
                | Self::PrivateFostering
                | Self::DisabledChildren
        )
    }
}

/// A code and what a person reads for it.
type Code = (&'static str, &'static str);

/// In the order of [`Decision`].
static DECISIONS: [Code; 17] = [
    ("immediate_protection", "Acting at once to protect the child"),
    ("strategy_discussion", "Strategy discussion and section 47 enquiry"),
    ("assessment", "Child and family assessment (section 17)"),
    ("family_help", "Family help with a lead practitioner"),
    ("early_help", "Early help in the community"),
    ("advice", "Advice to the school"),
    ("not_proceeding", "Not proceeding to assessment"),
    ("open_case_added", "The child has a worker already, who now has this"),
    ("other_authority", "Another authority is responsible; passed on to it"),
    ("plan_transfer_in", "A child protection plan is being taken over from another area"),
    ("designated_officer", "Passed to the designated officer (LADO)"),
    ("private_fostering", "Private fostering arrangement to be assessed"),
    ("no_recourse", "Passed to the team for families without recourse to public funds"),
    ("disabled_children", "Passed to the disabled children's team"),
    ("allegation_meeting", "The harm threshold may be met: people meet about the allegation"),
    ("employer_investigates", "The employer investigates, with the designated officer's advice"),
    (
        "low_level_concern",
        "Below the harm threshold: a low-level concern for the school's own procedure",
    ),
];

/// Closing reasons RC1-RC9 are those of the Department for Education's children in need census.
static CLOSINGS: [Code; 11] = [
    ("RC1", "Adopted"),
    ("RC2", "Died"),
    ("RC3", "Child arrangements order"),
    ("RC4", "Special guardianship order"),
    ("RC5", "Moved to another authority"),
    ("RC6", "Moved to adult services"),
    ("RC7", "Closed for another reason"),
    ("RC8", "Closed after assessment, no further action"),
    ("RC9", "Closed after assessment, early help follows"),
    ("not_proceeding", "Closed without assessment"),
    ("step_down", "Stepped down to early or family help"),
];

static PROGRESS: [Code; 10] = [
    ("strategy_discussion", "Strategy discussion held"),
    ("enquiry_started", "Section 47 enquiry started"),
    ("enquiry_ended", "Section 47 enquiry ended without a conference"),
    ("child_seen", "The child was seen"),
    ("assessment_completed", "Assessment completed"),
    ("conference_planned", "Child protection conference planned; the school is invited"),
    ("conference_held", "Child protection conference held"),
    ("plan_started", "Plan started"),
    ("plan_ended", "Plan ended"),
    ("note", "Progress note"),
];

static INTERIMS: [Code; 5] = [
    ("keep_at_school", "Please keep the child at school for now"),
    ("send_home", "The child can go home as usual"),
    ("worker_arriving", "A worker is on the way to the school"),
    ("police_attending", "Police are on the way to the school"),
    ("other", "Another request for today"),
];

/// Issues: the list of Cumbria's procedures, and three that this exchange can see by itself.
static ISSUES: [Code; 9] = [
    ("below_threshold", "Decided to be below the threshold"),
    ("information_first", "More information demanded before anything is done"),
    ("procedures_not_followed", "Child protection procedures not begun"),
    ("information_sharing", "What may be shared, or which service"),
    ("assessment_or_plan", "Outcome of the assessment, or the plan"),
    ("no_acknowledgement", "No acknowledgement"),
    ("no_decision", "No decision"),
    ("which_authority", "Which authority is responsible"),
    ("other", "Something else"),
];

/// Why a school is told about its pupil. Says nothing about the child that its token may not say for ever.
static NOTICES: [Code; 9] = [
    ("referred_by_others", "Somebody else has made a referral"),
    ("police_attendance", "The police were called to where the child was"),
    ("enquiry_started", "Section 47 enquiry started"),
    ("assessment_started", "Assessment started"),
    ("conference_planned", "Child protection conference planned; the school is invited"),
    ("plan", "The child is on a plan"),
    ("sibling", "About a brother or sister"),
    ("moved_in", "Known in another area before, and now at this school"),
    ("other", "Another reason"),
];

/// What a consultation or a hand-over is about: the request types of referrals, so that those about an
/// allegation are for named persons alone.
static TOPICS: [Code; 7] = [
    ("protection", "Child protection"),
    ("child_in_need", "Child in need"),
    ("family_help", "Family help"),
    ("lado", "Allegation about an adult who works with children (LADO)"),
    ("private_fostering", "Private fostering"),
    ("information_only", "Information, nothing is asked for"),
    ("not_sure", "Not sure"),
];

static ADVICE: [Code; 6] = [
    ("refer_now", "Refer now"),
    ("refer_with_agreement", "Refer for family help, with agreement"),
    ("gather_more", "Find out more first, and come back"),
    ("school_support", "The school can help by itself"),
    ("other_service", "Another service can help"),
    ("no_further_action", "Nothing more is needed now"),
];

static HAND_OVER_ENDS: [Code; 4] = [
    ("confirmed", "The authority has confirmed that it has it"),
    ("sent_since", "Sent through the exchange since"),
    ("answered", "The authority has answered"),
    ("not_needed", "Not needed any more"),
];

/// The clocks, by the words that stand there.
const CLOCKS: [Code; 17] = {
    let mut codes = [("", ""); 17];
    let mut at = 0;
    while at < codes.len() {
        codes[at] = (ClockId::ALL[at].as_str(), ClockId::ALL[at].name());
        at += 1;
    }
    codes
};

/// The words of a code of this kind; `None` for one of a later version.
pub fn words_of(kind: EventKind, code: &str) -> Option<&'static str> {
    codes_of(kind).iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
}

/// The codes that an event of this kind may carry, each with its words; one of them is required.
/// Empty if events of this kind carry none.
pub fn codes_of(kind: EventKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        EventKind::Decided => &DECISIONS,
        EventKind::Closed => &CLOSINGS,
        EventKind::Progress => &PROGRESS,
        EventKind::Interim => &INTERIMS,
        EventKind::InterimAnswered => {
            &[("understood", "Understood"), ("cannot_do", "The school cannot do that")]
        }
        EventKind::WithdrawalRequested => &[
            ("circumstances_changed", "Circumstances have changed"),
            ("entered_in_error", "Entered in error"),
        ],
        EventKind::Misidentified => {
            &[("wrong_child", "The wrong child"), ("wrong_recipient", "The wrong recipient")]
        }
        EventKind::CallRecorded => &[
            ("front_door", "Rang the front door"),
            ("out_of_hours", "Rang the out-of-hours team"),
            ("police", "Rang 999"),
            ("school", "Rang the school"),
        ],
        EventKind::DisagreementRaised | EventKind::DisagreementStepped => &ISSUES,
        EventKind::DisagreementResolved => &[
            ("agreed", "Agreed"),
            ("not_pursued", "Not pursued"),
            ("decided_by_partners", "Decided by the safeguarding partners"),
        ],
        EventKind::ClockWarning | EventKind::ClockBreached => &CLOCKS,
        EventKind::PupilNotice => &NOTICES,
        EventKind::Consultation | EventKind::HandedOver => &TOPICS,
        EventKind::ConsultationAnswered => &ADVICE,
        EventKind::HandOverClosed => &HAND_OVER_ENDS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_has_its_own_code_and_words() {
        for (at, decision) in Decision::ALL.into_iter().enumerate() {
            assert_eq!(decision as usize, at);
            assert_eq!(Decision::from_code(decision.as_str()), Some(decision));
        }
        assert!(DECISIONS.iter().all(|(_, words)| !words.to_lowercase().contains("reject")));
    }

    #[test]
    fn words_are_those_of_the_kind_and_of_no_other() {
        for kind in EventKind::all() {
            for (code, words) in codes_of(kind) {
                assert_eq!(words_of(kind, code), Some(*words));
                assert!(!words.is_empty());
            }
        }
        assert_eq!(words_of(EventKind::Decided, "of a later version"), None);
        assert_eq!(words_of(EventKind::Opened, "advice"), None);
    }

    #[test]
    fn codes_are_unique_within_their_kind() {
        for kind in EventKind::all() {
            let mut codes: Vec<_> = codes_of(kind).iter().map(|(code, _)| code).collect();
            codes.sort_unstable();
            assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{}", kind.name());
        }
    }
}
