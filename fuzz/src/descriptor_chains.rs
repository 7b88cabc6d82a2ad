// SPDX-License-Identifier: GPL-2.0
//! Whatever a driver puts into its rings, the other functions are not harmed, and a reset
//! repairs its own. One byte for the machine and the function; rounds as [`round`] has them.

use crate::bytes::Bytes;
use crate::driver::Driver;
use crate::machines;
use crate::rig::MEMORY;
use crate::wire::*;

const ROUNDS: usize = 8;
/// Descriptors of each queue.
const SIZE: u16 = 16;
/// Where descriptors lead to, mostly: memory that no driver uses.
const PLACE: u64 = 0x180_0000;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let choice = bytes.u8();
    machines::with(choice, |rig| {
        // The PF has all kinds of queues.
        let mut bad = Driver::up(rig, usize::from(choice / 3) & 1, 0);
        let other = Driver::up(rig, 2, 0);
        if bad.index == 0 && choice & 0x80 != 0 {
            bad.linux_admin_setup();
        }
        for _ in 0..ROUNDS {
            if bytes.is_empty() {
                break;
            }
            round(&mut bad, &mut bytes);
        }
        assert_eq!(
            other.status() & NEEDS_RESET,
            0,
            "another function is harmed"
        );
        let again = Driver::up(rig, bad.index, 0);
        assert_eq!(again.status() & NEEDS_RESET, 0, "a reset repairs");
    });
}

/// A byte for the queue, descriptors with six bytes each for its table and for the memory
/// that descriptors lead to, and the available ring.
fn round(bad: &mut Driver<'_>, bytes: &mut Bytes<'_>) {
    let queue = usize::from(bytes.u8()) % bad.queues.len();
    let shape = bytes.u8();
    for slot in 0..u16::from(shape & 0xf) {
        let desc = descriptor(bytes);
        bad.write_desc(queue as u16, slot, desc);
    }
    for slot in 0..u16::from(shape >> 4) {
        let desc = descriptor(bytes);
        bad.write_desc_at(PLACE, slot, desc);
    }
    let length = usize::from(bytes.u8());
    bad.rig.write(PLACE + 0x100, bytes.take(length));
    let avail = bad.queues[queue].avail;
    let heads = bytes.u8();
    for head in 0..heads % 4 {
        let at = u64::from(bad.queues[queue].avail_idx.wrapping_add(head.into()) % SIZE);
        let head = u16::from(bytes.u8()) % (SIZE + 1);
        bad.rig.write(avail + 4 + 2 * at, &head.to_le_bytes());
    }
    let index = &mut bad.queues[queue].avail_idx;
    *index = index.wrapping_add(u16::from(heads % 4));
    let (index, flags) = (*index, u16::from(heads >> 7));
    bad.rig.write(avail, &flags.to_le_bytes());
    bad.rig.write(avail + 2, &index.to_le_bytes());
    if heads & 0x40 != 0 {
        // Far from where it was.
        bad.rig.write(avail + 2, &bytes.u16().to_le_bytes());
    }
    bad.kick(queue as u16);
}

/// A descriptor that is often nearly right.
fn descriptor(bytes: &mut Bytes<'_>) -> (u64, u32, u16, u16) {
    let (place, length, flags) = (bytes.u8(), bytes.u16(), bytes.u8());
    let addr = match place {
        0xff => u64::MAX - u64::from(length),
        0xfe => MEMORY as u64 - 8,
        _ => PLACE + 0x40 * u64::from(place),
    };
    let len = match length {
        0xffff => u32::MAX,
        0xfffe => 1 << 31,
        _ if length & 0x8000 != 0 => 16 * u32::from(length & 0xff),
        _ => u32::from(length & 0x1fff),
    };
    (addr, len, u16::from(flags & 7), u16::from(flags >> 3))
}
