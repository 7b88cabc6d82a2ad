// SPDX-License-Identifier: GPL-2.0
//! Group administration commands: validation, lists, capabilities, objects.

use serde_json::json;
use vfio_bench::virtio::machine::Config;

use crate::driver::{Command, Driver, Reply, create_data, object_header};
use crate::rig::Rig;
use crate::wire::*;

const INVALID_GROUP: (u16, u16) = (EINVAL, Q_INVALID_GROUP);
const INVALID_OPCODE: (u16, u16) = (EINVAL, Q_INVALID_OPCODE);
const INVALID_MEMBER: (u16, u16) = (EINVAL, Q_INVALID_MEMBER);
const INVALID_FIELD: (u16, u16) = (EINVAL, Q_INVALID_FIELD);

fn ready(rig: &Rig) -> Driver<'_> {
    let mut pf = Driver::up(rig, 0, 0);
    pf.linux_admin_setup();
    pf
}

/// Everything that a command that fails must leave alone.
fn everything(rig: &Rig) -> (Vec<Vec<u8>>, serde_json::Value, Vec<bool>) {
    let count = rig.functions.len();
    let parts = (1..count).map(|index| rig.parts(index)).collect();
    let objects = rig.control(json!({"cmd": "state"}))["admin"]["objects"].clone();
    let stopped = (0..count)
        .map(|i| rig.state(i)["stopped"] == true)
        .collect();
    (parts, objects, stopped)
}

/// Executes a command that must fail with `code` and without effect.
fn fails(pf: &mut Driver, command: Command, room: u32, code: (u16, u16)) {
    let before = everything(pf.rig);
    let reply = pf.admin(&command, room);
    assert_eq!(
        reply,
        Reply {
            code,
            result: vec![]
        },
        "{command:?}"
    );
    assert_eq!(everything(pf.rig), before, "{command:?} had an effect");
    assert_eq!(pf.status() & NEEDS_RESET, 0);
}

#[test]
fn group_before_opcode_before_member() {
    let rig = Rig::plain(2);
    let mut pf = ready(&rig);
    for group in [2, 0x100, 0xffff] {
        fails(
            &mut pf,
            Command::new(0x7777, group, 99, &[]),
            8,
            INVALID_GROUP,
        );
    }
    fails(
        &mut pf,
        Command::new(0x7777, GROUP_SRIOV, 99, &[]),
        8,
        INVALID_OPCODE,
    );
    fails(
        &mut pf,
        Command::new(0x7777, GROUP_SELF, 99, &[]),
        8,
        INVALID_OPCODE,
    );
    // 0x12 is not assigned; 2 to 6 are for transitional devices.
    for opcode in [2, 3, 4, 5, 6, 0x12, 63, 64, 0x8000] {
        fails(&mut pf, Command::vf(opcode, 1, &[]), 8, INVALID_OPCODE);
    }
    for member in [0, 3, 0x1_0000_0001, u64::MAX] {
        fails(
            &mut pf,
            Command::vf(CMD_MODE_SET, member, &[1]),
            0,
            INVALID_MEMBER,
        );
        fails(
            &mut pf,
            Command::vf(CMD_MODE_SET, member, &[0xff]),
            0,
            INVALID_MEMBER,
        );
    }
    for opcode in [
        CMD_CAP_ID_LIST_QUERY,
        CMD_DEVICE_CAP_GET,
        CMD_DRIVER_CAP_SET,
    ] {
        fails(
            &mut pf,
            Command::new(opcode, GROUP_SELF, 1, &[0; 8]),
            8,
            INVALID_MEMBER,
        );
        fails(&mut pf, Command::vf(opcode, 1, &[0; 8]), 8, INVALID_GROUP);
    }
    // Commands for members do not exist in the self group.
    for opcode in CMD_OBJ_CREATE..=CMD_MODE_SET {
        fails(
            &mut pf,
            Command::new(opcode, GROUP_SELF, 0, &[0; 24]),
            8,
            INVALID_OPCODE,
        );
    }
}

#[test]
fn nothing_before_list_use() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    for opcode in CMD_OBJ_CREATE..=CMD_MODE_SET {
        fails(&mut pf, Command::vf(opcode, 1, &[0; 24]), 0, INVALID_OPCODE);
    }
    for opcode in CMD_CAP_ID_LIST_QUERY..=CMD_DRIVER_CAP_SET {
        fails(
            &mut pf,
            Command::new(opcode, GROUP_SELF, 0, &[0; 8]),
            8,
            INVALID_OPCODE,
        );
    }
}

