//! The authority's contract over one SQLite file.

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use super::engine::{Engine, Settings};
use super::{check, inbox, rows, schema};
use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;
use crate::store::contract::*;

/// The authority's store in one SQLite file.
pub struct SqliteAuthority {
    engine: Engine,
}

impl SqliteAuthority {
    /// Opens the store, migrates it and starts its writer. Blocking.
    pub fn open(settings: &Settings) -> Result<Self, StoreFault> {
        Ok(Self { engine: Engine::open(settings, &schema::AUTHORITY)? })
    }
}

impl AuthorityStore for SqliteAuthority {
    fn received(&self, key: DispatchKey) -> Pending<'_, Option<StoredDispatch>> {
        self.engine.read(move |conn| inbox::received(conn, &key))
    }

    fn next_reference(&self, prefix: String, year: i32) -> Pending<'_, String> {
        self.engine.write(move |conn| inbox::next_reference(conn, &prefix, year))
    }

    fn receive(&self, dispatch: Dispatch) -> Pending<'_, ReceiveOutcome> {
        self.engine.write(move |conn| inbox::receive(conn, &dispatch))
    }

    fn inbox(&self, filter: InboxFilter) -> Pending<'_, Vec<InboxEntry>> {
        self.engine.long_read(move |conn| inbox::inbox(conn, &filter))
    }

    fn item(&self, entry: u64) -> Pending<'_, Option<InboxItem>> {
        self.engine.long_read(move |conn| inbox::item(conn, entry))
    }

    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>> {
        self.engine.read(move |conn| rows::chain(conn, x5t))
    }

    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>> {
        self.engine.long_read(move |conn| rows::crl(conn, sha256))
    }

    fn received_count(&self) -> Pending<'_, u64> {
        self.engine.read(inbox::count)
    }

    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()> {
        self.engine.write(move |conn| rows::probe(conn, now))
    }

    fn check(&self) -> Pending<'_, CheckReport> {
        self.engine.long_read(check::check_authority)
    }
}
