//! The rules of routing by name: why something goes somewhere, what is refused, what is said.

use crate::domain::refusal::Rule;

/// Why an authority is told. The ids are public and stand in dispatch notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// The child lives there; temporary accommodation counts.
    Lives,
    /// The child is found there: in hospital, visiting, missing, or without an address.
    Found,
    /// The adult about whom the allegation is made works there.
    SettingOfAdult,
    /// The sender chose it and said why.
    SenderChose,
    /// Nothing else is known: the authority of the sending school.
    SchoolFallback,
    /// The child is there and in danger now, or cannot safely go home.
    DangerNow,
    /// It looks after the child, or holds a plan or an open case.
    CaseHolding,
}

impl Basis {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Lives,
        Self::Found,
        Self::SettingOfAdult,
        Self::SenderChose,
        Self::SchoolFallback,
        Self::DangerNow,
        Self::CaseHolding,
    ];

    /// Stable id.
    pub const fn id(self) -> &'static str {
        match self {
            Basis::Lives => "routing.lives",
            Basis::Found => "routing.found",
            Basis::SettingOfAdult => "routing.setting-of-adult",
            Basis::SenderChose => "routing.sender-chose",
            Basis::SchoolFallback => "routing.school-fallback",
            Basis::DangerNow => "routing.danger-now",
            Basis::CaseHolding => "routing.case-holding",
        }
    }

    /// By its id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|basis| basis.id() == id)
    }

    /// In plain English.
    pub const fn title(self) -> &'static str {
        match self {
            Basis::Lives => "the child lives in its area (temporary accommodation counts)",
            Basis::Found => "the child is found in its area",
            Basis::SettingOfAdult => "the adult works in its area",
            Basis::SenderChose => "the sender chose it and gave a reason",
            Basis::SchoolFallback => {
                "where the child lives is not known, and this is the authority of the school"
            }
            Basis::DangerNow => {
                "the child is in its area now, and is in danger or cannot safely go home"
            }
            Basis::CaseHolding => "it looks after the child or holds a plan or an open case",
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $title:literal, $action:literal;)*) => {
        $($(#[$doc])* pub const $name: Rule = Rule { id: $id, title: $title, action: $action };)*
    };
}

rules! {
    /// Refusal: children of two authorities.
    SPLIT_INTO_GROUP = "routing.split-into-group",
        "The children live in the areas of different authorities",
        "Send one referral for each authority, with a common group_id, each with its own children.";
    /// Refusal: near a boundary, and there is time to ask.
    NEAR_BOUNDARY = "routing.near-boundary",
        "The postcode lies close to the boundary with another authority",
        "Ask which council the address pays council tax to, then name it in routing_choice.";
    /// Refusal: a postcode without a place, and there is time to ask.
    UNPLACED = "routing.unplaced",
        "The postcode exists, but which authority it lies in is not known",
        "Ask which council the address belongs to, then name it in routing_choice.";
    /// Refusal: a postcode that is not listed, and there is time to ask.
    UNKNOWN_POSTCODE = "routing.unknown-postcode",
        "The postcode is not listed",
        "Check it for a typing mistake, or name the authority in routing_choice.";
    /// Refusal: text that is not a postcode, and there is time to ask.
    NOT_A_POSTCODE = "routing.not-a-postcode",
        "This is not a postcode",
        "Correct it, say that the postcode is not known, or name the authority in routing_choice.";
    /// Refusal: the council has been reorganised, and there is time to ask.
    REORGANISED = "routing.reorganised",
        "The authority of this place has been reorganised since the table was made",
        "Ask the operator for the present table, or name the authority in routing_choice.";
    /// Refusal: outside England.
    OUTSIDE_ENGLAND = "routing.outside-england",
        "The place is outside England, and its authority does not take part in this exchange",
        "Ring the council there now; an English authority that is also concerned can be named in \
         routing_choice.";
    /// Refusal: the chosen authority does not exist on that day.
    CHOICE_NOT_AN_AUTHORITY = "routing.choice-not-an-authority",
        "The chosen authority is not a children's services authority of England on this day",
        "Use the three-digit code of a present authority.";
    /// Refusal: nothing at all says where it should go.
    NOWHERE = "routing.nowhere",
        "Nothing says which authority is responsible",
        "Give a postcode, or name the authority in routing_choice.";
    /// The sender says that the home is not known: it goes, flagged; refused only if nothing else
    /// names an authority.
    HOME_UNKNOWN = "routing.home-unknown",
        "Where the child lives is not known",
        "Ask, or name the authority in routing_choice.";
    /// Refusal: no child in it.
    NO_CHILD = "routing.no-child",
        "The referral concerns no child",
        "Add the child, by description if the name is not known.";
    /// Refusal: an allegation about an adult without a setting.
    NO_SETTING = "routing.no-setting",
        "Where the adult works is not known",
        "Give the postcode of the setting, or name the authority in routing_choice.";

    /// Warning: sent to the best candidate because it is urgent.
    SENT_UNCONFIRMED = "routing.sent-unconfirmed",
        "It goes to the most likely authority at once, before anybody has confirmed that it is the one",
        "Ring that authority and say that the area is not certain.";
    /// Warning: the sender's own authority for want of a better one.
    FALLBACK_USED = "routing.fallback-used",
        "No authority of this exchange is known for where the child lives, so it goes to the \
         authority of the school",
        "Tell that authority as soon as you learn where the child lives.";
    /// Warning: the choice is not what the table says.
    CHOICE_DIFFERS = "routing.choice-differs",
        "The sender chose another authority than the one that the address points to",
        "Check the choice; the receiving authority is told of the difference.";
    /// Warning: an urgent one goes although the choice is no authority.
    CHOICE_IGNORED = "routing.choice-ignored",
        "The chosen authority does not exist on this day; urgent, so it goes by the address instead",
        "Check the code, and ring the authority that you meant.";
    /// Warning: a retired postcode.
    RETIRED_POSTCODE = "routing.retired-postcode",
        "The postcode is no longer in use; it goes by where it was",
        "Check whether the family still lives there.";
    /// Warning: the home authority is not the one told.
    CONSULT_HOME = "routing.consult-home",
        "The child lives in the area of another authority than the one where the child is found",
        "The authority where the child is acts first and consults the home authority.";
    /// Warning: danger, and nobody knows where.
    WHEREABOUTS_UNKNOWN = "routing.whereabouts-unknown",
        "A child is in danger or cannot go home, and which authority's area the child is in now is \
         not certain",
        "Ring 999 if there is danger now, and say where the child was last seen.";
    /// Warning: another authority has a part, unknown which.
    CASE_HOLDER_UNKNOWN = "routing.case-holder-unknown",
        "Another authority holds a case, and which one is not known",
        "Ask the family or the worker which, and add it in a supplement.";
    /// Warning: the case-holding authority no longer exists.
    CASE_HOLDER_ENDED = "routing.case-holder-ended",
        "The authority named as holding a case does not exist on this day",
        "Name its successor in a supplement.";
    /// Warning: housing alone is not a case.
    HOUSING_PLACEMENT = "routing.housing-placement",
        "Another authority housed the family; that alone does not make it responsible, and it gets \
         no copy",
        "Ask whether it also holds an open case.";
    /// Warning: the child's part of an allegation.
    CHILD_PART_APART = "routing.child-part-apart",
        "An allegation about an adult goes to the authority of the setting only",
        "Send a referral of its own for a child who is at risk.";
    /// Warning: the sender named another authority for the setting.
    SETTING_DIFFERS = "routing.setting-differs",
        "The authority named for the setting is not the one of its postcode",
        "Check both; it goes by the postcode.";
    /// Warning: old data.
    TABLE_OLD = "routing.table-old",
        "The postcode table is more than eighteen months old",
        "Tell the operator: about two postcodes in a hundred change in four years.";
}
