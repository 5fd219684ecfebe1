//! Reading what the gateway has stored.

use tokio_postgres::Row;

use super::faults::Trouble;
use super::rows::{self, get, token_columns};
use super::session::{Session, Value};
use super::thread;
use crate::domain::delivery::{DELAYED_AFTER_MS, State};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::time::Timestamp;
use crate::store::contract::{
    Counts, DeliveryFilter, DeliveryId, DeliveryRow, Head, Seen, StoreFault, StoredAcceptance,
    StoredToken, Timeline, TokenRow, VersionRow,
};
use crate::store::sealing::{DocumentRow, Place, Vault};

/// A referral's row.
pub(super) struct ThreadRow {
    pub owner: i64,
    pub sender: Organisation,
    pub head: Head,
}

/// The row of a referral, locked until the transaction ends; `None` if nobody has used the id.
pub(super) async fn locked_thread(
    session: &Session,
    id: ReferralId,
) -> Result<Option<ThreadRow>, Trouble> {
    let row = session.first(LOCK, &[&&id.as_bytes()[..]]).await?;
    Ok(row.map(|row| thread_columns(&row)).transpose()?)
}

/// Locks and reads a referral's row.
pub(super) const LOCK: &str = "SELECT ref, sender, head_position, head_digest FROM referrals
    WHERE referral_id = $1 FOR UPDATE";

/// The row of a referral; `None` if nobody has used the id.
pub(super) async fn thread_row(
    session: &Session,
    id: ReferralId,
) -> Result<Option<ThreadRow>, Trouble> {
    const FIND: &str =
        "SELECT ref, sender, head_position, head_digest FROM referrals WHERE referral_id = $1";
    let row = session.first(FIND, &[&&id.as_bytes()[..]]).await?;
    Ok(row.map(|row| thread_columns(&row)).transpose()?)
}

/// Reads what [`LOCK`] gives.
pub(super) fn thread_columns(row: &Row) -> Result<ThreadRow, StoreFault> {
    let head = Head { position: rows::small_count(row, 2)?, digest: rows::digest(row, 3)? };
    Ok(ThreadRow { owner: get(row, 0)?, sender: rows::organisation(row, 1)?, head })
}

/// Where a thread stands.
pub(super) async fn head(session: &Session, id: ReferralId) -> Result<Option<Head>, Trouble> {
    Ok(thread_row(session, id).await?.map(|thread| thread.head))
}

/// Ids of threads, in their order.
pub(super) async fn threads(
    session: &Session,
    after: Option<ReferralId>,
    limit: u32,
) -> Result<Vec<ReferralId>, Trouble> {
    const FIND: &str = "SELECT referral_id FROM referrals WHERE referral_id > $1
        ORDER BY referral_id LIMIT $2";
    let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    let rows = session.query(FIND, &[&after, &i64::from(limit)]).await?;
    read_all(rows, |row| rows::referral_id(row, 0))
}

/// A stored version with its receipt.
pub(super) async fn acceptance(
    session: &Session,
    owner: i64,
    version: u32,
) -> Result<Option<StoredAcceptance>, Trouble> {
    const FIND: &str = "SELECT v.payload_sha256, s.sha256, a.jws, v.authority, v.recorded_at
        FROM versions v JOIN tokens s ON s.id = v.submission JOIN tokens a ON a.id = v.accepted
        WHERE v.ref = $1 AND v.version = $2";
    let row = session.first(FIND, &[&owner, &column(version)]).await?;
    Ok(row.map(|row| acceptance_row(&row, 0)).transpose()?)
}

fn acceptance_row(row: &Row, first: usize) -> Result<StoredAcceptance, StoreFault> {
    Ok(StoredAcceptance {
        payload_sha256: rows::digest(row, first)?,
        submission_sha256: rows::digest(row, first + 1)?,
        accepted: get(row, first + 2)?,
        authority: rows::dfe_code(row, first + 3)?,
        recorded_at: rows::time(row, first + 4)?,
    })
}

