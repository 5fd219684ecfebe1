//! Step 6: [`Routed`] becomes [`Noted`]: the receipt and one dispatch note per authority are signed.
//!
//! Signed before the accept transaction, stored in it, and released only after it: a receipt that
//! was never stored is never seen by anybody.

use crate::domain::party::Organisation;
use crate::domain::referral::Header;
use crate::protocol::hash::sha256;
use crate::protocol::signing::{Signed, SigningFault, token_id};
use crate::protocol::tokens::{
    Accepted, Attestation, Audience, DispatchNote, SenderKind, Subject, Submission,
};
use crate::protocol::trust::Chain;
use crate::store::{Acceptance, Head, NewDelivery, NewToken, SeenChain, TokenKind};

use super::authenticate::Backing;
use super::exchange::{Desk, Exchange, revocation_word, seen_chain, their_token};
use super::remind::first_look;
use super::route::Routed;
use super::trouble::Fault;

/// A submission with everything signed that will be released once it is stored.
pub struct Noted {
    pub(super) acceptance: Acceptance,
    pub(super) routed: Routed,
    /// The chains of the signers of receipt and submission, for the answer.
    pub(super) signers: [Chain; 2],
}

impl Noted {
    /// Signs receipt and notes, recorded at the instant of `desk`.
    /// `after` is where the thread stands, for a version that is not the first.
    pub fn sign(
        routed: Routed,
        exchange: &Exchange,
        desk: &Desk,
        after: Option<Head>,
    ) -> Result<Self, Fault> {
        let (identity, now) = (&desk.identity, desk.now);
        let header = &routed.validated.checked.header().clone();
        let submission = submission(&routed, header, exchange, desk)?;
        let authorised = &routed.validated.authorised;
        let received = &authorised.authentic.received;
        let sender = authorised.authentic.sender().clone();
        let school = Organisation::School(received.school.clone());
        let (kind, revocation) = match &authorised.authentic.backing {
            Backing::Signed { signer, .. } => (SenderKind::Signed, signer.revocation()),
            Backing::Connection { peer, .. } => (SenderKind::Attested, peer.revocation()),
        };
        let accepted = Accepted {
            version: header.version,
            position: after.map_or(1, |head| u64::from(head.position) + 1),
            recorded_at: now,
            previous_sha256: after.map(|head| head.digest),
            submission_sha256: submission.token.token.sha256,
            payload_sha256: received.payload_sha256,
            sender: sender.clone(),
            authority: routed.route.accountable,
            routing_rule: routed.route.rule.into(),
            directory_version: authorised.directory.version,
            postcode_table: routed.route.table_version.clone(),
            revocation: revocation_word(revocation).into(),
            also_ring: routed.route.also_ring.clone(),
        };
        let (id, entropy) = (header.referral_id, &*exchange.entropy);
        let to = Audience::Party(sender.clone());
        let accepted =
            desk.state(entropy, TokenKind::Accepted, to, id, accepted, vec![school.clone()])?;
        let accepted_sha256 = accepted.token.sha256;
        let mut deliveries = Vec::with_capacity(routed.route.deliveries.len());
        for &(authority, purpose) in &routed.route.deliveries {
            let note = DispatchNote {
                version: header.version,
                purpose,
                routing_rule: routed.route.rule.into(),
                routing_to_confirm: routed.route.to_confirm,
                accepted_sha256,
                submission_sha256: submission.token.token.sha256,
                payload_sha256: received.payload_sha256,
                sender: sender.clone(),
                sender_kind: kind,
                recorded_at: now,
                directory_version: authorised.directory.version,
                postcode_table: routed.route.table_version.clone(),
                transfer: None,
            };
            let addressee = Organisation::Authority(authority);
            let to = Audience::Party(exchange.party(addressee.clone()));
            let kind = TokenKind::DispatchNote;
            let note = desk.state(entropy, kind, to, id, note, vec![addressee])?;
            deliveries.push(NewDelivery { authority, purpose: purpose.as_str().into(), note });
        }
        let mut chains = vec![seen_chain(identity.chain())];
        chains.extend(submission.chain);
        let ours = identity.chain().clone();
        let submitter = match &authorised.authentic.backing {
            Backing::Signed { chain, .. } => chain.clone(),
            Backing::Connection { .. } => ours.clone(),
        };
        let acceptance = Acceptance {
            sender: school,
            referral_id: header.referral_id,
            version: header.version,
            previous: header.previous,
            after,
            request_type: header.request_type.as_str().into(),
            urgency: header.urgency.rank(),
            payload_sha256: received.payload_sha256,
            document: received.document.clone(),
            submission: submission.token,
            accepted,
            authority: routed.route.accountable,
            deliveries,
            chains,
            crls: desk.seen_crls(),
            recorded_at: now,
            wake_at: first_look(now, header.urgency),
        };
        Ok(Self { acceptance, routed, signers: [ours, submitter] })
    }
}

struct Proven {
    token: NewToken,
    chain: Option<SeenChain>,
}

/// The school's token, or this gateway's attestation.
fn submission(
    routed: &Routed,
    header: &Header,
    exchange: &Exchange,
    desk: &Desk,
) -> Result<Proven, Fault> {
    let identity = &desk.identity;
    let authentic = &routed.validated.authorised.authentic;
    let audience = vec![Organisation::School(authentic.received.school.clone())];
    match &authentic.backing {
        Backing::Signed { text, digest, signer, chain, .. } => {
            let token = their_token(TokenKind::Submission, *digest, text, signer);
            Ok(Proven { token: NewToken { token, audience }, chain: Some(seen_chain(chain)) })
        }
        Backing::Connection { .. } => {
            let peer = &authentic.received.peer;
            let claims = Submission {
                iss: identity.party().clone(),
                aud: Audience::Scheme(identity.party().trust_domain.clone()),
                iat: desk.now.seconds(),
                jti: token_id(&*exchange.entropy)?,
                sub_id: Subject(header.referral_id),
                schema: crate::protocol::schema::Schema::referral_v1_id().into(),
                version: header.version,
                urgency: header.urgency.as_str().into(),
                request_type: header.request_type.as_str().into(),
                payload_sha256: authentic.received.payload_sha256,
                previous_sha256: header.previous,
                attested: Some(Attestation {
                    sender: peer.chain.party().clone(),
                    certificate_sha256: peer.chain.x5t(),
                    channel: "api".into(),
                    statement_sha256: None,
                }),
            };
            let jws = claims.sign(identity.signer(), identity.x5t()).map_err(SigningFault::Key)?;
            let signed = Signed { sha256: sha256(jws.as_bytes()), jws };
            let token = desk.own_token(TokenKind::Attested, signed, audience);
            // The certificate that the school proved itself with is kept as evidence too.
            Ok(Proven { token, chain: Some(seen_chain(&peer.certificates)) })
        }
    }
}
