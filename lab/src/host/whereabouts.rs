// SPDX-License-Identifier: GPL-2.0
//! Where these programs run. They load modules, let devices interrupt without remapping,
//! and make a file system on a disk: so, before anything is changed, it is proved that the
//! machine is one that is there for it.

use std::fs;

use anyhow::{Context, Result, ensure};
use vvp_harness::pci::Function;

use super::bench;
use crate::capability::page_writer;

/// What L1 has on its kernel's command line, and no other machine.
const RUN: &str = "vvp_run";
/// As much of configuration space as every function has.
const CONFIG: usize = 256;

/// Fails unless a bench is attached to this machine and `pf` is its function.
pub fn ensure_bench(pf: &Function) -> Result<()> {
    bench::control().context("this is no place for it")?;
    let mut config = [0; CONFIG];
    pf.read_config(0, &mut config)?;
    ensure!(
        page_writer(&config).is_some(),
        "{} is not a function of the bench: it is left alone",
        pf.address()
    );
    Ok(())
}

/// Fails unless this machine is L1.
pub fn ensure_l1() -> Result<()> {
    let words = fs::read_to_string("/proc/cmdline").context("reading /proc/cmdline")?;
    ensure!(
        is_l1(&words),
        "this machine is not the runner's L1: it is left alone"
    );
    Ok(())
}

fn is_l1(command_line: &str) -> bool {
    command_line
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .any(|(name, value)| name == RUN && !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_is_known_by_its_run() {
        assert!(is_l1("console=ttyS0 vvp_run=/cache/run/1 vvp_timeout=9\n"));
        for other in [
            "console=ttyS0",
            "vvp_run=",
            "vvp_running=1",
            "xvvp_run=1",
            "",
        ] {
            assert!(!is_l1(other), "{other}");
        }
    }
}
