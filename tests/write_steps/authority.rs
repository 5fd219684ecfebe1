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

/// A token about referral `n` that a gateway pushed.
fn pushed(n: u64, received_at: i64) -> Pushed {
    Pushed {
        referral_id: referral_id(n),
        token: token(TokenKind::Event, &school(3), &format!("{n} pushed")),
        chain: chain(&school(3)),
        crls: vec![crl()],
        recorded_at: at(500),
        received_at: at(received_at),
    }
}

/// Whether it is new, and how many there are about referral 1.
async fn keep(store: &Store, pushed: Pushed) -> Answer {
    let new = store.keep(pushed).await?;
    let kept = store.pushed(referral_id(1)).await?.len();
    Ok(format!("{}, {kept} kept", if new { "new" } else { "known" }))
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
            name: "keep what is pushed, and the same from another gateway",
            prepare: |_| Box::pin(async {}),
            same: |s, ()| boxed(keep(s, pushed(1, 1_000))),
            other: |s, ()| boxed(keep(s, pushed(1, 1_001))),
            first: "new, 1 kept",
            again: "known, 1 kept",
            other_first: "new, 1 kept",
            other_after: "known, 1 kept",
            beaten: "known, 1 kept",
        },
        Step {
            name: "keep what is pushed, and the dispatch of its referral",
            prepare: |_| Box::pin(async {}),
            same: |s, ()| boxed(keep(s, pushed(1, 1_000))),
            other: |s, ()| boxed(receive(s, dispatch(1, "NEW-2026-000001"))),
            first: "new, 1 kept",
            again: "known, 1 kept",
            other_first: "stored",
            other_after: "stored",
            beaten: "new, 1 kept",
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
