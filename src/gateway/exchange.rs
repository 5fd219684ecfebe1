//! What every step of the gateway works with: trust, directory, tables, keys, store, clock.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::trouble::Fault;
use super::waiting::Waiting;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{Name, Organisation, Party};
use crate::domain::time::Timestamp;
use crate::effects::{Clock, Entropy};
use crate::http::Trust;
use crate::protocol::directory::DirectoryHolder;
use crate::protocol::routing_data::RoutingTables;
use crate::protocol::signing::{Signed, SigningIdentity};
use crate::protocol::tokens::{Audience, Event, Recorded};
use crate::protocol::trust::{
    Chain, Purpose, Revocation, TrustStore, VerifiedCache, VerifiedChain,
};
use crate::store::recent::Recent;
use crate::store::{GatewayStore, Head, NewToken, SeenChain, SeenCrl, Token, TokenKind};

/// One gateway of the exchange.
pub struct Exchange {
    /// Its name in the scheme.
    pub name: Name,
    /// The key for receipts, notes and refusals.
    pub signing: ArcSwap<SigningIdentity>,
    /// Certificates and revocation lists in use.
    pub trust: Arc<Trust>,
    /// Chains verified before.
    pub cache: VerifiedCache,
    /// The directory in use.
    pub directory: Arc<DirectoryHolder>,
    /// Postcodes and districts in use.
    pub tables: ArcSwap<RoutingTables>,
    /// Everything durable.
    pub store: Arc<dyn GatewayStore>,
    /// Referrals of the last minutes.
    pub recent: Recent,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Rung when there is something to deliver.
    pub new_deliveries: Notify,
    /// Rung when there is something to sequence.
    pub new_tokens: Notify,
    /// Those who wait for something new in their feeds.
    pub waiting: Waiting,
    /// Rung when this process can do no more and should end: see [`Fault::is_final`].
    pub broken: Notify,
}

impl Exchange {
    /// An audience of one organisation of this scheme.
    pub fn party(&self, organisation: Organisation) -> Party {
        let signing = self.signing.load();
        Party::organisation(signing.party().trust_domain.clone(), organisation)
    }

    /// What this gateway signs with at `now`, beside one snapshot of trust data. A signing
    /// certificate that would not be accepted by the readers of what it signs is a fault, found
    /// before anything is stored.
    pub fn desk(&self, trust: Arc<TrustStore>, now: Timestamp) -> Result<Desk, Fault> {
        let identity = self.signing.load_full();
        let own = self.cache.verify(&trust, identity.chain(), Purpose::Signing, now);
        match own {
            Ok(_) => Ok(Desk { identity, trust, now }),
            Err(refusal) => Err(Fault::OwnCertificate(refusal.0.id)),
        }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// A gateway's key and trust data at one instant.
pub struct Desk {
    /// The signing key in use.
    pub identity: Arc<SigningIdentity>,
    /// Certificates and revocation lists in use.
    pub trust: Arc<TrustStore>,
    /// The instant.
    pub now: Timestamp,
}

impl Desk {
    /// Signs a statement of this gateway, ready for the store.
    pub fn state<E: Event>(
        &self,
        entropy: &dyn Entropy,
        kind: TokenKind,
        to: Audience,
        about: ReferralId,
        event: E,
        audience: Vec<Organisation>,
    ) -> Result<NewToken, Fault> {
        let signed = self.identity.state(entropy, self.now, vec![to], Some(about), event)?;
        Ok(self.own_token(kind, signed, audience))
    }

    /// Gives another token its place behind `after`, and this instant as its time.
    pub fn record(
        &self,
        entropy: &dyn Entropy,
        about: ReferralId,
        after: Head,
        token: Digest,
        audience: Vec<Organisation>,
    ) -> Result<NewToken, Fault> {
        let recorded = Recorded {
            position: u64::from(after.position) + 1,
            event_sha256: token,
            previous_sha256: (after != Head::START).then_some(after.digest),
            recorded_at: self.now,
        };
        let everyone = Audience::Scheme(self.identity.party().trust_domain.clone());
        self.state(entropy, TokenKind::Recorded, everyone, about, recorded, audience)
    }

    /// Something that this gateway signed, ready for the store.
    pub fn own_token(
        &self,
        kind: TokenKind,
        signed: Signed,
        audience: Vec<Organisation>,
    ) -> NewToken {
        let token = Token {
            kind,
            sha256: signed.sha256,
            jws: signed.jws,
            issuer: self.identity.party().clone(),
            x5t: self.identity.x5t(),
            crl_digests: self.trust.crl_digests(),
        };
        NewToken { token, audience }
    }

    /// The revocation lists of this instant, to be kept as evidence.
    pub fn seen_crls(&self) -> Vec<SeenCrl> {
        let seen = self.trust.crl_digests().into_iter().filter_map(|sha256| {
            let der = self.trust.loaded_crl(&sha256)?;
            Some(SeenCrl { sha256, der })
        });
        seen.collect()
    }
}

/// Another party's token, verified, in the store's form.
pub fn their_token(kind: TokenKind, sha256: Digest, jws: &str, signer: &VerifiedChain) -> Token {
    Token {
        kind,
        sha256,
        jws: jws.to_owned(),
        issuer: signer.party().clone(),
        x5t: signer.x5t(),
        crl_digests: signer.crl_digests().to_vec(),
    }
}

/// A chain in the store's form.
pub fn seen_chain(chain: &Chain) -> SeenChain {
    SeenChain { x5t: chain.x5t(), certificates: chain.shared() }
}

/// The word for what was known of a certificate.
pub const fn revocation_word(revocation: Revocation) -> &'static str {
    match revocation {
        Revocation::Good => "good",
        Revocation::Stale => "stale",
        Revocation::Doubted => "doubted",
    }
}
