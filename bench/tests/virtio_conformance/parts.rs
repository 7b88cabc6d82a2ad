// SPDX-License-Identifier: GPL-2.0
//! Device parts: what GET gives, what SET takes and refuses, and a driver that
//! goes on with another function.

use serde_json::{Value, json};
use vfio_bench::virtio::machine::Config;

use crate::driver::{Command, Driver, frame};
use crate::rig::Rig;
use crate::wire::*;

/// A part, taken apart independently of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub kind: u16,
    pub flags: u8,
    pub reserved: u8,
    pub selector: u64,
    pub value: Vec<u8>,
}

impl Part {
    pub fn new(kind: u16, selector: u64, value: &[u8]) -> Self {
        let flags = if kind == PART_DEV_FEATURES {
            PART_OPTIONAL
        } else {
            0
        };
        Self {
            kind,
            flags,
            reserved: 0,
            selector,
            value: value.to_vec(),
        }
    }

    pub fn header(&self) -> Vec<u8> {
        let mut header = self.kind.to_le_bytes().to_vec();
        header.extend([self.flags, self.reserved]);
        header.extend(self.selector.to_le_bytes());
        header.extend((self.value.len() as u32).to_le_bytes());
        header
    }
}

pub fn split(mut bytes: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (header, rest) = bytes.split_at(PART_HEADER);
        let len = u32::from_le_bytes(header[12..].try_into().expect("four bytes"));
        let (value, rest) = rest.split_at(len as usize);
        parts.push(Part {
            kind: u16::from_le_bytes([header[0], header[1]]),
            flags: header[2],
            reserved: header[3],
            selector: u64::from_le_bytes(header[4..12].try_into().expect("eight bytes")),
            value: value.to_vec(),
        });
        bytes = rest;
    }
    parts
}

pub fn join(parts: &[Part]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| [part.header(), part.value.clone()].concat())
        .collect()
}

/// The parts but for the register windows that any driver moves about.
pub fn without_select(bytes: &[u8]) -> Vec<Part> {
    let mut parts = split(bytes);
    parts.retain(|part| part.kind != PART_PCI_COMMON_CFG || part.selector != QUEUE_SELECT);
    parts
}

/// A PF that may set parts of VF `vf`, which is stopped.
pub fn ready_to_set(rig: &Rig, vf: u64) -> Driver<'_> {
    let mut pf = Driver::up(rig, 0, 0);
    pf.linux_admin_setup();
    assert_eq!(pf.create(vf, 0, OBJ_SET), S_OK);
    assert_eq!(pf.set_mode(vf, STOPPED), S_OK);
    pf
}

#[test]
fn what_get_gives() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.linux_admin_setup();
    let mut vf = Driver::up(&rig, 1, 0);
    vf.control(CTRL_RX, CTRL_RX_ALLMULTI, &[1]);
    vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[9, 0]);
    vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[5, 1]);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let bytes = pf.get_parts(1, 0);
    assert_eq!(bytes, rig.parts(1), "the control protocol shows the same");
    let mut expected = vec![
        Part::new(PART_DEV_FEATURES, 0, &vf.offered().to_le_bytes()),
        Part::new(PART_DRV_FEATURES, 0, &vf.features.to_le_bytes()),
        Part::new(PART_PCI_COMMON_CFG, DEVICE_FEATURE_SELECT, &[1, 0, 0, 0]),
        Part::new(PART_PCI_COMMON_CFG, DRIVER_FEATURE_SELECT, &[1, 0, 0, 0]),
        Part::new(PART_PCI_COMMON_CFG, CONFIG_MSIX_VECTOR, &[0, 0]),
        Part::new(PART_PCI_COMMON_CFG, NUM_QUEUES, &[3, 0]),
        Part::new(PART_PCI_COMMON_CFG, CONFIG_GENERATION, &[0]),
        Part::new(PART_PCI_COMMON_CFG, QUEUE_SELECT, &[2, 0]),
        Part::new(PART_DEVICE_STATUS, 0, &[0x0f]),
    ];
    for (index, queue) in vf.queues.iter().enumerate() {
        let mut value = [16u16, index as u16 + 1, 1, 0]
            .map(u16::to_le_bytes)
            .concat();
        value.extend(
            [queue.desc, queue.avail, queue.used]
                .map(u64::to_le_bytes)
                .concat(),
        );
        expected.push(Part::new(PART_VQ_CFG, index as u64, &value));
    }
    for index in 0..3u8 {
        let value = [index, 0, 0, 0, 0, 0, 0, 0];
        expected.push(Part::new(PART_VQ_NOTIFY_CFG, index.into(), &value));
    }
    let net = |class, command, value: &[u8]| {
        let selector = u64::from(class) | (u64::from(command) << 8);
        Part::new(PART_NET_CVQ_CFG, selector, value)
    };
    expected.extend([
        net(CTRL_RX, CTRL_RX_PROMISC, &[0]),
        net(CTRL_RX, CTRL_RX_ALLMULTI, &[1]),
        net(CTRL_MAC, CTRL_MAC_TABLE_SET, &[0; 8]),
        net(CTRL_MAC, CTRL_MAC_ADDR_SET, &vf.mac()),
        net(CTRL_VLAN, CTRL_VLAN_ADD, &[9, 0, 5, 1]),
        net(CTRL_MQ, CTRL_MQ_VQ_PAIRS_SET, &[1, 0]),
    ]);
    // offered() moved the window once more; it is where it was.
    assert_eq!(split(&rig.parts(1)), expected);
}

