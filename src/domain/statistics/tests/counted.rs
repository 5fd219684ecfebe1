//! What is counted where, and what several quarters show together.

use super::super::quantile::Class;
use super::*;

fn counted(records: &[Record], table: &str) -> Vec<(String, u64)> {
    let (world, records) = (World::new(), records.iter().collect::<Vec<_>>());
    let mut tables = tables(&records, world.lists(), true);
    tables.retain(|t| t.id == table);
    let rows = tables.remove(0).rows;
    rows.into_iter().filter(|row| row.count > 0).map(|row| (row.key, row.count)).collect()
}

fn many(count: usize, seed: Seed) -> Vec<Record> {
    vec![record(seed); count]
}

#[test]
fn each_unit_is_counted_once_by_each_attribute() {
    let mut records = many(3, Seed { urgency: 1, decision: 1, flags: 0b0011, ..Seed::default() });
    records.extend(many(2, Seed { urgency: 2, decision: 2, passing: 2, ..Seed::default() }));
    let is = |table: &str, expected: &[(&str, u64)]| {
        let expected: Vec<_> = expected.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
        assert_eq!(counted(&records, table), expected, "{table}");
    };
    is("referrals", &[("all", 5)]);
    is("children", &[("all", 5)]);
    is("urgency", &[("U1", 3), ("U2", 2)]);
    is("first_authority", &[("204", 5)]);
    is("transfers", &[("passed_on", 3), ("no", 2)]);
    is("endings", &[("withdrawn", 2), ("open", 3)]);
    is("disagreements", &[("raised", 3), ("none", 2)]);
    is("abuse", &[("NEG", 3)]);
    is("factors", &[]);
    is("re_referrals", &[("no", 5)]);
    is("decisions_assessed", &[("assessment", 3)]);
    is("decisions_other", &[("advice", 2)]);
    // By whether an assessment follows, and never by the decision itself.
    is("ethnicity_assessed", &[("WBRI", 3)]);
    is("ethnicity_other", &[("WBRI", 2)]);
}

#[test]
fn an_ethnicity_that_is_not_said_is_not_yet_obtained() {
    let mut records = many(2, Seed { decision: 1, ..Seed::default() });
    for (record, said) in records.iter_mut().zip(["", "none of the codes"]) {
        record.children[0].ethnicity = said.to_owned();
    }
    assert_eq!(counted(&records, "ethnicity_assessed"), [("NOBT".to_owned(), 2)]);
}

#[test]
fn every_child_has_one_primary_need_or_none_yet() {
    let mut records = many(4, Seed { decision: 1, need: 2, ..Seed::default() });
    records[1].children[0].need = "N12".to_owned();
    records[2].children[0].need = String::new();
    let of = |key: &str, count| (key.to_owned(), count);
    let expected = [of("N1", 2), of("other", 1), of("not_recorded", 1)];
    assert_eq!(counted(&records, "needs"), expected);
    // Which child a document that is erased spoke of, and of what, is not known any more.
    let has = |records: &[Record], settled| {
        let (world, records) = (World::new(), records.iter().collect::<Vec<_>>());
        tables(&records, world.lists(), settled).iter().any(|table| table.id == "needs")
    };
    assert!(has(&records, true));
    records[3].answers_readable = false;
    assert!(!has(&records, true) && has(&records, false));
}

#[test]
fn an_allegation_has_no_row() {
    let world = World::new();
    let table = tables(&[], world.lists(), true).into_iter().find(|t| t.id == "request_type");
    let keys: Vec<String> = table.unwrap().rows.into_iter().map(|row| row.key).collect();
    assert_eq!(keys.len(), RequestType::ALL.len() - 1);
    assert!(!keys.contains(&RequestType::Lado.as_str().to_owned()));
}

#[test]
fn what_erased_documents_said_is_not_counted_in_public() {
    let mut records = many(20, Seed { decision: 1, flags: 0b1111, ..Seed::default() });
    let world = World::new();
    let ids = |records: &[Record], settled| -> Vec<&str> {
        let records: Vec<&Record> = records.iter().collect();
        tables(&records, world.lists(), settled).iter().map(|table| table.id).collect()
    };
    let (of_documents, of_decisions) = (
        ["children", "re_referrals", "ethnicity_assessed", "ethnicity_other", "abuse", "factors"],
        ["decisions_assessed", "decisions_other"],
    );
    let has = |ids: &[&str], some: &[&str]| some.iter().filter(|id| ids.contains(id)).count();
    let all = ids(&records, true);
    assert_eq!((has(&all, &of_documents), has(&all, &of_decisions)), (6, 2));
    records[0].readable = false;
    let part = ids(&records, true);
    assert_eq!((has(&part, &of_documents), has(&part, &of_decisions)), (0, 0), "one is erased");
    assert_eq!(ids(&records, false), all, "internal figures count what there is");
    for record in &mut records {
        record.readable = false;
    }
    let none = ids(&records, true);
    assert_eq!((has(&none, &of_documents), has(&none, &of_decisions)), (0, 2), "decisions stay");
}

