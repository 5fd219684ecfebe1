//! What schools and authorities have told the operator, at work: school days, holiday contacts, promises,
//! contacts that change. Real sockets, certificates and stores; only the clock is the test's.

mod exchange_support;

use ecaf::domain::case::EventKind;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::gateway::remind::{self, Stumbled};
use ecaf::party::look::{State, look};
use ecaf::party::member::Member;
use ecaf::party::say::{Said, Saying, say};
use ecaf::protocol::directory::{
    CalendarDoc, HolidayContactDoc, Overlay, ProfileDoc, SchoolDoc, SpanDoc, accept,
};
use ecaf::protocol::trust::{Chain, Purpose};
use exchange_support::stage::{MARSH_LANE, Stage};
use exchange_support::story::Story;
use exchange_support::{Document, HACKNEY, HARINGEY, example, post};
use serde_json::json;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn marsh_lane(overlay: &mut Overlay) -> &mut SchoolDoc {
    overlay.schools.iter_mut().find(|s| s.id == "900001").unwrap()
}

/// The summer of 2027: term ends on 21 July, staff are in on 2 September, pupils on the day after.
fn summer(overlay: &mut Overlay) {
    let span = |first: &str, last: &str| SpanDoc { first: first.into(), last: last.into() };
    let school = marsh_lane(overlay);
    school.calendar = Some(CalendarDoc {
        terms: vec![span("2027-06-07", "2027-07-21"), span("2027-09-02", "2027-10-22")],
        inset_days: vec!["2027-09-02".into()],
        opens: Some("08:40".into()),
        home_time: Some("15:20".into()),
        ..CalendarDoc::default()
    });
    school.holiday_contact = Some(HolidayContactDoc {
        role: "deputy_safeguarding_lead".into(),
        phone: Some("020 7946 0777".into()),
        email: None,
        hours: Some("mon-fri 10:00-16:00".into()),
        verified_at: Some("2027-07-20".into()),
        verified_by: Some("sandbox".into()),
    });
    let haringey = overlay.authorities.iter_mut().find(|a| a.code == "309").unwrap();
    haringey.profile = Some(ProfileDoc {
        limits: [("C5".to_owned(), "4 h of business".to_owned())].into(),
        head_of_service: true,
    });
}

fn acknowledgement() -> Saying {
    let worker = json!({"name": "Ada Example", "role": "Social worker", "phone": "01632 960123"});
    Saying::with(EventKind::Acknowledged, json!({"worker": worker, "reference": "HGY-2027-000001"}))
}

fn decision() -> Saying {
    let document = json!({
        "disclosure": "outcome", "reason": "A clear account.", "school_should": "Keep a chronology.",
        "how_to_challenge": "Ring the team manager.", "referrer_spoken_to": true, "child_seen": true,
        "what_would_change": "A new account.", "other_support": "The family centre."
    });
    Saying {
        code: Some("assessment".into()),
        children: vec![1],
        ..Saying::with(EventKind::Decided, document)
    }
}

async fn ok(member: &Member, id: ReferralId, saying: &Saying) -> Said {
    say(member, id, saying).await.unwrap_or_else(|not| panic!("{:?}: {not:?}", saying.kind))
}

impl Story {
    /// A referral of Marsh Lane that is stored at Haringey, in a scheme whose directory says this.
    async fn told(now: &str, change: impl FnOnce(&mut Overlay)) -> Self {
        let mut stage = Stage::with_overlay(at(now), change).await;
        let authority = stage.authority(HARINGEY).await;
        let document = stage.stream.document(MARSH_LANE, HARINGEY);
        let sent = stage.accepted(document).await;
        stage.until(&sent, "stored").await;
        let worker = stage.worker(HARINGEY).await;
        Self { stage, sent, worker, authority }
    }
}

fn clock<'s>(state: &'s State, id: &str, about: &str) -> &'s ecaf::party::look::Clock {
    let found = state.clocks.iter().find(|c| c.clock == id && c.about.starts_with(about));
    found.unwrap_or_else(|| panic!("no {id} {about} in {:?}", state.clocks))
}

