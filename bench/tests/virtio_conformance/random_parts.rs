// SPDX-License-Identifier: GPL-2.0
//! Whatever is set: it is refused and nothing has changed, or it is taken and
//! GET gives it back.

use proptest::prelude::*;

use crate::driver::Driver;
use crate::parts::{Part, join, split};
use crate::rig::Rig;
use crate::wire::*;

/// A change to a sequence of parts. Indices are taken modulo what is there.
#[derive(Clone, Debug)]
enum Change {
    FlipBit(usize, u8),
    SetByte(usize, u8),
    Truncate(usize),
    Append(Vec<u8>),
    Remove(usize),
    Swap(usize, usize),
    Repeat(usize),
    Selector(usize, u64),
    Value(usize, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Change::FlipBit(at, bit)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::SetByte(at, byte)),
        any::<usize>().prop_map(Change::Truncate),
        bytes().prop_map(Change::Append),
        any::<usize>().prop_map(Change::Remove),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Change::Swap(a, b)),
        any::<usize>().prop_map(Change::Repeat),
        (any::<usize>(), 0..70u64).prop_map(|(at, to)| Change::Selector(at, to)),
        (any::<usize>(), bytes()).prop_map(|(at, value)| Change::Value(at, value)),
    ]
}

fn apply(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    // Changes to whole parts first: they need a sequence that can be split.
    let mut parts = split(&bytes);
    for change in changes {
        let count = parts.len();
        if count == 0 {
            break;
        }
        match change {
            Change::Remove(at) => drop(parts.remove(at % count)),
            Change::Swap(a, b) => parts.swap(a % count, b % count),
            Change::Repeat(at) => parts.insert(at % count, parts[at % count].clone()),
            Change::Selector(at, to) => parts[at % count].selector = *to,
            Change::Value(at, value) => parts[at % count].value = value.clone(),
            _ => (),
        }
    }
    bytes = join(&parts);
    for change in changes {
        let len = bytes.len().max(1);
        match change {
            Change::FlipBit(at, bit) => {
                if let Some(byte) = bytes.get_mut(at % len) {
                    *byte ^= 1 << bit;
                }
            }
            Change::SetByte(at, value) => {
                if let Some(byte) = bytes.get_mut(at % len) {
                    *byte = *value;
                }
            }
            Change::Truncate(at) => bytes.truncate(at % len),
            Change::Append(tail) => bytes.extend(tail),
            _ => (),
        }
    }
    bytes
}

/// What GET must give after `taken` was set on a device with `before`.
fn expected(before: &[u8], taken: &[u8]) -> Vec<Part> {
    let mut state = split(before);
    let end = taken.len() - taken.len().min(trailing_zeroes(taken));
    let mut set = Vec::new();
    // Fewer than 8 zeroes at the end are padding, unless they belong to a part.
    for cut in (end..=taken.len()).rev() {
        if let Some(parts) = try_split(&taken[..cut]) {
            set = parts;
            break;
        }
    }
    for part in set {
        if part.flags & PART_OPTIONAL != 0 {
            continue;
        }
        let slot = state
            .iter_mut()
            .find(|old| (old.kind, old.selector) == (part.kind, part.selector))
            .expect("a part that was taken exists");
        *slot = part;
    }
    state
}

fn trailing_zeroes(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rev()
        .take(7)
        .take_while(|&&byte| byte == 0)
        .count()
}

fn try_split(bytes: &[u8]) -> Option<Vec<Part>> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest.get(12..16)?.try_into().ok()?) as usize;
        rest = rest.get(PART_HEADER.checked_add(len)?..)?;
    }
    Some(split(bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn all_or_nothing(changes in prop::collection::vec(change(), 0..4)) {
        let rig = Rig::plain(2);
        let mut pf = Driver::up(&rig, 0, 0);
        pf.linux_admin_setup();
        prop_assert_eq!(pf.create(2, 0, OBJ_SET), S_OK);
        prop_assert_eq!(pf.set_mode(2, STOPPED), S_OK);
        let mut vf = Driver::up(&rig, 1, 0);
        vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[9, 0]);
        vf.control(CTRL_RX, CTRL_RX_PROMISC, &[1]);
        let bytes = apply(rig.parts(1), &changes);
        let before = rig.parts(2);
        match pf.set_parts(2, 0, &bytes) {
            S_OK => {
                prop_assert_eq!(split(&rig.parts(2)), expected(&before, &bytes));
                // Whatever it is, the device can be run and reset.
                prop_assert_eq!(pf.set_mode(2, 0), S_OK);
                rig.flr(2);
                prop_assert_eq!(rig.parts(2), before);
            }
            code => {
                prop_assert_eq!(code, (EINVAL, Q_INVALID_FIELD));
                prop_assert_eq!(rig.parts(2), before);
            }
        }
        prop_assert_eq!(pf.status() & NEEDS_RESET, 0);
    }
}
