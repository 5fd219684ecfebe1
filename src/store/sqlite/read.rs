//! Reading what the gateway has stored.

use rusqlite::{Connection, Row, ToSql, params};

use super::rows::{self, token_columns};
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

/// The row of a referral; `None` if nobody has used the id.
pub(super) fn thread_row(
    conn: &Connection,
    id: ReferralId,
) -> Result<Option<ThreadRow>, StoreFault> {
    let mut find = conn.prepare_cached(THREAD)?;
    let mut found = find.query([id.as_bytes()])?;
    found.next()?.map(thread_columns).transpose()
}

/// Reads what [`THREAD`] gives.
pub(super) fn thread_columns(row: &Row<'_>) -> Result<ThreadRow, StoreFault> {
    let head = Head { position: row.get(2)?, digest: rows::digest(row, 3)? };
    Ok(ThreadRow { owner: row.get(0)?, sender: rows::organisation(row, 1)?, head })
}

pub(super) const THREAD: &str =
    "SELECT ref, sender, head_position, head_digest FROM referrals WHERE referral_id = ?1";

/// Ids of threads, in their order.
pub(super) fn threads(
    conn: &Connection,
    after: Option<ReferralId>,
    limit: u32,
) -> Result<Vec<ReferralId>, StoreFault> {
    let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    let mut find = conn.prepare_cached(
        "SELECT referral_id FROM referrals WHERE referral_id > ?1 ORDER BY referral_id LIMIT ?2",
    )?;
    collect(find.query(params![after, limit])?, |row| rows::referral_id(row, 0))
}

/// A stored version with its receipt.
pub(super) fn acceptance(
    conn: &Connection,
    owner: i64,
    version: u32,
) -> Result<Option<StoredAcceptance>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT v.payload_sha256, s.sha256, a.jws, v.authority, v.recorded_at
         FROM versions v JOIN tokens s ON s.id = v.submission JOIN tokens a ON a.id = v.accepted
         WHERE v.ref = ?1 AND v.version = ?2",
    )?;
    let mut found = find.query(params![owner, version])?;
    let Some(row) = found.next()? else { return Ok(None) };
    Ok(Some(StoredAcceptance {
        payload_sha256: rows::digest(row, 0)?,
        submission_sha256: rows::digest(row, 1)?,
        accepted: row.get(2)?,
        authority: rows::dfe_code(row, 3)?,
        recorded_at: rows::time(row, 4)?,
    }))
}

/// Number and document digest of the newest version; `None` in a thread that an event began.
pub(super) fn latest_version(
    conn: &Connection,
    owner: i64,
) -> Result<Option<(u32, Digest)>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT version, payload_sha256 FROM versions WHERE ref = ?1
         ORDER BY version DESC LIMIT 1",
    )?;
    let mut found = find.query([owner])?;
    found.next()?.map(|row| Ok((row.get(0)?, rows::digest(row, 1)?))).transpose()
}

pub(super) fn look_up(
    conn: &Connection,
    sender: &Organisation,
    id: ReferralId,
    version: u32,
) -> Result<Seen, StoreFault> {
    // Nearly every id is new, and that is one statement: a snapshot is for those that are not.
    if thread_row(conn, id)?.is_none() {
        return Ok(Seen::Never);
    }
    let snapshot = conn.unchecked_transaction()?;
    let Some(thread) = thread_row(&snapshot, id)? else { return Ok(Seen::Never) };
    if thread.sender != *sender {
        return Ok(Seen::Foreign);
    }
    if let Some(stored) = acceptance(&snapshot, thread.owner, version)? {
        return Ok(Seen::Stored(stored));
    }
    let Some(latest) = latest_version(&snapshot, thread.owner)? else { return Ok(Seen::Foreign) };
    let (latest_version, latest_payload_sha256) = latest;
    Ok(Seen::OtherVersions { head: thread.head, latest_version, latest_payload_sha256 })
}

