//! Threads as stories: what happened, and how every clock then stands.

mod details;
mod parts;
mod properties;
mod reminders;

use super::*;
use crate::domain::calendar::{AuthorityHours, Calendars, SchoolCalendar, Term};
use crate::domain::hours::{england_instant, england_text};
use crate::domain::party::{DfeCode, Organisation, SchoolId};
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::time::{DAY, Date, HOUR, MINUTE, SECOND, Timestamp};

/// A local time of 2026: `11-23 14:20`.
fn t(text: &str) -> Timestamp {
    let (day, time) = text.split_once(' ').unwrap();
    let (hour, minute) = time.split_once(':').unwrap();
    let minutes = hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap();
    england_instant(d(day), minutes)
}

fn d(text: &str) -> Date {
    format!("2026-{text}").parse().unwrap()
}

fn newham() -> DfeCode {
    "316".parse().unwrap()
}

fn hackney() -> DfeCode {
    "204".parse().unwrap()
}

fn school_id(text: &str) -> SchoolId {
    text.parse().unwrap()
}

fn by(authority: DfeCode) -> Organisation {
    Organisation::Authority(authority)
}

fn the_school() -> Organisation {
    Organisation::School(school_id("900001"))
}

fn exchange() -> Organisation {
    Organisation::Gateway("demo-1".parse().unwrap())
}

/// One thread that grows. The office of Newham is open from nine to five, Hackney's round the clock.
struct Story {
    thread: Thread,
    setting: Setting,
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.thread.facts).finish()
    }
}

impl Story {
    fn new() -> Self {
        let office = AuthorityHours {
            staffed: Some("mon-fri 09:00-17:00".parse().unwrap()),
            ..AuthorityHours::default()
        };
        let always = AuthorityHours { round_the_clock: true, ..office.clone() };
        let calendars = Calendars {
            authorities: [(newham(), office), (hackney(), always)].into(),
            ..Calendars::default()
        };
        let thread = Thread {
            school: school_id("900001"),
            request_type: RequestType::Protection,
            known_since: None,
            accused: Vec::new(),
            facts: Vec::new(),
        };
        Self { thread, setting: Setting { calendars, ..Setting::default() } }
    }

    /// Sent at a time with an urgency, and stored at Newham in the same second.
    fn sent(at: &str, urgency: Urgency) -> Self {
        let mut story = Self::new();
        let situation =
            What::Version { children: 1, urgency, in_school: false, goes_home_at: None };
        story.then(at, &the_school(), What::Submitted);
        story.then(at, &exchange(), What::Accepted { to: newham() });
        // Acceptance and first version are one step: they have one place.
        story.then(at, &the_school(), situation);
        story.thread.facts[2].position = 2;
        story.then(at, &by(newham()), What::Delivered { to: newham(), of: 2 });
        story
    }

    fn then(&mut self, at: &str, by: &Organisation, what: What) -> u32 {
        let position = self.thread.facts.len() as u32 + 1;
        self.thread.facts.push(Fact { at: t(at), position, by: by.clone(), what });
        position
    }

    fn newham(&mut self, at: &str, what: What) -> u32 {
        self.then(at, &by(newham()), what)
    }

    fn school(&mut self, at: &str, what: What) -> u32 {
        self.then(at, &the_school(), what)
    }

    fn read(&self, at: &str) -> Reading {
        read(&self.thread, &self.setting, t(at))
    }

    fn clock(&self, name: &str, at: &str) -> Clock {
        let clocks = self.read(at).clocks;
        let names: Vec<_> = clocks.iter().map(Clock::name).collect();
        clocks.into_iter().find(|c| c.name() == name).unwrap_or_else(|| panic!("{names:?}"))
    }

    /// `due Tue 24 Nov 17:00, running`.
    fn shows(&self, name: &str, at: &str) -> String {
        let clock = self.clock(name, at);
        format!("due {}, {}", england_text(clock.due_at), clock.state.as_str())
    }

    fn rings(&self, name: &str, at: &str) -> Vec<&'static str> {
        self.clock(name, at).contacts(t(at)).iter().map(|rung| rung.role.as_str()).collect()
    }
}

fn decided(assessed: bool) -> What {
    What::Decided { child: 1, assessed }
}

fn step(step: Step) -> What {
    What::Progress { child: 1, step, since: None }
}

#[test]
fn a1_a_disclosure_before_the_bell() {
    let mut story = Story::sent("11-23 14:20", Urgency::U1);
    story.thread.facts[2].what = What::Version {
        children: 1,
        urgency: Urgency::U1,
        in_school: true,
        goes_home_at: Some(t("11-23 15:15")),
    };
    let c4 = story.clock("C4 referral", "11-23 14:20");
    assert_eq!(england_text(c4.due_at), "Mon 23 Nov 14:40");
    assert!(c4.short_notice && c4.pages && !c4.assumed);
    assert_eq!(england_text(c4.warn_at.unwrap()), "Mon 23 Nov 14:25");
    assert_eq!(story.shows("C4 referral", "11-23 14:25"), "due Mon 23 Nov 14:40, near its limit");
    assert_eq!(story.shows("C4 referral", "11-23 14:40"), "due Mon 23 Nov 14:40, near its limit");
    assert_eq!(story.shows("C4 referral", "11-23 14:41"), "due Mon 23 Nov 14:40, overdue");
    assert_eq!(story.rings("C4 referral", "11-23 14:41"), ["MASH manager", "safeguarding lead"]);
    assert_eq!(story.shows("C1 referral", "11-23 14:41"), "due Mon 23 Nov 14:20, in time");
    assert_eq!(story.shows("C2 delivery-316-2", "11-23 14:41"), "due Mon 23 Nov 14:21, in time");
    assert_eq!(story.shows("C3 delivery-316-2", "11-23 14:41"), "due Mon 23 Nov 15:20, running");
    // A telephone call of the authority is an answer.
    story.newham("11-23 14:38", What::CallRecorded);
    assert_eq!(story.shows("C4 referral", "11-23 14:41"), "due Mon 23 Nov 14:40, in time");
}

#[test]
fn no_answer_before_home_time_is_owed_where_the_child_has_left_or_nobody_is_in_danger() {
    let mut story = Story::sent("11-23 15:30", Urgency::U1);
    let says = |urgency, goes_home_at: Option<&str>| What::Version {
        children: 1,
        urgency,
        in_school: true,
        goes_home_at: goes_home_at.map(t),
    };
    let mut c4 = |what: What| {
        story.thread.facts[2].what = what;
        let found = story.read("11-23 15:30").clocks;
        found.into_iter().find(|c| c.id == ClockId::C4).map(|c| (england_text(c.due_at), c.assumed))
    };
    assert_eq!(c4(says(Urgency::U1, None)), None, "15:15 is assumed");
    assert_eq!(c4(says(Urgency::U1, Some("11-23 15:30"))), None);
    assert_eq!(c4(says(Urgency::U2, Some("11-23 17:30"))), None);
    let club = c4(says(Urgency::U0, Some("11-23 17:30")));
    assert_eq!(club, Some(("Mon 23 Nov 15:50".to_owned(), false)));
    let tomorrow = c4(says(Urgency::U1, Some("11-24 15:30")));
    assert_eq!(tomorrow, Some(("Tue 24 Nov 14:30".to_owned(), false)));
}

