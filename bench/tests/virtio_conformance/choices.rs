// SPDX-License-Identifier: GPL-2.0
//! Kinds of device that the bench is on request: each does what the standard
//! permits, and what the bench by default does not.

use serde_json::json;
use vfio_bench::virtio::machine::Config;
use vfio_bench_protocol::Choices;

use crate::driver::{Command, Driver, frame};
use crate::parts::{Part, find, join, ready_to_set, split};
use crate::rig::Rig;
use crate::wire::*;

/// Two VFs of such a device.
fn rig(choices: Choices) -> Rig {
    Rig::new(
        Config {
            choices,
            ..Config::default()
        },
        2,
    )
}

const VERIFY: Choices = Choices {
    verify_common_cfg: true,
    ..DEFAULT
};

const PRIVATE: Choices = Choices {
    private_ring_positions: true,
    ..DEFAULT
};

const QUIET: Choices = Choices {
    quiet_resume: true,
    ..DEFAULT
};

const UNLEARNED: Choices = Choices {
    no_mac_learning: true,
    ..DEFAULT
};

const PREDECESSORS: Choices = Choices {
    get_predecessors: true,
    ..DEFAULT
};

const DEFAULT: Choices = Choices {
    verify_common_cfg: false,
    private_ring_positions: false,
    quiet_resume: false,
    no_mac_learning: false,
    get_predecessors: false,
};

#[test]
fn a_client_can_ask_what_kind_it_is() {
    let choices = |choices| rig(choices).control(json!({"cmd": "state"}))["choices"].clone();
    let names = [
        ("verify_common_cfg", VERIFY),
        ("private_ring_positions", PRIVATE),
        ("quiet_resume", QUIET),
        ("no_mac_learning", UNLEARNED),
        ("get_predecessors", PREDECESSORS),
    ];
    for (name, of_that_kind) in names {
        assert_eq!(choices(DEFAULT)[name], false);
        assert_eq!(choices(of_that_kind)[name], true);
    }
}

/// What the registers say that travel as PCI_COMMON_CFG parts.
fn common_cfg(rig: &Rig, index: usize) -> Vec<Part> {
    let mut parts = split(&rig.parts(index));
    parts.retain(|part| part.kind == PART_PCI_COMMON_CFG);
    parts
}

#[test]
fn the_common_configuration_is_applied_or_only_verified() {
    for choices in [DEFAULT, VERIFY] {
        let rig = rig(choices);
        let mut pf = ready_to_set(&rig, 2);
        let vf = Driver::up(&rig, 1, 0);
        vf.w16(QUEUE_SELECT, 1);
        let (good, before) = (split(&rig.parts(1)), common_cfg(&rig, 2));
        // What is wrong is refused by either kind.
        let wrong: [fn(&mut Vec<Part>); 4] = [
            |p| find(p, PART_PCI_COMMON_CFG, NUM_QUEUES).value[0] = 4,
            |p| find(p, PART_PCI_COMMON_CFG, CONFIG_MSIX_VECTOR).value[0] = 9,
            |p| find(p, PART_PCI_COMMON_CFG, QUEUE_SELECT).value.truncate(1),
            |p| find(p, PART_PCI_COMMON_CFG, QUEUE_SELECT).selector = QUEUE_DESC,
        ];
        for spoil in wrong {
            let mut parts = good.clone();
            spoil(&mut parts);
            let refused = pf.set_parts(2, 0, &join(&parts));
            assert_eq!(refused, (EINVAL, Q_INVALID_FIELD));
        }
        assert_eq!(pf.set_parts(2, 0, &join(&good)), S_OK);
        let after = common_cfg(&rig, 2);
        assert_ne!(before, common_cfg(&rig, 1), "there is something to apply");
        if choices == VERIFY {
            assert_eq!(after, before);
        } else {
            assert_eq!(after, common_cfg(&rig, 1));
        }
        // All else arrives.
        let rest = |index| {
            let mut parts = split(&rig.parts(index));
            parts.retain(|part| part.kind != PART_PCI_COMMON_CFG);
            parts
        };
        assert_eq!(rest(2), rest(1));
    }
}

