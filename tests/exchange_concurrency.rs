//! Sixty-four submitters at once, duplicates mixed in, authorities slow and failing: every accepted
//! referral is delivered exactly once in effect, byte for byte its own, and no receipt belongs to
//! another.
//!
//! `ECAF_TEST_REFERRALS` sets how many; 2,000 otherwise.

mod exchange_support;
mod fault_lines;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ecaf::cli::sandbox::{Process, SCHOOLS};
use ecaf::effects::{Clock, SystemClock};
use ecaf::http::{Answer, Handler, Request, Response};
use exchange_support::{
    Arrived, Document, HACKNEY, HARINGEY, NEWHAM, PATIENCE, Proof, QUICK, Receipt, Scene, Sent,
    Stream, all_settled, count, ends_well, gateway_store, inside, post, receipt_of, still_open,
};
use fault_lines::{Line, held};
use http::{Method, StatusCode};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

const SUBMITTERS: usize = 64;

/// Spoils some of an authority's answers, by their number: refuses before anything is stored, loses
/// the receipt after everything is stored, gives the receipt of another dispatch, or is slow.
struct Spoiler {
    real: ecaf::authority::api::Api,
    asked: AtomicUsize,
    earlier: Mutex<Option<Response>>,
    spoiled: AtomicUsize,
}

impl Handler for Spoiler {
    fn handle(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            let spoil = |status| {
                self.spoiled.fetch_add(1, Ordering::Relaxed);
                Response::empty(status)
            };
            match number % 11 {
                3 => return spoil(StatusCode::SERVICE_UNAVAILABLE),
                8 => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => {}
            }
            let answer = self.real.handle(request).await;
            let other = self.earlier.lock().await.replace(answer.clone());
            match (number % 11, other) {
                (5, _) => spoil(StatusCode::INTERNAL_SERVER_ERROR),
                (7, Some(other)) => {
                    self.spoiled.fetch_add(1, Ordering::Relaxed);
                    other
                }
                _ => answer,
            }
        })
    }

    fn body_limit(&self, method: &Method, path: &str) -> Option<usize> {
        self.real.body_limit(method, path)
    }

    fn methods(&self, path: &str) -> &'static str {
        self.real.methods(path)
    }
}

/// The documents of one school, with repetitions next to their originals.
struct Queue {
    documents: Vec<Document>,
    next: AtomicUsize,
}

