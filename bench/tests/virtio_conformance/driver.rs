// SPDX-License-Identifier: GPL-2.0
//! A driver, byte by byte.

use std::sync::Arc;

use vfio_bench::function::Function;
use vfio_bench::testing::FlatPort;

use crate::rig::{DRIVER_MEMORY, Rig};
use crate::wire::*;

/// Where a capability points.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    pub common: u64,
    pub notify: u64,
    pub notify_multiplier: u64,
    pub isr: u64,
    pub device: u64,
    pub page_writer: u64,
}

fn le32(data: &[u8], at: usize) -> u64 {
    u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes")).into()
}

impl Places {
    /// Reads the capabilities as a driver would, from `cap_len` on.
    pub fn find(function: &dyn Function) -> Self {
        let mut places = Self::default();
        for cap in function.vendor_capabilities() {
            // Offsets in the capability are two less here: it starts at cap_len.
            assert_eq!(usize::from(cap[0]), cap.len() + 2, "cap_len");
            let offset = || le32(&cap, 6);
            match cap[1] {
                CAP_PCI_CFG => assert_eq!(cap.len(), 18),
                CAP_COMMON => places.common = offset(),
                CAP_NOTIFY => {
                    places.notify = offset();
                    places.notify_multiplier = le32(&cap, 14);
                }
                CAP_ISR => places.isr = offset(),
                CAP_DEVICE => places.device = offset(),
                CAP_VENDOR => places.page_writer = offset(),
                other => panic!("capability of unknown type {other}"),
            }
        }
        places
    }
}

/// The driver's half of a split ring.
#[derive(Clone, Debug)]
pub struct DriverQueue {
    pub size: u16,
    pub desc: u64,
    pub avail: u64,
    pub used: u64,
    pub next_desc: u16,
    pub avail_idx: u16,
    pub last_used: u16,
}

/// A driver at one function.
pub struct Driver<'a> {
    pub rig: &'a Rig,
    pub index: usize,
    pub function: Arc<dyn Function>,
    pub port: Arc<FlatPort>,
    pub places: Places,
    pub features: u64,
    pub queues: Vec<DriverQueue>,
    next_free: u64,
}

impl<'a> Driver<'a> {
    /// A driver that has done nothing yet. Each function's driver has memory of
    /// its own.
    pub fn new(rig: &'a Rig, index: usize) -> Self {
        let function = rig.functions[index].clone();
        let places = Places::find(function.as_ref());
        Self {
            rig,
            index,
            port: rig.ports[index].clone(),
            function,
            places,
            features: 0,
            queues: Vec::new(),
            next_free: (index as u64 + 1) * DRIVER_MEMORY,
        }
    }

    /// A driver that is up, with all features offered but `without`.
    pub fn up(rig: &'a Rig, index: usize, without: u64) -> Self {
        let mut driver = Self::new(rig, index);
        let features = driver.offered() & !without;
        driver.start(features);
        driver
    }

    /// Goes on with another function, as a guest does that was migrated.
    pub fn move_to(&mut self, index: usize) {
        self.index = index;
        self.function = self.rig.functions[index].clone();
        self.port = self.rig.ports[index].clone();
    }

