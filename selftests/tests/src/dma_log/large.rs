// SPDX-License-Identifier: GPL-2.0
//! Large pages of the IOMMU's page table: one dirty bit for all of it, also for a
//! report that asks for a part.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fastrand::Rng;
use vvp_harness::vfio::{DmaBuffer, Range};
use vvp_harness::{expect_eq, note, pci, skip};

use super::Test;
use super::rig::{Backing, Logged, PAGE_SIZE, Pages, pages};
use crate::config::Config;

pub const TESTS: &[(&str, Test)] = &[
    ("pages_of_2_mib", two_mib),
    ("pages_of_1_gib", one_gib),
    ("cut_by_a_report", cut_by_a_report),
    ("cut_by_a_range", cut_by_a_range),
    ("large_and_small", large_and_small),
    ("larger_page_sizes", larger_page_sizes),
];

const MIB2: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
/// Aligned for any page.
const BASE: u64 = 4 * GIB;

const NONE: Pages = Pages::new();

/// Huge pages; as many as there were before are left in the end.
struct Reserved {
    path: PathBuf,
    before: u64,
}

impl Reserved {
    /// Has the system keep `count` pages of `size` bytes.
    fn new(size: u64, count: u64) -> Result<Self> {
        let path = PathBuf::from(format!(
            "/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages",
            size / 1024
        ));
        if !path.exists() {
            skip!("the kernel has no pages of {size:#x} bytes");
        }
        let before = number(&path)?;
        let own = Self { path, before };
        if before < count {
            // Refused for pages that can only be had at boot.
            let _ = pci::write(&own.path, &count.to_string());
        }
        let found = number(&own.path)?;
        if found < count {
            skip!("memory for {found} of {count} pages of {size:#x} bytes only");
        }
        Ok(own)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Err(error) = pci::write(&self.path, &self.before.to_string()) {
            note!("huge pages stay reserved: {error:#}");
        }
    }
}

fn number(path: &Path) -> Result<u64> {
    std::fs::read_to_string(path)
        .context("reading nr_hugepages")?
        .trim()
        .parse()
        .context("nr_hugepages")
}

/// All 4 KiB pages of the pages of size `leaf` that `written` touches.
fn leaves(written: &Pages, leaf: u64) -> Pages {
    written
        .iter()
        .flat_map(|page| pages((page & !(leaf - 1), leaf)))
        .collect()
}

/// Gives the device pages of size `leaf`, one mapping each: several that happen to
/// be neighbours would become one page of the IOMMU's, which has any power of two.
fn give(log: &mut Logged, leaf: u64, count: u64) -> Result<Range> {
    for index in 0..count {
        let iova = BASE + index * leaf;
        log.give(DmaBuffer::huge(iova, leaf as usize, leaf as usize)?)?;
    }
    Ok((BASE, count * leaf))
}

fn whole_pages(config: &Config, backing: Backing, leaf: u64, count: u64) -> Result<()> {
    let _reserved = Reserved::new(leaf, count)?;
    let mut log = Logged::open(config, backing)?;
    let range = give(&mut log, leaf, count)?;
    log.start(&[range])?;
    let mut random = Rng::with_seed(6);
    for round in 0..3 {
        let written = log.write_some(range, 3, &mut random)?;
        expect_eq!(
            log.report(range)?.len(),
            leaves(&written, leaf).len(),
            "round {round}: number of pages"
        );
        expect_eq!(log.report(range)?, NONE, "round {round}: read again");
        let written = log.write_some(range, 3, &mut random)?;
        let found = log.report(range)?;
        expect_eq!(
            found == leaves(&written, leaf),
            true,
            "round {round}: pages"
        );
    }
    Ok(())
}

fn two_mib(config: &Config, backing: Backing) -> Result<()> {
    whole_pages(config, backing, MIB2, 8)
}

fn one_gib(config: &Config, backing: Backing) -> Result<()> {
    whole_pages(config, backing, GIB, 1)
}

fn two_large_pages(config: &Config, backing: Backing) -> Result<(Reserved, Logged, Range)> {
    let reserved = Reserved::new(MIB2, 2)?;
    let mut log = Logged::open(config, backing)?;
    let range = give(&mut log, MIB2, 2)?;
    Ok((reserved, log, range))
}

