//! One clock at one instant.

use std::fmt;

use super::fact::What;
use super::held::Held;
use super::id::{Class, ClockId};
use super::ladder::{Role, Rung, Turn, instead_of, ladder, school_rings_after};
use super::limit::{Count, Limit};
use super::view::View;
use crate::domain::calendar::END_OF_WORKING_DAY;
use crate::domain::hours::england_instant;
use crate::domain::party::{DfeCode, Organisation, SchoolId};
use crate::domain::time::{HOUR, MINUTE, Timestamp};

/// A clock as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Which of the scheme's clocks.
    pub id: ClockId,
    /// What it is about; with `id` its name for good.
    pub about: About,
    /// Where its limit comes from.
    pub class: Class,
    /// When it started.
    pub started_at: Timestamp,
    /// The last instant that is in time.
    pub due_at: Timestamp,
    /// From when on it is near its limit, if it warns.
    pub warn_at: Option<Timestamp>,
    /// How it stands.
    pub state: State,
    /// Until when it stands still, because its calendar does: at night, at a weekend, in holidays.
    pub still_until: Option<Timestamp>,
    /// Less time than anybody needs was left from the start (C4).
    pub short_notice: bool,
    /// The limit rests on days that nobody has told us, or that may still be proclaimed.
    pub assumed: bool,
    /// Who is waited for; `None` is the exchange itself.
    pub waits_for: Option<Organisation>,
    /// Whom to ask, in order, with the time of each one's turn.
    pub ladder: Vec<Rung>,
    /// From when on the school is to ring about a delivery that is not stored (C2), whoever at the school
    /// is on the ladder.
    pub rings_at: Option<Timestamp>,
    /// From when on which stage of a disagreement is offered while it is overdue.
    pub offers: Vec<(Timestamp, u8)>,
    /// Whether a breach pages who is on duty.
    pub pages: bool,
    /// Whose time it was, as far as an authority was waited for: the holders of the referral in
    /// turn, or the one that a delivery or proposal went to. What a school takes is nobody's.
    pub held: Vec<Held>,
}

/// What a clock is about. Written `referral`, `child-1`, `delivery-204-3`, `event-7` and so on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// The referral as a whole.
    Referral,
    /// An allegation, from its being known to its being passed on.
    Report,
    /// A child, by number.
    Child(u32),
    /// What the fact at a position began for a child.
    ChildEvent(u32, u32),
    /// A delivery: to whom, begun by the fact at which position.
    Delivery(DfeCode, u32),
    /// The fact at a position.
    Event(u32),
    /// The fact at a position, as far as a school knows of it.
    Told(u32, SchoolId),
    /// A stage of a disagreement, begun by the fact at a position.
    Stage(u32, u8),
    /// A disagreement as a whole, begun by the fact at a position.
    Disagreement(u32),
    /// The progress note of a child that follows the fact at a position.
    Note(u32, u32),
}

impl About {
    /// For a person; nothing where it is the referral as a whole.
    pub fn words(&self) -> Option<String> {
        Some(match self {
            About::Referral | About::Report | About::Child(0) | About::ChildEvent(0, _) => None?,
            About::Child(child) | About::ChildEvent(child, _) => format!("child {child}"),
            About::Delivery(to, _) => format!("authority {to}"),
            About::Event(position) => format!("to position {position}"),
            About::Told(position, _) => format!("of position {position}"),
            About::Stage(_, stage) => format!("stage {stage}"),
            About::Disagreement(_) => "as a whole".to_owned(),
            About::Note(child, note) => format!("child {child}, note {note}"),
        })
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            About::Referral => f.write_str("referral"),
            About::Report => f.write_str("report"),
            About::Child(child) => write!(f, "child-{child}"),
            About::ChildEvent(child, position) => write!(f, "child-{child}-{position}"),
            About::Delivery(to, position) => write!(f, "delivery-{to}-{position}"),
            About::Event(position) => write!(f, "event-{position}"),
            About::Told(position, school) => write!(f, "told-{position}-{school}"),
            About::Stage(position, stage) => write!(f, "stage-{position}-{stage}"),
            About::Disagreement(position) => write!(f, "disagreement-{position}"),
            About::Note(child, position) => write!(f, "note-{child}-{position}"),
        }
    }
}

