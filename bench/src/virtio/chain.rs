// SPDX-License-Identifier: GPL-2.0
//! Descriptor chains, walked strictly: what the specification forbids is an
//! error here, so that the device can declare its ring broken.

use virtio_queue::desc::split::Descriptor;
use vm_memory::{Bytes, GuestAddress};

use crate::iommu::DmaMemory;

const F_NEXT: u16 = 1;
const F_WRITE: u16 = 2;
const F_INDIRECT: u16 = 4;
const DESCRIPTOR_SIZE: u32 = 16;

/// A chain may describe this many bytes at most.
const MAX_BYTES: u64 = 1 << 32;

/// Why a ring cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error("memory access failed: {0}")]
    Memory(#[from] vm_memory::GuestMemoryError),
    #[error("ring access failed: {0}")]
    Queue(#[from] virtio_queue::Error),
    #[error("{0}")]
    Malformed(&'static str),
}

/// A piece of the driver's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub addr: u64,
    pub len: u32,
}

/// Where descriptors may lie.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub addr: u64,
    /// Number of descriptors in the ring's own table.
    pub size: u16,
    /// Indirect descriptors were negotiated.
    pub indirect: bool,
    /// Number of descriptors in a chain at most, counting those in an indirect
    /// table and not the one that leads there: no more than the queue has. It also
    /// bounds the walk: a table may be longer, only its chain is followed.
    pub longest: u32,
}

/// One buffer of the driver: readable segments followed by writable ones.
#[derive(Clone, Debug)]
pub struct Chain {
    head: u16,
    readable: Vec<Segment>,
    writable: Vec<Segment>,
    bytes: u64,
}

impl Chain {
    /// Follows the chain that starts at `head`.
    pub fn walk(mem: &DmaMemory, table: Table, head: u16) -> Result<Self, RingError> {
        let mut chain = Self {
            head,
            readable: Vec::new(),
            writable: Vec::new(),
            bytes: 0,
        };
        let (mut addr, mut size) = (table.addr, u32::from(table.size));
        let (mut index, mut budget) = (u32::from(head), size);
        let mut inside = false;
        loop {
            if index >= size {
                return Err(RingError::Malformed("descriptor index beyond the table"));
            }
            budget = budget
                .checked_sub(1)
                .ok_or(RingError::Malformed("descriptor chain loops"))?;
            let place = addr
                .checked_add(u64::from(index * DESCRIPTOR_SIZE))
                .ok_or(RingError::Malformed("descriptor table wraps"))?;
            let descriptor: Descriptor = mem.read_obj(GuestAddress(place))?;
            if descriptor.flags() & F_INDIRECT != 0 {
                if inside {
                    return Err(RingError::Malformed("indirect table in an indirect table"));
                }
                size = Self::indirect_size(&descriptor, table.indirect)?;
                (addr, index, budget, inside) = (descriptor.addr().0, 0, size, true);
                continue;
            }
            chain.push(&descriptor)?;
            if chain.descriptors() > table.longest as usize {
                return Err(RingError::Malformed("chain longer than the queue"));
            }
            if descriptor.flags() & F_NEXT == 0 {
                return Ok(chain);
            }
            index = u32::from(descriptor.next());
        }
    }

    /// Number of descriptors in the indirect table that `descriptor` leads to.
    fn indirect_size(descriptor: &Descriptor, negotiated: bool) -> Result<u32, RingError> {
        if !negotiated {
            return Err(RingError::Malformed("indirect table was not negotiated"));
        }
        if descriptor.flags() & F_NEXT != 0 {
            return Err(RingError::Malformed("indirect descriptor with a successor"));
        }
        if descriptor.len() == 0 || descriptor.len() % DESCRIPTOR_SIZE != 0 {
            return Err(RingError::Malformed("indirect table of odd size"));
        }
        Ok(descriptor.len() / DESCRIPTOR_SIZE)
    }

    fn descriptors(&self) -> usize {
        self.readable.len() + self.writable.len()
    }