/// Scenario A13: the decision arrives in August. The holiday contact is named, and the limit for
/// reading it is the school's own next day with pupils, not a guessed one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_decision_in_august_goes_to_the_holiday_contact() {
    let story = Story::told("2027-08-09T09:00:00Z", summer).await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    let state = look(school, id).await.unwrap();
    let c5 = clock(&state, "C5", "referral");
    assert_eq!(c5.due_at, "2027-08-09T13:00:00.000Z", "four hours of business are promised");
    story.stage.hand.set(at("2027-08-10T10:00:00Z"));
    ok(haringey, id, &acknowledgement()).await;
    let decided = ok(haringey, id, &decision()).await;

    let state = look(school, id).await.unwrap();
    let c12 = clock(&state, "C12", "event");
    assert_eq!(c12.started_at, "2027-08-10T10:00:00.000Z");
    // Friday 3 September 2027 at 15:00 summer time: the day before is INSET.
    assert_eq!(c12.due_at, "2027-09-03T14:00:00.000Z");
    assert!(!c12.assumed, "its days are known");
    assert_eq!(c12.state, "running");

    // Three days later nobody has read it: the holiday contact is whom to ask, with number and hours;
    // nobody is late.
    story.stage.hand.set(at("2027-08-10T10:00:00Z").plus(3 * DAY));
    for viewer in [school, haringey] {
        let state = look(viewer, id).await.unwrap();
        assert_eq!(clock(&state, "C12", "event").state, "running");
        let asked = state.clocks.iter().find(|c| c.clock == "C12").unwrap();
        let contact = asked.ask.first().expect("somebody to ask");
        assert_eq!(contact.role, "holiday contact");
        assert_eq!(contact.of, "school/900001");
        let way = contact.way.as_ref().expect("a way to reach them");
        assert_eq!(way.label, "deputy safeguarding lead");
        assert_eq!(way.phone.as_deref(), Some("020 7946 0777"));
        assert_eq!(way.hours.as_deref(), Some("mon-fri 10:00-16:00"));
    }
    let read = Saying { answers: Some(decided.position), ..Saying::of(EventKind::Read) };
    ok(school, id, &read).await;
    let state = look(school, id).await.unwrap();
    assert_eq!(clock(&state, "C12", "event").state, "in time");
}

/// Scenario A13, where nobody reads it: it is late on the first school days of September and not one day
/// of August sooner; that is recorded once, and from then on the deputy is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_decision_that_nobody_reads_is_late_in_september() {
    let story = Story::told("2027-08-31T09:00:00Z", summer).await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    story.stage.hand.set(at("2027-08-31T10:00:00Z"));
    ok(haringey, id, &acknowledgement()).await;
    let decided = ok(haringey, id, &decision()).await;
    let about = format!("event-{}", decided.position);
    let breaches = async || {
        remind::look(&story.stage.gateway.exchange, "test", &mut Stumbled::default())
            .await
            .unwrap();
        let state = look(school, id).await.unwrap();
        let late = |e: &&ecaf::party::look::Event| {
            e.event == "clock_breached" && e.code.as_deref() == Some("C12")
        };
        (state.events.iter().filter(late).count(), state)
    };
    // 3 September 2027 at 15:00 by summer time, to the second.
    for quiet in ["2027-08-31T14:00:01Z", "2027-09-01T14:00:01Z", "2027-09-03T13:59:59Z"] {
        story.stage.hand.set(at(quiet));
        let (late, state) = breaches().await;
        assert_eq!(late, 0, "{quiet}");
        let c12 = state.clocks.iter().find(|c| c.clock == "C12" && c.about == about).unwrap();
        assert!(!matches!(c12.state.as_str(), "overdue" | "late"), "{quiet}: {}", c12.state);
    }
    story.stage.hand.set(at("2027-09-03T14:00:01Z"));
    let state = exchange_support::eventually("the breach", async || {
        let (late, state) = breaches().await;
        (late == 1).then_some(state)
    })
    .await;
    let c12 = state.clocks.iter().find(|c| c.clock == "C12" && c.about == about).unwrap();
    assert_eq!(c12.state, "overdue");
    let asked: Vec<_> = c12.ask.iter().map(|c| (c.role.as_str(), c.of.as_str())).collect();
    assert_eq!(asked, [("deputy safeguarding lead", "school/900001")], "school is open again");
    story.stage.hand.advance(DAY);
    assert_eq!(breaches().await.0, 1, "once");
}

/// The same days where nobody has told anything are a guess, and say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_that_nobody_has_told_are_assumed_and_marked() {
    let story = Story::told("2027-08-09T09:00:00Z", |_| {}).await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    story.stage.hand.set(at("2027-08-10T10:00:00Z"));
    ok(haringey, id, &acknowledgement()).await;
    ok(haringey, id, &decision()).await;
    let state = look(school, id).await.unwrap();
    let c12 = clock(&state, "C12", "event");
    assert_eq!((c12.due_at.as_str(), c12.assumed), ("2027-09-01T14:00:00.000Z", true));
    assert_eq!(clock(&state, "C5", "referral").due_at, "2027-08-10T16:00:00.000Z");
}

