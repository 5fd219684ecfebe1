//! A referral's thread: what its parties state about it after it was accepted, in the order that the
//! gateway gave, and everything that the next statement is judged by.

use std::fmt;

use bytes::Bytes;

use super::{
    DeliveryRow, Head, NewDelivery, NewToken, SeenChain, SeenCrl, StoreFault, StoredToken, Token,
    TokenKind, VersionRow,
};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::retention::Erasure;
use crate::domain::time::Timestamp;
use crate::store::sealing::{Place, Sealed, Vault};

/// The personal part of an event: sealed like a referral's document, erased with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Detail {
    /// SHA-256 of `document`, as the event's token states it.
    pub sha256: Digest,
    /// The document, byte for byte as received.
    pub document: Bytes,
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detail({})", self.sha256)
    }
}

/// What an event makes of the case that lets its documents go at the end of their period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseChange {
    /// Every child is decided and the authority has filed the referral in its case system: closed
    /// at `recorded_at`, as by [`super::RetentionStore::close`].
    Closed,
    /// Something is open again: the closure, if there was one, is gone.
    Reopened,
}

/// A party's verified statement about a referral, with our record of it, ready to be made durable.
#[derive(Clone)]
pub struct Append {
    /// The referral.
    pub referral_id: ReferralId,
    /// Where the thread must stand; `recorded` takes the next position. [`Head::START`] begins a thread,
    /// under an id that nobody has used: `opener` says whose it is, `holder` which authority is in it. It
    /// calls for no deliveries and closes nothing.
    pub after: Head,
    /// The statement: a token of the kind [`super::TokenKind::Event`], of a party or of a gateway (a
    /// clock's breach).
    pub event: NewToken,
    /// Our record of it, of the kind [`super::TokenKind::Recorded`].
    pub recorded: NewToken,
    /// The personal part, if it has one.
    pub detail: Option<Detail>,
    /// The accountable authority from this position on, where the event changes it (an accepted
    /// transfer) or begins the thread.
    pub holder: Option<DfeCode>,
    /// Whose the thread is, where the event begins it: its author's organisation.
    pub opener: Option<Organisation>,
    /// Deliveries that the event calls for (a transfer proposal brings the document to the proposed
    /// authority): of the newest version, held, due at once. At most one per authority and purpose. If
    /// that version is erased by now they are undeliverable from the start, with the reason `erased`.
    pub deliveries: Vec<NewDelivery>,
    /// Where the event closes the case or opens it again.
    pub case: Option<CaseChange>,
    /// Chains of all tokens, our own included.
    pub chains: Vec<SeenChain>,
    /// Revocation lists consulted.
    pub crls: Vec<SeenCrl>,
    /// The recorded-at that `recorded` states.
    pub recorded_at: Timestamp,
    /// When to look at the referral's clocks again; `None` if none of them can change any more.
    pub wake_at: Option<Timestamp>,
}

impl Append {
    /// Whether it begins a thread.
    pub(in crate::store) fn begins(&self) -> bool {
        self.after == Head::START
    }

    /// Every token of it.
    pub(in crate::store) fn tokens(&self) -> impl Iterator<Item = &Token> {
        let notes = self.deliveries.iter().map(|delivery| &delivery.note);
        [&self.event, &self.recorded].into_iter().chain(notes).map(|new| &new.token)
    }

    /// The head of the thread once it is appended.
    pub(in crate::store) fn next_head(&self) -> Result<Head, StoreFault> {
        let position = self.after.position.checked_add(1).ok_or(StoreFault::Misuse)?;
        Ok(Head { position, digest: self.recorded.token.sha256 })
    }

    /// The detail as it will lie in the store, if there is one.
    pub(in crate::store) fn seal(&self, vault: &Vault) -> Result<Option<Sealed>, StoreFault> {
        let Some(detail) = &self.detail else { return Ok(None) };
        let position = self.next_head()?.position;
        let place = Place::detail(self.referral_id, position, detail.sha256);
        vault.seal(&place, self.recorded_at, &detail.document).map(Some)
    }

    /// What is wrong with it by itself, whatever is stored.
    pub(in crate::store) fn check_shape(&self) -> Result<(), StoreFault> {
        let twice = self.deliveries.iter().enumerate().any(|(n, one)| {
            let to = |d: &NewDelivery| (d.authority, d.purpose.clone());
            self.deliveries[..n].iter().any(|other| to(other) == to(one))
        });
        let bare = self.holder.is_some() && self.deliveries.is_empty() && self.case.is_none();
        let sound = self.event.token.kind == TokenKind::Event
            && self.begins() == self.opener.is_some()
            && (!self.begins() || bare)
            && self.recorded.token.kind == TokenKind::Recorded
            && !twice;
        if sound { Ok(()) } else { Err(StoreFault::Misuse) }
    }
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Append({} after {})", self.referral_id, self.after.position)
    }
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Durable now; release the `recorded` that came with it.
    Committed,
    /// This very event token (its SHA-256) was recorded before in this thread: release that `recorded`,
    /// byte for byte.
    Already(Box<StoredEvent>),
    /// The thread has moved since `recorded` was signed: sign again on top of this head, if the event
    /// is still right there.
    HeadMoved(Head),
    /// Nobody has used this referral id, and the event begins no thread.
    Unknown,
}

/// The personal part of a stored event, without its bytes: `document` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetailRow {
    /// Its digest.
    pub sha256: Digest,
    /// When and why it was erased, if it was.
    pub erased: Option<Erasure>,
}

/// One event of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the thread, which is that of `recorded`.
    pub position: u32,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The statement.
    pub event: StoredToken,
    /// Our record of it.
    pub recorded: StoredToken,
    /// The personal part, if it has one.
    pub detail: Option<DetailRow>,
    /// The accountable authority from here on, where the event changed it.
    pub holder: Option<DfeCode>,
}

/// Everything that the next event is judged by, as it stood at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// The referral.
    pub referral_id: ReferralId,
    /// Who sent it; the author of the event that began it, if one did.
    pub sender: Organisation,
    /// Where it stands.
    pub head: Head,
    /// The accountable authority at present: as version 1 was routed, until a transfer is accepted. A
    /// later version never changes it. Of a thread that an event began, the authority in it.
    pub holder: DfeCode,
    /// When its clocks are to be looked at next; `None` for never.
    pub wake_at: Option<Timestamp>,
    /// Oldest first; none if an event began it.
    pub versions: Vec<VersionRow>,
    /// In the order in which they were called for.
    pub deliveries: Vec<DeliveryRow>,
    /// In the order of their positions.
    pub events: Vec<StoredEvent>,
    /// Which of the events have reached whom, by position and party.
    pub reached: Vec<Reached>,
}

/// An event that a party's system took, from a stream of its feed or as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The event's place in the thread.
    pub position: u32,
    /// Whose system.
    pub party: Organisation,
    /// When the first of its systems said that it has the event.
    pub at: Timestamp,
}
