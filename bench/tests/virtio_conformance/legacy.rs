// SPDX-License-Identifier: GPL-2.0
//! Transitional VFs: the legacy interface through administration commands
//! (2.12.1.2) and what a legacy driver can do with it (4.1.4.10).

use vfio_bench::virtio::machine::Config;

use crate::driver::{Command, Driver, frame};
use crate::legacy_driver::LegacyDriver;
use crate::rig::Rig;
use crate::wire::*;

const INVALID_FIELD: (u16, u16) = (EINVAL, Q_INVALID_FIELD);
const INVALID_OPCODE: (u16, u16) = (EINVAL, Q_INVALID_OPCODE);
const INVALID_MEMBER: (u16, u16) = (EINVAL, Q_INVALID_MEMBER);
const INVALID_GROUP: (u16, u16) = (EINVAL, Q_INVALID_GROUP);

/// Registers of the common configuration: offset and length.
const REGISTERS: [(u8, u8); 10] = [
    (0, 4),
    (4, 4),
    (8, 4),
    (12, 2),
    (14, 2),
    (16, 2),
    (18, 1),
    (19, 1),
    (20, 2),
    (22, 2),
];

/// Fields of the network device's configuration: MAC, status, queue pairs.
const CONFIG_FIELDS: [(u8, u8); 3] = [(0, 6), (6, 2), (8, 2)];

const LEGACY_COMMANDS: [u16; 5] = [
    CMD_LEGACY_COMMON_CFG_WRITE,
    CMD_LEGACY_COMMON_CFG_READ,
    CMD_LEGACY_DEV_CFG_WRITE,
    CMD_LEGACY_DEV_CFG_READ,
    CMD_LEGACY_NOTIFY_INFO,
];

fn transitional(vfs: u16) -> Rig {
    let config = Config {
        transitional: true,
        ..Config::default()
    };
    Rig::new(config, vfs)
}

fn within(fields: &[(u8, u8)], offset: u8, len: u32) -> bool {
    fields.iter().any(|&(start, width)| {
        len > 0 && offset >= start && u32::from(offset) + len <= u32::from(start + width)
    })
}

#[test]
fn the_list_names_all_commands_or_none() {
    for (rig, expected) in [(transitional(1), 0x3ffff_u64), (Rig::plain(1), 0x3ff83)] {
        let mut pf = Driver::up(&rig, 0, 0);
        let group = pf.admin(&Command::new(CMD_LIST_QUERY, GROUP_SRIOV, 0, &[]), 8);
        assert_eq!(group.result, expected.to_le_bytes());
        let own = pf.admin(&Command::new(CMD_LIST_QUERY, GROUP_SELF, 0, &[]), 8);
        assert_eq!(own.result, 0x383_u64.to_le_bytes());
    }
}

#[test]
fn the_vf_looks_modern_and_leaves_bar_0_alone() {
    let rig = transitional(1);
    let vf = &rig.functions[1];
    let identity = vf.identity();
    assert_eq!((identity.vendor, identity.device), (0x1af4, 0x1041));
    assert!(identity.revision >= 1);
    assert_eq!(vf.bar(), 2);
    for cap in vf.vendor_capabilities() {
        let bar = match cap[1] {
            CAP_PCI_CFG => continue,
            CAP_VENDOR => cap[4],
            _ => cap[2],
        };
        assert_eq!(bar, 2, "capability of type {}", cap[1]);
    }
    // The PF is no transitional device, nor is it its VFs' business.
    assert_eq!(rig.functions[0].bar(), 0);
    // A modern driver finds nothing unusual.
    let mut vf = Driver::up(&rig, 1, 0);
    let mut pf = Driver::up(&rig, 0, 0);
    let offered = pf.offer(2048);
    let sent = frame(pf.mac(), vf.mac(), b"modern");
    vf.send(&sent);
    assert_eq!(pf.take(offered), Some(sent));
}