#[test]
fn home_time_that_nobody_told_is_assumed() {
    let mut story = Story::sent("11-23 09:00", Urgency::U1);
    let says =
        What::Version { children: 1, urgency: Urgency::U1, in_school: true, goes_home_at: None };
    story.thread.facts[2].what = says;
    let c4 = story.clock("C4 referral", "11-23 09:00");
    assert_eq!((england_text(c4.due_at).as_str(), c4.assumed), ("Mon 23 Nov 14:15", true));
    assert!(!c4.short_notice);
    // A supplement that says sooner brings it forward; one that says later does not put it off.
    let sooner = |home| What::Version {
        children: 1,
        urgency: Urgency::U1,
        in_school: true,
        goes_home_at: Some(t(home)),
    };
    story.school("11-23 10:00", sooner("11-23 13:00"));
    assert_eq!(story.shows("C4 referral", "11-23 10:00"), "due Mon 23 Nov 12:00, running");
    story.school("11-23 10:30", sooner("11-23 17:00"));
    assert_eq!(story.shows("C4 referral", "11-23 10:30"), "due Mon 23 Nov 12:00, running");
    assert_eq!(story.rings("C4 referral", "11-23 12:16"), ["MASH manager", "safeguarding lead"]);
    story
        .setting
        .profiles
        .insert(newham(), Profile { head_of_service: true, ..Profile::default() });
    assert_eq!(story.rings("C4 referral", "11-23 12:16"), ["head of service"]);
}

#[test]
fn a_working_day_to_acknowledge_and_decide() {
    let mut story = Story::sent("11-20 16:30", Urgency::U1);
    assert_eq!(story.shows("C5 referral", "11-20 16:30"), "due Mon 23 Nov 17:00, running");
    let c5 = story.clock("C5 child-1", "11-21 10:00");
    assert_eq!(c5.class, Class::Statutory);
    assert_eq!(c5.still_until, Some(t("11-23 00:00")), "a Saturday");
    assert_eq!(story.shows("C5 referral", "11-23 13:00"), "due Mon 23 Nov 17:00, near its limit");
    story.newham("11-23 12:00", What::Opened);
    story.newham("11-23 15:00", What::Acknowledged);
    assert_eq!(story.shows("C5 referral", "11-24 09:00"), "due Mon 23 Nov 17:00, in time");
    assert_eq!(story.shows("C5 child-1", "11-24 09:00"), "due Mon 23 Nov 17:00, overdue");
    story.newham("11-24 10:00", decided(false));
    assert_eq!(story.shows("C5 child-1", "11-25 09:00"), "due Mon 23 Nov 17:00, late");
    let State::Breached { late: Some(mark), ended: None } =
        story.clock("C5 child-1", "11-25 09:00").state
    else {
        panic!("a breach stays one")
    };
    assert_eq!((mark.at, mark.position), (t("11-24 10:00"), 7));
}

#[test]
fn the_ladder_is_climbed_and_a_disagreement_offered() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    story.newham("11-23 11:00", What::Opened);
    let c5 = |at: &str| (story.rings("C5 child-1", at), story.read(at).offered_stage);
    assert_eq!(c5("11-24 17:00"), (vec![], None));
    assert_eq!(c5("11-24 17:01"), (vec!["team manager"], Some(1)));
    assert_eq!(c5("11-25 17:01"), (vec!["service manager"], Some(1)));
    assert_eq!(c5("11-26 17:01"), (vec!["service manager"], Some(2)));
    let clock = story.clock("C5 child-1", "11-24 09:00");
    assert_eq!(clock.next_contact(t("11-24 09:00")).unwrap().role, Role::TeamManager);
    assert_eq!(clock.next_news(t("11-24 09:00")), Some(t("11-24 13:00")));
    assert_eq!(clock.next_news(t("11-24 13:00")), Some(t("11-24 17:00").plus(1)));
}

#[test]
fn a_cut_off_is_for_what_can_wait() {
    let due = |urgency, cut_off, at: &str| {
        let mut story = Story::sent(at, urgency);
        let hours = story.setting.calendars.authorities.get_mut(&newham()).unwrap();
        hours.cut_off = Some(cut_off);
        england_text(story.clock("C5 referral", at).due_at)
    };
    let four = 16 * 60;
    assert_eq!(due(Urgency::U2, four, "11-20 16:30"), "Tue 24 Nov 17:00");
    assert_eq!(due(Urgency::U3, four, "11-20 16:00"), "Mon 23 Nov 17:00");
    assert_eq!(due(Urgency::U2, four, "11-21 10:00"), "Tue 24 Nov 17:00");
    assert_eq!(due(Urgency::U2, 9 * 60, "11-20 15:00"), "Mon 23 Nov 17:00", "not before four");
    assert_eq!(due(Urgency::U1, four, "11-20 16:30"), "Mon 23 Nov 17:00");
    assert_eq!(due(Urgency::U0, four, "11-21 10:00"), "Mon 23 Nov 17:00");
}

#[test]
fn no_cut_off_once_somebody_is_in_danger() {
    let mut story = Story::sent("11-20 16:30", Urgency::U2);
    let hours = story.setting.calendars.authorities.get_mut(&newham()).unwrap();
    hours.cut_off = Some(16 * 60);
    assert_eq!(story.shows("C5 child-1", "11-20 17:00"), "due Tue 24 Nov 17:00, running");
    let urgent =
        What::Version { children: 1, urgency: Urgency::U1, in_school: false, goes_home_at: None };
    story.school("11-20 17:30", urgent);
    assert_eq!(story.shows("C5 child-1", "11-20 18:00"), "due Mon 23 Nov 17:00, running");
}

