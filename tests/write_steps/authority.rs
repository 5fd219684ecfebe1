//! The write steps of an authority's store.

use ecaf::store::*;

use super::{Answer, Call, Step};
use crate::store_support::*;

type Store = dyn AuthorityStore;

async fn receive(store: &Store, d: Dispatch) -> Answer {
    let own = d.delivered.jws.clone();
    Ok(match store.receive(d).await? {
        ReceiveOutcome::Stored => "stored".into(),
        ReceiveOutcome::Already(stored) if stored.delivered == own => "already, own".into(),
        ReceiveOutcome::Already(_) => "already, the other's".into(),
        ReceiveOutcome::OtherBytes(_) => "other bytes".into(),
    })
}

async fn number(store: &Store) -> Answer {
    store.next_reference("NEW".into(), 2026).await
}

async fn probe(store: &Store, ms: i64) -> Answer {
    store.probe_writable(at(ms)).await?;
    Ok("writable".into())
}

fn boxed<'a>(call: impl Future<Output = Answer> + Send + 'a) -> Call<'a> {
    Box::pin(call)
}

/// Every write step of the contract.
pub fn steps() -> Vec<Step<Store, ()>> {
    vec![
        Step {
            name: "next reference, and another request",
            prepare: |_| Box::pin(async {}),
            same: |s, ()| boxed(number(s)),
            other: |s, ()| boxed(number(s)),
            first: "NEW-2026-000001",
            // What was given out and not used stays unused.
            again: "NEW-2026-000002",
            other_first: "NEW-2026-000001",
            other_after: "NEW-2026-000002",
            beaten: "NEW-2026-000002",
        },
        Step {
            name: "receive, and the same dispatch once more",
            prepare: |_| Box::pin(async {}),
            same: |s, ()| boxed(receive(s, dispatch(1, "NEW-2026-000001"))),
            other: |s, ()| boxed(receive(s, dispatch(1, "NEW-2026-000002"))),
            first: "stored",
            again: "already, own",
            other_first: "stored",
            other_after: "already, the other's",
            beaten: "already, the other's",
        },
        Step {
            name: "receive, and another note under its key",
            prepare: |_| Box::pin(async {}),
            same: |s, ()| boxed(receive(s, dispatch(1, "NEW-2026-000001"))),
            other: |s, ()| {
                let mut other = dispatch(1, "NEW-2026-000002");
                other.note = attempt(1, 1).deliveries[0].note.token.clone();
                boxed(receive(s, other))
            },
            first: "stored",
            again: "already, own",
            other_first: "stored",
            other_after: "other bytes",
            beaten: "other bytes",
        },
        Step {
            name: "probe, and another",
            prepare: |_| Box::pin(async {}),
            same: |s, ()| boxed(probe(s, 1_000)),
            other: |s, ()| boxed(probe(s, 1_001)),
            first: "writable",
            again: "writable",
            other_first: "writable",
            other_after: "writable",
            beaten: "writable",
        },
    ]
}
