//! Attacks on public figures: for every small count another world must look exactly the same.

mod counted;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::protect::{Figure, SMALL, Share, protect, share};
use super::tables::{Form, Row, Table, Unit};
use super::*;
use crate::domain::case::Decision;
use crate::domain::clocks::{Class as ClockClass, ClockId};
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::time::{DAY, HOUR, Timestamp};

fn codes(of: &[&str]) -> Vec<(String, String)> {
    of.iter().map(|code| ((*code).to_owned(), format!("label {code}"))).collect()
}

struct World {
    ethnicity: Vec<(String, String)>,
    abuse: Vec<(String, String)>,
    factors: Vec<(String, String)>,
    needs: Vec<(String, String)>,
}

impl World {
    fn new() -> Self {
        Self {
            ethnicity: codes(&["WBRI", "BCRB", "APKN", "MWBC", "NOBT"]),
            abuse: codes(&["NEG", "PHY", "EMO"]),
            factors: codes(&["3B", "4B"]),
            needs: codes(&["N1", "N4", "N5"]),
        }
    }

    fn lists(&self) -> Lists<'_> {
        Lists {
            ethnicity: &self.ethnicity,
            abuse: &self.abuse,
            factors: &self.factors,
            needs: &self.needs,
        }
    }

    fn published(&self, records: &[Record]) -> Published {
        publish(&records.iter().collect::<Vec<_>>(), &[], self.lists())
    }
}

/// A table of one partition, as if it stood alone.
fn table(form: Form, counts: &[u64]) -> Table {
    let row =
        |(n, count): (usize, &u64)| Row { key: n.to_string(), label: n.to_string(), count: *count };
    let rows = counts.iter().enumerate().map(row).collect();
    Table { id: "t", title: "t", unit: Unit::Referrals, form, rows }
}

/// Every table with these many categories and a total up to `most`: to an attacker who knows what is
/// shown and the exact total, no count from 1 to 4 has one value only.
fn nothing_small_follows(categories: u32, most: u64) {
    type Seen = BTreeMap<(Vec<Figure>, u64), Vec<Vec<u64>>>;
    let mut seen: Seen = BTreeMap::new();
    let base = most + 1;
    for number in 0..base.pow(categories) {
        let counts: Vec<u64> = (0..categories).map(|n| number / base.pow(n) % base).collect();
        // Of a larger total there are worlds that are not tried here.
        if counts.iter().sum::<u64>() > most {
            continue;
        }
        let shown = protect(&table(Form::Partition, &counts));
        seen.entry((shown, counts.iter().sum())).or_default().push(counts);
    }
    for ((shown, total), worlds) in seen {
        for at in 0..categories as usize {
            let values: Vec<u64> = worlds.iter().map(|w| w[at]).collect();
            let small = values.iter().any(|v| (1..SMALL).contains(v));
            let one = values.iter().all(|v| *v == values[0]);
            assert!(!(small && one), "{shown:?} of {total} means {worlds:?}");
        }
    }
}

#[test]
fn no_table_gives_a_small_count_away_even_with_its_exact_total() {
    nothing_small_follows(2, 40);
    nothing_small_follows(3, 26);
    nothing_small_follows(4, 20);
}

#[test]
fn without_the_second_withheld_count_the_first_would_follow() {
    let counts = [3, 20, 9];
    let shown: Vec<_> = counts.iter().map(|c| Figure::of(*c).to_string()).collect();
    assert_eq!(shown, ["c", "20", "10"], "32 in all, at most 22 and 12 of them shown: 0 to 5");
    let shown: Vec<_> =
        protect(&table(Form::Partition, &counts)).iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["c", "20", "c"]);
    let shown: Vec<_> =
        protect(&table(Form::Flags, &counts)).iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["c", "20", "10"], "flags have no total");
}

#[test]
fn shown_counts_are_rounded_and_small_ones_are_not_shown() {
    let shown = |count| Figure::of(count).to_string();
    assert_eq!([0, 1, 4].map(shown), ["c", "c", "c"]);
    assert_eq!([5, 7, 8, 12, 13, 100].map(shown), ["5", "5", "10", "10", "15", "100"]);
    let sum = Figure::of(12).and(Figure::of(3)).and(Figure::of(7));
    assert_eq!((sum.to_string().as_str(), sum.whole()), ("15+c", None));
    assert_eq!(share(60, 20), Share::Percent(75));
    assert_eq!(
        [share(99, 0), share(96, 4), share(2, 98), share(3, 3)].map(|s| s.to_string()),
        ["c", "95 % or more", "5 % or less", "c"]
    );
}

