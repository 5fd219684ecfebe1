//! Brings accepted referrals to their authorities, until each has given its signed receipt.
//!
//! At-least-once on the wire, once in effect: the authority answers the same dispatch with the same
//! receipt. Leases only save work; correctness rests on the settling transaction, which a late
//! worker cannot pass. Whatever happens to this process, an unsettled delivery falls due again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::courier::{Courier, Failure};
use super::exchange::Exchange;
use super::settle::{Stopped, Tried};
use crate::domain::delivery::{Breaker, BreakerPolicy, RetryPolicy};
use crate::domain::directory::Connection;
use crate::domain::party::DfeCode;
use crate::domain::time::Timestamp;
use crate::store::{LeaseRequest, LeasedDelivery, Settled, StoreFault};

/// Between two looks at the store; after faults up to the longest, so that a store in trouble is
/// left in peace.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What of a lease is kept back for settling what an attempt brought, in milliseconds.
const TO_SETTLE_MS: i64 = 10_000;

/// How deliveries are tried.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// Waiting times between attempts, and when to give up.
    pub retry: RetryPolicy,
    /// When to leave an authority alone for a while.
    pub breaker: BreakerPolicy,
    /// Deliveries under way at once, over all authorities.
    pub parallel: usize,
    /// Deliveries under way at once to one authority, so that a slow one cannot take all places.
    pub parallel_per_authority: usize,
    /// How long one attempt may take, lease included, in milliseconds.
    pub lease_ms: i64,
    /// How often to look for work that another gateway stored or that fell due.
    pub look_every: Duration,
}

/// After the bell, so that one look at the store finds what many requests brought.
const GATHER: Duration = Duration::from_millis(5);

struct Worker {
    exchange: Arc<Exchange>,
    courier: Arc<dyn Courier>,
    settings: DeliverySettings,
    holder: String,
    authorities: Mutex<BTreeMap<DfeCode, Standing>>,
}

/// What this process knows of one authority. Lost at a restart, which is safe: it only spares
/// attempts that would fail.
struct Standing {
    breaker: Breaker,
    under_way: usize,
}

/// Delivers until `stop` says so, then waits for the attempts under way.
pub async fn run(
    exchange: Arc<Exchange>,
    courier: Arc<dyn Courier>,
    settings: DeliverySettings,
    holder: String,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(settings.parallel));
    let look_every = settings.look_every;
    let worker = Arc::new(Worker {
        exchange,
        courier,
        settings,
        holder,
        authorities: Mutex::new(BTreeMap::new()),
    });
    let mut attempts = JoinSet::new();
    let mut pause = SHORTEST_PAUSE;
    while !*stop.borrow() {
        let free = places.available_permits();
        let leased = match worker.lease(free).await {
            Ok(leased) => {
                pause = SHORTEST_PAUSE;
                leased
            }
            Err(fault) => {
                tracing::warn!(fault = fault.label(), "deliveries could not be leased");
                if fault.is_final() {
                    worker.exchange.broken.notify_one();
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                Vec::new()
            }
        };
        let found = !leased.is_empty();
        for delivery in leased {
            // As many as there were places; a closed semaphore cannot happen, it is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let worker = Arc::clone(&worker);
            attempts.spawn(async move {
                let under_way = UnderWay { worker: &worker, authority: delivery.authority };
                worker.attempt(delivery).await;
                drop((under_way, place));
                worker.exchange.new_deliveries.notify_one();
            });
        }
        while attempts.try_join_next().is_some() {}
        if found && places.available_permits() > 0 {
            continue;
        }
        // Without a free place only the end of an attempt brings news, and it rings.
        let due = match free {
            0 => look_every,
            _ => worker.until_due(look_every).await.max(pause),
        };
        let clock = &worker.exchange.clock;
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            () = worker.exchange.new_deliveries.notified() => clock.sleep(GATHER).await,
            () = clock.sleep(due) => {}
        }
    }
    while attempts.join_next().await.is_some() {}
}

/// One of an authority's places, given back whatever happens to the attempt.
struct UnderWay<'a> {
    worker: &'a Worker,
    authority: DfeCode,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.worker.with_standing(self.authority, |s| s.under_way = s.under_way.saturating_sub(1));
    }
}

