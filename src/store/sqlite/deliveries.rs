//! Leasing deliveries and ending their leases.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::accept::{insert_token, move_head};
use super::read;
use super::rows;
use super::transaction::Tx;
use crate::domain::time::Timestamp;
use crate::effects::Entropy;
use crate::store::contract::{
    Cause, DeliveredTokens, DeliveryId, DeliverySelector, Document, Head, Lease, LeaseRequest,
    LeasedDelivery, SeenChain, Settled, StoreFault, StoredToken,
};
use crate::store::sealing::{Place, Vault};

/// Picks due deliveries and marks them. Crash after the commit: nobody works on them until the
/// leases expire, then they are due again.
pub(super) fn lease(
    tx: &Tx<'_>,
    request: &LeaseRequest,
    entropy: &dyn Entropy,
) -> Result<Vec<Lease>, StoreFault> {
    if request.lease_ms <= 0 {
        return Err(StoreFault::Misuse);
    }
    let expires_at = request.now.plus(request.lease_ms);
    let mut leases = Vec::new();
    for Due { id, attempts, .. } in due(tx, request)? {
        let mut token = [0; 16];
        entropy.fill(&mut token).map_err(|_| StoreFault::NoEntropy)?;
        let attempt = attempts.checked_add(1).ok_or(StoreFault::Corrupt)?;
        tx.execute(
            "UPDATE deliveries
             SET state = 'leased', due_at = ?2, attempts = ?3, lease_token = ?4, lease_holder = ?5,
                 first_tried_at = coalesce(first_tried_at, ?6)
             WHERE id = ?1",
            params![id, expires_at.millis(), attempt, token, request.holder, request.now.millis()],
        )?;
        leases.push(Lease { delivery: DeliveryId(id), token, attempt, expires_at });
    }
    Ok(leases)
}

pub(super) const AGAIN: &str = "UPDATE deliveries
     SET state = 'leased', due_at = ?2, attempts = max(attempts, 1), lease_token = ?3,
         lease_holder = ?4, first_tried_at = coalesce(first_tried_at, ?5), settled_at = NULL
     WHERE id = ?1 AND state IN ('held', 'leased', 'undeliverable')
       -- There is nothing left to answer for of an erased one.
       AND (SELECT document FROM versions v WHERE v.ref = deliveries.ref
            AND v.version = deliveries.version) IS NOT NULL
     RETURNING attempts";

/// Takes the lease of one delivery, whoever has it. Crash after the commit: as for [`lease`].
pub(super) fn lease_again(
    conn: &Connection,
    delivery: DeliveryId,
    token: [u8; 16],
    (holder, now, lease_ms): (&str, Timestamp, i64),
) -> Result<Option<Lease>, StoreFault> {
    let expires_at = now.plus(lease_ms);
    let asked = params![delivery.0, expires_at.millis(), token, holder, now.millis()];
    let attempt = conn.prepare_cached(AGAIN)?.query_row(asked, |row| row.get(0)).optional()?;
    Ok(attempt.map(|attempt| Lease { delivery, token, attempt, expires_at }))
}

/// Most urgent first, and among those the longest due: one range of the index per urgency and
/// authority, so that what is held for an authority that is left alone costs one step.
fn due(conn: &Connection, request: &LeaseRequest) -> Result<Vec<Due>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT due_at, id, attempts FROM deliveries INDEXED BY deliveries_due
         WHERE urgency = ?1 AND authority = ?2 AND due_at <= ?3 ORDER BY due_at LIMIT ?4",
    )?;
    let limit = request.limit as usize;
    let mut all = Vec::new();
    for urgency in 0..=3u8 {
        let left = limit - all.len();
        if left == 0 {
            break;
        }
        let mut found = Vec::new();
        let authorities = match request.only {
            Some(authority) => vec![authority],
            None => read::authorities_waited_for(conn, urgency, &request.excluded)?,
        };
        for authority in authorities {
            let asked = params![urgency, authority.as_str(), request.now.millis(), left as i64];
            let read =
                |row: &Row<'_>| Ok(Due { at: row.get(0)?, id: row.get(1)?, attempts: row.get(2)? });
            for row in find.query_map(asked, read)? {
                found.push(row?);
            }
        }
        found.sort_unstable();
        all.extend(found.into_iter().take(left));
    }
    Ok(all)
}

/// A delivery to be leased; sorted, the one longest due comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: i64,
    id: i64,
    attempts: u32,
}

/// Reads what is sent. Outside of the writer: a lease protects it, and the bytes never change.
pub(super) fn load(
    conn: &Connection,
    vault: &Vault,
    leases: &[Lease],
) -> Result<Vec<LeasedDelivery>, StoreFault> {
    let snapshot = conn.unchecked_transaction()?;
    let mut loaded = Vec::with_capacity(leases.len());
    let mut fault = None;
    for lease in leases {
        // One that cannot be read stays leased and comes back; it must not stop the others.
        match load_one(&snapshot, vault, *lease) {
            Ok(delivery) => loaded.extend(delivery),
            Err(bad) => fault = Some(bad),
        }
    }
    match fault {
        Some(fault) if loaded.is_empty() => Err(fault),
        _ => Ok(loaded),
    }
}

