// SPDX-License-Identifier: GPL-2.0
//! What something costs the kernel.

use std::fs;

use anyhow::{Context, Result};

/// Memory that comes and goes in a system that does nothing, in bytes.
pub const NOISE: u64 = 48 << 20;

/// Memory that the kernel could give away, in bytes.
pub fn available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"));
    let kilobytes: u64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("no MemAvailable")?
        .parse()
        .context("MemAvailable")?;
    Ok(kilobytes * 1024)
}