    pub fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut data = [0xee; N];
        self.function.read_bar(at, &mut data);
        data
    }

    pub fn r8(&self, at: u64) -> u8 {
        self.read::<1>(self.places.common + at)[0]
    }

    pub fn r16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.read(self.places.common + at))
    }

    pub fn r32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.read(self.places.common + at))
    }

    pub fn w8(&self, at: u64, value: u8) {
        self.function.write_bar(self.places.common + at, &[value]);
    }

    pub fn w16(&self, at: u64, value: u16) {
        self.function
            .write_bar(self.places.common + at, &value.to_le_bytes());
    }

    pub fn w32(&self, at: u64, value: u32) {
        self.function
            .write_bar(self.places.common + at, &value.to_le_bytes());
    }

    pub fn w64(&self, at: u64, value: u64) {
        self.w32(at, value as u32);
        self.w32(at + 4, (value >> 32) as u32);
    }

    pub fn status(&self) -> u8 {
        self.r8(DEVICE_STATUS)
    }

    pub fn offered(&self) -> u64 {
        let mut features = 0;
        for half in 0..2 {
            self.w32(DEVICE_FEATURE_SELECT, half);
            features |= u64::from(self.r32(DEVICE_FEATURE)) << (32 * half);
        }
        features
    }

    /// Steps 1 to 6 of driver initialization; whether FEATURES_OK stuck.
    pub fn negotiate(&mut self, features: u64) -> bool {
        self.w8(DEVICE_STATUS, 0);
        assert_eq!(self.status(), 0);
        self.w8(DEVICE_STATUS, ACKNOWLEDGE);
        self.w8(DEVICE_STATUS, ACKNOWLEDGE | DRIVER);
        for half in 0..2 {
            self.w32(DRIVER_FEATURE_SELECT, half);
            self.w32(DRIVER_FEATURE, (features >> (32 * half)) as u32);
        }
        self.w8(DEVICE_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        self.features = features;
        self.status() & FEATURES_OK != 0
    }

    /// Brings the device up with all queues, of 16 buffers each. Vector 0 is for
    /// the configuration and n + 1 for queue n.
    pub fn start(&mut self, features: u64) {
        assert!(self.negotiate(features), "features refused");
        self.w16(CONFIG_MSIX_VECTOR, 0);
        let mut count = self.r16(NUM_QUEUES);
        if features & F_ADMIN_VQ != 0 {
            assert_eq!(self.r16(ADMIN_QUEUE_INDEX), count);
            count += self.r16(ADMIN_QUEUE_NUM);
        }
        self.queues.clear();
        for index in 0..count {
            self.enable_queue(index, 16);
        }
        self.drive();
    }

    pub fn drive(&self) {
        self.w8(
            DEVICE_STATUS,
            ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
        );
    }

    /// Lays out and enables a queue.
    pub fn enable_queue(&mut self, index: u16, size: u16) {
        let place = self.alloc(0x3000);
        self.rig.write(place, &[0; 0x3000]);
        let queue = DriverQueue {
            size,
            desc: place,
            avail: place + 0x1000,
            used: place + 0x2000,
            next_desc: 0,
            avail_idx: 0,
            last_used: 0,
        };
        self.w16(QUEUE_SELECT, index);
        self.w16(QUEUE_SIZE, size);
        self.w16(QUEUE_MSIX_VECTOR, index + 1);
        self.w64(QUEUE_DESC, queue.desc);
        self.w64(QUEUE_DRIVER, queue.avail);
        self.w64(QUEUE_DEVICE, queue.used);
        self.w16(QUEUE_ENABLE, 1);
        self.queues.push(queue);
    }

    /// Page-aligned memory that nobody else uses.
    pub fn alloc(&mut self, size: u64) -> u64 {
        let place = self.next_free;
        self.next_free += size.next_multiple_of(0x1000);
        place
    }

    pub fn write_desc(&self, queue: u16, slot: u16, desc: (u64, u32, u16, u16)) {
        let table = self.queues[usize::from(queue)].desc;
        self.write_desc_at(table, slot, desc);
    }

    pub fn write_desc_at(&self, table: u64, slot: u16, desc: (u64, u32, u16, u16)) {
        let (addr, len, flags, next) = desc;
        let mut bytes = addr.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.rig.write(table + 16 * u64::from(slot), &bytes);
    }

    /// Makes the chain that starts at `head` available, without notifying.
    pub fn push(&mut self, queue: u16, head: u16) {
        let queue = &mut self.queues[usize::from(queue)];
        let slot = u64::from(queue.avail_idx % queue.size);
        self.rig
            .write(queue.avail + 4 + 2 * slot, &head.to_le_bytes());
        queue.avail_idx = queue.avail_idx.wrapping_add(1);
        self.rig
            .write(queue.avail + 2, &queue.avail_idx.to_le_bytes());
    }

    /// Makes a buffer available; returns its head and the places of its parts.
    pub fn add(&mut self, queue: u16, out: &[&[u8]], room: &[u32]) -> (u16, Vec<u64>) {
        let total = (out.len() + room.len()) as u16;
        let lens: Vec<(u32, u16)> = out
            .iter()
            .map(|data| (data.len() as u32, 0))
            .chain(room.iter().map(|&len| (len, DESC_WRITE)))
            .collect();
        let size = self.queues[usize::from(queue)].size;
        assert!(total >= 1 && total <= size);
        let head = self.queues[usize::from(queue)].next_desc;
        let mut places = Vec::new();
        for (k, (len, flags)) in lens.into_iter().enumerate() {
            let place = self.alloc(len.max(1).into());
            if let Some(data) = out.get(k) {
                self.rig.write(place, data);
            }
            let slot = (head + k as u16) % size;
            let more = if k as u16 + 1 < total { DESC_NEXT } else { 0 };
            self.write_desc(queue, slot, (place, len, flags | more, (slot + 1) % size));
            places.push(place);
        }
        self.queues[usize::from(queue)].next_desc = (head + total) % size;
        self.push(queue, head);
        (head, places)
    }

    pub fn kick(&self, queue: u16) {
        self.w16(QUEUE_SELECT, queue);
        let slot = u64::from(self.r16(QUEUE_NOTIFY_OFF));
        let at = self.places.notify + slot * self.places.notify_multiplier;
        if self.features & F_NOTIFICATION_DATA == 0 {
            return self.function.write_bar(at, &queue.to_le_bytes());
        }
        let next = self.queues[usize::from(queue)].avail_idx;
        let data = u32::from(queue) | u32::from(next) << 16;
        self.function.write_bar(at, &data.to_le_bytes());
    }

    /// The next used buffer: head and length.
    pub fn used(&mut self, queue: u16) -> Option<(u16, u32)> {
        let queue = &mut self.queues[usize::from(queue)];
        if self.rig.read_u16(queue.used + 2) == queue.last_used {
            return None;
        }
        let slot = u64::from(queue.last_used % queue.size);
        let element = self.rig.read(queue.used + 4 + 8 * slot, 8);
        queue.last_used = queue.last_used.wrapping_add(1);
        Some((le32(&element, 0) as u16, le32(&element, 4) as u32))
    }

    /// Sends a frame on a transmit queue and takes the buffer back.
    pub fn send(&mut self, frame: &[u8]) {
        self.send_on(1, frame);
    }

    pub fn send_on(&mut self, queue: u16, frame: &[u8]) {
        let (head, _) = self.add(queue, &[&[0; NET_HEADER], frame], &[]);
        self.kick(queue);
        assert_eq!(self.used(queue), Some((head, 0)));
    }

    /// Makes a receive buffer available; returns its head and place.
    pub fn offer(&mut self, room: u32) -> (u16, u64) {
        let (head, places) = self.add(0, &[], &[room]);
        self.kick(0);
        (head, places[0])
    }

    /// Takes back a receive buffer that was offered and holds one whole frame.
    pub fn take(&mut self, offered: (u16, u64)) -> Option<Vec<u8>> {
        let (head, len) = self.used(0)?;
        assert_eq!(head, offered.0);
        let packet = self.rig.read(offered.1, len as usize);
        let mut header = [0; NET_HEADER];
        header[NET_NUM_BUFFERS] = 1;
        assert_eq!(
            packet[..NET_HEADER],
            header,
            "header of a frame in one buffer"
        );
        Some(packet[NET_HEADER..].to_vec())
    }

    /// Executes a command of the control queue.
    pub fn control(&mut self, class: u8, command: u8, data: &[u8]) -> u8 {
        let queue = self.r16(NUM_QUEUES) - 1;
        let (head, places) = self.add(queue, &[&[class, command], data], &[1]);
        self.rig.write(places[2], &[0xaa]);
        self.kick(queue);
        assert_eq!(self.used(queue), Some((head, 1)));
        self.rig.read(places[2], 1)[0]
    }

    pub fn mac(&self) -> [u8; 6] {
        self.read(self.places.device)
    }

    /// Starts an administration command; returns its head and the place of the
    /// reply, which has 8 bytes and `room` more.
    pub fn admin_start(&mut self, command: &Command, room: u32) -> (u16, u64) {
        let queue = self.r16(ADMIN_QUEUE_INDEX);
        let reply = [8, room];
        let room = if room == 0 { &reply[..1] } else { &reply[..] };
        let header = command.header();
        let out: &[&[u8]] = if command.data.is_empty() {
            &[&header]
        } else {
            &[&header, &command.data]
        };
        let (head, places) = self.add(queue, out, room);
        self.kick(queue);
        (head, places[out.len()])
    }

    /// The reply of a command that ended: status, qualifier and result.
    pub fn admin_reply(&mut self, started: (u16, u64)) -> Option<Reply> {
        let queue = self.r16(ADMIN_QUEUE_INDEX);
        let (head, len) = self.used(queue)?;
        assert_eq!(head, started.0);
        assert!(len >= 8, "status and qualifier are always written");
        let header = self.rig.read(started.1, 8);
        assert_eq!(header[4..], [0; 4], "reserved bytes of the reply");
        // The result's segment follows on the next page.
        let result = self.rig.read(started.1 + 0x1000, len as usize - 8);
        Some(Reply {
            code: (le32(&header, 0) as u16, (le32(&header, 0) >> 16) as u16),
            result,
        })
    }

    /// Executes an administration command.
    pub fn admin(&mut self, command: &Command, room: u32) -> Reply {
        let started = self.admin_start(command, room);
        self.admin_reply(started).expect("a reply")
    }

    /// What Linux does when it has brought the PF up.
    pub fn linux_admin_setup(&mut self) {
        let list = self.admin(&Command::new(CMD_LIST_QUERY, GROUP_SRIOV, 0, &[]), 8);
        assert_eq!(list.code, S_OK);
        let offered = u64::from_le_bytes(list.result.try_into().expect("one word"));
        assert_eq!(offered & LINUX_LIST, LINUX_LIST);
        let used = LINUX_LIST.to_le_bytes();
        self.admin_ok(&Command::new(CMD_LIST_USE, GROUP_SRIOV, 0, &used));
        let caps = self.admin(&Command::new(CMD_CAP_ID_LIST_QUERY, GROUP_SELF, 0, &[]), 8);
        assert_eq!(
            caps,
            Reply {
                code: S_OK,
                result: vec![1, 0, 0, 0, 0, 0, 0, 0]
            }
        );
        let get = Command::new(CMD_DEVICE_CAP_GET, GROUP_SELF, 0, &[0; 8]);
        let limits = self.admin(&get, 2);
        assert_eq!(limits.code, S_OK);
        let mut data = vec![0; 8];
        data.extend(limits.result);
        self.admin_ok(&Command::new(CMD_DRIVER_CAP_SET, GROUP_SELF, 0, &data));
    }

    pub fn admin_ok(&mut self, command: &Command) {
        assert_eq!(
            self.admin(command, 0),
            Reply {
                code: S_OK,
                result: vec![]
            }
        );
    }

    pub fn set_mode(&mut self, vf: u64, flags: u8) -> (u16, u16) {
        self.admin(&Command::vf(CMD_MODE_SET, vf, &[flags]), 0).code
    }

    pub fn create(&mut self, vf: u64, id: u32, kind: u8) -> (u16, u16) {
        self.admin(&Command::vf(CMD_OBJ_CREATE, vf, &create_data(id, kind)), 0)
            .code
    }

    pub fn destroy(&mut self, vf: u64, id: u32) -> (u16, u16) {
        self.admin(&Command::vf(CMD_OBJ_DESTROY, vf, &object_header(id)), 0)
            .code
    }

    /// GET ALL through an object, with room for the maximum the device claims.
    pub fn get_parts(&mut self, vf: u64, id: u32) -> Vec<u8> {
        let size = self.admin(&Command::metadata(vf, id, METADATA_SIZE), 8);
        assert_eq!(size.code, S_OK);
        let room = le32(&size.result, 0) as u32;
        let reply = self.admin(&Command::get_all(vf, id), room);
        assert_eq!(reply.code, S_OK);
        assert!(reply.result.len() <= room as usize);
        reply.result
    }

    pub fn set_parts(&mut self, vf: u64, id: u32, parts: &[u8]) -> (u16, u16) {
        let mut data = object_header(id);
        data.extend(parts);
        self.admin(&Command::vf(CMD_PARTS_SET, vf, &data), 0).code
    }
}

