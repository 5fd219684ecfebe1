//! The pool, and an operation from its first try to its answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::check::{self, Checks};
use super::connect::{Connector, Demands};
use super::faults::Trouble;
use super::schema::Kind;
use super::session::Session;
use super::settings::Settings;
use crate::store::contract::{CheckReport, Pending, StoreFault};
use crate::store::sealing::Vault;

/// One try of an operation over a session.
pub(super) type Work<'s, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 's>>;

/// Pauses between tries: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// For undoing a transaction whose operation has its answer already; then its connection is closed, which
/// undoes it too.
const UNDO: Duration = Duration::from_secs(2);

/// Which try of an operation this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Try {
    /// Whether a commit of an earlier try may have happened.
    pub maybe_done: bool,
}

/// An open database.
pub(super) struct Engine {
    pool: Pool<Sessions>,
    patience: Duration,
}

impl Engine {
    /// Connects once, so that a database that cannot be used is refused at the start, with the
    /// reason. `service`: whether this is a serving process, or an operator's command.
    pub async fn open(
        settings: &Settings,
        kind: Kind,
        service: bool,
    ) -> Result<Arc<Self>, StoreFault> {
        let demands = if service { Demands::SERVICE } else { Demands::OPERATOR };
        let sessions = Sessions { connector: Connector::new(settings, kind)?, demands };
        let mut config = PoolConfig::new(settings.connections.max(1));
        // The one used last has its statements and the server's caches at hand.
        config.queue_mode = QueueMode::Lifo;
        let pool = Pool::builder(sessions).config(config).build();
        let pool = pool.map_err(|_| StoreFault::Unavailable)?;
        let engine = Self { pool, patience: settings.patience };
        drop(engine.session().await.map_err(|trouble| trouble.in_the_end(false))?);
        Ok(Arc::new(engine))
    }

    /// For one try of an operation: there are several within its patience.
    pub fn one_try(&self) -> Duration {
        self.patience / 3
    }

