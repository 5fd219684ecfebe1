//! What holds for every decision, whatever the facts. The worked examples are the vectors in
//! `conformance/routing/decisions.json`.

use proptest::prelude::*;

use super::*;
use crate::domain::ids::Digest;
use crate::domain::referral::{
    CaseHolder, CaseKind, ChildFacts, Residence, SenderChoice, SettingFacts, Urgency, WhereNow,
};
use crate::domain::routing::district::{self, Authority, Parts};
use crate::domain::routing::gss::Gss;
use crate::domain::routing::table::{Found, Meta, Near, NearBasis, Row, build};

fn gss(text: &str) -> Gss {
    text.parse().unwrap()
}

fn dfe(text: &str) -> DfeCode {
    text.parse().unwrap()
}

/// Two made-up authorities, a postcode on their boundary, one without a place, one in Wales.
fn tables() -> (PostcodeTable, Districts) {
    let row = |typed: &str, district: Option<&str>, near: Option<&str>| Row {
        postcode: typed.parse().unwrap(),
        found: Found {
            district: district.map(gss),
            retired: false,
            near: near.map(|area| Near { area: gss(area), metres: 40 }),
        },
    };
    let mut rows = vec![
        row("E1 1AA", Some("E09000901"), None),
        row("E2 1AA", Some("E09000902"), None),
        row("E2 1AB", Some("E09000902"), Some("E09000901")),
        row("E3 1AA", None, None),
        row("CF1 1AA", Some("W06000015"), None),
    ];
    let meta = Meta {
        source: "Made up".to_string(),
        year: 2026,
        month: 11,
        source_digest: Digest::from_bytes([0; 32]),
        near: NearBasis::Source,
        attribution: vec![],
    };
    let authority = |code: &str, area: &str| Authority {
        code: dfe(code),
        gss: gss(area),
        name: format!("Council {code}"),
        from: None,
        to: None,
    };
    let district = |area: &str, code: &str| district::Row {
        district: gss(area),
        name: String::new(),
        authority: dfe(code),
        from: None,
        to: None,
    };
    let parts = Parts {
        authorities: vec![authority("991", "E09000901"), authority("992", "E09000902")],
        rows: vec![district("E09000901", "991"), district("E09000902", "992")],
        ..Parts::default()
    };
    let table = PostcodeTable::decode(&build(&meta, &mut rows).unwrap()).unwrap();
    (table, Districts::new(parts).unwrap())
}

fn any_postcode() -> impl Strategy<Value = String> {
    let known = ["E1 1AA", "E2 1AA", "E2 1AB", "E3 1AA", "CF1 1AA", "BT1 1AA", "E9 9ZZ", "here"];
    proptest::sample::select(known.to_vec()).prop_map(str::to_string)
}

fn any_authority() -> impl Strategy<Value = DfeCode> {
    proptest::sample::select(vec![dfe("991"), dfe("992"), dfe("909")])
}

/// Facts have no `Debug`, so that no postcode is ever printed: the raw material is made first.
type Child =
    (Option<String>, WhereNow, Option<String>, bool, bool, Vec<(Option<DfeCode>, CaseKind)>);
type Facts =
    (Urgency, RequestType, Vec<Child>, Option<(Option<DfeCode>, Option<String>)>, Option<DfeCode>);

fn any_child() -> impl Strategy<Value = Child> {
    let homes = prop_oneof![3 => any_postcode().prop_map(Some), 1 => Just(None)];
    let places = vec![
        WhereNow::AtSchool,
        WhereNow::AtHome,
        WhereNow::Hospital,
        WhereNow::Visiting,
        WhereNow::Missing,
        WhereNow::Elsewhere,
        WhereNow::Unknown,
    ];
    let kinds = vec![CaseKind::LookedAfter, CaseKind::OpenCase, CaseKind::HousingOnly];
    let case = (proptest::option::of(any_authority()), proptest::sample::select(kinds));
    (
        homes,
        proptest::sample::select(places),
        proptest::option::of(any_postcode()),
        any::<bool>(),
        any::<bool>(),
        proptest::collection::vec(case, 0..3),
    )
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let setting = (proptest::option::of(any_authority()), proptest::option::of(any_postcode()));
    (
        proptest::sample::select(Urgency::ALL.to_vec()),
        proptest::sample::select(RequestType::ALL.to_vec()),
        proptest::collection::vec(any_child(), 0..4),
        proptest::option::of(setting),
        proptest::option::of(any_authority()),
    )
}

fn child(raw: Child) -> ChildFacts {
    let (home, where_now, now_postcode, danger_now, not_safe_home, cases) = raw;
    let nowhere = if danger_now { Residence::Unknown } else { Residence::NoFixedAbode };
    let holder = |(authority, kind)| CaseHolder { authority, kind };
    ChildFacts {
        pointer: "/children/0".to_string(),
        residence: home.map_or(nowhere, Residence::Postcode),
        where_now,
        now_postcode,
        danger_now,
        not_safe_home,
        goes_home_at: None,
        cases: cases.into_iter().map(holder).collect(),
    }
}

