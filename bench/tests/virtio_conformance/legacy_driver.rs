// SPDX-License-Identifier: GPL-2.0
//! A legacy driver of a VF whose registers are reached through the PF.

use crate::driver::{Command, Driver, DriverQueue, Reply};
use crate::rig::Rig;
use crate::wire::*;

/// A page, in which 4.1.5.1.3 counts queue addresses.
pub const PAGE: u64 = 4096;

/// The driver, with the PF that it needs.
pub struct LegacyDriver<'a> {
    pub pf: Driver<'a>,
    /// Rings and buffers are handled as by any driver.
    pub vf: Driver<'a>,
    pub number: u64,
}

impl<'a> LegacyDriver<'a> {
    /// A driver of VF `number` that has done nothing yet.
    pub fn new(rig: &'a Rig, number: usize) -> Self {
        let mut pf = Driver::up(rig, 0, 0);
        pf.linux_admin_setup();
        let list = LINUX_TRANSITIONAL_LIST.to_le_bytes();
        pf.admin_ok(&Command::new(CMD_LIST_USE, GROUP_SRIOV, 0, &list));
        Self {
            pf,
            vf: Driver::new(rig, number),
            number: number as u64,
        }
    }

    pub fn read(&mut self, opcode: u16, offset: u8, len: u32) -> Reply {
        self.pf
            .admin(&Command::vf(opcode, self.number, &[offset]), len)
    }

    pub fn write(&mut self, opcode: u16, offset: u8, value: &[u8]) -> (u16, u16) {
        let mut data = vec![offset, 0, 0, 0, 0, 0, 0, 0];
        data.extend(value);
        let reply = self.pf.admin(&Command::vf(opcode, self.number, &data), 0);
        assert!(reply.result.is_empty());
        reply.code
    }

    /// Reads a register of the common configuration.
    pub fn get<const N: usize>(&mut self, offset: u8) -> [u8; N] {
        let reply = self.read(CMD_LEGACY_COMMON_CFG_READ, offset, N as u32);
        assert_eq!(reply.code, S_OK);
        reply.result.try_into().expect("as much as was asked for")
    }

    pub fn get32(&mut self, offset: u8) -> u32 {
        u32::from_le_bytes(self.get(offset))
    }

    pub fn get16(&mut self, offset: u8) -> u16 {
        u16::from_le_bytes(self.get(offset))
    }

    pub fn get8(&mut self, offset: u8) -> u8 {
        self.get::<1>(offset)[0]
    }

    /// Writes a register of the common configuration.
    pub fn set(&mut self, offset: u8, value: &[u8]) {
        let code = self.write(CMD_LEGACY_COMMON_CFG_WRITE, offset, value);
        assert_eq!(code, S_OK, "register {offset}");
    }

    pub fn set16(&mut self, offset: u8, value: u16) {
        self.set(offset, &value.to_le_bytes());
    }

    /// Brings the device up with `features`: queues of the device's size, in
    /// consecutive pages, used ring on a page boundary.
    pub fn start(&mut self, features: u32) {
        self.set(LEGACY_DEVICE_STATUS, &[0]);
        self.set(LEGACY_DEVICE_STATUS, &[ACKNOWLEDGE]);
        self.set(LEGACY_DEVICE_STATUS, &[ACKNOWLEDGE | DRIVER]);
        self.set(LEGACY_DRIVER_FEATURES, &features.to_le_bytes());
        self.vf.features = features.into();
        self.set16(LEGACY_CONFIG_VECTOR, 0);
        self.vf.queues.clear();
        for index in 0.. {
            self.set16(LEGACY_QUEUE_SELECT, index);
            let size = self.get16(LEGACY_QUEUE_SIZE);
            if size == 0 {
                break;
            }
            let queue = self.place(size);
            self.set16(LEGACY_QUEUE_VECTOR, index + 1);
            assert_eq!(self.get16(LEGACY_QUEUE_VECTOR), index + 1);
            let page = (queue.desc / PAGE) as u32;
            self.set(LEGACY_QUEUE_ADDRESS, &page.to_le_bytes());
            assert_eq!(self.get32(LEGACY_QUEUE_ADDRESS), page);
            self.vf.queues.push(queue);
        }
        self.set(LEGACY_DEVICE_STATUS, &[ACKNOWLEDGE | DRIVER | DRIVER_OK]);
    }

    /// Memory for a queue, laid out as 2.7.2 has it for legacy drivers.
    fn place(&mut self, size: u16) -> DriverQueue {
        let count = u64::from(size);
        let first = 16 * count + 2 * (3 + count);
        let used = first.div_ceil(PAGE) * PAGE;
        let whole = used + 6 + 8 * count;
        let desc = self.vf.alloc(whole);
        let zeroes = vec![0; whole as usize];
        self.vf.rig.write(desc, &zeroes);
        DriverQueue {
            size,
            desc,
            avail: desc + 16 * count,
            used: desc + used,
            next_desc: 0,
            avail_idx: 0,
            last_used: 0,
        }
    }

    /// Where the VF wants to be notified: BAR and offset.
    pub fn notify_address(&mut self) -> (u8, u64) {
        let reply = self.pf.admin(
            &Command::vf(CMD_LEGACY_NOTIFY_INFO, self.number, &[]),
            4 * 16,
        );
        assert_eq!(reply.code, S_OK);
        let entries: Vec<&[u8]> = reply.result.chunks(16).collect();
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[3][0], 0, "the last entry is the end");
        let member = entries
            .iter()
            .take_while(|entry| entry[0] != 0)
            .find(|entry| entry[0] == 2)
            .expect("an address in the VF");
        let offset = u64::from_le_bytes(member[8..].try_into().expect("eight bytes"));
        (member[1], offset)
    }

    /// Notifies the device of a queue at that address.
    pub fn kick(&mut self, queue: u16) {
        let (_, offset) = self.notify_address();
        self.vf.function.write_bar(offset, &queue.to_le_bytes());
    }

    /// Length of the header in front of a frame (5.1.6.1).
    pub fn header(&self) -> usize {
        if self.vf.features & F_MRG_RXBUF != 0 {
            12
        } else {
            10
        }
    }

    /// Sends a frame, header and frame in buffers of their own.
    pub fn send(&mut self, frame: &[u8]) {
        let header = vec![0; self.header()];
        let (head, _) = self.vf.add(1, &[&header, frame], &[]);
        self.kick(1);
        assert_eq!(self.vf.used(1), Some((head, 0)));
    }

    /// Makes a receive buffer available, with a header of its own.
    pub fn offer(&mut self) -> (u16, Vec<u64>) {
        let header = self.header() as u32;
        let offered = self.vf.add(0, &[], &[header, 2048]);
        self.kick(0);
        offered
    }

    /// Takes the frame in a buffer that was offered.
    pub fn take(&mut self, offered: &(u16, Vec<u64>)) -> Option<Vec<u8>> {
        let (head, len) = self.vf.used(0)?;
        assert_eq!(head, offered.0);
        Some(self.vf.rig.read(offered.1[1], len as usize - self.header()))
    }
}
