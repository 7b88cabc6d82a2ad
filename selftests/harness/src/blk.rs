// SPDX-License-Identifier: GPL-2.0
//! A virtio-blk driver in userspace, over a VFIO device, that can be carried from
//! one virtual function to another, disks of the kernel's own driver, and data that
//! say where they belong.

mod direct;
mod driver;
mod pattern;

pub use direct::DirectDisk;
pub use driver::{BlkDriver, REQUEST_VECTOR, SECTORS_LIMIT};
pub use pattern::{SECTOR, check, fill};
