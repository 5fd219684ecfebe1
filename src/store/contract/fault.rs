//! What can be wrong with a store. Told to the log and to readiness, never to a peer.

use std::fmt;

/// A failure of our own. It names the condition and carries no value that was stored.
///
/// Nothing was promised to anybody when one of these is returned, and repeating the same call is
/// always safe. Match on it exhaustively, so that a new fault is thought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The disk (or quota) is full. Nothing of the operation is visible; works again when space
    /// returns.
    Full,
    /// The operation failed and nothing of it is visible; the cause may pass (lock, memory, I/O).
    Unavailable,
    /// The commit failed while syncing, so that nobody can know whether it survives a crash. The
    /// store has stopped: re-open it (restart the process) and look up what it holds.
    OutcomeUnknown,
    /// The store has stopped after an [`StoreFault::OutcomeUnknown`] or at shutdown; it does
    /// nothing more in this process.
    Stopped,
    /// The database did not confirm a commit in time: nobody can know yet whether it happened. The
    /// same call made again finds out and gives the stored answer.
    Unconfirmed,
    /// No database server can be reached.
    Unreachable,
    /// The database refuses this login, its certificate, or a right that its role should have.
    Denied,
    /// The database server's certificate is not to be trusted, or the server speaks no TLS.
    Untrusted,
    /// None of the servers given is a primary: all are replicas, or read only.
    NotPrimary,
    /// The primary found has a lower promotion epoch than one seen before: an old primary that came
    /// back. Nothing is written there.
    OldPrimary,
    /// Commits would not wait for a synchronous replica, though the configuration requires it.
    NoReplica,
    /// What lies on disk contradicts itself. An operator must look (`check`, restore).
    Corrupt,
    /// The file is not a store of this kind at all.
    NotAStore,
    /// There is no store at the place given, and it was not asked for that one be created.
    Missing,
    /// The folder of the store does not exist or cannot be written.
    NoFolder,
    /// Another process has this store open.
    InUse,
    /// The schema on disk is newer than this program knows: run the newer program.
    UnknownSchema {
        /// The version on disk.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The schema is older than this program needs, and it is not this process's business to migrate
    /// it.
    OldSchema {
        /// The version found.
        found: u32,
        /// The version that this program needs.
        known: u32,
    },
    /// The key ring has no key for the period of this document: prepare it.
    NoPeriodKey,
    /// A document lies under a key that the key ring never had: it is another store's ring.
    UnknownKey,
    /// The key ring cannot be read any more; nothing is sealed until it can be.
    RingLost,
    /// The operating system gave no random bytes.
    NoEntropy,
    /// The caller broke a precondition that the operation documents. A mistake in this program.
    Misuse,
}

impl StoreFault {
    /// A stable label for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            StoreFault::Full => "full",
            StoreFault::Unavailable => "unavailable",
            StoreFault::OutcomeUnknown => "outcome_unknown",
            StoreFault::Stopped => "stopped",
            StoreFault::Unconfirmed => "unconfirmed",
            StoreFault::Unreachable => "unreachable",
            StoreFault::Denied => "denied",
            StoreFault::Untrusted => "untrusted",
            StoreFault::NotPrimary => "not_primary",
            StoreFault::OldPrimary => "old_primary",
            StoreFault::NoReplica => "no_replica",
            StoreFault::Corrupt => "corrupt",
            StoreFault::NotAStore => "not_a_store",
            StoreFault::Missing => "missing",
            StoreFault::NoFolder => "no_folder",
            StoreFault::InUse => "in_use",
            StoreFault::UnknownSchema { .. } => "unknown_schema",
            StoreFault::OldSchema { .. } => "old_schema",
            StoreFault::NoPeriodKey => "no_period_key",
            StoreFault::UnknownKey => "unknown_key",
            StoreFault::RingLost => "ring_lost",
            StoreFault::NoEntropy => "no_entropy",
            StoreFault::Misuse => "misuse",
        }
    }

    /// Whether this process can do nothing more with the store and should stop.
    pub const fn is_final(self) -> bool {
        matches!(self, StoreFault::OutcomeUnknown | StoreFault::Stopped)
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreFault::Full => "the disk of the store is full: free some space",
            StoreFault::Unavailable => "the store did not complete the operation: try again",
            StoreFault::OutcomeUnknown => {
                "the disk failed while a commit was synced: the store has stopped, restart to recover"
            }
            StoreFault::Stopped => "the store has stopped: restart to recover",
            StoreFault::Unconfirmed => {
                "the database did not confirm in time, and nobody knows whether it was done: try again"
            }
            StoreFault::Unreachable => "no database server can be reached",
            StoreFault::Denied => {
                "the database refuses this login, or its role lacks a right: see deploy/postgres/roles.sql"
            }
            StoreFault::Untrusted => {
                "the certificate of the database server does not verify, or it speaks no TLS"
            }
            StoreFault::NotPrimary => "none of the database servers is a primary",
            StoreFault::OldPrimary => {
                "the database is an old primary, of before a promotion: stop it, or make it a replica"
            }
            StoreFault::NoReplica => {
                "commits of the database do not wait for a synchronous replica, which is required"
            }
            StoreFault::Corrupt => "the store contradicts itself: check it and restore a backup",
            StoreFault::NotAStore => "the file is not a store of this program",
            StoreFault::Missing => {
                "there is no store here: create it first (a database with \"ecaf store migrate\")"
            }
            StoreFault::NoFolder => "the folder of the store does not exist or cannot be written",
            StoreFault::InUse => "another process has this store open",
            StoreFault::UnknownSchema { found, known } => {
                return write!(
                    f,
                    "the store has schema version {found}, this program knows up to {known}: \
                     run the newer program"
                );
            }
            StoreFault::OldSchema { found, known } => {
                return write!(
                    f,
                    "the store has schema version {found}, this program needs {known}: \
                     run \"ecaf store migrate\""
                );
            }
            StoreFault::NoPeriodKey => {
                "the key ring has no key for this month: run \"ecaf keys prepare\""
            }
            StoreFault::UnknownKey => {
                "a document lies under a key that this key ring does not have: is it this store's?"
            }
            StoreFault::RingLost => {
                "the key ring cannot be read any more: nothing is accepted until it can be"
            }
            StoreFault::NoEntropy => "the operating system gave no random bytes",
            StoreFault::Misuse => "the store was asked for something that it cannot mean",
        })
    }
}

impl std::error::Error for StoreFault {}
