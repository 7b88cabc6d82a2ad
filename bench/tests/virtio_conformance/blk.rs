// SPDX-License-Identifier: GPL-2.0
//! The block device: identity, requests, and what ends them badly.

use vfio_bench::virtio::blk::Config as BlkConfig;
use vfio_bench::virtio::blk::disk::Medium;
use vfio_bench::virtio::machine::{Config, DeviceType};

use crate::driver::{Driver, Places};
use crate::rig::Rig;
use crate::wire::*;

pub const SECTORS: u64 = 2048;

/// A machine of block devices with a disk of [`SECTORS`] sectors in memory.
pub fn rig(queues: u16, vfs: u16) -> Rig {
    let blk = BlkConfig {
        queues,
        medium: Medium::Memory(SECTORS * SECTOR as u64),
    };
    let config = Config {
        device: DeviceType::Blk(blk),
        ..Config::default()
    };
    Rig::new(config, vfs)
}

/// Sectors that nobody else has: each word says who wrote it, and where it is.
pub fn pattern(tag: u32, sectors: usize) -> Vec<u8> {
    (0..sectors * SECTOR / 8)
        .flat_map(|word| ((u64::from(tag) << 32) | word as u64).to_le_bytes())
        .collect()
}

fn header(kind: u32, sector: u64) -> Vec<u8> {
    let mut header = kind.to_le_bytes().to_vec();
    header.extend([0; 4]);
    header.extend(sector.to_le_bytes());
    header
}

/// A range to discard or to write zeroes to.
pub fn range(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    let mut range = sector.to_le_bytes().to_vec();
    range.extend(sectors.to_le_bytes());
    range.extend(flags.to_le_bytes());
    range
}

/// A request of any kind on a queue; status and data.
fn request_on(
    driver: &mut Driver,
    queue: u16,
    (kind, sector): (u32, u64),
    data: &[u8],
    room: u32,
) -> (u8, Vec<u8>) {
    let header = header(kind, sector);
    let out: &[&[u8]] = match data {
        [] => &[&header],
        data => &[&header, data],
    };
    let rooms: &[u32] = match room {
        0 => &[1],
        room => &[room, 1],
    };
    let (head, places) = driver.add(queue, out, rooms);
    let writable = &places[out.len()..];
    for (place, len) in writable.iter().zip(rooms) {
        driver.rig.write(*place, &vec![0xee; *len as usize]);
    }
    driver.kick(queue);
    assert_eq!(driver.used(queue), Some((head, room + 1)));
    let status = driver.rig.read(writable[writable.len() - 1], 1)[0];
    let data = match room {
        0 => Vec::new(),
        room => driver.rig.read(writable[0], room as usize),
    };
    (status, data)
}

pub fn request(
    driver: &mut Driver,
    kind: u32,
    sector: u64,
    data: &[u8],
    room: u32,
) -> (u8, Vec<u8>) {
    request_on(driver, 0, (kind, sector), data, room)
}

pub fn write(driver: &mut Driver, sector: u64, data: &[u8]) -> u8 {
    request(driver, BLK_T_OUT, sector, data, 0).0
}

pub fn read(driver: &mut Driver, sector: u64, sectors: usize) -> Vec<u8> {
    let (status, data) = request(driver, BLK_T_IN, sector, &[], (sectors * SECTOR) as u32);
    assert_eq!(status, BLK_S_OK);
    data
}

