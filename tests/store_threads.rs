//! The contract of threads, as tests: events of a referral, who holds it, what they call for, and what an
//! erasure makes of their details. Every implementation runs every case.

mod postgres_support;
mod store_support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ecaf::domain::delivery::State;
use ecaf::domain::party::Organisation;
use ecaf::domain::retention::{Erasure, ErasureReason, KeptBecause, Period};
use ecaf::effects::SystemEntropy;
use ecaf::store::postgres::{Kind, PostgresGateway};
use ecaf::store::sealing::{Place, StoreKind};
use ecaf::store::sqlite::{Settings, SqliteGateway};
use ecaf::store::*;
use store_support::*;
use tokio::task::JoinSet;

/// A gateway's store with both of its contracts.
trait Gateway: GatewayStore + RetentionStore {}
impl<T: GatewayStore + RetentionStore> Gateway for T {}

/// Runs each case on a fresh store of each implementation and re-checks every invariant afterwards.
macro_rules! run_against {
    ([$($module:ident: $open:path;)*] $cases:tt) => {
        $(run_against!(@one $module, $open, $cases);)*
    };
    (@one $module:ident, $open:path, [$($case:ident),* $(,)?]) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                let store = $open(folder.path()).await;
                super::$case(store.clone()).await;
                let report = store.check().await.unwrap();
                assert!(report.is_sound(), "{:#?}", report.problems);
            })*
        }
    };
}

run_against! {
    [
        sqlite: super::on_sqlite;
        postgres: super::on_postgres;
    ]
    [
        an_event_is_stored_whole,
        the_same_event_gets_the_first_record,
        checks_come_in_their_order,
        misuse_stores_nothing,
        concurrent_events_take_one_position_each,
        a_transfer_changes_the_holder,
        an_event_calls_for_deliveries,
        what_is_proposed_again_is_delivered_again,
        log_and_feeds_follow_the_thread,
        what_a_party_took_is_known_by_its_first_time,
        details_are_found_under_their_key,
        a_detail_is_erased_and_its_event_stays,
        an_event_closes_the_case_and_opens_it_again,
        what_is_proposed_of_an_erased_version_is_never_sent,
        the_same_bytes_are_read_while_they_are_kept_anywhere,
        clocks_are_looked_at_when_they_are_due,
        an_event_begins_a_thread,
        an_opening_out_of_form_stores_nothing,
        of_many_openings_one_begins,
        a_thread_without_a_referral_is_erased_like_one,
    ]
}

async fn on_sqlite(folder: &std::path::Path) -> Arc<dyn Gateway> {
    let settings = Settings::owner(folder.join("gateway.db")).or_create();
    let entropy = Arc::new(SystemEntropy::default());
    Arc::new(SqliteGateway::open(&settings, vault(), entropy).unwrap())
}

async fn on_postgres(_: &std::path::Path) -> Arc<dyn Gateway> {
    let server = postgres_support::shared();
    let name = server.database(Kind::Gateway).await;
    let settings = server.settings(&name, postgres_support::GATEWAY);
    let entropy = Arc::new(SystemEntropy::default());
    Arc::new(PostgresGateway::open(&settings, vault(), entropy).await.unwrap())
}

type Store = Arc<dyn Gateway>;

async fn accepted(store: &Store, n: u64) -> Acceptance {
    let a = acceptance(n);
    assert_eq!(store.accept(a.clone()).await, Ok(AcceptOutcome::Committed));
    a
}

/// Appends, and gives the head afterwards.
async fn commit(store: &Store, event: &Append) -> Head {
    assert_eq!(store.append(event.clone()).await, Ok(AppendOutcome::Committed));
    head_after(event)
}

async fn thread(store: &Store, n: u64) -> Thread {
    store.thread(referral_id(n)).await.unwrap().expect("there is such a thread")
}

fn stored(e: &Append) -> StoredEvent {
    let token = |new: &NewToken, position| StoredToken {
        token: new.token.clone(),
        position,
        recorded_at: e.recorded_at,
    };
    let position = e.after.position + 1;
    StoredEvent {
        position,
        recorded_at: e.recorded_at,
        event: token(&e.event, None),
        recorded: token(&e.recorded, Some(position)),
        detail: e.detail.as_ref().map(|d| DetailRow { sha256: d.sha256, erased: None }),
        holder: e.holder,
    }
}

async fn an_event_is_stored_whole(store: Store) {
    let a = accepted(&store, 1).await;
    let before = thread(&store, 1).await;
    assert_eq!((before.head, before.holder), (head_of(&a), a.authority));
    assert!(before.events.is_empty());
    let opened = event(1, "opened", head_of(&a));
    let mut bare = event(1, "a clock is breached", commit(&store, &opened).await);
    bare.detail = None;
    bare.event = new_token(TokenKind::Event, &gateway(), "1 breached", &[]);
    commit(&store, &bare).await;

    let now = thread(&store, 1).await;
    assert_eq!((&now.sender, now.head), (&a.sender, head_after(&bare)));
    assert_eq!(now.events, [stored(&opened), stored(&bare)]);
    assert_eq!((now.versions, now.deliveries), (before.versions, before.deliveries));
    let timeline = store.timeline(a.referral_id).await.unwrap().unwrap();
    assert_eq!((timeline.head, timeline.holder), (now.head, now.holder));
    let kinds: Vec<_> = timeline.tokens.iter().map(|token| (token.kind, token.position)).collect();
    use TokenKind::{Accepted, DispatchNote, Event, Recorded, Submission};
    let first = [(Submission, None), (Accepted, Some(1)), (DispatchNote, None)];
    let then = [(Event, None), (Recorded, Some(2)), (Event, None), (Recorded, Some(3))];
    assert_eq!(kinds, [&first[..], &then[..]].concat());
    assert_eq!(store.head(a.referral_id).await, Ok(Some(now.head)));

    let detail = opened.detail.as_ref().unwrap();
    let found = store.document(a.referral_id, detail.sha256).await;
    assert_eq!(found, Ok(Some(Document::Kept(detail.document.clone()))));
    for new in [&opened.event, &opened.recorded, &bare.event, &bare.recorded] {
        let found = store.token(a.referral_id, new.token.sha256).await.unwrap().unwrap();
        assert_eq!(found.token, new.token);
    }
    for seen in &opened.chains {
        assert!(store.chain(seen.x5t).await.unwrap().is_some());
    }
    // Another referral's id gives nothing of this one.
    let other = accepted(&store, 2).await;
    assert_eq!(store.document(other.referral_id, detail.sha256).await, Ok(None));
    assert_eq!(store.token(other.referral_id, opened.event.token.sha256).await, Ok(None));
    assert_eq!(thread(&store, 2).await.events, []);
    assert_eq!(store.thread(referral_id(3)).await, Ok(None));
}

