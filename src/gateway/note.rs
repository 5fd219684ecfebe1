//! Step 6: [`Routed`] becomes [`Noted`]: the receipt and one dispatch note per authority are signed.
//!
//! Signed before the accept transaction, stored in it, and released only after it: a receipt that
//! was never stored is never seen by anybody.

use crate::domain::party::{Organisation, Party};
use crate::domain::referral::Header;
use crate::domain::time::Timestamp;
use crate::protocol::hash::sha256;
use crate::protocol::signing::{SigningIdentity, token_id};
use crate::protocol::tokens::{
    Accepted, Attestation, Audience, DispatchNote, SenderKind, Subject, Submission,
};
use crate::protocol::trust::Chain;
use crate::store::{Acceptance, NewDelivery, NewToken, SeenChain, Token, TokenKind};

use super::authenticate::Backing;
use super::exchange::{Exchange, revocation_word, seen_chain};
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
    /// Signs receipt and notes, recorded at `now`.
    pub fn sign(routed: Routed, exchange: &Exchange, now: Timestamp) -> Result<Self, Fault> {
        let identity = exchange.signing.load_full();
        let header = &routed.validated.checked.header().clone();
        let submission = submission(&routed, header, exchange, &identity, now)?;
        let authorised = &routed.validated.authorised;
        let received = &authorised.authentic.received;
        let sender = sender(&routed);
        let school = Organisation::School(received.school.clone());
        let (kind, revocation) = match &authorised.authentic.backing {
            Backing::Signed { signer, .. } => (SenderKind::Signed, signer.revocation()),
            Backing::Connection { peer, .. } => (SenderKind::Attested, peer.revocation()),
        };
        let accepted = Accepted {
            version: header.version,
            position: 1,
            recorded_at: now,
            submission_sha256: submission.token.token.sha256,
            payload_sha256: received.payload_sha256,
            sender: sender.clone(),
            authority: routed.route.accountable,
            routing_rule: routed.route.rule.into(),
            directory_version: authorised.directory.version,
            postcode_table: routed.route.table_version.clone(),
            revocation: revocation_word(revocation).into(),
        };
        let to = |party: Party| vec![Audience::Party(party)];
        let id = Some(header.referral_id);
        let entropy = &*exchange.entropy;
        let signed = identity.state(entropy, now, to(sender.clone()), id, accepted)?;
        let accepted_sha256 = signed.sha256;
        let accepted =
            exchange.own_token(&identity, TokenKind::Accepted, signed, vec![school.clone()]);
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
            };
            let addressee = Organisation::Authority(authority);
            let signed =
                identity.state(entropy, now, to(exchange.party(addressee.clone())), id, note)?;
            let note =
                exchange.own_token(&identity, TokenKind::DispatchNote, signed, vec![addressee]);
            deliveries.push(NewDelivery { authority, purpose: purpose.as_str().into(), note });
        }
        let mut chains = vec![seen_chain(identity.chain())];
        chains.extend(submission.chain);
        let ours = identity.chain().clone();
        let (crls, submitter) = match &authorised.authentic.backing {
            Backing::Signed { signer, chain, .. } => (exchange.seen_crls(&[signer]), chain.clone()),
            Backing::Connection { peer, .. } => (exchange.seen_crls(&[peer]), ours.clone()),
        };
        let acceptance = Acceptance {
            sender: school,
            referral_id: header.referral_id,
            version: header.version,
            previous: header.previous,
            after: None,
            request_type: header.request_type.as_str().into(),
            urgency: header.urgency.rank(),
            payload_sha256: received.payload_sha256,
            document: received.document.clone(),
            submission: submission.token,
            accepted,
            authority: routed.route.accountable,
            deliveries,
            chains,
            crls,
            recorded_at: now,
        };
        Ok(Self { acceptance, routed, signers: [ours, submitter] })
    }
}

struct Proven {
    token: NewToken,
    chain: Option<SeenChain>,
}

/// The party that sent it: who signed, or whom the connection's certificate names.
fn sender(routed: &Routed) -> Party {
    let authentic = &routed.validated.authorised.authentic;
    match &authentic.backing {
        Backing::Signed { claims, .. } => claims.iss.clone(),
        Backing::Connection { .. } => authentic.received.peer.chain.party().clone(),
    }
}

/// The school's token, or this gateway's attestation.
fn submission(
    routed: &Routed,
    header: &Header,
    exchange: &Exchange,
    identity: &SigningIdentity,
    now: Timestamp,
) -> Result<Proven, Fault> {
    let authentic = &routed.validated.authorised.authentic;
    let audience = vec![Organisation::School(authentic.received.school.clone())];
    match &authentic.backing {
        Backing::Signed { text, digest, signer, chain, .. } => {
            let token = Token {
                kind: TokenKind::Submission,
                sha256: *digest,
                jws: text.clone(),
                issuer: signer.party().clone(),
                x5t: signer.x5t(),
                crl_digests: signer.crl_digests().to_vec(),
            };
            Ok(Proven { token: NewToken { token, audience }, chain: Some(seen_chain(chain)) })
        }
        Backing::Connection { .. } => {
            let peer = &authentic.received.peer;
            let claims = Submission {
                iss: identity.party().clone(),
                aud: Audience::Scheme(identity.party().trust_domain.clone()),
                iat: now.seconds(),
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
                }),
            };
            let jws = claims
                .sign(identity.signer(), identity.x5t())
                .map_err(crate::protocol::signing::SigningFault::Key)?;
            let signed = crate::protocol::signing::Signed { sha256: sha256(jws.as_bytes()), jws };
            let token = exchange.own_token(identity, TokenKind::Attested, signed, audience);
            // The certificate that the school proved itself with is kept as evidence too.
            Ok(Proven { token, chain: Some(seen_chain(&peer.certificates)) })
        }
    }
}
