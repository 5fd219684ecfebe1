//! What a stranger's server answers a school or a gateway: problem documents, receipts of a dispatch,
//! header fields. Read without a panic; what is shown to a person has no control characters.
#![no_main]

use ecaf::http::TraceParent;
use ecaf::protocol::evidence::Bundle;
use ecaf::protocol::message::{self, CERTIFICATES, DispatchAnswer};
use ecaf::protocol::problem::ProblemDocument;
use ecaf::protocol::trust::VerifiedCache;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(problem) = serde_json::from_slice::<ProblemDocument>(bytes) {
        let again = problem.to_bytes();
        let reread: ProblemDocument = serde_json::from_slice(&again).expect("our own form");
        assert_eq!(reread.to_bytes(), again);
    }
    let _ = serde_json::from_slice::<DispatchAnswer>(bytes);
    let _ = Bundle::parse(bytes);
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let mut headers = HeaderMap::new();
        headers.insert(CERTIFICATES, value);
        let _ = message::chain_field(&headers, &CERTIFICATES, &VerifiedCache::new(1));
        let _ = message::json_body(&headers);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(parent) = TraceParent::parse(text)
    {
        assert_eq!(parent.as_str(), text);
        assert!(text.is_ascii());
    }
});
