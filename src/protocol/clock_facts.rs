//! What a referral's documents and events are to the clocks: read in one way by a gateway, which has them in
//! its store, and by whoever has only the evidence.

use crate::domain::case::{Decision, EventKind};
use crate::domain::clocks::{Fact, Role, Step, What};
use crate::domain::party::{DfeCode, Organisation, SchoolId};
use crate::domain::referral::Urgency;
use crate::domain::time::Timestamp;
use crate::protocol::json::Json;
use crate::protocol::tokens::CaseEvent;

/// What the clocks need of the document of a version; nothing of it is needed once it is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// How many children it is about.
    pub children: u32,
    /// Whether they are at school.
    pub in_school: bool,
    /// When the first of them goes home.
    pub goes_home_at: Option<Timestamp>,
    /// Whether only the dozen answers that an urgent referral needs were given.
    pub urgent_minimal: bool,
    /// When an allegation became known to the school.
    pub known_since: Option<Timestamp>,
    /// Whose place on the school's ladder an allegation takes away; means something for type lado alone.
    pub accused: Vec<Role>,
}

impl Situation {
    /// What a document of `school` says.
    pub fn of(document: Json<'_>, school: &SchoolId) -> Self {
        let places = document.at("where_now").items();
        let in_school = places.clone().any(|place| place.at("place").as_str() == Some("school"));
        let homes = places.filter_map(|place| place.at("goes_home_at").as_str()?.parse().ok());
        let lado = document.at("request").at("lado");
        let children = document.at("children").items().count();
        Self {
            children: u32::try_from(children).unwrap_or(u32::MAX),
            in_school,
            goes_home_at: homes.min(),
            urgent_minimal: document.at("completeness").as_str() == Some("urgent_minimal"),
            known_since: lado.at("known_to_school_at").as_str().and_then(|at| at.parse().ok()),
            accused: accused(lado, school),
        }
    }
}

/// The acceptance of a version.
#[derive(Debug, Clone)]
pub struct AcceptedVersion {
    /// When it was recorded.
    pub at: Timestamp,
    /// Its place in the thread.
    pub position: u32,
    /// Who sent it.
    pub sender: Organisation,
    /// Who accepted it.
    pub gateway: Organisation,
    /// The authority that the first version went to; nothing for a later one.
    pub first_to: Option<DfeCode>,
    /// As its token says.
    pub urgency: Urgency,
}

impl AcceptedVersion {
    /// What it is to the clocks. Where its document can no longer be read (`seen` is nothing) it is about
    /// `children`, and says nothing of today.
    pub fn facts(&self, seen: Option<&Situation>, children: u32) -> Vec<Fact> {
        let (at, position) = (self.at, self.position);
        let fact = |by: &Organisation, what| Fact { at, position, by: by.clone(), what };
        let mut facts = Vec::with_capacity(4);
        if seen.is_some_and(|seen| seen.urgent_minimal) {
            facts.push(fact(&self.sender, What::UrgentMinimal));
        }
        if let Some(to) = self.first_to {
            facts.push(fact(&self.sender, What::Submitted));
            facts.push(fact(&self.gateway, What::Accepted { to }));
        }
        let what = What::Version {
            children: seen.map_or(children, |seen| seen.children),
            urgency: self.urgency,
            in_school: seen.is_some_and(|seen| seen.in_school),
            goes_home_at: seen.and_then(|seen| seen.goes_home_at),
        };
        facts.push(fact(&self.sender, what));
        facts
    }
}

/// Everybody on the ladders of a school: nobody of them is asked where it is not known whom an allegation is
/// about.
pub const AT_SCHOOL: [Role; 4] = [Role::Sender, Role::Deputy, Role::Head, Role::Chair];

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
        | K::ClockBreached
        | K::DeliveryDelayed
        | K::DeliveryFailed => Vec::new(),
    };
    let by = &said.author().organisation;
    facts.into_iter().map(|what| Fact { at, position, by: by.clone(), what }).collect()
}
