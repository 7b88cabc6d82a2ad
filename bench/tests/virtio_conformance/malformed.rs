// SPDX-License-Identifier: GPL-2.0
//! Rings that make no sense break the device, and nothing else.

use crate::driver::{Driver, frame};
use crate::rig::{MEMORY, Rig};
use crate::wire::*;

const FAR: u64 = MEMORY as u64;

/// Breaks VF 1 with what `prepare` does and checks what is left.
fn breaks(without: u64, queue: u16, prepare: impl FnOnce(&mut Driver)) {
    let rig = Rig::plain(2);
    let mut vf = Driver::up(&rig, 1, without);
    let mut other = Driver::up(&rig, 2, 0);
    prepare(&mut vf);
    vf.kick(queue);
    assert_ne!(vf.status() & NEEDS_RESET, 0, "the device is broken");
    assert!(vf.port.take_interrupts().contains(&0), "and says so");
    // It stays out of memory from then on.
    rig.dma_pages("vf1");
    vf.kick(queue);
    other.send(&frame(vf.mac(), other.mac(), b"x"));
    assert!(rig.dma_pages("vf1").is_empty());
    // A reset repairs it.
    let mut again = Driver::up(&rig, 1, 0);
    assert_eq!(again.status() & NEEDS_RESET, 0);
    let offered = again.offer(2048);
    let sent = frame(again.mac(), other.mac(), b"works again");
    other.send(&sent);
    assert_eq!(again.take(offered), Some(sent));
}

/// Breaks it with one chain of descriptors on the transmit queue.
fn chain_breaks(descs: &[(u64, u32, u16, u16)]) {
    breaks(0, 1, |vf| {
        for (slot, desc) in descs.iter().enumerate() {
            vf.write_desc(1, slot as u16, *desc);
        }
        vf.push(1, 0);
    });
}

#[test]
fn a_loop() {
    chain_breaks(&[(0x1000, 16, DESC_NEXT, 1), (0x2000, 16, DESC_NEXT, 0)]);
    chain_breaks(&[(0x1000, 16, DESC_NEXT, 0)]);
}

#[test]
fn an_index_beyond_the_table() {
    chain_breaks(&[(0x1000, 100, DESC_NEXT, 16)]);
    breaks(0, 1, |vf| vf.push(1, 16));
}

#[test]
fn the_wrong_direction() {
    chain_breaks(&[(0x1000, 100, DESC_WRITE, 0)]);
    chain_breaks(&[
        (0x1000, 100, DESC_WRITE | DESC_NEXT, 1),
        (0x2000, 100, 0, 0),
    ]);
}

#[test]
fn memory_that_is_not_there() {
    chain_breaks(&[(FAR, 100, 0, 0)]);
    chain_breaks(&[(FAR - 50, 100, 0, 0)]);
    chain_breaks(&[(u64::MAX - 10, 100, 0, 0)]);
    chain_breaks(&[(FAR, 32, DESC_INDIRECT, 0)]);
}

#[test]
fn more_than_four_gigabytes() {
    chain_breaks(&[(0x1000, u32::MAX, DESC_NEXT, 1), (0x1000, u32::MAX, 0, 0)]);
}

#[test]
fn a_packet_without_a_header() {
    chain_breaks(&[(0x1000, 11, 0, 0)]);
    chain_breaks(&[(0x1000, 0, 0, 0)]);
}

#[test]
fn indirect_tables() {
    // Of no size, of odd size, with a successor.
    chain_breaks(&[(0x1000, 0, DESC_INDIRECT, 0)]);
    chain_breaks(&[(0x1000, 17, DESC_INDIRECT, 0)]);
    chain_breaks(&[
        (0x1000, 16, DESC_INDIRECT | DESC_NEXT, 1),
        (0x2000, 16, 0, 0),
    ]);
    // In an indirect table.
    breaks(0, 1, |vf| {
        let table = vf.alloc(0x1000);
        vf.write_desc_at(table, 0, (table, 16, DESC_INDIRECT, 0));
        vf.write_desc(1, 0, (table, 16, DESC_INDIRECT, 0));
        vf.push(1, 0);
    });
    // That loop.
    breaks(0, 1, |vf| {
        let table = vf.alloc(0x1000);
        vf.write_desc_at(table, 0, (table, 16, DESC_NEXT, 1));
        vf.write_desc_at(table, 1, (table, 16, DESC_NEXT, 0));
        vf.write_desc(1, 0, (table, 32, DESC_INDIRECT, 0));
        vf.push(1, 0);
    });
    // Of a loop in a table that is as long as can be said.
    breaks(0, 1, |vf| {
        let table = vf.alloc(0x1000);
        vf.write_desc_at(table, 0, (table, 16, DESC_NEXT, 0));
        vf.write_desc(1, 0, (table, !15, DESC_INDIRECT, 0));
        vf.push(1, 0);
    });
    // That were not negotiated.
    breaks(F_INDIRECT_DESC, 1, |vf| {
        let (table, data) = (vf.alloc(0x1000), vf.alloc(0x1000));
        vf.write_desc_at(table, 0, (data, 100, 0, 0));
        vf.write_desc(1, 0, (table, 16, DESC_INDIRECT, 0));
        vf.push(1, 0);
    });
}