/// A version as its column takes it: what no column can hold was never stored.
fn column(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

/// Number and document digest of the newest version; `None` in a thread that an event began.
pub(super) async fn latest_version(
    session: &Session,
    owner: i64,
) -> Result<Option<(u32, Digest)>, Trouble> {
    const FIND: &str = "SELECT version, payload_sha256 FROM versions WHERE ref = $1
        ORDER BY version DESC LIMIT 1";
    let row = session.first(FIND, &[&owner]).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((rows::small_count(&row, 0)?, rows::digest(&row, 1)?)))
}

/// One statement, and so one state of the referral.
pub(super) async fn look_up(
    session: &Session,
    sender: &Organisation,
    id: ReferralId,
    version: u32,
) -> Result<Seen, Trouble> {
    const FIND: &str = "
        SELECT r.sender, r.head_position, r.head_digest, n.version, n.payload_sha256,
               v.payload_sha256, s.sha256, a.jws, v.authority, v.recorded_at
        FROM referrals r
        LEFT JOIN LATERAL (SELECT version, payload_sha256 FROM versions
                           WHERE ref = r.ref ORDER BY version DESC LIMIT 1) n ON true
        LEFT JOIN versions v ON v.ref = r.ref AND v.version = $2
        LEFT JOIN tokens s ON s.id = v.submission
        LEFT JOIN tokens a ON a.id = v.accepted
        WHERE r.referral_id = $1";
    let row = session.first(FIND, &[&&id.as_bytes()[..], &column(version)]).await?;
    let Some(row) = row else { return Ok(Seen::Never) };
    // A thread that an event began has no version.
    if rows::organisation(&row, 0)? != *sender || rows::digest_or_none(&row, 4)?.is_none() {
        return Ok(Seen::Foreign);
    }
    if rows::digest_or_none(&row, 5)?.is_some() {
        let stored = acceptance_row(&row, 5)?;
        // A receipt is about to be given for a row that somebody else wrote.
        session.confirm().await?;
        return Ok(Seen::Stored(stored));
    }
    Ok(Seen::OtherVersions {
        head: Head { position: rows::small_count(&row, 1)?, digest: rows::digest(&row, 2)? },
        latest_version: rows::small_count(&row, 3)?,
        latest_payload_sha256: rows::digest(&row, 4)?,
    })
}

pub(super) async fn timeline(
    session: &Session,
    vault: &Vault,
    id: ReferralId,
) -> Result<Option<Timeline>, Trouble> {
    session.begin_snapshot().await?;
    let found = match thread_row(session, id).await? {
        None => None,
        Some(ThreadRow { owner, sender, head }) => {
            let versions = versions(session, vault, id, owner).await?;
            Some(Timeline {
                referral_id: id,
                sender,
                head,
                holder: thread::standing(session, owner, &versions).await?.0,
                tokens: tokens(session, owner).await?,
                deliveries: deliveries_of(session, owner).await?,
                versions,
            })
        }
    };
    session.roll_back().await?;
    Ok(found)
}

pub(super) async fn versions(
    session: &Session,
    vault: &Vault,
    id: ReferralId,
    owner: i64,
) -> Result<Vec<VersionRow>, Trouble> {
    const FIND: &str = "
        SELECT v.version, v.payload_sha256, v.request_type, v.urgency, v.authority, s.sha256,
               a.sha256, v.recorded_at, v.erased_at, v.erased_why, d.key_id
        FROM versions v JOIN tokens s ON s.id = v.submission JOIN tokens a ON a.id = v.accepted
        LEFT JOIN documents d ON d.id = v.document
        WHERE v.ref = $1 ORDER BY v.version";
    read_all(session.query(FIND, &[&owner]).await?, |row| {
        let payload_sha256 = rows::digest(row, 1)?;
        let key = rows::key_id(row, 10)?;
        Ok(VersionRow {
            version: rows::small_count(row, 0)?,
            payload_sha256,
            // Erased from the moment at which its key is destroyed, purged a little later.
            erased: rows::erasure(row, 8)?.or_else(|| vault.erased(id, payload_sha256, key)),
            request_type: get(row, 2)?,
            urgency: rows::urgency(row, 3)?,
            authority: rows::dfe_code(row, 4)?,
            submission_sha256: rows::digest(row, 5)?,
            accepted_sha256: rows::digest(row, 6)?,
            recorded_at: rows::time(row, 7)?,
        })
    })
}

