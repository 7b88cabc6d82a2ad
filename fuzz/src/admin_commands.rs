// SPDX-License-Identifier: GPL-2.0
//! Whatever is on the PF's administration virtqueue: a reply comes, no larger than its
//! room, a command that fails changes no VF, and the PF stays in order. Two bytes for the
//! machine and its setup; commands as [`command`] has them.

use crate::bytes::Bytes;
use crate::driver::{Command, Driver};
use crate::machines::{self, VFS};
use crate::rig::Rig;
use crate::wire::*;

/// Commands of an execution: the driver's memory is not endless.
const COMMANDS: usize = 24;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    // Block functions have the same queue, and fewer parts.
    let choice = bytes.u8();
    let setup = bytes.u8();
    machines::with(choice, |rig| {
        let mut pf = Driver::up(rig, 0, 0);
        if setup & 1 != 0 {
            use_all(&mut pf);
            assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
            assert_eq!(pf.create(2, 1, OBJ_SET), S_OK);
        }
        if setup & 2 != 0 {
            drop(Driver::up(rig, 1, 0));
        }
        if setup & 4 != 0 {
            pf.set_mode(2, STOPPED);
        }
        for _ in 0..COMMANDS {
            if bytes.is_empty() {
                break;
            }
            let (command, room) = command(&mut bytes, rig);
            execute(rig, &mut pf, &command, room);
        }
    });
}

/// Uses all commands that are offered, and all objects.
fn use_all(pf: &mut Driver<'_>) {
    for group in [GROUP_SELF, GROUP_SRIOV] {
        let list = pf.admin(&Command::new(CMD_LIST_QUERY, group, 0, &[]), 8);
        pf.admin_ok(&Command::new(CMD_LIST_USE, group, 0, &list.result));
    }
    let limits = pf.admin(&Command::new(CMD_DEVICE_CAP_GET, GROUP_SELF, 0, &[0; 8]), 2);
    let data = [&[0; 8][..], &limits.result].concat();
    pf.admin_ok(&Command::new(CMD_DRIVER_CAP_SET, GROUP_SELF, 0, &data));
}

/// One byte each for opcode, group and member; two for the room of the result; one that
/// says what the data is, and the data with a byte for its length.
fn command(bytes: &mut Bytes<'_>, rig: &Rig) -> (Command, u32) {
    let (opcode, group, member) = (bytes.u8(), bytes.u8(), bytes.u8());
    let room = u32::from(bytes.u16());
    let kind = bytes.u8();
    let length = usize::from(bytes.u8());
    let given = bytes.take(length);
    let data = match kind % 4 {
        // An object, and what comes behind its number.
        1 => [&[0, 0, 0, 0, kind >> 4, 0, 0, 0], given].concat(),
        // Device parts of a VF, with some bytes changed.
        2 => {
            let mut parts = rig.parts(usize::from(kind >> 4) % usize::from(VFS) + 1);
            for change in given.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
                if let Some(byte) = parts.get_mut(at) {
                    *byte ^= change[2];
                }
            }
            [&[0, 0, 0, 0, 1, 0, 0, 0], &parts[..]].concat()
        }
        _ => given.to_vec(),
    };
    let number = |byte: u8, small: u8| match byte {
        0xff => u16::MAX,
        _ => (byte % small).into(),
    };
    let member = match member {
        0xff => u64::MAX,
        0xfe => 1 << 32,
        _ => u64::from(member % 5),
    };
    let command = Command::new(number(opcode, 0x14), number(group, 3), member, &data);
    (command, room)
}

fn execute(rig: &Rig, pf: &mut Driver<'_>, command: &Command, room: u32) {
    let watched = [CMD_PARTS_SET, CMD_MODE_SET, CMD_OBJ_CREATE, CMD_OBJ_MODIFY];
    let watched = watched.contains(&command.opcode);
    let before = watched.then(|| [rig.parts(1), rig.parts(2)]);
    let reply = pf.admin(command, room);
    assert!(
        reply.result.len() <= room as usize,
        "no more than there is room"
    );
    if reply.code != S_OK {
        assert!(reply.result.is_empty(), "a failure has no result");
        if let Some(before) = before {
            assert_eq!(
                before,
                [rig.parts(1), rig.parts(2)],
                "a failure changes nothing"
            );
        }
    }
    assert_eq!(pf.status() & NEEDS_RESET, 0, "no command breaks the PF");
}