#[test]
fn lists() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let owner = pf.admin(&Command::new(CMD_LIST_QUERY, GROUP_SELF, 0, &[]), 8);
    assert_eq!(
        owner,
        Reply {
            code: S_OK,
            result: 0x383u64.to_le_bytes().to_vec()
        }
    );
    let group = pf.admin(&Command::new(CMD_LIST_QUERY, GROUP_SRIOV, 0, &[]), 8);
    assert_eq!(
        group,
        Reply {
            code: S_OK,
            result: 0x3ff83u64.to_le_bytes().to_vec()
        }
    );
    let list_use = |group, list: &[u8]| Command::new(CMD_LIST_USE, group, 0, list);
    // Commands that the device lacks, in the first word and beyond it.
    fails(
        &mut pf,
        list_use(GROUP_SELF, &0x403u64.to_le_bytes()),
        0,
        INVALID_FIELD,
    );
    fails(
        &mut pf,
        list_use(GROUP_SRIOV, &0x40003u64.to_le_bytes()),
        0,
        INVALID_FIELD,
    );
    fails(
        &mut pf,
        list_use(GROUP_SRIOV, &[3, 0, 0, 0, 0, 0, 0, 0, 1]),
        0,
        INVALID_FIELD,
    );
    // More words are possible as long as they are empty.
    pf.admin_ok(&list_use(
        GROUP_SRIOV,
        &[[3, 0, 2, 0, 0, 0, 0, 0], [0; 8]].concat(),
    ));
    assert_eq!(pf.set_mode(1, 0), S_OK);
    fails(
        &mut pf,
        Command::vf(CMD_OBJ_CREATE, 1, &create_data(0, 0)),
        0,
        INVALID_OPCODE,
    );
    // A later list replaces the earlier one.
    pf.admin_ok(&list_use(GROUP_SRIOV, &0x403u64.to_le_bytes()));
    fails(
        &mut pf,
        Command::vf(CMD_MODE_SET, 1, &[0]),
        0,
        INVALID_OPCODE,
    );
    // A driver may even lock itself out until reset.
    pf.admin_ok(&list_use(GROUP_SELF, &0u64.to_le_bytes()));
    fails(
        &mut pf,
        Command::new(CMD_LIST_QUERY, GROUP_SELF, 0, &[]),
        8,
        INVALID_OPCODE,
    );
    let mut pf = Driver::up(&rig, 0, 0);
    let owner = pf.admin(&Command::new(CMD_LIST_QUERY, GROUP_SELF, 0, &[]), 8);
    assert_eq!(owner.code, S_OK);
}

#[test]
fn self_group_by_its_own_list() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.admin_ok(&Command::new(
        CMD_LIST_USE,
        GROUP_SELF,
        0,
        &0x383u64.to_le_bytes(),
    ));
    let caps = pf.admin(&Command::new(CMD_CAP_ID_LIST_QUERY, GROUP_SELF, 0, &[]), 8);
    assert_eq!(caps.result, 1u64.to_le_bytes());
    fails(
        &mut pf,
        Command::vf(CMD_MODE_SET, 1, &[1]),
        0,
        INVALID_OPCODE,
    );
}

#[test]
fn each_group_has_a_list_of_its_own() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let lists = LINUX_LIST.to_le_bytes();
    pf.admin_ok(&Command::new(
        CMD_LIST_USE,
        GROUP_SELF,
        0,
        &3u64.to_le_bytes(),
    ));
    pf.admin_ok(&Command::new(CMD_LIST_USE, GROUP_SRIOV, 0, &lists));
    let get = Command::new(CMD_DEVICE_CAP_GET, GROUP_SELF, 0, &[0; 8]);
    fails(&mut pf, get, 2, INVALID_OPCODE);
}

