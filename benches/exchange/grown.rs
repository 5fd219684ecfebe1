//! A gateway's store with many referrals behind it. A few referrals have gone the whole way through real
//! processes; their rows are multiplied here, each copy under a random id of its own, as a school's would be.
//! Submitting a million of them one by one would take an hour of signing and prove no more.

use std::path::Path;

use rusqlite::Connection;

/// What of a referral's documents is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    Kept,
    /// Erased with their period's key, as most are after years: the tokens stay.
    Erased,
}

/// Multiplies the referrals of the store at `path`, whose gateway has stopped, to about `copies`.
#[allow(clippy::disallowed_methods, reason = "a store that nobody serves")]
pub fn multiply(path: &Path, copies: u64, documents: Documents) -> Result<(), String> {
    let grow = || -> rusqlite::Result<()> {
        let conn = Connection::open(path)?;
        // Nothing of this is measured, and nobody keeps it.
        conn.execute_batch(
            "PRAGMA journal_mode = delete; PRAGMA journal_mode = off; PRAGMA synchronous = off;
             PRAGMA foreign_keys = off; PRAGMA cache_size = -1000000; BEGIN;",
        )?;
        if documents == Documents::Erased {
            conn.execute_batch(
                "UPDATE versions SET document = NULL, erased_at = recorded_at, erased_why = 'retention';
                 DELETE FROM documents;",
            )?;
        }
        // Rows are numbered 1, 2, 3 ..., so that the greatest number is how far copies lie apart.
        let greatest = |table: &str, key: &str| -> rusqlite::Result<i64> {
            conn.query_row(&format!("SELECT coalesce(max({key}), 0) FROM {table}"), [], |r| {
                r.get(0)
            })
        };
        let refs = greatest("referrals", "ref")?;
        let (tokens, documents) = (greatest("tokens", "id")?, greatest("documents", "id")?);
        let copies = copies / u64::try_from(refs).unwrap_or(1).max(1);
        let n = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {copies})"
        );
        for (table, key, columns) in TABLES {
            // The log begins at 0.
            let step = greatest(table, key)? + i64::from(*table == "log");
            let columns = columns
                .replace("STEP", &step.to_string())
                .replace("REFS", &refs.to_string())
                .replace("DOCUMENTS", &documents.to_string())
                .replace("TOKENS", &tokens.to_string());
            conn.execute_batch(&format!(
                "{n} INSERT INTO {table} SELECT {columns} FROM n CROSS JOIN {table} t ORDER BY n.i, t.{key};"
            ))?;
        }
        // Each party's places in its feed.
        conn.execute_batch(&format!(
            "{n}, f AS MATERIALIZED (SELECT party, position, token,
                    (SELECT count(*) FROM feeds s WHERE s.party = o.party) AS length FROM feeds o)
             INSERT INTO feeds SELECT party, position + n.i * length, token + n.i * {tokens}
             FROM f CROSS JOIN n ORDER BY party, n.i, position;
             COMMIT;"
        ))
    };
    grow().map_err(|e| format!("the store does not grow: {e}"))?;
    // Else the gateway's first sync would write all of it.
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(|e| e.to_string())
}

/// Whether every referral of the store has gone its whole way.
#[allow(clippy::disallowed_methods, reason = "a store that nobody serves")]
pub fn settled(path: &Path) -> rusqlite::Result<bool> {
    Connection::open(path)?.query_row(
        "SELECT EXISTS (SELECT 1 FROM deliveries)
                AND NOT EXISTS (SELECT 1 FROM deliveries WHERE state <> 'delivered')
                AND NOT EXISTS (SELECT 1 FROM unsequenced)",
        [],
        |row| row.get(0),
    )
}

/// Tables, what numbers their rows, and a copy's columns: `t` is the row, `n.i` the number of the copy.
const TABLES: &[(&str, &str, &str)] = &[
    ("referrals", "ref", "t.ref + n.i * REFS, randomblob(16), t.sender, t.head_position, t.head_digest"),
    (
        "tokens",
        "id",
        "t.id + n.i * STEP, t.owner + n.i * REFS, t.kind, t.position, t.sha256, t.jws, t.issuer, t.x5t, t.crls,
         t.recorded_at",
    ),
    ("documents", "id", "t.id + n.i * DOCUMENTS, t.key_id, t.wrapped, t.body"),
    (
        "versions",
        "ref",
        "t.ref + n.i * REFS, t.version, t.payload_sha256, t.document + n.i * DOCUMENTS, t.request_type, t.urgency, t.authority,
         t.submission + n.i * TOKENS, t.accepted + n.i * TOKENS, t.recorded_at, t.erased_at, t.erased_why",
    ),
    (
        "deliveries",
        "id",
        "t.id + n.i * STEP, t.ref + n.i * REFS, t.version, t.authority, t.purpose, t.urgency, t.state, t.due_at,
         t.attempts, t.lease_token, t.lease_holder, t.first_tried_at, t.reason, t.recorded_at, t.settled_at,
         t.note + n.i * TOKENS, t.delivered + n.i * TOKENS, t.recorded + n.i * TOKENS",
    ),
    ("log", "idx", "t.idx + n.i * STEP, t.token + n.i * TOKENS, t.sha256"),
];
