//! The facts of a thread up to an instant, in order, with the questions that rules ask of them.

use super::clock::{About, Draft, Mark, WhyEnded};
use super::fact::{Fact, Setting, Thread, What};
use super::held::{self, Segment};
use super::id::ClockId;
use super::limit::{Count, Limit, standard_limit};
use crate::domain::calendar::UNKNOWN_HOURS;
use crate::domain::hours::england_instant;
use crate::domain::party::{DfeCode, Organisation, SchoolId};
use crate::domain::referral::Urgency;
use crate::domain::time::{Date, Timestamp};

/// A place in the order of facts.
pub(super) type Place = (Timestamp, u32);

/// What was known at `now`.
pub(super) struct View<'a> {
    pub thread: &'a Thread,
    pub setting: &'a Setting,
    pub facts: Vec<&'a Fact>,
    pub now: Timestamp,
    pub rounds: Vec<Round>,
    /// When nothing was waited for any more; a later version may have changed that.
    ends: Vec<(Mark, WhyEnded)>,
    pub segments: Vec<Segment>,
}

/// The case of a child from a version of the referral until it is closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub child: u32,
    pub start: Mark,
    /// Whether the child was in the referral from its first version.
    pub first: bool,
    pub end: Option<(Mark, WhyEnded)>,
}

impl Round {
    /// Whether a fact falls into it.
    pub fn has(&self, fact: &Fact) -> bool {
        let ended = self.end.is_some_and(|(mark, _)| mark.place() < fact.place());
        self.start.place() <= fact.place() && !ended
    }

    /// What its clocks are about.
    pub fn about(&self) -> About {
        match self.first {
            true => About::Child(self.child),
            false => About::ChildEvent(self.child, self.start.position),
        }
    }
}

/// What a version says of today.
#[derive(Clone, Copy)]
pub(super) struct Situation {
    pub at: Timestamp,
    pub urgency: Urgency,
    pub in_school: bool,
    pub goes_home_at: Option<Timestamp>,
}

impl<'a> View<'a> {
    /// Facts of the future do not exist yet. The order in which they are given means nothing.
    pub fn new(thread: &'a Thread, setting: &'a Setting, now: Timestamp) -> Self {
        let mut facts: Vec<&Fact> = thread.facts.iter().filter(|fact| fact.at <= now).collect();
        facts.sort_by_key(|fact| fact.place());
        let (rounds, ends) = rounds(&facts);
        let mut view = Self { thread, setting, facts, now, rounds, ends, segments: Vec::new() };
        view.segments = held::of(&view);
        view
    }