/// The numbers of a referral's tokens: each stands in a version, an event or a delivery, so that tokens
/// need no index of their owners.
macro_rules! tokens_of {
    ($owner:literal) => {
        concat!(
            "(SELECT unnest(ARRAY[v.submission, v.accepted]) AS id FROM versions v WHERE v.ref = ",
            $owner,
            " UNION ALL SELECT unnest(ARRAY[d.note, d.delivered, d.recorded])
              FROM deliveries d WHERE d.ref = ",
            $owner,
            " UNION ALL SELECT unnest(ARRAY[e.event, e.recorded]) FROM events e WHERE e.ref = ",
            $owner,
            ")"
        )
    };
}

async fn tokens(session: &Session, owner: i64) -> Result<Vec<TokenRow>, Trouble> {
    const FIND: &str = concat!(
        "SELECT t.kind, t.sha256, t.issuer, t.position, t.recorded_at FROM ",
        tokens_of!("$1"),
        " o JOIN tokens t ON t.id = o.id ORDER BY t.id"
    );
    read_all(session.query(FIND, &[&owner]).await?, |row| {
        let position: Option<i32> = get(row, 3)?;
        Ok(TokenRow {
            kind: rows::kind(row, 0)?,
            sha256: rows::digest(row, 1)?,
            issuer: rows::party(row, 2)?.organisation,
            position: position.map(u32::try_from).transpose().map_err(|_| StoreFault::Corrupt)?,
            recorded_at: rows::time(row, 4)?,
        })
    })
}

/// What [`delivery_row`] reads, up to the conditions.
macro_rules! delivery_rows {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, r.referral_id, d.version, d.authority, d.purpose, d.called_by, d.urgency,
                    d.state, d.attempts, d.reason, d.due_at, d.first_tried_at, d.recorded_at,
                    d.settled_at, n.sha256, e.sha256
             FROM deliveries d JOIN referrals r ON r.ref = d.ref JOIN tokens n ON n.id = d.note
             LEFT JOIN tokens e ON e.id = d.delivered ",
            $rest
        )
    };
}

/// Deliveries of one referral, in the order in which they were called for.
pub(super) async fn deliveries_of(
    session: &Session,
    owner: i64,
) -> Result<Vec<DeliveryRow>, Trouble> {
    // Put in order here: in a database that is still empty, the server would plan to walk all deliveries in
    // the order of their numbers, and keep to that plan while they become many.
    const FIND: &str = delivery_rows!("WHERE d.ref = $1");
    let mut found = read_all(session.query(FIND, &[&owner]).await?, delivery_row)?;
    found.sort_unstable_by_key(|delivery| delivery.id);
    Ok(found)
}

