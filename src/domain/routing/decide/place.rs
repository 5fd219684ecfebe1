//! Where one child, or the setting of an adult, is; and who else is told because of it.

use super::rules::{self, Basis};
use super::{Atlas, Decision, Purpose, Reason};
use crate::domain::party::DfeCode;
use crate::domain::referral::{CaseKind, ChildFacts, Residence, RoutingFacts, WhereNow};
use crate::domain::refusal::{Rule, Violation};
use crate::domain::routing::answer::{Answer, answer};
use crate::domain::time::Date;

/// What is known about one place.
pub(super) struct Place {
    /// JSON Pointer of whose place it is.
    pub(super) pointer: String,
    /// Which rule made this place count.
    pub(super) basis: Basis,
    /// What its postcode says, where there is one.
    pub(super) answer: Option<Answer>,
    /// Known without a postcode (the school's own area).
    known: Option<DfeCode>,
    /// Whether a person has to confirm.
    pub(super) question: Question,
    /// Where the child lives, if this is where the child is found instead.
    pub(super) home: Option<Answer>,
}

/// Whether a person has to confirm a place.
pub(super) enum Question {
    /// No.
    Settled,
    /// Yes, and the sender can be asked: before it goes, unless it is urgent.
    Ask(Rule),
    /// Yes, but the sender has said that it is not known: asking again would only delay.
    Nobody(Rule),
}

impl Place {
    pub(super) fn certain(&self) -> Option<DfeCode> {
        self.known.or_else(|| self.answer?.certain())
    }

    pub(super) fn candidate(&self) -> Option<DfeCode> {
        self.known.or_else(|| self.answer?.candidate())
    }

    pub(super) fn alternative(&self) -> Option<DfeCode> {
        self.answer?.alternative()
    }

    pub(super) fn question_or(&self, other: Rule) -> Violation {
        let rule = match self.question {
            Question::Settled => other,
            Question::Ask(rule) | Question::Nobody(rule) => rule,
        };
        Violation::at(rule, self.pointer.clone())
    }

    fn by_postcode(pointer: &str, basis: Basis, answer: Answer) -> Self {
        let question = question(&answer);
        Self {
            pointer: pointer.to_string(),
            basis,
            answer: Some(answer),
            known: None,
            question,
            home: None,
        }
    }

    fn unknown(pointer: &str, basis: Basis, rule: Rule) -> Self {
        Self {
            pointer: pointer.to_string(),
            basis,
            answer: None,
            known: None,
            question: Question::Nobody(rule),
            home: None,
        }
    }
}

fn question(answer: &Answer) -> Question {
    Question::Ask(match answer {
        Answer::One(_) | Answer::Retired { .. } => return Question::Settled,
        Answer::NearBoundary { .. } => rules::NEAR_BOUNDARY,
        Answer::KnownUnplaced => rules::UNPLACED,
        Answer::Reorganised { .. } => rules::REORGANISED,
        Answer::NotEngland(_) => rules::OUTSIDE_ENGLAND,
        Answer::Unknown => rules::UNKNOWN_POSTCODE,
        Answer::NotAPostcode => rules::NOT_A_POSTCODE,
    })
}

impl Atlas<'_> {
    fn says(&self, typed: &str, day: Date) -> Answer {
        answer(self.postcodes, self.districts, day, typed).0
    }
}

/// The place that decides for one child: where the child lives; where the child is found for one
/// who is in hospital, visiting, missing or without an address.
pub(super) fn of_child(
    atlas: Atlas,
    child: &ChildFacts,
    school: Option<DfeCode>,
    day: Date,
) -> Place {
    let home = match &child.residence {
        Residence::Postcode(typed) => Some(atlas.says(typed, day)),
        Residence::NoFixedAbode | Residence::Unknown => None,
    };
    let away =
        matches!(child.where_now, WhereNow::Hospital | WhereNow::Visiting | WhereNow::Missing);
    // Where a child stays whose home is not known says more than where the school stands.
    let stays = matches!(child.residence, Residence::Unknown) && child.now_postcode.is_some();
    let counts_where_found = away || stays || matches!(child.residence, Residence::NoFixedAbode);
    let found = counts_where_found.then(|| whereabouts(atlas, child, school, day)).flatten();
    // A child who is abroad in the sense of these tables but found in England is in England.
    let abroad = || {
        let home_abroad = matches!(home, Some(Answer::NotEngland(_)));
        home_abroad.then(|| whereabouts(atlas, child, school, day)).flatten()
    };
    match (found, home) {
        (Some(mut found), home) => {
            found.home = home;
            if stays && !away && matches!(found.question, Question::Settled) {
                found.question = Question::Nobody(rules::HOME_UNKNOWN);
            }
            found
        }
        (None, Some(home)) => {
            let mut place = Place::by_postcode(&child.pointer, Basis::Lives, home);
            // Outside England nobody here is responsible; in danger, whoever has the child is.
            if (child.danger_now || child.not_safe_home)
                && let Some(found) = abroad().and_then(|f| f.certain())
            {
                place.known = Some(found);
                place.basis = Basis::Found;
                place.question = Question::Nobody(rules::OUTSIDE_ENGLAND);
            }
            place
        }
        (None, None) => Place::unknown(&child.pointer, Basis::Found, rules::HOME_UNKNOWN),
    }
}

