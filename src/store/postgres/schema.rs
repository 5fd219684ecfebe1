//! Which databases are ours, and how an older one becomes a present one. Only `ecaf store migrate`
//! does that, with the owner's login; processes that serve refuse what they do not know.

use super::connect::{Connector, Demands};
use super::faults::Trouble;
use super::session::Session;
use super::settings::Settings;
use crate::store::contract::StoreFault;

/// What a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A gateway's store.
    Gateway,
    /// An authority's store.
    Authority,
}

const COMMON_1: &str = include_str!("migrations/common_0001.sql");
const GATEWAY: &[&[&str]] = &[
    &[COMMON_1, include_str!("migrations/gateway_0001.sql")],
    &[include_str!("migrations/gateway_0002.sql")],
    &[include_str!("migrations/gateway_0003.sql")],
    &[include_str!("migrations/gateway_0004.sql")],
    &[include_str!("migrations/gateway_0005.sql")],
];
const AUTHORITY: &[&[&str]] = &[
    &[COMMON_1, include_str!("migrations/authority_0001.sql")],
    &[include_str!("migrations/authority_0002.sql")],
];

/// Held for as long as a migration takes, so that two do not run at once: "ecaf" and a number of
/// our own, in PostgreSQL's space of advisory locks.
const LOCK: i64 = 0x6563_6166_0001;

impl Kind {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Authority => "authority",
        }
    }

    /// The migrations in order: `[n]` leads from version n to n + 1. A released one is never edited:
    /// its successor mends it.
    const fn migrations(self) -> &'static [&'static [&'static str]] {
        match self {
            Kind::Gateway => GATEWAY,
            Kind::Authority => AUTHORITY,
        }
    }

    /// `Ok` if the database holds this kind of store in the present version.
    pub(super) async fn present(self, session: &Session) -> Result<(), StoreFault> {
        let known = self.migrations().len() as u32;
        match self.version(session).await.map_err(|trouble| trouble.in_the_end(false))? {
            0 => Err(StoreFault::Missing),
            found if found > known => Err(StoreFault::UnknownSchema { found, known }),
            found if found < known => Err(StoreFault::OldSchema { found, known }),
            _ => Ok(()),
        }
    }

    /// The version found; 0 for a database without a store.
    async fn version(self, session: &Session) -> Result<u32, Trouble> {
        let table = session.one("SELECT to_regclass('ecaf.store') IS NOT NULL", &[]).await?;
        if !table.try_get::<_, bool>(0)? {
            return Ok(0);
        }
        let row = session.first("SELECT kind, version FROM store", &[]).await?;
        let row = row.ok_or(StoreFault::NotAStore)?;
        if row.try_get::<_, &str>(0)? != self.as_str() {
            return Err(StoreFault::NotAStore.into());
        }
        let version: i32 = row.try_get(1)?;
        Ok(u32::try_from(version).map_err(|_| StoreFault::Corrupt)?)
    }
}

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version found; 0 for none.
    pub from: u32,
    /// The version now.
    pub to: u32,
}

/// Creates the store, or brings it to the present version, one transaction per step. A crash in
/// between leaves an older but whole version, and the next run goes on from there.
pub async fn migrate(settings: &Settings, kind: Kind) -> Result<Migrated, StoreFault> {
    let connector = Connector::new(settings, kind)?;
    let session = connector.first_primary(Demands::MIGRATION).await?;
    steps(&session, kind).await.map_err(|trouble| trouble.in_the_end(true))
}

async fn steps(session: &Session, kind: Kind) -> Result<Migrated, Trouble> {
    // Waits for another migration; ends with the connection, however that ends.
    session.run("SET lock_timeout = '60s'").await?;
    session.query("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let from = kind.version(session).await?;
    let known = kind.migrations().len() as u32;
    if from > known {
        return Err(StoreFault::UnknownSchema { found: from, known }.into());
    }
    let mut to = from;
    for scripts in &kind.migrations()[from as usize..] {
        session.begin().await?;
        if to == 0 {
            session.run(&format!("{STORE}('{}')", kind.as_str())).await?;
        }
        for script in *scripts {
            session.run(script).await?;
        }
        to += 1;
        let version = to as i32;
        session.execute("UPDATE store SET version = $1", &[&version]).await?;
        // Crash before this: the database is as it was. After: version `to`, whole.
        session.commit().await?;
    }
    Ok(Migrated { from, to })
}

/// The table that says what the database holds. Open-ended: the kind follows.
const STORE: &str = "
    CREATE TABLE store (
        sole smallint PRIMARY KEY DEFAULT 1 CHECK (sole = 1),
        kind text NOT NULL,
        version integer NOT NULL DEFAULT 0
    );
    INSERT INTO store (kind) VALUES ";
