//! What every step of the gateway works with: trust, directory, tables, keys, store, clock.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::domain::party::{Name, Organisation, Party};
use crate::domain::time::Timestamp;
use crate::effects::{Clock, Entropy};
use crate::http::Trust;
use crate::protocol::directory::DirectoryHolder;
use crate::protocol::routing_data::RoutingTables;
use crate::protocol::signing::SigningIdentity;
use crate::protocol::trust::{Chain, Revocation, VerifiedCache, VerifiedChain};
use crate::store::{GatewayStore, NewToken, SeenChain, SeenCrl, Token, TokenKind};

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
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Rung when there is something to deliver.
    pub new_deliveries: Notify,
    /// Rung when there is something to sequence.
    pub new_tokens: Notify,
}

impl Exchange {
    /// An audience of one organisation of this scheme.
    pub fn party(&self, organisation: Organisation) -> Party {
        let signing = self.signing.load();
        Party::organisation(signing.party().trust_domain.clone(), organisation)
    }

    /// A statement of this gateway, ready for the store.
    pub fn own_token(
        &self,
        identity: &SigningIdentity,
        kind: TokenKind,
        signed: crate::protocol::signing::Signed,
        audience: Vec<Organisation>,
    ) -> NewToken {
        let token = Token {
            kind,
            sha256: signed.sha256,
            jws: signed.jws,
            issuer: identity.party().clone(),
            x5t: identity.x5t(),
            crl_digests: self.trust.store().crl_digests(),
        };
        NewToken { token, audience }
    }

    /// The present revocation lists, to be kept as evidence beside `chains`.
    pub fn seen_crls(&self, chains: &[&VerifiedChain]) -> Vec<SeenCrl> {
        let trust = self.trust.store();
        let mut digests = trust.crl_digests();
        digests.extend(chains.iter().flat_map(|c| c.crl_digests()));
        digests.sort_unstable();
        digests.dedup();
        let seen = digests.into_iter().filter_map(|sha256| {
            let der = trust.loaded_crl(&sha256)?;
            Some(SeenCrl { sha256, der })
        });
        seen.collect()
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
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
