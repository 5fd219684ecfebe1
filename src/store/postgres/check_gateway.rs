//! Cross-checking of everything in a gateway's database.

use super::check::Checks;
use crate::store::sealing::StoreKind;

/// A gateway's store.
pub(super) const CHECKS: &Checks = &Checks {
    counts: "SELECT (SELECT count(*) FROM referrals), (SELECT count(*) FROM log)",
    store: StoreKind::Gateway,
    documents: &[
        "SELECT v.ref, v.version::bigint,
            'version ' || v.version || ' of referral row ' || v.ref, r.referral_id, v.version, '',
            v.payload_sha256, v.erased_at, v.erased_why, b.key_id, b.wrapped, b.body
        FROM versions v JOIN referrals r ON r.ref = v.ref
        LEFT JOIN documents b ON b.id = v.document
        WHERE (v.ref, v.version) > ($1::bigint, $2::bigint) ORDER BY v.ref, v.version LIMIT $3",
        "SELECT e.ref, e.position::bigint,
            'detail of event ' || e.position || ' of referral row ' || e.ref, r.referral_id,
            e.position, 'detail', e.detail_sha256, e.erased_at, e.erased_why, b.key_id, b.wrapped,
            b.body
        FROM events e JOIN referrals r ON r.ref = e.ref
        LEFT JOIN documents b ON b.id = e.document
        WHERE e.detail_sha256 IS NOT NULL
            AND (e.ref, e.position) > ($1::bigint, $2::bigint)
        ORDER BY e.ref, e.position LIMIT $3",
    ],
    invariants: INVARIANTS,
};