#[test]
fn group_opcode_member() {
    let rig = transitional(1);
    let mut pf = Driver::up(&rig, 0, 0);
    for opcode in LEGACY_COMMANDS {
        let before_use = pf.admin(&Command::vf(opcode, 1, &[]), 1);
        assert_eq!(before_use.code, INVALID_OPCODE);
    }
    let mut legacy = LegacyDriver::new(&rig, 1);
    for opcode in LEGACY_COMMANDS {
        let code = |legacy: &mut LegacyDriver, group, member| {
            let command = Command::new(opcode, group, member, &[0; 12]);
            legacy.pf.admin(&command, 4).code
        };
        assert_eq!(code(&mut legacy, GROUP_SELF, 0), INVALID_OPCODE);
        assert_eq!(code(&mut legacy, 2, 1), INVALID_GROUP);
        for member in [0, 2, u64::MAX] {
            assert_eq!(code(&mut legacy, GROUP_SRIOV, member), INVALID_MEMBER);
        }
    }
}

/// Every offset and length: the command is for one field, or fails without effect.
#[test]
fn accesses_are_to_single_fields() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    for (opcode, fields) in [
        (CMD_LEGACY_COMMON_CFG_READ, &REGISTERS[..]),
        (CMD_LEGACY_DEV_CFG_READ, &CONFIG_FIELDS[..]),
    ] {
        for offset in (0..28).chain([255]) {
            for len in (0..9).chain([300]) {
                let reply = legacy.read(opcode, offset, len);
                let what = format!("{len} bytes at {offset}, opcode {opcode}");
                if within(fields, offset, len) {
                    assert_eq!(
                        (reply.code, reply.result.len() as u32),
                        (S_OK, len),
                        "{what}"
                    );
                } else {
                    assert_eq!(
                        (reply.code, reply.result.len()),
                        (INVALID_FIELD, 0),
                        "{what}"
                    );
                }
            }
        }
    }
    for (opcode, fields) in [
        (CMD_LEGACY_COMMON_CFG_WRITE, &REGISTERS[..]),
        (CMD_LEGACY_DEV_CFG_WRITE, &CONFIG_FIELDS[..]),
    ] {
        for offset in (0..28).chain([255]) {
            for len in 0..9_u32 {
                if within(fields, offset, len) {
                    continue;
                }
                let before = rig.parts(1);
                let code = legacy.write(opcode, offset, &vec![0xff; len as usize]);
                let what = format!("{len} bytes at {offset}, opcode {opcode}");
                assert_eq!(code, INVALID_FIELD, "{what}");
                assert_eq!(rig.parts(1), before, "{what} had an effect");
            }
        }
    }
}

#[test]
fn registers_after_reset() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    let offered = legacy.get32(LEGACY_DEVICE_FEATURES);
    assert_eq!(u64::from(offered), legacy.vf.offered() & 0xffff_ffff);
    assert_ne!(u64::from(offered) & F_ANY_LAYOUT, 0, "MUST be offered");
    // A device without the legacy interface has no use for it.
    assert_eq!(legacy.pf.offered() & F_ANY_LAYOUT, 0);
    assert_eq!(Driver::new(&Rig::plain(1), 1).offered() & F_ANY_LAYOUT, 0);
    assert_eq!(legacy.get32(LEGACY_DRIVER_FEATURES), 0);
    for (queue, size) in [(0, 256), (1, 256), (2, 64), (3, 0), (0xffff, 0)] {
        legacy.set16(LEGACY_QUEUE_SELECT, queue);
        assert_eq!(legacy.get16(LEGACY_QUEUE_SELECT), queue);
        assert_eq!(legacy.get16(LEGACY_QUEUE_SIZE), size, "queue {queue}");
        assert_eq!(legacy.get32(LEGACY_QUEUE_ADDRESS), 0);
    }
    assert_eq!(legacy.get8(LEGACY_DEVICE_STATUS), 0);
    assert_eq!(legacy.get8(LEGACY_ISR_STATUS), 0);
    assert_eq!(legacy.get16(LEGACY_CONFIG_VECTOR), 0xffff);
    let mac = legacy.read(CMD_LEGACY_DEV_CFG_READ, 0, 6);
    assert_eq!(mac.result, legacy.vf.mac());
    let status = legacy.read(CMD_LEGACY_DEV_CFG_READ, 6, 2);
    assert_eq!(status.result, [1, 0], "link up");
}

