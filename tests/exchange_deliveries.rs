//! E4: a school hears that an authority still lacks its referral, and that the exchange has given up, each
//! once for each delivery. Real sockets, certificates, stores and delivery; only the clock is the test's.

mod exchange_support;

use std::sync::Arc;

use ecaf::domain::delivery::{RetryPolicy, State};
use ecaf::domain::ids::ReferralId;
use ecaf::domain::party::{DfeCode, Organisation};
use ecaf::domain::time::{HOUR, MINUTE, SECOND};
use ecaf::gateway::deliver::DeliverySettings;
use ecaf::gateway::remind::{self, Stumbled};
use ecaf::party::look::{Event, look};
use ecaf::party::member::Member;
use ecaf::party::words::first_line;
use ecaf::protocol::evidence::unverified_claims;
use ecaf::school::follow::follow;
use ecaf::store::{DeliverySelector, TokenKind};
use exchange_support::inside::{Gateway, eager};
use exchange_support::stage::{MARSH_LANE, Stage, text};
use exchange_support::{Document, HACKNEY, HARINGEY, Sent, eventually, example};

const NOON: &str = "2026-11-23T12:00:00Z";

/// A referral that its authority does not take: nobody is there.
async fn undelivered(stage: &mut Stage, change: impl FnOnce(Document) -> Document) -> Sent {
    let document = change(stage.stream.document(MARSH_LANE, HARINGEY));
    let sent = stage.accepted(document).await;
    stage.attempts(&sent, 1).await;
    sent
}

/// Waits until all clocks that are due have been looked at.
async fn looked(stage: &Stage) {
    eventually("clocks are looked at", async || {
        let due = stage.gateway.exchange.store.due_referrals(stage.clock.now(), 9).await;
        due.unwrap().is_empty().then_some(())
    })
    .await;
}

/// What a party sees said about deliveries.
async fn told(member: &Member, id: ReferralId) -> Vec<Event> {
    let mut events = look(member, id).await.unwrap().events;
    events.retain(|event| event.event.starts_with("delivery_"));
    events
}

async fn kinds(member: &Member, id: ReferralId) -> Vec<(String, String)> {
    let told = told(member, id).await.into_iter();
    told.map(|event| (event.event, event.to.unwrap())).collect()
}

fn kind(kind: &str, to: &str) -> (String, String) {
    (kind.to_owned(), to.to_owned())
}

async fn restarted(stage: Stage, settings: DeliverySettings) -> Stage {
    let Stage { scene, hand, clock, gateway, schools, stream } = stage;
    gateway.stop().await;
    let gateway = Gateway::open(&scene, &clock, settings).await;
    Stage { scene, hand, clock, gateway, schools, stream }
}

