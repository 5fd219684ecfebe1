//! Bugs put in on purpose between the product and its real stores. The proof must find each of them:
//! a proof that nothing can fail proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ecaf::cli::sandbox::AUTHORITIES;
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::domain::party::{DfeCode, Organisation};
use ecaf::domain::retention::Erasure;
use ecaf::domain::time::Timestamp;
use ecaf::effects::SeededEntropy;
use ecaf::store::sealing::{KeyId, Vault};
use ecaf::store::*;
use rustls::pki_types::CertificateDer;

use super::database::Opened;
use super::ring::Ring;
use super::scheme::scheme;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Nothing.
    None,
    /// The gateway's store says "committed" and forgets it: every third time.
    LosesAccepted,
    /// The gateway's store says "done" to a receipt and stores nothing.
    LosesReceipts,
    /// The gateway's store leaves the receipt out of its school's feed.
    ForgetsAudience,
    /// The authority's store says "stored" and forgets it, every third time.
    LosesDispatches,
    /// The authority's store keeps other bytes than it was given.
    MixesDocuments,
    /// The authority's store keeps every third dispatch under another purpose than its own, so that a
    /// repetition would be stored twice.
    StoresElsewhere,
    /// A restart finds the key ring as it was at first: an old copy was put back.
    RestoresOldRing,
    /// Stores say that there is nothing to delete, and keep the ciphertext.
    KeepsCiphertext,
    /// Stores delete another document too.
    PurgesAnother,
    /// Stores say "on hold" and forget it.
    ForgetsHolds,
    /// The gateway's store forgets a certificate once its owner has another.
    ForgetsOldCertificates,
    /// The gateway's store forgets when to look at a referral's clocks again.
    ForgetsToWake,
    /// The gateway's store leaves the holder as it was when a transfer is accepted.
    KeepsOldHolder,
    /// The gateway's store shows what is said to an authority that has no part in it.
    ShowsAnother,
    /// The authority's store says "kept" to an event and forgets it.
    LosesPushed,
}

impl Bug {
    /// All that must be found.
    pub const ALL: [Self; 15] = [
        Self::LosesAccepted,
        Self::LosesReceipts,
        Self::ForgetsAudience,
        Self::LosesDispatches,
        Self::MixesDocuments,
        Self::StoresElsewhere,
        Self::RestoresOldRing,
        Self::KeepsCiphertext,
        Self::PurgesAnother,
        Self::ForgetsHolds,
        Self::ForgetsOldCertificates,
        Self::ForgetsToWake,
        Self::KeepsOldHolder,
        Self::ShowsAnother,
        Self::LosesPushed,
    ];
}

impl Bug {
    /// Seeds of which some finds it.
    pub fn seeds(self) -> std::ops::Range<u64> {
        match self {
            Self::RestoresOldRing
            | Self::KeepsCiphertext
            | Self::PurgesAnother
            | Self::ForgetsOldCertificates => 1_100..1_112,
            // Only where there is a way back.
            Self::KeepsOldHolder | Self::ForgetsToWake | Self::ShowsAnother | Self::LosesPushed => {
                20_003..20_015
            }
            // Only where something on hold is erased.
            Self::ForgetsHolds => 1_229..1_241,
            _ => 100..112,
        }
    }
}

/// The vault of a store that is opened for the `opening`th time.
pub fn ring(bug: Bug, ring: &Ring, opening: u64) -> Arc<Vault> {
    let mut kept = ring.file.path().as_os_str().to_owned();
    kept.push(".kept");
    if bug == Bug::RestoresOldRing {
        match opening {
            0 => std::fs::copy(ring.file.path(), &kept),
            _ => std::fs::copy(&kept, ring.file.path()),
        }
        .unwrap();
    }
    ring.vault(Arc::new(SeededEntropy::new(opening ^ 0x05ea_1000)))
}

