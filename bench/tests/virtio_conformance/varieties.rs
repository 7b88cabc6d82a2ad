// SPDX-License-Identifier: GPL-2.0
//! Devices that have or lack what the bench's do not by default, and devices that change.

use serde_json::json;
use vfio_bench::virtio::blk::Config as BlkConfig;
use vfio_bench::virtio::blk::disk::Medium;
use vfio_bench::virtio::machine::{Config, DeviceType, Machine};
use vfio_bench::virtio::variety::Variety;

use crate::driver::{Command, Driver, frame};
use crate::parts::{Part, join, ready_to_set, split};
use crate::rig::Rig;
use crate::wire::*;

fn rig(variety: Variety) -> Rig {
    Rig::new(
        Config {
            variety,
            ..Config::default()
        },
        2,
    )
}

fn differing(differences: &[&str]) -> Variety {
    let parsed = differences
        .iter()
        .map(|text| text.parse().expect("possible"));
    Variety {
        differences: parsed.collect(),
        ..Variety::default()
    }
}

/// A block machine with two VFs and a disk in memory of 64 sectors.
fn blk(variety: Variety) -> Rig {
    let blk = BlkConfig {
        queues: 1,
        medium: Medium::Memory(64 * SECTOR as u64),
    };
    Rig::new(
        Config {
            device: DeviceType::Blk(blk),
            variety,
            ..Config::default()
        },
        2,
    )
}

/// A PF that can stop VF 1.
fn owner(rig: &Rig) -> Driver<'_> {
    let mut pf = Driver::up(rig, 0, 0);
    pf.linux_admin_setup();
    pf
}

#[test]
fn features_of_the_transport_come_and_go() {
    let offered = |variety| Driver::new(&rig(variety), 1).offered();
    let usual = offered(Variety::default());
    for new in [F_ORDER_PLATFORM, F_NOTIFICATION_DATA, F_RING_RESET] {
        assert_eq!(usual & new, 0);
    }
    let all = Variety {
        no_event_idx: true,
        order_platform: true,
        notification_data: true,
        ring_reset: true,
        ..Variety::default()
    };
    assert_eq!(
        offered(all.clone()),
        usual & !F_EVENT_IDX | F_ORDER_PLATFORM | F_NOTIFICATION_DATA | F_RING_RESET
    );
    // Such a device works, and moves.
    let rig = rig(all);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let offered = vf.offer(2048);
    let sent = frame(vf.mac(), pf.mac(), b"all of it");
    pf.send(&sent);
    assert_eq!(vf.take(offered), Some(sent));
    let parts = rig.parts(1);
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
}

#[test]
fn notifications_carry_data() {
    let rig = rig(Variety {
        notification_data: true,
        ..Variety::default()
    });
    let pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let sent = frame(pf.mac(), vf.mac(), b"x");
    let (head, _) = vf.add(1, &[&[0; NET_HEADER], &sent], &[]);
    vf.w16(QUEUE_SELECT, 1);
    let slot = u64::from(vf.r16(QUEUE_NOTIFY_OFF));
    let at = vf.places.notify + slot * vf.places.notify_multiplier;
    // Without the data, of another queue.
    vf.function.write_bar(at, &[1, 0]);
    vf.function.write_bar(at, &[0, 0, 1, 0]);
    assert_eq!(vf.used(1), None);
    // Queue 1, next offset 1.
    vf.function.write_bar(at, &[1, 0, 1, 0]);
    assert_eq!(vf.used(1), Some((head, 0)));
}

#[test]
fn a_queue_is_reset_and_used_again() {
    let rig = rig(Variety {
        ring_reset: true,
        ..Variety::default()
    });
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let sent = frame(vf.mac(), pf.mac(), b"x");
    let old = vf.offer(2048);
    vf.w16(QUEUE_SELECT, 0);
    assert_eq!(vf.r16(QUEUE_RESET), 0);
    vf.w16(QUEUE_RESET, 1);
    assert_eq!((vf.r16(QUEUE_RESET), vf.r16(QUEUE_ENABLE)), (0, 0));
    assert_eq!(vf.r16(QUEUE_SIZE), 256, "as after a reset");
    // Nobody touches its buffers, and the other queues work.
    pf.send(&sent);
    assert_eq!(vf.take(old), None);
    let offered = pf.offer(2048);
    let answer = frame(pf.mac(), vf.mac(), b"y");
    vf.send(&answer);
    assert_eq!(pf.take(offered), Some(answer));
    // Elsewhere, and smaller.
    let others = vf.queues.split_off(1);
    vf.queues.clear();
    vf.enable_queue(0, 8);
    vf.queues.extend(others);
    let new = vf.offer(2048);
    pf.send(&sent);
    assert_eq!(vf.take(new), Some(sent));
}

