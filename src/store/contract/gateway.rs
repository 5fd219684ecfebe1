//! What the gateway's store promises.

use std::fmt;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use super::{CheckReport, Head, Pending, SeenChain, SeenCrl, StoredToken, Token, TokenKind};
use crate::domain::delivery::State;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::time::Timestamp;

/// A token on its way into the store, with the organisations in whose feeds it will appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The token.
    pub token: Token,
    /// Who will find it in their feed. May be empty: the token then is in the log alone.
    pub audience: Vec<Organisation>,
}

/// One delivery that an acceptance calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// To whom.
    pub authority: DfeCode,
    /// Why, as the dispatch note says it. At most one delivery per authority and purpose.
    pub purpose: String,
    /// The note for exactly this authority.
    pub note: NewToken,
}

/// A verified, routed and signed version of a referral, ready to be made durable.
#[derive(Clone)]
pub struct Acceptance {
    /// The sender's organisation: with `referral_id` and `version` the idempotency key.
    pub sender: Organisation,
    /// The referral.
    pub referral_id: ReferralId,
    /// From 1, without gaps.
    pub version: u32,
    /// `payload_sha256` of the version before; `None` exactly for version 1.
    pub previous: Option<Digest>,
    /// Where the thread must stand for this to be appended; `None` exactly for version 1. The
    /// `accepted` token then holds the next position.
    pub after: Option<Head>,
    /// Code of the request type.
    pub request_type: String,
    /// 0 (danger now) to 3 (early help).
    pub urgency: u8,
    /// SHA-256 of `document`.
    pub payload_sha256: Digest,
    /// The document, byte for byte as received.
    pub document: Bytes,
    /// The sender's submission (or our attestation).
    pub submission: NewToken,
    /// Our receipt.
    pub accepted: NewToken,
    /// The accountable authority.
    pub authority: DfeCode,
    /// One per authority and purpose; may be empty for nothing to be delivered.
    pub deliveries: Vec<NewDelivery>,
    /// Chains of all tokens, our own included.
    pub chains: Vec<SeenChain>,
    /// Revocation lists consulted.
    pub crls: Vec<SeenCrl>,
    /// The recorded-at that the receipt states.
    pub recorded_at: Timestamp,
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acceptance({} v{})", self.referral_id, self.version)
    }
}

/// A version that was accepted before: what the same submission gets as its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAcceptance {
    /// Digest of the document: equal means the same submission.
    pub payload_sha256: Digest,
    /// Digest of the submission token.
    pub submission_sha256: Digest,
    /// The receipt, byte for byte as signed.
    pub accepted: String,
    /// The accountable authority.
    pub authority: DfeCode,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// What the store knows about a submission's key, from the point of view of its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nobody has used this referral id.
    Never,
    /// Another sender's referral: the caller must reveal nothing about it.
    Foreign,
    /// The sender's own referral, without this version.
    OtherVersions {
        /// Where its thread stands.
        head: Head,
        /// The newest version.
        latest_version: u32,
        /// Digest of the newest version's document.
        latest_payload_sha256: Digest,
    },
    /// This very version is stored.
    Stored(StoredAcceptance),
}

/// What became of an acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptOutcome {
    /// Durable now; release the receipt that came with it.
    Committed,
    /// The same document was accepted before, perhaps a moment ago by a twin of this request;
    /// release that receipt instead.
    Already(StoredAcceptance),
    /// The key stands for another document.
    OtherBytes(StoredAcceptance),
    /// The referral id is another sender's.
    Foreign,
    /// `version` does not follow the newest version, or `previous` is not its digest.
    PreviousMismatch,
    /// The thread has moved since the receipt was signed: sign again on top of this head.
    HeadMoved(Head),
}

/// The number of a delivery in this store. Not an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub i64);

/// The right to work on one delivery until `expires_at`. Whoever holds another token, attempt or an
/// expired one changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Random, new for every lease.
    pub token: [u8; 16],
    /// How many times it has been leased since it was accepted or replayed, from 1.
    pub attempt: u32,
    /// From this instant on, the lease is void.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} attempt {})", self.delivery.0, self.attempt)
    }
}

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The present.
    pub now: Timestamp,
    /// Name of the worker's gateway, for operators only.
    pub holder: String,
    /// How long each lease lasts, in milliseconds, above 0.
    pub lease_ms: i64,
    /// At most this many.
    pub limit: u32,
    /// Authorities that are to be left alone (circuit open, enough in flight).
    pub excluded: Vec<DfeCode>,
}

