//! The routing vectors of `conformance/routing`, against the tables inside the program.

use ecaf::domain::party::DfeCode;
use ecaf::domain::referral::{
    CaseHolder, CaseKind, ChildFacts, RequestType, Residence, RoutingFacts, SenderChoice,
    SettingFacts, Urgency, WhereNow,
};
use ecaf::domain::refusal::Violation;
use ecaf::domain::routing::answer::{Answer, Neighbour};
use ecaf::protocol::routing_data::RoutingTables;
use serde_json::{Value, json};

fn vectors(file: &str) -> Vec<Value> {
    let path = format!("{}/conformance/routing/{file}", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut ids: Vec<&str> = cases.iter().map(|case| case["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "ids are unique");
    cases
}

fn parsed<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str().map(|text| text.parse().ok().unwrap())
}

fn where_now(value: &Value) -> WhereNow {
    match value.as_str().unwrap_or("unknown") {
        "at_school" => WhereNow::AtSchool,
        "at_home" => WhereNow::AtHome,
        "hospital" => WhereNow::Hospital,
        "visiting" => WhereNow::Visiting,
        "missing" => WhereNow::Missing,
        "elsewhere" => WhereNow::Elsewhere,
        "unknown" => WhereNow::Unknown,
        other => panic!("{other}"),
    }
}

fn case_holder(value: &Value) -> CaseHolder {
    let kind = match value["kind"].as_str().unwrap() {
        "looked_after" => CaseKind::LookedAfter,
        "protection_plan" => CaseKind::ProtectionPlan,
        "in_need_plan" => CaseKind::InNeedPlan,
        "open_case" => CaseKind::OpenCase,
        "housing_only" => CaseKind::HousingOnly,
        other => panic!("{other}"),
    };
    CaseHolder { authority: parsed(&value["authority"]), kind }
}

fn child((at, value): (usize, &Value)) -> ChildFacts {
    let minutes = |text: &str| -> u16 {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
    };
    ChildFacts {
        pointer: format!("/children/{at}"),
        residence: match value["lives"].as_str().unwrap() {
            "no_fixed_abode" => Residence::NoFixedAbode,
            "unknown" => Residence::Unknown,
            postcode => Residence::Postcode(postcode.to_string()),
        },
        where_now: where_now(&value["where_now"]),
        now_postcode: value["now_postcode"].as_str().map(str::to_string),
        danger_now: value["danger_now"] == true,
        not_safe_home: value["not_safe_home"] == true,
        goes_home_at: value["goes_home_at"].as_str().map(minutes),
        cases: value["cases"].as_array().into_iter().flatten().map(case_holder).collect(),
    }
}

fn facts(input: &Value) -> RoutingFacts {
    RoutingFacts {
        urgency: Urgency::from_code(input["urgency"].as_str().unwrap()).unwrap(),
        request_type: RequestType::from_code(input["request_type"].as_str().unwrap()).unwrap(),
        children: input["children"].as_array().unwrap().iter().enumerate().map(child).collect(),
        setting: input.get("setting").map(|setting| SettingFacts {
            authority: parsed(&setting["authority"]),
            postcode: setting["postcode"].as_str().map(str::to_string),
        }),
        choice: input.get("choice").map(|choice| SenderChoice {
            authority: parsed(&choice["authority"]).unwrap(),
            reason: choice["reason"].as_str().unwrap().to_string(),
        }),
    }
}

fn rules(violations: &[Violation]) -> Value {
    violations.iter().map(|violation| violation.rule.id).collect()
}

#[test]
fn every_postcode_vector() {
    let tables = RoutingTables::embedded().unwrap();
    for case in vectors("postcodes.json") {
        let day = parsed(&case["input"]["as_of"]).unwrap();
        let answer = tables.answer(case["input"]["postcode"].as_str().unwrap(), day);
        let mut told = json!({ "answer": answer.code() });
        if let Some(authority) = answer.candidate() {
            told["authority"] = json!(authority.to_string());
        }
        if let Answer::NearBoundary { b, metres, .. } = answer {
            told["metres"] = json!(metres);
            told["alternative"] = match b {
                Neighbour::Authority(code) => json!(code.to_string()),
                Neighbour::Nation(nation) => json!(nation.name()),
                Neighbour::Unsettled => Value::Null,
            };
        }
        if let Answer::NotEngland(nation) = answer {
            told["nation"] = json!(nation.name());
        }
        assert_eq!(told, case["expect"], "{}", case["id"]);
    }
}

#[test]
fn every_decision_vector() {
    let tables = RoutingTables::embedded().unwrap();
    let mut wrong = Vec::new();
    for case in vectors("decisions.json") {
        let (input, id) = (&case["input"], &case["id"]);
        let school: Option<DfeCode> = parsed(&input["school_authority"]);
        let day = parsed(&input["as_of"]).unwrap();
        let decision = tables.decide(&facts(input), school, day);
        let deliveries: Value = decision
            .deliveries
            .iter()
            .map(|d| json!([d.authority.to_string(), d.purpose.as_str()]))
            .collect();
        let told = json!({
            "accountable": decision.accountable.map(|code| code.to_string()),
            "basis": decision.basis.map(|basis| basis.id()),
            "deliveries": deliveries,
            "violations": rules(&decision.violations),
            "warnings": rules(&decision.warnings),
            "confirmations":
                decision.confirmations.iter().map(|c| c.question.rule.id).collect::<Value>(),
            "alternatives":
                decision.alternatives.iter().map(ToString::to_string).collect::<Value>(),
        });
        for (member, expected) in case["expect"].as_object().unwrap() {
            if &told[member] != expected {
                wrong.push(format!("{id}: {member} is not {expected} in {told}"));
            }
        }
        let refused = case["expect"].get("violations").is_some();
        assert_eq!(decision.is_routed(), !refused, "{id}: {told}");
        assert_eq!(decision, tables.decide(&facts(input), school, day), "{id}: twice the same");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