    fn push(&mut self, descriptor: &Descriptor) -> Result<(), RingError> {
        let segment = Segment {
            addr: descriptor.addr().0,
            len: descriptor.len(),
        };
        if segment.addr.checked_add(u64::from(segment.len)).is_none() {
            return Err(RingError::Malformed("buffer wraps"));
        }
        self.bytes += u64::from(segment.len);
        if self.bytes > MAX_BYTES {
            return Err(RingError::Malformed("chain longer than 4 GiB"));
        }
        if descriptor.flags() & F_WRITE != 0 {
            self.writable.push(segment);
        } else if self.writable.is_empty() {
            self.readable.push(segment);
        } else {
            return Err(RingError::Malformed("readable after writable descriptor"));
        }
        Ok(())
    }

    /// Index of the first descriptor: the buffer's name in the used ring.
    pub fn head(&self) -> u16 {
        self.head
    }

    /// Bytes that the device may read.
    pub fn readable(&self) -> u64 {
        self.readable
            .iter()
            .map(|segment| u64::from(segment.len))
            .sum()
    }

    /// Bytes that the device may write.
    pub fn writable(&self) -> u64 {
        self.writable
            .iter()
            .map(|segment| u64::from(segment.len))
            .sum()
    }

    /// Fills `target` with what the driver gives from byte `offset` on. The caller
    /// knows that there is enough.
    pub fn read_at(
        &self,
        mem: &DmaMemory,
        offset: u64,
        target: &mut [u8],
    ) -> Result<(), RingError> {
        let mut rest = target;
        for (addr, length) in window(&self.readable, offset, rest.len()) {
            let (piece, tail) = rest.split_at_mut(length);
            mem.read_slice(piece, GuestAddress(addr))?;
            rest = tail;
        }
        Ok(())
    }

    /// Writes `data` from byte `offset` of the driver's room on, as far as it fits.
    pub fn write_at(&self, mem: &DmaMemory, offset: u64, data: &[u8]) -> Result<(), RingError> {
        let mut rest = data;
        for (addr, length) in window(&self.writable, offset, rest.len()) {
            let (piece, tail) = rest.split_at(length);
            mem.write_slice(piece, GuestAddress(addr))?;
            rest = tail;
        }
        Ok(())
    }

    /// The first `limit` readable bytes.
    pub fn read(&self, mem: &DmaMemory, limit: usize) -> Result<Vec<u8>, RingError> {
        let wanted = self.readable().min(limit as u64) as usize;
        let mut data = vec![0; wanted];
        let mut filled = 0;
        for segment in &self.readable {
            let count = (segment.len as usize).min(wanted - filled);
            let target = &mut data[filled..filled + count];
            mem.read_slice(target, GuestAddress(segment.addr))?;
            filled += count;
        }
        Ok(data)
    }

    /// Writes as much of `data` as fits, and returns how much that is.
    pub fn write(&self, mem: &DmaMemory, data: &[u8]) -> Result<u32, RingError> {
        let mut written = 0;
        for segment in &self.writable {
            let count = (segment.len as usize).min(data.len() - written);
            let source = &data[written..written + count];
            mem.write_slice(source, GuestAddress(segment.addr))?;
            written += count;
        }
        // A chain has at most 4 GiB.
        Ok(u32::try_from(written).unwrap_or(u32::MAX))
    }
}

/// Where the `length` bytes from `offset` on are, as far as there are so many.
fn window(segments: &[Segment], offset: u64, length: usize) -> Vec<(u64, usize)> {
    let (mut skip, mut wanted) = (offset, length as u64);
    let mut places = Vec::new();
    for segment in segments {
        let len = u64::from(segment.len);
        let count = len.saturating_sub(skip).min(wanted);
        if count > 0 {
            places.push((segment.addr + skip, count as usize));
        }
        skip = skip.saturating_sub(len);
        wanted -= count;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cross_segments() {
        let segment = |addr, len| Segment { addr, len };
        let all = [segment(100, 10), segment(200, 0), segment(300, 5)];
        assert_eq!(window(&all, 0, 15), [(100, 10), (300, 5)]);
        assert_eq!(window(&all, 8, 4), [(108, 2), (300, 2)]);
        assert_eq!(window(&all, 10, 5), [(300, 5)]);
        assert_eq!(window(&all, 14, 1), [(304, 1)]);
        assert_eq!(window(&all, 14, 9), [(304, 1)]);
        assert_eq!(window(&all, 3, 0), []);
        assert_eq!(window(&all, 99, 1), []);
    }
}