#[test]
fn identity_features_and_configuration() {
    let rig = rig(1, 1);
    let features = F_BLK_SEG_MAX
        | F_BLK_BLK_SIZE
        | F_BLK_FLUSH
        | F_BLK_DISCARD
        | F_BLK_WRITE_ZEROES
        | F_INDIRECT_DESC
        | F_EVENT_IDX
        | F_VERSION_1
        | F_ACCESS_PLATFORM;
    assert_eq!(
        Driver::new(&rig, 0).offered(),
        features | F_SR_IOV | F_ADMIN_VQ
    );
    assert_eq!(Driver::new(&rig, 1).offered(), features);
    for (index, function) in rig.functions.iter().enumerate() {
        let identity = function.identity();
        assert_eq!((identity.vendor, identity.device), (0x1af4, 0x1042));
        assert_eq!(identity.class >> 16, 1, "mass storage");
        let driver = Driver::new(&rig, index);
        assert_eq!(driver.r16(NUM_QUEUES), 1);
        let device = Places::find(function.as_ref()).device;
        let config: [u8; 64] = driver.read(device);
        let le32 = |at: usize| u32::from_le_bytes(config[at..at + 4].try_into().expect("four"));
        assert_eq!(config[..8], SECTORS.to_le_bytes());
        driver.w16(QUEUE_SELECT, 0);
        let size = u32::from(driver.r16(QUEUE_SIZE));
        assert!((1..=size - 2).contains(&le32(12)), "seg_max fits the queue");
        assert_eq!(le32(20), SECTOR as u32, "blk_size");
        assert_eq!(config[34..36], [1, 0], "num_queues");
        for (at, name) in [
            (36, "discard sectors"),
            (40, "discard ranges"),
            (44, "discard alignment"),
            (48, "write zeroes sectors"),
            (52, "write zeroes ranges"),
        ] {
            assert_ne!(le32(at), 0, "{name}");
        }
        // What was not offered, and the padding behind.
        for unused in [8..12, 16..20, 24..34, 57..64] {
            assert!(config[unused.clone()].iter().all(|&b| b == 0), "{unused:?}");
        }
        // All of it is read-only.
        function.write_bar(device, &[0xff; 8]);
        assert_eq!(driver.read::<64>(device), config);
    }
}

#[test]
fn what_is_written_is_read_by_all_functions() {
    let rig = rig(1, 2);
    let mut drivers: Vec<_> = (0..3).map(|index| Driver::up(&rig, index, 0)).collect();
    assert_eq!(read(&mut drivers[1], 0, 8), vec![0; 8 * SECTOR]);
    for (tag, sector, sectors) in [(1, 0, 1), (2, 100, 255), (3, SECTORS - 3, 3)] {
        let data = pattern(tag, sectors);
        assert_eq!(write(&mut drivers[1], sector, &data), BLK_S_OK);
        for driver in &mut drivers {
            assert_eq!(read(driver, sector, sectors), data);
        }
    }
    assert_eq!(read(&mut drivers[2], 1, 99), vec![0; 99 * SECTOR]);
    assert_eq!(rig.counter(1, "requests"), 7);
    assert_eq!(rig.counter(1, "failed_requests"), 0);
    assert_eq!(rig.counter(1, "written_bytes"), 259 * SECTOR as u64);
    assert_eq!(rig.counter(1, "read_bytes"), 267 * SECTOR as u64);
    assert_eq!(rig.counter(2, "written_bytes"), 0);
}

#[test]
fn a_request_may_be_cut_up_in_any_way() {
    let rig = rig(1, 1);
    let mut vf = Driver::up(&rig, 1, 0);
    let data = pattern(7, 2);
    let whole = [header(BLK_T_OUT, 5), data.clone()].concat();
    // The header in two pieces, one of which has data too.
    let (head, places) = vf.add(
        0,
        &[&whole[..3], &whole[3..700], &whole[700..701], &whole[701..]],
        &[1],
    );
    vf.kick(0);
    assert_eq!(vf.used(0), Some((head, 1)));
    assert_eq!(rig.read(places[4], 1), [BLK_S_OK]);
    // Data in pieces, the status at the end of the last.
    let header = header(BLK_T_IN, 5);
    let (head, places) = vf.add(0, &[&header[..9], &header[9..]], &[1, 510, 514]);
    vf.kick(0);
    assert_eq!(vf.used(0), Some((head, 1025)));
    let mut got = rig.read(places[2], 1);
    got.extend(rig.read(places[3], 510));
    got.extend(rig.read(places[4], 514));
    assert_eq!(got.pop(), Some(BLK_S_OK));
    assert_eq!(got, data);
}