impl Story {
    /// Reads the present file of the directory, as a gateway does when it changes.
    fn reload_directory(&self) {
        let exchange = &self.stage.gateway.exchange;
        let path = self.stage.scene.world.folder().join("directory.signed.json");
        let (bytes, now) = (std::fs::read(path).unwrap(), self.stage.clock.now());
        let trust = exchange.trust.store();
        let verify = |chain: &Chain| trust.verify(chain, Purpose::Signing, now);
        exchange.directory.offer(|in_use| accept(&bytes, verify, now, in_use)).unwrap();
    }

    async fn says(&self, member: &Member, saying: &Saying) -> Said {
        ok(member, self.id(), saying).await
    }
}

fn contacts(name: &str) -> Saying {
    let person = json!({"name": name, "role": "Team manager", "phone": "01632 960555"});
    Saying::with(EventKind::ContactsChanged, json!({"contacts": [person]}))
}

/// The contacts beside a referral are those of the directory in use, whatever its receipt said; what a
/// party says itself is chased until the other side confirms it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_the_present_ones_and_a_change_is_chased() {
    let story = Story::told("2026-11-23T10:00:00Z", |_| {}).await;
    let (id, haringey, school) = (story.id(), &story.worker, story.school());
    let numbers = |state: &State| -> Vec<String> {
        state.contacts.iter().filter_map(|way| way.phone.clone()).collect()
    };
    let before = look(school, id).await.unwrap();
    assert!(numbers(&before).contains(&"020 7946 0309".to_owned()), "{:?}", before.contacts);
    story.stage.scene.sign_changed(3, "", story.stage.clock.now(), |overlay| {
        let haringey = overlay.authorities.iter_mut().find(|a| a.code == "309").unwrap();
        haringey.contacts[0].phone = Some("020 7946 0333".into());
    });
    story.reload_directory();
    let after = look(school, id).await.unwrap();
    assert!(numbers(&after).contains(&"020 7946 0333".to_owned()));
    assert!(!numbers(&after).contains(&"020 7946 0309".to_owned()), "not those of the receipt");
    assert!(after.authority.help.contains("020 7946 0333"));
    let again = post(school, &story.sent.document).await.unwrap();
    let again: serde_json::Value = serde_json::from_slice(&again.body).unwrap();
    assert_eq!(again["accepted"], story.sent.receipt.accepted, "the same receipt");
    assert_eq!(again["contacts"][0]["phone"], "020 7946 0333", "and today's contacts beside it");

    // The authority says whom to ask from now on: it waits for the school, until 15:00 tomorrow.
    story.says(haringey, &acknowledgement()).await;
    let first = story.says(haringey, &contacts("Eli Example")).await;
    let second = story.says(haringey, &contacts("Fay Example")).await;
    let state = look(school, id).await.unwrap();
    let changes: Vec<_> =
        state.changed_contacts.iter().map(|c| (c.position, c.confirmed)).collect();
    assert_eq!(changes, [(second.position, false)], "the newest alone");
    assert_eq!(state.attention.as_deref(), Some("waiting_on_school"));
    let r2 = clock(&state, "R2", &format!("event-{}", second.position));
    assert_eq!((r2.state.as_str(), r2.due_at.as_str()), ("running", "2026-11-24T15:00:00.000Z"));
    let r2 = clock(&state, "R2", &format!("event-{}", first.position));
    assert_eq!(r2.state, "ended", "overtaken");
    story.stage.hand.set(at("2026-11-24T15:30:00Z"));
    remind::look(&story.stage.gateway.exchange, "test", &mut Stumbled::default()).await.unwrap();
    let state = look(school, id).await.unwrap();
    let r2 = clock(&state, "R2", &format!("event-{}", second.position));
    assert_eq!(r2.state, "overdue");
    assert_eq!(r2.ask[0].role, "deputy safeguarding lead");
    let breached = |state: &State, code: &str| {
        let of = |e: &&ecaf::party::look::Event| e.code.as_deref() == Some(code);
        state.events.iter().filter(|e| e.event == "clock_breached").filter(of).count()
    };
    assert_eq!(breached(&state, "R2"), 1);
    let confirmed =
        Saying { answers: Some(second.position), ..Saying::of(EventKind::ContactsConfirmed) };
    story.says(school, &confirmed).await;
    let third = story.says(haringey, &contacts("Gil Example")).await;
    let state = look(school, id).await.unwrap();
    let changes: Vec<_> =
        state.changed_contacts.iter().map(|c| (c.position, c.confirmed)).collect();
    let expected = [(second.position, true), (third.position, false)];
    assert_eq!(changes, expected, "the confirmed one stands until the next is");

    // The other way round the authority has a working day.
    let ours = story.says(school, &contacts("Hal Example")).await;
    let state = look(haringey, id).await.unwrap();
    let r2 = clock(&state, "R2", &format!("event-{}", ours.position));
    assert_eq!(r2.due_at, "2026-11-25T17:00:00.000Z");
}

