//! What is done about one thread costs as much as that thread is long, however many are stored: shown with the
//! plans that PostgreSQL really carried out, and the rows that it looked at. (SQLite's plans are held by unit
//! tests beside its statements: `store::sqlite::plans`.)

mod postgres_support;
mod store_support;

use std::sync::Arc;

use ecaf::domain::retention::{Erasure, ErasureReason};
use ecaf::effects::SystemEntropy;
use ecaf::store::postgres::{Kind, PostgresGateway};
use ecaf::store::*;
use postgres_support::{GATEWAY, Server};
use store_support::*;

/// Referrals of others.
const OTHERS: u32 = 20_000;

/// Two events each and one delivery that is open, as far as statements look at them; numbers behind all
/// that the store draws itself.
const FILL: &str = "
    SET search_path = ecaf;
    INSERT INTO referrals (ref, referral_id, sender, head_position, head_digest)
    SELECT i, uuid_send(gen_random_uuid()), 'school/900001', 3, sha256(i::text::bytea) FROM n;
    INSERT INTO documents (id, key_id, wrapped, body)
    SELECT 3 * i + p, (SELECT key_id FROM documents LIMIT 1), decode(repeat('00', 60), 'hex'), ''
    FROM n, generate_series(0, 2) p;
    INSERT INTO tokens (id, owner, kind, position, sha256, jws, issuer, x5t, crls, recorded_at)
    SELECT 9 * i + p, i, 'event', NULL, sha256((9 * i + p)::text::bytea), '',
           (SELECT issuer FROM tokens LIMIT 1), sha256(''), '', i FROM n, generate_series(0, 8) p;
    INSERT INTO versions (ref, version, payload_sha256, document, request_type, urgency, authority,
                          submission, accepted, recorded_at)
    SELECT i, 1, sha256(i::text::bytea), 3 * i, 'protection', 1, '202', 9 * i, 9 * i + 1, i FROM n;
    INSERT INTO events (ref, position, sha256, event, recorded, detail_sha256, document)
    SELECT i, 2 + p, sha256((9 * i + 2 + 2 * p)::text::bytea), 9 * i + 2 + 2 * p,
           9 * i + 3 + 2 * p, sha256(p::text::bytea), 3 * i + 1 + p FROM n, generate_series(0, 1) p;
    INSERT INTO deliveries (id, ref, version, authority, purpose, called_by, urgency, state,
                            recorded_at, settled_at, note, delivered, recorded)
    SELECT 2 * i, i, 1, '202', 'accountable', 0, 1, 'delivered', i, i, 9 * i + 6, 9 * i + 7,
           9 * i + 8 FROM n;
    INSERT INTO deliveries (id, ref, version, authority, purpose, called_by, urgency, state, due_at,
                            recorded_at, note)
    SELECT 2 * i + 1, i, 1, '203', 'proposed', 2, 1, 'held', 9000000000000, i, 9 * i + 6 FROM n;
    INSERT INTO feeds (party, position, token)
    SELECT 'school/900051', row_number() OVER (ORDER BY id), id FROM tokens WHERE owner >= 1000000;
    INSERT INTO closures (referral_id, closed_at) SELECT referral_id, 0 FROM referrals WHERE ref >= 1000000";

/// Everything that is done about one thread.
async fn all_about(store: &PostgresGateway, n: u64) {
    let a = acceptance(n);
    assert_eq!(store.accept(a.clone()).await, Ok(AcceptOutcome::Committed));
    let mut proposed = proposal(n, "proposed", authority(7), head_of(&a));
    proposed.case = Some(CaseChange::Closed);
    proposed.holder = Some(authority(7));
    assert_eq!(store.append(proposed.clone()).await, Ok(AppendOutcome::Committed));
    let mut disputed = event(n, "disputed", head_after(&proposed));
    disputed.case = Some(CaseChange::Reopened);
    assert_eq!(store.append(disputed.clone()).await, Ok(AppendOutcome::Committed));
    let again = store.append(proposed.clone()).await.unwrap();
    assert!(matches!(again, AppendOutcome::Already(_)));
    let moved = store.append(event(n, "late", head_of(&a))).await;
    assert_eq!(moved, Ok(AppendOutcome::HeadMoved(head_after(&disputed))));
    let notice = opening(n + 50, "notice");
    assert_eq!(store.append(notice.clone()).await, Ok(AppendOutcome::Committed));
    let again = store.append(notice.clone()).await.unwrap();
    assert!(matches!(again, AppendOutcome::Already(_)));
    assert_eq!(store.look_up(&a.sender, notice.referral_id, 1).await, Ok(Seen::Foreign));

    // Another school's feed, as long as all the others' threads together, once they are there.
    let party = school(50);
    let from = if n == 1 { 0 } else { 100_000 };
    let page = store.feed(&party, from, 20).await.unwrap();
    assert_eq!(page.len(), if n == 1 { 0 } else { 20 });
    let id = StreamId { party, person: String::new(), name: StreamName::default() };
    let standing = store.stream(&id).await.unwrap();
    let positions: Vec<_> = (standing.done + 1..=standing.done + 20).collect();
    let taken = positions.clone();
    let acks = StreamAcks { id, positions, taken, errors: Vec::new(), now: NOON };
    assert!(matches!(store.acknowledge(acks).await, Ok(StreamOutcome::Standing(_))));

    let thread = store.thread(a.referral_id).await.unwrap().unwrap();
    assert_eq!((thread.events.len(), thread.deliveries.len()), (2, 2));
    let timeline = store.timeline(a.referral_id).await.unwrap().unwrap();
    assert_eq!(timeline.tokens.len(), 8);
    let detail = disputed.detail.as_ref().unwrap().sha256;
    assert!(store.document(a.referral_id, detail).await.unwrap().unwrap().kept().is_some());
    assert!(store.token(a.referral_id, disputed.event.token.sha256).await.unwrap().is_some());
    let lease = store.lease_deliveries(lease_request(at(60_000), 9)).await.unwrap();
    assert_eq!(lease.iter().filter(|d| d.cause.is_some()).count(), 1);
    for d in lease {
        let head = store.head(d.referral_id).await.unwrap().unwrap();
        let tokens = receipt(&d, head, at(61_000));
        assert_eq!(store.delivered(d.lease, tokens, at(61_000)).await, Ok(Settled::Done));
    }
    assert!(!store.due_referrals(at(200_000), 9).await.unwrap().is_empty());
    let head = store.head(a.referral_id).await.unwrap().unwrap();
    looked_at(store, a.referral_id, head, Some(at(90_000))).await;
    let there = store.wrapped_of(a.referral_id).await.unwrap();
    assert_eq!(there.len(), 3);
    let key = there[0].key_id;
    let page = store.wrapped_under(key, None, 3).await.unwrap();
    assert_eq!(page.len(), 3);
    let erasure = Erasure { at: NOON, why: ErasureReason::Misidentified };
    let there = there.into_iter().map(|d| (d.id, d.wrapped)).collect();
    assert_eq!(store.purge(there, erasure, NOON).await, Ok(3));
}

