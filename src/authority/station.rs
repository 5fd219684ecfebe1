//! What every step of the authority works with.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::domain::party::DfeCode;
use crate::domain::time::Timestamp;
use crate::effects::{Clock, Entropy};
use crate::http::Trust;
use crate::protocol::directory::DirectoryHolder;
use crate::protocol::signing::SigningIdentity;
use crate::protocol::trust::VerifiedCache;
use crate::store::AuthorityStore;
use crate::store::recent::Recent;

/// One authority's endpoint.
pub struct Station {
    /// The authority.
    pub code: DfeCode,
    /// What its references begin with: 1 to 12 of `A-Z 0-9`.
    pub reference_prefix: String,
    /// The key for receipts and refusals.
    pub signing: ArcSwap<SigningIdentity>,
    /// Certificates and revocation lists in use.
    pub trust: Arc<Trust>,
    /// Chains verified before.
    pub cache: VerifiedCache,
    /// The directory in use.
    pub directory: Arc<DirectoryHolder>,
    /// Everything durable.
    pub store: Arc<dyn AuthorityStore>,
    /// Referrals received lately.
    pub recent: Recent,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Rung when this process can do no more and should end.
    pub broken: Notify,
}

impl Station {
    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
