//! Keys, holds and erasure, alike in both kinds of store but for the table that a document belongs to.

use tokio_postgres::Row;

use super::faults::Trouble;
use super::read::read_all;
use super::rows::{self, get};
use super::session::Session;
use crate::domain::ids::ReferralId;
use crate::domain::retention::{Erasure, RetentionFacts};
use crate::domain::time::Timestamp;
use crate::store::contract::{DocumentId, Hold, KeyUse, Rewrap, StoreFault, WrappedDocument};
use crate::store::sealing::{KeyId, Place, StoreKind};

/// The statements in which the two kinds differ.
pub(super) struct Kind {
    store: StoreKind,
    /// `SELECT` of [`wrapped`]'s columns, up to its `WHERE`. Walks documents `d` in their order, however
    /// many tables they belong to.
    wrapped: &'static str,
    /// The condition for the documents of a referral, `$1`.
    of: &'static str,
    /// Whether a referral is here.
    known: &'static str,
    /// Mark the owners of documents as erased, in each table that has some; `$1` documents, `$2` when,
    /// `$3` why.
    marks: &'static [&'static str],
    /// Locks what deliveries are called for of documents, `$1`: so that none is added unseen.
    lock_deliverable: Option<&'static str>,
    /// Ends the open deliveries of documents; `$1` documents, `$2` now. Run before `marks`.
    end_deliveries: Option<&'static str>,
}

pub(super) const GATEWAY: Kind = Kind {
    store: StoreKind::Gateway,
    wrapped: "SELECT d.id, d.key_id, d.wrapped, r.referral_id, coalesce(v.version, e.position),
                     CASE WHEN v.ref IS NULL THEN 'detail' ELSE '' END,
                     coalesce(v.payload_sha256, e.detail_sha256),
                     coalesce(v.recorded_at, (SELECT recorded_at FROM tokens WHERE id = e.recorded)),
                     (SELECT count(*) FROM deliveries x WHERE x.ref = r.ref
                      AND x.state NOT IN ('delivered', 'by_hand')),
                     c.closed_at,
                     (SELECT max(recorded_at) FROM versions n WHERE n.ref = r.ref),
                     (SELECT count(*) FROM holds h WHERE h.referral_id = r.referral_id)
              FROM documents d LEFT JOIN versions v ON v.document = d.id
              LEFT JOIN events e ON e.document = d.id
              JOIN referrals r ON r.ref = coalesce(v.ref, e.ref)
              LEFT JOIN closures c ON c.referral_id = r.referral_id",
    of: "d.id = ANY (ARRAY (
             SELECT o.document FROM versions o JOIN referrals y ON y.ref = o.ref
             WHERE y.referral_id = $1
             UNION ALL SELECT o.document FROM events o JOIN referrals y ON y.ref = o.ref
             WHERE y.referral_id = $1))",
    known: "SELECT 1 FROM referrals r WHERE r.referral_id = $1",
    marks: &[
        "UPDATE versions SET document = NULL, erased_at = $2, erased_why = $3
         WHERE document = ANY ($1::bigint[])",
        "UPDATE events SET document = NULL, erased_at = $2, erased_why = $3
         WHERE document = ANY ($1::bigint[])",
    ],
    lock_deliverable: Some(
        "SELECT FROM versions WHERE document = ANY ($1::bigint[]) ORDER BY ref, version FOR UPDATE",
    ),
    end_deliveries: Some(
        // By their numbers: otherwise the server may walk all that are open.
        "UPDATE deliveries
         SET state = 'undeliverable', due_at = NULL, lease_token = NULL, lease_holder = NULL,
             reason = 'erased', settled_at = $2
         WHERE due_at IS NOT NULL AND id = ANY (ARRAY (
             SELECT d.id FROM versions v JOIN deliveries d ON d.ref = v.ref AND d.version = v.version
             WHERE v.document = ANY ($1::bigint[])))",
    ),
};

