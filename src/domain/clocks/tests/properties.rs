//! What holds for any thread, legal or not.

use proptest::prelude::*;

use super::*;

/// Anything that may be recorded, legal or not: the clocks must stay sound for all of it.
fn any_what() -> impl Strategy<Value = What> {
    let child = 1u32..3;
    let place = 1u32..14;
    let to = prop::sample::select(vec![newham(), hackney()]);
    let urgency = prop::sample::select(Urgency::ALL.to_vec());
    let steps = prop::sample::select(vec![
        Step::StrategyDiscussion,
        Step::EnquiryEnded,
        Step::ConferenceHeld,
        Step::AssessmentCompleted,
        Step::PlanChanged,
        Step::Note,
    ]);
    prop_oneof![
        Just(What::Opened),
        Just(What::Acknowledged),
        Just(What::InformationRequested),
        Just(What::Interim),
        Just(What::ResponsibilityDisputed),
        Just(What::DisputeResolved),
        Just(What::WithdrawalRequested),
        Just(What::CallRecorded),
        Just(What::DisagreementResolved),
        (urgency, any::<bool>(), 1u32..4).prop_map(|(urgency, in_school, children)| {
            What::Version { children, urgency, in_school, goes_home_at: None }
        }),
        (to.clone(), place.clone()).prop_map(|(to, of)| What::Delivered { to, of }),
        to.clone().prop_map(|to| What::TransferProposed { to }),
        to.prop_map(|to| What::Dispatched { to, why: Dispatch::ChildInArea }),
        place.clone().prop_map(|answers| What::InformationSupplied { answers }),
        place.clone().prop_map(|answers| What::TransferAccepted { answers }),
        place.clone().prop_map(|answers| What::TransferDeclined { answers }),
        place.clone().prop_map(|answers| What::TransferWithdrawn { answers }),
        place.clone().prop_map(|answers| What::DisagreementResponded { answers }),
        place.prop_map(|position| What::Read { position }),
        (child.clone(), any::<bool>())
            .prop_map(|(child, assessed)| What::Decided { child, assessed }),
        child.clone().prop_map(|child| What::Allocated { child }),
        child.clone().prop_map(|child| What::WorkerChanged { child, since: None }),
        child.clone().prop_map(|child| What::Closed { child }),
        (child, steps).prop_map(|(child, step)| What::Progress { child, step, since: None }),
        (1u8..6).prop_map(|stage| What::DisagreementRaised { stage }),
        (1u8..6).prop_map(|stage| What::DisagreementStepped { stage }),
    ]
}

/// A thread that was accepted at some time of 2026, with what followed.
fn any_story() -> impl Strategy<Value = Story> {
    let author = 0usize..3;
    let fact = (0i64..20_000, author, any_what());
    let urgency = prop::sample::select(Urgency::ALL.to_vec());
    (0i64..400_000, urgency, any::<bool>(), prop::collection::vec(fact, 0..12)).prop_map(
        |(minute, urgency, cut_off, facts)| {
            let from = t("01-05 00:00").plus(minute * MINUTE);
            let mut story = Story::sent("11-23 10:00", urgency);
            if cut_off {
                let hours = story.setting.calendars.authorities.get_mut(&newham()).unwrap();
                hours.cut_off = Some(16 * 60 + 30);
            }
            for fact in &mut story.thread.facts {
                fact.at = from;
            }
            let mut at = from;
            for (later, author, what) in facts {
                at = at.plus(later * MINUTE);
                let author = [by(newham()), by(hackney()), the_school()][author].clone();
                let position = story.thread.facts.len() as u32 + 1;
                story.thread.facts.push(Fact { at, position, by: author, what });
            }
            story
        },
    )
}

fn kind(state: State) -> u8 {
    match state {
        State::Running => 0,
        State::Warned => 1,
        State::Met(_) | State::Ended(..) => 2,
        State::Breached { late: None, ended: None } => 3,
        State::Breached { .. } => 4,
    }
}

