//! What waits is gathered and carried out together: one transaction, one commit, one round trip to
//! the disk and the replicas for all of them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::domain::ids::ReferralId;
use crate::store::contract::{Pending, StoreFault};

/// Operations per transaction. More bring nothing: at 64 the server's work for the rows is all that
/// is left.
const LARGEST: usize = 64;
/// Writers of one kind of operation: one batch is gathered and another one worked on while a third one
/// waits for the disk.
const WRITERS: usize = 3;
/// Operations that may wait; further callers wait for their turn to wait.
const QUEUE: usize = 1_024;

/// Queues that are worked off beside each other, each by a task with what `carry_out` makes for it.
pub(super) fn writers<I, O, F, Fut>(
    longest_wait: Duration,
    carry_out: impl Fn() -> F,
) -> Vec<Batcher<I, O>>
where
    I: Send + 'static,
    O: Send + 'static,
    F: Fn(Vec<Waiting<I, O>>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    (0..WRITERS).map(|_| Batcher::start(longest_wait, carry_out())).collect()
}

/// The writer of a referral: an id always goes to the same one, so that a twin finds what came before it.
pub(super) fn writer_of<T>(id: ReferralId, writers: &[T]) -> usize {
    usize::from(id.as_bytes()[0]) % writers.len()
}

/// An operation that waits, and where its answer goes.
pub(super) struct Waiting<I, O> {
    /// What it asks for.
    pub item: I,
    since: Instant,
    answer: oneshot::Sender<Result<O, StoreFault>>,
    _turn: OwnedSemaphorePermit,
}

impl<I, O> Waiting<I, O> {
    /// Answers it.
    pub fn tell(self, outcome: Result<O, StoreFault>) {
        // Whoever stopped waiting does not need the answer.
        let _ = self.answer.send(outcome);
    }
}

/// A queue with one task that takes from it.
pub(super) struct Batcher<I, O> {
    turns: Arc<Semaphore>,
    queue: mpsc::UnboundedSender<Waiting<I, O>>,
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts the task. `carry_out` must answer each of the batch; what it drops unanswered is
    /// [`StoreFault::Unconfirmed`]. What waited for its turn longer than `longest_wait` is not begun: while the
    /// database hangs, batch after batch takes all the patience there is, and whoever asks has given up
    /// long before the last of them.
    pub fn start<F, Fut>(longest_wait: Duration, carry_out: F) -> Self
    where
        F: Fn(Vec<Waiting<I, O>>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let (queue, mut waiting) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut batch = Vec::new();
            // Ends when the store is dropped and all that waited is answered.
            while waiting.recv_many(&mut batch, LARGEST).await > 0 {
                let is_late = |waiting: &Waiting<I, O>| waiting.since.elapsed() > longest_wait;
                let (late, timely): (Vec<_>, _) = batch.drain(..).partition(is_late);
                late.into_iter().for_each(|waiting| waiting.tell(Err(StoreFault::Unavailable)));
                if !timely.is_empty() {
                    carry_out(timely).await;
                }
            }
        });
        Self { turns: Arc::new(Semaphore::new(QUEUE)), queue }
    }

    /// Queues an operation and waits for its answer. Once queued it is carried out, also if the caller
    /// stops waiting, unless its turn comes too late.
    pub fn submit(&self, item: I) -> Pending<'_, O> {
        Box::pin(async move {
            let since = Instant::now();
            let turn = Arc::clone(&self.turns).acquire_owned().await;
            let _turn = turn.map_err(|_| StoreFault::Stopped)?;
            let (answer, answered) = oneshot::channel();
            let waiting = Waiting { item, since, answer, _turn };
            self.queue.send(waiting).map_err(|_| StoreFault::Stopped)?;
            answered.await.unwrap_or(Err(StoreFault::Unconfirmed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waited_too_long_for_a_turn_is_told_so() {
        let gate = Arc::new(Semaphore::new(0));
        let carried = Arc::clone(&gate);
        let carry_out = move |batch: Vec<Waiting<u8, u8>>| {
            let gate = Arc::clone(&carried);
            async move {
                let _open = gate.acquire().await;
                batch.into_iter().for_each(|waiting| {
                    let item = waiting.item;
                    waiting.tell(Ok(item));
                });
            }
        };
        let longest_wait = Duration::from_millis(20);
        let batcher = Batcher::start(longest_wait, carry_out);
        let first = async {
            let outcome = batcher.submit(1).await;
            assert_eq!(outcome, Ok(1), "begun in time, however long it takes");
        };
        let second = async {
            // The first one is being carried out.
            tokio::time::sleep(longest_wait).await;
            let waiting = batcher.submit(2);
            let opened = async {
                tokio::time::sleep(longest_wait * 3).await;
                gate.add_permits(1);
            };
            let (outcome, ()) = tokio::join!(waiting, opened);
            assert_eq!(outcome, Err(StoreFault::Unavailable));
        };
        tokio::join!(first, second);
        assert_eq!(batcher.submit(3).await, Ok(3));
    }
}
