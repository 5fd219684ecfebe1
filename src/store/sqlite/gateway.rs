//! The gateway's contract over one SQLite file.

use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use super::engine::{Engine, Settings};
use super::retention::{self, retention_store};
use super::transaction::Tx;
use super::{accept, check_gateway, deliveries, read, rows, schema, sequence, streams, thread};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::retention::Erasure;
use crate::domain::time::Timestamp;
use crate::effects::Entropy;
use crate::store::contract::*;
use crate::store::sealing::{DocumentRow, KeyId, Place, Vault};

/// The gateway's store in one SQLite file.
pub struct SqliteGateway {
    engine: Engine,
    vault: Arc<Vault>,
    entropy: Arc<dyn Entropy>,
}

impl SqliteGateway {
    /// Opens the store, migrates it and starts its writer. Blocking. Documents are sealed and opened
    /// by `vault`; random lease tokens come from `entropy`.
    pub fn open(
        settings: &Settings,
        vault: Arc<Vault>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StoreFault> {
        Ok(Self { engine: Engine::open(settings, &schema::GATEWAY)?, vault, entropy })
    }
}

impl GatewayStore for SqliteGateway {
    fn look_up(
        &self,
        sender: &Organisation,
        referral_id: ReferralId,
        version: u32,
    ) -> Pending<'_, Seen> {
        let sender = sender.clone();
        self.engine.read(move |conn| read::look_up(conn, &sender, referral_id, version))
    }

