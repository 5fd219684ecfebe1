//! On the way to a person: C1 receipt, C2 stored, C3 opened, C4 an answer before home time, E10 a
//! request for today read; and the acknowledgement of further deliveries.

use super::clock::{About, Clock, Draft, Mark, WhyEnded, answers};
use super::fact::{Fact, What};
use super::id::{Class, ClockId};
use super::limit::{Limit, home_time_limit};
use super::transfer::proposals;
use super::view::{View, is_by};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::time::Timestamp;

/// A delivery that was begun.
struct Delivery<'a> {
    to: DfeCode,
    by: &'a Fact,
    kind: Kind,
    over: Option<(Mark, WhyEnded)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The referral, to who is or may become accountable.
    Referral,
    /// The referral, to an authority that has to acknowledge it beside the accountable one.
    Linked,
    /// A later version. Whoever works on the case reads it: it is not opened a second time.
    Supplement,
}

pub(super) fn clocks(view: &View<'_>, found: &mut Vec<Clock>) {
    receipt(view, found);
    for delivery in deliveries(view) {
        delivered_and_opened(view, &delivery, found);
    }
    before_home_time(view, found);
    for fact in view.facts.iter().filter(|fact| fact.what == What::Interim) {
        request_read(view, fact, found);
    }
}

fn receipt(view: &View<'_>, found: &mut Vec<Clock>) {
    let Some(submitted) = view.first(|fact| fact.what == What::Submitted) else { return };
    let draft = view.draft(ClockId::C1, About::Referral, submitted.place());
    let met = view.accepted().map(|(fact, _)| Mark::from(fact));
    found.push(Draft { met, waits_for: None, ..draft }.finish(view));
}

fn deliveries<'a>(view: &View<'a>) -> Vec<Delivery<'a>> {
    let had_one = |code: DfeCode, fact: &Fact| {
        let linked = |f: &Fact| matches!(f.what, What::Dispatched { to, .. } if to == code);
        view.first(linked).is_some_and(|first| first.position < fact.position)
    };
    let begun = |fact: &&'a Fact| {
        let (to, kind) = match fact.what {
            What::Accepted { to } => (to, Kind::Referral),
            What::Dispatched { to, .. } if had_one(to, fact) => (to, Kind::Supplement),
            What::Dispatched { to, .. } => (to, Kind::Linked),
            What::Version { .. } if view.accepted()?.0.position < fact.position => {
                (view.holder(fact.at)?, Kind::Supplement)
            }
            _ => return None,
        };
        Some(Delivery { to, by: fact, kind, over: view.over(fact.place()) })
    };
    let proposed = proposals(view).into_iter().map(|p| {
        // A proposal that came to nothing ends what was waited for there.
        let ended = p.end.filter(|_| !p.accepted).map(|mark| (mark, WhyEnded::Overtaken));
        let over = [view.over(p.fact.place()), ended];
        let over = over.into_iter().flatten().min_by_key(|(mark, _)| mark.place());
        Delivery { to: p.to, by: p.fact, kind: Kind::Referral, over }
    });
    view.facts.iter().filter_map(begun).chain(proposed).collect()
}

fn delivered_and_opened(view: &View<'_>, delivery: &Delivery<'_>, found: &mut Vec<Clock>) {
    let (to, begun) = (delivery.to, delivery.by.place());
    let position = delivery.by.position;
    let clock = |id, start: Timestamp, met: Option<Mark>| {
        let draft = view.draft(id, About::Delivery(to, position), (start, position));
        let limits = view.with_promise(view.limits(id, start, met), id, start, to);
        Draft {
            limits,
            count: view.count(Some(to), &view.thread.school),
            met,
            over: delivery.over,
            waits_for: Some(Organisation::Authority(to)),
            authorities: vec![to],
            held_by: Some(to),
            ..draft
        }
    };
    let stored = view.first(|f| match f.what {
        What::Delivered { to: code, of } | What::HandedOver { to: code, of } => {
            code == to && of == position && f.at >= delivery.by.at
        }
        _ => false,
    });
    found.push(clock(ClockId::C2, delivery.by.at, stored.map(Mark::from)).finish(view));
    if delivery.kind == Kind::Supplement {
        return;
    }
    if let Some(stored) = stored {
        let seen = |what: &What| matches!(what, What::Opened | What::Acknowledged);
        // Who had a linked delivery of it has read it before it is asked to take it over.
        let linked =
            view.first(|f| matches!(f.what, What::Dispatched { to: code, .. } if code == to));
        let from = linked.map_or(begun, |fact| fact.place().min(begun));
        let opened = view.after(from, |f| is_by(f, to) && seen(&f.what));
        found.push(clock(ClockId::C3, stored.at, opened.map(Mark::from)).finish(view));
    }
    if delivery.kind == Kind::Linked {
        let acknowledged = view.after(begun, |f| is_by(f, to) && f.what == What::Acknowledged);
        let draft = clock(ClockId::C5, delivery.by.at, acknowledged.map(Mark::from));
        found.push(Draft { class: Class::Scheme, ..draft }.finish(view));
    }
}

/// C4. Only while a child is at school and somebody must act today; what the authority says by phone
/// counts as much as what it writes.
fn before_home_time(view: &View<'_>, found: &mut Vec<Clock>) {
    let Some((accepted, _)) = view.accepted() else { return };
    let school = view.setting.calendars.school(&view.thread.school);
    let wanted = view.situations().into_iter().filter(|s| s.in_school && s.urgency.is_urgent());
    let mut cases = wanted.filter_map(|said| {
        let received = said.at.max(accepted.at);
        let home = said.goes_home_at.or_else(|| school.home_time(received.in_england().0))?;
        let (due, short) = home_time_limit(received, home);
        (home > received).then_some((received, due, short, said.goes_home_at))
    });
    let Some((start, mut due, mut short, goes_home_at)) = cases.next() else { return };
    let met = view.first(|f| {
        let theirs = matches!(f.by, Organisation::Authority(_));
        let answer = matches!(f.what, What::Interim | What::Decided { .. } | What::CallRecorded);
        theirs && answer && f.at >= start
    });
    for (received, sooner, its_short, _) in cases {
        if sooner < due && met.is_none_or(|met| received <= met.at) {
            (due, short) = (sooner, its_short);
        }
    }
    let draft = view.draft(ClockId::C4, About::Referral, (start, accepted.position));
    let mut count = view.count(view.holder(view.now), &view.thread.school);
    count.goes_home_at = goes_home_at;
    let draft = Draft {
        limits: vec![(start, Limit::HomeTime)],
        count,
        due: Some((due, short)),
        met: met.map(Mark::from),
        ..draft
    };
    found.push(draft.finish(view));
}

/// E10. The school is waited for; whoever wrote it is told to phone.
fn request_read(view: &View<'_>, interim: &Fact, found: &mut Vec<Clock>) {
    let position = interim.position;
    let met = view.first(|f| answers(&f.what, position) || f.what == What::Read { position });
    let author = match interim.by {
        Organisation::Authority(code) => Some(code),
        _ => view.holder(view.now),
    };
    let draft = view.draft(ClockId::E10, About::Event(position), interim.place());
    let draft = Draft {
        met: met.map(Mark::from),
        waits_for: Some(Organisation::School(view.thread.school.clone())),
        authorities: author.into_iter().collect(),
        ..draft
    };
    found.push(draft.finish(view));
}
