// SPDX-License-Identifier: GPL-2.0
//! The register file: what the MMIO space holds, without what it does.

use std::ops::Range;

/// Bytes of the MMIO space that have registers (16 KiB and the counters' 512 KiB).
pub const SIZE: u64 = 0x8_0000;

/// Register offsets.
pub mod offset {
    pub const DEVICE_TABLE_BASE: u64 = 0x0000;
    pub const COMMAND_BASE: u64 = 0x0008;
    pub const EVENT_BASE: u64 = 0x0010;
    pub const CONTROL: u64 = 0x0018;
    pub const EXCLUSION_BASE: u64 = 0x0020;
    pub const EXCLUSION_LIMIT: u64 = 0x0028;
    pub const EXTENDED_FEATURE: u64 = 0x0030;
    pub const EXTENDED_FEATURE_2: u64 = 0x01a0;
    pub const COMMAND_HEAD: u64 = 0x2000;
    pub const COMMAND_TAIL: u64 = 0x2008;
    pub const EVENT_HEAD: u64 = 0x2010;
    pub const EVENT_TAIL: u64 = 0x2018;
    pub const STATUS: u64 = 0x2020;
}

/// Control register bits.
pub mod control {
    pub const IOMMU_ENABLE: u64 = 1 << 0;
    pub const EVENT_LOG_ENABLE: u64 = 1 << 2;
    pub const EVENT_INTERRUPT_ENABLE: u64 = 1 << 3;
    pub const COMPLETION_WAIT_INTERRUPT_ENABLE: u64 = 1 << 4;
    pub const COMMAND_BUFFER_ENABLE: u64 = 1 << 12;
}

/// Status register bits.
pub mod status {
    pub const EVENT_OVERFLOW: u64 = 1 << 0;
    pub const EVENT_INTERRUPT: u64 = 1 << 1;
    pub const COMPLETION_WAIT_INTERRUPT: u64 = 1 << 2;
    pub const EVENT_LOG_RUNNING: u64 = 1 << 3;
    pub const COMMAND_BUFFER_RUNNING: u64 = 1 << 4;
    /// Cleared by writing one.
    pub const WRITE_ONE_TO_CLEAR: u64 =
        EVENT_OVERFLOW | EVENT_INTERRUPT | COMPLETION_WAIT_INTERRUPT;
}

/// What the model offers: prefetch, no-execute, INVALIDATE_IOMMU_ALL, guest
/// APIC mode (without it Linux ignores the feature words of the IVRS), host
/// accessed and dirty bits. Host address translation size 0: four levels.
pub const FEATURES: u64 = (1 << 0) | (1 << 3) | (1 << 6) | (1 << 7) | HOST_ACCESSED | HOST_DIRTY;

/// Feature: host accessed bits in page tables.
pub const HOST_ACCESSED: u64 = 1 << 49;

/// Feature: host dirty bits in page tables.
pub const HOST_DIRTY: u64 = 1 << 52;

/// The second extended feature register: nothing.
pub const FEATURES_2: u64 = 0;

/// Physical addresses in registers and tables: bits 51:12.
pub const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// Size of an entry of the command buffer and of the event log.
pub const ENTRY_SIZE: u64 = 16;

const POINTER_MASK: u64 = 0x7_fff0;

/// The registers that hold state. Everything else reads as zero.
#[derive(Clone, Debug, Default)]
pub struct Registers {
    /// What the unit offers, of [`FEATURES`].
    pub features: u64,
    pub device_table: u64,
    pub command_base: u64,
    pub event_base: u64,
    pub control: u64,
    pub exclusion_base: u64,
    pub exclusion_limit: u64,
    pub command_head: u64,
    pub command_tail: u64,
    pub event_head: u64,
    pub event_tail: u64,
    /// The write-one-to-clear bits; the running bits are derived.
    pub status: u64,
    /// An error stopped the command buffer; enabling it anew restarts it.
    pub command_halted: bool,
    /// An overflow stopped the event log; enabling it anew restarts it.
    pub event_halted: bool,
}

impl Registers {
    /// The registers after power-on of a unit that offers `features`.
    pub fn new(features: u64) -> Self {
        Self {
            features,
            ..Self::default()
        }
    }

