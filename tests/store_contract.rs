//! The contract of the stores, as tests. Each case takes a fresh, empty store behind its trait and
//! knows nothing about the implementation; every implementation runs every case.

mod postgres_support;
mod store_support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ecaf::domain::delivery::State;
use ecaf::domain::party::Organisation;
use ecaf::effects::SystemEntropy;
use ecaf::store::sqlite::{Settings, SqliteAuthority, SqliteGateway};
use ecaf::store::*;
use futures_util::FutureExt;
use store_support::*;
use tokio::task::JoinSet;

/// Runs each case on a fresh store of each implementation and re-checks every invariant afterwards.
macro_rules! run_against {
    ([$($module:ident: $open:path, $sound:path;)*] $cases:tt) => {
        $(run_against!(@one $module, $open, $sound, $cases);)*
    };
    (@one $module:ident, $open:path, $sound:path, [$($case:ident),* $(,)?]) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                let store = $open(folder.path()).await;
                super::$case(store.clone()).await;
                $sound(&store).await;
            })*
        }
    };
}

run_against! {
    [
        gateway_sqlite: super::sqlite_gateway, super::assert_sound_gateway;
        gateway_postgres: super::postgres_gateway, super::assert_sound_gateway;
    ]
    [
        a_version_is_stored_whole,
        the_same_submission_gets_the_first_receipt,
        another_document_under_the_key_is_told_apart,
        a_foreign_id_reveals_nothing,
        versions_follow_each_other,
        misuse_stores_nothing,
        of_concurrent_twins_exactly_one_is_committed,
        a_dropped_caller_changes_nothing_about_the_promise,
        the_most_urgent_and_longest_due_come_first,
        no_delivery_is_leased_twice,
        an_authority_that_collects_gets_its_own,
        a_receipt_outranks_a_lease,
        a_leased_delivery_carries_the_stored_bytes,
        a_late_worker_changes_nothing,
        a_receipt_settles_its_delivery_once,
        a_moved_head_keeps_the_lease,
        postponed_given_up_replayed_and_by_hand,
        counts_follow_what_is_open,
        rights_are_fenced,
        the_sequencer_leaves_no_gap,
        a_look_under_way_does_not_take_what_is_given_up_for_seen,
        clocks_are_looked_at_when_they_are_due,
        two_sequencers_never_share_a_place,
        deliveries_are_listed_by_condition,
        a_stream_keeps_what_is_done_and_no_more,
        concurrent_acknowledgements_lose_none,
        a_party_has_so_many_streams,
    ]
}

run_against! {
    [
        authority_sqlite: super::sqlite_authority, super::assert_sound_authority;
        authority_postgres: super::postgres_authority, super::assert_sound_authority;
    ]
    [
        a_dispatch_is_stored_whole,
        the_same_dispatch_gets_the_first_receipt,
        another_document_or_note_is_told_apart,
        references_are_never_given_out_twice,
        a_reference_belongs_to_one_dispatch,
        the_inbox_is_listed_by_condition,
        of_concurrent_dispatches_exactly_one_is_stored,
        a_pushed_token_is_kept_once_and_by_its_referral,
    ]
}

async fn sqlite_gateway(folder: &std::path::Path) -> Arc<dyn GatewayStore> {
    let settings = Settings::owner(folder.join("gateway.db")).or_create();
    Arc::new(SqliteGateway::open(&settings, vault(), Arc::new(SystemEntropy::default())).unwrap())
}

async fn sqlite_authority(folder: &std::path::Path) -> Arc<dyn AuthorityStore> {
    let settings = Settings::owner(folder.join("authority.db")).or_create();
    Arc::new(SqliteAuthority::open(&settings, vault()).unwrap())
}

async fn postgres_gateway(_: &std::path::Path) -> Arc<dyn GatewayStore> {
    postgres_support::shared().gateway(vault()).await.0
}

async fn postgres_authority(_: &std::path::Path) -> Arc<dyn AuthorityStore> {
    postgres_support::shared().authority(vault()).await.0
}

async fn commit(store: &Arc<dyn GatewayStore>, a: &Acceptance) {
    assert_eq!(store.accept(a.clone()).await, Ok(AcceptOutcome::Committed));
}

fn stored(a: &Acceptance) -> StoredAcceptance {
    StoredAcceptance {
        payload_sha256: a.payload_sha256,
        submission_sha256: a.submission.token.sha256,
        accepted: a.accepted.token.jws.clone(),
        authority: a.authority,
        recorded_at: a.recorded_at,
    }
}

async fn a_version_is_stored_whole(store: Arc<dyn GatewayStore>) {
    let a = acceptance(1);
    assert_eq!(store.look_up(&a.sender, a.referral_id, 1).await, Ok(Seen::Never));
    assert_eq!(store.timeline(a.referral_id).await, Ok(None));
    commit(&store, &a).await;
    assert_eq!(store.look_up(&a.sender, a.referral_id, 1).await, Ok(Seen::Stored(stored(&a))));
    assert_eq!(store.head(a.referral_id).await, Ok(Some(head_of(&a))));
    let body = store.document(a.referral_id, a.payload_sha256).await.unwrap();
    let body = body.and_then(|document| document.kept().cloned());
    assert_eq!(body.as_ref(), Some(&a.document));
    for (new, position) in
        [(&a.submission, None), (&a.accepted, Some(1)), (&a.deliveries[0].note, None)]
    {
        let found = store.token(a.referral_id, new.token.sha256).await.unwrap().unwrap();
        assert_eq!(found.token, new.token);
        assert_eq!((found.position, found.recorded_at), (position, a.recorded_at));
    }
    for seen in &a.chains {
        let found = store.chain(seen.x5t).await.unwrap().unwrap();
        assert_eq!(found, seen.certificates.to_vec());
    }
    assert_eq!(store.crl(a.crls[0].sha256).await.unwrap().unwrap(), a.crls[0].der);
    let timeline = store.timeline(a.referral_id).await.unwrap().unwrap();
    assert_eq!((timeline.sender, timeline.head), (a.sender.clone(), head_of(&a)));
    let kinds: Vec<_> = timeline.tokens.iter().map(|token| token.kind).collect();
    assert_eq!(kinds, [TokenKind::Submission, TokenKind::Accepted, TokenKind::DispatchNote]);
    let [version] = &timeline.versions[..] else { panic!("one version") };
    assert_eq!((version.version, version.authority), (1, a.authority));
    assert_eq!(version.submission_sha256, a.submission.token.sha256);
    assert_eq!(version.accepted_sha256, a.accepted.token.sha256);
    let [delivery] = &timeline.deliveries[..] else { panic!("one delivery") };
    assert_eq!((delivery.state, delivery.attempts), (State::Held, 0));
    assert_eq!(delivery.note_sha256, a.deliveries[0].note.token.sha256);
    // Another referral's id gives nothing of this one.
    let other = referral_id(2);
    assert_eq!(store.document(other, a.payload_sha256).await, Ok(None));
    assert_eq!(store.token(other, a.accepted.token.sha256).await, Ok(None));
    assert_eq!(store.chain(digest("none")).await, Ok(None));
}

