//! Keys, holds and erasure, alike in both kinds of store but for the table that a document belongs to.

use rusqlite::{Connection, Row, params};

use super::read::collect;
use super::rows;
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
    /// The condition for the documents of a referral, ?1.
    of: &'static str,
    /// Whether a referral is here.
    known: &'static str,
    /// Mark the owner of a document as erased, in the one table that has it; ?1 document, ?2 when, ?3 why.
    marks: &'static [&'static str],
    /// Ends the open deliveries of a document; ?1 document, ?2 now. Run before `marks`.
    end_deliveries: Option<&'static str>,
}

impl Kind {
    /// The documents under a key, ?1, after a number, ?2, at most ?3.
    fn under(&self) -> String {
        format!("{} WHERE d.key_id = ?1 AND d.id > ?2 ORDER BY d.id LIMIT ?3", self.wrapped)
    }

    /// The documents of a referral, ?1.
    fn of_referral(&self) -> String {
        format!("{} WHERE {} ORDER BY d.id", self.wrapped, self.of)
    }

    /// Every statement that goes to a document's owner, for the tests of their plans.
    #[cfg(test)]
    pub fn statements(&self) -> Vec<String> {
        let fixed = self.marks.iter().copied().chain(self.end_deliveries).chain([self.known]);
        [self.under(), self.of_referral()].into_iter().chain(fixed.map(str::to_owned)).collect()
    }
}

pub(super) const GATEWAY: Kind = Kind {
    store: StoreKind::Gateway,
    wrapped: "SELECT d.id, d.key_id, d.wrapped, r.referral_id, coalesce(v.version, e.position),
                     iif(v.ref IS NULL, 'detail', ''), coalesce(v.payload_sha256, e.detail_sha256),
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
    of: "d.id IN (SELECT o.document FROM versions o JOIN referrals y ON y.ref = o.ref
                  WHERE y.referral_id = ?1
                  UNION ALL SELECT o.document FROM events o JOIN referrals y ON y.ref = o.ref
                  WHERE y.referral_id = ?1)",
    known: "SELECT 1 FROM referrals r WHERE r.referral_id = ?1",
    marks: &[
        "UPDATE versions SET document = NULL, erased_at = ?2, erased_why = ?3 WHERE document = ?1",
        "UPDATE events SET document = NULL, erased_at = ?2, erased_why = ?3 WHERE document = ?1",
    ],
    end_deliveries: Some(
        "UPDATE deliveries
         SET state = 'undeliverable', due_at = NULL, lease_token = NULL, lease_holder = NULL,
             reason = 'erased', settled_at = ?2
         WHERE due_at IS NOT NULL AND (ref, version) =
               (SELECT ref, version FROM versions WHERE document = ?1)",
    ),
};

