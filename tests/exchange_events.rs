//! The way back: what an authority and a school say about a referral after it was accepted. Real
//! sockets, certificates, stores and delivery; only the clock is the test's.

mod exchange_support;

use bytes::Bytes;
use ecaf::domain::case::{EventKind, MOST_STATEMENTS};
use ecaf::domain::clocks::Setting;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::time::{MINUTE, SECOND, Timestamp};
use ecaf::gateway::remind::{self, Stumbled};
use ecaf::party::look::{detail, look};
use ecaf::party::member::Member;
use ecaf::party::say::{NotSaid, Saying, say};
use ecaf::protocol::evidence::{Bundle, Says, Statement};
use ecaf::protocol::message::{CERTIFICATES, STATEMENT, TOKEN};
use ecaf::protocol::tokens::{Audience, CaseEvent, CaseEventBody, Subject};
use ecaf::report::figures;
use ecaf::report::gather::Gathered;
use ecaf::school::compose::{Change, compose, next_version};
use ecaf::school::follow::follow;
use ecaf::school::submit::{NotSubmitted, submit};
use ecaf::store::InboxFilter;
use exchange_support::stage::{LEA_BRIDGE, MARSH_LANE, ST_BRANNOCKS, Stage};
use exchange_support::story::{
    Story, acknowledgement, coded, decision, members, ok, rule, worker_of,
};
use exchange_support::{Document, HACKNEY, HARINGEY, NEWHAM, Proof};
use http::HeaderValue;
use serde_json::{Value, json};

