// SPDX-License-Identifier: GPL-2.0
//! What the commands do once they are valid. A command that fails has no
//! effect: each checks all it needs before it changes anything.

use tracing::debug;

use super::objects::{Object, Purpose};
use super::status::Status;
use super::{Admin, Command, Group, Reach, Reply, legacy, opcode};
use crate::virtio::bytes::{array, u16_at, u32_at, u64_at};
use crate::virtio::device::{Device, Request};
use crate::virtio::parts::codec::HEADER;
use crate::virtio::parts::{PartWriter, Selection, add_preceding};

const CAP_DEV_PARTS: u16 = 0;
const OBJ_DEV_PARTS: u16 = 0;

const METADATA_SIZE: u8 = 0;
const METADATA_COUNT: u8 = 1;
const METADATA_LIST: u8 = 2;

const GET_SELECTED: u8 = 0;
const GET_ALL: u8 = 1;

const MODE_STOPPED: u8 = 1;

/// Length of the header of an object command, and of what GET and METADATA_GET
/// have before a list.
const OBJECT_HEADER: usize = 8;
const GET_HEADER: usize = 16;

pub type Outcome = Result<Reply, Status>;

impl Admin {
    pub(super) fn dispatch(&mut self, group: Group, command: Command, reach: Reach) -> Outcome {
        let data = command.data;
        match command.opcode {
            opcode::LIST_QUERY => Ok(Reply::with(self.supported(group).to_le_bytes().to_vec())),
            opcode::LIST_USE => self.list_use(group, data),
            // There is one capability, number 0.
            opcode::CAP_ID_LIST_QUERY => {
                Ok(Reply::with((1u64 << CAP_DEV_PARTS).to_le_bytes().to_vec()))
            }
            opcode::DEVICE_CAP_GET => {
                capability(data)?;
                Ok(Reply::with(self.objects.offered().to_vec()))
            }
            opcode::DRIVER_CAP_SET => {
                capability(data)?;
                self.objects.limit(array(data, 8))?;
                Ok(Reply::default())
            }
            _ => self.member_command(command, reach),
        }
    }

    fn list_use(&mut self, group: Group, data: &[u8]) -> Outcome {
        let list = u64_at(data, 0);
        let more = data
            .get(8..)
            .unwrap_or_default()
            .iter()
            .any(|&byte| byte != 0);
        if more || list & !self.supported(group) != 0 {
            return Err(Status::FIELD);
        }
        self.used[group as usize] = Some(list);
        Ok(Reply::default())
    }

    fn member_command(&mut self, command: Command, reach: Reach) -> Outcome {
        let Command {
            opcode,
            member,
            data,
            ..
        } = command;
        let vf = usize::try_from(member - 1).map_err(|_| Status::MEMBER)?;
        let device = reach.members.get_mut(vf).ok_or(Status::MEMBER)?;
        if opcode == opcode::DEV_MODE_SET {
            return mode_set(device, vf, data);
        }
        if let Some(outcome) = legacy::execute(opcode, device, vf, data, reach.room) {
            return outcome;
        }
        let id = u32_at(data, 4);
        if u16_at(data, 0) != OBJ_DEV_PARTS {
            return Err(if opcode == opcode::RESOURCE_OBJ_CREATE {
                Status::FIELD
            } else {
                Status::ABSENT
            });
        }
        match opcode {
            opcode::RESOURCE_OBJ_CREATE => {
                let purpose = purpose(data)?;
                self.objects.create(id, Object { member, purpose })?;
            }
            opcode::RESOURCE_OBJ_MODIFY => {
                self.objects.find(id, member)?;
                self.objects.modify(id, member, purpose(data)?)?;
            }
            opcode::RESOURCE_OBJ_QUERY => {
                let object = self.objects.find(id, member)?;
                return Ok(Reply::with(vec![
                    object.purpose.wire(),
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]));
            }
            opcode::RESOURCE_OBJ_DESTROY => self.objects.destroy(id, member)?,
            opcode::DEV_PARTS_METADATA_GET => {
                self.object_for(id, member, Purpose::Get)?;
                return metadata(device, data, reach.room);
            }
            opcode::DEV_PARTS_GET => {
                self.object_for(id, member, Purpose::Get)?;
                return get(device, data);
            }
            opcode::DEV_PARTS_SET => {
                self.object_for(id, member, Purpose::Set)?;
                // More than all parts of a device: others than those that it has.
                if command.cut {
                    return Err(Status::TOO_LONG);
                }
                set(device, data)?;
            }
            _ => return Err(Status::OPCODE),
        }
        Ok(Reply::default())
    }

