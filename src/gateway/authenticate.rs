//! Step 2: [`Received`] becomes [`Authentic`]: the token verified, and its signer's organisation is
//! the peer's.
//!
//! That the *document* names the same school is checked where the document is first read, in
//! `validate`.

use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::Party;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::protocol::json;
use crate::protocol::jws;
use crate::protocol::tokens::{self, SUBMISSION_TYPE, Submission};
use crate::protocol::trust::{Chain, Purpose, TrustStore, VerifiedCache, VerifiedChain};

use super::receive::{Proof, Received};

/// The token's `iat` has not come.
pub const FROM_THE_FUTURE: Rule = Rule {
    id: "token.from-the-future",
    title: "the token says that it was signed more than five minutes from now",
    action: "Set the clock of the machine that signs, and sign again.",
};
/// The signer's organisation is not the peer's.
pub const NOT_THE_PEER: Rule = Rule {
    id: "submission.signer-is-not-the-peer",
    title: "the school that signed is not the school that is connected",
    action: "Send with the tls certificate of the school whose signing certificate signed.",
};
/// A document without a token does not name a referral and version.
pub const NO_KEY: Rule = Rule {
    id: "submission.no-id",
    title: "the document names no referral id and version",
    action: "Put a lower-case UUID into referral_id and a whole number from 1 into version.",
};

/// A submission whose sender is proved.
#[derive(Clone)]
pub struct Authentic {
    pub(super) received: Received,
    pub(super) referral_id: ReferralId,
    pub(super) version: u32,
    pub(super) backing: Backing,
}

/// What stands behind it.
#[derive(Clone)]
pub(super) enum Backing {
    /// The school's own signature.
    Signed {
        claims: Box<Submission>,
        text: String,
        digest: Digest,
        signer: VerifiedChain,
        chain: Chain,
    },
    /// The certificate of the connection; the gateway may attest it.
    Connection { peer: VerifiedChain },
}

impl Authentic {
    /// Verifies the token at `now`, the time at which the gateway records it.
    pub fn verify(
        received: Received,
        trust: &TrustStore,
        cache: &VerifiedCache,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let Proof::Token { text, chain } = &received.proof else {
            return Self::by_connection(received, trust, cache, now);
        };
        let token = jws::verify_beside(text, chain, SUBMISSION_TYPE, (trust, cache), now)?;
        let claims = Submission::read(&token, &token.signer().party().trust_domain)?;
        let peer = received.peer.chain.party();
        let one = claims.iss.organisation == peer.organisation
            && claims.iss.trust_domain == peer.trust_domain
            && (peer.person.is_none()
                || claims.iss.person.is_none()
                || peer.person == claims.iss.person);
        if !one {
            return Err(refuse(NOT_THE_PEER));
        }
        if claims.payload_sha256 != received.payload_sha256 {
            return Err(tokens::mismatch("payload_sha256 and the body"));
        }
        if Timestamp::from_seconds(claims.iat).is_ahead_of(now) {
            return Err(refuse(FROM_THE_FUTURE));
        }
        let (text, chain) = (text.clone(), chain.clone());
        Ok(Self {
            referral_id: claims.sub_id.0,
            version: claims.version,
            backing: Backing::Signed {
                digest: token.digest(),
                claims: Box::new(claims),
                text,
                signer: token.into_signer(),
                chain,
            },
            received,
        })
    }

    /// The party that sent it: who signed, or whom the connection's certificate names.
    pub(super) fn sender(&self) -> &Party {
        match &self.backing {
            Backing::Signed { claims, .. } => &claims.iss,
            Backing::Connection { peer, .. } => peer.party(),
        }
    }

    /// The certificate of the connection is the proof, so it is judged again, as of now: the
    /// handshake may have been a while ago.
    fn by_connection(
        received: Received,
        trust: &TrustStore,
        cache: &VerifiedCache,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let certificates = &received.peer.certificates;
        let peer = cache
            .verify(trust, certificates, Purpose::TlsClient, now)
            .map_err(|refusal| refuse(refusal.0))?;
        // Read only to find its id; what it says is believed after the check alone.
        let document = json::read(&received.document, received.document.len())
            .map_err(|violation| Refusal::new(Class::Malformed, violation))?;
        let key = || {
            let id = document.root().at("referral_id").as_str()?.parse().ok()?;
            let version = u32::try_from(document.root().at("version").as_i64()?).ok()?;
            Some((id, version))
        };
        let no_key = || Refusal::new(Class::Invalid, Violation::whole(NO_KEY));
        let (referral_id, version) = key().ok_or_else(no_key)?;
        Ok(Self { received, referral_id, version, backing: Backing::Connection { peer } })
    }
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
