// SPDX-License-Identifier: GPL-2.0
//! Sound streams out of a fuzzer's bytes.

use logic::record::Header;
use logic_streams::{Sealing, end, identity, part, record};

use crate::bytes::Bytes;

/// A stream, and what it has for the device.
#[derive(Clone, Debug)]
pub struct Stream {
    pub bytes: Vec<u8>,
    /// Where each record begins, and the end.
    pub starts: Vec<usize>,
    pub data: Vec<Vec<u8>>,
    pub sealing: Sealing,
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