async fn the_same_submission_gets_the_first_receipt(store: Arc<dyn GatewayStore>) {
    let first = attempt(1, 0);
    commit(&store, &first).await;
    let before = store.timeline(first.referral_id).await;
    let again = attempt(1, 1);
    assert_ne!(again.accepted, first.accepted);
    assert_eq!(store.accept(again).await, Ok(AcceptOutcome::Already(stored(&first))));
    assert_eq!(store.timeline(first.referral_id).await, before);
}

async fn another_document_under_the_key_is_told_apart(store: Arc<dyn GatewayStore>) {
    let first = acceptance(1);
    commit(&store, &first).await;
    let mut other = attempt(1, 1);
    other.document = document(99, 100);
    other.payload_sha256 = ecaf::protocol::hash::sha256(&other.document);
    assert_eq!(store.accept(other).await, Ok(AcceptOutcome::OtherBytes(stored(&first))));
}

async fn a_foreign_id_reveals_nothing(store: Arc<dyn GatewayStore>) {
    let first = acceptance(1);
    commit(&store, &first).await;
    let mut theft = attempt(1, 1);
    theft.sender = school(5);
    for version in [1, 2, 9] {
        let seen = store.look_up(&theft.sender, theft.referral_id, version).await;
        assert_eq!(seen, Ok(Seen::Foreign));
    }
    assert_eq!(store.accept(theft).await, Ok(AcceptOutcome::Foreign));
    // The rightful sender is not disturbed.
    let seen = store.look_up(&first.sender, first.referral_id, 1).await;
    assert_eq!(seen, Ok(Seen::Stored(stored(&first))));
}

async fn versions_follow_each_other(store: Arc<dyn GatewayStore>) {
    let first = acceptance(1);
    let head = head_of(&first);
    let second = next_version(1, 2, &first, head);
    assert_eq!(store.accept(second.clone()).await, Ok(AcceptOutcome::PreviousMismatch));
    commit(&store, &first).await;
    let gap = next_version(1, 3, &first, head);
    assert_eq!(store.accept(gap).await, Ok(AcceptOutcome::PreviousMismatch));
    let mut wrong = second.clone();
    wrong.previous = Some(digest("another version"));
    assert_eq!(store.accept(wrong).await, Ok(AcceptOutcome::PreviousMismatch));
    let mut stale = second.clone();
    stale.after = Some(Head { position: 1, digest: digest("another head") });
    assert_eq!(store.accept(stale).await, Ok(AcceptOutcome::HeadMoved(head)));
    let known = Seen::OtherVersions {
        head,
        latest_version: 1,
        latest_payload_sha256: first.payload_sha256,
    };
    assert_eq!(store.look_up(&first.sender, first.referral_id, 2).await, Ok(known));
    commit(&store, &second).await;
    assert_eq!(store.head(first.referral_id).await, Ok(Some(head_of(&second))));
    assert_eq!(head_of(&second).position, 2);
    // Version 1 still gets its own receipt.
    let outcome = store.accept(attempt(1, 7)).await;
    assert_eq!(outcome, Ok(AcceptOutcome::Already(stored(&first))));
    let timeline = store.timeline(first.referral_id).await.unwrap().unwrap();
    let versions: Vec<u32> = timeline.versions.iter().map(|version| version.version).collect();
    assert_eq!(versions, [1, 2]);
    for a in [&first, &second] {
        let body = store.document(a.referral_id, a.payload_sha256).await.unwrap();
        let body = body.and_then(|document| document.kept().cloned());
        assert_eq!(body.as_ref(), Some(&a.document));
    }
}

async fn misuse_stores_nothing(store: Arc<dyn GatewayStore>) {
    let spoil: [fn(&mut Acceptance); 9] = [
        |a| a.version = 0,
        |a| a.version = 2,
        |a| a.urgency = 4,
        |a| a.previous = Some(digest("x")),
        |a| a.after = Some(Head { position: 1, digest: digest("x") }),
        |a| a.deliveries.push(a.deliveries[0].clone()),
        |a| a.chains[0].certificates = Arc::from([]),
        |a| a.accepted.token.x5t = digest("a chain that nobody has seen"),
        |a| a.submission.token.crl_digests.push(digest("a list that nobody has seen")),
    ];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let mut a = acceptance(n as u64);
        spoil(&mut a);
        // Sound ones in the same commit are not taken along.
        let sound = acceptance(100 + n as u64);
        let (bad, good) = tokio::join!(store.accept(a.clone()), store.accept(sound.clone()));
        assert_eq!(bad, Err(StoreFault::Misuse), "case {n}");
        assert_eq!(good, Ok(AcceptOutcome::Committed));
        assert_eq!(store.look_up(&a.sender, a.referral_id, 1).await, Ok(Seen::Never));
    }
}

async fn of_concurrent_twins_exactly_one_is_committed(store: Arc<dyn GatewayStore>) {
    const TASKS: u64 = 64;
    const REFERRALS: u64 = 40;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut answers = Vec::new();
            // Every task submits a referral of its own and, in another order each, the shared ones.
            commit(&store, &acceptance(10_000 + task)).await;
            for step in 0..REFERRALS {
                let n = (step * 7 + task * 11) % REFERRALS;
                let mine = attempt(n, task);
                let receipt = mine.accepted.token.jws.clone();
                match store.accept(mine).await.unwrap() {
                    AcceptOutcome::Committed => answers.push((n, true, receipt)),
                    AcceptOutcome::Already(stored) => answers.push((n, false, stored.accepted)),
                    other => panic!("{other:?}"),
                }
            }
            answers
        });
    }
    let mut receipts: HashMap<u64, String> = HashMap::new();
    let mut committed: HashMap<u64, u32> = HashMap::new();
    for (n, won, receipt) in tasks.join_all().await.into_iter().flatten() {
        *committed.entry(n).or_default() += u32::from(won);
        assert_eq!(receipts.entry(n).or_insert_with(|| receipt.clone()), &receipt, "referral {n}");
    }
    assert_eq!(committed.len() as u64, REFERRALS);
    assert!(committed.values().all(|&times| times == 1));
    assert_eq!(store.counts(NOON).await.unwrap().held, REFERRALS + TASKS);
    let distinct: HashSet<_> = receipts.values().collect();
    assert_eq!(distinct.len() as u64, REFERRALS, "no receipt belongs to another");
}

