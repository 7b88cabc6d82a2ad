// SPDX-License-Identifier: GPL-2.0
//! Commands for transitional VFs: the legacy interface of a VF on behalf of a
//! legacy driver (virtio 1.4, 2.12.1.2).
//!
//! An access must be to a single field and lie in the structure that the
//! command is for. The length of a read is that of the room for the result.

use super::commands::Outcome;
use super::status::Status;
use super::{Reply, opcode};
use crate::virtio::bar;
use crate::virtio::device::{Device, Misplaced};

/// Length of a write's specific data before the bytes to write.
const WRITE_HEADER: usize = 8;

/// No field is longer.
const MAX_FIELD: u64 = 256;

/// Entries of the notification info, and what one that is of the member says.
const NOTIFY_ENTRIES: usize = 4;
const NOTIFY_MEMBER: u8 = 2;

impl From<Misplaced> for Status {
    fn from(_: Misplaced) -> Self {
        Self::FIELD
    }
}

/// Executes a command for `device`, which is VF `vf`, if it is one of these.
pub fn execute(
    opcode: u16,
    device: &mut Device,
    vf: usize,
    data: &[u8],
    room: u64,
) -> Option<Outcome> {
    Some(match opcode {
        opcode::LEGACY_COMMON_CFG_WRITE => write(data, |at, bytes| device.legacy_write(at, bytes))
            .map(|request| Reply {
                request: Some((vf, request)),
                ..Reply::default()
            }),
        opcode::LEGACY_DEV_CFG_WRITE => {
            write(data, |at, bytes| device.legacy_write_config(at, bytes))
                .map(|()| Reply::default())
        }
        opcode::LEGACY_COMMON_CFG_READ => {
            read(data, room, |at, bytes| device.legacy_read(at, bytes))
        }
        opcode::LEGACY_DEV_CFG_READ => {
            read(data, room, |at, bytes| device.legacy_read_config(at, bytes))
        }
        opcode::LEGACY_NOTIFY_INFO => Ok(Reply::with(notify_info())),
        _ => return None,
    })
}

fn offset(data: &[u8]) -> usize {
    data.first().copied().unwrap_or_default().into()
}

fn write<T>(
    data: &[u8],
    access: impl FnOnce(usize, &[u8]) -> Result<T, Misplaced>,
) -> Result<T, Status> {
    let bytes = data.get(WRITE_HEADER..).unwrap_or_default();
    Ok(access(offset(data), bytes)?)
}

fn read(
    data: &[u8],
    room: u64,
    access: impl FnOnce(usize, &mut [u8]) -> Result<(), Misplaced>,
) -> Outcome {
    if room > MAX_FIELD {
        return Err(Status::FIELD);
    }
    let mut bytes = vec![0; room as usize];
    access(offset(data), &mut bytes)?;
    Ok(Reply::with(bytes))
}

/// One place in the VF's BAR, where the number of a queue is to be written; the
/// rest of the list is empty.
fn notify_info() -> Vec<u8> {
    let mut info = vec![NOTIFY_MEMBER, bar::TRANSITIONAL, 0, 0, 0, 0, 0, 0];
    info.extend(bar::LEGACY_NOTIFY.to_le_bytes());
    info.resize(NOTIFY_ENTRIES * info.len(), 0);
    info
}