#[test]
fn without_its_vector_the_configuration_speaks_in_the_register() {
    for choices in [DEFAULT, VERIFY] {
        let rig = rig(choices);
        let mut pf = ready_to_set(&rig, 2);
        let mut vf = Driver::up(&rig, 1, 0);
        let mut parts = split(&rig.parts(1));
        find(&mut parts, PART_DEVICE_STATUS, 0).value[0] |= NEEDS_RESET;
        assert_eq!(pf.set_parts(2, 0, &join(&parts)), S_OK);
        vf.move_to(2);
        assert_eq!(pf.set_mode(2, 0), S_OK);
        let told = (vf.port.take_interrupts(), vf.read::<1>(vf.places.isr));
        if choices == VERIFY {
            assert_eq!(told, (vec![], [2]));
        } else {
            assert_eq!(told, (vec![0], [0]));
        }
    }
}

/// Moves the driver from VF 1 to VF 2, which is stopped and stays so.
fn load(pf: &mut Driver, vf: &mut Driver) {
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(pf.set_parts(2, 0, &vf.rig.parts(1)), S_OK);
    vf.move_to(2);
}

/// Has the driver's memory say that this many buffers of queue 1 were used.
fn write_used_index(vf: &Driver, index: u16) {
    vf.rig.write(vf.queues[1].used + 2, &index.to_le_bytes());
}

#[test]
fn a_ring_learns_its_positions_when_parts_are_set_or_once() {
    for choices in [DEFAULT, PRIVATE] {
        let rig = rig(choices);
        let mut pf = ready_to_set(&rig, 2);
        let mut vf = Driver::up(&rig, 1, 0);
        let sent = frame([2; 6], vf.mac(), b"x");
        for _ in 0..3 {
            vf.send(&sent);
        }
        // The first time there is nothing else to know them from.
        load(&mut pf, &mut vf);
        assert_eq!(pf.set_mode(2, 0), S_OK);
        vf.send(&sent);
        let parts = rig.parts(2);
        // Nobody asks the memory of a device that runs, or was only stopped.
        write_used_index(&vf, 2);
        assert_eq!(pf.set_mode(2, STOPPED), S_OK);
        assert_eq!(pf.set_mode(2, 0), S_OK);
        vf.send(&sent);
        // It says now that the last two buffers were not used.
        write_used_index(&vf, 3);
        let frames = rig.counter(2, "tx_frames");
        assert_eq!(pf.set_mode(2, STOPPED), S_OK);
        assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
        assert_eq!(pf.set_mode(2, 0), S_OK);
        if choices == PRIVATE {
            assert_eq!(rig.counter(2, "tx_frames"), frames);
            vf.send(&sent);
            assert_eq!(rig.read_u16(vf.queues[1].used + 2), 6);
        } else {
            assert_eq!(rig.counter(2, "tx_frames"), frames + 2, "sent again");
        }
        // After a reset, or for another ring, both learn them.
        rig.flr(2);
        assert_eq!(pf.set_mode(2, STOPPED), S_OK);
        write_used_index(&vf, vf.queues[1].avail_idx.wrapping_sub(1));
        let frames = rig.counter(2, "tx_frames");
        assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
        assert_eq!(pf.set_mode(2, 0), S_OK);
        assert_eq!(rig.counter(2, "tx_frames"), frames + 1);
    }
}

#[test]
fn another_ring_has_other_positions() {
    for choices in [DEFAULT, PRIVATE] {
        let rig = rig(choices);
        let mut pf = ready_to_set(&rig, 2);
        let mut two = Driver::up(&rig, 2, 0);
        let sent = frame([2; 6], two.mac(), b"x");
        assert_eq!(pf.set_mode(2, 0), S_OK);
        two.send(&sent);
        let mut vf = Driver::up(&rig, 1, 0);
        for _ in 0..3 {
            vf.send(&sent);
        }
        // VF 2 has had a driver of its own, and gets that of VF 1 without a reset.
        assert_eq!(pf.set_mode(2, STOPPED), S_OK);
        load(&mut pf, &mut vf);
        assert_eq!(pf.set_mode(2, 0), S_OK);
        vf.send(&sent);
        assert_eq!(rig.read_u16(vf.queues[1].used + 2), 4);
    }
}

