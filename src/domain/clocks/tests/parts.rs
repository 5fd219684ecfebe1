//! Each party answers for its own part, and each clock says what it is about.

use super::*;

#[test]
fn a_linked_delivery_is_acknowledged_by_who_has_it_and_by_nothing_less() {
    let mut story = Story::sent("11-23 10:00", Urgency::U2);
    let of = story.then(
        "11-23 10:00",
        &exchange(),
        What::Dispatched { to: hackney(), why: Dispatch::CaseHolding },
    );
    story.then("11-23 10:01", &by(hackney()), What::Delivered { to: hackney(), of });
    let name = format!("C5 delivery-204-{of}");
    story.then("11-23 10:05", &by(hackney()), What::Opened);
    assert!(story.clock(&name, "11-23 10:06").state.is_open(), "opened is not acknowledged");
    story.newham("11-23 10:07", What::Acknowledged);
    assert!(story.clock(&name, "11-23 10:08").state.is_open(), "not by the holder for it");
    let position = story.then("11-23 10:09", &by(hackney()), What::Acknowledged);
    let mark = Mark { at: t("11-23 10:09"), position };
    assert_eq!(story.clock(&name, "11-23 10:10").state, State::Met(mark));
}

#[test]
fn what_a_clock_is_about_in_words() {
    let words = |about: About| about.words();
    for whole in [About::Referral, About::Report, About::Child(0), About::ChildEvent(0, 7)] {
        assert_eq!(words(whole), None, "the referral as a whole needs no words");
    }
    for (about, expected) in [
        (About::Child(2), "child 2"),
        (About::ChildEvent(1, 7), "child 1"),
        (About::Delivery(newham(), 3), "authority 316"),
        (About::Event(4), "to position 4"),
        (About::Told(5, school_id("900001")), "of position 5"),
        (About::Stage(6, 2), "stage 2"),
        (About::Disagreement(6), "as a whole"),
        (About::Note(1, 9), "child 1, note 9"),
    ] {
        assert_eq!(words(about).as_deref(), Some(expected));
    }
}