#[test]
fn requests_beyond_the_disk_fail_and_do_nothing() {
    let rig = rig(1, 1);
    let mut vf = Driver::up(&rig, 1, 0);
    let last = pattern(1, 1);
    assert_eq!(write(&mut vf, SECTORS - 1, &last), BLK_S_OK);
    for (sector, sectors) in [
        (SECTORS, 1),
        (SECTORS - 1, 2),
        (u64::MAX, 1),
        (u64::MAX / SECTOR as u64 + 1, 1),
        (0, SECTORS as usize + 1),
    ] {
        assert_eq!(
            write(&mut vf, sector, &pattern(9, sectors)),
            BLK_S_IOERR,
            "write {sectors} at {sector:#x}"
        );
        let (status, data) = request(&mut vf, BLK_T_IN, sector, &[], (sectors * SECTOR) as u32);
        assert_eq!(status, BLK_S_IOERR, "read {sectors} at {sector:#x}");
        assert!(data.iter().all(|&byte| byte == 0), "nothing is left over");
    }
    assert_eq!(read(&mut vf, SECTORS - 1, 1), last);
    assert_eq!(read(&mut vf, 0, 1), vec![0; SECTOR]);
    assert_eq!(rig.counter(1, "failed_requests"), 10);
    assert_eq!(vf.status() & NEEDS_RESET, 0);
}

#[test]
fn data_of_the_wrong_length_or_direction_fail() {
    let rig = rig(1, 1);
    let mut vf = Driver::up(&rig, 1, 0);
    for (kind, data, room) in [
        (BLK_T_OUT, 511, 0),
        (BLK_T_OUT, 513, 0),
        (BLK_T_OUT, 512, 1),
        (BLK_T_IN, 0, 511),
        (BLK_T_IN, 512, 512),
        (BLK_T_FLUSH, 512, 0),
        (BLK_T_FLUSH, 0, 512),
        (BLK_T_GET_ID, 0, 19),
        (BLK_T_GET_ID, 1, 20),
        (BLK_T_DISCARD, 0, 0),
        (BLK_T_DISCARD, 15, 0),
        (BLK_T_WRITE_ZEROES, 17, 0),
    ] {
        let (status, _) = request(&mut vf, kind, 0, &vec![0; data], room);
        assert_eq!(status, BLK_S_IOERR, "{kind} {data} {room}");
    }
    assert_eq!(vf.status() & NEEDS_RESET, 0);
    // Nothing at all may be read and written anywhere on the disk.
    assert_eq!(write(&mut vf, SECTORS, &[]), BLK_S_OK);
    assert!(read(&mut vf, SECTORS, 0).is_empty());
}

#[test]
fn unknown_requests_are_unsupported() {
    let rig = rig(1, 1);
    let mut vf = Driver::up(&rig, 1, 0);
    for kind in [2, 3, 5, 9, 10, 14, 15, 0x8000_0000, u32::MAX] {
        let (status, data) = request(&mut vf, kind, 0, &[], 512);
        assert_eq!(status, BLK_S_UNSUPP, "{kind}");
        assert_eq!(data, [0; 512]);
    }
}

#[test]
fn flush_and_identifier() {
    let rig = rig(1, 2);
    let mut vf = Driver::up(&rig, 1, 0);
    let mut other = Driver::up(&rig, 2, 0);
    assert_eq!(request(&mut vf, BLK_T_FLUSH, 0, &[], 0).0, BLK_S_OK);
    assert_eq!(rig.counter(1, "flushes"), 1);
    let (status, id) = request(&mut vf, BLK_T_GET_ID, 0, &[], BLK_ID_BYTES);
    assert_eq!(status, BLK_S_OK);
    assert_ne!(id[0], 0);
    assert!(id.is_ascii());
    let elsewhere = request(&mut other, BLK_T_GET_ID, 0, &[], BLK_ID_BYTES).1;
    assert_eq!(id, elsewhere, "it is the same disk");
    let (_, long) = request(&mut vf, BLK_T_GET_ID, 0, &[], 32);
    assert_eq!(long[..20], id);
    assert_eq!(long[20..], [0; 12]);
}