#[test]
fn a_queue_that_is_enabled_after_the_load_starts_at_its_beginning() {
    for choices in [DEFAULT, PRIVATE] {
        // Before the target runs, and by a driver that was not up on the source.
        for (up, resumed) in [(true, false), (false, false), (false, true)] {
            let rig = rig(choices);
            let mut pf = ready_to_set(&rig, 2);
            let mut vf = Driver::new(&rig, 1);
            let features = vf.offered();
            assert!(vf.negotiate(features));
            vf.enable_queue(0, 16);
            if up {
                vf.drive();
            }
            load(&mut pf, &mut vf);
            if resumed {
                assert_eq!(pf.set_mode(2, 0), S_OK);
            }
            vf.enable_queue(1, 16);
            // What an earlier life of this memory may have left.
            write_used_index(&vf, 5);
            if !resumed {
                assert_eq!(pf.set_mode(2, 0), S_OK);
            }
            vf.drive();
            let sent = frame([2; 6], [4; 6], b"x");
            let (head, _) = vf.add(1, &[&[0; NET_HEADER], &sent], &[]);
            vf.kick(1);
            assert_eq!(vf.used(1), Some((head, 0)), "up {up}, resumed {resumed}");
            assert_eq!(rig.read_u16(vf.queues[1].used + 2), 1);
        }
    }
}

#[test]
fn interrupts_are_repeated_on_resume_or_not() {
    for choices in [DEFAULT, QUIET] {
        for without in [0, F_EVENT_IDX] {
            let rig = rig(choices);
            let mut pf = ready_to_set(&rig, 2);
            let mut vf = Driver::up(&rig, 1, without);
            let sent = frame([2; 6], vf.mac(), b"x");
            vf.send(&sent);
            load(&mut pf, &mut vf);
            vf.port.take_interrupts();
            assert_eq!(pf.set_mode(2, 0), S_OK);
            let repeated = vf.port.take_interrupts();
            if choices == QUIET {
                assert!(repeated.is_empty());
            } else {
                assert_eq!(repeated, [1, 2, 3]);
            }
            // What is used from now on is told as ever; with event indices, when the
            // driver wants to hear of this buffer.
            want_interrupt(&vf);
            vf.send(&sent);
            assert_eq!(vf.port.take_interrupts(), [2]);
        }
    }
}

/// Has the driver ask for an interrupt with the next used buffer of queue 1.
fn want_interrupt(vf: &Driver) {
    let queue = &vf.queues[1];
    let used_event = queue.avail + 4 + 2 * u64::from(queue.size);
    vf.rig.write(used_event, &queue.last_used.to_le_bytes());
}

#[test]
fn a_quiet_resume_loses_nothing() {
    let rig = rig(QUIET);
    let mut pf = ready_to_set(&rig, 2);
    let mut vf = Driver::up(&rig, 1, 0);
    let sent = frame([2; 6], vf.mac(), b"x");
    vf.send(&sent);
    load(&mut pf, &mut vf);
    // A buffer that only the target sees is told by it.
    want_interrupt(&vf);
    let (head, _) = vf.add(1, &[&[0; NET_HEADER], &sent], &[]);
    vf.port.take_interrupts();
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert_eq!(vf.used(1), Some((head, 0)));
    assert_eq!(vf.port.take_interrupts(), [2]);
    // A need of a reset is no repetition: the source may not have told it.
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    let mut parts = split(&rig.parts(2));
    find(&mut parts, PART_DEVICE_STATUS, 0).value[0] |= NEEDS_RESET;
    assert_eq!(pf.set_parts(2, 0, &join(&parts)), S_OK);
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert_eq!(vf.port.take_interrupts(), [0]);
}

/// Sends a frame from the PF to the driver; whether it arrives.
fn reaches(pf: &mut Driver, vf: &mut Driver) -> bool {
    vf.offer(2048);
    let sent = frame(vf.mac(), pf.mac(), b"where are you");
    pf.send(&sent);
    vf.used(0).is_some()
}

#[test]
fn the_switch_learns_from_resuming_or_from_frames() {
    for choices in [DEFAULT, UNLEARNED] {
        let rig = rig(choices);
        let mut pf = ready_to_set(&rig, 2);
        let mut vf = Driver::up(&rig, 1, 0);
        vf.send(&frame(pf.mac(), vf.mac(), b"I am here"));
        assert!(reaches(&mut pf, &mut vf));
        load(&mut pf, &mut vf);
        assert_eq!(pf.set_mode(2, 0), S_OK);
        // The source is still there, and has spoken from its port.
        assert_eq!(reaches(&mut pf, &mut vf), choices == DEFAULT);
        vf.send(&frame(pf.mac(), vf.mac(), b"I am there"));
        assert!(reaches(&mut pf, &mut vf), "announced");
    }
}

