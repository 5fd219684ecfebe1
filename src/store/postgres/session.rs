//! One connection in use: prepared statements, transactions, and what a commit really said.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, Row, Socket, Statement};

use super::faults::{Trouble, is_duplicate};
use super::settings::Durability;
use crate::domain::ids::Digest;
use crate::store::contract::StoreFault;

/// A parameter of a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// Chains and lists that a session remembers as stored, before it starts anew.
const MOST_EVIDENCE: usize = 65_536;

/// A connection to the primary, judged by `connect`. Used by one operation at a time.
pub(super) struct Session {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    /// Warnings that the server has sent, counted as they arrive.
    warnings: Arc<AtomicU64>,
    driver: AbortHandle,
    durability: Durability,
    /// The promotion epoch that it was made under.
    pub epoch: u64,
    /// Whether a transaction is open: such a session is never used again.
    open: AtomicBool,
    /// Chains and lists that this session knows to be committed on its server.
    evidence: Mutex<HashSet<Digest>>,
    /// Row numbers drawn ahead, for rows whose numbers need no order.
    numbers: Mutex<VecDeque<i64>>,
}

impl Session {
    /// Drives `connection` by ourselves, because its own driver would drop the notices.
    pub fn new<T>(client: Client, connection: Connection<Socket, T>, durability: Durability) -> Self
    where
        T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
    {
        let warnings = Arc::new(AtomicU64::new(0));
        let driver = tokio::spawn(drive(connection, Arc::clone(&warnings))).abort_handle();
        Self {
            client,
            statements: Mutex::new(HashMap::new()),
            warnings,
            driver,
            durability,
            epoch: 0,
            open: AtomicBool::new(false),
            evidence: Mutex::new(HashSet::new()),
            numbers: Mutex::new(VecDeque::new()),
        }
    }

    /// Whether it can be used for another operation.
    pub fn is_idle(&self) -> bool {
        !self.client.is_closed() && !self.open.load(Ordering::Relaxed)
    }

    /// Closes the socket at once. What is under way there may still happen; an open transaction is undone.
    pub fn close(&self) {
        self.driver.abort();
    }