    fn accept(&self, acceptance: Acceptance) -> Pending<'_, AcceptOutcome> {
        Box::pin(async move {
            let a = &acceptance;
            let place = Place::gateway(a.referral_id, a.version, a.payload_sha256);
            let sealed = self.vault.seal(&place, a.recorded_at, &a.document)?;
            self.engine.write(move |conn| accept::accept(conn, &acceptance, &sealed)).await
        })
    }

    fn append(&self, append: Append) -> Pending<'_, AppendOutcome> {
        Box::pin(async move {
            let vault = Arc::clone(&self.vault);
            let sealed = append.seal(&vault)?;
            let op = move |tx: &Tx<'_>| thread::append(tx, &vault, &append, sealed.as_ref());
            self.engine.write(op).await
        })
    }

    fn thread(&self, referral_id: ReferralId) -> Pending<'_, Option<Thread>> {
        let vault = Arc::clone(&self.vault);
        self.engine.long_read(move |conn| thread::thread(conn, &vault, referral_id))
    }

    fn lease_deliveries(&self, request: LeaseRequest) -> Pending<'_, Vec<LeasedDelivery>> {
        Box::pin(async move {
            let entropy = self.entropy.clone();
            let pick = move |tx: &Tx<'_>| deliveries::lease(tx, &request, entropy.as_ref());
            let leases = self.engine.write(pick).await?;
            if leases.is_empty() {
                return Ok(Vec::new());
            }
            let vault = Arc::clone(&self.vault);
            self.engine.long_read(move |conn| deliveries::load(conn, &vault, &leases)).await
        })
    }

    fn lease_again(
        &self,
        delivery: DeliveryId,
        holder: String,
        now: Timestamp,
        lease_ms: i64,
    ) -> Pending<'_, Option<LeasedDelivery>> {
        Box::pin(async move {
            if lease_ms <= 0 {
                return Err(StoreFault::Misuse);
            }
            let mut token = [0; 16];
            self.entropy.fill(&mut token).map_err(|_| StoreFault::NoEntropy)?;
            let take = move |tx: &Tx<'_>| {
                deliveries::lease_again(tx, delivery, token, (&holder, now, lease_ms))
            };
            let Some(lease) = self.engine.write(take).await? else { return Ok(None) };
            let vault = Arc::clone(&self.vault);
            let load = move |conn: &_| deliveries::load(conn, &vault, &[lease]);
            Ok(self.engine.long_read(load).await?.pop())
        })
    }

    fn delivered(
        &self,
        lease: Lease,
        tokens: DeliveredTokens,
        now: Timestamp,
    ) -> Pending<'_, Settled> {
        self.engine.write(move |conn| deliveries::delivered(conn, lease, &tokens, now))
    }

    fn postponed(
        &self,
        lease: Lease,
        next_attempt_at: Timestamp,
        reason: &'static str,
        now: Timestamp,
    ) -> Pending<'_, Settled> {
        let next = Some(next_attempt_at);
        self.engine.write(move |conn| deliveries::failed(conn, lease, next, reason, now))
    }

    fn gave_up(&self, lease: Lease, reason: &'static str, now: Timestamp) -> Pending<'_, Settled> {
        self.engine.write(move |conn| deliveries::failed(conn, lease, None, reason, now))
    }

    fn replay(&self, selector: DeliverySelector, now: Timestamp) -> Pending<'_, u64> {
        self.engine.write(move |conn| deliveries::replay(conn, selector, now))
    }

    fn by_hand(&self, delivery: DeliveryId, now: Timestamp) -> Pending<'_, bool> {
        self.engine.write(move |conn| deliveries::by_hand(conn, delivery, now))
    }

    fn deliveries(&self, filter: DeliveryFilter) -> Pending<'_, Vec<DeliveryRow>> {
        self.engine.long_read(move |conn| read::deliveries(conn, filter))
    }

    fn next_due(&self, excluded: Vec<DfeCode>) -> Pending<'_, Option<Timestamp>> {
        self.engine.read(move |conn| read::next_due(conn, &excluded))
    }

    fn next_due_of(&self, authority: DfeCode) -> Pending<'_, Option<Timestamp>> {
        self.engine.read(move |conn| read::next_due_of(conn, authority))
    }

    fn threads(&self, after: Option<ReferralId>, limit: u32) -> Pending<'_, Vec<ReferralId>> {
        self.engine.long_read(move |conn| read::threads(conn, after, limit))
    }

    fn due_referrals(&self, now: Timestamp, limit: u32) -> Pending<'_, Vec<ReferralId>> {
        self.engine.read(move |conn| thread::due(conn, now, limit))
    }

    fn looked_at(
        &self,
        referral_id: ReferralId,
        seen: (Head, Option<Timestamp>),
        wake_at: Option<Timestamp>,
    ) -> Pending<'_, ()> {
        self.engine.write(move |conn| thread::looked_at(conn, referral_id, seen, wake_at))
    }

    fn head(&self, referral_id: ReferralId) -> Pending<'_, Option<Head>> {
        self.engine
            .read(move |conn| Ok(read::thread_row(conn, referral_id)?.map(|thread| thread.head)))
    }

    fn timeline(&self, referral_id: ReferralId) -> Pending<'_, Option<Timeline>> {
        let vault = Arc::clone(&self.vault);
        self.engine.long_read(move |conn| read::timeline(conn, &vault, referral_id))
    }

    fn document(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<Document>> {
        Box::pin(async move {
            let find = move |conn: &_| read::documents(conn, referral_id, sha256);
            DocumentRow::open_one(self.engine.read(find).await?, &self.vault)
        })
    }

    fn token(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<StoredToken>> {
        self.engine.read(move |conn| read::token(conn, referral_id, sha256))
    }

    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>> {
        self.engine.read(move |conn| rows::chain(conn, x5t))
    }

    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>> {
        self.engine.long_read(move |conn| rows::crl(conn, sha256))
    }

    fn counts(&self, now: Timestamp) -> Pending<'_, Counts> {
        self.engine.long_read(move |conn| read::counts(conn, now))
    }

    fn acquire(
        &self,
        name: &'static str,
        holder: String,
        now: Timestamp,
        ttl_ms: i64,
    ) -> Pending<'_, Option<Fence>> {
        self.engine.write(move |conn| sequence::acquire(conn, name, &holder, now, ttl_ms))
    }

    fn release(&self, fence: Fence) -> Pending<'_, ()> {
        self.engine.write(move |conn| sequence::release(conn, &fence))
    }

    fn sequence(&self, fence: &Fence, limit: u32, now: Timestamp) -> Pending<'_, Sequencing> {
        let fence = fence.clone();
        self.engine.write(move |conn| sequence::sequence(conn, &fence, limit, now))
    }

    fn log(&self, first: u64, limit: u32) -> Pending<'_, Vec<LogEntry>> {
        self.engine.long_read(move |conn| sequence::log(conn, first, limit))
    }

    fn feed(&self, party: &Organisation, after: u64, limit: u32) -> Pending<'_, Vec<FeedEntry>> {
        let party = party.clone();
        self.engine.long_read(move |conn| sequence::feed(conn, &party, after, limit))
    }

    fn stream(&self, id: &StreamId) -> Pending<'_, StreamStanding> {
        let id = id.clone();
        self.engine.read(move |conn| streams::standing(conn, &id))
    }

    fn acknowledge(&self, acks: StreamAcks) -> Pending<'_, StreamOutcome> {
        self.engine.write(move |conn| streams::acknowledge(conn, &acks))
    }

    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()> {
        self.engine.write(move |conn| rows::probe(conn, now))
    }

    fn check(&self) -> Pending<'_, CheckReport> {
        let vault = Arc::clone(&self.vault);
        self.engine.long_read(move |conn| check_gateway::check(conn, &vault))
    }
}

retention_store!(SqliteGateway, retention::GATEWAY);
