// SPDX-License-Identifier: GPL-2.0
//! What a device is told of DMA logging in sysfs.

use std::path::Path;

use anyhow::Result;
use vvp_harness::pci::Function;
use vvp_harness::skip;

const ATTRIBUTE: &str = "dma_logging";

/// What the module's default is, if nobody said otherwise.
const DEFAULT: &str = "auto";

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
