// SPDX-License-Identifier: GPL-2.0
//! What the bench is asked and told while a guest is migrated.

use anyhow::{Context, Result};
use vvp_harness::control::{Action, Control, FunctionState};
use vvp_harness::pci::Function;

use super::scenario::step::Inject;

/// The control connection.
pub fn control() -> Result<Control> {
    Control::find()?.context("no connection to the bench: run this in its virtual machine")
}

/// The bench's view of a virtual function.
pub fn state(vf: &Function) -> Result<FunctionState> {
    let name = format!("vf{}", vf.vf_number()?);
    Ok(control()?.state()?.function(&name)?.clone())
}

/// Has the device answer commands otherwise than it should.
pub fn inject(inject: &Inject) -> Result<()> {
    let action = match (inject.status, inject.delay_ms) {
        (Some(status), _) => Action::Status {
            status,
            qualifier: 0,
        },
        (None, delay) => Action::DelayMs(delay.unwrap_or(0)),
    };
    Ok(control()?.inject(inject.command.opcode(), inject.nth, inject.count, action)?)
}

/// Has it answer as it should again.
pub fn clear_faults() -> Result<()> {
    Ok(control()?.clear_faults()?)
}

/// Has the IOMMU model set dirty bits, or not.
pub fn set_dirty_bits(enabled: bool) -> Result<()> {
    Ok(control()?.dirty_bits(enabled)?)
}
