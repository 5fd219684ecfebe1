//! Tokens, evidence, problem documents and idempotency: every way in which they can be wrong is
//! refused with its own reason. The cases are the vectors in `conformance/tokens/`,
//! `conformance/problems/` and `conformance/idempotency/`; this file also makes them again, byte for
//! byte, so that what integrators get is what this code produced and passes.
//!
//! To write the vectors anew after a change: `ECAF_WRITE_VECTORS=1 cargo test --test token_vectors`,
//! then once more without.

#[path = "token_vectors/file.rs"]
mod file;
#[path = "token_vectors/form.rs"]
mod form;
#[path = "token_vectors/thread.rs"]
mod thread;
#[path = "token_vectors/world.rs"]
mod world;

use world::World;

#[test]
fn jws_vectors() {
    file::settle(form::FILE, &form::make(&World::new()));
    file::check(form::FILE, form::outcome, form::expected);
}
