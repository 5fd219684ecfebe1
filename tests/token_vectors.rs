//! Tokens, evidence, problem documents and idempotency: every way in which they can be wrong is
//! refused with its own reason. The cases are the vectors in `conformance/tokens/`,
//! `conformance/problems/` and `conformance/idempotency/`; this file also makes them again, byte for
//! byte, so that what integrators get is what this code produced and passes.
//!
//! To write the vectors anew after a change: `ECAF_WRITE_VECTORS=1 cargo test --test token_vectors`,
//! then once more without.

#[path = "token_vectors/events.rs"]
mod events;
#[path = "token_vectors/exchange.rs"]
mod exchange;
#[path = "token_vectors/file.rs"]
mod file;
#[path = "token_vectors/form.rs"]
mod form;
#[path = "token_vectors/openings.rs"]
mod openings;
#[path = "token_vectors/proofs.rs"]
mod proofs;
#[path = "token_vectors/properties.rs"]
mod properties;
#[path = "token_vectors/statements.rs"]
mod statements;
#[path = "token_vectors/stock.rs"]
mod stock;
mod store_support;
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

#[test]
fn statement_vectors() {
    let world = World::new();
    statements::settle_all(&world);
    file::check(statements::SUBMISSIONS, statements::submission_outcome, statements::expected);
    let outcome = statements::dispatch_outcomes(&world);
    file::check(statements::DISPATCHES, outcome, statements::expected);
    file::check(statements::RECEIPTS, statements::receipt_outcome, statements::expected);
}

#[test]
fn event_vectors() {
    file::settle(events::FILE, &events::make(&World::new()));
    file::check(events::FILE, events::outcome, events::expected);
}

#[test]
fn evidence_vectors() {
    let world = World::new();
    file::settle(proofs::FILE, &proofs::make(&world));
    file::check(proofs::FILE, proofs::outcome, proofs::expected);
    proofs::the_command_says_the_same(&world);
}

#[test]
fn problem_vectors() {
    let world = World::new();
    file::settle(exchange::PROBLEMS, &exchange::problems(&world));
    exchange::check_problems(&world);
}

#[test]
fn idempotency_vectors() {
    let world = World::new();
    file::settle(exchange::IDEMPOTENCY, &exchange::idempotency(&world));
    exchange::check_idempotency(&world);
}

#[test]
fn another_implementation_verifies_our_tokens_and_we_verify_its() {
    let world = World::new();
    stock::openssl_verifies_our_tokens(&world);
    stock::we_verify_tokens_of_openssl(&world);
}

#[test]
fn no_changed_token_verifies() {
    properties::no_changed_token_verifies(&World::new());
}

#[test]
fn every_statement_round_trips() {
    properties::every_statement_round_trips(&World::new());
}