async fn a_dropped_caller_changes_nothing_about_the_promise(store: Arc<dyn GatewayStore>) {
    for n in 0..50 {
        let a = acceptance(n);
        // Polled once, so that it is queued, then dropped.
        if let Some(outcome) = store.accept(a.clone()).now_or_never() {
            assert_eq!(outcome, Ok(AcceptOutcome::Committed));
        }
        let again = store.accept(attempt(n, 1)).await.unwrap();
        assert_eq!(again, AcceptOutcome::Already(stored(&a)), "queued operations are carried out");
    }
}

async fn the_most_urgent_and_longest_due_come_first(store: Arc<dyn GatewayStore>) {
    // n is also the time at which it was recorded; urgency is n % 4.
    for n in [11, 3, 8, 0, 5, 1, 4, 9] {
        commit(&store, &acceptance(n)).await;
    }
    assert_eq!(store.next_due(vec![]).await, Ok(Some(at(0))));
    let lease = |limit, excluded| {
        let request = LeaseRequest { excluded, ..lease_request(at(10), limit) };
        let store = store.clone();
        async move {
            let leased = store.lease_deliveries(request).await.unwrap();
            leased.iter().map(|d| d.recorded_at.since(NOON)).collect::<Vec<_>>()
        }
    };
    assert_eq!(lease(3, vec![]).await, [0, 4, 8]);
    // 9 and 3 go to authority 0; 11 is not due yet.
    assert_eq!(lease(10, vec![authority(0)]).await, [1, 5]);
    assert_eq!(store.next_due(vec![authority(0)]).await, Ok(Some(at(11))));
    assert_eq!(lease(10, vec![authority(1), authority(2)]).await, [9, 3]);
    assert_eq!(lease(10, vec![]).await, [0i64; 0]);
}

async fn no_delivery_is_leased_twice(store: Arc<dyn GatewayStore>) {
    for n in 0..60 {
        commit(&store, &acceptance(n)).await;
    }
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        workers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leased = store.lease_deliveries(lease_request(at(1_000), 5)).await.unwrap();
                if leased.is_empty() {
                    return mine;
                }
                mine.extend(leased.into_iter().map(|d| (d.lease.delivery, d.lease.token)));
            }
        });
    }
    let all: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let deliveries: HashSet<_> = all.iter().map(|(id, _)| id).collect();
    let tokens: HashSet<_> = all.iter().map(|(_, token)| token).collect();
    assert_eq!((all.len(), deliveries.len(), tokens.len()), (60, 60, 60));
}

async fn a_leased_delivery_carries_the_stored_bytes(store: Arc<dyn GatewayStore>) {
    let a = acceptance(1);
    commit(&store, &a).await;
    let leased = store.lease_deliveries(lease_request(at(500), 10)).await.unwrap();
    let [d] = &leased[..] else { panic!("one delivery") };
    assert_eq!(d.document, a.document);
    assert_eq!(d.payload_sha256, a.payload_sha256);
    assert_eq!(d.submission.token, a.submission.token);
    assert_eq!(d.accepted.token, a.accepted.token);
    assert_eq!(d.note.token, a.deliveries[0].note.token);
    assert_eq!((&d.sender, d.referral_id, d.version), (&a.sender, a.referral_id, 1));
    assert_eq!((d.authority, d.purpose.as_str(), d.urgency), (a.authority, "accountable", 1));
    assert_eq!((d.head, d.recorded_at, d.first_tried_at), (head_of(&a), a.recorded_at, at(500)));
    let x5ts: Vec<_> = d.chains.iter().map(|chain| chain.x5t).collect();
    assert_eq!(x5ts, [a.submission.token.x5t, a.accepted.token.x5t]);
    assert_eq!(d.chains[0], chain(&a.sender));
    assert_eq!((d.lease.attempt, d.lease.expires_at), (1, at(30_500)));
}

async fn lease_one(store: &Arc<dyn GatewayStore>, ms: i64) -> LeasedDelivery {
    let mut leased = store.lease_deliveries(lease_request(at(ms), 1)).await.unwrap();
    leased.pop().expect("one is due")
}

async fn a_late_worker_changes_nothing(store: Arc<dyn GatewayStore>) {
    let a = acceptance(1);
    commit(&store, &a).await;
    let late = lease_one(&store, 1_000).await;
    let end = late.lease.expires_at;
    let tokens = receipt(&late, late.head, end);
    // Void from the very instant at which it ends, also while nobody else has it.
    assert_eq!(store.delivered(late.lease, tokens.clone(), end).await, Ok(Settled::LeaseLost));
    let taken = lease_one(&store, 31_000).await;
    assert_eq!((taken.lease.attempt, taken.first_tried_at), (2, at(1_000)));
    let before = store.timeline(a.referral_id).await;
    // Even if its clock is behind.
    let (then, later) = (at(2_000), at(90_000));
    assert_eq!(store.delivered(late.lease, tokens, then).await, Ok(Settled::LeaseLost));
    assert_eq!(store.postponed(late.lease, later, "late", then).await, Ok(Settled::LeaseLost));
    assert_eq!(store.gave_up(late.lease, "late", then).await, Ok(Settled::LeaseLost));
    assert_eq!(store.timeline(a.referral_id).await, before);
    for forged in [
        Lease { token: [0; 16], ..taken.lease },
        Lease { attempt: 1, ..taken.lease },
        Lease { expires_at: at(99_000), ..taken.lease },
        Lease { delivery: DeliveryId(taken.lease.delivery.0 + 1), ..taken.lease },
    ] {
        assert_eq!(store.gave_up(forged, "late", then).await, Ok(Settled::LeaseLost));
    }
    let tokens = receipt(&taken, taken.head, at(31_500));
    assert_eq!(store.delivered(taken.lease, tokens, at(31_500)).await, Ok(Settled::Done));
    assert_eq!(store.gave_up(late.lease, "late", then).await, Ok(Settled::AlreadyDone));
}

async fn a_receipt_settles_its_delivery_once(store: Arc<dyn GatewayStore>) {
    let a = acceptance(1);
    commit(&store, &a).await;
    let d = lease_one(&store, 1_000).await;
    let tokens = receipt(&d, d.head, at(1_200));
    assert_eq!(store.delivered(d.lease, tokens.clone(), at(1_250)).await, Ok(Settled::Done));
    let again = store.delivered(d.lease, tokens.clone(), at(1_250)).await;
    assert_eq!(again, Ok(Settled::AlreadyDone));
    let timeline = store.timeline(a.referral_id).await.unwrap().unwrap();
    assert_eq!(timeline.head, Head { position: 2, digest: tokens.recorded.token.sha256 });
    assert_eq!(timeline.tokens.len(), 5);
    let row = &timeline.deliveries[0];
    assert_eq!((row.state, row.attempts, row.due_at), (State::Delivered, 1, None));
    assert_eq!(row.delivered_sha256, Some(tokens.delivered.token.sha256));
    assert_eq!(row.settled_at, Some(at(1_250)));
    let kept = store.token(a.referral_id, tokens.delivered.token.sha256).await.unwrap().unwrap();
    assert_eq!((kept.token, kept.recorded_at), (tokens.delivered.token, at(1_200)));
    let author = Organisation::Authority(a.authority);
    assert!(store.chain(chain(&author).x5t).await.unwrap().is_some());
    assert_eq!(store.next_due(vec![]).await, Ok(None));
    assert_eq!(store.replay(DeliverySelector::All, at(2_000)).await, Ok(0));
}