pub(super) const AUTHORITY: Kind = Kind {
    store: StoreKind::Authority,
    wrapped: "SELECT d.id, d.key_id, d.wrapped, r.referral_id, r.version, r.purpose,
                     r.payload_sha256, r.received_at, 0::bigint, c.closed_at,
                     (SELECT max(received_at) FROM dispatches n
                      WHERE n.referral_id = r.referral_id),
                     (SELECT count(*) FROM holds h WHERE h.referral_id = r.referral_id)
              FROM documents d JOIN dispatches r ON r.document = d.id
              LEFT JOIN closures c ON c.referral_id = r.referral_id",
    of: "r.referral_id = $1",
    known: "SELECT 1 FROM dispatches r WHERE r.referral_id = $1",
    marks: &["UPDATE dispatches SET document = NULL, erased_at = $2, erased_why = $3
              WHERE document = ANY ($1::bigint[])"],
    lock_deliverable: None,
    end_deliveries: None,
};

/// Implements [`crate::store::RetentionStore`] for one kind.
macro_rules! retention_store {
    ($store:ty, $kind:expr) => {
        impl RetentionStore for $store {
            fn keys(&self) -> Pending<'_, Vec<KeyId>> {
                self.engine.read(|session| Box::pin(retention::keys(session)))
            }

            fn keys_in_use(&self) -> Pending<'_, Vec<KeyUse>> {
                self.engine.read(|session| Box::pin(retention::keys_in_use(session)))
            }

            fn wrapped_under(
                &self,
                key: KeyId,
                after: Option<DocumentId>,
                limit: u32,
            ) -> Pending<'_, Vec<WrappedDocument>> {
                self.engine.read(move |session| {
                    Box::pin(retention::wrapped_under(session, $kind, key, after, limit))
                })
            }

            fn wrapped_of(&self, referral_id: ReferralId) -> Pending<'_, Vec<WrappedDocument>> {
                self.engine.read(move |session| {
                    Box::pin(retention::wrapped_of(session, $kind, referral_id))
                })
            }

            fn rewrap(&self, changes: Vec<Rewrap>) -> Pending<'_, u64> {
                let changes = Arc::new(changes);
                self.engine.write(move |session, _| {
                    let changes = Arc::clone(&changes);
                    Box::pin(async move { retention::rewrap(session, &changes).await })
                })
            }

            fn purge(
                &self,
                documents: Vec<(DocumentId, Vec<u8>)>,
                erasure: Erasure,
                now: Timestamp,
            ) -> Pending<'_, u64> {
                let documents = Arc::new(documents);
                self.engine.write(move |session, _| {
                    let documents = Arc::clone(&documents);
                    Box::pin(async move {
                        retention::purge(session, $kind, &documents, erasure, now).await
                    })
                })
            }

            fn hold(&self, hold: Hold) -> Pending<'_, bool> {
                let hold = Arc::new(hold);
                self.engine.write(move |session, _| {
                    let hold = Arc::clone(&hold);
                    Box::pin(async move { retention::hold(session, $kind, &hold).await })
                })
            }

            fn release_hold(&self, referral_id: ReferralId, code: String) -> Pending<'_, bool> {
                let code = Arc::new(code);
                self.engine.write(move |session, _| {
                    let code = Arc::clone(&code);
                    Box::pin(async move {
                        retention::release_hold(session, $kind, referral_id, &code).await
                    })
                })
            }

            fn close(&self, referral_id: ReferralId, now: Timestamp) -> Pending<'_, bool> {
                self.engine.write(move |session, _| {
                    Box::pin(retention::close(session, $kind, referral_id, now))
                })
            }

            fn holds(&self) -> Pending<'_, Vec<Hold>> {
                self.engine.read(|session| Box::pin(retention::holds(session)))
            }
        }
    };
}
pub(super) use retention_store;

/// Steps from key to key in the index, instead of counting what lies under each.
const KEYS: &str = "
    WITH RECURSIVE k (key_id) AS (
        SELECT key_id FROM (SELECT key_id FROM documents ORDER BY key_id LIMIT 1) AS first
        UNION ALL
        SELECT (SELECT d.key_id FROM documents d WHERE d.key_id > k.key_id ORDER BY d.key_id LIMIT 1)
        FROM k WHERE k.key_id IS NOT NULL
    )
    SELECT key_id FROM k WHERE key_id IS NOT NULL";

