//! An event of a school without a key of its own: the certificate of the connection proves the school,
//! and the gateway signs what it says, naming the school, the certificate and the statement as it came.
//!
//! The same rule as for its referrals: only a gateway that the directory names for the school.

use super::authorise::proved_rightly;
use super::exchange::{Desk, Exchange};
use super::feedback::NOT_A_PARTY;
use super::trouble::{Fault, Trouble};
use crate::domain::ids::ReferralId;
use crate::domain::party::Organisation;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::http::Peer;
use crate::protocol::hash::sha256;
use crate::protocol::signing::{SigningFault, token_id};
use crate::protocol::tokens::{Attestation, CaseEvent};
use crate::protocol::trust::Purpose;

/// The statement is not an event of the peer.
pub const STATEMENT: Rule = Rule {
    id: "event.statement",
    title: "the statement is not an event of the school that is connected, about this referral",
    action: "Send the claims of an event, with your own SPIFFE ID in iss, as base64url in Ecaf-Statement.",
};

/// Reads what `peer` says without a signature, and signs it for the peer, who is proved as of
/// `desk.now` and may have it attested by the directory. The token leaves this process only once it is recorded.
pub(super) fn attest(
    statement: &str,
    peer: &Peer,
    id: ReferralId,
    exchange: &Exchange,
    desk: &Desk,
) -> Result<String, Trouble> {
    // The handshake may have been a while ago.
    let chain = &peer.certificates;
    let proved = exchange.cache.verify(&desk.trust, chain, Purpose::TlsClient, desk.now);
    proved.map_err(|refusal| refuse(refusal.0))?;
    let party = peer.chain.party();
    let Organisation::School(school) = &party.organisation else {
        return Err(refuse(NOT_A_PARTY).into());
    };
    let (directory, _) = exchange.directory.usable(desk.now)?;
    proved_rightly(directory.directory(), &exchange.name, school, false, desk.now)?;
    let said = CaseEvent::from_statement(statement).ok_or_else(|| refuse(STATEMENT))?;
    if said.iss != *party || said.sub_id.0 != id || said.attested.is_some() {
        return Err(refuse(STATEMENT).into());
    }
    let identity = &desk.identity;
    let said = CaseEvent {
        iss: identity.party().clone(),
        jti: token_id(&*exchange.entropy).map_err(Fault::from)?,
        attested: Some(Attestation {
            sender: party.clone(),
            certificate_sha256: peer.chain.x5t(),
            channel: "api".into(),
            statement_sha256: Some(sha256(statement.as_bytes())),
        }),
        ..said
    };
    let signed = said.sign(identity.signer(), identity.x5t()).map_err(SigningFault::Key);
    Ok(signed.map_err(Fault::from)?)
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
