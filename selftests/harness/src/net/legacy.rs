// SPDX-License-Identifier: GPL-2.0
//! A driver from before virtio 1.0: it knows the registers in the I/O BAR of a
//! transitional device, and nothing else. Numbers are from the virtio
//! specification, "Legacy Interfaces: A Note on PCI Device Layout".

use std::os::unix::fs::FileExt;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;

use super::driver::{FRAME_LIMIT, RX_VECTOR, TX_VECTOR};
use super::frame::{Frame, Mac};
use crate::pci::COMMAND;
use crate::vfio::{BAR0, CONFIG, Device, DmaBuffer, PAGE};
use crate::virtio::{Part, RING_BYTES, Ring};
use crate::wait::{self, PATIENCE};

/// Offsets of the registers.
pub mod register {
    pub const DEVICE_FEATURES: u64 = 0;
    pub const DRIVER_FEATURES: u64 = 4;
    pub const QUEUE_ADDRESS: u64 = 8;
    pub const QUEUE_SIZE: u64 = 12;
    pub const QUEUE_SELECT: u64 = 14;
    pub const QUEUE_NOTIFY: u64 = 16;
    pub const DEVICE_STATUS: u64 = 18;
    pub const ISR_STATUS: u64 = 19;
    /// Only while MSI-X is enabled.
    pub const CONFIG_VECTOR: u64 = 20;
    pub const QUEUE_VECTOR: u64 = 22;
    /// The device configuration, without and with MSI-X.
    pub const CONFIG: u64 = 20;
    pub const CONFIG_MSIX: u64 = 24;
}

const F_MAC: u32 = 1 << 5;
const F_MRG_RXBUF: u32 = 1 << 15;

const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;

const COMMAND_IO: u16 = 1;
const COMMAND_MASTER: u16 = 4;

const RX: u16 = 0;
const TX: u16 = 1;

/// Buffers in use of each queue.
const SLOTS: u16 = 32;
/// A header, alone in its buffer as legacy devices want it, and a frame.
const SLOT: usize = 2048;
const FRAME_AT: usize = 64;

const RX_RING: usize = 0;
const TX_RING: usize = RX_RING + RING_BYTES;
const RX_BUFFERS: usize = TX_RING + RING_BYTES;
const TX_BUFFERS: usize = RX_BUFFERS + SLOT * SLOTS as usize;
const END: usize = TX_BUFFERS + SLOT * SLOTS as usize;

/// The I/O BAR of an open device: accesses of 1, 2 or 4 bytes, or any other
/// number to see what happens.
#[derive(Clone, Copy)]
pub struct Io<'a>(pub &'a Device);

impl Io<'_> {
    /// Lets the BAR answer, and the device do DMA.
    pub fn enable(&self) -> Result<()> {
        let mut command = [0; 2];
        self.0.config(COMMAND, &mut command)?;
        let command = u16::from_le_bytes(command) | COMMAND_IO | COMMAND_MASTER;
        self.0.write_region(CONFIG, COMMAND, &command.to_le_bytes())
    }

    /// Reads as many bytes as fit `out`.
    pub fn read(&self, at: u64, out: &mut [u8]) -> Result<usize, Errno> {
        let base = self.0.region(BAR0)?.offset;
        self.0.file().read_at(out, base + at).map_err(errno)
    }

    /// Writes `bytes` at once.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let base = self.0.region(BAR0)?.offset;
        self.0.file().write_at(bytes, base + at).map_err(errno)
    }

    /// Reads a register of `N` bytes.
    pub fn get<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut out = [0; N];
        let length = self
            .read(at, &mut out)
            .with_context(|| format!("reading {N} bytes at {at} of the I/O BAR"))?;
        ensure!(length == N, "{length} bytes instead of {N} at {at}");
        Ok(out)
    }

    /// Writes a register.
    pub fn set(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let length = self
            .write(at, bytes)
            .with_context(|| format!("writing {bytes:x?} at {at} of the I/O BAR"))?;
        ensure!(length == bytes.len(), "{length} bytes written at {at}");
        Ok(())
    }

    /// A register of 8 bits.
    pub fn get8(&self, at: u64) -> Result<u8> {
        Ok(self.get::<1>(at)?[0])
    }

    /// A register of 16 bits.
    pub fn get16(&self, at: u64) -> Result<u16> {
        Ok(u16::from_le_bytes(self.get(at)?))
    }

    /// A register of 32 bits.
    pub fn get32(&self, at: u64) -> Result<u32> {
        Ok(u32::from_le_bytes(self.get(at)?))
    }
}

fn errno(error: std::io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::UnknownErrno, Errno::from_raw)
}

/// A running legacy virtio-net driver.
pub struct LegacyDriver<'a> {
    io: Io<'a>,
    memory: Rc<DmaBuffer>,
    rx: Ring,
    tx: Ring,
    free: Vec<u16>,
    header: usize,
    mac: Mac,
}

impl<'a> LegacyDriver<'a> {
    /// Bytes of memory it needs.
    pub const MEMORY: usize = END;

