//! The authority's contract over one SQLite file.

use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use super::engine::{Engine, Settings};
use super::retention::{self, retention_store};
use super::transaction::Tx;
use super::{check, inbox, pushed, rows, schema};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::retention::Erasure;
use crate::domain::time::Timestamp;
use crate::store::contract::*;
use crate::store::sealing::{KeyId, Place, Vault};

/// The authority's store in one SQLite file.
pub struct SqliteAuthority {
    engine: Engine,
    vault: Arc<Vault>,
}

impl SqliteAuthority {
    /// Opens the store, migrates it and starts its writer. Blocking. Documents are sealed and opened
    /// by `vault`.
    pub fn open(settings: &Settings, vault: Arc<Vault>) -> Result<Self, StoreFault> {
        Ok(Self { engine: Engine::open(settings, &schema::AUTHORITY)?, vault })
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
        Box::pin(async move {
            let place = place(&dispatch.key, dispatch.payload_sha256);
            let sealed = self.vault.seal(&place, dispatch.received_at, &dispatch.document)?;
            self.engine.write(move |conn| inbox::receive(conn, &dispatch, &sealed)).await
        })
    }

    fn inbox(&self, filter: InboxFilter) -> Pending<'_, Vec<InboxEntry>> {
        let vault = Arc::clone(&self.vault);
        self.engine.long_read(move |conn| inbox::inbox(conn, &vault, &filter))
    }

    fn item(&self, entry: u64) -> Pending<'_, Option<InboxItem>> {
        Box::pin(async move {
            let vault = Arc::clone(&self.vault);
            let find = move |conn: &_| inbox::item(conn, &vault, entry);
            let found = self.engine.long_read(find).await?;
            let Some((entry, row, tokens)) = found else { return Ok(None) };
            let document = row.open(&self.vault, &place(&entry.key, entry.payload_sha256))?;
            Ok(Some(InboxItem { entry, document, tokens }))
        })
    }

    fn keep(&self, token: Pushed) -> Pending<'_, bool> {
        self.engine.write(move |conn| pushed::keep(conn, &token))
    }

    fn pushed(&self, referral_id: ReferralId) -> Pending<'_, Vec<StoredToken>> {
        self.engine.long_read(move |conn| pushed::about(conn, referral_id))
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
        let vault = Arc::clone(&self.vault);
        self.engine.long_read(move |conn| check::check_authority(conn, &vault))
    }
}

fn place(key: &DispatchKey, sha256: Digest) -> Place {
    Place::authority(key.referral_id, key.version, key.purpose.as_str(), sha256)
}

retention_store!(SqliteAuthority, retention::AUTHORITY);
