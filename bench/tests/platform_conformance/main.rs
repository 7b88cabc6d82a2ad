// SPDX-License-Identifier: GPL-2.0
//! Conformance of the PCI side and the IOMMU, tested from outside: as a
//! vfio-user client with a guest's memory and page tables. The constants are
//! transcribed from the specifications, not taken from the model.

mod guest;
mod wire;

mod broken_messages;
mod command_line;
mod config_space;
mod control_socket;
mod iommu_caching;
mod iommu_commands;
mod iommu_dirty;
mod iommu_events;
mod iommu_function;
mod iommu_registers;
mod iommu_translation;
mod ivrs;
mod memory;
mod quiescence;
mod sriov;