#[test]
fn without_the_feature_no_queue_is_reset() {
    let rig = rig(Variety::default());
    let vf = Driver::up(&rig, 1, 0);
    vf.w16(QUEUE_SELECT, 0);
    vf.w16(QUEUE_RESET, 1);
    assert_eq!(vf.r16(QUEUE_ENABLE), 1);
}

#[test]
fn a_queue_that_was_reset_is_not_in_operation_on_the_target() {
    let rig = rig(Variety {
        ring_reset: true,
        ..Variety::default()
    });
    let vf = Driver::up(&rig, 1, 0);
    vf.w16(QUEUE_SELECT, 0);
    vf.w16(QUEUE_RESET, 1);
    let parts = rig.parts(1);
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    assert_eq!(pf.set_mode(2, 0), S_OK);
    let queues = &rig.state(2)["queues"];
    assert_eq!(
        (&queues[0]["enabled"], &queues[1]["enabled"]),
        (&json!(false), &json!(true))
    );
}

#[test]
fn the_mtu_is_told_and_kept() {
    let rig = rig(Variety {
        mtu: Some(1000),
        ..Variety::default()
    });
    let mut pf = Driver::up(&rig, 0, 0);
    let vf = Driver::up(&rig, 1, 0);
    assert_ne!(vf.offered() & F_MTU, 0);
    assert_eq!(vf.read::<2>(vf.places.device + 10), 1000u16.to_le_bytes());
    pf.send(&frame(vf.mac(), pf.mac(), &[1; 1004]));
    pf.send(&frame(vf.mac(), pf.mac(), &[1; 1005]));
    assert_eq!(
        (rig.counter(0, "tx_frames"), rig.counter(0, "tx_dropped")),
        (1, 1)
    );
}

#[test]
fn links_go_down_and_drivers_hear_of_it() {
    let rig = rig(Variety::default());
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let status = |vf: &Driver| vf.read::<2>(vf.places.device + 6);
    assert_eq!(status(&vf), [1, 0]);
    vf.port.take_interrupts();
    let generation = vf.r8(CONFIG_GENERATION);
    let link = |up: bool| rig.control(json!({"cmd": "link", "function": "vf1", "up": up}));
    link(false);
    assert_eq!(vf.port.take_interrupts(), [0]);
    assert_eq!(status(&vf), [0, 0]);
    assert_ne!(vf.r8(CONFIG_GENERATION), generation);
    link(false);
    assert!(vf.port.take_interrupts().is_empty(), "no news");
    // Neither way.
    let offered = vf.offer(2048);
    pf.send(&frame(vf.mac(), pf.mac(), b"in"));
    assert_eq!(vf.take(offered), None);
    let received = rig.counter(0, "rx_frames");
    vf.send(&frame(pf.mac(), vf.mac(), b"out"));
    assert_eq!(rig.counter(0, "rx_frames"), received);
    assert_eq!(rig.counter(1, "tx_dropped"), 1);
    // The cable does not care about resets.
    rig.flr(1);
    assert_eq!(status(&vf), [0, 0]);
    link(true);
    assert_eq!(status(&vf), [1, 0]);
}

#[test]
fn a_link_that_changes_while_stopped_is_told_on_resume() {
    let rig = rig(Variety::default());
    let mut pf = owner(&rig);
    let vf = Driver::up(&rig, 1, 0);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    vf.port.take_interrupts();
    rig.control(json!({"cmd": "link", "function": "vf1", "up": false}));
    assert!(vf.port.take_interrupts().is_empty());
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert!(vf.port.take_interrupts().contains(&0));
}