pub(super) const AUTHORITY: Kind = Kind {
    store: StoreKind::Authority,
    wrapped: "SELECT d.id, d.key_id, d.wrapped, r.referral_id, r.version, r.purpose,
                     r.payload_sha256, r.received_at, 0, c.closed_at,
                     (SELECT max(received_at) FROM dispatches n
                      WHERE n.referral_id = r.referral_id),
                     (SELECT count(*) FROM holds h WHERE h.referral_id = r.referral_id)
              FROM documents d JOIN dispatches r ON r.document = d.id
              LEFT JOIN closures c ON c.referral_id = r.referral_id",
    of: "r.referral_id = ?1",
    known: "SELECT 1 FROM dispatches r WHERE r.referral_id = ?1",
    marks: &["UPDATE dispatches SET document = NULL, erased_at = ?2, erased_why = ?3
              WHERE document = ?1"],
    end_deliveries: None,
};

/// Implements [`crate::store::RetentionStore`] for one kind.
macro_rules! retention_store {
    ($store:ty, $kind:expr) => {
        impl RetentionStore for $store {
            fn keys(&self) -> Pending<'_, Vec<KeyId>> {
                self.engine.long_read(retention::keys)
            }

            fn keys_in_use(&self) -> Pending<'_, Vec<KeyUse>> {
                self.engine.long_read(retention::keys_in_use)
            }

            fn wrapped_under(
                &self,
                key: KeyId,
                after: Option<DocumentId>,
                limit: u32,
            ) -> Pending<'_, Vec<WrappedDocument>> {
                let read =
                    move |conn: &_| retention::wrapped_under(conn, &$kind, key, after, limit);
                self.engine.long_read(read)
            }

            fn wrapped_of(&self, referral_id: ReferralId) -> Pending<'_, Vec<WrappedDocument>> {
                self.engine.long_read(move |conn| retention::wrapped_of(conn, &$kind, referral_id))
            }

            fn rewrap(&self, changes: Vec<Rewrap>) -> Pending<'_, u64> {
                self.engine.write(move |conn| retention::rewrap(conn, &changes))
            }

            fn purge(
                &self,
                documents: Vec<(DocumentId, Vec<u8>)>,
                erasure: Erasure,
                now: Timestamp,
            ) -> Pending<'_, u64> {
                let purge =
                    move |tx: &Tx<'_>| retention::purge(tx, &$kind, &documents, erasure, now);
                self.engine.write(purge)
            }

            fn hold(&self, hold: Hold) -> Pending<'_, bool> {
                self.engine.write(move |conn| retention::hold(conn, &$kind, &hold))
            }

            fn release_hold(&self, referral_id: ReferralId, code: String) -> Pending<'_, bool> {
                let release =
                    move |tx: &Tx<'_>| retention::release_hold(tx, &$kind, referral_id, &code);
                self.engine.write(release)
            }

            fn close(&self, referral_id: ReferralId, now: Timestamp) -> Pending<'_, bool> {
                self.engine.write(move |conn| retention::close(conn, &$kind, referral_id, now))
            }

            fn holds(&self) -> Pending<'_, Vec<Hold>> {
                self.engine.long_read(retention::holds)
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

