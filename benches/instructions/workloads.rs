//! What is counted.

use std::hint::black_box;

use ecaf::domain::time::Date;
use ecaf::effects::SystemEntropy;
use ecaf::http::Handler;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::message::TOKEN;
use ecaf::protocol::routing_data::RoutingTables;
use ecaf::protocol::tokens::{SUBMISSION_TYPE, Submission};
use ecaf::protocol::trust::Purpose;
use ecaf::protocol::{json, schema};
use ecaf::store::sqlite::{Settings, SqliteAuthority, SqliteGateway};
use ecaf::store::*;
use http::StatusCode;
use std::sync::Arc;

use super::scene::Scene;
use super::store_support::{acceptance, at, dispatch, lease_request, receipt, vault};
use super::work::{DOCUMENT, Work};

/// One kind of work.
pub struct Workload {
    pub name: &'static str,
    pub what: &'static str,
    /// How often in a short and in a long run.
    pub times: (usize, usize),
    /// Prepares for the first number, does the second.
    pub run: fn(usize, usize),
}

impl Workload {
    /// How often it can be done at most.
    pub fn most(&self) -> usize {
        self.times.1
    }
}

const fn workload(
    name: &'static str,
    what: &'static str,
    times: (usize, usize),
    run: fn(usize, usize),
) -> Workload {
    Workload { name, what, times, run }
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    workload("accept", "a submission from request to receipt, stored", (20, 120), accept),
    workload("parse", "strict JSON of 6 KB", (10, 510), parse),
    workload("check", "schema, references, advice of a referral", (10, 510), check),
    workload("verify", "a submission token, its chain known", (5, 105), verify),
    workload("sign", "a statement of the gateway", (5, 105), sign),
    workload("hash", "SHA-256 of 6 KB", (10, 210), hash),
    workload("postcode", "a postcode look-up", (1_000, 21_000), postcode),
    workload("store", "an acceptance into SQLite, a commit each", (20, 220), store),
    workload("life", "accept, lease, settle and sequence, 20 a turn", (40, 200), life),
    workload("receive", "a dispatch into the authority's store", (20, 220), receive),
];

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

fn accept(prepare: usize, times: usize) {
    block_on(async {
        let scene = Scene::open().await.expect("a scene");
        let work = Work::prepare(&scene.sender, prepare).expect("submissions");
        for _ in 0..times {
            let request = scene.request(&work).expect("enough were prepared");
            let response = scene.api.handle(request).await;
            assert_eq!(response.status, StatusCode::CREATED);
        }
    });
}

fn parse(_: usize, times: usize) {
    for _ in 0..times {
        let read = json::read(black_box(DOCUMENT), DOCUMENT.len());
        assert!(black_box(read).is_ok());
    }
}

fn check(_: usize, times: usize) {
    let today = Date::new(2026, 11, 25).expect("a day");
    let document = json::read(DOCUMENT, DOCUMENT.len()).expect("valid");
    for _ in 0..times {
        assert!(black_box(schema::check_read(black_box(document.root()), today)).is_ok());
    }
}

fn verify(_: usize, times: usize) {
    block_on(async {
        let scene = Scene::open().await.expect("a scene");
        let work = Work::prepare(&scene.sender, 1).expect("submissions");
        let request = scene.request(&work).expect("one was prepared");
        let text = request.headers[TOKEN].to_str().expect("text");
        let (exchange, now) = (&scene.exchange, scene.exchange.now());
        let identity = scene.sender.signing.as_ref().expect("it signs");
        let trust = exchange.trust.store();
        for _ in 0..times {
            let chain = exchange.cache.verify(&trust, identity.chain(), Purpose::Signing, now);
            let chain = chain.expect("a good chain");
            let token = Unverified::parse(black_box(text)).expect("well formed");
            let token = token.verify(SUBMISSION_TYPE, &chain).expect("a good signature");
            let claims = Submission::read(&token, &chain.party().trust_domain);
            black_box(claims.expect("a submission"));
        }
    });
}

fn sign(_: usize, times: usize) {
    block_on(async {
        let scene = Scene::open().await.expect("a scene");
        let identity = scene.exchange.signing.load_full();
        for n in 0..times {
            let claims = vec![[n as u8; 32]; 8];
            let signed = ecaf::protocol::jws::sign(
                identity.signer(),
                "probe",
                identity.x5t(),
                black_box(&claims),
            );
            black_box(signed.expect("signed"));
        }
    });
}

fn hash(_: usize, times: usize) {
    for _ in 0..times {
        black_box(sha256(black_box(DOCUMENT)));
    }
}

fn postcode(_: usize, times: usize) {
    let tables = RoutingTables::embedded().expect("tables");
    let today = Date::new(2026, 11, 25).expect("a day");
    let asked = ["E8 1EA", "N17 6NP", "E13 0JN", "SW1A 1AA"];
    for n in 0..times {
        black_box(tables.answer(black_box(asked[n % asked.len()]), today));
    }
}

fn gateway(folder: &tempfile::TempDir) -> Arc<dyn GatewayStore> {
    let settings = Settings::owner(folder.path().join("gateway.db")).or_create();
    let entropy = Arc::new(SystemEntropy::default());
    Arc::new(SqliteGateway::open(&settings, vault(), entropy).expect("a store"))
}

fn store(prepare: usize, times: usize) {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let store = gateway(&folder);
        let made: Vec<Acceptance> = (0..prepare as u64).map(acceptance).collect();
        for acceptance in made.into_iter().take(times) {
            assert_eq!(store.accept(acceptance).await, Ok(AcceptOutcome::Committed));
        }
    });
}

fn life(prepare: usize, times: usize) {
    const TURN: usize = 20;
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let store = gateway(&folder);
        let made: Vec<Acceptance> = (0..prepare as u64).map(acceptance).collect();
        let fence = store.acquire("sequencer", "a".into(), at(0), 1_000_000).await;
        let fence = fence.expect("a right").expect("free");
        for turn in made[..times].chunks(TURN) {
            let accepting = turn.iter().map(|a| store.accept(a.clone()));
            for outcome in futures_util::future::join_all(accepting).await {
                assert_eq!(outcome, Ok(AcceptOutcome::Committed));
            }
            let now = at(1_000_000 - 40_000);
            let leased = store.lease_deliveries(lease_request(now, TURN as u32)).await;
            let leased = leased.expect("leases");
            assert_eq!(leased.len(), turn.len());
            let settling =
                leased.iter().map(|d| store.delivered(d.lease, receipt(d, d.head, now), now));
            for settled in futures_util::future::join_all(settling).await {
                assert_eq!(settled, Ok(Settled::Done));
            }
            store.sequence(&fence, 512, at(0)).await.expect("sequenced");
        }
    });
}

fn receive(prepare: usize, times: usize) {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings::owner(folder.path().join("authority.db")).or_create();
        let store = SqliteAuthority::open(&settings, vault()).expect("a store");
        let store: Arc<dyn AuthorityStore> = Arc::new(store);
        let made: Vec<Dispatch> =
            (0..prepare as u64).map(|n| dispatch(n, &format!("NEW-2026-{n:06}"))).collect();
        for dispatch in made.into_iter().take(times) {
            assert_eq!(store.receive(dispatch).await, Ok(ReceiveOutcome::Stored));
        }
    });
}
