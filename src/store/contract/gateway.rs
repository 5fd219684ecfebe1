//! What the gateway's store promises.

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use super::{
    AcceptOutcome, Acceptance, Append, AppendOutcome, CheckReport, DeliveredTokens, DeliveryFilter,
    DeliveryId, DeliveryRow, DeliverySelector, Document, Head, Lease, LeaseRequest, LeasedDelivery,
    Pending, Seen, Settled, StoredToken, StreamAcks, StreamId, StreamOutcome, StreamStanding,
    Thread, TokenKind,
};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::retention::Erasure;
use crate::domain::time::Timestamp;

/// One version of a referral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// From 1.
    pub version: u32,
    /// Digest of the document.
    pub payload_sha256: Digest,
    /// Code of the request type.
    pub request_type: String,
    /// 0 to 3.
    pub urgency: u8,
    /// The accountable authority as this version was routed. Who it is at present, after transfers, says
    /// [`Timeline::holder`].
    pub authority: DfeCode,
    /// Digest of the submission token.
    pub submission_sha256: Digest,
    /// Digest of our receipt.
    pub accepted_sha256: Digest,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// When and why its document was erased, if it was.
    pub erased: Option<Erasure>,
}

/// One token of a referral, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// What it is.
    pub kind: TokenKind,
    /// Its digest.
    pub sha256: Digest,
    /// Who signed it.
    pub issuer: Organisation,
    /// Its position, for those that take one.
    pub position: Option<u32>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// Everything that the store knows about one referral, without documents and token texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// The referral.
    pub referral_id: ReferralId,
    /// Who sent it.
    pub sender: Organisation,
    /// Where its thread stands.
    pub head: Head,
    /// The accountable authority at present: as version 1 was routed, until a transfer is accepted.
    pub holder: DfeCode,
    /// Oldest first.
    pub versions: Vec<VersionRow>,
    /// In the order in which they were stored.
    pub tokens: Vec<TokenRow>,
    /// In the order in which they were called for.
    pub deliveries: Vec<DeliveryRow>,
}

/// How much of what there is. Delivered ones are not counted: that would cost more the longer the
/// store lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries waiting for an attempt.
    pub held: u64,
    /// Deliveries being worked on.
    pub leased: u64,
    /// Deliveries given up, waiting for an operator. What is erased waits for nobody.
    pub undeliverable: u64,
    /// Of held and leased: recorded five minutes ago or more
    /// ([`crate::domain::delivery::DELAYED_AFTER_MS`]).
    pub delayed: u64,
    /// When the oldest of held and leased was recorded.
    pub oldest_open: Option<Timestamp>,
    /// Tokens that wait for the sequencer.
    pub unsequenced: u64,
    /// Length of the log.
    pub log_size: u64,
}

/// A named right that one holder has at a time. The epoch goes up whenever the right changes hands,
/// and every write under it is refused once another epoch exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// What it is the right to.
    pub name: String,
    /// Which holding of it.
    pub epoch: u64,
    /// When it ends unless it is acquired again.
    pub expires_at: Timestamp,
}

/// What became of a run of the sequencer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequencing {
    /// So many tokens got their log index and feed positions, durably. Fewer than the limit means
    /// that none were left.
    Done {
        /// Tokens sequenced.
        count: u32,
        /// Length of the log afterwards.
        log_size: u64,
    },
    /// The fence is void; nothing was changed.
    FenceLost,
}

/// One entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry {
    /// From 0, without gaps.
    pub index: u64,
    /// Digest of the token.
    pub token_sha256: Digest,
}

/// One entry of a party's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// From 1, without gaps, per party.
    pub position: u64,
    /// The referral that the token belongs to.
    pub referral_id: ReferralId,
    /// The token.
    pub token: StoredToken,
}