impl Queue {
    fn take(&self) -> Option<&Document> {
        self.documents.get(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_submitters_and_failing_authorities() {
    let referrals = count("ECAF_TEST_REFERRALS", 2_000);
    let scene = Scene::now(QUICK);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let spoiler = Arc::new(std::sync::OnceLock::new());
    let kept = Arc::clone(&spoiler);
    let hackney = inside::Authority::open(&scene, HACKNEY, &clock, |real| {
        let (asked, spoiled) = Default::default();
        let made = Arc::new(Spoiler { real, asked, spoiled, earlier: Mutex::new(None) });
        let _ = kept.set(Arc::clone(&made));
        made
    })
    .await;
    let mut gateway = scene.start_gateway();
    let mut haringey = scene.start_authority(HARINGEY);
    let mut newham = scene.start_authority(NEWHAM);
    for process in [&mut gateway, &mut haringey, &mut newham] {
        process.wait_ready().unwrap();
    }

    let began = Instant::now();
    let (unique, queues) = work(referrals);
    let total: usize = queues.iter().map(|q| q.documents.len()).sum();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut submitters = JoinSet::new();
    for submitter in 0..SUBMITTERS {
        let school = submitter % SCHOOLS.len();
        let sender = scene.school(school).await;
        let (queue, answered) = (Arc::clone(&queues[school]), Arc::clone(&answered));
        submitters.spawn(async move {
            let mut receipts = Vec::new();
            while let Some(document) = queue.take() {
                receipts.push((document.id, send(&sender, document).await));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            receipts
        });
    }
    let scene_ref = &scene;
    let trouble = async {
        // By progress and not by time, so that every run has the same troubles.
        let reached = async |share: usize| {
            while answered.load(Ordering::Relaxed) < total * share / 100 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        reached(10).await;
        assert!(haringey.signal("STOP"));
        reached(25).await;
        newham.kill();
        reached(40).await;
        assert!(haringey.signal("CONT"));
        restart(scene_ref, &mut newham).await;
        reached(55).await;
        assert!(haringey.signal("STOP"));
        reached(70).await;
        newham.kill();
        restart(scene_ref, &mut newham).await;
        reached(90).await;
        assert!(haringey.signal("CONT"));
        haringey.kill();
        haringey = scene_ref.start_authority(HARINGEY);
    };
    let collect = async {
        let mut receipts: HashMap<_, Vec<Receipt>> = HashMap::new();
        while let Some(done) = submitters.join_next().await {
            for (id, receipt) in done.unwrap() {
                receipts.entry(id).or_default().push(receipt);
            }
        }
        receipts
    };
    let (receipts, ()) = tokio::join!(collect, trouble);
    println!("{total} submissions answered after {:?}", began.elapsed());
    all_delivered(&gateway).await;
    println!("all delivered after {:?}", began.elapsed());

    // Every receipt belongs to its own referral; the same submission got the same bytes, and only
    // one of its requests was the one that was accepted.
    let proof = Proof::of(&scene.school(0).await);
    let now = SystemClock.now();
    assert_eq!(receipts.len(), unique.len());
    let mut tokens = HashMap::new();
    let mut sent = Vec::new();
    for document in unique {
        let mine = &receipts[&document.id];
        assert!(mine.iter().all(|r| r.accepted == mine[0].accepted), "two receipts for one");
        assert!(mine.iter().filter(|r| r.new).count() <= 1, "accepted twice");
        proof.receipt(&mine[0], &document, now);
        let other = tokens.insert(mine[0].accepted.clone(), document.id);
        assert_eq!(other, None, "one receipt for two referrals");
        sent.push(Sent { receipt: mine[0].clone(), document });
    }

    ends_well(&mut gateway);
    ends_well(&mut haringey);
    ends_well(&mut newham);
    hackney.stop().await;
    let spoiled = spoiler.get().unwrap().spoiled.load(Ordering::Relaxed);
    assert!(spoiled > referrals / 20, "only {spoiled} answers were spoiled");
    let paths: Vec<_> = (0..3).map(|index| scene.inbox_store(index)).collect();
    let arrived = Arrived::read(&paths).await;
    let deliveries: usize = sent.iter().map(|s| s.document.deliveries().len()).sum();
    assert_eq!(arrived.counts(), (referrals, deliveries));
    let store = gateway_store(&scene.gateway_store());
    let delivered = all_settled(&store).await;
    assert_eq!(delivered.len(), referrals);
    for one in &sent {
        arrived.once(&one.document);
        assert_eq!(delivered[&one.document.id], one.document.deliveries().len());
    }
    for one in sent.iter().step_by(20) {
        proof.evidence(&store, one).await;
    }
    println!(
        "{referrals} referrals, {spoiled} spoiled answers: proved after {:?}",
        began.elapsed()
    );
    held(&Line {
        suite: "exchange_concurrency",
        fault: "answers refused, lost, swapped or slow; authorities killed meanwhile",
        at: "authorities, under sixty-four senders",
        runs: spoiled as u64,
        checked: "every receipt verifies and is nobody else's; all is delivered once and unaltered",
    });
}

/// All documents, and a queue of them for each school: a quarter stands in it two or three times.
fn work(referrals: usize) -> (Vec<Document>, Vec<Arc<Queue>>) {
    let mut stream = Stream::new(64);
    let mut unique = Vec::with_capacity(referrals);
    let mut queues = vec![Vec::new(); SCHOOLS.len()];
    for number in 0..referrals {
        let (school, authority) = (number % SCHOOLS.len(), number / 7 % 3);
        let document = match number % 10 {
            9 => stream.unsafe_at_home(school, authority),
            _ => stream.document(school, authority),
        };
        let times = match number % 8 {
            0 => 3,
            4 => 2,
            _ => 1,
        };
        queues[document.school].extend(std::iter::repeat_n(document.clone(), times));
        unique.push(document);
    }
    let queue = |documents| Arc::new(Queue { documents, next: AtomicUsize::new(0) });
    (unique, queues.into_iter().map(queue).collect())
}

/// Sends until there is a receipt; only an answer that means "later" or a lost one is repeated.
async fn send(sender: &ecaf::party::member::Member, document: &Document) -> Receipt {
    let until = Instant::now() + PATIENCE;
    loop {
        match post(sender, document).await {
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {}
            Ok(answer) => return receipt_of(&answer),
            Err(fault) => assert!(Instant::now() < until, "{fault}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn restart(scene: &Scene, newham: &mut Process) {
    *newham = scene.start_authority(NEWHAM);
}

/// Waits until nothing is open. Fails if nothing moves for a minute.
async fn all_delivered(gateway: &Process) {
    let mut last = usize::MAX;
    let mut until = Instant::now() + PATIENCE;
    loop {
        match still_open(gateway.operator()).await {
            Some(0) => return,
            Some(open) if open < last => {
                last = open;
                until = Instant::now() + PATIENCE;
            }
            _ => assert!(Instant::now() < until, "{last} are still open"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn documents_are_unlike_each_other() {
    let (unique, queues) = work(200);
    let digests: std::collections::HashSet<_> = unique.iter().map(|d| d.sha256).collect();
    assert_eq!(digests.len(), 200);
    assert_eq!(queues.iter().map(|q| q.documents.len()).sum::<usize>(), 200 + 25 * 2 + 25);
}
