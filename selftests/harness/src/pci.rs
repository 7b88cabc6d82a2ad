// SPDX-License-Identifier: GPL-2.0
//! A PCI function as sysfs shows it: binding, configuration space, IOMMU group.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use crate::wait::{self, PATIENCE};

/// The PCI bus of the machine this runs on.
const BUS: &str = "/sys/bus/pci";

/// Where functions are looked for, and how attributes are written there.
#[derive(Clone, Debug)]
pub struct Bus {
    root: PathBuf,
    write: fn(&Path, &str) -> io::Result<()>,
}

impl Bus {
    /// This machine's.
    pub fn host() -> Self {
        Self::with(BUS, |path, value| fs::write(path, value))
    }

    /// A directory laid out like `/sys/bus/pci`, in which `write` does what the kernel
    /// would.
    pub fn with(root: impl Into<PathBuf>, write: fn(&Path, &str) -> io::Result<()>) -> Self {
        Self {
            root: root.into(),
            write,
        }
    }

    /// The function at `address`, which must exist.
    pub fn function(&self, address: &Address) -> Result<Function> {
        let function = self.at(address.clone());
        ensure!(function.path().exists(), "no PCI function {address}");
        Ok(function)
    }

    /// All functions, by address.
    pub fn functions(&self) -> Result<Vec<Function>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join("devices")).context("listing PCI functions")? {
            let name = entry.context("listing PCI functions")?.file_name();
            found.push(self.at(name.to_string_lossy().parse()?));
        }
        found.sort_by_key(|function| function.address.to_string());
        Ok(found)
    }

    /// Is there a driver of this name?
    pub fn has_driver(&self, name: &str) -> bool {
        self.root.join("drivers").join(name).exists()
    }

    fn at(&self, address: Address) -> Function {
        Function {
            address,
            bus: self.clone(),
        }
    }

    /// Writes an attribute, as one value.
    fn write(&self, path: &Path, value: &str) -> Result<()> {
        let shown = value.trim_end();
        (self.write)(path, value)
            .with_context(|| format!("writing '{shown}' to {}", path.display()))
    }
}

/// Offset of the command register.
pub const COMMAND: u64 = 0x04;
/// Command register: the function answers memory accesses.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command register: the function may start transactions of its own.
pub const COMMAND_MASTER: u16 = 1 << 2;
/// Offset of the first base address register.
pub const BAR0: u64 = 0x10;

/// Domain, bus, device and function, for example `0000:01:00.1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(String);

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let hex = |part: &str, width: usize| {
            part.len() == width && part.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let mut parts = text.split(':');
        let well_formed = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(domain), Some(bus), Some(slot), None) => {
                hex(domain, 4)
                    && hex(bus, 2)
                    && slot
                        .split_once('.')
                        .is_some_and(|(device, function)| hex(device, 2) && hex(function, 1))
            }
            _ => false,
        };
        ensure!(well_formed, "'{text}' is no PCI address like 0000:01:00.1");
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The driver of a function, and the rule for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// The driver that is bound.
    pub driver: Option<String>,
    /// The driver that alone may be bound.
    pub driver_override: Option<String>,
}

/// One address range of a function, from its `resource` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// The kernel's IORESOURCE_ flags.
    pub flags: u64,
}

/// A PCI function known to the kernel.
#[derive(Clone, Debug)]
pub struct Function {
    address: Address,
    bus: Bus,
}

impl Function {
    /// The function at `address`, which must exist.
    pub fn open(address: &Address) -> Result<Self> {
        Bus::host().function(address)
    }

    /// All functions with these ids, by address.
    pub fn with_ids(vendor: u16, device: u16) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for function in Bus::host().functions()? {
            if function.ids()? == (vendor, device) {
                found.push(function);
            }
        }
        Ok(found)
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its sysfs directory.
    pub fn path(&self) -> PathBuf {
        self.bus.root.join("devices").join(&self.address.0)
    }

