//! Threads that begin with an event: notices to schools about their pupils, consultations, and what was
//! handed over by hand. Real sockets, certificates and stores; only the clock is the test's.

mod exchange_support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ecaf::domain::case::EventKind;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::time::{HOUR, SECOND, Timestamp};
use ecaf::effects::{Clock, FixedClock, SystemClock};
use ecaf::gateway::remind::{self, Stumbled};
use ecaf::party::begin::begin;
use ecaf::party::look::{NotSeen, State, detail, look};
use ecaf::party::member::Member;
use ecaf::party::poll::Stream;
use ecaf::party::say::{NotSaid, Said, Saying, say};
use ecaf::protocol::evidence::{Bundle, Says};
use ecaf::protocol::hash::sha256;
use ecaf::protocol::message::{CERTIFICATES, TOKEN};
use ecaf::protocol::tokens::{Audience, CaseEvent, CaseEventBody, Subject};
use ecaf::school::compose::compose;
use ecaf::school::follow::follow;
use ecaf::school::submit::{NotSubmitted, submit};
use exchange_support::inside::{self, Gateway, eager};
use exchange_support::stage::{A_PERSON, LEA_BRIDGE, MARSH_LANE, ST_BRANNOCKS, Stage};
use exchange_support::story::Story;
use exchange_support::{HACKNEY, HARINGEY, NEWHAM, QUICK, Scene, killing};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

/// Tuesday, half past two in the morning.
const AT_NIGHT: &str = "2026-11-24T02:30:00Z";

fn worker() -> Value {
    json!({"name": "Ada Example", "role": "Duty social worker", "phone": "01632 960123"})
}

/// A notice about an invented child to the school with this URN.
fn notice(school: &str, code: &str) -> Saying {
    let document = json!({
        "child_name": "Mimi Quillfeather", "child_born": "2014-05-03",
        "told": "The police were at the home last night.",
        "school_should": "Keep an eye on her today and ring me with any worry.",
        "do_not_act": false, "family_may_know": false, "disclosure": "outcome",
        "worker": worker(),
    });
    Saying {
        code: Some(code.into()),
        school: Some(school.parse().unwrap()),
        ..Saying::with(EventKind::PupilNotice, document)
    }
}

fn consultation(authority: &str, code: &str) -> Saying {
    let document = json!({
        "question": "Is this a referral?", "situation": "Tired, hungry, says little. Twice this week.",
        "asked_by": worker(), "family_knows": false, "age": "7", "area": "N17",
    });
    Saying {
        code: Some(code.into()),
        to: Some(authority.parse().unwrap()),
        ..Saying::with(EventKind::Consultation, document)
    }
}

fn handed_over(authority: &str, code: &str) -> Saying {
    let document = json!({
        "by": "phone", "at": "2026-11-24T09:10:00Z", "to_whom": "Duty worker, Duty and Advice",
        "contact": "0113 496 0383", "said": "Everything in the readable document.",
        "by_whom": "Dan Example", "document_sha256": sha256(b"what was read out").to_string(),
    });
    Saying {
        code: Some(code.into()),
        to: Some(authority.parse().unwrap()),
        ..Saying::with(EventKind::HandedOver, document)
    }
}

async fn begun(member: &Member, saying: &Saying) -> ReferralId {
    let begun = begin(member, saying).await;
    begun.unwrap_or_else(|not| panic!("{:?}: {not:?}", saying.kind)).0
}

async fn ok(member: &Member, id: ReferralId, saying: &Saying) -> Said {
    say(member, id, saying).await.unwrap_or_else(|not| panic!("{:?}: {not:?}", saying.kind))
}

/// The rule for which the gateway refuses to begin a thread.
async fn not_begun(member: &Member, saying: &Saying) -> String {
    match begin(member, saying).await {
        Err(NotSaid::Refused(problem)) => problem.violations[0].rule.clone(),
        other => panic!("{:?}: {other:?}", saying.kind),
    }
}

async fn refused(member: &Member, id: ReferralId, saying: &Saying) -> String {
    match say(member, id, saying).await {
        Err(NotSaid::Refused(problem)) => problem.violations[0].rule.clone(),
        other => panic!("{:?}: {other:?}", saying.kind),
    }
}

/// For this party there is nothing: neither state nor evidence, and no token in its feed.
async fn sees_nothing(member: &Member, id: ReferralId) {
    match look(member, id).await {
        Err(NotSeen::Refused(problem)) => {
            assert_eq!(
                (problem.status, problem.violations[0].rule.as_str()),
                (404, "referral.not-found")
            );
        }
        other => panic!("{}: {other:?}", member.party),
    }
    let path = format!("/v1/referrals/{id}/evidence");
    assert_eq!(member.client.get(&path, Vec::new()).await.unwrap().status, 404);
    assert!(told(member).await.iter().all(|(of, _)| *of != id.to_string()), "{}", member.party);
}

