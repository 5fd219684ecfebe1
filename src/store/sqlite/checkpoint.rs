//! Copies the write-ahead log into the database beside the writer. The writer itself would stop for
//! tens of milliseconds, and everybody who waits for a receipt with it.

use std::fs::File;
use std::sync::Arc;
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

/// Copies, and syncs the database even if the writer has written on meanwhile: SQLite then leaves that
/// sync to the copy that reaches the end, which is the writer's, and everybody would wait for it. A
/// failed sync is never repeated: pages may be gone, and the next one could say that all is well.
fn copy_and_sync(conn: &Connection, database: &File) -> Result<(), StoreFault> {
    copy(conn)?;
    database.sync_data().map_err(|_| StoreFault::OutcomeUnknown)
}

/// A thread that copies when asked, with a connection of its own.
pub(super) struct Copier {
    asks: Option<Sender<()>>,
    answers: Receiver<Result<(), StoreFault>>,
    under_way: bool,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// Starts the thread; `database` is the file that `conn` writes into.
    pub fn start(conn: Connection, database: Arc<File>) -> Result<Self, StoreFault> {
        let (asks, asked) = channel();
        let (answer, answers) = channel();
        let work = move || {
            while asked.recv().is_ok() {
                if answer.send(copy_and_sync(&conn, &database)).is_err() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection to a file with a write-ahead log that nobody copies but us.
    fn open(folder: &std::path::Path) -> Connection {
        let conn = Connection::open(folder.join("a.db")).unwrap();
        let wal = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        assert_eq!(conn.pragma_update_and_check(None, "journal_mode", "wal", wal).unwrap(), "wal");
        conn.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        conn
    }

    fn file(folder: &std::path::Path) -> Arc<File> {
        Arc::new(File::open(folder.join("a.db")).unwrap())
    }

    fn run(conn: &Connection, sql: &str) {
        conn.prepare(sql).unwrap().execute([]).unwrap();
    }

    #[test]
    fn a_copy_takes_all_and_the_next_commit_begins_the_log_anew() {
        let folder = tempfile::tempdir().unwrap();
        let conn = open(folder.path());
        run(&conn, "CREATE TABLE t (room BLOB)");
        run(&conn, "INSERT INTO t VALUES (randomblob(400000))");
        let before = log(&conn).unwrap();
        assert!(before.written > 90 && before.copied == 0, "{before:?}");
        let mut copier = Copier::start(open(folder.path()), file(folder.path())).unwrap();
        assert!(!copier.is_under_way() && copier.ended().is_none());
        copier.begin();
        assert!(copier.is_under_way());
        assert_eq!(copier.wait(), Ok(()));
        assert!(!copier.is_under_way());
        assert_eq!(log(&conn).unwrap(), Log { copied: before.written, ..before });
        run(&conn, "INSERT INTO t VALUES (1)");
        assert!(log(&conn).unwrap().written < 10);
    }

    #[test]
    fn a_reader_stops_a_copy_early_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (conn, reader) = (open(folder.path()), open(folder.path()));
        run(&conn, "CREATE TABLE t (room BLOB)");
        run(&reader, "BEGIN");
        let count = |conn: &Connection| -> i64 {
            conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count(&reader), 0);
        run(&conn, "INSERT INTO t VALUES (randomblob(400000))");
        let mut copier = Copier::start(open(folder.path()), file(folder.path())).unwrap();
        copier.begin();
        assert_eq!(copier.wait(), Ok(()));
        let stopped = log(&conn).unwrap();
        assert!(stopped.copied < stopped.written, "{stopped:?}");
        assert_eq!(count(&reader), 0);
        run(&reader, "COMMIT");
        copier.begin();
        assert_eq!(copier.wait(), Ok(()));
        let done = log(&conn).unwrap();
        assert_eq!((done.copied, count(&reader)), (done.written, 1));
    }

    #[test]
    fn a_copy_that_fails_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let conn = open(folder.path());
        run(&conn, "CREATE TABLE t (room BLOB)");
        // SQLite copies nothing for a connection that is writing.
        run(&conn, "BEGIN IMMEDIATE");
        let mut copier = Copier::start(conn, file(folder.path())).unwrap();
        copier.begin();
        assert!(copier.wait().is_err());
        assert!(!copier.is_under_way());
    }
}