#[test]
fn features_that_were_not_accepted_are_not_there() {
    let rig = rig(1, 1);
    let mut vf = Driver::up(
        &rig,
        1,
        F_BLK_FLUSH | F_BLK_DISCARD | F_BLK_WRITE_ZEROES | F_BLK_SEG_MAX,
    );
    assert_eq!(request(&mut vf, BLK_T_FLUSH, 0, &[], 0).0, BLK_S_UNSUPP);
    for kind in [BLK_T_DISCARD, BLK_T_WRITE_ZEROES] {
        let status = request(&mut vf, kind, 0, &range(0, 1, 0), 0).0;
        assert_eq!(status, BLK_S_UNSUPP);
    }
    let data = pattern(3, 1);
    assert_eq!(write(&mut vf, 0, &data), BLK_S_OK);
    assert_eq!(read(&mut vf, 0, 1), data);
}

#[test]
fn ranges_are_discarded_and_zeroed() {
    for (kind, flags) in [
        (BLK_T_DISCARD, 0),
        (BLK_T_WRITE_ZEROES, 0),
        (BLK_T_WRITE_ZEROES, BLK_UNMAP),
    ] {
        let rig = rig(1, 1);
        let mut vf = Driver::up(&rig, 1, 0);
        let data = pattern(1, 64);
        assert_eq!(write(&mut vf, 8, &data), BLK_S_OK);
        // A range of nothing is one, too.
        let ranges = [range(10, 3, flags), range(70, 2, flags), range(9, 0, flags)].concat();
        assert_eq!(request(&mut vf, kind, 0, &ranges, 0).0, BLK_S_OK);
        let mut expected = data.clone();
        expected[2 * SECTOR..5 * SECTOR].fill(0);
        expected[62 * SECTOR..].fill(0);
        assert_eq!(read(&mut vf, 8, 64), expected, "request {kind}");
        // All or nothing: the last range is impossible.
        for (bad, status) in [
            (range(SECTORS, 1, flags), BLK_S_IOERR),
            (range(SECTORS - 1, 2, flags), BLK_S_IOERR),
            (range(u64::MAX, 2, flags), BLK_S_IOERR),
            (range(0, u32::MAX, flags), BLK_S_IOERR),
            (range(20, 1, flags | 2), BLK_S_UNSUPP),
        ] {
            let ranges = [range(20, 1, flags), bad].concat();
            assert_eq!(request(&mut vf, kind, 0, &ranges, 0).0, status);
        }
        // A flag that nobody knows, wherever it is.
        let both = [range(SECTORS, 1, flags), range(20, 1, flags | 2)].concat();
        assert_eq!(request(&mut vf, kind, 0, &both, 0).0, BLK_S_UNSUPP);
        let many = range(20, 1, flags).repeat(1000);
        assert_eq!(request(&mut vf, kind, 0, &many, 0).0, BLK_S_IOERR);
        assert_eq!(read(&mut vf, 8, 64), expected, "request {kind}");
    }
}

#[test]
fn a_discard_cannot_ask_to_unmap() {
    let rig = rig(1, 1);
    let mut vf = Driver::up(&rig, 1, 0);
    let status = request(&mut vf, BLK_T_DISCARD, 0, &range(0, 1, BLK_UNMAP), 0).0;
    assert_eq!(status, BLK_S_UNSUPP);
}