/// An administration command, without its header's reserved bytes.
#[derive(Clone, Debug)]
pub struct Command {
    pub opcode: u16,
    pub group: u16,
    pub member: u64,
    pub data: Vec<u8>,
}

impl Command {
    pub fn new(opcode: u16, group: u16, member: u64, data: &[u8]) -> Self {
        Self {
            opcode,
            group,
            member,
            data: data.to_vec(),
        }
    }

    pub fn vf(opcode: u16, member: u64, data: &[u8]) -> Self {
        Self::new(opcode, GROUP_SRIOV, member, data)
    }

    pub fn metadata(vf: u64, id: u32, kind: u8) -> Self {
        let mut data = object_header(id);
        data.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        Self::vf(CMD_METADATA_GET, vf, &data)
    }

    pub fn get_all(vf: u64, id: u32) -> Self {
        let mut data = object_header(id);
        data.extend([GET_ALL, 0, 0, 0, 0, 0, 0, 0]);
        Self::vf(CMD_PARTS_GET, vf, &data)
    }

    pub fn get_selected(vf: u64, id: u32, list: &[u8]) -> Self {
        let mut data = object_header(id);
        data.extend([GET_SELECTED, 0, 0, 0, 0, 0, 0, 0]);
        data.extend(list);
        Self::vf(CMD_PARTS_GET, vf, &data)
    }

    fn header(&self) -> [u8; 24] {
        let mut header = [0; 24];
        header[..2].copy_from_slice(&self.opcode.to_le_bytes());
        header[2..4].copy_from_slice(&self.group.to_le_bytes());
        header[16..].copy_from_slice(&self.member.to_le_bytes());
        header
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: (u16, u16),
    pub result: Vec<u8>,
}

/// Type 0, identifier `id`.
pub fn object_header(id: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(id.to_le_bytes());
    header
}

pub fn create_data(id: u32, kind: u8) -> Vec<u8> {
    let mut data = object_header(id);
    data.extend([0; 8]);
    data.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
    data
}

/// An Ethernet frame of at least minimal length.
pub fn frame(to: [u8; 6], from: [u8; 6], payload: &[u8]) -> Vec<u8> {
    let mut frame = [to, from].concat();
    // A type for local experiments.
    frame.extend([0x88, 0xb5]);
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

pub const BROADCAST: [u8; 6] = [0xff; 6];
