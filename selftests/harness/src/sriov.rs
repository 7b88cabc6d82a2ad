// SPDX-License-Identifier: GPL-2.0
//! Enabling virtual functions, on real hardware and on the bench.

use anyhow::{Context, Result};

use crate::pci::{self, Function};

/// Number of base address registers.
const BARS: usize = 6;

/// Sets the number of virtual functions; the kernel wants zero in between.
pub fn set_numvfs(pf: &Function, count: u32) -> Result<()> {
    let now = pf.numvfs()?;
    if now == count {
        return Ok(());
    }
    if now != 0 && count != 0 {
        pf.set_attribute("sriov_numvfs", "0")?;
    }
    pf.set_attribute("sriov_numvfs", &count.to_string())
}

/// Enables `count` virtual functions of a bench PF, none bound to a driver.
///
/// The bench's virtual functions are PCI functions of their own for QEMU, which
/// maps a function's memory only where that function's own base address
/// registers say. SR-IOV puts VF memory elsewhere: so tell each VF where the
/// kernel expects it. Real hardware needs none of that.
pub fn bring_up_bench(pf: &Function, count: u32) -> Result<Vec<Function>> {
    // Probing has to wait until the memory is there.
    pf.set_attribute("sriov_drivers_autoprobe", "0")?;
    let enabled = enable_and_map(pf, count);
    pf.set_attribute("sriov_drivers_autoprobe", "1")?;
    enabled
}

fn enable_and_map(pf: &Function, count: u32) -> Result<Vec<Function>> {
    set_numvfs(pf, count)?;
    let vfs: Vec<Function> = (1..=count)
        .map(|number| pf.virtfn(number))
        .collect::<Result<_>>()?;
    for vf in &vfs {
        // A function of the bench has one BAR, of 64 bits.
        let resources = vf.resources()?;
        let mut bars = resources.iter().take(BARS).enumerate();
        let (index, bar) = bars
            .find(|(_, bar)| bar.start != 0)
            .with_context(|| format!("{}: no BAR has an address", vf.address()))?;
        vf.write_config(pci::BAR0 + 4 * index as u64, &bar.start.to_le_bytes())?;
        vf.write_config(pci::COMMAND, &pci::COMMAND_MEMORY.to_le_bytes())?;
    }
    Ok(vfs)
}
