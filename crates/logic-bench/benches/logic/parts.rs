// SPDX-License-Identifier: GPL-2.0
//! Checking a context that the device gave.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use logic::parts;

use crate::context::context;
use crate::{PART_LENS, SIZES, group};

pub fn benches(criterion: &mut Criterion) {
    let mut group = group(criterion, "check");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for part_len in PART_LENS {
            let context = context(size, part_len);
            assert!(parts::check(&context).is_ok_and(|c| c.negotiated().is_some()));
            let id = BenchmarkId::new(format!("{part_len}-byte-parts"), size);
            group.bench_function(id, |bencher| {
                bencher.iter(|| parts::check(black_box(&context)));
            });
        }
    }
    group.finish();
}
