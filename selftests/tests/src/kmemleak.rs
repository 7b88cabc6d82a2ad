// SPDX-License-Identifier: GPL-2.0
//! Fixture `kmemleak`, on kernels that have it and tests that are done: nothing is left
//! in memory that nobody refers to.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use vvp_harness::ktap::{Suite, Test};
use vvp_harness::{expect, note};

const FILE: &str = "/sys/kernel/debug/kmemleak";
/// An object that is younger is not looked at yet.
const AGE: Duration = Duration::from_secs(6);
/// Scanning is slow on an emulated machine, and under KASAN.
const LIMIT: Duration = Duration::from_secs(600);

/// Adds the test, to be run after all others.
pub fn add(suite: &mut Suite) {
    if Path::new(FILE).exists() {
        let name = "nothing_is_lost";
        suite.add_test(Test::new("kmemleak", "kernel", name, LIMIT, nothing_is_lost).always());
    }
}

/// Forgets what was lost before the tests.
pub fn begin() -> Result<()> {
    if Path::new(FILE).exists() {
        tell("scan")?;
        tell("clear")?;
    }
    Ok(())
}

fn tell(command: &str) -> Result<()> {
    fs::write(FILE, command).with_context(|| format!("writing {command:?} to {FILE}"))
}

/// Twice: a pointer that was on its way from one place to another during the first
/// scan is found by the second, and what is lost is told by either.
fn nothing_is_lost() -> Result<()> {
    for scan in 1..=2 {
        sleep(AGE);
        tell("scan")?;
        let found = fs::read_to_string(FILE).with_context(|| format!("reading {FILE}"))?;
        for line in found.lines() {
            note!("{line}");
        }
        if scan == 2 {
            expect!(found.is_empty(), "kmemleak has found something");
        }
    }
    Ok(())
}
