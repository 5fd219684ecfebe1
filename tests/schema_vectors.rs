//! The conformance vectors of strict JSON and of the referral schema, and every example.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ecaf::domain::referral::{CaseKind, Residence};
use ecaf::domain::time::{Date, Timestamp};
use ecaf::protocol::document::readable;
use ecaf::protocol::json;
use ecaf::protocol::schema::{Schema, check, check_header, findings, minimal_from};
use proptest::prelude::*;
use serde_json::Value;

fn files(folder: &str) -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "nothing in {}", folder.display());
    paths
        .into_iter()
        .map(|path| {
            let value = serde_json::from_slice(&fs::read(&path).unwrap())
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path, value)
        })
        .collect()
}

fn base64url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[test]
fn hostile_json_is_refused_and_ordinary_json_is_read() {
    let mut seen = 0;
    for (path, suite) in files("conformance/json") {
        for case in suite["cases"].as_array().unwrap() {
            let bytes = if let Some(text) = case["text"].as_str() {
                text.as_bytes().to_vec()
            } else if let Some(raw) = case["base64url"].as_str() {
                base64url(raw)
            } else {
                let times = case["repeat"]["times"].as_u64().unwrap() as usize;
                case["repeat"]["text"].as_str().unwrap().repeat(times).into_bytes()
            };
            let limit = case["limit"].as_u64().map_or(json::DEFAULT_LIMIT, |n| n as usize);
            let got = json::parse(&bytes, limit).err().map(|violation| violation.rule.id);
            assert_eq!(got, case["expect"]["rule"].as_str(), "{} {}", path.display(), case["id"]);
            seen += 1;
        }
    }
    assert!(seen >= 50, "only {seen} cases");
}

/// JSON Patch (RFC 6902): the three operations that the vectors use.
fn patched(mut document: Value, patch: &Value) -> Value {
    for step in patch.as_array().unwrap() {
        let path = step["path"].as_str().unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/").replace("~0", "~");
        let operation = step["op"].as_str().unwrap();
        match document.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
            Value::Object(members) => match operation {
                "remove" => drop(members.remove(&name).unwrap_or_else(|| panic!("no {path}"))),
                "add" | "replace" => drop(members.insert(name, step["value"].clone())),
                other => panic!("{other}"),
            },
            Value::Array(items) => match (operation, name.as_str()) {
                ("add", "-") => items.push(step["value"].clone()),
                ("add", at) => items.insert(at.parse().unwrap(), step["value"].clone()),
                ("replace", at) => items[at.parse::<usize>().unwrap()] = step["value"].clone(),
                ("remove", at) => drop(items.remove(at.parse().unwrap())),
                other => panic!("{other:?}"),
            },
            _ => panic!("{parent} has no members"),
        }
    }
    document
}

fn examples() -> &'static [(String, Value)] {
    static EXAMPLES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
        files("conformance/examples")
            .into_iter()
            .map(|(path, _)| {
                let value = json::parse(&fs::read(&path).unwrap(), json::DEFAULT_LIMIT)
                    .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                (path.file_name().unwrap().to_str().unwrap().to_owned(), value)
            })
            .collect()
    });
    &EXAMPLES
}

fn today() -> Date {
    Date::new(2026, 11, 25).unwrap()
}

#[test]
fn every_schema_vector_finds_exactly_its_violations() {
    let bases: HashMap<&str, &Value> =
        examples().iter().map(|(name, value)| (name.as_str(), value)).collect();
    let mut seen = 0;
    for (path, suite) in files("conformance/schema") {
        assert_eq!(suite["schema"], Schema::referral_v1_id(), "{}", path.display());
        for case in suite["cases"].as_array().unwrap() {
            let base = bases[case["base"].as_str().unwrap()];
            let document = patched(base.clone(), &case["patch"]);
            let mut found: Vec<(String, &str)> = Schema::referral_v1()
                .check(&document)
                .err()
                .unwrap_or_default()
                .into_iter()
                .map(|violation| (violation.pointer, violation.rule.id))
                .collect();
            found.sort();
            let mut expected: Vec<(String, &str)> = case["expect"]["violations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| (v["pointer"].as_str().unwrap().to_owned(), v["rule"].as_str().unwrap()))
                .collect();
            expected.sort();
            assert_eq!(found, expected, "{} {}", path.display(), case["id"]);
            seen += 1;
        }
    }
    assert!(seen >= 100, "only {seen} cases");
}

#[test]
fn every_example_is_valid_readable_and_makes_facts() {
    for (name, document) in examples() {
        let checked =
            check(document, today()).unwrap_or_else(|broken| panic!("{name}: {broken:#?}"));
        assert_eq!(checked.header().urgency, checked.facts().urgency);
        assert_eq!(
            checked.facts().children.len(),
            document["children"].as_array().map_or(0, Vec::len),
            "{name}"
        );
        let page = readable(document, "From a test.");
        for text in [page.to_text(), page.to_html()] {
            assert!(!text.contains("not_known") && !text.contains("direct_observation"), "{name}");
        }
    }
}

fn by_prefix(prefix: &str) -> Value {
    let mut found = examples().iter().filter(|(name, _)| name.starts_with(prefix));
    found.next().unwrap_or_else(|| panic!("no example {prefix}")).1.clone()
}

/// Scenario A19: a wrong check letter and no postcode are accepted with warnings.
#[test]
fn a19_a_slip_in_a_number_is_advice_and_never_a_refusal() {
    let checked = check(&by_prefix("a19"), today()).ok().unwrap();
    let rules: Vec<&str> = checked.advice().iter().map(|advice| advice.rule.id).collect();
    assert!(rules.contains(&"advice.upn-check-letter"), "{rules:?}");
    assert!(rules.contains(&"advice.postcode-missing"), "{rules:?}");
}

/// Scenario A6: a refuge routes, and every readable form marks it as withheld.
#[test]
fn a6_a_refuge_routes_and_is_marked_as_withheld() {
    let document = by_prefix("a06");
    let checked = check(&document, today()).ok().unwrap();
    let child = &checked.facts().children[0];
    assert!(matches!(&child.residence, Residence::Postcode(postcode) if postcode.starts_with('E')));
    let text = readable(&document, "").to_text();
    assert!(text.contains("WITHHELD ADDRESS") && text.contains("Must be kept from"), "{text}");
}

/// Scenario A5: the child lives in Hackney, and Kent (886) looks after her.
#[test]
fn a5_the_placing_authority_is_a_case_holder() {
    let checked = check(&by_prefix("a05"), today()).ok().unwrap();
    let cases = &checked.facts().children[0].cases;
    assert!(
        cases.iter().any(|case| case.kind == CaseKind::LookedAfter
            && case.authority.is_some_and(|code| code.as_str() == "886")),
        "{cases:?}"
    );
}

fn leaves(value: &Value, here: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, format!("{here}/{name}"), out));
            out.push(here);
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| leaves(v, format!("{here}/{i}"), out));
            out.push(here);
        }
        _ => out.push(here),
    }
}

