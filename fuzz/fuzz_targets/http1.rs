//! The head of an HTTP/1.1 request, and a chunked body in whatever pieces it arrives. What is accepted
//! has one reading, and how the network cuts it changes nothing.
#![no_main]

use ecaf::http::fuzzing::{chunked, http1_head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(head) = http1_head(bytes) {
        assert!(head.path.starts_with('/'));
        assert!(!bytes.contains(&0));
        // A bare line end would be a second reading for another program on the way.
        let bare = |at: usize| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r');
        assert!(!(0..bytes.len()).any(bare));
    }
    let whole = chunked(bytes, bytes.len());
    for step in [1, 2, 7] {
        assert_eq!(chunked(bytes, step), whole, "cut into pieces of {step}");
    }
});
