//! When the trouble is over: everything has to come right within a time, and stays what it was.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ecaf::effects::Clock;
use ecaf::store::DeliverySelector;

use super::days;
use super::run::World;
use super::scheduler::to_its_end;

/// After this long without trouble every sender must have an answer.
const SENDERS_WAIT_S: i64 = 600;
/// And after this long nothing may be open: a clock that was a quarter of an hour ahead may have put
/// something off until then.
const DELIVERIES_WAIT_S: i64 = 3_600;

/// Waits until everybody has an answer and nothing is open.
pub async fn come_to_rest(world: &Arc<World>) -> Vec<String> {
    let began = world.scheduler.elapsed_ms();
    let mut replayed_at = began;
    loop {
        world.scheduler.after(Duration::from_secs(5)).await;
        world.start();
        let waiting = world.schools.iter().flat_map(|s| &s.jobs).filter(|job| !job.is_done());
        let waiting =
            waiting.count() + world.people.iter().filter(|person| !person.is_done()).count();
        let store = world.gateway_store.current();
        let now = world.gateways[0].machine.clock.now();
        let counts = to_its_end(store.counts(now)).unwrap();
        let open = counts.held + counts.leased;
        if waiting == 0 && open == 0 && counts.unsequenced == 0 {
            if counts.undeliverable == 0 && days::nothing_is_due(world) {
                world.rested_at.store(world.scheduler.elapsed_ms(), Ordering::SeqCst);
                return Vec::new();
            }
            // What was given up in bad times is for an operator to try again in good ones; once more
            // where an authority's clock must first reach the time at which it was recorded.
            if world.scheduler.elapsed_ms() - replayed_at > 60_000 {
                replayed_at = world.scheduler.elapsed_ms();
                to_its_end(store.replay(DeliverySelector::All, now)).unwrap();
            }
        }
        let quiet_s = (world.scheduler.elapsed_ms() - began) / 1_000;
        if quiet_s > DELIVERIES_WAIT_S || waiting > 0 && quiet_s > SENDERS_WAIT_S {
            return vec![format!(
                "does not come to rest: {waiting} senders wait, {open} deliveries are open, {} are \
                 given up, {} tokens have no place",
                counts.undeliverable, counts.unsequenced
            )];
        }
    }
}

/// In quiet times, everything that has a receipt gets the same one again, and can be followed.
pub async fn ask_again(world: &Arc<World>) -> Vec<String> {
    let mut problems = Vec::new();
    for school in &world.schools {
        for job in school.jobs.iter().filter(|job| !job.progress().receipts.is_empty()) {
            school.send_once(job).await;
            let alias = super::stores::alias(job.document.id);
            match school.follow(job).await {
                Err(fault) => problems.push(format!("{alias}: cannot be followed: {fault}")),
                Ok(followed) => {
                    if let Err(refusal) = &followed.proven {
                        let rule = refusal.rule().map_or("", |r| r.id);
                        problems.push(format!("{alias}: the evidence proves nothing: {rule}"));
                    }
                    let by_hand = followed.state.deliveries.iter().any(|d| d.state == "by_hand");
                    let erased = !followed.state.erased.is_empty();
                    let must = world.erasing.must_be_erased(0, job.document.id);
                    if must && !erased {
                        problems.push(format!("{alias}: its sender is not told that it is erased"));
                    }
                    if !followed.has_arrived() && !by_hand && !erased {
                        problems.push(format!("{alias}: its sender is not told that it arrived"));
                    }
                }
            }
        }
    }
    problems
}
