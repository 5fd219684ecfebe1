//! One rule at a time: what a clock is not met by, whom it waits for, when it changes next.

use super::*;

fn version(children: u32, urgency: Urgency) -> What {
    What::Version { children, urgency, in_school: false, goes_home_at: None }
}

/// Sent at ten on a Monday, about so many children.
fn sent(children: u32, urgency: Urgency) -> Story {
    let mut story = Story::sent("11-23 10:00", urgency);
    story.thread.facts[2].what = version(children, urgency);
    story
}

#[test]
fn a_closed_child_ends_its_own_clocks_alone() {
    let mut story = sent(2, Urgency::U2);
    for child in [1, 2] {
        story.newham("11-23 11:00", What::Decided { child, assessed: true });
    }
    let noted = What::Progress { child: 2, step: Step::Note, since: None };
    story.newham("11-24 10:00", noted);
    story.newham("11-24 12:00", What::Closed { child: 2 });
    for name in ["C7 child-2-6", "C9 child-2", "C9 note-2-7"] {
        let state = story.clock(name, "11-24 13:00").state;
        assert_eq!(state.as_str(), "ended", "{name}");
    }
    for name in ["C7 child-1-5", "C9 child-1", "C9 note-1-5"] {
        assert!(story.clock(name, "11-24 13:00").state.is_open(), "{name}");
    }
    let note = story.clock("C9 note-1-5", "12-08 09:00");
    assert_eq!(note.class, Class::Scheme);
    assert_eq!(note.ladder.iter().map(|r| r.role).collect::<Vec<_>>(), [Role::TeamManager]);
    let mut undecided = sent(2, Urgency::U2);
    undecided.newham("11-23 12:00", What::Closed { child: 2 });
    assert_eq!(undecided.clock("C5 child-2", "11-23 13:00").state.as_str(), "ended");
    assert_eq!(undecided.clock("C5 child-1", "11-23 13:00").state.as_str(), "running");
}

#[test]
fn a_version_after_the_answer_changes_no_limit() {
    let mut story = sent(1, Urgency::U2);
    let asked = story.newham("11-23 11:00", What::InformationRequested);
    story.school("11-23 12:00", What::InformationSupplied { answers: asked });
    story.school("11-23 13:00", version(1, Urgency::U0));
    assert_eq!(story.shows("C6 event-5", "11-23 14:00"), "due Tue 24 Nov 17:00, in time");
    let mut open = sent(1, Urgency::U2);
    open.newham("11-23 11:00", What::InformationRequested);
    open.school("11-23 13:00", version(1, Urgency::U0));
    assert_eq!(open.shows("C6 event-5", "11-23 14:00"), "due Mon 23 Nov 15:00, running");
}

#[test]
fn between_decision_and_closing_it_is_the_authoritys_turn() {
    let mut story = sent(1, Urgency::U2);
    story.newham("11-23 11:00", What::Acknowledged);
    let decided = story.newham("11-23 12:00", decided(false));
    story.school("11-23 13:00", What::Read { position: decided });
    let reading = story.read("11-23 14:00");
    assert_eq!(reading.waiting, None);
    assert_eq!(reading.next_change, None);
    assert_eq!(reading.attention, Attention::WaitingOnAuthority);
}

#[test]
fn a_stored_delivery_is_the_one_that_was_begun_and_read_by_who_got_it() {
    let mut story = sent(1, Urgency::U2);
    story.thread.facts.pop();
    story.newham("11-23 10:01", What::Delivered { to: newham(), of: 99 });
    story.then("11-23 10:01", &by(hackney()), What::Delivered { to: hackney(), of: 2 });
    assert_eq!(story.clock("C2 delivery-316-2", "11-23 10:02").state.as_str(), "running");
    story.newham("11-23 10:03", What::Delivered { to: newham(), of: 2 });
    assert_eq!(story.clock("C2 delivery-316-2", "11-23 10:04").state.as_str(), "in time");
    story.then("11-23 10:05", &by(hackney()), What::Opened);
    story.newham("11-23 10:06", What::Interim);
    assert_eq!(story.clock("C3 delivery-316-2", "11-23 10:07").state.as_str(), "running");
    story.newham("11-23 10:08", What::Opened);
    assert_eq!(story.clock("C3 delivery-316-2", "11-23 10:09").state.as_str(), "in time");
}

#[test]
fn a_delivery_goes_by_the_hours_and_people_of_where_it_goes() {
    let mut story = sent(1, Urgency::U2);
    let hours = story.setting.calendars.authorities.get_mut(&hackney()).unwrap();
    hours.staffed = Some("mon-fri 07:00-19:00".parse().unwrap());
    let kent: DfeCode = "886".parse().unwrap();
    let linked = What::Dispatched { to: kent, why: Dispatch::ChildInArea };
    story.then("11-23 10:00", &exchange(), linked);
    story.then("11-23 10:30", &by(hackney()), What::Opened);
    let proposed = story.newham("11-23 16:00", What::TransferProposed { to: hackney() });
    story.then("11-23 16:00", &by(hackney()), What::Delivered { to: hackney(), of: proposed });
    let name = format!("C3 delivery-204-{proposed}");
    assert_eq!(story.shows(&name, "11-23 16:00"), "due Tue 24 Nov 08:00, running");
    assert!(story.clock(&name, "11-23 16:00").ladder.iter().all(|r| r.of == by(hackney())));
    assert_eq!(story.clock(&name, "11-23 20:00").still_until, Some(t("11-24 07:00")));
    assert_eq!(story.clock(&name, "11-23 18:00").still_until, None);
    let c8 = format!("C8 event-{proposed}");
    assert_eq!(story.shows(&c8, "11-23 16:00"), "due Tue 24 Nov 08:00, running");
}