async fn the_same_event_gets_the_first_record(store: Store) {
    let a = accepted(&store, 1).await;
    let first = event(1, "opened", head_of(&a));
    let head = commit(&store, &first).await;
    let already = Ok(AppendOutcome::Already(Box::new(stored(&first))));
    // Signed again on top of the head of today, or of the one of then.
    let again = again_after(&first, 1, "opened", head);
    assert_ne!(again.recorded, first.recorded);
    assert_eq!(store.append(again).await, already);
    assert_eq!(store.append(first.clone()).await, already);
    let second = event(1, "acknowledged", head);
    commit(&store, &second).await;
    assert_eq!(store.append(first.clone()).await, already);
    // The event is the key: another detail under it changes nothing.
    let mut other = first.clone();
    other.detail = None;
    other.holder = Some(authority(5));
    assert_eq!(store.append(other).await, already);
    let now = thread(&store, 1).await;
    assert_eq!(now.events, [stored(&first), stored(&second)]);
    assert_eq!(now.holder, a.authority);
}

async fn checks_come_in_their_order(store: Store) {
    let nowhere = Head { position: 9, digest: digest("another head") };
    let first = event(1, "opened", nowhere);
    assert_eq!(store.append(first.clone()).await, Ok(AppendOutcome::Unknown));
    let a = accepted(&store, 1).await;
    let head = head_of(&a);
    assert_eq!(store.append(first).await, Ok(AppendOutcome::HeadMoved(head)));
    for stale in [Head { position: 2, ..head }, Head { digest: digest("x"), ..head }] {
        let outcome = store.append(event(1, "opened", stale)).await;
        assert_eq!(outcome, Ok(AppendOutcome::HeadMoved(head)));
    }
    let moved = commit(&store, &event(1, "opened", head)).await;
    let late = store.append(event(1, "acknowledged", head)).await;
    assert_eq!(late, Ok(AppendOutcome::HeadMoved(moved)));
    assert_eq!(thread(&store, 1).await.events.len(), 1);
}

async fn misuse_stores_nothing(store: Store) {
    let spoil: [fn(&mut Append); 8] = [
        |e| e.event.token.kind = TokenKind::Recorded,
        |e| e.recorded.token.kind = TokenKind::Accepted,
        |e| e.deliveries.push(e.deliveries[0].clone()),
        |e| e.chains[0].certificates = Arc::from([]),
        |e| e.event.token.x5t = digest("a chain that nobody has seen"),
        |e| e.recorded.token.crl_digests.push(digest("a list that nobody has seen")),
        |e| e.deliveries[0].note.token.x5t = digest("a chain that nobody has seen"),
        |e| e.after.position = u32::MAX,
    ];
    for (n, spoil) in (0..).zip(spoil) {
        let a = accepted(&store, n).await;
        let mut e = proposal(n, "proposed", authority(9), head_of(&a));
        spoil(&mut e);
        // Sound ones in the same commit are not taken along.
        let neighbour = accepted(&store, 100 + n).await;
        let sound = event(100 + n, "opened", head_of(&neighbour));
        let (bad, good) = tokio::join!(store.append(e), store.append(sound));
        assert_eq!(bad, Err(StoreFault::Misuse), "case {n}");
        assert_eq!(good, Ok(AppendOutcome::Committed));
        let now = thread(&store, n).await;
        assert_eq!((now.head, now.events.len(), now.deliveries.len()), (head_of(&a), 0, 1));
    }
}

/// Each event comes twice, from two tasks at once, and all tasks write to the same few threads.
async fn concurrent_events_take_one_position_each(store: Store) {
    const TASKS: u64 = 16;
    const THREADS: u64 = 3;
    const EACH: u64 = 4;
    for n in 0..THREADS {
        accepted(&store, n).await;
    }
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut answers = Vec::new();
            for step in 0..THREADS * EACH {
                let n = (step + task) % THREADS;
                let what = format!("event {} of pair {}", step / THREADS, task / 2);
                let mut mine = event(n, &what, head_of(&acceptance(n)));
                // The gateways of the two tasks sign records of their own.
                let signed = format!("{what} by task {task}");
                let answer = loop {
                    mine = again_after(&mine, n, &signed, mine.after);
                    match store.append(mine.clone()).await.unwrap() {
                        AppendOutcome::Committed => break (true, stored(&mine)),
                        AppendOutcome::Already(stored) => break (false, *stored),
                        AppendOutcome::HeadMoved(head) => mine.after = head,
                        AppendOutcome::Unknown => panic!("it was accepted"),
                    }
                };
                answers.push((n, mine, answer));
            }
            answers
        });
    }
    let mut told: HashMap<_, Vec<(bool, StoredEvent)>> = HashMap::new();
    let mut details = HashMap::new();
    for (n, mine, answer) in tasks.join_all().await.into_iter().flatten() {
        let key = (n, mine.event.token.sha256);
        told.entry(key).or_default().push(answer);
        details.insert(key, mine.detail.unwrap());
    }
    let events = THREADS * EACH * TASKS / 2;
    assert_eq!(told.len() as u64, events);
    for n in 0..THREADS {
        let now = thread(&store, n).await;
        let positions: Vec<u32> = now.events.iter().map(|event| event.position).collect();
        assert_eq!(positions, (2..=now.head.position).collect::<Vec<_>>());
        assert_eq!(positions.len() as u64, events / THREADS);
        assert_eq!(now.head.digest, now.events.last().unwrap().recorded.token.sha256);
        for event in now.events {
            let key = (n, event.event.token.sha256);
            let both = &told[&key];
            assert_eq!(both.len(), 2);
            assert!(both.iter().all(|(_, told)| *told == event), "told what is stored");
            assert_eq!(both.iter().filter(|(won, _)| *won).count(), 1);
            let detail = &details[&key];
            let found = store.document(referral_id(n), detail.sha256).await.unwrap();
            assert_eq!(found, Some(Document::Kept(detail.document.clone())), "nothing is mixed");
        }
    }
}

