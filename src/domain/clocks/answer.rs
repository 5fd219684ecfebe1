//! What the authority owes the school, and the school the authority: C5 acknowledged and decided, C6
//! an answer to a question, C7 who works with the child, C13 an allegation.

use super::clock::{About, Clock, Draft, Mark, answers};
use super::fact::{Fact, What};
use super::id::{Class, ClockId};
use super::ladder::{Role, Turn};
use super::view::View;
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
    for child in view.children() {
        worker_known(view, child, found);
    }
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
    let over = view.over(None);
    found.push(c5(view, accepted, About::Referral, acknowledged, class, over));
    for child in view.children().filter(|_| !informs) {
        let decided = decision(view, child, |_| true).map(Mark::from);
        let over = view.over(Some(child));
        found.push(c5(view, accepted, About::Child(child), decided, class, over));
    }
}

fn c5(
    view: &View<'_>,
    accepted: &Fact,
    about: About,
    met: Option<Mark>,
    class: Class,
    over: Option<(Mark, super::WhyEnded)>,
) -> Clock {
    let first = view.accepted().map(|(_, first)| first);
    let draft = view.draft(ClockId::C5, about, accepted.at);
    let mut limits = draft.limits;
    if let Some(first) = first {
        limits = view.with_promise(limits, ClockId::C5, accepted.at, first);
    }
    let mut count = view.count(first, &view.thread.school);
    count.cut_off = !view.urgency(accepted.at).is_urgent();
    Draft { limits, count, met, class, over, ..draft }.finish(view)
}

fn decision<'a>(view: &View<'a>, child: u32, fits: impl Fn(bool) -> bool) -> Option<&'a Fact> {
    view.first(|f| match f.what {
        What::Decided { child: of, assessed } => of == child && fits(assessed),
        _ => false,
    })
}

/// C6. The authority's own clocks run on meanwhile.
fn question(view: &View<'_>, asked: &Fact, found: &mut Vec<Clock>) {
    let met = view.first(|f| answers(&f.what, asked.position)).map(Mark::from);
    let draft = view.draft(ClockId::C6, About::Event(asked.position), asked.at);
    let draft = Draft {
        limits: view.limits(ClockId::C6, asked.at, met),
        met,
        waits_for: Some(Organisation::School(view.thread.school.clone())),
        ..draft
    };
    found.push(draft.finish(view));
}

/// C7: for the first worker. Another one later is a change, see C15.
fn worker_known(view: &View<'_>, child: u32, found: &mut Vec<Clock>) {
    let Some(decided) = decision(view, child, |assessed| assessed) else { return };
    let met = view.first(|f| f.what == What::Allocated { child }).map(Mark::from);
    let draft = view.draft(ClockId::C7, About::Child(child), decided.at);
    let mut limits = draft.limits;
    if let Some(holder) = view.holder(decided.at) {
        limits = view.with_promise(limits, ClockId::C7, decided.at, holder);
    }
    found.push(Draft { limits, met, over: view.over(Some(child)), ..draft }.finish(view));
}

/// C13: the school passes an allegation on within a working day of knowing of it; the designated
/// officer answers within a working day of receiving it.
fn allegation(view: &View<'_>, accepted: &Fact, found: &mut Vec<Clock>) {
    if let Some(known) = view.thread.known_since {
        let start = known.min(accepted.at);
        let draft = view.draft(ClockId::C13, About::Report, start);
        let draft = Draft {
            met: Some(Mark::from(accepted)),
            waits_for: Some(Organisation::School(view.thread.school.clone())),
            ..draft
        };
        found.push(draft.finish(view));
    }
    let answer = |f: &Fact| matches!(f.what, What::Acknowledged | What::Decided { .. });
    let mut draft = view.draft(ClockId::C13, About::Referral, accepted.at);
    draft.count.cut_off = !view.urgency(accepted.at).is_urgent();
    draft.ladder = Some(vec![(Role::LadoManager, Turn::AtBreach)]);
    draft.met = view.first(answer).map(Mark::from);
    found.push(draft.finish(view));
}
