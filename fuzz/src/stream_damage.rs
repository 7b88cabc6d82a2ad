// SPDX-License-Identifier: GPL-2.0
//! Damage to a sound stream: it is refused, or the device gets what was saved, as far as
//! the stream's kind promises (Documentation/fuzzing.rst, "What a seal is good for").

use logic::load_error::LoadError;
use logic_streams::Sealing;

use crate::bytes::Bytes;
use crate::loading::{Outcome, cuts, load};
use crate::streams::Stream;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let seed = bytes.u16();
    let kind = bytes.u8();
    let stream = Stream::generate(&mut bytes);
    let loaded = load(&stream.bytes, cuts(seed));
    assert_eq!(
        loaded,
        Outcome {
            records: stream.data.clone(),
            end: Ok(())
        }
    );
    match kind % 6 {
        0 => truncate(&stream, bytes.below(stream.bytes.len())),
        1 => flip(&stream, &mut bytes),
        2 => burst(&stream, &mut bytes),
        3 => lose_or_repeat(&stream, &mut bytes),
        4 => reorder(&stream, &mut bytes),
        _ => {
            let other = Stream::generate(&mut bytes);
            splice(&stream, &other, &mut bytes);
        }
    }
}

fn reload(stream: &[u8]) -> Outcome {
    load(stream, || usize::MAX)
}

/// Refused, or the same.
fn harmless(stream: &Stream, damaged: &[u8], how: &str) {
    let outcome = reload(damaged);
    assert!(
        outcome.end.is_err() || outcome.records == stream.data,
        "{how}: other data was loaded from {damaged:02x?}"
    );
}

fn truncate(stream: &Stream, length: usize) {
    let outcome = reload(&stream.bytes[..length]);
    if stream.sealing != Sealing::Bare {
        let premature = |error: LoadError| error.is_premature_end();
        assert!(outcome.end.is_err_and(premature), "{length} bytes");
    } else if outcome.end.is_ok() {
        // Between two records of the in-tree driver's format nobody can tell.
        assert!(stream.starts.contains(&length));
        assert!(stream.data.starts_with(&outcome.records));
    }
}

fn flip(stream: &Stream, bytes: &mut Bytes<'_>) {
    let mut damaged = stream.bytes.clone();
    for _ in 0..2 {
        let bit = bytes.below(8 * damaged.len());
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    if stream.sealing == Sealing::Sealed {
        harmless(stream, &damaged, "two bits");
    } else {
        reload(&damaged);
    }
}

fn burst(stream: &Stream, bytes: &mut Bytes<'_>) {
    let mut damaged = stream.bytes.clone();
    let at = bytes.below(damaged.len());
    for (byte, other) in damaged[at..].iter_mut().zip(bytes.u32().to_le_bytes()) {
        *byte ^= other;
    }
    if stream.sealing == Sealing::Sealed {
        harmless(stream, &damaged, "a burst of four bytes");
    } else {
        reload(&damaged);
    }
}

/// A record is missing, or there twice.
fn lose_or_repeat(stream: &Stream, bytes: &mut Bytes<'_>) {
    let mut records = stream.records();
    let at = bytes.below(records.len());
    if bytes.u8() & 1 != 0 {
        records.insert(at, records[at]);
    } else {
        records.remove(at);
    }
    let damaged = records.concat();
    match stream.sealing {
        Sealing::Bare => drop(reload(&damaged)),
        // The count is wrong, or nothing is told of the stream at all.
        Sealing::Counted if at == 0 || at == records.len() => drop(reload(&damaged)),
        Sealing::Counted => assert!(reload(&damaged).end.is_err()),
        Sealing::Sealed => sealed_or_refused(stream, &damaged),
    }
}

fn reorder(stream: &Stream, bytes: &mut Bytes<'_>) {
    let mut records = stream.records();
    let (a, b) = (bytes.below(records.len()), bytes.below(records.len()));
    records.swap(a, b);
    let damaged = records.concat();
    match stream.sealing {
        Sealing::Sealed => sealed_or_refused(stream, &damaged),
        _ => drop(reload(&damaged)),
    }
}

/// The beginning of one stream, and the end of another.
fn splice(stream: &Stream, other: &Stream, bytes: &mut Bytes<'_>) {
    let (to, from) = match bytes.u8() & 1 {
        0 => (
            bytes.below(stream.bytes.len() + 1),
            bytes.below(other.bytes.len() + 1),
        ),
        _ => (
            stream.starts[bytes.below(stream.starts.len())],
            other.starts[bytes.below(other.starts.len())],
        ),
    };
    let damaged = [&stream.bytes[..to], &other.bytes[from..]].concat();
    let outcome = reload(&damaged);
    let sealed = stream.sealing == Sealing::Sealed && other.sealing == Sealing::Sealed;
    if sealed
        && outcome.end.is_ok()
        && outcome.records != stream.data
        && outcome.records != other.data
    {
        agrees(&damaged);
    }
}

/// As far as 32 bits can tell, a sealed stream of other records is refused.
fn sealed_or_refused(stream: &Stream, damaged: &[u8]) {
    let outcome = reload(damaged);
    if outcome.end.is_ok() && outcome.records != stream.data {
        agrees(damaged);
    }
}

/// The last record of `stream` is an end whose checksum is right by mere chance.
fn agrees(stream: &[u8]) {
    let (body, end) = stream.split_at(stream.len() - 32);
    assert_eq!(&end[12..16], b"VVP2", "other data without an end");
    let stored = u32::from_le_bytes([end[24], end[25], end[26], end[27]]);
    assert_eq!(
        stored,
        crc32c::crc32c(body),
        "other data with a wrong checksum"
    );
}
