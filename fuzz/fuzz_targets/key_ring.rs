//! The key ring's file, which others may have altered. Whatever was altered is refused in words without
//! key bytes, never by a panic; what is taken is genuine, and is written again as it was read.
#![no_main]

use std::sync::{Arc, LazyLock};

use ecaf::effects::SystemEntropy;
use ecaf::store::sealing::{Keks, LocalKek, Vault, from_bytes, to_bytes};
use libfuzzer_sys::fuzz_target;

/// The published one of `conformance/sealing`, under which the corpus lies.
static KEKS: LazyLock<Keks> = LazyLock::new(|| {
    let text = "ecaf-kek-1:wVwCiewtCpFn7I5loY3rvl5VMvvuopP4C8lC7pCGwXE";
    let kek = LocalKek::parse(text, Box::new(SystemEntropy::default())).expect("a published key");
    Keks::new(Arc::new(kek), None)
});

fuzz_target!(|bytes: &[u8]| {
    match from_bytes(bytes, &KEKS) {
        Err(fault) => assert!(!fault.to_string().trim().is_empty(), "a refusal says why"),
        Ok(ring) => {
            let kek = KEKS.find(ring.kek()).expect("it was opened with this key");
            assert_eq!(to_bytes(&ring, kek).as_deref(), Ok(bytes), "another file than was read");
            let vault = Vault::of_ring(ring, &KEKS, Arc::new(SystemEntropy::default()));
            assert!(vault.is_ok(), "a genuine ring does not open");
        }
    }
});
