//! A store between its caller and the real one: every operation waits for its turn, then runs to its
//! end, and may fail before, or fail though it was done. Its answer has a way back, on which a crash
//! loses it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::domain::party::{DfeCode, Organisation};
use ecaf::domain::retention::Erasure;
use ecaf::domain::time::Timestamp;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::tokens::CaseEvent;
use ecaf::store::sealing::KeyId;
use ecaf::store::*;
use rustls::pki_types::CertificateDer;

use super::database::Database;
use super::scheduler::{Scheduler, to_its_end};

/// How a disk behaves, in times of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk {
    /// An operation takes seconds.
    pub slow: u32,
    /// It fails and nothing of it is there.
    pub fails: u32,
    /// It is done, and the caller is told that it failed. The contract's faults for such a case stop
    /// the store; here some are said to be passing, which is worse, and must be survived too.
    pub fails_though_done: u32,
}

impl Disk {
    /// A good one.
    pub const CALM: Self = Self { slow: 0, fails: 0, fails_though_done: 0 };
}

/// The way of one process to its store.
pub struct Scheduled<S: ?Sized> {
    who: String,
    database: Arc<Database<S>>,
    scheduler: Arc<Scheduler>,
    disk: Arc<Mutex<Disk>>,
    stopped: AtomicBool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Read,
    Write,
}
use Kind::{Read, Write};

impl<S: ?Sized> Scheduled<S> {
    pub fn new(
        who: String,
        database: &Arc<Database<S>>,
        scheduler: &Arc<Scheduler>,
        disk: &Arc<Mutex<Disk>>,
    ) -> Self {
        let (database, scheduler) = (Arc::clone(database), Arc::clone(scheduler));
        let stopped = AtomicBool::new(false);
        Self { who, database, scheduler, disk: Arc::clone(disk), stopped }
    }

    async fn perform<T: Word>(
        &self,
        kind: Kind,
        name: &str,
        about: String,
        operation: impl for<'s> FnOnce(&'s S) -> Pending<'s, T>,
    ) -> Result<T, StoreFault> {
        let run = || to_its_end(operation(&self.database.current()));
        self.step(kind, name, about, run).await
    }

    /// The same by the store's other contract.
    async fn keep<T: Word>(
        &self,
        kind: Kind,
        name: &str,
        about: String,
        operation: impl for<'s> FnOnce(&'s dyn RetentionStore) -> Pending<'s, T>,
    ) -> Result<T, StoreFault> {
        let run = || to_its_end(operation(&*self.database.opened().retention));
        self.step(kind, name, about, run).await
    }

    async fn step<T: Word>(
        &self,
        kind: Kind,
        name: &str,
        about: String,
        run: impl FnOnce() -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let disk = *self.disk.lock().unwrap();
        let slow = self.scheduler.random(|r| r.chance(disk.slow));
        let (low, high) = if slow { (1_000_000, 25_000_000) } else { (50, 4_000) };
        if slow {
            self.scheduler.note(&self.who, format_args!("slow: {name}"));
        }
        self.scheduler.turn(low, high).await;
        if self.stopped.load(Ordering::SeqCst) {
            return Err(StoreFault::Stopped);
        }
        let fault = self.scheduler.random(|r| {
            let before = [StoreFault::Unavailable, StoreFault::Full];
            let after = [StoreFault::Unavailable, StoreFault::OutcomeUnknown];
            match kind {
                Read if r.chance(disk.fails / 4) => Some((false, StoreFault::Unavailable)),
                Write if r.chance(disk.fails) => Some((false, r.pick(&before))),
                Write if r.chance(disk.fails_though_done) => Some((true, r.pick(&after))),
                _ => None,
            }
        });
        let done = fault.is_none_or(|(done, _)| done);
        let answer = match done {
            true => run(),
            false => Err(StoreFault::Unavailable),
        };
        let word = match (&answer, fault) {
            (Ok(value), None) => value.word(),
            (Err(real), None) => format!("FAULT {}", real.label()),
            (_, Some((false, fault))) => format!("fails: {}", fault.label()),
            (_, Some((true, fault))) => format!("done, but fails: {}", fault.label()),
        };
        // What only looks and finds nothing would fill the trace.
        if kind == Write && word != "0" || fault.is_some() || answer.is_err() {
            self.scheduler.note(&self.who, format_args!("{name} {about} -> {word}"));
        }
        if kind == Write {
            self.scheduler.turn(10, 600).await;
        }
        match fault {
            Some((_, fault)) => {
                if fault.is_final() {
                    self.stopped.store(true, Ordering::SeqCst);
                }
                Err(fault)
            }
            None => answer,
        }
    }
}

