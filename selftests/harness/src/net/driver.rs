// SPDX-License-Identifier: GPL-2.0
//! The driver: initialisation, sending, receiving, and changing the function
//! underneath while rings and memory stay.

use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::frame::{Frame, Mac};
use crate::vfio::{Device, DmaBuffer, PAGE};
use crate::virtio::{F_ACCESS_PLATFORM, F_VERSION_1, NO_VECTOR, Part, RING_BYTES, Registers, Ring};
use crate::wait::{self, PATIENCE};

/// MSI-X vector of the receive queue.
pub const RX_VECTOR: u16 = 1;
/// MSI-X vector of the transmit queue.
pub const TX_VECTOR: u16 = 2;
const CONFIG_VECTOR: u16 = 0;

/// Longest frame.
pub const FRAME_LIMIT: usize = 1514;

const NET_HEADER: usize = 12;
const SLOT: usize = 2048;
const RING_SIZE: u16 = 64;

const RX: u16 = 0;
const TX: u16 = 1;
const CONTROL: u16 = 2;

const F_MAC: u64 = 1 << 5;
const F_MRG_RXBUF: u64 = 1 << 15;
const F_CTRL_VQ: u64 = 1 << 17;
const F_CTRL_RX: u64 = 1 << 18;
const F_CTRL_MAC_ADDR: u64 = 1 << 23;
const WANTED: u64 =
    F_MAC | F_MRG_RXBUF | F_CTRL_VQ | F_CTRL_RX | F_CTRL_MAC_ADDR | F_VERSION_1 | F_ACCESS_PLATFORM;

const CTRL_MAC: u8 = 1;
const CTRL_MAC_TABLE_SET: u8 = 0;
const CTRL_MAC_ADDR_SET: u8 = 1;

// Where things are in the driver's memory.
const RX_RING: usize = 0;
const TX_RING: usize = RX_RING + RING_BYTES;
const CONTROL_RING: usize = TX_RING + RING_BYTES;
const CONTROL_BUFFER: usize = CONTROL_RING + RING_BYTES;
const RX_BUFFERS: usize = CONTROL_BUFFER + PAGE;
const TX_BUFFERS: usize = RX_BUFFERS + SLOT * RING_SIZE as usize;
const END: usize = TX_BUFFERS + SLOT * RING_SIZE as usize;

/// A running virtio-net driver.
pub struct NetDriver {
    registers: Registers,
    memory: Rc<DmaBuffer>,
    rx: Ring,
    tx: Ring,
    control: Option<Ring>,
    /// Transmit slots the device has given back.
    free: Vec<u16>,
    mac: Mac,
}

impl NetDriver {
    /// Bytes of memory it needs.
    pub const MEMORY: usize = END;

    /// Starts `device`, whose address space `memory` is mapped in already.
    pub fn start(device: &Device, memory: Rc<DmaBuffer>) -> Result<Self> {
        ensure!(
            memory.len() >= Self::MEMORY,
            "too little memory for the driver"
        );
        let mut driver = Self {
            rx: Ring::new(&memory, RX_RING, RING_SIZE, 1),
            tx: Ring::new(&memory, TX_RING, RING_SIZE, 1),
            control: None,
            free: (0..RING_SIZE).collect(),
            mac: [0; 6],
            registers: Registers::of(device)?,
            memory,
        };
        driver.initialize()?;
        Ok(driver)
    }

    fn initialize(&mut self) -> Result<()> {
        let features = self.registers.negotiate(WANTED)?;
        self.registers.device_config(&mut self.mac)?;
        self.registers.set_config_vector(CONFIG_VECTOR);
        self.registers
            .set_up_queue(RX, &self.rx, &self.memory, RX_VECTOR)?;
        self.registers
            .set_up_queue(TX, &self.tx, &self.memory, TX_VECTOR)?;
        if features & F_CTRL_VQ != 0 {
            let ring = Ring::new(&self.memory, CONTROL_RING, RING_SIZE, 4);
            self.registers
                .set_up_queue(CONTROL, &ring, &self.memory, NO_VECTOR)?;
            self.control = Some(ring);
        }
        self.registers.drive();
        for slot in 0..self.rx.slots() {
            self.post_receive(slot);
        }
        self.notify(RX);
        Ok(())
    }

    /// Goes on with another function, to which the first one's state was moved.
    pub fn move_to(&mut self, device: &Device) -> Result<()> {
        self.registers.move_to(device)?;
        // What was made available in between has been announced to nobody.
        self.notify(RX);
        self.notify(TX);
        Ok(())
    }

    /// The hardware address it receives under.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Changes the hardware address, if the device lets it.
    pub fn set_mac(&mut self, mac: Mac) -> Result<bool> {
        let changed = self.configure(CTRL_MAC, CTRL_MAC_ADDR_SET, &mac)?;
        if changed {
            self.mac = mac;
        }
        Ok(changed)
    }

