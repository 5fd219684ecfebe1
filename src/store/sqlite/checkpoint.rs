//! Copies the write-ahead log into the database beside the writer. The writer itself would stop for
//! tens of milliseconds, and everybody who waits for a receipt with it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::store::contract::StoreFault;

/// How far the write-ahead log has come, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Log {
    /// Written since it began anew.
    pub written: i64,
    /// Of these, copied into the database.
    pub copied: i64,
}

/// Asks how long the log is; copies nothing.
pub(super) fn log(conn: &Connection) -> Result<Log, StoreFault> {
    run(conn, "PRAGMA wal_checkpoint(NOOP)")
}

/// Copies what can be copied without waiting for anybody, and syncs it. Crash at any moment: the log
/// is still whole, and the next start reads it. A reader in the middle of its read makes this stop
/// early; the next one goes on. A full disk leaves the log as it is and is met again, by a commit.
pub(super) fn copy(conn: &Connection) -> Result<Log, StoreFault> {
    run(conn, "PRAGMA wal_checkpoint(PASSIVE)")
}

fn run(conn: &Connection, pragma: &str) -> Result<Log, StoreFault> {
    let mut statement = conn.prepare_cached(pragma)?;
    Ok(statement.query_row([], |row| Ok(Log { written: row.get(1)?, copied: row.get(2)? }))?)
}

/// A thread that copies when asked, with a connection of its own.
pub(super) struct Copier {
    asks: Option<Sender<()>>,
    answers: Receiver<Result<(), StoreFault>>,
    under_way: bool,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// Starts the thread.
    pub fn start(conn: Connection) -> Result<Self, StoreFault> {
        let (asks, asked) = channel();
        let (answer, answers) = channel();
        let work = move || {
            while asked.recv().is_ok() {
                if answer.send(copy(&conn).map(drop)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-copier".into()).spawn(work);
        let thread = Some(thread.map_err(|_| StoreFault::Unavailable)?);
        Ok(Self { asks: Some(asks), answers, under_way: false, thread })
    }

    /// Whether a copy is being made.
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Begins a copy.
    pub fn begin(&mut self) {
        self.under_way = self.asks.as_ref().is_some_and(|asks| asks.send(()).is_ok());
    }

    /// What became of the copy that was begun, once it has ended.
    pub fn ended(&mut self) -> Option<Result<(), StoreFault>> {
        let ended = self.answers.try_recv().ok()?;
        self.under_way = false;
        Some(ended)
    }

    /// Waits for the end of the copy that was begun.
    pub fn wait(&mut self) -> Result<(), StoreFault> {
        self.under_way = false;
        // The thread is gone: only by a panic, and then nothing says that the file is sound.
        self.answers.recv().unwrap_or(Err(StoreFault::Unavailable))
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.asks.take();
        if let Some(thread) = self.thread.take() {
            // A copier that panicked has told the writer by its silence.
            let _ = thread.join();
        }
    }
}
