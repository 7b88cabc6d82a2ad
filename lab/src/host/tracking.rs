// SPDX-License-Identifier: GPL-2.0
//! How QEMU reaches the device, and from whom it learns which memory the device
//! has written.

use clap::{Args, ValueEnum};
use serde::Serialize;

/// The way to the device, as QEMU's options have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Container {
    /// `iommufd=`: a page table with dirty bits, if the IOMMU has any.
    Iommufd,
    /// The type1 container of old.
    Type1,
}

/// `enable-migration` of QEMU's vfio-pci.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Migratable {
    /// In any case.
    On,
    /// If dirty pages can be told from others.
    Auto,
}

/// Who tells QEMU of dirty pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Teller {
    /// VFIO's DMA logging, which is the driver's.
    Device,
    /// iommufd, from the IOMMU's page table.
    Iommu,
    /// Nobody: QEMU takes all memory as dirty.
    Nobody,
}

impl Teller {
    pub fn name(self) -> &'static str {
        match self {
            Self::Device => "device DMA logging",
            Self::Iommu => "iommufd",
            Self::Nobody => "nobody",
        }
    }
}

/// What can be chosen of it.
#[derive(Args, Clone, Copy, Debug)]
pub struct Tracking {
    /// The way to the device.
    #[arg(long, value_enum, default_value = "iommufd")]
    pub container: Container,
    /// QEMU's enable-migration.
    #[arg(long, value_enum, default_value = "on")]
    pub enable_migration: Migratable,
    /// QEMU's downtime limit; its own default if not given.
    #[arg(long, value_name = "MS")]
    pub downtime_limit: Option<u64>,
    /// Parameter dma_logging of the module; its own default if not given.
    #[arg(long, value_name = "VALUE")]
    pub dma_logging: Option<DmaLogging>,
    /// Fail unless QEMU learned of dirty pages from this one.
    #[arg(long, value_enum)]
    pub expect_teller: Option<Teller>,
}

/// Values of the module's parameter `dma_logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DmaLogging {
    Auto,
    Iommu,
    Conservative,
    Off,
}

impl Tracking {
    /// Tells its tests' names from those of other ways to migrate.
    pub fn fixture(&self) -> &'static str {
        match (self.container, self.dma_logging) {
            (Container::Type1, _) => "l2_type1",
            (Container::Iommufd, Some(DmaLogging::Iommu)) => "l2_dma_logging",
            (Container::Iommufd, _) => "l2_migration",
        }
    }

    /// Parameters to load the module with.
    pub fn module_parameters(&self) -> String {
        self.dma_logging
            .and_then(|value| value.to_possible_value())
            .map(|value| format!("dma_logging={}", value.get_name()))
            .unwrap_or_default()
    }

    /// QEMU's `enable-migration`.
    pub fn migratable(&self) -> &'static str {
        match self.enable_migration {
            Migratable::On => "on",
            Migratable::Auto => "auto",
        }
    }
}

/// Trace events of QEMU by which the teller is known.
pub const EVENTS: [&str; 2] = [DEVICE_EVENT, IOMMU_EVENT];
const DEVICE_EVENT: &str = "vfio_device_dirty_tracking_start";
const IOMMU_EVENT: &str = "iommufd_backend_set_dirty";

/// Finds the teller in what QEMU printed.
pub fn teller(log: &str) -> Teller {
    if log.contains(DEVICE_EVENT) {
        Teller::Device
    } else if log.contains(IOMMU_EVENT) {
        Teller::Iommu
    } else {
        Teller::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tellers() {
        let device = "1@2.5:vfio_device_dirty_tracking_start nr_ranges 1 32:[0x0 - 0x9ffffff]\n";
        let iommu = "1@2.5:iommufd_backend_set_dirty fd=9 hwpt=3 enable=1 (0)\n";
        assert_eq!(teller(device), Teller::Device);
        assert_eq!(teller(iommu), Teller::Iommu);
        assert_eq!(teller("warning: something else\n"), Teller::Nobody);
    }
}
