// SPDX-License-Identifier: GPL-2.0
//! With the IOMMU's dirty bits: no page missing, and none too many.

use anyhow::{Context, Result};
use fastrand::Rng;
use vvp_harness::vfio::{DmaBuffer, PAGE, State};
use vvp_harness::{expect, expect_eq};

use super::Test;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, Pages, pages};
use crate::config::Config;
use crate::rig;

pub const TESTS: &[(&str, Test)] = &[
    ("random_traffic", random_traffic),
    ("random_windows", random_windows),
    ("only_the_ranges", only_the_ranges),
    ("coarser_reports", coarser_reports),
    ("bits_are_added", bits_are_added),
    ("unmapped_while_logging", unmapped),
    ("address_used_again", used_again),
    ("mapped_while_logging", mapped),
    ("migration_and_reset_change_nothing", states),
    ("stopped_and_started_again", restarted),
    ("nothing_without_dirty_bits", negative_control),
];

const NONE: Pages = Pages::new();

fn random_traffic(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 512)?;
    log.start(&[range])?;
    expect_eq!(log.report(range)?, NONE, "before any write");
    let mut random = Rng::with_seed(1);
    for round in 0..6 {
        let written = log.write_some(range, 8 << round, &mut random)?;
        expect_eq!(log.report(range)?, written, "round {round}");
        expect_eq!(log.report(range)?, NONE, "round {round}, read again");
    }
    Ok(())
}

/// However the address space is cut into reports, each write is in exactly one.
fn random_windows(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 300)?;
    log.start(&[range])?;
    let mut random = Rng::with_seed(2);
    for round in 0..4 {
        let written = log.write_some(range, 60, &mut random)?;
        let mut found = Vec::new();
        let mut at = range.0;
        while at < range.0 + range.1 {
            let length = (1 + random.u64(..40)) * PAGE_SIZE;
            let length = length.min(range.0 + range.1 - at);
            found.extend(log.report((at, length))?);
            at += length;
        }
        expect_eq!(
            found,
            written.into_iter().collect::<Vec<_>>(),
            "round {round}"
        );
    }
    Ok(())
}

/// Ranges far apart, side by side, and in any order; what lies between is not logged.
fn only_the_ranges(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let all = log.map(IOVA, 64)?;
    let part = |first: u64, count: u64| (IOVA + first * PAGE_SIZE, count * PAGE_SIZE);
    log.start(&[part(40, 8), part(8, 4), part(12, 4)])?;
    log.write_all(&pages(all))?;
    let mut logged = pages(part(8, 8));
    logged.extend(pages(part(40, 8)));
    expect_eq!(log.report(all)?, logged, "of all that was written");
    // Bits that are not the log's were left for whoever wants them.
    let mut others = pages(all);
    others.retain(|page| !logged.contains(page));
    expect_eq!(log.ask_iommufd(all)?, others, "left for iommufd");
    Ok(())
}

/// One bit for many pages, asked for by larger page sizes and by odd windows.
fn coarser_reports(config: &Config, backing: Backing) -> Result<()> {
    const LARGE: u64 = 16 * PAGE_SIZE;
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 256)?;
    log.start(&[range])?;
    let written = log.write_some(range, 12, &mut Rng::with_seed(3))?;
    let bitmap = log
        .device
        .read_dma_log(range.0, range.1, LARGE)
        .context("a report in larger pages")?;
    let expected: Pages = written.iter().map(|page| page & !(LARGE - 1)).collect();
    expect_eq!(
        bitmap.pages().into_iter().collect::<Pages>(),
        expected,
        "in larger pages"
    );
    expect_eq!(log.report(range)?, NONE, "read again");
    // A window that begins and ends within a page still gets the page.
    log.write(IOVA + 5 * PAGE_SIZE)?;
    let bitmap = log
        .device
        .read_dma_log(IOVA + 5 * PAGE_SIZE + 512, 1024, PAGE_SIZE)
        .context("a report of part of a page")?;
    expect_eq!(bitmap.pages().len(), 1, "pages of part of a page");
    Ok(())
}

/// A report sets bits and clears none (uAPI): the union is the caller's.
fn bits_are_added(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.start(&[range])?;
    let mut all = Pages::new();
    let mut bitmap = log
        .device
        .read_dma_log(range.0, range.1, PAGE_SIZE)
        .context("an empty report")?;
    for page in [3, 17, 18] {
        let page = IOVA + page * PAGE_SIZE;
        log.write(page)?;
        all.insert(page);
        log.device
            .add_dma_log(&mut bitmap)
            .context("one more report")?;
        expect_eq!(
            bitmap.pages().into_iter().collect::<Pages>(),
            all,
            "after page {page:#x}"
        );
    }
    Ok(())
}