#[test]
fn a_year_is_the_longest_time_between_two_referrals_of_a_child() {
    let again_after = |days: i64, later: i64, key| {
        let mut records =
            vec![record(Seed::default()), record(Seed { day: days, ..Seed::default() })];
        records[1].recorded_at = records[1].recorded_at.plus(later);
        records[0].children[0].key = Some(7);
        records[1].children[0].key = key;
        again(&mut records);
        [0, 1].map(|at| records[at].children[0].again)
    };
    assert_eq!(again_after(365, 0, Some(7)), [false, true]);
    assert_eq!(again_after(365, 1, Some(7)), [false, false]);
    assert_eq!(again_after(0, 1, Some(7)), [false, true]);
    assert_eq!(again_after(0, 0, Some(7)), [false, false], "one referral is not its own second");
    assert_eq!(again_after(30, 0, Some(8)), [false, false], "another child");
    assert_eq!(again_after(30, 0, None), [false, false]);
}

#[test]
fn a_clock_is_public_where_a_law_or_procedure_sets_it_and_enough_is_known() {
    let world = World::new();
    let with = |class, in_time: usize, late: usize| {
        let mut records = many(in_time, Seed { late: 0, ..Seed::default() });
        records.extend(many(late, Seed { late: 2, ..Seed::default() }));
        for record in &mut records {
            record.clocks[0].class = class;
        }
        world.published(&records).clocks
    };
    let of = |class, in_time, late| {
        let clocks = with(class, in_time, late);
        clocks
            .iter()
            .map(|c| format!("{} {} {}", c.in_time, c.breached, c.share))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(ClockClass::Statutory, 30, 10), ["30 10 75 %"]);
    assert_eq!(of(ClockClass::Procedure, 30, 10), ["30 10 75 %"]);
    assert!(of(ClockClass::Scheme, 30, 10).is_empty(), "the scheme's own are for its parties");
    assert_eq!(of(ClockClass::Statutory, 98, 2), ["c c 95 % or more"], "neither part is shown");
    assert_eq!(of(ClockClass::Statutory, 2, 98), ["c c 5 % or less"]);
    assert!(of(ClockClass::Statutory, 97, 2).is_empty(), "not even that there is one");
    assert_eq!(of(ClockClass::Statutory, 5, 5), ["5 5 50 %"]);
    assert!(of(ClockClass::Statutory, 5, 4).is_empty());
    let clock = &with(ClockClass::Statutory, 30, 10)[0];
    assert_eq!((clock.id, clock.authority), (ClockId::C5, Some("204".parse().unwrap())));
}

#[test]
fn a_length_is_told_over_enough_values_only() {
    let world = World::new();
    let told = |count| {
        let published = world.published(&many(count, Seed { late: 39, ..Seed::default() }));
        let stored = published.times.iter().find(|times| times.id == "stored").unwrap();
        (stored.median.map(Class::as_str), stored.p90.map(Class::as_str))
    };
    let class = Some("up to 1 minute");
    assert_eq!(told(19), (None, None));
    assert_eq!(told(20), (class, None));
    assert_eq!(told(49), (class, None));
    assert_eq!(told(50), (class, class));
    let records = many(50, Seed { late: 39, ..Seed::default() });
    let published = world.published(&records);
    let of = |id| published.times.iter().find(|times| times.id == id).unwrap();
    assert_eq!(of("acknowledged").median.unwrap().as_str(), "1 to 3 days");
    assert_eq!((of("opened").median, of("decided").median), (None, None));
}

