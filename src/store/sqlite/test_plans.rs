//! Holds what is done about one thread to a cost that depends on the thread alone: how SQLite goes about each
//! statement, and how many steps of its machine that takes with few and with many referrals stored.

use rusqlite::types::Value;
use rusqlite::{Connection, StatementStatus, params_from_iter};

use super::{deliveries, read, retention, schema, streams, thread};

/// Rows of referrals with two events each, as far as statements look at them.
const FILL: &str = "
    WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
    INSERT INTO ";

const ROWS: [&str; 9] = [
    "referrals (ref, referral_id, sender, head_position, head_digest, wake_at)
     SELECT i, randomblob(16), 'school/900001', 3, randomblob(32), i FROM n",
    "documents (id, key_id, wrapped, body)
     SELECT 3 * i + p, x'0102030405060708', randomblob(60), x'' FROM n,
         (SELECT 0 AS p UNION SELECT 1 UNION SELECT 2)",
    "tokens (id, owner, kind, position, sha256, jws, issuer, x5t, crls, recorded_at)
     SELECT 9 * i + p, i, 'event', NULL, randomblob(32), '', '', randomblob(32), x'', i FROM n,
         (SELECT 0 AS p UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5
          UNION SELECT 6 UNION SELECT 7 UNION SELECT 8)",
    "versions (ref, version, payload_sha256, document, request_type, urgency, authority,
               submission, accepted, recorded_at)
     SELECT i, 1, randomblob(32), 3 * i, 'protection', 1, '202', 9 * i, 9 * i + 1, i FROM n",
    "events (ref, position, sha256, event, recorded, detail_sha256, document)
     SELECT i, 2 + p, (SELECT sha256 FROM tokens WHERE id = 9 * i + 2 + 2 * p), 9 * i + 2 + 2 * p,
            9 * i + 3 + 2 * p, randomblob(32), 3 * i + 1 + p FROM n, (SELECT 0 AS p UNION SELECT 1)",
    "deliveries (id, ref, version, authority, purpose, called_by, urgency, state, recorded_at,
                 settled_at, note, delivered, recorded)
     SELECT 2 * i + p, i, 1, '202', 'accountable', 2 * p, 1, 'delivered', i, i, 9 * i + 6,
            9 * i + 7, 9 * i + 8 FROM n, (SELECT 0 AS p UNION SELECT 1)",
    "reached (ref, position, party, reached_at)
     SELECT i, 2 + p, 'school/900002', i FROM n, (SELECT 0 AS p UNION SELECT 1)",
    "feeds (party, position, token) SELECT 'school/900001', i, 9 * i + 2 FROM n",
    "closures (referral_id, closed_at) SELECT referral_id, 0 FROM referrals
     WHERE ref BETWEEN ?1 AND ?2",
];

#[allow(clippy::disallowed_methods, reason = "a schema is many statements")]
fn store() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    for script in schema::GATEWAY.migrations.iter().copied().flatten() {
        conn.execute_batch(script).unwrap();
    }
    conn
}

fn fill(conn: &Connection, from: i64, to: i64) {
    for rows in ROWS {
        conn.execute(&format!("{FILL}{rows}"), [from, to]).unwrap();
    }
}

fn statements() -> Vec<String> {
    use thread::{
        BEGIN, CLOSE, DELIVER, DUE, EVENT, EVENTS, HOLDER, INSERT, LOOKED_AT, MOVE, REACHED, REOPEN,
    };
    let fixed = [
        read::THREAD,
        read::VERSIONS,
        read::TOKENS,
        read::TOKEN,
        read::DELIVERIES_OF,
        read::DOCUMENTS,
        deliveries::CAUSE,
        deliveries::AGAIN,
        deliveries::WAKE,
        EVENT,
        EVENTS,
        REACHED,
        HOLDER,
        MOVE,
        DUE,
        LOOKED_AT,
        BEGIN,
        INSERT,
        DELIVER,
        CLOSE,
        REOPEN,
        streams::REACH,
    ];
    let fixed = fixed.into_iter().map(str::to_owned);
    fixed.chain(retention::GATEWAY.statements()).collect()
}

