// SPDX-License-Identifier: GPL-2.0
//! The page table is replaced or detached while logging.

use anyhow::{Context, Result};
use harness::{expect, expect_eq};

use super::Test;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, Pages, pages};
use crate::config::Config;

pub const TESTS: &[(&str, Test)] = &[
    ("replaced", replaced),
    ("replaced_by_itself", replaced_by_itself),
    ("detached", detached),
    ("started_without_any", started_without_any),
];

const NONE: Pages = Pages::new();

/// What was written around the change is not known, so it is everything; until
/// the log is started again on the new page table.
fn replaced(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.start(&[range])?;
    let written = Pages::from([IOVA + 2 * PAGE_SIZE]);
    log.write_all(&written)?;
    let new = log.new_page_table()?;
    log.device.attach(new.id()).context("replacing")?;
    for round in 0..2 {
        expect_eq!(
            log.report(range)?,
            pages(range),
            "report {round} after the change"
        );
    }
    // Whoever wants the bits of the old page table finds them.
    expect_eq!(log.ask_iommufd(range)?, written, "in the old page table");
    // A change back is one more change.
    let old = log.tracking()?.id();
    log.device.attach(old).context("replacing back")?;
    expect_eq!(log.report(range)?, pages(range), "after a change back");
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
    expect_eq!(log.report(range)?, pages(range), "detached");
    let same = log.tracking()?.id();
    log.device.attach(same).context("attaching again")?;
    expect_eq!(log.report(range)?, pages(range), "attached again");
    log.device.stop_dma_log().context("STOP")
}

fn started_without_any(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.device.detach().context("detaching")?;
    log.start(&[range])?;
    let same = log.tracking()?.id();
    log.device.attach(same).context("attaching")?;
    log.write(IOVA)?;
    // It has no dirty bits from the start, and so none later.
    let found = log.report(range)?;
    expect!(found.contains(&IOVA), "a page was lost");
    expect_eq!(found, pages(range), "everything");
    Ok(())
}