    fn object_for(&self, id: u32, member: u64, purpose: Purpose) -> Result<(), Status> {
        match self.objects.find(id, member)?.purpose == purpose {
            true => Ok(()),
            false => Err(Status::FIELD),
        }
    }
}

fn capability(data: &[u8]) -> Result<(), Status> {
    match u16_at(data, 0) {
        CAP_DEV_PARTS => Ok(()),
        _ => Err(Status::ABSENT),
    }
}

/// Purpose of an object to create or to change; its flags are reserved.
fn purpose(data: &[u8]) -> Result<Purpose, Status> {
    if u64_at(data, 8) != 0 {
        return Err(Status::FIELD);
    }
    Purpose::from_wire(data.get(16).copied().unwrap_or_default())
}

fn metadata(device: &Device, data: &[u8], room: u64) -> Outcome {
    let number = |value: usize| {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        let mut result = value.to_le_bytes().to_vec();
        result.extend([0; 4]);
        result
    };
    let count = || saved(device, PartWriter::counting());
    let result = match data.get(8).copied().unwrap_or_default() {
        METADATA_SIZE => number(count().size()),
        METADATA_COUNT => number(count().count()),
        METADATA_LIST => {
            let parts = saved(device, PartWriter::headers());
            let mut result = number(parts.count());
            result.extend(parts.into_bytes());
            result
        }
        _ => return Err(Status::FIELD),
    };
    if (result.len() as u64) > room {
        return Err(Status::NO_ROOM);
    }
    Ok(Reply::with(result))
}

fn get(device: &Device, data: &[u8]) -> Outcome {
    let parts = match data.get(8).copied().unwrap_or_default() {
        GET_SELECTED => {
            let list = data.get(GET_HEADER..).unwrap_or_default();
            let mut selection = Selection::named(list.chunks(HEADER));
            if device.choices().get_predecessors {
                // Nothing need precede what the device does not have.
                let found = saved(device, PartWriter::selected_headers(selection));
                selection = Selection::named(found.into_bytes().chunks(HEADER));
                add_preceding(&mut selection);
            }
            PartWriter::selected(selection)
        }
        GET_ALL => PartWriter::all(device.max_saved()),
        _ => return Err(Status::FIELD),
    };
    Ok(Reply::with(saved(device, parts).into_bytes()))
}

/// The parts that `parts` is to collect.
fn saved(device: &Device, mut parts: PartWriter) -> PartWriter {
    device.save(&mut parts);
    parts
}

fn set(device: &mut Device, data: &[u8]) -> Result<(), Status> {
    if !device.stopped() {
        return Err(Status::COMMAND);
    }
    let parts = data.get(OBJECT_HEADER..).unwrap_or_default();
    device.load(parts).map_err(|refusal| {
        debug!(device = device.name(), %refusal, "device parts refused");
        Status::FIELD
    })
}

fn mode_set(device: &mut Device, vf: usize, data: &[u8]) -> Outcome {
    let flags = data.first().copied().unwrap_or_default();
    if flags & !MODE_STOPPED != 0 {
        return Err(Status::FIELD);
    }
    let stop = flags & MODE_STOPPED != 0;
    let changed = device.set_stopped(stop);
    Ok(Reply {
        request: (changed && !stop).then_some((vf, Request::Start)),
        ..Reply::default()
    })
}
