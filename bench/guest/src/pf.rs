// SPDX-License-Identifier: GPL-2.0
//! The bench's physical function.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::place::place;
use crate::sysfs;

/// Where all functions are.
pub const DEVICES: &str = "/sys/bus/pci/devices";

/// Offset of the first capability's address.
const CAPABILITIES: usize = 0x34;
const VENDOR_SPECIFIC: u8 = 9;
/// `cfg_type` of a virtio capability that the vendor defines, and who this one is.
const VENDOR_CFG: u8 = 9;
const PAGE_WRITER: [u8; 2] = 0x1234u16.to_le_bytes();

/// A physical function of a bench.
#[derive(Debug)]
pub struct Pf {
    dir: PathBuf,
}

impl Pf {
    /// The function at `address` in `devices`, which must be a bench's.
    pub fn open(devices: &Path, address: &str) -> Result<Self> {
        let dir = devices.join(address);
        let total = dir.join("sriov_totalvfs");
        ensure!(total.exists(), "{address}: no function with SR-IOV");
        ensure!(is_bench(&dir)?, "{address}: not a function of vfio-bench");
        Ok(Self { dir })
    }

    /// The one in `devices`.
    pub fn find(devices: &Path) -> Result<Self> {
        let mut found = Vec::new();
        for entry in fs::read_dir(devices).with_context(|| devices.display().to_string())? {
            let dir = entry?.path();
            if dir.join("sriov_totalvfs").exists() && is_bench(&dir)? {
                found.push(Self { dir });
            }
        }
        found.sort_by(|one, other| one.dir.cmp(&other.dir));
        let names: Vec<String> = found.iter().map(Self::address).collect();
        match found.pop() {
            None => {
                bail!("no vfio-bench is attached to this machine, or SR-IOV is not yet visible")
            }
            Some(pf) if found.is_empty() => Ok(pf),
            Some(_) => bail!("several: choose with --pf one of {}", names.join(", ")),
        }
    }

    /// Its address.
    pub fn address(&self) -> String {
        let name = self.dir.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// How many VFs it can have.
    pub fn total(&self) -> Result<u32> {
        self.number("sriov_totalvfs")
    }

    fn number(&self, name: &str) -> Result<u32> {
        let text = sysfs::read(&self.dir, name)?;
        text.parse().with_context(|| format!("{name}: {text:?}"))
    }

    /// Makes `count` VFs in place of those that there are, with a place for the registers of
    /// each and bound to no driver.
    pub fn create(&self, count: u32) -> Result<Vec<PathBuf>> {
        let driver = sysfs::target(&self.dir, "driver");
        ensure!(
            driver.is_some(),
            "{}: has no driver, without which it has no VFs; virtio_pci is needed",
            self.address()
        );
        // Probing has to wait until the registers are there.
        sysfs::write(&self.dir, "sriov_drivers_autoprobe", "0")?;
        let created = self.create_unprobed(count);
        sysfs::write(&self.dir, "sriov_drivers_autoprobe", "1")?;
        created
    }

    fn create_unprobed(&self, count: u32) -> Result<Vec<PathBuf>> {
        // Another number is set by way of none.
        if self.number("sriov_numvfs")? != 0 {
            self.remove()?;
        }
        sysfs::write(&self.dir, "sriov_numvfs", &count.to_string())?;
        let vfs: Vec<PathBuf> = (0..count)
            .map(|number| {
                let link = self.dir.join(format!("virtfn{number}"));
                link.canonicalize()
                    .with_context(|| link.display().to_string())
            })
            .collect::<Result<_>>()?;
        for vf in &vfs {
            place(vf)?;
        }
        Ok(vfs)
    }

    /// Removes all VFs.
    pub fn remove(&self) -> Result<()> {
        sysfs::write(&self.dir, "sriov_numvfs", "0")
    }
}

/// Whether the function has the capability of the bench's page writer.
fn is_bench(dir: &Path) -> Result<bool> {
    let path = dir.join("config");
    let config = fs::read(&path).with_context(|| path.display().to_string())?;
    // Those who may not read more get 64 bytes.
    ensure!(config.len() > 64, "{}: root is needed", path.display());
    let byte = |at: usize| config.get(at).copied().unwrap_or(0);
    let mut at = usize::from(byte(CAPABILITIES));
    // There is no room for more.
    for _ in 0..48 {
        if at < 64 {
            break;
        }
        if byte(at) == VENDOR_SPECIFIC
            && byte(at + 3) == VENDOR_CFG
            && [byte(at + 4), byte(at + 5)] == PAGE_WRITER
        {
            return Ok(true);
        }
        at = usize::from(byte(at + 1));
    }
    Ok(false)
}