#[test]
fn no_group_without_vfs() {
    let rig = Rig::plain(2);
    rig.machine.set_num_vfs(0);
    // Linux sets up before there are VFs.
    let mut pf = ready(&rig);
    for opcode in CMD_OBJ_CREATE..=CMD_MODE_SET {
        fails(&mut pf, Command::vf(opcode, 1, &[0; 24]), 0, INVALID_GROUP);
    }
    rig.machine.set_num_vfs(1);
    assert_eq!(pf.set_mode(1, 0), S_OK);
    fails(
        &mut pf,
        Command::vf(CMD_MODE_SET, 2, &[0]),
        0,
        INVALID_MEMBER,
    );
}

#[test]
fn capabilities() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    let get = |id: u16| {
        let data = [id.to_le_bytes().to_vec(), vec![0; 6]].concat();
        Command::new(CMD_DEVICE_CAP_GET, GROUP_SELF, 0, &data)
    };
    let set = |id: u16, limits: [u8; 2]| {
        let data = [id.to_le_bytes().to_vec(), vec![0; 6], limits.to_vec()].concat();
        Command::new(CMD_DRIVER_CAP_SET, GROUP_SELF, 0, &data)
    };
    assert_eq!(
        pf.admin(&get(0), 2),
        Reply {
            code: S_OK,
            result: vec![4, 4]
        }
    );
    fails(&mut pf, get(1), 2, (ENXIO, Q_INVALID_FIELD));
    fails(&mut pf, set(1, [1, 1]), 0, (ENXIO, Q_INVALID_FIELD));
    fails(&mut pf, set(0, [5, 4]), 0, INVALID_FIELD);
    fails(&mut pf, set(0, [4, 5]), 0, INVALID_FIELD);
    pf.admin_ok(&set(0, [2, 1]));
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    assert_eq!(pf.create(1, 2, OBJ_SET), S_OK);
    fails(
        &mut pf,
        Command::vf(CMD_OBJ_CREATE, 1, &create_data(3, OBJ_GET)),
        0,
        INVALID_FIELD,
    );
    fails(&mut pf, set(0, [0, 1]), 0, (EBUSY, Q_INVALID_COMMAND));
    fails(&mut pf, set(0, [2, 0]), 0, (EBUSY, Q_INVALID_COMMAND));
    fails(&mut pf, set(0, [1, 1]), 0, (EBUSY, Q_INVALID_COMMAND));
    pf.admin_ok(&set(0, [4, 4]));
}

#[test]
fn no_objects_before_the_capability_is_set() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.admin_ok(&Command::new(
        CMD_LIST_USE,
        GROUP_SRIOV,
        0,
        &LINUX_LIST.to_le_bytes(),
    ));
    fails(
        &mut pf,
        Command::vf(CMD_OBJ_CREATE, 1, &create_data(0, OBJ_GET)),
        0,
        INVALID_FIELD,
    );
}

#[test]
fn objects() {
    let rig = Rig::plain(2);
    let mut pf = ready(&rig);
    pf.admin_ok(&Command::new(
        CMD_LIST_USE,
        GROUP_SRIOV,
        0,
        &0x3ff83u64.to_le_bytes(),
    ));
    assert_eq!(pf.create(1, 5, OBJ_GET), S_OK);
    let create = |id, kind| Command::vf(CMD_OBJ_CREATE, 2, &create_data(id, kind));
    // Identifiers are shared by all VFs.
    fails(&mut pf, create(5, OBJ_SET), 0, (EEXIST, Q_INVALID_FIELD));
    fails(&mut pf, create(32, OBJ_GET), 0, INVALID_FIELD);
    fails(&mut pf, create(u32::MAX, OBJ_GET), 0, INVALID_FIELD);
    fails(&mut pf, create(6, 2), 0, INVALID_FIELD);
    let mut unknown = create(6, OBJ_GET);
    unknown.data[0] = 1;
    fails(&mut pf, unknown, 0, INVALID_FIELD);
    let mut flags = create(6, OBJ_GET);
    flags.data[8] = 1;
    fails(&mut pf, flags, 0, INVALID_FIELD);
    // An object is not there for another VF.
    let absent = (ENXIO, Q_INVALID_FIELD);
    let header = object_header(5);
    fails(&mut pf, Command::vf(CMD_OBJ_DESTROY, 2, &header), 0, absent);
    fails(&mut pf, Command::vf(CMD_OBJ_QUERY, 2, &header), 8, absent);
    fails(&mut pf, Command::metadata(2, 5, METADATA_SIZE), 8, absent);
    fails(&mut pf, Command::get_all(2, 5), 8, absent);
    fails(
        &mut pf,
        Command::vf(CMD_OBJ_DESTROY, 1, &object_header(4)),
        0,
        absent,
    );
    // Query and modify.
    let query = Command::vf(CMD_OBJ_QUERY, 1, &header);
    assert_eq!(pf.admin(&query, 8).result, [OBJ_GET, 0, 0, 0, 0, 0, 0, 0]);
    pf.admin_ok(&Command::vf(CMD_OBJ_MODIFY, 1, &create_data(5, OBJ_SET)));
    assert_eq!(pf.admin(&query, 8).result[0], OBJ_SET);
    fails(
        &mut pf,
        Command::vf(CMD_OBJ_MODIFY, 1, &create_data(5, 9)),
        0,
        INVALID_FIELD,
    );
    // Destroyed once, created again.
    assert_eq!(pf.destroy(1, 5), S_OK);
    fails(&mut pf, Command::vf(CMD_OBJ_DESTROY, 1, &header), 0, absent);
    assert_eq!(pf.create(2, 5, OBJ_SET), S_OK);
}

