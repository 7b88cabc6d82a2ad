// SPDX-License-Identifier: GPL-2.0
//! Device parts are checked alike in whatever pieces they come, and as a plain reading of
//! the specification would: two bytes that say how they come, and the parts.

use logic::parts::{self, Checker, PartsError, order};

use crate::bytes::Bytes;
use crate::loading::cuts;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut cut = cuts(bytes.u16());
    let record = bytes.rest();

    let whole = parts::check(record);
    let mut checker = Checker::new(record.len() as u64);
    let mut rest = record;
    let arrived = loop {
        if rest.is_empty() {
            break Ok(());
        }
        let (piece, tail) = rest.split_at(cut().min(rest.len()));
        rest = tail;
        if let Err(error) = checker.push(piece) {
            break Err(error);
        }
    };
    assert_eq!(whole.as_ref().map(|_| ()).map_err(|&error| error), arrived);
    assert_eq!(arrived.map(|()| checker.count()), plainly(record));
    if let Ok(whole) = whole {
        assert_eq!(whole.offered(), checker.offered());
        assert_eq!(whole.negotiated(), checker.negotiated());
    }
}

/// The number of parts, or what is wrong first.
fn plainly(mut rest: &[u8]) -> Result<u32, PartsError> {
    let (mut count, mut last) = (0, 0);
    while !rest.is_empty() {
        if rest.len() < 16 {
            return Err(PartsError::TruncatedHeader);
        }
        let length = u32::from_le_bytes([rest[12], rest[13], rest[14], rest[15]]) as usize;
        if length > rest.len() - 16 {
            return Err(PartsError::PartTooLong);
        }
        let kind = u16::from_le_bytes([rest[0], rest[1]]);
        if order(kind) > 0 {
            if kind < last {
                return Err(PartsError::OutOfOrder(kind));
            }
            last = kind;
        }
        count += 1;
        rest = &rest[16 + length..];
    }
    Ok(count)
}
