// SPDX-License-Identifier: GPL-2.0
//! Block devices that are stopped and moved: device parts, requests in flight.

use std::time::Duration;

use serde_json::json;
use vfio_bench::virtio::blk::Config as BlkConfig;
use vfio_bench::virtio::blk::disk::Medium;
use vfio_bench::virtio::machine::{Config, DeviceType, Machine};

use crate::blk::{SECTORS, pattern, read, rig, write};
use crate::driver::Driver;
use crate::parts::{split, without_select};
use crate::rig::Rig;
use crate::wire::*;

/// Long enough that no test sees the end of it.
const FOREVER_MS: u64 = 600_000;

fn slow(rig: &Rig, delay_ms: u64) {
    rig.control(json!({"cmd": "slow-disk", "delay_ms": delay_ms}));
}

/// A PF, and a driver at VF 1.
fn ready(rig: &Rig) -> (Driver<'_>, Driver<'_>) {
    let mut pf = Driver::up(rig, 0, 0);
    pf.linux_admin_setup();
    (pf, Driver::up(rig, 1, 0))
}

/// Makes a write request without waiting for it; head and place of the status.
fn begin_write(vf: &mut Driver, sector: u64, data: &[u8]) -> (u16, u64) {
    let mut header = BLK_T_OUT.to_le_bytes().to_vec();
    header.extend([0; 4]);
    header.extend(sector.to_le_bytes());
    let (head, places) = vf.add(0, &[&header, data], &[1]);
    vf.kick(0);
    (head, places[2])
}

#[test]
fn there_are_no_parts_of_the_device_type() {
    let rig = rig(2, 1);
    let (_, vf) = ready(&rig);
    let parts = split(&rig.parts(1));
    let count = |kind| parts.iter().filter(|part| part.kind == kind).count();
    assert_eq!(count(PART_VQ_CFG), 2);
    assert_eq!(count(PART_DEVICE_STATUS), 1);
    assert!(
        parts
            .iter()
            .all(|part| (PART_DEV_FEATURES..=PART_VQ_NOTIFY_CFG).contains(&part.kind))
    );
    assert_eq!(parts[1].value, vf.features.to_le_bytes());
}

#[test]
fn parts_of_a_network_device_are_refused() {
    let blk = rig(1, 1);
    let (mut pf, _) = ready(&blk);
    assert_eq!(pf.create(1, 0, OBJ_SET), S_OK);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    let net = Rig::plain(1).parts(1);
    let before = blk.parts(1);
    assert_eq!(pf.set_parts(1, 0, &net).0, EINVAL);
    // Nor alone, without those that do not fit either.
    let last: Vec<_> = split(&net)
        .into_iter()
        .filter(|part| part.kind == PART_NET_CVQ_CFG)
        .take(1)
        .collect();
    assert_eq!(last.len(), 1);
    assert_eq!(pf.set_parts(1, 0, &crate::parts::join(&last)).0, EINVAL);
    assert_eq!(blk.parts(1), before);
}

#[test]
fn a_driver_goes_on_with_another_function() {
    let rig = rig(2, 2);
    let (mut pf, mut vf) = ready(&rig);
    let before = pattern(1, 16);
    assert_eq!(write(&mut vf, 64, &before), BLK_S_OK);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    let parts = rig.parts(1);
    assert_eq!(pf.create(2, 0, OBJ_SET), S_OK);
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    assert_eq!(rig.parts(2), parts);
    vf.move_to(2);
    // Made while nobody executes anything.
    let after = pattern(2, 16);
    let (head, status) = begin_write(&mut vf, 80, &after);
    assert_eq!(vf.used(0), None);
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert_eq!(vf.used(0), Some((head, 1)));
    assert_eq!(rig.read(status, 1), [BLK_S_OK]);
    let raised = vf.port.take_interrupts();
    assert!(raised.contains(&1) && raised.contains(&2), "{raised:?}");
    assert_eq!(read(&mut vf, 64, 32), [before, after].concat());
}

#[test]
fn a_slow_disk_takes_its_time() {
    let rig = rig(1, 1);
    let (_, mut vf) = ready(&rig);
    slow(&rig, 5);
    let (head, status) = begin_write(&mut vf, 0, &pattern(1, 1));
    while rig.read_u16(vf.queues[0].used + 2) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(vf.used(0), Some((head, 1)));
    assert_eq!(rig.read(status, 1), [BLK_S_OK]);
    slow(&rig, 0);
    assert_eq!(read(&mut vf, 0, 1), pattern(1, 1));
}