fn broken<S: ?Sized>(bug: Bug, real: Opened<S>) -> Arc<Broken<S>> {
    let Opened { store, retention, .. } = real;
    Arc::new(Broken { bug, real: store, retention, count: AtomicU64::new(0) })
}

/// The gateway's store with a bug, if the bug is there.
pub fn gateway(bug: Bug, real: Opened<dyn GatewayStore>) -> Opened<dyn GatewayStore> {
    match bug {
        Bug::LosesDispatches
        | Bug::MixesDocuments
        | Bug::StoresElsewhere
        | Bug::LosesPushed
        | Bug::None => real,
        _ => {
            let vault = Arc::clone(&real.vault);
            let store = broken(bug, real);
            Opened { retention: store.clone(), store, vault }
        }
    }
}

/// The authority's store with a bug, if the bug is there.
pub fn authority(bug: Bug, real: Opened<dyn AuthorityStore>) -> Opened<dyn AuthorityStore> {
    match bug {
        Bug::LosesAccepted
        | Bug::LosesReceipts
        | Bug::ForgetsAudience
        | Bug::ForgetsToWake
        | Bug::KeepsOldHolder
        | Bug::ShowsAnother
        | Bug::None => real,
        _ => {
            let vault = Arc::clone(&real.vault);
            let store = broken(bug, real);
            Opened { retention: store.clone(), store, vault }
        }
    }
}

struct Broken<S: ?Sized> {
    bug: Bug,
    real: Arc<S>,
    retention: Arc<dyn RetentionStore>,
    count: AtomicU64,
}

impl<S: ?Sized> Broken<S> {
    /// Every third time, the third first.
    fn now(&self, bug: Bug) -> bool {
        self.bug == bug && self.count.fetch_add(1, Ordering::SeqCst) % 3 == 2
    }
}

impl<S: ?Sized + Send + Sync + 'static> RetentionStore for Broken<S> {
    fn keys(&self) -> Pending<'_, Vec<KeyId>> {
        self.retention.keys()
    }

    fn keys_in_use(&self) -> Pending<'_, Vec<KeyUse>> {
        self.retention.keys_in_use()
    }

    fn wrapped_under(
        &self,
        key: KeyId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Pending<'_, Vec<WrappedDocument>> {
        self.retention.wrapped_under(key, after, limit)
    }

    fn wrapped_of(&self, id: ReferralId) -> Pending<'_, Vec<WrappedDocument>> {
        self.retention.wrapped_of(id)
    }

    fn rewrap(&self, changes: Vec<Rewrap>) -> Pending<'_, u64> {
        self.retention.rewrap(changes)
    }

    fn purge(
        &self,
        mut documents: Vec<(DocumentId, Vec<u8>)>,
        erasure: Erasure,
        now: Timestamp,
    ) -> Pending<'_, u64> {
        Box::pin(async move {
            if self.bug == Bug::KeepsCiphertext {
                return Ok(0);
            }
            if self.bug == Bug::PurgesAnother {
                for used in self.retention.keys_in_use().await? {
                    let more = self.retention.wrapped_under(used.key_id, None, 1).await?;
                    documents.extend(more.into_iter().map(|d| (d.id, d.wrapped)));
                }
            }
            self.retention.purge(documents, erasure, now).await
        })
    }

    fn hold(&self, hold: Hold) -> Pending<'_, bool> {
        match self.bug {
            Bug::ForgetsHolds => Box::pin(async { Ok(true) }),
            _ => self.retention.hold(hold),
        }
    }

    fn release_hold(&self, id: ReferralId, code: String) -> Pending<'_, bool> {
        self.retention.release_hold(id, code)
    }

    fn close(&self, id: ReferralId, now: Timestamp) -> Pending<'_, bool> {
        self.retention.close(id, now)
    }

    fn holds(&self) -> Pending<'_, Vec<Hold>> {
        self.retention.holds()
    }
}

