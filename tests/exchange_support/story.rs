//! Where most stories of the way back begin.

use ecaf::domain::case::EventKind;
use ecaf::domain::ids::ReferralId;
use ecaf::party::member::Member;
use ecaf::party::say::{NotSaid, Said, Saying, say};
use serde_json::{Map, Value, json};

use super::inside::Authority;
use super::stage::{MARSH_LANE, Stage};
use super::{HARINGEY, Sent};

/// A referral that is stored at its authority, and who speaks about it.
pub struct Story {
    pub stage: Stage,
    pub sent: Sent,
    pub worker: Member,
    pub authority: Authority,
}

impl Story {
    /// A referral of Marsh Lane that is stored at Haringey.
    pub async fn stored() -> Self {
        let mut stage = Stage::at("2026-11-23T14:20:00Z".parse().unwrap()).await;
        let authority = stage.authority(HARINGEY).await;
        let document = stage.stream.document(MARSH_LANE, HARINGEY);
        let sent = stage.accepted(document).await;
        stage.until(&sent, "stored").await;
        let worker = stage.worker(HARINGEY).await;
        Self { stage, sent, worker, authority }
    }

    pub fn id(&self) -> ReferralId {
        self.sent.document.id
    }

    pub fn school(&self) -> &Member {
        &self.stage.schools[MARSH_LANE]
    }
}

pub fn members(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A worker as a document names them.
pub fn worker_of(name: &str) -> Value {
    json!({"name": name, "role": "Social worker", "phone": "01632 960123"})
}

pub fn coded(kind: EventKind, code: &str, children: &[u32], document: Value) -> Saying {
    Saying { code: Some(code.into()), children: children.to_vec(), ..Saying::with(kind, document) }
}

pub fn acknowledgement() -> Saying {
    Saying::with(
        EventKind::Acknowledged,
        json!({"worker": worker_of("Ada Example"), "reference": "HGY-2026-000001"}),
    )
}

pub fn decision(code: &str) -> Saying {
    coded(
        EventKind::Decided,
        code,
        &[1],
        json!({
            "disclosure": "outcome", "reason": "Two earlier referrals and a clear account.",
            "school_should": "Keep a chronology.", "how_to_challenge": "Ring the team manager.",
            "referrer_spoken_to": true, "child_seen": false,
            "what_would_change": "A new account.", "other_support": "The family centre."
        }),
    )
}

pub async fn ok(member: &Member, id: ReferralId, saying: &Saying) -> Said {
    say(member, id, saying).await.unwrap_or_else(|not| panic!("{:?}: {not:?}", saying.kind))
}

/// The rule for which the gateway refuses it.
pub async fn rule(member: &Member, id: ReferralId, saying: &Saying) -> String {
    match say(member, id, saying).await {
        Err(NotSaid::Refused(problem)) => problem.violations[0].rule.clone(),
        other => panic!("{:?}: {other:?}", saying.kind),
    }
}
