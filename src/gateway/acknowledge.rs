//! The authority's answer to a dispatch: verified before it counts.

use crate::domain::party::{DfeCode, Organisation};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::protocol::jws;
use crate::protocol::tokens::{self, Audience, Delivered, SET_TYPE, SecurityEvent};
use crate::protocol::trust::{Chain, TrustStore, VerifiedCache, VerifiedChain};
use crate::store::LeasedDelivery;

/// The receipt is signed by somebody else than the addressee.
pub const NOT_THE_ADDRESSEE: Rule = Rule {
    id: "delivered.not-the-addressee",
    title: "the receipt is not signed by the authority that the dispatch was addressed to",
    action: "Sign delivered receipts with the signing certificate of this authority.",
};

/// A receipt that was checked against the very dispatch that it answers. Made only here.
pub struct Acknowledged {
    pub(super) jws: String,
    pub(super) sha256: crate::domain::ids::Digest,
    pub(super) signer: VerifiedChain,
    pub(super) chain: Chain,
}

impl Acknowledged {
    /// Verifies `token` as the answer to `delivery`, at `now`, the time at which it is recorded.
    pub fn verify(
        delivery: &LeasedDelivery,
        token: &str,
        chain: &Chain,
        trust: &TrustStore,
        cache: &VerifiedCache,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let verified = jws::verify_beside(token, chain, SET_TYPE, (trust, cache), now)?;
        if !is_authority(verified.signer(), delivery.authority) {
            return Err(refuse(NOT_THE_ADDRESSEE));
        }
        // For the gateway that brings the note: of a transfer not always the one that accepted.
        let said = SecurityEvent::<Delivered>::read(&verified, Some(&delivery.note.token.issuer))?;
        // Meant for the sender too, who is to rely on it.
        let for_sender =
            |a: &Audience| matches!(a, Audience::Party(p) if p.organisation == delivery.sender);
        if !said.aud.iter().any(for_sender) {
            return Err(refuse(tokens::AUDIENCE));
        }
        if said.sub_id.map(|s| s.0) != Some(delivery.referral_id) {
            return Err(tokens::mismatch("sub_id"));
        }
        if said.event.version != delivery.version {
            return Err(tokens::mismatch("version"));
        }
        if said.event.note_sha256 != delivery.note.token.sha256 {
            return Err(tokens::mismatch("note_sha256"));
        }
        if said.event.payload_sha256 != delivery.payload_sha256 {
            return Err(tokens::mismatch("payload_sha256"));
        }
        Ok(Self {
            jws: token.to_owned(),
            sha256: verified.digest(),
            signer: verified.into_signer(),
            chain: chain.clone(),
        })
    }
}

fn is_authority(signer: &VerifiedChain, code: DfeCode) -> bool {
    signer.party().organisation == Organisation::Authority(code)
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