/// Deliveries by any mix of conditions, for people: the text of the query varies with them.
pub(super) async fn deliveries(
    session: &Session,
    filter: DeliveryFilter,
) -> Result<Vec<DeliveryRow>, Trouble> {
    let mut sql = String::from(delivery_rows!("WHERE d.id > $1"));
    let after = filter.after.map_or(0, |id| id.0);
    let longest = DeliveryFilter::LONGEST;
    let limit = if filter.limit == 0 { longest } else { filter.limit.min(longest) };
    let limit = i64::from(limit);
    let authority = filter.authority.map(|code| code.as_str().to_owned());
    let referral = filter.referral_id.map(|id| id.as_bytes().to_vec());
    let mut values: Vec<Value<'_>> = vec![&after, &limit];
    if let Some(state) = filter.state {
        // A word of our own, as text: so the small indexes of open and stuck deliveries can answer.
        sql.push_str(&format!(" AND d.state = '{}'", state.as_str()));
        if matches!(state, State::Held | State::Leased) {
            sql.push_str(" AND d.due_at IS NOT NULL");
        }
    }
    if let Some(authority) = &authority {
        values.push(authority);
        sql.push_str(&format!(" AND d.authority = ${}", values.len()));
    }
    if let Some(referral) = &referral {
        values.push(referral);
        let place = values.len();
        let wanted = format!("(SELECT ref FROM referrals WHERE referral_id = ${place})");
        sql.push_str(&format!(" AND d.ref = {wanted}"));
    }
    sql.push_str(" ORDER BY d.id LIMIT $2");
    read_all(session.query(&sql, &values).await?, delivery_row)
}

fn delivery_row(row: &Row) -> Result<DeliveryRow, StoreFault> {
    Ok(DeliveryRow {
        id: DeliveryId(get(row, 0)?),
        referral_id: rows::referral_id(row, 1)?,
        version: rows::small_count(row, 2)?,
        authority: rows::dfe_code(row, 3)?,
        purpose: get(row, 4)?,
        called_by: match rows::small_count(row, 5)? {
            0 => None,
            position => Some(position),
        },
        urgency: rows::urgency(row, 6)?,
        state: State::from_name(get(row, 7)?).ok_or(StoreFault::Corrupt)?,
        attempts: rows::small_count(row, 8)?,
        reason: get(row, 9)?,
        due_at: rows::time_or_none(row, 10)?,
        first_tried_at: rows::time_or_none(row, 11)?,
        recorded_at: rows::time(row, 12)?,
        settled_at: rows::time_or_none(row, 13)?,
        note_sha256: rows::digest(row, 14)?,
        delivered_sha256: rows::digest_or_none(row, 15)?,
    })
}

/// A document as it lies there, with its place; more than once if it was given more than once. Its
/// versions before details.
pub(super) async fn documents(
    session: &Session,
    id: ReferralId,
    sha256: Digest,
) -> Result<Vec<(Place, DocumentRow)>, Trouble> {
    const FIND: &str = "
        SELECT v.version, false, v.erased_at, v.erased_why, d.key_id, d.wrapped, d.body
        FROM referrals r JOIN versions v ON v.ref = r.ref
        LEFT JOIN documents d ON d.id = v.document
        WHERE r.referral_id = $1 AND v.payload_sha256 = $2
        UNION ALL
        SELECT e.position, true, e.erased_at, e.erased_why, d.key_id, d.wrapped, d.body
        FROM referrals r JOIN events e ON e.ref = r.ref
        LEFT JOIN documents d ON d.id = e.document
        WHERE r.referral_id = $1 AND e.detail_sha256 = $2";
    let found = session.query(FIND, &[&&id.as_bytes()[..], &&sha256.as_bytes()[..]]).await?;
    read_all(found, |row| {
        let number = rows::small_count(row, 0)?;
        let place = match get(row, 1)? {
            false => Place::gateway(id, number, sha256),
            true => Place::detail(id, number, sha256),
        };
        Ok((place, rows::document(row, 2)?))
    })
}

pub(super) async fn token(
    session: &Session,
    id: ReferralId,
    sha256: Digest,
) -> Result<Option<StoredToken>, Trouble> {
    const FIND: &str = concat!(
        "SELECT ",
        token_columns!("t"),
        " FROM referrals r CROSS JOIN LATERAL ",
        tokens_of!("r.ref"),
        " o JOIN tokens t ON t.id = o.id WHERE r.referral_id = $1 AND t.sha256 = $2"
    );
    let row = session.first(FIND, &[&&id.as_bytes()[..], &&sha256.as_bytes()[..]]).await?;
    Ok(row.map(|row| rows::token(&row, 0)).transpose()?)
}

