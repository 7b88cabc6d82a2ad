// SPDX-License-Identifier: GPL-2.0
//! Enabling virtual functions, on real hardware and on the bench.

use anyhow::Result;
use vfio_bench_guest::place::place;

use crate::pci::Function;

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
            place(&vf.path())?;
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
