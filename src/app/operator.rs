//! The operator's local listener: `/livez`, `/readyz`, `/metrics`.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::domain::time::{DAY, Timestamp};
use crate::http::Trust;
use crate::http::plain::{OperatorHandler, OperatorRequest, text};
use crate::http::{Answer, Response};
use crate::protocol::directory::DirectoryHolder;
use crate::protocol::signing::SigningIdentity;
use crate::protocol::trust::{Freshness, Purpose};
use crate::store::StoreFault;
use crate::store::sealing::Vault;
use crate::telemetry::MetricsHandle;

/// The ring should have keys for at least so long, in milliseconds.
const KEYS_WARNING: i64 = 60 * DAY;

/// What readiness found, one line each.
pub(super) struct Readiness {
    pub ready: bool,
    pub lines: Vec<String>,
}

impl Readiness {
    /// What every process must be able to do: sign, commit, and act on a directory.
    pub fn of_party(
        trust: &Trust,
        signing: &SigningIdentity,
        commits: Result<i64, StoreFault>,
        directory: &DirectoryHolder,
    ) -> Self {
        let mut found = Self { ready: true, lines: Vec::new() };
        let signs = trust.check(signing.chain(), Purpose::Signing);
        found.say(
            signs.is_ok(),
            match signs {
                Ok(chain) => format!("signing certificate valid until {}", chain.not_after()),
                Err(refusal) => format!("signing certificate: {refusal}"),
            },
        );
        found.say(
            commits.is_ok(),
            match commits {
                Ok(0) => "the store commits".into(),
                Ok(age) => format!("the store commits, tried {age} s ago"),
                Err(fault) => format!("store: {fault}"),
            },
        );
        let now = trust.clock().now();
        let lists = trust.store().freshness(now);
        let usable = matches!(lists, Freshness::Fresh | Freshness::Stale);
        found.say(usable, format!("revocation lists: {lists:?}").to_lowercase());
        let directory = directory.readiness(now);
        found.say(directory.ready, directory.words);
        found
    }

    /// Whether documents can be sealed, and for how long.
    pub fn keys(&mut self, vault: &Vault, now: Timestamp) {
        let health = vault.refresh();
        let runs_out = vault.ring().runs_out(now);
        let left = runs_out.since(now);
        if let Err(fault) = health {
            self.say(false, format!("key ring: {fault}"));
        } else if left <= 0 {
            self.say(false, "key ring: no key for this month: run \"ecaf keys prepare\"");
        } else {
            self.say(true, format!("key ring: keys until {}", runs_out.utc_date()));
        }
        if (1..KEYS_WARNING).contains(&left) {
            let days = left / DAY;
            self.lines.push(format!(
                "warning: the key ring runs out in {days} days: run \"ecaf keys prepare\""
            ));
        }
    }

    fn say(&mut self, ready: bool, line: impl Into<String>) {
        self.ready &= ready;
        let word = if ready { "ok" } else { "NOT READY" };
        self.lines.push(format!("{word}: {}", line.into()));
    }
}

/// Whether the store commits, tried out now and then. Trying writes and syncs 128 KiB, so that a disk
/// with room for less is noticed; asked every second by several watchers, that would be most of what an
/// idle gateway writes.
#[derive(Default)]
pub(super) struct CommitProbe(Mutex<Tried>);

#[derive(Default)]
struct Tried {
    succeeded: Option<Timestamp>,
    /// The attempt under way. There is never another one beside it: while commits hang, each would keep a
    /// connection of the store.
    attempt: Option<JoinHandle<Result<(), StoreFault>>>,
}

/// For so long a commit that succeeded counts, in milliseconds. One that failed is not remembered: a
/// store that works again is told of at once.
const COMMIT_COUNTS: i64 = 5_000;

/// So long readiness waits for the store, whatever the store's own patience is: whoever asks gives up after a
/// few seconds, and "no answer" says less than "not ready". A commit that takes longer is as good as none.
pub(super) const STORE_TAKES: Duration = Duration::from_secs(3);