/// A fact that stopped a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When it was recorded.
    pub at: Timestamp,
    /// Its place in the thread.
    pub position: u32,
}

/// How a clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It runs, and the limit is near.
    Warned,
    /// What it waited for happened in time.
    Met(Mark),
    /// The limit passed. What happened afterwards does not undo that.
    Breached {
        /// When it happened after all.
        late: Option<Mark>,
        /// Why it need not happen any more.
        ended: Option<(Mark, WhyEnded)>,
    },
    /// It need not happen any more, and was not late by then.
    Ended(Mark, WhyEnded),
}

/// Why nothing is waited for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhyEnded {
    /// The case is closed.
    Closed,
    /// The school took the referral back, and the authority agreed.
    Withdrawn,
    /// It was about the wrong child or went to the wrong recipient.
    Misidentified,
    /// Another step took its place: a proposal withdrawn, a higher stage, no conference needed.
    Overtaken,
}

impl State {
    /// Whether something is still waited for.
    pub const fn is_open(self) -> bool {
        matches!(self, State::Running | State::Warned | State::Breached { late: None, ended: None })
    }

    /// Whether the limit has passed without it.
    pub const fn is_breached(self) -> bool {
        matches!(self, State::Breached { .. })
    }

    /// In plain English.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Warned => "near its limit",
            State::Met(_) => "in time",
            State::Breached { late: Some(_), .. } => "late",
            State::Breached { ended: Some(_), .. } => "overdue, then ended",
            State::Breached { .. } => "overdue",
            State::Ended(..) => "ended",
        }
    }
}

impl Clock {
    /// Its name within the thread, the same on every gateway for good: `C5 child-1`.
    pub fn name(&self) -> String {
        format!("{} {}", self.id.as_str(), self.about)
    }

    /// How it stands, in plain English.
    pub const fn words(&self) -> &'static str {
        match self.state {
            State::Warned if self.id.is_reminder() => "reminded",
            state => state.as_str(),
        }
    }

    /// Whether something is waited for, past its limit.
    pub const fn is_overdue(&self) -> bool {
        self.state.is_open() && self.state.is_breached()
    }

    /// When there will next be something to record of it if nothing happens: that it is near its limit, or past
    /// it, or that the school is to ring. Between these only the turns of its contacts change, which whoever asks
    /// is told.
    pub fn next_news(&self, now: Timestamp) -> Option<Timestamp> {
        let is_waited_for = matches!(self.state, State::Running | State::Warned);
        let states = match self.id.is_reminder() {
            true => [None, Some(self.due_at)],
            false => [self.warn_at, Some(self.due_at.plus(1))],
        };
        let states = states.into_iter().flatten().filter(|_| is_waited_for);
        let rings = self.rings_at.filter(|_| self.state.is_open());
        states.chain(rings).filter(|at| *at > now).min()
    }

    /// Whose turn it is at `now`: those of the latest turn that has come.
    pub fn contacts(&self, now: Timestamp) -> Vec<&Rung> {
        let come = |rung: &&Rung| {
            let past = self.is_overdue() || self.id.is_reminder();
            rung.at <= now && (rung.at < self.due_at || past)
        };
        let latest = self.ladder.iter().filter(come).map(|rung| rung.at).max();
        self.ladder.iter().filter(|rung| self.state.is_open() && Some(rung.at) == latest).collect()
    }

    /// The next contact, whose turn has not come yet.
    pub fn next_contact(&self, now: Timestamp) -> Option<&Rung> {
        let past = self.is_overdue() || self.id.is_reminder();
        let come = |rung: &Rung| rung.at <= now && (rung.at < self.due_at || past);
        self.ladder.iter().filter(|rung| self.state.is_open() && !come(rung)).min_by_key(|r| r.at)
    }

    /// The stage of a disagreement that is offered at `now`; a person raises it.
    pub fn offered_stage(&self, now: Timestamp) -> Option<u8> {
        let come = self.offers.iter().filter(|(at, _)| self.is_overdue() && *at <= now);
        come.map(|(_, stage)| *stage).max()
    }
}

