//! Events of a referral's thread: made durable, and read with all that the next one is judged by.

use rusqlite::{Connection, Row, params};

use super::accept::insert_token;
use super::read::{self, collect};
use super::rows::{self, token_columns};
use super::transaction::Tx;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::DfeCode;
use crate::domain::time::Timestamp;
use crate::store::contract::{
    Append, AppendOutcome, CaseChange, DetailRow, Head, NewDelivery, Reached, StoreFault,
    StoredEvent, Thread, VersionRow,
};
use crate::store::sealing::{Sealed, Vault};

/// The whole event. Runs inside the writer's transaction: a crash anywhere in here leaves nothing of it,
/// the author has no record and states it again; after the commit, stated again, it gets the stored
/// record.
pub(super) fn append(
    tx: &Tx<'_>,
    vault: &Vault,
    a: &Append,
    sealed: Option<&Sealed>,
) -> Result<AppendOutcome, StoreFault> {
    a.check_shape()?;
    let next = a.next_head()?;
    let owner = match read::thread_row(tx, a.referral_id)? {
        None if a.begins() => begin(tx, a, next)?,
        None => return Ok(AppendOutcome::Unknown),
        Some(read::ThreadRow { owner, head, .. }) => {
            let sha256 = a.event.token.sha256;
            if let Some(stored) = recorded_before(tx, vault, a.referral_id, owner, sha256)? {
                return Ok(AppendOutcome::Already(Box::new(stored)));
            }
            if head != a.after {
                return Ok(AppendOutcome::HeadMoved(head));
            }
            owner
        }
    };
    rows::insert_evidence(tx, a.tokens(), &a.chains, &a.crls)?;
    let document = sealed.map(|sealed| rows::insert_document(tx, sealed)).transpose()?;
    let event = insert_token(tx, owner, &a.event, None, a.recorded_at)?;
    let recorded = insert_token(tx, owner, &a.recorded, Some(next.position), a.recorded_at)?;
    tx.prepare_cached(INSERT)?.execute(params![
        owner,
        next.position,
        a.event.token.sha256.as_bytes(),
        event,
        recorded,
        a.holder.as_ref().map(DfeCode::as_str),
        a.detail.as_ref().map(|detail| detail.sha256.as_bytes()),
        document,
    ])?;
    tx.prepare_cached(MOVE)?.execute(params![
        owner,
        next.position,
        next.digest.as_bytes(),
        a.holder.as_ref().map(DfeCode::as_str),
        a.wake_at.map(Timestamp::millis),
    ])?;
    for delivery in &a.deliveries {
        insert_delivery(tx, owner, a, next, delivery)?;
    }
    match a.case {
        Some(CaseChange::Closed) => {
            let at = a.recorded_at.millis();
            tx.prepare_cached(CLOSE)?.execute(params![a.referral_id.as_bytes(), at])?;
        }
        Some(CaseChange::Reopened) => {
            tx.prepare_cached(REOPEN)?.execute([a.referral_id.as_bytes()])?;
        }
        None => {}
    }
    Ok(AppendOutcome::Committed)
}

/// The row of a thread that this event begins: its author's.
fn begin(conn: &Connection, a: &Append, head: Head) -> Result<i64, StoreFault> {
    let opener = a.opener.as_ref().ok_or(StoreFault::Misuse)?;
    conn.prepare_cached(BEGIN)?.execute(params![
        a.referral_id.as_bytes(),
        opener.to_string(),
        head.position,
        head.digest.as_bytes(),
    ])?;
    Ok(conn.last_insert_rowid())
}

pub(super) const BEGIN: &str =
    "INSERT INTO referrals (referral_id, sender, head_position, head_digest)
     VALUES (?1, ?2, ?3, ?4)";
pub(super) const INSERT: &str =
    "INSERT INTO events (ref, position, sha256, event, recorded, holder, detail_sha256, document)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(super) const MOVE: &str = "UPDATE referrals SET head_position = ?2, head_digest = ?3,
         holder = coalesce(?4, holder), wake_at = ?5
     WHERE ref = ?1";
pub(super) const CLOSE: &str = "INSERT INTO closures (referral_id, closed_at) VALUES (?1, ?2)
     ON CONFLICT DO UPDATE SET closed_at = excluded.closed_at";
pub(super) const REOPEN: &str = "DELETE FROM closures WHERE referral_id = ?1";
/// Of the newest version; if that is erased by now, as the purge left its other deliveries.
pub(super) const DELIVER: &str =
    "INSERT INTO deliveries (ref, version, authority, purpose, called_by, urgency, state, due_at,
                             reason, recorded_at, settled_at, note)
     SELECT ref, version, ?2, ?3, ?4, urgency, iif(document IS NULL, 'undeliverable', 'held'),
            iif(document IS NULL, NULL, ?5), iif(document IS NULL, 'erased', NULL), ?5,
            iif(document IS NULL, ?5, NULL), ?6
     FROM versions WHERE ref = ?1 ORDER BY version DESC LIMIT 1";

fn insert_delivery(
    tx: &Tx<'_>,
    owner: i64,
    a: &Append,
    by: Head,
    delivery: &NewDelivery,
) -> Result<(), StoreFault> {
    let note = insert_token(tx, owner, &delivery.note, None, a.recorded_at)?;
    let inserted = tx.prepare_cached(DELIVER)?.execute(params![
        owner,
        delivery.authority.as_str(),
        delivery.purpose,
        by.position,
        a.recorded_at.millis(),
        note,
    ])?;
    if inserted == 1 { Ok(()) } else { Err(StoreFault::Corrupt) }
}

