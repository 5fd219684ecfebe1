//! The clocks of a referral as they stand: its thread told as facts to [`crate::domain::clocks`].

use serde::Serialize;

use super::contacts::ContactAnswer;
use super::exchange::Exchange;
use super::known::{Event, Known};
use super::trouble::Trouble;
use crate::domain::case::Opening;
use crate::domain::clocks::{
    Attention, Clock, ClockId, Dispatch, Fact, Reading, Rung, Setting, Thread, Waiting, What, read,
    tell,
};
use crate::domain::delivery::State;
use crate::domain::directory::Directory;
use crate::domain::hours::england_text;
use crate::domain::party::Organisation;
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::time::Timestamp;
use crate::protocol::clock_facts::{AT_SCHOOL, AcceptedVersion, Situation, facts_of};
use crate::protocol::directory::VerifiedDirectory;
use crate::protocol::json;
use crate::protocol::tokens::Purpose;
use crate::store::{Document, StoreFault};

impl Exchange {
    /// How the clocks of a referral stand at `now`, or at the last thing that was recorded if this gateway's
    /// clock is behind it: what is recorded has happened.
    pub(super) async fn reading(&self, known: &Known, now: Timestamp) -> Result<Reading, Trouble> {
        let thread = self.facts(known).await?;
        let now = thread.facts.iter().map(|fact| fact.at).fold(now, Timestamp::max);
        let directory = self.directory.last_good();
        let mut reading = match directory {
            Some(directory) => read(&thread, directory.calendars(), now),
            None => read(&thread, &Setting::default(), now),
        };
        // No clock runs for advice and for what was handed over by hand, but an answer is waited for.
        let open = !known.case.is_closed() && !known.case.is_misidentified();
        let asks = matches!(known.case.opening(), Opening::Consultation | Opening::HandOver);
        if asks && open && reading.attention == Attention::Closed {
            reading.attention = Attention::WaitingOnAuthority;
        }
        Ok(reading)
    }

    /// The thread as clocks see it. Documents are opened for what they say of today; of an erased one
    /// only its codes are known.
    async fn facts(&self, known: &Known) -> Result<Thread, Trouble> {
        let stored = &known.thread;
        let mut thread = Thread {
            school: known.case.sender().clone(),
            request_type: known.request_type,
            known_since: None,
            // Whom an erased allegation was about is not known any more: nobody at the school is asked.
            accused: match known.request_type == RequestType::Lado {
                true => AT_SCHOOL.to_vec(),
                false => Vec::new(),
            },
            facts: Vec::new(),
        };
        let sender = || stored.sender.clone();
        let gateway = || Organisation::Gateway(self.name.clone());
        for (index, version) in stored.versions.iter().enumerate() {
            let urgency = usize::from(version.urgency);
            let accepted = AcceptedVersion {
                at: version.recorded_at,
                position: known.versions.get(index).copied().unwrap_or(1),
                sender: sender(),
                gateway: gateway(),
                first_to: (index == 0).then_some(version.authority),
                urgency: Urgency::ALL.get(urgency).copied().unwrap_or(Urgency::U0),
            };
            // What no longer can be read is about as many as the newest was.
            let children = match known.case.is_about_no_child() {
                true => 0,
                false => u32::try_from(known.case.children().len()).unwrap_or(u32::MAX),
            };
            let document = self.store.document(stored.referral_id, version.payload_sha256).await?;
            let seen = match document {
                Some(Document::Kept(bytes)) => {
                    let read = json::read(&bytes, bytes.len()).map_err(|_| StoreFault::Corrupt)?;
                    Some(Situation::of(read.root(), &thread.school))
                }
                _ => None,
            };
            if let Some(seen) = seen.as_ref().filter(|_| index == 0) {
                thread.known_since = seen.known_since;
                if known.request_type == RequestType::Lado {
                    thread.accused.clone_from(&seen.accused);
                }
            }
            thread.facts.extend(accepted.facts(seen.as_ref(), children));
        }
        for delivery in &stored.deliveries {
            let (to, by) = (delivery.authority, Organisation::Authority(delivery.authority));
            let position = known.called_at(delivery);
            let why = match Purpose::from_name(&delivery.purpose) {
                Some(Purpose::Linked) => Some(Dispatch::ChildInArea),
                Some(Purpose::CaseHolding) => Some(Dispatch::CaseHolding),
                _ => None,
            };
            if let Some(why) = why {
                let (at, what) = (delivery.recorded_at, What::Dispatched { to, why });
                thread.facts.push(Fact { at, position, by: gateway(), what });
            }
            let settled = match delivery.state {
                State::Delivered => Some(What::Delivered { to, of: position }),
                State::ByHand => Some(What::HandedOver { to, of: position }),
                _ => None,
            };
            if let (Some(what), Some(at)) = (settled, delivery.settled_at) {
                thread.facts.push(Fact { at, position: 0, by, what });
            }
        }
        thread.facts.extend(known.events.iter().flat_map(|event| of_event(event, known)));
        for reached in &stored.reached {
            if let Organisation::School(school) = &reached.party {
                let what = What::Reached { school: school.clone(), position: reached.position };
                let by = reached.party.clone();
                thread.facts.push(Fact { at: reached.at, position: 0, by, what });
            }
        }
        Ok(thread.in_order())
    }
}

