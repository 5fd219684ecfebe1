//! What the school is told: C12 outcomes are read, C15 notices and changes arrive by 3 pm of the next
//! full school day, at every school that is linked.

use std::collections::BTreeSet;

use super::clock::{About, Clock, Draft, Mark};
use super::fact::{Fact, Step, What};
use super::id::ClockId;
use super::ladder::{Role, Turn};
use super::view::{View, claimed};
use crate::domain::hours::england_instant;
use crate::domain::party::{Organisation, SchoolId};
use crate::domain::time::{Date, Timestamp};

pub(super) fn clocks(view: &View<'_>, found: &mut Vec<Clock>) {
    let mut seen = BTreeSet::new();
    for fact in &view.facts {
        let outcome = matches!(fact.what, What::Decided { .. } | What::Closed { .. });
        if outcome && seen.insert((ClockId::C12, fact.position)) {
            read(view, fact, &view.thread.school, found);
        }
        if let What::Notice { school, since } = &fact.what {
            read(view, fact, school, found);
            told(view, fact, school, *since, found);
        }
        let change = match &fact.what {
            What::WorkerChanged { since, .. } => Some(*since),
            What::Progress { step, since, .. } if *step != Step::Note => Some(*since),
            What::Closed { .. } => Some(None),
            _ => None,
        };
        if let Some(since) = change
            && seen.insert((ClockId::C15, fact.position))
        {
            for school in linked(view, fact) {
                told(view, fact, &school, since, found);
            }
        }
    }
}

/// The schools that were to hear of a fact when it was recorded.
fn linked(view: &View<'_>, fact: &Fact) -> BTreeSet<SchoolId> {
    let by_then = view.facts.iter().filter(|f| f.at <= fact.at);
    let others = by_then.filter_map(|f| match &f.what {
        What::SchoolLinked { school } | What::Notice { school, .. } => Some(school.clone()),
        _ => None,
    });
    others.chain([view.thread.school.clone()]).collect()
}

/// C12. It stands still while the school is closed; from the first such day on the holiday contact
/// is asked. Not even closing the case ends it: an unread outcome is no outcome.
fn read(view: &View<'_>, fact: &Fact, school: &SchoolId, found: &mut Vec<Clock>) {
    let position = fact.position;
    let about = About::Event(position);
    let draft = view.draft(ClockId::C12, about, fact.place());
    let count = view.count(view.holder(view.now), school);
    let due = count.school.three_pm_next(fact.at);
    let mut ladder = super::ladder(ClockId::C12, view.urgency(fact.at)).to_vec();
    let (first, last) = (fact.at.in_england().0, due.in_england().0);
    let closed = (first.days()..last.days())
        .map(Date::from_days)
        .find(|day| count.school.kind(*day).holiday_contact());
    if let Some(day) = closed {
        let from = england_instant(day, 0).max(fact.at);
        ladder.insert(0, (Role::HolidayContact, Turn::Since(from.since(fact.at))));
    }
    let by = Organisation::School(school.clone());
    let draft = Draft {
        count,
        met: view.first(|f| f.by == by && f.what == What::Read { position }).map(Mark::from),
        over: view.misidentified(),
        waits_for: Some(by.clone()),
        school: school.clone(),
        ladder: Some(ladder),
        ..draft
    };
    found.push(draft.finish(view));
}

/// C15: met when the school's system has it, or a person there has read it.
fn told(
    view: &View<'_>,
    fact: &Fact,
    school: &SchoolId,
    since: Option<Date>,
    found: &mut Vec<Clock>,
) {
    let position = fact.position;
    let start: Timestamp = claimed(since, fact.at);
    let by = Organisation::School(school.clone());
    let met = view.first(|f| match &f.what {
        What::Reached { school: at, position: of } => at == school && *of == position,
        What::Read { position: of } => f.by == by && *of == position,
        _ => false,
    });
    let draft = view.draft(ClockId::C15, About::Told(position, school.clone()), (start, position));
    let draft = Draft {
        count: view.count(view.holder(view.now), school),
        met: met.map(Mark::from),
        over: view.misidentified(),
        waits_for: Some(by.clone()),
        school: school.clone(),
        ..draft
    };
    found.push(draft.finish(view));
}
