//! R1, which reminds and is never late, and R2, which chases changed contacts.

use super::*;

fn minimal() -> Story {
    let mut story = Story::sent("11-23 10:00", Urgency::U1);
    story.school("11-23 10:01", What::UrgentMinimal);
    story.newham("11-23 10:02", What::Opened);
    story
}

fn supplement() -> What {
    What::Version { children: 1, urgency: Urgency::U1, in_school: false, goes_home_at: None }
}

fn contacts_confirmed(answers: u32) -> What {
    What::ContactsConfirmed { answers }
}

fn how(story: &Story, name: &str, at: &str) -> &'static str {
    story.clock(name, at).words()
}

#[test]
fn a_reminder_is_never_late_and_nobody_is_waited_for() {
    let story = minimal();
    let r1 = "R1 referral";
    assert_eq!(story.shows(r1, "11-24 10:00"), "due Tue 24 Nov 10:01, running");
    assert_eq!(story.rings(r1, "11-24 10:00"), [""; 0], "not before a day has passed");
    assert_eq!(how(&story, r1, "11-24 10:01"), "reminded");
    assert_eq!(story.rings(r1, "11-24 10:01"), ["safeguarding lead"]);
    let later = story.clock(r1, "11-27 10:00");
    assert_eq!(later.words(), "reminded");
    assert!(!later.state.is_breached() && !later.is_overdue());
    // Another clock that is near its limit is not called a reminder.
    let mut asked = minimal();
    asked.newham("11-23 11:00", What::Acknowledged);
    let near = asked.read("11-24 16:00").clocks;
    let near: Vec<_> = near.iter().filter(|c| c.state == State::Warned).map(Clock::words).collect();
    assert!(!near.is_empty() && near.iter().all(|words| *words == "near its limit"), "{near:?}");
    // Where only the reminder is left, nobody is waited for.
    let mut decided = minimal();
    decided.newham("11-23 11:00", What::Decided { child: 1, assessed: false });
    let waiting = decided.read("11-23 12:00").waiting;
    assert!(waiting.is_none_or(|waiting| waiting.clock != ClockId::R1));
}

#[test]
fn a_later_version_or_the_first_acknowledgement_ends_the_reminder() {
    let r1 = "R1 referral";
    let mut story = minimal();
    let position = story.school("11-23 15:00", supplement());
    let mark = Mark { at: t("11-23 15:00"), position };
    assert_eq!(story.clock(r1, "11-23 16:00").state, State::Met(mark));
    let mut story = minimal();
    story.newham("11-23 12:00", What::Acknowledged);
    story.school("11-23 15:00", supplement());
    let ended = story.clock(r1, "11-25 16:00").state;
    assert!(matches!(ended, State::Ended(_, WhyEnded::Overtaken)), "{ended:?}");
    let mut story = minimal();
    story.school("11-26 15:00", supplement());
    assert_eq!(how(&story, r1, "11-26 16:00"), "in time", "late for nothing");
    let mut story = minimal();
    story.newham("11-23 12:00", What::WithdrawalConfirmed);
    let ended = story.clock(r1, "11-25 16:00").state;
    assert!(matches!(ended, State::Ended(_, WhyEnded::Withdrawn)), "{ended:?}");
    // What was there before it supplements nothing; a full referral is not reminded of anything.
    assert_eq!(how(&minimal(), r1, "11-23 10:03"), "running");
    let full = Story::sent("11-23 10:00", Urgency::U1);
    assert!(full.read("11-25 10:00").not_started.contains(&ClockId::R1));
}

#[test]
fn the_other_side_confirms_changed_contacts_by_its_own_days() {
    let mut story = minimal();
    let of_school = story.school("11-27 16:00", What::ContactsChanged);
    let of_authority = story.newham("11-27 16:30", What::ContactsChanged);
    let (school, authority) = (format!("R2 event-{of_school}"), format!("R2 event-{of_authority}"));
    // A Friday. The authority has a working day, the school until three of its next day.
    assert_eq!(story.shows(&school, "11-27 17:00"), "due Mon 30 Nov 17:00, running");
    assert_eq!(story.shows(&authority, "11-27 17:00"), "due Mon 30 Nov 15:00, running");
    assert_eq!(story.clock(&school, "11-27 17:00").waits_for, Some(by(newham())));
    assert_eq!(story.clock(&authority, "11-27 17:00").waits_for, Some(the_school()));
    assert_eq!(story.rings(&school, "11-30 17:01"), ["team manager"]);
    assert_eq!(story.rings(&authority, "11-30 15:01"), ["deputy safeguarding lead"]);
    assert_eq!(story.rings(&authority, "12-01 15:01"), ["head teacher"]);
    // Each is confirmed by itself.
    story.newham("11-30 10:00", contacts_confirmed(of_school));
    assert_eq!(how(&story, &school, "12-01 10:00"), "in time");
    assert_eq!(how(&story, &authority, "12-01 10:00"), "overdue");
    story.school("12-01 11:00", contacts_confirmed(of_authority));
    assert_eq!(how(&story, &authority, "12-01 12:00"), "late");
}

#[test]
fn a_newer_change_by_the_same_side_takes_the_place_of_an_older_one() {
    let mut story = minimal();
    let first = story.school("11-23 12:00", What::ContactsChanged);
    story.newham("11-23 13:00", What::ContactsChanged);
    let name = format!("R2 event-{first}");
    assert!(
        story.clock(&name, "11-23 14:00").state.is_open(),
        "the other side's is another matter"
    );
    let newer = story.school("11-23 15:00", What::ContactsChanged);
    let ended = story.clock(&name, "11-23 16:00").state;
    assert!(matches!(ended, State::Ended(_, WhyEnded::Overtaken)), "{ended:?}");
    assert!(story.clock(&format!("R2 event-{newer}"), "11-23 16:00").state.is_open());
    story.newham("11-23 17:00", What::WithdrawalConfirmed);
    let ended = story.clock(&format!("R2 event-{newer}"), "11-23 18:00").state;
    assert!(matches!(ended, State::Ended(_, WhyEnded::Withdrawn)), "{ended:?}");
}

#[test]
fn a_notice_is_open_while_its_author_owes_something() {
    let mut story = Story::new();
    let notice = What::Notice { school: school_id("900001"), since: None };
    story.then("11-24 09:00", &by(hackney()), notice);
    story.school("11-24 10:00", What::Read { position: 1 });
    assert_eq!(story.read("11-24 10:00").attention, Attention::Closed);
    let answers = story.school("11-24 11:00", What::ContactsChanged);
    let reading = story.read("11-24 11:00");
    assert_eq!(reading.attention, Attention::WaitingOnAuthority);
    assert_eq!(reading.waiting.and_then(|waiting| waiting.party), Some(by(hackney())));
    story.then("11-24 12:00", &by(hackney()), contacts_confirmed(answers));
    assert_eq!(story.read("11-24 12:00").attention, Attention::Closed);
}