#[test]
fn a2_a_transfer_keeps_the_clock_and_says_who_held_it() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    story.newham("11-23 10:30", What::Acknowledged);
    let proposed = story.newham("11-23 11:00", What::TransferProposed { to: hackney() });
    assert_eq!(story.shows("C8 event-6", "11-23 11:00"), "due Mon 23 Nov 15:00, running");
    assert_eq!(story.clock("C8 event-6", "11-23 11:00").waits_for, Some(by(hackney())));
    story.then("11-23 11:05", &by(hackney()), What::Delivered { to: hackney(), of: proposed });
    story.then("11-23 14:00", &by(hackney()), What::TransferAccepted { answers: proposed });
    assert_eq!(story.shows("C8 event-6", "11-23 14:00"), "due Mon 23 Nov 15:00, in time");
    let c5 = story.clock("C5 child-1", "11-24 09:00");
    assert_eq!(england_text(c5.due_at), "Tue 24 Nov 17:00");
    assert_eq!(c5.waits_for, Some(by(hackney())));
    assert_eq!(c5.ladder[0].of, by(hackney()));
    let held = |h: &Held| (h.authority.to_string(), h.in_transit, h.millis / MINUTE);
    let held: Vec<_> = c5.held.iter().map(held).collect();
    assert_eq!(held, [("316".to_owned(), false, 240), ("204".to_owned(), false, 19 * 60)]);
    assert_eq!(story.shows("C3 delivery-204-6", "11-23 16:00"), "due Mon 23 Nov 15:05, overdue");
    // Whose time a delivery or a proposal takes is clear, whoever holds the referral.
    let c8 = story.clock("C8 event-6", "11-24 09:00").held;
    assert_eq!(c8, [Held { authority: hackney(), in_transit: false, millis: 3 * HOUR }]);
    let c2 = story.clock("C2 delivery-204-6", "11-24 09:00").held;
    assert_eq!(c2, [Held { authority: hackney(), in_transit: true, millis: 5 * MINUTE }]);
    let segments = story.read("11-24 09:00").segments;
    assert_eq!(segments.len(), 2);
    assert_eq!((segments[0].to, segments[1].to), (t("11-23 14:00"), t("11-24 09:00")));
    // An acknowledgement of the new holder is none that was owed: the first one stands.
    story.then("11-24 10:00", &by(hackney()), What::Acknowledged);
    assert_eq!(story.shows("C5 referral", "11-24 10:00"), "due Tue 24 Nov 17:00, in time");
}

#[test]
fn an_acknowledgement_of_somebody_who_is_not_the_holder_does_not_count() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    let proposed = story.newham("11-23 11:00", What::TransferProposed { to: hackney() });
    story.then("11-23 11:05", &by(hackney()), What::Delivered { to: hackney(), of: proposed });
    story.then("11-23 11:10", &by(hackney()), What::Acknowledged);
    assert_eq!(story.shows("C5 referral", "11-23 12:00"), "due Tue 24 Nov 17:00, running");
    assert_eq!(story.shows("C3 delivery-204-5", "11-23 12:00"), "due Mon 23 Nov 15:05, in time");
    story.then("11-23 12:00", &by(hackney()), What::TransferDeclined { answers: proposed });
    assert_eq!(story.shows("C8 event-5", "11-23 12:00"), "due Mon 23 Nov 15:00, in time");
    assert_eq!(story.read("11-23 12:00").segments.len(), 1);
}

#[test]
fn a_proposal_taken_back_ends_what_was_waited_for_there() {
    let mut story = Story::sent("11-23 10:00", Urgency::U1);
    let proposed = story.newham("11-23 11:00", What::TransferProposed { to: hackney() });
    story.then("11-23 11:05", &by(hackney()), What::Delivered { to: hackney(), of: proposed });
    story.newham("11-23 11:20", What::TransferWithdrawn { answers: proposed });
    assert_eq!(story.shows("C8 event-5", "11-23 12:00"), "due Mon 23 Nov 11:30, ended");
    assert_eq!(story.shows("C3 delivery-204-5", "11-23 13:00"), "due Mon 23 Nov 12:05, ended");
    let late = {
        story.thread.facts.last_mut().unwrap().at = t("11-23 11:40");
        story.clock("C8 event-5", "11-23 12:00")
    };
    assert_eq!(late.state.as_str(), "overdue, then ended");
    assert!(late.state.is_breached() && !late.is_overdue());
    let places: Vec<_> = late.ladder.iter().map(|r| (r.role.as_str(), r.of.clone())).collect();
    assert_eq!(places, [("MASH manager", by(newham())), ("MASH manager", by(hackney()))]);
}

#[test]
fn a_question_stops_nothing_but_has_its_own_clock() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    let before = story.clock("C5 child-1", "11-23 11:00");
    let asked = story.newham("11-23 11:00", What::InformationRequested);
    assert_eq!(story.clock("C5 child-1", "11-23 11:00").due_at, before.due_at);
    assert_eq!(story.shows("C6 event-5", "11-23 11:00"), "due Tue 24 Nov 17:00, running");
    assert_eq!(story.read("11-23 11:00").attention, Attention::WaitingOnSchool);
    assert!(story.clock("C6 event-5", "11-23 12:00").held.is_empty(), "the school's own time");
    assert_eq!(story.read("11-23 11:00").waiting.unwrap().clock, ClockId::C6, "C3 is due first");
    assert_eq!(story.rings("C6 event-5", "11-24 17:01"), ["deputy safeguarding lead"]);
    story.school("11-23 12:00", What::InformationSupplied { answers: asked });
    assert_eq!(story.shows("C6 event-5", "11-23 12:00"), "due Tue 24 Nov 17:00, in time");
    assert_eq!(story.read("11-23 12:00").attention, Attention::WaitingOnAuthority);
    let mut urgent = Story::sent("11-23 10:00", Urgency::U1);
    urgent.newham("11-23 11:00", What::InformationRequested);
    assert_eq!(urgent.shows("C6 event-5", "11-23 11:00"), "due Mon 23 Nov 13:00, running");
}

#[test]
fn stored_and_opened_by_urgency() {
    let dues = |urgency| {
        let mut story = Story::sent("11-20 16:30", urgency);
        story.thread.facts.pop();
        let stored = story.clock("C2 delivery-316-2", "11-20 16:30");
        story.newham("11-20 16:30", What::Delivered { to: newham(), of: 2 });
        let opened = story.clock("C3 delivery-316-2", "11-20 16:30");
        let turns: Vec<_> = stored.ladder.iter().map(|r| r.at.since(stored.started_at)).collect();
        (
            stored.due_at.since(stored.started_at) / SECOND,
            turns[2] / MINUTE,
            england_text(opened.due_at),
            opened.pages,
        )
    };
    assert_eq!(dues(Urgency::U0), (60, 5, "Fri 20 Nov 16:45".to_owned(), true));
    assert_eq!(dues(Urgency::U1), (60, 5, "Fri 20 Nov 17:30".to_owned(), true));
    assert_eq!(dues(Urgency::U2), (900, 60, "Mon 23 Nov 12:30".to_owned(), false));
    assert_eq!(dues(Urgency::U3), (900, 60, "Mon 23 Nov 17:00".to_owned(), false));
}

