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

use super::acknowledge::Acknowledged;
use super::courier::{Courier, Failure};
use super::exchange::{Desk, Exchange, seen_chain, their_token};
use super::remind::first_look;
use super::trouble::Fault;
use crate::domain::delivery::{Breaker, BreakerPolicy, Next, RetryPolicy};
use crate::domain::directory::Connection;
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::referral::Urgency;
use crate::domain::time::{SECOND, Timestamp};
use crate::store::{
    DeliveredTokens, LeaseRequest, LeasedDelivery, NewToken, Settled, StoreFault, TokenKind,
};
use crate::telemetry::metric;

/// The longest wait between attempts for an urgent referral (U0, U1): an authority that comes back
/// gets those within half a minute, whatever the settings allow for others. The breaker, not the
/// wait, protects an authority that is down.
const LONGEST_URGENT_WAIT_MS: i64 = 30 * SECOND;

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

    /// Authorities whose breaker is open, or that have all their places taken.
    fn left_alone(&self, now: Timestamp) -> Vec<DfeCode> {
        let authorities = self.authorities.lock().unwrap_or_else(|e| e.into_inner());
        let mut excluded = Vec::new();
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
        let (id, attempt) = (delivery.referral_id, delivery.lease.attempt);
        let word = match &outcome {
            Ok(Settled::LeaseLost) => "late",
            Ok(_) => "delivered",
            Err(Stopped::Fault(_)) => "fault",
            Err(Stopped::Failed(failure)) => failure.reason(),
        };
        let to = authority.to_string();
        metrics::counter!(metric::DELIVERY_ATTEMPTS, "authority" => to, "outcome" => word)
            .increment(1);
        match outcome {
            Ok(Settled::LeaseLost) => {
                // Another attempt will get the same receipt.
                tracing::warn!(referral = %id, %authority, attempt, "delivered, but too late to record it");
            }
            Ok(settled) => {
                tracing::info!(referral = %id, %authority, attempt, ?settled, "delivered");
                let seconds = now.since(delivery.recorded_at) as f64 / 1_000.0;
                metrics::histogram!(metric::DELIVERY_SECONDS).record(seconds);
                self.exchange.new_tokens.notify_one();
            }
            Err(Stopped::Fault(fault)) => {
                if fault.is_final() {
                    self.exchange.broken.notify_one();
                }
                // The lease runs out and the delivery falls due again.
                tracing::error!(referral = %id, %authority, fault = fault.label(), "delivery stopped by a fault");
            }
            Err(Stopped::Failed(failure)) => self.put_off(&delivery, &failure, now).await,
        }
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
            _ => return Err(Stopped::Failed(Failure::NoEndpoint)),
        };
        if self.is_misidentified(delivery).await? {
            return Err(Stopped::Failed(Failure::Misidentified));
        }
        let answer = self.courier.bring(delivery, &endpoint).await.map_err(Stopped::Failed)?;
        let (trust, now) = (self.exchange.trust.store(), self.exchange.now());
        let desk = self.exchange.desk(trust, now).map_err(Stopped::Fault)?;
        let cache = &self.exchange.cache;
        let acknowledged = Acknowledged::verify(
            delivery,
            &answer.delivered,
            &answer.chain,
            &desk.trust,
            cache,
            now,
        );
        let acknowledged = acknowledged.map_err(|refusal| {
            Stopped::Failed(Failure::BadReceipt(refusal.rule().map_or("unknown", |r| r.id)))
        })?;
        self.settle(delivery, acknowledged, &desk).await.map_err(Stopped::Fault)
    }

    /// Whether the referral was taken out of use before this attempt. Nothing was said about one whose
    /// thread stands at its acceptance.
    async fn is_misidentified(&self, delivery: &LeasedDelivery) -> Result<bool, Stopped> {
        if delivery.head.position <= 1 {
            return Ok(false);
        }
        match self.exchange.known(delivery.referral_id).await {
            Ok(known) => Ok(known.is_some_and(|known| known.case.is_misidentified())),
            Err(trouble) => Err(Stopped::Fault(trouble.unasked())),
        }
    }

    /// Stores the authority's receipt with our record of it. A crash before it is committed: the lease
    /// runs out, the authority is asked again and answers with the same receipt. If the thread moved meanwhile the
    /// record is signed again on top of the new head; each turn is another's progress, so the loop
    /// ends.
    async fn settle(
        &self,
        delivery: &LeasedDelivery,
        ack: Acknowledged,
        desk: &Desk,
    ) -> Result<Settled, Fault> {
        let exchange = &self.exchange;
        let urgency = Urgency::ALL.get(usize::from(delivery.urgency)).copied();
        let urgency = urgency.unwrap_or(Urgency::U0);
        let mut after = delivery.head;
        loop {
            let audience =
                vec![delivery.sender.clone(), Organisation::Authority(delivery.authority)];
            let (id, entropy) = (delivery.referral_id, &*exchange.entropy);
            let recorded = desk.record(entropy, id, after, ack.sha256, audience.clone())?;
            let delivered = their_token(TokenKind::Delivered, ack.sha256, &ack.jws, &ack.signer);
            let tokens = DeliveredTokens {
                delivered: NewToken { token: delivered, audience },
                recorded,
                after,
                chains: vec![seen_chain(&ack.chain), seen_chain(desk.identity.chain())],
                crls: desk.seen_crls(),
                recorded_at: desk.now,
                // Clocks start with a receipt, perhaps when none was running any more.
                wake_at: first_look(desk.now, urgency),
            };
            match exchange.store.delivered(delivery.lease, tokens, exchange.now()).await? {
                Settled::HeadMoved(head) => after = head,
                settled => return Ok(settled),
            }
        }
    }

    /// Ends the lease without success. A crash or a fault here: the lease runs out, and the delivery
    /// falls due again as if the attempt had never been made.
    async fn put_off(&self, delivery: &LeasedDelivery, failure: &Failure, now: Timestamp) {
        let (id, authority) = (delivery.referral_id, delivery.authority);
        let (attempt, reason) = (delivery.lease.attempt, failure.reason());
        let mut jitter = [0; 8];
        // Without randomness the waits are merely not spread out.
        let _ = self.exchange.entropy.fill(&mut jitter);
        let jitter = u64::from_le_bytes(jitter);
        let mut retry = self.settings.retry;
        if Urgency::ALL.get(usize::from(delivery.urgency)).is_none_or(|u| u.is_urgent()) {
            retry.max_ms = retry.max_ms.min(LONGEST_URGENT_WAIT_MS);
        }
        let mut next = retry.next(attempt, delivery.first_tried_at, now, jitter);
        if *failure == Failure::Misidentified {
            next = Next::GiveUp;
        }
        // Not the authority's silence but our own lack of a directory: no reason to give up.
        if *failure == Failure::NoDirectory {
            next = Next::RetryAt(now.plus(retry.wait_ms(attempt, jitter)));
        }
        let store = &self.exchange.store;
        let (settled, level) = match next {
            Next::RetryAt(at) => {
                (store.postponed(delivery.lease, at, reason, now).await, "put off")
            }
            Next::GiveUp => (store.gave_up(delivery.lease, reason, now).await, "given up"),
        };
        match settled {
            Ok(Settled::LeaseLost | Settled::AlreadyDone) => {}
            Ok(_) if next == Next::GiveUp => {
                tracing::error!(referral = %id, %authority, attempt, reason, "delivery {level}: an operator must act");
            }
            Ok(_) => tracing::warn!(
                referral = %id, %authority, attempt, reason, detail = failure.detail(), "delivery {level}"
            ),
            Err(fault) => {
                tracing::error!(referral = %id, %authority, fault = fault.label(), "delivery could not be {level}");
            }
        }
    }
}

enum Stopped {
    Failed(Failure),
    Fault(Fault),
}
