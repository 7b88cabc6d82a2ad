// SPDX-License-Identifier: GPL-2.0
//! What every program that drives the host under test shares: the kernel's view
//! of PCI functions (sysfs), modules, the bench's control socket, VFIO and
//! iommufd clients, userspace virtio drivers, and a KTAP test runner.

pub mod bench;
pub mod blk;
pub mod control;
pub mod debugfs;
pub mod failslab;
#[doc(hidden)]
pub mod fake_bus;
pub mod kmod;
pub mod kmsg;
pub mod ktap;
pub mod memcg;
pub mod net;
pub mod pci;
pub mod setting;
pub mod sriov;
pub mod tracefs;
pub mod vfio;
pub mod virtio;
pub mod wait;
