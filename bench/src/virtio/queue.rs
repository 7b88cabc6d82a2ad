// SPDX-License-Identifier: GPL-2.0
//! Split virtqueues: what the driver configured, and the ring in operation.
//!
//! # Positions
//!
//! Device parts do not carry ring positions (VQ_CFG has no field for them). A
//! device that is stopped has written back every buffer it has taken, so the
//! used index in the driver's memory says how many that were, and a ring loaded
//! from parts continues there: next available := next used := used.idx. This
//! needs a device that takes no buffer before it can complete it: receive
//! buffers are only taken when a frame is at hand. A ring that runs knows its
//! positions and reads used.idx no more. One that was not in operation on the
//! other device starts at 0, whatever is in memory.

use std::num::Wrapping;
use std::sync::atomic::{Ordering, fence};

use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::chain::{Chain, RingError, Table};
use crate::iommu::DmaMemory;

/// "No MSI-X vector".
pub const NO_VECTOR: u16 = 0xffff;

const AVAIL_F_NO_INTERRUPT: u16 = 1;
const DESC_ALIGN: u64 = 16;
const AVAIL_ALIGN: u64 = 2;
const USED_ALIGN: u64 = 4;

/// A queue as the driver programmed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    pub size: u16,
    pub vector: u16,
    pub enabled: bool,
    pub desc: u64,
    pub driver: u64,
    pub device: u64,
}

impl QueueConfig {
    /// The state after reset of a queue that can have `max_size` buffers.
    pub fn new(max_size: u16) -> Self {
        Self {
            size: max_size,
            vector: NO_VECTOR,
            enabled: false,
            desc: 0,
            driver: 0,
            device: 0,
        }
    }

    /// Whether the ring of `other` is this one: the same areas in the same memory.
    pub fn same_ring(&self, other: &Self) -> bool {
        let vector = other.vector;
        Self { vector, ..*self } == *other
    }

    /// Whether this can be the state of a queue: a size that fits and, where a
    /// ring is to run, areas that do.
    pub fn check(&self, max_size: u16) -> Result<(), &'static str> {
        if !self.size.is_power_of_two() || self.size > max_size {
            return Err("queue size not a power of two or above the maximum");
        }
        if self.enabled {
            self.check_areas()
        } else {
            Ok(())
        }
    }

    fn check_areas(&self) -> Result<(), &'static str> {
        let room = |start: u64, fixed: u64, each: u64| {
            start
                .checked_add(fixed + each * u64::from(self.size))
                .is_some()
        };
        if self.desc % DESC_ALIGN != 0
            || self.driver % AVAIL_ALIGN != 0
            || self.device % USED_ALIGN != 0
        {
            Err("queue area not aligned")
        } else if !room(self.desc, 0, 16) || !room(self.driver, 6, 2) || !room(self.device, 6, 8) {
            Err("queue area wraps")
        } else {
            Ok(())
        }
    }
}

/// A ring in operation.
#[derive(Debug)]
pub struct Ring {
    queue: Queue,
    table: Table,
    /// Used index up to which the driver has been told, or need not be.
    signalled: Wrapping<u16>,
}

impl Ring {
    /// A ring that nothing has been taken from yet, for chains of at most
    /// `longest` descriptors.
    pub fn new(
        config: &QueueConfig,
        max_size: u16,
        event_idx: bool,
        indirect: bool,
        longest: u32,
    ) -> Result<Self, RingError> {
        config.check(max_size).map_err(RingError::Malformed)?;
        let mut queue = Queue::new(max_size)?;
        queue.try_set_size(config.size)?;
        queue.try_set_desc_table_address(GuestAddress(config.desc))?;
        queue.try_set_avail_ring_address(GuestAddress(config.driver))?;
        queue.try_set_used_ring_address(GuestAddress(config.device))?;
        queue.set_event_idx(event_idx);
        queue.set_ready(true);
        let table = Table {
            addr: config.desc,
            size: config.size,
            indirect,
            longest,
        };
        Ok(Self {
            queue,
            table,
            signalled: Wrapping(0),
        })
    }

