//! R1 reminds the school, once, of a supplement to an urgent-minimal referral; R2 chases changed contacts
//! that the other side has not confirmed.

use super::clock::{About, Clock, Draft, Mark, WhyEnded};
use super::fact::What;
use super::id::ClockId;
use super::ladder::{Role, Turn};
use super::limit::Limit;
use super::view::View;
use crate::domain::party::Organisation;

pub(super) fn clocks(view: &View<'_>, found: &mut Vec<Clock>) {
    supplement(view, found);
    contacts(view, found);
}

/// R1 ends with the first acknowledgement: from then on a person asks for what is missing. It is a
/// reminder and never late.
fn supplement(view: &View<'_>, found: &mut Vec<Clock>) {
    let Some(minimal) = view.first(|f| f.what == What::UrgentMinimal) else { return };
    let place = minimal.place();
    let draft = view.draft(ClockId::R1, About::Referral, place);
    let later = view
        .after(place, |f| f.position > minimal.position && matches!(f.what, What::Version { .. }));
    let acknowledged = view.after(place, |f| f.what == What::Acknowledged);
    let acknowledged = acknowledged.map(|f| (Mark::from(f), WhyEnded::Overtaken));
    let over = [acknowledged, view.over(place)].into_iter().flatten();
    let draft = Draft {
        met: later.map(Mark::from),
        over: over.min_by_key(|(mark, _)| mark.place()),
        waits_for: Some(Organisation::School(view.thread.school.clone())),
        ..draft
    };
    found.push(draft.finish(view));
}

/// R2: a newer change by the same side takes the place of an older one.
fn contacts(view: &View<'_>, found: &mut Vec<Clock>) {
    let changes = view.facts.iter().filter(|f| f.what == What::ContactsChanged);
    for fact in changes {
        let position = fact.position;
        let confirmed = view.first(|f| f.what == What::ContactsConfirmed { answers: position });
        let newer =
            view.after(fact.place(), |f| f.what == What::ContactsChanged && f.by == fact.by);
        let newer = newer.map(|f| (Mark::from(f), WhyEnded::Overtaken));
        let over = [newer, view.over(fact.place())].into_iter().flatten();
        let draft = view.draft(ClockId::R2, About::Event(position), fact.place());
        let by_school = matches!(fact.by, Organisation::School(_));
        let (limit, other, ladder) = match by_school {
            true => (
                Limit::WorkingDays(1),
                view.holder(view.now).map(Organisation::Authority),
                vec![(Role::TeamManager, Turn::AtBreach)],
            ),
            false => (
                Limit::NextSchoolDay,
                Some(Organisation::School(view.thread.school.clone())),
                vec![(Role::Deputy, Turn::AtBreach), (Role::Head, Turn::Again)],
            ),
        };
        let draft = Draft {
            limits: vec![(fact.at, limit)],
            met: confirmed.map(Mark::from),
            over: over.min_by_key(|(mark, _)| mark.place()),
            waits_for: other,
            ladder: Some(ladder),
            ..draft
        };
        found.push(draft.finish(view));
    }
}