#[test]
fn objects_are_limited_by_kind() {
    for objects in [1u8, 4, 16] {
        let config = Config {
            objects,
            ..Config::default()
        };
        let rig = Rig::new(config, 2);
        let mut pf = ready(&rig);
        let objects = u32::from(objects);
        // All VFs have them together.
        for id in 0..objects {
            assert_eq!(pf.create(1 + u64::from(id % 2), id, OBJ_GET), S_OK);
        }
        let one_more = Command::vf(CMD_OBJ_CREATE, 2, &create_data(objects, OBJ_GET));
        fails(&mut pf, one_more, 0, (ENOSPC, Q_NORESOURCE));
        for id in objects..2 * objects {
            assert_eq!(pf.create(1, id, OBJ_SET), S_OK);
        }
        assert_eq!(pf.destroy(1, 0), S_OK);
        let wrong_kind = Command::vf(CMD_OBJ_CREATE, 1, &create_data(0, OBJ_SET));
        fails(&mut pf, wrong_kind, 0, (ENOSPC, Q_NORESOURCE));
        assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    }
}

#[test]
fn objects_die_with_the_owner_and_with_their_vf() {
    let rig = Rig::plain(2);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    assert_eq!(pf.create(2, 1, OBJ_GET), S_OK);
    rig.flr(1);
    assert_eq!(
        pf.destroy(1, 0),
        S_OK,
        "a VF's FLR leaves the owner's objects"
    );
    rig.machine.set_num_vfs(1);
    rig.machine.set_num_vfs(2);
    let gone = Command::vf(CMD_OBJ_DESTROY, 2, &object_header(1));
    fails(&mut pf, gone.clone(), 0, (ENXIO, Q_INVALID_FIELD));
    assert_eq!(pf.create(2, 1, OBJ_GET), S_OK);
    let mut pf = ready(&rig);
    fails(&mut pf, gone, 0, (ENXIO, Q_INVALID_FIELD));
}

#[test]
fn objects_serve_one_purpose() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    assert_eq!(pf.create(1, 1, OBJ_SET), S_OK);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    fails(
        &mut pf,
        Command::metadata(1, 1, METADATA_SIZE),
        8,
        INVALID_FIELD,
    );
    fails(&mut pf, Command::get_all(1, 1), 64, INVALID_FIELD);
    let parts = rig.parts(1);
    let set = [object_header(0), parts].concat();
    fails(
        &mut pf,
        Command::vf(CMD_PARTS_SET, 1, &set),
        0,
        INVALID_FIELD,
    );
}

#[test]
fn metadata() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let parts = crate::parts::split(&rig.parts(1));
    let number = |reply: &Reply| {
        u32::from_le_bytes(reply.result[..4].try_into().expect("four bytes")) as usize
    };
    let size = pf.admin(&Command::metadata(1, 0, METADATA_SIZE), 8);
    assert!(size.code == S_OK && size.result.len() == 8);
    assert_eq!(number(&size), rig.parts(1).len());
    let count = pf.admin(&Command::metadata(1, 0, METADATA_COUNT), 8);
    assert_eq!(number(&count), parts.len());
    let room = 8 + 16 * parts.len() as u32;
    let list = pf.admin(&Command::metadata(1, 0, METADATA_LIST), room);
    assert_eq!(number(&list), parts.len());
    let headers: Vec<u8> = parts.iter().flat_map(|part| part.header()).collect();
    assert_eq!(list.result[8..], headers);
    // The one command that needs room for its whole result.
    let no_room = (ENOMEM, Q_INVALID_COMMAND);
    fails(
        &mut pf,
        Command::metadata(1, 0, METADATA_LIST),
        room - 1,
        no_room,
    );
    fails(&mut pf, Command::metadata(1, 0, METADATA_SIZE), 7, no_room);
    fails(&mut pf, Command::metadata(1, 0, 3), 8, INVALID_FIELD);
}

