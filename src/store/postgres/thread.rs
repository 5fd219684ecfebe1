//! Events of a referral's thread: made durable, and read with all that the next one is judged by.

use std::sync::LazyLock;

use tokio_postgres::Row;

use super::faults::Trouble;
use super::read::{self, ThreadRow, read_all};
use super::rows::{
    self, DocumentRows, Evidence, TOKEN_COLUMNS, TokenRows, UnsequencedRows, get, small,
    token_columns,
};
use super::session::{DRAW, Session, Value};
use super::together::{NOTHING, Part, together};
use crate::domain::ids::ReferralId;
use crate::domain::party::DfeCode;
use crate::domain::time::Timestamp;
use crate::store::contract::{
    Append, AppendOutcome, CaseChange, Cause, DetailRow, Head, Reached, StoreFault, StoredEvent,
    Thread, VersionRow,
};
use crate::store::sealing::{Sealed, Vault};

/// An event with its detail as it will lie in the database.
pub(super) struct SealedAppend {
    pub append: Append,
    pub detail: Option<Sealed>,
}

/// The whole event: one transaction, two messages each way. Crash before the commit: nothing of it
/// exists, the author has no record and states it again. After it: stated again, it gets the stored
/// record.
pub(super) async fn append(
    session: &Session,
    vault: &Vault,
    sealed: &SealedAppend,
) -> Result<AppendOutcome, Trouble> {
    let a = &sealed.append;
    a.check_shape()?;
    let Standing { thread, before, newest, numbers } = lock(session, a).await?;
    let outcome = match (&thread, before) {
        (None, _) => Some(AppendOutcome::Unknown),
        (Some(_), Some(row)) => {
            Some(AppendOutcome::Already(Box::new(event(&row, vault, a.referral_id)?)))
        }
        (Some(thread), None) if thread.head != a.after => {
            Some(AppendOutcome::HeadMoved(thread.head))
        }
        _ => None,
    };
    if let Some(outcome) = outcome {
        session.roll_back().await?;
        if matches!(outcome, AppendOutcome::Already(_)) {
            session.confirm().await?;
        }
        return Ok(outcome);
    }
    let owner = thread.ok_or(StoreFault::Corrupt)?.owner;
    let mut evidence = Evidence::default();
    evidence.add(a.tokens(), &a.chains, &a.crls)?;
    if !evidence.is_known(session) {
        evidence.keep(session).await?;
    }
    let rows = Rows::of(sealed, owner, newest, numbers)?;
    session.last(&WRITE, &rows.values()).await?;
    evidence.committed(session);
    Ok(AppendOutcome::Committed)
}

/// The newest version of a referral, which deliveries bring.
struct Newest {
    version: i32,
    urgency: i16,
    erased: bool,
}

/// How a thread stands, locked.
struct Standing {
    thread: Option<ThreadRow>,
    /// This very event, if it was recorded before.
    before: Option<Row>,
    newest: Option<Newest>,
    numbers: Vec<i64>,
}