#[test]
fn read_only_registers_ignore_writes() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    let offered = legacy.get32(LEGACY_DEVICE_FEATURES);
    let before = rig.parts(1);
    legacy.set(LEGACY_DEVICE_FEATURES, &[0xff; 4]);
    legacy.set(LEGACY_QUEUE_SIZE, &[4, 0]);
    legacy.set(LEGACY_ISR_STATUS, &[0xff]);
    assert_eq!(legacy.get32(LEGACY_DEVICE_FEATURES), offered);
    assert_eq!(legacy.get8(LEGACY_ISR_STATUS), 0);
    assert_eq!(rig.parts(1), before);
    // What was not offered is not accepted, silently: there is no FEATURES_OK.
    legacy.set(LEGACY_DRIVER_FEATURES, &[0xff; 4]);
    assert_eq!(legacy.get32(LEGACY_DRIVER_FEATURES), offered);
    // Part of a register.
    legacy.set(LEGACY_DRIVER_FEATURES + 1, &[0]);
    assert_eq!(legacy.get32(LEGACY_DRIVER_FEATURES), offered & !0xff00);
    legacy.set16(LEGACY_QUEUE_VECTOR, 77);
    assert_eq!(legacy.get16(LEGACY_QUEUE_VECTOR), 0xffff, "no such vector");
}

#[test]
fn notifications_have_an_address_in_the_vf() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    let (bar, offset) = legacy.notify_address();
    assert_eq!(bar, rig.functions[1].bar());
    assert!(bar != 0 && offset % 2 == 0);
    assert!(offset + 2 <= rig.functions[1].bar_size());
    // A modern device has nothing there.
    let modern = Rig::plain(1);
    let mut vf = Driver::up(&modern, 1, 0);
    let (head, _) = vf.add(1, &[&[0; NET_HEADER], &[0; 60]], &[]);
    vf.function.write_bar(offset, &1_u16.to_le_bytes());
    assert_eq!(vf.used(1), None);
    vf.kick(1);
    assert_eq!(vf.used(1), Some((head, 0)));
}

fn talk(merge: bool) {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    let unwanted = if merge { 0 } else { F_MRG_RXBUF as u32 };
    let features = legacy.get32(LEGACY_DEVICE_FEATURES) & !unwanted & !(F_EVENT_IDX as u32);
    legacy.start(features);
    assert_eq!(legacy.header(), if merge { 12 } else { 10 });
    let (pf_mac, vf_mac) = (legacy.pf.mac(), legacy.vf.mac());
    for length in [46, 100, 1500] {
        let out = frame(pf_mac, vf_mac, &vec![0x5a; length]);
        let room = legacy.pf.offer(2048);
        legacy.send(&out);
        assert_eq!(legacy.pf.take(room), Some(out));
        let back = frame(vf_mac, pf_mac, &vec![0xa5; length]);
        let offered = legacy.offer();
        legacy.pf.send(&back);
        assert_eq!(legacy.take(&offered), Some(back));
    }
    assert_eq!(legacy.vf.port.take_interrupts(), [2, 1, 2, 1, 2, 1]);
    assert_eq!(legacy.get8(LEGACY_DEVICE_STATUS) & NEEDS_RESET, 0);
    // The control queue answers, too.
    let (head, places) = legacy.vf.add(2, &[&[CTRL_RX, CTRL_RX_PROMISC], &[1]], &[1]);
    legacy.kick(2);
    assert_eq!(legacy.vf.used(2), Some((head, 1)));
    assert_eq!(rig.read(places[2], 1), [NET_OK]);
}

/// What ANY_LAYOUT promises: header and frame in one buffer, or cut up elsewhere.
#[test]
fn buffers_may_have_any_layout() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    legacy.start((F_MAC | F_ANY_LAYOUT) as u32);
    let (pf_mac, vf_mac) = (legacy.pf.mac(), legacy.vf.mac());
    let out = frame(pf_mac, vf_mac, b"any layout");
    let whole = [vec![0; legacy.header()], out.clone()].concat();
    for cut in [0, 3, 10, 17] {
        let room = legacy.pf.offer(2048);
        let (first, second) = whole.split_at(cut);
        let buffers: &[&[u8]] = match cut {
            0 => &[&whole],
            _ => &[first, second],
        };
        let (head, _) = legacy.vf.add(1, buffers, &[]);
        legacy.kick(1);
        assert_eq!(legacy.vf.used(1), Some((head, 0)), "cut at {cut}");
        assert_eq!(legacy.pf.take(room), Some(out.clone()), "cut at {cut}");
    }
    // A receive buffer in one piece.
    let back = frame(vf_mac, pf_mac, b"back");
    let (head, places) = legacy.vf.add(0, &[], &[2048]);
    legacy.kick(0);
    legacy.pf.send(&back);
    let len = legacy.header() + back.len();
    assert_eq!(legacy.vf.used(0), Some((head, len as u32)));
    let got = rig.read(places[0], len);
    assert_eq!(got[legacy.header()..], back);
}