#[test]
fn get_selected_gives_those_that_exist_in_order() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.linux_admin_setup();
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let list: Vec<u8> = [
        Part::new(PART_VQ_CFG, 1, &[]),
        Part::new(PART_VQ_CFG, 77, &[]),
        Part::new(0x300, 0, &[]),
        Part::new(PART_DEVICE_STATUS, 0, &[]),
        Part::new(PART_VQ_CFG, 1, &[]),
    ]
    .iter()
    .flat_map(Part::header)
    .collect();
    let reply = pf.admin(&Command::get_selected(1, 0, &list), 4096);
    assert_eq!(reply.code, S_OK);
    let kinds: Vec<_> = split(&reply.result)
        .iter()
        .map(|part| (part.kind, part.selector))
        .collect();
    assert_eq!(kinds, [(PART_DEVICE_STATUS, 0), (PART_VQ_CFG, 1)]);
}

#[test]
fn set_makes_the_target_equal() {
    let rig = lenient(Config::default());
    let mut pf = ready_to_set(&rig, 2);
    let mut vf = Driver::up(&rig, 1, F_EVENT_IDX);
    vf.control(CTRL_RX, CTRL_RX_PROMISC, &[1]);
    vf.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &[2, 0, 0, 0, 7, 7]);
    vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[9, 0]);
    let parts = rig.parts(1);
    assert_ne!(rig.parts(2), parts);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    assert_eq!(rig.parts(2), parts);
    // Again, and in pieces, and padded to a multiple of 8 bytes.
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    rig.flr(2);
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    for part in split(&parts) {
        // Status last: each piece by itself is a possible state.
        if part.kind != PART_DEVICE_STATUS {
            let mut piece = join(&[part]);
            piece.resize(piece.len().next_multiple_of(8), 0);
            assert_eq!(pf.set_parts(2, 0, &piece), S_OK);
        }
    }
    assert_eq!(
        pf.set_parts(2, 0, &join(&[Part::new(PART_DEVICE_STATUS, 0, &[0x0f])])),
        S_OK
    );
    assert_eq!(rig.parts(2), parts);
    // Nothing at all is also something to set.
    assert_eq!(pf.set_parts(2, 0, &[]), S_OK);
    assert_eq!(rig.parts(2), parts);
}

#[test]
fn set_only_while_stopped() {
    let rig = Rig::plain(1);
    let mut pf = ready_to_set(&rig, 1);
    let parts = rig.parts(1);
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(pf.set_parts(1, 0, &parts), (EINVAL, Q_INVALID_COMMAND));
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    assert_eq!(pf.set_parts(1, 0, &parts), S_OK);
}

/// Two VFs that take parts in any selection.
fn lenient(config: Config) -> Rig {
    Rig::new(
        Config {
            lenient_parts: true,
            ..config
        },
        2,
    )
}

/// Selections of a device's parts, by what they lack.
fn selections(parts: &[Part]) -> Vec<(&'static str, Vec<Part>)> {
    let without = |kind| -> Vec<Part> {
        let mut rest = parts.to_vec();
        rest.retain(|part| part.kind != kind);
        rest
    };
    let only = |kind| -> Vec<Part> {
        let mut rest = parts.to_vec();
        rest.retain(|part| part.kind == kind);
        rest
    };
    let mut one_queue = parts.to_vec();
    one_queue.retain(|part| part.kind != PART_VQ_CFG || part.selector != 1);
    vec![
        ("device features", without(PART_DEV_FEATURES)),
        ("driver features", without(PART_DRV_FEATURES)),
        ("common configuration", without(PART_PCI_COMMON_CFG)),
        ("device status", without(PART_DEVICE_STATUS)),
        ("queues", without(PART_VQ_CFG)),
        ("a queue that has a notification", one_queue),
        ("all but the driver's features", only(PART_DRV_FEATURES)),
        ("all but queues", only(PART_VQ_CFG)),
        ("all but what belongs to the type", only(PART_NET_CVQ_CFG)),
    ]
}