/// A clock while it is put together.
pub(super) struct Draft<'a> {
    pub id: ClockId,
    pub about: About,
    pub class: Class,
    pub start: Timestamp,
    /// Each with the instant from which it counts; the earliest end is the limit's.
    pub limits: Vec<(Timestamp, Limit)>,
    pub count: Count<'a>,
    pub met: Option<Mark>,
    pub over: Option<(Mark, WhyEnded)>,
    pub waits_for: Option<Organisation>,
    /// Whose people are on the ladder.
    pub authorities: Vec<DfeCode>,
    pub school: SchoolId,
    /// Whose time it is, where it is not the holder's.
    pub held_by: Option<DfeCode>,
    /// In place of the clock's own ladder.
    pub ladder: Option<Vec<(Role, Turn)>>,
    /// For a clock that counts to another end than its limit's: the end, and what else is special.
    pub due: Option<(Timestamp, bool)>,
    pub stage: Option<u8>,
}

impl Draft<'_> {
    pub fn finish(self, view: &View<'_>) -> Clock {
        let ends = self.limits.iter().map(|(from, limit)| (self.count.end(*from, *limit), *limit));
        let (end, limit) = ends.min_by_key(|(end, _)| *end).unwrap_or((self.start, Limit::Real(0)));
        let (due_at, short_notice) = self.due.unwrap_or((end, false));
        let warn_at = warning(self.id, self.start, due_at, limit, &self.count);
        let stop =
            [self.met.map(|m| m.at), self.over.map(|(m, _)| m.at)].into_iter().flatten().min();
        let state = self.state(view.now, due_at, warn_at);
        let still = matches!(state, State::Running | State::Warned);
        let urgent = view.urgency(view.now).is_urgent();
        Clock {
            still_until: if still { self.count.still_until(view.now, limit) } else { None },
            short_notice,
            assumed: self.count.assumed(limit, due_at),
            ladder: self.rungs(view, due_at, limit),
            rings_at: (self.id == ClockId::C2)
                .then(|| self.start.plus(school_rings_after(view.urgency(self.start)))),
            offers: self.offers(due_at, limit),
            pages: self.id.pages(urgent),
            held: self.held(view, stop.unwrap_or(view.now)),
            id: self.id,
            about: self.about,
            class: self.class,
            started_at: self.start,
            due_at,
            warn_at,
            state,
            waits_for: self.waits_for,
        }
    }

    fn state(&self, now: Timestamp, due: Timestamp, warn: Option<Timestamp>) -> State {
        let over = self.over.filter(|(over, _)| self.met.is_none_or(|met| over.at < met.at));
        if self.id.is_reminder() {
            return match (self.met, over) {
                (_, Some((mark, why))) => State::Ended(mark, why),
                (Some(mark), None) => State::Met(mark),
                (None, None) if now >= due => State::Warned,
                (None, None) => State::Running,
            };
        }
        match (self.met, over) {
            (_, Some((mark, why))) if mark.at <= due => State::Ended(mark, why),
            (_, Some(ended)) => State::Breached { late: None, ended: Some(ended) },
            (Some(mark), None) if mark.at <= due => State::Met(mark),
            (Some(mark), None) => State::Breached { late: Some(mark), ended: None },
            (None, None) if now > due => State::Breached { late: None, ended: None },
            (None, None) if warn.is_some_and(|warn| warn <= now) => State::Warned,
            (None, None) => State::Running,
        }
    }

    fn held(&self, view: &View<'_>, stop: Timestamp) -> Vec<Held> {
        match (&self.waits_for, self.held_by) {
            (Some(Organisation::Authority(_)), None) => {
                super::held_between(&view.segments, self.start, stop)
            }
            (Some(Organisation::Authority(_)), Some(authority)) => {
                let millis = stop.since(self.start).max(0);
                vec![Held { authority, in_transit: self.id == ClockId::C2, millis }]
            }
            _ => Vec::new(),
        }
    }

    fn rungs(&self, view: &View<'_>, due: Timestamp, limit: Limit) -> Vec<Rung> {
        let own = || ladder(self.id, view.urgency(self.start)).to_vec();
        let mut turn = due;
        let mut rungs = Vec::new();
        for (role, when) in self.ladder.clone().unwrap_or_else(own) {
            turn = match when {
                Turn::AtBreach => due,
                Turn::Since(millis) => self.start.plus(millis),
                Turn::After(millis) => due.plus(millis),
                Turn::Again => self.count.end(turn, limit),
                Turn::WorkingDays(days) => self.count.end(turn, Limit::WorkingDays(days)),
            };
            // Somebody whom an allegation is about does not come back as the holiday contact.
            let holiday = view.setting.holidays.get(&self.school).copied();
            let holiday = holiday.filter(|_| role == Role::HolidayContact);
            let accused = &view.thread.accused;
            let role = match holiday.filter(|who| accused.contains(who)) {
                Some(who) => instead_of(who, accused),
                None => instead_of(role, accused),
            };
            if accused.contains(&role) {
                continue;
            }
            let places: Vec<Organisation> = if role.at_school() {
                vec![Organisation::School(self.school.clone())]
            } else {
                let wanted =
                    |code: &&DfeCode| role != Role::HeadOfService || view.head_of_service(**code);
                self.authorities
                    .iter()
                    .filter(wanted)
                    .map(|c| Organisation::Authority(*c))
                    .collect()
            };
            rungs.extend(places.into_iter().map(|of| Rung { at: turn, role, of }));
        }
        rungs.sort_by_key(|rung| rung.at);
        rungs
    }

    fn offers(&self, due: Timestamp, limit: Limit) -> Vec<(Timestamp, u8)> {
        match (self.id, self.stage) {
            (ClockId::C11, Some(stage)) if stage < 5 => vec![(due, stage + 1)],
            (ClockId::C5, _) => {
                let again = self.count.end(self.count.end(due, limit), limit);
                vec![(due, 1), (again, 2)]
            }
            (
                ClockId::C3 | ClockId::C4 | ClockId::C7 | ClockId::C8 | ClockId::C9 | ClockId::C10,
                _,
            ) => vec![(due, 1)],
            _ => Vec::new(),
        }
    }
}

