//! Keeps a serving process's store at what its key ring says.

use std::sync::Arc;
use std::time::Duration;

use crate::effects::Clock;
use crate::store::RetentionStore;
use crate::store::sealing::{Vault, upkeep};

/// How often it looks: soon enough that what was erased is also deleted within minutes.
const EVERY: Duration = Duration::from_secs(60);

/// Runs passes until it is aborted; each change is a small transaction of its own, so that it can end
/// anywhere.
pub async fn run(store: Arc<dyn RetentionStore>, vault: Arc<Vault>, clock: Arc<dyn Clock>) {
    loop {
        if let Err(fault) = vault.refresh() {
            tracing::error!(%fault, "the key ring cannot be read; nothing is accepted meanwhile");
        }
        match upkeep::run(store.as_ref(), &vault, clock.now(), |_| {}).await {
            Ok(done) if done.did_something() => {
                tracing::info!(
                    purged = done.purged,
                    rewrapped = done.rewrapped,
                    waiting = done.waiting,
                    "documents follow the key ring"
                );
            }
            Ok(_) => {}
            Err(fault) => tracing::warn!(fault = fault.label(), "the upkeep of keys goes on later"),
        }
        clock.sleep(EVERY).await;
    }
}