#[test]
fn set_wants_the_parts_that_must_precede() {
    let rig = Rig::plain(2);
    let mut pf = ready_to_set(&rig, 2);
    let _vf = Driver::up(&rig, 1, 0);
    let (good, before) = (split(&rig.parts(1)), rig.parts(2));
    for (what, parts) in selections(&good) {
        assert_eq!(
            pf.set_parts(2, 0, &join(&parts)),
            (EINVAL, Q_INVALID_FIELD),
            "without {what}"
        );
        assert_eq!(rig.parts(2), before, "without {what}: had an effect");
    }
    // What nothing that is there needs may be missing.
    for last in [PART_DEVICE_STATUS, PART_VQ_CFG, PART_VQ_NOTIFY_CFG] {
        let mut parts = good.clone();
        parts.retain(|part| part.kind <= last);
        assert_eq!(pf.set_parts(2, 0, &join(&parts)), S_OK, "up to {last:#x}");
    }
    let mut parts = good.clone();
    let types = [PART_VQ_CFG, PART_VQ_NOTIFY_CFG];
    parts.retain(|part| !types.contains(&part.kind));
    assert_eq!(pf.set_parts(2, 0, &join(&parts)), S_OK, "no queues at all");
}

#[test]
fn any_selection_is_a_lenience() {
    let rig = lenient(Config::default());
    let mut pf = ready_to_set(&rig, 2);
    let _vf = Driver::up(&rig, 1, 0);
    let good = split(&rig.parts(1));
    // So that whatever follows is a possible state.
    assert_eq!(pf.set_parts(2, 0, &join(&good)), S_OK);
    for (what, parts) in selections(&good) {
        assert_eq!(pf.set_parts(2, 0, &join(&parts)), S_OK, "without {what}");
    }
}

/// What a single change does to a good sequence of parts.
type Spoil = fn(&mut Vec<Part>);

pub fn find(parts: &mut [Part], kind: u16, selector: u64) -> &mut Part {
    let found = parts
        .iter_mut()
        .find(|part| (part.kind, part.selector) == (kind, selector));
    found.expect("such a part")
}