#[test]
fn a9_nothing_stored_over_the_weekend() {
    let mut story = Story::sent("11-20 16:30", Urgency::U1);
    story.thread.facts.pop();
    assert_eq!(
        story.rings("C2 delivery-316-2", "11-20 16:32"),
        ["technical contact", "duty worker"]
    );
    assert_eq!(story.rings("C2 delivery-316-2", "11-20 16:35"), ["safeguarding lead"]);
    let reading = story.read("11-20 18:00");
    assert_eq!(reading.attention, Attention::Overdue);
    assert_eq!(reading.segments.len(), 1);
    assert!(reading.segments[0].in_transit, "the exchange still has it");
    assert!(reading.not_started.contains(&ClockId::C3));
    story.then("11-23 08:00", &exchange(), What::HandedOver { to: newham(), of: 2 });
    let held: Vec<_> = story.clock("C5 child-1", "11-23 09:00").held;
    assert_eq!(held.iter().map(|h| h.in_transit).collect::<Vec<_>>(), [true, false]);
    assert_eq!(story.shows("C5 child-1", "11-23 09:00"), "due Mon 23 Nov 17:00, running");
}

#[test]
fn more_urgent_than_was_thought() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    let says =
        |urgency| What::Version { children: 1, urgency, in_school: false, goes_home_at: None };
    story.school("11-23 10:20", says(Urgency::U0));
    assert_eq!(story.shows("C3 delivery-316-2", "11-23 10:20"), "due Mon 23 Nov 10:35, running");
    story.school("11-23 10:32", says(Urgency::U3));
    assert_eq!(
        story.shows("C3 delivery-316-2", "11-23 10:32"),
        "due Mon 23 Nov 10:35, near its limit"
    );
    assert_eq!(story.shows("C3 delivery-316-2", "11-23 10:36"), "due Mon 23 Nov 10:35, overdue");
    let mut opened = Story::sent("11-23 10:00", Urgency::U2);
    opened.newham("11-23 10:10", What::Opened);
    opened.school("11-23 10:20", says(Urgency::U0));
    assert_eq!(opened.shows("C3 delivery-316-2", "11-23 11:00"), "due Mon 23 Nov 14:00, in time");
}

#[test]
fn the_assessment_its_notes_and_the_conference() {
    let mut story = Story::sent("11-02 10:00", Urgency::U2);
    assert!(story.read("11-03 09:00").not_started.contains(&ClockId::C9));
    story.newham("11-03 10:00", decided(true));
    assert_eq!(story.shows("C7 child-1-5", "11-03 10:00"), "due Wed 4 Nov 17:00, running");
    story.newham("11-04 09:00", What::Allocated { child: 1 });
    assert_eq!(story.shows("C7 child-1-5", "11-04 09:00"), "due Wed 4 Nov 17:00, in time");
    // 45 working days from the referral, over Christmas and the New Year.
    let c9 = story.clock("C9 child-1", "11-04 09:00");
    assert_eq!(england_text(c9.due_at), "Thu 7 Jan 17:00");
    assert_eq!(england_text(c9.warn_at.unwrap()), "Mon 21 Dec 17:00");
    assert!(!c9.assumed);
    assert_eq!(story.shows("C9 note-1-5", "11-04 09:00"), "due Tue 17 Nov 17:00, running");
    story.newham("11-18 09:00", step(Step::Note));
    assert_eq!(story.shows("C9 note-1-5", "11-18 09:00"), "due Tue 17 Nov 17:00, late");
    assert_eq!(story.shows("C9 note-1-7", "11-18 09:00"), "due Wed 2 Dec 17:00, running");
    let discussed =
        What::Progress { child: 1, step: Step::StrategyDiscussion, since: Some(d("11-17")) };
    story.newham("11-19 09:00", discussed);
    let name = "C10 child-1-8";
    let c10 = story.clock(name, "11-19 09:00");
    assert_eq!(england_text(c10.due_at), "Tue 8 Dec 17:00", "from the day that is claimed");
    assert_eq!(england_text(c10.warn_at.unwrap()), "Tue 1 Dec 17:00");
    story.newham("11-20 09:00", step(Step::StrategyDiscussion));
    let count = story.read("11-20 09:00").clocks.iter().filter(|c| c.id == ClockId::C10).count();
    assert_eq!(count, 1, "a second discussion starts nothing anew");
    story.newham("12-07 09:00", step(Step::ConferenceHeld));
    assert_eq!(story.shows(name, "12-09 09:00"), "due Tue 8 Dec 17:00, in time");
    story.newham("12-10 09:00", step(Step::AssessmentCompleted));
    assert_eq!(story.shows("C9 child-1", "12-10 09:00"), "due Thu 7 Jan 17:00, in time");
    story.newham("12-11 09:00", step(Step::StrategyDiscussion));
    assert_eq!(story.shows("C10 child-1-12", "12-11 09:00"), "due Wed 6 Jan 17:00, running");
    story.newham("12-14 09:00", step(Step::EnquiryEnded));
    assert_eq!(story.shows("C10 child-1-12", "12-14 09:00"), "due Wed 6 Jan 17:00, ended");
    let notes = story.read("12-14 09:00").clocks;
    assert_eq!(notes.iter().filter(|c| matches!(c.about, About::Note(..))).count(), 5);
}

#[test]
fn a_claimed_day_never_moves_a_start_forward() {
    let mut story = Story::sent("11-02 10:00", Urgency::U2);
    let later =
        What::Progress { child: 1, step: Step::StrategyDiscussion, since: Some(d("11-30")) };
    story.newham("11-03 09:00", later);
    let c10 = story.clock("C10 child-1-5", "11-03 09:00");
    assert_eq!(c10.started_at, t("11-03 09:00"));
}

