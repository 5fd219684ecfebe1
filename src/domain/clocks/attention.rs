//! Who is waited for: the one word that a list shows, and the answer behind it.

use super::clock::Clock;
use super::fact::{Setting, Thread, What};
use super::held::Segment;
use super::id::ClockId;
use super::ladder::Rung;
use super::view::{View, is_by};
use super::{answer, case, delivery, disagreement, reminder, school, transfer};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::time::Timestamp;

/// The third axis of a referral's status, beside transport and case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attention {
    /// The authority is to do something.
    WaitingOnAuthority,
    /// The school is to do something: answer, or read.
    WaitingOnSchool,
    /// Something has not happened by its limit.
    Overdue,
    /// A disagreement or a dispute about responsibility is open.
    Disputed,
    /// Nothing is waited for any more.
    Closed,
}

impl Attention {
    /// As written in answers and lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Attention::WaitingOnAuthority => "waiting_on_authority",
            Attention::WaitingOnSchool => "waiting_on_school",
            Attention::Overdue => "overdue",
            Attention::Disputed => "disputed",
            Attention::Closed => "closed",
        }
    }
}

/// What most needs to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which clock says so.
    pub clock: ClockId,
    /// For whom; `None` is the exchange.
    pub party: Option<Organisation>,
    /// By when.
    pub until: Timestamp,
    /// Whom to ring now, if a turn has come.
    pub ring: Vec<Rung>,
    /// Whose turn comes next, and when.
    pub next: Option<Rung>,
}

/// An urgent referral at an inbox that nobody reads, with no call recorded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unattended {
    /// Whose inbox.
    pub authority: DfeCode,
    /// When somebody will be there; `None` if that is not known.
    pub until: Option<Timestamp>,
}

/// Everything that follows from a thread at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The clocks that have started, by id and then by start.
    pub clocks: Vec<Clock>,
    /// The clocks that do not apply, or not yet.
    pub not_started: Vec<ClockId>,
    /// Who held it when.
    pub segments: Vec<Segment>,
    /// The one word.
    pub attention: Attention,
    /// Who is waited for.
    pub waiting: Option<Waiting>,
    /// Say at once: nobody is reading it, ring.
    pub unattended: Option<Unattended>,
    /// The stage of a disagreement that is offered; a person raises it.
    pub offered_stage: Option<u8>,
}

/// How a thread stands at `now`.
pub fn read(thread: &Thread, setting: &Setting, now: Timestamp) -> Reading {
    let view = View::new(thread, setting, now);
    let mut clocks = Vec::new();
    delivery::clocks(&view, &mut clocks);
    answer::clocks(&view, &mut clocks);
    transfer::clocks(&view, &mut clocks);
    case::clocks(&view, &mut clocks);
    disagreement::clocks(&view, &mut clocks);
    school::clocks(&view, &mut clocks);
    reminder::clocks(&view, &mut clocks);
    clocks.sort_by(|a, b| (a.id, a.started_at, &a.about).cmp(&(b.id, b.started_at, &b.about)));
    let started = |id: &ClockId| clocks.iter().any(|clock| clock.id == *id);
    let unattended = unattended(&view);
    let attention = attention(&view, &clocks);
    let waiting = waiting(&clocks, attention, now);
    Reading {
        not_started: ClockId::ALL.into_iter().filter(|id| !started(id)).collect(),
        segments: view.segments.clone(),
        attention,
        waiting,
        unattended,
        offered_stage: clocks.iter().filter_map(|clock| clock.offered_stage(now)).max(),
        clocks,
    }
}

/// Overdue before anything else; then a dispute; then whatever the school can do itself.
fn attention(view: &View<'_>, clocks: &[Clock]) -> Attention {
    if view.misidentified().is_some() {
        return Attention::Closed;
    }
    let open = |starts: &[fn(&What) -> bool], ends: fn(&What) -> bool| {
        let last =
            view.facts.iter().rev().find(|f| starts.iter().any(|s| s(&f.what)) || ends(&f.what));
        last.is_some_and(|fact| !ends(&fact.what))
    };
    let responsibility = open(&[|what| *what == What::ResponsibilityDisputed], |what| {
        matches!(what, What::DisputeResolved | What::TransferAccepted { .. })
    });
    let disagreement = open(
        &[
            |what| matches!(what, What::DisagreementRaised { .. }),
            |what| matches!(what, What::DisagreementStepped { .. }),
        ],
        |what| *what == What::DisagreementResolved,
    );
    let any_open = clocks.iter().any(|c| c.state.is_open() && !c.id.is_reminder());
    if clocks.iter().any(Clock::is_overdue) {
        Attention::Overdue
    } else if disagreement || (responsibility && view.is_over().is_none()) {
        Attention::Disputed
    } else if clocks.iter().any(waits_for_a_school) {
        Attention::WaitingOnSchool
    } else if view.is_over().is_some() || (view.accepted().is_none() && !any_open) {
        Attention::Closed
    } else {
        Attention::WaitingOnAuthority
    }
}

fn waits_for_a_school(clock: &Clock) -> bool {
    let school = matches!(clock.waits_for, Some(Organisation::School(_)));
    clock.state.is_open() && school && !clock.id.is_reminder()
}

/// The open clock that is overdue for longest, or due first; the school's where it is its turn.
fn waiting(clocks: &[Clock], attention: Attention, now: Timestamp) -> Option<Waiting> {
    let fits = |clock: &&Clock| {
        let its_turn = attention != Attention::WaitingOnSchool || waits_for_a_school(clock);
        clock.state.is_open() && its_turn && !clock.id.is_reminder()
    };
    let clock = clocks.iter().filter(fits).min_by_key(|clock| clock.due_at)?;
    Some(Waiting {
        clock: clock.id,
        party: clock.waits_for.clone(),
        until: clock.due_at,
        ring: clock.contacts(now).into_iter().cloned().collect(),
        next: clock.next_contact(now).cloned(),
    })
}

fn unattended(view: &View<'_>) -> Option<Unattended> {
    let (accepted, _) = view.accepted()?;
    let authority = view.holder(view.now)?;
    let calendars = &view.setting.calendars;
    let hours = calendars.authority(authority);
    let taken_over =
        view.facts.iter().rev().find(|fact| {
            matches!(fact.what, What::TransferAccepted { .. }) && is_by(fact, authority)
        });
    let since = taken_over.map_or(accepted.place(), |fact| fact.place());
    let settled = view.first(|f| match f.what {
        What::Opened | What::Acknowledged => is_by(f, authority),
        What::CallRecorded => f.place() >= since,
        _ => false,
    });
    let urgent = view.urgency(view.now).is_urgent();
    let on_duty = hours.on_duty(view.now, &calendars.bank_holidays);
    if !urgent || on_duty || settled.is_some() || view.is_over().is_some() {
        return None;
    }
    Some(Unattended { authority, until: hours.next_on_duty(view.now, &calendars.bank_holidays) })
}
