//! Leasing deliveries, and what ends a lease without a receipt.

use super::faults::Trouble;
use super::read::{read_all, waited};
use super::rows::{self, TOKEN_COLUMNS, get, token_columns};
use super::session::{Session, Value};
use super::thread;
use crate::domain::ids::Digest;
use crate::domain::party::DfeCode;
use crate::domain::time::Timestamp;
use crate::store::contract::{
    DeliveryId, DeliverySelector, Document, Head, Lease, LeaseRequest, LeasedDelivery, SeenChain,
    Settled, StoreFault, StoredToken,
};
use crate::store::sealing::{Place, Vault};

/// Looked at beyond those asked for, because other gateways may be leasing the first of them.
const SPARE: i64 = 64;

/// Picks due deliveries and marks them, each with one of `tokens`. What another gateway has locked is
/// stepped over. Crash after the commit: nobody works on them until the leases expire, then they are
/// due again. If an earlier try may have been committed, what it leased is found by its tokens.
pub(super) async fn lease(
    session: &Session,
    request: &LeaseRequest,
    tokens: &[[u8; 16]],
    maybe_done: bool,
) -> Result<Vec<Lease>, Trouble> {
    let (now, expires_at) = (request.now.millis(), request.now.plus(request.lease_ms));
    let tokens: Vec<&[u8]> = tokens.iter().map(|token| &token[..]).collect();
    if maybe_done {
        let leases = leased_before(session, expires_at, &tokens).await?;
        if !leases.is_empty() {
            session.confirm().await?;
            return Ok(leases);
        }
    }
    let excluded: Vec<&str> = request.excluded.iter().map(DfeCode::as_str).collect();
    let limit = i64::from(request.limit);
    let only: Vec<&str> = request.only.iter().map(DfeCode::as_str).collect();
    let (statement, whose) = match request.only {
        Some(_) => (LEASE_OF_ONE, &only),
        None => (LEASE, &excluded),
    };
    let picked = session
        .whole(
            statement,
            &[
                &now,
                &(limit + SPARE),
                whose,
                &limit,
                &expires_at.millis(),
                &tokens,
                &request.holder,
            ],
        )
        .await?;
    let mut leases =
        read_all(picked, |row| Ok((get::<i64>(row, 4)?, lease_row(row, 1, expires_at)?)))?;
    leases.sort_unstable_by_key(|(place, _)| *place);
    Ok(leases.into_iter().map(|(_, lease)| lease).collect())
}

/// Candidates most urgent first and longest due, one range of the index per urgency and authority;
/// then, of those that nobody else has locked, the first ones, looked at again as they are now.
macro_rules! lease {
    ($whose:literal) => {
        concat!(
            ", candidates AS (
                SELECT d.id FROM waited w CROSS JOIN LATERAL (
                    SELECT id, due_at FROM deliveries
                    WHERE due_at IS NOT NULL AND urgency = w.urgency AND authority = w.authority
                      AND due_at <= $1
                    ORDER BY due_at LIMIT $2) d
                ",
            $whose,
            " ORDER BY w.urgency, d.due_at LIMIT $2
            ), free AS (
                SELECT d.id, d.urgency, d.due_at FROM deliveries d
                WHERE d.id = ANY (ARRAY (SELECT id FROM candidates)) AND d.due_at <= $1
                ORDER BY d.urgency, d.due_at, d.id LIMIT $4
                FOR UPDATE SKIP LOCKED
            ), placed AS (
                SELECT id, row_number() OVER (ORDER BY urgency, due_at, id) AS place FROM free
            )
            UPDATE deliveries d
            SET state = 'leased', due_at = $5, attempts = attempts + 1,
                lease_token = ($6::bytea[])[p.place], lease_holder = $7,
                first_tried_at = coalesce(first_tried_at, $1)
            FROM placed p WHERE d.id = p.id
            RETURNING current_setting('synchronous_standby_names') <> '', d.id, d.attempts,
                      d.lease_token, p.place"
        )
    };
}

/// For everybody but the authorities `$3`.
const LEASE: &str = waited!(lease!("WHERE w.authority <> ALL ($3::text[])"));

/// For the one authority in `$3`.
const LEASE_OF_ONE: &str = concat!(
    "WITH waited (urgency, authority) AS (
        SELECT u, a FROM generate_series(0, 3) u CROSS JOIN unnest($3::text[]) a)",
    lease!("")
);

