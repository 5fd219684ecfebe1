//! The way back in a run: who speaks, issues of the directory, hours in which everything is switched off, and
//! what must have been done once it is quiet.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ecaf::cli::sandbox::AUTHORITIES;
use ecaf::domain::party::Party;
use ecaf::effects::Clock;
use ecaf::store::{AuthorityStore, GatewayStore, StreamId, StreamName};

use super::database::Database;
use super::network::Node;
use super::people::{Desk, Person};
use super::plan::Plan;
use super::rest;
use super::run::World;
use super::scheduler::to_its_end;
use super::scheme::{SCHOOL_COUNT, authority_party};
use super::schools::School;
use super::sites::Machine;

/// How long people go on after a time in which everything was off.
const A_DAY_S: u64 = 45;

type Stores = Vec<Arc<Database<dyn AuthorityStore>>>;

/// Workers and clerks, if anybody speaks.
pub fn people(
    plan: &Plan,
    folder: &Path,
    (stores, schools): (&Stores, &[Arc<School>]),
    machine: impl Fn(Node) -> Machine,
) -> Vec<Arc<Person>> {
    let Some(way) = plan.way_back.as_ref().filter(|way| way.says > 0) else { return Vec::new() };
    let person = |node: Node, desk| {
        let state = folder.join("people").join(node.to_string());
        Person::new(machine(node), desk, state, (plan.gateways, way.says))
    };
    let workers = (0..way.workers * AUTHORITIES.len()).map(|number| {
        let store = Arc::clone(&stores[number % AUTHORITIES.len()]);
        person(Node::Worker(number), Desk::Authority(store))
    });
    let clerks = (0..SCHOOL_COUNT).map(|place| {
        let school = Arc::clone(&schools[place]);
        person(Node::School(place), Desk::School(school))
    });
    workers.chain(clerks).collect()
}

/// A new issue of the directory, in which one authority receives otherwise.
pub fn issue(world: &World) {
    let Some(posted) = &world.posted else { return };
    let (place, what) = world.chance(|r| (r.below(AUTHORITIES.len() as u64) as usize, r.below(3)));
    posted.change(|ways| match what {
        0 => ways.events[place] = !ways.events[place],
        _ => ways.pull[place] = !ways.pull[place],
    });
    let ways = posted.ways();
    let (pulls, events) = (ways.pull[place], ways.events[place]);
    world.scheduler.note(
        Node::Authority(place),
        format_args!("receives otherwise: collects {pulls}, events {events}"),
    );
}

/// Everything is switched off for a while, and limits pass; then it goes on.
pub async fn off(world: &Arc<World>) -> Vec<String> {
    let Some(way) = &world.plan.way_back else { return Vec::new() };
    for minutes in &way.off_min {
        world.scheduler.note("--", format_args!("everything is off for {minutes} minutes"));
        for site in world.gateways.iter().chain(&world.authorities) {
            site.kill();
        }
        world.gateway_store.crash();
        for school in &world.schools {
            school.kill();
        }
        for person in &world.people {
            person.kill();
        }
        world.scheduler.after(Duration::from_secs(minutes * 60)).await;
        world.hush(false);
        world.start();
        world.scheduler.after(Duration::from_secs(A_DAY_S)).await;
        world.hush(true);
        let problems = rest::come_to_rest(world).await;
        if !problems.is_empty() {
            return problems;
        }
    }
    Vec::new()
}

/// Whether no clock waits to be looked at, and nobody waits for a push.
pub fn nothing_is_due(world: &World) -> bool {
    let Some((way, posted)) = world.plan.way_back.as_ref().zip(world.posted.as_ref()) else {
        return true;
    };
    let store = world.gateway_store.current();
    let now = world.gateways[0].machine.clock.now();
    let due = || to_its_end(store.due_referrals(now, 1)).unwrap();
    let pushed = (0..AUTHORITIES.len()).filter(|place| posted.ways().events[*place]);
    let mut pushed = pushed.map(authority_party);
    (!way.clocks || due().is_empty()) && pushed.all(|party| has_all(&*store, &party))
}

/// Whether everything in a party's feed was pushed, or passed over.
pub fn has_all(store: &dyn GatewayStore, party: &Party) -> bool {
    let id = StreamId::of(party, StreamName::of_pushes());
    let standing = to_its_end(store.stream(&id)).unwrap();
    let next = to_its_end(store.feed(&party.organisation, standing.done, 1)).unwrap();
    standing.beyond.is_empty() && next.is_empty()
}
