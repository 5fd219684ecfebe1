//! Any bytes as a document: our reader accepts what `serde_json` with our rules accepts, with the same
//! values, and names the same rule for the rest. Our own readings of an accepted one agree too.
#![no_main]

use ecaf::protocol::json;
use libfuzzer_sys::fuzz_target;

#[path = "../../src/protocol/json/stock.rs"]
mod stock;

fuzz_target!(|bytes: &[u8]| {
    let ours = json::parse(bytes, bytes.len()).map_err(|violation| violation.rule.id);
    assert_eq!(ours, stock::parse(bytes));
    let Ok(value) = ours else { return };
    let written = value.to_string();
    let again = json::read(written.as_bytes(), written.len()).expect("written by the library");
    assert!(again.root() == json::Tree::from(&value).root());
});
