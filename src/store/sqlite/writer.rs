//! The one thread that writes. It takes everything that waits, runs it in one transaction, and
//! answers after the commit.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::checkpoint::{self, Copier};
use super::transaction::Tx;
use crate::store::contract::StoreFault;

/// Operations that may wait; further callers wait for their turn to wait.
const QUEUE: usize = 1_024;
/// Operations per commit. More bring nothing and make the first one wait.
const LARGEST_BATCH: usize = 256;
/// So many pages of the write-ahead log are copied into the database beside the writer (8 MB). With
/// more, copies are rarer and each disturbs the commits beside it for longer: `benches/README.md`.
const COPIED_TOGETHER: i64 = 2_000;
/// At this length (64 MB) the log is to begin anew. For that the writer itself copies what is left, and it
/// stands still for three syncs: not too often.
const LONG_LOG: i64 = 16_000;
/// So few pages the writer copies itself (1.6 MB).
const LAST_PAGES: i64 = 400;
/// At this length (160 MB) the writer waits for the copy: the disk is slower than the work.
const LONGEST_LOG: i64 = 40_000;
/// Operations between two looks at the size of the log.
const LOOK_EVERY: usize = 64;

/// An operation on its way. It may run more than once; what it did is undone in between.
trait Job: Send {
    /// Runs inside a transaction.
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreFault>;
    /// Answers the caller: what became of the transaction, then what the operation said.
    fn tell(self: Box<Self>, transaction: Result<(), StoreFault>);
}

struct Queued<T, F> {
    op: F,
    result: Result<T, StoreFault>,
    answer: oneshot::Sender<(Result<T, StoreFault>, F)>,
    _turn: OwnedSemaphorePermit,
}

impl<T, F> Job for Queued<T, F>
where
    T: Send,
    F: Fn(&Tx<'_>) -> Result<T, StoreFault> + Send,
{
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreFault> {
        self.result = (self.op)(tx);
        self.result.as_ref().map(drop).map_err(|fault| *fault)
    }

    fn tell(self: Box<Self>, transaction: Result<(), StoreFault>) {
        // Whoever stopped waiting does not need the answer. What was written goes back with it: to be
        // freed where it was made, and not while the next batch waits.
        let _ = self.answer.send((transaction.and(self.result), self.op));
    }
}

/// What waits for the writer. It is woken once for a batch, not for each operation of it: a wake-up
/// costs the system more than many an operation.
#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Box<dyn Job>>,
    /// The writer sleeps until there is something.
    asleep: bool,
    /// Nothing more will come.
    closed: bool,
    /// Nothing more will be done.
    abandoned: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing is half-done when a holder panics: every change is one operation of the queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job, unless nobody will ever take it.
    fn push(&self, job: Box<dyn Job>) -> Result<(), StoreFault> {
        let mut waiting = self.lock();
        if waiting.closed || waiting.abandoned {
            return Err(StoreFault::Stopped);
        }
        waiting.jobs.push_back(job);
        let wake = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if wake {
            self.bell.notify_one();
        }
        Ok(())
    }

    fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
    }

    /// Waits for a job and takes all that is there, at once. Empty once closed.
    fn take(&self) -> Vec<Box<dyn Job>> {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return Vec::new();
            }
            waiting.asleep = true;
            waiting = self.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.asleep = false;
        let count = waiting.jobs.len().min(LARGEST_BATCH);
        waiting.jobs.drain(..count).collect()
    }
}

pub(super) struct Writer {
    turns: Arc<Semaphore>,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `copier` copies the log of `conn`'s file.
    pub fn start(conn: Connection, copier: Copier) -> Result<Self, StoreFault> {
        let queue = Arc::new(Queue::default());
        let work = Work { copier, conn, queue: queue.clone() };
        let thread = std::thread::Builder::new().name("store-writer".into());
        let thread = thread.spawn(move || work.run()).map_err(|_| StoreFault::Unavailable)?;
        Ok(Self { turns: Arc::new(Semaphore::new(QUEUE)), queue, thread: Some(thread) })
    }

    /// Queues `op` and waits for the commit that holds it. Once queued, it is carried out even if
    /// the caller stops waiting.
    pub async fn submit<T, F>(&self, op: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T, StoreFault> + Send + 'static,
    {
        let _turn = self.turns.clone().acquire_owned().await.map_err(|_| StoreFault::Stopped)?;
        let (answer, answered) = oneshot::channel();
        let result = Err(StoreFault::OutcomeUnknown);
        self.queue.push(Box::new(Queued { op, result, answer, _turn }))?;
        // The thread ended with the job in its hands or in the queue.
        answered.await.map_or(Err(StoreFault::OutcomeUnknown), |(result, _op)| result)
    }
}

impl Drop for Writer {
    /// Carries out what is queued, checkpoints and closes the file.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has told its callers; there is nothing to add.
            let _ = thread.join();
        }
    }
}

struct Work {
    // Ends before the connection closes, which then is the last and checkpoints.
    copier: Copier,
    conn: Connection,
    queue: Arc<Queue>,
}