#[test]
fn a11_a_disagreement_through_its_stages() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    story.newham("11-23 11:00", What::Acknowledged);
    story.newham("11-23 12:00", decided(false));
    let raised = story.school("11-24 10:00", What::DisagreementRaised { stage: 1 });
    assert_eq!(raised, 7);
    assert_eq!(story.shows("C11 stage-7-1", "11-24 10:00"), "due Wed 25 Nov 17:00, running");
    assert_eq!(story.shows("C11 disagreement-7", "11-24 10:00"), "due Tue 1 Dec 17:00, running");
    assert_eq!(story.read("11-24 10:00").attention, Attention::Disputed);
    let overdue = story.read("11-25 17:01");
    assert_eq!((overdue.attention, overdue.offered_stage), (Attention::Overdue, Some(2)));
    assert_eq!(story.rings("C11 stage-7-1", "11-25 17:01"), ["team manager"]);
    story.school("11-26 09:00", What::DisagreementStepped { stage: 2 });
    assert_eq!(
        story.shows("C11 stage-7-1", "11-26 09:00"),
        "due Wed 25 Nov 17:00, overdue, then ended"
    );
    assert_eq!(story.shows("C11 stage-8-2", "11-26 09:00"), "due Fri 27 Nov 17:00, running");
    story.newham("11-27 09:00", What::DisagreementResponded { answers: 8 });
    assert_eq!(story.shows("C11 stage-8-2", "11-27 09:00"), "due Fri 27 Nov 17:00, in time");
    story.school("11-30 09:00", What::DisagreementStepped { stage: 3 });
    assert_eq!(story.shows("C11 stage-10-3", "11-30 09:00"), "due Tue 1 Dec 17:00, running");
    story.school("12-01 09:00", What::DisagreementResolved);
    assert_eq!(story.shows("C11 stage-10-3", "12-02 09:00"), "due Tue 1 Dec 17:00, in time");
    assert_eq!(story.shows("C11 disagreement-7", "12-02 09:00"), "due Tue 1 Dec 17:00, in time");
    let answers = |stage| {
        let mut story = Story::sent("11-23 10:00", Urgency::U2);
        story.school("11-23 11:00", What::DisagreementRaised { stage });
        let plain = story.rings(&format!("C11 stage-5-{stage}"), "11-24 17:01")[0];
        let profile = Profile { head_of_service: true, ..Profile::default() };
        story.setting.profiles.insert(newham(), profile);
        let offered = story.clock(&format!("C11 stage-5-{stage}"), "11-24 17:01");
        let offered = offered.offered_stage(t("11-24 17:01"));
        (plain, story.rings(&format!("C11 stage-5-{stage}"), "11-24 17:01")[0], offered)
    };
    assert_eq!(answers(1), ("team manager", "team manager", Some(2)));
    assert_eq!(answers(2), ("service manager", "service manager", Some(3)));
    assert_eq!(answers(3), ("service manager", "head of service", Some(4)));
    assert_eq!(answers(5), ("independent scrutineer", "independent scrutineer", None));
    let mut urgent = Story::sent("11-23 10:00", Urgency::U0);
    urgent.school("11-23 11:00", What::DisagreementRaised { stage: 4 });
    assert_eq!(urgent.shows("C11 stage-5-4", "11-23 11:00"), "due Mon 23 Nov 13:00, running");
    assert_eq!(urgent.shows("C11 disagreement-5", "11-23 11:00"), "due Tue 24 Nov 17:00, running");
    assert_eq!(urgent.rings("C11 stage-5-4", "11-23 13:01"), ["independent scrutineer"]);
}

#[test]
fn a_later_stage_is_not_longer_than_the_week() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    story.school("11-23 11:00", What::DisagreementRaised { stage: 1 });
    story.school("11-30 11:00", What::DisagreementStepped { stage: 2 });
    assert_eq!(story.shows("C11 stage-6-2", "11-30 11:00"), "due Mon 30 Nov 17:00, running");
}

#[test]
fn a13_a_decision_in_august() {
    let mut story = Story::sent("08-10 10:00", Urgency::U2);
    story.newham("08-10 11:00", What::Acknowledged);
    story.newham("08-11 10:00", decided(false));
    let c12 = story.clock("C12 event-6", "08-11 10:00");
    assert_eq!(england_text(c12.due_at), "Tue 1 Sep 15:00");
    assert!(c12.assumed, "nobody told us this school's terms");
    assert_eq!(c12.still_until, Some(t("09-01 00:00")));
    assert_eq!(story.rings("C12 event-6", "08-11 10:00"), ["holiday contact"]);
    assert_eq!(story.read("08-11 10:00").attention, Attention::WaitingOnSchool);
    assert_eq!(story.rings("C12 event-6", "09-01 15:01"), ["deputy safeguarding lead"]);
    assert_eq!(story.rings("C12 event-6", "09-02 15:01"), ["head teacher"]);
    assert_eq!(story.rings("C12 event-6", "09-03 15:01"), ["duty worker"]);
    // Closing the case does not make an unread outcome read.
    story.newham("08-12 10:00", What::Closed { child: 1 });
    assert_eq!(story.shows("C12 event-6", "09-01 16:00"), "due Tue 1 Sep 15:00, overdue");
    assert_eq!(story.read("08-12 10:00").attention, Attention::WaitingOnSchool);
    for position in [6, 7] {
        story.school("08-13 10:00", What::Read { position });
    }
    assert_eq!(story.shows("C12 event-6", "09-01 16:00"), "due Tue 1 Sep 15:00, in time");
    assert_eq!(story.read("08-13 10:00").attention, Attention::Closed);
}

#[test]
fn the_last_day_before_a_holiday() {
    let mut story = Story::sent("12-17 10:00", Urgency::U2);
    let term = |first, last: &str| Term { first: d(first), last: last.parse().unwrap() };
    let calendar = SchoolCalendar {
        terms: vec![
            term("09-03", "2026-12-18"),
            Term { first: "2027-01-04".parse().unwrap(), last: "2027-02-12".parse().unwrap() },
        ],
        inset: vec!["2027-01-04".parse().unwrap()],
        ..SchoolCalendar::default()
    };
    story.setting.calendars.schools.insert(school_id("900001"), calendar);
    story.newham("12-18 15:30", decided(false));
    let c12 = story.clock("C12 event-5", "12-18 15:30");
    assert_eq!((england_text(c12.due_at).as_str(), c12.assumed), ("Tue 5 Jan 15:00", false));
    assert_eq!(story.rings("C12 event-5", "12-20 12:00"), [""; 0]);
    assert_eq!(story.rings("C12 event-5", "12-21 00:00"), ["holiday contact"]);
}

#[test]
fn a12_a_new_worker_is_told_by_three_the_next_full_school_day_at_every_linked_school() {
    let mut story = Story::sent("11-09 10:00", Urgency::U2);
    let sibling = school_id("900002");
    story.newham("11-10 10:00", What::SchoolLinked { school: sibling.clone() });
    let changed = What::WorkerChanged { child: 1, since: Some(d("11-20")) };
    let position = story.newham("11-23 10:00", changed);
    assert_eq!(story.shows("C15 told-6-900001", "11-23 10:00"), "due Mon 23 Nov 15:00, running");
    assert_eq!(
        story.clock("C15 told-6-900002", "11-23 10:00").waits_for,
        Some(Organisation::School(sibling.clone()))
    );
    let reached = What::Reached { school: sibling, position };
    story.then("11-23 10:01", &exchange(), reached);
    assert_eq!(story.shows("C15 told-6-900002", "11-23 16:00"), "due Mon 23 Nov 15:00, in time");
    assert_eq!(story.shows("C15 told-6-900001", "11-23 16:00"), "due Mon 23 Nov 15:00, overdue");
    story.school("11-23 17:00", What::Read { position });
    assert_eq!(story.shows("C15 told-6-900001", "11-24 16:00"), "due Mon 23 Nov 15:00, late");
}

