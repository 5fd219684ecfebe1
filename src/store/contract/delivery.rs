//! Deliveries: leases on them, what ends a lease, and how they are listed.

use std::fmt;

use bytes::Bytes;

use super::{Head, NewToken, SeenChain, SeenCrl, StoredToken};
use crate::domain::delivery::State;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::time::Timestamp;

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
    /// Authorities that are to be left alone (circuit open, enough in flight, collecting themselves).
    pub excluded: Vec<DfeCode>,
    /// Only those to this authority, which collects them; `excluded` does not matter then.
    pub only: Option<DfeCode>,
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
    /// Chains of these tokens and of those in `cause`, each leaf once.
    pub chains: Vec<SeenChain>,
    /// When the first attempt began.
    pub first_tried_at: Timestamp,
    /// The event that called for it with our record of it, such as a transfer's proposal; `None` for
    /// what the acceptance of the version called for.
    pub cause: Option<Cause>,
    /// When the version was recorded, or the event that called for it.
    pub recorded_at: Timestamp,
}

impl fmt::Debug for LeasedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeasedDelivery({:?} {} v{})", self.lease, self.referral_id, self.version)
    }
}

/// An event that called for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The event.
    pub event: StoredToken,
    /// Our record of it.
    pub recorded: StoredToken,
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
    /// When to look at the referral's clocks at the latest: a look that is due before stays due.
    pub wake_at: Timestamp,
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
    /// Position of the event that called for it; `None` for the acceptance of its version.
    pub called_by: Option<u32>,
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
    /// When the version was recorded, or the event that called for it.
    pub recorded_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// Digest of the note.
    pub note_sha256: Digest,
    /// Digest of the authority's receipt.
    pub delivered_sha256: Option<Digest>,
}
