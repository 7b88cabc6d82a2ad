// SPDX-License-Identifier: GPL-2.0
//! Stand-ins for tests: a port without PCI and IOMMU.

pub use flat_port::FlatPort;

mod flat_port;
