//! Signatures are judged at the time at which the gateway recorded them: what expires or is revoked
//! while a referral waits does it no harm, and what was revoked before helps nobody.

mod exchange_support;

use std::sync::Arc;

use ecaf::domain::case::EventKind;
use ecaf::domain::party::Party;
use ecaf::domain::time::{DAY, HOUR, MINUTE, Timestamp};
use ecaf::effects::{Clock, FixedClock, SystemEntropy, files};
use ecaf::party::member::Member;
use ecaf::party::poll::Stream as Feed;
use ecaf::protocol::signing::SigningIdentity;
use ecaf::protocol::trust::issue::{
    Ca, CrlContent, LeafKind, LeafRequest, Period, PrivateKey, Reason, Revoked,
};
use ecaf::protocol::trust::{Chain, Revocation, pem, serial};
use ecaf::school::compose::compose;
use ecaf::school::submit::submit;
use exchange_support::inside::{self, Authority, Gateway, eager};
use exchange_support::story::{acknowledgement, coded, decision, ok};
use exchange_support::talking::read_feed;
use exchange_support::{
    NEWHAM, Proof, QUICK, Scene, Sent, Stream, eventually, post, problem, receipt_of,
};
use serde_json::json;

/// Friday in the afternoon; a list of revoked certificates is good for a week.
fn friday() -> Timestamp {
    "2026-11-20T16:30:00Z".parse().unwrap()
}

struct Stage {
    scene: Scene,
    hand: FixedClock,
    clock: Arc<dyn Clock>,
    gateway: Gateway,
    school: Member,
    stream: Stream,
    lists: u64,
}

impl Stage {
    async fn new() -> Self {
        let scene = Scene::at(friday(), QUICK);
        let hand = FixedClock::at(friday());
        let clock: Arc<dyn Clock> = Arc::new(hand.clone());
        let gateway = Gateway::open(&scene, &clock, eager()).await;
        let school = inside::school(&scene, 0, &clock).await;
        Self { scene, hand, clock, gateway, school, stream: Stream::new(5), lists: 10 }
    }

    fn issuing(&self) -> Ca {
        let read = |name: &str| std::fs::read(self.scene.world.folder().join(name)).unwrap();
        let certificate = pem::certificates(&read("scheme/issuing.crt")).unwrap().remove(0);
        Ca::load(certificate, PrivateKey::from_pem(&read("scheme/issuing.key")).unwrap()).unwrap()
    }

    /// A new signing certificate for the school, for so long; it signs with that from now on.
    fn certify(&mut self, lifetime: i64) -> Chain {
        let identity = self.identity(self.school.party.clone(), lifetime);
        let chain = identity.chain().clone();
        self.school.signing = Some(identity);
        chain
    }

    /// A key and certificate to sign with, for so long.
    fn identity(&self, party: Party, lifetime: i64) -> SigningIdentity {
        let (issuing, entropy) = (self.issuing(), SystemEntropy::default());
        let now = self.clock.now();
        let request = LeafRequest {
            party,
            kind: LeafKind::Signing,
            period: Period { not_before: now.plus(-MINUTE), not_after: now.plus(lifetime) },
        };
        let key = PrivateKey::generate().unwrap();
        let leaf = issuing.leaf(&request, &key, &entropy).unwrap();
        let chain = pem::to_pem([&leaf, issuing.certificate()]);
        inside::signing(chain.as_bytes(), key.to_pem().as_bytes(), &self.school.trust)
    }

    /// Publishes a list on which `chain` is revoked from `at` on, signatures from `doubted` on being
    /// doubted; the gateway takes it.
    async fn revoke(&mut self, chain: &Chain, at: Timestamp, doubted: Option<Timestamp>) {
        self.lists += 1;
        let revoked = Revoked {
            serial: serial(chain.leaf()).unwrap(),
            at,
            reason: Reason::KeyCompromise,
            invalid_from: doubted,
        };
        self.publish(vec![revoked]).await;
    }

    async fn publish(&mut self, revoked: Vec<Revoked>) {
        let now = self.clock.now();
        let content = CrlContent {
            number: self.lists,
            this_update: now,
            next_update: now.plus(7 * DAY),
            revoked,
        };
        let list = self.issuing().crl(&content).unwrap();
        let path = self.scene.world.folder().join("scheme/crl/issuing.crl");
        files::replace(&path, pem::crl_to_pem(&list).as_bytes(), files::PUBLIC).unwrap();
        self.gateway.reload().await;
    }

    async fn accepted(&mut self) -> Sent {
        let document = self.stream.document(0, NEWHAM);
        let receipt = receipt_of(&post(&self.school, &document).await.unwrap());
        Proof::of(&self.school).receipt(&receipt, &document, self.clock.now());
        Sent { document, receipt }
    }

