//! Schools that keep sending, whatever happens to the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ecaf::cli::sandbox::SCHOOLS;
use ecaf::party::member::Member;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Document, PATIENCE, Receipt, Scene, Sent, Stream, post, receipt_of};

/// Schools at work at a time.
pub const SUBMITTERS: usize = 9;

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
pub async fn insist(senders: &[Member], document: &Document) -> Receipt {
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