/// Everything in a party's feed: of which thread, and what.
async fn told(member: &Member) -> Vec<(String, String)> {
    let mut stream = Stream::new(member, "test".into());
    let mut all = Vec::new();
    loop {
        let batch = stream.next(false).await.unwrap();
        assert!(batch.not_proved.is_empty(), "{:?}", batch.not_proved);
        all.extend(batch.news.into_iter().map(|news| (news.referral_id, news.event)));
        if !batch.more {
            return all;
        }
    }
}

fn due(state: &State, clock: &str) -> String {
    let found = state.clocks.iter().find(|c| c.clock == clock);
    found.map_or_else(|| panic!("no {clock}: {:?}", state.clocks), |c| c.due_at.clone())
}

fn clock_state<'a>(state: &'a State, clock: &str) -> &'a str {
    &state.clocks.iter().find(|c| c.clock == clock).unwrap().state
}

fn reads(position: u64) -> Saying {
    Saying { answers: Some(position), ..Saying::of(EventKind::Read) }
}

/// Scenario A16: the police were called in the night; the school knows before it opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a16_the_school_is_told_before_it_opens() {
    let stage = Stage::at(AT_NIGHT.parse().unwrap()).await;
    let (haringey, school) = (stage.worker(HARINGEY).await, &stage.schools[MARSH_LANE]);
    let happened: Timestamp = "2026-11-23T22:40:00Z".parse().unwrap();
    let saying = Saying { happened_at: Some(happened), ..notice("900001", "police_attendance") };
    let id = begun(&haringey, &saying).await;

    stage.hand.set("2026-11-24T07:45:00Z".parse().unwrap());
    let state = look(school, id).await.unwrap();
    assert_eq!((state.began_with.as_str(), state.version, state.position), ("notice", None, 1));
    assert_eq!((state.school.as_str(), state.authority.code.as_str()), ("school/900001", "309"));
    assert_eq!(state.children, ["told"]);
    assert_eq!(state.attention.as_deref(), Some("waiting_on_school"));
    assert_eq!(state.events.len(), 1);
    assert!(state.events[0].unread);
    let words = "The police were called to where the child was";
    assert_eq!(state.events[0].words.as_deref(), Some(words));
    let named = state.events[0].detail_sha256.as_deref().unwrap();
    let document = detail(school, id, named).await.unwrap().unwrap();
    assert_eq!(document["child_name"], "Mimi Quillfeather");
    // Of Monday night: by three o'clock on Tuesday. Read: by three o'clock the day after it was recorded.
    assert_eq!(due(&state, "C15"), "2026-11-24T15:00:00.000Z");
    assert_eq!(due(&state, "C12"), "2026-11-25T15:00:00.000Z");
    ok(school, id, &reads(1)).await;
    let state = look(&haringey, id).await.unwrap();
    assert!(!state.events[0].unread, "the authority sees that it was read");
    for clock in ["C12", "C15"] {
        assert_eq!(clock_state(&state, clock), "in time");
    }
    assert_eq!(state.attention.as_deref(), Some("closed"), "nothing is waited for");

    // The thread goes on: a question, an answer, a worker, a plan, the end.
    let question = json!({"worker": worker(), "question": "Was she in today?"});
    ok(&haringey, id, &Saying::with(EventKind::InformationRequested, question)).await;
    let answer = Saying {
        answers: Some(3),
        ..Saying::with(EventKind::InformationSupplied, json!({"answer": "Yes, on time."}))
    };
    ok(school, id, &answer).await;
    let of_child = |kind, code: Option<&str>, document| Saying {
        children: vec![1],
        code: code.map(Into::into),
        ..Saying::with(kind, document)
    };
    let allocated = json!({"worker": worker(), "from": "2026-11-24"});
    ok(&haringey, id, &of_child(EventKind::Allocated, None, allocated)).await;
    let plan = of_child(EventKind::Progress, Some("plan_started"), json!({"on": "2026-11-24"}));
    let plan = ok(&haringey, id, &plan).await;
    let state = look(school, id).await.unwrap();
    let changes: Vec<_> = state.clocks.iter().filter(|c| c.clock == "C15").collect();
    assert_eq!(changes.len(), 2, "the notice, and the change on a plan: {changes:?}");
    assert!(changes[1].about.contains(&plan.position.to_string()), "{changes:?}");
    assert_ne!(changes[1].state, "in time", "nobody at the school has it yet");
    // A system of the school takes it: the school is told, though nobody has read of it.
    let mut system = Stream::new(school, "mis".into());
    exchange_support::eventually("the school's system has it", async || {
        system.next(false).await.unwrap();
        system.finish().await.unwrap();
        let state = look(school, id).await.unwrap();
        let mut changes = state.clocks.iter().filter(|c| c.clock == "C15");
        (changes.nth(1).unwrap().state == "in time").then_some(())
    })
    .await;
    let closed = of_child(EventKind::Closed, Some("RC7"), json!({"reason": "Nothing more."}));
    ok(&haringey, id, &closed).await;
    ok(&haringey, id, &Saying::of(EventKind::Filed)).await;
    let late = of_child(EventKind::Progress, Some("note"), json!({"words": "late"}));
    assert_eq!(refused(&haringey, id, &late).await, "event.not-now");

    // All of it is proved offline, from both sides, beginning with the notice.
    for member in [school, &haringey] {
        let proven = follow(member, id).await.unwrap().proven.unwrap();
        let first = &proven.statements[0];
        let Says::Said(said) = &first.says else { panic!("{first:?}") };
        assert_eq!(said.kind(), EventKind::PupilNotice);
        assert_eq!((first.recorded, first.at), (true, AT_NIGHT.parse().unwrap()));
        assert_eq!(proven.statements.len(), 16, "eight events, each with its record");
    }
}

