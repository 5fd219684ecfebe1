//! Moves a whole store from one database into another: SQLite into PostgreSQL, or back.
//!
//! Rows go over as they lie, documents sealed as they are: a document is bound to its referral, never
//! to a row or a database, so no key is needed. What was copied is read again from both sides and
//! compared, table by table, before the new store may be used. Until then it is marked as unfinished,
//! and no process serves from it. A copy that was cut short goes on where it stopped: rows are copied
//! in the order of their keys, each batch in one transaction, so the greatest key says how far it came.

mod tables;

pub use tables::{AUTHORITY, Column, GATEWAY, Holds, Row, Table, Value};

use ring::digest;

use super::contract::{Pending, StoreFault};
use crate::domain::ids::Digest;

/// Rows of one batch: some megabytes of documents.
const BATCH: u32 = 256;

/// A store from which everything can be read. Nobody writes to it meanwhile: it is locked for as long
/// as this exists.
pub trait Source: Send + Sync {
    /// The next rows of a table behind a key, in the order of the key.
    fn rows(&self, table: &'static Table, after: Option<Row>, limit: u32) -> Pending<'_, Vec<Row>>;

    /// How many rows a table has.
    fn count(&self, table: &'static Table) -> Pending<'_, u64>;
}

/// A new store, marked as unfinished.
pub trait Target: Source {
    /// The greatest key of a table.
    fn last(&self, table: &'static Table) -> Pending<'_, Option<Row>>;

    /// Inserts rows in one transaction. Crash before its commit: none of them is there, and the copy
    /// goes on from the greatest key that is.
    fn insert(&self, table: &'static Table, rows: Vec<Row>) -> Pending<'_, ()>;

    /// Takes the mark away: from now on the store can be served from.
    fn finish(&self) -> Pending<'_, ()>;
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub doing: Doing,
    /// To which table.
    pub table: &'static str,
    /// Rows so far, over all tables.
    pub rows: u64,
    /// Rows in all.
    pub of: u64,
}

/// The two halves of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Rows go over.
    Copying,
    /// Both sides are read again and compared.
    Comparing,
}

/// Why a copy did not come to its end. The new store stays unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCopied {
    /// The store that is read failed.
    Source(StoreFault),
    /// The store that is written failed; the same copy can be begun again, and goes on.
    Target(StoreFault),
    /// A table does not hold the same on both sides: the new store held something else before, or one
    /// of the two is damaged.
    Differs(&'static str),
}

impl std::fmt::Display for NotCopied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotCopied::Source(fault) => write!(f, "the old store: {fault}"),
            NotCopied::Target(fault) => write!(f, "the new store: {fault}"),
            NotCopied::Differs(table) => write!(
                f,
                "table {table} is not the same on both sides: begin again with an empty new store"
            ),
        }
    }
}

impl std::error::Error for NotCopied {}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Rows of all tables.
    pub rows: u64,
    /// Of these, how many were there already from a copy that was cut short.
    pub kept: u64,
    /// SHA-256 over every row of every table, the same on both sides.
    pub digest: Digest,
}

/// Copies every row, compares both sides, and releases the new store for use.
pub async fn copy(
    tables: &'static [Table],
    source: &dyn Source,
    target: &dyn Target,
    mut progress: impl FnMut(Progress),
) -> Result<Copied, NotCopied> {
    let mut of = 0;
    for table in tables {
        of += source.count(table).await.map_err(NotCopied::Source)?;
    }
    let (mut rows, mut kept) = (0, 0);
    for table in tables {
        let there = target.count(table).await.map_err(NotCopied::Target)?;
        let mut after = target.last(table).await.map_err(NotCopied::Target)?;
        (rows, kept) = (rows + there, kept + there);
        loop {
            progress(Progress { doing: Doing::Copying, table: table.name, rows, of });
            let batch = source.rows(table, after, BATCH).await.map_err(NotCopied::Source)?;
            let Some(last) = batch.last() else { break };
            after = Some(last[..table.key].to_vec());
            rows += batch.len() as u64;
            target.insert(table, batch).await.map_err(NotCopied::Target)?;
        }
    }
    let mut all = digest::Context::new(&digest::SHA256);
    let mut compared = 0;
    for table in tables {
        let mut report = |rows: u64| {
            let rows = compared + rows;
            progress(Progress { doing: Doing::Comparing, table: table.name, rows, of });
        };
        let ours = fingerprint(source, table, &mut report).await.map_err(NotCopied::Source)?;
        let theirs = fingerprint(target, table, &mut |_| {}).await.map_err(NotCopied::Target)?;
        if ours != theirs {
            return Err(NotCopied::Differs(table.name));
        }
        compared += ours.rows;
        all.update(ours.digest.as_bytes());
    }
    // Crash before this: the copy is begun again, finds every row there, and compares once more.
    target.finish().await.map_err(NotCopied::Target)?;
    Ok(Copied { rows: compared, kept, digest: finished(all) })
}

#[derive(PartialEq, Eq)]
struct Fingerprint {
    rows: u64,
    digest: Digest,
}

/// SHA-256 over the rows of a table, each value with its kind and length before it.
async fn fingerprint(
    store: &(impl Source + ?Sized),
    table: &'static Table,
    progress: &mut impl FnMut(u64),
) -> Result<Fingerprint, StoreFault> {
    let mut context = digest::Context::new(&digest::SHA256);
    let (mut rows, mut after) = (0, None);
    loop {
        progress(rows);
        let batch = store.rows(table, after, BATCH).await?;
        let Some(last) = batch.last() else { break };
        after = Some(last[..table.key].to_vec());
        rows += batch.len() as u64;
        for value in batch.iter().flatten() {
            let number;
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Integer(integer) => {
                    number = integer.to_be_bytes();
                    (1, &number)
                }
                Value::Text(text) => (2, text.as_bytes()),
                Value::Bytes(bytes) => (3, bytes),
            };
            context.update(&[kind]);
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        }
    }
    Ok(Fingerprint { rows, digest: finished(context) })
}

fn finished(context: digest::Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Digest::from_bytes(bytes)
}
