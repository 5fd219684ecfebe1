//! A configuration file. Mistakes are told by line and key, never by a panic, and every line of the
//! report can be printed.
#![no_main]

use std::path::Path;

use ecaf::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(mistakes) = config::parse(Path::new("any.toml"), text, &|_| None) {
        assert!(!mistakes.to_string().trim().is_empty(), "a refusal says why");
    }
});
