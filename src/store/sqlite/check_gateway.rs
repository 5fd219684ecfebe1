//! Cross-checking of everything in a gateway's file.

use rusqlite::Connection;

use super::check::{check_documents, check_evidence, check_file, check_tokens, expect_none};
use super::rows;
use crate::store::contract::{CheckReport, StoreFault};
use crate::store::sealing::{StoreKind, Vault};

/// Each invariant with a query that names the rows that break it.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "has gaps in its versions, or neither one nor an event that began it",
        "SELECT 'referral row ' || r.ref FROM referrals r LEFT JOIN versions v ON v.ref = r.ref
         GROUP BY r.ref HAVING max(v.version) <> count(v.version) OR (count(v.version) = 0) <> EXISTS (
             SELECT 1 FROM events e WHERE e.ref = r.ref AND e.position = 1)",
    ),
    (
        "does not belong to the author of the event that began it, or names no authority",
        "SELECT 'referral row ' || r.ref FROM referrals r
         JOIN events e ON e.ref = r.ref AND e.position = 1 JOIN tokens t ON t.id = e.event
         WHERE e.holder IS NULL OR (t.issuer NOT LIKE '%/' || r.sender
             AND t.issuer NOT LIKE '%/' || r.sender || '/person/%'
             -- Signed for a school without a key of its own.
             AND NOT (t.issuer LIKE '%/gateway/%' AND r.sender LIKE 'school/%'))",
    ),
    (
        "has gaps in its positions, or a head that is not the last one",
        "SELECT 'referral row ' || r.ref FROM referrals r
         LEFT JOIN tokens t ON t.owner = r.ref AND t.position IS NOT NULL
         GROUP BY r.ref
         HAVING count(t.position) <> r.head_position OR count(DISTINCT t.position) <> r.head_position
             OR max(t.position) <> r.head_position OR min(t.position) <> 1",
    ),
    (
        "has a head whose digest is not its token's",
        "SELECT 'referral row ' || r.ref FROM referrals r WHERE NOT EXISTS (
             SELECT 1 FROM tokens t WHERE t.owner = r.ref AND t.position = r.head_position
             AND t.sha256 = r.head_digest AND t.kind IN ('accepted', 'recorded'))",
    ),
    (
        "has a submission or receipt of another kind or referral",
        "SELECT 'version ' || v.version || ' of referral row ' || v.ref FROM versions v
         JOIN tokens s ON s.id = v.submission JOIN tokens a ON a.id = v.accepted
         WHERE s.owner <> v.ref OR a.owner <> v.ref
             OR s.kind NOT IN ('submission', 'attested') OR a.kind <> 'accepted'",
    ),
    (
        "takes a position that its kind has not, or lacks one",
        "SELECT 'token ' || id FROM tokens
         WHERE (position IS NOT NULL) <> (kind IN ('accepted', 'recorded'))",
    ),
    (
        "has a note or receipt of another kind or referral",
        "SELECT 'delivery ' || d.id FROM deliveries d JOIN tokens n ON n.id = d.note
         LEFT JOIN tokens e ON e.id = d.delivered LEFT JOIN tokens r ON r.id = d.recorded
         WHERE n.kind <> 'dispatch_note' OR n.owner <> d.ref
             OR (d.state = 'delivered' AND (e.kind <> 'delivered' OR e.owner <> d.ref
                 OR r.kind <> 'recorded' OR r.owner <> d.ref))",
    ),
    (
        "belongs to no version or event",
        "SELECT 'document ' || id FROM documents
         WHERE id NOT IN (SELECT document FROM versions WHERE document IS NOT NULL
                          UNION ALL SELECT document FROM events WHERE document IS NOT NULL)",
    ),
    (
        "has a token or record of another kind, referral, digest or position",
        "SELECT 'event ' || e.position || ' of referral row ' || e.ref FROM events e
         JOIN tokens s ON s.id = e.event JOIN tokens r ON r.id = e.recorded
         WHERE s.owner <> e.ref OR r.owner <> e.ref OR s.kind <> 'event' OR r.kind <> 'recorded'
             OR s.sha256 <> e.sha256 OR r.position <> e.position",
    ),
    (
        "is in no thread, or twice",
        "SELECT 'token ' || t.id FROM tokens t LEFT JOIN (
             SELECT event AS id FROM events UNION ALL SELECT recorded FROM events
             UNION ALL SELECT recorded FROM deliveries WHERE recorded IS NOT NULL) o ON o.id = t.id
         WHERE t.kind IN ('event', 'recorded') GROUP BY t.id HAVING count(o.id) <> 1",
    ),
    (
        "has another holder than its beginning or its last transfer made",
        "SELECT 'referral row ' || r.ref FROM referrals r WHERE r.holder IS NOT (
             SELECT e.holder FROM events e WHERE e.ref = r.ref AND e.holder IS NOT NULL
             ORDER BY e.position DESC LIMIT 1)",
    ),
    (
        "is called for by an event that is not there",
        "SELECT 'delivery ' || d.id FROM deliveries d WHERE d.called_by > 0 AND NOT EXISTS (
             SELECT 1 FROM events e WHERE e.ref = d.ref AND e.position = d.called_by)",
    ),
    (
        "leaves a gap in the log",
        "SELECT 'log entry ' || max(idx) FROM log HAVING count(*) > 0 AND max(idx) <> count(*) - 1",
    ),
    (
        "has another digest than its token",
        "SELECT 'log entry ' || l.idx FROM log l JOIN tokens t ON t.id = l.token
         WHERE l.sha256 <> t.sha256",
    ),
    (
        "is not exactly once in the log or among the unsequenced",
        "SELECT 'token ' || t.id FROM tokens t LEFT JOIN (
             SELECT token, count(*) AS times FROM
                 (SELECT token FROM log UNION ALL SELECT token FROM unsequenced)
             GROUP BY token) s ON s.token = t.id
         WHERE s.times IS NOT 1",
    ),
    (
        "has a gap",
        "SELECT 'feed of ' || party FROM feeds GROUP BY party HAVING max(position) <> count(*)",
    ),
    (
        "is ahead of its party's feed, or keeps what it need not or may not",
        "SELECT 'stream ' || s.name || ' of ' || s.party FROM streams s
         LEFT JOIN (SELECT party, max(position) AS last FROM feeds GROUP BY party) f
             ON f.party = s.party
         LEFT JOIN (SELECT party, person, name, min(position) AS first, max(position) AS last
                    FROM stream_acks GROUP BY party, person, name) a
             ON a.party = s.party AND a.person = s.person AND a.name = s.name
         WHERE s.done > coalesce(f.last, 0) OR a.last > coalesce(f.last, 0)
             OR a.first <= s.done + 1 OR a.last > s.done + 1000",
    ),
    (
        "is no event that its party's feed has",
        "SELECT 'place ' || x.position || ' of referral row ' || x.ref || ', which ' || x.party ||
             ' is said to have taken,' FROM reached x
         LEFT JOIN events e ON e.ref = x.ref AND e.position = x.position
         WHERE e.event IS NULL OR (x.party, e.event) NOT IN (SELECT party, token FROM feeds)",
    ),
    (
        "comes before an older token of its referral",
        "SELECT 'log entry ' || idx FROM (
             SELECT l.idx, l.token, max(l.token) OVER (PARTITION BY t.owner ORDER BY l.idx) AS newest
             FROM log l JOIN tokens t ON t.id = l.token)
         WHERE token <> newest",
    ),
];