    /// Reads the aligned 8 bytes at `offset`.
    pub fn read(&self, offset: u64) -> u64 {
        match offset {
            offset::DEVICE_TABLE_BASE => self.device_table,
            offset::COMMAND_BASE => self.command_base,
            offset::EVENT_BASE => self.event_base,
            offset::CONTROL => self.control,
            offset::EXCLUSION_BASE => self.exclusion_base,
            offset::EXCLUSION_LIMIT => self.exclusion_limit,
            offset::EXTENDED_FEATURE => self.features,
            offset::EXTENDED_FEATURE_2 => FEATURES_2,
            offset::COMMAND_HEAD => self.command_head,
            offset::COMMAND_TAIL => self.command_tail,
            offset::EVENT_HEAD => self.event_head,
            offset::EVENT_TAIL => self.event_tail,
            offset::STATUS => self.status(),
            _ => 0,
        }
    }

    /// Writes the aligned 8 bytes at `offset`; `mask` has ones where the access
    /// had bytes.
    pub fn write(&mut self, offset: u64, value: u64, mask: u64) {
        let old = self.read(offset);
        let new = old & !mask | value & mask;
        match offset {
            offset::DEVICE_TABLE_BASE => self.device_table = new & (ADDRESS_MASK | 0x1ff),
            // A new ring is an empty one.
            offset::COMMAND_BASE => {
                self.command_base = new & (ADDRESS_MASK | (0xf << 56));
                (self.command_head, self.command_tail) = (0, 0);
            }
            offset::EVENT_BASE => {
                self.event_base = new & (ADDRESS_MASK | (0xf << 56));
                (self.event_head, self.event_tail) = (0, 0);
            }
            offset::CONTROL => self.write_control(new),
            offset::EXCLUSION_BASE => self.exclusion_base = new,
            offset::EXCLUSION_LIMIT => self.exclusion_limit = new,
            offset::COMMAND_HEAD => self.command_head = new & POINTER_MASK,
            offset::COMMAND_TAIL => self.command_tail = new & POINTER_MASK,
            offset::EVENT_HEAD => self.event_head = new & POINTER_MASK,
            offset::EVENT_TAIL => self.event_tail = new & POINTER_MASK,
            offset::STATUS => self.status &= !(value & mask & status::WRITE_ONE_TO_CLEAR),
            _ => {}
        }
    }

    fn write_control(&mut self, new: u64) {
        let risen = new & !self.control;
        if risen & control::COMMAND_BUFFER_ENABLE != 0 {
            self.command_halted = false;
        }
        if risen & control::EVENT_LOG_ENABLE != 0 && self.status & status::EVENT_OVERFLOW == 0 {
            self.event_halted = false;
        }
        self.control = new;
    }

    /// Whether DMA is translated at all.
    pub fn enabled(&self) -> bool {
        self.control & control::IOMMU_ENABLE != 0
    }

    /// Whether commands are fetched.
    pub fn commands_run(&self) -> bool {
        self.enabled()
            && self.control & control::COMMAND_BUFFER_ENABLE != 0
            && !self.command_halted
            && self.command_ring().is_some()
    }

    /// Whether events are logged.
    pub fn events_run(&self) -> bool {
        self.enabled()
            && self.control & control::EVENT_LOG_ENABLE != 0
            && !self.event_halted
            && self.event_ring().is_some()
    }

    fn status(&self) -> u64 {
        let mut status = self.status;
        if self.events_run() {
            status |= status::EVENT_LOG_RUNNING;
        }
        if self.commands_run() {
            status |= status::COMMAND_BUFFER_RUNNING;
        }
        status
    }

    /// Address and size in bytes of the command buffer.
    pub fn command_ring(&self) -> Option<(u64, u64)> {
        ring(self.command_base)
    }

    /// Address and size in bytes of the event log.
    pub fn event_ring(&self) -> Option<(u64, u64)> {
        ring(self.event_base)
    }

    /// Addresses that the device table occupies.
    pub fn device_table(&self) -> Range<u64> {
        let base = self.device_table & ADDRESS_MASK;
        base..base + ((self.device_table & 0x1ff) + 1) * 0x1000
    }
}

/// Decodes a ring's base register. Lengths below 2^8 entries are reserved.
fn ring(base: u64) -> Option<(u64, u64)> {
    let length = (base >> 56) & 0xf;
    (length >= 8).then(|| (base & ADDRESS_MASK, ENTRY_SIZE << length))
}
