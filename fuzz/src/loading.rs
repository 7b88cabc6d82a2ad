// SPDX-License-Identifier: GPL-2.0
//! A loader for streams, as the module is one: it moves the bytes, and the parser judges.

use logic::load::{Next, Parser, Progress, TargetDevice};
use logic::load_error::LoadError;
use logic_streams::DEVICE_TYPE;

/// Largest record that the device takes.
pub const LIMIT: u64 = 1 << 16;

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the device was given, in this order.
    pub records: Vec<Vec<u8>>,
    pub end: Result<(), LoadError>,
}

/// Loads `stream` in pieces of the lengths that `cut` says.
pub fn load(stream: &[u8], cut: impl FnMut() -> usize) -> Outcome {
    let target = TargetDevice {
        limit: LIMIT,
        device_type: DEVICE_TYPE,
        crc32c: logic::crc32c,
    };
    load_into(target, stream, cut)
}

/// The same for another device.
pub fn load_into(target: TargetDevice, stream: &[u8], mut cut: impl FnMut() -> usize) -> Outcome {
    let mut parser = Parser::new(target);
    let (mut records, mut current) = (Vec::new(), Vec::new());
    let mut rest = stream;
    let end = loop {
        let next = match parser.next() {
            Ok(next) => next,
            Err(error) => break Err(error),
        };
        if rest.is_empty() {
            break parser.finish();
        }
        let (want, is_data) = match next {
            Next::Header(n) | Next::Control(n) => (n as u64, false),
            Next::Data(n) => (n, true),
            Next::Skip(n) => (n, false),
        };
        assert_ne!(want, 0, "a loader that wants nothing never ends");
        let most = rest.len().min(cut().max(1));
        let (bytes, tail) = rest.split_at(most.min(usize::try_from(want).unwrap_or(most)));
        rest = tail;
        if is_data {
            current.extend_from_slice(bytes);
            assert!(
                current.len() as u64 <= target.limit,
                "more than the device takes"
            );
        }
        match parser.take(bytes) {
            Ok(Progress::DataComplete) => records.push(std::mem::take(&mut current)),
            Ok(Progress::DataAhead(size)) => assert!((1..=target.limit).contains(&size)),
            Ok(Progress::More) => {}
            Err(error) => {
                assert_eq!(parser.next(), Err(error), "a refusal is final");
                assert_eq!(parser.take(&[0]), Err(error), "a refusal is final");
                break Err(error);
            }
        }
    };
    assert_eq!(parser.finish(), end);
    assert_eq!(parser.data_records(), records.len() as u64);
    if let Err(error) = end {
        assert!(error.errno() > 0);
    }
    Outcome { records, end }
}

/// Pieces of all lengths from 1 to 64, as `seed` has it.
pub fn cuts(seed: u16) -> impl FnMut() -> usize {
    let mut random = fastrand::Rng::with_seed(seed.into());
    move || random.usize(1..=64)
}