fn facts((urgency, request_type, children, setting, choice): Facts) -> RoutingFacts {
    RoutingFacts {
        urgency,
        request_type,
        children: children.into_iter().map(child).collect(),
        setting: setting.map(|(authority, postcode)| SettingFacts { authority, postcode }),
        choice: choice.map(|authority| SenderChoice { authority, reason: "asked".to_string() }),
    }
}

fn day() -> Date {
    Date::new(2026, 11, 21).unwrap()
}

/// A child at school with nothing special about it.
fn lives(residence: Residence) -> ChildFacts {
    ChildFacts {
        pointer: "/children/0".to_string(),
        residence,
        where_now: WhereNow::AtSchool,
        now_postcode: None,
        danger_now: false,
        not_safe_home: false,
        goes_home_at: None,
        cases: vec![],
    }
}

fn at(typed: &str) -> Residence {
    Residence::Postcode(typed.to_string())
}

/// What is decided on `day` for a child of a school in the area of 992.
fn decided_on(day: Date, urgency: Urgency, child: ChildFacts) -> Decision {
    let (postcodes, districts) = tables();
    let request_type = RequestType::Protection;
    let facts =
        RoutingFacts { urgency, request_type, children: vec![child], setting: None, choice: None };
    let atlas = Atlas { postcodes: &postcodes, districts: &districts };
    decide(atlas, &facts, Some(dfe("992")), day)
}

fn decided(urgency: Urgency, child: ChildFacts) -> Decision {
    decided_on(day(), urgency, child)
}

fn rules_of(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(|v| v.rule.id).collect()
}

#[test]
fn until_when_the_child_is_there_is_told() {
    let goes_home_at = Some(15 * 60 + 15);
    let child = ChildFacts { not_safe_home: true, goes_home_at, ..lives(at("E1 1AA")) };
    let decision = decided(Urgency::U1, child);
    let linked = &decision.deliveries[1];
    assert_eq!((linked.authority, linked.purpose), (dfe("992"), Purpose::Linked));
    assert_eq!(linked.reasons[0].until, Some(15 * 60 + 15));
    assert!(!linked.purpose.must_acknowledge());
}

#[test]
fn where_a_child_stays_counts_only_without_a_known_home() {
    let stays = |residence, where_now| {
        let child =
            ChildFacts { where_now, now_postcode: Some("E2 1AA".to_string()), ..lives(residence) };
        let decision = decided(Urgency::U1, child);
        let asked = decision.confirmations.iter().map(|c| c.question.rule.id).collect::<Vec<_>>();
        assert_eq!(decision.is_flagged(), !asked.is_empty());
        (decision.accountable.unwrap().to_string(), asked)
    };
    for (residence, where_now, accountable, asked) in [
        (at("E1 1AA"), WhereNow::AtSchool, "991", vec![]),
        (at("E1 1AA"), WhereNow::Hospital, "992", vec![]),
        (Residence::NoFixedAbode, WhereNow::Elsewhere, "992", vec![]),
        (Residence::Unknown, WhereNow::Hospital, "992", vec![]),
        (Residence::Unknown, WhereNow::Elsewhere, "992", vec![rules::HOME_UNKNOWN.id]),
    ] {
        assert_eq!(stays(residence, where_now), (accountable.to_string(), asked), "{where_now:?}");
    }
}

#[test]
fn a_person_confirms_between_the_two_sides_of_a_boundary() {
    let decision = decided(Urgency::U1, lives(at("E2 1AB")));
    assert!(decision.is_routed() && decision.is_flagged());
    let confirmation = Confirmation {
        question: Violation::at(rules::NEAR_BOUNDARY, "/children/0"),
        candidate: dfe("992"),
        or: Some(dfe("991")),
    };
    assert_eq!(decision.confirmations, [confirmation]);
    assert!(!decided(Urgency::U1, lives(at("E1 1AA"))).is_flagged());
    let without_anybody = Decision { deliveries: vec![], ..decision };
    assert!(!without_anybody.is_routed());
}

#[test]
fn an_authority_is_told_once_with_each_reason_once() {
    let case = CaseHolder { authority: Some(dfe("992")), kind: CaseKind::OpenCase };
    let child = ChildFacts {
        danger_now: true,
        where_now: WhereNow::AtHome,
        cases: vec![case, case],
        ..lives(at("E2 1AA"))
    };
    let decision = decided(Urgency::U0, child);
    let [only] = &decision.deliveries[..] else { panic!("one authority") };
    let reasons: Vec<_> = only.reasons.iter().map(|reason| reason.basis).collect();
    assert_eq!(reasons, [Basis::Lives, Basis::DangerNow, Basis::CaseHolding]);
    assert!(decision.warnings.is_empty(), "{:?}", rules_of(&decision.warnings));
}

