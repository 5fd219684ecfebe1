//! When a load is over: all that got a receipt is where it belongs, once and unaltered.

use std::collections::HashMap;

use ecaf::cli::sandbox::{Process, SCHOOLS};
use ecaf::effects::{Clock, SystemClock};
use ecaf::store::GatewayStore;

use super::{
    Arrived, Proof, Scene, Sent, all_settled, ends_well, eventually, gateway_store, insist,
    still_open,
};

/// Delivery settings for processes that die: one is missed for a moment only, so nobody is left alone
/// for long.
pub const RESTLESS: &str = "retry_first = \"50ms\"\nretry_longest = \"1s\"\n\
    breaker_failures = 1000\nattempt_timeout = \"5s\"\nconcurrency_per_authority = 8";

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