    /// Statements without parameters, as text; for the start of a connection and for migrations.
    pub async fn run(&self, sql: &str) -> Result<(), Trouble> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// A statement of this connection, prepared once.
    pub async fn prepare(&self, sql: &str) -> Result<Statement, Trouble> {
        if let Some(known) = lock(&self.statements).get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        lock(&self.statements).insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// All rows of a statement.
    pub async fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    /// The first row of a statement, if there is one.
    pub async fn first(&self, sql: &str, values: &[Value<'_>]) -> Result<Option<Row>, Trouble> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// The one row of a statement that always has one.
    pub async fn one(&self, sql: &str, values: &[Value<'_>]) -> Result<Row, Trouble> {
        Ok(self.first(sql, values).await?.ok_or(StoreFault::Corrupt)?)
    }

    /// Rows changed.
    pub async fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, Trouble> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.execute(&statement, values).await?)
    }

    /// Begins a transaction that sees each other's commits statement by statement; what may not move
    /// is locked.
    pub async fn begin(&self) -> Result<(), Trouble> {
        self.begin_as("BEGIN").await
    }

    /// Begins to read one state of everything.
    pub async fn begin_snapshot(&self) -> Result<(), Trouble> {
        self.begin_as("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    async fn begin_as(&self, how: &str) -> Result<(), Trouble> {
        self.open.store(true, Ordering::Relaxed);
        Ok(self.client.batch_execute(how).await?)
    }

    /// Undoes the transaction.
    pub async fn roll_back(&self) -> Result<(), Trouble> {
        self.client.batch_execute("ROLLBACK").await?;
        self.open.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Commits, and says so only if what was written is as durable as it must be. It is never
    /// cancelled: whoever gives up waiting drops the connection, and the outcome is unknown.
    ///
    /// Crash before the server has it: nothing happened. After it, before we are told: it happened,
    /// and the same operation made again finds it.
    pub async fn commit(&self) -> Result<(), Trouble> {
        self.open.store(true, Ordering::Relaxed);
        let asks = self.asks_for_replicas().await?;
        let before = self.warnings.load(Ordering::Acquire);
        // Sent together.
        let (waits, done, waited) =
            tokio::join!(biased; self.told(&asks), self.send_commit(), self.told(&asks));
        done?;
        // A warning at a commit is the server's way to say that it stopped waiting for its replica:
        // visible here, and perhaps nowhere else.
        if self.warnings.load(Ordering::Acquire) != before || !waits? || !waited? {
            return Err(Trouble::Unknown);
        }
        self.open.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// One statement that is a transaction by itself: it is committed as it ends, so that work, commit
    /// and answer are one message each way. The first column of its rows must be whether
    /// `synchronous_standby_names` is set. Never cancelled, like [`Session::commit`], and a crash means
    /// the same.
    pub async fn whole(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Stopped> {
        let statement = self.prepare(sql).await?;
        let asks = self.asks_for_replicas().await?;
        self.open.store(true, Ordering::Relaxed);
        let before = self.warnings.load(Ordering::Acquire);
        let (found, waited) =
            tokio::join!(biased; self.client.query(&statement, values), self.told(&asks));
        let found = match found {
            Ok(found) => found,
            Err(error) if is_definite(&error) => {
                // The server has undone it.
                self.open.store(false, Ordering::Relaxed);
                return Err(error.into());
            }
            Err(_) => return Err(Trouble::Unknown.into()),
        };
        let mut waits = true;
        if let (Some(_), Some(row)) = (&asks, found.first()) {
            waits = row.try_get(0).map_err(|_| Trouble::Unknown)?;
        }
        if self.warnings.load(Ordering::Acquire) != before || !waits || !waited? {
            return Err(Trouble::Unknown.into());
        }
        self.open.store(false, Ordering::Relaxed);
        Ok(found)
    }

    /// The last statement of the open transaction, sent with its commit.
    pub async fn last(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Stopped> {
        let statement = self.prepare(sql).await?;
        let (found, committed) = tokio::join!(
            biased;
            self.client.query(&statement, values),
            self.commit(),
        );
        match found {
            Ok(found) => {
                committed?;
                Ok(found)
            }
            // The commit of a transaction that has failed undoes it.
            Err(error) if is_definite(&error) => Err(error.into()),
            // The commit may have got through.
            Err(_) => Err(Trouble::Unknown.into()),
        }
    }

    async fn send_commit(&self) -> Result<(), Trouble> {
        let done = self.client.batch_execute("COMMIT").await;
        done.map_err(|error| if is_definite(&error) { error.into() } else { Trouble::Unknown })
    }

    /// The question whether commits wait for replicas; none where they need not. It is asked before a commit
    /// and again after it: a server whose `synchronous_standby_names` are emptied lets go of all that wait,
    /// without a warning.
    async fn asks_for_replicas(&self) -> Result<Option<Statement>, Trouble> {
        const SQL: &str = "SELECT current_setting('synchronous_standby_names') <> ''";
        match self.durability {
            Durability::Primary => Ok(None),
            Durability::Replica => self.prepare(SQL).await.map(Some),
        }
    }

    /// The server's answer; whoever asks nothing need not wait.
    async fn told(&self, asks: &Option<Statement>) -> Result<bool, Trouble> {
        let Some(statement) = asks else { return Ok(true) };
        let row = self.client.query_one(statement, &[]).await.map_err(|_| Trouble::Unknown)?;
        row.try_get(0).map_err(|_| Trouble::Unknown)
    }

    /// Makes sure that everything found so far is as durable as what we commit ourselves: a commit
    /// of our own on top of it. Only where replicas count: on one machine nothing is visible before
    /// it is on disk. Crash at any moment: nothing depends on what is written here.
    pub async fn confirm(&self) -> Result<(), Trouble> {
        if self.durability == Durability::Primary {
            return Ok(());
        }
        // Spread over the server's processes, so that sessions do not wait for each other's row.
        const PASS: &str =
            "UPDATE barriers SET passed = passed + 1 WHERE slot = pg_backend_pid() % 16";
        self.begin().await?;
        self.execute(PASS, &[]).await?;
        self.commit().await
    }

    /// Whether a chain or list is stored for certain.
    pub fn knows(&self, evidence: &Digest) -> bool {
        lock(&self.evidence).contains(evidence)
    }

    /// Remembers chains and lists whose transaction has committed, or that were found.
    pub fn remember(&self, evidence: impl IntoIterator<Item = Digest>) {
        let mut known = lock(&self.evidence);
        if known.len() > MOST_EVIDENCE {
            known.clear();
        }
        known.extend(evidence);
    }

    /// Takes row numbers drawn ahead, in their order; `None` if there are too few.
    pub fn take_numbers(&self, count: usize) -> Option<Vec<i64>> {
        let mut numbers = lock(&self.numbers);
        if numbers.len() < count { None } else { Some(numbers.drain(..count).collect()) }
    }

    /// Row numbers that are left.
    pub fn numbers_left(&self) -> usize {
        lock(&self.numbers).len()
    }

    /// Keeps row numbers for later.
    pub fn keep_numbers(&self, numbers: impl IntoIterator<Item = i64>) {
        lock(&self.numbers).extend(numbers);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why a statement stopped that was sent with its commit.
pub(super) struct Stopped {
    trouble: Trouble,
    /// A unique key is there already; nothing was done.
    pub duplicate: bool,
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, duplicate: false }
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self { duplicate: is_duplicate(&error), trouble: error.into() }
    }
}

impl From<Stopped> for Trouble {
    fn from(stopped: Stopped) -> Self {
        stopped.trouble
    }
}

/// Whether the server itself says that the transaction is undone, and the connection goes on.
fn is_definite(error: &Error) -> bool {
    error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error))
}

/// Draws row numbers; in the transaction that uses them where their order matters.
pub(super) const DRAW: &str =
    "SELECT ARRAY (SELECT nextval('row_numbers') FROM generate_series(1, $1::bigint))";

async fn drive<T>(mut connection: Connection<Socket, T>, warnings: Arc<AtomicU64>)
where
    T: tokio_postgres::tls::TlsStream + Unpin,
{
    // Ends with the connection; whoever uses it learns that from its own request.
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity() == Some(Severity::Warning)
        {
            // Before the answer that it belongs to is handed on.
            warnings.fetch_add(1, Ordering::Release);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