async fn an_authority_that_collects_gets_its_own(store: Arc<dyn GatewayStore>) {
    // n is also the time at which it was recorded; 9, 3 and 12 go to authority 0, urgency is n % 4.
    for n in [11, 3, 8, 12, 5, 1, 4, 9] {
        commit(&store, &acceptance(n)).await;
    }
    assert_eq!(store.next_due_of(authority(0)).await, Ok(Some(at(3))));
    let only = |now, limit| LeaseRequest {
        only: Some(authority(0)),
        // Whoever collects is left alone by those who bring.
        excluded: vec![authority(0)],
        ..lease_request(at(now), limit)
    };
    let times = async |request| {
        let leased = store.lease_deliveries(request).await.unwrap();
        leased.iter().map(|d| d.recorded_at.since(NOON)).collect::<Vec<_>>()
    };
    assert_eq!(times(only(10, 1)).await, [9], "the most urgent of those due");
    assert_eq!(times(only(10, 8)).await, [3]);
    assert_eq!(times(only(10, 8)).await, [0i64; 0], "leased, or not due");
    assert_eq!(store.next_due_of(authority(0)).await, Ok(Some(at(12))));
    assert_eq!(times(only(12, 8)).await, [12]);
    let mut bringing = lease_request(at(20), 9);
    bringing.excluded = vec![authority(0)];
    assert_eq!(times(bringing).await, [4, 8, 1, 5, 11], "the others' are still there");
    assert_eq!(store.next_due_of(authority(99)).await, Ok(None));
    // What two collectors at once get is not shared, as with workers.
    let later = 40_000;
    let (one, two) = tokio::join!(times(only(later, 2)), times(only(later, 2)));
    let mut all = [one, two].concat();
    all.sort_unstable();
    assert_eq!(all, [3, 9, 12], "each lease ran out, and each is leased once");
}

async fn a_receipt_outranks_a_lease(store: Arc<dyn GatewayStore>) {
    let a = acceptance(1);
    commit(&store, &a).await;
    let mine = lease_one(&store, 1_000).await;
    let again = |id, now| store.lease_again(id, "london-2".into(), at(now), 30_000);
    // While another has it, after it ran out, and after it was given up.
    let taken = again(mine.lease.delivery, 2_000).await.unwrap().unwrap();
    assert_eq!((taken.lease.attempt, taken.lease.expires_at), (1, at(32_000)), "no attempt");
    assert_eq!((taken.first_tried_at, &taken.document), (at(1_000), &a.document));
    let late = receipt(&mine, mine.head, at(2_100));
    assert_eq!(store.delivered(mine.lease, late, at(2_100)).await, Ok(Settled::LeaseLost));
    assert_eq!(store.gave_up(taken.lease, "refused", at(2_200)).await, Ok(Settled::Done));
    let taken = again(taken.lease.delivery, 90_000).await.unwrap().unwrap();
    let tokens = receipt(&taken, taken.head, at(90_100));
    assert_eq!(store.delivered(taken.lease, tokens, at(90_100)).await, Ok(Settled::Done));
    assert!(again(taken.lease.delivery, 91_000).await.unwrap().is_none(), "it is settled");
    assert!(again(DeliveryId(999_999), 91_000).await.unwrap().is_none(), "there is none");
    // One that nobody tried yet, and one that is by hand.
    commit(&store, &acceptance(2)).await;
    let second = store.timeline(referral_id(2)).await.unwrap().unwrap().deliveries.remove(0).id;
    let taken = again(second, 92_000).await.unwrap().unwrap();
    assert_eq!((taken.lease.attempt, taken.first_tried_at), (1, at(92_000)));
    assert_eq!(store.gave_up(taken.lease, "refused", at(92_100)).await, Ok(Settled::Done));
    assert_eq!(store.by_hand(second, at(92_200)).await, Ok(true));
    assert!(again(second, 93_000).await.unwrap().is_none());
    assert_eq!(
        store.lease_again(second, String::new(), at(1), 0).await.err(),
        Some(StoreFault::Misuse)
    );
}

async fn a_moved_head_keeps_the_lease(store: Arc<dyn GatewayStore>) {
    let first = acceptance(1);
    commit(&store, &first).await;
    let d = lease_one(&store, 1_000).await;
    let second = next_version(1, 2, &first, d.head);
    commit(&store, &second).await;
    let stale = receipt(&d, d.head, at(1_100));
    let moved = store.delivered(d.lease, stale, at(1_100)).await.unwrap();
    assert_eq!(moved, Settled::HeadMoved(head_of(&second)));
    let again = receipt(&d, head_of(&second), at(1_100));
    assert_eq!(store.delivered(d.lease, again, at(1_100)).await, Ok(Settled::Done));
    assert_eq!(store.head(first.referral_id).await.unwrap().unwrap().position, 3);
}