pub(super) fn keys(conn: &Connection) -> Result<Vec<KeyId>, StoreFault> {
    let mut find = conn.prepare_cached(KEYS)?;
    let found = find.query_map([], |row| row.get(0).map(KeyId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn keys_in_use(conn: &Connection) -> Result<Vec<KeyUse>, StoreFault> {
    let mut find = conn.prepare_cached("SELECT key_id, count(*) FROM documents GROUP BY key_id")?;
    collect(find.query([])?, |row| {
        Ok(KeyUse { key_id: key_id(row, 0)?, documents: rows::count(row, 1)? })
    })
}

pub(super) fn wrapped_under(
    conn: &Connection,
    kind: &Kind,
    key: KeyId,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<WrappedDocument>, StoreFault> {
    let mut find = conn.prepare_cached(&kind.under())?;
    let after = after.map_or(i64::MIN, |id| id.0);
    collect(find.query(params![key.as_bytes(), after, limit])?, |row| wrapped(kind, row))
}

pub(super) fn wrapped_of(
    conn: &Connection,
    kind: &Kind,
    referral_id: ReferralId,
) -> Result<Vec<WrappedDocument>, StoreFault> {
    let mut find = conn.prepare_cached(&kind.of_referral())?;
    collect(find.query([referral_id.as_bytes()])?, |row| wrapped(kind, row))
}

/// Crash before the commit: the documents lie under their old keys, which still exist; whoever wanted
/// them elsewhere finds them again.
pub(super) fn rewrap(conn: &Connection, changes: &[Rewrap]) -> Result<u64, StoreFault> {
    let mut update = conn.prepare_cached(
        "UPDATE documents SET key_id = ?3, wrapped = ?4 WHERE id = ?1 AND wrapped = ?2",
    )?;
    let mut changed = 0;
    for change in changes {
        let to = change.to.as_bytes();
        changed += update.execute(params![change.id.0, change.from, to, change.wrapped])?;
    }
    Ok(changed as u64)
}

/// Crash before the commit: the rows are still there and still unreadable, and the next pass purges
/// them.
pub(super) fn purge(
    conn: &Connection,
    kind: &Kind,
    documents: &[(DocumentId, Vec<u8>)],
    erasure: Erasure,
    now: Timestamp,
) -> Result<u64, StoreFault> {
    let mut there =
        conn.prepare_cached("SELECT 1 FROM documents WHERE id = ?1 AND wrapped = ?2")?;
    let mut delete = conn.prepare_cached("DELETE FROM documents WHERE id = ?1")?;
    let mut purged = 0;
    for (id, wrapped) in documents {
        if !there.exists(params![id.0, wrapped])? {
            continue;
        }
        if let Some(sql) = kind.end_deliveries {
            conn.prepare_cached(sql)?.execute(params![id.0, now.millis()])?;
        }
        for mark in kind.marks {
            let said = params![id.0, erasure.at.millis(), erasure.why.as_str()];
            conn.prepare_cached(mark)?.execute(said)?;
        }
        purged += delete.execute([id.0])?;
    }
    Ok(purged as u64)
}

pub(super) fn hold(conn: &Connection, kind: &Kind, hold: &Hold) -> Result<bool, StoreFault> {
    if !Hold::is_code(&hold.code) {
        return Err(StoreFault::Misuse);
    }
    if !is_known(conn, kind, hold.referral_id)? {
        return Ok(false);
    }
    conn.prepare_cached(
        "INSERT INTO holds (referral_id, code, placed_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![hold.referral_id.as_bytes(), hold.code, hold.placed_at.millis()])?;
    Ok(true)
}

pub(super) fn release_hold(
    conn: &Connection,
    kind: &Kind,
    id: ReferralId,
    code: &str,
) -> Result<bool, StoreFault> {
    conn.prepare_cached("DELETE FROM holds WHERE referral_id = ?1 AND code = ?2")?
        .execute(params![id.as_bytes(), code])?;
    is_known(conn, kind, id)
}

pub(super) fn close(
    conn: &Connection,
    kind: &Kind,
    id: ReferralId,
    now: Timestamp,
) -> Result<bool, StoreFault> {
    if !is_known(conn, kind, id)? {
        return Ok(false);
    }
    conn.prepare_cached(
        "INSERT INTO closures (referral_id, closed_at) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET closed_at = excluded.closed_at",
    )?
    .execute(params![id.as_bytes(), now.millis()])?;
    Ok(true)
}

pub(super) fn holds(conn: &Connection) -> Result<Vec<Hold>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT referral_id, code, placed_at FROM holds ORDER BY referral_id, code",
    )?;
    collect(find.query([])?, |row| {
        Ok(Hold {
            referral_id: rows::referral_id(row, 0)?,
            code: row.get(1)?,
            placed_at: rows::time(row, 2)?,
        })
    })
}

fn is_known(conn: &Connection, kind: &Kind, id: ReferralId) -> Result<bool, StoreFault> {
    Ok(conn.prepare_cached(kind.known)?.exists([id.as_bytes()])?)
}

fn key_id(row: &Row<'_>, column: usize) -> Result<KeyId, StoreFault> {
    rows::key_id(row, column)?.ok_or(StoreFault::Corrupt)
}

fn wrapped(kind: &Kind, row: &Row<'_>) -> Result<WrappedDocument, StoreFault> {
    Ok(WrappedDocument {
        id: DocumentId(row.get(0)?),
        key_id: key_id(row, 1)?,
        wrapped: row.get(2)?,
        place: Place {
            store: kind.store,
            referral_id: rows::referral_id(row, 3)?,
            version: row.get(4)?,
            purpose: row.get(5)?,
            sha256: rows::digest(row, 6)?,
        },
        accepted_at: rows::time(row, 7)?,
        facts: RetentionFacts {
            unsettled: row.get(8)?,
            closed_at: rows::time_or_none(row, 9)?,
            newest_version_at: rows::time_or_none(row, 10)?,
            holds: row.get(11)?,
        },
    })
}
