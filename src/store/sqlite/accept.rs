//! Making one version of a referral durable.

use rusqlite::params;

use super::read::{self, ThreadRow};
use super::rows;
use super::transaction::Tx;
use crate::domain::time::Timestamp;
use crate::store::contract::{AcceptOutcome, Acceptance, Head, NewDelivery, NewToken, StoreFault};
use crate::store::sealing::Sealed;

/// The whole acceptance. Runs inside the writer's transaction: a crash anywhere in here leaves
/// nothing of it, the sender has no receipt and sends again.
pub(super) fn accept(
    tx: &Tx<'_>,
    a: &Acceptance,
    sealed: &Sealed,
) -> Result<AcceptOutcome, StoreFault> {
    check_shape(a)?;
    let head = Head {
        position: match a.after {
            Some(head) => head.position.checked_add(1).ok_or(StoreFault::Misuse)?,
            None => 1,
        },
        digest: a.accepted.token.sha256,
    };
    let owner = match claim(tx, a, head)? {
        Claim::Granted(owner) => owner,
        Claim::Answer(outcome) => return Ok(outcome),
    };
    let notes = a.deliveries.iter().map(|delivery| &delivery.note);
    let tokens = [&a.submission, &a.accepted].into_iter().chain(notes).map(|new| &new.token);
    rows::insert_evidence(tx, tokens, &a.chains, &a.crls)?;
    let document = rows::insert_document(tx, sealed)?;
    let submission = insert_token(tx, owner, &a.submission, None, a.recorded_at)?;
    let accepted = insert_token(tx, owner, &a.accepted, Some(head.position), a.recorded_at)?;
    tx.execute(
        "INSERT INTO versions (ref, version, payload_sha256, document, request_type, urgency,
                               authority, submission, accepted, recorded_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            owner,
            a.version,
            a.payload_sha256.as_bytes(),
            document,
            a.request_type,
            a.urgency,
            a.authority.as_str(),
            submission,
            accepted,
            a.recorded_at.millis(),
        ],
    )?;
    for delivery in &a.deliveries {
        insert_delivery(tx, owner, a, delivery)?;
    }
    Ok(AcceptOutcome::Committed)
}

/// Inserts a token and its unsequenced row.
pub(super) fn insert_token(
    tx: &Tx<'_>,
    owner: i64,
    new: &NewToken,
    position: Option<u32>,
    recorded_at: Timestamp,
) -> Result<i64, StoreFault> {
    let token = rows::insert_token(tx, owner, &new.token, position, recorded_at)?;
    let mut audience = String::new();
    for party in &new.audience {
        if !audience.is_empty() {
            audience.push(' ');
        }
        audience.push_str(&party.to_string());
    }
    tx.execute(
        "INSERT INTO unsequenced (token, audience) VALUES (?1, ?2)",
        params![token, audience],
    )?;
    Ok(token)
}

/// Moves the head of a thread; its clocks are looked at no later than `wake_at`. The caller has compared
/// the head in this same transaction.
pub(super) fn move_head(
    tx: &Tx<'_>,
    owner: i64,
    head: Head,
    wake_at: Timestamp,
) -> Result<(), StoreFault> {
    let changed = tx.execute(
        "UPDATE referrals SET head_position = ?2, head_digest = ?3,
             wake_at = min(coalesce(wake_at, ?4), ?4)
         WHERE ref = ?1",
        params![owner, head.position, head.digest.as_bytes(), wake_at.millis()],
    )?;
    if changed == 1 { Ok(()) } else { Err(StoreFault::Corrupt) }
}

enum Claim {
    /// The key is free and the referral's row stands at the new head.
    Granted(i64),
    /// Nothing may be stored; this is the answer.
    Answer(AcceptOutcome),
}

/// Takes the idempotency key, or says who has it.
fn claim(tx: &Tx<'_>, a: &Acceptance, head: Head) -> Result<Claim, StoreFault> {
    let standing = tx.first(read::THREAD, [a.referral_id.as_bytes()], read::thread_columns)?;
    let Some(ThreadRow { owner, sender, head: standing }) = standing else {
        if a.version != 1 {
            return Ok(Claim::Answer(AcceptOutcome::PreviousMismatch));
        }
        let owner = tx.insert(
            "INSERT INTO referrals (referral_id, sender, head_position, head_digest, wake_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                a.referral_id.as_bytes(),
                a.sender.to_string(),
                head.position,
                head.digest.as_bytes(),
                a.wake_at.millis(),
            ],
        )?;
        return Ok(Claim::Granted(owner));
    };
    if sender != a.sender {
        return Ok(Claim::Answer(AcceptOutcome::Foreign));
    }
    if let Some(stored) = read::acceptance(tx, owner, a.version)? {
        return Ok(Claim::Answer(if stored.payload_sha256 == a.payload_sha256 {
            AcceptOutcome::Already(stored)
        } else {
            AcceptOutcome::OtherBytes(stored)
        }));
    }
    let Some((latest, digest)) = read::latest_version(tx, owner)? else {
        return Ok(Claim::Answer(AcceptOutcome::Foreign));
    };
    if latest.checked_add(1) != Some(a.version) || a.previous != Some(digest) {
        return Ok(Claim::Answer(AcceptOutcome::PreviousMismatch));
    }
    if a.after != Some(standing) {
        return Ok(Claim::Answer(AcceptOutcome::HeadMoved(standing)));
    }
    move_head(tx, owner, head, a.wake_at)?;
    Ok(Claim::Granted(owner))
}

fn insert_delivery(
    tx: &Tx<'_>,
    owner: i64,
    a: &Acceptance,
    delivery: &NewDelivery,
) -> Result<(), StoreFault> {
    let note = insert_token(tx, owner, &delivery.note, None, a.recorded_at)?;
    tx.execute(
        "INSERT INTO deliveries (ref, version, authority, purpose, urgency, state, due_at,
                                 recorded_at, note)
         VALUES (?1, ?2, ?3, ?4, ?5, 'held', ?6, ?6, ?7)",
        params![
            owner,
            a.version,
            delivery.authority.as_str(),
            delivery.purpose,
            a.urgency,
            a.recorded_at.millis(),
            note,
        ],
    )?;
    Ok(())
}

fn check_shape(a: &Acceptance) -> Result<(), StoreFault> {
    let first = a.version == 1;
    let sound = a.version > 0
        && a.urgency <= 3
        && a.previous.is_none() == first
        && a.after.is_none() == first;
    if sound { Ok(()) } else { Err(StoreFault::Misuse) }
}