#[test]
fn stopping_completes_what_is_in_flight() {
    let rig = rig(1, 2);
    let (mut pf, mut vf) = ready(&rig);
    slow(&rig, FOREVER_MS);
    let begun: Vec<_> = (0..4u8)
        .map(|sector| begin_write(&mut vf, sector.into(), &pattern(sector.into(), 1)))
        .collect();
    assert_eq!(vf.used(0), None, "in flight");
    let state = rig.state(1);
    assert_eq!(state["queues"][0]["next_avail"], 4);
    assert_eq!(state["queues"][0]["next_used"], 0);
    vf.port.take_interrupts();
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    // All of them, and before the driver of the PF hears of it.
    for (head, status) in begun {
        assert_eq!(vf.used(0), Some((head, 1)));
        assert_eq!(rig.read(status, 1), [BLK_S_OK]);
    }
    assert_eq!(vf.port.take_interrupts(), [1]);
    assert_eq!(rig.counter(1, "drained_requests"), 4);
    // So a ring that is loaded elsewhere continues at the right place.
    let parts = rig.parts(1);
    assert_eq!(pf.create(2, 0, OBJ_SET), S_OK);
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    slow(&rig, 0);
    assert_eq!(pf.set_mode(2, 0), S_OK);
    vf.move_to(2);
    let all: Vec<u8> = (0..4).flat_map(|tag| pattern(tag, 1)).collect();
    assert_eq!(read(&mut vf, 0, 4), all);
}

#[test]
fn resets_forget_what_is_in_flight() {
    let rig = rig(1, 1);
    let (mut pf, mut vf) = ready(&rig);
    slow(&rig, FOREVER_MS);
    begin_write(&mut vf, 0, &pattern(1, 1));
    rig.flr(1);
    rig.dma_pages("vf1");
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert!(rig.dma_pages("vf1").is_empty());
    slow(&rig, 0);
    let mut again = Driver::up(&rig, 1, 0);
    assert_eq!(write(&mut again, 1, &pattern(2, 1)), BLK_S_OK);
}

#[test]
fn a_broken_device_forgets_what_is_in_flight() {
    let rig = rig(1, 1);
    let (mut pf, mut vf) = ready(&rig);
    slow(&rig, FOREVER_MS);
    begin_write(&mut vf, 0, &pattern(1, 1));
    vf.add(0, &[&[0; 3]], &[1]);
    vf.kick(0);
    assert_ne!(vf.status() & NEEDS_RESET, 0);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(vf.used(0), None);
    // Parts that make it whole again do not bring the requests back.
    slow(&rig, 0);
    let healthy = {
        let other = self::rig(1, 1);
        let _driver = Driver::up(&other, 1, 0);
        other.parts(1)
    };
    assert_eq!(pf.create(1, 0, OBJ_SET), S_OK);
    assert_eq!(pf.set_parts(1, 0, &healthy), S_OK);
    assert_eq!(without_select(&rig.parts(1)), without_select(&healthy));
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(rig.state(1)["queues"][0]["next_used"], 0);
}

#[test]
fn only_disks_can_be_slow() {
    let net = Rig::plain(1);
    net.control_fails(json!({"cmd": "slow-disk", "delay_ms": 1}));
    let blk = rig(1, 1);
    blk.control_fails(json!({"cmd": "slow-disk", "delay_ms": FOREVER_MS + 1}));
    blk.control_fails(json!({"cmd": "slow-disk"}));
}

fn machine(queues: u16, medium: Medium) -> Result<(), String> {
    let memory = Rig::plain(0);
    let config = Config {
        device: DeviceType::Blk(BlkConfig { queues, medium }),
        ..Config::default()
    };
    let ports = vec![memory.ports[0].clone() as vfio_bench::function::PortRef];
    let made = Machine::new(config, ports);
    made.map(drop).map_err(|error| error.to_string())
}

#[test]
fn impossible_disks_are_refused() {
    let size = SECTORS * SECTOR as u64;
    assert_eq!(machine(1, Medium::Memory(size)), Ok(()));
    for size in [0, 511, 513, u64::MAX - 511, u64::MAX] {
        machine(1, Medium::Memory(size)).expect_err("an impossible size");
    }
    for queues in [0, 9] {
        machine(queues, Medium::Memory(size)).expect_err("an impossible number");
    }
    let missing = machine(1, Medium::Image("/nonexistent/disk".into()));
    assert!(missing.expect_err("no file").contains("/nonexistent/disk"));
}