    /// The first fact that fits.
    pub fn first(&self, fits: impl Fn(&Fact) -> bool) -> Option<&'a Fact> {
        self.facts.iter().copied().find(|fact| fits(fact))
    }

    /// The first fact after a place that fits.
    pub fn after(&self, place: Place, fits: impl Fn(&Fact) -> bool) -> Option<&'a Fact> {
        self.first(|fact| fact.place() > place && fits(fact))
    }

    /// When the exchange accepted the referral, and for whom.
    pub fn accepted(&self) -> Option<(&'a Fact, DfeCode)> {
        self.facts.iter().find_map(|fact| match fact.what {
            What::Accepted { to } => Some((*fact, to)),
            _ => None,
        })
    }

    /// The accountable authority at an instant; of a notice, its author.
    pub fn holder(&self, at: Timestamp) -> Option<DfeCode> {
        let noticed = || {
            self.facts.iter().find_map(|fact| match (&fact.what, &fact.by) {
                (What::Notice { .. }, Organisation::Authority(code)) => Some(*code),
                _ => None,
            })
        };
        let first = self.accepted().map(|(_, to)| to).or_else(noticed)?;
        let later = self.facts.iter().rev().filter(|fact| fact.at <= at).find_map(|fact| {
            match (&fact.what, &fact.by) {
                (What::TransferAccepted { .. }, Organisation::Authority(code)) => Some(*code),
                _ => None,
            }
        });
        Some(later.unwrap_or(first))
    }

    /// When nothing was waited for any more, after something that began at a place.
    pub fn over(&self, begun: Place) -> Option<(Mark, WhyEnded)> {
        self.ends.iter().copied().find(|(mark, _)| mark.place() > begun)
    }

    /// The same for one child.
    pub fn over_for(&self, child: u32, begun: Place) -> Option<(Mark, WhyEnded)> {
        let of_child = self.rounds.iter().filter(|round| round.child == child);
        let own = of_child.filter_map(|r| r.end).find(|(mark, _)| mark.place() > begun);
        [own, self.over(begun)].into_iter().flatten().min_by_key(|(mark, _)| mark.place())
    }

    /// When it was over, if it is.
    pub fn is_over(&self) -> Option<Mark> {
        let open = self.rounds.iter().any(|round| round.end.is_none());
        let last = self.ends.last().filter(|_| !open)?;
        Some(last.0)
    }

    /// When everything about it was taken out of use.
    pub fn misidentified(&self) -> Option<(Mark, WhyEnded)> {
        let fact = self.first(|f| f.what == What::Misidentified)?;
        Some((Mark::from(fact), WhyEnded::Misidentified))
    }

    /// What each version says of today, oldest first.
    pub fn situations(&self) -> Vec<Situation> {
        let said = |fact: &&Fact| match fact.what {
            What::Version { urgency, in_school, goes_home_at, .. } => {
                Some(Situation { at: fact.at, urgency, in_school, goes_home_at })
            }
            _ => None,
        };
        self.facts.iter().filter_map(said).collect()
    }

    /// The most urgent that anybody had said by an instant, or said first; U2 if nobody did.
    pub fn urgency(&self, at: Timestamp) -> Urgency {
        let said = self.situations();
        let by_then = said.iter().filter(|s| s.at <= at).map(|s| s.urgency).min();
        by_then.or(said.first().map(|s| s.urgency)).unwrap_or(Urgency::U2)
    }

    /// Until when a cut-off counts: until a version is urgent.
    pub fn cut_off_before(&self) -> Option<Timestamp> {
        let urgent = self.situations().into_iter().find(|s| s.urgency.is_urgent());
        Some(urgent.map_or(Timestamp::from_millis(i64::MAX), |s| s.at))
    }

    /// The limits of a clock that starts at `start`. A version that says it is more urgent than
    /// was thought, before the clock was stopped, can only bring its end forward.
    pub fn limits(
        &self,
        id: ClockId,
        start: Timestamp,
        stopped: Option<Mark>,
    ) -> Vec<(Timestamp, Limit)> {
        let mut limits = vec![(start, standard_limit(id, self.urgency(start)))];
        let later = self
            .situations()
            .into_iter()
            .filter(|s| s.at > start && stopped.is_none_or(|mark| s.at <= mark.at));
        limits.extend(later.map(|s| (s.at, standard_limit(id, s.urgency))));
        limits
    }

    /// With what an authority has promised beyond the scheme.
    pub fn with_promise(
        &self,
        mut limits: Vec<(Timestamp, Limit)>,
        id: ClockId,
        start: Timestamp,
        authority: DfeCode,
    ) -> Vec<(Timestamp, Limit)> {
        let profile = self.setting.profiles.get(&authority);
        let own = profile.into_iter().flat_map(|p| &p.faster).filter(|(of, _)| *of == id);
        limits.extend(own.map(|(_, limit)| (start, *limit)));
        limits
    }

    /// Whether the head of service of an authority wants to be on ladders.
    pub fn head_of_service(&self, authority: DfeCode) -> bool {
        self.setting.profiles.get(&authority).is_some_and(|profile| profile.head_of_service)
    }

    /// Whose days are counted.
    pub fn count(&self, authority: Option<DfeCode>, school: &SchoolId) -> Count<'a> {
        let calendars = &self.setting.calendars;
        let hours = authority.map_or(&UNKNOWN_HOURS, |code| calendars.authority(code));
        Count {
            bank_holidays: &calendars.bank_holidays,
            hours,
            school: calendars.school(school),
            cut_off_before: None,
            goes_home_at: None,
        }
    }

    /// A clock of the sending school and the present holder, with the scheme's limit and ladder.
    pub fn draft(&self, id: ClockId, about: About, (start, position): Place) -> Draft<'a> {
        let school = self.thread.school.clone();
        let holder = self.holder(self.now);
        Draft {
            id,
            about,
            class: id.class(),
            start,
            limits: self.limits(id, start, None),
            count: self.count(holder, &school),
            met: None,
            over: self.over((start, position)),
            waits_for: holder.map(Organisation::Authority),
            authorities: holder.into_iter().collect(),
            school,
            held_by: None,
            ladder: None,
            due: None,
            stage: None,
        }
    }
}

impl Fact {
    /// Its place in the order of facts.
    pub(super) fn place(&self) -> Place {
        (self.at, self.position)
    }
}

impl Mark {
    /// Its place in the order of facts.
    pub(super) fn place(&self) -> Place {
        (self.at, self.position)
    }
}

/// The rounds of every child, and when none was left.
fn rounds(facts: &[&Fact]) -> (Vec<Round>, Vec<(Mark, WhyEnded)>) {
    let mut rounds: Vec<Round> = Vec::new();
    let mut ends = Vec::new();
    for fact in facts {
        let mark = Mark::from(*fact);
        let is_open = |r: &&mut Round| r.end.is_none();
        let (child, why) = match fact.what {
            What::Version { children, .. } => {
                let first = rounds.is_empty();
                for child in if children == 0 { 0..=0 } else { 1..=children } {
                    if !rounds.iter().any(|r| r.child == child && r.end.is_none()) {
                        rounds.push(Round { child, start: mark, first, end: None });
                    }
                }
                continue;
            }
            What::Closed { child } => (Some(child), WhyEnded::Closed),
            What::WithdrawalConfirmed => (None, WhyEnded::Withdrawn),
            What::Misidentified => (None, WhyEnded::Misidentified),
            _ => continue,
        };
        let ended = rounds
            .iter_mut()
            .filter(is_open)
            .filter(|round| child.is_none_or(|child| round.child == child));
        let mut any = false;
        for round in ended {
            round.end = Some((mark, why));
            any = true;
        }
        let all = rounds.iter().all(|round| round.end.is_some());
        if why == WhyEnded::Misidentified || (any && all) {
            ends.push((mark, why));
        }
        if why == WhyEnded::Misidentified {
            break;
        }
    }
    (rounds, ends)
}

/// The start that follows from a claimed day: never later than what was recorded.
pub(super) fn claimed(since: Option<Date>, recorded: Timestamp) -> Timestamp {
    since.map_or(recorded, |day| england_instant(day, 0).min(recorded))
}

/// Whether a fact comes from an authority.
pub(super) fn is_by(fact: &Fact, authority: DfeCode) -> bool {
    fact.by == Organisation::Authority(authority)
}