/// `None` if the document was erased meanwhile: the purge that follows ends the delivery.
fn load_one(
    conn: &Connection,
    vault: &Vault,
    lease: Lease,
) -> Result<Option<LeasedDelivery>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT d.authority, d.purpose, d.urgency, r.sender, r.referral_id, d.version,
                r.head_position, r.head_digest, v.payload_sha256, v.submission, v.accepted, d.note,
                d.first_tried_at, d.recorded_at, v.erased_at, v.erased_why, b.key_id, b.wrapped,
                b.body, d.ref, d.called_by
         FROM deliveries d JOIN referrals r ON r.ref = d.ref
         JOIN versions v ON v.ref = d.ref AND v.version = d.version
         LEFT JOIN documents b ON b.id = v.document
         WHERE d.id = ?1",
    )?;
    let mut found = find.query([lease.delivery.0])?;
    let row = found.next()?.ok_or(StoreFault::Corrupt)?;
    let (referral_id, version) = (rows::referral_id(row, 4)?, row.get(5)?);
    let payload_sha256 = rows::digest(row, 8)?;
    let place = Place::gateway(referral_id, version, payload_sha256);
    let Document::Kept(document) = rows::document(row, 14)?.open(vault, &place)? else {
        return Ok(None);
    };
    let submission = token_by_row(conn, row.get(9)?)?;
    let accepted = token_by_row(conn, row.get(10)?)?;
    let note = token_by_row(conn, row.get(11)?)?;
    let cause = cause(conn, row.get(19)?, row.get(20)?)?;
    let mut chains: Vec<SeenChain> = Vec::with_capacity(2);
    let of_cause = cause.iter().flat_map(|cause| [&cause.event, &cause.recorded]);
    for StoredToken { token, .. } in [&submission, &accepted, &note].into_iter().chain(of_cause) {
        let x5t = token.x5t;
        if chains.iter().all(|chain| chain.x5t != x5t) {
            let certificates = rows::chain(conn, x5t)?.ok_or(StoreFault::Corrupt)?.into();
            chains.push(SeenChain { x5t, certificates });
        }
    }
    Ok(Some(LeasedDelivery {
        lease,
        authority: rows::dfe_code(row, 0)?,
        purpose: row.get(1)?,
        urgency: row.get(2)?,
        sender: rows::organisation(row, 3)?,
        referral_id,
        version,
        head: Head { position: row.get(6)?, digest: rows::digest(row, 7)? },
        payload_sha256,
        document,
        submission,
        accepted,
        note,
        chains,
        cause,
        first_tried_at: rows::time(row, 12)?,
        recorded_at: rows::time(row, 13)?,
    }))
}

pub(super) const CAUSE: &str =
    "SELECT event, recorded FROM events WHERE ref = ?1 AND position = ?2";

