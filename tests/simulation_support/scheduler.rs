//! Virtual time and whose turn it is.
//!
//! Everything that crosses a boundary waits here for its turn: each message, each store operation,
//! each timer. When no task can go on by itself the runtime parks; the hook at that point gives the
//! earliest turn, moves the time to it, and so exactly one task goes on to its own next boundary. How
//! long each waits, and who goes first among equals, follows from the seed: so one seed is one run.
//!
//! The runtime has no timers of its own. Code that waited by the machine's clock would panic here.

use std::collections::{BinaryHeap, HashMap};
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ecaf::domain::ids::Digest;
use ecaf::domain::time::Timestamp;
use ecaf::effects::{Clock, Sleep};
use ecaf::protocol::hash::sha256;

use super::scheme::BEGINNING;

/// More turns than this mean that something turns in circles.
const MOST_TURNS: u64 = 3_000_000;

/// The numbers of a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is above 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// One turn that somebody waits for: when, chance among equals, number.
type Entry = std::cmp::Reverse<(u64, u64, u64)>;

enum Gate {
    Shut(Waker),
    Open,
}

struct State {
    /// Microseconds since the start.
    now: u64,
    next: u64,
    turns: u64,
    waiting: BinaryHeap<Entry>,
    gates: HashMap<u64, Gate>,
    random: Random,
    trace: Vec<String>,
}

/// Gives turns.
pub struct Scheduler {
    state: Mutex<State>,
}

impl Scheduler {
    pub fn new(seed: u64) -> Arc<Self> {
        let state = State {
            now: 0,
            next: 0,
            turns: 0,
            waiting: BinaryHeap::new(),
            gates: HashMap::new(),
            random: Random::new(seed),
            trace: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Lets chance decide.
    pub fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.state().random)
    }

    /// Milliseconds since the start.
    pub fn elapsed_ms(&self) -> i64 {
        (self.state().now / 1_000) as i64
    }

    /// How many turns were given.
    pub fn turns(&self) -> u64 {
        self.state().turns
    }

    /// A turn after exactly `wait`.
    pub fn after(self: &Arc<Self>, wait: Duration) -> Turn {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Turn { of: Arc::clone(self), at: self.state().now.saturating_add(wait), number: None }
    }

    /// A turn between `low` and `high` microseconds from now.
    pub fn turn(self: &Arc<Self>, low: u64, high: u64) -> Turn {
        let wait = self.random(|r| r.between(low, high));
        self.after(Duration::from_micros(wait))
    }

    /// What `work` brings, or `None` after `limit`.
    pub async fn within<T>(
        self: &Arc<Self>,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.after(limit) => None,
        }
    }

    /// Gives the next turn. Called when no task can go on by itself.
    pub fn step(&self) {
        let mut state = self.state();
        while let Some(std::cmp::Reverse((at, _, number))) = state.waiting.pop() {
            let Some(gate) = state.gates.get_mut(&number) else { continue };
            let Gate::Shut(waker) = std::mem::replace(gate, Gate::Open) else { continue };
            state.now = state.now.max(at);
            state.turns += 1;
            assert!(state.turns < MOST_TURNS, "the run turns in circles");
            drop(state);
            waker.wake();
            return;
        }
        panic!("nobody waits for anything: the run is stuck");
    }

    /// Writes a line of the trace: who, and what happened. Codes and counts only.
    pub fn note(&self, who: impl std::fmt::Display, what: std::fmt::Arguments<'_>) {
        let mut state = self.state();
        let mut line = String::with_capacity(96);
        let (ms, us) = (state.now / 1_000, state.now % 1_000);
        // Writing to a string cannot fail.
        let _ = write!(line, "{:>9}.{us:03} {who:<12} {what}", ms);
        state.trace.push(line);
    }

    /// The trace so far.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.clone()
    }

    /// Everything that was noted, as one digest.
    pub fn trace_digest(&self) -> Digest {
        sha256(self.state().trace.join("\n").as_bytes())
    }
}

/// Ready when its turn has come.
pub struct Turn {
    of: Arc<Scheduler>,
    at: u64,
    number: Option<u64>,
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let of = Arc::clone(&self.of);
        let mut state = of.state();
        let number = match self.number {
            Some(number) => number,
            None => {
                let number = state.next;
                state.next += 1;
                let chance = state.random.number();
                state.waiting.push(std::cmp::Reverse((self.at, chance, number)));
                self.number = Some(number);
                number
            }
        };
        if let Some(Gate::Open) = state.gates.get(&number) {
            state.gates.remove(&number);
            return Poll::Ready(());
        }
        state.gates.insert(number, Gate::Shut(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.of.state().gates.remove(&number);
        }
    }
}

/// The clock of one machine. It can be wrong; waiting is not.
pub struct MachineClock {
    scheduler: Arc<Scheduler>,
    wrong_by_ms: AtomicI64,
}

impl MachineClock {
    pub fn new(scheduler: &Arc<Scheduler>) -> Arc<Self> {
        Arc::new(Self { scheduler: Arc::clone(scheduler), wrong_by_ms: AtomicI64::new(0) })
    }

    /// Steps the clock.
    pub fn set_wrong_by(&self, ms: i64) {
        self.wrong_by_ms.store(ms, Ordering::SeqCst);
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        BEGINNING.plus(self.scheduler.elapsed_ms()).plus(self.wrong_by_ms.load(Ordering::SeqCst))
    }

    fn sleep(&self, wait: Duration) -> Sleep<'_> {
        Box::pin(self.scheduler.after(wait))
    }
}

/// Runs a future to its end on this thread. For the operations of real stores: their work is done by
/// threads of their own, but nothing else of the run happens meanwhile.
pub fn to_its_end<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    // The runtime's budget per poll would never be refilled from in here.
    let mut future = std::pin::pin!(tokio::task::coop::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