/// One that is complete and can wait.
fn whole() -> Document {
    Document::of(example("a08b-help-refused-child-in-need"), MARSH_LANE, HACKNEY)
}

/// An urgent-minimal referral is asked for its rest once, a day later, unless somebody has acknowledged it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplement_is_asked_for_once_and_not_after_the_acknowledgement() {
    let mut story = Story::told("2026-11-23T10:00:00Z", |_| {}).await;
    let minimal = |story: &mut Story| story.stage.stream.document(MARSH_LANE, HARINGEY);
    let (silent, answered) = (minimal(&mut story), minimal(&mut story));
    let silent = story.stage.accepted(silent).await;
    let answered = story.stage.accepted(answered).await;
    for sent in [&silent, &answered] {
        story.stage.until(sent, "stored").await;
    }
    let school = story.school();
    ok(&story.worker, answered.document.id, &acknowledgement()).await;
    let reminders = async |id: ReferralId| {
        remind::look(&story.stage.gateway.exchange, "test", &mut Stumbled::default())
            .await
            .unwrap();
        let state = look(school, id).await.unwrap();
        let of = |e: &&ecaf::party::look::Event| e.code.as_deref() == Some("R1");
        let events = state.events.iter().filter(of).map(|e| e.event.clone()).collect::<Vec<_>>();
        (events, clock(&state, "R1", "referral").state.clone(), state)
    };
    let id = silent.document.id;
    let (none, running, state) = reminders(id).await;
    assert_eq!((none.len(), running.as_str()), (0, "running"));
    assert_eq!(clock(&state, "R1", "referral").due_at, "2026-11-24T10:00:00.000Z");
    assert_ne!(
        state.attention.as_deref(),
        Some("waiting_on_school"),
        "the authority is waited for"
    );
    story.stage.hand.set(at("2026-11-24T10:00:01Z"));
    for _ in 0..2 {
        let (once, reminded, state) = reminders(id).await;
        assert_eq!((once, reminded.as_str()), (vec!["clock_warning".to_owned()], "reminded"));
        assert_eq!(clock(&state, "R1", "referral").ask[0].role, "safeguarding lead");
    }
    let (none, ended, _) = reminders(answered.document.id).await;
    assert_eq!((none.len(), ended.as_str()), (0, "ended"));
    story.stage.hand.set(at("2026-11-26T10:00:00Z"));
    assert_eq!(reminders(id).await.0, ["clock_warning"], "never late");
    let whole = story.stage.accepted(whole()).await;
    let state = look(school, whole.document.id).await.unwrap();
    assert!(!state.clocks.iter().any(|c| c.clock == "R1"), "nothing is missing in that one");
}

/// An urgent referral at an inbox that nobody reads says so at once, beside the receipt and in the
/// status, with the number to ring, until the school has recorded that it rang.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_reading_it_until_the_call_is_recorded() {
    // Saturday evening.
    let story = Story::told("2026-11-21T19:00:00Z", |_| {}).await;
    let (id, words) = (story.id(), "nobody is reading it before Mon 23 Nov 09:00: ring now");
    let school = story.school();
    let receipt = post(school, &story.sent.document).await.unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&receipt.body).unwrap();
    let beside = receipt["unattended"].as_str().expect("beside the receipt");
    assert!(beside.contains(words) && beside.contains("020 7946 0909"), "{beside}");
    let state = look(school, id).await.unwrap();
    let told = state.unattended.as_deref().expect("in the status");
    assert!(told.contains(words) && told.contains("020 7946 0909"), "{told}");
    assert!(state.deliveries[0].words.contains(words), "{}", state.deliveries[0].words);
    let rang = Saying {
        code: Some("out_of_hours".into()),
        ..Saying::with(
            EventKind::CallRecorded,
            json!({"at": "2026-11-21T19:00:00Z", "spoke_to": "Duty desk"}),
        )
    };
    story.says(school, &rang).await;
    let state = look(school, id).await.unwrap();
    assert_eq!(state.unattended, None);
    assert!(!state.deliveries[0].words.contains("ring now"), "{}", state.deliveries[0].words);

    // One that can wait says nothing of the kind; nor an urgent one while somebody is there.
    let answer = post(story.school(), &whole()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(answer["accepted"].is_string() && answer["unattended"].is_null(), "{answer}");
    story.stage.hand.set(at("2026-11-23T09:00:00Z"));
    let receipt = post(story.school(), &story.sent.document).await.unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&receipt.body).unwrap();
    assert!(receipt["unattended"].is_null());
}