/// Scenario A3: three siblings, two schools in two boroughs: one referral, and the second school gets a
/// notice because the authority decides so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_the_second_school_gets_a_notice_and_nothing_else() {
    let story = Story::stored().await;
    let (referral, haringey) = (story.id(), &story.worker);
    let second = &story.stage.schools[LEA_BRIDGE];
    let mut saying = notice("900002", "sibling");
    saying.detail.as_mut().unwrap().insert("do_not_act".into(), json!(true));
    let id = begun(haringey, &saying).await;
    let state = look(second, id).await.unwrap();
    assert_eq!((state.began_with.as_str(), state.deliveries.len()), ("notice", 0));
    sees_nothing(second, referral).await;
    let document = detail(second, id, state.events[0].detail_sha256.as_ref().unwrap()).await;
    assert!(!document.unwrap().unwrap().to_string().contains(&referral.to_string()));
    // Nobody else has a part in it: neither the first school nor the second one's own authority.
    let hackney = story.stage.worker(HACKNEY).await;
    for stranger in [story.school(), &hackney, &story.stage.worker(NEWHAM).await] {
        sees_nothing(stranger, id).await;
    }
    // No case of its own: nothing is decided, acknowledged or passed on in it.
    let acknowledged = json!({"worker": worker(), "reference": "HGY-1"});
    let acknowledged = Saying::with(EventKind::Acknowledged, acknowledged);
    for saying in [Saying::of(EventKind::Opened), acknowledged] {
        assert_eq!(refused(haringey, id, &saying).await, "event.not-now", "{:?}", saying.kind);
    }
    assert_eq!(story.authority.station.store.inbox(Default::default()).await.unwrap().len(), 1);

    // The referral that it comes from may be named to the school that sent it, and to no other.
    let stem = |school: &str| {
        let mut saying = notice(school, "sibling");
        let detail = saying.detail.as_mut().unwrap();
        detail.insert("stems_from".into(), json!(referral.to_string()));
        saying
    };
    assert_eq!(not_begun(haringey, &stem("900002")).await, "opening.not-to-be-named");
    begun(haringey, &stem("900001")).await;
    assert_eq!(not_begun(&hackney, &stem("900001")).await, "opening.not-to-be-named");
}

/// An unread notice is chased like an unread outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_nobody_reads_is_told_as_overdue() {
    let stage = Stage::at(AT_NIGHT.parse().unwrap()).await;
    let (haringey, school) = (stage.worker(HARINGEY).await, &stage.schools[MARSH_LANE]);
    let id = begun(&haringey, &notice("900001", "enquiry_started")).await;
    stage.hand.set("2026-11-25T15:00:01Z".parse().unwrap());
    remind::look(&stage.gateway.exchange, "sandbox/test", &mut Stumbled::default()).await.unwrap();
    exchange_support::eventually("the breach", async || {
        let state = look(&haringey, id).await.unwrap();
        let breaches = state.events.iter().filter(|e| e.event == "clock_breached");
        (breaches.count() == 2).then_some(())
    })
    .await;
    let state = look(&haringey, id).await.unwrap();
    assert_eq!(state.attention.as_deref(), Some("overdue"));
    let ring: Vec<_> = state.waiting.as_ref().unwrap().ring.iter().map(|c| &c.role).collect();
    assert!(ring.iter().any(|role| role.contains("deputy")), "{ring:?}");
    // Later the duty worker is asked: the authority has to ring.
    stage.hand.set("2026-11-30T12:00:00Z".parse().unwrap());
    let later = look(&haringey, id).await.unwrap();
    let c12 = later.clocks.iter().find(|c| c.clock == "C12").unwrap();
    assert!(c12.state.contains("late") || c12.state.contains("overdue"), "{}", c12.state);
    assert!(school.party.to_string().ends_with("school/900001"));
}

