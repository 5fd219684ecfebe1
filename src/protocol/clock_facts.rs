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
            accused: accused(document, school),
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

/// Whose places on a ladder an allegation takes away: those of every role that the adult has, by what
/// the sender says or by being a contact that the referral names. An adult who works elsewhere is on
/// none of this school.
fn accused(document: Json<'_>, school: &SchoolId) -> Vec<Role> {
    let lado = document.at("request").at("lado");
    let works_at = lado.at("setting").at("school_id").as_str();
    if works_at.is_some_and(|id| id != school.as_str()) {
        return Vec::new();
    }
    let also = lado.at("also_roles").items().filter_map(Json::as_str);
    // Nobody has told who it is.
    let Some(role) = lado.at("role").as_str() else { return AT_SCHOOL.to_vec() };
    let mut roles: Vec<Role> = [role].into_iter().chain(also).flat_map(places).copied().collect();
    let adult = lado.at("adult").as_str();
    let adult =
        document.at("people").items().find(|p| adult.is_some() && p.at("id").as_str() == adult);
    if let Some(adult) = adult {
        let referrer = document.at("referrer");
        let contacts =
            referrer.at("other_contacts").items().chain([referrer.at("holiday_contact")]);
        let same = contacts.filter(|contact| is_same(adult, *contact));
        roles.extend(same.filter_map(|c| c.at("role").as_str()).flat_map(places));
        if is_same(adult, referrer) {
            roles.extend(AT_SCHOOL);
        }
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

/// The rungs on which somebody with this role stands, in the codes of the adult and of contacts. For the
/// head the chair takes the place; for the lead and for governors it is straight to the designated officer.
fn places(role: &str) -> &'static [Role] {
    match role {
        "head" => &[Role::Head],
        "deputy_safeguarding_lead" | "deputy_dsl" => &[Role::Deputy],
        "designated_safeguarding_lead" | "governor" | "chair" | "proprietor" => &AT_SCHOOL,
        _ => &[],
    }
}

/// Whether a contact is the adult, by number, address or name. A number that two share is taken for
/// one person: then somebody further from the school is asked.
fn is_same(adult: Json<'_>, contact: Json<'_>) -> bool {
    let lower = |value: Json<'_>| value.as_str().map(str::to_lowercase);
    let digits = |value: Json<'_>| {
        let digits = value.as_str()?.bytes().filter(u8::is_ascii_digit).map(char::from);
        // With and without the country's code.
        let digits: String = digits.collect();
        let short =
            digits.strip_prefix("44").map(|rest| format!("0{}", rest.trim_start_matches('0')));
        Some(short.unwrap_or(digits))
    };
    let name = adult.at("name");
    let called = [name.at("given"), name.at("family")].into_iter().filter_map(Json::as_str);
    let called = called.collect::<Vec<_>>().join(" ").to_lowercase();
    let phones = [contact.at("phone"), contact.at("call_back_phone")];
    let phone = digits(adult.at("phone"));
    (phone.is_some() && phones.into_iter().any(|other| digits(other) == phone))
        || lower(adult.at("email")).is_some_and(|email| lower(contact.at("email")) == Some(email))
        || (!called.is_empty() && lower(contact.at("name")) == Some(called))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Tree;
    use serde_json::{Value, json};

    fn of(lado: Value, contacts: Value) -> Vec<Role> {
        let document = json!({
            "request": {"lado": lado},
            "people": [{
                "id": "p1", "name": {"given": "Toni", "family": "Example"},
                "phone": "+44 20 7946 0111", "email": "T.Example@school.example"
            }],
            "referrer": {"name": "Dee Sample", "call_back_phone": "020 7946 0999", "other_contacts": contacts}
        });
        let school = "900001".parse().unwrap();
        Situation::of(Tree::from(&document).root(), &school).accused
    }

    #[test]
    fn the_adult_is_nobodys_contact_in_any_role() {
        let all = AT_SCHOOL.to_vec();
        let none = || json!([]);
        assert_eq!(of(json!({"role": "teacher"}), none()), []);
        assert_eq!(of(json!({"role": "head"}), none()), [Role::Head]);
        assert_eq!(of(json!({"role": "deputy_safeguarding_lead"}), none()), [Role::Deputy]);
        assert_eq!(of(json!({}), none()), all, "nobody has told");
        // As the sender says.
        let also = |role: &str| json!({"role": "head", "also_roles": [role]});
        assert_eq!(of(also("designated_safeguarding_lead"), none()), all);
        assert_eq!(of(also("deputy_safeguarding_lead"), none()), [Role::Deputy, Role::Head]);
        let elsewhere = json!({"role": "head", "setting": {"school_id": "900002"}});
        assert_eq!(of(elsewhere, none()), []);
        // As the contacts show.
        let adult = json!({"role": "teacher", "adult": "p1"});
        for (same, expected) in [
            (json!({"role": "deputy_dsl", "phone": "02079460111"}), vec![Role::Deputy]),
            (json!({"role": "head", "email": "t.example@school.example"}), vec![Role::Head]),
            (json!({"role": "head", "name": "toni example"}), vec![Role::Head]),
            (json!({"role": "chair", "name": "Toni Example"}), all.clone()),
            (json!({"role": "head", "name": "Somebody Else", "phone": "020 7946 0112"}), vec![]),
            (json!({"role": "other", "name": "Toni Example"}), vec![]),
        ] {
            assert_eq!(of(adult.clone(), json!([same.clone()])), expected, "{same}");
            assert_eq!(of(json!({"role": "teacher"}), json!([same])), [], "nobody says who it is");
        }
    }
}