#[test]
fn a16_a_notice_without_a_referral() {
    let mut story = Story::new();
    let notice = What::Notice { school: school_id("900001"), since: None };
    story.then("11-24 02:10", &by(hackney()), notice);
    assert_eq!(story.shows("C15 told-1-900001", "11-24 02:10"), "due Wed 25 Nov 15:00, running");
    assert_eq!(story.shows("C12 event-1", "11-24 02:10"), "due Wed 25 Nov 15:00, running");
    let reading = story.read("11-24 02:10");
    assert_eq!(reading.attention, Attention::WaitingOnSchool);
    assert!(reading.segments.is_empty());
    story.school("11-24 08:00", What::Read { position: 1 });
    assert_eq!(story.read("11-24 08:00").attention, Attention::Closed);
}

#[test]
fn a15_an_allegation_goes_by_its_own_clock_past_whom_it_is_about() {
    let mut story = Story::sent("11-20 16:30", Urgency::U2);
    story.thread.request_type = RequestType::Lado;
    let What::Version { children, .. } = &mut story.thread.facts[2].what else { panic!() };
    *children = 0;
    story.thread.known_since = Some(t("11-18 12:00"));
    assert_eq!(story.shows("C13 report", "11-20 16:30"), "due Thu 19 Nov 17:00, late");
    assert_eq!(story.shows("C13 referral", "11-20 16:30"), "due Mon 23 Nov 17:00, running");
    assert!(story.read("11-20 16:30").not_started.contains(&ClockId::C5));
    assert_eq!(story.rings("C13 referral", "11-23 17:01"), ["LADO manager"]);
    let roles = |story: &Story| {
        let clock = story.clock("C13 report", "11-20 16:30");
        clock.ladder.iter().map(|r| r.role).collect::<Vec<_>>()
    };
    assert_eq!(roles(&story), [Role::Head, Role::LadoManager]);
    story.thread.accused = vec![Role::Head];
    assert_eq!(roles(&story), [Role::Chair, Role::LadoManager]);
    story.thread.accused = vec![Role::Head, Role::Chair];
    assert_eq!(roles(&story), [Role::LadoManager, Role::LadoManager]);
    story.thread.accused = vec![Role::LadoManager];
    assert_eq!(roles(&story), [Role::Head]);
    let hours = story.setting.calendars.authorities.get_mut(&newham()).unwrap();
    hours.cut_off = Some(16 * 60);
    assert_eq!(story.shows("C13 referral", "11-20 16:30"), "due Tue 24 Nov 17:00, running");
}

#[test]
fn a_request_for_today_that_nobody_reads() {
    let mut story = Story::sent("11-23 13:00", Urgency::U1);
    let position = story.newham("11-23 14:00", What::Interim);
    let e10 = story.clock("E10 event-5", "11-23 14:06");
    assert!(e10.is_overdue() && e10.pages);
    assert_eq!(e10.waits_for, Some(the_school()));
    assert_eq!(e10.contacts(t("11-23 14:06"))[0].of, by(newham()), "the authority phones");
    assert_eq!(story.rings("E10 event-5", "11-23 14:10"), ["duty manager"]);
    story.school("11-23 14:04", What::InterimAnswered { answers: position });
    assert_eq!(story.shows("E10 event-5", "11-23 14:06"), "due Mon 23 Nov 14:05, in time");
}

#[test]
fn only_who_is_on_duty_is_paged() {
    let mut story = Story::sent("11-20 16:30", Urgency::U1);
    story.thread.facts.pop();
    let told = |story: &Story, name: &str, at: &str| {
        let clock = story.clock(name, at);
        let rungs = clock.contacts(t(at)).into_iter().cloned().collect::<Vec<_>>();
        rungs.iter().map(|r| tell(&clock, r, &story.setting, t(at))).collect::<Vec<_>>()
    };
    let stored = "C2 delivery-316-2";
    assert_eq!(told(&story, stored, "11-20 16:32"), [Tell::Page, Tell::Page]);
    assert_eq!(told(&story, stored, "11-20 16:36"), [Tell::Listed], "the school");
    story.newham("11-20 16:40", What::Delivered { to: newham(), of: 2 });
    let opened = "C3 delivery-316-2";
    assert_eq!(told(&story, opened, "11-20 17:41"), [Tell::Digest(Some(t("11-23 09:00")))]);
    assert_eq!(told(&story, opened, "11-23 09:30"), [Tell::Page]);
    assert_eq!(told(&story, "C5 child-1", "11-24 10:00"), [Tell::Digest(Some(t("11-25 09:00")))]);
    story.setting.calendars.authorities.clear();
    assert_eq!(told(&story, opened, "11-23 09:30"), [Tell::Digest(None)]);
}

#[test]
fn an_urgent_referral_at_an_empty_desk_says_so_until_a_call_is_recorded() {
    let mut story = Story::sent("11-20 17:30", Urgency::U1);
    let found = story.read("11-20 17:30");
    let unattended = found.unattended.unwrap();
    assert_eq!((unattended.authority, unattended.until), (newham(), Some(t("11-23 09:00"))));
    assert_eq!(story.read("11-23 09:00").unattended, None, "somebody is there");
    assert!(Story::sent("11-20 17:30", Urgency::U2).read("11-20 17:30").unattended.is_none());
    story.school("11-20 17:40", What::CallRecorded);
    assert_eq!(story.read("11-20 17:40").unattended, None);
    assert!(story.read("11-20 17:39").unattended.is_some());
    let mut transferred = Story::sent("11-20 17:30", Urgency::U1);
    transferred.then("11-20 17:31", &by(hackney()), What::TransferAccepted { answers: 0 });
    assert_eq!(transferred.read("11-20 17:31").unattended, None, "a duty team reads there");
    // A call to the first authority, or somebody reading there, says nothing of the second.
    let kent: DfeCode = "886".parse().unwrap();
    story.newham("11-20 17:41", What::Opened);
    story.then("11-20 18:00", &by(kent), What::TransferAccepted { answers: 0 });
    let unattended = story.read("11-20 18:00").unattended.unwrap();
    assert_eq!((unattended.authority, unattended.until), (kent, None));
    story.school("11-20 18:10", What::CallRecorded);
    assert_eq!(story.read("11-20 18:10").unattended, None);
}

