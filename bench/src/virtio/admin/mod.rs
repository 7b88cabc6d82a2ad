// SPDX-License-Identifier: GPL-2.0
//! Group administration commands (virtio 1.4, section 2.12).
//!
//! - this file: the validation that all commands share;
//! - [`commands`]: what the commands do;
//! - [`legacy`]: the commands for transitional VFs;
//! - [`objects`]: resource objects and the capability that limits them;
//! - [`status`]: how a command ends;
//! - [`faults`]: made-up endings, for tests.
//!
//! # Leniences
//!
//! Linux 7.3 asks for the command list of the SR-IOV group only, before there
//! are VFs, and takes it as permission for commands on the owner itself:
//!
//! - LIST_QUERY and LIST_USE work on the SR-IOV group while VF Enable is clear;
//! - the list of the SR-IOV group also names the capability commands, and using
//!   them there permits them for the self group, where alone they work (on the
//!   SR-IOV group they end with INVALID_GROUP).
//!
//! Where the specification disagrees with itself: MODIFY is 0xb and QUERY 0xc, as
//! in the text of the commands; creating an object that exists ends with EEXIST
//! (17), which the table of status values lacks. A result that does not fit the
//! driver's buffer is cut short, as for all commands; METADATA_GET alone ends
//! with ENOMEM.

use std::collections::BTreeMap;

use self::faults::Faults;
use self::objects::Objects;
use self::status::Status;
use super::bytes::{u16_at, u64_at};
use super::device::{Device, Request};

pub mod commands;
pub mod faults;
pub mod legacy;
pub mod objects;
pub mod status;

/// Length of a command before its specific data.
pub const COMMAND_HEADER: usize = 24;
/// Length of a reply before its specific result.
pub const REPLY_HEADER: usize = 8;

pub mod opcode {
    pub const LIST_QUERY: u16 = 0x0;
    pub const LIST_USE: u16 = 0x1;
    pub const LEGACY_COMMON_CFG_WRITE: u16 = 0x2;
    pub const LEGACY_COMMON_CFG_READ: u16 = 0x3;
    pub const LEGACY_DEV_CFG_WRITE: u16 = 0x4;
    pub const LEGACY_DEV_CFG_READ: u16 = 0x5;
    pub const LEGACY_NOTIFY_INFO: u16 = 0x6;
    pub const CAP_ID_LIST_QUERY: u16 = 0x7;
    pub const DEVICE_CAP_GET: u16 = 0x8;
    pub const DRIVER_CAP_SET: u16 = 0x9;
    pub const RESOURCE_OBJ_CREATE: u16 = 0xa;
    pub const RESOURCE_OBJ_MODIFY: u16 = 0xb;
    pub const RESOURCE_OBJ_QUERY: u16 = 0xc;
    pub const RESOURCE_OBJ_DESTROY: u16 = 0xd;
    pub const DEV_PARTS_METADATA_GET: u16 = 0xe;
    pub const DEV_PARTS_GET: u16 = 0xf;
    pub const DEV_PARTS_SET: u16 = 0x10;
    pub const DEV_MODE_SET: u16 = 0x11;
}

const LIST_COMMANDS: u64 = set(&[opcode::LIST_QUERY, opcode::LIST_USE]);
const CAP_COMMANDS: u64 = set(&[
    opcode::CAP_ID_LIST_QUERY,
    opcode::DEVICE_CAP_GET,
    opcode::DRIVER_CAP_SET,
]);
const LEGACY_COMMANDS: u64 = set(&[
    opcode::LEGACY_COMMON_CFG_WRITE,
    opcode::LEGACY_COMMON_CFG_READ,
    opcode::LEGACY_DEV_CFG_WRITE,
    opcode::LEGACY_DEV_CFG_READ,
    opcode::LEGACY_NOTIFY_INFO,
]);
const PARTS_COMMANDS: u64 = set(&[
    opcode::RESOURCE_OBJ_CREATE,
    opcode::RESOURCE_OBJ_MODIFY,
    opcode::RESOURCE_OBJ_QUERY,
    opcode::RESOURCE_OBJ_DESTROY,
    opcode::DEV_PARTS_METADATA_GET,
    opcode::DEV_PARTS_GET,
    opcode::DEV_PARTS_SET,
    opcode::DEV_MODE_SET,
]);

/// A set of commands as the driver and the device exchange it.
const fn set(opcodes: &[u16]) -> u64 {
    let mut set = 0;
    let mut at = 0;
    while at < opcodes.len() {
        set |= 1 << opcodes[at];
        at += 1;
    }
    set
}

