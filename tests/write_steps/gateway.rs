//! The write steps of a gateway's store.

use ecaf::store::*;

use super::{Answer, Call, Step};
use crate::store_support::*;

type Store = dyn GatewayStore;

/// What a step works with.
#[derive(Default)]
pub struct Context {
    leased: Option<LeasedDelivery>,
    fence: Option<Fence>,
}

impl Context {
    fn lease(&self) -> Lease {
        self.leased.as_ref().expect("the step has a lease").lease
    }

    fn fence(&self) -> &Fence {
        self.fence.as_ref().expect("the step has a right")
    }
}

/// When a lease that was taken at one second has run out, and what was postponed is due.
const LATER: i64 = 60_000;

async fn accept(store: &Store, a: Acceptance) -> Answer {
    let own = a.accepted.token.jws.clone();
    let whose =
        |stored: StoredAcceptance| if stored.accepted == own { "own" } else { "the other's" };
    Ok(match store.accept(a).await? {
        AcceptOutcome::Committed => "committed".into(),
        AcceptOutcome::Already(stored) => format!("already, {}", whose(stored)),
        AcceptOutcome::OtherBytes(_) => "other bytes".into(),
        AcceptOutcome::Foreign => "foreign".into(),
        AcceptOutcome::PreviousMismatch => "previous mismatch".into(),
        AcceptOutcome::HeadMoved(_) => "head moved".into(),
    })
}

async fn lease(store: &Store, ms: i64) -> Result<Vec<LeasedDelivery>, StoreFault> {
    store.lease_deliveries(lease_request(at(ms), 1)).await
}

async fn lease_word(store: &Store, ms: i64) -> Answer {
    let leased = lease(store, ms).await?;
    Ok(leased.first().map_or("none".into(), |d| format!("attempt {}", d.lease.attempt)))
}

fn settled(outcome: Settled) -> String {
    match outcome {
        Settled::Done => "done",
        Settled::LeaseLost => "lease lost",
        Settled::HeadMoved(_) => "head moved",
        Settled::AlreadyDone => "already done",
    }
    .into()
}

/// Whoever comes after the lease has run out: leases and delivers.
async fn successor(store: &Store) -> Answer {
    let Some(d) = lease(store, LATER).await?.pop() else { return Ok("none".into()) };
    let tokens = receipt(&d, d.head, at(LATER + 1));
    Ok(settled(store.delivered(d.lease, tokens, at(LATER + 1)).await?))
}

async fn with_one(store: &Store) -> Context {
    assert_eq!(accept(store, acceptance(1)).await.unwrap(), "committed");
    Context::default()
}

async fn with_lease(store: &Store) -> Context {
    with_one(store).await;
    Context { leased: lease(store, 1_000).await.unwrap().pop(), ..Context::default() }
}

async fn with_given_up(store: &Store) -> Context {
    let context = with_lease(store).await;
    store.gave_up(context.lease(), "refused", at(1_500)).await.unwrap();
    context
}

async fn acquire(store: &Store, holder: &str, ms: i64) -> Result<Option<Fence>, StoreFault> {
    store.acquire("sequencer", holder.into(), at(ms), 10_000).await
}

async fn acquire_word(store: &Store, holder: &str, ms: i64) -> Answer {
    let fence = acquire(store, holder, ms).await?;
    Ok(fence.map_or("held by another".into(), |fence| format!("epoch {}", fence.epoch)))
}

async fn with_right(store: &Store) -> Context {
    with_one(store).await;
    Context { fence: acquire(store, "one", 1_000).await.unwrap(), ..Context::default() }
}

async fn sequence(store: &Store, fence: &Fence, ms: i64) -> Answer {
    Ok(match store.sequence(fence, 100, at(ms)).await? {
        Sequencing::Done { count, log_size } => format!("{count} of {log_size}"),
        Sequencing::FenceLost => "fence lost".into(),
    })
}

fn first_of(n: u64) -> DeliverySelector {
    DeliverySelector::Referral(referral_id(n))
}

async fn by_hand(store: &Store) -> Answer {
    let rows = store.deliveries(DeliveryFilter::default()).await?;
    Ok(store.by_hand(rows[0].id, at(2_000)).await?.to_string())
}