#[test]
fn the_size_follows_the_state() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let mut size = || {
        let reply = pf.admin(&Command::metadata(1, 0, METADATA_SIZE), 8);
        u32::from_le_bytes(reply.result[..4].try_into().expect("four bytes"))
    };
    let fresh = size();
    let mut vf = Driver::up(&rig, 1, 0);
    for id in 1..=40 {
        vf.control(CTRL_VLAN, CTRL_VLAN_ADD, &[id, 0]);
    }
    assert_eq!(size(), fresh + 80);
    rig.flr(1);
    assert_eq!(size(), fresh);
}

#[test]
fn buffers_may_be_short_or_long() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let whole = rig.parts(1);
    // A result is cut to the room there is.
    for room in [1, 15, 100] {
        let reply = pf.admin(&Command::get_all(1, 0), room);
        assert_eq!(
            reply,
            Reply {
                code: S_OK,
                result: whole[..room as usize].to_vec()
            }
        );
    }
    // Missing data counts as zero: resume, object 0, type SELECTED with no list.
    assert_eq!(pf.admin(&Command::vf(CMD_MODE_SET, 1, &[]), 0).code, S_OK);
    let reply = pf.admin(&Command::vf(CMD_PARTS_GET, 1, &[]), 8);
    assert_eq!(
        reply,
        Reply {
            code: S_OK,
            result: vec![]
        }
    );
    // Excess data is ignored.
    assert_eq!(
        pf.admin(&Command::vf(CMD_MODE_SET, 1, &[0, 9, 9, 9, 9, 9, 9, 9]), 0)
            .code,
        S_OK
    );
    // A header of one byte: LIST_QUERY of the self group.
    let queue = pf.r16(ADMIN_QUEUE_INDEX);
    let (head, _) = pf.add(queue, &[&[0]], &[16]);
    pf.kick(queue);
    assert_eq!(pf.used(queue), Some((head, 16)));
    // No room for more than half of the status.
    let (head, places) = pf.add(queue, &[&[0x77, 0x77]], &[4]);
    pf.kick(queue);
    assert_eq!(pf.used(queue), Some((head, 4)));
    assert_eq!(rig.read(places[1], 8), [22, 0, 2, 0, 0, 0, 0, 0]);
}

#[test]
fn length_alone_is_no_reason_to_refuse() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    let long = |data: &[u8]| [data, &vec![0; 1 << 20]].concat();
    let mode = Command::vf(CMD_MODE_SET, 1, &long(&[STOPPED]));
    assert_eq!(pf.admin(&mode, 0).code, S_OK);
    assert_eq!(rig.state(1)["stopped"], json!(true));
    let nowhere = Command::new(CMD_MODE_SET, 77, 1, &long(&[0]));
    fails(&mut pf, nowhere, 0, INVALID_GROUP);
    // Parts that the device lacks are another matter.
    assert_eq!(pf.create(1, 0, OBJ_SET), S_OK);
    let set = Command::vf(CMD_PARTS_SET, 1, &long(&object_header(0)));
    fails(&mut pf, set, 0, (ENOMEM, Q_NORESOURCE));
    let commands = rig.control(json!({"cmd": "state"}))["admin"]["commands"].clone();
    assert_eq!(commands["0x10"], json!(1), "it counts");
}

