//! The write steps of keys, holds and erasure, over a gateway's store.

use std::sync::Arc;

use ecaf::domain::retention::{Erasure, ErasureReason, Period};
use ecaf::store::sealing::Vault;
use ecaf::store::*;

use super::{Answer, Call, Checked, Step};
use crate::store_support::*;

/// One store by its two contracts, with the vault that it is opened with.
pub struct Kept {
    pub gateway: Arc<dyn GatewayStore>,
    pub retention: Arc<dyn RetentionStore>,
    pub vault: Arc<Vault>,
}

impl Checked for Kept {
    fn check(&self) -> Pending<'_, CheckReport> {
        self.gateway.check()
    }
}

/// The one document of the steps, as its key was wrapped when they were prepared.
type Context = Vec<WrappedDocument>;

async fn with_one(store: &Kept) -> Context {
    let outcome = store.gateway.accept(acceptance(1)).await;
    assert_eq!(outcome, Ok(AcceptOutcome::Committed));
    store.retention.wrapped_of(referral_id(1)).await.unwrap()
}

async fn rewrap(store: &Kept, document: &WrappedDocument) -> Answer {
    let WrappedDocument { id, place, key_id, wrapped, accepted_at, .. } = document;
    let (to, anew) = store.vault.rewrap(place, *key_id, wrapped, Period::of(*accepted_at))?;
    let change = Rewrap { id: *id, from: wrapped.clone(), to, wrapped: anew };
    Ok(store.retention.rewrap(vec![change]).await?.to_string())
}

async fn purge(store: &Kept, document: &WrappedDocument) -> Answer {
    let erasure = Erasure { at: at(9_000), why: ErasureReason::Misidentified };
    let documents = vec![(document.id, document.wrapped.clone())];
    Ok(store.retention.purge(documents, erasure, at(9_000)).await?.to_string())
}

fn a_hold(code: &str) -> Hold {
    Hold { referral_id: referral_id(1), code: code.into(), placed_at: at(5_000) }
}

fn boxed<'a>(call: impl Future<Output = Answer> + Send + 'a) -> Call<'a> {
    Box::pin(call)
}

/// Every write step of the contract.
pub fn steps() -> Vec<Step<Kept, Context>> {
    vec![
        Step {
            name: "rewrap, and a purge of the same document",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, c| boxed(rewrap(s, &c[0])),
            other: |s, c| boxed(purge(s, &c[0])),
            first: "1",
            again: "0",
            other_first: "1",
            // It was found under the key of before: the next pass finds it under its new one.
            other_after: "0",
            beaten: "0",
        },
        Step {
            name: "purge, and a rewrap of the same document",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, c| boxed(purge(s, &c[0])),
            other: |s, c| boxed(rewrap(s, &c[0])),
            first: "1",
            again: "0",
            other_first: "1",
            other_after: "0",
            beaten: "0",
        },
        Step {
            name: "hold, and its release",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| {
                boxed(async move { Ok(s.retention.hold(a_hold("court-1")).await?.to_string()) })
            },
            other: |s, _| {
                boxed(async move {
                    let released = s.retention.release_hold(referral_id(1), "court-1".into());
                    Ok(released.await?.to_string())
                })
            },
            first: "true",
            again: "true",
            other_first: "true",
            other_after: "true",
            beaten: "true",
        },
        Step {
            name: "release of a hold, and the hold again",
            prepare: |s| {
                Box::pin(async move {
                    let context = with_one(s).await;
                    s.retention.hold(a_hold("court-1")).await.unwrap();
                    context
                })
            },
            same: |s, _| {
                boxed(async move {
                    let released = s.retention.release_hold(referral_id(1), "court-1".into());
                    Ok(released.await?.to_string())
                })
            },
            other: |s, _| {
                boxed(async move { Ok(s.retention.hold(a_hold("court-1")).await?.to_string()) })
            },
            first: "true",
            again: "true",
            other_first: "true",
            other_after: "true",
            beaten: "true",
        },
        Step {
            name: "close, and another operator",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| {
                boxed(
                    async move { Ok(s.retention.close(referral_id(1), at(7_000)).await?.to_string()) },
                )
            },
            other: |s, _| {
                boxed(
                    async move { Ok(s.retention.close(referral_id(1), at(7_500)).await?.to_string()) },
                )
            },
            first: "true",
            again: "true",
            other_first: "true",
            other_after: "true",
            beaten: "true",
        },
    ]
}