/// The second version on top of the first, in either of two wordings.
async fn second(store: &Store, wording: u64) -> Answer {
    let first = acceptance(1);
    let head = head_of(&first);
    let mut next = next_version(1, 2, &first, head);
    if wording > 0 {
        next.document = document(77, 900);
        next.payload_sha256 = ecaf::protocol::hash::sha256(&next.document);
    }
    accept(store, next).await
}

/// The first referral and an event of it, in its sender's feed: submission, receipt, event, record.
async fn with_feed(store: &Store) -> Context {
    let context = with_one(store).await;
    assert_eq!(append(store, event(1, "opened", first_head())).await.unwrap(), "committed");
    let fence = store.acquire("sequencer", "a".into(), at(1_000), 9).await.unwrap().unwrap();
    store.sequence(&fence, 100, at(1_000)).await.unwrap();
    context
}

async fn acknowledge(store: &Store, acks: StreamAcks) -> Answer {
    let outcome = store.acknowledge(acks).await?;
    let thread = store.thread(referral_id(1)).await?.ok_or(StoreFault::Corrupt)?;
    let reached = match &thread.reached[..] {
        [] => "nothing".to_owned(),
        [one] => format!("{} at {}", one.position, one.at.millis() - at(0).millis()),
        more => more.len().to_string(),
    };
    Ok(match outcome {
        StreamOutcome::Standing(s) => {
            format!("{} done, {} beyond, {reached} reached", s.done, s.beyond.len())
        }
        StreamOutcome::TooMany => "too many".into(),
    })
}

/// Of the school's stream of this name.
fn acks(name: &str, positions: &[u64], ms: i64) -> StreamAcks {
    let (party, name) = (acceptance(1).sender, name.parse().unwrap());
    let id = StreamId { party, person: String::new(), name };
    let (positions, taken) = (positions.to_vec(), positions.to_vec());
    StreamAcks { id, positions, taken, errors: Vec::new(), now: at(ms) }
}

/// The first four, of which the reader cannot take the last.
fn with_an_error() -> StreamAcks {
    let errors = vec![(4, "invalid_key".parse().unwrap())];
    StreamAcks { taken: vec![1, 2, 3], errors, ..acks("default", &[1, 2, 3, 4], 1_000) }
}

/// Takes the lease from whoever has it, as an authority that comes with a receipt.
async fn lease_again(store: &Store, ms: i64) -> Answer {
    let rows = store.deliveries(DeliveryFilter::default()).await?;
    let taken = store.lease_again(rows[0].id, "london-2".into(), at(ms), 30_000).await?;
    Ok(taken.map_or("none".into(), |d| format!("attempt {}", d.lease.attempt)))
}

/// Two events that would begin one thread, each with what it had not seen before.
fn begins(what: &str) -> Append {
    let mut begins = opening(9, what);
    begins.chains.push(chain(&school(77)));
    begins
}

async fn append(store: &Store, event: Append) -> Answer {
    let own = event.recorded.token.jws.clone();
    Ok(match store.append(event).await? {
        AppendOutcome::Committed => "committed".into(),
        AppendOutcome::Already(stored) if stored.recorded.token.jws == own => "already, own".into(),
        AppendOutcome::Already(_) => "already, the other's".into(),
        AppendOutcome::HeadMoved(head) => format!("head moved to {}", head.position),
        AppendOutcome::Unknown => "unknown".into(),
    })
}

fn first_head() -> Head {
    head_of(&acceptance(1))
}

/// An event that writes to every table that an event can write to.
fn fullest() -> Append {
    let mut full = proposal(1, "proposed", authority(7), first_head());
    full.holder = Some(authority(8));
    full.case = Some(CaseChange::Closed);
    // Seen for the first time.
    let school = school(77);
    full.event = new_token(TokenKind::Event, &school, "1 proposed", &[]);
    let list = bytes::Bytes::from_static(b"another revocation list");
    let list = SeenCrl { sha256: ecaf::protocol::hash::sha256(&list), der: list };
    full.event.token.crl_digests.push(list.sha256);
    full.chains.push(chain(&school));
    full.crls.push(list);
    full
}

