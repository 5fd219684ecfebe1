//! What schools and authorities have told the operator, at work: school days, holiday contacts, promises,
//! contacts that change. Real sockets, certificates and stores; only the clock is the test's.

mod exchange_support;

use ecaf::domain::case::EventKind;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::party::look::{State, look};
use ecaf::party::member::Member;
use ecaf::party::say::{Said, Saying, say};
use ecaf::protocol::directory::{
    CalendarDoc, HolidayContactDoc, Overlay, ProfileDoc, SchoolDoc, SpanDoc,
};
use exchange_support::HARINGEY;
use exchange_support::stage::{MARSH_LANE, Stage};
use exchange_support::story::Story;
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
        assert_eq!(contact.label.as_deref(), Some("deputy safeguarding lead"));
        assert_eq!(contact.phone.as_deref(), Some("020 7946 0777"));
        assert_eq!(contact.hours.as_deref(), Some("mon-fri 10:00-16:00"));
    }
    let read = Saying { answers: Some(decided.position), ..Saying::of(EventKind::Read) };
    ok(school, id, &read).await;
    let state = look(school, id).await.unwrap();
    assert_eq!(clock(&state, "C12", "event").state, "in time");
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
