// SPDX-License-Identifier: GPL-2.0
//! The records around a context, and the checksum of all of it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use logic::features::Features;
use logic::identity::{End, Identity};
use logic::parts::Parts;
use logic::record::{Header, TAG_END, TAG_IDENTITY};
use logic::seal::Seal;

use crate::context::{NEGOTIATED, context};
use crate::{SIZES, group};

/// Virtio device type of a network device.
pub const DEVICE_TYPE: u16 = 1;

/// What stands before a context on the stream, and behind it, as the module makes it.
#[derive(Default)]
pub struct Frame {
    pub front: Vec<u8>,
    pub end: Vec<u8>,
}

impl Frame {
    /// Frames `context`, which has `parts` parts.
    pub fn put_around(&mut self, parts: u32, context: &[u8]) {
        let identity = Identity {
            device_type: DEVICE_TYPE,
            parts,
            features: Features::from_bytes(&NEGOTIATED.to_le_bytes()),
            checksum: true,
        };
        let (content, len) = identity.encode();
        self.front.clear();
        self.front
            .extend(Header::optional(TAG_IDENTITY, len as u64).encode());
        self.front.extend(&content[..len]);
        self.front
            .extend(Header::device_data(context.len() as u64).encode());

        let mut seal = Seal::new(logic::crc32c);
        seal.add(&self.front);
        seal.count_record();
        seal.add(context);
        seal.count_record();

        let content = End {
            records: seal.records(),
            checksum: seal.checksum(),
        }
        .encode();
        self.end.clear();
        self.end
            .extend(Header::optional(TAG_END, content.len() as u64).encode());
        self.end.extend(content);
    }
}

/// The stream of a device in this state.
pub fn stream(context: &[u8]) -> Vec<u8> {
    let mut frame = Frame::default();
    frame.put_around(Parts::new(context).count() as u32, context);
    [&frame.front, context, &frame.end].concat()
}

pub fn benches(criterion: &mut Criterion) {
    let mut group = group(criterion, "seal");
    for size in SIZES {
        let context = context(size, 4096);
        let parts = Parts::new(&context).count() as u32;
        let mut frame = Frame::default();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("context", size), |bencher| {
            bencher.iter(|| {
                frame.put_around(parts, black_box(&context));
                black_box(&frame);
            });
        });
    }
    group.finish();
}
