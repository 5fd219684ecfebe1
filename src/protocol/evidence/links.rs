//! Whatever a statement refers to by digest is in the bundle and says the same.

use std::collections::BTreeMap;

use super::{INCOMPLETE, Read, Says, Statement, WRONG_ROLE, refuse};
use crate::domain::ids::Digest;
use crate::domain::party::{Organisation, Party};
use crate::domain::refusal::Refusal;
use crate::protocol::tokens::{
    self, Accepted, Attested, CaseEvent, DispatchNote, SenderKind, Submission,
};

/// Checks each of `statements`, which stand in the order of `tokens`.
pub(super) fn check(statements: &[Statement], tokens: &[Read]) -> Result<(), Refusal> {
    let all =
        All(tokens.iter().map(|t| t.digest).zip(statements.iter().map(|s| &s.says)).collect());
    for statement in statements {
        match &statement.says {
            Says::Submitted(_) => {}
            Says::Accepted(accepted) => {
                accepted.agrees_with(all.submission(&accepted.submission_sha256)?)?;
            }
            Says::Dispatched(note, to) => {
                let Organisation::Authority(authority) = to.organisation else {
                    return Err(refuse(WRONG_ROLE));
                };
                let submission = all.submission(&note.submission_sha256)?;
                note.agrees_with(all.accepted(&note.accepted_sha256)?, authority)?;
                let kind = match submission.backing() {
                    Attested::Signed => SenderKind::Signed,
                    Attested::By(_) => SenderKind::Attested,
                };
                same("sender_kind", note.sender_kind == kind)?;
                if let Some(transfer) = &note.transfer {
                    let proposal = all.event(&transfer.proposal_sha256)?;
                    same("to and authority", proposal.body().to == Some(authority))?;
                }
            }
            Says::Delivered(delivered) => {
                let (note, to) = all.note(&delivered.note_sha256)?;
                same("payload_sha256", delivered.payload_sha256 == note.payload_sha256)?;
                same("version", delivered.version == note.version)?;
                if to.organisation != statement.by.organisation {
                    return Err(refuse(WRONG_ROLE));
                }
            }
            Says::Recorded(recorded) => {
                // An event is recorded right behind what its author has seen.
                if let Some(event) = all.recordable(&recorded.event_sha256)? {
                    let seen = event.body().seen;
                    same("seen and position", seen.checked_add(1) == Some(recorded.position))?;
                    let first = recorded.previous_sha256.is_none();
                    same("event and previous_sha256", event.kind().opens().is_some() == first)?;
                }
            }
            Says::Said(event) => begins(event)?,
        }
    }
    Ok(())
}

/// What begins a thread is said by who may begin it, to one other party.
fn begins(event: &CaseEvent) -> Result<(), Refusal> {
    if event.kind().opens().is_none() {
        return Ok(());
    }
    // The rule looks at everything but the digest.
    let statement = event.statement(Digest::from_bytes([0; 32]), 1, None);
    let judged = statement.begins().map(|thread| thread.judge(&statement));
    if judged == Some(Ok(())) { Ok(()) } else { Err(refuse(WRONG_ROLE)) }
}

/// What the bundle holds, by digest. Anything else than what is looked for is not it.
struct All<'a>(BTreeMap<Digest, &'a Says>);

impl<'a> All<'a> {
    fn submission(&self, digest: &Digest) -> Result<&'a Submission, Refusal> {
        match self.0.get(digest) {
            Some(Says::Submitted(submission)) => Ok(submission),
            _ => Err(refuse(INCOMPLETE)),
        }
    }

    fn accepted(&self, digest: &Digest) -> Result<&'a Accepted, Refusal> {
        match self.0.get(digest) {
            Some(Says::Accepted(accepted)) => Ok(accepted),
            _ => Err(refuse(INCOMPLETE)),
        }
    }

    fn note(&self, digest: &Digest) -> Result<(&'a DispatchNote, &'a Party), Refusal> {
        match self.0.get(digest) {
            Some(Says::Dispatched(note, to)) => Ok((note, to)),
            _ => Err(refuse(INCOMPLETE)),
        }
    }

    fn event(&self, digest: &Digest) -> Result<&'a CaseEvent, Refusal> {
        match self.0.get(digest) {
            Some(Says::Said(event)) => Ok(event),
            _ => Err(refuse(INCOMPLETE)),
        }
    }

    /// Something that a gateway records: an authority's receipt, or an event.
    fn recordable(&self, digest: &Digest) -> Result<Option<&'a CaseEvent>, Refusal> {
        match self.0.get(digest) {
            Some(Says::Delivered(_)) => Ok(None),
            Some(Says::Said(event)) => Ok(Some(event)),
            _ => Err(refuse(INCOMPLETE)),
        }
    }
}

fn same(fact: &str, equal: bool) -> Result<(), Refusal> {
    if equal { Ok(()) } else { Err(tokens::mismatch(fact)) }
}
