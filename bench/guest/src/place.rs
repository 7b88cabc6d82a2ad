// SPDX-License-Identifier: GPL-2.0
//! QEMU maps a function's memory where that function's own base address registers say. A VF of
//! real hardware has none: its memory is where SR-IOV puts it. So the VFs of a bench have such
//! registers, and somebody has to write into them what the kernel has chosen.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Number of base address registers.
const BARS: usize = 6;
/// Where they are.
const BAR0: u64 = 0x10;
const COMMAND: u64 = 0x04;
const COMMAND_MEMORY: u16 = 2;

/// Tells QEMU where the VF in the sysfs directory `vf` has its registers.
pub fn place(vf: &Path) -> Result<()> {
    let resource = vf.join("resource");
    let text = fs::read_to_string(&resource).with_context(|| resource.display().to_string())?;
    let (bar, start) =
        first_bar(&text).with_context(|| format!("{}: no BAR has an address", vf.display()))?;
    let path = vf.join("config");
    let write = || {
        let config = OpenOptions::new().write(true).open(&path)?;
        // It has one BAR, of 64 bits. Each register is written by itself.
        let [low, high] = [start as u32, (start >> 32) as u32].map(u32::to_le_bytes);
        config.write_all_at(&low, BAR0 + 4 * bar)?;
        config.write_all_at(&high, BAR0 + 4 * bar + 4)?;
        config.write_all_at(&COMMAND_MEMORY.to_le_bytes(), COMMAND)
    };
    write().with_context(|| path.display().to_string())
}

/// Number and address of the first BAR that has one.
fn first_bar(resource: &str) -> Option<(u64, u64)> {
    let mut bars = (0..).zip(resource.lines().take(BARS));
    bars.find_map(|(bar, line)| {
        let start = line.split_whitespace().next()?.strip_prefix("0x")?;
        let start = u64::from_str_radix(start, 16).ok()?;
        (start != 0).then_some((bar, start))
    })
}