async fn a_transfer_changes_the_holder(store: Store) {
    let a = accepted(&store, 1).await;
    let (from, to, last) = (a.authority, authority(7), authority(8));
    let proposed = commit(&store, &proposal(1, "proposed", to, head_of(&a))).await;
    assert_eq!(thread(&store, 1).await.holder, from, "accountable until it is accepted");
    let mut takes = event(1, "transfer accepted", proposed);
    takes.holder = Some(to);
    let taken = commit(&store, &takes).await;
    assert_eq!(thread(&store, 1).await.holder, to);
    // What somebody says later changes it only if it says so.
    let opened = commit(&store, &event(1, "opened", taken)).await;
    let mut second = next_version(1, 2, &a, opened);
    second.authority = from;
    second.deliveries.clear();
    assert_eq!(store.accept(second.clone()).await, Ok(AcceptOutcome::Committed));
    let now = thread(&store, 1).await;
    assert_eq!((now.holder, now.head), (to, head_of(&second)));
    assert_eq!(now.versions.iter().map(|v| v.authority).collect::<Vec<_>>(), [from, from]);
    let timeline = store.timeline(a.referral_id).await.unwrap().unwrap();
    assert_eq!(timeline.holder, to);
    let mut again = event(1, "transfer accepted again", head_of(&second));
    again.holder = Some(last);
    commit(&store, &again).await;
    let now = thread(&store, 1).await;
    assert_eq!(now.holder, last);
    let history: Vec<_> = now.events.iter().filter_map(|e| e.holder).collect();
    assert_eq!(history, [to, last]);
    // Another referral is not touched.
    let other = accepted(&store, 2).await;
    assert_eq!(thread(&store, 2).await.holder, other.authority);
}

async fn lease_one(store: &Store, ms: i64) -> LeasedDelivery {
    let mut leased = store.lease_deliveries(lease_request(at(ms), 1)).await.unwrap();
    leased.pop().expect("one is due")
}

async fn deliver(store: &Store, d: &LeasedDelivery, ms: i64) -> Head {
    let tokens = receipt(d, thread_head(store, d).await, at(ms));
    let head = Head { position: tokens.after.position + 1, digest: tokens.recorded.token.sha256 };
    assert_eq!(store.delivered(d.lease, tokens, at(ms)).await, Ok(Settled::Done));
    head
}

async fn thread_head(store: &Store, d: &LeasedDelivery) -> Head {
    store.head(d.referral_id).await.unwrap().unwrap()
}

async fn an_event_calls_for_deliveries(store: Store) {
    let a = accepted(&store, 1).await;
    let first = lease_one(&store, 1_000).await;
    assert_eq!(first.cause, None);
    let head = deliver(&store, &first, 1_100).await;
    // The newest version goes.
    let mut second = next_version(1, 2, &a, head);
    second.deliveries.clear();
    assert_eq!(store.accept(second.clone()).await, Ok(AcceptOutcome::Committed));
    let to = authority(7);
    let proposed = proposal(1, "proposed", to, head_of(&second));
    let head = commit(&store, &proposed).await;
    let due = proposed.recorded_at;
    assert_eq!(store.next_due(vec![]).await, Ok(Some(due)));
    let ms = due.since(NOON);
    assert!(store.lease_deliveries(lease_request(at(ms - 1), 9)).await.unwrap().is_empty());
    let d = lease_one(&store, ms).await;
    assert_eq!((d.authority, d.purpose.as_str(), d.version), (to, "proposed", 2));
    assert_eq!((&d.document, d.urgency, d.head), (&second.document, second.urgency, head));
    assert_eq!(
        (d.recorded_at, d.note.token.sha256),
        (due, proposed.deliveries[0].note.token.sha256)
    );
    // The proposal goes with it, and everything that proves it.
    let (said, kept) = (d.cause.clone().unwrap(), stored(&proposed));
    assert_eq!((said.event, said.recorded), (kept.event, kept.recorded));
    for seen in [&proposed.event, &proposed.recorded, &second.submission] {
        assert!(d.chains.iter().any(|chain| chain.x5t == seen.token.x5t));
    }
    let leaves: HashSet<_> = d.chains.iter().map(|chain| chain.x5t).collect();
    assert_eq!(leaves.len(), d.chains.len(), "each leaf once");
    let head = deliver(&store, &d, ms + 100).await;
    let now = thread(&store, 1).await;
    assert_eq!(now.head, head);
    let of: Vec<_> = now.deliveries.iter().map(|d| (d.authority, d.called_by, d.state)).collect();
    let by = proposed.after.position + 1;
    assert_eq!(of, [(a.authority, None, State::Delivered), (to, Some(by), State::Delivered)]);
    assert_eq!(store.deliveries(DeliveryFilter::default()).await, Ok(now.deliveries));
    // A receipt between two events is part of the thread, and no event.
    assert_eq!(now.events, [stored(&proposed)]);
    let next = commit(&store, &event(1, "opened", head)).await;
    assert_eq!(next.position, head.position + 1);
}

