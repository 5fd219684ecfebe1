//! Schools that send without a pause while processes come and go, and the proof afterwards.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ecaf::cli::sandbox::{Process, SCHOOLS};
use ecaf::effects::{Clock, SystemClock};
use ecaf::school::sender::Sender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{
    Arrived, Document, PATIENCE, Proof, Receipt, Scene, Sent, Stream, all_settled, ends_well,
    eventually, gateway_store, post, receipt_of, still_open,
};

pub const SUBMITTERS: usize = 9;
/// A killed process is missed for a moment only, so nobody is left alone for long.
pub const DELIVERY: &str = "retry_first = \"50ms\"\nretry_longest = \"1s\"\nbreaker_failures = 1000\n\
                        attempt_timeout = \"5s\"\nconcurrency_per_authority = 8";

/// Schools that send one referral after the other until they are told to stop.
pub struct Load {
    schools: JoinSet<Vec<Sent>>,
    stop: Arc<AtomicBool>,
    receipts: Arc<AtomicUsize>,
}

impl Load {
    /// `pause` between two referrals of one submitter.
    pub async fn start(scene: &Scene, authorities: &'static [usize], pause: Duration) -> Self {
        let port = scene.world.gateway_address().port();
        Self::over(scene, &[port], authorities, pause).await
    }

    /// The same with several gateways, by port: whoever gets no answer asks the next one.
    pub async fn over(
        scene: &Scene,
        ports: &[u16],
        authorities: &'static [usize],
        pause: Duration,
    ) -> Self {
        let mut load =
            Self { schools: JoinSet::new(), stop: Arc::default(), receipts: Arc::default() };
        for submitter in 0..SUBMITTERS {
            let school = submitter % SCHOOLS.len();
            let mut senders = Vec::new();
            for turn in 0..ports.len() {
                let port = ports[(submitter + turn) % ports.len()];
                senders.push(scene.school_at(school, port).await);
            }
            let (stop, receipts) = (Arc::clone(&load.stop), Arc::clone(&load.receipts));
            load.schools.spawn(async move {
                let mut stream = Stream::new(1_000 + submitter as u64);
                let mut sent = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let place = authorities[stream.below(authorities.len())];
                    let document = stream.document(school, place);
                    let receipt = insist(&senders, &document).await;
                    receipts.fetch_add(1, Ordering::Relaxed);
                    sent.push(Sent { document, receipt });
                    tokio::time::sleep(pause).await;
                }
                sent
            });
        }
        load
    }

    /// Waits for so many more receipts.
    pub async fn receipts(&self, more: usize) {
        let enough = self.receipts.load(Ordering::Relaxed) + more;
        let until = Instant::now() + PATIENCE;
        while self.receipts.load(Ordering::Relaxed) < enough {
            assert!(Instant::now() < until, "no receipts");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn stop(mut self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(sent) = self.schools.join_next().await {
            all.extend(sent.unwrap());
        }
        all
    }
}

/// The same bytes again, to one gateway after the other, until there is a receipt.
pub async fn insist(senders: &[Sender], document: &Document) -> Receipt {
    let until = Instant::now() + PATIENCE;
    for sender in senders.iter().cycle() {
        match post(sender, document).await {
            Ok(answer) if answer.status == http::StatusCode::SERVICE_UNAVAILABLE => {}
            Ok(answer) => return receipt_of(&answer),
            Err(fault) => assert!(Instant::now() < until, "{fault}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there is no gateway to ask")
}

/// What was sent before any crash gets, sent again now, its receipt of then, byte for byte.
pub async fn same_receipts_again(scene: &Scene, sent: &[Sent]) {
    let mut senders = HashMap::new();
    for index in 0..SCHOOLS.len() {
        senders.insert(index, scene.school(index).await);
    }
    for one in sent {
        let again =
            insist(std::slice::from_ref(&senders[&one.document.school]), &one.document).await;
        assert!(!again.new, "a receipt was lost");
        assert_eq!(again.accepted, one.receipt.accepted, "another receipt than before");
    }
}

/// Everything is delivered, the processes end well, and what lies in the stores is what was sent.
pub async fn prove(
    scene: &Scene,
    sent: Vec<Sent>,
    mut gateway: Process,
    authorities: &mut [Process],
) {
    let operator = gateway.operator();
    eventually("everything is delivered", async || {
        (still_open(operator).await == Some(0)).then_some(())
    })
    .await;
    ends_well(&mut gateway);
    for authority in authorities {
        ends_well(authority);
    }
    let proof = Proof::of(&scene.school(0).await);
    let paths: Vec<_> = (0..3).map(|index| scene.inbox_store(index)).collect();
    let arrived = Arrived::read(&paths).await;
    assert_eq!(arrived.counts(), (sent.len(), sent.len()));
    let store = gateway_store(&scene.gateway_store());
    let delivered = all_settled(&store).await;
    assert_eq!(delivered.len(), sent.len());
    let now = SystemClock.now();
    for (number, one) in sent.iter().enumerate() {
        proof.receipt(&one.receipt, &one.document, now);
        arrived.once(&one.document);
        if number % 16 == 0 {
            proof.evidence(&store, one).await;
        }
    }
}
