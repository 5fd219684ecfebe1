//! Steps 2 and 3: [`Received`] becomes [`Noted`], then [`Verified`].
//!
//! Every signature is judged at the time at which the gateway recorded the submission, so that a
//! weekend in a queue does no harm, and a certificate that was revoked before then does not help.

use crate::domain::case::EventKind;
use crate::domain::directory::Signing;
use crate::domain::ids::ReferralId;
use crate::domain::party::{Name, Organisation};
use crate::domain::referral::Header;
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::protocol::hash::sha256;
use crate::protocol::json;
use crate::protocol::jws::{self, Unverified, Verified as VerifiedToken};
use crate::protocol::schema;
use crate::protocol::tokens::{
    self, ATTESTED_TYPE, Accepted, Attested, Audience, CaseEvent, DispatchNote, SET_TYPE,
    SUBMISSION_TYPE, SecurityEvent, SenderKind, Submission, one_school,
};
use crate::protocol::trust::Chain;

use super::receive::Received;
use super::station::Station;

/// The note is signed by somebody else than a listed gateway.
pub const NOTE_SIGNER: Rule = Rule {
    id: "dispatch.signer",
    title: "the dispatch note is not signed by a gateway that the directory lists",
    action: "Sign dispatch notes with the signing certificate of a listed gateway.",
};
/// The note claims a time that has not come.
pub const FROM_THE_FUTURE: Rule = Rule {
    id: "dispatch.from-the-future",
    title: "the dispatch note says that it was recorded more than five minutes from now",
    action: "Set the clock of the gateway, or of this authority.",
};
/// The directory does not allow this way of proof for this school.
pub const NOT_ALLOWED: Rule = Rule {
    id: "dispatch.sender-not-allowed",
    title: "the directory does not let this school submit in this way",
    action: "Bring both sides to the same directory; check whether the school signs or is attested.",
};

/// A transfer without the holder's signed proposal to this authority, or a proposal without a transfer.
pub const NOT_PROPOSED: Rule = Rule {
    id: "dispatch.not-proposed",
    title: "a transfer comes without another authority's signed proposal to this one",
    action: "Bring the proposal that the note names, and the chain of its signer.",
};

/// What the note says of the tokens beside it.
const SUBMISSION_SHA256: &str = "submission_sha256";
const ACCEPTED_SHA256: &str = "accepted_sha256";

/// A dispatch whose note is genuine and addressed to this authority.
pub struct Noted {
    pub(super) received: Received,
    pub(super) referral_id: ReferralId,
    pub(super) note: DispatchNote,
    pub(super) note_token: VerifiedToken,
}

/// A dispatch in which everything verified.
pub struct Verified<'n> {
    pub(super) noted: &'n Noted,
    pub(super) submission_token: VerifiedToken,
    pub(super) accepted_token: VerifiedToken,
    /// The holder's proposal, for a transfer.
    pub(super) proposal_token: Option<VerifiedToken>,
    /// What the document says of itself.
    pub(super) header: Header,
}

impl Noted {
    /// Verifies the dispatch note.
    pub fn verify(received: Received, station: &Station) -> Result<Self, Refusal> {
        let token = Unverified::parse(&received.note)?;
        // Read before it is believed, only to know at which time the signature is to be judged.
        let claimed = token.peek::<SecurityEvent<DispatchNote>>();
        let claimed = claimed.ok_or_else(|| forbid(tokens::CLAIMS))?;
        let at = claimed.event.judged_at();
        if at.is_ahead_of(station.now()) {
            return Err(forbid(FROM_THE_FUTURE));
        }
        let trust = station.trust.store();
        let token =
            token.verify_beside(&received.note_chain, SET_TYPE, (&trust, &station.cache), at)?;
        match &token.signer().party().organisation {
            Organisation::Gateway(name) if received.directory.gateway(name).is_some() => {}
            _ => return Err(forbid(NOTE_SIGNER)),
        }
        let me = station.signing.load().party().clone();
        let said = claimed.confirm(&token, Some(&me))?;
        // One authority, one purpose: a note to several, or to everybody, is not a note.
        if said.aud != [Audience::Party(me)] {
            return Err(forbid(tokens::AUDIENCE));
        }
        let referral_id = said.sub_id.ok_or_else(|| forbid(tokens::CLAIMS))?.0;
        let note = said.event;
        same("payload_sha256 and the body", note.payload_sha256 == received.payload_sha256)?;
        Ok(Self { received, referral_id, note, note_token: token })
    }

    /// Checks that the tokens that came along are those that the note names, where they are not verified.
    pub(super) fn names_the_rest(&self) -> Result<(), Refusal> {
        let (received, note) = (&self.received, &self.note);
        same(SUBMISSION_SHA256, note.submission_sha256 == sha256(received.submission.as_bytes()))?;
        same(ACCEPTED_SHA256, note.accepted_sha256 == sha256(received.accepted.as_bytes()))
    }
}

