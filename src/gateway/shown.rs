//! The forms in which a referral's events and erased documents are shown to its parties.

use serde::Serialize;

use super::known::{Event, Known};
use crate::domain::case::words_of;
use crate::store::VersionRow;

/// One event, without what is personal: that stands in its document.
#[derive(Debug, Clone, Serialize)]
pub struct EventView {
    /// Its place in the thread.
    pub position: u32,
    /// What it is: see `schemas/EVENTS.md`.
    pub event: &'static str,
    /// The organisation that said it, with the person if one signed.
    pub by: String,
    /// The gateway that signed it for them, where they have no key of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<String>,
    /// When it was recorded: this time counts.
    pub recorded_at: String,
    /// When it happened, by its author's clock: a claim.
    pub claimed_at: String,
    /// Its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The code in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<&'static str>,
    /// The children that it is about, from 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<u32>,
    /// The position of the event that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<u32>,
    /// The authority that a transfer is proposed to, that is consulted, that something was handed over to,
    /// whose delivery it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The school that a notice is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub school: Option<String>,
    /// The stage of a disagreement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<u8>,
    /// When a clock runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// Since when the exchange has had what that authority has not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it will be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// SHA-256 of its token: what another event names to answer it.
    pub sha256: String,
    /// SHA-256 of its document, to be read as `/v1/referrals/{id}/documents/{sha256}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail_sha256: Option<String>,
    /// Whether it waits for the school to say that it was read.
    pub unread: bool,
}

impl EventView {
    pub(super) fn of(event: &Event, known: &Known) -> Self {
        let (kind, body) = (event.said.kind(), event.said.body());
        let answered = known.events.iter().find(|e| Some(e.digest()) == body.answers);
        Self {
            position: event.stored.position,
            event: kind.name(),
            by: event.said.author().to_string(),
            attested_by: event.said.attested.as_ref().map(|_| event.said.iss.to_string()),
            recorded_at: event.stored.recorded_at.to_string(),
            claimed_at: event.said.claimed_at().to_string(),
            words: body.code.as_deref().and_then(|code| words_of(kind, code)),
            code: body.code.clone(),
            children: body.children.clone(),
            answers: answered.map(|e| e.stored.position),
            to: body.to.map(|to| to.to_string()),
            school: body.school.as_ref().map(|school| school.to_string()),
            stage: body.stage,
            due_at: body.due_at.map(|at| at.to_string()),
            since: body.since.map(|at| at.to_string()),
            next_attempt_at: body.next_attempt_at.map(|at| at.to_string()),
            sha256: event.digest().to_string(),
            detail_sha256: body.detail_sha256.map(|d| d.to_string()),
            unread: known.case.unread().any(|(digest, _)| digest == event.digest()),
        }
    }
}

/// A document that can no longer be read here.
#[derive(Debug, Clone, Serialize)]
pub struct ErasedAnswer {
    /// Its digest.
    pub sha256: String,
    /// When it was erased.
    pub erased_at: String,
    /// `retention`, `misidentified` or `key_retired`.
    pub reason: &'static str,
    /// The same for a person.
    pub words: String,
}

impl ErasedAnswer {
    pub(super) fn of(version: &VersionRow) -> Option<Self> {
        version.erased.map(|erasure| Self {
            sha256: version.payload_sha256.to_string(),
            erased_at: erasure.at.to_string(),
            reason: erasure.why.as_str(),
            words: format!("Version {}: {}", version.version, erasure.why.words()),
        })
    }
}
