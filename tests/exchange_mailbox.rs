//! The mailbox: an authority that opens no endpoint collects what is for it, under a lease, with the same
//! receipts as one that is brought its referrals. Real sockets, certificates and stores; in most stories
//! only the clock is the test's.
//!
//! `ECAF_TEST_KILLS` sets how many times the collecting process is killed, 10 otherwise.

mod exchange_support;
mod fault_lines;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ecaf::authority::answer;
use ecaf::authority::collect::{Collected, Collector, NotCollected};
use ecaf::cli::sandbox::AUTHORITIES;
use ecaf::domain::case::EventKind;
use ecaf::domain::delivery::State;
use ecaf::domain::time::{MINUTE, SECOND};
use ecaf::effects::{Clock, SystemClock};
use ecaf::http::Line;
use ecaf::party::look::look;
use ecaf::party::say::{Saying, say};
use ecaf::protocol::mailbox::{CLAIM, Claimed, ClaimedDispatch, DELIVERED, REFUSED};
use ecaf::store::{AuthorityStore, DeliveryFilter};
use exchange_support::inside::{self, authority_caller};
use exchange_support::stage::{A_PERSON, LEA_BRIDGE, MARSH_LANE, Stage, text};
use exchange_support::{
    Arrived, HACKNEY, HARINGEY, NEWHAM, Proof, RESTLESS, Scene, Sent, eventually, json_fields,
    killing,
};
use fault_lines::{Line as FaultLine, held};
use serde_json::{Value, json};

const NOON: &str = "2026-11-23T12:00:00Z";
const ONE: Collected = Collected { stored: 1, again: 0, not_taken: 0, left: 0 };

/// A scheme in which Haringey collects.
struct Mailbox {
    stage: Stage,
    collector: Collector,
}

impl Mailbox {
    async fn open() -> Self {
        let stage = Stage::at(NOON.parse().unwrap()).await;
        stage.turns(2, &[HARINGEY]);
        let collector = inside::collector(&stage.scene, HARINGEY, &stage.clock).await;
        Self { stage, collector }
    }

    async fn sent(&mut self) -> Sent {
        let document = self.stage.stream.document(MARSH_LANE, HARINGEY);
        self.stage.accepted(document).await
    }

    async fn caller(&self, index: usize) -> Box<dyn Line> {
        authority_caller(&self.stage.scene, index, &self.stage.clock).await
    }

    /// The receipt of the collecting authority for a dispatch, stored.
    async fn receipt(&self, dispatch: &ClaimedDispatch) -> Value {
        let receipt = answer::collect(&self.collector.station, dispatch, &self.collector.gateway);
        let receipt = receipt.await.unwrap_or_else(|trouble| panic!("{trouble:?}"));
        json!({"lease": dispatch.lease, "delivered": receipt.delivered,
               "certificates": receipt.certificates})
    }

    /// What was sent lies here once, whole, and the evidence at the gateway proves it.
    async fn proved(&self, sent: &[&Sent]) {
        let store: Arc<dyn AuthorityStore> = Arc::clone(&self.collector.station.store);
        let arrived = Arrived::of_places(vec![(HARINGEY, store)]).await;
        assert_eq!(arrived.counts(), (sent.len(), sent.len()));
        let gateway = &self.stage.gateway.exchange.store;
        let proof = Proof::of(&self.stage.schools[MARSH_LANE]);
        for one in sent {
            arrived.once(&one.document);
            proof.evidence(&**gateway, one).await;
            let rows = gateway.timeline(one.document.id).await.unwrap().unwrap().deliveries;
            assert!(rows.iter().all(|row| row.state == State::Delivered), "{rows:?}");
        }
        let report = gateway.check().await.unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
    }
}

trait Turns {
    /// The directory says from now on that these authorities collect, and no others.
    fn turns(&self, version: u64, collect: &[usize]);
}

impl Turns for Stage {
    fn turns(&self, version: u64, collect: &[usize]) {
        self.scene.sign_pull(version, collect, self.clock.now());
        self.gateway.look_at_directory(&self.scene);
    }
}

async fn post(line: &dyn Line, path: &str, body: &Value) -> (u16, Value) {
    let body = Bytes::from(body.to_string());
    let answer = line.post(path, json_fields(), body).await.unwrap();
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
}

/// The status and the rule of a refusal.
async fn refusal(line: &dyn Line, path: &str, body: &Value) -> (u16, String) {
    let (status, answer) = post(line, path, body).await;
    (status, text(&answer["violations"][0]["rule"]).to_owned())
}