/// Begins, makes the row of a thread that is to begin, locks the thread, reads it and looks for the event
/// itself, and draws row numbers: after the lock, so that they are greater than those of the thread's
/// earlier tokens. Of two that begin one thread the second waits for the first one's commit, and then
/// finds its row.
async fn lock(session: &Session, a: &Append) -> Result<Standing, Trouble> {
    let (id, sha256) = (&a.referral_id.as_bytes()[..], &a.event.token.sha256.as_bytes()[..]);
    let (by_id, by_token): ([Value<'_>; 1], [Value<'_>; 2]) = ([&id], [&id, &sha256]);
    let owner = a.opener.as_ref().map(ToString::to_string);
    let digest = &a.recorded.token.sha256.as_bytes()[..];
    let new: [Value<'_>; 3] = [&id, &owner, &digest];
    for statement in [BEGIN, read::LOCK, EVENT, NEWEST, DRAW] {
        session.prepare(statement).await?;
    }
    let (begun, new, thread, before, newest, numbers) = tokio::join!(
        biased;
        session.begin(),
        async {
            match a.begins() {
                true => session.first(BEGIN, &new).await,
                false => Ok(None),
            }
        },
        session.first(read::LOCK, &by_id),
        session.first(EVENT, &by_token),
        async {
            match a.deliveries.is_empty() {
                true => Ok(None),
                false => session.first(NEWEST, &by_id).await,
            }
        },
        rows::draw(session, numbers_for(a)),
    );
    begun?;
    let is_new = new?.is_some();
    let newest = newest?.map(|row| -> Result<_, StoreFault> {
        Ok(Newest { version: get(&row, 0)?, urgency: get(&row, 1)?, erased: get(&row, 2)? })
    });
    let mut thread = thread?.map(|row| read::thread_columns(&row)).transpose()?;
    if let Some(thread) = thread.as_mut().filter(|_| is_new) {
        thread.head = Head::START;
    }
    Ok(Standing { thread, before: before?, newest: newest.transpose()?, numbers: numbers? })
}

/// Row numbers that [`Rows::of`] takes: tokens, detail, and two for each delivery.
fn numbers_for(a: &Append) -> usize {
    3 + 2 * a.deliveries.len()
}

const BEGIN: &str =
    "INSERT INTO referrals (ref, referral_id, sender, head_position, head_digest, wake_at)
    VALUES (nextval('row_numbers'), $1, $2, 1, $3, NULL)
    ON CONFLICT (referral_id) DO NOTHING RETURNING ref";

/// Locked, so that a purge comes before it, and is seen, or after it, and ends its deliveries.
const NEWEST: &str = "SELECT v.version, v.urgency, v.document IS NULL FROM versions v
    WHERE v.ref = (SELECT r.ref FROM referrals r WHERE r.referral_id = $1)
    ORDER BY v.version DESC LIMIT 1 FOR SHARE";

const INSERT: Part = Part {
    sql: "INSERT INTO events
              (ref, position, sha256, event, recorded, holder, detail_sha256, document)
          VALUES (@)",
    types: &["bigint", "integer", "bytea", "bigint", "bigint", "text", "bytea", "bigint"],
};

const MOVE: Part = Part {
    sql: "UPDATE referrals r SET head_position = n.position, head_digest = n.digest,
              holder = coalesce(n.holder, r.holder), wake_at = n.wake_at
          FROM (VALUES (@)) AS n (ref, position, digest, holder, wake_at) WHERE r.ref = n.ref",
    types: &["bigint", "integer", "bytea", "text", "bigint"],
};

/// If the version is erased by now, as the purge left its other deliveries.
const DELIVER: Part = Part {
    sql: "INSERT INTO deliveries (id, ref, version, authority, purpose, called_by, urgency, state,
              due_at, reason, recorded_at, settled_at, note)
          SELECT id, ref, version, authority, purpose, position, urgency,
              CASE WHEN erased THEN 'undeliverable' ELSE 'held' END,
              CASE WHEN NOT erased THEN at END, CASE WHEN erased THEN 'erased' END, at,
              CASE WHEN erased THEN at END, note
          FROM unnest(@) AS d
              (id, ref, version, authority, purpose, position, urgency, erased, at, note)",
    types: &[
        "bigint[]",
        "bigint[]",
        "integer[]",
        "text[]",
        "text[]",
        "integer[]",
        "smallint[]",
        "boolean[]",
        "bigint[]",
        "bigint[]",
    ],
};

const CLOSE: Part = Part {
    sql: "INSERT INTO closures (referral_id, closed_at) SELECT * FROM unnest(@)
          ON CONFLICT (referral_id) DO UPDATE SET closed_at = excluded.closed_at",
    types: &["bytea[]", "bigint[]"],
};

const REOPEN: Part =
    Part { sql: "DELETE FROM closures WHERE referral_id = ANY (@)", types: &["bytea[]"] };

/// Everything that an event changes.
static WRITE: LazyLock<String> = LazyLock::new(|| {
    let parts = [
        &DocumentRows::INSERT,
        &TokenRows::INSERT,
        &UnsequencedRows::INSERT,
        &INSERT,
        &MOVE,
        &DELIVER,
        &CLOSE,
        &REOPEN,
    ];
    together(&parts, &NOTHING)
});

/// What is written, table by table.
struct Rows<'a> {
    documents: DocumentRows<'a>,
    tokens: TokenRows<'a>,
    unsequenced: UnsequencedRows,
    owner: i64,
    position: i32,
    event_sha256: &'a [u8],
    event: i64,
    recorded: i64,
    holder: Option<&'a str>,
    detail_sha256: Option<&'a [u8]>,
    document: Option<i64>,
    head: &'a [u8],
    wake_at: Option<i64>,
    deliveries: Deliveries<'a>,
    closes: Vec<&'a [u8]>,
    closed_at: Vec<i64>,
    reopens: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Deliveries<'a> {
    ids: Vec<i64>,
    refs: Vec<i64>,
    versions: Vec<i32>,
    authorities: Vec<&'a str>,
    purposes: Vec<&'a str>,
    positions: Vec<i32>,
    urgencies: Vec<i16>,
    erased: Vec<bool>,
    times: Vec<i64>,
    notes: Vec<i64>,
}

