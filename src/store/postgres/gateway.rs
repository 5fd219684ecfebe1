//! The gateway's contract over a PostgreSQL database.

use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use super::accept::SealedAcceptance;
use super::batch::{self, Batcher};
use super::engine::Engine;
use super::retention::{self, retention_store};
use super::schema::Kind;
use super::settings::Settings;
use super::thread::{self, SealedAppend};
use super::{
    accept_batch, check_gateway, delivered, deliveries, read, rows, sequence, streams, wake,
};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::retention::Erasure;
use crate::domain::time::Timestamp;
use crate::effects::Entropy;
use crate::store::contract::*;
use crate::store::sealing::{DocumentRow, KeyId, Place, Vault};

/// Deliveries leased by one call at most.
const MOST_LEASES: u32 = 1_024;

/// The gateway's store in a PostgreSQL database that any number of gateways share.
pub struct PostgresGateway {
    engine: Arc<Engine>,
    vault: Arc<Vault>,
    entropy: Arc<dyn Entropy>,
    accepts: Vec<Batcher<Arc<SealedAcceptance>, AcceptOutcome>>,
    receipts: Vec<Batcher<Arc<delivered::Receipt>, Settled>>,
}

impl PostgresGateway {
    /// Connects as a process that serves: primary, schema, promotion epoch and replica are judged.
    /// Documents are sealed and opened by `vault`; random lease tokens come from `entropy`.
    pub async fn open(
        settings: &Settings,
        vault: Arc<Vault>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StoreFault> {
        Self::open_as(settings, vault, entropy, true).await
    }

    /// Connects for an operator's command beside the processes that serve.
    pub async fn open_beside(
        settings: &Settings,
        vault: Arc<Vault>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StoreFault> {
        Self::open_as(settings, vault, entropy, false).await
    }

    async fn open_as(
        settings: &Settings,
        vault: Arc<Vault>,
        entropy: Arc<dyn Entropy>,
        service: bool,
    ) -> Result<Self, StoreFault> {
        let engine = Engine::open(settings, Kind::Gateway, service).await?;
        let accepts = batch::writers(engine.one_try(), || {
            let engine = Arc::clone(&engine);
            move |batch| accept_batch::carry_out(Arc::clone(&engine), batch)
        });
        let receipts = batch::writers(engine.one_try(), || {
            let engine = Arc::clone(&engine);
            move |batch| delivered::carry_out(Arc::clone(&engine), batch)
        });
        Ok(Self { engine, vault, entropy, accepts, receipts })
    }
}

impl GatewayStore for PostgresGateway {
    fn look_up(
        &self,
        sender: &Organisation,
        referral_id: ReferralId,
        version: u32,
    ) -> Pending<'_, Seen> {
        let sender = Arc::new(sender.clone());
        self.engine.read(move |session| {
            let sender = Arc::clone(&sender);
            Box::pin(async move { read::look_up(session, &sender, referral_id, version).await })
        })
    }

    fn accept(&self, acceptance: Acceptance) -> Pending<'_, AcceptOutcome> {
        let writer = batch::writer_of(acceptance.referral_id, &self.accepts);
        Box::pin(async move {
            let a = &acceptance;
            let place = Place::gateway(a.referral_id, a.version, a.payload_sha256);
            let document = self.vault.seal(&place, a.recorded_at, &a.document)?;
            let sealed = SealedAcceptance { acceptance, document };
            self.accepts[writer].submit(Arc::new(sealed)).await
        })
    }