    /// Newham comes up with the trust data of now, and gets what waits for it. The whole evidence
    /// verifies, with what is now known of the school's certificate.
    async fn delivered(&mut self, sent: &Sent) -> Revocation {
        let newham = Authority::open(&self.scene, NEWHAM, &self.clock, |api| Arc::new(api)).await;
        let path = format!("/v1/referrals/{}", sent.document.id);
        eventually("stored", async || {
            // Whatever was put off falls due.
            self.hand.advance(10);
            let answer = self.school.client.get(&path, Vec::new()).await.unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            (answer["deliveries"][0]["state"] == "stored").then_some(())
        })
        .await;
        let entry = newham.station.store.inbox(Default::default()).await.unwrap().remove(0);
        let item = newham.station.store.item(entry.entry).await.unwrap().unwrap();
        assert_eq!(item.document.kept(), Some(&sent.document.bytes));
        newham.stop().await;
        let school = inside::school(&self.scene, 0, &self.clock).await;
        let proven = Proof::of(&school).evidence(&*self.gateway.exchange.store, sent).await;
        assert_eq!(proven.statements[0].by, self.school.party);
        proven.statements[0].revocation
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_expires_while_the_referral_waits_does_no_harm() {
    let mut stage = Stage::new().await;
    stage.certify(HOUR);
    let sent = stage.accepted().await;
    // Long expired on Monday, for the gateway and for the authority.
    stage.hand.set(friday().plus(2 * DAY + 17 * HOUR));
    let late = stage.stream.document(0, NEWHAM);
    let refused = problem(&post(&stage.school, &late).await.unwrap(), 403);
    assert!(refused.violations[0].rule.contains("expired"), "{refused:?}");
    assert_eq!(stage.delivered(&sent).await, Revocation::Good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_revoked_while_the_referral_waits_does_no_harm() {
    let mut stage = Stage::new().await;
    let chain = stage.certify(30 * DAY);
    let sent = stage.accepted().await;
    stage.hand.set(friday().plus(DAY));
    stage.revoke(&chain, friday().plus(DAY), None).await;
    stage.hand.set(friday().plus(2 * DAY + 17 * HOUR));
    let late = stage.stream.document(0, NEWHAM);
    let refused = problem(&post(&stage.school, &late).await.unwrap(), 403);
    assert!(refused.violations[0].rule.contains("revoked"), "{refused:?}");
    // The very bytes of Friday still get the receipt of Friday, signed with a good certificate.
    let revoked = stage.school.signing.clone();
    stage.certify(DAY);
    let again = receipt_of(&post(&stage.school, &sent.document).await.unwrap());
    assert_eq!((again.new, &again.accepted), (false, &sent.receipt.accepted));
    stage.school.signing = revoked;
    assert_eq!(stage.delivered(&sent).await, Revocation::Good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_stolen_before_is_doubted_and_still_read() {
    let mut stage = Stage::new().await;
    let chain = stage.certify(30 * DAY);
    let sent = stage.accepted().await;
    stage.hand.set(friday().plus(DAY));
    stage.revoke(&chain, friday().plus(DAY), Some(friday().plus(-HOUR))).await;
    assert_eq!(stage.delivered(&sent).await, Revocation::Doubted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_revoked_before_is_refused() {
    let mut stage = Stage::new().await;
    let chain = stage.certify(30 * DAY);
    stage.hand.advance(HOUR);
    stage.revoke(&chain, friday().plus(HOUR), None).await;
    stage.hand.advance(MINUTE);
    let document = stage.stream.document(0, NEWHAM);
    let refused = problem(&post(&stage.school, &document).await.unwrap(), 403);
    assert!(refused.violations[0].rule.contains("revoked"), "{refused:?}");
    assert!(refused.refusal.is_some() && refused.help.is_some());
    let counts = stage.gateway.exchange.store.counts(stage.clock.now()).await.unwrap();
    assert_eq!((counts.held, counts.leased, counts.log_size + counts.unsequenced), (0, 0, 0));
    // With a new certificate the same document goes.
    stage.certify(DAY);
    let receipt = receipt_of(&post(&stage.school, &document).await.unwrap());
    assert!(receipt.new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_connection_ends_and_lists_that_are_too_old_stop_everything() {
    let mut stage = Stage::new().await;
    stage.accepted().await;
    let tls = stage.scene.world.school_config(0).with_file_name("tls.crt");
    let tls = pem::certificates(&std::fs::read(tls).unwrap()).unwrap();
    let tls = Chain::presented(tls).unwrap();
    stage.hand.advance(MINUTE);
    stage.revoke(&tls, stage.clock.now(), None).await;
    let document = stage.stream.document(0, NEWHAM);
    let outcome = post(&stage.school, &document).await;
    assert!(outcome.is_err(), "a revoked school was answered");

    // The list of the day before says that nobody is revoked; a week and a day later it says
    // nothing at all.
    let other = inside::school(&stage.scene, 1, &stage.clock).await;
    let document = stage.stream.document(1, NEWHAM);
    receipt_of(&post(&other, &document).await.unwrap());
    stage.hand.advance(8 * DAY + HOUR);
    let document = stage.stream.document(1, NEWHAM);
    if let Ok(answer) = post(&other, &document).await {
        assert!(!answer.status.is_success(), "accepted on a list that is too old");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_receipt_is_given_by_a_gateway_that_has_started_again_and_can_sign_no_more() {
    let mut stage = Stage::new().await;
    let sent = stage.accepted().await;
    // It remembers nothing of what it accepted lately.
    stage.gateway.stop().await;
    stage.gateway = Gateway::open(&stage.scene, &stage.clock, eager()).await;
    stage.school = inside::school(&stage.scene, 0, &stage.clock).await;
    let party = stage.gateway.exchange.signing.load().party().clone();
    let short = stage.identity(party, HOUR);
    stage.gateway.exchange.signing.store(Arc::new(short));
    stage.hand.set(friday().plus(2 * HOUR));
    let new = stage.stream.document(0, NEWHAM);
    let refused = problem(&post(&stage.school, &new).await.unwrap(), 503);
    assert_eq!(refused.violations[0].rule, "exchange.unavailable");
    let again = receipt_of(&post(&stage.school, &sent.document).await.unwrap());
    assert_eq!((again.new, &again.accepted), (false, &sent.receipt.accepted));
}

/// A school whose machine was off for two weeks asks once, and gets everything once, in order, proved by
/// signatures that were made under lists of certificates which are long out of date.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_off_for_two_weeks_gets_everything_once() {
    let mut stage = Stage::new().await;
    let sent = stage.accepted().await;
    assert_eq!(stage.delivered(&sent).await, Revocation::Good);
    let id = sent.document.id;
    let mut expected = vec!["accepted".to_owned(), "delivered".into()];
    for day in 0..14 {
        stage.hand.set(friday().plus(day * DAY + HOUR));
        stage.lists += 1;
        stage.publish(Vec::new()).await;
        let worker = inside::worker(&stage.scene, NEWHAM, &stage.clock).await;
        let saying = match day {
            0 => acknowledgement(),
            1 => decision("assessment"),
            _ => coded(EventKind::Progress, "note", &[1], json!({"words": format!("Day {day}.")})),
        };
        ok(&worker, id, &saying).await;
        expected.push(saying.kind.name().into());
    }
    stage.hand.set(friday().plus(14 * DAY));
    stage.lists += 1;
    stage.publish(Vec::new()).await;
    let school = inside::school(&stage.scene, 0, &stage.clock).await;
    let all = read_feed(&school, "mis", |news| {
        news.iter().filter(|n| !n.event.starts_with("clock_")).count() >= expected.len()
    })
    .await;
    let told: Vec<_> = all.iter().map(|news| news.event.clone()).collect();
    let told: Vec<_> = told.into_iter().filter(|event| !event.starts_with("clock_")).collect();
    assert_eq!(told, expected);
    let mut again = Feed::new(&school, "mis".into());
    let rest = again.next(false).await.unwrap();
    assert!(rest.news.iter().all(|news| news.event.starts_with("clock_")), "{:?}", rest.news);
}

/// Its time is not the school's to correct, but the school must not go home on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_from_a_clock_ahead_of_the_schools_says_so() {
    let mut stage = Stage::new().await;
    let mut sent = async |school: Member, ahead: i64| {
        stage.hand.set(friday().plus(ahead));
        let document = stage.stream.document(0, NEWHAM);
        let composed = compose(&document.bytes, friday().in_england().0).unwrap();
        let receipt = submit(&school, &composed, |_, _| ()).await.unwrap();
        assert!(receipt.receipt.is_file(), "the receipt is kept");
        (school, receipt.ahead)
    };
    let own: Arc<dyn Clock> = Arc::new(FixedClock::at(friday()));
    let school = Member { clock: own, ..stage.school };
    let (school, ahead) = sent(school, 5 * MINUTE).await;
    assert_eq!(ahead, None);
    let (_, ahead) = sent(school, 3 * HOUR).await;
    assert_eq!(ahead, Some(3 * HOUR));
}