#[test]
fn set_refuses_and_changes_nothing() {
    let spoilers: &[(&str, Spoil)] = &[
        ("unknown mandatory part", |p| {
            p.push(Part::new(0x5fe, 0, &[1]))
        }),
        ("unknown mandatory part first", |p| {
            p.insert(0, Part::new(0x42, 0, &[]))
        }),
        ("other device features", |p| p[0].value[0] ^= 0x20),
        ("device features not optional", |p| p[0].flags = 0),
        ("device features too long", |p| p[0].value.extend([0; 8])),
        ("mandatory part marked optional", |p| {
            p[1].flags = PART_OPTIONAL
        }),
        ("unknown flag", |p| p[1].flags = 2),
        ("reserved header byte", |p| p[1].reserved = 1),
        ("feature the device lacks", |p| p[1].value[2] ^= 0x40),
        ("features without VERSION_1", |p| p[1].value[4] &= !1),
        ("features short", |p| p[1].value.truncate(4)),
        ("features selected", |p| p[1].selector = 1),
        ("features twice", |p| p.insert(2, p[1].clone())),
        ("order", |p| p.swap(1, 2)),
        ("status before common configuration", |p| {
            let status = p.remove(8);
            p.insert(2, status);
        }),
        ("net before transport", |p| {
            let last = p.pop().expect("a part");
            p.insert(0, last);
        }),
        ("register that is no part", |p| p[2].selector = QUEUE_DESC),
        ("register inside another", |p| p[2].selector = 1),
        ("register with selector beyond", |p| p[2].selector = 1 << 32),
        ("register of wrong width", |p| p[2].value.truncate(2)),
        ("other number of queues", |p| {
            find(p, PART_PCI_COMMON_CFG, NUM_QUEUES).value[0] = 4;
        }),
        ("configuration vector", |p| {
            find(p, PART_PCI_COMMON_CFG, CONFIG_MSIX_VECTOR).value[0] = 9;
        }),
        ("no such status", |p| {
            find(p, PART_DEVICE_STATUS, 0).value[0] = 0x1f
        }),
        ("status too long", |p| {
            find(p, PART_DEVICE_STATUS, 0).value.push(0)
        }),
        ("DRIVER_OK alone", |p| {
            find(p, PART_DEVICE_STATUS, 0).value[0] = 7
        }),
        ("no such queue", |p| find(p, PART_VQ_CFG, 2).selector = 3),
        ("queue selector reserved", |p| {
            find(p, PART_VQ_CFG, 2).selector = 2 | (1 << 16)
        }),
        ("queue size 0", |p| {
            find(p, PART_VQ_CFG, 0).value[..2].fill(0)
        }),
        ("queue size 12", |p| find(p, PART_VQ_CFG, 0).value[0] = 12),
        ("queue size 512", |p| {
            find(p, PART_VQ_CFG, 0).value[..2].copy_from_slice(&[0, 2])
        }),
        ("queue vector", |p| find(p, PART_VQ_CFG, 0).value[2] = 4),
        ("queue enabled 2", |p| find(p, PART_VQ_CFG, 0).value[4] = 2),
        ("queue reserved", |p| find(p, PART_VQ_CFG, 0).value[7] = 1),
        ("queue not aligned", |p| {
            find(p, PART_VQ_CFG, 0).value[8] |= 1
        }),
        ("queue wraps", |p| {
            find(p, PART_VQ_CFG, 0).value[8..16]
                .copy_from_slice(&[0xf0, 255, 255, 255, 255, 255, 255, 255])
        }),
        ("queue short", |p| {
            find(p, PART_VQ_CFG, 0).value.truncate(24)
        }),
        ("other notify offset", |p| {
            find(p, PART_VQ_NOTIFY_CFG, 1).value[0] = 0
        }),
        ("notify data", |p| {
            find(p, PART_VQ_NOTIFY_CFG, 1).value[2] = 1
        }),
        ("notify of no queue", |p| {
            find(p, PART_VQ_NOTIFY_CFG, 2).selector = 3
        }),
        ("no such class", |p| {
            find(p, PART_NET_CVQ_CFG, 0).selector = 7
        }),
        ("net selector reserved", |p| {
            find(p, PART_NET_CVQ_CFG, 0).selector = 1 << 16
        }),
        ("mode 2", |p| find(p, PART_NET_CVQ_CFG, 0).value[0] = 2),
        ("group address", |p| {
            find(p, PART_NET_CVQ_CFG, 0x101).value[0] |= 1
        }),
        ("address short", |p| {
            find(p, PART_NET_CVQ_CFG, 0x101).value.truncate(5)
        }),
        ("table short", |p| {
            find(p, PART_NET_CVQ_CFG, 1).value.truncate(7)
        }),
        ("table count", |p| {
            find(p, PART_NET_CVQ_CFG, 1).value[3] = 0x80
        }),
        ("table long", |p| find(p, PART_NET_CVQ_CFG, 1).value.push(0)),
        ("VLANs of odd length", |p| {
            find(p, PART_NET_CVQ_CFG, 2).value = vec![1]
        }),
        ("VLANs not ascending", |p| {
            find(p, PART_NET_CVQ_CFG, 2).value = vec![2, 0, 1, 0]
        }),
        ("VLAN 4095", |p| {
            find(p, PART_NET_CVQ_CFG, 2).value = vec![0xff, 0x0f]
        }),
        ("VLAN_DEL", |p| {
            find(p, PART_NET_CVQ_CFG, 2).selector = 0x102
        }),
        ("two pairs", |p| find(p, PART_NET_CVQ_CFG, 4).value[0] = 2),
        ("no pairs", |p| find(p, PART_NET_CVQ_CFG, 4).value[0] = 0),
        ("ballast that the device lacks", |p| {
            p.push(Part::new(PART_EXTRA, 0, &[1]))
        }),
    ];
    let rig = Rig::plain(2);
    let mut pf = ready_to_set(&rig, 2);
    let _vf = Driver::up(&rig, 1, 0);
    let good = split(&rig.parts(1));
    let before = rig.parts(2);
    for (name, spoil) in spoilers {
        let mut parts = good.clone();
        spoil(&mut parts);
        assert_eq!(
            pf.set_parts(2, 0, &join(&parts)),
            (EINVAL, Q_INVALID_FIELD),
            "{name}"
        );
        assert_eq!(rig.parts(2), before, "{name} had an effect");
    }
    // Sequences that end in the middle of a part.
    let bytes = join(&good);
    for cut in [2, 7, 15, 16, 17, 100, bytes.len() - 1] {
        assert_eq!(
            pf.set_parts(2, 0, &bytes[..cut]),
            (EINVAL, Q_INVALID_FIELD),
            "{cut}"
        );
        assert_eq!(rig.parts(2), before);
    }
    // Bytes after the last part that are no padding.
    for tail in [&[1u8][..], &[0; 8], &[0, 0, 0, 0, 0, 0, 1]] {
        let long = [&bytes[..], tail].concat();
        assert_eq!(
            pf.set_parts(2, 0, &long),
            (EINVAL, Q_INVALID_FIELD),
            "{tail:?}"
        );
        assert_eq!(rig.parts(2), before);
    }
    let mut huge = bytes.clone();
    let last = good.last().expect("a part").value.len() + 4;
    let at = huge.len() - last;
    huge[at..at + 4].fill(0xff);
    assert_eq!(
        pf.set_parts(2, 0, &huge),
        (EINVAL, Q_INVALID_FIELD),
        "length of 4 GiB"
    );
    assert_eq!(pf.set_parts(2, 0, &bytes), S_OK);
}

