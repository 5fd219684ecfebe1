//! The one thread that writes. It takes everything that waits, runs it in one transaction, and
//! answers after the commit.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::store::contract::StoreFault;

/// Operations that may wait; further callers wait for their turn to wait.
const QUEUE: usize = 1_024;
/// Operations per commit. More bring nothing and make the first one wait.
const LARGEST_BATCH: usize = 256;
/// The write-ahead log is copied into the database when it has this many pages (40 MB).
const CHECKPOINT_PAGES: i64 = 10_000;
/// Operations between two looks at the size of the log.
const LOOK_EVERY: usize = 64;
/// A commit lingers only if the one before had at least this many operations.
const LINGER_FROM: usize = 4;

/// An operation on its way: runs inside a transaction (or learns why it may not), and is told
/// afterwards what became of that.
type Job = Box<dyn FnOnce(Result<&Connection, StoreFault>) -> Ran + Send>;

struct Ran {
    fault: Option<StoreFault>,
    tell: Box<dyn FnOnce(Result<(), StoreFault>) + Send>,
}

pub(super) struct Writer {
    turns: Arc<Semaphore>,
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(conn: Connection, linger: Duration) -> Result<Self, StoreFault> {
        let (jobs, queue) = channel();
        let linger = linger.min(Duration::from_millis(1));
        let work = move || Work { conn, queue, linger, last_batch: 0, since_look: 0 }.run();
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(work);
        Ok(Self {
            turns: Arc::new(Semaphore::new(QUEUE)),
            jobs: Mutex::new(Some(jobs)),
            thread: Some(thread.map_err(|_| StoreFault::Unavailable)?),
        })
    }

    /// Queues `op` and waits for the commit that holds it. Once queued, it is carried out even if
    /// the caller stops waiting.
    pub async fn submit<T, F>(&self, op: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreFault> + Send + 'static,
    {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| StoreFault::Stopped)?;
        let (answer, answered) = oneshot::channel();
        let job = job(op, answer, turn);
        {
            let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            let jobs = jobs.as_ref().ok_or(StoreFault::Stopped)?;
            // The writer's thread has ended: nothing was done.
            jobs.send(job).map_err(|_| StoreFault::Stopped)?;
        }
        // The thread ended with the job in its hands or in the queue.
        answered.await.unwrap_or(Err(StoreFault::OutcomeUnknown))
    }
}

impl Drop for Writer {
    /// Carries out what is queued, checkpoints and closes the file.
    fn drop(&mut self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has told its callers; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn job<T, F>(
    op: F,
    answer: oneshot::Sender<Result<T, StoreFault>>,
    turn: OwnedSemaphorePermit,
) -> Job
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, StoreFault> + Send + 'static,
{
    Box::new(move |conn| {
        let result = conn.and_then(op);
        Ran {
            fault: result.as_ref().err().copied(),
            tell: Box::new(move |batch| {
                // Whoever stopped waiting does not need the answer.
                let _ = answer.send(batch.and(result));
                drop(turn);
            }),
        }
    })
}

struct Work {
    conn: Connection,
    queue: Receiver<Job>,
    linger: Duration,
    last_batch: usize,
    since_look: usize,
}

impl Work {
    fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let jobs = self.gather(first);
            self.last_batch = jobs.len();
            let mut ran = Vec::with_capacity(jobs.len());
            let outcome = self.commit(jobs, &mut ran);
            // Crash before this line: committed, and nobody was told. They ask again and get the
            // stored answer.
            for done in ran {
                (done.tell)(outcome);
            }
            let healthy = outcome.and_then(|()| self.checkpoint(CHECKPOINT_PAGES));
            if healthy.is_err_and(StoreFault::is_final) {
                return self.refuse_the_rest();
            }
        }
        // Closing the last connection checkpoints too; a failure leaves the log for the next start.
    }

    fn gather(&self, first: Job) -> Vec<Job> {
        let mut jobs = vec![first];
        while jobs.len() < LARGEST_BATCH
            && let Ok(job) = self.queue.try_recv()
        {
            jobs.push(job);
        }
        if self.linger.is_zero() || self.last_batch < LINGER_FROM {
            return jobs;
        }
        let until = Instant::now() + self.linger;
        while jobs.len() < self.last_batch.min(LARGEST_BATCH) {
            match self.queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(job) => jobs.push(job),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        jobs
    }

    /// Runs the jobs in one transaction, each in a savepoint of its own, so that a job that fails
    /// takes nothing with it.
    fn commit(&self, jobs: Vec<Job>, ran: &mut Vec<Ran>) -> Result<(), StoreFault> {
        let mut batch = self.statement("BEGIN IMMEDIATE");
        for job in jobs {
            if let Err(fault) = batch {
                // The transaction is gone; what is left must not run outside of one.
                ran.push(job(Err(fault)));
                continue;
            }
            batch = self.statement("SAVEPOINT op");
            if let Err(fault) = batch {
                ran.push(job(Err(fault)));
                continue;
            }
            let done = job(Ok(&self.conn));
            batch = match done.fault {
                None => self.statement("RELEASE op"),
                // SQLite ends the whole transaction by itself on a full disk, lack of memory and
                // I/O errors; then the fault is everybody's.
                Some(fault) if self.conn.is_autocommit() || fault.is_final() => Err(fault),
                Some(_) => {
                    self.statement("ROLLBACK TO op").and_then(|()| self.statement("RELEASE op"))
                }
            };
            ran.push(done);
        }
        // Crash before this: nothing of the batch exists. In it: the log's last frame decides, all
        // or nothing. After: everything is on disk.
        let outcome = batch.and_then(|()| self.statement("COMMIT"));
        if outcome.is_err() && !self.conn.is_autocommit() {
            // Fails only if the transaction has ended already.
            let _ = self.statement("ROLLBACK");
        }
        outcome
    }

    /// Copies the log into the database once it has `pages` pages. Crash at any moment: the log is
    /// still whole, and the next start reads it. A reader in the middle of its read makes this
    /// stop early; the next look goes on.
    fn checkpoint(&mut self, pages: i64) -> Result<(), StoreFault> {
        self.since_look += self.last_batch;
        if self.since_look < LOOK_EVERY {
            return Ok(());
        }
        self.since_look = 0;
        let mut size = self.conn.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        if size.query_row([], |row| row.get::<_, i64>(1))? < pages {
            return Ok(());
        }
        let mut copy = self.conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
        // A full disk leaves the log as it is and is met again, by a commit.
        Ok(copy.query_row([], |_| Ok(()))?)
    }

    /// After a failed sync: nothing is written or synced any more, not even on closing.
    fn refuse_the_rest(self) {
        // Fails only for options that this SQLite does not know.
        let _ = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        while let Ok(job) = self.queue.recv() {
            (job(Err(StoreFault::Stopped)).tell)(Ok(()));
        }
    }

    fn statement(&self, sql: &str) -> Result<(), StoreFault> {
        Ok(self.conn.prepare_cached(sql)?.execute([]).map(drop)?)
    }
}
