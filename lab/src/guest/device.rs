// SPDX-License-Identifier: GPL-2.0
//! Finds the functions under test: the PCI functions that announce a page writer, or
//! on hardware without one the network function.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const DEVICES: &str = "/sys/bus/pci/devices";
/// Where virtio_pci learns of further identities.
const NEW_ID: &str = "/sys/bus/pci/drivers/virtio-pci/new_id";
/// Offset of the pointer to the first capability.
const CAPABILITIES: usize = 0x34;
/// PCI capability id of vendor-specific capabilities, virtio's among them.
const VENDOR_SPECIFIC: u8 = 0x09;
/// virtio_pci_cap type of vendor data.
const VENDOR_CFG: u8 = 9;
/// Owner of the page writer's vendor data.
const BENCH_VENDOR: u16 = 0x1234;

/// Vendor and device id of a modern virtio network function.
const NETWORK: [u8; 4] = [0xf4, 0x1a, 0x41, 0x10];

/// Where a function has its page writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    bar: u8,
    offset: u32,
}

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

/// Looks for the page writer's capability in an image of configuration space.
fn page_writer(config: &[u8]) -> Option<Place> {
    let byte = |at: usize| config.get(at).copied();
    let mut at = usize::from(byte(CAPABILITIES)? & 0xfc);
    // 48 capabilities are all that fit: a longer chain is a loop.
    for _ in 0..48 {
        if at == 0 {
            return None;
        }
        let vendor = u16::from_le_bytes([byte(at + 4)?, byte(at + 5)?]);
        if byte(at)? == VENDOR_SPECIFIC && byte(at + 3)? == VENDOR_CFG && vendor == BENCH_VENDOR {
            let offset = config.get(at + 8..at + 12)?.try_into().ok()?;
            return Some(Place {
                bar: byte(at + 6)?,
                offset: u32::from_le_bytes(offset),
            });
        }
        at = usize::from(byte(at + 1)? & 0xfc);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Vec<u8> {
        let mut config = vec![0; 256];
        config[CAPABILITIES] = 0x40;
        config[0x40..0x44].copy_from_slice(&[0x11, 0x50, 0, 0]);
        config[0x50..0x54].copy_from_slice(&[VENDOR_SPECIFIC, 0x60, 16, 1]);
        config[0x60..0x70].copy_from_slice(&[
            VENDOR_SPECIFIC,
            0,
            16,
            9,
            0x34,
            0x12,
            2,
            1,
            0,
            0x30,
            0,
            0,
            0x10,
            0,
            0,
            0,
        ]);
        config
    }

    #[test]
    fn found_behind_other_capabilities() {
        let place = Place {
            bar: 2,
            offset: 0x3000,
        };
        assert_eq!(page_writer(&config()), Some(place));
    }

    #[test]
    fn others_have_none() {
        let mut foreign = config();
        foreign[0x64] = 0;
        assert_eq!(page_writer(&foreign), None);
        assert_eq!(page_writer(&[]), None);
        let mut endless = config();
        endless[0x51] = 0x40;
        assert_eq!(page_writer(&endless), None);
    }
}
