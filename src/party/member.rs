//! What a school's or an authority's machine works with when it speaks to the gateway.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::party::{Party, TrustDomain};
use crate::effects::{Clock, Entropy};
use crate::http::{Line, Trust};
use crate::protocol::signing::SigningIdentity;

/// A school's machine, or a worker's at an authority.
pub struct Member {
    /// Who it is, as its TLS certificate names it.
    pub party: Party,
    /// Its signing key; none if a gateway attests for it.
    pub signing: Option<SigningIdentity>,
    /// The gateway that it speaks to.
    pub gateway: Party,
    /// The way there.
    pub client: Box<dyn Line>,
    /// Certificates and revocation lists.
    pub trust: Arc<Trust>,
    /// Where it keeps what it sent.
    pub state: PathBuf,
    /// How long to go on trying to send.
    pub give_up_after: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Member {
    /// The scheme.
    pub fn scheme(&self) -> &TrustDomain {
        &self.party.trust_domain
    }

    /// As whom it says something: who signs, or who it is to the gateway that attests for it.
    pub fn speaks_as(&self) -> &Party {
        self.signing.as_ref().map_or(&self.party, |identity| identity.party())
    }
}
