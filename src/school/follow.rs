//! What became of a referral: asked of the gateway, proved where tokens prove it, and kept.

use std::collections::HashSet;

use super::state;
use crate::domain::ids::ReferralId;
use crate::domain::party::Organisation;
use crate::domain::refusal::Refusal;
use crate::party::look::{Delivery, NotSeen, State, get, look};
use crate::party::member::Member;
use crate::protocol::evidence::{Bundle, Proven, Says};
use crate::protocol::tokens;

/// A state with its proof.
#[derive(Debug)]
pub struct Followed {
    /// What the gateway says.
    pub state: State,
    /// What the tokens prove, or why they prove nothing.
    pub proven: Result<Proven, Refusal>,
    /// The evidence itself.
    pub bundle: Bundle,
}

impl Followed {
    /// Whether every delivery is proved by the receipt of its authority, each by one of its own: that of an earlier
    /// version says nothing about a correction.
    pub fn has_arrived(&self) -> bool {
        let Ok(proven) = &self.proven else { return false };
        let receipts = |delivery: &Delivery| {
            let notes =
                proven.statements.iter().filter_map(|s| match (&s.says, &s.by.organisation) {
                    (Says::Delivered(said), Organisation::Authority(by))
                        if by.as_str() == delivery.authority.code =>
                    {
                        Some(said.note_sha256)
                    }
                    _ => None,
                });
            notes.collect::<HashSet<_>>().len()
        };
        // What an event began is not delivered: it is there for its readers once it is recorded.
        if self.state.version.is_none() {
            return true;
        }
        let deliveries = &self.state.deliveries;
        let proved = |one: &Delivery| {
            let to_it =
                deliveries.iter().filter(|d| d.authority.code == one.authority.code).count();
            one.state == "stored" && receipts(one) >= to_it
        };
        !deliveries.is_empty() && deliveries.iter().all(proved) && self.state.also_ring.is_empty()
    }
}

/// Asks the gateway, verifies the evidence, and keeps it beside the receipt.
pub async fn follow(sender: &Member, id: ReferralId) -> Result<Followed, NotSeen> {
    // In this order the words are never older than the proof: what is proved to be stored there must
    // not be said to be on its way.
    let bundle: Bundle = get(sender, &format!("/v1/referrals/{id}/evidence")).await?;
    let state = look(sender, id).await?;
    let proven = prove(sender, id, &bundle);
    let kept = state::newest(&sender.state, id).map_err(NotSeen::Here)?;
    if let Some((_, folder)) = kept.filter(|_| proven.is_ok()) {
        let bytes = serde_json::to_vec_pretty(&bundle).unwrap_or_default();
        folder.keep_status(&bytes).map_err(NotSeen::Here)?;
    }
    Ok(Followed { state, proven, bundle })
}

/// The evidence verifies, is of this referral, and holds everything that was receipted here.
fn prove(sender: &Member, id: ReferralId, bundle: &Bundle) -> Result<Proven, Refusal> {
    let proven = bundle.verify(&sender.trust.store(), sender.scheme())?;
    if proven.referral_id != id {
        return Err(tokens::mismatch("referral_id"));
    }
    let kept = state::newest(&sender.state, id).ok().flatten();
    let receipt = kept.and_then(|(_, folder)| folder.receipt().ok().flatten());
    let receipt = receipt.and_then(|bytes| Bundle::parse(&bytes).ok());
    match receipt.is_some_and(|r| r.tokens.iter().any(|t| !bundle.tokens.contains(t))) {
        true => Err(tokens::mismatch("the receipt kept here")),
        false => Ok(proven),
    }
}