async fn what_is_proposed_again_is_delivered_again(store: Store) {
    let a = accepted(&store, 1).await;
    let to = authority(7);
    let proposed = proposal(1, "proposed", to, head_of(&a));
    let declined = commit(&store, &event(1, "declined", commit(&store, &proposed).await)).await;
    let again = proposal(1, "proposed again", to, declined);
    let mut both = again.clone();
    both.deliveries.push(NewDelivery {
        authority: authority(8),
        purpose: "case_holding".into(),
        note: new_token(TokenKind::DispatchNote, &gateway(), "1 another", &[]),
    });
    commit(&store, &both).await;
    let now = thread(&store, 1).await;
    let of: BTreeMap<_, _> =
        now.deliveries.iter().map(|d| ((d.authority, d.called_by), d.state)).collect();
    let by = |event: &Append| Some(event.after.position + 1);
    let called = [
        ((a.authority, None), State::Held),
        ((to, by(&proposed)), State::Held),
        ((to, by(&both)), State::Held),
        ((authority(8), by(&both)), State::Held),
    ];
    assert_eq!(of, called.into());
    // The acceptance's own is still one per authority and purpose.
    let mut twice = attempt(9, 0);
    twice.deliveries.push(twice.deliveries[0].clone());
    assert_eq!(store.accept(twice).await, Err(StoreFault::Misuse));
    // Each is worked on by itself.
    let leased = store.lease_deliveries(lease_request(at(60_000), 9)).await.unwrap();
    let causes: HashSet<_> =
        leased.iter().map(|d| d.cause.as_ref().map(|cause| cause.recorded.position)).collect();
    assert_eq!((leased.len(), causes.len()), (4, 3));
    let one = leased.iter().find(|d| d.cause.is_none()).unwrap();
    assert_eq!(store.gave_up(one.lease, "refused", at(60_100)).await, Ok(Settled::Done));
    assert_eq!(store.replay(DeliverySelector::All, at(60_200)).await, Ok(1));
}

async fn log_and_feeds_follow_the_thread(store: Store) {
    let (a, b) = (accepted(&store, 1).await, accepted(&store, 2).await);
    let mut heads = [head_of(&a), head_of(&b)];
    let mut expected: [Vec<_>; 2] =
        [&a, &b].map(|a| vec![a.submission.token.sha256, a.accepted.token.sha256]);
    for round in 0..6 {
        for (n, i) in [(1, 0), (2, 1)] {
            let e = event(n, &format!("event {round}"), heads[i]);
            heads[i] = commit(&store, &e).await;
            expected[i].extend([e.event.token.sha256, e.recorded.token.sha256]);
        }
        if round % 2 == 0 {
            let fence = store.acquire("sequencer", "a".into(), at(round), 9).await;
            store.sequence(&fence.unwrap().unwrap(), 3, at(round)).await.unwrap();
        }
    }
    let fence = store.acquire("sequencer", "a".into(), at(100), 9).await.unwrap().unwrap();
    let done = store.sequence(&fence, 1_000, at(100)).await;
    // Two acceptances of three tokens, twelve events of two.
    assert!(matches!(done, Ok(Sequencing::Done { log_size: 30, .. })), "{done:?}");
    for (a, expected) in [(&a, &expected[0]), (&b, &expected[1])] {
        let feed = store.feed(&a.sender, 0, 100).await.unwrap();
        let own: Vec<_> = feed.iter().map(|entry| entry.token.token.sha256).collect();
        assert_eq!(own, *expected, "the order of the thread");
        assert!(feed.iter().all(|entry| entry.referral_id == a.referral_id));
        let reader = Organisation::Authority(a.authority);
        let feed = store.feed(&reader, 0, 100).await.unwrap();
        assert_eq!(feed.len(), 2 + 12, "submission and note, and every event with its record");
    }
    let log = store.log(0, 100).await.unwrap();
    let digests: HashSet<_> = log.iter().map(|entry| entry.token_sha256).collect();
    assert_eq!((log.len(), digests.len()), (30, 30), "each token once");
}

/// Gives every token its place.
async fn sequence(store: &Store) {
    let fence = store.acquire("sequencer", "a".into(), at(100), 9).await.unwrap().unwrap();
    store.sequence(&fence, 1_000, at(100)).await.unwrap();
}

/// The feed of `party` up to here is done at `ms`; `taken` of it were taken.
async fn take(store: &Store, stream: (&Organisation, &str), all: u64, taken: &[u64], ms: i64) {
    let id = StreamId {
        party: stream.0.clone(),
        person: String::new(),
        name: stream.1.parse().unwrap(),
    };
    let (positions, taken) = ((1..=all).collect(), taken.to_vec());
    let acks = StreamAcks { id, positions, taken, errors: Vec::new(), now: at(ms) };
    assert!(matches!(store.acknowledge(acks).await, Ok(StreamOutcome::Standing(_))));
}

async fn what_a_party_took_is_known_by_its_first_time(store: Store) {
    let a = accepted(&store, 1).await;
    let opened = event(1, "opened", head_of(&a));
    commit(&store, &event(1, "acknowledged", commit(&store, &opened).await)).await;
    sequence(&store).await;
    let reached = async || thread(&store, 1).await.reached;
    let (school, authority) = (&a.sender, &Organisation::Authority(a.authority));
    // Submission, receipt, event, record, event, record.
    take(&store, (school, "mis"), 4, &[1, 2, 4], 7_000).await;
    assert!(reached().await.is_empty(), "the event was passed over, and a record is no event");
    take(&store, (school, "hub"), 3, &[3], 8_000).await;
    let of =
        |position, party: &Organisation, ms| Reached { position, party: party.clone(), at: at(ms) };
    assert_eq!(reached().await, [of(2, school, 8_000)]);
    // Once more, by another system that is later, or earlier by its gateway's clock.
    take(&store, (school, "hub"), 3, &[3], 8_100).await;
    take(&store, (school, "mis"), 6, &[5], 7_900).await;
    take(&store, (school, "old"), 6, &[3, 5], 7_950).await;
    assert_eq!(reached().await, [of(2, school, 8_000), of(3, school, 7_900)]);
    // Another party, in the feed of which the same events have other places.
    take(&store, (authority, "case"), 4, &[3], 9_000).await;
    let all = [of(2, authority, 9_000), of(2, school, 8_000), of(3, school, 7_900)];
    assert_eq!(reached().await, all);
}

const ERASED: Erasure = Erasure { at: NOON, why: ErasureReason::Retention };

fn sha256_of(event: &Append) -> ecaf::domain::ids::Digest {
    event.detail.as_ref().expect("it has a detail").sha256
}

async fn read(store: &Store, event: &Append) -> Document {
    store.document(event.referral_id, sha256_of(event)).await.unwrap().unwrap()
}