const INVARIANTS: &[(&str, &str)] = &[
    (
        "has gaps in its versions, or neither one nor an event that began it",
        "SELECT 'referral row ' || r.ref FROM referrals r LEFT JOIN versions v ON v.ref = r.ref
         GROUP BY r.ref HAVING max(v.version) <> count(v.version) OR (count(v.version) = 0) <> EXISTS (
             SELECT FROM events e WHERE e.ref = r.ref AND e.position = 1)",
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
             SELECT FROM tokens t WHERE t.owner = r.ref AND t.position = r.head_position
             AND t.sha256 = r.head_digest AND t.kind IN ('accepted', 'recorded'))",
    ),
    (
        "has a submission or receipt of another kind or referral, or none",
        "SELECT 'version ' || v.version || ' of referral row ' || v.ref FROM versions v
         LEFT JOIN tokens s ON s.id = v.submission LEFT JOIN tokens a ON a.id = v.accepted
         WHERE s.owner IS DISTINCT FROM v.ref OR a.owner IS DISTINCT FROM v.ref
             OR s.kind NOT IN ('submission', 'attested') OR a.kind <> 'accepted'",
    ),
    (
        "takes a position that its kind has not, or lacks one",
        "SELECT 'token ' || id FROM tokens
         WHERE (position IS NOT NULL) <> (kind IN ('accepted', 'recorded'))",
    ),
    (
        "has a note or receipt of another kind or referral, or none",
        "SELECT 'delivery ' || d.id FROM deliveries d LEFT JOIN tokens n ON n.id = d.note
         LEFT JOIN tokens e ON e.id = d.delivered LEFT JOIN tokens r ON r.id = d.recorded
         WHERE n.kind IS DISTINCT FROM 'dispatch_note' OR n.owner <> d.ref
             OR (d.state = 'delivered' AND (e.kind IS DISTINCT FROM 'delivered' OR e.owner <> d.ref
                 OR r.kind IS DISTINCT FROM 'recorded' OR r.owner <> d.ref))",
    ),
    (
        "belongs to no version or event",
        "SELECT 'document ' || id FROM documents b
         WHERE NOT EXISTS (SELECT FROM versions v WHERE v.document = b.id)
             AND NOT EXISTS (SELECT FROM events e WHERE e.document = b.id)",
    ),
    (
        "belongs to no referral",
        "SELECT 'event ' || e.position || ' of referral row ' || e.ref FROM events e
         WHERE NOT EXISTS (SELECT FROM referrals r WHERE r.ref = e.ref)",
    ),
    (
        "has a token or record of another kind, referral, digest or position, or none",
        "SELECT 'event ' || e.position || ' of referral row ' || e.ref FROM events e
         LEFT JOIN tokens s ON s.id = e.event LEFT JOIN tokens r ON r.id = e.recorded
         WHERE s.owner IS DISTINCT FROM e.ref OR r.owner IS DISTINCT FROM e.ref
             OR s.kind <> 'event' OR r.kind <> 'recorded'
             OR s.sha256 <> e.sha256 OR r.position IS DISTINCT FROM e.position",
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
        "SELECT 'referral row ' || r.ref FROM referrals r LEFT JOIN (
             SELECT DISTINCT ON (ref) ref, holder FROM events WHERE holder IS NOT NULL
             ORDER BY ref, position DESC) e ON e.ref = r.ref
         WHERE r.holder IS DISTINCT FROM e.holder",
    ),
    (
        "is called for by an event that is not there",
        "SELECT 'delivery ' || d.id FROM deliveries d WHERE d.called_by > 0 AND NOT EXISTS (
             SELECT FROM events e WHERE e.ref = d.ref AND e.position = d.called_by)",
    ),
    (
        "belongs to no referral",
        "SELECT 'token ' || id FROM tokens t
         WHERE NOT EXISTS (SELECT FROM referrals r WHERE r.ref = t.owner)",
    ),
    (
        "belongs to no referral",
        "SELECT 'version ' || v.version || ' of referral row ' || v.ref FROM versions v
         WHERE NOT EXISTS (SELECT FROM referrals r WHERE r.ref = v.ref)",
    ),
    (
        "belongs to no version",
        "SELECT 'delivery ' || d.id FROM deliveries d
         WHERE NOT EXISTS (SELECT FROM versions v WHERE v.ref = d.ref AND v.version = d.version)",
    ),
    (
        "leaves a gap in the log",
        "SELECT 'log entry ' || max(idx) FROM log HAVING count(*) > 0 AND max(idx) <> count(*) - 1",
    ),
    (
        "has another digest than its token, or none",
        "SELECT 'log entry ' || l.idx FROM log l LEFT JOIN tokens t ON t.id = l.token
         WHERE l.sha256 IS DISTINCT FROM t.sha256",
    ),
    (
        "is not exactly once in the log or among the unsequenced",
        "SELECT 'token ' || coalesce(t.id, s.token) FROM tokens t FULL JOIN (
             SELECT token, count(*) AS times FROM
                 (SELECT token FROM log UNION ALL SELECT token FROM unsequenced) both_places
             GROUP BY token) s ON s.token = t.id
         WHERE s.times IS DISTINCT FROM 1 OR t.id IS NULL",
    ),
    (
        "has a gap",
        "SELECT 'feed of ' || party FROM feeds GROUP BY party HAVING max(position) <> count(*)",
    ),
    (
        "shows a token that is not in the log",
        "SELECT 'feed of ' || party FROM feeds f
         WHERE NOT EXISTS (SELECT FROM log l WHERE l.token = f.token)",
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
        "belongs to no stream, or to no place of the feed",
        "SELECT 'acknowledgement of ' || party FROM (
             SELECT party, person, name, position FROM stream_acks
             UNION ALL SELECT party, person, name, position FROM stream_errors) a
         WHERE NOT EXISTS (SELECT FROM streams s WHERE s.party = a.party AND s.person = a.person
                           AND s.name = a.name)
             OR NOT EXISTS (SELECT FROM feeds f WHERE f.party = a.party
                            AND f.position = a.position)",
    ),
    (
        "is no event that its party's feed has",
        "SELECT 'place ' || x.position || ' of referral row ' || x.ref || ', which ' || x.party ||
             ' is said to have taken,' FROM reached x
         LEFT JOIN events e ON e.ref = x.ref AND e.position = x.position
         WHERE NOT EXISTS (SELECT FROM feeds f WHERE f.party = x.party AND f.token = e.event)",
    ),
    (
        "comes before an older token of its referral",
        "SELECT 'log entry ' || idx FROM (
             SELECT l.idx, l.token, max(l.token) OVER (PARTITION BY t.owner ORDER BY l.idx) AS newest
             FROM log l JOIN tokens t ON t.id = l.token) placed
         WHERE token <> newest",
    ),
];
