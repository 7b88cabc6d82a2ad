// SPDX-License-Identifier: GPL-2.0
//! The data path: both buffer modes, event index, interrupts, multiqueue.

use vfio_bench::virtio::machine::Config;

use crate::driver::{BROADCAST, Driver, frame};
use crate::rig::Rig;
use crate::wire::*;

#[test]
fn frames_pass_in_one_buffer() {
    for without in [0, F_MRG_RXBUF, F_EVENT_IDX, F_INDIRECT_DESC | F_EVENT_IDX] {
        let rig = Rig::plain(1);
        let mut pf = Driver::up(&rig, 0, without);
        let mut vf = Driver::up(&rig, 1, without);
        let (to, from) = (vf.mac(), pf.mac());
        // More frames than the ring has buffers, so that it wraps.
        for number in 0..40u8 {
            let offered = vf.offer(2048);
            let sent = frame(to, from, &[number; 300]);
            pf.send(&sent);
            assert_eq!(
                vf.take(offered),
                Some(sent),
                "features without {without:#x}"
            );
        }
        assert_eq!(rig.counter(0, "tx_frames"), 40);
        assert_eq!(rig.counter(1, "rx_frames"), 40);
        assert_eq!(rig.counter(1, "rx_bytes"), 40 * 314);
        assert_eq!(rig.counter(1, "rx_dropped"), 0);
    }
}

#[test]
fn transmit_buffers_may_be_scattered() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let sent = frame(vf.mac(), pf.mac(), b"scattered");
    let offered = vf.offer(2048);
    let packet = [vec![0; NET_HEADER], sent.clone()].concat();
    let pieces: Vec<&[u8]> = packet.chunks(7).collect();
    let (head, _) = pf.add(1, &pieces, &[]);
    pf.kick(1);
    assert_eq!(pf.used(1), Some((head, 0)));
    assert_eq!(vf.take(offered), Some(sent));
}

#[test]
fn transmit_through_an_indirect_table() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let sent = frame(vf.mac(), pf.mac(), b"indirect");
    let offered = vf.offer(2048);
    let (table, data) = (pf.alloc(0x1000), pf.alloc(0x1000));
    rig.write(data, &[vec![0; NET_HEADER], sent.clone()].concat());
    pf.write_desc_at(table, 0, (data, 12, DESC_NEXT, 1));
    pf.write_desc_at(table, 1, (data + 12, sent.len() as u32, 0, 0));
    // WRITE has no meaning on the descriptor of the table.
    pf.write_desc(1, 0, (table, 32, DESC_INDIRECT | DESC_WRITE, 0));
    pf.push(1, 0);
    pf.kick(1);
    assert_eq!(pf.used(1), Some((0, 0)));
    assert_eq!(vf.take(offered), Some(sent));
}

/// Has the PF send a frame in `pieces` pieces, in a chain that zigzags through an
/// indirect table of `entries`; whether it arrives.
fn zigzag(pieces: u16, entries: u32) -> bool {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let sent = frame(vf.mac(), pf.mac(), &[7; 200]);
    let offered = vf.offer(2048);
    let (table, data) = (pf.alloc(0x4000), pf.alloc(0x1000));
    rig.write(data, &[vec![0; NET_HEADER], sent.clone()].concat());
    let total = (NET_HEADER + sent.len()) as u32;
    // Entry 0, then far ones from the end of those that fit into the memory here.
    let last = entries.min(1024) as u16 - 1;
    let place = |k: u16| if k == 0 { 0 } else { last - (k - 1) };
    for k in 0..pieces {
        let rest = if k + 1 < pieces {
            1
        } else {
            total - u32::from(k)
        };
        let more = if k + 1 < pieces { DESC_NEXT } else { 0 };
        let piece = (data + u64::from(k), rest, more, place(k + 1));
        pf.write_desc_at(table, place(k), piece);
    }
    pf.write_desc(1, 0, (table, 16 * entries, DESC_INDIRECT, 0));
    pf.push(1, 0);
    pf.kick(1);
    if pf.used(1) == Some((0, 0)) {
        assert_eq!(vf.take(offered), Some(sent));
        return true;
    }
    assert_ne!(
        pf.status() & NEEDS_RESET,
        0,
        "it arrives, or breaks the device"
    );
    false
}

#[test]
fn an_indirect_table_may_be_longer_than_the_queue() {
    // The queue has 16 descriptors. Not the table is bounded by that, but the chain.
    for entries in [17, 100, 1024, 65536, u32::MAX / 16] {
        assert!(zigzag(1, entries), "one of {entries}");
        assert!(
            zigzag(16, entries),
            "as many as the queue has, of {entries}"
        );
        assert!(!zigzag(17, entries), "one more, of {entries}");
    }
}

