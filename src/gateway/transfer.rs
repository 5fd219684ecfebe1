//! What a proposed transfer calls for: the referral goes to the authority that is asked, with the note
//! for it, the school's own signature and the holder's signed proposal, so that it can prove all three.

use super::exchange::{Desk, Exchange};
use super::known::Known;
use super::route::reachable;
use super::trouble::Trouble;
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::referral::RequestType;
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::protocol::jws::Unverified;
use crate::protocol::tokens::{
    Accepted, Audience, DispatchNote, Purpose, SecurityEvent, SenderKind, Transfer,
};
use crate::store::{NewDelivery, StoreFault, TokenKind};

/// Nobody at the authority that is asked may open an allegation.
const NO_OFFICER_THERE: Rule = Rule {
    id: "transfer.no-officer",
    title: "the authority that is asked has named no designated officer (LADO) who could open this",
    action: "Ring its designated officer and agree who acts meanwhile; it stays with you until the directory lists them, then propose again.",
};

/// The delivery to `to`, which the event `proposal` asks to take the referral over. Refused, with the
/// number to ring, where that authority cannot be reached from here.
pub(super) async fn delivery(
    exchange: &Exchange,
    desk: &Desk,
    known: &Known,
    (proposal, to): (Digest, DfeCode),
) -> Result<NewDelivery, Trouble> {
    let (directory, _) = exchange.directory.usable(desk.now)?;
    // Nobody there could open it, and until the answer nobody here could tell.
    let officers = directory.directory().authority(to, desk.now).map(|a| &a.settings.officers);
    if known.request_type == RequestType::Lado && officers.is_none_or(Vec::is_empty) {
        let whom = directory.directory().lado_text(to, desk.now);
        let violation = Violation::whole(NO_OFFICER_THERE).with_detail(whom);
        let refusal = Refusal::new(Class::Invalid, violation).blame(Culprit::Operator);
        return Err(Trouble::from(refusal).ring(Some(to)));
    }
    if let Err(rule) = reachable(directory.directory(), to, desk.now) {
        let refusal = Refusal::new(Class::Invalid, Violation::whole(rule)).blame(Culprit::Operator);
        return Err(Trouble::from(refusal).ring(Some(to)));
    }
    let (id, store) = (known.thread.referral_id, &exchange.store);
    let newest = known.thread.versions.last().ok_or(StoreFault::Corrupt)?;
    let submission = store.token(id, newest.submission_sha256).await?.ok_or(StoreFault::Corrupt)?;
    let accepted = store.token(id, newest.accepted_sha256).await?.ok_or(StoreFault::Corrupt)?;
    // Our own receipt, or that of another gateway over this store: its facts go into the note again.
    let facts = Unverified::parse(&accepted.token.jws)
        .ok()
        .and_then(|token| token.peek::<SecurityEvent<Accepted>>())
        .ok_or(StoreFault::Corrupt)?
        .event;
    let sender_kind = match submission.token.kind {
        TokenKind::Attested => SenderKind::Attested,
        _ => SenderKind::Signed,
    };
    let note = DispatchNote {
        version: facts.version,
        purpose: Purpose::Transfer,
        routing_rule: facts.routing_rule,
        routing_to_confirm: false,
        accepted_sha256: accepted.token.sha256,
        submission_sha256: submission.token.sha256,
        payload_sha256: facts.payload_sha256,
        sender: facts.sender,
        sender_kind,
        recorded_at: facts.recorded_at,
        directory_version: facts.directory_version,
        postcode_table: facts.postcode_table,
        transfer: Some(Transfer { proposal_sha256: proposal, proposed_at: desk.now }),
    };
    let addressee = Organisation::Authority(to);
    let reader = Audience::Party(exchange.party(addressee.clone()));
    let kind = TokenKind::DispatchNote;
    let note = desk.state(&*exchange.entropy, kind, reader, id, note, vec![addressee])?;
    Ok(NewDelivery { authority: to, purpose: Purpose::Transfer.as_str().into(), note })
}
