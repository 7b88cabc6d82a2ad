// SPDX-License-Identifier: GPL-2.0
//! The driver's logic and the bench's devices against each other. What one saves the other
//! takes; what the bench takes, the logic can carry; and who has been given the deltas of a
//! device has its state. Three bytes of choices, a change of the state, and changes of
//! bytes with three each.

use logic::delta::{Change, Span, compare};
use logic::parts::check;
use logic::record::Header;

use crate::bytes::Bytes;
use crate::driver::Driver;
use crate::loading::load;
use crate::machines;
use crate::rig::Rig;
use crate::wire::*;

const OBJECT_OF_1: u32 = 0;
const OBJECT_OF_2: u32 = 1;
/// Activities of an execution.
const ACTIVITIES: u8 = 6;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let choice = bytes.u8();
    machines::with(choice, |rig| {
        let mut pf = Driver::up(rig, 0, 0);
        pf.linux_admin_setup();
        assert_eq!(pf.create(1, OBJECT_OF_1, OBJ_SET), S_OK);
        assert_eq!(pf.create(2, OBJECT_OF_2, OBJ_SET), S_OK);
        assert_eq!(pf.set_mode(2, STOPPED), S_OK);
        let is_blk = choice % 3 == 2;
        let mut vf = Driver::up(rig, 1, if bytes.u8() & 1 != 0 { F_CTRL_VLAN } else { 0 });
        carry(rig, &mut pf, &[], &rig.parts(1));
        let before = rig.parts(1);
        if !is_blk {
            for _ in 0..bytes.u8() % (ACTIVITIES + 1) {
                act(rig, &mut vf, &mut bytes);
            }
        }
        carry(rig, &mut pf, &before, &rig.parts(1));
        damage(rig, &mut pf, &mut bytes);
    });
}

/// What a guest does with a network function.
fn act<'a>(rig: &'a Rig, vf: &mut Driver<'a>, bytes: &mut Bytes<'_>) {
    let (kind, value) = (bytes.u8(), bytes.u8());
    match kind % 6 {
        0 => drop(vf.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &[2, 0, 0, 0, 7, value])),
        1 => {
            let mut table = u32::from(value % 5).to_le_bytes().to_vec();
            table.extend((0..value % 5).flat_map(|last| [2, 0, 0, 0, 8, last]));
            table.extend([0; 4]);
            vf.control(CTRL_MAC, CTRL_MAC_TABLE_SET, &table);
        }
        2 => drop(vf.control(CTRL_RX, value >> 1 & 1, &[value & 1])),
        3 => drop(vf.control(CTRL_VLAN, CTRL_VLAN_ADD + (value & 1), &[value >> 1, 0])),
        4 => vf.send(&[value; 60]),
        _ => *vf = Driver::up(rig, 1, if value & 1 != 0 { F_EVENT_IDX } else { 0 }),
    }
}

/// Brings VF 2 from `old`, which it has if it is not empty, to `new`, as the module would.
fn carry(rig: &Rig, pf: &mut Driver<'_>, old: &[u8], new: &[u8]) {
    let mut notes = [Span::default(); 64];
    let found = compare(old, new, &mut notes).expect("a device's own parts");
    let content = match found.change {
        Change::Nothing => {
            assert_eq!(old, new);
            assert_eq!(rig.parts(2), new);
            return;
        }
        Change::Values(values) => {
            let places = values.ranges(old, new, &notes);
            places.flat_map(|place| new[place].to_vec()).collect()
        }
        Change::Shape => new.to_vec(),
    };
    let loaded = load(&stream(&content), || 7);
    assert_eq!((loaded.end, &loaded.records[..]), (Ok(()), &[content][..]));
    assert_eq!(pf.set_parts(2, OBJECT_OF_2, &loaded.records[0]), S_OK);
    assert_eq!(rig.parts(2), new, "the target has the source's state");
}

/// A stream of one record.
fn stream(content: &[u8]) -> Vec<u8> {
    let header = Header::device_data(content.len() as u64);
    [&header.encode()[..], content].concat()
}

/// VF 2 is given its own parts, with bytes changed.
fn damage(rig: &Rig, pf: &mut Driver<'_>, bytes: &mut Bytes<'_>) {
    let before = rig.parts(2);
    let mut parts = before.clone();
    let cut = bytes.below(parts.len() + 1);
    if bytes.u8() & 3 == 3 {
        parts.truncate(cut);
    }
    while !bytes.is_empty() {
        let at = usize::from(bytes.u16()) % (parts.len() + 1);
        let value = bytes.u8();
        match parts.get_mut(at) {
            Some(byte) => *byte ^= value,
            None => parts.push(value),
        }
    }
    let judged = check(&parts);
    let code = pf.set_parts(2, OBJECT_OF_2, &parts);
    let after = rig.parts(2);
    if code == S_OK {
        // A device takes up to seven bytes of zero as padding, and a stream has none.
        let padding = parts.iter().rev().take(7).take_while(|&&byte| byte == 0);
        let ends = parts.len() - padding.count()..=parts.len();
        assert!(
            parts.is_empty() || ends.clone().any(|end| check(&parts[..end]).is_ok()),
            "a device took what no stream can carry: {:?}",
            judged.err()
        );
        assert!(check(&after).is_ok(), "a device's own parts are in order");
        // Whatever it is, the device can be run and reset.
        assert_eq!(pf.set_mode(2, 0), S_OK);
        rig.flr(2);
    } else {
        assert_eq!(after, before, "all or nothing");
    }
    assert_eq!(pf.status() & NEEDS_RESET, 0);
}