#[test]
fn a_frame_is_merged_from_several_buffers() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let offered: Vec<_> = (0..4).map(|_| vf.offer(512)).collect();
    let payload: Vec<u8> = (0..1200u16).map(|i| i as u8).collect();
    let sent = frame(vf.mac(), pf.mac(), &payload);
    pf.send(&sent);
    let mut packet = Vec::new();
    for (head, place) in &offered[..3] {
        let (used, len) = vf.used(0).expect("a used buffer");
        assert_eq!(used, *head);
        packet.extend(rig.read(*place, len as usize));
    }
    assert_eq!(vf.used(0), None, "the fourth buffer is not needed");
    assert_eq!(packet[NET_NUM_BUFFERS..NET_HEADER], [3, 0]);
    assert_eq!(packet[NET_HEADER..], sent);
    // The fourth is there for the next frame.
    let small = frame(vf.mac(), pf.mac(), b"next");
    pf.send(&small);
    assert_eq!(vf.take(offered[3]), Some(small));
}

#[test]
fn frames_without_room_are_dropped_and_buffers_stay() {
    for without in [0, F_MRG_RXBUF] {
        let rig = Rig::plain(1);
        let mut pf = Driver::up(&rig, 0, without);
        let mut vf = Driver::up(&rig, 1, without);
        let big = frame(vf.mac(), pf.mac(), &[7; 1500]);
        pf.send(&big);
        let offered = vf.offer(1024);
        pf.send(&big);
        assert_eq!(vf.used(0), None);
        assert_eq!(rig.counter(1, "rx_dropped"), 2);
        assert_eq!(vf.status() & NEEDS_RESET, 0);
        let small = frame(vf.mac(), pf.mac(), b"fits");
        pf.send(&small);
        assert_eq!(vf.take(offered), Some(small));
    }
}

#[test]
fn header_flags_that_nobody_knows_are_ignored() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let sent = frame(vf.mac(), pf.mac(), b"x");
    for flags in [2, 4, 0x80, 0xfe] {
        let offered = vf.offer(2048);
        let mut header = [0; NET_HEADER];
        header[0] = flags;
        pf.add(1, &[&header[..], &sent[..]], &[]);
        pf.kick(1);
        assert_eq!(vf.take(offered), Some(sent.clone()), "flags {flags:#x}");
    }
}

#[test]
fn frames_with_offloads_or_of_impossible_size_are_dropped() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    vf.offer(2048);
    let good = frame(vf.mac(), pf.mac(), b"x");
    let mut wants_checksum = [0; NET_HEADER];
    wants_checksum[0] = 1;
    let mut wants_segments = [0; NET_HEADER];
    wants_segments[1] = 1;
    let huge = vec![0; 70_000];
    let empty: &[u8] = &[];
    for out in [
        [&wants_checksum[..], &good[..]],
        [&wants_segments, &good],
        [&[0; NET_HEADER], &good[..13]],
        [&[0; NET_HEADER], empty],
        [&[0; NET_HEADER], &huge],
    ] {
        let (head, _) = pf.add(1, &out, &[]);
        pf.kick(1);
        assert_eq!(pf.used(1), Some((head, 0)));
    }
    assert_eq!(rig.counter(0, "tx_dropped"), 5);
    assert_eq!(vf.used(0), None);
    assert_eq!(pf.status() & NEEDS_RESET, 0);
}

#[test]
fn interrupts_without_event_index_follow_the_flag() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, F_EVENT_IDX);
    let to = [2, 0, 0, 0, 0, 1];
    pf.send(&frame(to, pf.mac(), b"1"));
    assert_eq!(pf.port.take_interrupts(), [2]);
    rig.write(pf.queues[1].avail, &AVAIL_NO_INTERRUPT.to_le_bytes());
    pf.send(&frame(to, pf.mac(), b"2"));
    assert!(pf.port.take_interrupts().is_empty());
    rig.write(pf.queues[1].avail, &[0, 0]);
    pf.send(&frame(to, pf.mac(), b"3"));
    assert_eq!(pf.port.take_interrupts(), [2]);
    assert_eq!(rig.counter(0, "interrupts"), 2);
}