pub(super) async fn keys(session: &Session) -> Result<Vec<KeyId>, Trouble> {
    read_all(session.query(KEYS, &[]).await?, |row| key_id(row, 0))
}

pub(super) async fn keys_in_use(session: &Session) -> Result<Vec<KeyUse>, Trouble> {
    const COUNT: &str = "SELECT key_id, count(*) FROM documents GROUP BY key_id ORDER BY key_id";
    read_all(session.query(COUNT, &[]).await?, |row| {
        Ok(KeyUse { key_id: key_id(row, 0)?, documents: rows::count(row, 1)? })
    })
}

pub(super) async fn wrapped_under(
    session: &Session,
    kind: &Kind,
    key: KeyId,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<WrappedDocument>, Trouble> {
    let sql = format!("{} WHERE d.key_id = $1 AND d.id > $2 ORDER BY d.id LIMIT $3", kind.wrapped);
    let after = after.map_or(i64::MIN, |id| id.0);
    let found = session.query(&sql, &[&&key.as_bytes()[..], &after, &i64::from(limit)]).await?;
    read_all(found, |row| wrapped(kind, row))
}

pub(super) async fn wrapped_of(
    session: &Session,
    kind: &Kind,
    referral_id: ReferralId,
) -> Result<Vec<WrappedDocument>, Trouble> {
    let sql = format!("{} WHERE {} ORDER BY d.id", kind.wrapped, kind.of);
    let found = session.query(&sql, &[&&referral_id.as_bytes()[..]]).await?;
    read_all(found, |row| wrapped(kind, row))
}

/// Crash before the commit: the documents lie under their old keys, which still exist; whoever wanted
/// them elsewhere finds them again.
pub(super) async fn rewrap(session: &Session, changes: &[Rewrap]) -> Result<u64, Trouble> {
    const MOVE: &str = "UPDATE documents d SET key_id = n.key_id, wrapped = n.wrapped
        FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[])
             AS n (id, was, key_id, wrapped)
        WHERE d.id = n.id AND d.wrapped = n.was";
    let ids: Vec<i64> = changes.iter().map(|change| change.id.0).collect();
    let from: Vec<&[u8]> = changes.iter().map(|change| &change.from[..]).collect();
    let to: Vec<&[u8]> = changes.iter().map(|change| &change.to.as_bytes()[..]).collect();
    let wrapped: Vec<&[u8]> = changes.iter().map(|change| &change.wrapped[..]).collect();
    session.begin().await?;
    let changed = session.execute(MOVE, &[&ids, &from, &to, &wrapped]).await?;
    session.commit().await?;
    Ok(changed)
}

/// Crash before the commit: the rows are still there and still unreadable, and the next pass purges
/// them.
pub(super) async fn purge(
    session: &Session,
    kind: &Kind,
    documents: &[(DocumentId, Vec<u8>)],
    erasure: Erasure,
    now: Timestamp,
) -> Result<u64, Trouble> {
    const LOCK: &str = "SELECT d.id FROM documents d
        JOIN unnest($1::bigint[], $2::bytea[]) AS n (id, was) ON d.id = n.id AND d.wrapped = n.was
        ORDER BY d.id FOR UPDATE OF d";
    let ids: Vec<i64> = documents.iter().map(|(id, _)| id.0).collect();
    let wrapped: Vec<&[u8]> = documents.iter().map(|(_, wrapped)| &wrapped[..]).collect();
    session.begin().await?;
    let there = session.query(LOCK, &[&ids, &wrapped]).await?;
    let there: Vec<i64> = read_all(there, |row| get(row, 0))?;
    if let Some(sql) = kind.lock_deliverable {
        session.query(sql, &[&there]).await?;
    }
    if let Some(sql) = kind.end_deliveries {
        session.execute(sql, &[&there, &now.millis()]).await?;
    }
    for mark in kind.marks {
        session.execute(mark, &[&there, &erasure.at.millis(), &erasure.why.as_str()]).await?;
    }
    const DELETE: &str = "DELETE FROM documents WHERE id = ANY ($1::bigint[])";
    let purged = session.execute(DELETE, &[&there]).await?;
    session.commit().await?;
    Ok(purged)
}

