// SPDX-License-Identifier: GPL-2.0
//! The page table is replaced or detached while logging.

use anyhow::{Context, Result};
use nix::errno::Errno;
use vvp_harness::expect_eq;
use vvp_harness::vfio::Range;

use super::Test;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, Pages};
use crate::config::Config;

pub const TESTS: &[(&str, Test)] = &[
    ("replaced", replaced),
    ("replaced_by_itself", replaced_by_itself),
    ("detached", detached),
    ("started_without_any", started_without_any),
    ("no_pasids", no_pasids),
];

const NONE: Pages = Pages::new();

/// Nothing is made up for what the dirty bits do not tell.
fn expect_lost(log: &Logged, range: Range, when: &str) -> Result<()> {
    let answer = log.device.read_dma_log(range.0, range.1, PAGE_SIZE);
    expect_eq!(answer.map(drop), Err(Errno::EIO), "{when}");
    Ok(())
}

/// What was written around the change is not known, until the log is started
/// again on the new page table.
fn replaced(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.start(&[range])?;
    let written = Pages::from([IOVA + 2 * PAGE_SIZE]);
    log.write_all(&written)?;
    let new = log.new_page_table()?;
    log.device.attach(new.id()).context("replacing")?;
    for _ in 0..2 {
        expect_lost(&log, range, "after the change")?;
    }
    // Whoever wants the bits of the old page table finds them.
    expect_eq!(log.ask_iommufd(range)?, written, "in the old page table");
    // A change back is one more change.
    let old = log.tracking()?.id();
    log.device.attach(old).context("replacing back")?;
    expect_lost(&log, range, "after a change back")?;
    log.device.stop_dma_log().context("STOP")?;
    log.start(&[range])?;
    expect_eq!(log.report(range)?, NONE, "of a new log");
    log.write_all(&written)?;
    expect_eq!(log.report(range)?, written, "written since");
    Ok(())
}

fn replaced_by_itself(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.start(&[range])?;
    let written = Pages::from([IOVA + 2 * PAGE_SIZE]);
    log.write_all(&written)?;
    let same = log.tracking()?.id();
    log.device.attach(same).context("attaching again")?;
    expect_eq!(log.report(range)?, written, "which changes nothing");
    Ok(())
}

fn detached(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.start(&[range])?;
    log.write(IOVA)?;
    log.device.detach().context("detaching")?;
    expect_lost(&log, range, "detached")?;
    let same = log.tracking()?.id();
    log.device.attach(same).context("attaching again")?;
    expect_lost(&log, range, "attached again")?;
    log.device.stop_dma_log().context("STOP")
}

fn started_without_any(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.device.detach().context("detaching")?;
    expect_eq!(
        log.device.start_dma_log(PAGE_SIZE, &[range]),
        Err(Errno::EOPNOTSUPP),
        "START without a page table"
    );
    let same = log.tracking()?.id();
    log.device.attach(same).context("attaching")?;
    log.start(&[range])?;
    log.write(IOVA)?;
    expect_eq!(log.report(range)?, [IOVA].into(), "of the log");
    Ok(())
}

/// DMA with a PASID goes through a page table of its own, of which a log knows
/// nothing; so there is none.
fn no_pasids(config: &Config, backing: Backing) -> Result<()> {
    let log = Logged::open(config, backing)?;
    expect_eq!(
        log.device.attach_pasid(log.tracking()?.id(), 1),
        Err(Errno::EOPNOTSUPP),
        "attaching a page table for a PASID"
    );
    Ok(())
}