/// Has VF 1 read with the result in `pieces` pieces, which together with the
/// command and its status are one indirect table.
fn get_in_pieces(rig: &Rig, pf: &mut Driver, pieces: u16) -> (Option<(u16, u32)>, u64) {
    let piece = rig.parts(1).len().div_ceil(pieces.into()) as u32;
    let queue = pf.r16(ADMIN_QUEUE_INDEX);
    let (table, out, reply) = (pf.alloc(0x4000), pf.alloc(0x1000), pf.alloc(0x4000));
    let command = [vec![0xf, 0, 1, 0], vec![0; 12], 1u64.to_le_bytes().to_vec()].concat();
    rig.write(out, &[command, object_header(0), vec![GET_ALL]].concat());
    pf.write_desc_at(table, 0, (out, 33, DESC_NEXT, 1));
    pf.write_desc_at(table, 1, (reply, 8, DESC_NEXT | DESC_WRITE, 2));
    for k in 0..pieces {
        let more = if k + 1 < pieces { DESC_NEXT } else { 0 };
        let place = reply + 8 + u64::from(piece) * u64::from(k);
        pf.write_desc_at(table, k + 2, (place, piece, DESC_WRITE | more, k + 3));
    }
    let slot = pf.queues[usize::from(queue)].next_desc;
    let bytes = 16 * (u32::from(pieces) + 2);
    pf.write_desc(queue, slot, (table, bytes, DESC_INDIRECT, 0));
    pf.push(queue, slot);
    pf.kick(queue);
    (pf.used(queue), reply)
}

#[test]
fn a_command_has_no_more_descriptors_than_the_queue() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let whole = rig.parts(1);
    let size = pf.queues[usize::from(pf.r16(ADMIN_QUEUE_INDEX))].size;
    let (used, reply) = get_in_pieces(&rig, &mut pf, size - 2);
    assert_eq!(used.map(|(_, len)| len), Some(8 + whole.len() as u32));
    assert_eq!(rig.read(reply + 8, whole.len()), whole);

    let (used, _) = get_in_pieces(&rig, &mut pf, size - 1);
    assert_eq!(used, None);
    assert_ne!(pf.status() & NEEDS_RESET, 0, "the device is broken");
}

#[test]
fn longer_commands_are_a_lenience() {
    let config = Config {
        long_admin_chains: true,
        ..Config::default()
    };
    let rig = Rig::new(config, 1);
    let mut pf = ready(&rig);
    assert_eq!(pf.create(1, 0, OBJ_GET), S_OK);
    let whole = rig.parts(1);
    let (used, reply) = get_in_pieces(&rig, &mut pf, 120);
    assert_eq!(used.map(|(_, len)| len), Some(8 + whole.len() as u32));
    assert_eq!(rig.read(reply, 8), [0; 8]);
    assert_eq!(rig.read(reply + 8, whole.len()), whole);
}

#[test]
fn the_admin_queue_has_the_size_asked_for() {
    for admin_queue_size in [4, 16, 64, 1024] {
        let config = Config {
            admin_queue_size,
            ..Config::default()
        };
        let rig = Rig::new(config, 1);
        let pf = Driver::new(&rig, 0);
        pf.w16(QUEUE_SELECT, pf.r16(ADMIN_QUEUE_INDEX));
        assert_eq!(pf.r16(QUEUE_SIZE), admin_queue_size);
    }
}

#[test]
fn the_admin_queue_interrupts() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, F_EVENT_IDX);
    let queue = pf.r16(ADMIN_QUEUE_INDEX);
    pf.linux_admin_setup();
    assert_eq!(pf.port.take_interrupts(), vec![queue + 1; 5]);
}

#[test]
fn commands_are_counted() {
    let rig = Rig::plain(1);
    let mut pf = ready(&rig);
    pf.set_mode(1, STOPPED);
    pf.set_mode(1, 0);
    let commands = rig.control(json!({"cmd": "state"}))["admin"]["commands"].clone();
    assert_eq!(
        commands,
        json!({"0x0": 1, "0x1": 1, "0x7": 1, "0x8": 1, "0x9": 1, "0x11": 2})
    );
}

#[test]
fn no_admin_queue_without_the_feature() {
    let rig = Rig::plain(1);
    let mut pf = Driver::new(&rig, 0);
    let features = pf.offered() & !F_ADMIN_VQ;
    assert!(pf.negotiate(features));
    let queue = pf.r16(ADMIN_QUEUE_INDEX);
    for index in 0..=queue {
        pf.enable_queue(index, 16);
    }
    pf.drive();
    pf.add(queue, &[&[0; 24]], &[16]);
    pf.kick(queue);
    assert_eq!(pf.used(queue), None);
}
