//! Re-hashing and cross-checking what lies in a database: what both kinds share, and the authority's.

use std::collections::HashSet;

use super::faults::Trouble;
use super::rows::{self, get};
use super::session::Session;
use crate::domain::ids::Digest;
use crate::protocol::hash::sha256;
use crate::store::contract::{CheckReport, Document, StoreFault};
use crate::store::sealing::{Place, StoreKind, Vault};

/// More problems than this are not listed one by one.
const MOST: usize = 1_000;
/// Rows of one look: so much memory, whatever the database holds.
const PAGE: i64 = 1_000;

/// What is checked in one kind of store, beside tokens, chains and lists.
pub(super) struct Checks {
    /// Counts of referrals (or dispatches) and of log entries.
    pub counts: &'static str,
    /// Whose documents they are.
    pub store: StoreKind,
    /// Pages of documents, for each table that has them: two numbers that order them (after `$1`, `$2`), a name, the place, what
    /// [`rows::document`] reads.
    pub documents: &'static [&'static str],
    /// Each invariant with a query that names the rows that break it.
    pub invariants: &'static [(&'static str, &'static str)],
}

/// What holds for both kinds.
const SHARED: &[(&str, &str)] = &[(
    "are behind the rows that have them",
    "SELECT 'row numbers' WHERE (SELECT last_value FROM row_numbers) < greatest(
         (SELECT max(id) FROM tokens), (SELECT max(id) FROM documents))",
)];

