//! What the gateway says about a referral: its deliveries, the case of each child, and what was said.

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::member::Member;
use crate::domain::ids::ReferralId;
use crate::domain::refusal::Refusal;
use crate::http::{ClientFault, ClientResponse};
use crate::protocol::hash::sha256;
use crate::protocol::problem::ProblemDocument;

/// The gateway's answer about a referral.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct State {
    /// The referral.
    pub referral_id: String,
    /// What the thread began with: `referral`, `notice`, `consultation` or `hand_over`.
    pub began_with: String,
    /// The school that sent it, that asks, or that a notice is for.
    pub school: String,
    /// The accountable authority; in a consultation the one that is asked, in a hand-over the one that was
    /// told by other means.
    pub authority: Authority,
    /// `U0` to `U3`, of a referral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<String>,
    /// The newest version of a referral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// When the exchange recorded it.
    pub recorded_at: String,
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
    /// Documents that are erased at the gateway.
    #[serde(default)]
    pub erased: Vec<Erased>,
    /// Whom to ring, because the exchange cannot reach them.
    #[serde(default)]
    pub also_ring: Vec<String>,
    /// The last position of its thread.
    pub position: u64,
    /// The case of each child: `undecided`, `told`, `decided`, `allocated` or `closed`.
    pub children: Vec<String>,
    /// Whether it is about no child: `children` then has one entry for its matter.
    #[serde(default)]
    pub about_no_child: bool,
    /// The authority that is asked to take it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_proposed_to: Option<Authority>,
    /// Whether authorities disagree about who is responsible.
    #[serde(default)]
    pub disputed: bool,
    /// Whether it was taken out of use.
    #[serde(default)]
    pub misidentified: bool,
    /// `waiting_on_authority`, `waiting_on_school`, `overdue`, `disputed` or `closed`; for those who may
    /// know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// Who is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The stage of a disagreement that the school may raise now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_stage: Option<u8>,
    /// Every clock that has started.
    #[serde(default)]
    pub clocks: Vec<Clock>,
    /// Nobody is reading it there now: what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unattended: Option<String>,
    /// What school and holder said last of their contacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_contacts: Vec<ChangedContacts>,
    /// Verified contacts of the accountable authority as of now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Way>,
    /// What was said about it, in the order in which it was recorded.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// Who is waited for, until when, and whom to ring.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Waiting {
    /// The clock's code.
    pub clock: String,
    /// What is waited for.
    pub name: String,
    /// Until when.
    pub until: String,
    /// The same for a person.
    pub words: String,
    /// Whose turn it is to be rung.
    #[serde(default)]
    pub ring: Vec<Contact>,
    /// Whose turn comes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Contact>,
}

/// A contact of a clock's ladder.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Contact {
    /// What the person does.
    pub role: String,
    /// Where.
    pub of: String,
    /// From when on it is their turn.
    pub from: String,
    /// How they are told: `page`, `digest` or `listed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tell: Option<String>,
    /// When the duty shift of that digest begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_at: Option<String>,
    /// How to reach them, if somebody has verified a way.
    #[serde(flatten)]
    pub way: Option<Way>,
}

/// What one side told last of its contacts.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ChangedContacts {
    /// Who.
    pub by: String,
    /// The place of the event.
    pub position: u64,
    /// SHA-256 of the document with names and numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail_sha256: Option<String>,
    /// Whether the other side has said that it knows.
    pub confirmed: bool,
}

/// A verified way to reach somebody at an authority.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Way {
    /// `daytime`, `out_of_hours`, `lado`, `technical` or `escalation`.
    pub kind: String,
    /// What the people there call themselves.
    pub label: String,
    /// Number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Secure mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When it is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// The day on which somebody last tried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
}

/// One clock.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Clock {
    /// Its code.
    pub clock: String,
    /// What must happen.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// The same for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about_words: Option<String>,
    /// `statutory`, `procedure` or `scheme`.
    pub class: String,
    /// How it stands, in plain English.
    pub state: String,
    /// When it started.
    pub started_at: String,
    /// Its limit.
    pub due_at: String,
    /// Whether there was less time than the rule wants.
    #[serde(default)]
    pub short_notice: bool,
    /// Whether a calendar had to be assumed.
    #[serde(default)]
    pub assumed: bool,
    /// Whose turn it is to be asked about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<Contact>,
}

