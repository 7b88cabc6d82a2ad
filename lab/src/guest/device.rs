// SPDX-License-Identifier: GPL-2.0
//! Finds the functions under test: the PCI functions that announce a page writer, or
//! on hardware without one the network function.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::capability::{Place, page_writer};

const DEVICES: &str = "/sys/bus/pci/devices";
/// Where virtio_pci learns of further identities.
const NEW_ID: &str = "/sys/bus/pci/drivers/virtio-pci/new_id";
/// Vendor and device id of a modern virtio network function.
const NETWORK: [u8; 4] = [0xf4, 0x1a, 0x41, 0x10];

/// A function under test.
pub struct Device {
    path: PathBuf,
    /// None on a plain device.
    place: Option<Place>,
}

impl Device {
    /// Finds the functions of the bench.
    pub fn find_all() -> Result<Vec<Self>> {
        let found = search(|config| page_writer(config).map(Some))?;
        ensure!(!found.is_empty(), "no PCI function with a page writer");
        Ok(found)
    }

    /// Finds functions of somebody else's, which are nothing but virtio network
    /// functions.
    pub fn find_plain() -> Result<Vec<Self>> {
        let found = search(|config| config.starts_with(&NETWORK).then_some(None))?;
        ensure!(!found.is_empty(), "no virtio network function");
        Ok(found)
    }

    /// The name of its network interface, once the driver has made it.
    pub fn netdev(&self) -> Option<String> {
        self.class_device("net")
    }

    /// The name of its disk, once the driver has made it.
    pub fn disk(&self) -> Option<String> {
        self.class_device("block")
    }

    /// Tells virtio_pci that this is a device for it, whatever its identity says.
    pub fn load_driver(&self) -> Result<()> {
        let id = |name: &str| -> Result<String> {
            let path = self.path.join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))?;
            Ok(text.trim().trim_start_matches("0x").to_string())
        };
        let ids = format!("{} {}", id("vendor")?, id("device")?);
        fs::write(NEW_ID, &ids).with_context(|| format!("writing {ids:?} to {NEW_ID}"))
    }

    fn class_device(&self, class: &str) -> Option<String> {
        let virtio = fs::read_dir(&self.path)
            .ok()?
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with("virtio"))?;
        let device = fs::read_dir(virtio.path().join(class))
            .ok()?
            .flatten()
            .next()?;
        Some(device.file_name().to_string_lossy().into_owned())
    }

    /// The file through which the BAR with the page writer can be mapped, and
    /// the page writer's offset in it.
    pub fn page_writer(&self) -> Result<(File, u32)> {
        let place = self.place.context("the device has no page writer")?;
        let path: &Path = &self.path.join(format!("resource{}", place.bar));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("opening {path:?}"))?;
        Ok((file, place.offset))
    }
}

/// Looks through all PCI functions for those whose configuration space `fits`. They are
/// in the order of addresses, which is that of QEMU's options.
fn search(fits: impl Fn(&[u8]) -> Option<Option<Place>>) -> Result<Vec<Device>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir(DEVICES).with_context(|| format!("listing {DEVICES}"))? {
        let path = entry.context("listing PCI functions")?.path();
        let config = fs::read(path.join("config")).context("reading configuration space")?;
        if let Some(place) = fits(&config) {
            devices.push(Device { path, place });
        }
    }
    devices.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(devices)
}
