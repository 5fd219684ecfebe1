//! A party's own means of signing: its key, and the chain that speaks for it.

use std::fmt;
use std::sync::Arc;

use crate::domain::ids::Digest;
use crate::domain::party::Party;
use crate::effects::{KeyFault, Signer};
use crate::protocol::trust::{Chain, VerifiedChain};

/// A signing key with its certificates. `Debug` shows the party and the certificate's digest only.
#[derive(Clone)]
pub struct SigningIdentity {
    party: Party,
    x5t: Digest,
    chain: Chain,
    signer: Arc<dyn Signer>,
}

impl SigningIdentity {
    /// Joins a key and the chain that was verified for [`Purpose::Signing`](crate::protocol::trust::Purpose::Signing).
    /// Signs a probe, so that a key of another certificate is found now and not at the first
    /// receipt.
    pub fn new(
        signer: Arc<dyn Signer>,
        chain: Chain,
        verified: &VerifiedChain,
    ) -> Result<Self, KeyFault> {
        let identity = Self { party: verified.party().clone(), x5t: verified.x5t(), chain, signer };
        let probe = super::jws::sign(&*identity.signer, "probe", identity.x5t, &"probe")?;
        let verifies = super::jws::Unverified::parse(&probe)
            .and_then(|token| token.verify("probe", verified))
            .is_ok();
        if verifies { Ok(identity) } else { Err(KeyFault::Unreadable) }
    }

    /// Who signs.
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// The certificate that tokens name.
    pub fn x5t(&self) -> Digest {
        self.x5t
    }

    /// The chain that goes beside tokens.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The key.
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningIdentity({}, {})", self.party, self.x5t)
    }
}