#[test]
fn frames_with_a_short_header() {
    talk(false);
}

#[test]
fn frames_with_the_number_of_buffers() {
    talk(true);
}

#[test]
fn a_notification_through_the_pf_is_one() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    legacy.start(F_MAC as u32);
    let out = frame(legacy.pf.mac(), legacy.vf.mac(), b"slow path");
    let room = legacy.pf.offer(2048);
    let (head, _) = legacy.vf.add(1, &[&[0; 10], &out], &[]);
    legacy.set16(LEGACY_QUEUE_NOTIFY, 9);
    assert_eq!(legacy.vf.used(1), None, "a queue that is not there");
    legacy.set16(LEGACY_QUEUE_NOTIFY, 1);
    assert_eq!(legacy.vf.used(1), Some((head, 0)));
    assert_eq!(legacy.pf.take(room), Some(out));
}

/// Without MSI-X the cause of an interrupt is in the ISR status, until it is read.
#[test]
fn isr_status_is_cleared_by_reading() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    legacy.start(0);
    legacy.set16(LEGACY_QUEUE_SELECT, 1);
    legacy.set16(LEGACY_QUEUE_VECTOR, 0xffff);
    let out = frame(legacy.pf.mac(), legacy.vf.mac(), b"");
    legacy.send(&out);
    assert!(legacy.vf.port.take_interrupts().is_empty());
    assert_eq!(legacy.get8(LEGACY_ISR_STATUS), 1);
    assert_eq!(legacy.get8(LEGACY_ISR_STATUS), 0);
}

#[test]
fn a_queue_can_be_taken_away_and_placed_again() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    legacy.start(0);
    let out = frame(legacy.pf.mac(), legacy.vf.mac(), b"");
    legacy.send(&out);
    legacy.set16(LEGACY_QUEUE_SELECT, 1);
    let page = legacy.get::<4>(LEGACY_QUEUE_ADDRESS);
    legacy.set(LEGACY_QUEUE_ADDRESS, &[0; 4]);
    assert_eq!(legacy.get32(LEGACY_QUEUE_ADDRESS), 0);
    legacy.vf.add(1, &[&[0; 10], &out], &[]);
    legacy.kick(1);
    assert_eq!(legacy.vf.used(1), None);
    // Placed again, it starts from the beginning.
    let queue = &mut legacy.vf.queues[1];
    (queue.next_desc, queue.avail_idx, queue.last_used) = (0, 0, 0);
    let (avail, used) = (queue.avail, queue.used);
    rig.write(avail, &[0; 4]);
    rig.write(used, &[0; 4]);
    legacy.set(LEGACY_QUEUE_ADDRESS, &page);
    legacy.send(&out);
}

