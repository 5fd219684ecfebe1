//! A document of a stranger: read strictly, checked, shown, and turned into a minimal one. Whatever
//! the bytes, nothing panics; what is accepted can be read out, and a minimal document is one that we
//! would accept ourselves.
#![no_main]

use ecaf::domain::case::EventKind;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::time::{Date, Timestamp};
use ecaf::protocol::{document, json, schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let now = Timestamp::from_seconds(1_795_262_400);
    let today = Date::new(2026, 11, 21).unwrap();
    let limit = 256 * 1024;
    if let Ok(text) = std::str::from_utf8(bytes) {
        let stripped = json::strip_comments(text);
        assert_eq!(json::strip_comments(&stripped), stripped, "nothing is left to take out");
        let lines = |text: &str| text.matches('\n').count();
        let blanked = json::blank_comments(text);
        assert_eq!(lines(&blanked), lines(text), "every line keeps its number");
    }
    let Ok(value) = json::parse(bytes, limit) else { return };
    // What we read strictly, everybody reads, and reads the same.
    let stock: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(value, stock);
    match schema::check(&value, today) {
        Ok(checked) => {
            let text = document::readable(&value, "Fuzzed").to_text();
            assert!(!text.is_empty());
            let _ = (checked.header().version, checked.facts());
        }
        Err(violations) => {
            assert!(!violations.is_empty());
            for violation in &violations {
                // Every place can be shown, and no name that the schema does not know is repeated.
                let _ = json::position_of(bytes, &violation.pointer);
            }
        }
    }
    // The document of an event: of the kind that it names, or of any.
    let named = value["event"].as_str().and_then(EventKind::from_name);
    let kind = named.unwrap_or(EventKind::Decided);
    let code = value["code"].as_str();
    let _ = schema::check_detail(bytes, kind, code, ReferralId::from_bytes([7; 16]));
    if let Some(minimal) = schema::minimal_from(&value, [7; 16], now) {
        let value = json::parse(&minimal, limit).expect("our own document is strict JSON");
        assert!(schema::check(&value, today).is_ok(), "our own minimal document is accepted");
    }
});
