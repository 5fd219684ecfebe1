//! How a file of vectors is laid out, written and compared.

use ecaf::domain::refusal::{Class, Refusal, Rule, Violation};
use ecaf::protocol::tokens::MISMATCH;
use serde_json::{Map, Value, json};

use crate::world::{conformance, writing};

pub struct File(Map<String, Value>);

impl File {
    pub fn new(about: &str, scheme: Value) -> Self {
        let Value::Object(map) = json!({ "about": about, "scheme": scheme }) else {
            unreachable!()
        };
        Self(map)
    }

    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.into(), value);
        self
    }

    /// Only the chains that a case names are of interest to a reader.
    pub fn chains(self, chains: Value) -> Self {
        self.with("chains", chains)
    }

    pub fn cases(mut self, cases: Vec<Value>) -> Self {
        let text = Value::Array(cases.clone()).to_string();
        if let Some(Value::Object(chains)) = self.0.get_mut("chains") {
            chains.retain(|name, _| text.contains(&format!("\"{name}\"")));
        }
        self.with("cases", cases.into())
    }
}

/// Compares a file with what was made, or writes it.
pub fn settle(path: &str, made: &File) {
    let text = serde_json::to_string_pretty(&made.0).unwrap() + "\n";
    let path_on_disk = conformance(path);
    if writing() {
        std::fs::create_dir_all(path_on_disk.parent().unwrap()).unwrap();
        std::fs::write(&path_on_disk, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path_on_disk).unwrap_or_default();
    assert!(committed == text, "{path} differs from what is made: see tests/token_vectors.rs");
}

/// The file as an integrator reads it.
pub fn read(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(conformance(path)).unwrap()).unwrap()
}

pub fn cases(file: &Value) -> &[Value] {
    file["cases"].as_array().unwrap()
}

/// Runs every case of a file: `outcome` against `expected`, all differences at once.
pub fn check(
    path: &str,
    outcome: impl Fn(&Value, &Value) -> String,
    expected: impl Fn(&Value) -> String,
) {
    let file = read(path);
    let mut ids = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for case in cases(&file) {
        assert!(ids.insert(case["id"].as_str().unwrap().to_owned()), "{} twice", case["id"]);
        let (expected, outcome) = (expected(case), outcome(&file, case));
        if expected != outcome {
            wrong.push(format!("{path} {}: expected {expected}, got {outcome}", case["id"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!ids.is_empty());
}

pub fn refused(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}

/// The rule and, for a fact that is stated twice, which one.
pub fn words(refusal: &Refusal) -> String {
    let violation = &refusal.violations[0];
    if violation.rule == MISMATCH {
        format!("{}: {}", violation.rule.id, violation.detail)
    } else {
        violation.rule.id.to_owned()
    }
}