async fn postponed_given_up_replayed_and_by_hand(store: Arc<dyn GatewayStore>) {
    let a = acceptance(1);
    commit(&store, &a).await;
    let row = |store: Arc<dyn GatewayStore>| async move {
        store.timeline(referral_id(1)).await.unwrap().unwrap().deliveries.remove(0)
    };
    let d = lease_one(&store, 1_000).await;
    let settled = store.postponed(d.lease, at(5_000), "timeout", at(1_500)).await;
    assert_eq!(settled, Ok(Settled::Done));
    let held = row(store.clone()).await;
    assert_eq!((held.state, held.due_at), (State::Held, Some(at(5_000))));
    assert_eq!(held.reason.as_deref(), Some("timeout"));
    assert_eq!(store.next_due(vec![]).await, Ok(Some(at(5_000))));
    assert!(store.lease_deliveries(lease_request(at(4_999), 9)).await.unwrap().is_empty());
    let d = lease_one(&store, 5_000).await;
    assert_eq!(d.lease.attempt, 2);
    assert_eq!(store.gave_up(d.lease, "refused", at(5_500)).await, Ok(Settled::Done));
    assert_eq!(store.due_referrals(at(5_500), 9).await, Ok(vec![referral_id(1)]), "to be told");
    let gone = row(store.clone()).await;
    assert_eq!((gone.state, gone.settled_at), (State::Undeliverable, Some(at(5_500))));
    assert!(store.lease_deliveries(lease_request(at(1_000_000), 9)).await.unwrap().is_empty());
    // Only what the operator means.
    for (selector, count) in [
        (DeliverySelector::One(DeliveryId(gone.id.0 + 1)), 0),
        (DeliverySelector::Referral(referral_id(2)), 0),
        (DeliverySelector::Authority(authority(0)), 0),
        (DeliverySelector::Referral(referral_id(1)), 1),
    ] {
        assert_eq!(store.replay(selector, at(9_000)).await, Ok(count), "{selector:?}");
    }
    let d = lease_one(&store, 9_000).await;
    assert_eq!((d.lease.attempt, d.first_tried_at), (1, at(9_000)), "counted from none");
    assert_eq!(store.by_hand(d.lease.delivery, at(9_100)).await, Ok(false), "being tried");
    assert_eq!(store.gave_up(d.lease, "refused", at(9_200)).await, Ok(Settled::Done));
    assert_eq!(store.by_hand(d.lease.delivery, at(9_300)).await, Ok(true));
    assert_eq!(row(store.clone()).await.state, State::ByHand);
    assert_eq!(store.replay(DeliverySelector::All, at(9_400)).await, Ok(0));
}

async fn counts_follow_what_is_open(store: Arc<dyn GatewayStore>) {
    assert_eq!(store.counts(NOON).await, Ok(Counts::default()));
    for n in 0..4 {
        commit(&store, &acceptance(n)).await;
    }
    let d = lease_one(&store, 1_000).await;
    let expected = Counts {
        held: 3,
        leased: 1,
        oldest_open: Some(at(0)),
        unsequenced: 12,
        ..Counts::default()
    };
    assert_eq!(store.counts(at(1_000)).await, Ok(expected));
    // Recorded at 0, 1, 2, 3 ms: after five minutes and one millisecond, two are delayed.
    assert_eq!(store.counts(at(300_001)).await.unwrap().delayed, 2);
    store.gave_up(d.lease, "refused", at(1_100)).await.unwrap();
    let counts = store.counts(at(300_001)).await.unwrap();
    assert_eq!((counts.held, counts.leased, counts.undeliverable), (3, 0, 1));
    assert_eq!((counts.delayed, counts.oldest_open), (1, Some(at(1))));
    store.probe_writable(at(1)).await.unwrap();
    store.probe_writable(at(2)).await.unwrap();
}

async fn clocks_are_looked_at_when_they_are_due(store: Arc<dyn GatewayStore>) {
    for n in 0..4 {
        assert_eq!(store.accept(acceptance(n)).await.unwrap(), AcceptOutcome::Committed);
    }
    // Each is to be looked at a minute after its own time.
    assert!(store.due_referrals(at(59_999), 10).await.unwrap().is_empty());
    // Every thread once, page by page, in the order of the ids.
    let all = store.threads(None, 1_000).await.unwrap();
    assert!(!all.is_empty() && all.is_sorted());
    let (mut paged, mut after) = (Vec::new(), None);
    while let [id] = store.threads(after, 1).await.unwrap()[..] {
        paged.push(id);
        after = Some(id);
    }
    assert_eq!(paged, all);
    let due = store.due_referrals(at(60_001), 10).await.unwrap();
    assert_eq!(due, [referral_id(0), referral_id(1)], "longest due first");
    assert_eq!(store.due_referrals(at(60_001), 10).await.unwrap(), due, "until it is looked at");
    assert_eq!(store.due_referrals(at(90_000), 3).await.unwrap().len(), 3);

    let head = store.head(referral_id(0)).await.unwrap().unwrap();
    looked_at(&*store, referral_id(0), head, Some(at(80_000))).await;
    looked_at(&*store, referral_id(2), Head { position: 2, ..head }, None).await;
    looked_at(&*store, referral_id(3), store.head(referral_id(3)).await.unwrap().unwrap(), None)
        .await;
    let due = store.due_referrals(at(90_000), 10).await.unwrap();
    assert_eq!(due, [referral_id(1), referral_id(2), referral_id(0)], "not with another head");

    // An event says itself when.
    let mut event = event(0, "asked", head);
    event.wake_at = Some(at(70_000));
    assert_eq!(store.append(event).await.unwrap(), AppendOutcome::Committed);
    looked_at(&*store, referral_id(0), head, None).await;
    let due = store.due_referrals(at(75_000), 10).await.unwrap();
    assert_eq!(
        due,
        [referral_id(1), referral_id(2), referral_id(0)],
        "the old look comes too late"
    );
}

async fn a_look_under_way_does_not_take_what_is_given_up_for_seen(store: Arc<dyn GatewayStore>) {
    commit(&store, &acceptance(1)).await;
    let d = lease_one(&store, 1_000).await;
    let id = referral_id(1);
    // Whether the look was due before, at that very moment, or never again.
    for seen in [Some(at(90_000)), Some(at(2_000)), Some(at(1_999)), None] {
        looked_at(&*store, id, d.head, seen).await;
        let begun = store.thread(id).await.unwrap().unwrap();
        assert_eq!(begun.wake_at, seen);
        let lease = match begun.deliveries[0].state {
            State::Leased => d.lease,
            _ => {
                store.replay(DeliverySelector::All, at(1_500)).await.unwrap();
                lease_one(&store, 1_600).await.lease
            }
        };
        assert!(!store.due_referrals(at(1_900), 9).await.unwrap().contains(&id));
        assert_eq!(store.gave_up(lease, "refused", at(2_000)).await, Ok(Settled::Done));
        // It has not seen that, whatever else it found.
        store.looked_at(id, (begun.head, begun.wake_at), None).await.unwrap();
        assert_eq!(store.due_referrals(at(2_000), 9).await, Ok(vec![id]), "{seen:?}");
    }
    let next = store.thread(id).await.unwrap().unwrap();
    store.looked_at(id, (next.head, next.wake_at), None).await.unwrap();
    assert_eq!(store.due_referrals(at(i64::from(u32::MAX)), 9).await, Ok(vec![]));
}