#[test]
fn what_the_switch_does_not_know_the_filters_decide() {
    let rig = rig(UNLEARNED);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let mut other = Driver::up(&rig, 2, 0);
    // It is up and has said nothing: all get the frame, and one takes it.
    let offered = other.offer(2048);
    assert!(reaches(&mut pf, &mut vf));
    assert_eq!(other.used(0), None);
    // An address that the driver has set, likewise.
    assert_eq!(
        vf.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &[2, 0, 0, 0, 7, 7]),
        NET_OK
    );
    assert!(reaches(&mut pf, &mut vf));
    assert_eq!(other.used(0), None);
    assert_eq!(other.control(CTRL_RX, CTRL_RX_PROMISC, &[1]), NET_OK);
    assert!(reaches(&mut pf, &mut vf));
    assert_eq!(other.used(0).map(|(head, _)| head), Some(offered.0));
    // Once it has spoken, the switch knows.
    vf.send(&frame(pf.mac(), vf.mac(), b"I am here"));
    other.offer(2048);
    assert!(reaches(&mut pf, &mut vf));
    assert_eq!(other.used(0), None);
}

#[test]
fn a_source_that_is_reset_is_forgotten() {
    let rig = rig(UNLEARNED);
    let mut pf = ready_to_set(&rig, 2);
    let mut vf = Driver::up(&rig, 1, 0);
    vf.send(&frame(pf.mac(), vf.mac(), b"I am here"));
    load(&mut pf, &mut vf);
    rig.flr(1);
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert!(reaches(&mut pf, &mut vf), "by its filter");
}

#[test]
fn selected_parts_come_alone_or_behind_those_that_must_precede_them() {
    for choices in [DEFAULT, PREDECESSORS] {
        let rig = rig(choices);
        let mut pf = ready_to_set(&rig, 2);
        let _vf = Driver::up(&rig, 1, 0);
        assert_eq!(pf.create(1, 1, OBJ_GET), S_OK);
        let all = split(&rig.parts(1));
        let queue = |part: &Part| part.kind == PART_VQ_CFG && part.selector == 1;
        // What is selected, and up to which type all parts must precede it.
        let cases = [
            (PART_DEV_FEATURES, 0, 0),
            (PART_DRV_FEATURES, 0, PART_DEV_FEATURES),
            (PART_PCI_COMMON_CFG, NUM_QUEUES, PART_DRV_FEATURES),
            (PART_DEVICE_STATUS, 0, PART_PCI_COMMON_CFG),
            (PART_VQ_CFG, 1, PART_DEVICE_STATUS),
            (PART_VQ_NOTIFY_CFG, 1, PART_DEVICE_STATUS),
            (PART_NET_CVQ_CFG, 4, PART_DEVICE_STATUS),
        ];
        for (kind, selector, last) in cases {
            let list = Part::new(kind, selector, &[]).header();
            let reply = pf.admin(&Command::get_selected(1, 1, &list), 4096);
            assert_eq!(reply.code, S_OK);
            let mut expected = all.clone();
            expected.retain(|part| {
                let before = part.kind <= last || kind == PART_VQ_NOTIFY_CFG && queue(part);
                let chosen = (part.kind, part.selector) == (kind, selector);
                chosen || choices == PREDECESSORS && before
            });
            assert_eq!(split(&reply.result), expected, "{kind:#x}");
            // Only so can it be given to a function as it is.
            let code = pf.set_parts(2, 0, &reply.result);
            let whole = choices == PREDECESSORS || kind == PART_DEV_FEATURES;
            let refused = (EINVAL, Q_INVALID_FIELD);
            assert_eq!(code, if whole { S_OK } else { refused }, "{kind:#x}");
        }
        // Nothing precedes what is not there.
        let list = [
            Part::new(PART_VQ_CFG, 77, &[]).header(),
            Part::new(0x300, 0, &[]).header(),
        ];
        let reply = pf.admin(&Command::get_selected(1, 1, &list.concat()), 4096);
        assert_eq!((reply.code, reply.result), (S_OK, vec![]));
    }
}
