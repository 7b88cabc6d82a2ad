// SPDX-License-Identifier: GPL-2.0
//! The bench: virtio PF and VFs with SR-IOV, and an AMD-Vi IOMMU, for a stock
//! QEMU over vfio-user. See Documentation/bench.rst.
//!
//! - [`memory`]: the guest's RAM as QEMU hands it over;
//! - [`iommu`]: the AMD-Vi model and the translated memory that devices see;
//! - [`function`]: the seam between the PCI side and the device models;
//! - [`virtio`]: the device models;
//! - [`testing`]: stand-ins for tests of either side.

pub mod function;
pub mod iommu;
pub mod memory;
pub mod testing;
pub mod virtio;
