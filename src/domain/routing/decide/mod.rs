//! The rules: facts of a referral -> who is accountable, who else is told, what must be asked.
//!
//! Pure: the same facts, tables and day give the same decision. Children Act 1989 s47(1)(b): an
//! authority has a duty for a child who lives, or is found, in its area; so two can have one, and
//! exactly one of them is accountable here.

mod place;
pub mod rules;

use place::{Place, Question};
pub use rules::Basis;

use super::answer::Answer;
use super::district::Districts;
use super::table::PostcodeTable;
use crate::domain::party::DfeCode;
use crate::domain::referral::{RequestType, RoutingFacts};
use crate::domain::refusal::Violation;
use crate::domain::time::Date;

/// The tables that a decision rests on.
#[derive(Clone, Copy)]
pub struct Atlas<'a> {
    /// Postcode -> district.
    pub postcodes: &'a PostcodeTable,
    /// District -> authority.
    pub districts: &'a Districts,
}

/// Where a referral goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The one accountable authority; set whenever one can be named, also beside violations.
    pub accountable: Option<DfeCode>,
    /// Why it is accountable.
    pub basis: Option<Basis>,
    /// Whom to deliver to, the accountable authority first; empty if the referral is refused.
    pub deliveries: Vec<Delivery>,
    /// Why the referral is refused; empty if it can go.
    pub violations: Vec<Violation>,
    /// What a person has yet to confirm, where it goes all the same.
    pub confirmations: Vec<Confirmation>,
    /// What sender and receiver should know; blocks nothing.
    pub warnings: Vec<Violation>,
    /// Other authorities that may be responsible.
    pub alternatives: Vec<DfeCode>,
    /// The day for which it holds.
    pub as_of: Date,
}

impl Decision {
    /// Whether it can go.
    pub fn is_routed(&self) -> bool {
        self.violations.is_empty() && !self.deliveries.is_empty()
    }

    /// Whether a person has to confirm the authority.
    pub fn is_flagged(&self) -> bool {
        !self.confirmations.is_empty()
    }
}

/// One authority that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Whom.
    pub authority: DfeCode,
    /// The strongest purpose of the reasons.
    pub purpose: Purpose,
    /// Why, at least one.
    pub reasons: Vec<Reason>,
}

/// What a delivery asks of its authority, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// It is accountable: it has the one named holder.
    Accountable,
    /// It holds a case of the child and must acknowledge.
    CaseHolding,
    /// A child in its area now, in danger or not safe to go home; another is accountable.
    Linked,
}

impl Purpose {
    /// As written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Accountable => "accountable",
            Purpose::CaseHolding => "case_holding",
            Purpose::Linked => "linked",
        }
    }

    /// Whether a named person there must acknowledge it.
    pub const fn must_acknowledge(self) -> bool {
        matches!(self, Purpose::Accountable | Purpose::CaseHolding)
    }
}

/// One reason for a delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The rule.
    pub basis: Basis,
    /// JSON Pointer of the child; empty for an allegation about an adult.
    pub pointer: String,
    /// For a child who is in the area: until when, in minutes after midnight, local time.
    pub until: Option<u16>,
}

/// Something that a person has to confirm although the referral goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The rule that would refuse it if it were not urgent, and where.
    pub question: Violation,
    /// The authority that it goes to meanwhile.
    pub candidate: DfeCode,
    /// The other one that it may be.
    pub or: Option<DfeCode>,
}

/// Decides. `school_authority` is the authority in whose area the sending school stands.
pub fn decide(
    atlas: Atlas,
    facts: &RoutingFacts,
    school_authority: Option<DfeCode>,
    as_of: Date,
) -> Decision {
    let mut decision = Decision {
        accountable: None,
        basis: None,
        deliveries: Vec::new(),
        violations: Vec::new(),
        confirmations: Vec::new(),
        warnings: Vec::new(),
        alternatives: Vec::new(),
        as_of,
    };
    let mut choice = facts.choice.as_ref().map(|choice| choice.authority);
    if choice.is_some_and(|code| !atlas.districts.is_authority(code, as_of)) {
        let at = |rule| Violation::at(rule, "/routing_choice/authority");
        if facts.urgency.is_urgent() {
            decision.warnings.push(at(rules::CHOICE_IGNORED));
            choice = None;
        } else {
            decision.violations.push(at(rules::CHOICE_NOT_AN_AUTHORITY));
        }
    }
    let places = places(atlas, facts, school_authority, &mut decision);
    settle(&mut decision, &places, choice, school_authority, facts.urgency.is_urgent());
    warn(atlas, &mut decision, &places);
    if facts.request_type != RequestType::Lado {
        place::tell_others(atlas, facts, school_authority, &mut decision);
    }
    decision.alternatives.sort_unstable();
    decision.alternatives.dedup();
    if decision.violations.is_empty() {
        decision.deliveries.sort_by_key(|d| (d.purpose, d.authority));
    } else {
        decision.deliveries.clear();
        decision.confirmations.clear();
    }
    decision
}