pub(super) fn timeline(
    conn: &Connection,
    vault: &Vault,
    id: ReferralId,
) -> Result<Option<Timeline>, StoreFault> {
    let snapshot = conn.unchecked_transaction()?;
    let Some(row) = thread_row(&snapshot, id)? else { return Ok(None) };
    let ThreadRow { owner, sender, head } = row;
    let versions = versions(&snapshot, vault, id, owner)?;
    Ok(Some(Timeline {
        referral_id: id,
        sender,
        head,
        holder: thread::standing(&snapshot, owner, &versions)?.0,
        tokens: tokens(&snapshot, owner)?,
        deliveries: deliveries_of(&snapshot, owner)?,
        versions,
    }))
}

pub(super) const VERSIONS: &str =
    "SELECT v.version, v.payload_sha256, v.request_type, v.urgency, v.authority, s.sha256,
                a.sha256, v.recorded_at, v.erased_at, v.erased_why, d.key_id
         FROM versions v JOIN tokens s ON s.id = v.submission JOIN tokens a ON a.id = v.accepted
         LEFT JOIN documents d ON d.id = v.document
         WHERE v.ref = ?1 ORDER BY v.version";

pub(super) fn versions(
    conn: &Connection,
    vault: &Vault,
    id: ReferralId,
    owner: i64,
) -> Result<Vec<VersionRow>, StoreFault> {
    let mut find = conn.prepare_cached(VERSIONS)?;
    collect(find.query([owner])?, |row| {
        let payload_sha256 = rows::digest(row, 1)?;
        let key = rows::key_id(row, 10)?;
        Ok(VersionRow {
            version: row.get(0)?,
            payload_sha256,
            // Erased from the moment at which its key is destroyed, purged a little later.
            erased: rows::erasure(row, 8)?.or_else(|| vault.erased(id, payload_sha256, key)),
            request_type: row.get(2)?,
            urgency: row.get(3)?,
            authority: rows::dfe_code(row, 4)?,
            submission_sha256: rows::digest(row, 5)?,
            accepted_sha256: rows::digest(row, 6)?,
            recorded_at: rows::time(row, 7)?,
        })
    })
}

pub(super) const TOKENS: &str =
    "SELECT kind, sha256, issuer, position, recorded_at FROM tokens WHERE owner = ?1 ORDER BY id";