/// Steps of SQLite's machine for one statement about the referral in row `owner`, and rows looked at one after
/// the other without an index.
fn steps(conn: &Connection, sql: &str, owner: i64) -> (i32, i32) {
    let of = |column: &str, table: &str| -> Value {
        let sql = format!("SELECT {column} FROM {table} WHERE ref = {owner} LIMIT 1");
        conn.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let id = of("referral_id", "referrals");
    let (r, at) = (Value::Integer(owner), Value::Integer(7));
    let document = of("document", "events");
    let values = if sql == read::DOCUMENTS {
        vec![id, of("detail_sha256", "events")]
    } else if sql == read::TOKEN {
        vec![id, of("sha256", "events")]
    } else if sql == thread::EVENT {
        vec![r, of("sha256", "events")]
    } else if sql == deliveries::CAUSE {
        vec![r, Value::Integer(2)]
    } else if sql == deliveries::AGAIN {
        let token = Value::Blob(vec![1; 16]);
        vec![Value::Integer(2 * owner), at.clone(), token, Value::Text("one".into()), at]
    } else if sql == streams::REACH {
        vec![Value::Text("school/900001".into()), r, at]
    } else if sql == thread::MOVE {
        vec![r, Value::Integer(4), Value::Blob(vec![1; 32]), Value::Null, at]
    } else if sql == thread::DUE {
        vec![Value::Integer(5), Value::Integer(9)]
    } else if sql == thread::LOOKED_AT {
        vec![id, Value::Integer(3), of("head_digest", "referrals"), at.clone(), at]
    } else if sql == deliveries::WAKE {
        vec![r, at]
    } else if sql == thread::CLOSE {
        vec![id, at]
    } else if sql == thread::BEGIN {
        let (new, digest) = (Value::Blob(vec![3; 16]), Value::Blob(vec![1; 32]));
        vec![new, Value::Text("authority/202".into()), Value::Integer(1), digest]
    } else if sql == thread::INSERT {
        let sha256 = || Value::Blob(vec![1; 32]);
        let token = || Value::Integer(9 * owner);
        let none = || Value::Null;
        vec![r, Value::Integer(4), sha256(), token(), token(), none(), none(), none()]
    } else if sql == thread::DELIVER {
        let text = |text: &str| Value::Text(text.into());
        vec![r, text("207"), text("proposed"), Value::Integer(4), at, Value::Integer(9 * owner)]
    } else if sql.starts_with("UPDATE versions") || sql.starts_with("UPDATE events") {
        vec![document, at, Value::Text("retention".into())]
    } else if sql.starts_with("UPDATE deliveries") {
        vec![of("document", "versions"), at]
    } else if sql.contains("d.key_id = ?1") {
        let key = Value::Blob(vec![1, 2, 3, 4, 5, 6, 7, 8]);
        vec![key, document, Value::Integer(5)]
    } else if sql.contains("referral_id = ?1") {
        vec![id]
    } else {
        vec![r]
    };
    let within = conn.unchecked_transaction().unwrap();
    let mut statement = within.prepare(sql).unwrap();
    let mut rows = statement.query(params_from_iter(values)).unwrap();
    while rows.next().unwrap().is_some() {}
    drop(rows);
    (
        statement.get_status(StatementStatus::VmStep),
        statement.get_status(StatementStatus::FullscanStep),
    )
}

#[test]
fn every_step_into_a_thread_goes_by_a_key() {
    let conn = store();
    fill(&conn, 1, 2_000);
    for sql in statements() {
        let mut explained = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Nothing is bound: a plan depends on the text alone.
        let plan = explained.raw_query().mapped(|row| row.get(3));
        let plan: Vec<String> = plan.map(Result::unwrap).collect();
        assert!(!plan.is_empty() || sql.starts_with("INSERT"), "{sql}");
        for step in plan {
            assert!(!step.starts_with("SCAN"), "{sql}: {step}");
            // An index of its own making would be made anew each time.
            assert!(!step.contains("AUTOMATIC"), "{sql}: {step}");
        }
    }
}

#[test]
fn what_a_thread_costs_does_not_depend_on_how_many_there_are() {
    let conn = store();
    fill(&conn, 1, 20);
    let few: Vec<_> = statements().iter().map(|sql| steps(&conn, sql, 10)).collect();
    fill(&conn, 21, 3_000);
    for (sql, few) in statements().iter().zip(few) {
        for owner in [10, 1_500, 2_990] {
            let many = steps(&conn, sql, owner);
            assert_eq!(many.1, 0, "{sql}: rows looked at without an index");
            // The same way through the statement; a page more or less on the way is no step.
            assert_eq!(many.0, few.0, "{sql}: {owner}");
        }
    }
}
