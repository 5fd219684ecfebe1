use proptest::prelude::*;

use super::*;
use crate::domain::routing::answer::Neighbour;
use crate::domain::routing::gss::Nation;

fn day() -> Date {
    Date::new(2026, 11, 21).unwrap()
}

fn dfe(code: &str) -> DfeCode {
    code.parse().unwrap()
}

#[test]
fn the_embedded_tables_open_and_know_each_others_codes() {
    let tables = RoutingTables::embedded().unwrap();
    let counts = tables.postcodes().counts();
    assert_eq!((counts.total(), counts.england), (2_644_272, 2_264_892));
    assert_eq!((counts.scotland, counts.wales, counts.unplaced), (230_031, 141_198, 8_151));
    assert_eq!((counts.retired, counts.near), (866_457, 55_156));
    assert!(POSTCODES.len() <= 1_200_000, "{} bytes in the binary", POSTCODES.len());
    for &code in tables.postcodes().codes() {
        assert!(code.nation().is_some() || tables.districts().knows(code), "{code}");
    }
    assert!(tables.postcodes().meta().attribution.len() >= 3);
}

#[test]
fn scottish_and_welsh_codes_are_the_listed_ones() {
    let listed = include_str!("data/lad_scotland_wales.csv");
    let tables = RoutingTables::embedded().unwrap();
    let used = tables.postcodes().codes().iter().filter(|code| code.nation().is_some());
    for code in used {
        assert!(listed.contains(code.as_str()), "{code}");
    }
}

#[test]
fn postcodes_that_break_naive_routers() {
    let tables = RoutingTables::embedded().unwrap();
    let near = |a: &str, b: &str, metres| Answer::NearBoundary {
        a: dfe(a),
        b: Neighbour::Authority(dfe(b)),
        metres,
        retired: false,
    };
    let wales = Neighbour::Nation(Nation::Wales);
    for (typed, answer) in [
        ("DA5 2BD", near("886", "303", 90)),
        ("W10 4AA", near("213", "304", 27)),
        ("CH1 4QN", Answer::NearBoundary { a: dfe("896"), b: wales, metres: 154, retired: false }),
        ("EC1A 1BB", near("206", "202", 100)),
        ("TD15 1UZ", Answer::NotEngland(Nation::Scotland)),
        ("NPT 1AA", Answer::NotEngland(Nation::Wales)),
        ("GIR 0AA", Answer::KnownUnplaced),
        ("BT1 1AA", Answer::NotEngland(Nation::NorthernIreland)),
        ("JE2 3AB", Answer::NotEngland(Nation::Jersey)),
        ("GY1 1AA", Answer::NotEngland(Nation::Guernsey)),
        ("IM1 1AA", Answer::NotEngland(Nation::IsleOfMan)),
        ("ZZ1 1AA", Answer::Unknown),
        ("E1", Answer::NotAPostcode),
    ] {
        assert_eq!(tables.answer(typed, day()), answer, "{typed}");
    }
}

#[test]
fn another_table_takes_its_place_only_with_the_pinned_digest() {
    let tables = RoutingTables::embedded().unwrap();
    let pin = tables.versions().postcodes_digest;
    assert!(tables.load_postcodes(POSTCODES, Some(pin)).is_ok());
    let other = Some(Digest::from_bytes([0; 32]));
    assert_eq!(tables.load_postcodes(POSTCODES, other).err(), Some(DataError::Pin));
    assert_eq!(tables.load_postcodes(b"PK", None).err(), Some(DataError::NotATable));
}

#[test]
fn an_explanation_names_the_table_and_never_the_postcode() {
    let tables = RoutingTables::embedded().unwrap();
    let told = tables.explain("DA5 2BD", day());
    for text in [told.to_string(), told.json().to_string(), format!("{told:?}")] {
        assert!(!text.contains("DA5") && !text.contains("2BD"), "{text}");
    }
    assert!(told.to_string().contains("ONSPD 2025-11, 12 months old"), "{told}");
    assert_eq!(told.json()["needs_a_person"], true);
    assert_eq!(told.json()["alternatives"][0]["name"], "Bexley");
}

#[test]
fn a_change_to_come_is_told_before_its_day() {
    let tables = RoutingTables::embedded().unwrap();
    let surrey = |at: &str| tables.explain("KT13 8QY", at.parse().unwrap());
    let before = surrey("2027-03-31");
    assert_eq!(before.authority.as_ref().map(|a| a.1.as_str()), Some("Surrey"));
    assert!(before.warnings.iter().any(|w| w.contains("East Surrey")), "{before}");
    assert_eq!(surrey("2027-04-01").answer, Answer::Reorganised { was: dfe("936") });
}

proptest! {
    #[test]
    fn no_text_panics(typed in "\\PC{0,12}") {
        let tables = RoutingTables::embedded().unwrap();
        let told = tables.explain(&typed, day());
        prop_assert_eq!(told.answer == Answer::NotAPostcode, typed.parse::<crate::domain::postcode::Postcode>().is_err());
    }
}
