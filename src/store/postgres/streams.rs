//! Named streams of the feeds.

use super::faults::Trouble;
use super::rows;
use super::session::{Session, Value};
use crate::store::contract::{
    MOST_STREAMS, StoreFault, StreamAcks, StreamId, StreamOutcome, StreamStanding,
};

/// How far a stream is; at the start if it has acknowledged nothing.
pub(super) async fn standing(session: &Session, id: &StreamId) -> Result<StreamStanding, Trouble> {
    // One statement, so that both tables are read as of one instant.
    const FIND: &str = "SELECT s.done, ARRAY (SELECT a.position FROM stream_acks a
         WHERE a.party = s.party AND a.person = s.person AND a.name = s.name)
         FROM streams s WHERE s.party = $1 AND s.person = $2 AND s.name = $3";
    let values: [Value<'_>; 3] = [&id.party.to_string(), &id.person, &id.name.as_str()];
    match session.first(FIND, &values).await? {
        Some(row) => Ok(read(&row)?),
        None => Ok(StreamStanding::default()),
    }
}

/// Moves a stream on. Crash before the commit: nothing of it is kept, and the reader, who was told
/// nothing, gets the same tokens again. After it: acknowledged again, nothing changes.
pub(super) async fn acknowledge(
    session: &Session,
    acks: &StreamAcks,
) -> Result<StreamOutcome, Trouble> {
    let (party, name) = (acks.id.party.to_string(), acks.id.name.as_str());
    let key: [Value<'_>; 3] = [&party, &acks.id.person, &name];
    session.begin().await?;
    if session.first(HOLD, &key).await?.is_none() {
        // Streams of one party are made one after the other, so that none is refused for want of a place
        // that another one did not get.
        session.query(ALONE, &[&party]).await?;
        let values: [Value<'_>; 4] = [&party, &acks.id.person, &name, &MOST_STREAMS];
        session.execute(CREATE, &values).await?;
        if session.first(HOLD, &key).await?.is_none() {
            session.roll_back().await?;
            return Ok(StreamOutcome::TooMany);
        }
    }
    let standing = standing(session, &acks.id).await?;
    let next = standing.with(&acks.positions)?;
    let new = next.beyond.difference(&standing.beyond);
    let new: Vec<i64> = new.map(|position| rows::number(*position)).collect();
    if !new.is_empty() {
        let values: [Value<'_>; 4] = [&party, &acks.id.person, &name, &new];
        session.execute(KEEP, &values).await?;
    }
    if next.done > standing.done {
        let values: [Value<'_>; 4] = [&party, &acks.id.person, &name, &rows::number(next.done)];
        session.execute(MOVE, &values).await?;
        session.execute(FORGET, &values).await?;
    }
    if !acks.taken.is_empty() {
        let taken: Vec<i64> = acks.taken.iter().map(|position| rows::number(*position)).collect();
        session.execute(REACH, &[&party, &taken, &acks.now.millis()]).await?;
    }
    for (position, error) in &acks.errors {
        let (position, at) = (rows::number(*position), acks.now.millis());
        let values: [Value<'_>; 6] =
            [&party, &acks.id.person, &name, &position, &error.as_str(), &at];
        session.execute(COMPLAIN, &values).await?;
    }
    session.commit().await?;
    Ok(StreamOutcome::Standing(next))
}

const HOLD: &str =
    "SELECT done FROM streams WHERE party = $1 AND person = $2 AND name = $3 FOR UPDATE";
const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtextextended('stream of ' || $1, 0))";
const CREATE: &str = "INSERT INTO streams (party, person, name, slot, done)
     SELECT $1, $2, $3, coalesce(max(slot), 0) + 1, 0 FROM streams
     WHERE party = $1 AND person = $2 HAVING coalesce(max(slot), 0) < $4::bigint
     ON CONFLICT DO NOTHING";
const KEEP: &str = "INSERT INTO stream_acks (party, person, name, position)
     SELECT $1, $2, $3, position FROM unnest($4::bigint[]) AS new (position)";
const MOVE: &str = "UPDATE streams SET done = $4 WHERE party = $1 AND person = $2 AND name = $3";
const FORGET: &str = "DELETE FROM stream_acks
     WHERE party = $1 AND person = $2 AND name = $3 AND position <= $4";
/// Of an event's own token; the first time stays. In the feed's order, so that two streams of one party wait
/// for each other and not crosswise.
const REACH: &str = "INSERT INTO reached (ref, position, party, reached_at)
     SELECT e.ref, e.position, f.party, $3 FROM feeds f JOIN tokens t ON t.id = f.token
     JOIN events e ON e.ref = t.owner AND e.sha256 = t.sha256
     WHERE f.party = $1 AND f.position = ANY ($2::bigint[]) ORDER BY f.position
     ON CONFLICT DO NOTHING";
const COMPLAIN: &str =
    "INSERT INTO stream_errors (party, person, name, position, error, recorded_at)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

fn read(row: &tokio_postgres::Row) -> Result<StreamStanding, StoreFault> {
    let beyond: Vec<i64> = rows::get(row, 1)?;
    let beyond = beyond.into_iter().map(|p| u64::try_from(p).map_err(|_| StoreFault::Corrupt));
    Ok(StreamStanding { done: rows::count(row, 0)?, beyond: beyond.collect::<Result<_, _>>()? })
}