#[test]
fn more_buffers_than_the_ring_has() {
    breaks(0, 1, |vf| {
        let avail = vf.queues[1].avail;
        vf.rig.write(avail + 2, &17u16.to_le_bytes());
    });
}

#[test]
fn control_buffers_without_room() {
    breaks(0, 2, |vf| {
        vf.add(2, &[&[0, 0, 1]], &[]);
    });
    breaks(0, 2, |vf| {
        vf.add(2, &[&[0]], &[1]);
    });
}

#[test]
fn receive_buffers() {
    for desc in [
        (0x1000, 100, 0, 0),
        (0x1000, 11, DESC_WRITE, 0),
        (FAR, 2048, DESC_WRITE, 0),
    ] {
        let rig = Rig::plain(1);
        let mut pf = Driver::up(&rig, 0, 0);
        let mut vf = Driver::up(&rig, 1, 0);
        vf.write_desc(0, 0, desc);
        vf.push(0, 0);
        vf.kick(0);
        assert_eq!(
            vf.status() & NEEDS_RESET,
            0,
            "not looked at without a frame"
        );
        pf.send(&frame(vf.mac(), pf.mac(), b"x"));
        assert_ne!(vf.status() & NEEDS_RESET, 0);
        assert_eq!(pf.status() & NEEDS_RESET, 0);
    }
}

#[test]
fn rings_in_memory_that_is_not_there() {
    for register in [QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE] {
        let rig = Rig::plain(1);
        let mut vf = Driver::new(&rig, 1);
        let features = vf.offered();
        assert!(vf.negotiate(features));
        vf.enable_queue(0, 16);
        let place = vf.alloc(0x3000);
        vf.w16(QUEUE_SELECT, 1);
        vf.w16(QUEUE_SIZE, 16);
        for (k, area) in [QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE]
            .into_iter()
            .enumerate()
        {
            vf.w64(
                area,
                if area == register {
                    FAR
                } else {
                    place + 0x1000 * k as u64
                },
            );
        }
        vf.rig.write(place + 0x1002, &1u16.to_le_bytes());
        vf.w16(QUEUE_ENABLE, 1);
        vf.drive();
        vf.kick(1);
        assert_ne!(vf.status() & NEEDS_RESET, 0, "{register:#x}");
    }
}

#[test]
fn rings_that_are_not_aligned_are_not_enabled() {
    for (register, addr) in [
        (QUEUE_DESC, 0x1008u64),
        (QUEUE_DRIVER, 0x1001),
        (QUEUE_DEVICE, 0x1002),
        (QUEUE_DESC, !15),
    ] {
        let rig = Rig::plain(1);
        let mut vf = Driver::new(&rig, 1);
        let features = vf.offered();
        assert!(vf.negotiate(features));
        vf.w16(QUEUE_SELECT, 1);
        vf.w64(register, addr);
        vf.w16(QUEUE_ENABLE, 1);
        assert_eq!(vf.r16(QUEUE_ENABLE), 0);
        assert_ne!(vf.status() & NEEDS_RESET, 0, "{register:#x}");
    }
}

#[test]
fn without_bus_master_nothing_is_written() {
    let rig = Rig::plain(1);
    let mut vf = Driver::up(&rig, 1, 0);
    rig.dma_pages("vf1");
    rig.ports[1].set_bus_master(false);
    vf.add(1, &[&[0; NET_HEADER], &frame([2; 6], [4; 6], b"x")], &[]);
    vf.kick(1);
    assert_eq!(vf.used(1), None);
    assert!(rig.dma_pages("vf1").is_empty());
}