/// From when on a limit is near. Nobody can do anything about seconds: C1, C2 and E10 do not warn.
fn warning(
    id: ClockId,
    start: Timestamp,
    due: Timestamp,
    limit: Limit,
    count: &Count<'_>,
) -> Option<Timestamp> {
    let at = match (id, limit) {
        (ClockId::C1 | ClockId::C2 | ClockId::E10, _) => return None,
        (ClockId::R1, _) => due,
        (ClockId::C9, Limit::WorkingDays(45)) => count.end(start, Limit::WorkingDays(35)),
        (ClockId::C10, Limit::WorkingDays(15)) => count.end(start, Limit::WorkingDays(10)),
        (_, Limit::HomeTime) => due.plus(-15 * MINUTE),
        (_, Limit::Real(millis) | Limit::Open(millis)) => due.plus(-millis / 4),
        // 13:00 of the last day, and midday where that ends at 15:00.
        (_, Limit::WorkingDays(_)) => {
            england_instant(due.in_england().0, END_OF_WORKING_DAY).plus(-4 * HOUR)
        }
        (_, Limit::NextSchoolDay | Limit::NextFullSchoolDay) => due.plus(-3 * HOUR),
    };
    Some(at.max(start).min(due))
}

/// The place and time of a fact.
impl From<&super::Fact> for Mark {
    fn from(fact: &super::Fact) -> Self {
        Self { at: fact.at, position: fact.position }
    }
}

/// Whether a fact is the answer to the one at `position`.
pub(super) fn answers(what: &What, position: u32) -> bool {
    matches!(
        what,
        What::InformationSupplied { answers }
            | What::InterimAnswered { answers }
            | What::TransferAccepted { answers }
            | What::TransferDeclined { answers }
            | What::TransferWithdrawn { answers }
            | What::DisagreementResponded { answers } if *answers == position
    )
}