/// Referrals whose clocks are to be looked at.
pub(super) fn due(
    conn: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<ReferralId>, StoreFault> {
    let mut find = conn.prepare_cached(DUE)?;
    collect(find.query(params![now.millis(), limit])?, |row| rows::referral_id(row, 0))
}

pub(super) const DUE: &str =
    "SELECT referral_id FROM referrals WHERE wake_at <= ?1 ORDER BY wake_at LIMIT ?2";

/// The next time to look, if the thread still stands there and nothing else made it due. Lost in a crash: it is looked at again.
pub(super) fn looked_at(
    conn: &Connection,
    id: ReferralId,
    (head, due_at): (Head, Option<Timestamp>),
    wake_at: Option<Timestamp>,
) -> Result<(), StoreFault> {
    conn.prepare_cached(LOOKED_AT)?.execute(params![
        id.as_bytes(),
        head.position,
        head.digest.as_bytes(),
        wake_at.map(Timestamp::millis),
        due_at.map(Timestamp::millis)
    ])?;
    Ok(())
}

pub(super) const LOOKED_AT: &str = "UPDATE referrals SET wake_at = ?4
     WHERE referral_id = ?1 AND head_position = ?2 AND head_digest = ?3 AND wake_at IS ?5";

/// Everything about a thread that the next event is judged by, in one snapshot.
pub(super) fn thread(
    conn: &Connection,
    vault: &Vault,
    id: ReferralId,
) -> Result<Option<Thread>, StoreFault> {
    let snapshot = conn.unchecked_transaction()?;
    let Some(row) = read::thread_row(&snapshot, id)? else { return Ok(None) };
    let read::ThreadRow { owner, sender, head } = row;
    let versions = read::versions(&snapshot, vault, id, owner)?;
    let (holder, wake_at) = standing(&snapshot, owner, &versions)?;
    Ok(Some(Thread {
        referral_id: id,
        sender,
        head,
        holder,
        wake_at,
        deliveries: read::deliveries_of(&snapshot, owner)?,
        events: events(&snapshot, vault, id, owner)?,
        reached: reached(&snapshot, owner)?,
        versions,
    }))
}

/// The accountable authority: of the last transfer, of the event that began the thread, or as version 1
/// was routed; and when its clocks are to be looked at.
pub(super) fn standing(
    conn: &Connection,
    owner: i64,
    versions: &[VersionRow],
) -> Result<(DfeCode, Option<Timestamp>), StoreFault> {
    let mut find = conn.prepare_cached(HOLDER)?;
    let mut found = find.query([owner])?;
    let row = found.next()?.ok_or(StoreFault::Corrupt)?;
    let transferred = rows::dfe_code_or_none(row, 0)?;
    let routed = versions.first().map(|version| version.authority);
    let holder = transferred.or(routed).ok_or(StoreFault::Corrupt)?;
    Ok((holder, rows::time_or_none(row, 1)?))
}

pub(super) const HOLDER: &str = "SELECT holder, wake_at FROM referrals WHERE ref = ?1";

/// The columns that [`event`] reads.
macro_rules! events {
    ($rest:literal) => {
        concat!(
            "SELECT e.position, e.holder, e.detail_sha256, e.erased_at, e.erased_why, d.key_id, ",
            token_columns!("s"),
            ", ",
            token_columns!("r"),
            " FROM events e JOIN tokens s ON s.id = e.event JOIN tokens r ON r.id = e.recorded
              LEFT JOIN documents d ON d.id = e.document ",
            $rest
        )
    };
}

pub(super) const EVENTS: &str = events!("WHERE e.ref = ?1 ORDER BY e.position");
pub(super) const EVENT: &str = events!("WHERE e.ref = ?1 AND e.sha256 = ?2");

fn events(
    conn: &Connection,
    vault: &Vault,
    id: ReferralId,
    owner: i64,
) -> Result<Vec<StoredEvent>, StoreFault> {
    let mut find = conn.prepare_cached(EVENTS)?;
    collect(find.query([owner])?, |row| event(row, vault, id))
}

fn reached(conn: &Connection, owner: i64) -> Result<Vec<Reached>, StoreFault> {
    let mut find = conn.prepare_cached(REACHED)?;
    collect(find.query([owner])?, |row| {
        let (party, at) = (rows::organisation(row, 1)?, rows::time(row, 2)?);
        Ok(Reached { position: row.get(0)?, party, at })
    })
}

pub(super) const REACHED: &str =
    "SELECT position, party, reached_at FROM reached WHERE ref = ?1 ORDER BY position, party";

fn recorded_before(
    conn: &Connection,
    vault: &Vault,
    id: ReferralId,
    owner: i64,
    sha256: Digest,
) -> Result<Option<StoredEvent>, StoreFault> {
    let mut find = conn.prepare_cached(EVENT)?;
    let mut found = find.query(params![owner, sha256.as_bytes()])?;
    found.next()?.map(|row| event(row, vault, id)).transpose()
}

fn event(row: &Row<'_>, vault: &Vault, id: ReferralId) -> Result<StoredEvent, StoreFault> {
    const TOKENS: usize = 6;
    let recorded = rows::token(row, TOKENS + rows::TOKEN_COLUMNS)?;
    let key = rows::key_id(row, 5)?;
    let purged = rows::erasure(row, 3)?;
    let detail = rows::digest_or_none(row, 2)?.map(|sha256| DetailRow {
        sha256,
        // Erased from the moment at which its key is destroyed, purged a little later.
        erased: purged.or_else(|| vault.erased(id, sha256, key)),
    });
    Ok(StoredEvent {
        position: row.get(0)?,
        recorded_at: recorded.recorded_at,
        event: rows::token(row, TOKENS)?,
        recorded,
        detail,
        holder: rows::dfe_code_or_none(row, 1)?,
    })
}
