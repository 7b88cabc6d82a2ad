// SPDX-License-Identifier: GPL-2.0
//! Records of sound streams, as the driver writes them, for tests and fuzzers of what reads
//! them.

use logic::features::Features;
use logic::identity::{End, Identity};
use logic::parts::{HEADER_LEN, check};
use logic::record::{Header, TAG_END, TAG_IDENTITY};
use logic::seal::Seal;

/// What the device is that streams here are from.
pub const DEVICE_TYPE: u16 = 1;

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Like the in-tree driver's: without identity and end.
    Bare,
    /// With both, and no checksum (`NO_CHECKSUM`).
    Counted,
    /// With both, and a checksum.
    Sealed,
}

/// A part's bytes.
pub fn part(kind: u16, selector: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + value.len());
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(selector.to_le_bytes());
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value);
    bytes
}

/// A record's bytes.
pub fn record(header: Header, content: &[u8]) -> Vec<u8> {
    [&header.encode()[..], content].concat()
}

/// The record that says what a stream is from whose first context this is.
///
/// # Panics
///
/// If that is not one of parts in order.
pub fn identity(context: &[u8], sealing: Sealing) -> Vec<u8> {
    let known = check(context).expect("parts in order");
    let (content, length) = Identity {
        device_type: DEVICE_TYPE,
        parts: known.count(),
        features: known
            .negotiated()
            .unwrap_or_else(|| Features::from_bytes(&[7])),
        checksum: sealing == Sealing::Sealed,
    }
    .encode();
    let header = Header::optional(TAG_IDENTITY, length as u64);
    record(header, &content[..length])
}

/// The record that ends a stream of `records`.
pub fn end(records: &[Vec<u8>], sealing: Sealing) -> Vec<u8> {
    let mut seal = Seal::new(logic::crc32c);
    if sealing == Sealing::Counted {
        seal.leave_out_checksum();
    }
    for record in records {
        seal.count_record();
        seal.add(record);
    }
    let content = End {
        records: seal.records(),
        checksum: seal.checksum(),
    }
    .encode();
    record(Header::optional(TAG_END, content.len() as u64), &content)
}