async fn rights_are_fenced(store: Arc<dyn GatewayStore>) {
    let acquire = |holder: &str, ms, ttl| store.acquire("sequencer", holder.into(), at(ms), ttl);
    let first = acquire("a", 0, 100).await.unwrap().unwrap();
    assert_eq!((first.epoch, first.expires_at), (1, at(100)));
    assert_eq!(acquire("b", 99, 100).await, Ok(None));
    let renewed = acquire("a", 50, 100).await.unwrap().unwrap();
    assert_eq!((renewed.epoch, renewed.expires_at), (1, at(150)));
    assert_eq!(acquire("b", 149, 100).await, Ok(None));
    let taken = acquire("b", 150, 100).await.unwrap().unwrap();
    assert_eq!(taken.epoch, 2);
    assert_eq!(store.sequence(&renewed, 10, at(160)).await, Ok(Sequencing::FenceLost));
    // The former holder gives back what is no longer its own: no effect.
    store.release(renewed).await.unwrap();
    assert_eq!(acquire("a", 160, 100).await, Ok(None));
    let own_but_late = acquire("b", 250, 100).await.unwrap().unwrap();
    assert_eq!(own_but_late.epoch, 3, "late renewal is a new holding");
    assert_eq!(store.sequence(&own_but_late, 10, at(350)).await, Ok(Sequencing::FenceLost));
    store.release(own_but_late).await.unwrap();
    assert_eq!(acquire("a", 251, 100).await.unwrap().unwrap().epoch, 4);
    assert!(store.acquire("other", "b".into(), at(0), 1).await.unwrap().is_some());
    assert_eq!(acquire("a", 0, 0).await, Err(StoreFault::Misuse));
    // Given by a clock that is far ahead: whoever gave it may be gone, and nobody waits for that time to come.
    let ahead = acquire("a", 1_000_000, 100).await.unwrap().unwrap();
    let taken = acquire("b", 500, 100).await.unwrap().unwrap();
    assert_eq!((taken.epoch, taken.expires_at), (ahead.epoch + 1, at(600)));
    assert_eq!(store.sequence(&ahead, 10, at(510)).await, Ok(Sequencing::FenceLost));
    assert_eq!(acquire("a", 400, 100).await, Ok(None), "a clock that is a little behind");
}

async fn the_sequencer_leaves_no_gap(store: Arc<dyn GatewayStore>) {
    for n in 0..10 {
        commit(&store, &acceptance(n)).await;
    }
    let d = lease_one(&store, 1_000).await;
    store.delivered(d.lease, receipt(&d, d.head, at(1_100)), at(1_100)).await.unwrap();
    let fence = store.acquire("sequencer", "a".into(), NOON, 1_000).await.unwrap().unwrap();
    let done = |count, log_size| Ok(Sequencing::Done { count, log_size });
    assert_eq!(store.sequence(&fence, 20, NOON).await, done(20, 20));
    assert_eq!(store.sequence(&fence, 20, NOON).await, done(12, 32));
    assert_eq!(store.sequence(&fence, 20, NOON).await, done(0, 32));
    let log = store.log(0, 100).await.unwrap();
    let indexes: Vec<u64> = log.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (0..32).collect::<Vec<u64>>());
    assert_eq!(store.log(30, 100).await.unwrap(), log[30..]);
    let digests: HashSet<_> = log.iter().map(|entry| entry.token_sha256).collect();
    assert_eq!(digests.len(), 32, "each token once");
    let feed = store.feed(&d.sender, 0, 100).await.unwrap();
    let positions: Vec<u64> = feed.iter().map(|entry| entry.position).collect();
    assert_eq!(positions, (1..=feed.len() as u64).collect::<Vec<_>>());
    let own: Vec<_> = feed.iter().filter(|entry| entry.referral_id == d.referral_id).collect();
    let kinds: Vec<_> = own.iter().map(|entry| entry.token.token.kind).collect();
    use TokenKind::{Accepted, Delivered, Recorded, Submission};
    assert_eq!(kinds, [Submission, Accepted, Delivered, Recorded], "in the order of storing");
    assert_eq!(store.feed(&d.sender, 2, 100).await.unwrap(), feed[2..]);
    assert!(store.feed(&school(6_000), 0, 100).await.unwrap().is_empty());
    assert_eq!(store.counts(NOON).await.unwrap().log_size, 32);
}

async fn two_sequencers_never_share_a_place(store: Arc<dyn GatewayStore>) {
    let mut tasks = JoinSet::new();
    for holder in ["a", "b"] {
        let store = store.clone();
        tasks.spawn(async move {
            // Their clocks race, so that the right changes hands all the time.
            for ms in 0..200 {
                let right = store.acquire("sequencer", holder.into(), at(ms), 3).await.unwrap();
                if let Some(fence) = right {
                    store.sequence(&fence, 7, at(ms)).await.unwrap();
                }
            }
        });
    }
    for n in 0..100 {
        commit(&store, &acceptance(n)).await;
    }
    tasks.join_all().await;
    let fence = store.acquire("sequencer", "c".into(), at(1_000), 9).await.unwrap().unwrap();
    let last = store.sequence(&fence, 10_000, at(1_000)).await.unwrap();
    assert!(matches!(last, Sequencing::Done { log_size: 300, .. }), "{last:?}");
}

async fn deliveries_are_listed_by_condition(store: Arc<dyn GatewayStore>) {
    for n in 0..12 {
        commit(&store, &acceptance(n)).await;
    }
    let d = lease_one(&store, 1_000).await;
    store.gave_up(d.lease, "refused", at(1_100)).await.unwrap();
    let list = |filter| store.deliveries(filter);
    let all = list(DeliveryFilter::default()).await.unwrap();
    assert_eq!(all.len(), 12);
    let stuck = DeliveryFilter { state: Some(State::Undeliverable), ..Default::default() };
    let found = list(stuck).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].referral_id), (d.lease.delivery, d.referral_id));
    let to = DeliveryFilter { authority: Some(authority(1)), ..Default::default() };
    let found = list(to).await.unwrap();
    assert!(found.len() == 4 && found.iter().all(|row| row.authority == authority(1)));
    let held = DeliveryFilter { state: Some(State::Held), limit: 5, ..Default::default() };
    let page = list(held).await.unwrap();
    assert_eq!(page.len(), 5);
    let rest = list(DeliveryFilter { after: Some(page[4].id), limit: 0, ..held }).await.unwrap();
    assert_eq!(rest.len(), 6);
    let one = DeliveryFilter { referral_id: Some(referral_id(3)), ..Default::default() };
    assert_eq!(list(one).await.unwrap().len(), 1);
}

/// A feed of twenty tokens, and a stream of it.
async fn fed(store: &Arc<dyn GatewayStore>) -> StreamId {
    let mut party = None;
    for version in 0..10_u64 {
        let mut a = acceptance(version);
        let sender = party.get_or_insert_with(|| a.sender.clone()).clone();
        a.accepted.audience = vec![sender.clone()];
        a.submission.audience = vec![sender];
        commit(store, &a).await;
    }
    let fence = store.acquire("sequencer", "a".into(), NOON, 1_000).await.unwrap().unwrap();
    store.sequence(&fence, 1_000, NOON).await.unwrap();
    let party = party.unwrap();
    assert_eq!(store.feed(&party, 0, 100).await.unwrap().len(), 20);
    StreamId { party, person: String::new(), name: StreamName::default() }
}