/// Crash before the commit: there is no hold, and the operator was told nothing.
pub(super) async fn hold(session: &Session, kind: &Kind, hold: &Hold) -> Result<bool, Trouble> {
    if !Hold::is_code(&hold.code) {
        return Err(StoreFault::Misuse.into());
    }
    const PLACE: &str = "INSERT INTO holds (referral_id, code, placed_at) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING";
    let id = &hold.referral_id.as_bytes()[..];
    session.begin().await?;
    if session.first(kind.known, &[&id]).await?.is_none() {
        session.roll_back().await?;
        return Ok(false);
    }
    session.execute(PLACE, &[&id, &hold.code, &hold.placed_at.millis()]).await?;
    session.commit().await?;
    Ok(true)
}

/// Crash before the commit: the hold stands, and the operator asks again.
pub(super) async fn release_hold(
    session: &Session,
    kind: &Kind,
    id: ReferralId,
    code: &str,
) -> Result<bool, Trouble> {
    const DELETE: &str = "DELETE FROM holds WHERE referral_id = $1 AND code = $2";
    let id = &id.as_bytes()[..];
    session.begin().await?;
    session.execute(DELETE, &[&id, &code]).await?;
    let known = session.first(kind.known, &[&id]).await?.is_some();
    session.commit().await?;
    Ok(known)
}

/// Crash before the commit: the referral stays open, and so its documents are kept.
pub(super) async fn close(
    session: &Session,
    kind: &Kind,
    id: ReferralId,
    now: Timestamp,
) -> Result<bool, Trouble> {
    const CLOSE: &str = "INSERT INTO closures (referral_id, closed_at) VALUES ($1, $2)
        ON CONFLICT (referral_id) DO UPDATE SET closed_at = excluded.closed_at";
    let id = &id.as_bytes()[..];
    session.begin().await?;
    if session.first(kind.known, &[&id]).await?.is_none() {
        session.roll_back().await?;
        return Ok(false);
    }
    session.execute(CLOSE, &[&id, &now.millis()]).await?;
    session.commit().await?;
    Ok(true)
}

pub(super) async fn holds(session: &Session) -> Result<Vec<Hold>, Trouble> {
    const FIND: &str = "SELECT referral_id, code, placed_at FROM holds ORDER BY referral_id, code";
    read_all(session.query(FIND, &[]).await?, |row| {
        Ok(Hold {
            referral_id: rows::referral_id(row, 0)?,
            code: get(row, 1)?,
            placed_at: rows::time(row, 2)?,
        })
    })
}

fn key_id(row: &Row, column: usize) -> Result<KeyId, StoreFault> {
    rows::key_id(row, column)?.ok_or(StoreFault::Corrupt)
}

fn total(row: &Row, column: usize) -> Result<u32, StoreFault> {
    u32::try_from(rows::count(row, column)?).map_err(|_| StoreFault::Corrupt)
}

fn wrapped(kind: &Kind, row: &Row) -> Result<WrappedDocument, StoreFault> {
    Ok(WrappedDocument {
        id: DocumentId(get(row, 0)?),
        key_id: key_id(row, 1)?,
        wrapped: get(row, 2)?,
        place: Place {
            store: kind.store,
            referral_id: rows::referral_id(row, 3)?,
            version: rows::small_count(row, 4)?,
            purpose: get(row, 5)?,
            sha256: rows::digest(row, 6)?,
        },
        accepted_at: rows::time(row, 7)?,
        facts: RetentionFacts {
            unsettled: total(row, 8)?,
            closed_at: rows::time_or_none(row, 9)?,
            newest_version_at: rows::time_or_none(row, 10)?,
            holds: total(row, 11)?,
        },
    })
}
