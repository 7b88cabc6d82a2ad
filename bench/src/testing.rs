// SPDX-License-Identifier: GPL-2.0
//! Stand-ins for tests: a port without PCI and IOMMU, and a device without
//! virtio.

pub use flat_port::FlatPort;
pub use scratch::Scratch;

pub mod scratch;

mod flat_port;
