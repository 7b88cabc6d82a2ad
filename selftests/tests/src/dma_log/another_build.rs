// SPDX-License-Identifier: GPL-2.0
//! A module that was built for another build of the kernel reads no dirty bits:
//! what it would look into is private to that build.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;
use vvp_harness::kmsg::Log;
use vvp_harness::{expect, expect_eq, kmod, skip};

use super::parameter::unload;
use super::rig::{Backing, IOVA, Logged, pages};
use crate::config::{Config, Driver};
use crate::dma_logging::require_dirty_bits;

/// Exchanges the version that the module was built for.
pub fn not_read(config: &Config) -> Result<()> {
    require_dirty_bits()?;
    let Some(module) = kmod::source(&config.module_name(Driver::Rs)) else {
        skip!("no module file was given (VVP_MODULE)");
    };
    let version = fs::read_to_string("/proc/sys/kernel/version").context("kernel version")?;
    let version = version.trim();
    let other = version.replace(|digit: char| digit.is_ascii_digit(), "0");
    ensure!(other != version, "no digit in the version: {version}");
    let mut image = fs::read(&module).context("reading the module")?;
    let found = exchange(&mut image, version.as_bytes(), other.as_bytes());
    if found == 0 {
        skip!("the module was built without the kernel's source");
    }
    let mut file = NamedTempFile::with_suffix(".ko").context("a file for a module")?;
    file.write_all(&image).context("writing a module")?;
    // As long as it is open to be written, the kernel does not load it.
    with_module(config, &file.into_temp_path())
}

/// Puts `new`, of the same length, wherever `image` has `old`; says how often.
fn exchange(image: &mut [u8], old: &[u8], new: &[u8]) -> usize {
    let places: Vec<usize> = image
        .windows(old.len())
        .enumerate()
        .filter(|(_, window)| *window == old)
        .map(|(place, _)| place)
        .collect();
    for place in &places {
        image[*place..*place + new.len()].copy_from_slice(new);
    }
    places.len()
}

fn with_module(config: &Config, file: &Path) -> Result<()> {
    unload(config)?;
    let mut log = Log::follow()?;
    kmod::load_file(file, "dma_logging=iommu")?;
    let messages = log.messages()?;
    let count = messages
        .iter()
        .filter(|line| line.contains("the IOMMU's dirty bits are not read"))
        .count();
    expect_eq!(count, 1, "lines of the log that say so");
    let tracked = Logged::open_as(config, Backing::Tracked, None)?;
    expect!(!tracked.device.has_dma_log()?, "offers to read dirty bits");
    drop(tracked);
    let mut everything = Logged::open_as(config, Backing::Tracked, Some("conservative"))?;
    let range = everything.map(IOVA, 8)?;
    everything.start(&[range])?;
    expect_eq!(everything.report(range)?, pages(range), "everything");
    Ok(())
}
