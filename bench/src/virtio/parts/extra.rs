// SPDX-License-Identifier: GPL-2.0
//! Extra parts: ballast, so that big device contexts can be measured.
//!
//! A vendor extension. Type 0x5ff, the last of the range for device types, not
//! optional; the selector is the index of the part as a 64-bit number. All parts
//! have one size, but for the last, which has what remains. After reset the bytes
//! follow from their position; whatever is set is kept and given back, and has no
//! other effect. How much there is and how it is divided are not the driver's to
//! change: they outlast resets.

use super::codec::{HEADER, Part, PartWriter, Refusal};

pub const KIND: u16 = 0x5ff;
/// Bytes of ballast at most.
pub const MAX_BYTES: usize = 256 << 20;
/// Size of a part at most.
pub const MAX_PART_SIZE: usize = 1 << 20;
/// Parts at most. All parts of a device are far smaller than 4 GiB then, the limit
/// of a command and of the size that is told of them.
pub const MAX_PARTS: usize = 1 << 22;
/// After so many bytes those of a reset repeat.
const PERIOD: usize = 1 << 16;

/// Why there cannot be such ballast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    #[error("at most {MAX_BYTES} bytes of ballast")]
    Bytes,
    #[error("parts of ballast have 1 to {MAX_PART_SIZE} bytes")]
    PartSize,
    #[error("at most {MAX_PARTS} parts of ballast")]
    Parts,
}

/// How much ballast there is, and how it is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballast {
    bytes: usize,
    part_size: usize,
}

impl Ballast {
    /// This many bytes in parts of this size.
    pub fn new(bytes: usize, part_size: usize) -> Result<Self, Impossible> {
        if bytes > MAX_BYTES {
            return Err(Impossible::Bytes);
        }
        if !(1..=MAX_PART_SIZE).contains(&part_size) {
            return Err(Impossible::PartSize);
        }
        let ballast = Self { bytes, part_size };
        match ballast.parts() <= MAX_PARTS {
            true => Ok(ballast),
            false => Err(Impossible::Parts),
        }
    }

    fn parts(self) -> usize {
        self.bytes.div_ceil(self.part_size)
    }
}

/// The ballast of one function.
#[derive(Clone, Debug)]
pub struct ExtraParts {
    ballast: Ballast,
    bytes: Vec<u8>,
}

impl ExtraParts {
    pub fn new(ballast: Ballast) -> Self {
        let mut extra = Self {
            ballast,
            bytes: vec![0; ballast.bytes],
        };
        extra.reset();
        extra
    }

    pub fn reset(&mut self) {
        let length = self.bytes.len().min(PERIOD);
        let (first, rest) = self.bytes.split_at_mut(length);
        for (position, byte) in first.iter_mut().enumerate() {
            *byte = (position ^ (position >> 8)) as u8;
        }
        for again in rest.chunks_mut(PERIOD) {
            again.copy_from_slice(&first[..again.len()]);
        }
    }

    /// Bytes that `save` appends.
    pub fn saved(&self) -> usize {
        self.bytes.len() + self.ballast.parts() * HEADER
    }

    pub fn save(&self, parts: &mut PartWriter) {
        for (index, value) in self.bytes.chunks(self.ballast.part_size).enumerate() {
            parts.push(KIND, (index as u64).to_le_bytes(), value);
        }
    }

    /// Checks a part, without taking it.
    pub fn check(&self, part: &Part) -> Result<(), Refusal> {
        let slot = self.slot(part).ok_or(part.refuse("no such part"))?;
        match slot.len() == part.value.len() {
            true => Ok(()),
            false => Err(part.refuse("wrong length")),
        }
    }

    /// Takes a part that was checked.
    pub fn load(&mut self, part: &Part) {
        if let Some(slot) = self.slot(part) {
            self.bytes[slot].copy_from_slice(part.value);
        }
    }

    /// Changes one byte, as a device at work would; false if there is none.
    pub fn poke(&mut self, position: usize, value: u8) -> bool {
        self.bytes
            .get_mut(position)
            .map(|byte| *byte = value)
            .is_some()
    }

    /// Changes one byte in each of `count` parts, which are spread evenly; false, and
    /// nothing is changed, if there are fewer.
    pub fn touch(&mut self, count: usize) -> bool {
        let parts = self.ballast.parts();
        if count > parts {
            return false;
        }
        for step in 0..count {
            // The product is below the square of MAX_PARTS.
            let part = step * parts / count;
            let byte = &mut self.bytes[part * self.ballast.part_size];
            *byte = byte.wrapping_add(1);
        }
        true
    }