#[test]
fn a_queue_that_is_placed_again_after_a_load_starts_at_its_beginning() {
    let rig = transitional(2);
    let mut legacy = LegacyDriver::new(&rig, 1);
    legacy.start(0);
    let out = frame(legacy.pf.mac(), legacy.vf.mac(), b"");
    legacy.send(&out);
    assert_eq!(legacy.pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(legacy.pf.set_mode(2, STOPPED), S_OK);
    assert_eq!(legacy.pf.create(2, 0, OBJ_SET), S_OK);
    assert_eq!(legacy.pf.set_parts(2, 0, &rig.parts(1)), S_OK);
    legacy.number = 2;
    legacy.vf.move_to(2);
    // Between the load and the resume; what was used of it stays in memory.
    legacy.set16(LEGACY_QUEUE_SELECT, 1);
    let page = legacy.get::<4>(LEGACY_QUEUE_ADDRESS);
    legacy.set(LEGACY_QUEUE_ADDRESS, &[0; 4]);
    legacy.set(LEGACY_QUEUE_ADDRESS, &page);
    let queue = &mut legacy.vf.queues[1];
    (queue.next_desc, queue.avail_idx, queue.last_used) = (0, 0, 0);
    rig.write(queue.avail, &[0; 4]);
    assert_eq!(rig.read_u16(queue.used + 2), 1);
    let used = queue.used;
    assert_eq!(legacy.pf.set_mode(2, 0), S_OK);
    legacy.send(&out);
    assert_eq!(rig.read_u16(used + 2), 1);
    assert_eq!(rig.counter(2, "tx_frames"), 1);
}

#[test]
fn a_legacy_reset_resets() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    legacy.start(0);
    legacy.set(LEGACY_DEVICE_STATUS, &[0]);
    assert_eq!(legacy.get8(LEGACY_DEVICE_STATUS), 0);
    assert_eq!(legacy.get32(LEGACY_DRIVER_FEATURES), 0);
    for queue in 0..3 {
        legacy.set16(LEGACY_QUEUE_SELECT, queue);
        assert_eq!(legacy.get32(LEGACY_QUEUE_ADDRESS), 0);
    }
    // The next driver may be a modern one, which needs its features again.
    legacy.vf.start(legacy.vf.offered());
    assert_eq!(legacy.vf.status(), 0x0f);
}

/// 5.1.4: without the command for it a legacy driver writes the address.
#[test]
fn the_address_can_be_written() {
    let rig = transitional(1);
    let mut legacy = LegacyDriver::new(&rig, 1);
    let mac = [2, 0x11, 0x22, 0x33, 0x44, 0x55];
    for (offset, byte) in (0..).zip(mac) {
        assert_eq!(
            legacy.write(CMD_LEGACY_DEV_CFG_WRITE, offset, &[byte]),
            S_OK
        );
    }
    assert_eq!(legacy.vf.mac(), mac);
    assert_eq!(legacy.write(CMD_LEGACY_DEV_CFG_WRITE, 6, &[0, 0]), S_OK);
    assert_eq!(
        legacy.read(CMD_LEGACY_DEV_CFG_READ, 6, 2).result,
        [1, 0],
        "the link's status is the device's"
    );
    rig.flr(1);
    assert_ne!(legacy.vf.mac(), mac);
}

/// What the parts hold is enough for a legacy driver to go on with another VF.
#[test]
fn a_legacy_driver_is_moved() {
    let rig = transitional(2);
    let mut legacy = LegacyDriver::new(&rig, 1);
    let features = legacy.get32(LEGACY_DEVICE_FEATURES) & !(F_MRG_RXBUF as u32);
    legacy.start(features);
    let (pf_mac, vf_mac) = (legacy.pf.mac(), legacy.vf.mac());
    legacy.send(&frame(pf_mac, vf_mac, b"before"));
    let offered = legacy.offer();

    assert_eq!(legacy.pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(legacy.pf.create(1, 0, OBJ_GET), S_OK);
    let parts = legacy.pf.get_parts(1, 0);
    assert_eq!(legacy.pf.set_mode(2, STOPPED), S_OK);
    assert_eq!(legacy.pf.create(2, 1, OBJ_SET), S_OK);
    assert_eq!(legacy.pf.set_parts(2, 1, &parts), S_OK);
    assert_eq!(rig.parts(2), parts);
    assert_eq!(legacy.pf.set_mode(2, 0), S_OK);

    legacy.number = 2;
    legacy.vf.move_to(2);
    assert_eq!(legacy.get8(LEGACY_DEVICE_STATUS), 7);
    let room = legacy.pf.offer(2048);
    let out = frame(pf_mac, vf_mac, b"after");
    legacy.send(&out);
    assert_eq!(legacy.pf.take(room), Some(out));
    let back = frame(vf_mac, pf_mac, b"back");
    legacy.pf.send(&back);
    assert_eq!(legacy.take(&offered), Some(back));

    // A VF that no legacy driver can use does not take such parts.
    let modern = Rig::plain(1);
    let mut pf = Driver::up(&modern, 0, 0);
    pf.linux_admin_setup();
    assert_eq!(pf.create(1, 0, OBJ_SET), S_OK);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(pf.set_parts(1, 0, &parts), INVALID_FIELD);
}
