// SPDX-License-Identifier: GPL-2.0
//! The control queue and the filters it sets.

use vfio_bench::virtio::machine::Config;

use crate::driver::{Driver, frame};
use crate::rig::Rig;
use crate::wire::*;

const OTHER: [u8; 6] = [2, 0xaa, 0, 0, 0, 1];
const GROUP: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Whether a frame that the PF sends arrives at the VF.
fn arrives(pf: &mut Driver, vf: &mut Driver, sent: &[u8]) -> bool {
    let offered = vf.offer(2048);
    let before = vf.rig.read_u16(vf.queues[0].used + 2);
    pf.send(sent);
    let arrived = vf.rig.read_u16(vf.queues[0].used + 2) != before;
    if arrived {
        // The oldest buffer was used; which one that is does not matter here.
        let (_, len) = vf.used(0).expect("a used buffer");
        assert_eq!(len as usize, NET_HEADER + sent.len());
    }
    let _ = offered;
    arrived
}

fn tables(unicast: &[[u8; 6]], multicast: &[[u8; 6]]) -> Vec<u8> {
    let mut data = Vec::new();
    for table in [unicast, multicast] {
        data.extend((table.len() as u32).to_le_bytes());
        data.extend(table.concat());
    }
    data
}

#[test]
fn receive_modes() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let from = pf.mac();
    let own = frame(vf.mac(), from, b"own");
    let other = frame(OTHER, from, b"other");
    let group = frame(GROUP, from, b"group");
    let mut check = |vf: &mut Driver, expected: [bool; 3]| {
        let got = [&own, &other, &group].map(|sent| arrives(&mut pf, vf, sent));
        assert_eq!(got, expected);
    };
    check(&mut vf, [true, false, false]);
    assert_eq!(vf.control(CTRL_RX, CTRL_RX_ALLMULTI, &[1]), NET_OK);
    check(&mut vf, [true, false, true]);
    assert_eq!(vf.control(CTRL_RX, CTRL_RX_PROMISC, &[1]), NET_OK);
    assert_eq!(vf.control(CTRL_RX, CTRL_RX_ALLMULTI, &[0]), NET_OK);
    check(&mut vf, [true, true, true]);
}

#[test]
fn no_filter_without_the_feature() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, F_CTRL_RX | F_CTRL_VLAN);
    let sent = frame(OTHER, pf.mac(), b"other");
    assert!(arrives(&mut pf, &mut vf, &sent));
    assert_eq!(vf.control(CTRL_RX, CTRL_RX_PROMISC, &[1]), NET_ERR);
    assert_eq!(vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[1, 0]), NET_ERR);
}

#[test]
fn address_tables() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let other = frame(OTHER, pf.mac(), b"other");
    let group = frame(GROUP, pf.mac(), b"group");
    let set = tables(&[OTHER], &[GROUP]);
    assert_eq!(vf.control(CTRL_MAC, CTRL_MAC_TABLE_SET, &set), NET_OK);
    assert!(arrives(&mut pf, &mut vf, &other) && arrives(&mut pf, &mut vf, &group));
    assert_eq!(
        vf.control(CTRL_MAC, CTRL_MAC_TABLE_SET, &tables(&[], &[])),
        NET_OK
    );
    assert!(!arrives(&mut pf, &mut vf, &other) && !arrives(&mut pf, &mut vf, &group));
}

#[test]
fn own_address() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let old = frame(vf.mac(), pf.mac(), b"old");
    let new = frame(OTHER, pf.mac(), b"new");
    assert!(arrives(&mut pf, &mut vf, &old) && !arrives(&mut pf, &mut vf, &new));
    assert_eq!(vf.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &OTHER), NET_OK);
    assert_eq!(vf.mac(), OTHER);
    assert!(!arrives(&mut pf, &mut vf, &old) && arrives(&mut pf, &mut vf, &new));
}

#[test]
fn vlans() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    let tagged = |id: u16, to: [u8; 6], from: [u8; 6]| {
        let mut sent = frame(to, from, b"tagged");
        sent.splice(12..12, [0x81, 0x00, 0x60 | (id >> 8) as u8, id as u8]);
        sent
    };
    let (to, from) = (vf.mac(), pf.mac());
    let seven = tagged(7, to, from);
    assert!(!arrives(&mut pf, &mut vf, &seven));
    assert!(
        arrives(&mut pf, &mut vf, &tagged(0, to, from)),
        "a mere priority"
    );
    assert_eq!(vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[7, 0]), NET_OK);
    assert!(arrives(&mut pf, &mut vf, &seven));
    assert!(!arrives(&mut pf, &mut vf, &tagged(8, to, from)));
    assert_eq!(vf.control(CTRL_VLAN, CTRL_VLAN_DEL, &[7, 0]), NET_OK);
    assert!(!arrives(&mut pf, &mut vf, &seven));
}

#[test]
fn refused_commands_change_nothing() {
    let config = Config {
        queue_pairs: 2,
        ..Config::default()
    };
    let rig = Rig::new(config, 1);
    let mut vf = Driver::up(&rig, 1, 0);
    let refused: Vec<(u8, u8, Vec<u8>)> = vec![
        (CTRL_RX, CTRL_RX_PROMISC, vec![2]),
        (CTRL_RX, CTRL_RX_PROMISC, vec![1, 0]),
        (CTRL_RX, CTRL_RX_ALLUNI, vec![1]),
        (CTRL_MAC, CTRL_MAC_ADDR_SET, vec![1, 0, 0, 0, 0, 1]),
        (CTRL_MAC, CTRL_MAC_ADDR_SET, vec![0; 6]),
        (CTRL_MAC, CTRL_MAC_ADDR_SET, vec![2; 5]),
        (CTRL_MAC, CTRL_MAC_TABLE_SET, tables(&[GROUP], &[])),
        (CTRL_MAC, CTRL_MAC_TABLE_SET, tables(&[], &[OTHER])),
        (CTRL_MAC, CTRL_MAC_TABLE_SET, tables(&[OTHER; 200], &[])),
        (CTRL_MAC, CTRL_MAC_TABLE_SET, vec![0xff; 4]),
        (CTRL_MAC, CTRL_MAC_TABLE_SET, vec![0; 7]),
        (CTRL_MAC, CTRL_MAC_TABLE_SET, vec![0; 9]),
        (CTRL_MAC, 2, vec![0; 6]),
        (CTRL_VLAN, CTRL_VLAN_ADD, vec![0xff, 0x0f]),
        (CTRL_VLAN, CTRL_VLAN_ADD, vec![1]),
        (CTRL_VLAN, 2, vec![1, 0]),
        (CTRL_ANNOUNCE, 0, vec![0]),
        (CTRL_MQ, CTRL_MQ_VQ_PAIRS_SET, vec![0, 0]),
        (CTRL_MQ, CTRL_MQ_VQ_PAIRS_SET, vec![3, 0]),
        (CTRL_MQ, 1, vec![1, 0]),
        (9, 0, vec![1]),
    ];
    let before = rig.parts(1);
    for (class, command, data) in refused {
        assert_eq!(
            vf.control(class, command, &data),
            NET_ERR,
            "{class} {command} {data:?}"
        );
        assert_eq!(
            crate::parts::without_select(&rig.parts(1)),
            crate::parts::without_select(&before)
        );
    }
    assert_eq!(vf.status() & NEEDS_RESET, 0);
}
