// SPDX-License-Identifier: GPL-2.0
//! Streams for the tests here: how they are made, and a loader that moves their bytes.

// Each test program uses some of it.
#![allow(dead_code)]

use logic::delta::{compare, Change, Span};
use logic::load::{Next, Parser, Progress, TargetDevice};
use logic::load_error::LoadError;
use logic::parts::Parts;
use logic::record::Header;
use logic_streams::{end, identity, record, Sealing, DEVICE_TYPE};

pub const LIMIT: u64 = 1 << 16;

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
            self.records.push(identity(context, self.sealing));
        }
        self.data(context);
    }

    fn data(&mut self, content: &[u8]) {
        let header = Header::device_data(content.len() as u64);
        self.records.push(record(header, content));
    }

    /// The records of the whole stream.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        if self.sealing != Sealing::Bare {
            self.records.push(end(&self.records, self.sealing));
        }
        self.records
    }
}

/// What a device has that was given `records` of parts, each part in the place of its
/// namesake: headers up to the length, and all of it. The order is that of the names.
pub fn device(records: &[Vec<u8>]) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    let parts = records.iter().flat_map(|record| Parts::new(record));
    parts
        .map(|(header, part)| (header[..12].to_vec(), part.to_vec()))
        .collect()
}
