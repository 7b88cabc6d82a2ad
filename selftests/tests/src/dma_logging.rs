// SPDX-License-Identifier: GPL-2.0
//! What a device is told of DMA logging in sysfs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use vvp_harness::pci::Function;
use vvp_harness::skip;

const ATTRIBUTE: &str = "dma_logging";

/// What the module's default is, if nobody said otherwise.
const DEFAULT: &str = "auto";

/// Whether this kernel loses dirty bits of the IOMMU, so that the driver does not read them. See "A
/// page loses its last part" in Documentation/upstream-findings.rst.
pub fn dirty_bits_are_lost() -> Result<bool> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("osrelease")?;
    Ok(release.starts_with("7.2."))
}

/// Skips where dirty bits are lost.
pub fn require_dirty_bits() -> Result<()> {
    if dirty_bits_are_lost()? {
        skip!("this kernel loses dirty bits of the IOMMU");
    }
    Ok(())
}

/// A setting that goes back to the default in the end.
pub struct DmaLogging(Function);

impl DmaLogging {
    /// Sets it for `function`, bound to our driver, from its next opening on.
    pub fn set(function: &Function, value: &str) -> Result<Self> {
        // Where tests are to have iommufd, it has been loaded.
        if !Path::new("/dev/iommu").exists() {
            skip!("without iommufd the driver has no DMA logging");
        }
        function.set_attribute(ATTRIBUTE, value)?;
        Ok(Self(function.clone()))
    }
}

impl Drop for DmaLogging {
    fn drop(&mut self) {
        // Fails if the driver is gone, and the setting with it.
        let _ = self.0.set_attribute(ATTRIBUTE, DEFAULT);
    }
}
