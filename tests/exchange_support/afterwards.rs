//! When a load is over: all that got a receipt is where it belongs, once and unaltered.

use std::collections::HashMap;

use ecaf::cli::sandbox::{Process, SCHOOLS};
use ecaf::effects::{Clock, SystemClock};

use super::{Arrived, Proof, Scene, Sent, all_settled, ends_well, eventually, insist, still_open};

/// Delivery settings for processes that die: one is missed for a moment only, so nobody is left alone
/// for long.
pub const RESTLESS: &str = "retry_first = \"50ms\"\nretry_longest = \"1s\"\n\
    breaker_failures = 1000\nattempt_timeout = \"5s\"\nconcurrency_per_authority = 8";

/// What was sent before any crash gets, sent again now, its receipt of then, byte for byte.
pub async fn same_receipts_again(scene: &Scene, sent: &[Sent]) {
    same_receipts_from(scene, &[scene.world.gateway_address().port()], sent).await;
}

/// The same from several gateways, each asked in its turn.
pub async fn same_receipts_from(scene: &Scene, ports: &[u16], sent: &[Sent]) {
    let mut senders = HashMap::new();
    for port in ports {
        for index in 0..SCHOOLS.len() {
            senders.insert((*port, index), scene.school_at(index, *port).await);
        }
    }
    for (one, port) in sent.iter().zip(ports.iter().cycle()) {
        let sender = &senders[&(*port, one.document.school)];
        let again = insist(std::slice::from_ref(sender), &one.document).await;
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
    prove_stored(scene, sent).await;
}

/// What lies in the stores is what was sent; the processes have ended.
pub async fn prove_stored(scene: &Scene, sent: Vec<Sent>) {
    let proof = Proof::of(&scene.school(0).await);
    let (store, inboxes) = scene.stores().await;
    let arrived = Arrived::of(inboxes).await;
    assert_eq!(arrived.counts(), (sent.len(), sent.len()));
    let delivered = all_settled(&*store).await;
    assert_eq!(delivered.len(), sent.len());
    let now = SystemClock.now();
    for (number, one) in sent.iter().enumerate() {
        proof.receipt(&one.receipt, &one.document, now);
        arrived.once(&one.document);
        if number % 16 == 0 {
            proof.evidence(&*store, one).await;
        }
    }
}