macro_rules! scheduled {
    ($self:ident, $kind:ident, $name:literal, $about:expr, $operation:expr) => {{
        let about = $about;
        Box::pin($self.perform($kind, $name, about, $operation))
    }};
}

fn nothing() -> String {
    String::new()
}

fn of_lease(lease: &Lease) -> String {
    format!("delivery {} attempt {}", lease.delivery.0, lease.attempt)
}

impl GatewayStore for Scheduled<dyn GatewayStore> {
    fn look_up(
        &self,
        sender: &Organisation,
        referral_id: ReferralId,
        version: u32,
    ) -> Pending<'_, Seen> {
        let sender = sender.clone();
        scheduled!(self, Read, "look_up", nothing(), move |s| s.look_up(
            &sender,
            referral_id,
            version
        ))
    }

    fn accept(&self, acceptance: Acceptance) -> Pending<'_, AcceptOutcome> {
        let about = alias(acceptance.referral_id);
        scheduled!(self, Write, "accept", about, move |s| s.accept(acceptance))
    }

    fn append(&self, append: Append) -> Pending<'_, AppendOutcome> {
        let said =
            Unverified::parse(&append.event.token.jws).ok().and_then(|t| t.peek::<CaseEvent>());
        let kind = said.map_or("", |said| said.kind().name());
        let about = format!("{} {kind}", alias(append.referral_id));
        scheduled!(self, Write, "append", about, move |s| s.append(append))
    }

    fn threads(&self, after: Option<ReferralId>, limit: u32) -> Pending<'_, Vec<ReferralId>> {
        scheduled!(self, Read, "threads", nothing(), move |s| s.threads(after, limit))
    }

    fn due_referrals(&self, now: Timestamp, limit: u32) -> Pending<'_, Vec<ReferralId>> {
        scheduled!(self, Read, "due", nothing(), move |s| s.due_referrals(now, limit))
    }

    fn looked_at(
        &self,
        referral_id: ReferralId,
        seen: (Head, Option<Timestamp>),
        wake_at: Option<Timestamp>,
    ) -> Pending<'_, ()> {
        scheduled!(self, Write, "looked", nothing(), move |s| s.looked_at(
            referral_id,
            seen,
            wake_at
        ))
    }

    fn thread(&self, referral_id: ReferralId) -> Pending<'_, Option<Thread>> {
        scheduled!(self, Read, "thread", nothing(), move |s| s.thread(referral_id))
    }

    fn lease_deliveries(&self, request: LeaseRequest) -> Pending<'_, Vec<LeasedDelivery>> {
        scheduled!(self, Write, "lease", nothing(), move |s| s.lease_deliveries(request))
    }

    fn lease_again(
        &self,
        delivery: DeliveryId,
        holder: String,
        now: Timestamp,
        lease_ms: i64,
    ) -> Pending<'_, Option<LeasedDelivery>> {
        let about = format!("delivery {}", delivery.0);
        scheduled!(self, Write, "again", about, move |s| s
            .lease_again(delivery, holder, now, lease_ms))
    }

    fn delivered(
        &self,
        lease: Lease,
        tokens: DeliveredTokens,
        now: Timestamp,
    ) -> Pending<'_, Settled> {
        scheduled!(self, Write, "delivered", of_lease(&lease), move |s| s
            .delivered(lease, tokens, now))
    }

    fn postponed(
        &self,
        lease: Lease,
        next_attempt_at: Timestamp,
        reason: &'static str,
        now: Timestamp,
    ) -> Pending<'_, Settled> {
        let about = format!("{} {reason}", of_lease(&lease));
        scheduled!(self, Write, "postponed", about, move |s| s.postponed(
            lease,
            next_attempt_at,
            reason,
            now
        ))
    }

    fn gave_up(&self, lease: Lease, reason: &'static str, now: Timestamp) -> Pending<'_, Settled> {
        let about = format!("{} {reason}", of_lease(&lease));
        scheduled!(self, Write, "gave_up", about, move |s| s.gave_up(lease, reason, now))
    }

    fn replay(&self, selector: DeliverySelector, now: Timestamp) -> Pending<'_, u64> {
        scheduled!(self, Write, "replay", nothing(), move |s| s.replay(selector, now))
    }

    fn by_hand(&self, delivery: DeliveryId, now: Timestamp) -> Pending<'_, bool> {
        let about = format!("delivery {}", delivery.0);
        scheduled!(self, Write, "by_hand", about, move |s| s.by_hand(delivery, now))
    }

    fn deliveries(&self, filter: DeliveryFilter) -> Pending<'_, Vec<DeliveryRow>> {
        scheduled!(self, Read, "deliveries", nothing(), move |s| s.deliveries(filter))
    }

    fn next_due(&self, excluded: Vec<DfeCode>) -> Pending<'_, Option<Timestamp>> {
        scheduled!(self, Read, "next_due", nothing(), move |s| s.next_due(excluded))
    }

    fn next_due_of(&self, authority: DfeCode) -> Pending<'_, Option<Timestamp>> {
        scheduled!(self, Read, "next_due_of", nothing(), move |s| s.next_due_of(authority))
    }

    fn head(&self, referral_id: ReferralId) -> Pending<'_, Option<Head>> {
        scheduled!(self, Read, "head", nothing(), move |s| s.head(referral_id))
    }

    fn timeline(&self, referral_id: ReferralId) -> Pending<'_, Option<Timeline>> {
        scheduled!(self, Read, "timeline", nothing(), move |s| s.timeline(referral_id))
    }

    fn document(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<Document>> {
        scheduled!(self, Read, "document", nothing(), move |s| s.document(referral_id, sha256))
    }

    fn token(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<StoredToken>> {
        scheduled!(self, Read, "token", nothing(), move |s| s.token(referral_id, sha256))
    }

    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>> {
        scheduled!(self, Read, "chain", nothing(), move |s| s.chain(x5t))
    }

    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>> {
        scheduled!(self, Read, "crl", nothing(), move |s| s.crl(sha256))
    }

    fn counts(&self, now: Timestamp) -> Pending<'_, Counts> {
        scheduled!(self, Read, "counts", nothing(), move |s| s.counts(now))
    }

    fn acquire(
        &self,
        name: &'static str,
        holder: String,
        now: Timestamp,
        ttl_ms: i64,
    ) -> Pending<'_, Option<Fence>> {
        scheduled!(self, Write, "acquire", nothing(), move |s| s.acquire(name, holder, now, ttl_ms))
    }

    fn release(&self, fence: Fence) -> Pending<'_, ()> {
        scheduled!(self, Write, "release", nothing(), move |s| s.release(fence))
    }

    fn sequence(&self, fence: &Fence, limit: u32, now: Timestamp) -> Pending<'_, Sequencing> {
        let fence = fence.clone();
        scheduled!(self, Write, "sequence", nothing(), move |s| Box::pin(async move {
            s.sequence(&fence, limit, now).await
        }))
    }

    fn log(&self, first: u64, limit: u32) -> Pending<'_, Vec<LogEntry>> {
        scheduled!(self, Read, "log", nothing(), move |s| s.log(first, limit))
    }

    fn feed(&self, party: &Organisation, after: u64, limit: u32) -> Pending<'_, Vec<FeedEntry>> {
        let party = party.clone();
        scheduled!(self, Read, "feed", nothing(), move |s| Box::pin(async move {
            s.feed(&party, after, limit).await
        }))
    }

    fn stream(&self, id: &StreamId) -> Pending<'_, StreamStanding> {
        let id = id.clone();
        scheduled!(self, Read, "stream", nothing(), move |s| Box::pin(async move {
            s.stream(&id).await
        }))
    }

    fn acknowledge(&self, acks: StreamAcks) -> Pending<'_, StreamOutcome> {
        let about = acks.to_string();
        scheduled!(self, Write, "acknowledge", about, move |s| s.acknowledge(acks))
    }

    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()> {
        scheduled!(self, Write, "probe", nothing(), move |s| s.probe_writable(now))
    }

    fn check(&self) -> Pending<'_, CheckReport> {
        scheduled!(self, Read, "check", nothing(), move |s| s.check())
    }
}