#[test]
fn interrupts_with_event_index_come_at_the_event() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let to = [2, 0, 0, 0, 0, 1];
    // used_event follows the available ring.
    let used_event = pf.queues[1].avail + 4 + 2 * 16;
    rig.write(used_event, &3u16.to_le_bytes());
    let mut raised = Vec::new();
    for number in 0..6u8 {
        pf.send(&frame(to, pf.mac(), &[number]));
        raised.push(pf.port.take_interrupts().len());
    }
    assert_eq!(raised, [0, 0, 0, 1, 0, 0]);
    // avail_event asks for the next buffer.
    let avail_event = pf.queues[1].used + 4 + 8 * 16;
    assert_eq!(rig.read_u16(avail_event), 6);
    // Several buffers at one notification are one interrupt.
    rig.write(used_event, &7u16.to_le_bytes());
    for _ in 0..4 {
        let sent = frame(to, pf.mac(), b"batch");
        pf.add(1, &[&[0; NET_HEADER], &sent], &[]);
    }
    pf.kick(1);
    assert_eq!(pf.port.take_interrupts(), [2]);
    assert_eq!(rig.read_u16(pf.queues[1].used + 2), 10);
}

#[test]
fn receive_interrupts() {
    let rig = Rig::plain(2);
    let mut pf = Driver::up(&rig, 0, F_EVENT_IDX);
    let mut vf = Driver::up(&rig, 1, F_EVENT_IDX);
    let offered = vf.offer(2048);
    pf.send(&frame(vf.mac(), pf.mac(), b"x"));
    assert!(vf.take(offered).is_some());
    assert_eq!(vf.port.take_interrupts(), [1]);
}

#[test]
fn nothing_moves_before_driver_ok() {
    let rig = Rig::plain(1);
    let mut pf = Driver::new(&rig, 0);
    let features = pf.offered();
    assert!(pf.negotiate(features));
    for queue in 0..4 {
        pf.enable_queue(queue, 16);
    }
    let (head, _) = pf.add(
        1,
        &[&[0; NET_HEADER], &frame([2; 6], [4; 6], b"early")],
        &[],
    );
    pf.kick(1);
    assert_eq!(pf.used(1), None);
    // What was made available before is found when the driver comes up.
    pf.drive();
    assert_eq!(pf.used(1), Some((head, 0)));
}

#[test]
fn a_lot_of_work_at_once_is_done_in_the_end() {
    let rig = Rig::plain(1);
    let mut pf = Driver::new(&rig, 0);
    let features = pf.offered();
    assert!(pf.negotiate(features));
    pf.enable_queue(0, 16);
    pf.enable_queue(1, 256);
    pf.drive();
    let sent = frame([2; 6], pf.mac(), b"burst");
    let place = pf.alloc(0x1000);
    rig.write(place, &[vec![0; NET_HEADER], sent.clone()].concat());
    for round in 0..4u16 {
        for slot in 0..256 {
            pf.write_desc(1, slot, (place, (NET_HEADER + sent.len()) as u32, 0, 0));
            pf.push(1, slot);
        }
        pf.kick(1);
        // The worker may do the rest: wait for it as a driver does.
        while rig.read_u16(pf.queues[1].used + 2) != (round + 1) * 256 {
            std::thread::yield_now();
        }
    }
    assert_eq!(rig.counter(0, "tx_frames"), 1024);
}

/// A PF and a VF with four queue pairs each.
fn four_pairs() -> Rig {
    let config = Config {
        queue_pairs: 4,
        ..Config::default()
    };
    Rig::new(config, 1)
}

/// How many frames each of four pairs of `driver` has received.
fn received(rig: &Rig, driver: &Driver) -> [u16; 4] {
    std::array::from_fn(|pair| rig.read_u16(driver.queues[2 * pair].used + 2))
}

#[test]
fn flows_are_spread_over_the_pairs_in_use() {
    let rig = four_pairs();
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    for pair in 0..4 {
        for _ in 0..16 {
            vf.add(2 * pair, &[], &[256]);
        }
    }
    let flow = |port: u8| {
        let mut ipv4 = frame(vf.mac(), pf.mac(), &[0; 40]);
        ipv4[12..14].copy_from_slice(&[0x08, 0x00]);
        ipv4[14] = 0x45;
        ipv4[23] = 17;
        ipv4[35] = port;
        ipv4
    };
    let flows: Vec<_> = (0..12).map(flow).collect();
    // One pair is in use until the driver says otherwise.
    pf.send(&flows[0]);
    assert_eq!(received(&rig, &vf), [1, 0, 0, 0]);
    assert_eq!(vf.control(CTRL_MQ, CTRL_MQ_VQ_PAIRS_SET, &[4, 0]), NET_OK);
    for flow in &flows {
        pf.send_on(3, flow);
    }
    let used = received(&rig, &vf);
    assert_eq!(used.iter().sum::<u16>(), 13);
    assert!(used.iter().filter(|&&n| n > 0).count() > 1, "{used:?}");
    // The same flow takes the same way.
    for _ in 0..2 {
        let before = received(&rig, &vf);
        pf.send(&flows[5]);
        let after = received(&rig, &vf);
        let changed: Vec<usize> = (0..4).filter(|&p| before[p] != after[p]).collect();
        assert_eq!(changed.len(), 1);
    }
}

