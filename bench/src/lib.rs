// SPDX-License-Identifier: GPL-2.0
//! The bench: virtio PF and VFs with SR-IOV, and an AMD-Vi IOMMU, for a stock
//! QEMU over vfio-user. See Documentation/bench.rst.
//!
//! - [`memory`]: the guest's RAM as QEMU hands it over;
//! - [`iommu`]: the AMD-Vi model and the translated memory that devices see;
//! - [`pci`]: configuration spaces, SR-IOV, interrupts;
//! - [`server`]: vfio-user sockets;
//! - [`function`]: the seam between the PCI side and the device models;
//! - [`virtio`]: the device models;
//! - [`assembly`]: all of it put together; [`control`]: the control socket;
//!   [`options`], [`qemu`], [`suitable`]: what goes in and out of the process;
//! - [`testing`]: stand-ins for tests of either side.

pub mod assembly;
pub mod control;
pub mod function;
pub mod iommu;
pub mod memory;
pub mod options;
pub mod pci;
pub mod qemu;
pub mod server;
pub mod suitable;
pub mod testing;
pub mod virtio;
