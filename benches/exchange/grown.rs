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
             PRAGMA foreign_keys = off; PRAGMA cache_size = -1000000;
             PRAGMA temp_store = memory; BEGIN;",
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
        for (table, key) in TABLES {
            // The log begins at 0.
            let step = greatest(table, key)? + i64::from(*table == "log");
            let columns: Vec<String> = conn
                .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?
                .query_map([], |row| row.get::<_, String>(0))?
                .map(|name| Ok(copied(key, &name?, step, [refs, documents, tokens])))
                .collect::<rusqlite::Result<_>>()?;
            let columns = columns.join(", ");
            // From a copy, and in the order in which loops give it: else all of it would lie on the disk
            // once more before it is inserted.
            conn.execute_batch(&format!(
                "CREATE TEMP TABLE few AS SELECT * FROM {table} ORDER BY {key};
                 {n} INSERT INTO {table} SELECT {columns} FROM n CROSS JOIN few t;
                 DROP TABLE few;"
            ))?;
        }
        // Each party's places in its feed.
        conn.execute_batch(&format!(
            "CREATE TEMP TABLE few AS SELECT * FROM feeds ORDER BY party, position;
             CREATE TEMP TABLE parties AS SELECT party, count(*) AS length FROM feeds GROUP BY party;
             {n} INSERT INTO feeds SELECT p.party, t.position + n.i * p.length, t.token + n.i * {tokens}
             FROM parties p CROSS JOIN n CROSS JOIN few t WHERE t.party = p.party;
             COMMIT;"
        ))?;
        // The one index that is read at random was written first. A gateway that serves has it in memory
        // soon, and rounds of some seconds would measure little but how it gets there.
        conn.query_row("SELECT count(referral_id) FROM referrals", [], |_| Ok(()))
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

/// Tables, and what numbers their rows.
const TABLES: &[(&str, &str)] = &[
    ("referrals", "ref"),
    ("tokens", "id"),
    ("documents", "id"),
    ("versions", "ref"),
    ("deliveries", "id"),
    ("log", "idx"),
];

/// A column of a copy: `t` is the row, `n.i` the number of the copy. Rows are `step` apart, and what they
/// refer to as far as there are `refs`, `documents` and `tokens`.
fn copied(key: &str, name: &str, step: i64, [refs, documents, tokens]: [i64; 3]) -> String {
    match name {
        "ref" | "owner" => format!("t.{name} + n.i * {refs}"),
        "document" => format!("t.{name} + n.i * {documents}"),
        "submission" | "accepted" | "note" | "delivered" | "recorded" | "token" => {
            format!("t.{name} + n.i * {tokens}")
        }
        "referral_id" => "randomblob(16)".to_owned(),
        // Nothing more will be due: the case is closed.
        "wake_at" => "NULL".to_owned(),
        _ if name == key => format!("t.{name} + n.i * {step}"),
        _ => format!("t.{name}"),
    }
}
