//! The clocks of a referral as they stand: its thread told as facts to [`crate::domain::clocks`].

use serde::Serialize;

use super::contacts::ContactAnswer;
use super::exchange::Exchange;
use super::known::{Event, Known};
use super::trouble::Trouble;
use crate::domain::case::{Decision, EventKind, Opening};
use crate::domain::clocks::{
    Attention, Clock, ClockId, Dispatch, Fact, Reading, Role, Rung, Setting, Step, Thread, Waiting,
    What, read, tell,
};
use crate::domain::delivery::State;
use crate::domain::directory::Directory;
use crate::domain::hours::england_text;
use crate::domain::party::{Organisation, SchoolId};
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::time::Timestamp;
use crate::protocol::directory::VerifiedDirectory;
use crate::protocol::json::{self, Json};
use crate::protocol::tokens::{CaseEvent, Purpose};
use crate::store::{Document, StoreFault};

impl Exchange {
    /// How the clocks of a referral stand at `now`.
    pub(super) async fn reading(&self, known: &Known, now: Timestamp) -> Result<Reading, Trouble> {
        let thread = self.facts(known).await?;
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
            let position = known.versions.get(index).copied().unwrap_or(1);
            let at = version.recorded_at;
            let urgency = usize::from(version.urgency);
            let urgency = Urgency::ALL.get(urgency).copied().unwrap_or(Urgency::U0);
            let (mut in_school, mut goes_home_at) = (false, None);
            // What no longer can be read is about as many as the newest was.
            let mut children = match known.case.is_about_no_child() {
                true => 0,
                false => known.case.children().len(),
            };
            let document = self.store.document(stored.referral_id, version.payload_sha256).await?;
            if let Some(Document::Kept(bytes)) = document {
                let document = json::read(&bytes, bytes.len()).map_err(|_| StoreFault::Corrupt)?;
                (in_school, goes_home_at) = today(document.root());
                children = document.root().at("children").items().count();
                if document.root().at("completeness").as_str() == Some("urgent_minimal") {
                    let (by, what) = (sender(), What::UrgentMinimal);
                    thread.facts.push(Fact { at, position, by, what });
                }
                if index == 0 {
                    let lado = document.root().at("request").at("lado");
                    if known.request_type == RequestType::Lado {
                        thread.accused = accused(lado, &thread.school);
                    }
                    thread.known_since =
                        lado.at("known_to_school_at").as_str().and_then(|at| at.parse().ok());
                }
            }
            let children = u32::try_from(children).unwrap_or(u32::MAX);
            let situation = What::Version { children, urgency, in_school, goes_home_at };
            if index == 0 {
                let accepted = What::Accepted { to: version.authority };
                for (by, what) in [(sender(), What::Submitted), (gateway(), accepted)] {
                    thread.facts.push(Fact { at, position, by, what });
                }
            }
            thread.facts.push(Fact { at, position, by: sender(), what: situation });
        }
        for delivery in &stored.deliveries {
            let (to, by) = (delivery.authority, Organisation::Authority(delivery.authority));
            let version = (delivery.version as usize).saturating_sub(1);
            let accepted = known.versions.get(version).copied().unwrap_or(1);
            let position = delivery.called_by.unwrap_or(accepted);
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
        Ok(thread)
    }
}

/// Everybody on the ladders of a school.
const AT_SCHOOL: [Role; 4] = [Role::Sender, Role::Deputy, Role::Head, Role::Chair];

/// Whose place on a ladder an allegation takes away. An adult who works elsewhere is on none of this
/// school; for the head the chair takes it.
fn accused(lado: Json<'_>, school: &SchoolId) -> Vec<Role> {
    let works_at = lado.at("setting").at("school_id").as_str();
    if works_at.is_some_and(|id| id != school.as_str()) {
        return Vec::new();
    }
    match lado.at("role").as_str() {
        Some("head") => vec![Role::Head],
        // Straight to the designated officer; and so where nobody has told who it is.
        Some("designated_safeguarding_lead" | "governor") | None => AT_SCHOOL.to_vec(),
        Some(_) => Vec::new(),
    }
}

/// Whether the children are at school, and when the first of them goes home.
fn today(document: Json<'_>) -> (bool, Option<Timestamp>) {
    let places = document.at("where_now").items();
    let in_school = places.clone().any(|place| place.at("place").as_str() == Some("school"));
    let homes = places.filter_map(|place| place.at("goes_home_at").as_str()?.parse().ok());
    (in_school, homes.min())
}

