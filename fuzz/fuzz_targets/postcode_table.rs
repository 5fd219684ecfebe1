//! A postcode table file, its content, and a postcode that somebody typed. A table that is accepted
//! answers every question without a panic, and lists exactly what it finds.
#![no_main]

use ecaf::domain::postcode::Postcode;
use ecaf::domain::routing::table::PostcodeTable;
use ecaf::protocol::routing_data::envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = envelope::open(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(postcode) = text.parse::<Postcode>() {
            assert_eq!(postcode.spelled().parse(), Ok(postcode), "one spelling comes back");
        }
    }
    let Ok(table) = PostcodeTable::decode(bytes) else { return };
    for (postcode, found) in table.iter().take(2_000) {
        assert_eq!(table.lookup(postcode), Some(found));
    }
    for text in ["E8 1EA", "GIR 0AA", "ZZ99 9ZZ", "A1 1AA"] {
        if let Ok(postcode) = text.parse::<Postcode>() {
            let _ = table.lookup(postcode);
        }
    }
    let file = envelope::close(bytes).unwrap();
    assert!(envelope::open(&file).is_ok(), "what is decoded can be put into a file and opened");
});