impl<'a> Rows<'a> {
    /// The rows of an event in the thread of the referral in row `owner`.
    fn of(
        sealed: &'a SealedAppend,
        owner: i64,
        newest: Option<Newest>,
        numbers: Vec<i64>,
    ) -> Result<Self, StoreFault> {
        let (a, at) = (&sealed.append, sealed.append.recorded_at);
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().ok_or(StoreFault::Misuse);
        let position = small(a.next_head()?.position)?;
        // In this order: the sequencer follows the numbers.
        let (event, recorded, document) = (next()?, next()?, next()?);
        let mut rows = Self {
            documents: DocumentRows::default(),
            tokens: TokenRows::default(),
            unsequenced: UnsequencedRows::default(),
            owner,
            position,
            event_sha256: a.event.token.sha256.as_bytes(),
            event,
            recorded,
            holder: a.holder.as_ref().map(DfeCode::as_str),
            detail_sha256: a.detail.as_ref().map(|detail| &detail.sha256.as_bytes()[..]),
            document: sealed.detail.as_ref().map(|_| document),
            head: a.recorded.token.sha256.as_bytes(),
            wake_at: a.wake_at.map(Timestamp::millis),
            deliveries: Deliveries::default(),
            closes: Vec::new(),
            closed_at: Vec::new(),
            reopens: Vec::new(),
        };
        if let Some(detail) = &sealed.detail {
            rows.documents.push(document, detail);
        }
        rows.tokens.push(event, owner, &a.event.token, None, at);
        rows.unsequenced.push(event, &a.event);
        rows.tokens.push(recorded, owner, &a.recorded.token, Some(position), at);
        rows.unsequenced.push(recorded, &a.recorded);
        for delivery in &a.deliveries {
            // Only a referral is delivered, and it has a version.
            let newest = newest.as_ref().ok_or(StoreFault::Corrupt)?;
            let (note, id) = (next()?, next()?);
            rows.tokens.push(note, owner, &delivery.note.token, None, at);
            rows.unsequenced.push(note, &delivery.note);
            let d = &mut rows.deliveries;
            d.ids.push(id);
            d.refs.push(owner);
            d.versions.push(newest.version);
            d.authorities.push(delivery.authority.as_str());
            d.purposes.push(&delivery.purpose);
            d.positions.push(position);
            d.urgencies.push(newest.urgency);
            d.erased.push(newest.erased);
            d.times.push(at.millis());
            d.notes.push(note);
        }
        match a.case {
            Some(CaseChange::Closed) => {
                rows.closes.push(a.referral_id.as_bytes());
                rows.closed_at.push(at.millis());
            }
            Some(CaseChange::Reopened) => rows.reopens.push(a.referral_id.as_bytes()),
            None => {}
        }
        Ok(rows)
    }