/// Everything about a gateway's file.
pub(super) fn check(conn: &Connection, vault: &Vault) -> Result<CheckReport, StoreFault> {
    let snapshot = conn.unchecked_transaction()?;
    let mut report = CheckReport::default();
    check_file(&snapshot, &mut report)?;
    check_tokens(&snapshot, &mut report)?;
    check_evidence(&snapshot, &mut report)?;
    check_documents(
        &snapshot,
        vault,
        StoreKind::Gateway,
        &mut report,
        "SELECT 'version ' || v.version || ' of referral row ' || v.ref, r.referral_id, v.version,
                '', v.payload_sha256, v.erased_at, v.erased_why, b.key_id, b.wrapped, b.body
         FROM versions v JOIN referrals r ON r.ref = v.ref
         LEFT JOIN documents b ON b.id = v.document",
    )?;
    check_documents(
        &snapshot,
        vault,
        StoreKind::Gateway,
        &mut report,
        "SELECT 'detail of event ' || e.position || ' of referral row ' || e.ref, r.referral_id,
                e.position, 'detail', e.detail_sha256, e.erased_at, e.erased_why, b.key_id,
                b.wrapped, b.body
         FROM events e JOIN referrals r ON r.ref = e.ref
         LEFT JOIN documents b ON b.id = e.document
         WHERE e.detail_sha256 IS NOT NULL",
    )?;
    expect_none(&snapshot, &mut report, INVARIANTS)?;
    (report.referrals, report.log_entries) = snapshot.query_row(
        "SELECT (SELECT count(*) FROM referrals), (SELECT count(*) FROM log)",
        [],
        |row| Ok((rows::count(row, 0)?, rows::count(row, 1)?)),
    )?;
    Ok(report)
}
