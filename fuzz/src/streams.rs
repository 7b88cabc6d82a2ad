// SPDX-License-Identifier: GPL-2.0
//! Sound streams out of a fuzzer's bytes.

use logic::features::Features;
use logic::identity::{End, Identity};
use logic::parts::{HEADER_LEN, check};
use logic::record::{Header, TAG_END, TAG_IDENTITY};
use logic::seal::Seal;

use crate::bytes::Bytes;
use crate::loading::DEVICE_TYPE;

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Like the in-tree driver's: without identity and end.
    Bare,
    /// With both, and no checksum.
    Counted,
    /// With both, and a checksum.
    Sealed,
}

/// A stream, and what it has for the device.
#[derive(Clone, Debug)]
pub struct Stream {
    pub bytes: Vec<u8>,
    /// Where each record begins, and the end.
    pub starts: Vec<usize>,
    pub data: Vec<Vec<u8>>,
    pub sealing: Sealing,
}

fn part(kind: u16, selector: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + value.len());
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(selector.to_le_bytes());
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value);
    bytes
}

/// Parts that a device could have, of which at least one, in order.
fn parts(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut kind = 0x100;
    let mut context = Vec::new();
    for _ in 0..1 + bytes.u8() % 4 {
        let choice = bytes.u8();
        kind += u16::from(choice & 3);
        let length = usize::from(choice >> 2) % 24;
        context.extend(part(kind, bytes.u8().into(), bytes.take(length)));
    }
    context
}

impl Stream {
    /// One to four records of device data, and others between them.
    pub fn generate(bytes: &mut Bytes<'_>) -> Self {
        let choice = bytes.u8();
        let sealing = match choice & 3 {
            0 => Sealing::Bare,
            1 => Sealing::Counted,
            _ => Sealing::Sealed,
        };
        let data: Vec<_> = (0..1 + (choice >> 2) % 4).map(|_| parts(bytes)).collect();
        let mut records = Vec::new();
        for content in &data {
            if bytes.u8() & 7 == 7 {
                // Of a driver that knows more than this one.
                let length = usize::from(bytes.u8() % 40);
                records.push(record(
                    Header::optional(0x1234, length as u64),
                    &vec![3; length],
                ));
            }
            records.push(record(Header::device_data(content.len() as u64), content));
        }
        if sealing != Sealing::Bare {
            records.insert(0, identity(&data[0], sealing));
            let end = end(&records, sealing);
            records.push(end);
        }
        Self::assemble(&records, data, sealing)
    }

    fn assemble(records: &[Vec<u8>], data: Vec<Vec<u8>>, sealing: Sealing) -> Self {
        let mut starts = vec![0];
        for record in records {
            starts.push(starts[starts.len() - 1] + record.len());
        }
        Self {
            bytes: records.concat(),
            starts,
            data,
            sealing,
        }
    }

    /// The records, with their headers.
    pub fn records(&self) -> Vec<&[u8]> {
        let places = self.starts.windows(2);
        places
            .map(|place| &self.bytes[place[0]..place[1]])
            .collect()
    }
}

fn record(header: Header, content: &[u8]) -> Vec<u8> {
    [&header.encode()[..], content].concat()
}

fn identity(first: &[u8], sealing: Sealing) -> Vec<u8> {
    let known = check(first).expect("parts in order");
    let identity = Identity {
        device_type: DEVICE_TYPE,
        parts: known.count(),
        features: known
            .negotiated()
            .unwrap_or_else(|| Features::from_bytes(&[7])),
        checksum: sealing == Sealing::Sealed,
    };
    let (content, length) = identity.encode();
    record(
        Header::optional(TAG_IDENTITY, length as u64),
        &content[..length],
    )
}

/// The end that `records` must have.
fn end(records: &[Vec<u8>], sealing: Sealing) -> Vec<u8> {
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