#[test]
fn drivers_are_asked_to_announce_themselves() {
    let rig = rig(Variety {
        guest_announce: true,
        ..Variety::default()
    });
    let announce = json!({"cmd": "announce", "function": "vf1"});
    rig.control_fails(announce.clone());
    let mut vf = Driver::up(&rig, 1, 0);
    vf.port.take_interrupts();
    rig.control(announce.clone());
    assert_eq!(vf.port.take_interrupts(), [0]);
    assert_eq!(vf.read::<2>(vf.places.device + 6), [3, 0]);
    assert_eq!(vf.control(CTRL_ANNOUNCE, 1, &[]), NET_ERR);
    assert_eq!(vf.control(CTRL_ANNOUNCE, 0, &[]), NET_OK);
    assert_eq!(vf.read::<2>(vf.places.device + 6), [1, 0]);
    // One that has not accepted it.
    Driver::up(&rig, 1, F_GUEST_ANNOUNCE);
    rig.control_fails(announce);
}

#[test]
fn checksums_are_completed() {
    let rig = rig(Variety {
        checksum: true,
        ..Variety::default()
    });
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let offered = vf.offer(2048);
    let mut sent = frame(vf.mac(), pf.mac(), &[0x12, 0x34, 0x00, 0x05, 0xff]);
    // From the 14th byte on, to be put at the 16th.
    let header = [1, 0, 0, 0, 0, 0, 14, 0, 2, 0, 0, 0];
    let (head, _) = pf.add(1, &[&header, &sent], &[]);
    pf.kick(1);
    assert_eq!(pf.used(1), Some((head, 0)));
    // 0x1234 + 5 + 0xff00 = 0x11139, so 0x113a, inverted.
    sent[16..18].copy_from_slice(&[0xee, 0xc5]);
    assert_eq!(vf.take(offered), Some(sent.clone()));
    // Not in the frame.
    let header = [1, 0, 0, 0, 0, 0, 255, 255, 2, 0, 0, 0];
    pf.add(1, &[&header, &sent], &[]);
    pf.kick(1);
    assert_eq!(rig.counter(0, "tx_dropped"), 1);
}

#[test]
fn buffers_taken_ahead_are_given_back_when_stopped() {
    let rig = rig(Variety {
        receive_ahead: true,
        ..Variety::default()
    });
    let mut pf = owner(&rig);
    let mut vf = Driver::up(&rig, 1, F_EVENT_IDX);
    let offered = [vf.offer(2048), vf.offer(2048), vf.offer(2048)];
    let sent = frame(vf.mac(), pf.mac(), b"first");
    pf.send(&sent);
    assert_eq!(vf.take(offered[0]), Some(sent));
    assert_eq!(rig.state(1)["queues"][0]["next_avail"], 3);
    assert_eq!(rig.state(1)["queues"][0]["next_used"], 1);
    vf.port.take_interrupts();
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(vf.used(0), Some((offered[1].0, 0)));
    assert_eq!(vf.used(0), Some((offered[2].0, 0)));
    assert_eq!(vf.used(0), None);
    assert!(vf.port.take_interrupts().contains(&1));
    assert_eq!(rig.counter(1, "returned_buffers"), 2);
    // A target begins behind them.
    let parts = rig.parts(1);
    assert_eq!(pf.create(2, 0, OBJ_SET), S_OK);
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    assert_eq!(pf.set_mode(2, 0), S_OK);
    vf.move_to(2);
    let next = vf.offer(2048);
    let sent = frame(vf.mac(), pf.mac(), b"second");
    pf.send(&sent);
    assert_eq!(vf.take(next), Some(sent));
}

#[test]
fn a_frame_too_large_for_what_was_taken_ahead_costs_nothing() {
    let rig = rig(Variety {
        receive_ahead: true,
        ..Variety::default()
    });
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let offered = [vf.offer(200), vf.offer(200)];
    pf.send(&frame(vf.mac(), pf.mac(), &[1; 1000]));
    assert_eq!(rig.counter(1, "rx_dropped"), 1);
    for offered in offered {
        let sent = frame(vf.mac(), pf.mac(), b"small");
        pf.send(&sent);
        assert_eq!(vf.take(offered), Some(sent));
    }
}

