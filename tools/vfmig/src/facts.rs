// SPDX-License-Identifier: GPL-2.0
//! What the kernel tells of a function without its being opened.

use std::path::Path;

use serde::Serialize;
use vvp_harness::debugfs::{Files, VfioMigration};
use vvp_harness::pci::Function;

use crate::access;
use crate::stream;

/// Vendor of virtio functions.
const VIRTIO: u16 = 0x1af4;
/// Device id of a virtio function that is not transitional, less its device type.
const MODERN: u16 = 0x1040;

/// What is known of a function.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub function: String,
    pub vendor: String,
    pub device: String,
    /// What it is, as far as that is known.
    pub kind: String,
    pub physical_function: Option<String>,
    /// Its number among those of its physical function, from 1.
    pub vf_number: Option<u32>,
    pub driver: Option<String>,
    pub driver_override: Option<String>,
    /// A VFIO driver has it.
    pub vfio: bool,
    pub iommu_group: Option<u32>,
    pub interfaces: Vec<String>,
    pub disks: Vec<String>,
    pub migration: Migration,
}

/// What VFIO tells of migration in debugfs.
#[derive(Debug, Serialize)]
#[serde(tag = "known", rename_all = "snake_case")]
pub enum Migration {
    /// It can be migrated.
    Yes {
        state: String,
        features: Option<Vec<String>>,
    },
    /// It cannot.
    No,
    /// Debugfs cannot be read, or the kernel has no CONFIG_VFIO_DEBUGFS.
    Unknown,
}

impl Facts {
    /// Those of `function`.
    pub fn of(function: &Function) -> Self {
        let (vendor, device) = function.ids().unwrap_or_default();
        let vfio = access::is_vfio(function);
        Self {
            function: function.address().to_string(),
            vendor: format!("{vendor:04x}"),
            device: format!("{device:04x}"),
            kind: kind(function, vendor, device),
            physical_function: function.physfn().map(|pf| pf.address().to_string()),
            vf_number: function.vf_number().ok(),
            driver: function.driver(),
            driver_override: function.driver_override(),
            vfio,
            iommu_group: function.iommu_group().ok(),
            interfaces: function.netdevs(),
            disks: function.disks(),
            migration: migration(function, vfio),
        }
    }

    /// Is it of interest to somebody who migrates?
    pub fn is_candidate(&self) -> bool {
        self.vfio || self.physical_function.is_some() || self.vendor == format!("{VIRTIO:04x}")
    }
}

impl Migration {
    /// Its state, if there is one to tell.
    pub fn state(&self) -> &str {
        match self {
            Self::Yes { state, .. } => state,
            Self::No => "-",
            Self::Unknown => "?",
        }
    }

    /// What it can.
    pub fn features(&self) -> String {
        match self {
            Self::Yes { features, .. } => features
                .as_ref()
                .map_or_else(|| "yes".to_owned(), |names| names.join(",")),
            Self::No => "none".to_owned(),
            Self::Unknown => "?".to_owned(),
        }
    }
}

fn migration(function: &Function, vfio: bool) -> Migration {
    match VfioMigration::of(function) {
        Some(VfioMigration { state, features }) => Migration::Yes { state, features },
        None if !vfio => Migration::No,
        None if Files::available() && Path::new("/sys/kernel/debug/vfio").exists() => Migration::No,
        None => Migration::Unknown,
    }
}

fn kind(function: &Function, vendor: u16, device: u16) -> String {
    let virtio = |number| format!("virtio {}", stream::device_type(number));
    match (vendor, device) {
        (VIRTIO, MODERN..=0x107f) => virtio(device - MODERN),
        // Transitional: the type is the subsystem's.
        (VIRTIO, 0x1000..=0x103f) => {
            let subsystem = function.attribute("subsystem_device").ok();
            let number = subsystem
                .and_then(|text| u16::from_str_radix(text.trim_start_matches("0x"), 16).ok());
            number.map_or_else(|| "virtio".to_owned(), virtio)
        }
        _ => {
            let class = function.attribute("class").unwrap_or_default();
            format!("class {}", class.trim_start_matches("0x"))
        }
    }
}
