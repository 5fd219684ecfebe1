//! First versions of new ids, many in one transaction: nearly all that a gateway accepts. Whatever is
//! not exactly that goes alone through [`accept::accept`], which decides.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::Statement;

use super::accept::{self, Inserts, SealedAcceptance, VersionRows};
use super::batch::Waiting;
use super::engine::Engine;
use super::faults::{self, Trouble};
use super::rows::{self, Evidence, small};
use super::session::{DRAW, Session, Value};
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

const INSERT_REFERRALS: &str = "INSERT INTO referrals
        (ref, referral_id, sender, head_position, head_digest)
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::integer[], $5::bytea[])";

/// All of them in one transaction, sent in one go with its commit; the unique key on the referral's id
/// stops it if one of them is not new. Crash before the commit: nothing of it exists.
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
    let inserts = Inserts::prepare(session).await?;
    let insert_referrals = session.prepare(INSERT_REFERRALS).await?;
    let draw = session.prepare(DRAW).await?;
    let ahead = if session.numbers_left() < AHEAD as usize { AHEAD } else { 0 };
    let ahead_value: [Value<'_>; 1] = [&ahead];
    let evidence_known = evidence.is_known(session);
    if !evidence_known {
        session.begin().await?;
        evidence.keep(session).await?;
    }
    let begin = async { if evidence_known { session.begin().await } else { Ok(()) } };
    let (begun, claimed, inserted, drawn, committed) = tokio::join!(
        biased;
        begin,
        referrals.insert(session, &insert_referrals),
        versions.insert(session, &inserts),
        session.client().query(&draw, &ahead_value),
        session.commit(),
    );
    let stopped = match claimed {
        Err(error) if faults::is_duplicate(&error) => return seen(session, items).await,
        Err(error) => Err(error.into()),
        Ok(_) => inserted,
    };
    match begun.and(stopped) {
        Ok(()) => committed?,
        // Sent with its commit, which may have got through.
        Err(Trouble::Lost) => return Err(Trouble::Unknown),
        // The commit of a transaction that has failed undoes it.
        Err(definite) => return Err(definite),
    }
    session.keep_numbers(&drawn?)?;
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
}

impl<'a> Referrals<'a> {
    fn push(&mut self, a: &'a Acceptance, owner: i64) -> Result<(), StoreFault> {
        self.refs.push(owner);
        self.ids.push(a.referral_id.as_bytes());
        self.senders.push(a.sender.to_string());
        self.positions.push(small(accept::head(a)?.position)?);
        self.digests.push(a.accepted.token.sha256.as_bytes());
        Ok(())
    }

    async fn insert(
        &self,
        session: &Session,
        insert: &Statement,
    ) -> Result<u64, tokio_postgres::Error> {
        let Self { refs, ids, senders, positions, digests } = self;
        session.client().execute(insert, &[refs, ids, senders, positions, digests]).await
    }
}
