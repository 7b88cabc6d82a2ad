// SPDX-License-Identifier: GPL-2.0
//! 4096 bytes of configuration space with a write mask and two capability chains.

/// Bytes of a function's configuration space.
pub const SIZE: usize = 4096;

/// Where extended capabilities begin.
const EXTENDED: usize = 0x100;

/// Registers of the common header, by their names in the specification.
pub mod register {
    pub const VENDOR: usize = 0x00;
    pub const DEVICE: usize = 0x02;
    pub const COMMAND: usize = 0x04;
    pub const STATUS: usize = 0x06;
    pub const REVISION: usize = 0x08;
    pub const BAR0: usize = 0x10;
    pub const SUBSYSTEM_VENDOR: usize = 0x2c;
    pub const SUBSYSTEM: usize = 0x2e;
    pub const CAPABILITIES: usize = 0x34;
}

/// COMMAND bits.
pub mod command {
    pub const MEMORY: u16 = 1 << 1;
    pub const BUS_MASTER: u16 = 1 << 2;
}

/// The capabilities do not fit into configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("capabilities do not fit into configuration space")]
pub struct NoRoom;

/// A configuration space.
#[derive(Clone, Debug)]
pub struct ConfigSpace {
    bytes: Box<[u8; SIZE]>,
    writable: Box<[u8; SIZE]>,
    /// End of the last capability in each chain, and where its link is.
    next_free: usize,
    last_link: usize,
    last_extended: Option<usize>,
    next_extended: usize,
}

impl ConfigSpace {
    /// A type 0 header without capabilities.
    pub fn new(vendor: u16, device: u16, class: u32, revision: u8) -> Self {
        let mut space = Self {
            bytes: Box::new([0; SIZE]),
            writable: Box::new([0; SIZE]),
            next_free: 0x40,
            last_link: register::CAPABILITIES,
            last_extended: None,
            next_extended: EXTENDED,
        };
        space.set_u16(register::VENDOR, vendor);
        space.set_u16(register::DEVICE, device);
        space.set_u32(register::REVISION, (class << 8) | u32::from(revision));
        // Memory, bus master, parity, SERR, INTx disable.
        space.allow_u16(register::COMMAND, 0x0546);
        // Cache line size and interrupt line are software's to remember things in.
        space.allow(0x0c, &[0xff]);
        space.allow(0x3c, &[0xff]);
        space
    }

    /// Appends a capability: `body` is what follows id and next pointer.
    /// Returns where it begins.
    pub fn add_capability(&mut self, id: u8, body: &[u8]) -> Result<usize, NoRoom> {
        let start = self.next_free;
        let end = start + 2 + body.len();
        if end > EXTENDED {
            return Err(NoRoom);
        }
        self.bytes[start] = id;
        self.bytes[start + 2..end].copy_from_slice(body);
        // `start` is below EXTENDED, so it fits a byte.
        self.bytes[self.last_link] = start as u8;
        self.bytes[register::STATUS] |= 0x10;
        self.last_link = start + 1;
        self.next_free = end.next_multiple_of(4);
        Ok(start)
    }

    /// Appends an extended capability: `body` is what follows the header.
    pub fn add_extended(&mut self, id: u16, version: u8, body: &[u8]) -> Result<usize, NoRoom> {
        let start = self.next_extended;
        let end = start + 4 + body.len();
        if end > SIZE {
            return Err(NoRoom);
        }
        self.set_u32(start, u32::from(id) | (u32::from(version) << 16));
        self.bytes[start + 4..end].copy_from_slice(body);
        if let Some(previous) = self.last_extended {
            let header = self.u32(previous) | ((start as u32) << 20);
            self.set_u32(previous, header);
        }
        self.last_extended = Some(start);
        self.next_extended = end.next_multiple_of(16);
        Ok(start)
    }

    /// A read by the guest. Beyond the end there are zeros.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        for (position, byte) in data.iter_mut().enumerate() {
            let at = usize::try_from(offset)
                .ok()
                .and_then(|o| o.checked_add(position));
            *byte = at.and_then(|at| self.bytes.get(at)).copied().unwrap_or(0);
        }
    }

    /// A write by the guest: changes what it may change.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let Ok(offset) = usize::try_from(offset) else {
            return;
        };
        for (at, new) in (offset..SIZE).zip(data) {
            let mask = self.writable[at];
            self.bytes[at] = self.bytes[at] & !mask | new & mask;
        }
    }

    /// Lets the guest write the bits of `mask` at `at`.
    pub fn allow(&mut self, at: usize, mask: &[u8]) {
        self.writable[at..at + mask.len()].copy_from_slice(mask);
    }

    /// The same for a 16-bit register.
    pub fn allow_u16(&mut self, at: usize, mask: u16) {
        self.allow(at, &mask.to_le_bytes());
    }

    /// The same for a 32-bit register.
    pub fn allow_u32(&mut self, at: usize, mask: u32) {
        self.allow(at, &mask.to_le_bytes());
    }

    /// The 16-bit register at `at`.
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// The 32-bit register at `at`.
    pub fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | (u32::from(self.u16(at + 2)) << 16)
    }

    /// Sets the 16-bit register at `at`, whatever the guest may do.
    pub fn set_u16(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    /// Sets the 32-bit register at `at`, whatever the guest may do.
    pub fn set_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}