#[test]
fn a_disk_for_reading_only() {
    let rig = blk(Variety {
        read_only: true,
        ..Variety::default()
    });
    let mut vf = Driver::up(&rig, 1, 0);
    assert_ne!(vf.features & F_BLK_RO, 0);
    assert_eq!(vf.features & (F_BLK_DISCARD | F_BLK_WRITE_ZEROES), 0);
    assert_eq!(crate::blk::write(&mut vf, 0, &[7; SECTOR]), BLK_S_IOERR);
    assert_eq!(crate::blk::read(&mut vf, 0, 1), [0; SECTOR]);
    // Nor for a driver that did not look.
    let mut vf = Driver::up(&rig, 1, F_BLK_RO);
    assert_eq!(crate::blk::write(&mut vf, 0, &[7; SECTOR]), BLK_S_IOERR);
}

#[test]
fn disks_grow_and_shrink_and_all_drivers_hear_of_it() {
    let rig = blk(Variety::default());
    let mut pf = owner(&rig);
    let mut vf = Driver::up(&rig, 1, 0);
    let other = Driver::up(&rig, 2, 0);
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    let sectors = |vf: &Driver| u64::from_le_bytes(vf.read(vf.places.device));
    assert_eq!(sectors(&vf), 64);
    assert_ne!(crate::blk::write(&mut vf, 64, &[7; SECTOR]), BLK_S_OK);
    for driver in [&pf, &vf, &other] {
        driver.port.take_interrupts();
    }
    let resize = |bytes: usize| json!({"cmd": "resize-disk", "bytes": bytes});
    rig.control(resize(65 * SECTOR));
    assert_eq!(vf.port.take_interrupts(), [0]);
    assert_eq!(pf.port.take_interrupts(), [0]);
    assert!(other.port.take_interrupts().is_empty(), "stopped");
    assert_eq!(sectors(&vf), 65);
    assert_eq!(crate::blk::write(&mut vf, 64, &[7; SECTOR]), BLK_S_OK);
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert!(other.port.take_interrupts().contains(&0), "on resume");
    rig.control(resize(SECTOR));
    assert_ne!(crate::blk::write(&mut vf, 1, &[7; SECTOR]), BLK_S_OK);
    for impossible in [0, 513] {
        rig.control_fails(resize(impossible));
    }
    Rig::plain(1).control_fails(resize(SECTOR));
}

#[test]
fn a_function_comes_to_need_a_reset() {
    let rig = rig(Variety::default());
    let need = json!({"cmd": "need-reset", "function": "vf1"});
    rig.control_fails(need.clone());
    let mut vf = Driver::up(&rig, 1, 0);
    vf.port.take_interrupts();
    rig.control(need);
    assert_eq!(vf.status() & NEEDS_RESET, NEEDS_RESET);
    assert_eq!(vf.port.take_interrupts(), [0]);
    let (_, _) = vf.add(1, &[&[0; NET_HEADER], &[0; 60]], &[]);
    vf.kick(1);
    assert_eq!(vf.used(1), None);
    // Which it says on the target, too.
    let parts = rig.parts(1);
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    vf.move_to(2);
    vf.port.take_interrupts();
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert_eq!(vf.status() & NEEDS_RESET, NEEDS_RESET);
    assert_eq!(vf.port.take_interrupts(), [0]);
}

#[test]
fn a_stop_that_takes_its_time() {
    let rig = rig(Variety::default());
    let mut pf = owner(&rig);
    let mut vf = Driver::up(&rig, 1, 0);
    let late = |ms: u64| json!({"cmd": "inject", "opcode": 0x11, "action": {"late_ms": ms}});
    // So late that no test sees the end of it.
    rig.control(late(600_000));
    let started = pf.admin_start(&Command::vf(CMD_MODE_SET, 1, &[STOPPED]), 0);
    assert_eq!(rig.state(1)["stopped"], false);
    // Traffic goes on.
    let offered = vf.offer(2048);
    let sent = frame(vf.mac(), pf.mac(), b"still there");
    pf.send(&sent);
    assert_eq!(vf.take(offered), Some(sent));
    assert!(pf.admin_reply(started).is_none());
    // A reset of the owner forgets it.
    let mut pf = owner(&rig);
    rig.control(late(1));
    let started = pf.admin_start(&Command::vf(CMD_MODE_SET, 1, &[STOPPED]), 0);
    let reply = loop {
        match pf.admin_reply(started) {
            Some(reply) => break reply,
            None => std::thread::yield_now(),
        }
    };
    assert_eq!(reply.code, S_OK);
    assert_eq!(rig.state(1)["stopped"], true);
}