impl CommitProbe {
    /// Tries, unless it succeeded just before: the age of that success in seconds. Whoever asks
    /// meanwhile waits for that success, but no longer than [`STORE_TAKES`] either: a commit that waits for a
    /// replica may wait for long.
    pub async fn ask(
        &self,
        now: Timestamp,
        attempt: impl Future<Output = Result<(), StoreFault>> + Send + 'static,
    ) -> Result<i64, StoreFault> {
        let asked = async {
            let mut tried = self.0.lock().await;
            if let Some(age) = tried.succeeded.map(|at| now.since(at))
                && (0..COMMIT_COUNTS).contains(&age)
            {
                return Ok(age / 1_000);
            }
            tried.succeeded = None;
            let attempt = tried.attempt.get_or_insert_with(|| tokio::spawn(attempt));
            let outcome = attempt.await;
            tried.attempt = None;
            outcome.unwrap_or(Err(StoreFault::Unconfirmed))?;
            tried.succeeded = Some(now);
            Ok(0)
        };
        tokio::time::timeout(STORE_TAKES, asked).await.unwrap_or(Err(StoreFault::Unconfirmed))
    }
}

/// Asks the process whether it is ready.
pub(super) type Ask =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Readiness> + Send>> + Send + Sync + 'static>;

/// Answers the operator.
pub(super) struct Operator {
    pub metrics: Option<MetricsHandle>,
    pub ask: Ask,
}

impl OperatorHandler for Operator {
    fn handle(&self, request: OperatorRequest) -> Answer<'_> {
        Box::pin(async move {
            if request.method != Method::GET {
                return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
            }
            match request.path.as_str() {
                "/livez" => text(StatusCode::OK, "alive\n"),
                "/readyz" => self.readiness().await,
                "/metrics" => match &self.metrics {
                    Some(handle) => text(StatusCode::OK, handle.render()),
                    None => text(StatusCode::NOT_FOUND, "no metrics in this process\n"),
                },
                _ => text(StatusCode::NOT_FOUND, "/livez, /readyz or /metrics\n"),
            }
        })
    }
}

impl Operator {
    async fn readiness(&self) -> Response {
        let found = (self.ask)().await;
        let status = if found.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        text(status, found.lines.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_success_counts_for_a_while_and_a_failure_does_not() {
        let probe = CommitProbe::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let never = async || unreachable!("tried again");
        assert_eq!(probe.ask(at(100), async { Ok(()) }).await, Ok(0));
        assert_eq!(probe.ask(at(104), never()).await, Ok(4));
        let full = async || Err(StoreFault::Full);
        assert_eq!(probe.ask(at(105), full()).await, Err(StoreFault::Full));
        assert_eq!(probe.ask(at(105), full()).await, Err(StoreFault::Full));
        assert_eq!(probe.ask(at(105), async { Ok(()) }).await, Ok(0));
        // A clock that went back proves nothing.
        assert_eq!(probe.ask(at(90), full()).await, Err(StoreFault::Full));
    }

    #[tokio::test]
    async fn everybody_is_answered_in_time_also_while_a_commit_hangs() {
        let probe = CommitProbe::default();
        let now = Timestamp::from_millis(0);
        let begun = Arc::new(Semaphore::new(0));
        let attempt = |ends: &Arc<Semaphore>| {
            let (begun, ends) = (Arc::clone(&begun), Arc::clone(ends));
            async move {
                begun.add_permits(1);
                let _ends = ends.acquire().await;
                Ok(())
            }
        };
        let hangs = Arc::new(Semaphore::new(0));
        // One after the other would take twice as long.
        let both = async {
            tokio::join!(probe.ask(now, attempt(&hangs)), probe.ask(now, attempt(&hangs)))
        };
        let answers = tokio::time::timeout(STORE_TAKES * 3 / 2, both).await;
        assert_eq!(answers, Ok((Err(StoreFault::Unconfirmed), Err(StoreFault::Unconfirmed))));
        // It goes on, and there is no other one beside it.
        hangs.add_permits(2);
        assert_eq!(probe.ask(now, attempt(&hangs)).await, Ok(0));
        assert_eq!(begun.available_permits(), 1);
    }
}