/// Counts within the index of open deliveries; settled ones cost nothing.
pub(super) async fn counts(session: &Session, now: Timestamp) -> Result<Counts, Trouble> {
    const COUNT: &str = "
        SELECT o.*, (SELECT count(*) FROM deliveries d JOIN versions v USING (ref, version)
                     WHERE d.state = 'undeliverable' AND v.document IS NOT NULL),
               (SELECT count(*) FROM unsequenced), (SELECT coalesce(max(idx) + 1, 0) FROM log)
        FROM (SELECT count(*) FILTER (WHERE state = 'held'),
                     count(*) FILTER (WHERE state = 'leased'),
                     count(*) FILTER (WHERE recorded_at <= $1), min(recorded_at)
              FROM deliveries WHERE due_at IS NOT NULL) o";
    let row = session.one(COUNT, &[&now.plus(-DELAYED_AFTER_MS).millis()]).await?;
    Ok(Counts {
        held: rows::count(&row, 0)?,
        leased: rows::count(&row, 1)?,
        delayed: rows::count(&row, 2)?,
        oldest_open: rows::time_or_none(&row, 3)?,
        undeliverable: rows::count(&row, 4)?,
        unsequenced: rows::count(&row, 5)?,
        log_size: rows::count(&row, 6)?,
    })
}

/// The urgencies and authorities that have open deliveries: one step into the index for each, however
/// many deliveries wait. Begins a statement that goes on with `waited (urgency, authority)`.
macro_rules! waited {
    ($rest:expr) => {
        concat!(
            "WITH RECURSIVE waited (urgency, authority) AS (
                (SELECT urgency, authority FROM deliveries WHERE due_at IS NOT NULL
                 ORDER BY urgency, authority LIMIT 1)
                UNION ALL
                SELECT n.urgency, n.authority FROM waited w CROSS JOIN LATERAL (
                    SELECT urgency, authority FROM deliveries
                    WHERE due_at IS NOT NULL
                      AND (urgency, authority) > (w.urgency, w.authority)
                    ORDER BY urgency, authority LIMIT 1) n
            )",
            $rest
        )
    };
}
pub(super) use waited;

pub(super) async fn next_due(
    session: &Session,
    excluded: &[DfeCode],
) -> Result<Option<Timestamp>, Trouble> {
    const FIND: &str = waited!(
        " SELECT min(d.due_at) FROM waited w CROSS JOIN LATERAL (
              SELECT due_at FROM deliveries
              WHERE due_at IS NOT NULL AND urgency = w.urgency AND authority = w.authority
              ORDER BY due_at LIMIT 1) d
          WHERE w.authority <> ALL ($1::text[])"
    );
    let excluded: Vec<&str> = excluded.iter().map(DfeCode::as_str).collect();
    let row = session.one(FIND, &[&excluded]).await?;
    Ok(rows::time_or_none(&row, 0)?)
}

/// The same for one authority: one step into the index per urgency.
pub(super) async fn next_due_of(
    session: &Session,
    authority: DfeCode,
) -> Result<Option<Timestamp>, Trouble> {
    const FIND: &str = "
        SELECT min(d.due_at) FROM generate_series(0, 3) u CROSS JOIN LATERAL (
            SELECT due_at FROM deliveries
            WHERE due_at IS NOT NULL AND urgency = u AND authority = $1
            ORDER BY due_at LIMIT 1) d";
    let row = session.one(FIND, &[&authority.as_str()]).await?;
    Ok(rows::time_or_none(&row, 0)?)
}

/// Reads all rows.
pub(super) fn read_all<T>(
    found: Vec<Row>,
    read: impl Fn(&Row) -> Result<T, StoreFault>,
) -> Result<Vec<T>, Trouble> {
    Ok(found.iter().map(read).collect::<Result<_, _>>()?)
}
