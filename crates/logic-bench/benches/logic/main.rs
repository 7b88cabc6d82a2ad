// SPDX-License-Identifier: GPL-2.0
//! How fast the driver's plain logic is, beside memcpy and memcmp of as many bytes.
//!
//! Throughput is in bytes of the context throughout, also where only some of its parts
//! are copied. What criterion measured is in `criterion` in cargo's target directory.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};

mod context;
mod delta;
mod load;
mod parts;
mod records;
mod reference;
mod seal;

/// Sizes of contexts in bytes.
const SIZES: [usize; 4] = [1 << 10, 64 << 10, 1 << 20, 16 << 20];

/// Lengths in bytes of the values in a context's ballast.
const PART_LENS: [usize; 2] = [64, 4096];

/// Short: all benchmarks together are to take a minute.
fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .nresamples(2000)
        .without_plots()
}

/// A group of benchmarks in which the slow ones take no longer than the fast ones.
fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    group
}

criterion_group! {
    name = benches;
    config = config();
    targets =
        reference::benches,
        parts::benches,
        delta::compare_benches,
        delta::delta_benches,
        seal::benches,
        load::benches,
        records::benches,
}
criterion_main!(benches);
