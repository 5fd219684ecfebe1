//! PostgreSQL's errors as troubles and store faults. Error texts are dropped on purpose: they may
//! quote values.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::contract::StoreFault;

/// Why a try of an operation did not end with an answer, and so what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This is the answer.
    Fault(StoreFault),
    /// Nothing was done: another transaction was in the way. Try again.
    Again,
    /// The connection is gone, or of no use any more, and no commit was under way. Try on another.
    Lost,
    /// A commit was under way, or did not reach what counts as durable: nobody knows. Try on another
    /// connection, which finds out.
    Unknown,
}

impl From<StoreFault> for Trouble {
    fn from(fault: StoreFault) -> Self {
        Trouble::Fault(fault)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error.as_db_error() {
            Some(error) => of_database(error),
            // Sockets, TLS, framing: whatever it is, this connection has had its time.
            None => Trouble::Lost,
        }
    }
}

fn of_database(error: &DbError) -> Trouble {
    let code = error.code();
    if matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) {
        return Trouble::Lost;
    }
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => Trouble::Again,
        // Cancelled by an operator, or the server became a replica: not the operation's fault.
        SqlState::QUERY_CANCELED
        | SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW => Trouble::Lost,
        _ => Trouble::Fault(fault_of(code)),
    }
}

/// What an error says about the store, beside those that call for another try.
fn fault_of(code: &SqlState) -> StoreFault {
    match *code {
        SqlState::DISK_FULL => return StoreFault::Full,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => return StoreFault::Corrupt,
        SqlState::INVALID_CATALOG_NAME => return StoreFault::Missing,
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_FUNCTION => {
            return StoreFault::NotAStore;
        }
        SqlState::INSUFFICIENT_PRIVILEGE => return StoreFault::Denied,
        _ => {}
    }
    match code.code().get(..2) {
        // Wrong login, or none allowed here.
        Some("28") => StoreFault::Denied,
        // A value that does not fit its column, a constraint, a limit, an exception of a trigger that an
        // operator added: the same again would fail again.
        Some("22" | "23" | "54" | "P0") => StoreFault::Misuse,
        _ => StoreFault::Unavailable,
    }
}

/// What an error while connecting means.
pub(super) fn of_connecting(error: &Error) -> StoreFault {
    if let Some(error) = error.as_db_error() {
        return match *error.code() {
            SqlState::CANNOT_CONNECT_NOW
            | SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::TOO_MANY_CONNECTIONS => StoreFault::Unreachable,
            ref code => fault_of(code),
        };
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let tls = cause.and_then(|io| io.get_ref()).is_some_and(|inner| inner.is::<rustls::Error>());
    if tls { StoreFault::Untrusted } else { StoreFault::Unreachable }
}

/// Whether an error is that of a unique key which is there already.
pub(super) fn is_duplicate(error: &Error) -> bool {
    error.code() == Some(&SqlState::UNIQUE_VIOLATION)
}

impl Trouble {
    /// What it means once nothing more is tried; `unknown`: whether a commit may have happened.
    pub fn in_the_end(self, unknown: bool) -> StoreFault {
        match self {
            Trouble::Fault(fault) => fault,
            Trouble::Unknown => StoreFault::Unconfirmed,
            Trouble::Again | Trouble::Lost if unknown => StoreFault::Unconfirmed,
            Trouble::Again | Trouble::Lost => StoreFault::Unavailable,
        }
    }
}
