// SPDX-License-Identifier: GPL-2.0
//! Fixture `lockdep`, on kernels that have it: a kernel that has stopped looking has
//! nothing to say, which is not to be taken for there being nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use vvp_harness::expect;
use vvp_harness::ktap::{LIMIT, Suite, Test};

const STATS: &str = "/proc/lockdep_stats";

/// Whether the kernel warns when a virtio PF is unbound that has VFs. With lockdep it notices that
/// virtio_pci does not hold the lock that `pci_stop_and_remove_bus_device()` wants; see "PCI" in
/// Documentation/upstream-findings.rst.
pub fn reports_unbinding() -> bool {
    Path::new(STATS).exists()
}

/// Adds the test, to be run after all others.
pub fn add(suite: &mut Suite) {
    if Path::new(STATS).exists() {
        let name = "has_looked_to_the_end";
        suite.add_test(Test::new("lockdep", "kernel", name, LIMIT, has_looked).always());
    }
}

fn has_looked() -> Result<()> {
    let text = fs::read_to_string(STATS).with_context(|| format!("reading {STATS}"))?;
    expect!(
        looks(&text)?,
        "lockdep was switched off, by a report of before or during the tests"
    );
    Ok(())
}

/// What the file says of `debug_locks`.
fn looks(stats: &str) -> Result<bool> {
    let line = stats
        .lines()
        .find_map(|line| line.trim().strip_prefix("debug_locks:"))
        .context("no debug_locks")?;
    Ok(line.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_is_found() {
        let stats = |value| format!(" max bfs queue depth:  12\n debug_locks:       {value}\n");
        assert!(looks(&stats("1")).unwrap());
        assert!(!looks(&stats("0")).unwrap());
        assert!(looks("x: 1\n").is_err());
    }
}
