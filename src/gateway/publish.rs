//! The sequencer: gives stored tokens their place in the log and in the feeds of the parties.
//!
//! Any number of gateways may run it over one store; a named, fenced lease lets one of them work
//! at a time, and a late one changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::exchange::Exchange;
use crate::store::{Sequencing, StoreFault};

/// Name of the right to sequence.
const RIGHT: &str = "sequencer";
/// How long one holding lasts, in milliseconds, unless it is renewed.
const HOLD_MS: i64 = 10_000;
/// Tokens per transaction.
const BATCH: u32 = 512;
/// Nobody waits for a place in the log, so a moment passes first: one transaction then takes the
/// tokens of many.
const GATHER: Duration = Duration::from_millis(25);
/// How often to look for work that another gateway stored.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Runs until `stop` says so, and lets go of those who wait for what it does.
pub async fn run(exchange: Arc<Exchange>, holder: String, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(fault) = sequence_all(&exchange, &holder).await {
            tracing::warn!(fault = fault.label(), "the sequencer could not work");
            if fault.is_final() {
                exchange.broken.notify_one();
            }
        }
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            () = exchange.new_tokens.notified() => exchange.clock.sleep(GATHER).await,
            () = exchange.clock.sleep(LOOK_EVERY) => {}
        }
    }
    exchange.waiting.close();
}

/// Sequences whatever waits. A crash between two batches leaves the rest unsequenced, and the next
/// holder goes on from there.
pub async fn sequence_all(exchange: &Exchange, holder: &str) -> Result<u64, StoreFault> {
    let store = &exchange.store;
    let mut total = 0;
    loop {
        let now = exchange.clock.now();
        let Some(fence) = store.acquire(RIGHT, holder.to_owned(), now, HOLD_MS).await? else {
            return Ok(total);
        };
        match store.sequence(&fence, BATCH, now).await? {
            Sequencing::Done { count, .. } => {
                if count > 0 {
                    exchange.waiting.ring();
                }
                total += u64::from(count);
                if count < BATCH {
                    return Ok(total);
                }
            }
            Sequencing::FenceLost => return Ok(total),
        }
    }
}