#[test]
fn quantiles_are_nearest_ranks_and_classes_hold_their_ends() {
    let values: Vec<i64> = (1..=10).collect();
    assert_eq!(quantile(&values, 50), Some(5));
    assert_eq!(quantile(&values, 90), Some(9));
    assert_eq!(quantile(&values[..1], 90), Some(1));
    assert_eq!(quantile(&[], 50), None);
    assert_eq!(class(HOUR).as_str(), "15 minutes to 1 hour");
    assert_eq!(class(HOUR + 1).as_str(), "1 to 4 hours");
    assert_eq!(class(i64::MAX).as_str(), "more than 9 weeks");
}

#[test]
fn only_whole_settled_quarters_are_published() {
    let date = |text: &str| text.parse().unwrap();
    let now: Timestamp = "2026-12-20T12:00:00Z".parse().unwrap();
    let two = quarters(date("2026-04-01"), date("2026-09-30"), now).unwrap();
    assert_eq!(
        two.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["Apr-Jun 2026", "Jul-Sep 2026"]
    );
    assert_eq!(
        quarters(date("2026-04-02"), date("2026-09-30"), now),
        Err(NotQuarters::Uneven(date("2026-04-01"), date("2026-09-30")))
    );
    // Summer time ends between: 70 times 24 hours after midnight are 23:00 of the day before.
    let early: Timestamp = "2026-12-09T22:59:59Z".parse().unwrap();
    let settled = quarters(date("2026-07-01"), date("2026-09-30"), early);
    assert_eq!(settled, Err(NotQuarters::NotSettled(date("2026-12-10"))));
    assert!(quarters(date("2026-07-01"), date("2026-09-30"), early.plus(1_000)).is_ok());
    assert!(quarters(date("2026-09-30"), date("2026-07-01"), now).is_err());
    let quarter = Quarter::of(date("2026-12-31"));
    assert_eq!(
        (quarter.last_day(), quarter.next().first_day()),
        (date("2026-12-31"), date("2027-01-01"))
    );
    // Midnight in England, not in UTC.
    assert!(Quarter::of(date("2026-07-01")).has("2026-06-30T23:00:00Z".parse().unwrap()));
}

#[test]
fn a_child_is_there_again_within_twelve_months_of_another_referral() {
    let mut records: Vec<Record> =
        [0, 300, 700].map(|days| record(Seed { day: days, ..Seed::default() })).into();
    for record in &mut records {
        record.children[0].key = Some(7);
    }
    again(&mut records);
    assert_eq!(
        records.iter().map(|r| r.children[0].again).collect::<Vec<_>>(),
        [false, true, false]
    );
}

/// What a random record is made of.
#[derive(Debug, Clone, Copy, Default)]
struct Seed {
    day: i64,
    urgency: usize,
    kind: usize,
    area: usize,
    passing: usize,
    flags: u8,
    ethnicity: usize,
    decision: usize,
    need: usize,
    late: usize,
}

const KINDS: [RequestType; 5] = [
    RequestType::Protection,
    RequestType::ChildInNeed,
    RequestType::FamilyHelp,
    RequestType::PrivateFostering,
    RequestType::InformationOnly,
];
const AREAS: [&str; 4] = ["204", "309", "316", "886"];

fn record(seed: Seed) -> Record {
    let world = World::new();
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let area = |n: usize| AREAS[n % AREAS.len()].parse().unwrap();
    let code = |list: &[(String, String)], n: usize| list[n % list.len()].0.clone();
    let outcomes = [Outcome::InTime, Outcome::InTime, Outcome::Breached, Outcome::Running];
    let decisions =
        [None, Some(Decision::Assessment), Some(Decision::Advice), Some(Decision::EarlyHelp)];
    let decision = decisions[seed.decision % 4];
    // Nobody has a need recorded who is not decided, as in real threads.
    let need = [None, None, Some(0), Some(0), Some(1), Some(2)][seed.need % 6];
    let need = need.filter(|_| decision.is_some()).map(|n: usize| code(&world.needs, n));
    let yes = |bit: u8| seed.flags & (1 << bit) != 0;
    Record {
        recorded_at: start.plus(seed.day * DAY),
        school_area: Some(area(seed.area + seed.kind)),
        first_authority: area(seed.area),
        holder: area(seed.area),
        urgency: Urgency::ALL[seed.urgency % 4],
        request_type: KINDS[seed.kind % 5],
        stored_after: Some(seed.late as i64 * 1_000),
        opened_after: None,
        acknowledged_after: Some(seed.late as i64 * HOUR),
        decided_after: None,
        passing: [Passing::PassedOn, Passing::Proposed, Passing::No][seed.passing % 3],
        disagreed: yes(0),
        ending: [Ending::Open, Ending::Closed, Ending::Withdrawn][seed.passing % 3],
        clocks: vec![ClockRecord {
            id: ClockId::C5,
            class: ClockClass::Statutory,
            authority: Some(area(seed.area)),
            outcome: outcomes[seed.late % 4],
            stopped: true,
        }],
        children: vec![Child {
            ethnicity: code(&world.ethnicity, seed.ethnicity),
            abuse: if yes(1) { vec!["NEG".into()] } else { Vec::new() },
            factors: if yes(2) { vec!["3B".into()] } else { Vec::new() },
            decision,
            need: need.unwrap_or_default(),
            key: None,
            again: yes(3),
        }],
        readable: true,
        answers_readable: true,
    }
}