    /// Starts `device`, whose address space `memory` is mapped in already. With
    /// `msix`, which says whether MSI-X is enabled, each queue gets a vector; with
    /// `merge` the driver takes mergeable buffers, whose header is longer.
    pub fn start(
        device: &'a Device,
        memory: Rc<DmaBuffer>,
        msix: bool,
        merge: bool,
    ) -> Result<Self> {
        ensure!(
            memory.len() >= Self::MEMORY && memory.iova() % PAGE as u64 == 0,
            "unfit memory for the driver"
        );
        let io = Io(device);
        io.enable()?;
        io.set(register::DEVICE_STATUS, &[0])?;
        io.set(register::DEVICE_STATUS, &[ACKNOWLEDGE])?;
        io.set(register::DEVICE_STATUS, &[ACKNOWLEDGE | DRIVER])?;
        let wanted = F_MAC | if merge { F_MRG_RXBUF } else { 0 };
        let features = io.get32(register::DEVICE_FEATURES)? & wanted;
        ensure!(features == wanted, "the device offers {features:#x} only");
        io.set(register::DRIVER_FEATURES, &features.to_le_bytes())?;
        let config = if msix {
            register::CONFIG_MSIX
        } else {
            register::CONFIG
        };
        let mut mac = [0; 6];
        for (at, byte) in (config..).zip(&mut mac) {
            *byte = io.get8(at)?;
        }
        let queue = |number: u16, place: usize, vector: u16| -> Result<Ring> {
            io.set(register::QUEUE_SELECT, &number.to_le_bytes())?;
            let size = io.get16(register::QUEUE_SIZE)?;
            ensure!(size >= 2 * SLOTS, "queue {number} has size {size}");
            let ring = Ring::legacy(&memory, place, size, 2);
            if msix {
                io.set(register::QUEUE_VECTOR, &vector.to_le_bytes())?;
                let taken = io.get16(register::QUEUE_VECTOR)?;
                ensure!(taken == vector, "queue {number} has vector {taken:#x}");
            }
            let page = ring.addresses(&memory)[0] / PAGE as u64;
            let page = u32::try_from(page).context("memory beyond the reach of a legacy driver")?;
            io.set(register::QUEUE_ADDRESS, &page.to_le_bytes())?;
            let placed = io.get32(register::QUEUE_ADDRESS)?;
            ensure!(placed == page, "queue {number} is at page {placed:#x}");
            Ok(ring)
        };
        let mut driver = Self {
            rx: queue(RX, RX_RING, RX_VECTOR)?,
            tx: queue(TX, TX_RING, TX_VECTOR)?,
            free: (0..SLOTS).collect(),
            header: if merge { 12 } else { 10 },
            io,
            memory,
            mac,
        };
        io.set(register::DEVICE_STATUS, &[ACKNOWLEDGE | DRIVER | DRIVER_OK])?;
        for slot in 0..SLOTS {
            driver.post_receive(slot);
        }
        driver.notify(RX)?;
        Ok(driver)
    }

    /// Goes on with another function, to which the first one's state was moved.
    pub fn move_to(&mut self, device: &'a Device) -> Result<()> {
        self.io = Io(device);
        self.io.enable()?;
        self.notify(RX)?;
        self.notify(TX)
    }

    /// The hardware address it receives under.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    fn notify(&self, queue: u16) -> Result<()> {
        self.io.set(register::QUEUE_NOTIFY, &queue.to_le_bytes())
    }

    /// Two buffers in `slot`: the header and the frame.
    fn parts(&self, buffers: usize, slot: u16, length: usize, writable: bool) -> [Part; 2] {
        let at = self.memory.iova() + (buffers + SLOT * usize::from(slot)) as u64;
        [(at, self.header), (at + FRAME_AT as u64, length)].map(|(address, length)| Part {
            address,
            length: length as u32,
            writable,
        })
    }

    fn post_receive(&mut self, slot: u16) {
        let parts = self.parts(RX_BUFFERS, slot, FRAME_LIMIT, true);
        self.rx.post(&self.memory, slot, &parts);
    }

    /// Sends frame `number` to `to`; waits for room in the ring.
    pub fn send(&mut self, to: Mac, number: u64) -> Result<()> {
        let slot = wait::until("room in the transmit ring", PATIENCE, || {
            while let Some((slot, _)) = self.tx.complete(&self.memory)? {
                self.free.push(slot);
            }
            Ok(self.free.pop())
        })?;
        let frame = Frame {
            to,
            from: self.mac,
            number,
        };
        let (at, bytes) = (TX_BUFFERS + SLOT * usize::from(slot), frame.bytes());
        self.memory.store(at, &vec![0; self.header]);
        self.memory.store(at + FRAME_AT, &bytes);
        let parts = self.parts(TX_BUFFERS, slot, bytes.len(), false);
        self.tx.post(&self.memory, slot, &parts);
        self.notify(TX)
    }

    /// The next numbered frame that came for us, if there is one.
    pub fn receive(&mut self) -> Result<Option<Frame>> {
        while let Some((slot, length)) = self.rx.complete(&self.memory)? {
            let length = length as usize;
            if !(self.header..=self.header + FRAME_LIMIT).contains(&length) {
                bail!("a received frame of {length} bytes with its header");
            }
            let mut bytes = vec![0; length - self.header];
            let at = RX_BUFFERS + SLOT * usize::from(slot) + FRAME_AT;
            self.memory.load(at, &mut bytes);
            self.post_receive(slot);
            self.notify(RX)?;
            if let Some(frame) = Frame::parse(&bytes)?.filter(|frame| frame.to == self.mac) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}
