//! A party's own means of signing: its key, and the chain that speaks for it.

use std::fmt;
use std::sync::Arc;

use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::Party;
use crate::domain::time::Timestamp;
use crate::effects::{Entropy, KeyFault, NoEntropy, Signer};
use crate::protocol::hash::sha256;
use crate::protocol::tokens::{Audience, Event, SecurityEvent, Subject};
use crate::protocol::trust::{Chain, VerifiedChain};

/// A statement just signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// The compact JWS.
    pub jws: String,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// Why nothing could be signed. A fault of ours, never the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningFault {
    /// The key did not do its work.
    Key(KeyFault),
    /// There were no random bytes for the token's id.
    Entropy(NoEntropy),
}

impl fmt::Display for SigningFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SigningFault::Key(fault) => fault.fmt(f),
            SigningFault::Entropy(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for SigningFault {}

/// A token id: 128 random bits as a UUID.
pub fn token_id(entropy: &dyn Entropy) -> Result<String, SigningFault> {
    let bytes = entropy.uuid().map_err(SigningFault::Entropy)?;
    Ok(ReferralId::from_bytes(bytes).to_string())
}

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

    /// Signs one statement about `about` to `audience`, at `now`.
    pub fn state<E: Event>(
        &self,
        entropy: &dyn Entropy,
        now: Timestamp,
        audience: Vec<Audience>,
        about: Option<ReferralId>,
        event: E,
    ) -> Result<Signed, SigningFault> {
        let statement = SecurityEvent {
            iss: self.party.clone(),
            aud: audience,
            iat: now.seconds(),
            jti: token_id(entropy)?,
            sub_id: about.map(Subject),
            event,
        };
        let jws = statement.sign(self.signer(), self.x5t).map_err(SigningFault::Key)?;
        Ok(Signed { sha256: sha256(jws.as_bytes()), jws })
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