    /// The parameters of [`WRITE`].
    fn values(&self) -> Vec<Value<'_>> {
        let of_event: [Value<'_>; 8] = [
            &self.owner,
            &self.position,
            &self.event_sha256,
            &self.event,
            &self.recorded,
            &self.holder,
            &self.detail_sha256,
            &self.document,
        ];
        let of_head: [Value<'_>; 5] =
            [&self.owner, &self.position, &self.head, &self.holder, &self.wake_at];
        let d = &self.deliveries;
        let of_deliveries: [Value<'_>; 10] = [
            &d.ids,
            &d.refs,
            &d.versions,
            &d.authorities,
            &d.purposes,
            &d.positions,
            &d.urgencies,
            &d.erased,
            &d.times,
            &d.notes,
        ];
        let of_case: [Value<'_>; 3] = [&self.closes, &self.closed_at, &self.reopens];
        let mut all = Vec::with_capacity(45);
        all.extend(self.documents.values());
        all.extend(self.tokens.values());
        all.extend(self.unsequenced.values());
        all.extend(of_event);
        all.extend(of_head);
        all.extend(of_deliveries);
        all.extend(of_case);
        all
    }
}

/// Everything about a thread that the next event is judged by, in one snapshot.
pub(super) async fn thread(
    session: &Session,
    vault: &Vault,
    id: ReferralId,
) -> Result<Option<Thread>, Trouble> {
    session.begin_snapshot().await?;
    let found = match read::thread_row(session, id).await? {
        None => None,
        Some(ThreadRow { owner, sender, head }) => {
            let versions = read::versions(session, vault, id, owner).await?;
            let (holder, wake_at) = standing(session, owner, &versions).await?;
            Some(Thread {
                referral_id: id,
                sender,
                head,
                holder,
                wake_at,
                deliveries: read::deliveries_of(session, owner).await?,
                events: events(session, vault, id, owner).await?,
                reached: reached(session, owner).await?,
                versions,
            })
        }
    };
    session.roll_back().await?;
    Ok(found)
}

/// The accountable authority: of the last transfer, of the event that began the thread, or as version 1
/// was routed; and when its clocks are to be looked at.
pub(super) async fn standing(
    session: &Session,
    owner: i64,
    versions: &[VersionRow],
) -> Result<(DfeCode, Option<Timestamp>), Trouble> {
    const FIND: &str = "SELECT holder, wake_at FROM referrals WHERE ref = $1";
    let row = session.one(FIND, &[&owner]).await?;
    let transferred = rows::dfe_code_or_none(&row, 0)?;
    let routed = versions.first().map(|version| version.authority);
    let holder = transferred.or(routed).ok_or(StoreFault::Corrupt)?;
    Ok((holder, rows::time_or_none(&row, 1)?))
}

/// The columns that [`event`] reads.
macro_rules! events {
    ($rest:literal) => {
        concat!(
            "SELECT e.position, e.holder, e.detail_sha256, e.erased_at, e.erased_why, d.key_id, ",
            token_columns!("s"),
            ", ",
            token_columns!("r"),
            " FROM events e JOIN tokens s ON s.id = e.event JOIN tokens r ON r.id = e.recorded
              LEFT JOIN documents d ON d.id = e.document ",
            $rest
        )
    };
}

const EVENT: &str = events!(
    "WHERE e.ref = (SELECT x.ref FROM referrals x WHERE x.referral_id = $1) AND e.sha256 = $2"
);

async fn events(
    session: &Session,
    vault: &Vault,
    id: ReferralId,
    owner: i64,
) -> Result<Vec<StoredEvent>, Trouble> {
    const FIND: &str = events!("WHERE e.ref = $1 ORDER BY e.position");
    read_all(session.query(FIND, &[&owner]).await?, |row| event(row, vault, id))
}

async fn reached(session: &Session, owner: i64) -> Result<Vec<Reached>, Trouble> {
    const FIND: &str =
        "SELECT position, party, reached_at FROM reached WHERE ref = $1 ORDER BY position, party";
    read_all(session.query(FIND, &[&owner]).await?, |row| {
        let (party, at) = (rows::organisation(row, 1)?, rows::time(row, 2)?);
        Ok(Reached { position: rows::small_count(row, 0)?, party, at })
    })
}

fn event(row: &Row, vault: &Vault, id: ReferralId) -> Result<StoredEvent, StoreFault> {
    const TOKENS: usize = 6;
    let recorded = rows::token(row, TOKENS + TOKEN_COLUMNS)?;
    let key = rows::key_id(row, 5)?;
    let purged = rows::erasure(row, 3)?;
    let detail = rows::digest_or_none(row, 2)?.map(|sha256| DetailRow {
        sha256,
        // Erased from the moment at which its key is destroyed, purged a little later.
        erased: purged.or_else(|| vault.erased(id, sha256, key)),
    });
    Ok(StoredEvent {
        position: rows::small_count(row, 0)?,
        recorded_at: recorded.recorded_at,
        event: rows::token(row, TOKENS)?,
        recorded,
        detail,
        holder: rows::dfe_code_or_none(row, 1)?,
    })
}

/// The events that called for deliveries, by the deliveries' numbers.
pub(super) async fn causes(
    session: &Session,
    deliveries: &[i64],
) -> Result<Vec<(i64, Cause)>, Trouble> {
    const FIND: &str = concat!(
        "SELECT d.id, ",
        token_columns!("s"),
        ", ",
        token_columns!("r"),
        " FROM deliveries d JOIN events e ON e.ref = d.ref AND e.position = d.called_by
         JOIN tokens s ON s.id = e.event JOIN tokens r ON r.id = e.recorded
         WHERE d.id = ANY ($1::bigint[])"
    );
    read_all(session.query(FIND, &[&deliveries]).await?, |row| {
        let (event, recorded) = (rows::token(row, 1)?, rows::token(row, 1 + TOKEN_COLUMNS)?);
        Ok((get(row, 0)?, Cause { event, recorded }))
    })
}
