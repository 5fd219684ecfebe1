//! The authority's operations: reference numbers, receiving, and reading the inbox.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};

use tokio_postgres::Row;

use super::batch::Waiting;
use super::engine::Engine;
use super::faults::Trouble;
use super::read::read_all;
use super::rows::{self, DocumentRows, Evidence, TokenRows, get, small, token_columns};
use super::session::{DRAW, Session, Value};
use super::together::{NOTHING, together};
use crate::store::contract::{
    Dispatch, DispatchKey, InboxEntry, InboxFilter, ReceiveOutcome, StoreFault, StoredDispatch,
    StoredToken,
};
use crate::store::sealing::{DocumentRow, Sealed, Vault};

/// A series of reference numbers: `NEW` of 2026.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    prefix: String,
    year: i32,
}

impl Series {
    /// [`StoreFault::Misuse`] unless `prefix` is 1 to 12 of `A-Z 0-9`.
    pub fn new(prefix: String, year: i32) -> Result<Self, StoreFault> {
        let plain = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit();
        let sound = (1..=12).contains(&prefix.len()) && prefix.bytes().all(plain);
        if sound { Ok(Self { prefix, year }) } else { Err(StoreFault::Misuse) }
    }
}

/// Gives each that waits a number of its own, one commit per series. Crash after the commit: the
/// numbers stay unused.
pub(super) async fn give_references(engine: Arc<Engine>, batch: Vec<Waiting<Series, String>>) {
    let mut waiting: BTreeMap<Series, Vec<Waiting<Series, String>>> = BTreeMap::new();
    for queued in batch {
        waiting.entry(queued.item.clone()).or_default().push(queued);
    }
    for (series, queued) in waiting {
        let (asked, count) = (Arc::new(series.clone()), queued.len() as i64);
        match engine
            .run(true, move |session, _| {
                let asked = Arc::clone(&asked);
                Box::pin(async move { count_on(session, &asked, count).await })
            })
            .await
        {
            Ok(last) => {
                for (number, queued) in (last - count + 1..).zip(queued) {
                    let reference = format!("{}-{}-{number:06}", series.prefix, series.year);
                    queued.tell(Ok(reference));
                }
            }
            Err(fault) => queued.into_iter().for_each(|queued| queued.tell(Err(fault))),
        }
    }
}

/// Moves a series on by `by`; the last number of those.
async fn count_on(session: &Session, series: &Series, by: i64) -> Result<i64, Trouble> {
    const COUNT: &str =
        "INSERT INTO reference_numbers AS r (prefix, year, last) VALUES ($1, $2, $3)
        ON CONFLICT (prefix, year) DO UPDATE SET last = r.last + $3
        RETURNING current_setting('synchronous_standby_names') <> '', last";
    let found = session.whole(COUNT, &[&series.prefix, &series.year, &by]).await?;
    Ok(get(found.first().ok_or(StoreFault::Corrupt)?, 1)?)
}

/// One dispatch that waits.
pub(super) type Queued = Waiting<Arc<SealedDispatch>, ReceiveOutcome>;

/// A dispatch with its document as it will lie in the database.
pub(super) struct SealedDispatch {
    pub dispatch: Dispatch,
    pub document: Sealed,
}

/// Carries out what was gathered, and answers each. If one of them is to blame for a failure, each
/// gets a transaction of its own.
pub(super) async fn carry_out(engine: Arc<Engine>, batch: Vec<Queued>) {
    let mut batch = batch;
    // In the order of ids, so that two batches do not wait for each other crosswise.
    batch.sort_by_key(|queued| queued.item.dispatch.key.referral_id);
    let items: Vec<_> = batch.iter().map(|queued| Arc::clone(&queued.item)).collect();
    match receive_all(&engine, items).await {
        Ok(outcomes) => {
            batch.into_iter().zip(outcomes).for_each(|(queued, outcome)| queued.tell(Ok(outcome)));
        }
        Err(StoreFault::Misuse | StoreFault::Corrupt) if batch.len() > 1 => {
            for queued in batch {
                let outcome = receive_all(&engine, vec![Arc::clone(&queued.item)]).await;
                queued.tell(outcome.and_then(|mut all| all.pop().ok_or(StoreFault::Corrupt)));
            }
        }
        Err(fault) => batch.into_iter().for_each(|queued| queued.tell(Err(fault))),
    }
}