impl Drop for Work {
    /// Also when the thread panics: whoever still waits learns that nobody knows.
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.abandoned = true;
        let left = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        drop(left);
    }
}

impl Work {
    fn run(mut self) {
        self.hand().run();
    }

    fn hand(&mut self) -> Hand<'_> {
        let Self { copier, conn, queue } = self;
        Hand { tx: Tx::new(conn), copier, queue, since_look: 0 }
    }
}

/// The thread at work.
struct Hand<'w> {
    tx: Tx<'w>,
    copier: &'w mut Copier,
    queue: &'w Queue,
    since_look: usize,
}

impl Hand<'_> {
    fn run(mut self) {
        loop {
            let jobs = self.queue.take();
            if jobs.is_empty() {
                // Closing the last connection checkpoints too; a failure leaves the log for the next
                // start.
                return;
            }
            self.since_look += jobs.len();
            let healthy = self.carry_out(jobs).and_then(|()| self.checkpoint());
            if healthy.is_err_and(StoreFault::is_final) {
                return self.refuse_the_rest();
            }
        }
    }

    /// All jobs in one transaction. If one of them fails, which is rare, each gets one of its own, so
    /// that it takes nothing with it: savepoints would do the same and every batch would pay.
    fn carry_out(&self, mut jobs: Vec<Box<dyn Job>>) -> Result<(), StoreFault> {
        let together = self.commit(&mut jobs);
        if together != Ok(false) || jobs.len() == 1 {
            let outcome = together.map(drop);
            // Crash before this line: committed, and nobody was told. They ask again and get the
            // stored answer.
            jobs.into_iter().for_each(|job| job.tell(outcome));
            return outcome;
        }
        let mut outcome = Ok(());
        for mut job in jobs {
            if !outcome.is_err_and(StoreFault::is_final) {
                outcome = self.commit(std::slice::from_mut(&mut job)).map(drop);
            }
            job.tell(outcome);
        }
        outcome
    }

    /// Runs jobs in one transaction. False if one of them failed: then none of them happened.
    fn commit(&self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StoreFault> {
        self.statement("BEGIN IMMEDIATE")?;
        let outcome = match jobs.iter_mut().try_for_each(|job| job.run(&self.tx)) {
            // Crash before this: nothing of the batch exists. In it: the log's last frame decides, all
            // or nothing. After: everything is on disk.
            Ok(()) => self.statement("COMMIT").map(|()| true),
            // SQLite ends the transaction by itself on a full disk, lack of memory and I/O errors;
            // then the fault is everybody's.
            Err(fault) if self.tx.is_autocommit() || fault.is_final() => Err(fault),
            Err(_) => Ok(false),
        };
        if outcome != Ok(true) && !self.tx.is_autocommit() {
            // Fails only if the transaction has ended already.
            let _ = self.statement("ROLLBACK");
        }
        self.tx.ended(outcome == Ok(true));
        outcome
    }

    /// Has the log copied into the database beside the writer. SQLite begins it anew at the first commit
    /// that finds all of it copied: so once it is long the copier does the bulk, as often as it takes
    /// until little is left, and the writer the rest between two commits.
    fn checkpoint(&mut self) -> Result<(), StoreFault> {
        match self.copier.ended() {
            // Right after a copy the least is left.
            Some(ended) => ended?,
            None if self.since_look < LOOK_EVERY => return Ok(()),
            None => {}
        }
        self.since_look = 0;
        let mut log = checkpoint::log(&self.tx)?;
        if log.written >= LONGEST_LOG && self.copier.is_under_way() {
            self.copier.wait()?;
            log = checkpoint::log(&self.tx)?;
        }
        let (left, long) = (log.written - log.copied, log.written >= LONG_LOG);
        if log.written >= LONGEST_LOG || long && left <= LAST_PAGES {
            checkpoint::copy(&self.tx)?;
        } else if (long || left >= COPIED_TOGETHER) && !self.copier.is_under_way() {
            self.copier.begin();
        }
        Ok(())
    }

    /// After a failed sync: nothing is written or synced any more, not even on closing.
    fn refuse_the_rest(&self) {
        // Fails only for options that this SQLite does not know.
        let _ = self.tx.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        loop {
            let jobs = self.queue.take();
            if jobs.is_empty() {
                return;
            }
            jobs.into_iter().for_each(|job| job.tell(Err(StoreFault::Stopped)));
        }
    }

    fn statement(&self, sql: &'static str) -> Result<(), StoreFault> {
        self.tx.execute(sql, []).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inserts `value`, and then fails if it is negative.
    fn insert(
        value: i64,
        turns: &Arc<Semaphore>,
    ) -> (Box<dyn Job>, impl FnMut() -> Result<i64, StoreFault>) {
        let op = move |tx: &Tx<'_>| {
            tx.execute("INSERT INTO t VALUES (?1)", [value])?;
            if value < 0 { Err(StoreFault::Misuse) } else { Ok(value) }
        };
        let (answer, mut answered) = oneshot::channel();
        let result = Err(StoreFault::OutcomeUnknown);
        let _turn = turns.clone().try_acquire_owned().unwrap();
        (Box::new(Queued { op, result, answer, _turn }), move || answered.try_recv().unwrap().0)
    }

    #[test]
    fn an_operation_that_fails_takes_nothing_of_its_batch_with_it() {
        let conn = Connection::open_in_memory().unwrap();
        conn.prepare("CREATE TABLE t (value INTEGER)").unwrap().execute([]).unwrap();
        let queue = Arc::new(Queue::default());
        let database = Arc::new(tempfile::tempfile().unwrap());
        let copier = Copier::start(Connection::open_in_memory().unwrap(), database).unwrap();
        let mut work = Work { copier, conn, queue };
        let turns = Arc::new(Semaphore::new(QUEUE));
        let (jobs, answers): (Vec<_>, Vec<_>) =
            [1, 2, -3, 4].map(|value| insert(value, &turns)).into_iter().unzip();
        work.hand().carry_out(jobs).unwrap();
        let answers: Vec<_> = answers.into_iter().map(|mut answer| answer()).collect();
        assert_eq!(answers, [Ok(1), Ok(2), Err(StoreFault::Misuse), Ok(4)]);
        let mut all = work.conn.prepare("SELECT value FROM t ORDER BY value").unwrap();
        let stored: Vec<i64> =
            all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(stored, [1, 2, 4]);
        assert_eq!(turns.available_permits(), QUEUE);
    }

    #[test]
    fn a_long_log_is_copied_beside_the_writer_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let conn = Connection::open(folder.path().join("a.db")).unwrap();
            conn.pragma_update(None, "journal_mode", "wal").unwrap();
            conn.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
            conn.pragma_update(None, "synchronous", "off").unwrap();
            conn
        };
        let run =
            |conn: &Connection, sql: &str| drop(conn.prepare(sql).unwrap().raw_query().next());
        let conn = open();
        run(&conn, "CREATE TABLE t (room BLOB)");
        let queue = Arc::new(Queue::default());
        let database = Arc::new(std::fs::File::open(folder.path().join("a.db")).unwrap());
        let copier = Copier::start(open(), database).unwrap();
        let mut work = Work { copier, conn, queue };
        let mut hand = work.hand();
        let turns = Arc::new(Semaphore::new(QUEUE));
        let write = |hand: &mut Hand<'_>, pages: i64| {
            let job = |_| -> Box<dyn Job> {
                let room = pages * 4_096 / LOOK_EVERY as i64;
                let op =
                    move |tx: &Tx<'_>| tx.execute("INSERT INTO t VALUES (zeroblob(?1))", [room]);
                let result = Err(StoreFault::OutcomeUnknown);
                let _turn = turns.clone().try_acquire_owned().unwrap();
                Box::new(Queued { op, result, answer: oneshot::channel().0, _turn })
            };
            hand.carry_out((0..LOOK_EVERY).map(job).collect()).unwrap();
            hand.since_look += LOOK_EVERY;
            checkpoint::log(&hand.tx).unwrap()
        };
        let left = |log: checkpoint::Log| log.written - log.copied;

        // Copied beside the writer, long before the log is long.
        assert!(left(write(&mut hand, COPIED_TOGETHER)) >= COPIED_TOGETHER);
        hand.checkpoint().unwrap();
        assert!(hand.copier.is_under_way());
        // Looked at again as soon as the copy has ended.
        while hand.copier.is_under_way() {
            hand.checkpoint().unwrap();
        }
        // Somebody reads, so that the log cannot begin anew while it becomes long.
        let reader = open();
        write(&mut hand, LONG_LOG);
        run(&reader, "BEGIN");
        run(&reader, "SELECT count(*) FROM t");
        hand.copier.begin();
        hand.copier.wait().unwrap();
        let log = write(&mut hand, 1);
        assert!(log.written >= LONG_LOG && (1..=LAST_PAGES).contains(&left(log)), "{log:?}");
        run(&reader, "COMMIT");
        // So little the writer copies itself, and the commit after it starts afresh.
        hand.checkpoint().unwrap();
        assert!(!hand.copier.is_under_way());
        assert_eq!(left(checkpoint::log(&hand.tx).unwrap()), 0);
        assert!(write(&mut hand, 1).written < LAST_PAGES);
        let rows: i64 = hand.tx.query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap();
        assert_eq!(rows as usize, 4 * LOOK_EVERY);
    }

    #[test]
    fn what_waits_is_taken_together_and_a_closed_queue_ends() {
        let (queue, turns) = (Queue::default(), Arc::new(Semaphore::new(QUEUE)));
        let (jobs, _answers): (Vec<_>, Vec<_>) =
            (0..LARGEST_BATCH as i64 + 3).map(|value| insert(value, &turns)).unzip();
        jobs.into_iter().for_each(|job| queue.push(job).unwrap());
        assert_eq!(queue.take().len(), LARGEST_BATCH);
        queue.close();
        assert_eq!(queue.take().len(), 3);
        assert!(queue.take().is_empty());
        let (late, _answer) = insert(1, &turns);
        assert_eq!(queue.push(late), Err(StoreFault::Stopped));
    }
}