/// Device groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Owner,
    SrIov,
}

/// A command as it came off the queue.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    pub opcode: u16,
    pub group: u16,
    pub member: u64,
    pub data: &'a [u8],
    /// The driver gave more than was read of it.
    pub cut: bool,
}

impl<'a> Command<'a> {
    pub fn parse(bytes: &'a [u8], cut: bool) -> Self {
        Self {
            cut,
            opcode: u16_at(bytes, 0),
            group: u16_at(bytes, 2),
            member: u64_at(bytes, 16),
            data: bytes.get(COMMAND_HEADER..).unwrap_or_default(),
        }
    }
}

/// What a command can reach.
pub struct Reach<'a> {
    /// The VFs that exist: VF n is `members[n - 1]`.
    pub members: &'a mut [Device],
    /// Room for the specific result.
    pub room: u64,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: Status,
    pub result: Vec<u8>,
    /// What is to be done with this VF now.
    pub request: Option<(usize, Request)>,
}

impl Reply {
    pub fn with(result: Vec<u8>) -> Self {
        Self {
            result,
            ..Self::default()
        }
    }

    pub fn failed(status: Status) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Bytes of the reply as the driver gets it, if there is room for all.
    pub fn size(&self) -> usize {
        REPLY_HEADER + self.result.len()
    }
}

/// The owner's side of administration.
#[derive(Debug)]
pub struct Admin {
    /// Commands in use: self group, SR-IOV group. `None` before LIST_USE.
    used: [Option<u64>; 2],
    /// The VFs are transitional.
    transitional: bool,
    pub objects: Objects,
    pub faults: Faults,
    /// Commands seen, by opcode.
    pub counters: BTreeMap<u16, u64>,
}

impl Admin {
    /// Administration of VFs that are transitional or not and have this many
    /// objects of each kind.
    pub fn new(transitional: bool, objects: u8) -> Self {
        Self {
            used: [None; 2],
            transitional,
            objects: Objects::new([objects; 2]),
            faults: Faults::default(),
            counters: BTreeMap::new(),
        }
    }

    /// The commands that the device has for this group, as it tells the driver.
    fn supported(&self, group: Group) -> u64 {
        match group {
            Group::Owner => LIST_COMMANDS | CAP_COMMANDS,
            Group::SrIov if self.transitional => {
                LIST_COMMANDS | LEGACY_COMMANDS | CAP_COMMANDS | PARTS_COMMANDS
            }
            Group::SrIov => LIST_COMMANDS | CAP_COMMANDS | PARTS_COMMANDS,
        }
    }

    /// The owner was reset. Counters and injected faults belong to the test and
    /// stay.
    pub fn reset(&mut self) {
        self.used = [None; 2];
        self.objects.reset();
    }

    /// Executes a command.
    pub fn execute(&mut self, command: Command, reach: Reach) -> Reply {
        *self.counters.entry(command.opcode).or_default() += 1;
        let group = match self.validate(&command, reach.members.len()) {
            Ok(group) => group,
            Err(status) => return Reply::failed(status),
        };
        self.dispatch(group, command, reach)
            .unwrap_or_else(Reply::failed)
    }

    /// Group, opcode, member, in this order.
    fn validate(&self, command: &Command, members: usize) -> Result<Group, Status> {
        let named = |set: u64| command.opcode < 64 && (set >> command.opcode) & 1 != 0;
        let group = match command.group {
            0 => Group::Owner,
            1 if named(CAP_COMMANDS) => return Err(Status::GROUP),
            1 if members == 0 && !named(LIST_COMMANDS) => return Err(Status::GROUP),
            1 => Group::SrIov,
            _ => return Err(Status::GROUP),
        };
        if !named(self.permitted(group)) {
            return Err(Status::OPCODE);
        }
        let member_exists = match group {
            _ if named(LIST_COMMANDS) => true,
            Group::Owner => command.member == 0,
            Group::SrIov => (1..=members as u64).contains(&command.member),
        };
        if !member_exists {
            return Err(Status::MEMBER);
        }
        Ok(group)
    }

    fn permitted(&self, group: Group) -> u64 {
        let [owner, sr_iov] = self.used;
        match group {
            Group::SrIov => sr_iov.unwrap_or(LIST_COMMANDS),
            // For a driver that never asks for the device's own list, see bench.rst.
            Group::Owner => {
                owner.unwrap_or(LIST_COMMANDS | sr_iov.unwrap_or_default() & CAP_COMMANDS)
            }
        }
    }
}