    /// Reads one of its sysfs attributes, without the trailing newline.
    pub fn attribute(&self, name: &str) -> Result<String> {
        let path = self.path().join(name);
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.trim_end().to_owned())
    }

    /// Writes one of its sysfs attributes.
    pub fn set_attribute(&self, name: &str, value: &str) -> Result<()> {
        self.bus.write(&self.path().join(name), value)
    }

    /// The bus it is on.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    fn link_name(&self, link: &str) -> Option<String> {
        let target = fs::read_link(self.path().join(link)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// The driver bound to it, if any.
    pub fn driver(&self) -> Option<String> {
        self.link_name("driver")
    }

    /// The driver that alone may be bound to it, if there is such a rule.
    pub fn driver_override(&self) -> Option<String> {
        let name = self.attribute("driver_override").ok()?;
        (!name.is_empty() && name != "(null)").then_some(name)
    }

    /// Binds it to `driver` by way of `driver_override`, whatever is bound now.
    pub fn bind(&self, driver: &str) -> Result<()> {
        if self.driver().as_deref() == Some(driver) {
            return Ok(());
        }
        self.unbind()?;
        self.set_attribute("driver_override", driver)?;
        self.probe()?;
        match self.driver() {
            Some(found) if found == driver => Ok(()),
            found => bail!(
                "{}: bound to {} instead of {driver}",
                self.address,
                found.as_deref().unwrap_or("no driver")
            ),
        }
    }

    /// Unbinds whatever driver is bound, and forgets the override.
    pub fn unbind(&self) -> Result<()> {
        if self.driver().is_some() {
            self.set_attribute("driver/unbind", &self.address.0)?;
        }
        self.set_attribute("driver_override", "\n")
    }

    /// Has the kernel look for a driver.
    pub fn probe(&self) -> Result<()> {
        self.bus
            .write(&self.bus.root.join("drivers_probe"), &self.address.0)
    }

    /// What is bound to it, and by which rule.
    pub fn binding(&self) -> Binding {
        Binding {
            driver: self.driver(),
            driver_override: self.driver_override(),
        }
    }

    /// Has it bound as it was when `binding` was taken.
    pub fn restore(&self, binding: &Binding) -> Result<()> {
        if self.driver() != binding.driver && self.driver().is_some() {
            self.set_attribute("driver/unbind", &self.address.0)?;
        }
        let rule = binding.driver_override.as_deref().unwrap_or("\n");
        self.set_attribute("driver_override", rule)?;
        match &binding.driver {
            Some(driver) if self.driver().as_ref() != Some(driver) => {
                let bind = self.bus.root.join("drivers").join(driver).join("bind");
                self.bus.write(&bind, &self.address.0)
            }
            _ => Ok(()),
        }
    }

    /// The number of its IOMMU group.
    pub fn iommu_group(&self) -> Result<u32> {
        self.link_name("iommu_group")
            .with_context(|| format!("{}: no IOMMU group", self.address))?
            .parse()
            .context("number of the IOMMU group")
    }

    /// The character device of its VFIO device, once a VFIO driver is bound.
    pub fn vfio_cdev(&self) -> Result<PathBuf> {
        let directory = self.path().join("vfio-dev");
        let entry = fs::read_dir(&directory)
            .with_context(|| {
                format!(
                    "{}: no VFIO device (kernel without VFIO_DEVICE_CDEV?)",
                    self.address
                )
            })?
            .next()
            .with_context(|| format!("{} is empty", directory.display()))??;
        Ok(Path::new("/dev/vfio/devices").join(entry.file_name()))
    }

    /// The character device of its VFIO group.
    pub fn vfio_group(&self) -> Result<PathBuf> {
        Ok(Path::new("/dev/vfio").join(self.iommu_group()?.to_string()))
    }

    /// The physical function, if this is a virtual one.
    pub fn physfn(&self) -> Option<Self> {
        let address = self.link_name("physfn")?.parse().ok()?;
        Some(self.bus.at(address))
    }

    /// The `number`th virtual function, counted from 1.
    pub fn virtfn(&self, number: u32) -> Result<Self> {
        let index = number
            .checked_sub(1)
            .context("virtual functions count from 1")?;
        let address = self
            .link_name(&format!("virtfn{index}"))
            .with_context(|| format!("{}: no virtual function {number}", self.address))?
            .parse()?;
        Ok(self.bus.at(address))
    }

    /// Its number among the virtual functions of `physfn`, counted from 1.
    pub fn vf_number(&self) -> Result<u32> {
        let physfn = self
            .physfn()
            .with_context(|| format!("{} is no virtual function", self.address))?;
        let total = physfn.numvfs()?;
        (1..=total)
            .find(|number| {
                physfn
                    .virtfn(*number)
                    .is_ok_and(|vf| vf.address == self.address)
            })
            .with_context(|| format!("{} is not among its physical function's", self.address))
    }

    /// How many virtual functions are enabled.
    pub fn numvfs(&self) -> Result<u32> {
        self.attribute("sriov_numvfs")?
            .parse()
            .context("sriov_numvfs")
    }

    /// Network interfaces of the driver bound to it.
    pub fn netdevs(&self) -> Vec<String> {
        self.class_devices("net")
    }

    /// Disks of the driver bound to it.
    pub fn disks(&self) -> Vec<String> {
        self.class_devices("block")
    }

    /// Devices of a class (virtio drivers put one level between).
    fn class_devices(&self, class: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.path().join(class)];
        if let Ok(entries) = fs::read_dir(self.path()) {
            directories.extend(
                entries
                    .flatten()
                    .filter(|entry| entry.file_name().to_string_lossy().starts_with("virtio"))
                    .map(|entry| entry.path().join(class)),
            );
        }
        for directory in directories {
            if let Ok(entries) = fs::read_dir(directory) {
                found.extend(
                    entries
                        .flatten()
                        .map(|e| e.file_name().to_string_lossy().into_owned()),
                );
            }
        }
        found
    }

    /// Waits for the first network interface.
    pub fn wait_netdev(&self) -> Result<String> {
        wait::until(
            &format!("{}: a network interface", self.address),
            PATIENCE,
            || Ok(self.netdevs().into_iter().next()),
        )
    }

    /// Waits for the first disk.
    pub fn wait_disk(&self) -> Result<String> {
        wait::until(&format!("{}: a disk", self.address), PATIENCE, || {
            Ok(self.disks().into_iter().next())
        })
    }

    /// Its address ranges, in the order of the `resource` file (base address registers first).
    pub fn resources(&self) -> Result<Vec<Resource>> {
        self.attribute("resource")?
            .lines()
            .map(parse_resource)
            .collect()
    }

    /// Reads `out.len()` bytes of configuration space.
    pub fn read_config(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let path = self.path().join("config");
        OpenOptions::new()
            .read(true)
            .open(&path)
            .and_then(|file| file.read_exact_at(out, offset))
            .with_context(|| format!("reading {} at {offset:#x}", path.display()))
    }

    /// Writes configuration space.
    pub fn write_config(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let path = self.path().join("config");
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.write_all_at(bytes, offset))
            .with_context(|| format!("writing {} at {offset:#x}", path.display()))
    }

    /// Vendor and device id, as the kernel knows them.
    pub fn ids(&self) -> Result<(u16, u16)> {
        let id = |name: &str| -> Result<u16> {
            let text = self.attribute(name)?;
            u16::from_str_radix(text.trim_start_matches("0x"), 16)
                .with_context(|| format!("{name} '{text}' of {}", self.address))
        };
        Ok((id("vendor")?, id("device")?))
    }
}