fn of_event(event: &Event, known: &Known) -> Vec<Fact> {
    let answered = known.events.iter().find(|e| Some(e.digest()) == event.said.body().answers);
    let answers = answered.map_or(0, |e| e.stored.position);
    facts_of(&event.said, event.stored.recorded_at, event.stored.position, answers)
}

/// Whether somebody can still do something about a clock's limit. The receipt is given before there is
/// a thread.
pub(super) fn answerable(clock: &Clock) -> bool {
    clock.id != ClockId::C1
}

/// Where the clocks stand, for an answer.
#[derive(Debug, Clone, Serialize)]
pub struct ClocksAnswer {
    /// `waiting_on_authority`, `waiting_on_school`, `overdue`, `disputed` or `closed`.
    pub attention: &'static str,
    /// Who is waited for, until when, and whom to ring next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingAnswer>,
    /// The stage of a disagreement that the school may raise now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered_stage: Option<u8>,
    /// Every clock that has started.
    pub clocks: Vec<ClockAnswer>,
}

/// Who is waited for.
#[derive(Debug, Clone, Serialize)]
pub struct WaitingAnswer {
    /// The clock's code.
    pub clock: &'static str,
    /// What is waited for.
    pub name: &'static str,
    /// By whom, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// Until when.
    pub until: String,
    /// The same for a person.
    pub words: String,
    /// Whose turn it is to be rung.
    pub ring: Vec<ContactAnswer>,
    /// Whose turn comes next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<ContactAnswer>,
}

/// One clock.
#[derive(Debug, Clone, Serialize)]
pub struct ClockAnswer {
    /// Its code.
    pub clock: &'static str,
    /// What must happen.
    pub name: &'static str,
    /// What it is about: `referral`, `child-1`, `delivery-204-1`, ...
    pub about: String,
    /// The same for a person; nothing where it is the referral as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about_words: Option<String>,
    /// `statutory`, `procedure` or `scheme`.
    pub class: &'static str,
    /// How it stands, in plain English.
    pub state: &'static str,
    /// When it started.
    pub started_at: String,
    /// Its limit.
    pub due_at: String,
    /// Whether there was less time than the rule wants.
    pub short_notice: bool,
    /// Whether a calendar had to be assumed.
    pub assumed: bool,
    /// Whose turn it is to be asked about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<ContactAnswer>,
    /// How long each authority held it, in minutes.
    pub held: Vec<HeldAnswer>,
}

/// How long an authority held what a clock waits for.
#[derive(Debug, Clone, Serialize)]
pub struct HeldAnswer {
    /// DfE code.
    pub authority: String,
    /// Whether the exchange still had it on the way there.
    pub in_transit: bool,
    /// Minutes, rounded down.
    pub minutes: i64,
}

impl ClocksAnswer {
    /// The answer for a reading at `now`.
    pub(super) fn of(
        reading: &Reading,
        directory: Option<&VerifiedDirectory>,
        now: Timestamp,
    ) -> Self {
        let setting = directory.map(VerifiedDirectory::calendars);
        let directory = directory.map(|verified| &**verified.directory());
        let clock = |c: &Clock| ClockAnswer::of(c, (directory, setting), now);
        let waiting = reading.waiting.as_ref();
        Self {
            attention: reading.attention.as_str(),
            waiting: waiting.map(|waiting| WaitingAnswer::of(waiting, directory, now)),
            offered_stage: reading.offered_stage,
            clocks: reading.clocks.iter().map(clock).collect(),
        }
    }
}

impl WaitingAnswer {
    fn of(waiting: &Waiting, directory: Option<&Directory>, now: Timestamp) -> Self {
        let contact = |rung: &Rung| ContactAnswer::of(rung, directory, now);
        let (name, until) = (waiting.clock.name(), england_text(waiting.until));
        let words = match waiting.until < now {
            true => format!("Overdue since {until}: {name}"),
            false => format!("Due by {until}: {name}"),
        };
        Self {
            clock: waiting.clock.as_str(),
            name,
            party: waiting.party.as_ref().map(ToString::to_string),
            until: waiting.until.to_string(),
            words,
            ring: waiting.ring.iter().map(contact).collect(),
            next: waiting.next.as_ref().map(contact),
        }
    }
}

impl ClockAnswer {
    fn of(
        clock: &Clock,
        (directory, setting): (Option<&Directory>, Option<&Setting>),
        now: Timestamp,
    ) -> Self {
        let ask = clock.contacts(now).into_iter().map(|rung| {
            let contact = ContactAnswer::of(rung, directory, now);
            match setting {
                Some(setting) => contact.told(tell(clock, rung, setting, now)),
                None => contact,
            }
        });
        let held = clock.held.iter().map(|held| HeldAnswer {
            authority: held.authority.to_string(),
            in_transit: held.in_transit,
            minutes: held.millis / crate::domain::time::MINUTE,
        });
        Self {
            clock: clock.id.as_str(),
            name: clock.id.name(),
            about: clock.about.to_string(),
            about_words: clock.about.words(),
            class: clock.class.as_str(),
            state: clock.words(),
            started_at: clock.started_at.to_string(),
            due_at: clock.due_at.to_string(),
            short_notice: clock.short_notice,
            assumed: clock.assumed,
            ask: ask.collect(),
            held: held.collect(),
        }
    }
}
