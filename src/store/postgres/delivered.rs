//! The authority's receipts: stored with our records of them, many in one transaction.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::batch::Waiting;
use super::engine::Engine;
use super::faults::Trouble;
use super::rows::{self, Evidence, TokenRows, UnsequencedRows, get, small};
use super::session::{DRAW, Session, Value};
use super::together::{NOTHING, Part, together};
use crate::domain::time::Timestamp;
use crate::store::contract::{DeliveredTokens, Head, Lease, Settled, StoreFault};

/// One receipt that waits to be stored.
pub(super) struct Receipt {
    pub lease: Lease,
    pub tokens: DeliveredTokens,
    pub now: Timestamp,
}

/// One that waits, with where its answer goes.
pub(super) type Queued = Waiting<Arc<Receipt>, Settled>;

/// Carries out what was gathered, and answers each. If one of them is to blame for a failure, each
/// gets a transaction of its own.
pub(super) async fn carry_out(engine: Arc<Engine>, batch: Vec<Queued>) {
    let items: Vec<_> = batch.iter().map(|queued| Arc::clone(&queued.item)).collect();
    match settle_all(&engine, items).await {
        Ok(settled) => {
            for (queued, settled) in batch.into_iter().zip(settled) {
                queued.tell(Ok(settled));
            }
        }
        Err(StoreFault::Misuse | StoreFault::Corrupt) if batch.len() > 1 => {
            for queued in batch {
                let settled = settle_all(&engine, vec![Arc::clone(&queued.item)]).await;
                queued
                    .tell(settled.and_then(|all| all.first().copied().ok_or(StoreFault::Corrupt)));
            }
        }
        Err(fault) => batch.into_iter().for_each(|queued| queued.tell(Err(fault))),
    }
}

async fn settle_all(engine: &Engine, items: Vec<Arc<Receipt>>) -> Result<Vec<Settled>, StoreFault> {
    let items: Arc<[_]> = items.into();
    engine
        .run(true, move |session, _| {
            let items = Arc::clone(&items);
            Box::pin(async move { settle(session, &items).await })
        })
        .await
}

/// All of them in one transaction. Crash before the commit: the leases expire, the authorities are
/// asked again and answer with the same receipts.
async fn settle(session: &Session, items: &[Arc<Receipt>]) -> Result<Vec<Settled>, Trouble> {
    let (mut standing, mut numbers) = lock(session, items).await?;
    let mut rows = Rows::default();
    let mut evidence = Evidence::default();
    let mut settled = Vec::with_capacity(items.len());
    for item in items {
        let outcome = judge(&mut standing, item);
        if let Ok(owner) = outcome {
            let head = rows.push(item, owner, &mut numbers)?;
            let tokens = [&item.tokens.delivered.token, &item.tokens.recorded.token];
            evidence.add(tokens, &item.tokens.chains, &item.tokens.crls)?;
            standing.heads.insert(owner, head);
            // What comes later in this batch finds it settled.
            standing.deliveries.insert(item.lease.delivery.0, Delivery::Done);
        }
        settled.push(outcome.map_or_else(|settled| settled, |_| Settled::Done));
    }
    if rows.owners.is_empty() {
        session.roll_back().await?;
        if settled.contains(&Settled::AlreadyDone) {
            session.confirm().await?;
        }
        return Ok(settled);
    }
    if !evidence.is_known(session) {
        evidence.keep(session).await?;
    }
    session.last(&WRITE, &rows.values()).await?;
    evidence.committed(session);
    Ok(settled)
}

/// How deliveries and threads stand, locked.
struct Standing {
    deliveries: HashMap<i64, Delivery>,
    heads: HashMap<i64, Head>,
}

enum Delivery {
    /// Delivered already.
    Done,
    /// Leased with this token, attempt and expiry; of the referral in this row.
    Leased { owner: i64, token: Vec<u8>, attempt: u32, expires_at: i64 },
    /// Anything else.
    Other,
}