/// The ways in which one record may be another: one attribute each, and a decision with a need.
fn changed(record: &Record) -> Vec<Record> {
    let mut all = Vec::new();
    let mut change = |edit: &dyn Fn(&mut Record)| {
        let mut other = record.clone();
        edit(&mut other);
        if other != *record {
            all.push(other);
        }
    };
    for urgency in Urgency::ALL {
        change(&|r| r.urgency = urgency);
    }
    for kind in RequestType::ALL.into_iter().filter(|kind| *kind != RequestType::Lado) {
        change(&|r| r.request_type = kind);
    }
    for area in AREAS.iter().chain(&["301", "936"]).map(|a| a.parse().unwrap()) {
        change(&|r| r.first_authority = area);
        change(&|r| r.school_area = Some(area));
    }
    for passing in [Passing::PassedOn, Passing::Proposed, Passing::No] {
        change(&|r| r.passing = passing);
    }
    for ending in [Ending::Open, Ending::Closed, Ending::Withdrawn] {
        change(&|r| r.ending = ending);
    }
    change(&|r| r.disagreed = !r.disagreed);
    for outcome in [Outcome::InTime, Outcome::Breached] {
        change(&|r| r.clocks[0].outcome = outcome);
    }
    for (code, _) in World::new().ethnicity {
        change(&|r| r.children[0].ethnicity.clone_from(&code));
    }
    let needs = || World::new().needs.into_iter().map(|(code, _)| code);
    for decision in Decision::ALL.into_iter().map(Some).chain([None]) {
        // Whoever knows how this works knows that nobody has a need recorded who is not decided: no
        // world where one has is any use, and to be decided may come with a need.
        change(&|r| {
            r.children[0].decision = decision;
            if decision.is_none() {
                r.children[0].need.clear();
            }
        });
        for need in needs().filter(|_| decision.is_some()) {
            change(&|r| {
                r.children[0].decision = decision;
                r.children[0].need.clone_from(&need);
            });
        }
    }
    if record.children[0].decision.is_some() {
        for need in needs().chain([String::new()]) {
            change(&|r| r.children[0].need.clone_from(&need));
        }
    }
    change(&|r| r.children[0].again = !r.children[0].again);
    for code in ["NEG", "PHY", "EMO"] {
        change(&|r| toggle(&mut r.children[0].abuse, code));
    }
    for code in ["3B", "4B"] {
        change(&|r| toggle(&mut r.children[0].factors, code));
    }
    all
}

fn toggle(codes: &mut Vec<String>, code: &str) {
    match codes.iter().position(|c| c == code) {
        Some(at) => drop(codes.remove(at)),
        None => codes.push(code.to_owned()),
    }
}

/// Every exact count that a public figure is made of, by its name.
fn exact(records: &[Record]) -> BTreeMap<String, u64> {
    let world = World::new();
    let records: Vec<&Record> = records.iter().collect();
    let mut all = BTreeMap::new();
    for table in tables(&records, world.lists(), true) {
        for row in table.rows.iter().filter(|_| table.form != Form::Total) {
            all.insert(format!("{} {}", table.id, row.key), row.count);
        }
    }
    for clock in clocks(&records) {
        let authority = clock.authority.map(|a| a.to_string()).unwrap_or_default();
        all.insert(format!("{} {authority} in time", clock.id.as_str()), clock.in_time);
        all.insert(format!("{} {authority} late", clock.id.as_str()), clock.breached);
    }
    all
}

/// For every small count, a world with one changed unit in which everything that `published` shows is
/// the same and that count is another.
fn withstands<T: Clone>(
    units: &[T],
    published: &dyn Fn(&[T]) -> Vec<Published>,
    exact: fn(&[T]) -> BTreeMap<String, u64>,
    changed: fn(&T) -> Vec<T>,
) {
    let (shown, counts) = (published(units), exact(units));
    let mut small: Vec<&String> =
        counts.iter().filter(|(_, n)| (1..SMALL).contains(*n)).map(|(name, _)| name).collect();
    for at in 0..units.len() {
        if small.is_empty() {
            return;
        }
        for other in changed(&units[at]) {
            let mut world = units.to_vec();
            world[at] = other;
            let there = exact(&world);
            let differs = |name: &&String| there.get(*name) != counts.get(*name);
            if small.iter().any(&differs) && published(&world) == shown {
                small.retain(|name| !differs(name));
            }
        }
    }
    assert!(small.is_empty(), "follow from what is shown: {small:?}");
}

