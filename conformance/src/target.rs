// SPDX-License-Identifier: GPL-2.0
//! The device that is tested: how it is named, and that it may be touched at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

/// A device that a VFIO driver has.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// PCI address, UUID, or whatever its bus calls it.
    pub name: String,
    /// The driver that has it.
    pub driver: String,
    /// Its own character device, if the kernel has such.
    #[serde(skip)]
    pub cdev: Option<PathBuf>,
    /// That of its group.
    #[serde(skip)]
    pub group: Option<PathBuf>,
}

impl Target {
    /// The device called `text`: a character device, a PCI address, or a UUID.
    pub fn find(text: &str) -> Result<Self> {
        Self::find_in(text, Path::new("/sys"), Path::new("/dev/vfio"))
    }

    fn find_in(text: &str, sys: &Path, dev: &Path) -> Result<Self> {
        let directory = if let Some(name) = text.strip_prefix("/dev/vfio/devices/") {
            sys.join("class/vfio-dev").join(name).join("device")
        } else {
            ensure!(
                !text.contains('/'),
                "'{text}' is no character device of VFIO, PCI address or UUID"
            );
            ["pci", "mdev"]
                .map(|bus| sys.join("bus").join(bus).join("devices").join(text))
                .into_iter()
                .find(|path| path.exists())
                .unwrap_or_else(|| sys.join("bus/pci/devices").join(text))
        };
        let directory =
            fs::canonicalize(&directory).with_context(|| format!("no device '{text}'"))?;
        let name = file_name(&directory)?;
        let Ok(driver) = fs::canonicalize(directory.join("driver")) else {
            bail!("{name} has no driver: bind it to one that supports migration first");
        };
        let driver = file_name(&driver)?;
        let Some(vfio) = entries(&directory.join("vfio-dev")).into_iter().next() else {
            bail!("{name} is in use by {driver}, which is no driver of VFIO: it is left alone");
        };
        let existing = |path: PathBuf| path.exists().then_some(path);
        let group = fs::canonicalize(directory.join("iommu_group"))
            .ok()
            .and_then(|group| file_name(&group).ok())
            .and_then(|number| existing(dev.join(number)));
        Ok(Self {
            name,
            driver,
            cdev: existing(dev.join("devices").join(vfio)),
            group,
        })
    }
}

fn file_name(path: &Path) -> Result<String> {
    let name = path
        .file_name()
        .with_context(|| format!("{} has no name", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A host with one PCI function under VFIO, one under another driver, and one without.
    fn host(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("target-{name}-{}", std::process::id()));
        let devices = root.join("sys/bus/pci/devices");
        for (function, driver) in [
            ("0000:01:00.1", Some("x_vfio_pci")),
            ("0000:01:00.2", Some("e1000")),
            ("0000:01:00.3", None),
        ] {
            fs::create_dir_all(devices.join(function)).unwrap();
            if let Some(driver) = driver {
                let path = root.join("sys/bus/pci/drivers").join(driver);
                fs::create_dir_all(&path).unwrap();
                symlink(&path, devices.join(function).join("driver")).unwrap();
            }
        }
        fs::create_dir_all(devices.join("0000:01:00.1/vfio-dev/vfio0")).unwrap();
        fs::create_dir_all(root.join("sys/class/vfio-dev/vfio0")).unwrap();
        symlink(
            devices.join("0000:01:00.1"),
            root.join("sys/class/vfio-dev/vfio0/device"),
        )
        .unwrap();
        fs::create_dir_all(root.join("dev/devices")).unwrap();
        fs::write(root.join("dev/devices/vfio0"), "").unwrap();
        root
    }

    #[test]
    fn by_address_and_by_character_device() {
        let root = host("named");
        for name in ["0000:01:00.1", "/dev/vfio/devices/vfio0"] {
            let found = Target::find_in(name, &root.join("sys"), &root.join("dev")).unwrap();
            assert_eq!(
                (found.name.as_str(), found.driver.as_str()),
                ("0000:01:00.1", "x_vfio_pci")
            );
            assert!(found.cdev.is_some() && found.group.is_none());
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_belongs_to_others_is_left_alone() {
        let root = host("others");
        for (name, said) in [
            ("0000:01:00.2", "in use by e1000"),
            ("0000:01:00.3", "no driver"),
            ("0000:01:00.4", "no device"),
            ("/dev/sda", "no character device of VFIO"),
        ] {
            let error = Target::find_in(name, &root.join("sys"), &root.join("dev")).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{name}: {error:#}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