/// The clocks were looked at as the thread stood first: nothing more will change.
async fn looked_at(store: &Store) -> Answer {
    let wake_at = store.thread(referral_id(1)).await?.and_then(|t| t.wake_at);
    store.looked_at(referral_id(1), (first_head(), wake_at), None).await?;
    let due = store.due_referrals(at(1_000_000), 9).await?;
    Ok(format!("due: {}", !due.is_empty()))
}

fn closing() -> Append {
    Append { case: Some(CaseChange::Closed), ..event(1, "filed", first_head()) }
}

fn reopening() -> Append {
    let head = head_after(&closing());
    Append { case: Some(CaseChange::Reopened), ..event(1, "disputed", head) }
}

/// The same event, as another gateway signs its record.
fn twin(event: &Append) -> Append {
    again_after(event, 1, "a twin", event.after)
}

fn boxed<'a>(call: impl Future<Output = Answer> + Send + 'a) -> Call<'a> {
    Box::pin(call)
}

/// Every write step of the contract.
pub fn steps() -> Vec<Step<Store, Context>> {
    vec![
        Step {
            name: "accept, and a twin of the request",
            prepare: |_| Box::pin(async { Context::default() }),
            same: |s, _| boxed(accept(s, attempt(1, 0))),
            other: |s, _| boxed(accept(s, attempt(1, 1))),
            first: "committed",
            again: "already, own",
            other_first: "committed",
            other_after: "already, the other's",
            beaten: "already, the other's",
        },
        Step {
            name: "accept, and another sender with the same id",
            prepare: |_| Box::pin(async { Context::default() }),
            same: |s, _| boxed(accept(s, attempt(1, 0))),
            other: |s, _| {
                let mut other = attempt(1, 1);
                other.sender = school(5);
                boxed(accept(s, other))
            },
            first: "committed",
            again: "already, own",
            other_first: "committed",
            other_after: "foreign",
            beaten: "foreign",
        },
        Step {
            name: "accept version 2, and another version 2",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| boxed(second(s, 0)),
            other: |s, _| boxed(second(s, 1)),
            first: "committed",
            again: "already, own",
            other_first: "committed",
            other_after: "other bytes",
            beaten: "other bytes",
        },
        Step {
            name: "append, and a twin of the request",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| boxed(append(s, fullest())),
            other: |s, _| boxed(append(s, twin(&fullest()))),
            first: "committed",
            again: "already, own",
            other_first: "committed",
            other_after: "already, the other's",
            beaten: "already, the other's",
        },
        Step {
            name: "append, and another party's event",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| boxed(append(s, fullest())),
            other: |s, _| boxed(append(s, event(1, "withdrawn", first_head()))),
            first: "committed",
            again: "already, own",
            other_first: "committed",
            other_after: "head moved to 2",
            beaten: "head moved to 2",
        },
        Step {
            name: "acknowledge, and another token of the stream",
            prepare: |s| Box::pin(with_feed(s)),
            same: |s, _| boxed(acknowledge(s, acks("default", &[1], 1_000))),
            other: |s, _| boxed(acknowledge(s, acks("default", &[2], 1_001))),
            first: "1 done, 0 beyond, nothing reached",
            again: "1 done, 0 beyond, nothing reached",
            other_first: "0 done, 1 beyond, nothing reached",
            other_after: "2 done, 0 beyond, nothing reached",
            beaten: "2 done, 0 beyond, nothing reached",
        },
        Step {
            name: "acknowledge an event and an error, and another system's stream",
            prepare: |s| {
                Box::pin(async move {
                    let context = with_feed(s).await;
                    acknowledge(s, acks("default", &[2], 900)).await.unwrap();
                    context
                })
            },
            same: |s, _| boxed(acknowledge(s, with_an_error())),
            other: |s, _| boxed(acknowledge(s, acks("other", &[1, 2, 3], 1_100))),
            first: "4 done, 0 beyond, 2 at 1000 reached",
            again: "4 done, 0 beyond, 2 at 1000 reached",
            other_first: "3 done, 0 beyond, 2 at 1100 reached",
            other_after: "3 done, 0 beyond, 2 at 1000 reached",
            // The first time stays.
            beaten: "4 done, 0 beyond, 2 at 1100 reached",
        },
        Step {
            name: "append that begins a thread, and a twin of the request",
            prepare: |_| Box::pin(async { Context::default() }),
            same: |s, _| boxed(append(s, begins("notice"))),
            other: |s, _| {
                boxed(append(s, again_after(&begins("notice"), 9, "a twin", Head::START)))
            },
            first: "committed",
            again: "already, own",
            other_first: "committed",
            other_after: "already, the other's",
            beaten: "already, the other's",
        },
        Step {
            name: "append that begins a thread, and a referral with the same id",
            prepare: |_| Box::pin(async { Context::default() }),
            same: |s, _| boxed(append(s, begins("notice"))),
            other: |s, _| boxed(accept(s, acceptance(9))),
            first: "committed",
            again: "already, own",
            other_first: "committed",
            other_after: "foreign",
            beaten: "head moved to 1",
        },
        Step {
            name: "lease again, and the worker whose lease is taken",
            prepare: |s| Box::pin(with_lease(s)),
            same: |s, _| boxed(lease_again(s, 1_100)),
            other: |s, c| {
                let d = c.leased.as_ref().expect("a lease");
                boxed(async move {
                    let tokens = receipt(d, d.head, at(1_200));
                    Ok(settled(s.delivered(d.lease, tokens, at(1_250)).await?))
                })
            },
            first: "attempt 1",
            again: "attempt 1",
            other_first: "done",
            other_after: "lease lost",
            beaten: "none",
        },
        Step {
            name: "lease again what was given up, and the same elsewhere",
            prepare: |s| Box::pin(with_given_up(s)),
            same: |s, _| boxed(lease_again(s, 2_000)),
            other: |s, _| boxed(lease_again(s, 2_001)),
            first: "attempt 1",
            again: "attempt 1",
            other_first: "attempt 1",
            other_after: "attempt 1",
            beaten: "attempt 1",
        },
        Step {
            name: "append, and version 2",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| boxed(append(s, fullest())),
            other: |s, _| boxed(second(s, 0)),
            first: "committed",
            again: "already, own",
            other_first: "committed",
            other_after: "head moved",
            beaten: "head moved to 2",
        },
        Step {
            name: "append that opens a closed case, and a worker's receipt",
            prepare: |s| {
                Box::pin(async move {
                    with_one(s).await;
                    assert_eq!(append(s, closing()).await.unwrap(), "committed");
                    Context::default()
                })
            },
            same: |s, _| boxed(append(s, reopening())),
            other: |s, _| boxed(successor(s)),
            first: "committed",
            again: "already, own",
            other_first: "done",
            other_after: "done",
            beaten: "head moved to 3",
        },
        Step {
            name: "looked at, and another party's event",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| boxed(looked_at(s)),
            other: |s, _| boxed(append(s, event(1, "withdrawn", first_head()))),
            first: "due: false",
            again: "due: false",
            other_first: "committed",
            other_after: "committed",
            // The event says when to look, and it says never.
            beaten: "due: false",
        },
        Step {
            name: "lease, and another worker",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| boxed(lease_word(s, 1_000)),
            other: |s, _| boxed(lease_word(s, 1_001)),
            first: "attempt 1",
            again: "none",
            other_first: "attempt 1",
            other_after: "none",
            beaten: "none",
        },
        Step {
            name: "lease, and another worker when the lease has run out",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| boxed(lease_word(s, 1_000)),
            other: |s, _| boxed(lease_word(s, LATER)),
            first: "attempt 1",
            again: "none",
            other_first: "attempt 1",
            other_after: "attempt 2",
            beaten: "none",
        },
        Step {
            name: "delivered, and the lease's next holder",
            prepare: |s| Box::pin(with_lease(s)),
            same: |s, c| {
                let d = c.leased.as_ref().expect("a lease");
                boxed(async move {
                    let tokens = receipt(d, d.head, at(1_200));
                    Ok(settled(s.delivered(d.lease, tokens, at(1_250)).await?))
                })
            },
            other: |s, _| boxed(successor(s)),
            first: "done",
            again: "already done",
            other_first: "done",
            other_after: "none",
            beaten: "already done",
        },
        Step {
            name: "postponed, and the next attempt",
            prepare: |s| Box::pin(with_lease(s)),
            same: |s, c| {
                boxed(async move {
                    Ok(settled(s.postponed(c.lease(), at(5_000), "refused", at(1_500)).await?))
                })
            },
            other: |s, _| boxed(successor(s)),
            first: "done",
            again: "lease lost",
            other_first: "done",
            other_after: "done",
            beaten: "already done",
        },
        Step {
            name: "gave up, and the lease's next holder",
            prepare: |s| Box::pin(with_lease(s)),
            same: |s, c| {
                boxed(async move {
                    let ended = settled(s.gave_up(c.lease(), "refused", at(1_500)).await?);
                    let due = !s.due_referrals(at(1_500), 9).await?.is_empty();
                    Ok(format!("{ended}, due: {due}"))
                })
            },
            other: |s, _| boxed(successor(s)),
            first: "done, due: true",
            again: "lease lost, due: true",
            other_first: "done",
            other_after: "none",
            beaten: "already done, due: false",
        },
        Step {
            name: "replay, and another operator who hands over by hand",
            prepare: |s| Box::pin(with_given_up(s)),
            same: |s, _| {
                boxed(async move { Ok(s.replay(first_of(1), at(2_000)).await?.to_string()) })
            },
            other: |s, _| boxed(by_hand(s)),
            first: "1",
            again: "0",
            other_first: "true",
            other_after: "true",
            beaten: "0",
        },
        Step {
            name: "by hand, and a worker",
            prepare: |s| Box::pin(with_one(s)),
            same: |s, _| boxed(by_hand(s)),
            other: |s, _| boxed(lease_word(s, 1_000)),
            first: "true",
            again: "false",
            other_first: "attempt 1",
            other_after: "none",
            beaten: "false",
        },
        Step {
            name: "acquire, and another holder",
            prepare: |_| Box::pin(async { Context::default() }),
            same: |s, _| boxed(acquire_word(s, "one", 1_000)),
            other: |s, _| boxed(acquire_word(s, "other", 1_001)),
            first: "epoch 1",
            again: "epoch 1",
            other_first: "epoch 1",
            other_after: "held by another",
            beaten: "held by another",
        },
        Step {
            name: "acquire what has run out, and another holder",
            prepare: |s| {
                Box::pin(async move {
                    acquire(s, "former", 1_000).await.unwrap();
                    Context::default()
                })
            },
            same: |s, _| boxed(acquire_word(s, "one", LATER)),
            other: |s, _| boxed(acquire_word(s, "other", LATER)),
            first: "epoch 2",
            again: "epoch 2",
            other_first: "epoch 2",
            other_after: "held by another",
            beaten: "held by another",
        },
        Step {
            name: "release, and another holder",
            prepare: |s| Box::pin(with_right(s)),
            same: |s, c| {
                boxed(async move {
                    s.release(c.fence().clone()).await?;
                    Ok("released".into())
                })
            },
            other: |s, _| boxed(acquire_word(s, "other", 1_001)),
            first: "released",
            again: "released",
            other_first: "held by another",
            other_after: "epoch 2",
            beaten: "released",
        },
        Step {
            name: "sequence, and the right's next holder",
            prepare: |s| Box::pin(with_right(s)),
            same: |s, c| boxed(sequence(s, c.fence(), 1_001)),
            other: |s, _| {
                boxed(async move {
                    let fence = acquire(s, "other", LATER).await?.ok_or(StoreFault::Corrupt)?;
                    sequence(s, &fence, LATER).await
                })
            },
            first: "3 of 3",
            again: "0 of 3",
            other_first: "3 of 3",
            other_after: "0 of 3",
            beaten: "fence lost",
        },
        Step {
            name: "probe, and another",
            prepare: |_| Box::pin(async { Context::default() }),
            same: |s, _| {
                boxed(async move {
                    s.probe_writable(at(1_000)).await?;
                    Ok("writable".into())
                })
            },
            other: |s, _| {
                boxed(async move {
                    s.probe_writable(at(1_001)).await?;
                    Ok("writable".into())
                })
            },
            first: "writable",
            again: "writable",
            other_first: "writable",
            other_after: "writable",
            beaten: "writable",
        },
    ]
}