/// What is no referral: kind, area, whether and when it was answered, how it was handed over.
fn aside((kind, area, answered, means): (usize, usize, usize, usize)) -> Beside {
    let kind = Kind::ALL[kind % 4];
    let hours = [None, Some(1), Some(1), Some(30)][answered % 4];
    Beside {
        kind,
        recorded_at: "2026-02-02T12:00:00Z".parse().unwrap(),
        authority: AREAS[area.saturating_sub(3) % 4].parse().unwrap(),
        answered_after: hours.filter(|_| kind == Kind::Consultation).map(|h: i64| h * HOUR),
        means: (kind == Kind::HandOver).then(|| Means::ALL[means.saturating_sub(2) % 3]),
    }
}

fn changed_aside(one: &Beside) -> Vec<Beside> {
    let mut all = Vec::new();
    for area in AREAS.iter().chain(&["301", "936"]) {
        all.push(Beside { authority: area.parse().unwrap(), ..one.clone() });
    }
    if one.kind == Kind::Consultation {
        let times = [None, Some(HOUR), Some(30 * HOUR)];
        all.extend(times.map(|answered_after| Beside { answered_after, ..one.clone() }));
    }
    if one.kind == Kind::HandOver {
        all.extend(Means::ALL.map(|means| Beside { means: Some(means), ..one.clone() }));
    }
    all.retain(|other| other != one);
    all
}

fn exact_aside(all: &[Beside]) -> BTreeMap<String, u64> {
    let tables = beside(&all.iter().collect::<Vec<_>>(), true).into_iter();
    let tables = tables.filter(|table| table.form != Form::Total);
    let named = |table: Table| {
        table.rows.into_iter().map(move |row| (format!("{} {}", table.id, row.key), row.count))
    };
    tables.flat_map(named).collect()
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let one = (
        0..180i64,
        0..4usize,
        0..6usize,
        0..5usize,
        0..9usize,
        0..16u8,
        0..12usize,
        0..4usize,
        0..6usize,
        0..40usize,
    );
    let seed = one.prop_map(
        |(day, urgency, kind, area, passing, flags, ethnicity, decision, need, late)| {
            Seed {
                day,
                urgency,
                kind,
                // Skewed, as real figures are.
                area: area.saturating_sub(2),
                passing,
                flags,
                ethnicity: ethnicity.saturating_sub(7),
                decision,
                need,
                late,
            }
        },
    );
    proptest::collection::vec(seed, 1..45)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// All tables of one quarter together.
    #[test]
    fn an_attacker_with_every_table_cannot_tell_a_small_count(seeds in seeds()) {
        let records: Vec<Record> = seeds.into_iter().map(record).collect();
        withstands(&records, &|records| vec![World::new().published(records)], exact, changed);
    }

    /// Notices, consultations and hand-overs, all their tables together.
    #[test]
    fn what_happens_beside_referrals_gives_no_small_count_away(
        units in proptest::collection::vec((0..4usize, 0..9usize, 0..4usize, 0..6usize), 1..60)
    ) {
        let all: Vec<Beside> = units.into_iter().map(aside).collect();
        let published = |all: &[Beside]| {
            vec![publish(&[], &all.iter().collect::<Vec<_>>(), World::new().lists())]
        };
        withstands(&all, &published, exact_aside, changed_aside);
    }

    /// Two reports that overlap: one quarter, and the half-year around it.
    #[test]
    fn overlapping_reports_say_no_more_than_each_quarter(seeds in seeds()) {
        let records: Vec<Record> = seeds.into_iter().map(record).collect();
        let first = Quarter::of("2026-01-01".parse().unwrap());
        let of = |quarter: Quarter, records: &[Record]| {
            let those: Vec<Record> =
                records.iter().filter(|r| quarter.has(r.recorded_at)).cloned().collect();
            World::new().published(&those)
        };
        let reports = |records: &[Record]| {
            let (one, two) = (of(first, records), of(first.next(), records));
            let both = together(&[one.clone(), two.clone()]);
            vec![one, two, both]
        };
        for quarter in [first, first.next()] {
            let those: Vec<Record> =
                records.iter().filter(|r| quarter.has(r.recorded_at)).cloned().collect();
            let others: Vec<Record> =
                records.iter().filter(|r| !quarter.has(r.recorded_at)).cloned().collect();
            withstands(&those, &|those| reports(&[those, &others[..]].concat()), exact, changed);
        }
    }
}