impl GatewayStore for Broken<dyn GatewayStore> {
    fn accept(&self, mut a: Acceptance) -> Pending<'_, AcceptOutcome> {
        if self.now(Bug::LosesAccepted) {
            return Box::pin(async { Ok(AcceptOutcome::Committed) });
        }
        if self.bug == Bug::ForgetsAudience {
            a.accepted.audience.clear();
        }
        self.real.accept(a)
    }

    fn delivered(&self, lease: Lease, t: DeliveredTokens, now: Timestamp) -> Pending<'_, Settled> {
        if self.bug == Bug::LosesReceipts {
            return Box::pin(async { Ok(Settled::Done) });
        }
        self.real.delivered(lease, t, now)
    }

    fn append(&self, mut append: Append) -> Pending<'_, AppendOutcome> {
        if self.bug == Bug::KeepsOldHolder {
            append.holder = None;
        }
        if self.bug == Bug::ShowsAnother {
            let codes = AUTHORITIES.iter().map(|a| a.code.parse().unwrap());
            append.event.audience = codes.map(Organisation::Authority).collect();
        }
        self.real.append(append)
    }

    fn threads(&self, after: Option<ReferralId>, limit: u32) -> Pending<'_, Vec<ReferralId>> {
        self.real.threads(after, limit)
    }

    fn due_referrals(&self, now: Timestamp, limit: u32) -> Pending<'_, Vec<ReferralId>> {
        self.real.due_referrals(now, limit)
    }

    fn looked_at(
        &self,
        id: ReferralId,
        seen: (Head, Option<Timestamp>),
        wake_at: Option<Timestamp>,
    ) -> Pending<'_, ()> {
        let wake_at = wake_at.filter(|_| self.bug != Bug::ForgetsToWake);
        self.real.looked_at(id, seen, wake_at)
    }

    fn thread(&self, id: ReferralId) -> Pending<'_, Option<Thread>> {
        self.real.thread(id)
    }

    fn look_up(&self, s: &Organisation, id: ReferralId, version: u32) -> Pending<'_, Seen> {
        self.real.look_up(s, id, version)
    }

    fn lease_deliveries(&self, request: LeaseRequest) -> Pending<'_, Vec<LeasedDelivery>> {
        self.real.lease_deliveries(request)
    }

    fn lease_again(
        &self,
        delivery: DeliveryId,
        holder: String,
        now: Timestamp,
        lease_ms: i64,
    ) -> Pending<'_, Option<LeasedDelivery>> {
        self.real.lease_again(delivery, holder, now, lease_ms)
    }

    fn postponed(
        &self,
        lease: Lease,
        next: Timestamp,
        reason: &'static str,
        now: Timestamp,
    ) -> Pending<'_, Settled> {
        self.real.postponed(lease, next, reason, now)
    }

    fn gave_up(&self, lease: Lease, reason: &'static str, now: Timestamp) -> Pending<'_, Settled> {
        self.real.gave_up(lease, reason, now)
    }

    fn replay(&self, selector: DeliverySelector, now: Timestamp) -> Pending<'_, u64> {
        self.real.replay(selector, now)
    }

    fn by_hand(&self, delivery: DeliveryId, now: Timestamp) -> Pending<'_, bool> {
        self.real.by_hand(delivery, now)
    }

    fn deliveries(&self, filter: DeliveryFilter) -> Pending<'_, Vec<DeliveryRow>> {
        self.real.deliveries(filter)
    }

    fn next_due(&self, excluded: Vec<DfeCode>) -> Pending<'_, Option<Timestamp>> {
        self.real.next_due(excluded)
    }

    fn next_due_of(&self, authority: DfeCode) -> Pending<'_, Option<Timestamp>> {
        self.real.next_due_of(authority)
    }

    fn head(&self, id: ReferralId) -> Pending<'_, Option<Head>> {
        self.real.head(id)
    }

    fn timeline(&self, id: ReferralId) -> Pending<'_, Option<Timeline>> {
        self.real.timeline(id)
    }

    fn document(&self, id: ReferralId, sha256: Digest) -> Pending<'_, Option<Document>> {
        self.real.document(id, sha256)
    }

    fn token(&self, id: ReferralId, sha256: Digest) -> Pending<'_, Option<StoredToken>> {
        self.real.token(id, sha256)
    }

    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>> {
        if self.bug == Bug::ForgetsOldCertificates && scheme().expires(x5t) {
            return Box::pin(async { Ok(None) });
        }
        self.real.chain(x5t)
    }

    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>> {
        self.real.crl(sha256)
    }

    fn counts(&self, now: Timestamp) -> Pending<'_, Counts> {
        self.real.counts(now)
    }

    fn acquire(
        &self,
        name: &'static str,
        holder: String,
        now: Timestamp,
        ttl_ms: i64,
    ) -> Pending<'_, Option<Fence>> {
        self.real.acquire(name, holder, now, ttl_ms)
    }

    fn release(&self, fence: Fence) -> Pending<'_, ()> {
        self.real.release(fence)
    }

    fn sequence(&self, fence: &Fence, limit: u32, now: Timestamp) -> Pending<'_, Sequencing> {
        self.real.sequence(fence, limit, now)
    }

    fn log(&self, first: u64, limit: u32) -> Pending<'_, Vec<LogEntry>> {
        self.real.log(first, limit)
    }

    fn feed(&self, party: &Organisation, after: u64, limit: u32) -> Pending<'_, Vec<FeedEntry>> {
        self.real.feed(party, after, limit)
    }

    fn stream(&self, id: &StreamId) -> Pending<'_, StreamStanding> {
        self.real.stream(id)
    }

    fn acknowledge(&self, acks: StreamAcks) -> Pending<'_, StreamOutcome> {
        self.real.acknowledge(acks)
    }

    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()> {
        self.real.probe_writable(now)
    }

    fn check(&self) -> Pending<'_, CheckReport> {
        self.real.check()
    }
}