/// Takes the lease of one delivery, whoever has it. Crash after the commit: as for [`lease()`]. Asked
/// again after an outcome that nobody knew, it takes the lease again.
pub(super) async fn lease_again(
    session: &Session,
    delivery: DeliveryId,
    token: [u8; 16],
    (holder, now, lease_ms): (&str, Timestamp, i64),
) -> Result<Option<Lease>, Trouble> {
    const AGAIN: &str = "
        UPDATE deliveries
        SET state = 'leased', due_at = $2, attempts = greatest(attempts, 1), lease_token = $3,
            lease_holder = $4, first_tried_at = coalesce(first_tried_at, $5::bigint),
            settled_at = NULL
        WHERE id = $1 AND state IN ('held', 'leased', 'undeliverable')
          -- There is nothing left to answer for of an erased one.
          AND (SELECT document FROM versions v WHERE v.ref = deliveries.ref
               AND v.version = deliveries.version) IS NOT NULL
        RETURNING attempts";
    let expires_at = now.plus(lease_ms);
    session.begin().await?;
    let asked: [Value<'_>; 5] =
        [&delivery.0, &expires_at.millis(), &&token[..], &holder, &now.millis()];
    let row = session.first(AGAIN, &asked).await?;
    let attempt = row.map(|row| rows::small_count(&row, 0)).transpose()?;
    session.commit().await?;
    Ok(attempt.map(|attempt| Lease { delivery, token, attempt, expires_at }))
}

async fn leased_before(
    session: &Session,
    expires_at: Timestamp,
    tokens: &[&[u8]],
) -> Result<Vec<Lease>, Trouble> {
    const FIND: &str = "SELECT id, attempts, lease_token FROM deliveries
        WHERE due_at = $1 AND state = 'leased' AND lease_token = ANY ($2::bytea[])
        ORDER BY urgency, id";
    let rows = session.query(FIND, &[&expires_at.millis(), &tokens]).await?;
    read_all(rows, |row| lease_row(row, 0, expires_at))
}

/// Reads `id, attempts, lease_token` from column `first` on.
fn lease_row(
    row: &tokio_postgres::Row,
    first: usize,
    expires_at: Timestamp,
) -> Result<Lease, StoreFault> {
    let token: &[u8] = get(row, first + 2)?;
    Ok(Lease {
        delivery: DeliveryId(get(row, first)?),
        token: token.try_into().map_err(|_| StoreFault::Corrupt)?,
        attempt: rows::small_count(row, first + 1)?,
        expires_at,
    })
}

/// Reads what is sent. A lease protects it, and the bytes never change. One that cannot be read stays
/// leased and comes back; it does not stop the others.
pub(super) async fn load(
    session: &Session,
    vault: &Vault,
    leases: &[Lease],
) -> Result<Vec<LeasedDelivery>, Trouble> {
    const FIND: &str = concat!(
        "SELECT d.id, d.authority, d.purpose, d.urgency, r.sender, r.referral_id, d.version,
                r.head_position, r.head_digest, v.payload_sha256, d.first_tried_at,
                d.recorded_at, v.erased_at, v.erased_why, b.key_id, b.wrapped, b.body, d.called_by, ",
        token_columns!("s"),
        ", ",
        token_columns!("a"),
        ", ",
        token_columns!("n"),
        " FROM deliveries d JOIN referrals r ON r.ref = d.ref
         JOIN versions v ON v.ref = d.ref AND v.version = d.version
         LEFT JOIN documents b ON b.id = v.document
         JOIN tokens s ON s.id = v.submission
         JOIN tokens a ON a.id = v.accepted
         JOIN tokens n ON n.id = d.note
         WHERE d.id = ANY ($1::bigint[])"
    );
    let ids: Vec<i64> = leases.iter().map(|lease| lease.delivery.0).collect();
    let rows = session.query(FIND, &[&ids]).await?;
    let mut found: Vec<LeasedDelivery> = Vec::with_capacity(leases.len());
    let mut fault = if rows.len() < leases.len() { Some(StoreFault::Corrupt) } else { None };
    let mut called_for = Vec::new();
    for lease in leases {
        let row =
            rows.iter().find(|row| row.try_get(0).is_ok_and(|id: i64| id == lease.delivery.0));
        match row.map(|row| leased_row(row, vault, *lease)) {
            Some(Ok((delivery, by_event))) => {
                called_for.extend(by_event.then_some(lease.delivery.0));
                found.extend(delivery);
            }
            Some(Err(bad)) => fault = Some(bad),
            None => {}
        }
    }
    if !called_for.is_empty() {
        for (id, cause) in thread::causes(session, &called_for).await? {
            let caused = found.iter_mut().find(|delivery| delivery.lease.delivery.0 == id);
            caused.into_iter().for_each(|delivery| delivery.cause = Some(cause.clone()));
        }
    }
    let chains = chains(session, &found).await?;
    found.retain_mut(|delivery| {
        let leaves: Vec<_> = tokens_of(delivery).map(|token| token.token.x5t).collect();
        for x5t in &leaves {
            if delivery.chains.iter().all(|chain| chain.x5t != *x5t) {
                delivery.chains.extend(chains.iter().find(|chain| chain.x5t == *x5t).cloned());
            }
        }
        let whole = leaves.iter().all(|x5t| delivery.chains.iter().any(|chain| chain.x5t == *x5t));
        if !whole {
            fault = Some(StoreFault::Corrupt);
        }
        whole
    });
    match fault {
        Some(fault) if found.is_empty() => Err(fault.into()),
        _ => Ok(found),
    }
}

/// Every token that goes with a delivery.
fn tokens_of(delivery: &LeasedDelivery) -> impl Iterator<Item = &StoredToken> {
    let cause = delivery.cause.iter().flat_map(|cause| [&cause.event, &cause.recorded]);
    [&delivery.submission, &delivery.accepted, &delivery.note].into_iter().chain(cause)
}

/// With whether an event called for it. `None` if the document was erased meanwhile: the purge that
/// follows ends the delivery.
fn leased_row(
    row: &tokio_postgres::Row,
    vault: &Vault,
    lease: Lease,
) -> Result<(Option<LeasedDelivery>, bool), StoreFault> {
    const TOKENS: usize = 18;
    let (referral_id, version) = (rows::referral_id(row, 5)?, rows::small_count(row, 6)?);
    let payload_sha256 = rows::digest(row, 9)?;
    let place = Place::gateway(referral_id, version, payload_sha256);
    let Document::Kept(document) = rows::document(row, 12)?.open(vault, &place)? else {
        return Ok((None, false));
    };
    let delivery = LeasedDelivery {
        lease,
        authority: rows::dfe_code(row, 1)?,
        purpose: get(row, 2)?,
        urgency: rows::urgency(row, 3)?,
        sender: rows::organisation(row, 4)?,
        referral_id,
        version,
        head: Head { position: rows::small_count(row, 7)?, digest: rows::digest(row, 8)? },
        payload_sha256,
        document,
        submission: rows::token(row, TOKENS)?,
        accepted: rows::token(row, TOKENS + TOKEN_COLUMNS)?,
        note: rows::token(row, TOKENS + 2 * TOKEN_COLUMNS)?,
        chains: Vec::with_capacity(2),
        cause: None,
        first_tried_at: rows::time(row, 10)?,
        recorded_at: rows::time(row, 11)?,
    };
    Ok((Some(delivery), get::<i32>(row, 17)? > 0))
}

/// The chains of all tokens, each once.
async fn chains(
    session: &Session,
    deliveries: &[LeasedDelivery],
) -> Result<Vec<SeenChain>, Trouble> {
    let mut leaves: Vec<Digest> =
        deliveries.iter().flat_map(tokens_of).map(|token| token.token.x5t).collect();
    leaves.sort_unstable();
    leaves.dedup();
    const FIND: &str =
        "SELECT x5t, der FROM chains WHERE x5t = ANY ($1::bytea[]) ORDER BY x5t, place";
    let wanted: Vec<&[u8]> = leaves.iter().map(|x5t| &x5t.as_bytes()[..]).collect();
    let found = session.query(FIND, &[&wanted]).await?;
    let found = read_all(found, |row| Ok((rows::digest(row, 0)?, rows::der(row, 1)?)))?;
    let whole = found.chunk_by(|(one, _), (next, _)| one == next).map(|chain| SeenChain {
        x5t: chain[0].0,
        certificates: chain.iter().map(|(_, der)| der.clone()).collect(),
    });
    Ok(whole.collect())
}

/// Ends a lease without success: held until `next_attempt_at`, or undeliverable if there is none.
/// Crash before the commit: the lease runs out.
pub(super) async fn failed(
    session: &Session,
    lease: Lease,
    next_attempt_at: Option<Timestamp>,
    reason: &str,
    now: Timestamp,
) -> Result<Settled, Trouble> {
    const END: &str = "
        UPDATE deliveries
        SET state = CASE WHEN $2::bigint IS NULL THEN 'undeliverable' ELSE 'held' END,
            due_at = $2::bigint, lease_token = NULL, lease_holder = NULL, reason = $3,
            settled_at = CASE WHEN $2::bigint IS NULL THEN $4::bigint END
        WHERE id = $1 AND state = 'leased' AND lease_token = $5 AND attempts = $6
          AND due_at = $7 AND $4::bigint < $7";
    session.begin().await?;
    let changed = session
        .execute(
            END,
            &[
                &lease.delivery.0,
                &next_attempt_at.map(Timestamp::millis),
                &reason,
                &now.millis(),
                &&lease.token[..],
                &rows::small(lease.attempt)?,
                &lease.expires_at.millis(),
            ],
        )
        .await?;
    if changed == 1 {
        if next_attempt_at.is_none() {
            session.execute(WAKE, &[&lease.delivery.0, &now.millis()]).await?;
        }
        session.commit().await?;
        return Ok(Settled::Done);
    }
    session.roll_back().await?;
    const DELIVERED: &str = "SELECT state = 'delivered' FROM deliveries WHERE id = $1";
    let row = session.first(DELIVERED, &[&lease.delivery.0]).await?;
    Ok(match row.map(|row| get(&row, 0)).transpose()? {
        Some(true) => {
            session.confirm().await?;
            Settled::AlreadyDone
        }
        _ => Settled::LeaseLost,
    })
}

/// Due for a look at once, and at another time than before, so that a look under way does not put it off.
const WAKE: &str = "UPDATE referrals SET wake_at = least(coalesce(wake_at, $2), $2) - 1
    WHERE ref = (SELECT ref FROM deliveries WHERE id = $1)";

/// Makes undeliverable ones due now. Crash before the commit: none of them.
pub(super) async fn replay(
    session: &Session,
    selector: DeliverySelector,
    now: Timestamp,
) -> Result<u64, Trouble> {
    const REPLAY: &str = "
        UPDATE deliveries
        SET state = 'held', due_at = $1, attempts = 0, first_tried_at = NULL, settled_at = NULL
        WHERE state = 'undeliverable'
          AND ($2::bigint IS NULL OR id = $2)
          AND ($3::bytea IS NULL OR ref = (SELECT ref FROM referrals WHERE referral_id = $3))
          AND ($4::text IS NULL OR authority = $4)
          -- There is nothing left to deliver of an erased one.
          AND (SELECT document FROM versions v WHERE v.ref = deliveries.ref
               AND v.version = deliveries.version) IS NOT NULL";
    let (id, referral, authority) = match selector {
        DeliverySelector::One(id) => (Some(id.0), None, None),
        DeliverySelector::Referral(id) => (None, Some(id.as_bytes().to_vec()), None),
        DeliverySelector::Authority(code) => (None, None, Some(code.as_str().to_owned())),
        DeliverySelector::All => (None, None, None),
    };
    session.begin().await?;
    let changed = session.execute(REPLAY, &[&now.millis(), &id, &referral, &authority]).await?;
    session.commit().await?;
    Ok(changed)
}

/// Takes one out of the exchange's hands. Crash before the commit: it stays in them. Asked again after
/// an outcome that nobody knew, it finds its own mark.
pub(super) async fn by_hand(
    session: &Session,
    delivery: DeliveryId,
    now: Timestamp,
    maybe_done: bool,
) -> Result<bool, Trouble> {
    const MARK: &str = "
        UPDATE deliveries SET state = 'by_hand', due_at = NULL, settled_at = $2
        WHERE id = $1 AND (state IN ('held', 'undeliverable')
                           OR ($3 AND state = 'by_hand' AND settled_at = $2))";
    session.begin().await?;
    let changed = session.execute(MARK, &[&delivery.0, &now.millis(), &maybe_done]).await?;
    session.commit().await?;
    Ok(changed == 1)
}
