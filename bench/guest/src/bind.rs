// SPDX-License-Identifier: GPL-2.0
//! Giving functions to a driver.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::sysfs;

/// Binds the function in the sysfs directory `function`, and no other, to `driver`.
pub fn bind(function: &Path, driver: &str) -> Result<()> {
    let name = function.file_name().unwrap_or_default().to_string_lossy();
    sysfs::write(function, "driver_override", driver)?;
    sysfs::write(&function.join("subsystem"), "drivers_probe", &name)?;
    let bound = sysfs::target(function, "driver");
    ensure!(
        bound.as_deref() == Some(driver),
        "{name}: not bound to {driver}; is its module loaded?"
    );
    Ok(())
}
