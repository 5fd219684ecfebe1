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
    let news = |now| c12(now).next_news(now);
    let sunday = t("12-20 12:00");
    assert_eq!(next(sunday), Some(Role::HolidayContact));
    assert_eq!(news(sunday), Some(at("2027-01-04", 12)), "the turn of a contact wakes nobody");
    assert_eq!(next(t("12-21 00:00")), Some(Role::Deputy));
    let due = at("2027-01-04", 15);
    assert_eq!(c12(sunday).due_at, due);
    assert_eq!(c12(sunday).warn_at, Some(at("2027-01-04", 12)));
    assert_eq!(next(due), Some(Role::Deputy), "the limit itself is in time");
    assert_eq!(next(due.plus(1)), Some(Role::Head));
    assert_eq!(news(due), Some(due.plus(1)));
    assert_eq!(news(due.plus(1)), None);
    assert_eq!(next(at("2027-01-05", 15)), Some(Role::DutyWorker));
    assert_eq!(next(at("2027-01-06", 15)), None);
    let mut read_it = story.thread.clone();
    let what = What::Read { position };
    read_it.facts.push(Fact { at: sunday, position: 9, by: the_school(), what });
    let clocks = read(&read_it, &story.setting, due).clocks;
    let done = clocks.iter().find(|c| c.id == ClockId::C12).unwrap();
    assert_eq!((done.next_contact(due), done.next_news(due)), (None, None));
    assert!(done.contacts(due).is_empty());
}

#[test]
fn an_unopened_referral_offers_a_disagreement() {
    let story = sent(1, Urgency::U2);
    assert_eq!(story.read("11-23 14:00").offered_stage, None);
    assert_eq!(story.read("11-23 14:01").offered_stage, Some(1));
}

#[test]
fn home_time_and_what_comes_after_the_answer() {
    let leaves = |at: &str| What::Version {
        children: 1,
        urgency: Urgency::U1,
        in_school: true,
        goes_home_at: Some(t(at)),
    };
    let mut story = Story::sent("11-23 09:00", Urgency::U1);
    story.thread.facts[2].what = leaves("11-23 15:15");
    story.newham("11-23 10:00", What::Interim);
    story.school("11-23 11:00", leaves("11-23 12:30"));
    assert_eq!(story.shows("C4 referral", "11-23 12:00"), "due Mon 23 Nov 14:15, in time");
    let mut sooner = Story::sent("11-23 09:00", Urgency::U1);
    sooner.thread.facts[2].what = leaves("11-23 15:15");
    sooner.school("11-23 09:30", leaves("11-23 12:30"));
    sooner.newham("11-23 10:00", What::Interim);
    assert_eq!(sooner.shows("C4 referral", "11-23 12:00"), "due Mon 23 Nov 11:30, in time");
    let profile = Profile { head_of_service: true, ..Profile::default() };
    sooner.setting.profiles.insert(newham(), profile);
    sooner.thread.facts.pop();
    assert_eq!(sooner.rings("C4 referral", "11-23 11:44").len(), 2);
    assert_eq!(sooner.rings("C4 referral", "11-23 11:45"), ["head of service"]);
}

#[test]
fn who_wrote_a_request_for_today_is_told_that_nobody_reads_it() {
    let mut story = sent(1, Urgency::U1);
    story.then("11-23 11:00", &by(hackney()), What::Interim);
    let e10 = story.clock("E10 event-5", "11-23 11:06");
    assert!(e10.ladder.iter().all(|rung| rung.of == by(hackney())));
}

#[test]
fn one_disagreement_after_another() {
    let mut story = sent(1, Urgency::U2);
    story.school("11-23 11:00", What::DisagreementRaised { stage: 1 });
    story.school("11-23 12:00", What::DisagreementResolved);
    story.school("11-24 11:00", What::DisagreementRaised { stage: 2 });
    story.school("11-24 12:00", What::DisagreementStepped { stage: 3 });
    let elevens = |story: &Story| {
        let clocks = story.read("11-24 13:00").clocks;
        let elevens = clocks.into_iter().filter(|c| c.id == ClockId::C11);
        elevens.map(|c| format!("{} {}", c.about, c.state.as_str())).collect::<Vec<_>>()
    };
    let expected = [
        "stage-5-1 in time",
        "disagreement-5 in time",
        "stage-7-2 ended",
        "disagreement-7 running",
        "stage-8-3 running",
    ];
    assert_eq!(elevens(&story), expected);
    story.newham("11-24 13:00", What::Misidentified);
    assert_eq!(elevens(&story)[3..], ["disagreement-7 ended", "stage-8-3 ended"]);
    let mut twice = sent(1, Urgency::U2);
    twice.school("11-23 11:00", What::DisagreementRaised { stage: 1 });
    twice.school("11-23 12:00", What::DisagreementRaised { stage: 1 });
    twice.school("11-23 13:00", What::DisagreementResolved);
    let expected =
        ["stage-5-1 ended", "disagreement-5 ended", "stage-6-1 in time", "disagreement-6 in time"];
    assert_eq!(elevens(&twice), expected);
}