/// The plans in a piece of the server's log, each with its statement.
fn plans(log: &str) -> Vec<&str> {
    log.split("duration: ").skip(1).filter(|part| part.contains("plan:")).collect()
}

/// Numbers behind `what` in a plan.
fn numbers(plan: &str, what: &str) -> Vec<u64> {
    let behind = plan.split(what).skip(1);
    behind
        .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default())
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// No table is read from end to end, nor an index, and nothing is looked at in vain.
fn assert_small(log: &str) {
    let plans = plans(log);
    assert!(plans.len() >= 40, "{} statements", plans.len());
    for table in [
        "Insert on events",
        "events_by_token",
        "Insert on deliveries",
        "Update on events",
        "feeds_pkey",
        "Insert on reached",
        "reached_pkey",
    ] {
        assert!(log.contains(table), "{table} is not among the plans");
    }
    for plan in plans {
        println!("{plan}");
        // Nor is another process of the server started for it.
        assert!(!plan.contains("Seq Scan") && !plan.contains("Gather"), "{plan}");
        for what in ["Rows Removed by Filter: ", "Rows Removed by Join Filter: "] {
            assert!(numbers(plan, what).into_iter().sum::<u64>() <= 40, "{plan}");
        }
        // Rows of tables; what a function makes, such as numbers drawn ahead, is in none.
        for node in plan.lines().filter(|line| !line.contains("Function Scan")) {
            let Some((_, actual)) = node.split_once("(actual ") else { continue };
            let (rows, loops) = (numbers(actual, "rows="), numbers(actual, "loops="));
            let looked_at = rows.first().unwrap_or(&0) * loops.first().unwrap_or(&0);
            assert!(looked_at <= 64, "{plan}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_costs_the_same_among_many_on_postgresql() {
    let server = tokio::task::block_in_place(Server::start);
    let name = server.database(Kind::Gateway).await;
    let sql = |sql: &str| tokio::task::block_in_place(|| server.sql(&name, sql));
    for setting in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_analyze = on",
        "auto_explain.log_timing = off",
    ] {
        sql(&format!("ALTER DATABASE {name} SET {setting}"));
    }
    let open = async || {
        let settings = server.settings(&name, GATEWAY);
        PostgresGateway::open(&settings, vault(), Arc::new(SystemEntropy::default())).await.unwrap()
    };
    // Plans are made while there is nothing, and kept.
    let early = open().await;
    all_about(&early, 1).await;
    // What is not about this thread: a document of the key that is asked for.
    assert_eq!(early.accept(acceptance(9)).await, Ok(AcceptOutcome::Committed));
    let first = 1_000_000;
    let n = format!(
        "CREATE TEMP TABLE n AS SELECT {first} + i AS i FROM generate_series(1, {OTHERS}) i; {FILL}"
    );
    sql(&n);
    sql("SELECT setval('ecaf.row_numbers', 100000000)");
    let log = |from: usize| tokio::task::block_in_place(|| server.log()).split_off(from);
    let before = log(0).len();
    all_about(&early, 2).await;
    assert_small(&log(before));
    // And plans that are made when there is much.
    sql("ANALYZE");
    let late = open().await;
    let before = log(0).len();
    all_about(&late, 3).await;
    assert_small(&log(before));
}