fn acks(id: &StreamId, positions: &[u64]) -> StreamAcks {
    let (id, positions) = (id.clone(), positions.to_vec());
    StreamAcks { id, taken: positions.clone(), positions, errors: Vec::new(), now: NOON }
}

fn stands(done: u64, beyond: &[u64]) -> StreamStanding {
    StreamStanding { done, beyond: beyond.iter().copied().collect() }
}

async fn a_stream_keeps_what_is_done_and_no_more(store: Arc<dyn GatewayStore>) {
    let id = fed(&store).await;
    assert_eq!(store.stream(&id).await, Ok(stands(0, &[])));
    let told = |positions: &[u64]| store.acknowledge(acks(&id, positions));
    let expect = |done, beyond: &[u64]| Ok(StreamOutcome::Standing(stands(done, beyond)));
    assert_eq!(told(&[3, 5]).await, expect(0, &[3, 5]));
    assert_eq!(told(&[3]).await, expect(0, &[3, 5]), "again changes nothing");
    assert_eq!(told(&[1]).await, expect(1, &[3, 5]));
    assert_eq!(told(&[2, 20]).await, expect(3, &[5, 20]));
    assert_eq!(store.stream(&id).await, Ok(stands(3, &[5, 20])));
    assert_eq!(told(&[1, 2, 3]).await, expect(3, &[5, 20]), "what was done long ago");
    for misuse in [0, 3 + STREAM_WINDOW + 1] {
        assert_eq!(told(&[4, misuse]).await, Err(StoreFault::Misuse));
    }
    assert_eq!(store.stream(&id).await, Ok(stands(3, &[5, 20])), "nothing of it");
    // What a reader could not take is done too, and said once.
    let error = (4, "invalid_key".parse().unwrap());
    let wrong = StreamAcks { errors: vec![error], ..acks(&id, &[4]) };
    assert_eq!(store.acknowledge(wrong.clone()).await, expect(5, &[20]));
    assert_eq!(store.acknowledge(wrong).await, expect(5, &[20]));
    // Other streams of the party, and a person's, stand where they stand.
    let other = StreamId { name: "mis".parse().unwrap(), ..id.clone() };
    let person = StreamId { person: "w7".into(), ..id.clone() };
    for id in [&other, &person] {
        assert_eq!(store.stream(id).await, Ok(stands(0, &[])));
        let done = store.acknowledge(acks(id, &[1, 2])).await;
        assert_eq!(done, Ok(StreamOutcome::Standing(stands(2, &[]))));
    }
    assert_eq!(store.stream(&id).await, Ok(stands(5, &[20])));
}

async fn concurrent_acknowledgements_lose_none(store: Arc<dyn GatewayStore>) {
    let id = fed(&store).await;
    let mut tasks = JoinSet::new();
    for position in 1..=20 {
        let (store, acks) = (store.clone(), acks(&id, &[position]));
        tasks.spawn(async move { store.acknowledge(acks).await });
    }
    for outcome in tasks.join_all().await {
        assert!(matches!(outcome, Ok(StreamOutcome::Standing(_))), "{outcome:?}");
    }
    assert_eq!(store.stream(&id).await, Ok(stands(20, &[])));
}

async fn a_party_has_so_many_streams(store: Arc<dyn GatewayStore>) {
    let id = fed(&store).await;
    let named = |n: i64| StreamId { name: format!("s{n}").parse().unwrap(), ..id.clone() };
    let mut tasks = JoinSet::new();
    for n in 0..MOST_STREAMS + 4 {
        let (store, acks) = (store.clone(), acks(&named(n), &[1]));
        tasks.spawn(async move { store.acknowledge(acks).await.unwrap() });
    }
    let outcomes = tasks.join_all().await;
    let refused = outcomes.iter().filter(|o| **o == StreamOutcome::TooMany).count();
    assert_eq!(refused, 4);
    let mut known = 0;
    for n in 0..MOST_STREAMS + 4 {
        known += store.stream(&named(n)).await.unwrap().done;
    }
    assert_eq!(known, 16, "those that are there go on");
    let person = StreamId { person: "w7".into(), ..named(0) };
    let own = store.acknowledge(acks(&person, &[1])).await;
    assert_eq!(own, Ok(StreamOutcome::Standing(stands(1, &[]))), "a person has their own");
}

async fn a_dispatch_is_stored_whole(store: Arc<dyn AuthorityStore>) {
    let d = dispatch(1, "NEW-2026-000001");
    assert_eq!(store.received(d.key.clone()).await, Ok(None));
    assert_eq!(store.receive(d.clone()).await, Ok(ReceiveOutcome::Stored));
    let known = store.received(d.key.clone()).await.unwrap().unwrap();
    assert_eq!(known, stored_dispatch(&d));
    let [entry] = &store.inbox(InboxFilter::default()).await.unwrap()[..] else {
        panic!("one entry")
    };
    assert_eq!((&entry.reference, &entry.key), (&d.reference, &d.key));
    assert_eq!((&entry.sender, entry.urgency), (&d.sender, d.urgency));
    assert_eq!((entry.recorded_at, entry.received_at), (d.recorded_at, d.received_at));
    let item = store.item(entry.entry).await.unwrap().unwrap();
    assert_eq!((&item.entry, item.document.kept()), (entry, Some(&d.document)));
    let tokens: Vec<_> = item.tokens.iter().map(|stored| &stored.token).collect();
    assert_eq!(tokens, [&d.submission, d.accepted.as_ref().unwrap(), &d.note, &d.delivered]);
    assert_eq!(item.tokens[0].recorded_at, d.recorded_at, "judged at the gateway's time");
    for seen in &d.chains {
        assert_eq!(store.chain(seen.x5t).await.unwrap().unwrap(), seen.certificates.to_vec());
    }
    assert_eq!(store.crl(crl().sha256).await.unwrap().unwrap(), crl().der);
    assert!(store.item(entry.entry + 1).await.unwrap().is_none());
    assert_eq!(store.received_count().await, Ok(1));
    store.probe_writable(NOON).await.unwrap();
}

fn stored_dispatch(d: &Dispatch) -> StoredDispatch {
    StoredDispatch {
        payload_sha256: d.payload_sha256,
        note_sha256: d.note.sha256,
        delivered: d.delivered.jws.clone(),
        reference: d.reference.clone(),
        received_at: d.received_at,
    }
}