impl Worker {
    async fn lease(&self, places: usize) -> Result<Vec<LeasedDelivery>, StoreFault> {
        if places == 0 {
            return Ok(Vec::new());
        }
        let now = self.exchange.now();
        let request = LeaseRequest {
            now,
            holder: self.holder.clone(),
            lease_ms: self.settings.lease_ms,
            limit: places.min(self.settings.parallel_per_authority) as u32,
            excluded: self.left_alone(now),
            only: None,
        };
        let leased = self.exchange.store.lease_deliveries(request).await?;
        for delivery in &leased {
            self.with_standing(delivery.authority, |s| {
                s.under_way += 1;
                // Not asked again: at most the places of one authority go as probes together.
                s.breaker.admit(now);
            });
        }
        Ok(leased)
    }

    /// Authorities that collect what is for them, whose breaker is open, or that have all their places taken.
    fn left_alone(&self, now: Timestamp) -> Vec<DfeCode> {
        let mut excluded = Vec::new();
        if let Some(directory) = self.exchange.directory.last_good() {
            let entries = directory.directory().authorities.values();
            let collect = entries.filter(|entry| entry.connection == Connection::Pull);
            excluded.extend(collect.map(|entry| entry.code));
        }
        let authorities = self.authorities.lock().unwrap_or_else(|e| e.into_inner());
        for (code, standing) in authorities.iter() {
            let full = standing.under_way >= self.settings.parallel_per_authority;
            if full || !standing.breaker.would_admit(now) {
                excluded.push(*code);
            }
        }
        excluded
    }

    fn with_standing<T>(&self, code: DfeCode, act: impl FnOnce(&mut Standing) -> T) -> T {
        let mut authorities = self.authorities.lock().unwrap_or_else(|e| e.into_inner());
        let fresh = || Standing { breaker: Breaker::new(self.settings.breaker), under_way: 0 };
        act(authorities.entry(code).or_insert_with(fresh))
    }

    /// Until the next delivery falls due, at most `look_every`.
    async fn until_due(&self, look_every: Duration) -> Duration {
        let now = self.exchange.now();
        match self.exchange.store.next_due(self.left_alone(now)).await {
            Ok(Some(due)) => {
                let wait = due.since(now).max(1);
                look_every.min(Duration::from_millis(wait.unsigned_abs()))
            }
            _ => look_every,
        }
    }

    async fn attempt(&self, delivery: LeasedDelivery) {
        let authority = delivery.authority;
        let time = self.settings.lease_ms.saturating_sub(TO_SETTLE_MS).max(1_000).unsigned_abs();
        let limit = Duration::from_millis(time);
        let outcome = self.exchange.clock.within(limit, self.bring(&delivery)).await;
        let too_long = Failure::Unreachable { cause: "too_long" };
        let outcome = outcome.unwrap_or(Err(Stopped::Failed(too_long)));
        let now = self.exchange.now();
        let reached = !matches!(outcome, Err(Stopped::Failed(Failure::Unreachable { .. })));
        self.with_standing(authority, |s| {
            if reached { s.breaker.succeeded() } else { s.breaker.failed(now) }
        });
        self.exchange.conclude(Tried::from(&delivery), outcome, self.settings.retry).await;
    }

    async fn bring(&self, delivery: &LeasedDelivery) -> Result<Settled, Stopped> {
        // What was accepted is delivered by the last good directory, however old: the endpoint
        // must prove its identity anyway.
        let directory = self.exchange.directory.last_good();
        let now = self.exchange.now();
        let directory = directory.ok_or(Stopped::Failed(Failure::NoDirectory))?;
        let entry = directory.directory().authority(delivery.authority, now);
        let endpoint = match entry.map(|e| &e.connection) {
            Some(Connection::Push { endpoint }) => endpoint.clone(),
            Some(Connection::Pull) => return Err(Stopped::Failed(Failure::Collects)),
            _ => return Err(Stopped::Failed(Failure::NoEndpoint)),
        };
        if self.exchange.is_misidentified(delivery).await.map_err(Stopped::Fault)? {
            return Err(Stopped::Failed(Failure::Misidentified));
        }
        let answer = self.courier.bring(delivery, &endpoint).await.map_err(Stopped::Failed)?;
        let judged = self.exchange.judge_receipt(delivery, &answer.delivered, &answer.chain);
        let receipt = judged.map_err(Stopped::Fault)?.map_err(|refusal| {
            Stopped::Failed(Failure::BadReceipt(refusal.rule().map_or("unknown", |r| r.id)))
        })?;
        self.exchange.settle(delivery, receipt).await.map_err(Stopped::Fault)
    }
}
