//! Named rights, and the sequencer: the one place where the order of log and feeds is decided.

use super::faults::Trouble;
use super::read::read_all;
use super::rows::{self, get, token_columns};
use super::session::{Session, Value};
use crate::domain::party::Organisation;
use crate::domain::time::Timestamp;
use crate::store::contract::{FeedEntry, Fence, LogEntry, Sequencing, StoreFault};

/// Takes or renews a right. Crash after the commit: it expires by itself.
pub(super) async fn acquire(
    session: &Session,
    name: &str,
    holder: &str,
    now: Timestamp,
    ttl_ms: i64,
) -> Result<Option<Fence>, Trouble> {
    if ttl_ms <= 0 {
        return Err(StoreFault::Misuse.into());
    }
    let expires_at = now.plus(ttl_ms);
    let too_late = expires_at.plus(ttl_ms).millis();
    // One statement: insert the first epoch; or renew one's own; or take over an expired one, or one that ends
    // so late that the clock which gave it was wrong: its holder may be gone, and nobody would work for as long.
    const TAKE: &str = "
        INSERT INTO rights AS r (name, holder, epoch, expires_at) VALUES ($1, $2, 1, $4)
        ON CONFLICT (name) DO UPDATE SET
            epoch = r.epoch + CASE WHEN r.holder <> $2 OR r.expires_at <= $3 THEN 1 ELSE 0 END,
            holder = $2, expires_at = $4
        WHERE r.holder = $2 OR r.expires_at <= $3 OR r.expires_at > $5
        RETURNING epoch";
    session.begin().await?;
    let values: [Value<'_>; 5] = [&name, &holder, &now.millis(), &expires_at.millis(), &too_late];
    let Some(row) = session.first(TAKE, &values).await? else {
        session.roll_back().await?;
        return Ok(None);
    };
    session.commit().await?;
    Ok(Some(Fence { name: name.to_owned(), epoch: rows::count(&row, 0)?, expires_at }))
}

/// Ends a right now; its epoch stays used. Crash before the commit: it expires by itself.
pub(super) async fn release(session: &Session, fence: &Fence) -> Result<(), Trouble> {
    const END: &str = "UPDATE rights SET expires_at = 0 WHERE name = $1 AND epoch = $2";
    session.begin().await?;
    session.execute(END, &[&fence.name, &rows::number(fence.epoch)]).await?;
    session.commit().await
}

/// Gives tokens their places. Crash before the commit: none of them moved, and the next holder of
/// the fence starts from the same rows.
pub(super) async fn sequence(
    session: &Session,
    fence: &Fence,
    limit: u32,
    now: Timestamp,
) -> Result<Sequencing, Trouble> {
    // Locked until the commit: nobody else takes the right meanwhile, and two runs under one fence
    // go one after the other. The next statement then sees what the run before left.
    const HOLD: &str = "SELECT 1 FROM rights WHERE name = $1 AND epoch = $2 AND expires_at > $3
        FOR UPDATE";
    let (epoch, now) = (rows::number(fence.epoch), now.millis());
    let held: [Value<'_>; 3] = [&fence.name, &epoch, &now];
    session.prepare(HOLD).await?;
    let (begun, held) = tokio::join!(biased; session.begin(), session.first(HOLD, &held));
    begun?;
    if held?.is_none() {
        session.roll_back().await?;
        return Ok(Sequencing::FenceLost);
    }
    let found = session.last(MOVE, &[&i64::from(limit)]).await?;
    let row = found.first().ok_or(StoreFault::Corrupt)?;
    let count = u32::try_from(get::<i64>(row, 0)?).map_err(|_| StoreFault::Corrupt)?;
    Ok(Sequencing::Done { count, log_size: rows::count(row, 1)? })
}

/// Tokens from the front of those that wait, to the ends of the log and of the feeds. Each token of a
/// referral has a greater number than those stored before it, and nothing is inserted between two of
/// them later: both were numbered under the lock of the referral's row.
const MOVE: &str = "
    WITH waiting AS MATERIALIZED (
        SELECT u.token, u.audience, t.sha256, row_number() OVER (ORDER BY u.token) - 1 AS place
        FROM (SELECT token, audience FROM unsequenced ORDER BY token LIMIT $1) u
        JOIN tokens t ON t.id = u.token
    ), gone AS (
        DELETE FROM unsequenced WHERE token = ANY (ARRAY (SELECT token FROM waiting))
    ), ending AS (
        SELECT coalesce(max(idx) + 1, 0) AS size FROM log
    ), logged AS (
        INSERT INTO log (idx, token, sha256)
        SELECT ending.size + waiting.place, token, sha256 FROM waiting CROSS JOIN ending
    ), readers AS (
        SELECT party, token, row_number() OVER (PARTITION BY party ORDER BY place, nth) AS place
        FROM waiting
        CROSS JOIN LATERAL unnest(string_to_array(audience, ' ')) WITH ORDINALITY AS a (party, nth)
    ), ends AS (
        SELECT party, token, place,
               CASE WHEN place = 1 THEN (SELECT position FROM feeds f WHERE f.party = readers.party
                                         ORDER BY position DESC LIMIT 1) END AS last
        FROM readers
    ), fed AS (
        INSERT INTO feeds (party, position, token)
        SELECT party, coalesce(max(last) OVER (PARTITION BY party), 0) + place, token FROM ends
    )
    SELECT (SELECT count(*) FROM waiting), size + (SELECT count(*) FROM waiting) FROM ending";

pub(super) async fn log(
    session: &Session,
    first: u64,
    limit: u32,
) -> Result<Vec<LogEntry>, Trouble> {
    const FIND: &str = "SELECT idx, sha256 FROM log WHERE idx >= $1 ORDER BY idx LIMIT $2";
    let found = session.query(FIND, &[&rows::number(first), &i64::from(limit)]).await?;
    read_all(found, |row| {
        Ok(LogEntry { index: rows::count(row, 0)?, token_sha256: rows::digest(row, 1)? })
    })
}

pub(super) async fn feed(
    session: &Session,
    party: &Organisation,
    after: u64,
    limit: u32,
) -> Result<Vec<FeedEntry>, Trouble> {
    const FIND: &str = concat!(
        "SELECT f.position, r.referral_id, ",
        token_columns!("t"),
        " FROM feeds f JOIN tokens t ON t.id = f.token JOIN referrals r ON r.ref = t.owner
         WHERE f.party = $1 AND f.position > $2 ORDER BY f.position LIMIT $3"
    );
    let values: [Value<'_>; 3] = [&party.to_string(), &rows::number(after), &i64::from(limit)];
    read_all(session.query(FIND, &values).await?, |row| {
        Ok(FeedEntry {
            position: rows::count(row, 0)?,
            referral_id: rows::referral_id(row, 1)?,
            token: rows::token(row, 2)?,
        })
    })
}
