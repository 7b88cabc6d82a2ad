// SPDX-License-Identifier: GPL-2.0
//! Streams for the tests here: how they are made, and a loader that moves their bytes.

// Each test program uses some of it.
#![allow(dead_code)]

use logic::delta::{compare, Change, Span};
use logic::features::Features;
use logic::identity::{End, Identity};
use logic::load::{Next, Parser, Progress, TargetDevice};
use logic::load_error::LoadError;
use logic::parts::{check, Parts};
use logic::record::{Header, TAG_END, TAG_IDENTITY};
use logic::seal::Seal;

pub const LIMIT: u64 = 1 << 16;
pub const DEVICE_TYPE: u16 = 1;

/// What a loader made of a stream, independent of how the stream was cut.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub data: Vec<Vec<u8>>,
    pub end: Result<(), LoadError>,
}

/// Loads `stream` in pieces of these lengths, by turns.
pub fn drive(stream: &[u8], cuts: &[usize]) -> Outcome {
    let mut loader = Parser::new(TargetDevice {
        limit: LIMIT,
        device_type: DEVICE_TYPE,
        crc32c: logic::crc32c,
    });
    let (mut data, mut current) = (Vec::new(), Vec::new());
    let mut rest = stream;
    let mut cuts = cuts.iter().cycle();
    let end = loop {
        if rest.is_empty() {
            break loader.finish();
        }
        let (want, is_data) = match loader.next() {
            Ok(Next::Header(n) | Next::Control(n)) => (n as u64, false),
            Ok(Next::Data(n)) => (n, true),
            Ok(Next::Skip(n)) => (n, false),
            Err(error) => break Err(error),
        };
        assert_ne!(want, 0, "a loader that wants nothing never ends");
        let cut = cuts.next().copied().unwrap_or(1).max(1);
        let n = rest
            .len()
            .min(cut)
            .min(usize::try_from(want).unwrap_or(usize::MAX));
        let (bytes, tail) = rest.split_at(n);
        rest = tail;
        if is_data {
            current.extend_from_slice(bytes);
            assert!(current.len() as u64 <= LIMIT);
        }
        match loader.take(bytes) {
            Ok(Progress::DataComplete) => data.push(std::mem::take(&mut current)),
            Ok(Progress::DataAhead(size)) => assert!(size > 0 && size <= LIMIT),
            Ok(Progress::More) => {}
            Err(error) => {
                assert_eq!(loader.next(), Err(error), "a refusal is final");
                break Err(error);
            }
        }
    };
    Outcome { data, end }
}

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

/// What the module writes, from one context of a device to the next.
pub struct Writer {
    pub records: Vec<Vec<u8>>,
    sealing: Sealing,
    /// The context that a target has by now.
    context: Option<Vec<u8>>,
}

impl Writer {
    pub fn new(sealing: Sealing) -> Self {
        Self {
            records: Vec::new(),
            sealing,
            context: None,
        }
    }

    /// The device has this context now. Changed values become a delta, for which there are
    /// so many notes; all else is sent whole.
    pub fn context(&mut self, context: &[u8], notes: usize) {
        let mut notes = vec![Span::default(); notes];
        let old = self.context.replace(context.to_vec());
        let change = old
            .as_deref()
            .map(|old| compare(old, context, &mut notes).expect("parts").change);
        match (change, old.as_deref()) {
            (Some(Change::Nothing), _) => {}
            (Some(Change::Values(values)), Some(old)) => {
                let places = values.ranges(old, context, &notes);
                let delta: Vec<u8> = places.flat_map(|place| context[place].to_vec()).collect();
                self.data(&delta);
            }
            _ => self.whole(context),
        }
    }

    fn whole(&mut self, context: &[u8]) {
        if self.sealing != Sealing::Bare {
            let known = check(context).expect("parts");
            let (content, length) = Identity {
                device_type: DEVICE_TYPE,
                parts: known.count(),
                features: known
                    .negotiated()
                    .unwrap_or_else(|| Features::from_bytes(&[7])),
                checksum: self.sealing == Sealing::Sealed,
            }
            .encode();
            let header = Header::optional(TAG_IDENTITY, length as u64);
            self.records
                .push([&header.encode()[..], &content[..length]].concat());
        }
        self.data(context);
    }

    fn data(&mut self, content: &[u8]) {
        let header = Header::device_data(content.len() as u64);
        self.records.push([&header.encode()[..], content].concat());
    }

    /// The records of the whole stream.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        if self.sealing != Sealing::Bare {
            self.records.push(end(&self.records, self.sealing));
        }
        self.records
    }
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
    let header = Header::optional(TAG_END, content.len() as u64);
    [&header.encode()[..], &content].concat()
}

/// A part's bytes.
pub fn part(kind: u16, selector: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(selector.to_le_bytes());
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value);
    bytes
}

/// What a device has that was given `records` of parts, each part in the place of its
/// namesake: headers up to the length, and all of it. The order is that of the names.
pub fn device(records: &[Vec<u8>]) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    let parts = records.iter().flat_map(|record| Parts::new(record));
    parts
        .map(|(header, part)| (header[..12].to_vec(), part.to_vec()))
        .collect()
}
