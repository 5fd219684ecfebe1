//! What became of a referral: asked of the gateway, proved where tokens prove it, and kept.

use http::StatusCode;
use serde::Deserialize;

use super::sender::Sender;
use super::state;
use crate::domain::ids::ReferralId;
use crate::domain::party::Organisation;
use crate::domain::refusal::Refusal;
use crate::http::ClientFault;
use crate::protocol::evidence::{Bundle, Proven, Says};
use crate::protocol::problem::ProblemDocument;
use crate::protocol::tokens;

/// The gateway's answer about a referral.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
pub struct State {
    /// The referral.
    pub referral_id: String,
    /// The accountable authority.
    pub authority: Authority,
    /// `U0` to `U3`.
    pub urgency: String,
    /// The newest version.
    pub version: u32,
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
}

/// A document that is erased at the gateway.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
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
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
pub struct Authority {
    /// DfE code.
    pub code: String,
    /// Name.
    pub name: String,
    /// Whom to ring now.
    pub help: String,
}

/// One delivery.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
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

/// A state with its proof.
#[derive(Debug)]
pub struct Followed {
    /// What the gateway says.
    pub state: State,
    /// What the tokens prove, or why they prove nothing.
    pub proven: Result<Proven, Refusal>,
}

impl Followed {
    /// Whether every delivery is proved by the receipt of its authority.
    pub fn has_arrived(&self) -> bool {
        let Ok(proven) = &self.proven else { return false };
        let proved = |delivery: &Delivery| {
            proven.statements.iter().any(|s| {
                let Organisation::Authority(by) = &s.by.organisation else { return false };
                matches!(s.says, Says::Delivered(_)) && by.as_str() == delivery.authority.code
            })
        };
        let deliveries = &self.state.deliveries;
        !deliveries.is_empty() && deliveries.iter().all(proved) && self.state.also_ring.is_empty()
    }
}

/// Why nothing is known.
#[derive(Debug)]
pub enum NotFollowed {
    /// The gateway refused to say.
    Refused(Box<ProblemDocument>),
    /// The gateway could not be reached.
    NoAnswer(ClientFault),
    /// The answer could not be read.
    Unreadable,
    /// The evidence could not be kept.
    Here(std::io::Error),
}

/// Asks the gateway, verifies the evidence, and keeps it beside the receipt.
pub async fn follow(sender: &Sender, id: ReferralId) -> Result<Followed, NotFollowed> {
    // In this order the words are never older than the proof: what is proved to be stored there must
    // not be said to be on its way.
    let bundle: Bundle = get(sender, &format!("/v1/referrals/{id}/evidence")).await?;
    let state: State = get(sender, &format!("/v1/referrals/{id}")).await?;
    let proven = prove(sender, id, &bundle);
    let kept = state::newest(&sender.state, id).map_err(NotFollowed::Here)?;
    if let Some((_, folder)) = kept.filter(|_| proven.is_ok()) {
        let bytes = serde_json::to_vec_pretty(&bundle).unwrap_or_default();
        folder.keep_status(&bytes).map_err(NotFollowed::Here)?;
    }
    Ok(Followed { state, proven })
}

/// The evidence verifies, is of this referral, and holds everything that was receipted here.
fn prove(sender: &Sender, id: ReferralId, bundle: &Bundle) -> Result<Proven, Refusal> {
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

async fn get<T: serde::de::DeserializeOwned>(
    sender: &Sender,
    path: &str,
) -> Result<T, NotFollowed> {
    let response = sender.client.get(path, Vec::new()).await.map_err(NotFollowed::NoAnswer)?;
    if response.status == StatusCode::OK {
        return serde_json::from_slice(&response.body).map_err(|_| NotFollowed::Unreadable);
    }
    match serde_json::from_slice(&response.body) {
        Ok(problem) => Err(NotFollowed::Refused(problem)),
        Err(_) => Err(NotFollowed::Unreadable),
    }
}