#[test]
fn the_setting_of_an_adult_is_where_its_postcode_says_or_else_where_it_is_named() {
    let (postcodes, districts) = tables();
    let atlas = Atlas { postcodes: &postcodes, districts: &districts };
    for (postcode, named, accountable, differs) in [
        (Some("E1 1AA"), Some("991"), Some("991"), false),
        (Some("E1 1AA"), Some("992"), Some("991"), true),
        (Some("E1 1AA"), None, Some("991"), false),
        (Some("E3 1AA"), Some("992"), Some("992"), false),
        (Some("E3 1AA"), None, None, false),
        (None, Some("992"), Some("992"), false),
    ] {
        let setting =
            SettingFacts { authority: named.map(dfe), postcode: postcode.map(str::to_string) };
        let facts = RoutingFacts {
            urgency: Urgency::U2,
            request_type: RequestType::Lado,
            children: vec![],
            setting: Some(setting),
            choice: None,
        };
        let decision = decide(atlas, &facts, None, day());
        assert_eq!(decision.accountable, accountable.map(dfe), "{postcode:?} {named:?}");
        assert_eq!(decision.is_routed(), accountable.is_some());
        let (warning, other) = (vec![rules::SETTING_DIFFERS.id], vec![dfe("992")]);
        let expected = if differs { (warning, other) } else { (vec![], vec![]) };
        assert_eq!((rules_of(&decision.warnings), decision.alternatives), expected);
    }
}

#[test]
fn ids_of_reasons_round_trip() {
    for basis in Basis::ALL {
        assert_eq!(Basis::from_id(basis.id()), Some(basis));
    }
    assert_eq!(Basis::from_id("routing.else"), None);
}

#[test]
fn what_is_public_of_reasons_and_purposes() {
    let ids: Vec<_> = Basis::ALL.map(Basis::id).into();
    assert_eq!(
        ids,
        [
            "routing.lives",
            "routing.found",
            "routing.setting-of-adult",
            "routing.sender-chose",
            "routing.school-fallback",
            "routing.danger-now",
            "routing.case-holding"
        ]
    );
    let mut titles: Vec<_> = Basis::ALL.map(Basis::title).into();
    titles.sort_unstable();
    titles.dedup();
    assert!(titles.len() == Basis::ALL.len() && titles.iter().all(|title| title.len() > 20));
    let purposes = [Purpose::Accountable, Purpose::CaseHolding, Purpose::Linked];
    assert_eq!(purposes.map(Purpose::as_str), ["accountable", "case_holding", "linked"]);
    assert_eq!(purposes.map(Purpose::must_acknowledge), [true, true, false]);
}

#[test]
fn a_table_grows_old_after_eighteen_months() {
    let (postcodes, _) = tables();
    let age = |year, month| age_in_months(&postcodes, Date::new(year, month, 1).unwrap());
    assert_eq!([age(2026, 10), age(2026, 11), age(2026, 12), age(2028, 5)], [0, 0, 1, 18]);
    let warned = |year, month| {
        let day = Date::new(year, month, 1).unwrap();
        rules_of(&decided_on(day, Urgency::U2, lives(at("E1 1AA"))).warnings)
    };
    assert!(warned(2028, 5).is_empty());
    assert_eq!(warned(2028, 6), [rules::TABLE_OLD.id]);
    assert_eq!(warned(2029, 1), [rules::TABLE_OLD.id]);
}

proptest! {
    #[test]
    fn what_holds_for_every_decision(raw in any_facts(), school in any::<bool>()) {
        let (postcodes, districts) = tables();
        let atlas = Atlas { postcodes: &postcodes, districts: &districts };
        let school = school.then(|| dfe("992"));
        let facts = facts(raw);
        let decision = decide(atlas, &facts, school, day());

        prop_assert_eq!(decision.is_routed(), decision.violations.is_empty());
        let accountable = decision.deliveries.iter().filter(|d| d.purpose == Purpose::Accountable);
        prop_assert_eq!(accountable.count(), usize::from(decision.is_routed()));
        let first = decision.deliveries.first();
        prop_assert_eq!(first.map(|d| d.authority), decision.accountable.filter(|_| decision.is_routed()));
        let mut told: Vec<_> = decision.deliveries.iter().map(|d| d.authority).collect();
        told.sort_unstable();
        prop_assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "one delivery each");
        prop_assert!(told.iter().all(|code| districts.is_authority(*code, day())));
        prop_assert!(decision.deliveries.iter().all(|d| !d.reasons.is_empty()));

        let lado = facts.request_type == RequestType::Lado;
        if facts.urgency.is_urgent() && school.is_some() && (lado || !facts.children.is_empty()) {
            let split = |v: &Violation| v.rule == rules::SPLIT_INTO_GROUP;
            prop_assert!(decision.violations.iter().all(split), "nothing else stops an urgent one");
        }
        if lado {
            prop_assert!(decision.deliveries.len() <= 1, "only where the adult works");
        }
    }
}
