//! Where most stories of the way back begin.

use ecaf::domain::ids::ReferralId;
use ecaf::party::member::Member;

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