async fn receive_all(
    engine: &Engine,
    items: Vec<Arc<SealedDispatch>>,
) -> Result<Vec<ReceiveOutcome>, StoreFault> {
    let items: Arc<[_]> = items.into();
    engine
        .run(true, move |session, _| {
            let items = Arc::clone(&items);
            Box::pin(async move { receive(session, &items).await })
        })
        .await
}

/// Documents and tokens of any number of dispatches.
static STORE: LazyLock<String> =
    LazyLock::new(|| together(&[&DocumentRows::INSERT, &TokenRows::INSERT], &NOTHING));

/// Stores what is new of them, in one transaction. Crash before the commit: the gateway has no receipt
/// and sends it again. After it: the same dispatch gets the stored receipt.
async fn receive(
    session: &Session,
    sealed: &[Arc<SealedDispatch>],
) -> Result<Vec<ReceiveOutcome>, Trouble> {
    let items: Vec<&Dispatch> = sealed.iter().map(|sealed| &sealed.dispatch).collect();
    if items.iter().any(|d| d.urgency > 3 || d.key.version == 0) {
        return Err(StoreFault::Misuse.into());
    }
    let numbers = items.iter().map(|d| 3 + d.theirs().count()).sum();
    session.prepare(DRAW).await?;
    let (begun, numbers) = tokio::join!(biased; session.begin(), rows::draw(session, numbers));
    begun?;
    let mut numbers = numbers?.into_iter();
    let mut claims = Claims::default();
    for d in items.iter().copied() {
        claims.push(d, numbers.next(), numbers.next())?;
    }
    let stored = claims.insert(session).await?;
    let mut documents = DocumentRows::default();
    let mut tokens = TokenRows::default();
    let mut evidence = Evidence::default();
    for (i, d) in items.iter().copied().enumerate() {
        let (entry, document) = (claims.entries[i], claims.documents[i]);
        if !stored.contains(&entry) {
            continue;
        }
        documents.push(document, &sealed[i].document);
        // What the gateway recorded is judged at its time, our receipt at ours.
        for token in d.theirs() {
            let id = numbers.next().ok_or(StoreFault::Misuse)?;
            tokens.push(id, entry, token, None, d.recorded_at);
        }
        let id = numbers.next().ok_or(StoreFault::Misuse)?;
        tokens.push(id, entry, &d.delivered, None, d.received_at);
        evidence.add(d.theirs().chain([&d.delivered]), &d.chains, &d.crls)?;
    }
    if stored.is_empty() {
        session.roll_back().await?;
        // What is answered now was stored by others.
        session.confirm().await?;
    } else {
        if !evidence.is_known(session) {
            evidence.keep(session).await?;
        }
        let mut values = documents.values().to_vec();
        values.extend(tokens.values());
        session.last(&STORE, &values).await?;
        evidence.committed(session);
    }
    let mut outcomes = Vec::with_capacity(items.len());
    for (i, d) in items.iter().enumerate() {
        outcomes.push(if stored.contains(&claims.entries[i]) {
            ReceiveOutcome::Stored
        } else {
            before(session, d).await?
        });
    }
    Ok(outcomes)
}

/// What stands under the key of a dispatch that was not stored now.
async fn before(session: &Session, d: &Dispatch) -> Result<ReceiveOutcome, Trouble> {
    let stored = received(session, &d.key).await?.ok_or(StoreFault::Corrupt)?;
    let same = stored.payload_sha256 == d.payload_sha256 && stored.note_sha256 == d.note.sha256;
    Ok(if same { ReceiveOutcome::Already(stored) } else { ReceiveOutcome::OtherBytes(stored) })
}