impl AuthorityStore for Scheduled<dyn AuthorityStore> {
    fn received(&self, key: DispatchKey) -> Pending<'_, Option<StoredDispatch>> {
        scheduled!(self, Read, "received", nothing(), move |s| s.received(key))
    }

    fn next_reference(&self, prefix: String, year: i32) -> Pending<'_, String> {
        scheduled!(self, Write, "next_reference", nothing(), move |s| s
            .next_reference(prefix, year))
    }

    fn receive(&self, dispatch: Dispatch) -> Pending<'_, ReceiveOutcome> {
        let about = format!("{} {}", alias(dispatch.key.referral_id), dispatch.key.purpose);
        scheduled!(self, Write, "receive", about, move |s| s.receive(dispatch))
    }

    fn inbox(&self, filter: InboxFilter) -> Pending<'_, Vec<InboxEntry>> {
        scheduled!(self, Read, "inbox", nothing(), move |s| s.inbox(filter))
    }

    fn keep(&self, pushed: Pushed) -> Pending<'_, bool> {
        scheduled!(self, Write, "keep", nothing(), move |s| s.keep(pushed))
    }

    fn pushed(&self, referral_id: ReferralId) -> Pending<'_, Vec<StoredToken>> {
        scheduled!(self, Read, "pushed", nothing(), move |s| s.pushed(referral_id))
    }

    fn item(&self, entry: u64) -> Pending<'_, Option<InboxItem>> {
        scheduled!(self, Read, "item", nothing(), move |s| s.item(entry))
    }

    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>> {
        scheduled!(self, Read, "chain", nothing(), move |s| s.chain(x5t))
    }

    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>> {
        scheduled!(self, Read, "crl", nothing(), move |s| s.crl(sha256))
    }

    fn received_count(&self) -> Pending<'_, u64> {
        scheduled!(self, Read, "received_count", nothing(), move |s| s.received_count())
    }

    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()> {
        scheduled!(self, Write, "probe", nothing(), move |s| s.probe_writable(now))
    }

    fn check(&self) -> Pending<'_, CheckReport> {
        scheduled!(self, Read, "check", nothing(), move |s| s.check())
    }
}