#[test]
fn unknown_optional_parts_are_skipped() {
    let rig = Rig::plain(2);
    let mut pf = ready_to_set(&rig, 2);
    let _vf = Driver::up(&rig, 1, 0);
    let mut parts = split(&rig.parts(1));
    let good = join(&parts);
    for (at, kind) in [(0, 0x7000), (3, 0x42), (parts.len() + 2, 0x5fe)] {
        let mut unknown = Part::new(kind, 3, &[1, 2, 3]);
        unknown.flags = PART_OPTIONAL;
        parts.insert(at, unknown);
    }
    assert_eq!(pf.set_parts(2, 0, &join(&parts)), S_OK);
    assert_eq!(rig.parts(2), good);
}

/// Sends numbered frames from `pf` and checks that they arrive at `vf`.
fn traffic(pf: &mut Driver, vf: &mut Driver, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let offered = vf.offer(2048);
        let there = frame(vf.mac(), pf.mac(), &[number; 80]);
        pf.send(&there);
        assert_eq!(vf.take(offered), Some(there), "frame {number} to the VF");
        let offered = pf.offer(2048);
        let back = frame(pf.mac(), vf.mac(), &[number; 90]);
        vf.send(&back);
        assert_eq!(pf.take(offered), Some(back), "frame {number} from the VF");
    }
}

#[test]
fn a_driver_goes_on_with_another_function() {
    for without in [0, F_MRG_RXBUF, F_EVENT_IDX, F_CTRL_RX | F_INDIRECT_DESC] {
        let rig = Rig::plain(2);
        let mut pf = Driver::up(&rig, 0, 0);
        pf.linux_admin_setup();
        let mut vf = Driver::up(&rig, 1, without);
        let mac = vf.mac();
        vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[9, 0]);
        traffic(&mut pf, &mut vf, 0..21);
        // There and back again: the positions in the rings differ each time.
        for (source, target) in [(1, 2), (2, 1)] {
            // A buffer waits in the receive ring, one in the transmit ring that
            // the device has not been told of.
            let waiting = vf.offer(2048);
            let unseen = frame(pf.mac(), mac, b"unseen");
            let (head, _) = vf.add(1, &[&[0; NET_HEADER], &unseen], &[]);
            assert_eq!(pf.create(source, 0, OBJ_GET), S_OK);
            assert_eq!(pf.create(target, 1, OBJ_SET), S_OK);
            // Pre-copy: parts of a device at work, to one that is stopped.
            assert_eq!(pf.set_mode(target, STOPPED), S_OK);
            let early = pf.get_parts(source, 0);
            assert_eq!(pf.set_parts(target, 1, &early), S_OK);
            assert_eq!(pf.set_mode(source, STOPPED), S_OK);
            let parts = pf.get_parts(source, 0);
            assert_eq!(pf.set_parts(target, 1, &parts), S_OK);
            assert_eq!(pf.destroy(source, 0), S_OK);
            assert_eq!(pf.destroy(target, 1), S_OK);
            rig.flr(source as usize);
            vf.move_to(target as usize);
            vf.port.take_interrupts();
            let received = pf.offer(2048);
            assert_eq!(pf.set_mode(target, 0), S_OK);
            assert_eq!(rig.parts(target as usize), parts);
            let mut raised = vf.port.take_interrupts();
            raised.sort();
            raised.dedup();
            assert_eq!(raised, [1, 2, 3], "each queue has its vector and raised it");
            assert_eq!(vf.mac(), mac);
            assert_eq!(vf.used(1), Some((head, 0)), "seen on resume");
            assert_eq!(pf.take(received), Some(unseen));
            let sent = frame(mac, pf.mac(), b"into the buffer that waited");
            pf.send(&sent);
            assert_eq!(vf.take(waiting), Some(sent));
            traffic(&mut pf, &mut vf, 21..42);
            assert_eq!(vf.control(CTRL_VLAN, CTRL_VLAN_DEL, &[9, 0]), {
                if without & F_CTRL_VLAN == 0 {
                    NET_OK
                } else {
                    NET_ERR
                }
            });
            assert_eq!(vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[9, 0]), NET_OK);
        }
    }
}

