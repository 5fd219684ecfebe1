//! The way of a case: C9 the assessment with its progress notes, C10 the conference.

use std::collections::BTreeSet;

use super::answer::decision;
use super::clock::{About, Clock, Draft, Mark, WhyEnded};
use super::fact::{Fact, Step, What};
use super::id::{Class, ClockId};
use super::ladder::{Role, Turn};
use super::limit::{Limit, NOTE_EVERY};
use super::view::{Place, Round, View, claimed};

pub(super) fn clocks(view: &View<'_>, found: &mut Vec<Clock>) {
    for round in &view.rounds {
        assessment(view, round, found);
    }
    let children: BTreeSet<u32> = view.rounds.iter().map(|round| round.child).collect();
    for child in children {
        conference(view, child, found);
    }
}

fn step_of(fact: &Fact, child: u32) -> Option<Step> {
    match fact.what {
        What::Progress { child: of, step, .. } if of == child => Some(step),
        _ => None,
    }
}

/// C9 counts from the referral, whenever it was decided that an assessment follows.
fn assessment(view: &View<'_>, round: &Round, found: &mut Vec<Clock>) {
    let Some(decided) = decision(view, round, |assessed| assessed) else { return };
    let (child, start) = (round.child, round.start);
    let done = view.first(|f| round.has(f) && step_of(f, child) == Some(Step::AssessmentCompleted));
    let draft = view.draft(ClockId::C9, round.about(), start.place());
    let mut limits = draft.limits;
    if let Some(holder) = view.holder(start.at) {
        limits = view.with_promise(limits, ClockId::C9, start.at, holder);
    }
    let over = view.over_for(child, start.place());
    found.push(Draft { limits, met: done.map(Mark::from), over, ..draft }.finish(view));

    // Each note is a clock of its own: a late one stays late when the next one comes in time.
    let mut since = decided;
    loop {
        let next = view.after(since.place(), |f| round.has(f) && step_of(f, child).is_some());
        let about = About::Note(child, since.position);
        let draft = view.draft(ClockId::C9, about, since.place());
        let draft = Draft {
            class: Class::Scheme,
            limits: vec![(since.at, Limit::WorkingDays(NOTE_EVERY))],
            ladder: Some(vec![(Role::TeamManager, Turn::AtBreach)]),
            met: next.map(Mark::from),
            over,
            ..draft
        };
        found.push(draft.finish(view));
        match next {
            Some(next) if step_of(next, child) != Some(Step::AssessmentCompleted) => since = next,
            _ => break,
        }
    }
}

/// C10. A further strategy discussion while one waits for its conference does not restart the clock.
fn conference(view: &View<'_>, child: u32, found: &mut Vec<Clock>) {
    let mut open_until: Option<Option<Place>> = None;
    for fact in view.facts.iter().filter(|f| step_of(f, child) == Some(Step::StrategyDiscussion)) {
        if open_until.is_some_and(|until| until.is_none_or(|until| fact.place() < until)) {
            continue;
        }
        let next = |step| view.after(fact.place(), |f| step_of(f, child) == Some(step));
        let held = next(Step::ConferenceHeld).map(Mark::from);
        let ended = next(Step::EnquiryEnded).map(|f| (Mark::from(f), WhyEnded::Overtaken));
        let over = [ended, view.over_for(child, fact.place())];
        let over = over.into_iter().flatten().min_by_key(|(mark, _)| mark.place());
        let ends = [held, over.map(|(mark, _)| mark)];
        open_until = Some(ends.into_iter().flatten().map(|mark| mark.place()).min());
        let What::Progress { since, .. } = fact.what else { continue };
        let start = claimed(since, fact.at);
        let about = About::ChildEvent(child, fact.position);
        let draft = view.draft(ClockId::C10, about, (start, fact.position));
        let mut limits = draft.limits;
        if let Some(holder) = view.holder(fact.at) {
            limits = view.with_promise(limits, ClockId::C10, start, holder);
        }
        found.push(Draft { limits, met: held, over, ..draft }.finish(view));
    }
}