/// A school asks for advice about a child whom it does not name, and is answered in the same thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advice_is_asked_and_given_without_a_name() {
    let stage = Stage::at("2026-11-24T10:00:00Z".parse().unwrap()).await;
    let (haringey, school) = (stage.worker(HARINGEY).await, &stage.schools[MARSH_LANE]);
    let id = begun(school, &consultation("309", "not_sure")).await;
    let state = look(&haringey, id).await.unwrap();
    assert_eq!((state.began_with.as_str(), state.children.len()), ("consultation", 1));
    assert!(state.about_no_child && state.clocks.is_empty(), "no clock is set for advice");
    assert_eq!(state.attention.as_deref(), Some("waiting_on_authority"));
    let document = detail(&haringey, id, state.events[0].detail_sha256.as_ref().unwrap()).await;
    let document = document.unwrap().unwrap();
    assert!(document.get("child_name").is_none() && document["area"] == "N17");
    for stranger in [&stage.schools[LEA_BRIDGE], &stage.worker(HACKNEY).await] {
        sees_nothing(stranger, id).await;
    }
    let advice = json!({"advice": "Refer today; ring me.", "worker": worker(), "spoken": true});
    let advice = Saying {
        code: Some("refer_now".into()),
        ..Saying::with(EventKind::ConsultationAnswered, advice)
    };
    assert_eq!(refused(school, id, &advice).await, "event.not-yours");
    let advised = ok(&haringey, id, &advice).await;
    let state = look(school, id).await.unwrap();
    assert_eq!((state.children[0].as_str(), state.events[1].unread), ("closed", true));
    assert_eq!(state.attention.as_deref(), Some("closed"));
    ok(school, id, &reads(advised.position)).await;
    ok(&haringey, id, &Saying::of(EventKind::Filed)).await;
    assert_eq!(follow(school, id).await.unwrap().proven.unwrap().statements.len(), 8);
    // An allegation is for named persons alone, and a school cannot ask in its own name.
    assert_eq!(not_begun(school, &consultation("309", "lado")).await, "lado.person-needed");
}

/// The authority is not connected: the school rang, and records it for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_handed_over_by_hand_is_kept_for_the_school_alone() {
    let more = "[[authorities]]\ncode = \"383\"\nconnection = \"not_connected\"\n\
                staffed_hours = \"mon-fri 00:00-24:00\"\nout_of_hours = \"phone_only\"\n\
                [[authorities.contacts]]\nkind = \"daytime\"\nlabel = \"Duty and Advice\"\n\
                phone = \"0113 496 0383\"\nverified_at = \"2026-11-01\"\nverified_by = \"test\"";
    let stage = Stage::with_directory("2026-11-24T09:12:00Z".parse().unwrap(), more).await;
    let school = &stage.schools[MARSH_LANE];
    // Advice cannot be asked there: the number to ring.
    let Err(NotSaid::Refused(problem)) = begin(school, &consultation("383", "protection")).await
    else {
        panic!("nobody there could answer")
    };
    assert_eq!(problem.violations[0].rule, "opening.not-connected");
    assert!(problem.help.as_ref().unwrap().contains("0113 496 0383"), "{:?}", problem.help);

    let id = begun(school, &handed_over("383", "protection")).await;
    let state = look(school, id).await.unwrap();
    assert_eq!((state.began_with.as_str(), state.deliveries.len()), ("hand_over", 0));
    assert_eq!(state.authority.code, "383");
    assert!(state.authority.help.contains("0113 496 0383"), "{}", state.authority.help);
    assert!(!state.events[0].unread && state.clocks.is_empty());
    let note = json!({"at": "2026-11-24T11:00:00Z", "words": "They rang back: a worker comes."});
    ok(school, id, &Saying::with(EventKind::HandOverNoted, note)).await;
    let call = json!({"at": "2026-11-24T11:05:00Z"});
    let call =
        Saying { code: Some("front_door".into()), ..Saying::with(EventKind::CallRecorded, call) };
    ok(school, id, &call).await;
    let closed = Saying { code: Some("confirmed".into()), ..Saying::of(EventKind::HandOverClosed) };
    ok(school, id, &closed).await;
    let state = look(school, id).await.unwrap();
    assert_eq!((state.children[0].as_str(), state.position), ("closed", 4));
    assert_eq!(refused(school, id, &closed).await, "event.not-now");
    assert_eq!(follow(school, id).await.unwrap().proven.unwrap().statements.len(), 8);

    // To an authority that is connected too, and it sees nothing of it.
    let id = begun(school, &handed_over("309", "child_in_need")).await;
    let haringey = stage.worker(HARINGEY).await;
    for stranger in [&haringey, &stage.schools[LEA_BRIDGE]] {
        sees_nothing(stranger, id).await;
    }
    let filed = match say(&haringey, id, &Saying::of(EventKind::Filed)).await {
        Err(NotSaid::NotSeen(NotSeen::Refused(problem))) => problem.status,
        other => panic!("{other:?}"),
    };
    assert_eq!(filed, 404);
    // About an allegation: the person who recorded it, and not her school.
    let (person, lado) = (&stage.schools[A_PERSON], handed_over("309", "lado"));
    assert_eq!(not_begun(school, &lado).await, "lado.person-needed");
    let id = begun(person, &lado).await;
    assert_eq!(look(person, id).await.unwrap().events.len(), 1);
    sees_nothing(school, id).await;
}