impl<'n> Verified<'n> {
    /// Verifies submission, acceptance, the school's standing and the document.
    pub fn check(noted: &'n Noted, station: &Station) -> Result<Self, Refusal> {
        let (accepted_token, gateway) = accepted(noted, station)?;
        let (submission_token, claims) = submission(noted, &gateway, station)?;
        let header = document(noted, &claims)?;
        let proposal_token = proposal(noted, station)?;
        Ok(Self { noted, submission_token, accepted_token, proposal_token, header })
    }
}

/// The proposal that a transfer's note names: another authority's, about this referral, to this one.
fn proposal(noted: &Noted, station: &Station) -> Result<Option<VerifiedToken>, Refusal> {
    let (transfer, (text, chain)) = match (&noted.note.transfer, &noted.received.proposal) {
        (None, None) => return Ok(None),
        (Some(transfer), Some(proposal)) => (transfer, proposal),
        _ => return Err(forbid(NOT_PROPOSED)),
    };
    same("proposal_sha256", transfer.proposal_sha256 == sha256(text.as_bytes()))?;
    let token = verified(station, text, chain, SET_TYPE, transfer.proposed_at)?;
    let scheme = &token.signer().party().trust_domain;
    let said = CaseEvent::read(&token, scheme, noted.referral_id)?;
    let by_another = match said.iss.organisation {
        Organisation::Authority(code) => code != station.code,
        _ => false,
    };
    let to_us = said.body().to == Some(station.code);
    match said.kind() == EventKind::TransferProposed && by_another && to_us {
        true => Ok(Some(token)),
        false => Err(forbid(NOT_PROPOSED)),
    }
}

fn submission(
    noted: &Noted,
    accepted_by: &Name,
    station: &Station,
) -> Result<(VerifiedToken, Submission), Refusal> {
    let (received, note) = (&noted.received, &noted.note);
    let typ = match note.sender_kind {
        SenderKind::Signed => SUBMISSION_TYPE,
        SenderKind::Attested => ATTESTED_TYPE,
    };
    let token =
        verified(station, &received.submission, &received.submission_chain, typ, note.recorded_at)?;
    same(SUBMISSION_SHA256, note.submission_sha256 == token.digest())?;
    let claims = Submission::read(&token, &token.signer().party().trust_domain)?;
    same("sender", *claims.sender() == note.sender)?;
    same("sub_id", claims.sub_id.0 == noted.referral_id)?;
    same("version", claims.version == note.version)?;
    same("payload_sha256", claims.payload_sha256 == note.payload_sha256)?;
    let school = claims.school().ok_or_else(|| forbid(tokens::CLAIMS))?;
    let entry = received.directory.school(school, note.recorded_at);
    let allowed = match (entry.map(|s| &s.signing), claims.backing()) {
        (Some(Signing::Signed), Attested::Signed) => true,
        (Some(Signing::AttestedBy(gateways)), Attested::By(name)) => {
            // Nobody attests on another gateway's behalf: the one that attests accepts. The note of a
            // transfer may be another's.
            name == *accepted_by && gateways.contains(&name)
        }
        _ => false,
    };
    if allowed { Ok((token, claims)) } else { Err(forbid(NOT_ALLOWED)) }
}

/// The gateway's acceptance, and the gateway that signed it.
fn accepted(noted: &Noted, station: &Station) -> Result<(VerifiedToken, Name), Refusal> {
    let (received, note) = (&noted.received, &noted.note);
    let token = verified(
        station,
        &received.accepted,
        &received.accepted_chain,
        SET_TYPE,
        note.recorded_at,
    )?;
    same(ACCEPTED_SHA256, note.accepted_sha256 == token.digest())?;
    let name = match &token.signer().party().organisation {
        Organisation::Gateway(name) if received.directory.gateway(name).is_some() => name.clone(),
        _ => return Err(forbid(NOTE_SIGNER)),
    };
    let said = SecurityEvent::<Accepted>::read(&token, None)?;
    same("sub_id", said.sub_id.map(|s| s.0) == Some(noted.referral_id))?;
    note.agrees_with(&said.event, station.code).map_err(|r| r.blame(Culprit::Gateway))?;
    Ok((token, name))
}

fn document(noted: &Noted, claims: &Submission) -> Result<Header, Refusal> {
    let bytes = &noted.received.document;
    // What a gateway let through and we do not is the gateway's to mend.
    let gateway = |class, violations| Refusal { class, culprit: Culprit::Gateway, violations };
    let read = json::read(bytes, bytes.len()).map_err(|v| gateway(Class::Malformed, vec![v]))?;
    let header = schema::check_header(read.root());
    let header = header.map_err(|all| gateway(Class::Invalid, all))?;
    claims.agrees_with(&header)?;
    if let Some(school) = claims.school() {
        one_school(&header, school)?;
    }
    Ok(header)
}

fn verified(
    station: &Station,
    text: &str,
    chain: &Chain,
    typ: &str,
    at: Timestamp,
) -> Result<VerifiedToken, Refusal> {
    jws::verify_beside(text, chain, typ, (&station.trust.store(), &station.cache), at)
}

fn same(what: &str, equal: bool) -> Result<(), Refusal> {
    if equal { Ok(()) } else { Err(tokens::mismatch(what).blame(Culprit::Gateway)) }
}

fn forbid(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}