/// A quarter that shows these areas, and this clock with them: in time and not.
fn quarter(areas: &[(&str, u64)], clocks: &[(&str, u64, u64)]) -> Published {
    let row = |(key, count): &(&str, u64)| {
        ((*key).to_owned(), format!("Authority {key}"), Figure::of(*count))
    };
    let table = |id, open, rows| ShownTable {
        id,
        title: "t",
        unit: Unit::Referrals,
        total: false,
        open,
        rows,
    };
    let total = areas.iter().map(|(_, count)| count).sum();
    let clock = |(authority, in_time, breached): &(&str, u64, u64)| ShownClock {
        id: ClockId::C5,
        class: ClockClass::Statutory,
        authority: Some(authority.parse().unwrap()),
        in_time: Figure::of(*in_time),
        breached: Figure::of(*breached),
        share: share(*in_time, *breached),
    };
    let length = ShownTimes { id: "stored", title: "t", median: Some(class(HOUR)), p90: None };
    Published {
        tables: vec![
            table("referrals", false, vec![("all".into(), "All".into(), Figure::of(total))]),
            table("first_authority", true, areas.iter().map(row).collect()),
        ],
        clocks: clocks.iter().map(clock).collect(),
        times: vec![length],
    }
}

#[test]
fn several_quarters_show_the_sums_of_what_each_shows() {
    let first = quarter(&[("316", 12), ("204", 10)], &[("204", 30, 10)]);
    let second = quarter(&[("204", 22), ("309", 7)], &[("204", 10, 30), ("309", 98, 2)]);
    let both = together(&[first.clone(), second.clone()]);
    let rows = |table: &ShownTable| {
        table.rows.iter().map(|(key, _, figure)| format!("{key} {figure}")).collect::<Vec<_>>()
    };
    assert_eq!(
        both.tables.iter().map(|t| t.id).collect::<Vec<_>>(),
        ["referrals", "first_authority"]
    );
    assert_eq!(rows(&both.tables[0]), ["all 50"]);
    // What a quarter does not show counts as withheld there: none and too few look the same.
    assert_eq!(rows(&both.tables[1]), ["204 30", "309 5+c", "316 10+c"]);
    let clock = |c: &ShownClock| {
        let authority = c.authority.map(|code| code.to_string()).unwrap_or_default();
        format!("{authority}: {} {} {}", c.in_time, c.breached, c.share)
    };
    let clocks: Vec<String> = both.clocks.iter().map(clock).collect();
    assert_eq!(clocks, ["204: 40 40 50 %", "309: 100+c c c"], "no share of what is not all shown");
    assert!(both.times.is_empty(), "a median needs the values themselves");
    // A table that one of them does not have is not summed up; one quarter stands as it is.
    let erased = Published { tables: second.tables[..1].to_vec(), ..second };
    let both = together(&[first.clone(), erased]);
    assert_eq!(both.tables.iter().map(|t| t.id).collect::<Vec<_>>(), ["referrals"]);
    assert_eq!(together(std::slice::from_ref(&first)), first);
    assert!(together(&[]).tables.is_empty());
}

#[test]
fn a_second_figure_is_withheld_where_one_may_be_missing() {
    let shown = |form, counts: [u64; 2]| {
        let row = |(key, count): (&str, u64)| Row { key: key.into(), label: key.into(), count };
        let rows = ["a", "b"].into_iter().zip(counts).map(row).collect();
        let table = Table { id: "t", title: "T", unit: Unit::Referrals, form, rows };
        protect(&table).iter().map(Figure::to_string).collect::<Vec<_>>()
    };
    assert_eq!(shown(Form::Partition, [10, 20]), ["10", "20"]);
    assert_eq!(shown(Form::Partition, [3, 20]), ["c", "c"]);
    assert_eq!(shown(Form::Open, [10, 20]), ["10", "c"], "there is always one without a unit");
    assert_eq!(shown(Form::Flags, [3, 20]), ["c", "20"]);
    assert_eq!(shown(Form::Total, [3, 20]), ["c", "20"]);
}

#[test]
fn a_quarter_has_its_own_instants_and_no_others() {
    let quarter = Quarter::of("2026-08-15".parse().unwrap());
    let begins = crate::domain::hours::england_instant(quarter.first_day(), 0);
    let ends = crate::domain::hours::england_instant(quarter.next().first_day(), 0);
    for (at, within) in
        [(begins, true), (begins.plus(-1), false), (ends.plus(-1), true), (ends, false)]
    {
        assert_eq!(quarter.has(at), within, "{at}");
    }
}

#[test]
fn means_have_their_codes() {
    for means in Means::ALL {
        assert_eq!(Means::from_code(means.as_str()), Some(means));
    }
    assert_eq!(Means::from_code("fax"), None);
}