impl<S: ?Sized + Send + Sync + 'static> RetentionStore for Scheduled<S> {
    fn keys(&self) -> Pending<'_, Vec<KeyId>> {
        Box::pin(self.keep(Read, "keys", nothing(), |s| s.keys()))
    }

    fn keys_in_use(&self) -> Pending<'_, Vec<KeyUse>> {
        Box::pin(self.keep(Read, "keys_in_use", nothing(), |s| s.keys_in_use()))
    }

    fn wrapped_under(
        &self,
        key: KeyId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Pending<'_, Vec<WrappedDocument>> {
        Box::pin(
            self.keep(Read, "wrapped_under", nothing(), move |s| {
                s.wrapped_under(key, after, limit)
            }),
        )
    }

    fn wrapped_of(&self, id: ReferralId) -> Pending<'_, Vec<WrappedDocument>> {
        Box::pin(self.keep(Read, "wrapped_of", nothing(), move |s| s.wrapped_of(id)))
    }

    fn rewrap(&self, changes: Vec<Rewrap>) -> Pending<'_, u64> {
        Box::pin(self.keep(Write, "rewrap", nothing(), move |s| s.rewrap(changes)))
    }

    fn purge(
        &self,
        documents: Vec<(DocumentId, Vec<u8>)>,
        erasure: Erasure,
        now: Timestamp,
    ) -> Pending<'_, u64> {
        let about = format!("{} of {}", erasure.why.as_str(), documents.len());
        Box::pin(self.keep(Write, "purge", about, move |s| s.purge(documents, erasure, now)))
    }

    fn hold(&self, hold: Hold) -> Pending<'_, bool> {
        let about = alias(hold.referral_id);
        Box::pin(self.keep(Write, "hold", about, move |s| s.hold(hold)))
    }

    fn release_hold(&self, id: ReferralId, code: String) -> Pending<'_, bool> {
        Box::pin(self.keep(Write, "release_hold", alias(id), move |s| s.release_hold(id, code)))
    }

    fn close(&self, id: ReferralId, now: Timestamp) -> Pending<'_, bool> {
        Box::pin(self.keep(Write, "close", alias(id), move |s| s.close(id, now)))
    }

    fn holds(&self) -> Pending<'_, Vec<Hold>> {
        Box::pin(self.keep(Read, "holds", nothing(), |s| s.holds()))
    }
}

