//! What the writer's operations write through: statements that stay prepared as long as the writer
//! lives, and what is known to be stored already.
//!
//! rusqlite's own cache finds a statement by its text, copies the text and puts the statement back after
//! each use: for the small statements of an acceptance that was a fifth of their cost.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Deref;

use rusqlite::{Connection, Params, Row, Statement};

use crate::domain::ids::Digest;
use crate::store::contract::StoreFault;

/// Evidence that is remembered at most: far more than a scheme has certificates and lists in use.
const REMEMBERED: usize = 16_384;

/// The writer's connection inside of a transaction. What is rare goes to the [`Connection`] itself.
pub(super) struct Tx<'c> {
    conn: &'c Connection,
    /// By address and length of the text: so few that they are looked through.
    held: RefCell<Vec<(&'static str, Statement<'c>)>>,
    kept: RefCell<HashSet<Evidence>>,
    /// Found or stored by the present transaction.
    fresh: RefCell<Vec<Evidence>>,
}

/// What is kept once, for ever, beside tokens: whoever has seen it stored need not look again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Evidence {
    /// The chain of a leaf.
    Chain(Digest),
    /// A revocation list.
    Crl(Digest),
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl<'c> Tx<'c> {
    pub fn new(conn: &'c Connection) -> Self {
        let (held, kept, fresh) = Default::default();
        Self { conn, held, kept, fresh }
    }

    /// Runs a statement that gives no rows; how many rows it changed.
    pub fn execute(&self, sql: &'static str, params: impl Params) -> Result<usize, StoreFault> {
        self.with(sql, |statement| Ok(statement.execute(params)?))
    }

    /// Inserts a row and returns its number.
    pub fn insert(&self, sql: &'static str, params: impl Params) -> Result<i64, StoreFault> {
        self.execute(sql, params)?;
        Ok(self.conn.last_insert_rowid())
    }

    /// Reads the first row, if there is one.
    pub fn first<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreFault>,
    ) -> Result<Option<T>, StoreFault> {
        self.with(sql, |statement| statement.query(params)?.next()?.map(read).transpose())
    }

    fn with<T>(
        &self,
        sql: &'static str,
        run: impl FnOnce(&mut Statement<'c>) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let mut held = self.held.borrow_mut();
        let place = match held.iter().position(|(text, _)| std::ptr::eq(*text, sql)) {
            Some(place) => place,
            None => {
                held.push((sql, self.conn.prepare(sql)?));
                held.len() - 1
            }
        };
        run(&mut held[place].1)
    }

    /// Whether this is stored, as far as is remembered.
    pub fn keeps(&self, evidence: Evidence) -> bool {
        self.kept.borrow().contains(&evidence) || self.fresh.borrow().contains(&evidence)
    }

    /// The present transaction has found or stored it.
    pub fn has_kept(&self, evidence: Evidence) {
        self.fresh.borrow_mut().push(evidence);
    }

    /// The transaction has ended. What it stored is remembered only if it was committed.
    pub fn ended(&self, committed: bool) {
        let (mut kept, mut fresh) = (self.kept.borrow_mut(), self.fresh.borrow_mut());
        if kept.len() + fresh.len() > REMEMBERED {
            kept.clear();
        }
        kept.extend(fresh.drain(..).filter(|_| committed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_is_not_remembered() {
        let conn = Connection::open_in_memory().unwrap();
        let tx = Tx::new(&conn);
        let digest = Digest::from_bytes([7; 32]);
        tx.has_kept(Evidence::Chain(digest));
        assert!(tx.keeps(Evidence::Chain(digest)) && !tx.keeps(Evidence::Crl(digest)));
        tx.ended(false);
        assert!(!tx.keeps(Evidence::Chain(digest)));
        tx.has_kept(Evidence::Crl(digest));
        tx.ended(true);
        assert!(tx.keeps(Evidence::Crl(digest)) && !tx.keeps(Evidence::Chain(digest)));
        for n in 0..REMEMBERED as u64 {
            let mut other = [0; 32];
            other[..8].copy_from_slice(&n.to_le_bytes());
            tx.has_kept(Evidence::Chain(Digest::from_bytes(other)));
        }
        tx.ended(false);
        assert!(!tx.keeps(Evidence::Crl(digest)), "it would grow without bounds");
    }

    #[test]
    fn statements_are_held_and_told_apart() {
        let conn = Connection::open_in_memory().unwrap();
        let tx = Tx::new(&conn);
        tx.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", []).unwrap();
        const INSERT: &str = "INSERT INTO t VALUES (?1)";
        assert_eq!(tx.insert(INSERT, [5]).unwrap(), 5);
        assert_eq!(tx.insert(INSERT, [9]).unwrap(), 9);
        const FIND: &str = "SELECT n FROM t WHERE n > ?1 ORDER BY n";
        let find = |after: i64| tx.first(FIND, [after], |row| Ok(row.get::<_, i64>(0)?)).unwrap();
        assert_eq!((find(0), find(5), find(9)), (Some(5), Some(9), None));
        assert_eq!(tx.held.borrow().len(), 3);
    }
}