/// What goes to whom is checked before anything is kept, and says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_without_both_sides() {
    let stage = Stage::at("2026-11-24T10:00:00Z".parse().unwrap()).await;
    let (haringey, school) = (stage.worker(HARINGEY).await, &stage.schools[MARSH_LANE]);
    assert_eq!(
        not_begun(&haringey, &notice("909999", "plan")).await,
        "opening.school-not-enrolled"
    );
    assert_eq!(
        not_begun(school, &handed_over("999", "protection")).await,
        "opening.unknown-authority"
    );
    // Each for another party to say, or to nobody.
    assert_eq!(not_begun(school, &notice("900002", "plan")).await, "event.form");
    assert_eq!(not_begun(&haringey, &handed_over("204", "protection")).await, "event.form");
    let nobody = Saying { to: None, ..consultation("309", "not_sure") };
    assert_eq!(not_begun(school, &nobody).await, "event.form");
    let mut both = notice("900001", "plan");
    both.to = Some("204".parse().unwrap());
    assert_eq!(not_begun(&haringey, &both).await, "event.form");
    // Their own check, before anything is sent.
    let mut nameless = notice("900001", "plan");
    nameless.detail.as_mut().unwrap().remove("child_born");
    assert!(matches!(begin(&haringey, &nameless).await, Err(NotSaid::Malformed(_))));
    nameless.detail.as_mut().unwrap().insert("upn".into(), json!("A900001014001"));
    begun(&haringey, &nameless).await;
    // An ordinary event begins nothing.
    let stray = ReferralId::from_bytes([9; 16]);
    let call = Saying {
        code: Some("school".into()),
        ..Saying::with(EventKind::CallRecorded, json!({"at": "2026-11-24T10:00:00Z"}))
    };
    let (status, rule) = post(&haringey, &raw(&haringey, stray, &call, 0)).await;
    assert_eq!((status, rule.as_str()), (404, "referral.not-found"));
    let report = stage.gateway.exchange.store.check().await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
    assert_eq!(report.referrals, 1, "nothing is kept of what was refused");
}

/// An event as it goes out, signed by `author`.
struct Raw {
    id: ReferralId,
    token: String,
    certificates: String,
    body: Bytes,
}

fn raw(author: &Member, id: ReferralId, saying: &Saying, seen: u64) -> Raw {
    let mut document = saying.detail.clone().unwrap();
    document.insert("event".into(), json!(saying.kind.name()));
    document.insert("referral_id".into(), json!(id.to_string()));
    document.insert("salt".into(), json!("AAAAAAAAAAAAAAAAAAAAAA"));
    document.extend(saying.code.clone().map(|code| ("code".to_owned(), json!(code))));
    let body = Bytes::from(Value::Object(document).to_string());
    let identity = author.signing.as_ref().unwrap();
    let event = CaseEvent {
        iss: identity.party().clone(),
        aud: Audience::Scheme(author.scheme().clone()),
        iat: author.clock.now().seconds(),
        jti: "AAAAAAAAAAAAAAAAAAAAAA".into(),
        sub_id: Subject(id),
        toe: None,
        attested: None,
        said: (
            saying.kind,
            CaseEventBody {
                code: saying.code.clone(),
                to: saying.to,
                school: saying.school.clone(),
                detail_sha256: Some(sha256(&body)),
                ..CaseEventBody::seen(seen)
            },
        ),
    };
    let token = event.sign(identity.signer(), identity.x5t()).unwrap();
    Raw { id, token, certificates: identity.chain().to_header(), body }
}

/// The status, and the record or the rule.
async fn post(sender: &Member, raw: &Raw) -> (u16, String) {
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    let fields = vec![
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (TOKEN, value(&raw.token)),
        (CERTIFICATES, value(&raw.certificates)),
    ];
    let path = format!("/v1/referrals/{}/events", raw.id);
    let response = sender.client.post(&path, fields, raw.body.clone()).await.unwrap();
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    let said = body["recorded"].as_str().or(body["violations"][0]["rule"].as_str());
    (response.status.as_u16(), said.unwrap().to_owned())
}