/// The event that called for a delivery, by its position; 0 for none.
fn cause(conn: &Connection, owner: i64, position: u32) -> Result<Option<Cause>, StoreFault> {
    if position == 0 {
        return Ok(None);
    }
    let mut find = conn.prepare_cached(CAUSE)?;
    let (event, recorded) =
        find.query_row(params![owner, position], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (event, recorded) = (token_by_row(conn, event)?, token_by_row(conn, recorded)?);
    Ok(Some(Cause { event, recorded }))
}

fn token_by_row(conn: &Connection, id: i64) -> Result<StoredToken, StoreFault> {
    let mut find = conn.prepare_cached(concat!(
        "SELECT ",
        rows::token_columns!("t"),
        " FROM tokens t WHERE t.id = ?1"
    ))?;
    let mut found = find.query([id])?;
    rows::token(found.next()?.ok_or(StoreFault::Corrupt)?, 0)
}

/// Stores the authority's receipt and settles the delivery. Crash before the commit: the lease
/// expires, the authority is asked again and answers with the same receipt.
pub(super) fn delivered(
    tx: &Tx<'_>,
    lease: Lease,
    tokens: &DeliveredTokens,
    now: Timestamp,
) -> Result<Settled, StoreFault> {
    let owner = match holds(tx, lease, now)? {
        Ok(owner) => owner,
        Err(settled) => return Ok(settled),
    };
    let standing = tx.first(
        "SELECT head_position, head_digest FROM referrals WHERE ref = ?1",
        [owner],
        |row| Ok(Head { position: row.get(0)?, digest: rows::digest(row, 1)? }),
    )?;
    let standing = standing.ok_or(StoreFault::Corrupt)?;
    if standing != tokens.after {
        return Ok(Settled::HeadMoved(standing));
    }
    let position = standing.position.checked_add(1).ok_or(StoreFault::Misuse)?;
    let new = [&tokens.delivered.token, &tokens.recorded.token];
    rows::insert_evidence(tx, new, &tokens.chains, &tokens.crls)?;
    let at = tokens.recorded_at;
    let delivered = insert_token(tx, owner, &tokens.delivered, None, at)?;
    let recorded = insert_token(tx, owner, &tokens.recorded, Some(position), at)?;
    let head = Head { position, digest: tokens.recorded.token.sha256 };
    move_head(tx, owner, head, tokens.wake_at)?;
    tx.execute(
        "UPDATE deliveries
         SET state = 'delivered', due_at = NULL, lease_token = NULL, lease_holder = NULL,
             reason = NULL, settled_at = ?2, delivered = ?3, recorded = ?4
         WHERE id = ?1",
        params![lease.delivery.0, now.millis(), delivered, recorded],
    )?;
    Ok(Settled::Done)
}

/// Ends a lease without success: held until `next_attempt_at`, or undeliverable if there is none.
/// Crash before the commit: the lease expires and there is another attempt, which fails or succeeds
/// for itself.
pub(super) fn failed(
    tx: &Tx<'_>,
    lease: Lease,
    next_attempt_at: Option<Timestamp>,
    reason: &str,
    now: Timestamp,
) -> Result<Settled, StoreFault> {
    let owner = match holds(tx, lease, now)? {
        Ok(owner) => owner,
        Err(settled) => return Ok(settled),
    };
    let next = next_attempt_at.map(Timestamp::millis);
    tx.execute(
        "UPDATE deliveries
         SET state = iif(?2 IS NULL, 'undeliverable', 'held'), due_at = ?2, lease_token = NULL,
             lease_holder = NULL, reason = ?3, settled_at = iif(?2 IS NULL, ?4, NULL)
         WHERE id = ?1",
        params![lease.delivery.0, next, reason, now.millis()],
    )?;
    if next.is_none() {
        tx.execute(WAKE, params![owner, now.millis()])?;
    }
    Ok(Settled::Done)
}

/// Due for a look at once, and at another time than before, so that a look under way does not put it off.
pub(super) const WAKE: &str =
    "UPDATE referrals SET wake_at = min(coalesce(wake_at, ?2), ?2) - 1 WHERE ref = ?1";

/// The referral's row if the lease is the present one and has not expired; else what to answer.
fn holds(tx: &Tx<'_>, lease: Lease, now: Timestamp) -> Result<Result<i64, Settled>, StoreFault> {
    let found = tx.first(
        "SELECT ref, state = 'delivered',
                state = 'leased' AND lease_token = ?2 AND attempts = ?3 AND due_at = ?4
         FROM deliveries WHERE id = ?1",
        params![lease.delivery.0, lease.token, lease.attempt, lease.expires_at.millis()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<bool>>(2)?.unwrap_or(false))),
    )?;
    Ok(match found {
        Some((owner, false, true)) if now < lease.expires_at => Ok(owner),
        Some((_, true, _)) => Err(Settled::AlreadyDone),
        _ => Err(Settled::LeaseLost),
    })
}

/// Makes undeliverable ones due now. Crash before the commit: none of them moved, the operator asks
/// again. After it: asked again, none is left to move.
pub(super) fn replay(
    conn: &Connection,
    selector: DeliverySelector,
    now: Timestamp,
) -> Result<u64, StoreFault> {
    let (id, referral, authority) = match selector {
        DeliverySelector::One(id) => (Some(id.0), None, None),
        DeliverySelector::Referral(id) => (None, Some(*id.as_bytes()), None),
        DeliverySelector::Authority(code) => (None, None, Some(code.as_str().to_owned())),
        DeliverySelector::All => (None, None, None),
    };
    let changed = conn
        .prepare_cached(
            "UPDATE deliveries
             SET state = 'held', due_at = ?1, attempts = 0, first_tried_at = NULL,
                 settled_at = NULL
             WHERE state = 'undeliverable'
               -- There is nothing left to deliver of an erased one.
               AND (SELECT document FROM versions v WHERE v.ref = deliveries.ref
                    AND v.version = deliveries.version) IS NOT NULL
               AND (?2 IS NULL OR id = ?2)
               AND (?3 IS NULL OR ref = (SELECT ref FROM referrals WHERE referral_id = ?3))
               AND (?4 IS NULL OR authority = ?4)",
        )?
        .execute(params![now.millis(), id, referral, authority])?;
    Ok(changed as u64)
}

/// Takes one out of the exchange's hands. Crash before the commit: it is tried on, the operator asks
/// again. After it: asked again, the answer is no, and the listing says that it is by hand.
pub(super) fn by_hand(
    conn: &Connection,
    delivery: DeliveryId,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    let changed = conn
        .prepare_cached(
            "UPDATE deliveries SET state = 'by_hand', due_at = NULL, settled_at = ?2
             WHERE id = ?1 AND state IN ('held', 'undeliverable')",
        )?
        .execute(params![delivery.0, now.millis()])?;
    Ok(changed == 1)
}