/// An address that is not mapped may have been when it was written: QEMU asks for
/// it then. What is mapped around it stays exact.
fn unmapped(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 128)?;
    let hole = (IOVA + 32 * PAGE_SIZE, 32 * PAGE_SIZE);
    log.start(&[range])?;
    let mut random = Rng::with_seed(4);
    let written = log.write_some(range, 64, &mut random)?;
    let in_hole: Pages = written.intersection(&pages(hole)).copied().collect();
    expect!(!in_hole.is_empty(), "nothing was written where it matters");
    expect_eq!(log.report(hole)?, in_hole, "before unmapping");
    log.unmap(hole)?;
    expect_eq!(log.report(hole)?, pages(hole), "of the hole");
    let mut rest: Pages = written.difference(&in_hole).copied().collect();
    rest.extend(pages(hole));
    expect_eq!(log.report(range)?, rest, "around the hole");
    log.map(hole.0, hole.1 / PAGE_SIZE)?;
    expect_eq!(log.report(range)?, NONE, "with new memory in the hole");
    Ok(())
}

/// As under a virtual IOMMU: an address goes, and comes back for other memory.
fn used_again(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.start(&[range])?;
    let mut random = Rng::with_seed(5);
    for round in 0..4 {
        let written = log.write_some(range, 20, &mut random)?;
        let page = IOVA + random.u64(..64) * PAGE_SIZE;
        log.write(page)?;
        // The page is collected before it goes, the others are not.
        expect_eq!(
            log.report((page, PAGE_SIZE))?,
            Pages::from([page]),
            "round {round}"
        );
        log.unmap((page, PAGE_SIZE))?;
        log.map(page, 1)?;
        expect_eq!(
            log.report((page, PAGE_SIZE))?,
            NONE,
            "round {round}: new memory at an address that was dirty"
        );
        log.write(page)?;
        let mut expected = written;
        expected.insert(page);
        expect_eq!(log.report(range)?, expected, "round {round}: all");
        log.forget_witness()?;
    }
    Ok(())
}

fn mapped(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = (IOVA, 256 * PAGE_SIZE);
    log.start(&[range])?;
    let mut expected = pages(range);
    expect_eq!(log.report(range)?, expected, "of nothing");
    for first in [240, 0, 100] {
        let new = log.map(IOVA + first * PAGE_SIZE, 16)?;
        let page = IOVA + (first + 7) * PAGE_SIZE;
        log.write(page)?;
        expected.retain(|page| !pages(new).contains(page));
        expected.insert(page);
    }
    expect_eq!(log.report(range)?, expected, "of memory mapped since");
    Ok(())
}

/// A log is about memory: neither the device's state nor its reset touches it.
fn states(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 32)?;
    log.start(&[range])?;
    let first = Pages::from([IOVA, IOVA + 9 * PAGE_SIZE]);
    log.write_all(&first)?;
    let stream = rig::save(&log.device)?;
    expect!(!stream.is_empty(), "an empty stream");
    expect_eq!(log.report(range)?, first, "in STOP_COPY");
    log.device.go(State::Running)?;
    let second = Pages::from([IOVA + 3 * PAGE_SIZE]);
    log.write_all(&second)?;
    rig::recover(&log.device)?;
    expect_eq!(log.report(range)?, second, "after a reset");
    log.device.enable_bus_master()?;
    log.write_all(&first)?;
    expect_eq!(log.report(range)?, first, "written after a reset");
    log.device.stop_dma_log().context("stopping")?;
    rig::prove_migration(&log.device)
}

/// STOP drops nothing: what was not read is in the next log.
fn restarted(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 32)?;
    log.start(&[range])?;
    let written = Pages::from([IOVA + PAGE_SIZE, IOVA + 30 * PAGE_SIZE]);
    log.write_all(&written)?;
    log.device.stop_dma_log().context("stopping")?;
    log.start(&[range])?;
    expect_eq!(log.report(range)?, written, "after a new start");
    expect_eq!(log.report(range)?, NONE, "read again");
    log.device.stop_dma_log().context("stopping")?;
    log.start(&[range])?;
    expect_eq!(
        log.report(range)?,
        NONE,
        "nothing written, nothing left over"
    );
    Ok(())
}

/// An IOMMU that sets no dirty bits must show; else these tests prove nothing.
fn negative_control(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    log.give(DmaBuffer::new(IOVA, PAGE)?)?;
    let range = (IOVA, PAGE_SIZE);
    log.start(&[range])?;
    log.dirty_bits(false)?;
    let written = log.write(IOVA);
    let found = log.report(range);
    log.dirty_bits(true)?;
    written?;
    expect_eq!(found?, NONE, "without dirty bits");
    Ok(())
}