fn of_event(event: &Event, known: &Known) -> Vec<Fact> {
    let answered = known.events.iter().find(|e| Some(e.digest()) == event.said.body().answers);
    let answers = answered.map_or(0, |e| e.stored.position);
    facts_of(&event.said, event.stored.recorded_at, event.stored.position, answers)
}

/// What one event is to the clocks: one fact, or one for each child. `at` and `position` are where it
/// was recorded, `answers` the position of the event that it answers.
pub fn facts_of(said: &CaseEvent, at: Timestamp, position: u32, answers: u32) -> Vec<Fact> {
    let (kind, body) = (said.kind(), said.body());
    let code = body.code.as_deref().unwrap_or_default();
    let stage = body.stage.unwrap_or(1);
    // The author's word for the day on which it happened: it can only make a limit come sooner.
    let since = said.toe.map(|_| said.claimed_at().in_england().0);
    // The matter of a referral about no child has the number 0.
    let children = match body.children.is_empty() {
        true => vec![0],
        false => body.children.clone(),
    };
    let each = |what: &dyn Fn(u32) -> What| children.iter().map(|child| what(*child)).collect();
    use EventKind as K;
    let facts: Vec<What> = match kind {
        K::Opened => vec![What::Opened],
        K::Acknowledged => vec![What::Acknowledged],
        K::InformationRequested => vec![What::InformationRequested],
        K::InformationSupplied => vec![What::InformationSupplied { answers }],
        K::Interim => vec![What::Interim],
        K::InterimAnswered => vec![What::InterimAnswered { answers }],
        // That another authority is responsible decides nothing for the child.
        K::Decided if Decision::from_code(code) == Some(Decision::OtherAuthority) => Vec::new(),
        K::Decided => {
            let assessed = Decision::from_code(code).is_some_and(Decision::is_assessed);
            each(&|child| What::Decided { child, assessed })
        }
        K::Allocated => each(&|child| What::Allocated { child }),
        K::WorkerChanged => each(&|child| What::WorkerChanged { child, since }),
        K::Progress => {
            let step = match code {
                "strategy_discussion" => Step::StrategyDiscussion,
                "conference_held" => Step::ConferenceHeld,
                "assessment_completed" => Step::AssessmentCompleted,
                "enquiry_ended" => Step::EnquiryEnded,
                // What a linked school has to hear of.
                "enquiry_started" | "conference_planned" | "plan_started" | "plan_ended" => {
                    Step::PlanChanged
                }
                _ => Step::Note,
            };
            each(&|child| What::Progress { child, step, since })
        }
        K::TransferProposed => {
            body.to.map(|to| What::TransferProposed { to }).into_iter().collect()
        }
        K::TransferWithdrawn => vec![What::TransferWithdrawn { answers }],
        K::TransferAccepted => vec![What::TransferAccepted { answers }],
        K::TransferDeclined => vec![What::TransferDeclined { answers }],
        K::ResponsibilityDisputed => vec![What::ResponsibilityDisputed],
        K::DisputeResolved => vec![What::DisputeResolved],
        K::WithdrawalRequested => vec![What::WithdrawalRequested],
        K::WithdrawalConfirmed => vec![What::WithdrawalConfirmed],
        K::WithdrawalRefused => vec![What::WithdrawalRefused],
        K::Misidentified => vec![What::Misidentified],
        K::Closed => each(&|child| What::Closed { child }),
        K::Read => vec![What::Read { position: answers }],
        K::CallRecorded => vec![What::CallRecorded],
        K::DisagreementRaised => vec![What::DisagreementRaised { stage }],
        K::DisagreementResponded => vec![What::DisagreementResponded { answers }],
        K::DisagreementStepped => vec![What::DisagreementStepped { stage }],
        K::DisagreementResolved => vec![What::DisagreementResolved],
        K::ContactsChanged => vec![What::ContactsChanged],
        K::ContactsConfirmed => vec![What::ContactsConfirmed { answers }],
        K::PupilNotice => {
            let school = body.school.clone();
            school.map(|school| What::Notice { school, since }).into_iter().collect()
        }
        K::Consultation
        | K::ConsultationAnswered
        | K::HandedOver
        | K::HandOverNoted
        | K::HandOverClosed
        | K::Filed
        | K::ClockWarning
        | K::ClockBreached => Vec::new(),
    };
    let by = &said.author().organisation;
    facts.into_iter().map(|what| Fact { at, position, by: by.clone(), what }).collect()
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
