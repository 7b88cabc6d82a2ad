// SPDX-License-Identifier: GPL-2.0
//! How QEMU reaches the device, and from whom it learns which memory the device
//! has written.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::trace;

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

/// Who reports to QEMU which pages a device has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DirtyTracker {
    /// VFIO's DMA logging, which is the driver's.
    Device,
    /// iommufd, from the IOMMU's page table.
    Iommu,
    /// Nobody: QEMU takes all memory as dirty.
    Nobody,
}

impl DirtyTracker {
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

/// Trace events of QEMU by which the tracker is known.
pub const EVENTS: [&str; 2] = [DEVICE_EVENT, IOMMU_EVENT];
const DEVICE_EVENT: &str = "vfio_device_dirty_tracking_start";
const IOMMU_EVENT: &str = "iommufd_backend_set_dirty";

/// Finds the tracker in what QEMU printed. Fails if QEMU does not know the events: then
/// their absence would say nothing.
pub fn dirty_tracker(log: &str) -> Result<DirtyTracker> {
    trace::ensure_known(log, &EVENTS)?;
    Ok(if trace::has_event(log, DEVICE_EVENT) {
        DirtyTracker::Device
    } else if trace::has_event(log, IOMMU_EVENT) {
        DirtyTracker::Iommu
    } else {
        DirtyTracker::Nobody
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trackers_are_known_by_their_events() {
        let device = "1@2.5:vfio_device_dirty_tracking_start nr_ranges 1 32:[0x0 - 0x9ffffff]\n";
        let iommu = "1@2.5:iommufd_backend_set_dirty fd=9 hwpt=3 enable=1 (0)\n";
        assert_eq!(dirty_tracker(device).unwrap(), DirtyTracker::Device);
        assert_eq!(dirty_tracker(iommu).unwrap(), DirtyTracker::Iommu);
        let other = "warning: something else\n";
        assert_eq!(dirty_tracker(other).unwrap(), DirtyTracker::Nobody);
    }

    #[test]
    fn a_qemu_without_the_events_tells_nothing() {
        for event in EVENTS {
            let log = format!("warning: trace event '{event}' does not exist\n");
            assert!(dirty_tracker(&log).is_err());
        }
    }
}
