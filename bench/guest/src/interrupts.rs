// SPDX-License-Identifier: GPL-2.0
//! The bench's IOMMU does not remap interrupts, and VFIO then wants to be told that this is fine.

use std::path::Path;

use anyhow::Result;

use crate::sysfs;

/// Who wants to be told.
const MODULES: [&str; 2] = ["iommufd", "vfio_iommu_type1"];
const PARAMETER: &str = "allow_unsafe_interrupts";

/// Tells those of the modules in `modules` (/sys/module) that there are, and returns which.
pub fn allow_unsafe(modules: &Path) -> Result<Vec<&'static str>> {
    let mut told = Vec::new();
    for module in MODULES {
        let parameters = modules.join(module).join("parameters");
        if parameters.join(PARAMETER).exists() {
            sysfs::write(&parameters, PARAMETER, "Y")?;
            told.push(module);
        }
    }
    Ok(told)
}
