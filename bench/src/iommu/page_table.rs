// SPDX-License-Identifier: GPL-2.0
//! Host page table walks, with accessed and dirty bits.

use std::sync::atomic::{AtomicU64, Ordering};

use vm_memory::{GuestAddress, GuestMemoryBackend, VolatileMemory};

use super::device_table::DeviceTableEntry;
use super::registers::ADDRESS_MASK;
use crate::memory::PhysicalMemory;

const PRESENT: u64 = 1 << 0;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const READ: u64 = 1 << 61;
const WRITE: u64 = 1 << 62;
/// Bits 58:52 are reserved in entries of either kind.
const RESERVED: u64 = 0x07f0_0000_0000_0000;

/// A page found by a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// First IOVA of the page.
    pub iova: u64,
    /// Where that IOVA is in physical memory.
    pub target: u64,
    /// Size in bytes, a power of two.
    pub size: u64,
    /// The page tables permit reading, whatever the device table entry says:
    /// other devices of the domain find the page in the IOTLB, too.
    pub read: bool,
    /// The page tables permit writing.
    pub write: bool,
    /// The dirty bit is known to be set.
    pub dirty: bool,
    /// This walk is what set the dirty bit.
    pub made_dirty: bool,
}

/// Why a walk found no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    NotPresent,
    /// The page is there but the access is not permitted.
    Permission,
    /// Reserved bits, or a next level that does not descend.
    Reserved,
    /// A table at this address cannot be read.
    Unreachable(u64),
}

/// Walks the page table at `root` for an access to `iova`. A write needs the
/// write permission, everything else the read permission. `prefetch` neither
/// needs permission nor counts as an access.
pub fn walk(
    memory: &PhysicalMemory,
    entry: &DeviceTableEntry,
    (root, levels): (u64, u8),
    iova: u64,
    access: Access,
) -> Result<Page, Fault> {
    let mut table = root;
    let mut level = u32::from(levels);
    let (mut read, mut write) = (true, true);
    // The topmost table need not cover the whole address space.
    if level < 6 && iova >> shift(level + 1) != 0 {
        return Err(Fault::NotPresent);
    }
    loop {
        let index = (iova >> shift(level)) & 0x1ff;
        let address = table + index * 8;
        let slot = memory
            .get_slice(GuestAddress(address), 8)
            .map_err(|_| Fault::Unreachable(address))?;
        let slot: &AtomicU64 = slot
            .get_atomic_ref(0)
            .map_err(|_| Fault::Unreachable(address))?;
        let mut value = slot.load(Ordering::Acquire);
        // Again from here if the entry changes while its bits are being set.
        let next = loop {
            if value & PRESENT == 0 {
                return Err(Fault::NotPresent);
            }
            if value & RESERVED != 0 {
                return Err(Fault::Reserved);
            }
            let next = ((value >> 9) & 7) as u32;
            let (leaf_read, leaf_write) = (read && value & READ != 0, write && value & WRITE != 0);
            if next != 0 && next != 7 {
                (read, write) = (leaf_read, leaf_write);
                break next;
            }
            let size_bits = page_bits(value, level, next).ok_or(Fault::Reserved)?;
            match access {
                Access::Read if !(leaf_read && entry.read) => return Err(Fault::Permission),
                Access::Write if !(leaf_write && entry.write) => return Err(Fault::Permission),
                _ => {}
            }
            let mut bits = 0;
            if entry.accessed_bits && access != Access::Prefetch {
                bits |= ACCESSED;
            }
            if entry.dirty_bits && access == Access::Write {
                bits |= DIRTY;
            }
            let new = match mark(slot, value, bits) {
                Ok(new) => new,
                Err(current) => {
                    value = current;
                    continue;
                }
            };
            let offset_mask = (1 << size_bits) - 1;
            return Ok(Page {
                iova: iova & !offset_mask,
                target: value & ADDRESS_MASK & !offset_mask,
                size: offset_mask + 1,
                read: leaf_read,
                write: leaf_write,
                dirty: new & DIRTY != 0,
                made_dirty: new & !value & DIRTY != 0,
            });
        };
        if next >= level {
            return Err(Fault::Reserved);
        }
        // Levels may be skipped where the IOVA has only zeros for them.
        if iova & (((1 << shift(level)) - 1) >> shift(next + 1) << shift(next + 1)) != 0 {
            return Err(Fault::NotPresent);
        }
        table = value & ADDRESS_MASK;
        level = next;
    }
}

/// The kind of access that a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Prefetch,
}

/// Lowest IOVA bit that a table of `level` is indexed with.
fn shift(level: u32) -> u32 {
    12 + 9 * (level - 1)
}

/// Size of the page that a leaf maps, in address bits. Next level 7 encodes it
/// as the run of ones at the bottom of the address: 8 KiB has none. The size
/// must be above the level's own and below that of the level above.
fn page_bits(value: u64, level: u32, next: u32) -> Option<u32> {
    if level == 6 {
        return None;
    }
    if next == 0 {
        return Some(shift(level));
    }
    let bits = 13 + ((value & ADDRESS_MASK) >> 12).trailing_ones();
    (bits > shift(level) && bits < shift(level + 1) && bits < 52).then_some(bits)
}

/// Sets `bits` in an entry that was found to be `value`; returns the entry as it
/// is then.
///
/// # Errors
///
/// The entry as it is now, unchanged, if it is no longer `value`: software may
/// have unmapped the page, or cleared its bits.
fn mark(slot: &AtomicU64, value: u64, bits: u64) -> Result<u64, u64> {
    let new = value | bits;
    if new != value {
        slot.compare_exchange(value, new, Ordering::AcqRel, Ordering::Acquire)?;
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: u64 = 0x2000 | PRESENT | READ | WRITE;

    #[test]
    fn bits_are_added_to_what_was_found() {
        let slot = AtomicU64::new(LEAF | ACCESSED);
        let marked = mark(&slot, LEAF | ACCESSED, ACCESSED | DIRTY);
        assert_eq!(marked, Ok(LEAF | ACCESSED | DIRTY));
        assert_eq!(slot.into_inner(), LEAF | ACCESSED | DIRTY);
    }

    /// Software was faster than the device: with an unmapping, with another page,
    /// with bits of its own (4:1 are ignored by the IOMMU).
    #[test]
    fn an_entry_that_changed_is_left_alone() {
        for now in [0, 0x3000 | PRESENT | READ | WRITE, LEAF | 1 << 1] {
            let slot = AtomicU64::new(now);
            assert_eq!(mark(&slot, LEAF, DIRTY), Err(now));
            assert_eq!(slot.into_inner(), now);
        }
    }

    #[test]
    fn bits_that_are_set_already_need_no_access() {
        let slot = AtomicU64::new(0);
        assert_eq!(mark(&slot, LEAF | DIRTY, DIRTY), Ok(LEAF | DIRTY));
        assert_eq!(slot.into_inner(), 0);
    }
}
