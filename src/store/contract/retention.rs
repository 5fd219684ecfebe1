//! What both kinds of store promise about keys, holds and erasure.
//!
//! These are the steps; their order, and what a crash between two of them means, is in
//! [`crate::store::sealing`], the same for every store.

use super::Pending;
use crate::domain::ids::ReferralId;
use crate::domain::retention::{Erasure, RetentionFacts};
use crate::domain::time::Timestamp;
use crate::store::sealing::{KeyId, Place};

/// The number of a document in this store. Not an order, and perhaps used again after a purge: every
/// change compares the wrapped key too, which no two documents share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(pub i64);

/// How many documents lie under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    /// The key.
    pub key_id: KeyId,
    /// Documents under it.
    pub documents: u64,
}

/// A document's wrapped key, with what decides about it. The body stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedDocument {
    /// Its number.
    pub id: DocumentId,
    /// Its logical place.
    pub place: Place,
    /// The period key that it lies under.
    pub key_id: KeyId,
    /// Its own key, wrapped under that.
    pub wrapped: Vec<u8>,
    /// When it was accepted (gateway) or received (authority).
    pub accepted_at: Timestamp,
    /// What is known about its referral.
    pub facts: RetentionFacts,
}

/// A document's key under another period key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrap {
    /// The document.
    pub id: DocumentId,
    /// Its wrapped key; if it is another by now, nothing is changed.
    pub from: Vec<u8>,
    /// The key that it lies under afterwards.
    pub to: KeyId,
    /// Its own key, wrapped under that.
    pub wrapped: Vec<u8>,
}

/// A hold on a referral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The referral.
    pub referral_id: ReferralId,
    /// The operator's own code for it: 1 to 40 of `a-z 0-9 -`, so that no name gets in.
    pub code: String,
    /// When it was placed.
    pub placed_at: Timestamp,
}

impl Hold {
    /// Whether a code has the right form.
    pub fn is_code(code: &str) -> bool {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        (1..=40).contains(&code.len()) && code.bytes().all(plain)
    }
}

/// Keys, holds and erasure in either kind of store.
pub trait RetentionStore: Send + Sync + 'static {
    /// The keys that documents lie under. Costs as much as there are keys, however many documents.
    fn keys(&self) -> Pending<'_, Vec<KeyId>>;

    /// How many documents lie under each key, by key. Looks at every document's entry in an index.
    fn keys_in_use(&self) -> Pending<'_, Vec<KeyUse>>;

    /// Up to `limit` documents under `key`, by number, after `after`.
    fn wrapped_under(
        &self,
        key: KeyId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Pending<'_, Vec<WrappedDocument>>;

    /// Every document of a referral that is still there.
    fn wrapped_of(&self, referral_id: ReferralId) -> Pending<'_, Vec<WrappedDocument>>;

    /// Puts documents under other keys, in one transaction; each only if it still lies under `from`.
    /// How many.
    fn rewrap(&self, changes: Vec<Rewrap>) -> Pending<'_, u64>;

    /// Deletes the ciphertext of documents (each with its wrapped key), says on their rows when and why,
    /// and ends their open deliveries as undeliverable with the reason `erased`, in one transaction.
    /// Those that are gone already are passed over. How many.
    fn purge(
        &self,
        documents: Vec<(DocumentId, Vec<u8>)>,
        erasure: Erasure,
        now: Timestamp,
    ) -> Pending<'_, u64>;

    /// Places a hold on a referral. False if the store does not have the referral; placing it again
    /// changes nothing. [`super::StoreFault::Misuse`] unless [`Hold::is_code`].
    fn hold(&self, hold: Hold) -> Pending<'_, bool>;

    /// Takes a hold away: afterwards there is no such hold, and taking it away again changes nothing. False
    /// if the store does not have the referral.
    fn release_hold(&self, referral_id: ReferralId, code: String) -> Pending<'_, bool>;

    /// Marks a referral as closed now: every child decided and filed in the case system. False if the
    /// store does not have the referral. A version accepted later opens it again.
    fn close(&self, referral_id: ReferralId, now: Timestamp) -> Pending<'_, bool>;

    /// Every hold, by referral and code.
    fn holds(&self) -> Pending<'_, Vec<Hold>>;
}
