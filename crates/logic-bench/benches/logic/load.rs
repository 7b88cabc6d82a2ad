// SPDX-License-Identifier: GPL-2.0
//! A whole stream, as a target takes it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use logic::load::{Next, Parser, TargetDevice};
use logic::load_error::LoadError;
use logic::pieces::Capacity;

use crate::context::context;
use crate::seal::{DEVICE_TYPE, stream};
use crate::{PART_LENS, SIZES, group};

/// Bytes that userspace writes at once.
const CHUNKS: [usize; 2] = [64 << 10, 4 << 10];

fn load(mut stream: &[u8], chunk: usize) -> Result<(), LoadError> {
    let mut parser = Parser::new(TargetDevice {
        limit: Capacity::MOST.bytes() as u64,
        device_type: DEVICE_TYPE,
        crc32c: logic::crc32c,
    });
    while !stream.is_empty() {
        let count = match parser.next()? {
            Next::Header(count) | Next::Control(count) => count,
            Next::Data(count) | Next::Skip(count) => (count as usize).min(chunk),
        };
        let (bytes, rest) = stream.split_at(count);
        parser.take(bytes)?;
        stream = rest;
    }
    parser.finish()
}

pub fn benches(criterion: &mut Criterion) {
    let mut group = group(criterion, "load");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for part_len in PART_LENS {
            let stream = stream(&context(size, part_len));
            for chunk in CHUNKS {
                assert_eq!(load(&stream, chunk), Ok(()));
                let name = format!("{part_len}-byte-parts,{chunk}-byte-chunks");
                group.bench_function(BenchmarkId::new(name, size), |bencher| {
                    bencher.iter(|| load(black_box(&stream), chunk));
                });
            }
        }
    }
    group.finish();
}