/// An authority's store.
pub(super) const AUTHORITY: &Checks = &Checks {
    counts: "SELECT (SELECT count(*) FROM dispatches), 0::bigint",
    store: StoreKind::Authority,
    documents: &["SELECT d.entry, 0::bigint, 'dispatch ' || d.entry, d.referral_id, d.version,
            d.purpose, d.payload_sha256, d.erased_at, d.erased_why, b.key_id, b.wrapped, b.body
        FROM dispatches d LEFT JOIN documents b ON b.id = d.document
        WHERE (d.entry, 0::bigint) > ($1, $2) ORDER BY d.entry LIMIT $3"],
    invariants: &[
        (
            "does not have exactly one submission, note and receipt",
            "SELECT 'dispatch ' || d.entry FROM dispatches d LEFT JOIN tokens t ON t.owner = d.entry
             GROUP BY d.entry HAVING
               count(*) FILTER (WHERE t.kind IN ('submission', 'attested')) <> 1
               OR count(*) FILTER (WHERE t.kind = 'dispatch_note') <> 1
               OR count(*) FILTER (WHERE t.kind = 'delivered') <> 1",
        ),
        (
            "belongs to no dispatch",
            "SELECT 'document ' || id FROM documents b
             WHERE NOT EXISTS (SELECT FROM dispatches d WHERE d.document = b.id)",
        ),
        (
            "does not hash to its digest",
            "SELECT 'pushed ' || encode(p.sha256, 'hex') FROM pushed p
             WHERE p.sha256 <> sha256(convert_to(p.jws, 'UTF8'))",
        ),
        (
            "has no certificate chain",
            "SELECT 'pushed ' || encode(p.sha256, 'hex') FROM pushed p
             WHERE NOT EXISTS (SELECT FROM chains c WHERE c.x5t = p.x5t AND c.place = 0)",
        ),
        (
            "belongs to no dispatch",
            "SELECT 'token ' || id FROM tokens t
             WHERE NOT EXISTS (SELECT FROM dispatches d WHERE d.entry = t.owner)",
        ),
    ],
};

/// Everything, in one state of the database.
pub(super) async fn run(
    session: &Session,
    checks: &Checks,
    vault: &Vault,
) -> Result<CheckReport, Trouble> {
    session.begin_snapshot().await?;
    // Whole tables are read here: not what the settings for serving are made for.
    session
        .run(
            "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on;
             SET LOCAL enable_mergejoin = on;
             SET LOCAL max_parallel_workers_per_gather = DEFAULT; SET LOCAL plan_cache_mode = force_custom_plan",
        )
        .await?;
    let mut report = CheckReport::default();
    let evidence = check_evidence(session, &mut report).await?;
    check_tokens(session, &evidence, &mut report).await?;
    for pages in checks.documents {
        check_documents(session, pages, checks.store, vault, &mut report).await?;
    }
    for (what, sql) in SHARED.iter().chain(checks.invariants) {
        for row in session.query(sql, &[]).await? {
            let name: String = get(&row, 0)?;
            note(&mut report, format!("{name} {what}"));
        }
    }
    let row = session.one(checks.counts, &[]).await?;
    (report.referrals, report.log_entries) = (rows::count(&row, 0)?, rows::count(&row, 1)?);
    session.roll_back().await?;
    Ok(report)
}

/// Notes a problem, unless the list is long already.
fn note(report: &mut CheckReport, text: String) {
    if report.problems.len() < MOST {
        report.problems.push(text);
    }
}

/// Every leaf and every list hashes to the digest that it is kept under; gives those digests.
async fn check_evidence(
    session: &Session,
    report: &mut CheckReport,
) -> Result<HashSet<Digest>, Trouble> {
    let mut known = HashSet::new();
    for (name, page) in [
        ("chain", "SELECT x5t, der FROM chains WHERE place = 0 AND x5t > $1 ORDER BY x5t LIMIT $2"),
        ("list", "SELECT sha256, der FROM crls WHERE sha256 > $1 ORDER BY sha256 LIMIT $2"),
    ] {
        let mut last: Vec<u8> = Vec::new();
        loop {
            // Lists can be large: few at a time.
            let found = session.query(page, &[&last, &16i64]).await?;
            let Some(row) = found.last() else { break };
            last = get(row, 0)?;
            for row in &found {
                let digest = rows::digest(row, 0)?;
                if sha256(get(row, 1)?) != digest {
                    note(report, format!("{name} {digest} does not hash to its digest"));
                }
                known.insert(digest);
            }
        }
    }
    Ok(known)
}

/// Every token hashes to its digest and has its chain and lists.
async fn check_tokens(
    session: &Session,
    evidence: &HashSet<Digest>,
    report: &mut CheckReport,
) -> Result<(), Trouble> {
    const TOKENS: &str = "SELECT id, sha256, jws, x5t, crls, kind, issuer FROM tokens
        WHERE id > $1 ORDER BY id LIMIT $2";
    let mut last = i64::MIN;
    loop {
        let page = session.query(TOKENS, &[&last, &PAGE]).await?;
        let Some(row) = page.last() else { return Ok(()) };
        last = get(row, 0)?;
        for row in &page {
            let id: i64 = get(row, 0)?;
            report.tokens += 1;
            if sha256(get::<&str>(row, 2)?.as_bytes()) != rows::digest(row, 1)? {
                note(report, format!("token {id} does not hash to its digest"));
            }
            if rows::kind(row, 5).is_err() || rows::party(row, 6).is_err() {
                note(report, format!("token {id} has no known kind or issuer"));
            }
            if !evidence.contains(&rows::digest(row, 3)?) {
                note(report, format!("token {id} has no certificate chain"));
            }
            let crls: &[u8] = get(row, 4)?;
            let lost = |digest| !evidence.contains(&digest);
            if crls.chunks(32).filter_map(Digest::from_slice).any(lost) {
                note(report, format!("token {id} has lost a revocation list"));
            }
        }
    }
}

/// Every document opens in its place and hashes to the digest that its row states, or is erased.
async fn check_documents(
    session: &Session,
    pages: &str,
    store: StoreKind,
    vault: &Vault,
    report: &mut CheckReport,
) -> Result<(), Trouble> {
    let mut last = (i64::MIN, i64::MIN);
    loop {
        // Documents can be large: few at a time.
        let found = session.query(pages, &[&last.0, &last.1, &(PAGE / 10)]).await?;
        let Some(row) = found.last() else { return Ok(()) };
        last = (get(row, 0)?, get(row, 1)?);
        for row in &found {
            let place = Place {
                store,
                referral_id: rows::referral_id(row, 3)?,
                version: rows::small_count(row, 4)?,
                purpose: get(row, 5)?,
                sha256: rows::digest(row, 6)?,
            };
            let name: String = get(row, 2)?;
            match rows::document(row, 7).and_then(|document| document.open(vault, &place)) {
                Ok(Document::Kept(bytes)) => {
                    report.documents += 1;
                    if sha256(&bytes) != place.sha256 {
                        note(report, format!("{name} does not hash to its digest"));
                    }
                }
                Ok(Document::Erased(_)) => report.erased += 1,
                Err(StoreFault::UnknownKey) => {
                    let what = "lies under a key that the key ring does not have";
                    note(report, format!("{name} {what}"));
                }
                Err(StoreFault::Corrupt) => {
                    note(report, format!("{name} does not open: it was altered, moved or lost"));
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}
