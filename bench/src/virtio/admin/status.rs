// SPDX-License-Identifier: GPL-2.0
//! Status and qualifier of a command.

/// How a command ended; the default is success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub status: u16,
    pub qualifier: u16,
}

const ENXIO: u16 = 6;
const ENOMEM: u16 = 12;
const EBUSY: u16 = 16;
const EEXIST: u16 = 17;
const EINVAL: u16 = 22;
const ENOSPC: u16 = 28;

const Q_INVALID_COMMAND: u16 = 1;
const Q_INVALID_OPCODE: u16 = 2;
const Q_INVALID_FIELD: u16 = 3;
const Q_INVALID_GROUP: u16 = 4;
const Q_INVALID_MEMBER: u16 = 5;
const Q_NORESOURCE: u16 = 6;

impl Status {
    pub const COMMAND: Self = Self::new(EINVAL, Q_INVALID_COMMAND);
    pub const OPCODE: Self = Self::new(EINVAL, Q_INVALID_OPCODE);
    pub const FIELD: Self = Self::new(EINVAL, Q_INVALID_FIELD);
    pub const GROUP: Self = Self::new(EINVAL, Q_INVALID_GROUP);
    pub const MEMBER: Self = Self::new(EINVAL, Q_INVALID_MEMBER);
    /// No such capability or object.
    pub const ABSENT: Self = Self::new(ENXIO, Q_INVALID_FIELD);
    /// The object exists.
    pub const EXISTS: Self = Self::new(EEXIST, Q_INVALID_FIELD);
    /// All objects that the driver reserved are in use.
    pub const FULL: Self = Self::new(ENOSPC, Q_NORESOURCE);
    /// The capability cannot shrink under the objects that use it.
    pub const BUSY: Self = Self::new(EBUSY, Q_INVALID_COMMAND);
    /// The driver left no room for the result.
    pub const NO_ROOM: Self = Self::new(ENOMEM, Q_INVALID_COMMAND);
    /// The command is longer than any that makes sense.
    pub const TOO_LONG: Self = Self::new(ENOMEM, Q_NORESOURCE);

    pub const fn new(status: u16, qualifier: u16) -> Self {
        Self { status, qualifier }
    }

    /// As the driver sees it, with the reserved bytes.
    pub fn bytes(self) -> [u8; super::REPLY_HEADER] {
        let [a, b] = self.status.to_le_bytes();
        let [c, d] = self.qualifier.to_le_bytes();
        [a, b, c, d, 0, 0, 0, 0]
    }
}