/// The same opening again is its record again; another under its id, or somebody else's, is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_stands_for_one_thread() {
    let mut stage = Stage::at("2026-11-24T10:00:00Z".parse().unwrap()).await;
    let haringey = stage.worker(HARINGEY).await;
    let hackney = stage.worker(HACKNEY).await;
    let document = stage.stream.document(MARSH_LANE, HARINGEY);
    let school = &stage.schools[MARSH_LANE];
    let id = ReferralId::from_bytes(*b"one notice, once");
    let first = raw(&haringey, id, &notice("900001", "plan"), 0);
    // Sent over another's connection, or above another's name.
    assert_eq!(post(&hackney, &first).await, (403, "event.signer-is-not-the-peer".into()));
    let (status, record) = post(&haringey, &first).await;
    assert_eq!(status, 201);
    stage.hand.advance(HOUR);
    for _ in 0..3 {
        assert_eq!(post(&haringey, &first).await, (200, record.clone()), "byte for byte");
    }
    let other = raw(&haringey, id, &notice("900002", "plan"), 0);
    assert_eq!(post(&haringey, &other).await, (409, "opening.id-used".into()));
    let late = raw(&haringey, id, &notice("900001", "other"), 1);
    assert_eq!(post(&haringey, &late).await, (409, "opening.id-used".into()));
    let foreign = raw(&hackney, id, &notice("900001", "plan"), 0);
    assert_eq!(post(&hackney, &foreign).await, (404, "referral.not-found".into()));
    let theirs = raw(school, id, &consultation("309", "not_sure"), 0);
    assert_eq!(post(school, &theirs).await, (409, "opening.id-used".into()), "the school sees it");
    // A thread that has not begun is on top of nothing.
    let ahead = raw(&haringey, ReferralId::from_bytes([3; 16]), &notice("900001", "plan"), 1);
    assert_eq!(post(&haringey, &ahead).await, (409, "event.not-seen".into()));
    // A referral cannot take the id, whoever sends it, nor an opening that of a referral.
    let taken = document.changed(|v| v["referral_id"] = json!(id.to_string()));
    let taken = exchange_support::Document::of(taken.value, MARSH_LANE, HARINGEY);
    let answer = exchange_support::post(school, &taken).await.unwrap();
    let problem = exchange_support::problem(&answer, 409);
    assert_eq!(problem.violations[0].rule, "submission.id-unusable");
    let own = raw(school, ReferralId::from_bytes([4; 16]), &consultation("309", "not_sure"), 0);
    assert_eq!(post(school, &own).await.0, 201);
    let taken = document.changed(|v| v["referral_id"] = json!(own.id.to_string()));
    let taken = exchange_support::Document::of(taken.value, MARSH_LANE, HARINGEY);
    let answer = exchange_support::post(school, &taken).await.unwrap();
    let problem = exchange_support::problem(&answer, 409);
    assert_eq!(problem.violations[0].rule, "submission.id-unusable");
    let sent = stage.accepted(document).await;
    let school = &stage.schools[MARSH_LANE];
    let over = raw(school, sent.document.id, &consultation("309", "not_sure"), 0);
    assert_eq!(post(school, &over).await, (409, "opening.id-used".into()));
    let report = stage.gateway.exchange.store.check().await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
}

/// Of many at once under one id one begins it, and twins get its record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_openings_under_one_id_one_counts() {
    let stage = Stage::at("2026-11-24T10:00:00Z".parse().unwrap()).await;
    let haringey = stage.worker(HARINGEY).await;
    for n in 0..8 {
        let id = ReferralId::from_bytes([n + 1; 16]);
        let all =
            ["plan", "other", "sibling"].map(|code| raw(&haringey, id, &notice("900001", code), 0));
        let (a, b, c, twin) = tokio::join!(
            post(&haringey, &all[0]),
            post(&haringey, &all[1]),
            post(&haringey, &all[2]),
            post(&haringey, &all[0])
        );
        let answers = [a, b, c, twin];
        let good: Vec<_> = answers.iter().filter(|(status, _)| *status < 300).collect();
        assert!(good.windows(2).all(|pair| pair[0].1 == pair[1].1), "one record: {answers:?}");
        assert_eq!(good.iter().filter(|(status, _)| *status == 201).count(), 1, "{answers:?}");
        assert!(
            answers.iter().all(|(s, rule)| *s < 300 || rule == "opening.id-used"),
            "{answers:?}"
        );
        assert_eq!(look(&haringey, id).await.unwrap().events.len(), 1);
    }
}

/// A school for which the gateway attests asks too; lost answers change nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_without_a_key_of_its_own_begins_a_thread_once() {
    let stage = Stage::at("2026-11-24T10:00:00Z".parse().unwrap()).await;
    let (newham, school) = (stage.worker(NEWHAM).await, &stage.schools[ST_BRANNOCKS]);
    let asked = consultation("316", "child_in_need");
    let id = begun(school, &asked).await;
    let state = look(&newham, id).await.unwrap();
    assert_eq!((state.school.as_str(), state.authority.code.as_str()), ("school/900003", "316"));
    let attested = state.events[0].attested_by.as_deref();
    assert_eq!(attested, Some("spiffe://demo.ecaf.example/gateway/sandbox"));
    let recorded = lose_the_answer(school, id);
    let first = std::fs::read(&recorded).unwrap();
    std::fs::remove_file(&recorded).unwrap();
    stage.hand.advance(HOUR);
    assert_eq!(begun(school, &asked).await, id, "its statement is known again");
    assert_eq!(std::fs::read(&recorded).unwrap(), first);
    assert_eq!(follow(school, id).await.unwrap().proven.unwrap().statements.len(), 2);
    let report = stage.gateway.exchange.store.check().await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
    assert_eq!(report.referrals, 1);
}

/// As if this machine had died before the record of the thread's beginning was kept: where that record was.
fn lose_the_answer(member: &Member, id: ReferralId) -> PathBuf {
    std::fs::create_dir_all(member.state.join("openings")).unwrap();
    std::fs::write(member.state.join("openings").join(id.to_string()), "").unwrap();
    let events = member.state.join("referrals").join(id.to_string()).join("events");
    let all = std::fs::read_dir(&events).unwrap().map(|f| f.unwrap().path());
    let mut recorded = all.filter(|f| f.to_str().unwrap().ends_with(".recorded.json"));
    recorded.next().expect("it was recorded")
}