/// One delivery with everything that is sent, and everything that is needed to judge the answer.
#[derive(Clone)]
pub struct LeasedDelivery {
    /// The right to work on it.
    pub lease: Lease,
    /// To whom.
    pub authority: DfeCode,
    /// Why.
    pub purpose: String,
    /// 0 (danger now) to 3 (early help).
    pub urgency: u8,
    /// The sender.
    pub sender: Organisation,
    /// The referral.
    pub referral_id: ReferralId,
    /// Its version.
    pub version: u32,
    /// Where the thread stood when the lease was read.
    pub head: Head,
    /// Digest of the document.
    pub payload_sha256: Digest,
    /// The document.
    pub document: Bytes,
    /// The submission.
    pub submission: StoredToken,
    /// Our receipt.
    pub accepted: StoredToken,
    /// The note for this authority.
    pub note: StoredToken,
    /// Chains of those three tokens, each leaf once.
    pub chains: Vec<SeenChain>,
    /// When the first attempt began.
    pub first_tried_at: Timestamp,
    /// When the version was recorded.
    pub recorded_at: Timestamp,
}

impl fmt::Debug for LeasedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeasedDelivery({:?} {} v{})", self.lease, self.referral_id, self.version)
    }
}

/// The authority's verified receipt, with our record of it.
#[derive(Debug, Clone)]
pub struct DeliveredTokens {
    /// The authority's receipt.
    pub delivered: NewToken,
    /// Our `recorded` for it, which takes the position after `after`.
    pub recorded: NewToken,
    /// Where the thread must stand.
    pub after: Head,
    /// Chains of both.
    pub chains: Vec<SeenChain>,
    /// Revocation lists consulted.
    pub crls: Vec<SeenCrl>,
    /// The recorded-at that `recorded` states.
    pub recorded_at: Timestamp,
}

/// What became of the end of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Done, durably.
    Done,
    /// The lease is void; nothing was changed.
    LeaseLost,
    /// The thread has moved: sign `recorded` again on top of this head. The lease still holds.
    HeadMoved(Head),
    /// Somebody else delivered it already; nothing was changed.
    AlreadyDone,
}

/// Which deliveries an operator means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliverySelector {
    /// One.
    One(DeliveryId),
    /// All of one referral.
    Referral(ReferralId),
    /// All to one authority.
    Authority(DfeCode),
    /// All.
    All,
}

/// Which deliveries to list, oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those to this authority.
    pub authority: Option<DfeCode>,
    /// Only those of this referral.
    pub referral_id: Option<ReferralId>,
    /// Only those listed after this one, for the next page.
    pub after: Option<DeliveryId>,
    /// At most this many; 0 means [`DeliveryFilter::LONGEST`].
    pub limit: u32,
}

impl DeliveryFilter {
    /// The longest page.
    pub const LONGEST: u32 = 1_000;
}

/// The standing of one delivery: codes, ids and times only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its number.
    pub id: DeliveryId,
    /// The referral.
    pub referral_id: ReferralId,
    /// Its version.
    pub version: u32,
    /// To whom.
    pub authority: DfeCode,
    /// Why.
    pub purpose: String,
    /// 0 to 3.
    pub urgency: u8,
    /// Where it stands.
    pub state: State,
    /// How many times it was tried since it was accepted or replayed.
    pub attempts: u32,
    /// Code of the reason why the last attempt did not succeed.
    pub reason: Option<String>,
    /// When the next attempt is due or the present lease ends; `None` once settled.
    pub due_at: Option<Timestamp>,
    /// When the first attempt began.
    pub first_tried_at: Option<Timestamp>,
    /// When the version was recorded.
    pub recorded_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// Digest of the note.
    pub note_sha256: Digest,
    /// Digest of the authority's receipt.
    pub delivered_sha256: Option<Digest>,
}

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
    /// The accountable authority.
    pub authority: DfeCode,
    /// Digest of the submission token.
    pub submission_sha256: Digest,
    /// Digest of our receipt.
    pub accepted_sha256: Digest,
    /// When it was recorded.
    pub recorded_at: Timestamp,
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
    /// Deliveries given up, waiting for an operator.
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

    /// Leases due deliveries: the most urgent first, among equals the one longest due. A delivery
    /// whose lease has expired is due again. Two calls never return the same delivery while its
    /// lease lasts.
    fn lease_deliveries(&self, request: LeaseRequest) -> Pending<'_, Vec<LeasedDelivery>>;

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

    /// Ends a lease for good: undeliverable, until an operator replays it. Never `HeadMoved`.
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

    /// Where the thread of a referral stands.
    fn head(&self, referral_id: ReferralId) -> Pending<'_, Option<Head>>;

    /// Everything about a referral but documents and token texts. The caller applies visibility.
    fn timeline(&self, referral_id: ReferralId) -> Pending<'_, Option<Timeline>>;

    /// A document of a referral; `None` also once it is erased.
    fn document(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<Bytes>>;

    /// A token of a referral.
    fn token(&self, referral_id: ReferralId, sha256: Digest) -> Pending<'_, Option<StoredToken>>;

    /// A chain that was seen, leaf first.
    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>>;

    /// A revocation list that was consulted.
    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>>;

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

    /// Commits something tiny for the sake of it: `Ok` means that a referral could be accepted now.
    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()>;

    /// Re-hashes and cross-checks everything. Slow; for operators and tests.
    fn check(&self) -> Pending<'_, CheckReport>;
}