    /// Runs an operation that writes, to its end also if the caller stops waiting. It must be safe to
    /// repeat as a whole.
    pub fn write<T, F>(self: &Arc<Self>, op: F) -> Pending<'static, T>
    where
        T: Send + 'static,
        F: for<'s> Fn(&'s Session, Try) -> Work<'s, T> + Send + Sync + 'static,
    {
        let engine = Arc::clone(self);
        Box::pin(async move {
            let work = tokio::spawn(async move { engine.run(true, op).await });
            work.await.unwrap_or(Err(StoreFault::Unconfirmed))
        })
    }

    /// Runs an operation that only reads.
    pub fn read<T, F>(self: &Arc<Self>, op: F) -> Pending<'static, T>
    where
        T: Send + 'static,
        F: for<'s> Fn(&'s Session) -> Work<'s, T> + Send + Sync + 'static,
    {
        let engine = Arc::clone(self);
        Box::pin(async move { engine.run(false, move |session, _| op(session)).await })
    }

    /// Tries until there is an answer or patience ends. Each try has a session, and
    /// [`Engine::one_try`]; a session whose try did not come to an end is closed, never used again.
    pub async fn run<T, F>(&self, writes: bool, op: F) -> Result<T, StoreFault>
    where
        F: for<'s> Fn(&'s Session, Try) -> Work<'s, T> + Send + Sync,
    {
        let deadline = Instant::now() + self.patience;
        let mut this = Try { maybe_done: false };
        let mut pause = FIRST_PAUSE;
        loop {
            let trouble = match timeout_at(deadline, self.session()).await {
                Ok(Ok(session)) => match self.attempt(session, writes, &op, this).await {
                    Ok(answer) => return Ok(answer),
                    Err(trouble) => trouble,
                },
                Ok(Err(trouble)) => trouble,
                Err(_) => return Err(Trouble::Lost.in_the_end(this.maybe_done)),
            };
            this.maybe_done |= trouble == Trouble::Unknown;
            let over = Instant::now() + pause >= deadline;
            match trouble {
                Trouble::Fault(fault) if over || !passes(fault) => {
                    // The two tell which of a batch is to blame.
                    let blames = matches!(fault, StoreFault::Misuse | StoreFault::Corrupt);
                    let unknown = this.maybe_done && !blames;
                    return Err(if unknown { StoreFault::Unconfirmed } else { fault });
                }
                trouble if over => return Err(trouble.in_the_end(this.maybe_done)),
                _ => {}
            }
            sleep(pause + spread()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Checks everything, for as long as that takes, in one state of the database.
    pub fn check(
        self: &Arc<Self>,
        checks: &'static Checks,
        vault: &Arc<Vault>,
    ) -> Pending<'static, CheckReport> {
        let (engine, vault) = (Arc::clone(self), Arc::clone(vault));
        Box::pin(async move {
            let session = engine.session().await.map_err(|trouble| trouble.in_the_end(false))?;
            let mut used = InUse { session: &session, ended: false };
            let report = check::run(&session, checks, &vault).await;
            used.ended = true;
            report.map_err(|trouble| trouble.in_the_end(false))
        })
    }

    async fn session(&self) -> Result<Object<Sessions>, Trouble> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(fault) => Trouble::Fault(fault),
            _ => Trouble::Lost,
        })
    }

    async fn attempt<T, F>(
        &self,
        session: Object<Sessions>,
        writes: bool,
        op: &F,
        this: Try,
    ) -> Result<T, Trouble>
    where
        F: for<'s> Fn(&'s Session, Try) -> Work<'s, T> + Send + Sync,
    {
        let mut used = InUse { session: &session, ended: false };
        let outcome = match timeout(self.one_try(), op(&session, this)).await {
            Ok(outcome) => outcome,
            // Whatever was under way may still happen. The connection is dropped, not cancelled.
            Err(_) if writes => Err(Trouble::Unknown),
            Err(_) => Err(Trouble::Lost),
        };
        let ended = !matches!(outcome, Err(Trouble::Lost | Trouble::Unknown));
        if ended && !session.is_idle() {
            // Before anybody is told: its locks would keep others waiting.
            let _ = timeout(UNDO, session.roll_back()).await;
        }
        used.ended = ended;
        drop(used);
        if !ended || !session.is_idle() {
            drop(Object::take(session));
        }
        outcome
    }
}

/// Closes a session whose work did not end, or left a transaction open, also if whoever waits for it is dropped
/// in the middle: in the pool its next user would wait for that work, and it would keep locks and an old
/// snapshot.
struct InUse<'s> {
    session: &'s Session,
    ended: bool,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        if !self.ended || !self.session.is_idle() {
            self.session.close();
        }
    }
}

/// Whether a fault may pass within the patience of one operation: servers that are down or being
/// promoted.
fn passes(fault: StoreFault) -> bool {
    matches!(
        fault,
        StoreFault::Unreachable
            | StoreFault::Unavailable
            | StoreFault::NotPrimary
            | StoreFault::OldPrimary
            | StoreFault::NoReplica
            | StoreFault::Unconfirmed
    )
}

/// A little more of a pause, other for each process.
fn spread() -> Duration {
    Duration::from_micros(u64::from(std::process::id() % 1_024) * 4)
}

/// Makes and judges the pool's sessions.
struct Sessions {
    connector: Connector,
    demands: Demands,
}

impl Manager for Sessions {
    type Type = Session;
    type Error = StoreFault;

    async fn create(&self) -> Result<Session, StoreFault> {
        self.connector.first_primary(self.demands).await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<StoreFault> {
        // A promotion that another session has seen ends those of the old primary.
        if session.is_idle() && session.epoch >= self.connector.highest_epoch() {
            Ok(())
        } else {
            Err(RecycleError::message("of no use any more"))
        }
    }
}
