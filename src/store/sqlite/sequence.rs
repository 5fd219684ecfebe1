//! Named rights, and the sequencer: the one place where the order of log and feeds is decided.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::read::collect;
use super::rows::{self, token_columns};
use super::transaction::Tx;
use crate::domain::party::Organisation;
use crate::domain::time::Timestamp;
use crate::store::contract::{FeedEntry, Fence, LogEntry, Sequencing, StoreFault};

/// Takes or renews a right. Crash after the commit: it expires by itself.
pub(super) fn acquire(
    conn: &Connection,
    name: &str,
    holder: &str,
    now: Timestamp,
    ttl_ms: i64,
) -> Result<Option<Fence>, StoreFault> {
    if ttl_ms <= 0 {
        return Err(StoreFault::Misuse);
    }
    let expires_at = now.plus(ttl_ms);
    let too_late = expires_at.plus(ttl_ms).millis();
    // One statement: insert the first epoch; or renew one's own; or take over an expired one, or one that ends
    // so late that the clock which gave it was wrong: its holder may be gone, and nobody would work for as long.
    let mut take = conn.prepare_cached(
        "INSERT INTO rights (name, holder, epoch, expires_at) VALUES (?1, ?2, 1, ?4)
         ON CONFLICT (name) DO UPDATE SET
             epoch = epoch + (holder <> ?2 OR rights.expires_at <= ?3),
             holder = ?2, expires_at = ?4
         WHERE holder = ?2 OR rights.expires_at <= ?3 OR rights.expires_at > ?5
         RETURNING epoch",
    )?;
    let mut taken =
        take.query(params![name, holder, now.millis(), expires_at.millis(), too_late])?;
    let Some(row) = taken.next()? else { return Ok(None) };
    Ok(Some(Fence { name: name.to_owned(), epoch: rows::count(row, 0)?, expires_at }))
}

/// Ends a right now; its epoch stays used. Crash before the commit: it expires by itself.
pub(super) fn release(conn: &Connection, fence: &Fence) -> Result<(), StoreFault> {
    conn.prepare_cached("UPDATE rights SET expires_at = 0 WHERE name = ?1 AND epoch = ?2")?
        .execute(params![fence.name, rows::number(fence.epoch)])?;
    Ok(())
}

/// Gives tokens their places. Crash before the commit: none of them moved, and the next holder of
/// the fence starts from the same rows.
pub(super) fn sequence(
    tx: &Tx<'_>,
    fence: &Fence,
    limit: u32,
    now: Timestamp,
) -> Result<Sequencing, StoreFault> {
    let holds = tx
        .prepare_cached("SELECT 1 FROM rights WHERE name = ?1 AND epoch = ?2 AND expires_at > ?3")?
        .exists(params![fence.name, rows::number(fence.epoch), now.millis()])?;
    if !holds {
        return Ok(Sequencing::FenceLost);
    }
    let waiting = waiting(tx, limit)?;
    let mut log_size = log_size(tx)?;
    let mut feeds = HashMap::new();
    for Waiting { token, audience, sha256 } in &waiting {
        tx.execute(
            "INSERT INTO log (idx, token, sha256) VALUES (?1, ?2, ?3)",
            params![rows::number(log_size), token, sha256],
        )?;
        log_size += 1;
        for party in audience.split_ascii_whitespace() {
            append_to_feed(tx, &mut feeds, party, *token)?;
        }
    }
    if let Some(last) = waiting.last() {
        // They were taken from the front, and nothing is inserted while this transaction runs.
        tx.execute("DELETE FROM unsequenced WHERE token <= ?1", [last.token])?;
    }
    Ok(Sequencing::Done { count: waiting.len() as u32, log_size })
}

struct Waiting {
    token: i64,
    audience: String,
    sha256: [u8; 32],
}

fn waiting(conn: &Connection, limit: u32) -> Result<Vec<Waiting>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT u.token, u.audience, t.sha256 FROM unsequenced u JOIN tokens t ON t.id = u.token
         ORDER BY u.token LIMIT ?1",
    )?;
    collect(find.query([limit])?, |row| {
        Ok(Waiting { token: row.get(0)?, audience: row.get(1)?, sha256: row.get(2)? })
    })
}

fn log_size(conn: &Connection) -> Result<u64, StoreFault> {
    let mut find = conn.prepare_cached("SELECT coalesce(max(idx) + 1, 0) FROM log")?;
    Ok(find.query_row([], |row| rows::count(row, 0))?)
}

/// Appends to one party's feed; `feeds` remembers the last position of those met in this run.
fn append_to_feed<'a>(
    tx: &Tx<'_>,
    feeds: &mut HashMap<&'a str, u64>,
    party: &'a str,
    token: i64,
) -> Result<(), StoreFault> {
    let last = match feeds.get(party) {
        Some(&last) => last,
        None => tx
            .prepare_cached("SELECT coalesce(max(position), 0) FROM feeds WHERE party = ?1")?
            .query_row([party], |row| rows::count(row, 0))?,
    };
    tx.execute(
        "INSERT INTO feeds (party, position, token) VALUES (?1, ?2, ?3)",
        params![party, rows::number(last + 1), token],
    )?;
    feeds.insert(party, last + 1);
    Ok(())
}

pub(super) fn log(conn: &Connection, first: u64, limit: u32) -> Result<Vec<LogEntry>, StoreFault> {
    let mut find =
        conn.prepare_cached("SELECT idx, sha256 FROM log WHERE idx >= ?1 ORDER BY idx LIMIT ?2")?;
    collect(find.query(params![rows::number(first), limit])?, |row| {
        Ok(LogEntry { index: rows::count(row, 0)?, token_sha256: rows::digest(row, 1)? })
    })
}

pub(super) fn feed(
    conn: &Connection,
    party: &Organisation,
    after: u64,
    limit: u32,
) -> Result<Vec<FeedEntry>, StoreFault> {
    let mut find = conn.prepare_cached(concat!(
        "SELECT f.position, r.referral_id, ",
        token_columns!("t"),
        " FROM feeds f JOIN tokens t ON t.id = f.token JOIN referrals r ON r.ref = t.owner
         WHERE f.party = ?1 AND f.position > ?2 ORDER BY f.position LIMIT ?3"
    ))?;
    collect(find.query(params![party.to_string(), rows::number(after), limit])?, |row| {
        Ok(FeedEntry {
            position: rows::count(row, 0)?,
            referral_id: rows::referral_id(row, 1)?,
            token: rows::token(row, 2)?,
        })
    })
}