/// A referral in the trace: its first eight digits.
pub fn alias(id: ReferralId) -> String {
    id.to_string()[..8].to_owned()
}

/// A word for the trace, without values.
pub trait Word {
    fn word(&self) -> String;
}

impl Word for AcceptOutcome {
    fn word(&self) -> String {
        match self {
            AcceptOutcome::Committed => "committed",
            AcceptOutcome::Already(_) => "already",
            AcceptOutcome::OtherBytes(_) => "other bytes",
            AcceptOutcome::Foreign => "foreign",
            AcceptOutcome::PreviousMismatch => "previous mismatch",
            AcceptOutcome::HeadMoved(_) => "head moved",
        }
        .into()
    }
}

impl Word for AppendOutcome {
    fn word(&self) -> String {
        match self {
            AppendOutcome::Committed => "committed",
            AppendOutcome::Already(_) => "already",
            AppendOutcome::HeadMoved(_) => "head moved",
            AppendOutcome::Unknown => "unknown",
        }
        .into()
    }
}

impl Word for ReceiveOutcome {
    fn word(&self) -> String {
        match self {
            ReceiveOutcome::Stored => "stored",
            ReceiveOutcome::Already(_) => "already",
            ReceiveOutcome::OtherBytes(_) => "other bytes",
        }
        .into()
    }
}

impl Word for Settled {
    fn word(&self) -> String {
        match self {
            Settled::Done => "done",
            Settled::LeaseLost => "lease lost",
            Settled::HeadMoved(_) => "head moved",
            Settled::AlreadyDone => "already done",
        }
        .into()
    }
}

impl Word for Sequencing {
    fn word(&self) -> String {
        match self {
            Sequencing::Done { count: 0, .. } => "0".into(),
            Sequencing::Done { count, log_size } => format!("{count}, log has {log_size}"),
            Sequencing::FenceLost => "fence lost".into(),
        }
    }
}

impl Word for Option<Fence> {
    fn word(&self) -> String {
        // Renewals are not news, new epochs are seen when something is sequenced.
        "0".into()
    }
}

macro_rules! words {
    ($($type:ty => |$value:ident| $word:expr),* $(,)?) => {
        $(impl Word for $type {
            fn word(&self) -> String {
                let $value = self;
                $word.to_string()
            }
        })*
    };
}

words! {
    () => |_value| "0",
    u64 => |value| value,
    bool => |value| value,
    String => |value| value,
    Seen => |_value| "seen",
    Counts => |_value| "counts",
    CheckReport => |_value| "checked",
    StreamStanding => |value| value.done,
    StreamOutcome => |value| matches!(value, StreamOutcome::Standing(_)),
    Option<Timestamp> => |value| value.is_some(),
    Option<Head> => |value| value.is_some(),
    Option<Timeline> => |value| value.is_some(),
    Option<Thread> => |value| value.is_some(),
    Option<Bytes> => |value| value.is_some(),
    Option<Document> => |value| value.is_some(),
    Option<StoredToken> => |value| value.is_some(),
    Option<StoredDispatch> => |value| value.is_some(),
    Option<InboxItem> => |value| value.is_some(),
    Option<Vec<CertificateDer<'static>>> => |value| value.is_some(),
    Option<LeasedDelivery> => |value| value.is_some(),
    Vec<LeasedDelivery> => |value| value.len(),
    Vec<StoredToken> => |value| value.len(),
    Vec<DeliveryRow> => |value| value.len(),
    Vec<LogEntry> => |value| value.len(),
    Vec<FeedEntry> => |value| value.len(),
    Vec<InboxEntry> => |value| value.len(),
    Vec<KeyId> => |value| value.len(),
    Vec<ReferralId> => |value| value.len(),
    Vec<KeyUse> => |value| value.len(),
    Vec<WrappedDocument> => |value| value.len(),
    Vec<Hold> => |value| value.len(),
}
