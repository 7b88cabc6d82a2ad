// SPDX-License-Identifier: GPL-2.0
//! Device parts (virtio 1.4, section 2.14): format, and the parts of the
//! transport.
//!
//! Order, in what a device gives and in what it must be given: DEV_FEATURES,
//! DRV_FEATURES, PCI_COMMON_CFG, DEVICE_STATUS, VQ_CFG, VQ_NOTIFY_CFG, then those
//! of the device type, then [`extra`] parts.

pub use codec::{Part, PartWriter, Refusal, Selection, parse};
pub use order::{add_preceding, check_preceding};

pub mod codec;
pub mod common;
pub mod extra;
mod order;

pub const DEV_FEATURES: u16 = 0x100;
pub const DRV_FEATURES: u16 = 0x101;
pub const PCI_COMMON_CFG: u16 = 0x102;
pub const DEVICE_STATUS: u16 = 0x103;
pub const VQ_CFG: u16 = 0x104;
pub const VQ_NOTIFY_CFG: u16 = 0x105;
pub const NET_CVQ_CFG: u16 = 0x200;
