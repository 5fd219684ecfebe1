//! What happens in a thread, as far as a clock depends on it.

use std::collections::BTreeMap;

use super::ladder::Role;
use super::limit::Profile;
use crate::domain::calendar::Calendars;
use crate::domain::directory::{Directory, SchoolEntry};
use crate::domain::party::{DfeCode, Organisation, SchoolId};
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::time::{Date, Timestamp};

/// Something that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// When the gateway recorded it: the only time that clocks use.
    pub at: Timestamp,
    /// Its place in the thread; 0 for what has none (a feed's acknowledgement).
    pub position: u32,
    /// Who said it.
    pub by: Organisation,
    /// What it was.
    pub what: What,
}

/// What was recorded. `answers` is the position of the fact that it answers, `of` that of the fact
/// that began a delivery. Children are numbered from 1; a referral about no child by name has the
/// number 0 for its matter. Days (`since`) are claims of their author: they can move the start of a
/// clock back, never forward.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are explained above")]
pub enum What {
    /// The referral reached the exchange.
    Submitted,
    /// The exchange has it, for this accountable authority. Starts C5.
    Accepted { to: DfeCode },
    /// A version of the referral, and what it says of today. The first comes with its acceptance;
    /// a later one opens again the cases that were closed, because somebody has to read it.
    Version { children: u32, urgency: Urgency, in_school: bool, goes_home_at: Option<Timestamp> },
    /// The version at this place has only what an urgent referral must have.
    UrgentMinimal,
    /// A linked delivery was made.
    Dispatched { to: DfeCode, why: Dispatch },
    /// The authority has stored it.
    Delivered { to: DfeCode, of: u32 },
    /// It was handed over outside of the exchange.
    HandedOver { to: DfeCode, of: u32 },
    /// A person at the authority has opened it.
    Opened,
    /// A named social worker has taken note of it.
    Acknowledged,
    /// The authority asks something.
    InformationRequested,
    /// The school answers.
    InformationSupplied { answers: u32 },
    /// The authority asks the school to do something today.
    Interim,
    /// The school says whether it can.
    InterimAnswered { answers: u32 },
    /// Decided for a child; whether an assessment or enquiry follows. A decision that only says that
    /// another authority is responsible is none: C5 runs on.
    Decided { child: u32, assessed: bool },
    /// A child has a named worker.
    Allocated { child: u32 },
    /// Another worker than before.
    WorkerChanged { child: u32, since: Option<Date> },
    /// A step on the way.
    Progress { child: u32, step: Step, since: Option<Date> },
    /// The holder asks another authority to take over.
    TransferProposed { to: DfeCode },
    /// The other authority is the holder from here on.
    TransferAccepted { answers: u32 },
    /// It says no.
    TransferDeclined { answers: u32 },
    /// The holder takes it back.
    TransferWithdrawn { answers: u32 },
    /// Two authorities do not agree which of them is responsible.
    ResponsibilityDisputed,
    /// They do again.
    DisputeResolved,
    /// The school takes the referral back; the holder has to confirm.
    WithdrawalRequested,
    /// It is taken back.
    WithdrawalConfirmed,
    /// It is not.
    WithdrawalRefused,
    /// The wrong child or recipient.
    Misidentified,
    /// The case of a child is closed.
    Closed { child: u32 },
    /// The system of a school has collected the fact at `position`, or been pushed it.
    Reached { school: SchoolId, position: u32 },
    /// A person at the school has read it.
    Read { position: u32 },
    /// Contacts of its author are others now.
    ContactsChanged,
    /// The other side knows them.
    ContactsConfirmed { answers: u32 },
    /// Somebody rang; who, says the fact's author.
    CallRecorded,
    /// The school disagrees.
    DisagreementRaised { stage: u8 },
    /// The authority's answer at that stage.
    DisagreementResponded { answers: u32 },
    /// The school takes it further.
    DisagreementStepped { stage: u8 },
    /// The disagreement is over.
    DisagreementResolved,
    /// Another school of a child is to hear of changes.
    SchoolLinked { school: SchoolId },
    /// The authority tells a school of something that the school did not raise.
    Notice { school: SchoolId, since: Option<Date> },
}

/// Why a delivery beside the first is made. That of a proposed transfer follows from the proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dispatch {
    /// The child is in that area now.
    ChildInArea,
    /// That authority has an open case: it must acknowledge.
    CaseHolding,
}

/// A step on the way of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The strategy discussion from which an enquiry starts: starts C10.
    StrategyDiscussion,
    /// The enquiry ended without a conference: ends C10.
    EnquiryEnded,
    /// The initial child protection conference was held.
    ConferenceHeld,
    /// The assessment is complete.
    AssessmentCompleted,
    /// Something else changed on a plan or enquiry: it began, is planned, or ended.
    PlanChanged,
    /// A note, or a step that no clock waits for.
    Note,
}

/// A thread: what never changes about it, and its facts in any order.
#[derive(Debug, Clone)]
pub struct Thread {
    /// The school that sent the referral, or that a notice is for.
    pub school: SchoolId,
    /// What was asked for.
    pub request_type: RequestType,
    /// When an allegation became known to the school, if it said so: a claim.
    pub known_since: Option<Timestamp>,
    /// Roles of people whom an allegation is about: on no ladder.
    pub accused: Vec<Role>,
    /// What was recorded.
    pub facts: Vec<Fact>,
}

impl Thread {
    /// With the times that its order allows. A thread is in the order of its positions; its times come from the
    /// clocks of several gateways, a little apart, and from clocks that were put back. Nothing happened
    /// before what stands before it: a fact with an earlier time has that of the one before.
    pub fn in_order(mut self) -> Self {
        let mut times: BTreeMap<u32, Timestamp> = BTreeMap::new();
        for fact in self.facts.iter().filter(|fact| fact.position > 0) {
            let at = times.entry(fact.position).or_insert(fact.at);
            *at = fact.at.max(*at);
        }
        let mut latest = None;
        for at in times.values_mut() {
            *at = latest.map_or(*at, |latest| (*at).max(latest));
            latest = Some(*at);
        }
        for fact in &mut self.facts {
            let after = match (fact.position, &fact.what) {
                (0, What::Delivered { of, .. } | What::HandedOver { of, .. }) => *of,
                (0, What::Reached { position, .. }) => *position,
                (position, _) => position,
            };
            fact.at = times.get(&after).map_or(fact.at, |at| fact.at.max(*at));
        }
        self
    }
}

/// What is known of the parties.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Their days.
    pub calendars: Calendars,
    /// What authorities have promised beyond the scheme.
    pub profiles: BTreeMap<DfeCode, Profile>,
    /// Who else each school's holiday contact is, where that is told.
    pub holidays: BTreeMap<SchoolId, Role>,
}

impl Setting {
    /// What a directory says. Make it once for each issue, not for each question.
    pub fn of(directory: &Directory) -> Self {
        let profiles = directory.authorities.iter();
        let profiles = profiles.map(|(code, entry)| (*code, entry.settings.profile.clone()));
        let stands_in = |entry: &SchoolEntry| {
            let who = entry.settings.holiday_contact.as_ref()?.who;
            Some((entry.id.clone(), who.role()?))
        };
        Self {
            holidays: directory.schools.values().filter_map(stands_in).collect(),
            calendars: Calendars::of(directory),
            profiles: profiles.filter(|(_, profile)| *profile != Profile::default()).collect(),
        }
    }
}