/// Rows of dispatches, column by column. Inserting one takes its key.
#[derive(Default)]
struct Claims<'a> {
    entries: Vec<i64>,
    ids: Vec<&'a [u8]>,
    versions: Vec<i32>,
    purposes: Vec<&'a str>,
    senders: Vec<String>,
    request_types: Vec<&'a str>,
    urgencies: Vec<i16>,
    payloads: Vec<&'a [u8]>,
    documents: Vec<i64>,
    references: Vec<&'a str>,
    recorded: Vec<i64>,
    received: Vec<i64>,
}

impl<'a> Claims<'a> {
    fn push(
        &mut self,
        d: &'a Dispatch,
        entry: Option<i64>,
        document: Option<i64>,
    ) -> Result<(), StoreFault> {
        self.entries.push(entry.ok_or(StoreFault::Misuse)?);
        self.ids.push(d.key.referral_id.as_bytes());
        self.versions.push(small(d.key.version)?);
        self.purposes.push(&d.key.purpose);
        self.senders.push(d.sender.to_string());
        self.request_types.push(&d.request_type);
        self.urgencies.push(i16::from(d.urgency));
        self.payloads.push(d.payload_sha256.as_bytes());
        self.documents.push(document.ok_or(StoreFault::Misuse)?);
        self.references.push(&d.reference);
        self.recorded.push(d.recorded_at.millis());
        self.received.push(d.received_at.millis());
        Ok(())
    }

    /// The entries whose keys were free. Whoever comes second waits for the first one's commit.
    async fn insert(&self, session: &Session) -> Result<HashSet<i64>, Trouble> {
        const INSERT: &str = "
            INSERT INTO dispatches (entry, referral_id, version, purpose, sender, request_type,
                urgency, payload_sha256, document, reference, recorded_at, received_at)
            SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::integer[], $4::text[], $5::text[],
                $6::text[], $7::smallint[], $8::bytea[], $9::bigint[], $10::text[], $11::bigint[],
                $12::bigint[])
            ON CONFLICT ON CONSTRAINT dispatches_by_key DO NOTHING RETURNING entry";
        let values: [Value<'_>; 12] = [
            &self.entries,
            &self.ids,
            &self.versions,
            &self.purposes,
            &self.senders,
            &self.request_types,
            &self.urgencies,
            &self.payloads,
            &self.documents,
            &self.references,
            &self.recorded,
            &self.received,
        ];
        let rows = session.query(INSERT, &values).await?;
        rows.iter().map(|row| Ok(get(row, 0)?)).collect()
    }
}

