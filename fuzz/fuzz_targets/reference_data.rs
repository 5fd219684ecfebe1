//! Tables that an operator downloads: postcode directories as CSV, gzip or zip, and registers of
//! schools.
#![no_main]

use std::io::Cursor;

use ecaf::protocol::{directory, routing_data::import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut last = 0;
    let mut progress = |read: u64, total: u64| {
        assert!(read >= last && read <= total.max(read), "progress goes forward");
        last = read;
    };
    if let Err(failure) = import::read(Cursor::new(bytes), &mut progress) {
        assert!(!failure.to_string().is_empty());
    }
    if let Err(fault) = directory::read_register(bytes) {
        assert!(!fault.to_string().is_empty());
    }
});