async fn claim(line: &dyn Line, body: Value) -> Vec<ClaimedDispatch> {
    let (status, answer) = post(line, CLAIM, &body).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_value::<Claimed>(answer).unwrap().dispatches
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_collected_is_stored_receipted_and_proved() {
    let mut mailbox = Mailbox::open().await;
    let one = mailbox.sent().await;
    let state = mailbox.stage.state(&one).await;
    let words = "Held by the exchange; Haringey has not collected it yet";
    assert_eq!(state["deliveries"][0]["words"], words);
    // Those who bring leave it alone, however long it lies there.
    mailbox.stage.hand.advance(6 * MINUTE);
    let two = mailbox.sent().await;
    let state = mailbox.stage.state(&one).await;
    let delivery = &state["deliveries"][0];
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delayed"), &json!(0)));
    let words = "Held by the exchange; Haringey still has not collected it. Ring";
    assert!(text(&delivery["words"]).starts_with(words), "{delivery}");

    let both = Collected { stored: 2, ..ONE };
    assert_eq!(mailbox.collector.once().await, Ok(both));
    assert_eq!(mailbox.collector.once().await, Ok(Collected::default()));
    let state = mailbox.stage.until(&one, "stored").await;
    assert_eq!(state["deliveries"][0]["attempts"], 1);
    mailbox.proved(&[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_collectors_at_once_share_nothing() {
    let mut mailbox = Mailbox::open().await;
    let mut sent = Vec::new();
    for _ in 0..14 {
        sent.push(mailbox.sent().await);
    }
    let (one, two) = (mailbox.caller(HARINGEY).await, mailbox.caller(HARINGEY).await);
    let all = async |line: &dyn Line| {
        let mut all = Vec::new();
        loop {
            let some = claim(line, json!({"limit": 2})).await;
            assert!(some.len() <= 2);
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    };
    let (mut all, more) = tokio::join!(all(&*one), all(&*two));
    all.extend(more);
    let documents: HashSet<_> = all.iter().map(|dispatch| &dispatch.document).collect();
    let leases: HashSet<_> = all.iter().map(|dispatch| &dispatch.lease).collect();
    assert_eq!((all.len(), documents.len(), leases.len()), (14, 14, 14));
    for one in &sent {
        assert!(documents.contains(&URL_SAFE_NO_PAD.encode(&one.document.bytes)));
    }
    for dispatch in &all {
        let receipt = mailbox.receipt(dispatch).await;
        assert_eq!(post(&*one, DELIVERED, &receipt).await.0, 200);
    }
    mailbox.proved(&sent.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_counts_also_after_its_lease_and_only_once() {
    let mut mailbox = Mailbox::open().await;
    let sent = mailbox.sent().await;
    let line = mailbox.caller(HARINGEY).await;
    let first = claim(&*line, json!({})).await.remove(0);
    assert!(claim(&*line, json!({})).await.is_empty(), "leased");
    mailbox.stage.hand.advance(31 * SECOND);
    let second = claim(&*line, json!({})).await.remove(0);
    assert_eq!((&first.note, &first.document), (&second.note, &second.document));
    assert_ne!(first.lease, second.lease);
    // The first collector was slow; the second has the lease by now.
    let (late, same) = (mailbox.receipt(&first).await, mailbox.receipt(&second).await);
    assert_eq!(late["delivered"], same["delivered"], "the same bytes for the same dispatch");
    for receipt in [&late, &same, &late] {
        assert_eq!(post(&*line, DELIVERED, receipt).await, (200, json!({})));
    }
    let not_taken = json!({"lease": second.lease, "rule": "schema.unknown"});
    let refused = refusal(&*line, REFUSED, &not_taken).await;
    assert_eq!(refused, (409, "inbox.lease-over".to_owned()), "it is settled");
    mailbox.stage.hand.advance(MINUTE);
    assert!(claim(&*line, json!({})).await.is_empty());
    mailbox.proved(&[&sent]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_empties_or_settles_a_mailbox() {
    let mut mailbox = Mailbox::open().await;
    let (one, two) = (mailbox.sent().await, mailbox.sent().await);
    let own = mailbox.caller(HARINGEY).await;
    let hackney = mailbox.caller(HACKNEY).await;
    let worker = mailbox.stage.worker(HARINGEY).await;
    let schools = &mailbox.stage.schools;
    // Who may claim.
    let claimed = refusal(&*hackney, CLAIM, &json!({})).await;
    assert_eq!(claimed, (409, "inbox.not-collected".to_owned()), "it is brought its referrals");
    for stranger in [&worker, &schools[MARSH_LANE], &schools[A_PERSON]] {
        for (path, body) in [
            (CLAIM, json!({})),
            (DELIVERED, json!({"lease": "", "delivered": "", "certificates": ""})),
            (REFUSED, json!({"lease": "", "rule": ""})),
        ] {
            let refused = refusal(&*stranger.client, path, &body).await;
            assert_eq!(refused, (403, "inbox.not-an-authority".to_owned()), "{path}");
        }
    }
    for bad in [json!([]), json!({"limit": 0}), json!({"limit": -1}), json!({"wait": 1})] {
        assert_eq!(refusal(&*own, CLAIM, &bad).await, (400, "inbox.form".to_owned()), "{bad}");
    }
    assert_eq!(claim(&*own, json!({"limit": 1})).await.len(), 1);
    let second = claim(&*own, json!({"limit": 4_000_000})).await.remove(0);
    mailbox.stage.hand.advance(31 * SECOND);
    let first = claim(&*own, json!({"limit": 1})).await.remove(0);
    // Another authority's delivery is as unknown as none.
    let receipt = mailbox.receipt(&first).await;
    let nothing = refusal(&*hackney, DELIVERED, &receipt).await;
    assert_eq!(nothing.0, 404);
    let mut nowhere = receipt.clone();
    nowhere["lease"] = json!(URL_SAFE_NO_PAD.encode([7; 76]));
    assert_eq!(refusal(&*own, DELIVERED, &nowhere).await, nothing);
    nowhere["lease"] = json!("no lease");
    assert_eq!(refusal(&*own, DELIVERED, &nowhere).await, nothing);
    let not_taken = json!({"lease": first.lease, "rule": "schema.unknown"});
    assert_eq!(refusal(&*hackney, REFUSED, &not_taken).await, nothing);
    // A receipt of another dispatch settles nothing, and neither do bytes that are no receipt.
    let mut other = mailbox.receipt(&second).await;
    other["lease"] = json!(first.lease);
    let (status, rule) = refusal(&*own, DELIVERED, &other).await;
    assert!((400..500).contains(&status), "{status} {rule}");
    let mut forged = receipt.clone();
    forged["delivered"] = json!("e30.e30.e30");
    let (status, _) = refusal(&*own, DELIVERED, &forged).await;
    assert!((400..500).contains(&status), "{status}");
    let mut alone = receipt.clone();
    alone["certificates"] = json!("");
    assert_eq!(refusal(&*own, DELIVERED, &alone).await, (400, "inbox.form".to_owned()));
    let rows = mailbox.stage.gateway.exchange.store.deliveries(DeliveryFilter::default()).await;
    assert!(rows.unwrap().iter().all(|row| row.state != State::Delivered));
    // The right one does, and the second too.
    assert_eq!(post(&*own, DELIVERED, &receipt).await.0, 200);
    let receipt = mailbox.receipt(&second).await;
    assert_eq!(post(&*own, DELIVERED, &receipt).await.0, 200);
    mailbox.proved(&[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_authority_cannot_take_is_a_failed_attempt() {
    let mut mailbox = Mailbox::open().await;
    let sent = mailbox.sent().await;
    let line = mailbox.caller(HARINGEY).await;
    let dispatch = claim(&*line, json!({})).await.remove(0);
    let not_taken = json!({"lease": dispatch.lease, "rule": "dispatch.signer"});
    assert_eq!(post(&*line, REFUSED, &not_taken).await, (200, json!({})));
    let again = refusal(&*line, REFUSED, &not_taken).await;
    assert_eq!(again, (409, "inbox.lease-over".to_owned()));
    let delivery = mailbox.stage.state(&sent).await["deliveries"][0].clone();
    assert_eq!((&delivery["reason"], &delivery["attempts"]), (&json!("refused"), &json!(1)));
    // Due again after its wait, and given up in the end: an operator must act.
    mailbox.stage.hand.advance(SECOND);
    let dispatch = claim(&*line, json!({})).await.remove(0);
    mailbox.stage.hand.advance(3 * 24 * 60 * MINUTE);
    let not_taken = json!({"lease": dispatch.lease, "rule": "dispatch.signer"});
    let over = refusal(&*line, REFUSED, &not_taken).await;
    assert_eq!(over, (409, "inbox.lease-over".to_owned()), "that lease ended long ago");
    let dispatch = claim(&*line, json!({})).await.remove(0);
    let not_taken = json!({"lease": dispatch.lease, "rule": "NO RULE: Tom Example"});
    assert_eq!(post(&*line, REFUSED, &not_taken).await.0, 200);
    mailbox.stage.until(&sent, "undeliverable").await;
    assert!(claim(&*line, json!({})).await.is_empty());
    // A receipt that comes even then is the truth: the authority has it.
    let receipt = mailbox.receipt(&dispatch).await;
    assert_eq!(post(&*line, DELIVERED, &receipt).await.0, 200);
    mailbox.proved(&[&sent]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_waits_is_answered_when_something_comes() {
    let mut mailbox = Mailbox::open().await;
    let document = mailbox.stage.stream.document(MARSH_LANE, HARINGEY);
    let line = mailbox.caller(HARINGEY).await;
    // The clock stands still, so that only the arrival can end the wait.
    let waits = claim(&*line, json!({"wait_seconds": 10}));
    let comes = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        mailbox.stage.accepted(document).await
    };
    let (claimed, sent) = tokio::join!(waits, comes);
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].document, URL_SAFE_NO_PAD.encode(&sent.document.bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_child_is_withdrawn_from_the_mailbox() {
    let mut mailbox = Mailbox::open().await;
    let (wrong, right) = (mailbox.sent().await, mailbox.sent().await);
    let school = &mailbox.stage.schools[MARSH_LANE];
    let misidentified =
        Saying { code: Some("wrong_child".into()), ..Saying::of(EventKind::Misidentified) };
    say(school, wrong.document.id, &misidentified).await.unwrap_or_else(|not| panic!("{not:?}"));
    let line = mailbox.caller(HARINGEY).await;
    let claimed = claim(&*line, json!({})).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].document, URL_SAFE_NO_PAD.encode(&right.document.bytes));
    let timeline = mailbox.stage.gateway.exchange.store.timeline(wrong.document.id).await;
    let row = timeline.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((row.state, row.reason.as_deref()), (State::Undeliverable, Some("misidentified")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_to_an_authority_that_collects_carries_its_proposal() {
    let mut stage = Stage::at(NOON.parse().unwrap()).await;
    stage.turns(2, &[NEWHAM]);
    let _haringey = stage.authority(HARINGEY).await;
    let document = stage.stream.document(MARSH_LANE, HARINGEY);
    let sent = stage.accepted(document).await;
    stage.until(&sent, "stored").await;
    let (worker, id) = (stage.worker(HARINGEY).await, sent.document.id);
    let person = json!({"name": "Ada Example", "role": "Social worker", "phone": "01632 960123"});
    let acknowledged = Saying::with(
        EventKind::Acknowledged,
        json!({"worker": person, "reference": "HGY-2026-000001"}),
    );
    let because = json!({"worker": person, "reason": "The family moved there last week."});
    let proposed = Saying {
        to: Some(AUTHORITIES[NEWHAM].code.parse().unwrap()),
        ..Saying::with(EventKind::TransferProposed, because)
    };
    for saying in [acknowledged, proposed] {
        say(&worker, id, &saying).await.unwrap_or_else(|not| panic!("{not:?}"));
    }
    let newham = inside::collector(&stage.scene, NEWHAM, &stage.clock).await;
    assert_eq!(newham.once().await, Ok(ONE));
    let state = look(&stage.schools[MARSH_LANE], id).await.unwrap();
    let delivery = state.deliveries.iter().find(|d| d.purpose == "transfer").unwrap();
    assert_eq!((delivery.authority.name.as_str(), delivery.state.as_str()), ("Newham", "stored"));
    let arrived = exchange_support::inbox(&*newham.station.store).await;
    assert!(arrived[0].key.purpose.starts_with("transfer "), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_moves_both_ways_with_referrals_in_flight() {
    let mut stage = Stage::at(NOON.parse().unwrap()).await;
    let mut sent = Vec::new();
    let mut send = async |stage: &mut Stage, count| {
        for _ in 0..count {
            let document = stage.stream.document(MARSH_LANE, HARINGEY);
            sent.push(stage.accepted(document).await);
        }
    };
    // Brought: some arrive, some find nobody there.
    let endpoint = stage.authority(HARINGEY).await;
    send(&mut stage, 3).await;
    let settled = async |stage: &Stage, count: usize| {
        eventually("deliveries", async || {
            // What failed once, on a connection of the endpoint before, falls due.
            stage.hand.advance(SECOND);
            let rows = stage.gateway.exchange.store.deliveries(DeliveryFilter::default()).await;
            let done = rows.unwrap().iter().filter(|r| r.state == State::Delivered).count();
            (done == count).then_some(())
        })
        .await;
    };
    settled(&stage, 3).await;
    endpoint.stop().await;
    send(&mut stage, 3).await;
    eventually("attempts", async || {
        let rows = stage.gateway.exchange.store.deliveries(DeliveryFilter::default()).await;
        rows.unwrap().iter().skip(3).all(|row| row.attempts > 0).then_some(())
    })
    .await;
    // It collects from now on. What was under way is given to it as soon as it is due.
    stage.turns(2, &[HARINGEY]);
    send(&mut stage, 3).await;
    let collector = inside::collector(&stage.scene, HARINGEY, &stage.clock).await;
    stage.hand.advance(MINUTE + SECOND);
    eventually("everything is collected", async || {
        collector.once().await.unwrap();
        let rows = stage.gateway.exchange.store.deliveries(DeliveryFilter::default()).await;
        rows.unwrap().iter().all(|row| row.state == State::Delivered).then_some(())
    })
    .await;
    // Back again: one lies there, one is claimed and its receipt comes after the move.
    send(&mut stage, 2).await;
    let line = authority_caller(&stage.scene, HARINGEY, &stage.clock).await;
    let claimed = claim(&*line, json!({"limit": 1})).await.remove(0);
    let receipt = answer::collect(&collector.station, &claimed, &collector.gateway).await.unwrap();
    drop(collector);
    stage.turns(3, &[]);
    assert_eq!(refusal(&*line, CLAIM, &json!({})).await, (409, "inbox.not-collected".to_owned()));
    let endpoint = stage.authority(HARINGEY).await;
    send(&mut stage, 2).await;
    let late = json!({"lease": claimed.lease, "delivered": receipt.delivered,
                      "certificates": receipt.certificates});
    assert_eq!(post(&*line, DELIVERED, &late).await, (200, json!({})));
    settled(&stage, 13).await;
    let store: Arc<dyn AuthorityStore> = Arc::clone(&endpoint.station.store);
    let arrived = Arrived::of_places(vec![(HARINGEY, store)]).await;
    assert_eq!(arrived.counts(), (13, 13));
    let proof = Proof::of(&stage.schools[MARSH_LANE]);
    for one in &sent {
        arrived.once(&one.document);
        proof.evidence(&*stage.gateway.exchange.store, one).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_brought_its_referrals_collects_nothing() {
    let stage = Stage::at(NOON.parse().unwrap()).await;
    let collector = inside::collector(&stage.scene, HACKNEY, &stage.clock).await;
    let not = NotCollected::Refused("inbox.not-collected".to_owned());
    assert_eq!(collector.once().await, Err(not));
    assert!(stage.schools.len() > LEA_BRIDGE);
}

/// A scheme whose Newham collects, in processes of its own.
fn collecting() -> Scene {
    let mut scene = Scene::now(RESTLESS);
    scene.collects(NEWHAM);
    scene.sign_pull(2, &[NEWHAM], SystemClock.now());
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_killed_again_and_again() {
    let moments = killing::moments(10, 2);
    let runs = moments.0 as u64;
    let scene = collecting();
    killing::an_authority(&scene, moments, Duration::from_millis(350)).await;
    let (fault, at, checked) = ("killed (SIGKILL)", "collector over SQLite", killing::CHECKED);
    held(&FaultLine { suite: "exchange_mailbox", fault, at, runs, checked });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_collects_what_there_is_and_says_so() {
    let scene = collecting();
    let mut gateway = scene.start_gateway();
    gateway.wait_ready().unwrap();
    let school = scene.school(MARSH_LANE).await;
    let mut stream = exchange_support::Stream::new(4);
    let document = stream.document(MARSH_LANE, NEWHAM);
    exchange_support::receipt_of(&exchange_support::post(&school, &document).await.unwrap());
    let config = scene.world.authority_config(NEWHAM);
    let arguments = ["authority", "collect", "--once", "--config", config.to_str().unwrap()];
    let once = scene.run(&arguments);
    let said = String::from_utf8(once.stdout).unwrap();
    assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    assert_eq!(said, "Collected 1 (0 of them stored before).\n");
    let again = scene.run(&[&arguments[..], &["--json"]].concat());
    let said: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(said, json!({"stored": 0, "again": 0, "not_taken": 0, "left": 0}));
    // Without an endpoint there is nothing to serve.
    let serve = scene.run(&["authority", "--config", config.to_str().unwrap()]);
    assert_eq!(serve.status.code(), Some(3));
    let why = String::from_utf8(serve.stderr).unwrap();
    assert!(why.contains("ecaf authority collect"), "{why}");
    exchange_support::ends_well(&mut gateway);
}
