//! What the authority owes the school, and the school the authority: C5 acknowledged and decided, C6
//! an answer to a question, C7 who works with the child, C13 an allegation.

use std::collections::BTreeMap;

use super::clock::{About, Clock, Draft, Mark, WhyEnded, answers};
use super::fact::{Fact, What};
use super::id::{Class, ClockId};
use super::ladder::{Role, Turn};
use super::view::{Place, Round, View};
use crate::domain::party::Organisation;
use crate::domain::referral::RequestType;

pub(super) fn clocks(view: &View<'_>, found: &mut Vec<Clock>) {
    if let Some((accepted, _)) = view.accepted() {
        if view.thread.request_type == RequestType::Lado {
            allegation(view, accepted, found);
        } else {
            acknowledged_and_decided(view, accepted, found);
        }
    }
    for fact in view.facts.iter().filter(|f| f.what == What::InformationRequested) {
        question(view, fact, found);
    }
    worker_known(view, found);
}

/// C5: one clock for the acknowledgement and one for the decision on each child, with one start: the
/// acceptance by the exchange for the first authority. Neither a question nor a transfer nor a
/// dispute stops or restarts it.
fn acknowledged_and_decided(view: &View<'_>, accepted: &Fact, found: &mut Vec<Clock>) {
    let informs = view.thread.request_type == RequestType::InformationOnly;
    let class = match view.thread.request_type {
        RequestType::FamilyHelp => Class::Procedure,
        RequestType::InformationOnly => Class::Scheme,
        _ => Class::Statutory,
    };
    let by_a_holder = |f: &Fact| {
        f.what == What::Acknowledged
            && view.holder(f.at).map(Organisation::Authority).as_ref() == Some(&f.by)
    };
    let acknowledged = view.first(by_a_holder).map(Mark::from);
    let start = Mark::from(accepted);
    let over = view.over(start.place());
    found.push(c5(view, start, About::Referral, acknowledged, class, over));
    for round in view.rounds.iter().filter(|_| !informs) {
        let place = round.start.place();
        let decided = decision(view, round, |_| true).map(Mark::from);
        let over = view.over_for(round.child, place);
        found.push(c5(view, round.start, round.about(), decided, class, over));
    }
}

fn c5(
    view: &View<'_>,
    start: Mark,
    about: About,
    met: Option<Mark>,
    class: Class,
    over: Option<(Mark, WhyEnded)>,
) -> Clock {
    let first = view.accepted().map(|(_, first)| first);
    let draft = view.draft(ClockId::C5, about, start.place());
    let mut limits = draft.limits;
    if let Some(first) = first {
        limits = view.with_promise(limits, ClockId::C5, start.at, first);
    }
    let mut count = view.count(first, &view.thread.school);
    count.cut_off_before = view.cut_off_before();
    Draft { limits, count, met, class, over, ..draft }.finish(view)
}

/// The first decision on a child in one round of its case.
pub(super) fn decision<'a>(
    view: &View<'a>,
    round: &Round,
    fits: impl Fn(bool) -> bool,
) -> Option<&'a Fact> {
    view.first(|f| match f.what {
        What::Decided { child, assessed } => child == round.child && round.has(f) && fits(assessed),
        _ => false,
    })
}

/// C6. The authority's own clocks run on meanwhile.
fn question(view: &View<'_>, asked: &Fact, found: &mut Vec<Clock>) {
    let met = view.first(|f| answers(&f.what, asked.position)).map(Mark::from);
    let draft = view.draft(ClockId::C6, About::Event(asked.position), asked.place());
    let draft = Draft {
        limits: view.limits(ClockId::C6, asked.at, met),
        met,
        waits_for: Some(Organisation::School(view.thread.school.clone())),
        ..draft
    };
    found.push(draft.finish(view));
}

/// C7: for the first worker after a decision that an assessment follows. Another worker later is a
/// change, see C15; a further decision while a worker is waited for restarts nothing.
fn worker_known(view: &View<'_>, found: &mut Vec<Clock>) {
    let mut waited_for = BTreeMap::new();
    for fact in &view.facts {
        let What::Decided { child, assessed: true } = fact.what else { continue };
        if waited_for
            .get(&child)
            .is_some_and(|until: &Option<Place>| until.is_none_or(|until| fact.place() < until))
        {
            continue;
        }
        let met = view.after(fact.place(), |f| f.what == What::Allocated { child });
        let over = view.over_for(child, fact.place());
        let ends = [met.map(Fact::place), over.map(|(mark, _)| mark.place())];
        waited_for.insert(child, ends.into_iter().flatten().min());
        let about = About::ChildEvent(child, fact.position);
        let draft = view.draft(ClockId::C7, about, fact.place());
        let mut limits = draft.limits;
        if let Some(holder) = view.holder(fact.at) {
            limits = view.with_promise(limits, ClockId::C7, fact.at, holder);
        }
        found.push(Draft { limits, met: met.map(Mark::from), over, ..draft }.finish(view));
    }
}

/// C13: the school passes an allegation on within a working day of knowing of it; the designated
/// officer answers within a working day of receiving it.
fn allegation(view: &View<'_>, accepted: &Fact, found: &mut Vec<Clock>) {
    if let Some(known) = view.thread.known_since {
        let start = known.min(accepted.at);
        let draft = view.draft(ClockId::C13, About::Report, (start, accepted.position));
        let draft = Draft {
            met: Some(Mark::from(accepted)),
            waits_for: Some(Organisation::School(view.thread.school.clone())),
            ..draft
        };
        found.push(draft.finish(view));
    }
    let answer = |f: &Fact| matches!(f.what, What::Acknowledged | What::Decided { .. });
    let mut draft = view.draft(ClockId::C13, About::Referral, accepted.place());
    draft.count.cut_off_before = view.cut_off_before();
    if let Some(holder) = view.holder(accepted.at) {
        draft.limits = view.with_promise(draft.limits, ClockId::C13, accepted.at, holder);
    }
    draft.ladder = Some(vec![(Role::LadoManager, Turn::AtBreach)]);
    draft.met = view.first(answer).map(Mark::from);
    found.push(draft.finish(view));
}
