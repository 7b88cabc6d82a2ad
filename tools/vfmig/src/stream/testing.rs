// SPDX-License-Identifier: GPL-2.0
//! Streams for tests.

use logic::features::Features;
use logic::identity::Identity;
use logic::record::{Header, TAG_END, TAG_IDENTITY};
use logic::seal::Seal;

#[path = "../../tests/common/wire.rs"]
mod wire;

pub use wire::{data, part};

/// The identity of a network function whose next record has so many parts.
pub fn identity(parts: u32, features: &[u8]) -> Vec<u8> {
    // The driver's own encoder, whatever the format has come to have.
    let wire = Identity {
        device_type: 1,
        parts,
        features: Features::from_bytes(features),
        checksum: true,
    };
    let (content, length) = wire.encode();
    let header = Header::optional(TAG_IDENTITY, length as u64);
    [&header.encode()[..], &content[..length]].concat()
}

/// `records` and their end.
pub fn sealed(records: &[Vec<u8>]) -> Vec<u8> {
    let mut seal = Seal::new(logic::crc32c);
    for record in records {
        seal.count_record();
        seal.add(record);
    }
    let end = logic::identity::End {
        records: seal.records(),
        checksum: seal.checksum(),
    }
    .encode();
    let header = Header::optional(TAG_END, end.len() as u64);
    [records.concat(), header.encode().to_vec(), end.to_vec()].concat()
}

/// Some parts of a network function.
pub fn parts() -> Vec<Vec<u8>> {
    let mut queue = vec![0; 32];
    queue[..6].copy_from_slice(&[0, 1, 2, 0, 1, 0]);
    vec![
        part(0x100, 0, &[0x20, 0, 0, 0, 1, 0, 0, 0]),
        part(0x101, 0, &[0x20, 0, 0, 0, 1, 0, 0, 0]),
        part(0x103, 0, &[15]),
        part(0x104, 1, &queue),
        part(0x200, 0x0101, &[2, 0x76, 0x76, 0x70, 0, 1]),
    ]
}

/// A whole stream.
pub fn stream() -> Vec<u8> {
    let parts = parts();
    sealed(&[
        identity(parts.len() as u32, &[0x20, 0, 0, 0, 1]),
        data(&parts),
    ])
}
