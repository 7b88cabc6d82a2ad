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

/// Enables `count` virtual functions, none bound to a driver.
pub fn bring_up(pf: &Function, count: u32) -> Result<Vec<Function>> {
    without_probing(pf, || enable(pf, count))
}

/// The same on a bench PF.
///
/// The bench's virtual functions are PCI functions of their own for QEMU, which
/// maps a function's memory only where that function's own base address
/// registers say. SR-IOV puts VF memory elsewhere: so tell each VF where the
/// kernel expects it. Real hardware needs none of that.
pub fn bring_up_bench(pf: &Function, count: u32) -> Result<Vec<Function>> {
    // Probing has to wait until the memory is there.
    without_probing(pf, || {
        let vfs = enable(pf, count)?;
        for vf in &vfs {
            map(vf)?;
        }
        Ok(vfs)
    })
}

/// Has the kernel bind no driver to the functions that `enabling` makes.
fn without_probing<T>(pf: &Function, enabling: impl FnOnce() -> Result<T>) -> Result<T> {
    pf.set_attribute("sriov_drivers_autoprobe", "0")?;
    let enabled = enabling();
    pf.set_attribute("sriov_drivers_autoprobe", "1")?;
    enabled
}

fn enable(pf: &Function, count: u32) -> Result<Vec<Function>> {
    set_numvfs(pf, count)?;
    (1..=count).map(|number| pf.virtfn(number)).collect()
}

/// Tells a function of the bench where its memory is.
fn map(vf: &Function) -> Result<()> {
    // It has one BAR, of 64 bits.
    let resources = vf.resources()?;
    let mut bars = resources.iter().take(BARS).enumerate();
    let (index, bar) = bars
        .find(|(_, bar)| bar.start != 0)
        .with_context(|| format!("{}: no BAR has an address", vf.address()))?;
    vf.write_config(pci::BAR0 + 4 * index as u64, &bar.start.to_le_bytes())?;
    vf.write_config(pci::COMMAND, &pci::COMMAND_MEMORY.to_le_bytes())
}