impl Story {
    async fn events(&self, member: &Member) -> Vec<String> {
        let state = look(member, self.id()).await.unwrap();
        state.events.into_iter().map(|event| event.event).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_school_learns_what_happened_and_can_prove_it() {
    let story = Story::stored().await;
    let (id, worker, school) = (story.id(), &story.worker, story.school());
    let words = async || {
        let state = look(school, id).await.unwrap();
        state.deliveries[0].words.clone()
    };
    assert!(words().await.contains("nobody there need have opened it"), "{}", words().await);
    ok(worker, id, &Saying::of(EventKind::Opened)).await;
    assert_eq!(words().await, "Opened by a person at Haringey");
    story.stage.hand.advance(MINUTE);
    let acknowledged = ok(worker, id, &acknowledgement()).await;
    assert_eq!(words().await, "Acknowledged by a named person at Haringey");
    let decided = ok(worker, id, &decision("assessment")).await;
    assert_eq!(decided.position, acknowledged.position + 1);
    let allocated = json!({"worker": worker_of("Ben Example"), "from": "2026-11-24"});
    let allocated = Saying { children: vec![1], ..Saying::with(EventKind::Allocated, allocated) };
    ok(worker, id, &allocated).await;

    let state = look(school, id).await.unwrap();
    let said: Vec<_> = state.events.iter().map(|e| (e.event.as_str(), e.unread)).collect();
    assert_eq!(
        said,
        [("opened", true), ("acknowledged", true), ("decided", true), ("allocated", true)]
    );
    assert_eq!(state.children, ["allocated"]);
    assert_eq!(state.events[2].words.as_deref(), Some("Child and family assessment (section 17)"));
    let document = state.events[2].detail_sha256.clone().unwrap();
    let document = detail(school, id, &document).await.unwrap().unwrap();
    assert_eq!(document["reason"], "Two earlier referrals and a clear account.");
    let read = Saying { answers: Some(decided.position), ..Saying::of(EventKind::Read) };
    ok(school, id, &read).await;
    assert_eq!(rule(school, id, &read).await, "event.not-now", "read once");
    let state = look(worker, id).await.unwrap();
    assert!(!state.events[2].unread && state.events[1].unread, "the authority sees what was read");

    let followed = follow(school, id).await.unwrap();
    let proven = followed.proven.unwrap();
    let events = proven.statements.iter().filter(|s| matches!(s.says, Says::Said(_)));
    assert_eq!(events.count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_twice_is_one_and_brings_the_same_record() {
    let story = Story::stored().await;
    let (id, worker) = (story.id(), &story.worker);
    ok(worker, id, &acknowledgement()).await;
    let state = look(worker, id).await.unwrap();
    // The very bytes again, as after a lost answer.
    let folder = worker.state.join("referrals").join(id.to_string()).join("events");
    let sent = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path());
    let sent: Vec<_> = sent.filter(|f| !f.to_str().unwrap().contains("recorded")).collect();
    let record = sent[0].with_extension("recorded.json");
    let first = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    let again = ok(worker, id, &acknowledgement()).await;
    assert_eq!(std::fs::read(&record).unwrap(), first, "byte for byte");
    let after = look(worker, id).await.unwrap();
    assert_eq!((after.position, after.events.len()), (state.position, 1));
    assert_eq!(again.position, state.position);

    // What had no answer is settled first, and is not taken for something else of its kind.
    let call = |words: &str| {
        let document = json!({"at": "2026-11-23T14:25:00Z", "words": words});
        coded(EventKind::CallRecorded, "front_door", &[], document)
    };
    ok(worker, id, &call("one")).await;
    let lost = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path());
    for file in lost.filter(|f| f.to_str().unwrap().ends_with(".recorded.json")) {
        std::fs::remove_file(file).unwrap();
    }
    ok(worker, id, &call("two")).await;
    let state = look(worker, id).await.unwrap();
    assert_eq!(state.events.len(), 3, "the same acknowledgement, one call, and the other");
    let last = state.events[2].detail_sha256.as_ref().unwrap();
    assert_eq!(detail(worker, id, last).await.unwrap().unwrap()["words"], "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_follow_is_refused_with_its_rule_and_leaves_nothing() {
    let story = Story::stored().await;
    let (id, worker, school) = (story.id(), &story.worker, story.school());
    assert_eq!(
        rule(worker, id, &decision("assessment")).await,
        "event.not-now",
        "not acknowledged"
    );
    ok(worker, id, &acknowledgement()).await;
    let mut other_child = decision("assessment");
    other_child.children = vec![2];
    assert_eq!(rule(worker, id, &other_child).await, "event.form");
    // Their own check, before anything is sent.
    let mut bare_no = decision("not_proceeding");
    bare_no.detail.as_mut().unwrap().remove("what_would_change");
    assert!(matches!(say(worker, id, &bare_no).await, Err(NotSaid::Malformed(_))));
    let mut opened = Saying::of(EventKind::Opened);
    assert_eq!(rule(school, id, &opened).await, "event.not-yours");
    opened.happened_at = Some(story.stage.clock.now().plus(5 * MINUTE + SECOND));
    assert_eq!(rule(worker, id, &opened).await, "token.from-the-future");
    // Others see nothing, and learn nothing.
    let hackney = story.stage.worker(HACKNEY).await;
    let other_school = &story.stage.schools[LEA_BRIDGE];
    for stranger in [&hackney, other_school] {
        assert!(look(stranger, id).await.is_err());
    }
    assert_eq!(story.events(school).await, ["acknowledged"]);
    // After closing.
    ok(worker, id, &decision("advice")).await;
    let closed =
        coded(EventKind::Closed, "RC8", &[1], json!({"reason": "Advice given, nothing more."}));
    ok(worker, id, &closed).await;
    for late in [decision("assessment"), closed] {
        assert_eq!(rule(worker, id, &late).await, "event.not-now", "{:?}", late.kind);
    }
    let question = Saying::with(
        EventKind::InformationRequested,
        json!({"worker": worker_of("B"), "question": "Who?"}),
    );
    let _: &Saying = &question;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_cannot_speak_and_cannot_tell_a_referral_from_none() {
    let story = Story::stored().await;
    let hackney = story.stage.worker(HACKNEY).await;
    let now = story.stage.clock.now();
    let answer = async |id| by_hand(&hackney, id, (EventKind::Opened, None), 2, now).await;
    let real = answer(story.id()).await;
    assert_eq!(real.0, 404);
    assert_eq!(real, answer(ReferralId::from_bytes([9; 16])).await);
}

/// Sends an event without a document that was made by hand, past the client's own care.
async fn by_hand(
    author: &Member,
    id: ReferralId,
    (kind, code): (EventKind, Option<&str>),
    seen: u64,
    now: Timestamp,
) -> (u16, Value) {
    let identity = author.signing.as_ref().unwrap();
    let event = CaseEvent {
        iss: identity.party().clone(),
        aud: Audience::Scheme(author.scheme().clone()),
        iat: now.seconds(),
        jti: "made by hand".into(),
        sub_id: Subject(id),
        toe: None,
        attested: None,
        said: (kind, CaseEventBody { code: code.map(str::to_owned), ..CaseEventBody::seen(seen) }),
    };
    let token = event.sign(identity.signer(), identity.x5t()).unwrap();
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    let fields = vec![(TOKEN, value(&token)), (CERTIFICATES, value(&identity.chain().to_header()))];
    let path = format!("/v1/referrals/{id}/events");
    let response = author.client.post(&path, fields, Bytes::new()).await.unwrap();
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    (response.status.as_u16(), body["violations"].clone())
}

/// A school without a key of its own speaks too: the gateway signs, and nothing says that the school did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attested_school_speaks_by_its_connection() {
    let mut stage = Stage::at("2026-11-23T14:20:00Z".parse().unwrap()).await;
    let _authority = stage.authority(HARINGEY).await;
    let sent = {
        let document = stage.stream.document(ST_BRANNOCKS, HARINGEY);
        stage.accepted(document).await
    };
    stage.until(&sent, "stored").await;
    let (ada, id) = (stage.worker(HARINGEY).await, sent.document.id);
    ok(&ada, id, &acknowledgement()).await;
    let question = Saying::with(
        EventKind::InformationRequested,
        json!({"worker": worker_of("Ada Example"), "question": "Who collects?"}),
    );
    let asked = ok(&ada, id, &question).await;
    let school = &stage.schools[ST_BRANNOCKS];
    assert!(school.signing.is_none());
    let answer = Saying {
        answers: Some(asked.position),
        ..Saying::with(EventKind::InformationSupplied, json!({"answer": "An aunt collects."}))
    };
    let said = ok(school, id, &answer).await;
    let state = look(school, id).await.unwrap();
    let event = state.events.iter().find(|e| e.position == said.position).unwrap();
    assert_eq!(event.by, school.party.to_string());
    assert_eq!(event.attested_by.as_deref(), Some("spiffe://demo.ecaf.example/gateway/sandbox"));
    let proven = Proof::of(school).evidence(&*stage.gateway.exchange.store, &sent).await;
    let of_school =
        |s: &&Statement| matches!(&s.says, Says::Said(e) if *e.author() == school.party);
    let statement = proven.statements.iter().find(of_school).unwrap();
    assert_eq!(statement.by.to_string(), "spiffe://demo.ecaf.example/gateway/sandbox");

    // The same statement again, also by two at once: one event, the same record byte for byte.
    let statement = |seen, kind, iss: &Member| {
        CaseEvent {
            iss: iss.party.clone(),
            aud: Audience::Scheme(iss.scheme().clone()),
            iat: stage.clock.now().seconds(),
            jti: "stated".into(),
            sub_id: Subject(id),
            toe: None,
            attested: None,
            said: (
                kind,
                CaseEventBody { code: Some("wrong_child".into()), ..CaseEventBody::seen(seen) },
            ),
        }
        .to_statement()
    };
    let send = async |author: &Member, statement: &str| {
        let fields = vec![(STATEMENT, HeaderValue::from_str(statement).unwrap())];
        let path = format!("/v1/referrals/{id}/events");
        let answer = author.client.post(&path, fields, Bytes::new()).await.unwrap();
        let rule =
            serde_json::from_slice::<Value>(&answer.body).unwrap()["violations"][0]["rule"].clone();
        (answer.status.as_u16(), rule.as_str().unwrap_or_default().to_owned(), answer.body)
    };
    let now = state.position;
    let wrong = statement(now, EventKind::Misidentified, &stage.schools[MARSH_LANE]);
    assert_eq!(send(school, &wrong).await.1, "event.statement", "in another school's name");
    let signs = statement(now, EventKind::Misidentified, &stage.schools[MARSH_LANE]);
    assert_eq!(send(&stage.schools[MARSH_LANE], &signs).await.1, "directory.must-sign");
    assert_eq!(send(&ada, &statement(now, EventKind::Opened, &ada)).await.1, "event.not-a-party");
    assert_eq!(send(school, "bm90aGluZw").await.1, "event.statement");
    let gone = statement(now, EventKind::Misidentified, school);
    let (one, other) = tokio::join!(send(school, &gone), send(school, &gone));
    assert_eq!((one.0.max(other.0), one.0.min(other.0)), (201, 200), "{one:?} {other:?}");
    assert_eq!(one.2, other.2);
    assert_eq!(send(school, &gone).await.2, one.2, "and after everything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_authors_at_once_take_turns_and_nothing_mixes() {
    let story = Story::stored().await;
    let (id, worker, school) = (story.id(), &story.worker, story.school());
    ok(worker, id, &acknowledgement()).await;
    let call = |n: u32| {
        let words = format!("call number {n}");
        coded(
            EventKind::CallRecorded,
            "front_door",
            &[],
            json!({"at": "2026-11-23T14:25:00Z", "words": words}),
        )
    };
    let both = async |member: &Member, from: u32| {
        let mut said = Vec::new();
        for n in from..from + 8 {
            said.push((n, ok(member, id, &call(n)).await));
        }
        said
    };
    let (one, two) = tokio::join!(both(worker, 100), both(school, 200));
    let state = look(school, id).await.unwrap();
    let mut positions: Vec<_> = state.events.iter().map(|e| e.position).collect();
    positions.dedup();
    assert_eq!(positions.len(), 17, "each at a place of its own");
    for (n, said) in one.iter().chain(&two) {
        let event = state.events.iter().find(|e| e.position == said.position).unwrap();
        let document = detail(school, id, event.detail_sha256.as_ref().unwrap()).await.unwrap();
        assert_eq!(document.unwrap()["words"], format!("call number {n}"));
        let by = if *n < 200 { "authority" } else { "school" };
        assert!(event.by.contains(by), "{}", event.by);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_seen_has_to_be_read_first() {
    let story = Story::stored().await;
    let (id, worker, school) = (story.id(), &story.worker, story.school());
    ok(worker, id, &acknowledgement()).await;
    let before = look(worker, id).await.unwrap().position;
    let withdrawal = coded(
        EventKind::WithdrawalRequested,
        "entered_in_error",
        &[],
        json!({"reason": "It was meant for another school."}),
    );
    ok(school, id, &withdrawal).await;
    // Signed on top of the older position, sent now.
    let now = story.stage.clock.now();
    let (status, violations) = by_hand(worker, id, (EventKind::Filed, None), before, now).await;
    assert_eq!((status, &violations[0]["rule"]), (409, &json!("event.not-seen")));
    let confirmed =
        Saying { answers: Some(before + 1), ..Saying::of(EventKind::WithdrawalConfirmed) };
    ok(worker, id, &confirmed).await;
    assert_eq!(look(school, id).await.unwrap().children, ["closed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_child_disappears_at_once_for_everybody() {
    let story = Story::stored().await;
    let (id, worker, school) = (story.id(), &story.worker, story.school());
    ok(worker, id, &acknowledgement()).await;
    let document = look(worker, id).await.unwrap().events[0].detail_sha256.clone().unwrap();
    let wrong = Saying { code: Some("wrong_child".into()), ..Saying::of(EventKind::Misidentified) };
    ok(school, id, &wrong).await;
    for member in [worker, school] {
        let state = look(member, id).await.unwrap();
        assert!(state.misidentified);
        assert_eq!(story.events(member).await, ["misidentified"], "a tombstone and nothing else");
        assert!(detail(member, id, &document).await.is_err());
        let path = format!("/v1/referrals/{id}/documents/{}", story.sent.document.sha256);
        assert_eq!(member.client.get(&path, Vec::new()).await.unwrap().status, 404);
    }
    assert_eq!(rule(worker, id, &decision("advice")).await, "event.not-now");
    let bundle: Bundle =
        ecaf::party::look::get(school, &format!("/v1/referrals/{id}/evidence")).await.unwrap();
    bundle.verify(&school.trust.store(), school.scheme()).unwrap();
}

fn proposal(to: &str) -> Saying {
    let reason = "The family moved into temporary accommodation in that area last week.";
    let document = json!({"worker": worker_of("Ada Example"), "reason": reason});
    Saying { to: Some(to.parse().unwrap()), ..Saying::with(EventKind::TransferProposed, document) }
}

/// Waits until the inbox of an authority has the referral for this purpose.
async fn arrived(authority: &exchange_support::inside::Authority, id: ReferralId, purpose: &str) {
    exchange_support::eventually("a transfer", async || {
        let filter = InboxFilter { referral_id: Some(id), ..InboxFilter::default() };
        let entries = authority.station.store.inbox(filter).await.unwrap();
        entries.iter().any(|entry| entry.key.purpose.starts_with(purpose)).then_some(())
    })
    .await;
}

/// Scenario A2: the address on file is in Haringey, and the family lives in Newham since last week.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_a_referral_to_the_wrong_borough_is_passed_on_under_its_id() {
    let story = Story::stored().await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    let there = story.stage.authority(NEWHAM).await;
    let newham = story.stage.worker(NEWHAM).await;
    let before = look(school, id).await.unwrap();
    ok(haringey, id, &acknowledgement()).await;
    story.stage.hand.advance(30 * MINUTE);
    let proposed = ok(haringey, id, &proposal("316")).await;
    arrived(&there, id, "transfer").await;

    // The holder stays accountable until the other accepts; the school sees who is asked.
    let state = look(school, id).await.unwrap();
    assert_eq!(state.authority.name, "Haringey");
    assert_eq!(state.transfer_proposed_to.unwrap().name, "Newham");
    assert_eq!(rule(&newham, id, &decision("assessment")).await, "event.not-yours");
    let accepted = Saying {
        answers: Some(proposed.position),
        ..Saying::with(EventKind::TransferAccepted, json!({"worker": worker_of("Cai Example")}))
    };
    exchange_support::eventually("the receipt's record", async || {
        let state = look(&newham, id).await.unwrap();
        state
            .deliveries
            .iter()
            .any(|d| d.purpose == "transfer" && d.state == "stored")
            .then_some(())
    })
    .await;
    ok(&newham, id, &accepted).await;

    let state = look(school, id).await.unwrap();
    assert_eq!(state.authority.name, "Newham");
    assert!(state.transfer_proposed_to.is_none());
    assert_eq!(state.recorded_at, before.recorded_at, "the clock of the first hour");
    assert_eq!(rule(haringey, id, &decision("advice")).await, "event.not-yours");
    ok(
        &newham,
        id,
        &Saying::with(EventKind::Acknowledged, json!({"worker": worker_of("Cai Example")})),
    )
    .await;
    ok(&newham, id, &decision("assessment")).await;
    // Who held it before sees what it said itself, and no document any more.
    assert_eq!(story.events(haringey).await, ["acknowledged", "transfer_proposed"]);
    let document = format!("/v1/referrals/{id}/documents/{}", story.sent.document.sha256);
    let get = async |member: &Member| member.client.get(&document, Vec::new()).await.unwrap();
    assert_eq!(get(haringey).await.status, 404);
    assert_eq!(get(&newham).await.body, story.sent.document.bytes, "the very document");
    for member in [school, &newham, haringey] {
        follow(member, id).await.unwrap().proven.unwrap();
    }

    // What arrived there proves itself, with nothing but the scheme's root.
    let filter = InboxFilter { referral_id: Some(id), ..InboxFilter::default() };
    let entry = there.station.store.inbox(filter).await.unwrap().remove(0);
    let item = there.station.store.item(entry.entry).await.unwrap().unwrap();
    let kinds: Vec<_> = item.tokens.iter().map(|t| t.token.kind.as_str()).collect();
    assert_eq!(kinds, ["submission", "accepted", "event", "dispatch_note", "delivered"]);
    assert_eq!(entry.payload_sha256, story.sent.document.sha256);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_declines_sees_it_no_more_and_a_second_no_is_a_dispute_with_one_holder() {
    let story = Story::stored().await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    let there = story.stage.authority(NEWHAM).await;
    let newham = story.stage.worker(NEWHAM).await;
    ok(haringey, id, &acknowledgement()).await;
    assert_eq!(rule(haringey, id, &proposal("310")).await, "routing.not-connected");
    let declined = |position| Saying {
        answers: Some(position),
        ..Saying::with(
            EventKind::TransferDeclined,
            json!({"worker": worker_of("Cai Example"), "reason": "They moved on to Hackney."}),
        )
    };
    for round in 1..=2 {
        let proposed = ok(haringey, id, &proposal("316")).await;
        exchange_support::eventually("the proposal", async || {
            let filter = InboxFilter { referral_id: Some(id), ..InboxFilter::default() };
            let entries = there.station.store.inbox(filter).await.unwrap();
            (entries.len() == round).then_some(())
        })
        .await;
        ok(&newham, id, &declined(proposed.position)).await;
        assert!(look(&newham, id).await.is_err(), "no part in it any more");
    }
    let state = look(school, id).await.unwrap();
    assert!(state.disputed);
    assert_eq!(state.authority.name, "Haringey", "acts meanwhile");
    // Withdrawn before it is answered: the late answer loses.
    let proposed = ok(haringey, id, &proposal("316")).await;
    let withdrawn =
        Saying { answers: Some(proposed.position), ..Saying::of(EventKind::TransferWithdrawn) };
    let withdrawn =
        Saying { detail: Some(members(json!({"reason": "Settled by phone."}))), ..withdrawn };
    ok(haringey, id, &withdrawn).await;
    assert!(say(&newham, id, &declined(proposed.position)).await.is_err());
    ok(
        haringey,
        id,
        &Saying::with(EventKind::DisputeResolved, json!({"reason": "Haringey keeps it."})),
    )
    .await;
    assert!(!look(school, id).await.unwrap().disputed);
    follow(school, id).await.unwrap().proven.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplement_is_a_version_of_its_own_and_opens_a_closed_case_again() {
    let story = Story::stored().await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    ok(haringey, id, &acknowledgement()).await;
    ok(haringey, id, &decision("advice")).await;
    let closed = coded(EventKind::Closed, "RC8", &[1], json!({"reason": "Advice given."}));
    ok(haringey, id, &closed).await;
    let salt = [3; 16];
    let next = |of: &[u8]| {
        let now = story.stage.clock.now();
        let text = next_version(of, Change::Supplement, now, salt).unwrap();
        text.replace(r#""summary": """#, r#""summary": "A neighbour rang.""#)
    };
    let text = next(&story.sent.document.bytes);
    let composed = compose(text.as_bytes(), story.stage.clock.now().in_england().0).unwrap();
    let receipt = submit(school, &composed, |_, _| ()).await.unwrap();
    assert_eq!((receipt.new, receipt.accepted.version), (true, 2));
    let again = submit(school, &composed, |_, _| ()).await.unwrap();
    assert_eq!((again.new, again.accepted_sha256), (false, receipt.accepted_sha256));
    let state = look(school, id).await.unwrap();
    assert_eq!((state.version, state.children), (Some(2), vec!["undecided".to_owned()]));
    exchange_support::eventually("the supplement", async || {
        let filter = InboxFilter { referral_id: Some(id), ..InboxFilter::default() };
        let entries = story.authority.station.store.inbox(filter).await.unwrap();
        entries.iter().any(|e| e.key.version == 2).then_some(())
    })
    .await;
    ok(haringey, id, &decision("assessment")).await;
    follow(school, id).await.unwrap().proven.unwrap();

    // A version that does not follow, one that drops a child, and one of another school's.
    let refused = async |member: &Member, value: Value| {
        let document = Document::of(value, MARSH_LANE, HARINGEY);
        let fields = exchange_support::signed_fields(member, &document);
        let path = format!("/v1/referrals/{id}/versions");
        let answer = member.client.post(&path, fields, document.bytes.clone()).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["violations"][0]["rule"].as_str().unwrap().to_owned()
    };
    let second: Value = serde_json::from_slice(&composed.bytes).unwrap();
    let third: Value = serde_json::from_str(&next(&composed.bytes)).unwrap();
    let mut skipped = third.clone();
    skipped["version"] = json!(4);
    assert_eq!(refused(school, skipped).await, "submission.version");
    let mut other_bytes = second.clone();
    other_bytes["composed_at"] = json!("2026-11-23T15:00:00Z");
    assert_eq!(refused(school, other_bytes).await, "submission.other-bytes");
    let mut other_child = third.clone();
    other_child["children"][0]["id"] = json!("c9");
    for list in ["where_now", "concerns", "voice", "addresses", "relationships"] {
        other_child.as_object_mut().unwrap().remove(list);
    }
    other_child["concerns"] =
        json!([{"children": ["c9"], "narrative": {"text": "Another child."}}]);
    assert_eq!(refused(school, other_child).await, "version.children");
    let mut theirs = third;
    theirs["referrer"]["school"]["id"] = json!("900002");
    let other_school = &story.stage.schools[LEA_BRIDGE];
    assert_eq!(refused(other_school, theirs).await, "submission.id-unusable");
}

/// A program that repeats itself does not make a referral too long for everybody: it is refused in time, the
/// other side goes on, and all of it can still be read and proved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_repeats_itself_without_end_stops_only_itself() {
    let story = Story::stored().await;
    let (id, worker, school) = (story.id(), &story.worker, story.school());
    let first = look(school, id).await.unwrap().position;
    let call = (EventKind::CallRecorded, Some("front_door"));
    let now = story.stage.clock.now();
    let last = first + u64::from(MOST_STATEMENTS);
    for position in first..last {
        let (status, problem) = by_hand(school, id, call, position, now).await;
        assert_eq!(status, 201, "{position} {problem}");
    }
    let (status, violations) = by_hand(school, id, call, last, now).await;
    assert_eq!((status, &violations[0]["rule"]), (409, &json!("event.too-many")));
    ok(worker, id, &acknowledgement()).await;
    assert_eq!(look(school, id).await.unwrap().position, last + 1);
    follow(school, id).await.unwrap().proven.unwrap();
}

/// The same for versions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_referral_has_no_versions_without_end() {
    let story = Story::stored().await;
    let (school, clock) = (story.school(), &story.stage.clock);
    let mut newest = story.sent.document.bytes.to_vec();
    let mut version = 1;
    let refusal = loop {
        let text = next_version(&newest, Change::Supplement, clock.now(), [3; 16]).unwrap();
        let text = text.replace(r#""summary": """#, r#""summary": "Once more""#);
        let composed = compose(text.as_bytes(), clock.now().in_england().0).unwrap();
        newest = composed.bytes.clone();
        match submit(school, &composed, |_, _| ()).await {
            Ok(receipt) => version = receipt.accepted.version,
            Err(refused) => break refused,
        }
        assert!(version <= 120, "no limit");
    };
    assert_eq!(version, 120);
    let NotSubmitted::Refused(problem) = refusal else { panic!("{refusal:?}") };
    assert_eq!(problem.violations[0].rule, "version.too-many");
}

/// What was stored of a version says nothing about the one that corrects it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_has_arrived_when_it_is_stored_itself() {
    let Story { stage, sent, authority, .. } = Story::stored().await;
    let id = sent.document.id;
    assert!(follow(&stage.schools[MARSH_LANE], id).await.unwrap().has_arrived());
    authority.stop().await;
    let now = stage.clock.now();
    let text = next_version(&sent.document.bytes, Change::Correction, now, [3; 16]).unwrap();
    let text = text.replace(r#""summary": """#, r#""summary": "It was Tuesday""#);
    let composed = compose(text.as_bytes(), now.in_england().0).unwrap();
    submit(&stage.schools[MARSH_LANE], &composed, |_, _| ()).await.unwrap();
    let followed = follow(&stage.schools[MARSH_LANE], id).await.unwrap();
    assert!(!followed.has_arrived(), "nobody is there");
    let _authority = stage.authority(HARINGEY).await;
    let school = &stage.schools[MARSH_LANE];
    exchange_support::eventually("the correction", async || {
        stage.hand.advance(SECOND);
        follow(school, id).await.unwrap().has_arrived().then_some(())
    })
    .await;
}

/// The events of this kind about this clock, as a party sees them.
async fn about_clock(member: &Member, id: ReferralId, kind: &str, clock: &str) -> usize {
    let state = look(member, id).await.unwrap();
    let is_it = |e: &&ecaf::party::look::Event| e.event == kind && e.code.as_deref() == Some(clock);
    state.events.iter().filter(is_it).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_told_when_its_limit_passes_and_once() {
    let story = Story::stored().await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    let received = story.stage.clock.now();
    let state = look(school, id).await.unwrap();
    assert_eq!(state.attention.as_deref(), Some("waiting_on_authority"));
    let c5 = state.clocks.iter().find(|c| c.clock == "C5").unwrap();
    assert_eq!(
        c5.due_at, "2026-11-24T17:00:00.000Z",
        "one working day, by the end of office hours"
    );
    assert_eq!(c5.class, "statutory");
    ok(haringey, id, &acknowledgement()).await;

    // Another gateway over the same store looks too: each limit is told once.
    let gateway = &story.stage.gateway.exchange;
    for hours in [1, 20, 27, 28, 40] {
        story.stage.hand.set(received.plus(hours * 60 * MINUTE));
        let (mut one, mut other) = (Stumbled::default(), Stumbled::default());
        let one = remind::look(gateway, "one", &mut one);
        let other = remind::look(gateway, "other", &mut other);
        let (one, other) = tokio::join!(one, other);
        one.unwrap();
        other.unwrap();
    }
    exchange_support::eventually("the breach", async || {
        (about_clock(school, id, "clock_breached", "C5").await > 0).then_some(())
    })
    .await;
    assert_eq!(about_clock(school, id, "clock_breached", "C5").await, 1);
    let state = look(school, id).await.unwrap();
    assert_eq!(state.attention.as_deref(), Some("overdue"));
    let waiting = state.waiting.unwrap();
    assert!(waiting.words.starts_with("Overdue since"), "{}", waiting.words);
    assert_eq!(state.offered_stage, Some(1), "a person may raise it now");

    // Not a thing to wake anybody for: the team manager finds it at the start of the next shift.
    let late =
        state.clocks.iter().find(|c| c.clock == "C5" && c.about.starts_with("child")).unwrap();
    assert_eq!(late.ask[0].role, "team manager");
    assert_eq!(late.ask[0].tell.as_deref(), Some("digest"), "{late:?}");

    // A late decision does not undo it.
    ok(haringey, id, &decision("assessment")).await;
    let state = look(school, id).await.unwrap();
    let c5: Vec<_> = state.clocks.iter().filter(|c| c.clock == "C5").collect();
    assert!(c5.iter().any(|c| c.state == "late"), "{c5:?}");
    assert_eq!(about_clock(school, id, "clock_breached", "C5").await, 1);
    follow(school, id).await.unwrap().proven.unwrap();
}

/// The gateway's clock is put back (a leap second does that too, by one): what is said afterwards counts, its place
/// in the thread decides what came first, and no length is less than nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_put_back_changes_nothing_that_was_said() {
    let story = Story::stored().await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    let (there, newham) = (story.stage.authority(NEWHAM).await, story.stage.worker(NEWHAM).await);
    let received = story.stage.clock.now();
    story.stage.hand.set(received.plus(-3 * MINUTE));
    ok(haringey, id, &acknowledgement()).await;
    let proposed = ok(haringey, id, &proposal("316")).await;
    arrived(&there, id, "transfer").await;
    story.stage.hand.set(received.plus(-2 * MINUTE));
    let worker = json!({"worker": worker_of("Cai Example")});
    let accepted = Saying {
        answers: Some(proposed.position),
        ..Saying::with(EventKind::TransferAccepted, worker)
    };
    ok(&newham, id, &accepted).await;

    let state = look(school, id).await.unwrap();
    assert_eq!(state.authority.name, "Newham");
    let early: Vec<_> =
        state.clocks.iter().filter(|clock| clock.started_at < state.recorded_at).collect();
    assert!(early.is_empty(), "{early:?}");
    remind::look(&story.stage.gateway.exchange, "one", &mut Stumbled::default()).await.unwrap();
    follow(school, id).await.unwrap().proven.unwrap();
    let gathered = Gathered::from_gateway(school, id).await.unwrap();
    let record = figures::record(&gathered, &Setting::default(), received.plus(MINUTE)).unwrap();
    assert_eq!(record.holder.to_string(), "316");
    assert!(record.acknowledged_after.unwrap() >= 0 && record.stored_after.unwrap() >= 0);
}

/// Nobody opens an urgent one for an hour: somebody on duty is to be paged. At night nobody is on duty, and
/// nobody is woken: the school has the number to ring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_is_on_duty_is_paged() {
    let story = Story::stored().await;
    let (id, school, hand) = (story.id(), story.school(), &story.stage.hand);
    let asked = async || {
        let state = look(school, id).await.unwrap();
        let opened = state.clocks.into_iter().find(|c| c.clock == "C3").unwrap();
        let contact = opened.ask.into_iter().next();
        contact.map(|contact| (contact.role, contact.tell.unwrap(), contact.digest_at))
    };
    assert_eq!(asked().await, None, "it is not late yet");
    hand.advance(61 * MINUTE);
    assert_eq!(asked().await, Some(("duty manager".into(), "page".into(), None)));
    hand.set("2026-11-23T23:30:00Z".parse().unwrap());
    let (_, tell, shift) = asked().await.unwrap();
    assert_eq!((tell.as_str(), shift.as_deref()), ("digest", Some("2026-11-24T09:00:00.000Z")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_out_of_use_is_not_delivered_any_more() {
    let mut stage = Stage::now().await;
    let document = stage.stream.document(MARSH_LANE, HARINGEY);
    let sent = stage.accepted(document).await;
    stage.attempts(&sent, 1).await;
    let wrong =
        Saying { code: Some("wrong_recipient".into()), ..Saying::of(EventKind::Misidentified) };
    ok(&stage.schools[MARSH_LANE], sent.document.id, &wrong).await;
    let authority = stage.authority(HARINGEY).await;
    stage.hand.advance(SECOND);
    let state = stage.until(&sent, "undeliverable").await;
    assert_eq!(state["deliveries"][0]["words"], "Not brought to Haringey: taken out of use before");
    let inbox = authority.station.store.inbox(InboxFilter::default()).await.unwrap();
    assert!(inbox.is_empty(), "{inbox:?}");
}

/// Scenario A1: 14:20, a child has disclosed, home time is 15:15.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_an_answer_before_the_bell() {
    let mut stage = Stage::at("2026-11-23T14:20:00Z".parse().unwrap()).await;
    let _authority = stage.authority(HARINGEY).await;
    let document = stage.stream.document(MARSH_LANE, HARINGEY).changed(|referral| {
        referral["where_now"] = json!([{
            "children": ["c1"], "place": "school", "goes_home_at": "2026-11-23T15:15:00Z"
        }]);
    });
    let sent = stage.accepted(document).await;
    stage.until(&sent, "stored").await;
    let (id, school) = (sent.document.id, &stage.schools[MARSH_LANE]);
    let state = look(school, id).await.unwrap();
    let c4 = state.clocks.iter().find(|clock| clock.clock == "C4").unwrap();
    assert_eq!(c4.due_at, "2026-11-23T14:40:00.000Z");
    assert!(c4.short_notice);
    assert!(state.authority.help.contains("020 7946 0309"), "{}", state.authority.help);
    let haringey = stage.worker(HARINGEY).await;
    ok(&haringey, id, &Saying::of(EventKind::Opened)).await;
    let state = look(school, id).await.unwrap();
    assert_eq!(state.deliveries[0].words, "Opened by a person at Haringey");
    assert!(state.events[0].by.ends_with("/authority/309/person/worker-1"));
    // What the school is asked to do today, and that nobody has read it after five minutes.
    let request = json!({"worker": worker_of("Ada Example"), "request": "Please keep him until I ring at 15:00."});
    let interim =
        ok(&haringey, id, &coded(EventKind::Interim, "keep_at_school", &[], request)).await;
    stage.hand.advance(5 * MINUTE + SECOND);
    exchange_support::eventually("the breach", async || {
        (about_clock(school, id, "clock_breached", "E10").await == 1).then_some(())
    })
    .await;
    let read = Saying { answers: Some(interim.position), ..Saying::of(EventKind::Read) };
    ok(school, id, &read).await;
    let reply = Saying {
        answers: Some(interim.position),
        code: Some("understood".into()),
        ..Saying::of(EventKind::InterimAnswered)
    };
    ok(school, id, &reply).await;
    let state = look(school, id).await.unwrap();
    assert_eq!(state.clocks.iter().find(|c| c.clock == "C4").unwrap().state, "in time");
}

/// Scenario A11: no further action, and the school disagrees, in the same thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_the_school_disagrees_with_no_further_action() {
    let story = Story::stored().await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    ok(haringey, id, &acknowledgement()).await;
    let decided = ok(haringey, id, &decision("not_proceeding")).await;
    let document = look(school, id).await.unwrap().events[1].detail_sha256.clone().unwrap();
    let document = detail(school, id, &document).await.unwrap().unwrap();
    for why in ["reason", "what_would_change", "other_support", "how_to_challenge"] {
        assert!(document[why].is_string(), "{why}");
    }
    ok(school, id, &Saying { answers: Some(decided.position), ..Saying::of(EventKind::Read) })
        .await;
    let disagreement = |kind, stage| Saying {
        stage: Some(stage),
        ..coded(
            kind,
            "below_threshold",
            &[],
            json!({"reason": "He is not safe.", "wanted": "An assessment."}),
        )
    };
    let raised = ok(school, id, &disagreement(EventKind::DisagreementRaised, 1)).await;
    let state = look(school, id).await.unwrap();
    assert_eq!(state.attention.as_deref(), Some("disputed"));
    assert!(state.clocks.iter().any(|c| c.clock == "C11" && c.state == "running"));
    let again = disagreement(EventKind::DisagreementRaised, 1);
    assert_eq!(rule(school, id, &again).await, "event.not-now", "one at a time");
    let response = Saying {
        answers: Some(raised.position),
        ..Saying::with(
            EventKind::DisagreementResponded,
            json!({"worker": worker_of("Ada Example"), "response": "We looked again."}),
        )
    };
    ok(haringey, id, &response).await;
    assert_eq!(
        rule(school, id, &disagreement(EventKind::DisagreementStepped, 1)).await,
        "event.not-now"
    );
    ok(school, id, &disagreement(EventKind::DisagreementStepped, 2)).await;
    let over =
        Saying { code: Some("agreed".into()), ..Saying::of(EventKind::DisagreementResolved) };
    ok(school, id, &over).await;
    assert_ne!(look(school, id).await.unwrap().attention.as_deref(), Some("disputed"));
    follow(school, id).await.unwrap().proven.unwrap();
}

/// Scenario A12: the worker leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_the_school_is_told_who_works_with_the_child_now() {
    let story = Story::stored().await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    ok(haringey, id, &acknowledgement()).await;
    ok(haringey, id, &decision("assessment")).await;
    let one = |kind, document| Saying { children: vec![1], ..Saying::with(kind, document) };
    let allocated = json!({"worker": worker_of("Ben Example"), "from": "2026-11-24"});
    ok(haringey, id, &one(EventKind::Allocated, allocated.clone())).await;
    let again = one(EventKind::Allocated, allocated);
    assert_eq!(rule(haringey, id, &again).await, "event.not-now", "has a worker already");
    let changed = json!({
        "worker": worker_of("Cai Example"), "previous": "Ben Example", "from": "2026-12-01"
    });
    ok(haringey, id, &one(EventKind::WorkerChanged, changed)).await;
    let state = look(school, id).await.unwrap();
    let last = state.events.last().unwrap();
    assert_eq!((last.event.as_str(), last.unread), ("worker_changed", true));
    let document = detail(school, id, last.detail_sha256.as_ref().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (&document["previous"], &document["worker"]["name"]),
        (&json!("Ben Example"), &json!("Cai Example"))
    );
}

/// Scenario A18: the child is already open to a worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_it_is_added_to_an_open_case_and_may_go_once_it_is_filed() {
    let story = Story::stored().await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    ok(haringey, id, &acknowledgement()).await;
    let mut added = decision("open_case_added");
    added.detail.as_mut().unwrap().insert("worker".into(), worker_of("Ben Example"));
    ok(haringey, id, &added).await;
    let state = look(school, id).await.unwrap();
    assert_eq!(
        state.events[1].words.as_deref(),
        Some("The child has a worker already, who now has this")
    );
    let document = detail(school, id, state.events[1].detail_sha256.as_ref().unwrap()).await;
    assert_eq!(document.unwrap().unwrap()["worker"]["phone"], "01632 960123");
    // Closed for good only when it is filed too.
    let closed =
        coded(EventKind::Closed, "RC7", &[1], json!({"reason": "Goes on under the open case."}));
    ok(haringey, id, &closed).await;
    assert_eq!(look(school, id).await.unwrap().children, ["closed"]);
    ok(haringey, id, &Saying::of(EventKind::Filed)).await;
    assert_eq!(
        look(school, id).await.unwrap().attention.as_deref(),
        Some("waiting_on_school"),
        "unread"
    );
}