#[test]
fn functions_that_differ() {
    let rig = rig(differing(&[
        "vf2:no-event-idx",
        "vf2:no-mrg-rxbuf",
        "vf2:queue-size=64",
        "vf2:vectors=2",
        "vf2:extra-parts=100",
    ]));
    let (one, two) = (Driver::new(&rig, 1), Driver::new(&rig, 2));
    assert_eq!(one.offered() & !two.offered(), F_EVENT_IDX | F_MRG_RXBUF);
    let size = |driver: &Driver| {
        driver.w16(QUEUE_SELECT, 0);
        driver.r16(QUEUE_SIZE)
    };
    assert_eq!((size(&one), size(&two)), (256, 64));
    assert_eq!(rig.functions[2].msix_vectors(), 2);
    assert!(rig.parts(2).len() > rig.parts(1).len() + 100 - 2 * 16);
    // A driver that uses one vector for several queues can do with it.
    two.w16(CONFIG_MSIX_VECTOR, 2);
    assert_eq!(two.r16(CONFIG_MSIX_VECTOR), 0xffff);
}

/// That parts of VF 1 do not fit VF 2, and leave it as it was.
fn does_not_fit(differences: &[&str]) {
    let rig = rig(differing(differences));
    Driver::up(&rig, 1, 0);
    let parts = rig.parts(1);
    let before = rig.parts(2);
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.set_parts(2, 0, &parts).0, EINVAL, "{differences:?}");
    assert_eq!(rig.parts(2), before, "{differences:?}");
}

#[test]
fn parts_of_a_function_that_has_more_are_refused() {
    does_not_fit(&["vf2:no-event-idx"]);
    does_not_fit(&["vf2:no-ctrl-vlan"]);
    does_not_fit(&["vf2:queue-size=8"]);
    does_not_fit(&["vf2:vectors=2"]);
    does_not_fit(&["vf1:extra-parts=100"]);
}

#[test]
fn parts_of_a_function_that_has_less_fit_where_they_may() {
    // More vectors and larger queues do no harm; other features do.
    let rig = rig(differing(&["vf1:vectors=4", "vf1:queue-size=64"]));
    Driver::up(&rig, 1, 0);
    let parts = rig.parts(1);
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    does_not_fit(&["vf1:no-event-idx"]);
}

#[test]
fn packed_rings_are_not_offered_and_their_parts_refused() {
    let rig = rig(Variety::default());
    let vf = Driver::up(&rig, 1, 0);
    assert_eq!(vf.offered() & F_RING_PACKED, 0);
    let mut parts: Vec<Part> = split(&rig.parts(1));
    let features = vf.features | F_RING_PACKED;
    for part in &mut parts[..2] {
        part.value = features.to_le_bytes().to_vec();
    }
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.set_parts(2, 0, &join(&parts)).0, EINVAL);
    // Nor if only the driver's are said to have them.
    parts[0].value = vf.offered().to_le_bytes().to_vec();
    assert_eq!(pf.set_parts(2, 0, &join(&parts)).0, EINVAL);
}

#[test]
fn differences_that_make_no_sense_are_refused() {
    use vfio_bench::virtio::variety::Difference;
    for text in [
        "",
        "vf2",
        "vf2:",
        "vf2:sad",
        "vf2:queue-size",
        "vf2:queue-size=3",
        "vf2:vectors=0",
        "vf2:vectors=65",
        "vf2:no-indirect=1",
        "vf2:extra-parts=x",
    ] {
        assert!(text.parse::<Difference>().is_err(), "{text}");
    }
    let config = Config {
        variety: differing(&["vf3:no-indirect"]),
        ..Config::default()
    };
    let port = vfio_bench::testing::FlatPort::new(0x1000).expect("memory");
    let refused = Machine::new(config, vec![std::sync::Arc::new(port)]);
    let error = refused.err().expect("there is no VF 3").to_string();
    assert_eq!(error, "no function \"vf3\": there are pf and 0 VFs");
}