/// The gateway's process is killed at any moment while a worker gives notice after notice: each is begun
/// once, whoever had to say it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_survive_a_gateway_that_is_killed() {
    const NOTICES: usize = 24;
    let scene = Scene::now(QUICK);
    let mut gateway = scene.start_gateway();
    gateway.wait_ready().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let worker = inside::worker(&scene, HARINGEY, &clock).await;
    let said = |n: usize| {
        let mut saying = notice("900001", "other");
        saying.detail.as_mut().unwrap().insert("told".into(), json!(format!("Notice {n}.")));
        saying
    };
    let speaking = tokio::spawn(async move {
        let (mut ids, mut lost) = (Vec::new(), 0);
        for n in 0..NOTICES {
            let id = loop {
                match begin(&worker, &said(n)).await {
                    Ok((id, _)) => break id,
                    Err(NotSaid::NoAnswer(_) | NotSaid::NotKnown) => lost += 1,
                    Err(other) => panic!("{n}: {other:?}"),
                }
            };
            ids.push(id);
        }
        (worker, ids, lost)
    });
    let (kills, mut random) = killing::moments(5, 6);
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(150 + random.below(120) as u64)).await;
        gateway.kill();
        gateway = scene.start_gateway();
        gateway.wait_ready().unwrap();
    }
    let (worker, ids, lost) = speaking.await.unwrap();
    println!("{kills} kills, {lost} calls without an answer");
    for (n, id) in ids.iter().enumerate() {
        let state = look(&worker, *id).await.unwrap();
        assert_eq!(state.position, 1);
        let named = state.events[0].detail_sha256.as_deref().unwrap();
        let document = detail(&worker, *id, named).await.unwrap().unwrap();
        assert_eq!(document["told"], format!("Notice {n}."));
        follow(&worker, *id).await.unwrap().proven.unwrap();
    }
    assert!(openings(&worker).is_empty());
    gateway.kill();
    let report = scene.gateway().await.check().await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
    assert_eq!(report.referrals, NOTICES as u64, "each once");
}

fn openings(member: &Member) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(member.state.join("openings"));
    folder.map_or_else(|_| Vec::new(), |all| all.map(|f| f.unwrap().path()).collect())
}

/// The machine that begins a thread, or the gateway, dies at any point: the thread is begun once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_is_begun_once_whatever_dies() {
    let mut stage = Stage::at("2026-11-24T10:00:00Z".parse().unwrap()).await;
    let haringey = stage.worker(HARINGEY).await;
    // The gateway is away: signed and kept, and nobody has it.
    stage.gateway.stop().await;
    let one = notice("900001", "plan");
    // It tries for a second of its own clock.
    let passes = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stage.hand.advance(SECOND);
        }
    };
    let not = tokio::select! {
        said = begin(&haringey, &one) => said.unwrap_err(),
        () = passes => unreachable!("time goes on for ever"),
    };
    assert!(matches!(not, NotSaid::NoAnswer(_) | NotSaid::NotKnown), "{not:?}");
    let kept = openings(&haringey);
    assert_eq!(kept.len(), 1);
    let id: ReferralId = kept[0].file_name().unwrap().to_str().unwrap().parse().unwrap();
    stage.gateway = Gateway::open(&stage.scene, &stage.clock, eager()).await;
    stage.hand.advance(SECOND);
    assert_eq!(begun(&haringey, &one).await, id, "the id is made once");
    assert!(openings(&haringey).is_empty());
    // The machine dies after it was recorded: the answer is lost, then only the note that it is settled.
    let recorded = lose_the_answer(&haringey, id);
    let first = std::fs::read(&recorded).unwrap();
    std::fs::remove_file(&recorded).unwrap();
    assert_eq!(begun(&haringey, &one).await, id);
    assert_eq!(std::fs::read(&recorded).unwrap(), first, "the same bytes, the same record");
    // Something else is to be said meanwhile: the first is settled too, and both are there.
    std::fs::write(&kept[0], "").unwrap();
    std::fs::remove_file(&recorded).unwrap();
    let other = begun(&haringey, &notice("900002", "plan")).await;
    assert_ne!(other, id);
    assert!(recorded.exists() && openings(&haringey).is_empty());
    // Said again on purpose, once all is settled, it is another notice.
    assert_ne!(begun(&haringey, &one).await, id);
    let report = stage.gateway.exchange.store.check().await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
    assert_eq!(report.referrals, 3);
}

