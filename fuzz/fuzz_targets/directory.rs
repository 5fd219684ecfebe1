//! A directory file: the signed form, the document inside it, and an operator's overlay.
#![no_main]

use ecaf::domain::time::Timestamp;
use ecaf::protocol::directory;
use ecaf::protocol::trust::{ChainRefusal, rules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let at: Timestamp = "2026-11-04T12:00:00Z".parse().unwrap();
    // Nobody is trusted: whatever it says, it is refused.
    let nobody = |_: &_| Err(ChainRefusal(rules::UNKNOWN_AUTHORITY));
    assert!(directory::accept(bytes, nobody, at, None).is_err());
    let inner = directory::unpack_unverified(bytes);
    for document in [Some(bytes), inner.as_deref()].into_iter().flatten() {
        let Ok(read) = directory::read_json(document) else { continue };
        // What was read is written and read again as the same.
        let again = directory::write_json(&read);
        let reread = directory::read_json(&again).expect("our own form is readable");
        assert_eq!(directory::write_json(&reread), again);
        for code in read.authorities.keys() {
            assert!(read.ring_text(*code, at).contains("999"), "nobody is left without a number");
            let _ = read.unattended_text(*code, at);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = directory::read_overlay(text);
    }
});
