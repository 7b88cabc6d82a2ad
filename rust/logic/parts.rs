// SPDX-License-Identifier: GPL-2.0

//! Virtio device parts: the framing inside a device data record.
//!
//! A part is a 16-byte header and `length` bytes of value (virtio 1.4, 2.13.8,
//! "Device parts"). What a value means is the device's business, but for the
//! features; that the parts fill their record exactly and come in the order of
//! the specification is ours, and is checked as the bytes arrive.

use super::features::{
    Features,
    WORDS, //
};
use core::ops::Range;

/// Part type: the features that the device offers.
pub const DEV_FEATURES: u16 = 0x100;

/// Part type: the features that were negotiated.
pub const DRV_FEATURES: u16 = 0x101;

/// Part type: the configuration of a queue.
pub const VQ_CFG: u16 = 0x104;

/// Part types that every device type has, in the order in which they are got
/// and set. Where the others stand is not said.
const COMMON: core::ops::RangeInclusive<u16> = 0x100..=0x105;

/// Part types that precede all others wherever parts are set (virtio 1.4,
/// "Device parts order"): features, common configuration and device status.
pub const IN_ALL: core::ops::RangeInclusive<u16> = 0x100..=0x103;

/// Where a part of this type stands in the order of the specification; 0 if
/// that does not say.
pub fn order(part_type: u16) -> u16 {
    if COMMON.contains(&part_type) {
        part_type
    } else {
        0
    }
}

/// Length of a part header in bytes.
pub const HEADER_LEN: usize = 16;

/// The header of a device part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Part type, for example 0x104 for a queue's configuration.
    pub part_type: u16,
    /// Bit 0: the device may ignore the part when it is set.
    pub flags: u8,
    /// Which instance of the type: a queue index, a field offset and so on.
    pub selector: [u8; 8],
    /// Bytes of value behind the header.
    pub length: u32,
}

impl Header {
    /// The header that `bytes` spell.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let [a, b, flags, _reserved, c, d, e, f, g, h, i, j, k, l, m, n] = *bytes;
        Self {
            part_type: u16::from_le_bytes([a, b]),
            flags,
            selector: [c, d, e, f, g, h, i, j],
            length: u32::from_le_bytes([k, l, m, n]),
        }
    }
}

/// The parts of a context, header and value each. Ends early where the framing
/// is wrong; contexts are checked where they arise ([`check`] and
/// [`compare`](super::delta::compare)).
#[derive(Clone)]
pub struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The parts of `context`.
    pub const fn new(context: &'a [u8]) -> Self {
        Self { rest: context }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a [u8; HEADER_LEN], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.rest.split_first_chunk::<HEADER_LEN>()?;
        let length = usize::try_from(Header::decode(header).length).ok()?;
        let part = self.rest.get(..HEADER_LEN.checked_add(length)?)?;
        self.rest = rest.get(length..)?;
        Some((header, part))
    }
}

/// A feature part's value, collected as it arrives.
#[derive(Clone, Copy)]
struct FeaturesValue {
    bytes: [u8; 8 * WORDS],
    /// Bytes that have been seen, `None` before the part.
    len: Option<usize>,
}

impl FeaturesValue {
    const NONE: Self = Self {
        bytes: [0; 8 * WORDS],
        len: None,
    };

    const EMPTY: Self = Self {
        len: Some(0),
        ..Self::NONE
    };

    /// Takes the next bytes; those beyond the words that are known are dropped.
    fn push(&mut self, bytes: &[u8]) {
        let filled = self.len.unwrap_or(0);
        let room = self.bytes.get_mut(filled..).unwrap_or_default();
        let n = room.len().min(bytes.len());
        room[..n].copy_from_slice(&bytes[..n]);
        self.len = Some(filled + n);
    }

    fn get(&self) -> Option<Features> {
        Some(Features::from_bytes(self.bytes.get(..self.len?)?))
    }
}

/// Why a device data record is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartsError {
    /// The record ends inside a part header.
    TruncatedHeader,
    /// A part's value is longer than what is left of the record.
    PartTooLong,
    /// A part of this type stands behind one of a later type.
    OutOfOrder(u16),
}

/// Checks the parts of a record as their bytes arrive, in constant space.
pub struct Checker {
    /// Bytes of the record that have not been seen.
    left: u64,
    header: [u8; HEADER_LEN],
    filled: usize,
    /// Bytes of the current part's value that have not been seen.
    value_left: u64,
    count: u32,
    /// Type of the last part with a [`COMMON`] one.
    last_common: u16,
    /// Type of the part under way.
    current: u16,
    offered: FeaturesValue,
    negotiated: FeaturesValue,
}