fn tokens(conn: &Connection, owner: i64) -> Result<Vec<TokenRow>, StoreFault> {
    let mut find = conn.prepare_cached(TOKENS)?;
    collect(find.query([owner])?, |row| {
        Ok(TokenRow {
            kind: rows::kind(row, 0)?,
            sha256: rows::digest(row, 1)?,
            issuer: rows::party(row, 2)?.organisation,
            position: row.get(3)?,
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
pub(super) const DELIVERIES_OF: &str = delivery_rows!("WHERE d.ref = ?1 ORDER BY d.id");

pub(super) fn deliveries_of(conn: &Connection, owner: i64) -> Result<Vec<DeliveryRow>, StoreFault> {
    let mut find = conn.prepare_cached(DELIVERIES_OF)?;
    collect(find.query([owner])?, delivery_row)
}

/// Deliveries by any mix of conditions, for people: the text of the query varies with them.
pub(super) fn deliveries(
    conn: &Connection,
    filter: DeliveryFilter,
) -> Result<Vec<DeliveryRow>, StoreFault> {
    let mut sql = String::from(delivery_rows!("WHERE d.id > ?"));
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(filter.after.map_or(0, |id| id.0))];
    if let Some(state) = filter.state {
        sql.push_str(" AND d.state = ?");
        values.push(Box::new(state.as_str()));
        match state {
            // Lets the small indexes of open and stuck deliveries answer.
            State::Held | State::Leased => sql.push_str(" AND d.due_at IS NOT NULL"),
            State::Undeliverable => sql.push_str(" AND d.state = 'undeliverable'"),
            State::Delivered | State::ByHand => {}
        }
    }
    if let Some(authority) = filter.authority {
        sql.push_str(" AND d.authority = ?");
        values.push(Box::new(authority.as_str().to_owned()));
    }
    if let Some(id) = filter.referral_id {
        sql.push_str(" AND d.ref = (SELECT ref FROM referrals WHERE referral_id = ?)");
        values.push(Box::new(*id.as_bytes()));
    }
    let longest = DeliveryFilter::LONGEST;
    let limit = if filter.limit == 0 { longest } else { filter.limit.min(longest) };
    sql.push_str(" ORDER BY d.id LIMIT ?");
    values.push(Box::new(limit));
    let mut find = conn.prepare_cached(&sql)?;
    collect(find.query(rusqlite::params_from_iter(values))?, delivery_row)
}

fn delivery_row(row: &Row<'_>) -> Result<DeliveryRow, StoreFault> {
    let state = row.get_ref(7)?.as_str().map_err(|_| StoreFault::Corrupt)?;
    Ok(DeliveryRow {
        id: DeliveryId(row.get(0)?),
        referral_id: rows::referral_id(row, 1)?,
        version: row.get(2)?,
        authority: rows::dfe_code(row, 3)?,
        purpose: row.get(4)?,
        called_by: match row.get(5)? {
            0 => None,
            position => Some(position),
        },
        urgency: row.get(6)?,
        state: State::from_name(state).ok_or(StoreFault::Corrupt)?,
        attempts: row.get(8)?,
        reason: row.get(9)?,
        due_at: rows::time_or_none(row, 10)?,
        first_tried_at: rows::time_or_none(row, 11)?,
        recorded_at: rows::time(row, 12)?,
        settled_at: rows::time_or_none(row, 13)?,
        note_sha256: rows::digest(row, 14)?,
        delivered_sha256: rows::digest_or_none(row, 15)?,
    })
}

/// Wherever these bytes lie in a referral: its versions before details.
pub(super) const DOCUMENTS: &str =
    "SELECT v.version, 0, v.erased_at, v.erased_why, d.key_id, d.wrapped, d.body
     FROM referrals r JOIN versions v ON v.ref = r.ref
     LEFT JOIN documents d ON d.id = v.document
     WHERE r.referral_id = ?1 AND v.payload_sha256 = ?2
     UNION ALL
     SELECT e.position, 1, e.erased_at, e.erased_why, d.key_id, d.wrapped, d.body
     FROM referrals r JOIN events e ON e.ref = r.ref
     LEFT JOIN documents d ON d.id = e.document
     WHERE r.referral_id = ?1 AND e.detail_sha256 = ?2";

/// A document as it lies there, with its place; more than once if it was given more than once.
pub(super) fn documents(
    conn: &Connection,
    id: ReferralId,
    sha256: Digest,
) -> Result<Vec<(Place, DocumentRow)>, StoreFault> {
    let mut find = conn.prepare_cached(DOCUMENTS)?;
    collect(find.query(params![id.as_bytes(), sha256.as_bytes()])?, |row| {
        let number = row.get(0)?;
        let place = match row.get(1)? {
            false => Place::gateway(id, number, sha256),
            true => Place::detail(id, number, sha256),
        };
        Ok((place, rows::document(row, 2)?))
    })
}

pub(super) const TOKEN: &str = concat!(
    "SELECT ",
    token_columns!("t"),
    " FROM referrals r JOIN tokens t ON t.owner = r.ref
     WHERE r.referral_id = ?1 AND t.sha256 = ?2"
);

pub(super) fn token(
    conn: &Connection,
    id: ReferralId,
    sha256: Digest,
) -> Result<Option<StoredToken>, StoreFault> {
    let mut find = conn.prepare_cached(TOKEN)?;
    let mut found = find.query(params![id.as_bytes(), sha256.as_bytes()])?;
    found.next()?.map(|row| rows::token(row, 0)).transpose()
}

/// Counts within the index of open deliveries; settled ones cost nothing.
pub(super) fn counts(conn: &Connection, now: Timestamp) -> Result<Counts, StoreFault> {
    let snapshot = conn.unchecked_transaction()?;
    let mut open = snapshot.prepare_cached(
        "SELECT count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'leased'),
                count(*) FILTER (WHERE recorded_at <= ?1), min(recorded_at)
         FROM deliveries INDEXED BY deliveries_due WHERE due_at IS NOT NULL",
    )?;
    let delayed_before = now.plus(-DELAYED_AFTER_MS).millis();
    let mut counts = open.query_row([delayed_before], |row| {
        Ok(Counts {
            held: rows::count(row, 0)?,
            leased: rows::count(row, 1)?,
            delayed: rows::count(row, 2)?,
            oldest_open: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
            ..Counts::default()
        })
    })?;
    let mut rest = snapshot.prepare_cached(
        "SELECT (SELECT count(*) FROM deliveries d JOIN versions v USING (ref, version)
                 WHERE d.state = 'undeliverable' AND v.document IS NOT NULL),
                (SELECT count(*) FROM unsequenced),
                (SELECT coalesce(max(idx) + 1, 0) FROM log)",
    )?;
    (counts.undeliverable, counts.unsequenced, counts.log_size) = rest.query_row([], |row| {
        Ok((rows::count(row, 0)?, rows::count(row, 1)?, rows::count(row, 2)?))
    })?;
    Ok(counts)
}

/// When the next delivery to anyone but `excluded` falls due.
pub(super) fn next_due(
    conn: &Connection,
    excluded: &[DfeCode],
) -> Result<Option<Timestamp>, StoreFault> {
    let mut next = None;
    for urgency in 0..=3u8 {
        for authority in authorities_waited_for(conn, urgency, excluded)? {
            next = first(next, due(conn, urgency, authority)?);
        }
    }
    Ok(next)
}

/// When the next delivery to one authority falls due.
pub(super) fn next_due_of(
    conn: &Connection,
    authority: DfeCode,
) -> Result<Option<Timestamp>, StoreFault> {
    let mut next = None;
    for urgency in 0..=3u8 {
        next = first(next, due(conn, urgency, authority)?);
    }
    Ok(next)
}

fn first(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

/// One step into the index of open deliveries.
fn due(
    conn: &Connection,
    urgency: u8,
    authority: DfeCode,
) -> Result<Option<Timestamp>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT min(due_at) FROM deliveries INDEXED BY deliveries_due
         WHERE due_at IS NOT NULL AND urgency = ?1 AND authority = ?2",
    )?;
    let due: Option<i64> =
        find.query_row(params![urgency, authority.as_str()], |row| row.get(0))?;
    Ok(due.map(Timestamp::from_millis))
}

/// The authorities that have open deliveries of this urgency, without those excluded: one step into
/// the index for each, however many deliveries wait.
pub(super) fn authorities_waited_for(
    conn: &Connection,
    urgency: u8,
    excluded: &[DfeCode],
) -> Result<Vec<DfeCode>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT authority FROM deliveries INDEXED BY deliveries_due
         WHERE due_at IS NOT NULL AND urgency = ?1 AND authority > ?2
         ORDER BY authority LIMIT 1",
    )?;
    let mut found = Vec::new();
    let mut last = String::new();
    loop {
        let mut next = find.query(params![urgency, last])?;
        let Some(row) = next.next()? else { return Ok(found) };
        let code = rows::dfe_code(row, 0)?;
        code.as_str().clone_into(&mut last);
        if !excluded.contains(&code) {
            found.push(code);
        }
    }
}

/// Reads all rows.
pub(super) fn collect<T>(
    mut found: rusqlite::Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<T, StoreFault>,
) -> Result<Vec<T>, StoreFault> {
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}
