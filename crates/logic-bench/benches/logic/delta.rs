// SPDX-License-Identifier: GPL-2.0
//! What changed between two contexts.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use logic::delta::{Change, MAX_SPANS, Span, compare};

use crate::context::{Changed, context, later};
use crate::{PART_LENS, SIZES, group};

fn id(part_len: usize, changed: Changed, size: usize) -> BenchmarkId {
    BenchmarkId::new(format!("{part_len}-byte-parts,{}", changed.name()), size)
}

/// One pass that checks, compares and notes.
pub fn compare_benches(criterion: &mut Criterion) {
    let mut group = group(criterion, "compare");
    let mut notes = vec![Span::default(); MAX_SPANS];
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for part_len in PART_LENS {
            let old = context(size, part_len);
            for changed in [Changed::Nothing, Changed::Percent, Changed::All] {
                let new = later(&old, changed);
                group.bench_function(id(part_len, changed, size), |bencher| {
                    bencher.iter(|| {
                        let found = compare(black_box(&old), black_box(&new), &mut notes);
                        found.is_ok_and(|found| found.change == Change::Nothing)
                    });
                });
            }
        }
    }
    group.finish();
}

/// The same, and the delta put together in memory that is there.
pub fn delta_benches(criterion: &mut Criterion) {
    let mut group = group(criterion, "delta");
    let mut notes = vec![Span::default(); MAX_SPANS];
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for part_len in PART_LENS {
            let old = context(size, part_len);
            for changed in [Changed::Percent, Changed::All] {
                let new = later(&old, changed);
                let mut record = Vec::with_capacity(size);
                group.bench_function(id(part_len, changed, size), |bencher| {
                    bencher.iter(|| {
                        record.clear();
                        let found = compare(black_box(&old), black_box(&new), &mut notes);
                        let Ok(Change::Values(values)) = found.map(|found| found.change) else {
                            panic!("values that differ, and the same parts");
                        };
                        for place in values.ranges(&old, &new, &notes) {
                            record.extend_from_slice(&new[place]);
                        }
                        black_box(&record);
                    });
                });
            }
        }
    }
    group.finish();
}