#[test]
fn a_promise_makes_a_clock_faster_and_never_slower() {
    let due = |limit, name: &str| {
        let mut story = Story::sent("11-23 10:00", Urgency::U2);
        story.newham("11-23 12:00", decided(true));
        let faster = [ClockId::C3, ClockId::C5, ClockId::C7, ClockId::C9, ClockId::C8]
            .map(|id| (id, limit))
            .to_vec();
        story.setting.profiles.insert(newham(), Profile { faster, head_of_service: false });
        england_text(story.clock(name, "11-23 12:00").due_at)
    };
    let day = Limit::WorkingDays(0);
    assert_eq!(due(day, "C5 child-1"), "Mon 23 Nov 17:00");
    assert_eq!(due(day, "C7 child-1-5"), "Mon 23 Nov 17:00");
    assert_eq!(due(day, "C9 child-1"), "Mon 23 Nov 17:00");
    assert_eq!(due(Limit::Open(HOUR), "C3 delivery-316-2"), "Mon 23 Nov 11:00");
    let slow = Limit::WorkingDays(90);
    assert_eq!(due(slow, "C5 child-1"), "Tue 24 Nov 17:00");
    assert_eq!(due(slow, "C9 child-1"), "Thu 28 Jan 17:00");
    assert_eq!(due(slow, "C3 delivery-316-2"), "Mon 23 Nov 14:00");
}

#[test]
fn nothing_is_waited_for_after_the_end() {
    let end = |what: What| {
        let mut story = Story::sent("11-23 10:00", Urgency::U2);
        story.newham("11-23 11:00", What::InformationRequested);
        let mut late = Story::sent("11-23 10:00", Urgency::U2);
        story.newham("11-23 12:00", what.clone());
        late.newham("11-25 12:00", what);
        (
            story.clock("C5 child-1", "11-26 12:00").state,
            late.clock("C5 child-1", "11-26 12:00").state.as_str(),
            story.read("11-26 12:00").attention,
            story.clock("C6 event-5", "11-26 12:00").state.as_str(),
        )
    };
    let mark = Mark { at: t("11-23 12:00"), position: 6 };
    let overdue = "overdue, then ended";
    for (what, why) in [
        (What::WithdrawalConfirmed, WhyEnded::Withdrawn),
        (What::Misidentified, WhyEnded::Misidentified),
    ] {
        assert_eq!(end(what), (State::Ended(mark, why), overdue, Attention::Closed, "ended"));
    }
    let closed = end(What::Closed { child: 1 });
    assert_eq!((closed.0, closed.1), (State::Ended(mark, WhyEnded::Closed), overdue));
    for what in [What::WithdrawalRequested, What::WithdrawalRefused] {
        assert_eq!(end(what).0.as_str(), "overdue", "asking is not enough");
    }
}

#[test]
fn each_child_has_its_own_clocks() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    let What::Version { children, .. } = &mut story.thread.facts[2].what else { panic!() };
    *children = 2;
    story.newham("11-23 11:00", What::Decided { child: 2, assessed: true });
    assert_eq!(story.shows("C5 child-2", "11-25 10:00"), "due Tue 24 Nov 17:00, in time");
    assert_eq!(story.shows("C5 child-1", "11-25 10:00"), "due Tue 24 Nov 17:00, overdue");
    let names: Vec<_> = story.read("11-25 10:00").clocks.iter().map(Clock::name).collect();
    assert!(names.contains(&"C7 child-2-5".to_owned()));
    // One closed child does not end the other's clocks, nor the thread.
    story.newham("11-25 11:00", What::Closed { child: 2 });
    assert!(story.clock("C5 child-1", "11-25 12:00").is_overdue());
    assert_eq!(story.read("11-25 12:00").segments.last().unwrap().to, t("11-25 12:00"));
    story.newham("11-26 11:00", What::Closed { child: 1 });
    assert_eq!(story.read("11-27 12:00").segments.last().unwrap().to, t("11-26 11:00"));
}

#[test]
fn a_supplement_is_delivered_and_opens_what_was_closed() {
    let version = |children| What::Version {
        children,
        urgency: Urgency::U2,
        in_school: false,
        goes_home_at: None,
    };
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    story.newham("11-23 11:00", What::Acknowledged);
    story.newham("11-23 12:00", decided(true));
    story.newham("11-24 12:00", What::Closed { child: 1 });
    assert_eq!(story.shows("C9 child-1", "11-24 13:00"), "due Thu 28 Jan 17:00, ended");
    assert_eq!(story.read("11-24 13:00").attention, Attention::WaitingOnSchool, "to read it");
    let position = story.school("12-01 09:00", version(2));
    assert_eq!(story.shows("C2 delivery-316-8", "12-01 09:00"), "due Tue 1 Dec 09:15, running");
    story.newham("12-01 09:01", What::Delivered { to: newham(), of: position });
    assert_eq!(story.shows("C2 delivery-316-8", "12-01 10:00"), "due Tue 1 Dec 09:15, in time");
    // Both the closed child and the new one are to be decided, by a clock of their own.
    assert_eq!(story.shows("C5 child-1", "12-01 10:00"), "due Tue 24 Nov 17:00, in time");
    assert_eq!(story.shows("C5 child-1-8", "12-01 10:00"), "due Wed 2 Dec 17:00, running");
    assert_eq!(story.shows("C5 child-2-8", "12-01 10:00"), "due Wed 2 Dec 17:00, running");
    assert_eq!(story.shows("C9 child-1", "12-01 10:00"), "due Thu 28 Jan 17:00, ended");
    story.newham("12-01 11:00", decided(true));
    assert_eq!(story.shows("C5 child-1-8", "12-01 12:00"), "due Wed 2 Dec 17:00, in time");
    assert_eq!(story.shows("C7 child-1-10", "12-01 12:00"), "due Wed 2 Dec 17:00, running");
    assert_eq!(story.clock("C9 child-1-8", "12-01 12:00").started_at, t("12-01 09:00"));
    assert_eq!(story.read("12-01 12:00").segments.last().unwrap().to, t("12-01 12:00"));
}

#[test]
fn a_second_decision_asks_for_a_worker_only_where_none_is_waited_for() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    story.newham("11-23 11:00", decided(true));
    story.newham("11-24 11:00", decided(true));
    let sevens = |story: &Story| {
        let clocks = story.read("11-30 10:00").clocks;
        clocks.iter().filter(|c| c.id == ClockId::C7).map(Clock::name).collect::<Vec<_>>()
    };
    assert_eq!(sevens(&story), ["C7 child-1-5"]);
    story.newham("11-25 11:00", What::Allocated { child: 1 });
    // The new holder of a transfer decides again: its worker is waited for.
    story.newham("11-26 11:00", decided(true));
    assert_eq!(sevens(&story), ["C7 child-1-5", "C7 child-1-8"]);
    assert_eq!(story.shows("C7 child-1-5", "11-30 10:00"), "due Tue 24 Nov 17:00, late");
}