async fn a_pushed_token_is_kept_once_and_by_its_referral(store: Arc<dyn AuthorityStore>) {
    let school = acceptance(1).sender;
    let pushed = |n: u64, what: &str, now| Pushed {
        referral_id: referral_id(n),
        token: token(TokenKind::Event, &school, &format!("{n} {what}")),
        chain: chain(&school),
        crls: vec![crl()],
        recorded_at: at(now),
        received_at: at(now + 5),
    };
    let (first, second, other) = (pushed(1, "a", 10), pushed(1, "b", 20), pushed(2, "c", 15));
    for one in [&first, &second, &other] {
        assert_eq!(store.keep(one.clone()).await, Ok(true));
    }
    // Again, later, and two at once.
    let again = Pushed { received_at: at(99), ..first.clone() };
    let (one, two) = tokio::join!(store.keep(again.clone()), store.keep(again));
    assert_eq!((one, two), (Ok(false), Ok(false)));
    let stored = |p: &Pushed| StoredToken {
        token: p.token.clone(),
        position: None,
        recorded_at: p.recorded_at,
    };
    assert_eq!(store.pushed(referral_id(1)).await, Ok(vec![stored(&first), stored(&second)]));
    assert_eq!(store.pushed(referral_id(2)).await, Ok(vec![stored(&other)]));
    assert_eq!(store.pushed(referral_id(3)).await, Ok(vec![]));
    assert!(store.chain(first.token.x5t).await.unwrap().is_some());
    // A token that could not be judged later does not get in.
    let stranger = Organisation::Authority(authority(2));
    let mut bare = pushed(4, "d", 30);
    bare.token = token(TokenKind::Event, &stranger, "4 d");
    assert_eq!(store.keep(bare).await, Err(StoreFault::Misuse));
    assert_eq!(store.pushed(referral_id(4)).await, Ok(vec![]));
}

async fn the_same_dispatch_gets_the_first_receipt(store: Arc<dyn AuthorityStore>) {
    let first = dispatch(1, "NEW-2026-000001");
    store.receive(first.clone()).await.unwrap();
    let again = dispatch(1, "NEW-2026-000002");
    let outcome = store.receive(again).await;
    assert_eq!(outcome, Ok(ReceiveOutcome::Already(stored_dispatch(&first))));
    assert_eq!(store.received_count().await, Ok(1));
}

async fn another_document_or_note_is_told_apart(store: Arc<dyn AuthorityStore>) {
    let first = dispatch(1, "NEW-2026-000001");
    store.receive(first.clone()).await.unwrap();
    let other = Ok(ReceiveOutcome::OtherBytes(stored_dispatch(&first)));
    let mut document = dispatch(1, "NEW-2026-000002");
    document.payload_sha256 = digest("other");
    assert_eq!(store.receive(document).await, other);
    let mut note = dispatch(1, "NEW-2026-000003");
    note.note = token(TokenKind::DispatchNote, &gateway(), "another note");
    assert_eq!(store.receive(note).await, other);
    // Another purpose or version is another key.
    let mut purpose = dispatch(1, "NEW-2026-000004");
    purpose.key.purpose = "present".into();
    assert_eq!(store.receive(purpose).await, Ok(ReceiveOutcome::Stored));
}

async fn references_are_never_given_out_twice(store: Arc<dyn AuthorityStore>) {
    assert_eq!(store.next_reference("NEW".into(), 2026).await.unwrap(), "NEW-2026-000001");
    assert_eq!(store.next_reference("NEW".into(), 2027).await.unwrap(), "NEW-2027-000001");
    assert_eq!(store.next_reference("HAC".into(), 2026).await.unwrap(), "HAC-2026-000001");
    for bad in ["", "new", "N-W", "NEWHAMNEWHAMN", "NÉW"] {
        let refused = store.next_reference(bad.into(), 2026).await;
        assert_eq!(refused, Err(StoreFault::Misuse), "{bad}");
    }
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let store = store.clone();
        tasks.spawn(async move { store.next_reference("NEW".into(), 2026).await.unwrap() });
    }
    let all: HashSet<String> = tasks.join_all().await.into_iter().collect();
    assert_eq!(all.len(), 200);
    assert!(all.contains("NEW-2026-000201") && !all.contains("NEW-2026-000001"));
}

async fn a_reference_belongs_to_one_dispatch(store: Arc<dyn AuthorityStore>) {
    store.receive(dispatch(1, "NEW-2026-000001")).await.unwrap();
    let clash = store.receive(dispatch(2, "NEW-2026-000001")).await;
    assert_eq!(clash, Err(StoreFault::Misuse));
    assert_eq!(store.received_count().await, Ok(1));
}

async fn the_inbox_is_listed_by_condition(store: Arc<dyn AuthorityStore>) {
    for n in 0..8 {
        store.receive(dispatch(n, &format!("NEW-2026-{n:06}"))).await.unwrap();
    }
    let list = |filter| {
        let store = store.clone();
        async move {
            let entries = store.inbox(filter).await.unwrap();
            entries.into_iter().map(|entry| entry.reference).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(InboxFilter::default()).await.len(), 8);
    let urgent = InboxFilter { at_least_urgent: Some(1), ..Default::default() };
    let urgent = list(urgent).await;
    let expected = ["NEW-2026-000005", "NEW-2026-000004", "NEW-2026-000001", "NEW-2026-000000"];
    assert_eq!(urgent, expected);
    let one = InboxFilter { referral_id: Some(referral_id(3)), ..Default::default() };
    assert_eq!(list(one).await, ["NEW-2026-000003"]);
    let one = InboxFilter { reference: Some("NEW-2026-000006".into()), ..Default::default() };
    assert_eq!(list(one).await, ["NEW-2026-000006"]);
    let page = store.inbox(InboxFilter { limit: 3, ..Default::default() }).await.unwrap();
    let rest = InboxFilter { after: Some(page[2].entry), ..Default::default() };
    assert_eq!((page.len(), list(rest).await.len()), (3, 5));
}

async fn of_concurrent_dispatches_exactly_one_is_stored(store: Arc<dyn AuthorityStore>) {
    let mut tasks = JoinSet::new();
    for task in 0..64u64 {
        let store = store.clone();
        tasks.spawn(async move {
            let mine = dispatch(task % 8, &format!("NEW-2026-{task:06}"));
            let receipt = mine.delivered.jws.clone();
            match store.receive(mine).await.unwrap() {
                ReceiveOutcome::Stored => (task % 8, receipt),
                ReceiveOutcome::Already(stored) => (task % 8, stored.delivered),
                ReceiveOutcome::OtherBytes(_) => panic!("the same bytes"),
            }
        });
    }
    let mut receipts: HashMap<u64, String> = HashMap::new();
    for (n, receipt) in tasks.join_all().await {
        assert_eq!(receipts.entry(n).or_insert_with(|| receipt.clone()), &receipt);
    }
    assert_eq!(store.received_count().await, Ok(8));
}
