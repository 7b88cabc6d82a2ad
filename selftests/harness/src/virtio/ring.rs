// SPDX-License-Identifier: GPL-2.0
//! The driver's side of a split virtqueue.

use std::sync::atomic::{Ordering, fence};

use anyhow::{Result, ensure};

use crate::vfio::{DmaBuffer, PAGE};

/// Bytes of memory a ring takes: a page each for its three parts.
pub const RING_BYTES: usize = 3 * PAGE;

const DESC_NEXT: u16 = 1;
const DESC_WRITE: u16 = 2;

/// One buffer of a request.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Device address.
    pub address: u64,
    pub length: u32,
    /// The device writes it.
    pub writable: bool,
}

/// A split virtqueue at a fixed place in a [`DmaBuffer`]. Requests have a slot
/// each, of `parts` consecutive descriptors, so that a slot number is all there
/// is to remember about a request.
#[derive(Debug)]
pub struct Ring {
    base: usize,
    /// Where driver area and device area are.
    driver: usize,
    device: usize,
    size: u16,
    parts: u16,
    avail: u16,
    used: u16,
}

impl Ring {
    /// A ring of `size` descriptors at `base`, for requests of up to `parts` buffers.
    pub fn new(memory: &DmaBuffer, base: usize, size: u16, parts: u16) -> Self {
        Self::laid_out(memory, [base, base + PAGE, base + 2 * PAGE], size, parts)
    }

    /// A ring as a legacy driver has it: the driver area right behind the
    /// descriptors, the device area on the next page boundary.
    ///
    /// Its pages must fit [`RING_BYTES`], as those of up to 256 descriptors do.
    pub fn legacy(memory: &DmaBuffer, base: usize, size: u16, parts: u16) -> Self {
        let count = usize::from(size);
        let driver = 16 * count;
        let device = (driver + 2 * (3 + count)).next_multiple_of(PAGE);
        assert!(device + 6 + 8 * count <= RING_BYTES, "ring of {size}");
        Self::laid_out(memory, [base, base + driver, base + device], size, parts)
    }

    fn laid_out(memory: &DmaBuffer, places: [usize; 3], size: u16, parts: u16) -> Self {
        let [base, driver, device] = places;
        for offset in (base..base + RING_BYTES).step_by(8) {
            memory.write::<u64>(offset, 0);
        }
        Self {
            base,
            driver,
            device,
            size,
            parts,
            avail: 0,
            used: 0,
        }
    }

    /// Number of slots.
    pub fn slots(&self) -> u16 {
        self.size / self.parts
    }

    /// Number of descriptors.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Device addresses of descriptor table, driver area and device area.
    pub fn addresses(&self, memory: &DmaBuffer) -> [u64; 3] {
        [self.base, self.driver, self.device].map(|place| memory.iova() + place as u64)
    }

    /// Makes the request in `slot` available.
    pub fn post(&mut self, memory: &DmaBuffer, slot: u16, parts: &[Part]) {
        assert!(slot < self.slots() && !parts.is_empty() && parts.len() <= usize::from(self.parts));
        let head = slot * self.parts;
        for (index, part) in parts.iter().enumerate() {
            let descriptor = head + index as u16;
            let at = self.base + 16 * usize::from(descriptor);
            let last = index + 1 == parts.len();
            let flags =
                if last { 0 } else { DESC_NEXT } | if part.writable { DESC_WRITE } else { 0 };
            memory.write::<u64>(at, part.address);
            memory.write::<u32>(at + 8, part.length);
            memory.write::<u16>(at + 12, flags);
            memory.write::<u16>(at + 14, if last { 0 } else { descriptor + 1 });
        }
        let entry = 4 + 2 * usize::from(self.avail % self.size);
        memory.write::<u16>(self.driver + entry, head);
        // The entry must be visible before the index that announces it.
        fence(Ordering::SeqCst);
        self.avail = self.avail.wrapping_add(1);
        memory.write::<u16>(self.driver + 2, self.avail);
        fence(Ordering::SeqCst);
    }

    /// The next completed request: its slot and how much the device wrote.
    pub fn complete(&mut self, memory: &DmaBuffer) -> Result<Option<(u16, u32)>> {
        let device = self.device;
        let index: u16 = memory.read(device + 2);
        let ahead = index.wrapping_sub(self.used);
        ensure!(
            ahead <= self.avail.wrapping_sub(self.used),
            "the device used {ahead} buffers more than it was given"
        );
        if ahead == 0 {
            return Ok(None);
        }
        fence(Ordering::SeqCst);
        let entry = device + 4 + 8 * usize::from(self.used % self.size);
        let (head, length): (u32, u32) = (memory.read(entry), memory.read(entry + 4));
        ensure!(
            head < u32::from(self.size) && head % u32::from(self.parts) == 0,
            "the device used descriptor {head}, which heads no request"
        );
        self.used = self.used.wrapping_add(1);
        Ok(Some((head as u16 / self.parts, length)))
    }

    /// Requests posted and not completed.
    pub fn outstanding(&self) -> u16 {
        self.avail.wrapping_sub(self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(address: u64) -> Part {
        Part {
            address,
            length: 64,
            writable: true,
        }
    }

    #[test]
    fn requests_come_back() {
        let memory = DmaBuffer::new(0x10_0000, RING_BYTES).unwrap();
        let mut ring = Ring::new(&memory, 0, 8, 2);
        ring.post(&memory, 3, &[part(0x1000), part(0x2000)]);
        assert_eq!(ring.complete(&memory).unwrap(), None);
        assert_eq!(memory.read::<u16>(PAGE + 4), 6, "head of slot 3");
        assert_eq!(
            memory.read::<u16>(16 * 6 + 14),
            7,
            "chained to the next descriptor"
        );
        memory.write::<u32>(2 * PAGE + 4, 6);
        memory.write::<u32>(2 * PAGE + 8, 64);
        memory.write::<u16>(2 * PAGE + 2, 1);
        assert_eq!(ring.complete(&memory).unwrap(), Some((3, 64)));
        assert_eq!(ring.outstanding(), 0);
    }

    #[test]
    fn a_lying_device_is_noticed() {
        let memory = DmaBuffer::new(0x10_0000, RING_BYTES).unwrap();
        let mut ring = Ring::new(&memory, 0, 8, 1);
        memory.write::<u16>(2 * PAGE + 2, 1);
        assert!(ring.complete(&memory).is_err());
    }
}