#[test]
fn a5_a_delivery_beside_the_accountable_one_is_acknowledged_by_itself() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    let kent: DfeCode = "886".parse().unwrap();
    let linked = What::Dispatched { to: kent, why: Dispatch::CaseHolding };
    story.then("11-23 10:00", &exchange(), linked);
    story.then("11-23 10:02", &by(kent), What::Delivered { to: kent, of: 5 });
    let clock = story.clock("C5 delivery-886-5", "11-23 11:00");
    assert_eq!((clock.class, clock.waits_for), (Class::Scheme, Some(by(kent))));
    story.then("11-23 12:00", &by(kent), What::Acknowledged);
    assert_eq!(story.shows("C5 delivery-886-5", "11-23 12:00"), "due Tue 24 Nov 17:00, in time");
    // Whoever has read it is not asked to read it again before taking it over.
    let proposed = story.newham("11-23 12:30", What::TransferProposed { to: kent });
    story.then("11-23 12:30", &by(kent), What::Delivered { to: kent, of: proposed });
    let opened = format!("C3 delivery-886-{proposed}");
    assert_eq!(story.shows(&opened, "11-23 12:30"), "due Mon 23 Nov 16:30, in time");
    // A later version goes there too, and is not to be acknowledged again.
    let again = What::Dispatched { to: kent, why: Dispatch::CaseHolding };
    let position = story.then("11-23 13:00", &exchange(), again);
    let names: Vec<_> = story.read("11-23 13:00").clocks.iter().map(Clock::name).collect();
    assert!(names.contains(&format!("C2 delivery-886-{position}")));
    assert!(!names.contains(&format!("C5 delivery-886-{position}")));
    assert_eq!(story.shows("C5 referral", "11-23 12:00"), "due Tue 24 Nov 17:00, running");
}

#[test]
fn one_word_for_a_list() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    assert_eq!(story.read("11-23 10:00").attention, Attention::WaitingOnAuthority);
    let waiting = story.read("11-23 10:00").waiting.unwrap();
    assert_eq!((waiting.clock, waiting.party), (ClockId::C3, Some(by(newham()))));
    assert_eq!(england_text(waiting.until), "Mon 23 Nov 14:00");
    assert_eq!(waiting.next.unwrap().role, Role::DutyManager);
    story.newham("11-23 11:00", What::ResponsibilityDisputed);
    assert_eq!(story.read("11-23 11:00").attention, Attention::Disputed);
    story.newham("11-23 12:00", What::DisputeResolved);
    assert_eq!(story.read("11-23 12:00").attention, Attention::WaitingOnAuthority);
    assert_eq!(story.read("11-23 14:01").attention, Attention::Overdue);
    let words = [
        Attention::WaitingOnAuthority,
        Attention::WaitingOnSchool,
        Attention::Overdue,
        Attention::Disputed,
        Attention::Closed,
    ];
    assert_eq!(
        words.map(Attention::as_str).join(" "),
        "waiting_on_authority waiting_on_school overdue disputed closed"
    );
    assert_eq!(Story::new().read("11-23 10:00").attention, Attention::Closed);
}

#[test]
fn a_night_in_which_the_clocks_change() {
    // 17:00 local on both sides; 60 minutes are 60 minutes.
    let winter = Story::sent("10-23 16:00", Urgency::U1);
    let c5 = winter.clock("C5 child-1", "10-23 16:00");
    assert_eq!(c5.due_at.since(c5.started_at), 3 * DAY + 2 * HOUR);
    let summer = Story::sent("03-27 16:00", Urgency::U1);
    let c5 = summer.clock("C5 child-1", "03-27 16:00");
    assert_eq!(c5.due_at.since(c5.started_at), 3 * DAY);
    let twice = Story::sent("10-25 01:30", Urgency::U1);
    assert_eq!(twice.shows("C3 delivery-316-2", "10-25 01:30"), "due Sun 25 Oct 01:30, running");
    let skipped = Story::sent("03-29 00:45", Urgency::U1);
    assert_eq!(skipped.shows("C3 delivery-316-2", "03-29 00:45"), "due Sun 29 Mar 02:45, running");
}

#[test]
fn a_clock_that_was_put_back_changes_no_order() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    story.newham("11-23 10:30", What::Opened);
    // From here on the gateway's clock is an hour behind, at times before the referral was accepted.
    let asked = story.newham("11-23 09:40", What::TransferProposed { to: hackney() });
    story.then("11-23 09:45", &by(hackney()), What::TransferAccepted { answers: asked });
    let stored = What::Delivered { to: hackney(), of: asked };
    story.thread.facts.push(Fact {
        at: t("11-23 09:42"),
        position: 0,
        by: by(hackney()),
        what: stored,
    });
    let holder = |story: &Story| story.read("11-23 11:00").segments.last().unwrap().authority;
    assert_eq!(holder(&story), newham(), "by times alone it was never passed on");
    story.thread = story.thread.in_order();
    assert_eq!(holder(&story), hackney());
    let at = story.thread.facts.iter().map(|fact| fact.at).skip(4).collect::<Vec<_>>();
    assert_eq!(at, ["11-23 10:30"; 4].map(t));
    assert!(story.shows("C8 event-6", "11-23 11:00").ends_with("in time"));
}

#[test]
fn codes_names_and_classes() {
    for id in ClockId::ALL {
        assert_eq!(ClockId::from_code(id.as_str()), Some(id));
        assert!(id.name().len() > 10);
    }
    assert_eq!(ClockId::from_code("C14"), None);
    let paging: Vec<_> = ClockId::ALL.iter().filter(|id| id.pages(false)).collect();
    assert_eq!(paging, [&ClockId::C2, &ClockId::C4, &ClockId::E10]);
    assert!(ClockId::C3.pages(true) && !ClockId::C5.pages(true));
    let words = [Class::Statutory, Class::Procedure, Class::Scheme].map(Class::as_str);
    assert_eq!(words, ["statutory", "procedure", "scheme"]);
    let mut roles = Role::ALL.map(Role::as_str).to_vec();
    roles.sort_unstable();
    roles.dedup();
    assert_eq!(roles.len(), Role::ALL.len());
    let story = |request_type| {
        let mut story = Story::sent("11-23 10:00", Urgency::U3);
        story.thread.request_type = request_type;
        story
    };
    let class = |request_type| story(request_type).clock("C5 referral", "11-23 10:00").class;
    assert_eq!(class(RequestType::ChildInNeed), Class::Statutory);
    assert_eq!(class(RequestType::FamilyHelp), Class::Procedure);
    assert_eq!(class(RequestType::InformationOnly), Class::Scheme);
    let informed = story(RequestType::InformationOnly).read("11-23 10:00").clocks;
    assert!(!informed.iter().any(|c| c.name() == "C5 child-1"), "nothing to decide");
}