#[test]
fn the_switch_follows_the_address() {
    let rig = Rig::plain(2);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.linux_admin_setup();
    let mut vf = Driver::up(&rig, 1, 0);
    traffic(&mut pf, &mut vf, 0..1);
    let parts = {
        assert_eq!(pf.set_mode(1, STOPPED), S_OK);
        rig.parts(1)
    };
    assert_eq!(pf.create(2, 0, OBJ_SET), S_OK);
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    assert_eq!(pf.set_mode(2, 0), S_OK);
    // The source is still there, stopped, with the same address.
    let dropped = rig.counter(1, "rx_dropped");
    vf.move_to(2);
    let offered = vf.offer(2048);
    let sent = frame(vf.mac(), pf.mac(), b"after the move");
    pf.send(&sent);
    assert_eq!(vf.take(offered), Some(sent));
    assert_eq!(rig.counter(1, "rx_dropped"), dropped);
}

#[test]
fn loaded_rings_that_are_not_there_break_the_target() {
    let rig = Rig::plain(2);
    let mut pf = ready_to_set(&rig, 2);
    let _vf = Driver::up(&rig, 1, 0);
    let mut parts = split(&rig.parts(1));
    find(&mut parts, PART_VQ_CFG, 1).value[24..].copy_from_slice(&(1u64 << 40).to_le_bytes());
    assert_eq!(
        pf.set_parts(2, 0, &join(&parts)),
        S_OK,
        "addresses are checked in use"
    );
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert_ne!(Driver::new(&rig, 2).status() & NEEDS_RESET, 0);
    assert_eq!(pf.status() & NEEDS_RESET, 0);
}

#[test]
fn a_need_of_reset_moves_and_is_told() {
    let rig = Rig::plain(2);
    let mut pf = ready_to_set(&rig, 2);
    let _vf = Driver::up(&rig, 1, 0);
    let whole = rig.parts(1);
    let mut parts = split(&whole);
    find(&mut parts, PART_DEVICE_STATUS, 0).value[0] |= NEEDS_RESET;
    let broken = join(&parts);
    let target = &rig.ports[2];
    // Not for parts that were set before those that count.
    assert_eq!(pf.set_parts(2, 0, &broken), S_OK);
    assert_eq!(pf.set_parts(2, 0, &whole), S_OK);
    target.take_interrupts();
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert_eq!(target.take_interrupts(), [1, 2, 3], "of the queues");
    assert_eq!(pf.set_mode(2, STOPPED), S_OK);
    assert_eq!(pf.set_parts(2, 0, &broken), S_OK);
    assert!(target.take_interrupts().is_empty(), "not while stopped");
    assert_eq!(pf.set_mode(2, 0), S_OK);
    assert_eq!(target.take_interrupts(), [0], "and nothing else");
}

#[test]
fn ballast() {
    let size = 10_000;
    let rig = lenient(Config {
        extra_parts: size,
        ..Config::default()
    });
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.create(1, 1, OBJ_GET), S_OK);
    let poke = json!(
        {"cmd": "poke-extra", "function": "vf1", "position": 9999, "value": 0xa5});
    rig.control(poke);
    let bytes = pf.get_parts(1, 1);
    let extra: Vec<Part> = split(&bytes)
        .into_iter()
        .filter(|part| part.kind == PART_EXTRA)
        .collect();
    let lens: Vec<usize> = extra.iter().map(|part| part.value.len()).collect();
    assert_eq!(lens, [4096, 4096, 1808]);
    assert!(extra.iter().all(|part| part.flags == 0));
    assert_eq!(extra[2].value[1807], 0xa5);
    assert_ne!(rig.parts(2), bytes);
    assert_eq!(pf.set_parts(2, 0, &bytes), S_OK);
    assert_eq!(rig.parts(2), bytes);
    // One of them alone, and what does not fit.
    let mut one = extra[1].clone();
    one.value[0] ^= 1;
    assert_eq!(pf.set_parts(2, 0, &join(&[one])), S_OK);
    assert_ne!(rig.parts(2), bytes);
    let before = rig.parts(2);
    let mut short = extra[2].clone();
    short.value.pop();
    for wrong in [
        short,
        Part::new(PART_EXTRA, 3, &[]),
        Part::new(PART_EXTRA, u64::MAX, &[]),
    ] {
        assert_eq!(
            pf.set_parts(2, 0, &join(&[wrong])),
            (EINVAL, Q_INVALID_FIELD)
        );
        assert_eq!(rig.parts(2), before);
    }
    let beyond = json!(
        {"cmd": "poke-extra", "function": "vf1", "position": 10_000, "value": 0});
    assert!(!rig.control_fails(beyond).is_empty());
}