/// The store of a gateway. Any number of tasks may use it at once.
pub trait GatewayStore: Send + Sync + 'static {
    /// What is known about a submission's key. One read, asked right after authentication and
    /// authorisation, before any other work.
    fn look_up(
        &self,
        sender: &Organisation,
        referral_id: ReferralId,
        version: u32,
    ) -> Pending<'_, Seen>;

    /// Makes a version durable: document, tokens, chains, lists, idempotency key, head, one delivery
    /// row per authority and purpose, and an unsequenced row per token, in one transaction. Checks
    /// in this order: foreign id, same key, previous version, head. Of any number of concurrent
    /// acceptances with one key, exactly one is `Committed`.
    ///
    /// [`super::StoreFault::Misuse`] for version 0, an urgency above 3, `after` or `previous` missing or
    /// given against their rule, a chain without certificates, a
    /// token whose chain or lists are neither given nor kept already, or two deliveries for one authority
    /// and purpose.
    fn accept(&self, acceptance: Acceptance) -> Pending<'_, AcceptOutcome>;

    /// Makes an event durable: both tokens, the detail, chains, lists, the head, the holder, the
    /// deliveries it calls for and an unsequenced row per token, in one transaction. Checks in this
    /// order: unknown referral, same event token, head. Of any number of concurrent events on top of one
    /// head, exactly one is `Committed`; of those that begin a thread under one id too.
    ///
    /// [`super::StoreFault::Misuse`] for tokens of other kinds, a chain without certificates, a token whose
    /// chain or lists are neither given nor kept already, or two deliveries for one authority and
    /// purpose.
    fn append(&self, append: Append) -> Pending<'_, AppendOutcome>;

    /// Everything needed to judge the next event of a thread, as it stood at one instant. Costs as much
    /// as the thread is long, whatever else is stored.
    fn thread(&self, referral_id: ReferralId) -> Pending<'_, Option<Thread>>;

    /// Leases due deliveries: the most urgent first, among equals the one longest due. A delivery
    /// whose lease has expired is due again. Two calls never return the same delivery while its
    /// lease lasts.
    fn lease_deliveries(&self, request: LeaseRequest) -> Pending<'_, Vec<LeasedDelivery>>;

    /// Takes the lease of one delivery from whoever has it, for its authority that comes with a receipt or
    /// has a word to say about it, however late: a receipt outranks a lease. Not an attempt, so the number
    /// of attempts stays (at least 1). `None` if it is delivered, by hand, erased or unknown.
    fn lease_again(
        &self,
        delivery: DeliveryId,
        holder: String,
        now: Timestamp,
        lease_ms: i64,
    ) -> Pending<'_, Option<LeasedDelivery>>;

    /// Ends a lease with the authority's receipt: stores both tokens, moves the head and settles
    /// the delivery, in one transaction.
    fn delivered(
        &self,
        lease: Lease,
        tokens: DeliveredTokens,
        now: Timestamp,
    ) -> Pending<'_, Settled>;

    /// Ends a lease without success: due again at `next_attempt_at`. Never `HeadMoved`.
    fn postponed(
        &self,
        lease: Lease,
        next_attempt_at: Timestamp,
        reason: &'static str,
        now: Timestamp,
    ) -> Pending<'_, Settled>;

    /// Ends a lease for good: undeliverable, until an operator replays it. Never `HeadMoved`. The referral is
    /// due for a look at its clocks at once, as by [`GatewayStore::due_referrals`].
    fn gave_up(&self, lease: Lease, reason: &'static str, now: Timestamp) -> Pending<'_, Settled>;

    /// Makes undeliverable deliveries due now, with their attempts counted from none. How many.
    fn replay(&self, selector: DeliverySelector, now: Timestamp) -> Pending<'_, u64>;

    /// Marks a delivery that is held or undeliverable as handed over by hand: the exchange tries no
    /// more. Whether it was in such a state.
    fn by_hand(&self, delivery: DeliveryId, now: Timestamp) -> Pending<'_, bool>;

    /// Deliveries, oldest first.
    fn deliveries(&self, filter: DeliveryFilter) -> Pending<'_, Vec<DeliveryRow>>;

    /// When the next delivery to anyone but `excluded` falls due (or its lease runs out); may lie in
    /// the past. `None` if nothing is open.
    fn next_due(&self, excluded: Vec<DfeCode>) -> Pending<'_, Option<Timestamp>>;

    /// The same for one authority alone.
    fn next_due_of(&self, authority: DfeCode) -> Pending<'_, Option<Timestamp>>;

    /// Threads of every kind in the order of their ids, those behind `after`: at most `limit`, and fewer
    /// only at the end.
    fn threads(&self, after: Option<ReferralId>, limit: u32) -> Pending<'_, Vec<ReferralId>>;

    /// Where the thread of a referral stands.
    fn head(&self, referral_id: ReferralId) -> Pending<'_, Option<Head>>;

    /// Everything about a referral but documents and token texts. The caller applies visibility.
    fn timeline(&self, referral_id: ReferralId) -> Pending<'_, Option<Timeline>>;

    /// A document of a referral, one of its versions or the detail of one of its events, or when and
    /// why it was erased.
    fn document(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<Document>>;

    /// A token of a referral.
    fn token(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<StoredToken>>;

    /// A chain that was seen, leaf first.
    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>>;

    /// A revocation list that was consulted.
    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>>;

    /// Referrals whose clocks are to be looked at by `now`, longest due first. They stay due until an
    /// event or [`GatewayStore::looked_at`] says when the next time is.
    fn due_referrals(&self, now: Timestamp, limit: u32) -> Pending<'_, Vec<ReferralId>>;

    /// The clocks of a referral were looked at while its thread stood at that head and the look was due at that
    /// time ([`Thread::wake_at`]): look again at `wake_at`, or never if nothing can change any more. No
    /// effect if the thread has moved since, or a delivery was given up.
    fn looked_at(
        &self,
        referral_id: ReferralId,
        seen: (Head, Option<Timestamp>),
        wake_at: Option<Timestamp>,
    ) -> Pending<'_, ()>;

    /// Figures for metrics and readiness. Their cost depends on what is open, not on what is stored.
    fn counts(&self, now: Timestamp) -> Pending<'_, Counts>;

    /// Acquires or renews a named right for `ttl_ms`. `None` while another holder has it. The same
    /// holder keeps its epoch as long as it renews in time; any other case starts a new epoch.
    fn acquire(
        &self,
        name: &'static str,
        holder: String,
        now: Timestamp,
        ttl_ms: i64,
    ) -> Pending<'_, Option<Fence>>;

    /// Gives a right back before it expires; no effect if it is void already.
    fn release(&self, fence: Fence) -> Pending<'_, ()>;

    /// Gives up to `limit` unsequenced tokens consecutive log indexes and, for each party of their
    /// audience, consecutive feed positions, and removes them from the unsequenced, in one
    /// transaction under the fence. Tokens of one referral keep the order in which they were stored.
    /// This alone decides the order of log and feeds; nobody may infer it from anything else.
    fn sequence(&self, fence: &Fence, limit: u32, now: Timestamp) -> Pending<'_, Sequencing>;

    /// Entries of the log from `first` on.
    fn log(&self, first: u64, limit: u32) -> Pending<'_, Vec<LogEntry>>;

    /// Entries of a party's feed after `after` (0 for the start).
    fn feed(&self, party: &Organisation, after: u64, limit: u32) -> Pending<'_, Vec<FeedEntry>>;

    /// How far a stream is; at the start if it has acknowledged nothing. Creates nothing.
    fn stream(&self, id: &StreamId) -> Pending<'_, StreamStanding>;

    /// Marks positions of a stream as done, in one transaction; the first ones create it. What was done
    /// before may be among them. Of each event whose token is taken, the first time at which its party took
    /// it, by any of its streams, is kept ([`Thread::reached`]). Costs what is out of order, not what was ever read.
    ///
    /// [`super::StoreFault::Misuse`] for position 0 and for one more than [`super::STREAM_WINDOW`]
    /// beyond the last up to which all are done.
    fn acknowledge(&self, acks: StreamAcks) -> Pending<'_, StreamOutcome>;

    /// Commits as much as a usual referral, for the sake of it: `Ok` means that a referral could be accepted
    /// now.
    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()>;

    /// Re-hashes and cross-checks everything. Slow; for operators and tests.
    fn check(&self) -> Pending<'_, CheckReport>;
}
