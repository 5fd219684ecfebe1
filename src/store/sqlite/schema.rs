//! Which files are ours, and how an older one becomes a present one.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::contract::StoreFault;

/// The migrations of one kind of store, in order. A released one is never edited: its successor
/// mends it.
pub(super) struct Schema {
    /// SQLite's `application_id`: tells a gateway's file from an authority's and from anything else.
    pub application_id: i32,
    /// `migrations[n]` leads from version n to n + 1.
    pub migrations: &'static [&'static [&'static str]],
}

const COMMON_1: &str = include_str!("migrations/common_0001.sql");

/// The gateway's store: "ecg1". Files with documents in the clear, from before the first release, had
/// another id: they are refused, not read.
pub(super) const GATEWAY: Schema = Schema {
    application_id: 0x6563_6731,
    migrations: &[
        &[COMMON_1, include_str!("migrations/gateway_0001.sql")],
        &[include_str!("migrations/gateway_0002.sql")],
        &[include_str!("migrations/gateway_0003.sql")],
        &[include_str!("migrations/gateway_0004.sql")],
        &[include_str!("migrations/gateway_0005.sql")],
    ],
};

/// The authority's store: "eca1".
pub(super) const AUTHORITY: Schema = Schema {
    application_id: 0x6563_6131,
    migrations: &[
        &[COMMON_1, include_str!("migrations/authority_0001.sql")],
        &[include_str!("migrations/authority_0002.sql")],
    ],
};

/// Brings a file of either kind, which nobody serves from, to the newest version. What is no store of ours
/// is left as it is: whoever opens it says so.
pub(super) fn renew(conn: &mut Connection) -> Result<(), StoreFault> {
    let found: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let kinds = [&GATEWAY, &AUTHORITY];
    kinds
        .iter()
        .find(|kind| kind.application_id == found)
        .map_or(Ok(()), |s| s.migrate(conn, false))
}

impl Schema {
    /// Brings the file to the newest version, in one transaction per step. A crash in between
    /// leaves an older but whole version, and the next start goes on from there.
    #[allow(
        clippy::disallowed_methods,
        reason = "a migration is many statements; it runs before there is a writer"
    )]
    pub fn migrate(&self, conn: &mut Connection, create: bool) -> Result<(), StoreFault> {
        let known = self.migrations.len() as u32;
        loop {
            let step = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let application_id: i32 =
                step.pragma_query_value(None, "application_id", |row| row.get(0))?;
            let found: u32 = step.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let tables: u32 =
                step.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            let blank = application_id == 0 && found == 0 && tables == 0;
            if !blank && application_id != self.application_id {
                return Err(StoreFault::NotAStore);
            }
            // Left by a creation that was cut short: nothing has ever been stored in it.
            if blank && !create {
                return Err(StoreFault::Missing);
            }
            if found > known {
                return Err(StoreFault::UnknownSchema { found, known });
            }
            if found == known {
                return Ok(());
            }
            for script in self.migrations[found as usize] {
                step.execute_batch(script)?;
            }
            step.pragma_update(None, "application_id", self.application_id)?;
            step.pragma_update(None, "user_version", found + 1)?;
            // Crash before this: the file is as it was. After: version found + 1, whole.
            step.commit()?;
        }
    }
}