fn set_ballast(function: &str, bytes: usize, part_size: usize) -> Value {
    json!({"cmd": "ballast", "function": function, "bytes": bytes, "part_size": part_size})
}

fn touch_ballast(function: &str, parts: usize) -> Value {
    json!({"cmd": "touch-ballast", "function": function, "parts": parts})
}

/// The parts of ballast among others.
fn extra(bytes: &[u8]) -> Vec<Part> {
    let mut parts = split(bytes);
    parts.retain(|part| part.kind == PART_EXTRA);
    parts
}

/// Ballast after a reset.
fn pristine(bytes: usize, part_size: usize) -> Vec<Part> {
    let bytes: Vec<u8> = (0..bytes).map(|at| (at ^ (at >> 8)) as u8).collect();
    let parts = (0..).zip(bytes.chunks(part_size));
    parts
        .map(|(index, value)| Part::new(PART_EXTRA, index, value))
        .collect()
}

/// Number of parts and bytes, as METADATA_GET has them.
fn metadata(pf: &mut Driver, vf: u64, id: u32) -> (usize, usize) {
    let [count, size] = [METADATA_COUNT, METADATA_SIZE].map(|kind| {
        let reply = pf.admin(&Command::metadata(vf, id, kind), 8);
        assert_eq!(reply.code, S_OK);
        u64::from_le_bytes(reply.result.try_into().expect("one word")) as usize
    });
    (count, size)
}

#[test]
fn ballast_comes_and_goes() {
    let rig = Rig::plain(2);
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.create(1, 1, OBJ_GET), S_OK);
    let (plain, untouched) = (rig.parts(1), rig.parts(2));
    let (count, size) = metadata(&mut pf, 1, 1);
    assert_eq!((count, size), (split(&plain).len(), plain.len()));
    for (bytes, part_size, parts) in [
        (1000, 64, 16),
        (1000, 1, 1000),
        (1024, 64, 16),
        (300_000, 4096, 74),
        (2 << 20, 1 << 20, 2),
        (5, 1 << 20, 1),
    ] {
        rig.control(set_ballast("vf1", bytes, part_size));
        let there = rig.parts(1);
        assert_eq!(extra(&there), pristine(bytes, part_size));
        assert_eq!(there[..plain.len()], plain, "the other parts");
        assert_eq!(pf.get_parts(1, 1), there);
        let more = (count + parts, size + bytes + parts * PART_HEADER);
        assert_eq!(metadata(&mut pf, 1, 1), more);
        // Resets are about the contents.
        let resets: [&dyn Fn(); 2] = [&|| rig.flr(1), &|| {
            Driver::new(&rig, 1).w8(DEVICE_STATUS, 0)
        }];
        for reset in resets {
            rig.control(touch_ballast("vf1", 1));
            assert_ne!(rig.parts(1), there);
            reset();
            assert_eq!(rig.parts(1), there);
        }
        rig.control(touch_ballast("vf1", parts));
        assert_eq!(rig.parts(2), untouched, "another function");
    }
    rig.control(set_ballast("vf1", 0, 1));
    assert_eq!(rig.parts(1), plain);
}

#[test]
fn ballast_fits_its_like() {
    let rig = Rig::plain(2);
    let mut pf = ready_to_set(&rig, 2);
    rig.control(set_ballast("vf1", 1000, 64));
    rig.control(touch_ballast("vf1", 3));
    let parts = rig.parts(1);
    for (bytes, part_size) in [(0, 64), (999, 64), (960, 64), (1000, 63), (1000, 65)] {
        rig.control(set_ballast("vf2", bytes, part_size));
        let before = rig.parts(2);
        assert_eq!(
            pf.set_parts(2, 0, &parts),
            (EINVAL, Q_INVALID_FIELD),
            "{bytes} bytes in parts of {part_size}"
        );
        assert_eq!(rig.parts(2), before);
    }
    rig.control(set_ballast("vf2", 1000, 64));
    assert_eq!(pf.set_parts(2, 0, &parts), S_OK);
    assert_eq!(rig.parts(2), parts);
}