/// Whatever is broken, no message repeats anything of the document, nor a name that is not ours.
#[test]
fn no_message_ever_shows_a_value() {
    const PLANTED: &str = "Zqxjk";
    let mut messages = 0;
    for (name, document) in examples() {
        let mut places = Vec::new();
        leaves(document, String::new(), &mut places);
        for place in places {
            let mut broken = document.clone();
            let target = broken.pointer_mut(&place).unwrap();
            match target {
                Value::Object(members) => {
                    members.insert(format!("{PLANTED} 07700 900999"), Value::from(PLANTED));
                }
                other => *other = Value::from(format!("{PLANTED} Street, {PLANTED}")),
            }
            let (findings, advice) = findings(&broken, today());
            let all = findings.iter().map(|finding| &finding.violation).chain(&advice);
            for violation in all {
                let shown = format!("{violation} {violation:?}");
                assert!(!shown.contains(PLANTED), "{name} {place}: {shown}");
                assert!(!shown.contains("900999"), "{name} {place}: {shown}");
                messages += 1;
            }
        }
    }
    assert!(messages > 500, "only {messages}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["U0", "2026-02-30", "c1", "lado", "not_known", "E8 1EA", ""])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let name = prop::sample::select(vec!["id", "unknown", "text", "children", "code", "x~/y"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..3).prop_map(|members| {
                Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

/// Whether the check without advice says the same as the one with it.
fn agree(document: &Value) -> bool {
    let whole = check(document, today()).map(|checked| checked.header().clone());
    check_header(json::Tree::from(document).root()) == whole
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any value anywhere in an example: nothing panics, what is accepted has facts, and an urgent
    /// referral that is refused has a way out that is valid.
    #[test]
    fn no_document_makes_the_check_panic(which in any::<prop::sample::Index>(),
                                         at in any::<prop::sample::Index>(), value in any_json()) {
        let mut document = which.get(examples()).1.clone();
        let mut places = Vec::new();
        leaves(&document, String::new(), &mut places);
        *document.pointer_mut(at.get(&places[..]).as_str()).unwrap() = value;
        prop_assert!(agree(&document));
        let _ = readable(&document, "x").to_html();
        if let Some(bytes) = minimal_from(&document, [1; 16], Timestamp::from_millis(0)) {
            let minimal = json::parse(&bytes, json::DEFAULT_LIMIT).unwrap();
            prop_assert!(Schema::referral_v1().fits(&minimal));
            prop_assert_eq!(&minimal["referral_id"], &document["referral_id"]);
        }
    }

    #[test]
    fn arbitrary_json_is_refused_without_a_panic(value in any_json()) {
        prop_assert!(check(&value, today()).is_err());
        let _ = readable(&value, "x").to_text();
    }
}

#[test]
fn every_advice_vector_warns_and_refuses_as_it_says() {
    let bases: HashMap<&str, &Value> =
        examples().iter().map(|(name, value)| (name.as_str(), value)).collect();
    let pairs = |violations: &mut dyn Iterator<Item = (String, String)>| {
        let mut pairs: Vec<(String, String)> = violations.collect();
        pairs.sort();
        pairs
    };
    let expected = |list: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        pairs(&mut list.as_array().unwrap().iter().map(|v| (text(&v["pointer"]), text(&v["rule"]))))
    };
    let mut seen = 0;
    for (path, suite) in files("conformance/advice") {
        for case in suite["cases"].as_array().unwrap() {
            let base = bases[case["base"].as_str().unwrap()];
            let document = patched(base.clone(), &case["patch"]);
            assert!(agree(&document), "{} {}", path.display(), case["id"]);
            let (broken, advice) =
                findings(&document, case["today"].as_str().unwrap().parse().unwrap());
            let broken = broken.into_iter().map(|finding| finding.violation);
            for (found, list) in [(broken.collect::<Vec<_>>(), "violations"), (advice, "advice")] {
                let found =
                    pairs(&mut found.into_iter().map(|v| (v.pointer, v.rule.id.to_owned())));
                let name = format!("{} {} {list}", path.display(), case["id"]);
                assert_eq!(found, expected(&case["expect"][list]), "{name}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} cases");
}