impl Checker {
    /// A checker for a record of `size` bytes.
    pub const fn new(size: u64) -> Self {
        Self {
            left: size,
            header: [0; HEADER_LEN],
            filled: 0,
            value_left: 0,
            count: 0,
            last_common: 0,
            current: 0,
            offered: FeaturesValue::NONE,
            negotiated: FeaturesValue::NONE,
        }
    }

    /// Number of parts that have begun.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The features that the device offers, if the record has a part with them.
    pub fn offered(&self) -> Option<Features> {
        self.offered.get()
    }

    /// The negotiated features, if the record has a part with them.
    pub fn negotiated(&self) -> Option<Features> {
        self.negotiated.get()
    }

    fn begin(&mut self, header: Header) -> Result<(), PartsError> {
        let part_type = header.part_type;
        self.value_left = u64::from(header.length);
        if self.value_left > self.left {
            return Err(PartsError::PartTooLong);
        }
        if COMMON.contains(&part_type) {
            if part_type < self.last_common {
                return Err(PartsError::OutOfOrder(part_type));
            }
            self.last_common = part_type;
        }
        self.current = part_type;
        if let Some(features) = self.features() {
            *features = FeaturesValue::EMPTY;
        }
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Where the value of the part under way is kept.
    fn features(&mut self) -> Option<&mut FeaturesValue> {
        match self.current {
            DEV_FEATURES => Some(&mut self.offered),
            DRV_FEATURES => Some(&mut self.negotiated),
            _ => None,
        }
    }

    fn value(&mut self, bytes: &[u8]) {
        if let Some(features) = self.features() {
            features.push(bytes);
        }
    }

    /// Takes those of the next bytes that are whole parts, and gives the others; `each` is
    /// called with the type of each part and its place in `bytes`. Nothing must be left of a
    /// part before. Much quicker than to take them as they come, and the same.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn whole_parts<'a>(
        &mut self,
        bytes: &'a [u8],
        mut each: impl FnMut(u16, Range<usize>),
    ) -> Result<&'a [u8], PartsError> {
        let (mut count, mut last_common) = (self.count, self.last_common);
        let mut rest = bytes;
        while let Some((header, behind)) = rest.split_first_chunk::<HEADER_LEN>() {
            let Header {
                part_type, length, ..
            } = Header::decode(header);
            let Some((value, behind)) = behind.split_at_checked(length as usize) else {
                break;
            };
            if COMMON.contains(&part_type) {
                if part_type < last_common {
                    return Err(PartsError::OutOfOrder(part_type));
                }
                last_common = part_type;
                self.current = part_type;
                if let Some(features) = self.features() {
                    *features = FeaturesValue::EMPTY;
                    features.push(value);
                }
            }
            count = count.saturating_add(1);
            let start = bytes.len() - rest.len();
            rest = behind;
            each(part_type, start..bytes.len() - rest.len());
        }
        (self.count, self.last_common) = (count, last_common);
        self.left = self.left.saturating_sub((bytes.len() - rest.len()) as u64);
        Ok(rest)
    }

    /// Takes the next bytes of the record; the caller passes no more in all
    /// than the record's size.
    ///
    /// # Errors
    ///
    /// As soon as the parts cannot be right any more.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), PartsError> {
        while !bytes.is_empty() {
            if self.filled == 0 && self.value_left == 0 {
                bytes = self.whole_parts(bytes, |_, _| ())?;
                if bytes.is_empty() {
                    break;
                }
            }
            if self.value_left > 0 {
                let n = usize::try_from(self.value_left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let (value, rest) = bytes.split_at(n);
                self.value(value);
                bytes = rest;
                self.value_left -= n as u64;
                self.left = self.left.saturating_sub(n as u64);
                continue;
            }

            if self.filled == 0 && self.left < HEADER_LEN as u64 {
                return Err(PartsError::TruncatedHeader);
            }
            let n = (HEADER_LEN - self.filled).min(bytes.len());
            let (head, rest) = bytes.split_at(n);
            self.header[self.filled..self.filled + n].copy_from_slice(head);
            self.filled += n;
            self.left = self.left.saturating_sub(n as u64);
            bytes = rest;

            if self.filled == HEADER_LEN {
                self.filled = 0;
                self.begin(Header::decode(&self.header))?;
            }
        }
        Ok(())
    }
}

