// SPDX-License-Identifier: GPL-2.0
//! What the bench is asked and told while a guest is migrated.

use anyhow::{Context, Result};
use vvp_harness::control::{Control, FunctionState};
use vvp_harness::pci::Function;

/// The control connection.
pub fn control() -> Result<Control> {
    Control::find()?.context("no connection to the bench: run this in its virtual machine")
}

/// The bench's view of a virtual function.
pub fn state(vf: &Function) -> Result<FunctionState> {
    let name = format!("vf{}", vf.vf_number()?);
    Ok(control()?.state()?.function(&name)?.clone())
}

/// Has the IOMMU model set dirty bits, or not.
pub fn set_dirty_bits(enabled: bool) -> Result<()> {
    Ok(control()?.dirty_bits(enabled)?)
}