    fn append(&self, append: Append) -> Pending<'_, AppendOutcome> {
        Box::pin(async move {
            let vault = Arc::clone(&self.vault);
            let detail = append.seal(&vault)?;
            let sealed = Arc::new(SealedAppend { append, detail });
            let write = self.engine.write(move |session, _| {
                let (sealed, vault) = (Arc::clone(&sealed), Arc::clone(&vault));
                Box::pin(async move { thread::append(session, &vault, &sealed).await })
            });
            write.await
        })
    }

    fn thread(&self, referral_id: ReferralId) -> Pending<'_, Option<Thread>> {
        let vault = Arc::clone(&self.vault);
        self.engine.read(move |session| {
            let vault = Arc::clone(&vault);
            Box::pin(async move { thread::thread(session, &vault, referral_id).await })
        })
    }

    fn lease_deliveries(&self, request: LeaseRequest) -> Pending<'_, Vec<LeasedDelivery>> {
        Box::pin(async move {
            if request.lease_ms <= 0 {
                return Err(StoreFault::Misuse);
            }
            let mut request = request;
            request.limit = request.limit.min(MOST_LEASES);
            let mut tokens = vec![[0; 16]; request.limit as usize];
            for token in &mut tokens {
                self.entropy.fill(token).map_err(|_| StoreFault::NoEntropy)?;
            }
            let asked = Arc::new((request, tokens));
            let lease = self.engine.write(move |session, this| {
                let asked = Arc::clone(&asked);
                Box::pin(async move {
                    deliveries::lease(session, &asked.0, &asked.1, this.maybe_done).await
                })
            });
            let leases: Arc<[Lease]> = lease.await?.into();
            if leases.is_empty() {
                return Ok(Vec::new());
            }
            let vault = Arc::clone(&self.vault);
            let load = self.engine.read(move |session| {
                let (leases, vault) = (Arc::clone(&leases), Arc::clone(&vault));
                Box::pin(async move { deliveries::load(session, &vault, &leases).await })
            });
            load.await
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
            let holder: Arc<str> = holder.into();
            let take = self.engine.write(move |session, _| {
                let holder = Arc::clone(&holder);
                Box::pin(async move {
                    let until = (&*holder, now, lease_ms);
                    deliveries::lease_again(session, delivery, token, until).await
                })
            });
            let Some(lease) = take.await? else { return Ok(None) };
            let vault = Arc::clone(&self.vault);
            let load = self.engine.read(move |session| {
                let vault = Arc::clone(&vault);
                Box::pin(async move { deliveries::load(session, &vault, &[lease]).await })
            });
            Ok(load.await?.pop())
        })
    }

    fn delivered(
        &self,
        lease: Lease,
        tokens: DeliveredTokens,
        now: Timestamp,
    ) -> Pending<'_, Settled> {
        let writer = lease.delivery.0.unsigned_abs() as usize % self.receipts.len();
        self.receipts[writer].submit(Arc::new(delivered::Receipt { lease, tokens, now }))
    }

    fn postponed(
        &self,
        lease: Lease,
        next_attempt_at: Timestamp,
        reason: &'static str,
        now: Timestamp,
    ) -> Pending<'_, Settled> {
        let next = Some(next_attempt_at);
        self.engine.write(move |session, _| {
            Box::pin(deliveries::failed(session, lease, next, reason, now))
        })
    }

    fn gave_up(&self, lease: Lease, reason: &'static str, now: Timestamp) -> Pending<'_, Settled> {
        self.engine.write(move |session, _| {
            Box::pin(deliveries::failed(session, lease, None, reason, now))
        })
    }

    fn replay(&self, selector: DeliverySelector, now: Timestamp) -> Pending<'_, u64> {
        self.engine.write(move |session, _| Box::pin(deliveries::replay(session, selector, now)))
    }

    fn by_hand(&self, delivery: DeliveryId, now: Timestamp) -> Pending<'_, bool> {
        self.engine.write(move |session, this| {
            Box::pin(deliveries::by_hand(session, delivery, now, this.maybe_done))
        })
    }

    fn deliveries(&self, filter: DeliveryFilter) -> Pending<'_, Vec<DeliveryRow>> {
        self.engine.read(move |session| Box::pin(read::deliveries(session, filter)))
    }

    fn next_due(&self, excluded: Vec<DfeCode>) -> Pending<'_, Option<Timestamp>> {
        self.engine.read(move |session| {
            let excluded = excluded.clone();
            Box::pin(async move { read::next_due(session, &excluded).await })
        })
    }

    fn next_due_of(&self, authority: DfeCode) -> Pending<'_, Option<Timestamp>> {
        self.engine.read(move |session| Box::pin(read::next_due_of(session, authority)))
    }

    fn threads(&self, after: Option<ReferralId>, limit: u32) -> Pending<'_, Vec<ReferralId>> {
        self.engine.read(move |session| Box::pin(read::threads(session, after, limit)))
    }

    fn due_referrals(&self, now: Timestamp, limit: u32) -> Pending<'_, Vec<ReferralId>> {
        self.engine.read(move |session| Box::pin(wake::due(session, now, limit)))
    }

    fn looked_at(
        &self,
        referral_id: ReferralId,
        seen: (Head, Option<Timestamp>),
        wake_at: Option<Timestamp>,
    ) -> Pending<'_, ()> {
        self.engine
            .write(move |session, _| Box::pin(wake::looked_at(session, referral_id, seen, wake_at)))
    }

    fn head(&self, referral_id: ReferralId) -> Pending<'_, Option<Head>> {
        self.engine.read(move |session| Box::pin(read::head(session, referral_id)))
    }

    fn timeline(&self, referral_id: ReferralId) -> Pending<'_, Option<Timeline>> {
        let vault = Arc::clone(&self.vault);
        self.engine.read(move |session| {
            let vault = Arc::clone(&vault);
            Box::pin(async move { read::timeline(session, &vault, referral_id).await })
        })
    }

    fn document(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<Document>> {
        Box::pin(async move {
            let read = self
                .engine
                .read(move |session| Box::pin(read::documents(session, referral_id, sha256)));
            DocumentRow::open_one(read.await?, &self.vault)
        })
    }

    fn token(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<StoredToken>> {
        self.engine.read(move |session| Box::pin(read::token(session, referral_id, sha256)))
    }

    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>> {
        self.engine.read(move |session| Box::pin(rows::chain(session, x5t)))
    }

    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>> {
        self.engine.read(move |session| Box::pin(rows::crl(session, sha256)))
    }

    fn counts(&self, now: Timestamp) -> Pending<'_, Counts> {
        self.engine.read(move |session| Box::pin(read::counts(session, now)))
    }

    fn acquire(
        &self,
        name: &'static str,
        holder: String,
        now: Timestamp,
        ttl_ms: i64,
    ) -> Pending<'_, Option<Fence>> {
        self.engine.write(move |session, _| {
            let holder = holder.clone();
            Box::pin(async move { sequence::acquire(session, name, &holder, now, ttl_ms).await })
        })
    }

    fn release(&self, fence: Fence) -> Pending<'_, ()> {
        self.engine.write(move |session, _| {
            let fence = fence.clone();
            Box::pin(async move { sequence::release(session, &fence).await })
        })
    }

    fn sequence(&self, fence: &Fence, limit: u32, now: Timestamp) -> Pending<'_, Sequencing> {
        let fence = fence.clone();
        self.engine.write(move |session, _| {
            let fence = fence.clone();
            Box::pin(async move { sequence::sequence(session, &fence, limit, now).await })
        })
    }

    fn log(&self, first: u64, limit: u32) -> Pending<'_, Vec<LogEntry>> {
        self.engine.read(move |session| Box::pin(sequence::log(session, first, limit)))
    }

    fn feed(&self, party: &Organisation, after: u64, limit: u32) -> Pending<'_, Vec<FeedEntry>> {
        let party = Arc::new(party.clone());
        self.engine.read(move |session| {
            let party = Arc::clone(&party);
            Box::pin(async move { sequence::feed(session, &party, after, limit).await })
        })
    }

    fn stream(&self, id: &StreamId) -> Pending<'_, StreamStanding> {
        let id = Arc::new(id.clone());
        self.engine.read(move |session| {
            let id = Arc::clone(&id);
            Box::pin(async move { streams::standing(session, &id).await })
        })
    }

    fn acknowledge(&self, acks: StreamAcks) -> Pending<'_, StreamOutcome> {
        let acks = Arc::new(acks);
        self.engine.write(move |session, _| {
            let acks = Arc::clone(&acks);
            Box::pin(async move { streams::acknowledge(session, &acks).await })
        })
    }

    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()> {
        self.engine.write(move |session, _| Box::pin(rows::probe(session, now)))
    }

    fn check(&self) -> Pending<'_, CheckReport> {
        self.engine.check(check_gateway::CHECKS, &self.vault)
    }
}

retention_store!(PostgresGateway, &retention::GATEWAY);