    /// Continues where the used ring in memory says that another device left off.
    pub fn continue_from_memory(&mut self, mem: &DmaMemory) -> Result<(), RingError> {
        let used = self.queue.used_idx(mem, Ordering::Acquire)?;
        self.queue.set_next_used(used.0);
        self.queue.set_next_avail(used.0);
        self.signalled = used;
        Ok(())
    }

    pub fn next_avail(&self) -> u16 {
        self.queue.next_avail()
    }

    pub fn next_used(&self) -> u16 {
        self.queue.next_used()
    }

    /// Takes the next buffer that the driver made available.
    pub fn pop(&mut self, mem: &DmaMemory) -> Result<Option<Chain>, RingError> {
        let next = Wrapping(self.queue.next_avail());
        let waiting = self.queue.avail_idx(mem, Ordering::Acquire)? - next;
        if waiting.0 > self.table.size {
            return Err(RingError::Malformed(
                "more buffers available than the ring holds",
            ));
        }
        if waiting.0 == 0 {
            return Ok(None);
        }
        let slot = 4 + 2 * u64::from(next.0 % self.table.size);
        let head: u16 = mem.load(self.avail(slot), Ordering::Relaxed)?;
        let chain = Chain::walk(mem, self.table, u16::from_le(head))?;
        self.queue.set_next_avail((next + Wrapping(1)).0);
        Ok(Some(chain))
    }

    /// Gives back the last `count` buffers taken.
    pub fn unpop(&mut self, count: usize) {
        let next = Wrapping(self.queue.next_avail()) - Wrapping(count as u16);
        self.queue.set_next_avail(next.0);
    }

    /// Hands buffers back to the driver, all of them at once: the driver must
    /// never see the first buffer of a merged frame without the others.
    pub fn publish(&mut self, mem: &DmaMemory, used: &[(u16, u32)]) -> Result<(), RingError> {
        if used.is_empty() {
            return Ok(());
        }
        let mut next = Wrapping(self.queue.next_used());
        for &(head, len) in used {
            let slot = 4 + 8 * u64::from(next.0 % self.table.size);
            let element = u64::from(head) | (u64::from(len) << 32);
            mem.write_obj(element.to_le(), self.used(slot))?;
            next += 1;
        }
        mem.store(next.0.to_le(), self.used(2), Ordering::Release)?;
        self.queue.set_next_used(next.0);
        Ok(())
    }

    /// Whether the driver wants to hear of what was published since the last call.
    pub fn wants_interrupt(&mut self, mem: &DmaMemory) -> Result<bool, RingError> {
        let new = Wrapping(self.queue.next_used());
        let old = std::mem::replace(&mut self.signalled, new);
        if new == old {
            return Ok(false);
        }
        // The index must be visible before the driver's wish is read, or a driver
        // that has just gone to sleep would stay there.
        fence(Ordering::SeqCst);
        if self.queue.event_idx_enabled() {
            let place = self.avail(4 + 2 * u64::from(self.table.size));
            let event = Wrapping(u16::from_le(mem.load(place, Ordering::Relaxed)?));
            Ok(new - event - Wrapping(1) < new - old)
        } else {
            let flags = u16::from_le(mem.load(self.avail(0), Ordering::Relaxed)?);
            Ok(flags & AVAIL_F_NO_INTERRUPT == 0)
        }
    }

    /// Asks to be notified of the next buffer, and tells whether there already
    /// is one.
    pub fn wait(&mut self, mem: &DmaMemory) -> Result<bool, RingError> {
        Ok(self.queue.enable_notification(mem)?)
    }

    // `QueueConfig::check` made sure that the areas do not wrap.
    fn avail(&self, offset: u64) -> GuestAddress {
        GuestAddress(self.queue.avail_ring().wrapping_add(offset))
    }

    fn used(&self, offset: u64) -> GuestAddress {
        GuestAddress(self.queue.used_ring().wrapping_add(offset))
    }
}

#[cfg(test)]
mod ordering;
