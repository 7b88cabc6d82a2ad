// SPDX-License-Identifier: GPL-2.0
//! The driver: requests on one queue, several at a time, and changing the
//! function underneath while ring and memory stay.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::pattern::SECTOR;
use crate::vfio::{Device, DmaBuffer, PAGE};
use crate::virtio::{F_ACCESS_PLATFORM, F_VERSION_1, Part, RING_BYTES, Registers, Ring};
use crate::wait::{self, PATIENCE};

/// MSI-X vector of the request queue.
pub const REQUEST_VECTOR: u16 = 1;
const CONFIG_VECTOR: u16 = 0;

/// Sectors of one request at most.
pub const SECTORS_LIMIT: usize = PAGE / SECTOR;

const REQUESTS: u16 = 0;
const RING_SIZE: u16 = 64;
/// Header, data, status.
const PARTS: u16 = 3;

const F_FLUSH: u64 = 1 << 9;

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;

const HEADER: usize = 16;
const STATUS_OK: u8 = 0;
/// What the status is before the device has written it.
const STATUS_NONE: u8 = 0xff;

// Where things are in the driver's memory. Each slot has a page for its data and,
// in the last page, a header and a status.
const RING: usize = 0;
const DATA: usize = RING + RING_BYTES;
const SLOTS: usize = (RING_SIZE / PARTS) as usize;
const HEADERS: usize = DATA + SLOTS * PAGE;
const HEADER_STRIDE: usize = 64;
const STATUS: usize = 32;
const END: usize = HEADERS + PAGE;

/// A running virtio-blk driver.
pub struct BlkDriver {
    registers: Registers,
    memory: Rc<DmaBuffer>,
    ring: Ring,
    /// Slots that the device has given back.
    free: Vec<u16>,
    sectors: u64,
}

impl BlkDriver {
    /// Bytes of memory it needs.
    pub const MEMORY: usize = END;

    /// Starts `device`, whose address space `memory` is mapped in already.
    pub fn start(device: &Device, memory: Rc<DmaBuffer>) -> Result<Self> {
        ensure!(
            memory.len() >= Self::MEMORY,
            "too little memory for the driver"
        );
        let registers = Registers::of(device)?;
        let features = registers.negotiate(F_FLUSH | F_VERSION_1 | F_ACCESS_PLATFORM)?;
        ensure!(features & F_FLUSH != 0, "the device knows no flush");
        registers.set_config_vector(CONFIG_VECTOR);
        let ring = Ring::new(&memory, RING, RING_SIZE, PARTS);
        registers.set_up_queue(REQUESTS, &ring, &memory, REQUEST_VECTOR)?;
        registers.drive();
        let sectors = capacity(&registers)?;
        Ok(Self {
            registers,
            memory,
            free: (0..ring.slots()).collect(),
            ring,
            sectors,
        })
    }

    /// Sectors of the disk.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Notes how many sectors the disk has now.
    pub fn look_at_capacity(&mut self) -> Result<()> {
        self.sectors = capacity(&self.registers)?;
        Ok(())
    }

    /// Requests that can be under way at a time.
    pub fn depth(&self) -> usize {
        self.ring.slots().into()
    }

    /// Goes on with another function, to which the first one's state was moved.
    pub fn move_to(&mut self, device: &Device) -> Result<()> {
        self.registers.move_to(device)?;
        ensure!(
            capacity(&self.registers)? == self.sectors,
            "the two disks differ in size"
        );
        // What was made available in between has been announced to nobody.
        self.announce();
        Ok(())
    }

    /// Begins to write, without telling the device.
    pub fn enqueue_write(&mut self, sector: u64, data: &[u8]) -> Result<()> {
        let slot = self.free.pop().context("the ring is full")?;
        self.memory.store(data_of(slot), data);
        self.post(slot, OUT, sector, data.len());
        Ok(())
    }

    /// Tells the device of what was enqueued.
    pub fn announce(&self) {
        self.registers.notify(REQUESTS);
    }

    /// Requests that the device has not completed. Those that it has must have
    /// gone well.
    pub fn outstanding(&mut self) -> Result<u16> {
        while let Some((slot, length)) = self.ring.complete(&self.memory)? {
            ensure!(length >= 1, "a request was completed without a status");
            let status: u8 = self.memory.read(header_of(slot) + STATUS);
            ensure!(status == STATUS_OK, "a request ended with status {status}");
            self.free.push(slot);
        }
        Ok(self.ring.outstanding())
    }

    /// Waits until the device has completed everything.
    pub fn settle(&mut self) -> Result<()> {
        wait::until("requests to complete", PATIENCE, || {
            Ok((self.outstanding()? == 0).then_some(()))
        })
    }

    /// Reads up to [`SECTORS_LIMIT`] sectors.
    pub fn read(&mut self, sector: u64, sectors: usize) -> Result<Vec<u8>> {
        let slot = self.free.pop().context("the ring is full")?;
        // What the device leaves out cannot look right.
        let mut data = vec![0xee; sectors * SECTOR];
        self.memory.store(data_of(slot), &data);
        self.post(slot, IN, sector, data.len());
        self.announce();
        self.settle()?;
        self.memory.load(data_of(slot), &mut data);
        Ok(data)
    }

    /// Waits until all that was written is safe.
    pub fn flush(&mut self) -> Result<()> {
        let slot = self.free.pop().context("the ring is full")?;
        self.post(slot, FLUSH, 0, 0);
        self.announce();
        self.settle()
    }

    fn post(&mut self, slot: u16, kind: u32, sector: u64, length: usize) {
        assert!(length <= PAGE && length % SECTOR == 0, "{length} bytes");
        let header = header_of(slot);
        self.memory.write::<u32>(header, kind);
        self.memory.write::<u32>(header + 4, 0);
        self.memory.write::<u64>(header + 8, sector);
        self.memory.write::<u8>(header + STATUS, STATUS_NONE);
        let part = |at: usize, length: usize, writable| Part {
            address: self.memory.iova() + at as u64,
            length: length as u32,
            writable,
        };
        let mut parts = vec![part(header, HEADER, false)];
        if length > 0 {
            parts.push(part(data_of(slot), length, kind == IN));
        }
        parts.push(part(header + STATUS, 1, true));
        self.ring.post(&self.memory, slot, &parts);
    }
}

fn capacity(registers: &Registers) -> Result<u64> {
    let mut sectors = [0; 8];
    registers.device_config(&mut sectors)?;
    Ok(u64::from_le_bytes(sectors))
}

fn data_of(slot: u16) -> usize {
    DATA + usize::from(slot) * PAGE
}

fn header_of(slot: u16) -> usize {
    HEADERS + usize::from(slot) * HEADER_STRIDE
}
