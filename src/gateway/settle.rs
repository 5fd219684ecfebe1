//! What becomes of a dispatch: its authority's receipt is judged and recorded, or the delivery is put off
//! or given up. One way, whether the gateway brought it or the authority collected it.

use super::acknowledge::Acknowledged;
use super::courier::Failure;
use super::exchange::{Desk, Exchange, seen_chain, their_token};
use super::remind::first_look;
use super::trouble::Fault;
use crate::domain::delivery::{Next, RetryPolicy};
use crate::domain::ids::ReferralId;
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::referral::Urgency;
use crate::domain::refusal::Refusal;
use crate::domain::time::{SECOND, Timestamp};
use crate::protocol::trust::Chain;
use crate::store::{DeliveredTokens, Lease, LeasedDelivery, NewToken, Settled, TokenKind};
use crate::telemetry::metric;

/// The longest wait between attempts for an urgent referral (U0, U1): an authority that comes back
/// gets those within half a minute, whatever the settings allow for others. The breaker, not the
/// wait, protects an authority that is down.
const LONGEST_URGENT_WAIT_MS: i64 = 30 * SECOND;

/// Instead of a settled delivery.
pub(super) enum Stopped {
    /// The attempt failed.
    Failed(Failure),
    /// We did.
    Fault(Fault),
}

/// A delivery under a lease, as far as the end of an attempt needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    pub lease: Lease,
    pub referral_id: ReferralId,
    pub authority: DfeCode,
    pub urgency: u8,
    pub recorded_at: Timestamp,
    pub first_tried_at: Timestamp,
}

impl From<&LeasedDelivery> for Tried {
    fn from(delivery: &LeasedDelivery) -> Self {
        Self {
            lease: delivery.lease,
            referral_id: delivery.referral_id,
            authority: delivery.authority,
            urgency: delivery.urgency,
            recorded_at: delivery.recorded_at,
            first_tried_at: delivery.first_tried_at,
        }
    }
}

impl Exchange {
    /// Judges what the authority says to be its receipt for this very dispatch.
    pub(super) fn judge_receipt(
        &self,
        delivery: &LeasedDelivery,
        token: &str,
        chain: &Chain,
    ) -> Result<Result<(Acknowledged, Desk), Refusal>, Fault> {
        let now = self.now();
        let desk = self.desk(self.trust.store(), now)?;
        let judged =
            Acknowledged::verify(delivery, token, chain, &desk.trust, &self.cache, desk.now);
        Ok(judged.map(|receipt| (receipt, desk)))
    }

    /// Whether the referral was taken out of use before this attempt. Nothing was said about one whose
    /// thread stands at its acceptance.
    pub(super) async fn is_misidentified(&self, delivery: &LeasedDelivery) -> Result<bool, Fault> {
        if delivery.head.position <= 1 {
            return Ok(false);
        }
        match self.known(delivery.referral_id).await {
            Ok(known) => Ok(known.is_some_and(|known| known.case.is_misidentified())),
            Err(trouble) => Err(trouble.unasked()),
        }
    }

    /// Stores the authority's receipt with our record of it. A crash before it is committed: the lease
    /// runs out, the authority is asked again and answers with the same receipt. If the thread moved meanwhile the
    /// record is signed again on top of the new head; each turn is another's progress, so the loop
    /// ends.
    pub(super) async fn settle(
        &self,
        delivery: &LeasedDelivery,
        (ack, desk): (Acknowledged, Desk),
    ) -> Result<Settled, Fault> {
        let mut after = delivery.head;
        loop {
            let audience =
                vec![delivery.sender.clone(), Organisation::Authority(delivery.authority)];
            let (id, entropy) = (delivery.referral_id, &*self.entropy);
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
                wake_at: first_look(desk.now, urgency(delivery.urgency)),
            };
            match self.store.delivered(delivery.lease, tokens, self.now()).await? {
                Settled::HeadMoved(head) => after = head,
                settled => return Ok(settled),
            }
        }
    }

    /// Counts and tells how an attempt ended; one that failed is put off or given up.
    pub(super) async fn conclude(
        &self,
        tried: Tried,
        outcome: Result<Settled, Stopped>,
        retry: RetryPolicy,
    ) {
        let Tried { referral_id: id, authority, lease, .. } = tried;
        let (attempt, now) = (lease.attempt, self.now());
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
                let seconds = now.since(tried.recorded_at) as f64 / 1_000.0;
                metrics::histogram!(metric::DELIVERY_SECONDS).record(seconds);
                self.new_tokens.notify_one();
            }
            Err(Stopped::Fault(fault)) => {
                if fault.is_final() {
                    self.broken.notify_one();
                }
                // The lease runs out and the delivery falls due again.
                tracing::error!(referral = %id, %authority, fault = fault.label(), "delivery stopped by a fault");
            }
            Err(Stopped::Failed(failure)) => {
                self.put_off(tried, &failure, retry, now).await;
            }
        }
    }

    /// Ends the lease without success; whether it still held. A crash or a fault here: the lease runs out,
    /// and the delivery falls due again as if the attempt had never been made.
    pub(super) async fn put_off(
        &self,
        tried: Tried,
        failure: &Failure,
        mut retry: RetryPolicy,
        now: Timestamp,
    ) -> bool {
        let Tried { referral_id: id, authority, lease, .. } = tried;
        let (attempt, reason) = (lease.attempt, failure.reason());
        let mut jitter = [0; 8];
        // Without randomness the waits are merely not spread out.
        let _ = self.entropy.fill(&mut jitter);
        let jitter = u64::from_le_bytes(jitter);
        if urgency(tried.urgency).is_urgent() {
            retry.max_ms = retry.max_ms.min(LONGEST_URGENT_WAIT_MS);
        }
        let next = match failure {
            Failure::Misidentified => Next::GiveUp,
            // Not the authority's silence but our own lack of a directory: no reason to give up.
            Failure::NoDirectory => Next::RetryAt(now.plus(retry.wait_ms(attempt, jitter))),
            Failure::Collects => Next::RetryAt(now),
            _ => retry.next(attempt, tried.first_tried_at, now, jitter),
        };
        let (settled, level) = match next {
            Next::RetryAt(at) => (self.store.postponed(lease, at, reason, now).await, "put off"),
            Next::GiveUp => (self.store.gave_up(lease, reason, now).await, "given up"),
        };
        match settled {
            Ok(Settled::LeaseLost | Settled::AlreadyDone) => return false,
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
        true
    }
}

/// One that the store cannot name is treated as the most urgent.
fn urgency(rank: u8) -> Urgency {
    Urgency::ALL.get(usize::from(rank)).copied().unwrap_or(Urgency::U0)
}