#[test]
fn every_queue_works_if_multiqueue_was_accepted() {
    let rig = rig(4, 1);
    let mut vf = Driver::up(&rig, 1, 0);
    assert_eq!(vf.offered() & F_BLK_MQ, F_BLK_MQ);
    assert_eq!(vf.read::<2>(vf.places.device + 34), [4, 0]);
    assert_eq!(vf.r16(NUM_QUEUES), 4);
    for queue in 0..4 {
        vf.port.take_interrupts();
        let data = pattern(queue.into(), 1);
        let done = request_on(&mut vf, queue, (BLK_T_OUT, queue.into()), &data, 0);
        assert_eq!(done.0, BLK_S_OK);
        assert_eq!(vf.port.take_interrupts(), [queue + 1]);
        assert_eq!(read(&mut vf, queue.into(), 1), data);
    }
    // Else the first is the only one.
    let mut vf = Driver::up(&rig, 1, F_BLK_MQ);
    assert_eq!(write(&mut vf, 0, &pattern(9, 1)), BLK_S_OK);
    vf.add(1, &[&header(BLK_T_OUT, 0), &pattern(8, 1)], &[1]);
    vf.kick(1);
    assert_eq!(vf.used(1), None);
    assert_eq!(read(&mut vf, 0, 1), pattern(9, 1));
}

#[test]
fn requests_that_cannot_be_parted_break_the_device() {
    for (out, room) in [(15, 1), (16, 0), (0, 1)] {
        let rig = rig(1, 2);
        let mut vf = Driver::up(&rig, 1, 0);
        let mut other = Driver::up(&rig, 2, 0);
        let header = vec![0; out];
        let out: &[&[u8]] = if out == 0 { &[] } else { &[&header] };
        vf.add(0, out, if room == 0 { &[] } else { &[1] });
        vf.kick(0);
        assert_ne!(vf.status() & NEEDS_RESET, 0);
        assert_eq!(vf.used(0), None);
        assert_eq!(write(&mut other, 0, &pattern(1, 1)), BLK_S_OK);
        let mut again = Driver::up(&rig, 1, 0);
        assert_eq!(read(&mut again, 0, 1), pattern(1, 1));
    }
}

#[test]
fn data_where_no_memory_is_break_the_device() {
    for (kind, flags) in [(BLK_T_IN, DESC_WRITE), (BLK_T_OUT, 0)] {
        let rig = rig(1, 1);
        let mut vf = Driver::up(&rig, 1, 0);
        let (request, status) = (vf.alloc(16), vf.alloc(1));
        rig.write(request, &header(kind, 0));
        vf.write_desc(0, 0, (request, 16, DESC_NEXT, 1));
        vf.write_desc(0, 1, (u64::MAX - 4096, 512, flags | DESC_NEXT, 2));
        vf.write_desc(0, 2, (status, 1, DESC_WRITE, 0));
        vf.push(0, 0);
        vf.kick(0);
        assert_ne!(vf.status() & NEEDS_RESET, 0);
        assert_eq!(vf.used(0), None);
    }
}

#[test]
fn a_burst_is_done_to_the_end() {
    let rig = rig(1, 0);
    let mut pf = Driver::new(&rig, 0);
    let features = pf.offered();
    assert!(pf.negotiate(features));
    pf.enable_queue(0, 128);
    pf.drive();
    // 128 requests in one table each, all made available at once.
    let (request, status) = (pf.alloc(16), pf.alloc(1));
    rig.write(request, &header(BLK_T_FLUSH, 0));
    let table = pf.alloc(32);
    pf.write_desc_at(table, 0, (request, 16, DESC_NEXT, 1));
    pf.write_desc_at(table, 1, (status, 1, DESC_WRITE, 0));
    for slot in 0..128 {
        pf.write_desc(0, slot, (table, 32, DESC_INDIRECT, 0));
        pf.push(0, slot);
    }
    pf.kick(0);
    while rig.read_u16(pf.queues[0].used + 2) != 128 {
        std::thread::yield_now();
    }
    assert_eq!(rig.counter(0, "flushes"), 128);
}
