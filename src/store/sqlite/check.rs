//! Re-hashing and cross-checking what lies in a file: what both kinds share, and the authority's.

use rusqlite::{Connection, Row};

use super::rows;
use crate::domain::ids::Digest;
use crate::protocol::hash::sha256;
use crate::store::contract::{CheckReport, Document, StoreFault};
use crate::store::sealing::{Place, StoreKind, Vault};

/// More problems than this are not listed one by one.
const MOST: usize = 1_000;

impl CheckReport {
    /// Notes a problem, unless the list is long already.
    pub(super) fn problem(&mut self, text: impl Into<String>) {
        if self.problems.len() < MOST {
            self.problems.push(text.into());
        }
    }
}

/// Everything about an authority's file.
pub(super) fn check_authority(conn: &Connection, vault: &Vault) -> Result<CheckReport, StoreFault> {
    let snapshot = conn.unchecked_transaction()?;
    let mut report = CheckReport::default();
    check_file(&snapshot, &mut report)?;
    check_tokens(&snapshot, &mut report)?;
    check_tokens_of(&snapshot, &mut report, "pushed")?;
    check_evidence(&snapshot, &mut report)?;
    check_documents(
        &snapshot,
        vault,
        StoreKind::Authority,
        &mut report,
        "SELECT 'dispatch ' || d.entry, d.referral_id, d.version, d.purpose, d.payload_sha256,
                d.erased_at, d.erased_why, b.key_id, b.wrapped, b.body
         FROM dispatches d LEFT JOIN documents b ON b.id = d.document",
    )?;
    report.referrals =
        snapshot.query_row("SELECT count(*) FROM dispatches", [], |row| rows::count(row, 0))?;
    expect_none(
        &snapshot,
        &mut report,
        &[
            (
                "does not have exactly one submission, note and receipt",
                "SELECT 'dispatch ' || d.entry FROM dispatches d WHERE
                   (SELECT count(*) FROM tokens WHERE owner = d.entry
                    AND kind IN ('submission', 'attested')) <> 1
                   OR (SELECT count(*) FROM tokens WHERE owner = d.entry
                       AND kind = 'dispatch_note') <> 1
                   OR (SELECT count(*) FROM tokens WHERE owner = d.entry
                       AND kind = 'delivered') <> 1",
            ),
            (
                "belongs to no dispatch",
                "SELECT 'document ' || id FROM documents
                 WHERE id NOT IN (SELECT document FROM dispatches WHERE document IS NOT NULL)",
            ),
        ],
    )?;
    Ok(report)
}

/// SQLite's own check of pages, indexes and foreign keys.
pub(super) fn check_file(conn: &Connection, report: &mut CheckReport) -> Result<(), StoreFault> {
    let verdict: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        report.problem("the file fails SQLite's integrity check");
    }
    expect_none(
        conn,
        report,
        &[(
            "refers to a row that does not exist",
            "SELECT \"table\" || ' ' || coalesce(rowid, '') FROM pragma_foreign_key_check",
        )],
    )
}

/// Every token hashes to its digest and has its chain and lists.
pub(super) fn check_tokens(conn: &Connection, report: &mut CheckReport) -> Result<(), StoreFault> {
    check_tokens_of(conn, report, "tokens")
}

fn check_tokens_of(
    conn: &Connection,
    report: &mut CheckReport,
    table: &str,
) -> Result<(), StoreFault> {
    let sql = format!("SELECT rowid, sha256, jws, x5t, crls, kind, issuer FROM {table}");
    let mut find = conn.prepare(&sql)?;
    let mut found = find.query([])?;
    while let Some(row) = found.next()? {
        let id: i64 = row.get(0)?;
        report.tokens += 1;
        let jws = row.get_ref(2)?.as_str().map_err(|_| StoreFault::Corrupt)?;
        if sha256(jws.as_bytes()) != rows::digest(row, 1)? {
            report.problem(format!("token {id} does not hash to its digest"));
        }
        if rows::kind(row, 5).is_err() || rows::party(row, 6).is_err() {
            report.problem(format!("token {id} has no known kind or issuer"));
        }
        let x5t = rows::digest(row, 3)?;
        if rows::chain(conn, x5t)?.is_none() {
            report.problem(format!("token {id} has no certificate chain"));
        }
        let crls: Vec<u8> = row.get(4)?;
        for digest in crls.chunks(32).filter_map(Digest::from_slice) {
            if rows::crl(conn, digest)?.is_none() {
                report.problem(format!("token {id} has lost a revocation list"));
            }
        }
    }
    Ok(())
}

/// Every leaf and every list hashes to the digest that it is kept under.
pub(super) fn check_evidence(
    conn: &Connection,
    report: &mut CheckReport,
) -> Result<(), StoreFault> {
    rehash(conn, report, "SELECT 'chain ' || rowid, x5t, der FROM chains WHERE place = 0")?;
    rehash(conn, report, "SELECT 'list ' || rowid, sha256, der FROM crls")
}

/// Every document opens in its place and hashes to the digest that its row states, or is erased.
pub(super) fn check_documents(
    conn: &Connection,
    vault: &Vault,
    store: StoreKind,
    report: &mut CheckReport,
    sql: &str,
) -> Result<(), StoreFault> {
    let mut find = conn.prepare(sql)?;
    let mut found = find.query([])?;
    while let Some(row) = found.next()? {
        let place = Place {
            store,
            referral_id: rows::referral_id(row, 1)?,
            version: row.get(2)?,
            purpose: row.get(3)?,
            sha256: rows::digest(row, 4)?,
        };
        match rows::document(row, 5).and_then(|document| document.open(vault, &place)) {
            Ok(Document::Kept(bytes)) => {
                report.documents += 1;
                if sha256(&bytes) != place.sha256 {
                    report.problem(format!("{} does not hash to its digest", name(row)?));
                }
            }
            Ok(Document::Erased(_)) => report.erased += 1,
            Err(StoreFault::UnknownKey) => report.problem(format!(
                "{} lies under a key that the key ring does not have",
                name(row)?
            )),
            Err(StoreFault::Corrupt) => {
                report.problem(format!("{} does not open: it was altered or moved", name(row)?));
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Runs over (name, digest, bytes).
fn rehash(conn: &Connection, report: &mut CheckReport, sql: &str) -> Result<(), StoreFault> {
    let mut find = conn.prepare(sql)?;
    let mut found = find.query([])?;
    while let Some(row) = found.next()? {
        let bytes = row.get_ref(2)?.as_blob().map_err(|_| StoreFault::Corrupt)?;
        if sha256(bytes) != rows::digest(row, 1)? {
            report.problem(format!("{} does not hash to its digest", name(row)?));
        }
    }
    Ok(())
}

/// Each query names rows that contradict something; there must be none.
pub(super) fn expect_none(
    conn: &Connection,
    report: &mut CheckReport,
    rules: &[(&str, &str)],
) -> Result<(), StoreFault> {
    for (what, sql) in rules {
        let mut find = conn.prepare(sql)?;
        let mut found = find.query([])?;
        while let Some(row) = found.next()? {
            report.problem(format!("{} {what}", name(row)?));
        }
    }
    Ok(())
}

fn name(row: &Row<'_>) -> Result<String, StoreFault> {
    Ok(row.get::<_, Option<String>>(0)?.unwrap_or_default())
}
