// SPDX-License-Identifier: GPL-2.0
//! What the memory allows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::{SIZES, group};

pub fn benches(criterion: &mut Criterion) {
    let mut group = group(criterion, "reference");
    for size in SIZES {
        let (mut a, b) = (vec![1u8; size], vec![1u8; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("memcpy", size), |bencher| {
            bencher.iter(|| black_box(&mut a[..]).copy_from_slice(black_box(&b)));
        });
        group.bench_function(BenchmarkId::new("memcmp", size), |bencher| {
            bencher.iter(|| black_box(&a[..]) == black_box(&b[..]));
        });
    }
    group.finish();
}
