// SPDX-License-Identifier: GPL-2.0
//! Is this the bench's machine? What sets that up must not be done to any other.

use anyhow::{Context, Result, ensure};

use crate::control::Control;
use crate::pci::{Address, Function};
use crate::virtio::Layout;

/// The bench's physical function at `pf`, if it is one: the bench answers, and the function
/// has what real hardware has not. Changes nothing.
pub fn physical_function(pf: &Address) -> Result<Function> {
    const ELSEWHERE: &str = "this is for the bench's machine only";
    Control::find()
        .context(ELSEWHERE)?
        .context("no control port is here")
        .context(ELSEWHERE)?
        .state()
        .context("asking the bench")?;
    let function = Function::open(pf).context(ELSEWHERE)?;
    ensure!(
        Layout::of_function(&function)?.vendor.is_some(),
        "{ELSEWHERE}: {pf} is no function of the bench"
    );
    Ok(function)
}
