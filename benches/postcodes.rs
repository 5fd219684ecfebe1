//! Looking up every postcode of Great Britain in random order: our table beside a sorted array
//! with binary search, in the same run. The ratio counts.
//!
//!     cargo bench --bench postcodes

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ecaf::domain::postcode::Postcode;
use ecaf::protocol::routing_data::RoutingTables;

/// A fixed shuffle, so that every run asks in the same order.
fn shuffled(mut keys: Vec<Postcode>) -> Vec<Postcode> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for i in (1..keys.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        keys.swap(i, (state % (i as u64 + 1)) as usize);
    }
    keys
}

fn main() {
    let tables = RoutingTables::embedded().expect("the embedded table opens");
    let table = tables.postcodes();
    let reference: Vec<(Postcode, u16)> = table
        .iter()
        .map(|(postcode, found)| {
            let code = found.district.and_then(|d| table.codes().binary_search(&d).ok());
            (postcode, code.map_or(u16::MAX, |code| code as u16))
        })
        .collect();
    let keys = shuffled(reference.iter().map(|(postcode, _)| *postcode).collect());
    let texts: Vec<String> = keys.iter().take(1 << 20).map(|key| key.spelled()).collect();

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("postcodes");
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function("table, every key in random order", |b| {
        b.iter(|| keys.iter().filter(|key| table.lookup(black_box(**key)).is_some()).count());
    });
    group.bench_function("sorted array with binary search", |b| {
        let find = |key: &Postcode| reference.binary_search_by_key(key, |(postcode, _)| *postcode);
        b.iter(|| keys.iter().filter(|key| find(black_box(key)).is_ok()).count());
    });
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function("parse and look up, from text", |b| {
        let find = |text: &String| table.lookup(text.parse().ok()?);
        b.iter(|| texts.iter().filter(|text| find(black_box(text)).is_some()).count());
    });
    group.finish();
    criterion.final_summary();
}
