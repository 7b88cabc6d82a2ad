// SPDX-License-Identifier: GPL-2.0
//! Device table entries.

use super::registers::{ADDRESS_MASK, HOST_ACCESSED, HOST_DIRTY};

/// Size of an entry in memory.
pub const ENTRY_SIZE: u64 = 32;

/// What an entry says about DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// V = 0: everything passes.
    Off,
    /// V = 1, TV = 0: nothing is known, so nothing passes.
    Blocked,
    /// Mode 0: addresses pass, as far as IR and IW permit.
    Direct,
    /// Through a page table of `levels` levels at `root`.
    Paged { root: u64, levels: u8 },
}

/// A decoded entry.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTableEntry {
    pub translation: Translation,
    pub domain: u16,
    pub read: bool,
    pub write: bool,
    /// Hardware sets the accessed bit.
    pub accessed_bits: bool,
    /// Hardware sets the dirty bit.
    pub dirty_bits: bool,
    /// SE: log the first page fault only, until the entry is fetched anew.
    pub suppress_repeated: bool,
    /// SA: log no page faults.
    pub suppress_all: bool,
}

/// The entry has reserved bits or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal;

impl DeviceTableEntry {
    /// Decodes the four quadwords of an entry for a unit with these features. What
    /// asks for one that it lacks is reserved. The interrupt remapping half is not
    /// looked at: interrupts are not remapped.
    pub fn decode(entry: [u64; 4], features: u64) -> Result<Self, Illegal> {
        let [low, high, ..] = entry;
        let bit = |word: u64, bit: u32| (word >> bit) & 1 != 0;
        let had = (low >> 7) & 3;
        let offered = match had {
            0 => true,
            1 => features & HOST_ACCESSED != 0,
            3 => features & HOST_ACCESSED != 0 && features & HOST_DIRTY != 0,
            _ => false,
        };
        let decoded = Self {
            translation: Translation::Off,
            domain: high as u16,
            read: bit(low, 61),
            write: bit(low, 62),
            accessed_bits: had & 1 != 0,
            dirty_bits: had == 3,
            suppress_repeated: bit(high, 33),
            suppress_all: bit(high, 34),
        };
        if !bit(low, 0) {
            return Ok(decoded);
        }
        // Bits 6:2 and 63, and guest translation (55:54), which is not offered.
        let reserved = 0x7c | (1 << 63) | (3 << 54);
        let mode = ((low >> 9) & 7) as u8;
        if low & reserved != 0 || !offered || mode == 7 {
            return Err(Illegal);
        }
        let translation = match (bit(low, 1), mode) {
            (false, _) => Translation::Blocked,
            (true, 0) => Translation::Direct,
            (true, levels) => Translation::Paged {
                root: low & ADDRESS_MASK,
                levels,
            },
        };
        Ok(Self {
            translation,
            ..decoded
        })
    }
}