/// 5.1.9.5.6: what belongs to a flow comes on the pair on which the driver last sent
/// for it.
#[test]
fn flows_come_back_on_the_pair_that_sent_them() {
    let rig = four_pairs();
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let (vf_mac, pf_mac) = (vf.mac(), pf.mac());
    // IPv4 and IPv6, between two hosts and ports.
    let v4 = |to, from, source: [u8; 6], target: [u8; 6]| {
        let mut frame = frame(to, from, &[0; 40]);
        frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        frame[23] = 6;
        frame[26..30].copy_from_slice(&source[..4]);
        frame[30..34].copy_from_slice(&target[..4]);
        frame[34..36].copy_from_slice(&source[4..]);
        frame[36..38].copy_from_slice(&target[4..]);
        frame
    };
    let v6 = |to, from, source: [u8; 6], target: [u8; 6]| {
        let mut frame = frame(to, from, &[0; 60]);
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[20] = 17;
        frame[34..38].copy_from_slice(&source[..4]);
        frame[50..54].copy_from_slice(&target[..4]);
        frame[54..56].copy_from_slice(&source[4..]);
        frame[56..58].copy_from_slice(&target[4..]);
        frame
    };
    let far = [10, 0, 0, 9, 0, 80];
    let mut came = [0; 4];
    let mut check = |vf: &Driver, expected: usize| {
        came[expected] += 1;
        assert_eq!(received(&rig, vf), came, "expected on pair {expected}");
    };
    assert_eq!(vf.control(CTRL_MQ, CTRL_MQ_VQ_PAIRS_SET, &[4, 0]), NET_OK);
    for port in 1..=8 {
        let near = [10, 0, 0, 1, 0, port];
        // On one pair, then on another.
        for pair in [port % 4, (port + 1) % 4] {
            let queue = u16::from(2 * pair + 1);
            // Only where they are expected is there room for them.
            vf.add(queue - 1, &[], &[256]);
            vf.add(queue - 1, &[], &[256]);
            vf.send_on(queue, &v4(pf_mac, vf_mac, near, far));
            pf.send(&v4(vf_mac, pf_mac, far, near));
            check(&vf, pair.into());
            vf.send_on(queue, &v6(pf_mac, vf_mac, near, far));
            pf.send(&v6(vf_mac, pf_mac, far, near));
            check(&vf, pair.into());
        }
    }
    // A pair that is no longer in use gets nothing.
    let near = [10, 0, 0, 1, 0, 1];
    vf.add(0, &[], &[256]);
    vf.send_on(7, &v4(pf_mac, vf_mac, near, far));
    assert_eq!(vf.control(CTRL_MQ, CTRL_MQ_VQ_PAIRS_SET, &[1, 0]), NET_OK);
    pf.send(&v4(vf_mac, pf_mac, far, near));
    check(&vf, 0);
}

#[test]
fn without_multiqueue_the_control_queue_is_the_third() {
    let rig = four_pairs();
    let mut vf = Driver::new(&rig, 1);
    let features = vf.offered() & !F_MQ;
    assert!(vf.negotiate(features));
    for queue in 0..3 {
        vf.enable_queue(queue, 16);
    }
    vf.drive();
    let (head, places) = vf.add(2, &[&[CTRL_RX, CTRL_RX_PROMISC, 1]], &[1]);
    vf.kick(2);
    assert_eq!(vf.used(2), Some((head, 1)));
    assert_eq!(rig.read(places[1], 1), [NET_OK]);
}

#[test]
fn a_function_hears_broadcasts_but_not_its_own() {
    let rig = Rig::plain(2);
    let mut drivers: Vec<_> = (0..3).map(|index| Driver::up(&rig, index, 0)).collect();
    let offered: Vec<_> = drivers
        .iter_mut()
        .map(|driver| driver.offer(2048))
        .collect();
    let sent = frame(BROADCAST, drivers[1].mac(), b"all");
    drivers[1].send(&sent);
    assert_eq!(drivers[0].take(offered[0]), Some(sent.clone()));
    assert_eq!(drivers[1].take(offered[1]), None);
    assert_eq!(drivers[2].take(offered[2]), Some(sent));
}