/// What lies of a referral, by its place: version or position, and purpose.
async fn wrapped(store: &Store, n: u64) -> BTreeMap<(String, u32), WrappedDocument> {
    let found = store.wrapped_of(referral_id(n)).await.unwrap();
    found.into_iter().map(|d| ((d.place.purpose.clone(), d.place.version), d)).collect()
}

async fn details_are_found_under_their_key(store: Store) {
    let mut expected = Vec::new();
    for n in 0..3 {
        let a = accepted(&store, n).await;
        let opened = event(n, "opened", head_of(&a));
        let mut bare = event(n, "breached", commit(&store, &opened).await);
        bare.detail = None;
        let second = event(n, "acknowledged", commit(&store, &bare).await);
        commit(&store, &second).await;
        expected.push(Place::gateway(a.referral_id, 1, a.payload_sha256));
        expected.push(Place::detail(a.referral_id, 2, sha256_of(&opened)));
        expected.push(Place::detail(a.referral_id, 4, sha256_of(&second)));
    }
    let [used] = store.keys_in_use().await.unwrap()[..] else { panic!("one key") };
    assert_eq!(used.documents, 9);
    let (mut after, mut found): (_, Vec<WrappedDocument>) = (None, Vec::new());
    loop {
        let page = store.wrapped_under(used.key_id, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        assert!(found.last().is_none_or(|before| before.id < page[0].id));
        after = Some(last.id);
        found.extend(page);
    }
    // In the order of their numbers, which is none.
    let order = |place: &Place| expected.iter().position(|one| one == place);
    found.sort_by_key(|d| order(&d.place));
    assert_eq!(found.iter().map(|d| d.place.clone()).collect::<Vec<_>>(), expected);
    let times: Vec<_> = found.iter().map(|d| d.accepted_at).collect();
    assert_eq!(times[3..6], [at(1), at(10_001), at(10_003)], "each in its own period");
    let of_one: Vec<_> = wrapped(&store, 1).await.into_values().collect();
    assert_eq!(of_one, [found[3].clone(), found[4].clone(), found[5].clone()]);
    // Another key, and another document's place.
    let (vault, next) = (vault(), Period::of(NOON).next());
    let d = &found[4];
    let (to, anew) = vault.rewrap(&d.place, d.key_id, &d.wrapped, next).unwrap();
    let change = Rewrap { id: d.id, from: d.wrapped.clone(), to, wrapped: anew };
    assert_eq!(store.rewrap(vec![change]).await, Ok(1));
    let head = head_of(&acceptance(1));
    assert!(read(&store, &event(1, "opened", head)).await.kept().is_some());
    let elsewhere = [
        Place { version: 4, ..d.place.clone() },
        Place { referral_id: referral_id(0), ..d.place.clone() },
        Place { purpose: String::new(), ..d.place.clone() },
        Place { store: StoreKind::Authority, ..d.place.clone() },
    ];
    for place in elsewhere {
        let opened = vault.rewrap(&place, d.key_id, &d.wrapped, next);
        assert_eq!(opened, Err(StoreFault::Corrupt), "{place:?}");
    }
}

async fn a_detail_is_erased_and_its_event_stays(store: Store) {
    let a = accepted(&store, 1).await;
    let opened = event(1, "opened", head_of(&a));
    let second = event(1, "acknowledged", commit(&store, &opened).await);
    commit(&store, &second).await;
    let there = wrapped(&store, 1).await;
    let (first, last) = (&there[&("detail".into(), 2)], &there[&("detail".into(), 3)]);
    let wrong = vec![(first.id, last.wrapped.clone())];
    assert_eq!(store.purge(wrong, ERASED, at(20_000)).await, Ok(0));
    let right = vec![(first.id, first.wrapped.clone())];
    assert_eq!(store.purge(right.clone(), ERASED, at(20_000)).await, Ok(1));
    assert_eq!(store.purge(right, ERASED, at(20_001)).await, Ok(0), "it was done before");
    assert_eq!(read(&store, &opened).await, Document::Erased(ERASED));
    assert!(read(&store, &second).await.kept().is_some());
    let now = thread(&store, 1).await;
    let erased: Vec<_> = now.events.iter().map(|e| e.detail.unwrap().erased).collect();
    assert_eq!(erased, [Some(ERASED), None]);
    assert_eq!(now.events[0].recorded.token, opened.recorded.token);
    // Nothing else of the referral is touched, and nothing is called for any less.
    assert_eq!((now.versions[0].erased, now.deliveries[0].state), (None, State::Held));
    let report = GatewayStore::check(store.as_ref()).await.unwrap();
    assert_eq!((report.documents, report.erased), (2, 1));
    // All of it at once, as a referral is erased.
    let all = wrapped(&store, 1).await.into_values().map(|d| (d.id, d.wrapped)).collect();
    assert_eq!(store.purge(all, ERASED, at(20_002)).await, Ok(2));
    assert_eq!(store.wrapped_of(a.referral_id).await, Ok(vec![]));
    let now = thread(&store, 1).await;
    assert_eq!(
        (now.versions[0].erased, now.events[1].detail.unwrap().erased),
        (Some(ERASED), Some(ERASED))
    );
    assert_eq!(now.deliveries[0].state, State::Undeliverable);
    // It gets the same record, and the thread goes on.
    let again = store.append(again_after(&opened, 1, "opened", now.head)).await.unwrap();
    let AppendOutcome::Already(stored) = again else { panic!("{again:?}") };
    assert_eq!(stored.recorded.token, opened.recorded.token);
    commit(&store, &event(1, "closed", now.head)).await;
}

async fn an_event_closes_the_case_and_opens_it_again(store: Store) {
    let a = accepted(&store, 0).await;
    let d = lease_one(&store, 1_000).await;
    let head = deliver(&store, &d, 1_100).await;
    let facts = async |store: &Store| {
        let there = wrapped(store, 0).await;
        let mut all = there.into_values().map(|d| d.facts);
        let first = all.next().unwrap();
        assert!(all.all(|facts| facts == first), "the same for every document of a referral");
        first
    };
    assert_eq!(facts(&store).await.may_be_erased(), Err(KeptBecause::Open));
    let mut filed = event(0, "filed", head);
    filed.case = Some(CaseChange::Closed);
    let head = commit(&store, &filed).await;
    let now = facts(&store).await;
    assert_eq!((now.closed_at, now.may_be_erased()), (Some(filed.recorded_at), Ok(())));
    let read = event(0, "read", head);
    let head = commit(&store, &read).await;
    assert_eq!(facts(&store).await.may_be_erased(), Ok(()), "not every event opens a case");
    let mut disputed = event(0, "disputed", head);
    disputed.case = Some(CaseChange::Reopened);
    let head = commit(&store, &disputed).await;
    let now = facts(&store).await;
    assert_eq!((now.closed_at, now.may_be_erased()), (None, Err(KeptBecause::Open)));
    // Opening what is open changes nothing; closing what is closed says when it was closed last.
    let mut again = event(0, "disputed again", head);
    again.case = Some(CaseChange::Reopened);
    let head = commit(&store, &again).await;
    assert_eq!(store.close(a.referral_id, at(5)).await, Ok(true));
    let mut last = event(0, "filed again", head);
    last.case = Some(CaseChange::Closed);
    let moved = store.append(Append { after: head_of(&a), ..last.clone() }).await;
    assert_eq!(moved, Ok(AppendOutcome::HeadMoved(head)));
    assert_eq!(facts(&store).await.closed_at, Some(at(5)), "what is not stored closes nothing");
    commit(&store, &last).await;
    assert_eq!(facts(&store).await.closed_at, Some(last.recorded_at));
}

async fn what_is_proposed_of_an_erased_version_is_never_sent(store: Store) {
    let a = accepted(&store, 1).await;
    let to = authority(7);
    let early = proposal(1, "proposed", to, head_of(&a));
    let head = commit(&store, &early).await;
    let version = wrapped(&store, 1).await.remove(&(String::new(), 1)).unwrap();
    let gone = vec![(version.id, version.wrapped)];
    assert_eq!(store.purge(gone, ERASED, at(20_000)).await, Ok(1));
    let late = proposal(1, "proposed again", to, head);
    commit(&store, &late).await;
    let now = thread(&store, 1).await;
    let states: Vec<_> = now.deliveries.iter().map(|d| (d.state, d.reason.clone())).collect();
    let ended = (State::Undeliverable, Some("erased".to_owned()));
    assert_eq!(states, [ended.clone(), ended.clone(), ended]);
    assert_eq!(now.deliveries[2].settled_at, Some(late.recorded_at));
    assert!(store.lease_deliveries(lease_request(at(90_000), 9)).await.unwrap().is_empty());
    assert_eq!(store.replay(DeliverySelector::All, at(90_000)).await, Ok(0));
    assert_eq!(store.next_due(vec![]).await, Ok(None));
}

async fn the_same_bytes_are_read_while_they_are_kept_anywhere(store: Store) {
    let a = accepted(&store, 1).await;
    let first = event(1, "said", head_of(&a));
    let mut second = event(1, "said again", commit(&store, &first).await);
    second.detail = first.detail.clone();
    let mut third = event(1, "said of the document", commit(&store, &second).await);
    third.detail = Some(Detail { sha256: a.payload_sha256, document: a.document.clone() });
    commit(&store, &third).await;
    let there = wrapped(&store, 1).await;
    let purge = async |purpose: &str, number| {
        let d = &there[&(purpose.to_owned(), number)];
        let which = vec![(d.id, d.wrapped.clone())];
        assert_eq!(store.purge(which, ERASED, at(20_000)).await, Ok(1));
    };
    purge("detail", 2).await;
    purge("", 1).await;
    assert!(read(&store, &first).await.kept().is_some());
    assert_eq!(read(&store, &third).await.kept(), Some(&a.document));
    purge("detail", 3).await;
    purge("detail", 4).await;
    assert_eq!(read(&store, &first).await, Document::Erased(ERASED));
    assert_eq!(read(&store, &third).await, Document::Erased(ERASED));
}

async fn clocks_are_looked_at_when_they_are_due(store: Store) {
    // Due a minute after it was accepted at n milliseconds.
    let all = [accepted(&store, 30).await, accepted(&store, 10).await, accepted(&store, 20).await];
    let [a, b, c] = [&all[0], &all[1], &all[2]].map(|a| a.referral_id);
    let due = async |ms, limit| store.due_referrals(at(ms), limit).await.unwrap();
    assert_eq!(due(60_009, 9).await, []);
    assert_eq!(due(60_010, 9).await, [b]);
    assert_eq!(due(60_030, 9).await, [b, c, a], "longest due first");
    assert_eq!(due(60_030, 2).await, [b, c]);
    let head = head_of(&all[1]);
    looked_at(&*store, b, head, Some(at(70_000))).await;
    assert_eq!(due(70_000, 9).await, [c, a, b]);
    // It has moved since it was looked at: it stays due.
    let stale = Head { digest: digest("another head"), ..head };
    looked_at(&*store, b, stale, None).await;
    looked_at(&*store, referral_id(99), head, None).await;
    assert_eq!(due(70_000, 9).await, [c, a, b]);
    looked_at(&*store, c, head_of(&all[2]), None).await;
    assert_eq!(due(i64::from(u32::MAX), 9).await, [a, b], "nothing can change any more");
    // An event says when to look next, and that counts.
    let mut opened = event(10, "opened", head);
    opened.wake_at = Some(at(80_000));
    let head = commit(&store, &opened).await;
    assert_eq!((due(79_999, 9).await, due(80_000, 9).await), (vec![a], vec![a, b]));
    let mut filed = event(10, "filed", head);
    filed.wake_at = None;
    let head = commit(&store, &filed).await;
    assert_eq!(due(90_000, 9).await, [a]);
    // A repetition changes nothing.
    let again = again_after(&opened, 10, "opened", head);
    assert!(matches!(store.append(again).await, Ok(AppendOutcome::Already(_))));
    assert_eq!(due(90_000, 9).await, [a]);
    // A receipt and a new version can start clocks, and never put off what is due before.
    for d in store.lease_deliveries(lease_request(at(60_100), 9)).await.unwrap() {
        deliver(&store, &d, 60_200).await;
    }
    assert_eq!(due(60_199 + 60_000, 9).await, [a]);
    let mut rest = due(60_200 + 60_000, 9).await;
    assert_eq!(rest.remove(0), a);
    rest.sort();
    let mut both = [b, c];
    both.sort();
    assert_eq!(rest, both);
    let first = &all[0];
    let mut second = next_version(30, 2, first, store.head(a).await.unwrap().unwrap());
    second.deliveries.clear();
    second.wake_at = at(500_000);
    assert_eq!(store.accept(second.clone()).await, Ok(AcceptOutcome::Committed));
    assert_eq!(due(60_030, 9).await, [a]);
    looked_at(&*store, a, head_of(&second), None).await;
    let mut third = next_version(30, 3, &second, head_of(&second));
    third.deliveries.clear();
    third.wake_at = at(50_000);
    assert_eq!(store.accept(third).await, Ok(AcceptOutcome::Committed));
    assert_eq!((due(49_999, 9).await, due(50_000, 9).await), (vec![], vec![a]));
}

const BEGUN_BY: &str = "UPDATE referrals SET sender = 'authority/209'
    WHERE ref = (SELECT max(ref) FROM referrals)";

/// What somebody changed who has the database is found, and what it says is named.
async fn check_finds_it(store: &Store, spoil: impl Fn(&str)) {
    for n in 0..2 {
        let a = accepted(store, n).await;
        let opened = event(n, "opened", head_of(&a));
        let second = event(n, "acknowledged", commit(store, &opened).await);
        commit(store, &second).await;
    }
    commit(store, &opening(9, "notice")).await;
    sequence(store).await;
    take(store, (&acceptance(0).sender, "mis"), 3, &[3], 7_000).await;
    let report = GatewayStore::check(store.as_ref()).await.unwrap();
    assert_eq!((report.problems, report.documents, report.erased), (vec![], 7, 0));
    let of = |position: u32| {
        format!(
            "(SELECT document FROM events WHERE position = {position}
              AND ref = (SELECT min(ref) FROM referrals))"
        )
    };
    // The detail of the next event under this one's row, with the key that it was sealed under.
    let moved = format!(
        "UPDATE documents SET body = (SELECT body FROM documents WHERE id = {0}),
             wrapped = (SELECT wrapped FROM documents WHERE id = {0}) WHERE id = {1}",
        of(3),
        of(2)
    );
    let detail = "detail of event 2 of referral row";
    let cases = [
        (&*moved, detail, 1),
        ("UPDATE events SET detail_sha256 = sha256 WHERE position = 2", detail, 2),
        ("UPDATE events SET sha256 = detail_sha256 WHERE position = 3", "has a token or record", 2),
        ("UPDATE referrals SET holder = '209'", "has another holder than its beginning", 3),
        (BEGUN_BY, "does not belong to the author of the event that began it", 1),
        ("UPDATE deliveries SET called_by = 9", "is called for by an event that is not", 2),
        ("UPDATE reached SET party = 'school/900009'", "is no event that its party's feed has", 1),
        ("DELETE FROM events WHERE position = 3", "is in no thread, or twice", 4),
        ("DELETE FROM events WHERE position = 1", "neither one nor an event that began it", 1),
    ];
    for (sql, expected, count) in cases {
        spoil(sql);
        let problems = GatewayStore::check(store.as_ref()).await.unwrap().problems;
        let found = problems.iter().filter(|problem| problem.contains(expected)).count();
        assert_eq!(found, count, "{sql}: {problems:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_finds_changed_events_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = on_sqlite(folder.path()).await;
    let conn = rusqlite::Connection::open(folder.path().join("gateway.db")).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    check_finds_it(&store, |sql| {
        conn.execute(sql, []).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_finds_changed_events_on_postgresql() {
    let server = postgres_support::shared();
    let name = server.database(Kind::Gateway).await;
    let settings = server.settings(&name, postgres_support::GATEWAY);
    let entropy = Arc::new(SystemEntropy::default());
    let store: Store = Arc::new(PostgresGateway::open(&settings, vault(), entropy).await.unwrap());
    check_finds_it(&store, |sql| {
        let sql = format!("SET search_path = ecaf; {sql}");
        tokio::task::block_in_place(|| server.sql(&name, &sql));
    })
    .await;
}

async fn an_event_begins_a_thread(store: Store) {
    let notice = opening(1, "notice");
    let a = acceptance(1);
    let author = Organisation::Authority(a.authority);
    // In a thread that is not there, only what begins one is recorded.
    let stray = Head { position: 1, digest: digest("a head") };
    assert_eq!(store.append(event(1, "notice", stray)).await, Ok(AppendOutcome::Unknown));
    let head = commit(&store, &notice).await;
    assert_eq!(head.position, 1);
    let now = thread(&store, 1).await;
    assert_eq!((&now.sender, now.head, now.holder), (&author, head, a.authority));
    assert_eq!(now.events, [stored(&notice)]);
    assert!(now.versions.is_empty() && now.deliveries.is_empty());
    let timeline = store.timeline(a.referral_id).await.unwrap().unwrap();
    assert_eq!((&timeline.sender, timeline.holder), (&author, a.authority));
    let kinds: Vec<_> = timeline.tokens.iter().map(|token| (token.kind, token.position)).collect();
    assert_eq!(kinds, [(TokenKind::Event, None), (TokenKind::Recorded, Some(1))]);
    assert!(read(&store, &notice).await.kept().is_some());
    for new in [&notice.event, &notice.recorded] {
        assert!(store.token(a.referral_id, new.token.sha256).await.unwrap().is_some());
    }
    assert_eq!(store.due_referrals(at(30_000), 9).await, Ok(vec![a.referral_id]));
    // The same once more, signed anew by us: the first record. Another one: the id is taken.
    let already = Ok(AppendOutcome::Already(Box::new(stored(&notice))));
    let again = again_after(&notice, 1, "notice once more", Head::START);
    assert_eq!(store.append(again).await, already);
    assert_eq!(store.append(opening(1, "other")).await, Ok(AppendOutcome::HeadMoved(head)));
    // No referral takes it, neither its author's nor another's; and none is told of it.
    for (sender, version) in [(&a.sender, 1), (&author, 1), (&a.sender, 2)] {
        let seen = store.look_up(sender, a.referral_id, version).await;
        assert_eq!(seen, Ok(Seen::Foreign));
    }
    let mut own = a.clone();
    own.sender = author.clone();
    for sent in [a.clone(), own, next_version(1, 2, &a, head)] {
        assert_eq!(store.accept(sent).await, Ok(AcceptOutcome::Foreign));
    }
    // Nor does an opening take a referral's.
    let referral = accepted(&store, 2).await;
    let taken = store.append(opening(2, "notice")).await;
    assert_eq!(taken, Ok(AppendOutcome::HeadMoved(head_of(&referral))));
    // It goes on like any other.
    let second = event(1, "a question", head);
    let head = commit(&store, &second).await;
    assert_eq!(store.append(notice.clone()).await, already);
    let now = thread(&store, 1).await;
    assert_eq!((now.events, now.head), (vec![stored(&notice), stored(&second)], head));
    let fence = store.acquire("sequencer", "a".into(), at(1), 9).await.unwrap().unwrap();
    store.sequence(&fence, 100, at(1)).await.unwrap();
    let feed = store.feed(&author, 0, 100).await.unwrap();
    assert_eq!(feed.iter().filter(|entry| entry.referral_id == a.referral_id).count(), 4);
}

async fn an_opening_out_of_form_stores_nothing(store: Store) {
    let spoil: [fn(&mut Append); 7] = [
        |e| e.holder = None,
        |e| e.opener = None,
        |e| e.after.position = 1,
        |e| e.case = Some(CaseChange::Closed),
        |e| e.deliveries = proposal(1, "x", authority(7), e.after).deliveries,
        |e| e.event.token.kind = TokenKind::Submission,
        |e| e.event.token.x5t = digest("a chain that nobody has seen"),
    ];
    for (n, spoil) in (0..).zip(spoil) {
        let mut bad = opening(n, "notice");
        spoil(&mut bad);
        let (bad, good) = tokio::join!(store.append(bad), store.append(opening(100 + n, "notice")));
        assert_eq!(bad, Err(StoreFault::Misuse), "case {n}");
        assert_eq!(good, Ok(AppendOutcome::Committed));
        assert_eq!(store.thread(referral_id(n)).await, Ok(None), "case {n}");
        assert_eq!(store.append(opening(n, "notice")).await, Ok(AppendOutcome::Committed));
    }
}

/// Twins and others at once under one id, and a referral among them: one thread, told alike to all.
async fn of_many_openings_one_begins(store: Store) {
    for n in 0..8 {
        let mut tasks = JoinSet::new();
        for task in 0..6u64 {
            let store = store.clone();
            tasks.spawn(async move {
                let what = format!("notice {}", task / 2);
                let mine =
                    again_after(&opening(n, &what), n, &format!("{what} by {task}"), Head::START);
                (mine.clone(), store.append(mine).await.unwrap())
            });
        }
        let race = {
            let store = store.clone();
            async move { store.accept(acceptance(n)).await }
        };
        let (answers, accepted) = tokio::join!(tasks.join_all(), race);
        let is_referral = accepted == Ok(AcceptOutcome::Committed);
        assert!(is_referral || accepted == Ok(AcceptOutcome::Foreign), "{accepted:?}");
        let now = thread(&store, n).await;
        assert_eq!(now.head.position, 1);
        assert_eq!(
            (now.events.len(), now.versions.len()),
            if is_referral { (0, 1) } else { (1, 0) }
        );
        let committed = answers.iter().filter(|(_, told)| *told == AppendOutcome::Committed);
        assert_eq!(committed.count(), usize::from(!is_referral));
        for (mine, told) in answers {
            match told {
                AppendOutcome::Committed => assert_eq!(now.events, [stored(&mine)]),
                AppendOutcome::Already(stored) => assert_eq!(now.events, [*stored]),
                AppendOutcome::HeadMoved(head) => assert_eq!(head, now.head),
                AppendOutcome::Unknown => panic!("it begins a thread"),
            }
        }
    }
}

async fn a_thread_without_a_referral_is_erased_like_one(store: Store) {
    let notice = opening(1, "notice");
    let mut closed = event(1, "closed", commit(&store, &notice).await);
    closed.case = Some(CaseChange::Closed);
    let [used] = store.keys_in_use().await.unwrap()[..] else { panic!("one key") };
    let [open] = &store.wrapped_under(used.key_id, None, 9).await.unwrap()[..] else {
        panic!("one document")
    };
    assert_eq!(open.place, Place::detail(notice.referral_id, 1, sha256_of(&notice)));
    assert_eq!((open.facts.unsettled, open.facts.closed_at), (0, None));
    assert_eq!(open.facts.may_be_erased(), Err(KeptBecause::Open));
    commit(&store, &closed).await;
    let there = wrapped(&store, 1).await;
    assert_eq!(there.len(), 2);
    for d in there.values() {
        assert_eq!(d.facts.closed_at, Some(closed.recorded_at));
        assert_eq!(d.facts.may_be_erased(), Ok(()), "{:?}", d.place);
    }
    let hold = Hold { referral_id: notice.referral_id, code: "inquiry".into(), placed_at: at(1) };
    assert_eq!(store.hold(hold).await, Ok(true));
    assert!(wrapped(&store, 1).await.values().all(|d| d.facts.holds == 1));
    assert_eq!(store.release_hold(notice.referral_id, "inquiry".into()).await, Ok(true));
    let all = there.into_values().map(|d| (d.id, d.wrapped)).collect();
    assert_eq!(store.purge(all, ERASED, at(20_000)).await, Ok(2));
    assert_eq!(read(&store, &notice).await, Document::Erased(ERASED));
    let now = thread(&store, 1).await;
    assert!(now.events.iter().all(|event| event.detail.unwrap().erased == Some(ERASED)));
    let Ok(AppendOutcome::Already(before)) = store.append(notice.clone()).await else {
        panic!("its record is kept")
    };
    assert_eq!(before.recorded.token, notice.recorded.token);
}