    fn slot(&self, part: &Part) -> Option<std::ops::Range<usize>> {
        let index = usize::try_from(u64::from_le_bytes(part.selector)).ok()?;
        let start = index.checked_mul(self.ballast.part_size)?;
        let end = self
            .bytes
            .len()
            .min(start.checked_add(self.ballast.part_size)?);
        (start < end).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::parts::parse;

    fn extra(bytes: usize, part_size: usize) -> ExtraParts {
        ExtraParts::new(Ballast::new(bytes, part_size).expect("possible ballast"))
    }

    fn saved(extra: &ExtraParts) -> Vec<u8> {
        let mut parts = PartWriter::all(extra.saved());
        extra.save(&mut parts);
        parts.into_bytes()
    }

    #[test]
    fn ballast_has_limits() {
        use Impossible::*;
        for (bytes, part_size, refusal) in [
            (0, 1, None),
            (MAX_BYTES, 4096, None),
            (MAX_BYTES, MAX_PART_SIZE, None),
            (64 << 20, 64, None),
            (MAX_PARTS, 1, None),
            (2 * MAX_PARTS - 1, 2, None),
            (MAX_BYTES + 1, 4096, Some(Bytes)),
            (usize::MAX, usize::MAX, Some(Bytes)),
            (0, 0, Some(PartSize)),
            (0, MAX_PART_SIZE + 1, Some(PartSize)),
            (MAX_PARTS + 1, 1, Some(Parts)),
            (2 * MAX_PARTS + 1, 2, Some(Parts)),
        ] {
            let error = Ballast::new(bytes, part_size).err();
            assert_eq!(error, refusal, "{bytes} bytes in parts of {part_size}");
        }
    }

    #[test]
    fn whatever_the_layout_it_is_given_back() {
        for (bytes, part_size, parts) in [
            (0, 1, 0),
            (1, 1, 1),
            (7, 1, 7),
            (64, 64, 1),
            (65, 64, 2),
            (200_000, 4096, 49),
            (200_000, MAX_PART_SIZE, 1),
        ] {
            let mut source = extra(bytes, part_size);
            source.touch(parts);
            let context = saved(&source);
            assert_eq!(context.len(), source.saved());
            let mut target = extra(bytes, part_size);
            let given = parse(&context).expect("parts");
            assert_eq!(given.len(), parts, "{bytes} bytes in parts of {part_size}");
            for part in &given {
                target.check(part).expect("a part that fits");
                target.load(part);
            }
            assert_eq!(saved(&target), context);
        }
    }

    #[test]
    fn a_reset_is_about_the_contents() {
        let mut extra = extra(3 * PERIOD + 5, 100);
        let expected: Vec<u8> = (0..3 * PERIOD + 5)
            .map(|at| (at ^ (at >> 8)) as u8)
            .collect();
        assert_eq!(extra.bytes, expected);
        assert!(extra.touch(77) && extra.poke(3 * PERIOD + 4, 0));
        assert_ne!(extra.bytes, expected);
        extra.reset();
        assert_eq!(extra.bytes, expected);
    }

    /// The parts in which two states differ.
    fn differing(extra: &ExtraParts, before: &ExtraParts) -> Vec<usize> {
        let size = extra.ballast.part_size;
        let pairs = extra.bytes.chunks(size).zip(before.bytes.chunks(size));
        pairs
            .enumerate()
            .filter(|(_, (now, then))| now != then)
            .map(|(index, _)| index)
            .collect()
    }

    #[test]
    fn touched_parts_are_spread_evenly() {
        let mut extra = extra(995, 10);
        for (count, expected) in [
            (0, vec![]),
            (1, vec![0]),
            (4, vec![0, 25, 50, 75]),
            (3, vec![0, 33, 66]),
            (100, (0..100).collect()),
        ] {
            // Once around the values of a byte, and again.
            for _ in 0..300 {
                let before = extra.clone();
                assert!(extra.touch(count));
                assert_eq!(differing(&extra, &before), expected);
            }
        }
        let before = extra.clone();
        assert!(!extra.touch(101));
        assert!(!extra.touch(usize::MAX));
        assert!(differing(&extra, &before).is_empty());
    }
}
