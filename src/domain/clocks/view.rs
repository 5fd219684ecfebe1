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

/// What was known at `now`.
pub(super) struct View<'a> {
    pub thread: &'a Thread,
    pub setting: &'a Setting,
    pub facts: Vec<&'a Fact>,
    pub now: Timestamp,
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
        facts.sort_by_key(|fact| (fact.at, fact.position));
        Self { thread, setting, facts, now }
    }

    /// The first fact that fits.
    pub fn first(&self, fits: impl Fn(&Fact) -> bool) -> Option<&'a Fact> {
        self.facts.iter().copied().find(|fact| fits(fact))
    }

    /// When the exchange accepted the referral, and for whom.
    pub fn accepted(&self) -> Option<(&'a Fact, DfeCode)> {
        self.facts.iter().find_map(|fact| match fact.what {
            What::Accepted { to } => Some((*fact, to)),
            _ => None,
        })
    }

    /// The accountable authority at an instant.
    pub fn holder(&self, at: Timestamp) -> Option<DfeCode> {
        let (_, first) = self.accepted()?;
        let later = self.facts.iter().rev().filter(|fact| fact.at <= at).find_map(|fact| {
            match (&fact.what, &fact.by) {
                (What::TransferAccepted { .. }, Organisation::Authority(code)) => Some(*code),
                _ => None,
            }
        });
        Some(later.unwrap_or(first))
    }

    /// The numbers of the children; 0 alone for a referral about none by name.
    pub fn children(&self) -> std::ops::RangeInclusive<u32> {
        if self.thread.children == 0 { 0..=0 } else { 1..=self.thread.children }
    }

    /// When nothing is waited for any more, for a child or for the referral as a whole.
    pub fn over(&self, child: Option<u32>) -> Option<(Mark, WhyEnded)> {
        let closed = |number: u32| {
            self.first(|f| matches!(f.what, What::Closed { child } if child == number))
        };
        let closed = match child {
            Some(number) => closed(number),
            None => {
                let all: Option<Vec<&Fact>> = self.children().map(closed).collect();
                all.and_then(|all| all.into_iter().max_by_key(|fact| (fact.at, fact.position)))
            }
        };
        let withdrawn = self.first(|f| f.what == What::WithdrawalConfirmed);
        [
            closed.map(|f| (Mark::from(f), WhyEnded::Closed)),
            withdrawn.map(|f| (Mark::from(f), WhyEnded::Withdrawn)),
            self.misidentified(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(mark, _)| (mark.at, mark.position))
    }

    /// When everything about it was taken out of use.
    pub fn misidentified(&self) -> Option<(Mark, WhyEnded)> {
        let fact = self.first(|f| f.what == What::Misidentified)?;
        Some((Mark::from(fact), WhyEnded::Misidentified))
    }

    /// What each version says of today, oldest first.
    pub fn situations(&self) -> Vec<Situation> {
        let said = |fact: &&Fact| match fact.what {
            What::Situation { urgency, in_school, goes_home_at } => {
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
            cut_off: false,
            goes_home_at: None,
        }
    }

    /// A clock of the sending school and the present holder, with the scheme's limit and ladder.
    pub fn draft(&self, id: ClockId, about: About, start: Timestamp) -> Draft<'a> {
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
            over: self.over(None),
            waits_for: holder.map(Organisation::Authority),
            authorities: holder.into_iter().collect(),
            school,
            ladder: None,
            due: None,
            stage: None,
        }
    }

    /// Who held the referral when.
    pub fn segments(&self) -> Vec<Segment> {
        held::of(self)
    }
}

/// The start that follows from a claimed day: never later than what was recorded.
pub(super) fn claimed(since: Option<Date>, recorded: Timestamp) -> Timestamp {
    since.map_or(recorded, |day| england_instant(day, 0).min(recorded))
}

/// Whether a fact comes from an authority.
pub(super) fn is_by(fact: &Fact, authority: DfeCode) -> bool {
    fact.by == Organisation::Authority(authority)
}
