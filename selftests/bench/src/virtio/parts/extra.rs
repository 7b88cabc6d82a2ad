// SPDX-License-Identifier: GPL-2.0
//! Extra parts: ballast, so that big device contexts can be measured.
//!
//! A vendor extension. Type 0x5ff, the last of the range for device types, not
//! optional; the selector is the index of the part as a 64-bit number. Each part
//! has 4096 bytes, the last one what remains. After reset the bytes follow from
//! their position; whatever is set is kept and given back, and has no other
//! effect.

use super::codec::{HEADER, Part, PartWriter, Refusal};

pub const KIND: u16 = 0x5ff;
const PART_SIZE: usize = 4096;

/// The ballast of one function.
#[derive(Clone, Debug)]
pub struct ExtraParts {
    bytes: Vec<u8>,
}

impl ExtraParts {
    pub fn new(size: usize) -> Self {
        let mut extra = Self {
            bytes: vec![0; size],
        };
        extra.reset();
        extra
    }

    pub fn reset(&mut self) {
        for (position, byte) in self.bytes.iter_mut().enumerate() {
            *byte = (position ^ (position >> 8)) as u8;
        }
    }

    /// Bytes that `save` appends.
    pub fn saved(&self) -> usize {
        self.bytes.len() + self.bytes.len().div_ceil(PART_SIZE) * HEADER
    }

    pub fn save(&self, parts: &mut PartWriter) {
        for (index, value) in self.bytes.chunks(PART_SIZE).enumerate() {
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

    fn slot(&self, part: &Part) -> Option<std::ops::Range<usize>> {
        let index = usize::try_from(u64::from_le_bytes(part.selector)).ok()?;
        let start = index.checked_mul(PART_SIZE)?;
        let end = self.bytes.len().min(start.checked_add(PART_SIZE)?);
        (start < end).then_some(start..end)
    }
}