#[test]
fn impossible_ballast_is_refused() {
    let rig = Rig::plain(1);
    rig.control(set_ballast("vf1", 100, 10));
    let before = rig.parts(1);
    for impossible in [
        set_ballast("vf1", 100, 0),
        set_ballast("vf1", 0, 0),
        set_ballast("vf1", 100, (1 << 20) + 1),
        set_ballast("vf1", (256 << 20) + 1, 4096),
        set_ballast("vf1", usize::MAX, 1),
        set_ballast("vf1", (4 << 20) + 1, 1),
        set_ballast("vf2", 100, 10),
        json!({"cmd": "ballast", "function": "vf1", "bytes": 1}),
        json!({"cmd": "ballast", "function": "vf1", "bytes": -1, "part_size": 1}),
        touch_ballast("vf1", 11),
        touch_ballast("vf1", usize::MAX),
        touch_ballast("vf2", 1),
        touch_ballast("pf", 1),
        json!({"cmd": "touch-ballast", "function": "vf1"}),
    ] {
        let error = rig.control_fails(impossible.clone());
        assert_eq!(error.lines().count(), 1, "{impossible}: {error:?}");
        assert_eq!(rig.parts(1), before, "{impossible} had an effect");
    }
    rig.control(touch_ballast("pf", 0));
    rig.control(touch_ballast("vf1", 10));
}

#[test]
fn each_touch_changes_so_many_parts() {
    let rig = Rig::plain(1);
    rig.control(set_ballast("vf1", 999, 10));
    let mut before = extra(&rig.parts(1));
    for (count, at) in [
        (1, vec![0]),
        (1, vec![0]),
        (5, vec![0, 20, 40, 60, 80]),
        (5, vec![0, 20, 40, 60, 80]),
        (0, vec![]),
        (3, vec![0, 33, 66]),
        (100, (0..100).collect()),
        (100, (0..100).collect()),
    ] {
        rig.control(touch_ballast("vf1", count));
        let now = extra(&rig.parts(1));
        let pairs = now.iter().zip(&before);
        let changed: Vec<u64> = pairs
            .filter(|(now, before)| now != before)
            .map(|(now, _)| now.selector)
            .collect();
        assert_eq!(changed, at);
        for (now, before) in now.iter().zip(&before) {
            let bytes = now.value.iter().zip(&before.value);
            assert!(bytes.filter(|(now, before)| now != before).count() <= 1);
        }
        before = now;
    }
}

#[test]
fn ballast_changes_amid_commands() {
    let rig = Rig::plain(2);
    let mut pf = ready_to_set(&rig, 2);
    assert_eq!(pf.create(1, 1, OBJ_GET), S_OK);
    let small = rig.parts(1);
    // Who asked for the size too early gets what there is room for.
    rig.control(set_ballast("vf1", 100_000, 64));
    let room = small.len() as u32 + 1000;
    let cut = pf.admin(&Command::get_all(1, 1), room);
    let whole = rig.parts(1);
    assert_eq!(cut.code, S_OK);
    assert_eq!(cut.result, whole[..room as usize]);
    // What was read stays what it was.
    rig.control(json!({"cmd": "inject", "opcode": CMD_PARTS_GET, "action": {"silence": true}}));
    let started = pf.admin_start(&Command::get_all(1, 1), whole.len() as u32);
    rig.control(set_ballast("vf1", 10, 3));
    rig.control(json!({"cmd": "release"}));
    let reply = pf.admin_reply(started).expect("a reply");
    assert_eq!((reply.code, reply.result), (S_OK, whole.clone()));
    // So does what was set, whether the driver has heard of it or not.
    rig.control(set_ballast("vf2", 100_000, 64));
    rig.control(json!({"cmd": "inject", "opcode": CMD_PARTS_SET, "action": {"silence": true}}));
    let data = [crate::driver::object_header(0), whole.clone()].concat();
    let set = Command::vf(CMD_PARTS_SET, 2, &data);
    let started = pf.admin_start(&set, 0);
    assert_eq!(rig.parts(2), whole);
    rig.control(set_ballast("vf2", 0, 1));
    rig.control(json!({"cmd": "release"}));
    assert_eq!(pf.admin_reply(started).expect("a reply").code, S_OK);
    // Parts of what is gone; then far more than all parts of any function.
    assert_eq!(rig.parts(2), small);
    rig.control(set_ballast("vf1", 80_000, 64));
    assert_eq!(pf.set_parts(2, 0, &whole), (EINVAL, Q_INVALID_FIELD));
    rig.control(set_ballast("vf1", 0, 1));
    assert_eq!(pf.set_parts(2, 0, &whole), (ENOMEM, Q_NORESOURCE));
    assert_eq!(rig.parts(2), small);
    assert_eq!(pf.status() & NEEDS_RESET, 0);
}
