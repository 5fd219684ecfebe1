//! The way of a case: C9 the assessment with its progress notes, C10 the conference.

use super::clock::{About, Clock, Draft, Mark, WhyEnded};
use super::fact::{Fact, Step, What};
use super::id::{Class, ClockId};
use super::ladder::{Role, Turn};
use super::limit::{Limit, NOTE_EVERY};
use super::view::{View, claimed};

pub(super) fn clocks(view: &View<'_>, found: &mut Vec<Clock>) {
    for child in view.children() {
        assessment(view, child, found);
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
fn assessment(view: &View<'_>, child: u32, found: &mut Vec<Clock>) {
    let decided = view.first(|f| f.what == What::Decided { child, assessed: true });
    let (Some((accepted, _)), Some(decided)) = (view.accepted(), decided) else { return };
    let done = view.first(|f| step_of(f, child) == Some(Step::AssessmentCompleted));
    let draft = view.draft(ClockId::C9, About::Child(child), accepted.at);
    let mut limits = draft.limits;
    if let Some(holder) = view.holder(accepted.at) {
        limits = view.with_promise(limits, ClockId::C9, accepted.at, holder);
    }
    let over = view.over(Some(child));
    found.push(Draft { limits, met: done.map(Mark::from), over, ..draft }.finish(view));

    // Each note is a clock of its own: a late one stays late when the next one comes in time.
    let mut since = decided;
    for number in 1.. {
        let next = view.first(|f| {
            let later = (f.at, f.position) > (since.at, since.position);
            later && step_of(f, child).is_some()
        });
        let draft = view.draft(ClockId::C9, About::Note(child, number), since.at);
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
    let mut open_until = None;
    for fact in view.facts.iter().filter(|f| step_of(f, child) == Some(Step::StrategyDiscussion)) {
        if open_until.is_some_and(|until: Option<(_, u32)>| {
            until.is_none_or(|until| (fact.at, fact.position) < until)
        }) {
            continue;
        }
        let next = |step| {
            view.first(|f| {
                (f.at, f.position) > (fact.at, fact.position) && step_of(f, child) == Some(step)
            })
        };
        let (held, ended) = (next(Step::ConferenceHeld), next(Step::EnquiryEnded));
        open_until = Some([held, ended].into_iter().flatten().map(|f| (f.at, f.position)).min());
        let What::Progress { since, .. } = fact.what else { continue };
        let start = claimed(since, fact.at);
        let draft = view.draft(ClockId::C10, About::ChildEvent(child, fact.position), start);
        let mut limits = draft.limits;
        if let Some(holder) = view.holder(fact.at) {
            limits = view.with_promise(limits, ClockId::C10, start, holder);
        }
        let ended = ended.map(|f| (Mark::from(f), WhyEnded::Overtaken));
        let over = [ended, view.over(Some(child))].into_iter().flatten().min_by_key(|(m, _)| m.at);
        found.push(Draft { limits, met: held.map(Mark::from), over, ..draft }.finish(view));
    }
}