/// The kinds of event tokens in an organisation's feed.
async fn feed(stage: &Stage, party: Organisation) -> Vec<String> {
    let mut all = stage.gateway.exchange.store.feed(&party, 0, 200).await.unwrap();
    all.retain(|entry| entry.token.token.kind == TokenKind::Event);
    let name = |jws: &str| {
        let claims = unverified_claims(jws).unwrap();
        claims["events"].as_object().unwrap().keys().next().unwrap().clone()
    };
    all.iter().map(|entry| name(&entry.token.token.jws)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_school_is_told_to_ring_at_its_turn_and_once() {
    let mut stage = Stage::at(NOON.parse().unwrap()).await;
    let sent = undelivered(&mut stage, |document| document).await;
    let (id, begun) = (sent.document.id, stage.clock.now());
    let marsh_lane = stage.schools[MARSH_LANE].party.organisation.clone();
    stage.hand.set(begun.plus(5 * MINUTE - 1));
    looked(&stage).await;
    assert_eq!(kinds(&stage.schools[MARSH_LANE], id).await, []);
    stage.hand.set(begun.plus(5 * MINUTE));
    looked(&stage).await;
    let events = told(&stage.schools[MARSH_LANE], id).await;
    let [delayed] = &events[..] else { panic!("{events:?}") };
    assert_eq!((delayed.event.as_str(), delayed.to.as_deref()), ("delivery_delayed", Some("309")));
    assert_eq!(delayed.since.as_deref(), Some("2026-11-23T12:00:00.000Z"));
    assert!(delayed.unread && delayed.by.ends_with("/gateway/sandbox"), "{delayed:?}");
    let line = first_line(delayed, &events);
    let words =
        "Delivery delayed, by gateway/sandbox, to authority 309, held since Mon 23 Nov 12:00";
    assert!(line.starts_with(words), "{line}");
    // The number of today's directory stands beside it, in the state and not in the token.
    let state = stage.state(&sent).await;
    assert!(text(&state["deliveries"][0]["words"]).contains("Ring"), "{state}");
    let haringey = stage.worker(HARINGEY).await;
    assert_eq!(kinds(&haringey, id).await, [kind("delivery_delayed", "309")]);
    let hackney = stage.worker(HACKNEY).await;
    assert!(look(&hackney, id).await.is_err());

    // Never again: not later, not after a restart, not by another gateway, not once it has arrived.
    for later in [6 * MINUTE, 2 * HOUR] {
        stage.hand.set(begun.plus(later));
        looked(&stage).await;
    }
    stage = restarted(stage, eager()).await;
    for turn in 0..6 {
        stage.hand.set(begun.plus(3 * HOUR + turn * 40 * SECOND));
        let gateway = &stage.gateway.exchange;
        let (mut one, mut two) = (Stumbled::default(), Stumbled::default());
        let looks = tokio::join!(
            remind::look(gateway, "one", &mut one),
            remind::look(gateway, "two", &mut two)
        );
        looks.0.unwrap();
        looks.1.unwrap();
    }
    looked(&stage).await;
    let authority = stage.authority(HARINGEY).await;
    stage.hand.set(begun.plus(4 * HOUR));
    stage.until(&sent, "stored").await;
    stage.hand.set(begun.plus(5 * HOUR));
    looked(&stage).await;
    let school = &stage.schools[MARSH_LANE];
    assert_eq!(kinds(school, id).await, [kind("delivery_delayed", "309")]);
    follow(school, id).await.unwrap().proven.unwrap();
    let code: DfeCode = "309".parse().unwrap();
    for party in [marsh_lane, Organisation::Authority(code)] {
        eventually("it is in the feed", async || {
            let feed = feed(&stage, party.clone()).await;
            let of_it = feed.iter().filter(|event| event.ends_with("/delivery_delayed"));
            (of_it.count() == 1).then_some(())
        })
        .await;
    }
    authority.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_urgent_is_delayed_after_an_hour() {
    let mut stage = Stage::at(NOON.parse().unwrap()).await;
    let mut value = example("a02-address-on-file-is-old");
    assert_eq!(value["urgency"], "U2");
    stage.stream.renew(&mut value);
    let document = Document::of(value, MARSH_LANE, HACKNEY);
    let sent = undelivered(&mut stage, |_| document).await;
    let (id, begun) = (sent.document.id, stage.clock.now());
    for (after, expected) in [(HOUR - 1, vec![]), (HOUR, vec![kind("delivery_delayed", "204")])] {
        stage.hand.set(begun.plus(after));
        looked(&stage).await;
        assert_eq!(kinds(&stage.schools[MARSH_LANE], id).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_told_at_once_and_once() {
    let hasty = || {
        let eager = eager();
        DeliverySettings {
            retry: RetryPolicy { give_up_after_ms: 2 * HOUR, ..eager.retry },
            ..eager
        }
    };
    let mut stage = restarted(Stage::at(NOON.parse().unwrap()).await, hasty()).await;
    let sent = undelivered(&mut stage, |document| document).await;
    let id = sent.document.id;
    stage.hand.advance(10 * MINUTE);
    looked(&stage).await;
    let failed = [kind("delivery_delayed", "309"), kind("delivery_failed", "309")];
    assert_eq!(kinds(&stage.schools[MARSH_LANE], id).await, failed[..1]);
    // Once, and not again where an operator has had it tried once more.
    for _ in 0..2 {
        stage.hand.advance(3 * HOUR);
        stage.until(&sent, "undeliverable").await;
        // Nobody moves the clock: the look is due at once.
        looked(&stage).await;
        assert_eq!(kinds(&stage.schools[MARSH_LANE], id).await, failed);
        stage = restarted(stage, hasty()).await;
        looked(&stage).await;
        assert_eq!(kinds(&stage.schools[MARSH_LANE], id).await, failed);
        let told = told(&stage.schools[MARSH_LANE], id).await;
        assert_eq!(told[1].next_attempt_at, None, "there is none");
        let (store, now) = (&stage.gateway.exchange.store, stage.clock.now());
        assert_eq!(store.replay(DeliverySelector::Referral(id), now).await, Ok(1));
        stage.attempts(&sent, 1).await;
    }
    let _authority = stage.authority(HARINGEY).await;
    stage.hand.advance(SECOND);
    stage.until(&sent, "stored").await;
    assert_eq!(kinds(&stage.schools[MARSH_LANE], id).await, failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_another_authoritys_delivery_only_its_own_parties_hear() {
    let mut stage = Stage::at(NOON.parse().unwrap()).await;
    // The child lives in Hackney and is at school in Haringey, and cannot go home.
    let document = stage.stream.unsafe_at_home(MARSH_LANE, HACKNEY);
    assert_eq!(document.linked, Some(HARINGEY));
    let sent = stage.accepted(document).await;
    let id = sent.document.id;
    stage.hand.advance(5 * MINUTE);
    looked(&stage).await;
    let both = [kind("delivery_delayed", "204"), kind("delivery_delayed", "309")];
    let mut all = kinds(&stage.schools[MARSH_LANE], id).await;
    all.sort();
    assert_eq!(all, both);
    let (holder, linked) = (stage.worker(HACKNEY).await, stage.worker(HARINGEY).await);
    assert_eq!(kinds(&holder, id).await.len(), 2, "the holder sees all deliveries");
    assert_eq!(kinds(&linked, id).await, [kind("delivery_delayed", "309")], "its own alone");
    let linked = Organisation::Authority("309".parse().unwrap());
    let exchange = Arc::clone(&stage.gateway.exchange);
    eventually("all is sequenced", async || {
        let counts = exchange.store.counts(stage.clock.now()).await.unwrap();
        (counts.unsequenced == 0).then_some(())
    })
    .await;
    let feed = feed(&stage, linked).await;
    assert_eq!(feed.iter().filter(|event| event.ends_with("/delivery_delayed")).count(), 1);
    let rows = exchange.store.timeline(id).await.unwrap().unwrap().deliveries;
    assert!(rows.iter().all(|row| row.state != State::Delivered));
}