#[test]
fn whom_each_waits_for() {
    let mut story = sent(1, Urgency::U2);
    assert_eq!(story.clock("C1 referral", "11-23 10:00").waits_for, None);
    assert!(story.clock("C1 referral", "11-23 10:00").held.is_empty());
    story.thread.request_type = RequestType::Lado;
    story.thread.known_since = Some(t("11-23 09:00"));
    assert_eq!(story.clock("C13 report", "11-23 10:00").waits_for, Some(the_school()));
    assert_eq!(story.clock("C13 referral", "11-23 10:00").waits_for, Some(by(newham())));
}

#[test]
fn what_is_recorded_at_one_instant_is_met_before_it_ends() {
    let mut story = sent(1, Urgency::U2);
    story.newham("11-23 12:00", decided(false));
    story.newham("11-23 12:00", What::Closed { child: 1 });
    assert_eq!(story.clock("C5 child-1", "11-23 13:00").state.as_str(), "in time");
    let mut asked = sent(1, Urgency::U2);
    let position = asked.newham("11-23 11:00", What::InformationRequested);
    asked.newham("11-23 12:00", What::WithdrawalConfirmed);
    asked.school("11-23 13:00", What::InformationSupplied { answers: position });
    assert_eq!(asked.clock("C6 event-5", "11-23 14:00").state.as_str(), "ended");
}

#[test]
fn a_second_discussion_never_counts_though_its_conference_was_held() {
    let mut story = sent(1, Urgency::U2);
    story.newham("11-24 09:00", step(Step::StrategyDiscussion));
    story.newham("11-25 09:00", step(Step::StrategyDiscussion));
    story.newham("11-30 09:00", step(Step::ConferenceHeld));
    let tens = story.read("12-01 09:00").clocks;
    let tens: Vec<_> = tens.iter().filter(|c| c.id == ClockId::C10).map(Clock::name).collect();
    assert_eq!(tens, ["C10 child-1-5"]);
}

#[test]
fn the_holiday_contact_comes_first_and_everybody_else_in_turn() {
    let mut story = Story::sent("12-17 10:00", Urgency::U2);
    let term = |first: &str, last: &str| Term {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
    };
    let calendar = SchoolCalendar {
        terms: vec![term("2026-09-03", "2026-12-18"), term("2027-01-04", "2027-02-12")],
        ..SchoolCalendar::default()
    };
    story.setting.calendars.schools.insert(school_id("900001"), calendar);
    let position = story.newham("12-18 15:30", decided(false));
    let at = |day: &str, hour: u16| england_instant(day.parse().unwrap(), hour * 60);
    let c12 = |now: Timestamp| {
        let clocks = read(&story.thread, &story.setting, now).clocks;
        clocks.into_iter().find(|c| c.id == ClockId::C12).unwrap()
    };
    let next = |now| c12(now).next_contact(now).map(|rung| rung.role);
    let change = |now| c12(now).next_change(now);
    let sunday = t("12-20 12:00");
    assert_eq!(next(sunday), Some(Role::HolidayContact));
    assert_eq!(change(sunday), Some(t("12-21 00:00")));
    assert_eq!(next(t("12-21 00:00")), Some(Role::Deputy));
    let due = at("2027-01-04", 15);
    assert_eq!(c12(sunday).due_at, due);
    assert_eq!(c12(sunday).warn_at, Some(at("2027-01-04", 12)));
    assert_eq!(next(due), Some(Role::Deputy), "the limit itself is in time");
    assert_eq!(next(due.plus(1)), Some(Role::Head));
    assert_eq!(change(due), Some(due.plus(1)));
    assert_eq!(change(due.plus(1)), Some(at("2027-01-05", 15)));
    assert_eq!(next(at("2027-01-05", 15)), Some(Role::DutyWorker));
    assert_eq!(next(at("2027-01-06", 15)), None);
    assert_eq!(change(at("2027-01-06", 15)), None);
    let mut read_it = story.thread.clone();
    let what = What::Read { position };
    read_it.facts.push(Fact { at: sunday, position: 9, by: the_school(), what });
    let clocks = read(&read_it, &story.setting, due).clocks;
    let done = clocks.iter().find(|c| c.id == ClockId::C12).unwrap();
    assert_eq!((done.next_contact(due), done.next_change(due)), (None, None));
    assert!(done.contacts(due).is_empty());
}

#[test]
fn an_unopened_referral_offers_a_disagreement() {
    let story = sent(1, Urgency::U2);
    assert_eq!(story.read("11-23 14:00").offered_stage, None);
    assert_eq!(story.read("11-23 14:01").offered_stage, Some(1));
}