impl AuthorityStore for Broken<dyn AuthorityStore> {
    fn receive(&self, mut d: Dispatch) -> Pending<'_, ReceiveOutcome> {
        if self.now(Bug::LosesDispatches) {
            return Box::pin(async { Ok(ReceiveOutcome::Stored) });
        }
        if self.bug == Bug::MixesDocuments {
            // As a buffer that is used again would.
            let mut mixed = d.document.to_vec();
            let middle = mixed.len() / 2;
            mixed[middle] ^= 1;
            d.document = mixed.into();
        }
        if self.now(Bug::StoresElsewhere) {
            d.key.purpose.push_str(" again");
        }
        self.real.receive(d)
    }

    fn received(&self, key: DispatchKey) -> Pending<'_, Option<StoredDispatch>> {
        self.real.received(key)
    }

    fn next_reference(&self, prefix: String, year: i32) -> Pending<'_, String> {
        self.real.next_reference(prefix, year)
    }

    fn inbox(&self, filter: InboxFilter) -> Pending<'_, Vec<InboxEntry>> {
        self.real.inbox(filter)
    }

    fn keep(&self, pushed: Pushed) -> Pending<'_, bool> {
        if self.bug == Bug::LosesPushed {
            return Box::pin(async { Ok(true) });
        }
        self.real.keep(pushed)
    }

    fn pushed(&self, referral_id: ReferralId) -> Pending<'_, Vec<StoredToken>> {
        self.real.pushed(referral_id)
    }

    fn item(&self, entry: u64) -> Pending<'_, Option<InboxItem>> {
        self.real.item(entry)
    }

    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>> {
        self.real.chain(x5t)
    }

    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>> {
        self.real.crl(sha256)
    }

    fn received_count(&self) -> Pending<'_, u64> {
        self.real.received_count()
    }

    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()> {
        self.real.probe_writable(now)
    }

    fn check(&self) -> Pending<'_, CheckReport> {
        self.real.check()
    }
}