/// A gateway whose clock is wrong lets nobody in. That is no answer about what it took before: the opening is
/// kept, and the same bytes bring the record once the clock is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_in_has_not_been_refused() {
    let now = "2026-11-24T10:00:00Z".parse().unwrap();
    let stage = Stage::at(now).await;
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(now));
    let haringey = inside::worker(&stage.scene, HARINGEY, &clock).await;
    let one = notice("900001", "plan");
    let id = begun(&haringey, &one).await;
    let recorded = lose_the_answer(&haringey, id);
    let first = std::fs::read(&recorded).unwrap();
    std::fs::remove_file(&recorded).unwrap();
    stage.hand.advance(3_650 * 24 * HOUR);
    let path = format!("/v1/referrals/{id}");
    let not = haringey.client.get(&path, Vec::new()).await.unwrap();
    assert_eq!(not.status, http::StatusCode::FORBIDDEN, "on the connection of before");
    let not = begin(&haringey, &one).await.unwrap_err();
    assert!(matches!(not, NotSaid::NotKnown), "{not:?}");
    assert_eq!(openings(&haringey).len(), 1);
    stage.hand.advance(-3_650 * 24 * HOUR);
    assert_eq!(begun(&haringey, &one).await, id);
    assert_eq!(std::fs::read(&recorded).unwrap(), first, "the same bytes, the same record");
    assert!(openings(&haringey).is_empty());
}

/// The same for a referral, with the reason; what was never sent before is refused for certain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_referral_sent_before_is_not_refused_by_who_does_not_look() {
    let mut stage = Stage::now().await;
    let today = stage.clock.now().in_england().0;
    let [sent, unsent] = [(); 2]
        .map(|()| compose(&stage.stream.document(MARSH_LANE, HARINGEY).bytes, today).unwrap());
    let own: Arc<dyn Clock> = Arc::new(FixedClock::at(stage.clock.now()));
    let school = inside::school(&stage.scene, MARSH_LANE, &own).await;
    let first = submit(&school, &sent, |_, _| ()).await.unwrap();
    stage.hand.advance(3_650 * 24 * HOUR);
    match submit(&school, &sent, |_, _| ()).await.unwrap_err() {
        NotSubmitted::NotKnown { problem: Some(problem), .. } => assert_eq!(problem.status, 403),
        other => panic!("{other:?}"),
    }
    let not = submit(&school, &unsent, |_, _| ()).await.unwrap_err();
    assert!(matches!(not, NotSubmitted::Refused(_)), "{not:?}");
    stage.hand.advance(-3_650 * 24 * HOUR);
    let again = submit(&school, &sent, |_, _| ()).await.unwrap();
    assert!(!again.new && again.accepted.recorded_at == first.accepted.recorded_at);
    assert!(submit(&school, &unsent, |_, _| ()).await.unwrap().new);
}

/// Two who speak for an organisation share a folder: neither sends what the other one has signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_is_sent_by_who_signed_it_alone() {
    let stage = Stage::at("2026-11-24T10:00:00Z".parse().unwrap()).await;
    let (haringey, mut newham) = (stage.worker(HARINGEY).await, stage.worker(NEWHAM).await);
    newham.state = haringey.state.clone();
    let one = notice("900001", "plan");
    let id = begun(&haringey, &one).await;
    let recorded = lose_the_answer(&haringey, id);
    std::fs::remove_file(&recorded).unwrap();
    begun(&newham, &notice("900002", "plan")).await;
    assert_eq!(openings(&haringey).len(), 1, "still the other one's to settle");
    assert_eq!(begun(&haringey, &one).await, id);
    assert!(openings(&haringey).is_empty());
}

/// The feed of each side has the thread, and what proves it can be changed by nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_poll_it_and_no_forgery_verifies() {
    let stage = Stage::at("2026-11-24T10:00:00Z".parse().unwrap()).await;
    let (haringey, school) = (stage.worker(HARINGEY).await, &stage.schools[MARSH_LANE]);
    let id = begun(&haringey, &notice("900001", "plan")).await;
    for member in [&haringey, school] {
        exchange_support::eventually("the notice", async || {
            let all = told(member).await;
            all.contains(&(id.to_string(), "pupil_notice".into())).then_some(())
        })
        .await;
    }
    let path = format!("/v1/referrals/{id}/evidence");
    let answer = school.client.get(&path, Vec::new()).await.unwrap();
    let bundle = Bundle::parse(&answer.body).unwrap();
    let trust = school.trust.store();
    let verify = |bundle: &Bundle| bundle.verify(&trust, school.scheme());
    assert_eq!(verify(&bundle).unwrap().statements.len(), 2);
    for spoil in [
        |b: &mut Bundle| drop(b.tokens.remove(0)),
        |b: &mut Bundle| drop(b.tokens.remove(1)),
        |b: &mut Bundle| b.referral_id = ReferralId::from_bytes([1; 16]),
        |b: &mut Bundle| b.certificates.clear(),
    ] {
        let mut spoiled = bundle.clone();
        spoil(&mut spoiled);
        assert!(verify(&spoiled).is_err());
    }
    // Wrong child: nothing of it is shown any more, to either side.
    let wrong = Saying { code: Some("wrong_child".into()), ..Saying::of(EventKind::Misidentified) };
    ok(school, id, &wrong).await;
    for member in [&haringey, school] {
        let state = look(member, id).await.unwrap();
        assert!(state.misidentified);
        let shown: Vec<_> = state.events.iter().map(|e| e.event.as_str()).collect();
        assert_eq!(shown, ["misidentified"]);
    }
}
