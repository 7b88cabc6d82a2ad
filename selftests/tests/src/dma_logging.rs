// SPDX-License-Identifier: GPL-2.0
//! What a device is told of DMA logging in sysfs.

use anyhow::Result;
use harness::pci::Function;

const ATTRIBUTE: &str = "dma_logging";

/// What the module's default is, if nobody said otherwise.
const DEFAULT: &str = "auto";

/// A setting that goes back to the default in the end.
pub struct DmaLogging(Function);

impl DmaLogging {
    /// Sets it for `function`, bound to our driver, from its next opening on.
    pub fn set(function: &Function, value: &str) -> Result<Self> {
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