fn places(
    atlas: Atlas,
    facts: &RoutingFacts,
    school_authority: Option<DfeCode>,
    decision: &mut Decision,
) -> Vec<Place> {
    if facts.request_type == RequestType::Lado {
        if facts.children.iter().any(|c| c.danger_now || c.not_safe_home) {
            decision.warnings.push(Violation::whole(rules::CHILD_PART_APART));
        }
        return vec![place::of_setting(atlas, facts, decision)];
    }
    if facts.children.is_empty() {
        decision.violations.push(Violation::at(rules::NO_CHILD, "/children"));
    }
    let of_child = |child| place::of_child(atlas, child, school_authority, decision.as_of);
    facts.children.iter().map(of_child).collect()
}

/// One accountable authority out of the places of all children, or the reasons why not.
fn settle(
    decision: &mut Decision,
    places: &[Place],
    choice: Option<DfeCode>,
    school_authority: Option<DfeCode>,
    urgent: bool,
) {
    let certain = places.iter().find_map(|p| Some((p.certain()?, p.basis)));
    let others =
        places.iter().filter(|p| p.certain().is_some_and(|a| Some(a) != certain.map(|c| c.0)));
    let split: Vec<_> =
        others.map(|p| Violation::at(rules::SPLIT_INTO_GROUP, p.pointer.clone())).collect();
    decision.violations.extend(split);

    let likely = || places.iter().find_map(|p| Some((p.candidate()?, p.basis)));
    let fallback = || Some((school_authority?, Basis::SchoolFallback));
    let settled = match (choice, certain) {
        (Some(chosen), Some((table, basis))) if chosen == table => Some((chosen, basis)),
        (Some(chosen), _) => Some((chosen, Basis::SenderChose)),
        (None, Some(certain)) => Some(certain),
        (None, None) => likely().or_else(fallback),
    };
    let Some((accountable, basis)) = settled else {
        decision.violations.extend(places.iter().map(|p| p.question_or(rules::NOWHERE)));
        return;
    };
    decision.accountable = Some(accountable);
    decision.basis = Some(basis);
    for place in places {
        let of_place = [place.candidate(), place.alternative()];
        decision.alternatives.extend(of_place.into_iter().flatten().filter(|a| *a != accountable));
        decision.add(
            accountable,
            Purpose::Accountable,
            Reason { basis, pointer: place.pointer.clone(), until: None },
        );
        match (&place.question, choice) {
            (_, Some(chosen)) => {
                let may_be = place.candidate().is_none() || of_place.contains(&Some(chosen));
                if !may_be {
                    let at = Violation::at(rules::CHOICE_DIFFERS, place.pointer.clone());
                    decision.warnings.push(at);
                }
            }
            (Question::Settled, None) => {}
            (Question::Ask(rule), None) if !urgent => {
                decision.violations.push(Violation::at(*rule, place.pointer.clone()));
            }
            (Question::Ask(rule) | Question::Nobody(rule), None) => {
                let other = [place.candidate(), place.alternative()];
                decision.confirmations.push(Confirmation {
                    question: Violation::at(*rule, place.pointer.clone()),
                    candidate: accountable,
                    or: other.into_iter().flatten().find(|a| *a != accountable),
                });
                let rule = if basis == Basis::SchoolFallback {
                    rules::FALLBACK_USED
                } else {
                    rules::SENT_UNCONFIRMED
                };
                decision.warnings.push(Violation::at(rule, place.pointer.clone()));
            }
        }
    }
}

fn warn(atlas: Atlas, decision: &mut Decision, places: &[Place]) {
    for place in places {
        if place.answer.is_some_and(|answer| answer.is_retired()) {
            let at = Violation::at(rules::RETIRED_POSTCODE, place.pointer.clone());
            decision.warnings.push(at);
        }
        let home = place.home.and_then(|home: Answer| home.candidate());
        if home.is_some_and(|home| Some(home) != decision.accountable) {
            decision.alternatives.extend(home);
            let at = Violation::at(rules::CONSULT_HOME, place.pointer.clone());
            decision.warnings.push(at);
        }
    }
    if age_in_months(atlas.postcodes, decision.as_of) > OLD_MONTHS {
        decision.warnings.push(Violation::whole(rules::TABLE_OLD));
    }
}

/// From this age on a table is worth a warning: of live English postcodes 1.68 % were new after
/// three and a half years (May 2022 to November 2025).
pub const OLD_MONTHS: u32 = 18;

/// Whole months from the edition of the table to `day`; 0 if the edition is later.
pub fn age_in_months(table: &PostcodeTable, day: Date) -> u32 {
    let edition = i64::from(table.meta().year) * 12 + i64::from(table.meta().month);
    let day = i64::from(day.year()) * 12 + i64::from(day.month());
    u32::try_from(day - edition).unwrap_or(0)
}

impl Decision {
    /// One delivery per authority, with the strongest purpose and all reasons.
    fn add(&mut self, authority: DfeCode, purpose: Purpose, reason: Reason) {
        match self.deliveries.iter_mut().find(|d| d.authority == authority) {
            Some(delivery) => {
                delivery.purpose = delivery.purpose.min(purpose);
                if !delivery.reasons.contains(&reason) {
                    delivery.reasons.push(reason);
                }
            }
            None => self.deliveries.push(Delivery { authority, purpose, reasons: vec![reason] }),
        }
    }
}

#[cfg(test)]
mod tests;