pub(super) async fn received(
    session: &Session,
    key: &DispatchKey,
) -> Result<Option<StoredDispatch>, Trouble> {
    const FIND: &str = "
        SELECT d.payload_sha256, n.sha256, r.jws, d.reference, d.received_at
        FROM dispatches d
        JOIN tokens n ON n.owner = d.entry AND n.kind = 'dispatch_note'
        JOIN tokens r ON r.owner = d.entry AND r.kind = 'delivered'
        WHERE d.referral_id = $1 AND d.version = $2 AND d.purpose = $3";
    let version = i32::try_from(key.version).unwrap_or(i32::MAX);
    let values: [Value<'_>; 3] = [&&key.referral_id.as_bytes()[..], &version, &key.purpose];
    let Some(row) = session.first(FIND, &values).await? else { return Ok(None) };
    Ok(Some(StoredDispatch {
        payload_sha256: rows::digest(&row, 0)?,
        note_sha256: rows::digest(&row, 1)?,
        delivered: get(&row, 2)?,
        reference: get(&row, 3)?,
        received_at: rows::time(&row, 4)?,
    }))
}

/// The columns that [`entry`] reads.
const ENTRY: &str =
    "entry, reference, referral_id, version, purpose, sender, request_type, urgency,
     payload_sha256, recorded_at, received_at, erased_at, erased_why, b.key_id";
/// Where they are read from.
const ENTRIES: &str = "dispatches LEFT JOIN documents b ON b.id = document";

pub(super) async fn inbox(
    session: &Session,
    vault: &Vault,
    filter: &InboxFilter,
) -> Result<Vec<InboxEntry>, Trouble> {
    let limit = if filter.limit == 0 { InboxFilter::LONGEST } else { filter.limit };
    let limit = i64::from(limit.min(InboxFilter::LONGEST));
    let id = filter.referral_id.map(|id| id.as_bytes().to_vec());
    let urgency = filter.at_least_urgent.map(i16::from);
    let after = filter.after.map(rows::number);
    let mut sql = format!("SELECT {ENTRY} FROM {ENTRIES} WHERE true");
    let mut values: Vec<Value<'_>> = vec![&limit];
    if let Some(id) = &id {
        values.push(id);
        sql.push_str(&format!(" AND referral_id = ${}", values.len()));
    }
    if let Some(reference) = &filter.reference {
        values.push(reference);
        sql.push_str(&format!(" AND reference = ${}", values.len()));
    }
    if let Some(urgency) = &urgency {
        values.push(urgency);
        sql.push_str(&format!(" AND urgency <= ${}", values.len()));
    }
    if let Some(after) = &after {
        values.push(after);
        sql.push_str(&format!(" AND entry < ${}", values.len()));
    }
    sql.push_str(" ORDER BY entry DESC LIMIT $1");
    read_all(session.query(&sql, &values).await?, |row| entry(row, vault))
}

fn entry(row: &Row, vault: &Vault) -> Result<InboxEntry, StoreFault> {
    let (referral_id, payload_sha256) = (rows::referral_id(row, 2)?, rows::digest(row, 8)?);
    let key = rows::key_id(row, 13)?;
    Ok(InboxEntry {
        entry: rows::count(row, 0)?,
        reference: get(row, 1)?,
        key: DispatchKey {
            referral_id,
            version: rows::small_count(row, 3)?,
            purpose: get(row, 4)?,
        },
        sender: rows::organisation(row, 5)?,
        request_type: get(row, 6)?,
        urgency: rows::urgency(row, 7)?,
        payload_sha256,
        recorded_at: rows::time(row, 9)?,
        received_at: rows::time(row, 10)?,
        // Erased from the moment at which its key is destroyed, purged a little later.
        erased: rows::erasure(row, 11)?.or_else(|| vault.erased(referral_id, payload_sha256, key)),
    })
}

/// One entry with its tokens; the document as it lies there.
pub(super) type Item = (InboxEntry, DocumentRow, Vec<StoredToken>);

pub(super) async fn item(
    session: &Session,
    vault: &Vault,
    number: u64,
) -> Result<Option<Item>, Trouble> {
    session.begin_snapshot().await?;
    let found = item_in_snapshot(session, vault, rows::number(number)).await?;
    session.roll_back().await?;
    Ok(found)
}

async fn item_in_snapshot(
    session: &Session,
    vault: &Vault,
    number: i64,
) -> Result<Option<Item>, Trouble> {
    let sql = format!("SELECT {ENTRY}, b.wrapped, b.body FROM {ENTRIES} WHERE entry = $1");
    let Some(row) = session.first(&sql, &[&number]).await? else { return Ok(None) };
    let entry = entry(&row, vault)?;
    let document = rows::document(&row, 11)?;
    const TOKENS: &str =
        concat!("SELECT ", token_columns!("t"), " FROM tokens t WHERE t.owner = $1 ORDER BY t.id");
    let tokens = read_all(session.query(TOKENS, &[&number]).await?, |row| rows::token(row, 0))?;
    Ok(Some((entry, document, tokens)))
}

pub(super) async fn count(session: &Session) -> Result<u64, Trouble> {
    let row = session.one("SELECT count(*) FROM dispatches", &[]).await?;
    Ok(rows::count(&row, 0)?)
}
