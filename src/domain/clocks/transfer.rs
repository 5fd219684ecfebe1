//! C8: an answer to a proposed transfer. The holder keeps its duty and its clocks until the other
//! authority has accepted; after that they run on, for the other one.

use super::clock::{About, Clock, Draft, Mark, WhyEnded, answers};
use super::fact::{Fact, What};
use super::id::ClockId;
use super::view::View;
use crate::domain::party::{DfeCode, Organisation};

/// A proposed transfer and what became of it.
pub(super) struct Proposal<'a> {
    pub to: DfeCode,
    pub from: Option<DfeCode>,
    pub fact: &'a Fact,
    /// The first of accepted, declined and withdrawn.
    pub end: Option<Mark>,
    pub accepted: bool,
    pub withdrawn: bool,
}

pub(super) fn proposals<'a>(view: &View<'a>) -> Vec<Proposal<'a>> {
    let proposed = view.facts.iter().filter_map(|fact| {
        let What::TransferProposed { to } = fact.what else { return None };
        let end = view.after(fact.place(), |f| answers(&f.what, fact.position));
        let from = match fact.by {
            Organisation::Authority(code) => Some(code),
            _ => None,
        };
        Some(Proposal {
            to,
            from,
            fact,
            end: end.map(Mark::from),
            accepted: end.is_some_and(|f| matches!(f.what, What::TransferAccepted { .. })),
            withdrawn: end.is_some_and(|f| matches!(f.what, What::TransferWithdrawn { .. })),
        })
    });
    proposed.collect()
}

pub(super) fn clocks(view: &View<'_>, found: &mut Vec<Clock>) {
    for proposal in proposals(view) {
        let about = About::Event(proposal.fact.position);
        let draft = view.draft(ClockId::C8, about, proposal.fact.place());
        let met = proposal.end.filter(|_| !proposal.withdrawn);
        let withdrawn =
            proposal.end.filter(|_| proposal.withdrawn).map(|mark| (mark, WhyEnded::Overtaken));
        let limits = view.limits(ClockId::C8, proposal.fact.at, proposal.end);
        let draft = Draft {
            limits: view.with_promise(limits, ClockId::C8, proposal.fact.at, proposal.to),
            count: view.count(Some(proposal.to), &view.thread.school),
            met,
            over: [withdrawn, draft.over].into_iter().flatten().min_by_key(|(m, _)| m.place()),
            waits_for: Some(Organisation::Authority(proposal.to)),
            held_by: Some(proposal.to),
            authorities: proposal.from.into_iter().chain([proposal.to]).collect(),
            ..draft
        };
        found.push(draft.finish(view));
    }
}
