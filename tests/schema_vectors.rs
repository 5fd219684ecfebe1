//! The conformance vectors of strict JSON and of the referral schema, and every example.

use std::fs;
use std::path::{Path, PathBuf};

use ecaf::protocol::json;
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