/// Reports that cut a page: each gets its share, however they are cut, and no
/// share is lost or comes twice.
fn cut_by_a_report(config: &Config, backing: Backing) -> Result<()> {
    let (_reserved, mut log, range) = two_large_pages(config, backing)?;
    log.start(&[range])?;
    let mut random = Rng::with_seed(7);
    for round in 0..6 {
        let written = log.write_some(range, 1 + round % 2, &mut random)?;
        let expected = leaves(&written, MIB2);
        let mut windows = Vec::new();
        let mut at = range.0;
        while at < range.0 + range.1 {
            let length = ((1 + random.u64(..300)) * PAGE_SIZE).min(range.0 + range.1 - at);
            windows.push((at, length));
            at += length;
        }
        // In any order.
        for index in (1..windows.len()).rev() {
            windows.swap(index, random.u64(..index as u64 + 1) as usize);
        }
        let mut found = Pages::new();
        for window in windows {
            for page in log.report(window)? {
                expect_eq!(
                    found.insert(page),
                    true,
                    "round {round}: {page:#x} for once"
                );
            }
        }
        expect_eq!(
            found.len(),
            expected.len(),
            "round {round}: number of pages"
        );
        expect_eq!(found == expected, true, "round {round}: pages");
        expect_eq!(log.report(range)?, NONE, "round {round}: read again");
    }
    Ok(())
}

/// A log of part of a page.
fn cut_by_a_range(config: &Config, backing: Backing) -> Result<()> {
    let (_reserved, mut log, all) = two_large_pages(config, backing)?;
    let part = (BASE + 5 * PAGE_SIZE, MIB2);
    log.start(&[part])?;
    // Written outside of the range: the page's other part cannot be told from it.
    log.write_all(&Pages::from([BASE]))?;
    let expected = pages((part.0, MIB2 - 5 * PAGE_SIZE));
    expect_eq!(
        log.report(all)? == expected,
        true,
        "the range's part of the first page"
    );
    log.write_all(&Pages::from([BASE + MIB2]))?;
    let expected = pages((BASE + MIB2, 5 * PAGE_SIZE));
    expect_eq!(
        log.report(all)?,
        expected,
        "the range's part of the second page"
    );
    expect_eq!(log.report(all)?, NONE, "read again");
    Ok(())
}

/// Pages of several sizes side by side.
fn large_and_small(config: &Config, backing: Backing) -> Result<()> {
    let (_reserved, mut log, large) = two_large_pages(config, backing)?;
    log.map(BASE - 16 * PAGE_SIZE, 16)?;
    log.map(BASE + 2 * MIB2, 16)?;
    let all = (BASE - 16 * PAGE_SIZE, 2 * MIB2 + 32 * PAGE_SIZE);
    log.start(&[all])?;
    let mut random = Rng::with_seed(8);
    for round in 0..4 {
        let mut expected = Pages::new();
        for small in [BASE - 16 * PAGE_SIZE, BASE + 2 * MIB2] {
            expected.extend(log.write_some((small, 16 * PAGE_SIZE), 3, &mut random)?);
        }
        let written = log.write_some(large, 1, &mut random)?;
        expected.extend(leaves(&written, MIB2));
        expect_eq!(log.report(all)? == expected, true, "round {round}: pages");
    }
    Ok(())
}

/// What START chooses, and that reports of any size work whatever it was.
fn larger_page_sizes(config: &Config, backing: Backing) -> Result<()> {
    let (_reserved, mut log, range) = two_large_pages(config, backing)?;
    for wanted in [MIB2, 16 * PAGE_SIZE] {
        let size = log
            .device
            .start_dma_log(wanted, &[range])
            .context("START")?;
        expect_eq!(size, wanted, "page size");
        log.write(BASE + MIB2 + PAGE_SIZE)?;
        for (asked, expected) in [(MIB2, 1), (PAGE_SIZE, 0)] {
            let found = log
                .device
                .read_dma_log(range.0, range.1, asked)
                .context("REPORT")?;
            expect_eq!(found.pages().len(), expected, "in pages of {asked:#x}");
        }
        log.device.stop_dma_log().context("STOP")?;
    }
    Ok(())
}
