// SPDX-License-Identifier: GPL-2.0
//! Constants as the specifications print them: PCI Express Base 6.0, SR-IOV
//! 1.1, AMD I/O Virtualization Technology 3.06 (48882).
#![allow(
    clippy::identity_op,
    clippy::erasing_op,
    reason = "bit numbers as printed"
)]

pub mod region {
    pub const BAR0: u32 = 0;
    pub const CONFIG: u32 = 7;
}

pub mod irq {
    pub const INTX: u32 = 0;
    pub const MSI: u32 = 1;
    pub const MSIX: u32 = 2;
    pub const ERR: u32 = 3;
    pub const REQ: u32 = 4;
    /// DATA_EVENTFD | ACTION_TRIGGER.
    pub const SET_EVENTFD: u32 = (1 << 2) | (1 << 5);
    /// DATA_NONE | ACTION_TRIGGER.
    pub const SET_NONE: u32 = (1 << 0) | (1 << 5);
}

pub mod pci {
    pub const VENDOR_ID: u64 = 0x00;
    pub const COMMAND: u64 = 0x04;
    pub const STATUS: u64 = 0x06;
    pub const CLASS: u64 = 0x08;
    pub const BAR0: u64 = 0x10;
    pub const BAR1: u64 = 0x14;
    pub const BAR2: u64 = 0x18;
    pub const SUBSYSTEM: u64 = 0x2c;
    pub const CAPABILITIES: u64 = 0x34;
    pub const MEMORY: u16 = 1 << 1;
    pub const BUS_MASTER: u16 = 1 << 2;
    pub const CAP_MSI: u8 = 0x05;
    pub const CAP_VENDOR: u8 = 0x09;
    pub const CAP_SECURE_DEVICE: u8 = 0x0f;
    pub const CAP_EXPRESS: u8 = 0x10;
    pub const CAP_MSIX: u8 = 0x11;
    pub const EXT_SERIAL: u16 = 0x0003;
    pub const EXT_VENDOR: u16 = 0x000b;
    pub const EXT_SRIOV: u16 = 0x0010;
    /// Device Control: Initiate Function Level Reset.
    pub const INITIATE_FLR: u16 = 1 << 15;
}

pub mod sriov {
    pub const CONTROL: u64 = 0x08;
    pub const INITIAL_VFS: u64 = 0x0c;
    pub const TOTAL_VFS: u64 = 0x0e;
    pub const NUM_VFS: u64 = 0x10;
    pub const FIRST_OFFSET: u64 = 0x14;
    pub const STRIDE: u64 = 0x16;
    pub const VF_DEVICE_ID: u64 = 0x1a;
    pub const PAGE_SIZES: u64 = 0x1c;
    pub const PAGE_SIZE: u64 = 0x20;
    pub const VF_BAR0: u64 = 0x24;
    pub const VF_BAR1: u64 = 0x28;
    pub const VF_BAR2: u64 = 0x2c;
    pub const VF_BAR3: u64 = 0x30;
    pub const VF_ENABLE: u16 = 1 << 0;
    pub const VF_MSE: u16 = 1 << 3;
}

pub mod register {
    pub const DEVICE_TABLE: u64 = 0x0000;
    pub const COMMAND_BUFFER: u64 = 0x0008;
    pub const EVENT_LOG: u64 = 0x0010;
    pub const CONTROL: u64 = 0x0018;
    pub const EXTENDED_FEATURE: u64 = 0x0030;
    pub const COMMAND_HEAD: u64 = 0x2000;
    pub const COMMAND_TAIL: u64 = 0x2008;
    pub const EVENT_HEAD: u64 = 0x2010;
    pub const EVENT_TAIL: u64 = 0x2018;
    pub const STATUS: u64 = 0x2020;
}

pub mod control {
    pub const IOMMU_EN: u64 = 1 << 0;
    pub const EVENT_LOG_EN: u64 = 1 << 2;
    pub const EVENT_INT_EN: u64 = 1 << 3;
    pub const COM_WAIT_INT_EN: u64 = 1 << 4;
    pub const CMD_BUF_EN: u64 = 1 << 12;
}

pub mod status {
    pub const EVENT_OVERFLOW: u64 = 1 << 0;
    pub const EVENT_LOG_INT: u64 = 1 << 1;
    pub const COM_WAIT_INT: u64 = 1 << 2;
    pub const EVENT_LOG_RUN: u64 = 1 << 3;
    pub const CMD_BUF_RUN: u64 = 1 << 4;
}

pub mod feature {
    pub const PREF_SUP: u64 = 1 << 0;
    pub const NX_SUP: u64 = 1 << 3;
    pub const IA_SUP: u64 = 1 << 6;
    pub const GA_SUP: u64 = 1 << 7;
    pub const HA_SUP: u64 = 1 << 49;
    pub const HD_SUP: u64 = 1 << 52;
}

/// Quadword 0 of a device table entry.
pub mod dte {
    pub const V: u64 = 1 << 0;
    pub const TV: u64 = 1 << 1;
    pub const HAD_A: u64 = 1 << 7;
    pub const HAD_RESERVED: u64 = 2 << 7;
    pub const HAD_AD: u64 = 3 << 7;
    pub const IR: u64 = 1 << 61;
    pub const IW: u64 = 1 << 62;
    /// In quadword 1: suppress I/O page fault events after the first, and all.
    pub const SE: u64 = 1 << (97 - 64);
    pub const SA: u64 = 1 << (98 - 64);

    pub const fn mode(levels: u64) -> u64 {
        levels << 9
    }
}

pub mod pte {
    pub const PR: u64 = 1 << 0;
    pub const A: u64 = 1 << 5;
    pub const D: u64 = 1 << 6;
    pub const IR: u64 = 1 << 61;
    pub const IW: u64 = 1 << 62;
    pub const RW: u64 = PR | IR | IW;

    pub const fn next_level(level: u64) -> u64 {
        level << 9
    }
}

/// Opcodes, in bits 63:60 of the first quadword of a command.
pub mod opcode {
    pub const COMPLETION_WAIT: u64 = 0x1 << 60;
    pub const INVALIDATE_DEVTAB_ENTRY: u64 = 0x2 << 60;
    pub const INVALIDATE_IOMMU_PAGES: u64 = 0x3 << 60;
    pub const INVALIDATE_IOTLB_PAGES: u64 = 0x4 << 60;
    pub const INVALIDATE_INTERRUPT_TABLE: u64 = 0x5 << 60;
    pub const PREFETCH_IOMMU_PAGES: u64 = 0x6 << 60;
    pub const COMPLETE_PPR_REQUEST: u64 = 0x7 << 60;
    pub const INVALIDATE_IOMMU_ALL: u64 = 0x8 << 60;
}

/// Event codes and the flags of bits 59:48 of the first quadword of an event.
pub mod event {
    pub const ILLEGAL_DEV_TABLE_ENTRY: u64 = 0x1;
    pub const IO_PAGE_FAULT: u64 = 0x2;
    pub const DEV_TAB_HARDWARE_ERROR: u64 = 0x3;
    pub const PAGE_TAB_HARDWARE_ERROR: u64 = 0x4;
    pub const ILLEGAL_COMMAND_ERROR: u64 = 0x5;
    pub const COMMAND_HARDWARE_ERROR: u64 = 0x6;
    pub const PR: u64 = 1 << 4;
    pub const RW: u64 = 1 << 5;
    pub const PE: u64 = 1 << 6;
    pub const RZ: u64 = 1 << 7;
}
