// SPDX-License-Identifier: GPL-2.0
//! A directory that behaves like `/sys/bus/pci` where drivers are bound, for tests of
//! what binds them.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::pci::{Address, Bus, Function};

/// A driver that takes no function.
pub const REFUSING: &str = "refusing";

/// Makes one in `root` with these drivers and one function, which the first of them has.
pub fn create(root: &Path, function: &str, drivers: &[&str]) -> io::Result<()> {
    let device = root.join("devices").join(function);
    fs::create_dir_all(&device)?;
    fs::write(device.join("driver_override"), "(null)\n")?;
    for (name, value) in [("vendor", "0x1af4\n"), ("device", "0x1041\n")] {
        fs::write(device.join(name), value)?;
    }
    for driver in drivers {
        fs::create_dir_all(root.join("drivers").join(driver))?;
    }
    match drivers.first() {
        Some(first) => symlink(root.join("drivers").join(first), device.join("driver")),
        None => Ok(()),
    }
}

/// The function in it.
pub fn function(root: &Path, address: &str) -> anyhow::Result<Function> {
    let address: Address = address.parse()?;
    Bus::with(root, write).function(&address)
}

/// Does what the kernel does when a file of the bus is written.
fn write(path: &Path, value: &str) -> io::Result<()> {
    let invalid = || io::Error::from_raw_os_error(nix::libc::EINVAL);
    let name = path.file_name().ok_or_else(invalid)?.to_string_lossy();
    let directory = path.parent().ok_or_else(invalid)?;
    match &*name {
        "unbind" => fs::remove_file(directory),
        "drivers_probe" => {
            let device = directory.join("devices").join(value);
            let rule = fs::read_to_string(device.join("driver_override"))?;
            // Whether a driver took the function is not said.
            let _ = attach(&device, &directory.join("drivers").join(rule.trim()));
            Ok(())
        }
        "bind" => {
            let root = directory.ancestors().nth(2).ok_or_else(invalid)?;
            attach(&root.join("devices").join(value), directory)
        }
        "driver_override" if value.trim().is_empty() => fs::write(path, "(null)\n"),
        _ => fs::write(path, value),
    }
}

fn attach(device: &Path, driver: &Path) -> io::Result<()> {
    if !driver.exists() || driver.ends_with(REFUSING) {
        return Err(io::Error::from_raw_os_error(nix::libc::ENODEV));
    }
    symlink(driver, device.join("driver"))
}
