// SPDX-License-Identifier: GPL-2.0
//! Entries of the event log.

/// Something the driver is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `reserved`: the entry has reserved bits; otherwise it is outside the table.
    IllegalDeviceTableEntry {
        requester: u16,
        address: u64,
        write: bool,
        reserved: bool,
    },
    IoPageFault {
        requester: u16,
        domain: u16,
        address: u64,
        flags: PageFault,
    },
    DeviceTableHardwareError {
        requester: u16,
        address: u64,
    },
    PageTableHardwareError {
        requester: u16,
        domain: u16,
        address: u64,
    },
    /// `address` is that of the command.
    IllegalCommand {
        address: u64,
    },
    CommandHardwareError {
        address: u64,
    },
}

/// The flags of IO_PAGE_FAULT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageFault {
    /// PR: the page is present.
    pub present: bool,
    /// RW: the access is a write.
    pub write: bool,
    /// PE: the page does not permit it.
    pub permission: bool,
    /// RZ: an entry has reserved bits.
    pub reserved: bool,
}

impl Event {
    /// The two quadwords of the log entry.
    pub fn encode(&self) -> [u64; 2] {
        let bit = |set: bool, bit: u32| u64::from(set) << bit;
        let word = |code: u64, flags: u64, requester: u16, domain: u16| {
            (((code << 28) | flags | u64::from(domain)) << 32) | u64::from(requester)
        };
        match *self {
            Self::IllegalDeviceTableEntry {
                requester,
                address,
                write,
                reserved,
            } => [
                word(1, bit(write, 21) | bit(reserved, 23), requester, 0),
                address,
            ],
            Self::IoPageFault {
                requester,
                domain,
                address,
                flags,
            } => {
                let flags = bit(flags.present, 20)
                    | bit(flags.write, 21)
                    | bit(flags.permission, 22)
                    | bit(flags.reserved, 23);
                [word(2, flags, requester, domain), address]
            }
            Self::DeviceTableHardwareError { requester, address } => {
                [word(3, 0, requester, 0), address]
            }
            Self::PageTableHardwareError {
                requester,
                domain,
                address,
            } => [word(4, 0, requester, domain), address],
            Self::IllegalCommand { address } => [word(5, 0, 0, 0), address],
            Self::CommandHardwareError { address } => [word(6, 0, 0, 0), address],
        }
    }
}
