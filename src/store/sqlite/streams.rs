//! Named streams of the feeds.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::rows;
use crate::store::contract::{
    MOST_STREAMS, StoreFault, StreamAcks, StreamId, StreamOutcome, StreamStanding,
};

/// How far a stream is; at the start if it has acknowledged nothing.
pub(super) fn standing(conn: &Connection, id: &StreamId) -> Result<StreamStanding, StoreFault> {
    let snapshot = conn.unchecked_transaction()?;
    Ok(find(&snapshot, id)?.unwrap_or_default())
}

/// Moves a stream on. Crash before the commit: nothing of it is kept, and the reader, who was told
/// nothing, gets the same tokens again. After it: acknowledged again, nothing changes.
pub(super) fn acknowledge(
    conn: &Connection,
    acks: &StreamAcks,
) -> Result<StreamOutcome, StoreFault> {
    let (party, person, name) = key(&acks.id);
    conn.prepare_cached(CREATE)?.execute(params![party, person, name, MOST_STREAMS])?;
    let Some(standing) = find(conn, &acks.id)? else { return Ok(StreamOutcome::TooMany) };
    let next = standing.with(&acks.positions)?;
    for position in next.beyond.difference(&standing.beyond) {
        let position = rows::number(*position);
        conn.prepare_cached(KEEP)?.execute(params![party, person, name, position])?;
    }
    if next.done > standing.done {
        let done = rows::number(next.done);
        conn.prepare_cached(MOVE)?.execute(params![party, person, name, done])?;
        conn.prepare_cached(FORGET)?.execute(params![party, person, name, done])?;
    }
    for position in &acks.taken {
        let values = params![party, rows::number(*position), acks.now.millis()];
        conn.prepare_cached(REACH)?.execute(values)?;
    }
    for (position, error) in &acks.errors {
        let (position, at) = (rows::number(*position), acks.now.millis());
        let values = params![party, person, name, position, error.as_str(), at];
        conn.prepare_cached(COMPLAIN)?.execute(values)?;
    }
    Ok(StreamOutcome::Standing(next))
}

const CREATE: &str = "INSERT INTO streams (party, person, name, slot, done)
     SELECT ?1, ?2, ?3, coalesce(max(slot), 0) + 1, 0 FROM streams
     WHERE party = ?1 AND person = ?2 HAVING coalesce(max(slot), 0) < ?4
     ON CONFLICT DO NOTHING";
const KEEP: &str =
    "INSERT INTO stream_acks (party, person, name, position) VALUES (?1, ?2, ?3, ?4)";
const MOVE: &str = "UPDATE streams SET done = ?4 WHERE party = ?1 AND person = ?2 AND name = ?3";
const FORGET: &str = "DELETE FROM stream_acks
     WHERE party = ?1 AND person = ?2 AND name = ?3 AND position <= ?4";
/// Of an event's own token; the first time stays.
pub(super) const REACH: &str = "INSERT INTO reached (ref, position, party, reached_at)
     SELECT e.ref, e.position, f.party, ?3 FROM feeds f JOIN tokens t ON t.id = f.token
     JOIN events e ON e.ref = t.owner AND e.sha256 = t.sha256
     WHERE f.party = ?1 AND f.position = ?2 ON CONFLICT DO NOTHING";
const COMPLAIN: &str =
    "INSERT INTO stream_errors (party, person, name, position, error, recorded_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";

fn find(conn: &Connection, id: &StreamId) -> Result<Option<StreamStanding>, StoreFault> {
    let (party, person, name) = key(id);
    let mut find = conn.prepare_cached(
        "SELECT done FROM streams WHERE party = ?1 AND person = ?2 AND name = ?3",
    )?;
    let mut found = find.query(params![party, person, name])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let done = rows::count(row, 0)?;
    let mut find = conn.prepare_cached(
        "SELECT position FROM stream_acks WHERE party = ?1 AND person = ?2 AND name = ?3",
    )?;
    let mut found = find.query(params![party, person, name])?;
    let mut beyond = BTreeSet::new();
    while let Some(row) = found.next()? {
        beyond.insert(rows::count(row, 0)?);
    }
    Ok(Some(StreamStanding { done, beyond }))
}

fn key(id: &StreamId) -> (String, &str, &str) {
    (id.party.to_string(), &id.person, id.name.as_str())
}