    /// Sets the addresses to receive beside its own, if the device lets it.
    pub fn set_mac_table(&mut self, unicast: &[Mac]) -> Result<bool> {
        let mut tables = (unicast.len() as u32).to_le_bytes().to_vec();
        tables.extend(unicast.as_flattened());
        // No multicast addresses.
        tables.extend(0_u32.to_le_bytes());
        self.configure(CTRL_MAC, CTRL_MAC_TABLE_SET, &tables)
    }

    /// A command on the control queue; false if there is none.
    fn configure(&mut self, class: u8, command: u8, data: &[u8]) -> Result<bool> {
        let Some(mut ring) = self.control.take() else {
            return Ok(false);
        };
        let accepted = self.command(&mut ring, class, command, data);
        self.control = Some(ring);
        ensure!(
            accepted?,
            "the device refused control command {class}.{command}"
        );
        Ok(true)
    }

    fn command(&mut self, ring: &mut Ring, class: u8, command: u8, data: &[u8]) -> Result<bool> {
        const DATA: usize = CONTROL_BUFFER + 64;
        const ACK: usize = CONTROL_BUFFER + 1024;
        self.memory.store(CONTROL_BUFFER, &[class, command]);
        self.memory.store(DATA, data);
        self.memory.write(ACK, 0xff_u8);
        let part = |at: usize, length: usize, writable| Part {
            address: self.memory.iova() + at as u64,
            length: length as u32,
            writable,
        };
        let parts = [
            part(CONTROL_BUFFER, 2, false),
            part(DATA, data.len(), false),
            part(ACK, 1, true),
        ];
        ring.post(&self.memory, 0, &parts);
        self.notify(CONTROL);
        wait::until("the control queue", PATIENCE, || {
            ring.complete(&self.memory)
        })?;
        Ok(self.memory.read::<u8>(ACK) == 0)
    }

    /// Sends frame `number` to `to`; waits for room in the ring.
    pub fn send(&mut self, to: Mac, number: u64) -> Result<()> {
        let slot = wait::until("room in the transmit ring", PATIENCE, || {
            self.reap()?;
            Ok(self.free.pop())
        })?;
        self.post_send(slot, to, number);
        self.notify(TX);
        Ok(())
    }

    /// Puts a frame into the ring without telling the device.
    pub fn enqueue(&mut self, to: Mac, number: u64) -> Result<()> {
        self.reap()?;
        let slot = self.free.pop().context("the transmit ring is full")?;
        self.post_send(slot, to, number);
        Ok(())
    }

    fn post_send(&mut self, slot: u16, to: Mac, number: u64) {
        let at = TX_BUFFERS + SLOT * usize::from(slot);
        let frame = Frame {
            to,
            from: self.mac,
            number,
        };
        let bytes = frame.bytes();
        self.memory.store(at, &[0; NET_HEADER]);
        self.memory.store(at + NET_HEADER, &bytes);
        let part = Part {
            address: self.memory.iova() + at as u64,
            length: (NET_HEADER + bytes.len()) as u32,
            writable: false,
        };
        self.tx.post(&self.memory, slot, &[part]);
    }

    fn reap(&mut self) -> Result<()> {
        while let Some((slot, _)) = self.tx.complete(&self.memory)? {
            self.free.push(slot);
        }
        Ok(())
    }

    /// Waits until the device has taken everything that was sent.
    pub fn drain(&mut self) -> Result<()> {
        wait::until("the transmit ring to drain", PATIENCE, || {
            self.reap()?;
            Ok((self.tx.outstanding() == 0).then_some(()))
        })
    }

    /// The next numbered frame that came for us, if there is one.
    pub fn receive(&mut self) -> Result<Option<Frame>> {
        while let Some((slot, length)) = self.rx.complete(&self.memory)? {
            let length = length as usize;
            if !(NET_HEADER..=SLOT).contains(&length) {
                bail!("a received frame of {length} bytes with its header");
            }
            let mut bytes = vec![0; length - NET_HEADER];
            self.memory.load(
                RX_BUFFERS + SLOT * usize::from(slot) + NET_HEADER,
                &mut bytes,
            );
            self.post_receive(slot);
            self.notify(RX);
            if let Some(frame) = Frame::parse(&bytes)?.filter(|frame| frame.to == self.mac) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn post_receive(&mut self, slot: u16) {
        let part = Part {
            address: self.memory.iova() + (RX_BUFFERS + SLOT * usize::from(slot)) as u64,
            length: SLOT as u32,
            writable: true,
        };
        self.rx.post(&self.memory, slot, &[part]);
    }

    fn notify(&self, queue: u16) {
        self.registers.notify(queue);
    }

    /// Device status register.
    pub fn status(&self) -> u8 {
        self.registers.status()
    }
}
