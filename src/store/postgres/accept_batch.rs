//! First versions of new ids, many in one transaction: nearly all that a gateway accepts. Whatever is
//! not exactly that goes alone through [`accept::accept`], which decides.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use super::accept::{self, SealedAcceptance, VersionRows};
use super::batch::Waiting;
use super::engine::Engine;
use super::faults::Trouble;
use super::rows::{self, Evidence, small};
use super::session::{Session, Value};
use super::together::{self, DRAW_AHEAD, Part, together};
use crate::domain::ids::ReferralId;
use crate::store::contract::{AcceptOutcome, Acceptance, StoreFault};

/// One acceptance that waits.
pub(super) type Queued = Waiting<Arc<SealedAcceptance>, AcceptOutcome>;

/// Row numbers drawn ahead, with a commit that is on its way anyway.
const AHEAD: i64 = 1_024;
/// Turns of a batch in which others were quicker, before all that is left goes alone.
const TURNS: usize = 3;

/// Carries out what was gathered, and answers each.
pub(super) async fn carry_out(engine: Arc<Engine>, batch: Vec<Queued>) {
    let (mut together, mut alone): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    let mut ids = HashSet::new();
    for queued in batch {
        let plain = queued.item.acceptance.version == 1
            && accept::check_shape(&queued.item.acceptance).is_ok();
        // Twins: the second one looks at what the first one stored.
        let first = ids.insert(queued.item.acceptance.referral_id);
        if plain && first { together.push(queued) } else { alone.push(queued) }
    }
    for _ in 0..TURNS {
        if together.is_empty() {
            break;
        }
        // In the order of ids, so that two gateways do not wait for each other crosswise.
        together.sort_by_key(|queued| queued.item.acceptance.referral_id);
        let items: Arc<[_]> = together.iter().map(|queued| Arc::clone(&queued.item)).collect();
        match engine
            .run(true, move |session, _| {
                let items = Arc::clone(&items);
                Box::pin(async move { insert(session, &items).await })
            })
            .await
        {
            Ok(Fast::Committed) => {
                // Crash before this line: committed, and nobody was told. They ask again and get the
                // stored answer.
                let committed = std::mem::take(&mut together).into_iter();
                committed.for_each(|queued| queued.tell(Ok(AcceptOutcome::Committed)));
            }
            Ok(Fast::Seen(seen)) => {
                let (known, new): (Vec<_>, Vec<_>) = std::mem::take(&mut together)
                    .into_iter()
                    .partition(|queued| seen.contains(&queued.item.acceptance.referral_id));
                alone.extend(known);
                together = new;
            }
            // One of them is to blame, and only it shall suffer.
            Err(StoreFault::Misuse | StoreFault::Corrupt) => break,
            Err(fault) => {
                let failed = std::mem::take(&mut together).into_iter();
                failed.for_each(|queued| queued.tell(Err(fault)));
            }
        }
    }
    for queued in together.into_iter().chain(alone) {
        // In tasks of their own: the next batch need not wait for them.
        tokio::spawn(one(Arc::clone(&engine), queued));
    }
}

async fn one(engine: Arc<Engine>, queued: Queued) {
    let item = Arc::clone(&queued.item);
    queued.tell(
        engine
            .run(true, move |session, _| {
                let item = Arc::clone(&item);
                Box::pin(async move { accept::accept(session, &item).await })
            })
            .await,
    );
}

enum Fast {
    Committed,
    /// Nothing was stored: these ids are used already.
    Seen(HashSet<ReferralId>),
}

const INSERT_REFERRALS: Part = Part {
    sql: "INSERT INTO referrals (ref, referral_id, sender, head_position, head_digest, wake_at)
          SELECT * FROM unnest(@)",
    types: &["bigint[]", "bytea[]", "text[]", "integer[]", "bytea[]", "bigint[]"],
};

/// Everything of any number of first versions, and numbers for those to come.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let parts: Vec<_> = [&INSERT_REFERRALS].into_iter().chain(VersionRows::INSERTS).collect();
    together(&parts, &DRAW_AHEAD)
});

/// All of them in one transaction, which is one statement; the unique key on the referral's id stops it
/// if one of them is not new. Crash before its end: nothing of it exists.
async fn insert(session: &Session, items: &[Arc<SealedAcceptance>]) -> Result<Fast, Trouble> {
    let count = items.iter().map(|a| accept::numbers_for(&a.acceptance) + 1).sum();
    let mut numbers = match session.take_numbers(count) {
        Some(numbers) => numbers.into_iter(),
        None => rows::draw(session, count).await?.into_iter(),
    };
    let mut referrals = Referrals::default();
    let mut versions = VersionRows::default();
    let mut evidence = Evidence::default();
    for sealed in items {
        let a = &sealed.acceptance;
        let owner = numbers.next().ok_or(StoreFault::Misuse)?;
        referrals.push(a, owner)?;
        versions.push(sealed, owner, &mut numbers)?;
        evidence.add(accept::tokens(a), &a.chains, &a.crls)?;
    }
    let ahead = if session.numbers_left() < AHEAD as usize { AHEAD } else { 0 };
    let mut values = referrals.values().to_vec();
    values.extend(versions.values());
    values.push(&ahead);
    let done = if evidence.is_known(session) {
        session.whole(&INSERT, &values).await
    } else {
        session.begin().await?;
        evidence.keep(session).await?;
        session.last(&INSERT, &values).await
    };
    let found = match done {
        Err(stopped) if stopped.duplicate => return seen(session, items).await,
        done => done?,
    };
    let row = found.first().ok_or(StoreFault::Corrupt)?;
    session.keep_numbers(together::numbers(row, 1)?);
    evidence.committed(session);
    Ok(Fast::Committed)
}

/// Which of the ids are used. The one that stopped us has committed, and so is seen.
async fn seen(session: &Session, items: &[Arc<SealedAcceptance>]) -> Result<Fast, Trouble> {
    const FIND: &str = "SELECT referral_id FROM referrals WHERE referral_id = ANY ($1::bytea[])";
    let ids: Vec<&[u8]> = items.iter().map(|a| &a.acceptance.referral_id.as_bytes()[..]).collect();
    let rows = session.query(FIND, &[&ids]).await?;
    let seen = rows.iter().map(|row| rows::referral_id(row, 0)).collect::<Result<_, _>>()?;
    Ok(Fast::Seen(seen))
}

/// Rows of referrals, column by column.
#[derive(Default)]
struct Referrals<'a> {
    refs: Vec<i64>,
    ids: Vec<&'a [u8]>,
    senders: Vec<String>,
    positions: Vec<i32>,
    digests: Vec<&'a [u8]>,
    wakes: Vec<i64>,
}

impl<'a> Referrals<'a> {
    fn push(&mut self, a: &'a Acceptance, owner: i64) -> Result<(), StoreFault> {
        self.refs.push(owner);
        self.ids.push(a.referral_id.as_bytes());
        self.senders.push(a.sender.to_string());
        self.positions.push(small(accept::head(a)?.position)?);
        self.digests.push(a.accepted.token.sha256.as_bytes());
        self.wakes.push(a.wake_at.millis());
        Ok(())
    }

    /// The parameters of [`INSERT_REFERRALS`].
    fn values(&self) -> [Value<'_>; 6] {
        let Self { refs, ids, senders, positions, digests, wakes } = self;
        [refs, ids, senders, positions, digests, wakes]
    }
}
