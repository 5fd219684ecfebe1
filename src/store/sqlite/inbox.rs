//! The authority's operations: reference numbers, receiving, and reading the inbox.

use rusqlite::{Connection, Row, ToSql, params};

use super::read::collect;
use super::rows::{self, token_columns};
use super::transaction::Tx;
use crate::store::contract::{
    Dispatch, DispatchKey, InboxEntry, InboxFilter, ReceiveOutcome, StoreFault, StoredDispatch,
    StoredToken,
};
use crate::store::sealing::{DocumentRow, Sealed, Vault};

/// Gives out the next number. Crash after the commit: the number stays unused.
pub(super) fn next_reference(
    conn: &Connection,
    prefix: &str,
    year: i32,
) -> Result<String, StoreFault> {
    let plain = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit();
    if !(1..=12).contains(&prefix.len()) || !prefix.bytes().all(plain) {
        return Err(StoreFault::Misuse);
    }
    let number = conn
        .prepare_cached(
            "INSERT INTO reference_numbers (prefix, year, last) VALUES (?1, ?2, 1)
             ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row(params![prefix, year], |row| rows::count(row, 0))?;
    Ok(format!("{prefix}-{year}-{number:06}"))
}

/// Stores a dispatch. Crash before the commit: the gateway has no receipt and sends it again.
pub(super) fn receive(
    tx: &Tx<'_>,
    d: &Dispatch,
    sealed: &Sealed,
) -> Result<ReceiveOutcome, StoreFault> {
    if d.urgency > 3 || d.key.version == 0 {
        return Err(StoreFault::Misuse);
    }
    if let Some(stored) = received(tx, &d.key)? {
        let same = stored.payload_sha256 == d.payload_sha256 && stored.note_sha256 == d.note.sha256;
        return Ok(if same {
            ReceiveOutcome::Already(stored)
        } else {
            ReceiveOutcome::OtherBytes(stored)
        });
    }
    rows::insert_evidence(tx, d.theirs().chain([&d.delivered]), &d.chains, &d.crls)?;
    let document = rows::insert_document(tx, sealed)?;
    let entry = tx.insert(
        "INSERT INTO dispatches (referral_id, version, purpose, sender, request_type, urgency,
                                 payload_sha256, document, reference, recorded_at, received_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            d.key.referral_id.as_bytes(),
            d.key.version,
            d.key.purpose,
            d.sender.to_string(),
            d.request_type,
            d.urgency,
            d.payload_sha256.as_bytes(),
            document,
            d.reference,
            d.recorded_at.millis(),
            d.received_at.millis(),
        ],
    )?;
    // What the gateway recorded is judged at its time, our receipt at ours.
    for token in d.theirs() {
        rows::insert_token(tx, entry, token, None, d.recorded_at)?;
    }
    rows::insert_token(tx, entry, &d.delivered, None, d.received_at)?;
    Ok(ReceiveOutcome::Stored)
}

pub(super) fn received(
    conn: &Connection,
    key: &DispatchKey,
) -> Result<Option<StoredDispatch>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT d.payload_sha256, n.sha256, r.jws, d.reference, d.received_at
         FROM dispatches d
         JOIN tokens n ON n.owner = d.entry AND n.kind = 'dispatch_note'
         JOIN tokens r ON r.owner = d.entry AND r.kind = 'delivered'
         WHERE d.referral_id = ?1 AND d.version = ?2 AND d.purpose = ?3",
    )?;
    let mut found = find.query(params![key.referral_id.as_bytes(), key.version, key.purpose])?;
    let Some(row) = found.next()? else { return Ok(None) };
    Ok(Some(StoredDispatch {
        payload_sha256: rows::digest(row, 0)?,
        note_sha256: rows::digest(row, 1)?,
        delivered: row.get(2)?,
        reference: row.get(3)?,
        received_at: rows::time(row, 4)?,
    }))
}