/// Checks parts that are all there; gives what was learnt from them.
///
/// # Errors
///
/// What is wrong first.
pub fn check(parts: &[u8]) -> Result<Checker, PartsError> {
    let mut checker = Checker::new(parts.len() as u64);
    checker.push(parts)?;
    Ok(checker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(part_type: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[..2].copy_from_slice(&part_type.to_le_bytes());
        bytes[12..16].copy_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value);
        bytes
    }

    /// Checks `record` as it arrives in steps of `step` bytes, and all at once.
    fn check(record: &[u8], step: usize) -> Result<(), PartsError> {
        let mut checker = Checker::new(record.len() as u64);
        let arriving = record
            .chunks(step)
            .try_for_each(|bytes| checker.push(bytes));
        assert_eq!(super::check(record).map(|_| ()), arriving);
        arriving
    }

    #[test]
    fn header_decodes() {
        let bytes = [4, 1, 1, 0, 9, 8, 7, 6, 5, 4, 3, 2, 0x20, 0, 0, 0];
        assert_eq!(
            Header::decode(&bytes),
            Header {
                part_type: 0x104,
                flags: 1,
                selector: [9, 8, 7, 6, 5, 4, 3, 2],
                length: 32,
            }
        );
    }

    #[test]
    fn well_formed_in_any_segmentation() {
        let record = [part(0x100, &[1; 16]), part(0x103, &[2]), part(0x104, &[])].concat();
        for step in 1..=record.len() {
            assert_eq!(check(&record, step), Ok(()), "step {step}");
        }
    }

    #[test]
    fn a_value_must_fit_the_record() {
        let mut record = part(0x101, &[0; 8]);
        record[12] = 9;
        assert_eq!(check(&record, 1), Err(PartsError::PartTooLong));
        // Nothing wraps at the largest length.
        record[12..16].copy_from_slice(&[0xff; 4]);
        assert_eq!(check(&record, 24), Err(PartsError::PartTooLong));
    }

    #[test]
    fn a_header_must_fit_the_record() {
        let mut record = part(0x101, &[0; 8]);
        record.extend_from_slice(&[0; HEADER_LEN - 1]);
        for step in [1, 7, 100] {
            assert_eq!(check(&record, step), Err(PartsError::TruncatedHeader));
        }
    }

    #[test]
    fn common_parts_have_an_order() {
        let sequence = |types: &[u16]| {
            check(
                &types
                    .iter()
                    .flat_map(|&t| part(t, b"v"))
                    .collect::<Vec<_>>(),
                5,
            )
        };
        assert_eq!(
            sequence(&[0x100, 0x101, 0x102, 0x102, 0x104, 0x105]),
            Ok(())
        );
        assert_eq!(sequence(&[0x101, 0x200, 0x104]), Ok(()));
        assert_eq!(
            sequence(&[0x104, 0x103]),
            Err(PartsError::OutOfOrder(0x103))
        );
        assert_eq!(
            sequence(&[0x101, 0x200, 0x100]),
            Err(PartsError::OutOfOrder(0x100))
        );
    }

    #[test]
    fn wrong_framing_ends_the_parts() {
        let mut bytes = [part(1, b"ab"), part(2, b"cd")].concat();
        bytes.truncate(bytes.len() - 1);
        assert_eq!(Parts::new(&bytes).count(), 1);
        bytes[12..16].copy_from_slice(&[0xff; 4]);
        assert_eq!(Parts::new(&bytes).count(), 0);
    }

    #[test]
    fn features_are_found() {
        let record = [
            part(DEV_FEATURES, &[0xff; 16]),
            part(DRV_FEATURES, &[3; 16]),
            part(0x103, &[9; 8]),
        ]
        .concat();
        let arrived = |record: &[u8], step| {
            let mut checker = Checker::new(record.len() as u64);
            for bytes in record.chunks(step) {
                checker.push(bytes).unwrap();
            }
            checker
        };
        let all = [1, 5, 100].map(|step| arrived(&record, step));
        for checker in all.into_iter().chain([super::check(&record).unwrap()]) {
            assert_eq!(checker.count(), 3);
            assert_eq!(checker.offered(), Some(Features::from_bytes(&[0xff; 16])));
            assert_eq!(checker.negotiated(), Some(Features::from_bytes(&[3; 16])));
        }
        let checker = super::check(&part(0x103, &[1])).unwrap();
        assert_eq!((checker.offered(), checker.negotiated()), (None, None));
        // Longer than what is kept.
        let long = part(DRV_FEATURES, &[0xff; 8 * WORDS + 40]);
        for checker in [arrived(&long, 7), super::check(&long).unwrap()] {
            assert_eq!(checker.negotiated().unwrap().words(), [u64::MAX; WORDS]);
        }
    }
}