/// One event, without what is personal.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Event {
    /// Its place in the thread.
    pub position: u64,
    /// What it is: see `schemas/EVENTS.md`.
    pub event: String,
    /// Who said it.
    pub by: String,
    /// The gateway that signed it for them, where they have no key of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<String>,
    /// When it was recorded.
    pub recorded_at: String,
    /// When it happened, by its author's clock.
    pub claimed_at: String,
    /// Its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The code in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// The children that it is about, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<u32>,
    /// The position of the event that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
    /// The authority that a transfer is proposed to, that is consulted, that something was handed over to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The school that a notice is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub school: Option<String>,
    /// The stage of a disagreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u8>,
    /// When a clock runs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// Since when the exchange has had what that authority has not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it will be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// SHA-256 of its token.
    pub sha256: String,
    /// SHA-256 of its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail_sha256: Option<String>,
    /// Whether the school has not said that it was read.
    #[serde(default)]
    pub unread: bool,
}

/// A document that is erased at the gateway.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Erased {
    /// Its digest.
    pub sha256: String,
    /// When.
    pub erased_at: String,
    /// Why.
    pub reason: String,
    /// The same for a person.
    pub words: String,
}

/// An authority as the gateway names it.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Authority {
    /// DfE code.
    pub code: String,
    /// Name.
    pub name: String,
    /// Whom to ring now.
    pub help: String,
}

/// One delivery.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Delivery {
    /// To whom.
    pub authority: Authority,
    /// Why.
    pub purpose: String,
    /// `held`, `delayed`, `stored`, `undeliverable` or `by_hand`.
    pub state: String,
    /// The same for a person.
    pub words: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When the exchange recorded the authority's receipt.
    #[serde(default)]
    pub stored_at: Option<String>,
}

/// Why nothing is known.
#[derive(Debug)]
pub enum NotSeen {
    /// The gateway refused to say.
    Refused(Box<ProblemDocument>),
    /// The gateway could not be reached.
    NoAnswer(ClientFault),
    /// The answer could not be read.
    Unreadable,
    /// Nothing is known against it but that this machine's own trust files may be old: it comes again.
    StaleTrust(Refusal),
    /// The evidence could not be kept.
    Here(std::io::Error),
}

/// Asks the gateway where a referral stands.
pub async fn look(member: &Member, id: ReferralId) -> Result<State, NotSeen> {
    let state: State = get(member, &format!("/v1/referrals/{id}")).await?;
    // What stands there is acted on: an answer about another referral is none.
    match state.referral_id.parse() {
        Ok(about) if id == about => Ok(state),
        _ => Err(NotSeen::Unreadable),
    }
}

/// The document of an event: exactly the one that its token names. `None` if it is erased.
pub async fn detail(
    member: &Member,
    id: ReferralId,
    named: &str,
) -> Result<Option<Value>, NotSeen> {
    let path = format!("/v1/referrals/{id}/documents/{named}");
    let response = member.client.get(&path, Vec::new()).await.map_err(NotSeen::NoAnswer)?;
    match response.status {
        StatusCode::OK if sha256(&response.body).to_string() == named => {
            serde_json::from_slice(&response.body).map(Some).map_err(|_| NotSeen::Unreadable)
        }
        StatusCode::GONE => Ok(None),
        StatusCode::OK => Err(NotSeen::Unreadable),
        _ => Err(refused(&response)),
    }
}

/// Asks the gateway for something in JSON.
pub async fn get<T: DeserializeOwned>(member: &Member, path: &str) -> Result<T, NotSeen> {
    let response = member.client.get(path, Vec::new()).await.map_err(NotSeen::NoAnswer)?;
    match response.status {
        StatusCode::OK => serde_json::from_slice(&response.body).map_err(|_| NotSeen::Unreadable),
        _ => Err(refused(&response)),
    }
}

/// Why the gateway refused.
pub fn refused(response: &ClientResponse) -> NotSeen {
    serde_json::from_slice(&response.body).map_or(NotSeen::Unreadable, NotSeen::Refused)
}
