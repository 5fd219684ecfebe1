//! One open file: how it is opened, and how operations reach its writer and its readers.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::checkpoint::Copier;
use super::schema::Schema;
use super::transaction::Tx;
use super::writer::Writer;
use crate::store::contract::{Pending, StoreFault};

/// Connections for reading. Reads are short and mostly answered from memory, so a few serve many
/// callers; each may hold a page cache of its own.
const READERS: usize = 4;
/// How long a connection waits for another process's write lock (an operator's command), in ms.
const BUSY_MS: u64 = 5_000;
/// Page cache of the writer and of each reader, in KiB.
const CACHE_KIB: i64 = 8_192;

/// Who opens the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The serving process: exactly one at a time, held by a lock on `<path>.lock`.
    Owner,
    /// An operator's command beside it. Never creates or migrates.
    Operator,
}

/// Where the store lies and how it is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database file. Beside it SQLite keeps `-wal` and `-shm`, and the owner `.lock`; they
    /// belong together. Must lie on a local disk: network file systems break its locks.
    pub path: PathBuf,
    /// Whether a store that is missing is created. Its folder is never created.
    pub create: bool,
    /// Owner or operator.
    pub access: Access,
}

impl Settings {
    /// The serving process's own store at `path`, which must exist.
    pub fn owner(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), create: false, access: Access::Owner }
    }

    /// The same, created if it is missing.
    pub fn or_create(mut self) -> Self {
        self.create = true;
        self
    }
}

/// How long opening waits for the lock of an owner that may be ending.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// An open file with its writer thread and its reading connections.
pub(super) struct Engine {
    // Order matters: fields are dropped from the top, and the lock must go last.
    readers: Arc<Readers>,
    writer: Writer,
    /// Open as long as any connection: closing a file gives up the locks that this process holds on it,
    /// also those of SQLite.
    _database: Arc<File>,
    _lock: Option<File>,
}

impl Engine {
    /// Opens, locks, migrates and starts the writer. Blocking; called at start.
    pub fn open(settings: &Settings, schema: &Schema) -> Result<Self, StoreFault> {
        let owner = settings.access == Access::Owner;
        let lock = if owner { Some(lock(settings)?) } else { None };
        prepare_file(&settings.path, settings.create && owner)?;
        let mut conn = connect(&settings.path)?;
        let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if !owner && version as usize != schema.migrations.len() {
            // Migrating is the owner's business; UnknownSchema says both versions.
            return Err(StoreFault::UnknownSchema {
                found: version,
                known: schema.migrations.len() as u32,
            });
        }
        if version == 0 {
            conn.pragma_update(None, "page_size", 4_096)?;
        }
        schema.migrate(&mut conn, settings.create)?;
        let mode: String =
            conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreFault::Unavailable);
        }
        conn.pragma_update(None, "synchronous", "full")?;
        // The writer checkpoints by itself, where it sees errors that SQLite would swallow.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let reader = connect(&settings.path)?;
            reader.pragma_update(None, "query_only", true)?;
            never_last(&reader)?;
            readers.push(reader);
        }
        let readers = Arc::new(Readers {
            free: Arc::new(Semaphore::new(READERS)),
            idle: Mutex::new(readers),
        });
        let copier = connect(&settings.path)?;
        never_last(&copier)?;
        let database = Arc::new(File::open(&settings.path).map_err(|_| StoreFault::Unavailable)?);
        let writer = Writer::start(conn, Copier::start(copier, database.clone())?)?;
        Ok(Self { readers, writer, _database: database, _lock: lock })
    }

    /// Runs `op` in the writer's next transaction; resolves after that is committed and synced. If
    /// another operation of that transaction fails, it is undone and run again.
    pub fn write<T, F>(&self, op: F) -> Pending<'_, T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T, StoreFault> + Send + 'static,
    {
        Box::pin(self.writer.submit(op))
    }

    /// Runs a read of a few rows by key on the caller's thread.
    ///
    /// `benches/store.rs` prints both prices: such a read costs less than the trip to a blocking
    /// thread and back that it would otherwise need on top.
    pub fn read<T, F>(&self, op: F) -> Pending<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreFault> + Send + 'static,
    {
        Box::pin(async move {
            let _turn = self.readers.free.acquire().await.map_err(|_| StoreFault::Stopped)?;
            self.readers.with(op)
        })
    }

    /// Runs a read that may take long on a blocking thread.
    pub fn long_read<T, F>(&self, op: F) -> Pending<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreFault> + Send + 'static,
    {
        Box::pin(async move {
            let turn = self.readers.free.clone().acquire_owned().await;
            let turn = turn.map_err(|_| StoreFault::Stopped)?;
            let readers = self.readers.clone();
            let work = move || {
                let answer = readers.with(op);
                drop(turn);
                answer
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| StoreFault::Unavailable)?
        })
    }
}

struct Readers {
    /// One permit per idle connection.
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Runs `op` on an idle connection, in one snapshot. The caller holds a permit.
    fn with<T>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        // A panic while the list is locked cannot leave it half-changed.
        let conn = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = Lent { readers: self, conn: Some(conn.ok_or(StoreFault::Unavailable)?) };
        op(conn.conn.as_ref().ok_or(StoreFault::Unavailable)?)
    }
}

/// Gives the connection back also when the operation panics.
struct Lent<'a> {
    readers: &'a Readers,
    conn: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

/// Takes the owner's lock. The kernel releases it when the process ends, however it ends.
fn lock(settings: &Settings) -> Result<File, StoreFault> {
    let mut name = settings.path.as_os_str().to_owned();
    name.push(".lock");
    // A missing store that is not to be created leaves no lock file behind.
    if !settings.create && !settings.path.exists() {
        return Err(missing(&settings.path));
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name);
    let file = file.map_err(|_| StoreFault::NoFolder)?;
    // An owner that is just ending holds it a moment longer, and so does a process that was forked
    // off beside it and has not yet become another program.
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => pause(),
            Err(TryLockError::WouldBlock) => return Err(StoreFault::InUse),
            Err(TryLockError::Error(_)) => return Err(StoreFault::Unavailable),
        }
    }
}

/// Waits between two looks at a lock that another process holds.
#[allow(clippy::disallowed_methods, reason = "the end of another process can only be polled")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// Creates the file, readable by its owner alone, before SQLite would with the umask's mode; `-wal`
/// and `-shm` take their mode from it.
fn prepare_file(path: &Path, create: bool) -> Result<(), StoreFault> {
    if !create {
        return if path.exists() { Ok(()) } else { Err(missing(path)) };
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => {
            // Crash before these syncs: no file or an empty one, which the next start creates again.
            let folder = File::open(folder_of(path)).map_err(|_| StoreFault::NoFolder)?;
            file.sync_all().and_then(|()| folder.sync_all()).map_err(|_| StoreFault::Unavailable)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(_) => Err(StoreFault::NoFolder),
    }
}

fn missing(path: &Path) -> StoreFault {
    if folder_of(path).is_dir() { StoreFault::Missing } else { StoreFault::NoFolder }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Only the writer may decide to write on closing.
fn never_last(conn: &Connection) -> Result<(), StoreFault> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

/// A connection with what every one of ours has in common.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_millis(BUSY_MS))?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // No temporary files; and what is deleted is overwritten, not only forgotten.
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // Apple's fsync does not reach the disk without these; elsewhere they do nothing.
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.set_prepared_statement_cache_capacity(96);
    // Plans depend on the text alone. Otherwise a new bound value, such as the time, can make SQLite
    // compile a statement again.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}
