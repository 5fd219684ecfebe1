//! The authority's contract over a PostgreSQL database.

use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use super::batch::{self, Batcher};
use super::engine::Engine;
use super::retention::{self, retention_store};
use super::schema::Kind;
use super::settings::Settings;
use super::{check, inbox, pushed, rows};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::retention::Erasure;
use crate::domain::time::Timestamp;
use crate::store::contract::*;
use crate::store::sealing::{KeyId, Place, Vault};

/// The authority's store in a PostgreSQL database.
pub struct PostgresAuthority {
    engine: Arc<Engine>,
    vault: Arc<Vault>,
    dispatches: Vec<Batcher<Arc<inbox::SealedDispatch>, ReceiveOutcome>>,
    references: Batcher<inbox::Series, String>,
}

impl PostgresAuthority {
    /// Connects as a process that serves: primary, schema, promotion epoch and replica are judged.
    /// Documents are sealed and opened by `vault`.
    pub async fn open(settings: &Settings, vault: Arc<Vault>) -> Result<Self, StoreFault> {
        Self::open_as(settings, vault, true).await
    }

    /// Connects for an operator's command beside the process that serves.
    pub async fn open_beside(settings: &Settings, vault: Arc<Vault>) -> Result<Self, StoreFault> {
        Self::open_as(settings, vault, false).await
    }

    async fn open_as(
        settings: &Settings,
        vault: Arc<Vault>,
        service: bool,
    ) -> Result<Self, StoreFault> {
        let engine = Engine::open(settings, Kind::Authority, service).await?;
        let dispatches = batch::writers(engine.one_try(), || {
            let engine = Arc::clone(&engine);
            move |batch| inbox::carry_out(Arc::clone(&engine), batch)
        });
        let counting = Arc::clone(&engine);
        let references = Batcher::start(engine.one_try(), move |batch| {
            inbox::give_references(Arc::clone(&counting), batch)
        });
        Ok(Self { engine, vault, dispatches, references })
    }
}

impl AuthorityStore for PostgresAuthority {
    fn received(&self, key: DispatchKey) -> Pending<'_, Option<StoredDispatch>> {
        let key = Arc::new(key);
        self.engine.read(move |session| {
            let key = Arc::clone(&key);
            Box::pin(async move {
                let found = inbox::received(session, &key).await?;
                if found.is_some() {
                    // A receipt is about to be given for a row that somebody else wrote.
                    session.confirm().await?;
                }
                Ok(found)
            })
        })
    }

    fn next_reference(&self, prefix: String, year: i32) -> Pending<'_, String> {
        match inbox::Series::new(prefix, year) {
            Ok(series) => self.references.submit(series),
            Err(fault) => Box::pin(async move { Err(fault) }),
        }
    }

    fn receive(&self, dispatch: Dispatch) -> Pending<'_, ReceiveOutcome> {
        Box::pin(async move {
            let place = place(&dispatch.key, dispatch.payload_sha256);
            let document = self.vault.seal(&place, dispatch.received_at, &dispatch.document)?;
            let sealed = inbox::SealedDispatch { dispatch, document };
            let writer = batch::writer_of(sealed.dispatch.key.referral_id, &self.dispatches);
            self.dispatches[writer].submit(Arc::new(sealed)).await
        })
    }

    fn inbox(&self, filter: InboxFilter) -> Pending<'_, Vec<InboxEntry>> {
        let (filter, vault) = (Arc::new(filter), Arc::clone(&self.vault));
        self.engine.read(move |session| {
            let (filter, vault) = (Arc::clone(&filter), Arc::clone(&vault));
            Box::pin(async move { inbox::inbox(session, &vault, &filter).await })
        })
    }

    fn item(&self, entry: u64) -> Pending<'_, Option<InboxItem>> {
        Box::pin(async move {
            let vault = Arc::clone(&self.vault);
            let read = self.engine.read(move |session| {
                let vault = Arc::clone(&vault);
                Box::pin(async move { inbox::item(session, &vault, entry).await })
            });
            let Some((entry, row, tokens)) = read.await? else { return Ok(None) };
            let document = row.open(&self.vault, &place(&entry.key, entry.payload_sha256))?;
            Ok(Some(InboxItem { entry, document, tokens }))
        })
    }

    fn keep(&self, token: Pushed) -> Pending<'_, bool> {
        let token = Arc::new(token);
        self.engine.write(move |session, _| {
            let token = Arc::clone(&token);
            Box::pin(async move { pushed::keep(session, &token).await })
        })
    }

    fn pushed(&self, referral_id: ReferralId) -> Pending<'_, Vec<StoredToken>> {
        self.engine.read(move |session| Box::pin(pushed::about(session, referral_id)))
    }

    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>> {
        self.engine.read(move |session| Box::pin(rows::chain(session, x5t)))
    }

    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>> {
        self.engine.read(move |session| Box::pin(rows::crl(session, sha256)))
    }

    fn received_count(&self) -> Pending<'_, u64> {
        self.engine.read(move |session| Box::pin(inbox::count(session)))
    }

    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()> {
        self.engine.write(move |session, _| Box::pin(rows::probe(session, now)))
    }

    fn check(&self) -> Pending<'_, CheckReport> {
        self.engine.check(check::AUTHORITY, &self.vault)
    }
}

fn place(key: &DispatchKey, sha256: Digest) -> Place {
    Place::authority(key.referral_id, key.version, key.purpose.as_str(), sha256)
}

retention_store!(PostgresAuthority, &retention::AUTHORITY);
