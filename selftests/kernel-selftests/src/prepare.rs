// SPDX-License-Identifier: GPL-2.0
//! Makes the bench's machine ready for the kernel's programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use vvp_harness::pci::{self, Address, Function};
use vvp_harness::{bench, kmod, sriov};

/// Functions to hand to the programs: one of them opens all it is given at once.
const FUNCTIONS: u32 = 2;

/// How many huge pages there are of 2 MiB. That of 1 GiB comes with L1's command line.
const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
/// How many there must be: the programs map one at a time.
const HUGE_PAGES_WANTED: u32 = 8;

/// Creates functions and binds them to the driver under test.
pub fn prepare(pf: &Address) -> Result<Vec<Function>> {
    let pf = bench::physical_function(pf)?;
    reserve_huge_pages()?;
    kmod::load_vfio_stack(true)?;
    kmod::load(kmod::OURS, "")?;
    // Its driver must be up before it can have functions.
    pf.wait_netdev()?;
    let functions = sriov::bring_up_bench(&pf, FUNCTIONS)?;
    for function in &functions {
        function.bind(kmod::OURS)?;
    }
    Ok(functions)
}

/// Without them the tests of mappings of 2 MiB have nothing to map.
fn reserve_huge_pages() -> Result<()> {
    let path = Path::new(HUGE_PAGES);
    pci::write(path, &HUGE_PAGES_WANTED.to_string())?;
    let there = fs::read_to_string(path).with_context(|| format!("reading {HUGE_PAGES}"))?;
    // The kernel takes the wish, and reserves what it can.
    ensure!(
        there.trim().parse() == Ok(HUGE_PAGES_WANTED),
        "of {HUGE_PAGES_WANTED} huge pages of 2 MiB there are {}",
        there.trim()
    );
    Ok(())
}
