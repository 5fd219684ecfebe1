//! Code lists: what a code means, in words.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::resources::resources;
use super::table::Table;
use crate::protocol::json::Mark;

/// A code list of the scheme.
pub struct CodeList {
    /// Its name: that of its file.
    pub name: &'static str,
    /// URI of the code system.
    pub system: String,
    /// Version of the code system.
    pub version: String,
    /// Codes and labels, in the order of the list.
    pub codes: Vec<(String, String)>,
}

static LISTS: LazyLock<HashMap<&'static str, CodeList>> = LazyLock::new(|| {
    let lists = resources().iter().filter_map(|resource| {
        let name = resource.path.strip_prefix("schemas/codes/")?.strip_suffix(".json")?;
        let value: Value = serde_json::from_slice(resource.bytes).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let codes = value["x-codes"].as_array()?;
        let codes = codes.iter().map(|c| (text(&c["code"]), text(&c["label"]))).collect();
        let (system, version) = (text(&value["x-system"]), text(&value["x-version"]));
        Some((name, CodeList { name, system, version, codes }))
    });
    lists.collect()
});

static BY_SYSTEM: LazyLock<Table<&'static CodeList>> = LazyLock::new(|| {
    let lists = LISTS.values().map(|list| (list.system.clone(), list));
    // The lists are part of the program: what fails here fails in every test run.
    #[allow(clippy::expect_used, reason = "embedded constants, proved by the test of this module")]
    Table::new(lists).expect("fewer than 65,535 lists")
});

/// The list of that name (`urgency`).
pub fn list(name: &str) -> Option<&'static CodeList> {
    LISTS.get(name)
}

/// The list of a code system.
pub fn list_of_system(system: &str) -> Option<&'static CodeList> {
    BY_SYSTEM.find(Mark::of(system), system).copied()
}

/// What a code means, if this version of the list has it.
pub fn label(name: &str, code: &str) -> Option<&'static str> {
    list(name)?.label(code)
}

impl CodeList {
    /// What a code means.
    pub fn label(&self, code: &str) -> Option<&str> {
        self.codes.iter().find(|(c, _)| c == code).map(|(_, label)| label.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_a_system_a_version_and_a_label_for_each_code() {
        for resource in resources().iter().filter(|r| r.path.starts_with("schemas/codes/")) {
            let schema: Value = serde_json::from_slice(resource.bytes).unwrap();
            let name = resource.path.trim_start_matches("schemas/codes/").trim_end_matches(".json");
            let list = list(name).unwrap_or_else(|| panic!("{name}"));
            assert!(list.system.starts_with("https://") && !list.version.is_empty(), "{name}");
            let allowed: Vec<&str> =
                schema["enum"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
            let listed: Vec<&str> = list.codes.iter().map(|(code, _)| code.as_str()).collect();
            assert_eq!(listed, allowed, "{name}");
            assert!(list.codes.iter().all(|(_, label)| label.len() > 1), "{name}");
        }
        assert!(label("urgency", "U0").is_some_and(|label| label.contains("999")));
        assert_eq!(label("urgency", "U9"), None);
    }
}