#[test]
fn whose_time_it_was() {
    let spans = |story: &Story, now: &str| {
        let found = segments(&story.thread, &story.setting, t(now));
        let text = |s: &Segment| {
            let way = if s.in_transit { "to " } else { "" };
            let (from, to) = (england_text(s.from), england_text(s.to));
            format!("{way}{} {}-{}", s.authority, &from[11..], &to[11..])
        };
        found.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let mut story = sent(1, Urgency::U2);
    story.thread.facts.pop();
    story.then("11-23 10:10", &by(hackney()), What::Delivered { to: hackney(), of: 2 });
    assert_eq!(spans(&story, "11-23 10:20"), "to 316 10:00-10:20");
    story.newham("11-23 10:30", What::Delivered { to: newham(), of: 2 });
    story.newham("11-23 10:40", What::Delivered { to: newham(), of: 2 });
    story.newham("11-23 10:50", What::TransferAccepted { answers: 0 });
    assert_eq!(spans(&story, "11-23 11:00"), "to 316 10:00-10:30, 316 10:30-11:00");
    let kent: DfeCode = "886".parse().unwrap();
    story.then("11-23 11:00", &by(kent), What::TransferAccepted { answers: 0 });
    story.then("11-23 11:30", &by(kent), What::Delivered { to: kent, of: 0 });
    story.newham("11-23 12:00", What::TransferAccepted { answers: 0 });
    let whole =
        "to 316 10:00-10:30, 316 10:30-11:00, to 886 11:00-11:30, 886 11:30-12:00, 316 12:00-13:00";
    assert_eq!(spans(&story, "11-23 13:00"), whole);
    let found = segments(&story.thread, &story.setting, t("11-23 13:00"));
    let held = held_between(&found, t("11-23 10:15"), t("11-23 12:45"));
    let minutes: Vec<_> = held.iter().map(|h| h.millis / MINUTE).collect();
    assert_eq!(minutes, [15, 75, 30, 30], "Newham's two turns are one sum");
    let mut withdrawn = sent(1, Urgency::U2);
    withdrawn.thread.facts.pop();
    withdrawn.newham("11-23 11:00", What::WithdrawalConfirmed);
    withdrawn.newham("11-23 12:00", What::Delivered { to: newham(), of: 2 });
    assert_eq!(spans(&withdrawn, "11-23 13:00"), "to 316 10:00-11:00");
}

#[test]
fn limits_turns_and_classes_in_words() {
    let words =
        |limits: &[Limit]| limits.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let real = [Limit::Real(2 * HOUR), Limit::Real(90 * MINUTE), Limit::Real(90 * SECOND)];
    assert_eq!(words(&real), "2 h, 90 min, 90 s");
    let counted = [Limit::Open(4 * HOUR), Limit::WorkingDays(1), Limit::WorkingDays(45)];
    assert_eq!(words(&counted), "4 h of business, 1 working day, 45 working days");
    let school = [Limit::NextSchoolDay, Limit::NextFullSchoolDay, Limit::HomeTime];
    let school_words = "15:00 of the next school day, 15:00 of the next full school day, \
                        an hour before home time";
    assert_eq!(words(&school), school_words);
    let turns = [
        Turn::AtBreach,
        Turn::Since(5 * MINUTE),
        Turn::After(15 * MINUTE),
        Turn::Again,
        Turn::WorkingDays(5),
    ];
    assert_eq!(
        turns.map(|turn| turn.to_string()).join(", "),
        "at the limit, 5 min after the start, 15 min after the limit, after the same time again, \
         5 working days later"
    );
    let of = |class| {
        let all = ClockId::ALL.into_iter().filter(move |id| id.class() == class);
        all.map(ClockId::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(Class::Statutory), "C5 C9 C10");
    assert_eq!(of(Class::Procedure), "C4 C11 C13");
    assert_eq!(of(Class::Scheme), "C1 C2 C3 C6 C7 C8 C12 C15 E10 R1 R2");
}

#[test]
fn what_rests_on_days_that_nobody_told() {
    let assumed = |story: &Story, name: &str, at: Timestamp| {
        let clocks = read(&story.thread, &story.setting, at).clocks;
        clocks.into_iter().find(|c| c.name() == name).unwrap().assumed
    };
    let opened = "C3 delivery-316-2";
    let story = sent(1, Urgency::U2);
    assert!(!assumed(&story, opened, t("11-23 10:00")));
    let mut unknown = sent(1, Urgency::U2);
    unknown.setting.calendars.authorities.clear();
    assert!(assumed(&unknown, opened, t("11-23 10:00")));
    assert_eq!(unknown.shows(opened, "11-23 10:00"), "due Mon 23 Nov 14:00, running");
    let mut far = sent(1, Urgency::U2);
    let at = england_instant("2029-11-26".parse().unwrap(), 600);
    for fact in &mut far.thread.facts {
        fact.at = at;
    }
    assert!(assumed(&far, opened, at) && assumed(&far, "C5 child-1", at), "computed holidays");

    let mut story = Story::sent("11-23 09:00", Urgency::U1);
    story.thread.facts[2].what =
        What::Version { children: 1, urgency: Urgency::U1, in_school: true, goes_home_at: None };
    let mut home = |known: bool, home_time| {
        let terms = [Term { first: d("11-02"), last: d("12-18") }];
        let terms = if known { terms.to_vec() } else { Vec::new() };
        let calendar = SchoolCalendar { terms, home_time, ..SchoolCalendar::default() };
        story.setting.calendars.schools.insert(school_id("900001"), calendar);
        assumed(&story, "C4 referral", t("11-23 09:00"))
    };
    assert!(home(true, None) && home(false, Some(900)) && !home(true, Some(900)));
}

#[test]
fn where_a_clock_stands_still() {
    let mut story = sent(1, Urgency::U2);
    let still = |story: &Story, name: &str, at: &str| story.clock(name, at).still_until;
    assert_eq!(still(&story, "C5 child-1", "11-24 10:00"), None);
    assert_eq!(still(&story, "C3 delivery-316-2", "11-23 13:00"), None);
    story.newham("11-23 11:00", What::Acknowledged);
    story.newham("11-23 12:00", decided(true));
    assert_eq!(still(&story, "C9 child-1", "11-28 10:00"), Some(t("11-30 00:00")), "Saturday");
    assert_eq!(still(&story, "C9 child-1", "11-30 10:00"), None);
    assert_eq!(still(&story, "C12 event-6", "11-23 12:00"), None);
    let started = story.clock("C1 referral", "11-23 10:00");
    assert_eq!(started.due_at.since(started.started_at), 5 * SECOND);
    let (due, short) = home_time_limit(t("11-23 13:55"), t("11-23 15:15"));
    assert_eq!((due, short), (t("11-23 14:15"), false), "twenty minutes are enough");
}

#[test]
fn what_a_linked_school_hears() {
    let mut story = sent(1, Urgency::U2);
    let hears = |story: &Story| {
        let clocks = story.read("11-24 10:00").clocks;
        let told = clocks.into_iter().filter(|c| c.id == ClockId::C15).map(|c| c.about.to_string());
        told.collect::<Vec<_>>()
    };
    story.newham("11-23 11:00", step(Step::Note));
    assert_eq!(hears(&story), [""; 0]);
    story.newham("11-23 12:00", step(Step::PlanChanged));
    story.newham("11-23 13:00", step(Step::ConferenceHeld));
    story.newham("11-23 14:00", What::Closed { child: 1 });
    assert_eq!(hears(&story), ["told-6-900001", "told-7-900001", "told-8-900001"]);
}

#[test]
fn a_notice_goes_by_the_days_and_people_of_the_school_that_gets_it() {
    let mut story = sent(1, Urgency::U2);
    let other = school_id("900002");
    let calendar =
        SchoolCalendar { closures: vec![(d("11-24"), d("11-25"))], ..SchoolCalendar::default() };
    story.setting.calendars.schools.insert(other.clone(), calendar);
    let since = None;
    let notice = What::Notice { school: other.clone(), since };
    story.newham("11-23 11:00", notice);
    assert_eq!(story.shows("C12 event-5", "11-23 12:00"), "due Thu 26 Nov 15:00, running");
    assert_eq!(story.shows("C15 told-5-900002", "11-23 12:00"), "due Thu 26 Nov 15:00, running");
    for name in ["C12 event-5", "C15 told-5-900002"] {
        let clock = story.clock(name, "11-23 12:00");
        let of = Organisation::School(other.clone());
        assert_eq!(clock.waits_for, Some(of.clone()), "{name}");
        let schools = clock.ladder.iter().filter(|r| r.role.at_school()).collect::<Vec<_>>();
        assert!(!schools.is_empty() && schools.iter().all(|r| r.of == of), "{name}");
    }
    // Somebody else's reading is not that school's.
    story.school("11-23 13:00", What::Read { position: 5 });
    assert!(story.clock("C12 event-5", "11-23 14:00").state.is_open());
    assert!(story.clock("C15 told-5-900002", "11-23 14:00").state.is_open());
    let what = What::Reached { school: school_id("900001"), position: 5 };
    story.then("11-23 13:00", &exchange(), what);
    assert!(story.clock("C15 told-5-900002", "11-23 14:00").state.is_open());
}