/// Begins, locks the deliveries and the threads of their referrals, reads both, and draws row numbers for
/// two tokens each: after the locks, so that they are greater than those of the threads' earlier tokens.
async fn lock(
    session: &Session,
    items: &[Arc<Receipt>],
) -> Result<(Standing, std::vec::IntoIter<i64>), Trouble> {
    const LOCK: &str = "
        SELECT d.id, d.ref, d.state, d.lease_token, d.attempts, d.due_at, r.head_position,
               r.head_digest
        FROM deliveries d JOIN referrals r ON r.ref = d.ref
        WHERE d.id = ANY ($1::bigint[]) ORDER BY d.ref, d.id FOR UPDATE";
    let ids: Vec<i64> = items.iter().map(|item| item.lease.delivery.0).collect();
    let asked: [Value<'_>; 1] = [&ids];
    session.prepare(DRAW).await?;
    session.prepare(LOCK).await?;
    let (begun, found, numbers) = tokio::join!(
        biased;
        session.begin(),
        session.query(LOCK, &asked),
        rows::draw(session, 2 * items.len()),
    );
    begun?;
    let mut standing = Standing { deliveries: HashMap::new(), heads: HashMap::new() };
    for row in &found? {
        let owner = get(row, 1)?;
        let head = Head { position: rows::small_count(row, 6)?, digest: rows::digest(row, 7)? };
        standing.heads.insert(owner, head);
        let delivery = match get(row, 2)? {
            "delivered" => Delivery::Done,
            "leased" => Delivery::Leased {
                owner,
                token: get(row, 3)?,
                attempt: rows::small_count(row, 4)?,
                expires_at: get(row, 5)?,
            },
            _ => Delivery::Other,
        };
        standing.deliveries.insert(get(row, 0)?, delivery);
    }
    Ok((standing, numbers?.into_iter()))
}

/// The referral's row if the lease is the present one, has not expired, and the thread stands where it
/// must; else what to answer.
fn judge(standing: &mut Standing, item: &Receipt) -> Result<i64, Settled> {
    let lease = &item.lease;
    let owner = match standing.deliveries.get(&lease.delivery.0) {
        Some(Delivery::Done) => return Err(Settled::AlreadyDone),
        Some(Delivery::Leased { owner, token, attempt, expires_at })
            if token[..] == lease.token
                && *attempt == lease.attempt
                && *expires_at == lease.expires_at.millis()
                && item.now < lease.expires_at =>
        {
            *owner
        }
        _ => return Err(Settled::LeaseLost),
    };
    match standing.heads.get(&owner) {
        Some(head) if *head == item.tokens.after => Ok(owner),
        Some(head) => Err(Settled::HeadMoved(*head)),
        None => Err(Settled::LeaseLost),
    }
}

/// What is written for all that hold, column by column.
#[derive(Default)]
struct Rows<'a> {
    tokens: TokenRows<'a>,
    unsequenced: UnsequencedRows,
    owners: Vec<i64>,
    positions: Vec<i32>,
    digests: Vec<&'a [u8]>,
    wakes: Vec<i64>,
    deliveries: Vec<i64>,
    settled: Vec<i64>,
    delivered: Vec<i64>,
    recorded: Vec<i64>,
}

impl<'a> Rows<'a> {
    /// Adds one receipt; gives the new head of its thread.
    fn push(
        &mut self,
        item: &'a Receipt,
        owner: i64,
        numbers: &mut impl Iterator<Item = i64>,
    ) -> Result<Head, StoreFault> {
        let mut next = || numbers.next().ok_or(StoreFault::Misuse);
        let (tokens, at) = (&item.tokens, item.tokens.recorded_at);
        let position = tokens.after.position.checked_add(1).ok_or(StoreFault::Misuse)?;
        let (delivered, recorded) = (next()?, next()?);
        self.tokens.push(delivered, owner, &tokens.delivered.token, None, at);
        self.unsequenced.push(delivered, &tokens.delivered);
        let column = small(position)?;
        self.tokens.push(recorded, owner, &tokens.recorded.token, Some(column), at);
        self.unsequenced.push(recorded, &tokens.recorded);
        self.owners.push(owner);
        self.positions.push(column);
        self.digests.push(tokens.recorded.token.sha256.as_bytes());
        self.wakes.push(tokens.wake_at.millis());
        self.deliveries.push(item.lease.delivery.0);
        self.settled.push(item.now.millis());
        self.delivered.push(delivered);
        self.recorded.push(recorded);
        Ok(Head { position, digest: tokens.recorded.token.sha256 })
    }

    /// The parameters of [`WRITE`].
    fn values(&self) -> Vec<Value<'_>> {
        let heads: [Value<'_>; 4] = [&self.owners, &self.positions, &self.digests, &self.wakes];
        let ends: [Value<'_>; 4] =
            [&self.deliveries, &self.settled, &self.delivered, &self.recorded];
        let mut all = self.tokens.values().to_vec();
        all.extend(self.unsequenced.values());
        all.extend(heads);
        all.extend(ends);
        all
    }
}

/// Two records of one thread never come together: the second one finds the head moved.
const MOVE: Part = Part {
    sql: "UPDATE referrals r SET head_position = n.position, head_digest = n.digest,
              wake_at = least(r.wake_at, n.wake_at)
          FROM unnest(@) AS n (ref, position, digest, wake_at) WHERE r.ref = n.ref",
    types: &["bigint[]", "integer[]", "bytea[]", "bigint[]"],
};

const SETTLE: Part = Part {
    sql: "UPDATE deliveries d
          SET state = 'delivered', due_at = NULL, lease_token = NULL, lease_holder = NULL,
              reason = NULL, settled_at = n.at, delivered = n.delivered, recorded = n.recorded
          FROM unnest(@) AS n (id, at, delivered, recorded) WHERE d.id = n.id",
    types: &["bigint[]", "bigint[]", "bigint[]", "bigint[]"],
};

/// Everything that any number of receipts change.
static WRITE: LazyLock<String> = LazyLock::new(|| {
    together(&[&TokenRows::INSERT, &UnsequencedRows::INSERT, &MOVE, &SETTLE], &NOTHING)
});
