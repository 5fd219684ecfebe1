//! C11: an answer at each stage of a disagreement, and its end within a working week. Five stages of
//! one working day each are that week. A missed limit offers the next stage; a person takes it there.

use super::clock::{About, Clock, Draft, Mark, WhyEnded, answers};
use super::fact::{Fact, What};
use super::id::ClockId;
use super::ladder::{Role, Turn, next_stage};
use super::limit::whole_disagreement;
use super::view::View;
use crate::domain::time::Timestamp;

pub(super) fn clocks(view: &View<'_>, found: &mut Vec<Clock>) {
    let raised = |fact: &&Fact| matches!(fact.what, What::DisagreementRaised { .. });
    for fact in view.facts.iter().copied().filter(raised) {
        let resolved = after(view, fact, |what| *what == What::DisagreementResolved);
        let next = after(view, fact, |what| matches!(what, What::DisagreementRaised { .. }));
        let next = next.map(Mark::from);
        // One that is raised while another is open takes its place.
        let end = resolved
            .map(Mark::from)
            .filter(|end| next.is_none_or(|next| end.place() < next.place()));
        let over = [next.map(|mark| (mark, WhyEnded::Overtaken)), view.misidentified()];
        let over = over.into_iter().flatten().min_by_key(|(mark, _)| mark.place());
        let whole = view.draft(ClockId::C11, About::Disagreement(fact.position), fact.place());
        let limit = whole_disagreement(view.urgency(fact.at));
        let by_day = whole.count.end(fact.at, limit);
        let whole = Draft { limits: vec![(fact.at, limit)], met: end, over, ..whole };
        found.push(whole.finish(view));
        stages(view, fact, end, next, by_day, found);
    }
}

fn stages(
    view: &View<'_>,
    raised: &Fact,
    end: Option<Mark>,
    next: Option<Mark>,
    by_day: Timestamp,
    found: &mut Vec<Clock>,
) {
    let within = |f: &&Fact| {
        let place = f.place();
        let before = |mark: Option<Mark>| mark.is_none_or(|m| place < m.place());
        place >= raised.place() && before(end) && before(next)
    };
    for fact in view.facts.iter().copied().filter(within) {
        let stage = match fact.what {
            What::DisagreementStepped { stage } | What::DisagreementRaised { stage } => stage,
            _ => continue,
        };
        let responded = after(view, fact, |what| answers(what, fact.position)).map(Mark::from);
        let met = [responded, end].into_iter().flatten().min_by_key(|mark| mark.place());
        let further = |what: &What| {
            matches!(what, What::DisagreementStepped { .. } | What::DisagreementRaised { .. })
        };
        let stepped = after(view, fact, further);
        let overtaken = stepped.map(|f| (Mark::from(f), WhyEnded::Overtaken));
        let holder = view.holder(view.now);
        let next = match next_stage(stage) {
            Role::HeadOfService if !holder.is_some_and(|code| view.head_of_service(code)) => {
                Role::ServiceManager
            }
            role => role,
        };
        let draft = view.draft(ClockId::C11, About::Stage(fact.position, stage), fact.place());
        let mut limits = view.limits(ClockId::C11, fact.at, met);
        if let Some(holder) = holder {
            limits = view.with_promise(limits, ClockId::C11, fact.at, holder);
        }
        let stage_end = limits.iter().map(|(from, limit)| draft.count.end(*from, *limit)).min();
        let draft = Draft {
            limits,
            // A stage does not outlast the week of the whole in which it began.
            due: stage_end.map(|end| (if fact.at < by_day { end.min(by_day) } else { end }, false)),
            ladder: Some(vec![(next, Turn::AtBreach)]),
            met,
            over: [overtaken, view.misidentified()]
                .into_iter()
                .flatten()
                .min_by_key(|(mark, _)| mark.place()),
            stage: Some(stage),
            ..draft
        };
        found.push(draft.finish(view));
    }
}

fn after<'a>(view: &View<'a>, fact: &Fact, fits: impl Fn(&What) -> bool) -> Option<&'a Fact> {
    view.after(fact.place(), |f| fits(&f.what))
}
