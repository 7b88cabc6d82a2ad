// SPDX-License-Identifier: GPL-2.0
//! Without dirty bits: everything is dirty, whenever somebody asks.

use std::sync::Arc;

use anyhow::{Context, Result};
use vvp_harness::expect_eq;
use vvp_harness::vfio::{DmaBuffer, PAGE, State};

use super::Test;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, Pages, pages};
use crate::config::Config;
use crate::rig;

pub const TESTS: [(&str, Test); 3] = [
    ("everything_each_time", everything),
    ("only_the_ranges", only_the_ranges),
    ("in_pre_copy_and_stopped", states),
];

/// What only a container can do.
pub const CONTAINER_TESTS: [(&str, Test); 1] = [("unmapped_with_bitmap", unmapped_with_bitmap)];

fn everything(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 200)?;
    log.start(&[range])?;
    for round in 0..3 {
        expect_eq!(log.report(range)?, pages(range), "round {round}");
    }
    log.write(IOVA)?;
    let part = (IOVA + 7 * PAGE_SIZE, 99 * PAGE_SIZE);
    expect_eq!(log.report(part)?, pages(part), "of a part");
    let found = log
        .device
        .read_dma_log(range.0, range.1, 8 * PAGE_SIZE)
        .context("in larger pages")?;
    expect_eq!(found.pages().len(), 25, "larger pages");
    // What is unmapped may have been written before.
    log.unmap(part)?;
    expect_eq!(log.report(range)?, pages(range), "with a hole");
    Ok(())
}

fn only_the_ranges(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let all = log.map(IOVA, 64)?;
    let part = |first: u64, count: u64| (IOVA + first * PAGE_SIZE, count * PAGE_SIZE);
    let ranges = [part(60, 2), part(0, 3), part(3, 5)];
    log.start(&ranges)?;
    let expected: Pages = ranges.into_iter().flat_map(pages).collect();
    expect_eq!(log.report(all)?, expected, "of all memory");
    expect_eq!(
        log.report(part(20, 20))?,
        Pages::new(),
        "of none of the ranges"
    );
    Ok(())
}

/// Dirty during pre-copy as well as after, so that a VMM can tell how long its
/// guest will be down.
fn states(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 16)?;
    log.start(&[range])?;
    let fd = log.device.begin(State::PreCopy)?;
    expect_eq!(log.report(range)?, pages(range), "in PRE_COPY");
    log.device.go(State::StopCopy)?;
    expect_eq!(log.report(range)?, pages(range), "in STOP_COPY");
    drop(fd);
    rig::recover(&log.device)?;
    expect_eq!(log.report(range)?, pages(range), "after a reset");
    Ok(())
}

/// A container tells of a mapping's pages when it is unmapped. It and the log say
/// the same, so it does not matter which a VMM asks.
fn unmapped_with_bitmap(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = (IOVA, 16 * PAGE_SIZE);
    log.give(DmaBuffer::new(range.0, 16 * PAGE)?)?;
    log.start(&[range])?;
    let space = Arc::clone(log.device.space());
    space.track(true).context("tracking by the container")?;
    log.write(IOVA + PAGE_SIZE)?;
    let found = space
        .unmap_with_bitmap(range.0, range.1)
        .context("unmapping")?;
    expect_eq!(
        found.pages().into_iter().collect::<Pages>(),
        pages(range),
        "told by the container"
    );
    expect_eq!(
        log.report(range)?,
        pages(range),
        "told by the log afterwards"
    );
    space.track(false).context("tracking no more")
}