/// Writes `value` to the sysfs file `path`.
pub fn write(path: &Path, value: &str) -> Result<()> {
    // One write(2): sysfs takes each write for a whole value.
    let shown = value.trim_end();
    fs::write(path, value).with_context(|| format!("writing '{shown}' to {}", path.display()))
}

fn parse_resource(line: &str) -> Result<Resource> {
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16))
        .collect::<Result<_, _>>()
        .with_context(|| format!("resource line '{line}'"))?;
    match numbers[..] {
        [start, end, flags] => Ok(Resource {
            start,
            size: if flags == 0 {
                0
            } else {
                (end - start).saturating_add(1)
            },
            flags,
        }),
        _ => bail!("resource line '{line}' has not three numbers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(
            "0000:0A:1f.7".parse::<Address>().unwrap().to_string(),
            "0000:0a:1f.7"
        );
        for bad in [
            "",
            "01:00.1",
            "0000:01:00",
            "0000:01:00.1:2",
            "0000:1:00.1",
            "../../x",
            "0000:01:00.g",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn resources() {
        let used =
            parse_resource("0x0000380000000000 0x0000380000003fff 0x000000000014220c").unwrap();
        assert_eq!(
            (used.start, used.size, used.flags),
            (0x3800_0000_0000, 0x4000, 0x14220c)
        );
        let unused =
            parse_resource("0x0000000000000000 0x0000000000000000 0x0000000000000000").unwrap();
        assert_eq!(unused.size, 0);
        assert!(parse_resource("0x0 0x1").is_err());
    }
}
