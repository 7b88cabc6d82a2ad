// SPDX-License-Identifier: GPL-2.0
//! The small records by themselves.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use logic::features::Features;
use logic::identity::Identity;
use logic::record::Header;

use crate::context::NEGOTIATED;
use crate::group;
use crate::seal::DEVICE_TYPE;

pub fn benches(criterion: &mut Criterion) {
    let mut group = group(criterion, "records");

    let header = Header::device_data(1 << 20);
    let bytes = header.encode();
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("header-encode", |bencher| {
        bencher.iter(|| black_box(&header).encode());
    });
    group.bench_function("header-decode", |bencher| {
        bencher.iter(|| Header::decode(black_box(&bytes)));
    });

    let identity = Identity {
        device_type: DEVICE_TYPE,
        parts: 300,
        features: Features::from_bytes(&NEGOTIATED.to_le_bytes()),
        checksum: true,
    };
    let (bytes, len) = identity.encode();
    group.throughput(Throughput::Bytes(len as u64));
    group.bench_function("identity-encode", |bencher| {
        bencher.iter(|| black_box(&identity).encode());
    });
    group.bench_function("identity-decode", |bencher| {
        bencher.iter(|| Identity::decode(black_box(&bytes[..len])));
    });
    group.finish();
}
