//! What reading and checking one referral costs, beside one SHA-256 of the same bytes (ring) as the
//! yardstick of this machine: the ratio counts, not the microseconds.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ecaf::domain::time::Date;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::json::{self, DEFAULT_LIMIT, position_of};
use ecaf::protocol::schema::{Schema, check};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A standard referral of about 6 KB.
const DOCUMENT: &[u8] = include_bytes!("../conformance/examples/a02-address-on-file-is-old.json");

fn schema(c: &mut Criterion) {
    let today = Date::new(2026, 11, 25).expect("a day of the calendar");
    let document = json::parse(DOCUMENT, DEFAULT_LIMIT).expect("the example is valid");
    let schema = Schema::referral_v1();
    let mut broken = document.clone();
    broken["urgency"] = "U9".into();

    let mut group = c.benchmark_group("schema");
    group.throughput(Throughput::Bytes(DOCUMENT.len() as u64));
    group.bench_function("reference/sha256", |b| b.iter(|| sha256(black_box(DOCUMENT))));
    group.bench_function("reference/serde_json", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(DOCUMENT)));
    });
    group.bench_function("parse", |b| b.iter(|| json::parse(black_box(DOCUMENT), DEFAULT_LIMIT)));
    group.bench_function("fits", |b| b.iter(|| schema.fits(black_box(&document))));
    group.bench_function("check", |b| b.iter(|| check(black_box(&document), today)));
    group.bench_function("check/refused", |b| b.iter(|| check(black_box(&broken), today)));
    group.bench_function("parse+check", |b| {
        b.iter(|| {
            let document = json::parse(black_box(DOCUMENT), DEFAULT_LIMIT).expect("valid");
            check(&document, today)
        });
    });
    group.bench_function("position_of", |b| {
        b.iter(|| position_of(black_box(DOCUMENT), "/school_links/0/school/name"));
    });
    group.finish();
}

criterion_group!(benches, schema);
criterion_main!(benches);