proptest! {
    #[test]
    fn clocks_go_one_way(story in any_story(), first in 0i64..300_000, then in 0i64..100_000) {
        let start = story.thread.facts[0].at;
        let (now, later) = (start.plus(first * MINUTE), start.plus((first + then) * MINUTE));
        let before = read(&story.thread, &story.setting, now).clocks;
        let after = read(&story.thread, &story.setting, later).clocks;
        for clock in &before {
            let found = after.iter().find(|c| c.name() == clock.name());
            prop_assert!(found.is_some(), "{} is gone", clock.name());
            let found = found.unwrap();
            prop_assert!(found.due_at <= clock.due_at, "{} was put off", clock.name());
            prop_assert_eq!(found.started_at, clock.started_at);
            prop_assert!(!clock.state.is_breached() || found.state.is_breached());
            let open = clock.state.is_open();
            prop_assert!(open || kind(found.state) == kind(clock.state), "{}", clock.name());
            prop_assert!(kind(found.state) >= kind(clock.state), "{}", clock.name());
        }
        let names: std::collections::BTreeSet<_> = after.iter().map(Clock::name).collect();
        prop_assert_eq!(names.len(), after.len(), "each has its own name");
    }

    #[test]
    fn the_order_in_which_facts_are_given_means_nothing(
        story in any_story(), after in 0i64..300_000, turn in 0usize..16,
    ) {
        let now = story.thread.facts[0].at.plus(after * MINUTE);
        let mut other = story.thread.clone();
        let length = other.facts.len();
        other.facts.rotate_left(turn % length);
        other.facts.reverse();
        let as_told = read(&story.thread, &story.setting, now);
        prop_assert_eq!(&read(&other, &story.setting, now), &as_told);
        // Nor does what no clock waits for.
        let position = length as u32 + 1;
        let what = What::Reached { school: school_id("900009"), position: 1 };
        other.facts.push(Fact { at: now, position, by: exchange(), what });
        prop_assert_eq!(&read(&other, &story.setting, now), &as_told);
    }

    #[test]
    fn in_order_no_fact_is_before_what_stands_before_it(
        story in any_story(), steps in prop::collection::vec(-90i64..90, 16),
    ) {
        let mut thread = story.thread;
        for (fact, minutes) in thread.facts.iter_mut().zip(steps) {
            fact.at = fact.at.plus(minutes * MINUTE);
        }
        let ordered = thread.clone().in_order();
        for (fact, before) in ordered.facts.iter().zip(&thread.facts) {
            prop_assert!(fact.at >= before.at);
            let one_of = thread.facts.iter().filter(|f| f.position <= fact.position);
            prop_assert_eq!(fact.at, one_of.map(|f| f.at).max().unwrap(), "the latest up to here");
        }
        prop_assert_eq!(&ordered.clone().in_order().facts, &ordered.facts);
    }

    #[test]
    fn segments_follow_each_other_and_are_the_whole(story in any_story(), after in 0i64..300_000) {
        let start = story.thread.facts[0].at;
        let now = start.plus(after * MINUTE);
        let reading = read(&story.thread, &story.setting, now);
        let over = view::View::new(&story.thread, &story.setting, now).is_over();
        let end = over.map_or(now, |mark| mark.at);
        let sum: i64 = reading.segments.iter().map(|s| s.to.since(s.from)).sum();
        prop_assert_eq!(sum, end.since(start));
        for pair in reading.segments.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
        let linked = |c: &&Clock| matches!(c.about, About::Delivery(..));
        let fives = reading.clocks.iter().filter(|c| c.id == ClockId::C5 && !linked(c));
        for clock in fives.filter(|c| c.state.is_open()) {
            let held: i64 = clock.held.iter().map(|h| h.millis).sum();
            prop_assert_eq!(held, now.since(clock.started_at));
        }
    }

    #[test]
    fn a_transfer_changes_no_limit_but_its_own(story in any_story(), after in 0i64..300_000) {
        let now = story.thread.facts[0].at.plus(after * MINUTE);
        let mut without = story.thread.clone();
        without.facts.retain(|fact| {
            !matches!(
                fact.what,
                What::TransferProposed { .. }
                    | What::TransferAccepted { .. }
                    | What::TransferDeclined { .. }
                    | What::TransferWithdrawn { .. }
            )
        });
        let with = read(&story.thread, &story.setting, now).clocks;
        for clock in read(&without, &story.setting, now).clocks {
            // A later version goes to whoever is accountable by then.
            let is_same = |c: &&Clock| match (&c.about, &clock.about) {
                (About::Delivery(_, a), About::Delivery(_, b)) => c.id == clock.id && a == b,
                _ => c.name() == clock.name(),
            };
            let same = with.iter().find(is_same);
            prop_assert!(same.is_some(), "{} is gone", clock.name());
            prop_assert_eq!(same.unwrap().due_at, clock.due_at, "{}", clock.name());
        }
    }

    #[test]
    fn nobody_is_woken_but_to_find_something_to_record(
        story in any_story(), after in 0i64..300_000,
    ) {
        let last = story.thread.facts.iter().map(|f| f.at).max().unwrap();
        let now = last.plus(after * SECOND);
        let clocks = |at| read(&story.thread, &story.setting, at).clocks;
        let rings = |c: &Clock, at| c.state.is_open() && c.rings_at.is_some_and(|rings| rings <= at);
        let states = |at| {
            clocks(at).iter().map(|c| (c.name(), c.state, rings(c, at))).collect::<Vec<_>>()
        };
        match clocks(now).iter().filter_map(|clock| clock.next_news(now)).min() {
            Some(next) => {
                prop_assert!(next > now);
                prop_assert_eq!(states(next.plus(-1)), states(now));
                prop_assert_ne!(states(next), states(now));
            }
            None => prop_assert_eq!(states(now.plus(900 * DAY)), states(now)),
        }
    }

    #[test]
    fn working_day_limits_end_on_working_days(story in any_story()) {
        let now = story.thread.facts[0].at.plus(900 * DAY);
        let holidays = &story.setting.calendars.bank_holidays;
        let counted = [ClockId::C5, ClockId::C7, ClockId::C9, ClockId::C10, ClockId::C11, ClockId::C13];
        for clock in read(&story.thread, &story.setting, now).clocks {
            let urgent = story.thread.facts.iter().any(|f| matches!(f.what, What::Version { urgency, .. } if urgency.is_urgent()));
            if counted.contains(&clock.id) && !(clock.id == ClockId::C11 && urgent) {
                prop_assert!(holidays.is_working_day(clock.due_at.in_england().0), "{}", clock.name());
            }
            prop_assert!(clock.due_at >= clock.started_at);
            prop_assert!(clock.warn_at.is_none_or(|at| clock.started_at <= at && at <= clock.due_at));
            prop_assert!(clock.ladder.is_sorted_by_key(|rung| rung.at));
        }
    }
}