/// The columns that [`entry`] reads.
const ENTRY: &str =
    "entry, reference, referral_id, version, purpose, sender, request_type, urgency,
     payload_sha256, recorded_at, received_at, erased_at, erased_why, b.key_id";
/// Where they are read from.
const ENTRIES: &str = "dispatches LEFT JOIN documents b ON b.id = document";

pub(super) fn inbox(
    conn: &Connection,
    vault: &Vault,
    filter: &InboxFilter,
) -> Result<Vec<InboxEntry>, StoreFault> {
    let mut sql = format!("SELECT {ENTRY} FROM {ENTRIES} WHERE TRUE");
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(id) = filter.referral_id {
        sql.push_str(" AND referral_id = ?");
        values.push(Box::new(*id.as_bytes()));
    }
    if let Some(reference) = &filter.reference {
        sql.push_str(" AND reference = ?");
        values.push(Box::new(reference.clone()));
    }
    if let Some(urgency) = filter.at_least_urgent {
        sql.push_str(" AND urgency <= ?");
        values.push(Box::new(urgency));
    }
    if let Some(after) = filter.after {
        sql.push_str(" AND entry < ?");
        values.push(Box::new(rows::number(after)));
    }
    let longest = InboxFilter::LONGEST;
    let limit = if filter.limit == 0 { longest } else { filter.limit.min(longest) };
    sql.push_str(" ORDER BY entry DESC LIMIT ?");
    values.push(Box::new(limit));
    let mut find = conn.prepare_cached(&sql)?;
    collect(find.query(rusqlite::params_from_iter(values))?, |row| entry(row, vault))
}

fn entry(row: &Row<'_>, vault: &Vault) -> Result<InboxEntry, StoreFault> {
    let (referral_id, payload_sha256) = (rows::referral_id(row, 2)?, rows::digest(row, 8)?);
    let key = rows::key_id(row, 13)?;
    Ok(InboxEntry {
        entry: rows::count(row, 0)?,
        reference: row.get(1)?,
        key: DispatchKey { referral_id, version: row.get(3)?, purpose: row.get(4)? },
        sender: rows::organisation(row, 5)?,
        request_type: row.get(6)?,
        urgency: row.get(7)?,
        payload_sha256,
        recorded_at: rows::time(row, 9)?,
        received_at: rows::time(row, 10)?,
        // Erased from the moment at which its key is destroyed, purged a little later.
        erased: rows::erasure(row, 11)?.or_else(|| vault.erased(referral_id, payload_sha256, key)),
    })
}

/// One entry with its tokens; the document as it lies there.
pub(super) type Item = (InboxEntry, DocumentRow, Vec<StoredToken>);

pub(super) fn item(
    conn: &Connection,
    vault: &Vault,
    number: u64,
) -> Result<Option<Item>, StoreFault> {
    let snapshot = conn.unchecked_transaction()?;
    let sql = format!("SELECT {ENTRY}, b.wrapped, b.body FROM {ENTRIES} WHERE entry = ?1");
    let mut find = snapshot.prepare_cached(&sql)?;
    let mut found = find.query([rows::number(number)])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let entry = entry(row, vault)?;
    let document = rows::document(row, 11)?;
    let mut find = snapshot.prepare_cached(concat!(
        "SELECT ",
        token_columns!("t"),
        " FROM tokens t WHERE t.owner = ?1 ORDER BY t.id"
    ))?;
    let tokens = collect(find.query([rows::number(number)])?, |row| rows::token(row, 0))?;
    Ok(Some((entry, document, tokens)))
}

pub(super) fn count(conn: &Connection) -> Result<u64, StoreFault> {
    // Entries are numbered from 1 and never deleted.
    let mut find = conn.prepare_cached("SELECT coalesce(max(entry), 0) FROM dispatches")?;
    Ok(find.query_row([], |row| rows::count(row, 0))?)
}