/// Where an adult about whom there is an allegation works.
pub(super) fn of_setting(atlas: Atlas, facts: &RoutingFacts, decision: &mut Decision) -> Place {
    let (basis, day) = (Basis::SettingOfAdult, decision.as_of);
    let Some(setting) = &facts.setting else {
        return Place::unknown("", basis, rules::NO_SETTING);
    };
    let named = setting.authority.filter(|code| atlas.districts.is_authority(*code, day));
    let Some(typed) = &setting.postcode else {
        let mut place = Place::unknown("", basis, rules::NO_SETTING);
        if named.is_some() {
            place.known = named;
            place.question = Question::Settled;
        }
        return place;
    };
    let mut place = Place::by_postcode("", basis, atlas.says(typed, day));
    match (place.certain(), named) {
        (Some(by_postcode), Some(named)) if by_postcode != named => {
            decision.alternatives.push(named);
            decision.warnings.push(Violation::whole(rules::SETTING_DIFFERS));
        }
        (None, Some(_)) => {
            place.known = named;
            place.question = Question::Settled;
        }
        _ => {}
    }
    place
}

/// Where the child is now, as far as anything says.
fn whereabouts(
    atlas: Atlas,
    child: &ChildFacts,
    school: Option<DfeCode>,
    day: Date,
) -> Option<Place> {
    let by = |typed: &str| Place::by_postcode(&child.pointer, Basis::Found, atlas.says(typed, day));
    if let Some(typed) = &child.now_postcode {
        return Some(by(typed));
    }
    match (child.where_now, &child.residence) {
        (WhereNow::AtSchool, _) => Some(Place {
            pointer: child.pointer.clone(),
            basis: Basis::Found,
            answer: None,
            known: Some(school?),
            question: Question::Settled,
            home: None,
        }),
        (WhereNow::AtHome, Residence::Postcode(typed)) => Some(by(typed)),
        _ => None,
    }
}

/// The deliveries beside the accountable one: where a child in danger is, and who holds a case.
pub(super) fn tell_others(
    atlas: Atlas,
    facts: &RoutingFacts,
    school: Option<DfeCode>,
    decision: &mut Decision,
) {
    for child in &facts.children {
        if child.danger_now || child.not_safe_home {
            let place = whereabouts(atlas, child, school, decision.as_of);
            let here = place.as_ref().and_then(Place::candidate);
            if place.as_ref().and_then(Place::certain).is_none() {
                let at = Violation::at(rules::WHEREABOUTS_UNKNOWN, child.pointer.clone());
                decision.warnings.push(at);
            }
            if let Some(here) = here {
                let reason = Reason {
                    basis: Basis::DangerNow,
                    pointer: child.pointer.clone(),
                    until: child.goes_home_at,
                };
                decision.add(here, Purpose::Linked, reason);
            }
        }
        for case in &child.cases {
            tell_case_holder(atlas, child, case.kind, case.authority, decision);
        }
    }
}

fn tell_case_holder(
    atlas: Atlas,
    child: &ChildFacts,
    kind: CaseKind,
    authority: Option<DfeCode>,
    decision: &mut Decision,
) {
    let pointer = child.pointer.clone();
    let warning = match authority {
        _ if !kind.is_delivered() => Some(rules::HOUSING_PLACEMENT),
        None => Some(rules::CASE_HOLDER_UNKNOWN),
        Some(code) if !atlas.districts.is_authority(code, decision.as_of) => {
            Some(rules::CASE_HOLDER_ENDED)
        }
        Some(code) => {
            let reason =
                Reason { basis: Basis::CaseHolding, pointer: pointer.clone(), until: None };
            decision.add(code, Purpose::CaseHolding, reason);
            None
        }
    };
    decision.warnings.extend(warning.map(|rule| Violation::at(rule, pointer)));
}
