// SPDX-License-Identifier: GPL-2.0
//! Whatever a driver puts into its rings, the others are not harmed.

use proptest::prelude::*;

use crate::blk;
use crate::driver::{Driver, frame};
use crate::rig::{MEMORY, Rig};
use crate::wire::*;

type Desc = (u64, u32, u16, u16);

/// A descriptor that is often nearly right.
fn desc() -> impl Strategy<Value = Desc> {
    let addr = prop_oneof![
        8 => (0..512u64).prop_map(|page| 0x100_0000 + page * 0x100),
        1 => Just(MEMORY as u64 - 8),
        1 => any::<u64>(),
    ];
    let len = prop_oneof![
        8 => 0..4096u32,
        4 => (0..20u32).prop_map(|n| 16 * n),
        1 => any::<u32>(),
    ];
    let next = prop_oneof![8 => 0..16u16, 1 => any::<u16>()];
    (addr, len, 0..8u16, next)
}

#[derive(Clone, Debug)]
struct Garbage {
    queue: u16,
    table: Vec<Desc>,
    heads: Vec<u16>,
    avail_idx: u16,
    /// Fills the memory that descriptors point to, so that indirect tables and
    /// commands in it look like some.
    memory: Vec<Desc>,
}

fn garbage() -> impl Strategy<Value = Garbage> {
    (
        0..4u16,
        prop::collection::vec(desc(), 16),
        prop::collection::vec(prop_oneof![8 => 0..16u16, 1 => any::<u16>()], 16),
        prop_oneof![4 => 0..17u16, 1 => any::<u16>()],
        prop::collection::vec(desc(), 32),
    )
        .prop_map(|(queue, table, heads, avail_idx, memory)| Garbage {
            queue,
            table,
            heads,
            avail_idx,
            memory,
        })
}

/// Has `bad` find all that in its rings.
fn misbehave(bad: &mut Driver, all: Vec<Garbage>) {
    for garbage in all {
        let Garbage {
            queue,
            table,
            heads,
            avail_idx,
            memory,
        } = garbage;
        for (slot, desc) in (0..).zip(&memory) {
            bad.write_desc_at(0x100_0000, slot, *desc);
        }
        for (slot, desc) in (0..).zip(&table) {
            bad.write_desc(queue, slot, *desc);
        }
        let avail = bad.queues[usize::from(queue)].avail;
        for (slot, head) in (0u64..).zip(&heads) {
            bad.rig.write(avail + 4 + 2 * slot, &head.to_le_bytes());
        }
        bad.rig.write(avail + 2, &avail_idx.to_le_bytes());
        bad.kick(queue);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nobody_else_is_harmed(all in prop::collection::vec(garbage(), 1..4)) {
        let rig = Rig::plain(2);
        // The one that misbehaves is the PF, which has all kinds of queues.
        let mut bad = Driver::up(&rig, 0, 0);
        bad.linux_admin_setup();
        misbehave(&mut bad, all);
        // Two VFs talk, the PF can be reset.
        let mut one = Driver::up(&rig, 1, 0);
        let mut two = Driver::up(&rig, 2, 0);
        let offered = two.offer(2048);
        let sent = frame(two.mac(), one.mac(), b"fine");
        one.send(&sent);
        prop_assert_eq!(two.status() & NEEDS_RESET, 0);
        // Whatever the PF has sent came before the buffer was there.
        prop_assert_eq!(two.take(offered), Some(sent));
        let mut again = Driver::up(&rig, 0, 0);
        again.linux_admin_setup();
        prop_assert_eq!(again.set_mode(1, STOPPED), S_OK);
    }

    #[test]
    fn nor_are_those_at_the_same_disk(all in prop::collection::vec(garbage(), 1..4)) {
        // The PF's four queues: three for requests and the administration's.
        let rig = blk::rig(3, 1);
        let mut bad = Driver::up(&rig, 0, 0);
        bad.linux_admin_setup();
        misbehave(&mut bad, all);
        let mut vf = Driver::up(&rig, 1, 0);
        let data = blk::pattern(1, 2);
        prop_assert_eq!(blk::write(&mut vf, 0, &data), BLK_S_OK);
        prop_assert_eq!(blk::read(&mut vf, 0, 2), data);
    }
}
