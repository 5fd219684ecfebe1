//! What the receiving authority's store promises.

use std::fmt;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use super::{CheckReport, Document, Pending, SeenChain, SeenCrl, StoredToken, Token};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::Organisation;
use crate::domain::retention::Erasure;
use crate::domain::time::Timestamp;

/// The key of a dispatch at an authority: one version, for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DispatchKey {
    /// The referral.
    pub referral_id: ReferralId,
    /// Its version, from 1.
    pub version: u32,
    /// Why it comes here, as the dispatch note says it.
    pub purpose: String,
}

/// A verified dispatch with the receipt that will be released once it is stored.
#[derive(Clone)]
pub struct Dispatch {
    /// Referral, version, purpose.
    pub key: DispatchKey,
    /// The verified sender.
    pub sender: Organisation,
    /// Code of the request type.
    pub request_type: String,
    /// 0 (danger now) to 3 (early help).
    pub urgency: u8,
    /// SHA-256 of `document`.
    pub payload_sha256: Digest,
    /// The document, byte for byte as received.
    pub document: Bytes,
    /// The sender's submission (or the gateway's attestation).
    pub submission: Token,
    /// The gateway's `accepted`, where it came along.
    pub accepted: Option<Token>,
    /// The proposal of a transfer, which came along.
    pub proposal: Option<Token>,
    /// The dispatch note. Its digest and `payload_sha256` decide what counts as the same dispatch.
    pub note: Token,
    /// Our receipt.
    pub delivered: Token,
    /// Our own reference, as the receipt says it.
    pub reference: String,
    /// Chains of all tokens.
    pub chains: Vec<SeenChain>,
    /// Revocation lists consulted for them.
    pub crls: Vec<SeenCrl>,
    /// The gateway's recorded-at, at which the submission is judged.
    pub recorded_at: Timestamp,
    /// When it was received here.
    pub received_at: Timestamp,
}

impl Dispatch {
    /// The tokens that came with it, oldest first.
    pub(in crate::store) fn theirs(&self) -> impl Iterator<Item = &Token> {
        let optional = self.accepted.iter().chain(&self.proposal);
        std::iter::once(&self.submission).chain(optional).chain([&self.note])
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dispatch({:?})", self.key)
    }
}

/// A dispatch that was stored before, as far as the same or another dispatch needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDispatch {
    /// Digest of its document.
    pub payload_sha256: Digest,
    /// Digest of its note.
    pub note_sha256: Digest,
    /// Our receipt, byte for byte as signed.
    pub delivered: String,
    /// Our reference.
    pub reference: String,
    /// When it was received here.
    pub received_at: Timestamp,
}

/// A security event token that a gateway pushed, verified.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The referral that it is about.
    pub referral_id: ReferralId,
    /// The token.
    pub token: Token,
    /// The chain of its signer.
    pub chain: SeenChain,
    /// Revocation lists consulted for it.
    pub crls: Vec<SeenCrl>,
    /// When the gateway recorded it, by its word: the time at which the signature was judged.
    pub recorded_at: Timestamp,
    /// When it was received here.
    pub received_at: Timestamp,
}

/// What became of a dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveOutcome {
    /// Stored now; release the receipt that came with it.
    Stored,
    /// The same note and document were stored before; release that receipt instead.
    Already(StoredDispatch),
    /// The key stands for another document or note.
    OtherBytes(StoredDispatch),
}

/// Which entries of the inbox to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboxFilter {
    /// Only this referral.
    pub referral_id: Option<ReferralId>,
    /// Only entries with this reference.
    pub reference: Option<String>,
    /// Only this urgency and more urgent ones (0 is the most urgent).
    pub at_least_urgent: Option<u8>,
    /// Only entries listed after this one, for the next page.
    pub after: Option<u64>,
    /// At most this many; 0 means [`InboxFilter::LONGEST`].
    pub limit: u32,
}

impl InboxFilter {
    /// The longest page.
    pub const LONGEST: u32 = 1_000;
}

/// One line of the inbox: codes, ids and times only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Number of the entry in this store.
    pub entry: u64,
    /// Our reference.
    pub reference: String,
    /// Referral, version, purpose.
    pub key: DispatchKey,
    /// The verified sender.
    pub sender: Organisation,
    /// Code of the request type.
    pub request_type: String,
    /// 0 to 3.
    pub urgency: u8,
    /// Digest of the document.
    pub payload_sha256: Digest,
    /// The gateway's recorded-at.
    pub recorded_at: Timestamp,
    /// When it was received here.
    pub received_at: Timestamp,
    /// When and why its document was erased, if it was.
    pub erased: Option<Erasure>,
}

/// One dispatch with everything that came with it.
#[derive(Clone)]
pub struct InboxItem {
    /// Its line in the inbox.
    pub entry: InboxEntry,
    /// The document, or when and why it was erased.
    pub document: Document,
    /// Submission, accepted (where it came along), note, delivered, in this order.
    pub tokens: Vec<StoredToken>,
}

impl fmt::Debug for InboxItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InboxItem({:?})", self.entry.key)
    }
}

/// The store of a receiving authority.
pub trait AuthorityStore: Send + Sync + 'static {
    /// What is stored under a key: asked for what may be a repetition, which gets the same receipt.
    fn received(&self, key: DispatchKey) -> Pending<'_, Option<StoredDispatch>>;

    /// A reference of the authority's own that was never given out before: `prefix`, `year` and a
    /// number from 1, as in `NEW-2026-000123`. Committed before it is returned, so that a signed
    /// receipt can never name a number twice; a number whose dispatch is not stored afterwards
    /// stays unused. [`super::StoreFault::Misuse`] unless `prefix` is 1 to 12 of `A-Z 0-9`.
    fn next_reference(&self, prefix: String, year: i32) -> Pending<'_, String>;

    /// Stores a dispatch: document, tokens, chains, lists and inbox entry, in one transaction. A
    /// reference that another entry has is [`super::StoreFault::Misuse`], and so is a token whose
    /// chain or lists are neither given nor kept already.
    fn receive(&self, dispatch: Dispatch) -> Pending<'_, ReceiveOutcome>;

    /// Lines of the inbox, newest first.
    fn inbox(&self, filter: InboxFilter) -> Pending<'_, Vec<InboxEntry>>;

    /// One dispatch with document and tokens.
    fn item(&self, entry: u64) -> Pending<'_, Option<InboxItem>>;

    /// Keeps a token that a gateway pushed, with its chain and lists, in one transaction; whether it is new.
    /// It needs no dispatch: what concerns a referral may come before it. [`super::StoreFault::Misuse`] for a
    /// token whose chain or lists are neither given nor kept already.
    fn keep(&self, pushed: Pushed) -> Pending<'_, bool>;

    /// The tokens about a referral that gateways pushed, in the order in which they came by this machine's clock.
    fn pushed(&self, referral_id: ReferralId) -> Pending<'_, Vec<StoredToken>>;

    /// A chain that was seen, leaf first.
    fn chain(&self, x5t: Digest) -> Pending<'_, Option<Vec<CertificateDer<'static>>>>;

    /// A revocation list that was consulted.
    fn crl(&self, sha256: Digest) -> Pending<'_, Option<Bytes>>;

    /// Dispatches stored.
    fn received_count(&self) -> Pending<'_, u64>;

    /// Commits as much as a usual referral, for the sake of it: `Ok` means that a dispatch could be stored
    /// now.
    fn probe_writable(&self, now: Timestamp) -> Pending<'_, ()>;

    /// Re-hashes and cross-checks everything. Slow; for operators and tests.
    fn check(&self) -> Pending<'_, CheckReport>;
}
