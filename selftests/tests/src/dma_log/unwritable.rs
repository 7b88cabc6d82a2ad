// SPDX-License-Identifier: GPL-2.0
//! Reports that cannot be delivered: the caller learns of it, and what was to be
//! reported comes with the next report.

use anyhow::Result;
use nix::errno::Errno;
use vvp_harness::expect_eq;
use vvp_harness::vfio::{Range, Unwritable};

use super::Test;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, Pages, pages};
use crate::config::Config;

pub const TESTS: [(&str, Test); 1] = [("unwritable", unwritable)];

pub const TRACKED_TESTS: &[(&str, Test)] = &[("unwritable_end_of_a_long_one", long)];

const NONE: Pages = Pages::new();

/// Pages with a bit in one page of a bitmap.
const PER_BITMAP_PAGE: u64 = 4096 * 8;

fn unwritable(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 16)?;
    // One more beyond what the first page of the bitmap has bits for.
    let far = IOVA + PER_BITMAP_PAGE * PAGE_SIZE;
    log.map(far, 1)?;
    let all: Range = (IOVA, far + PAGE_SIZE - IOVA);
    log.start(&[range, (far, PAGE_SIZE)])?;
    let written: Pages = [IOVA, IOVA + 7 * PAGE_SIZE, far].into();
    let mut expected = pages(range);
    expected.insert(far);
    if backing == Backing::Tracked {
        expected = written.clone();
    }
    for place in Unwritable::ALL {
        log.write_all(&written)?;
        expect_eq!(
            log.device
                .report_dma_log_to(place, all.0, all.1, PAGE_SIZE)?,
            Err(Errno::EFAULT),
            "REPORT to a bitmap: {place}"
        );
        expect_eq!(log.report(all)?, expected, "after one to a bitmap: {place}");
    }
    if backing == Backing::Tracked {
        expect_eq!(log.report(all)?, NONE, "each bit once");
    }
    Ok(())
}

/// So long that the kernel pins it in several parts, the first of which can be
/// written.
fn long(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let near = log.map(IOVA, 2)?;
    // A pin is 512 pages of a bitmap at most.
    let far = IOVA + 600 * PER_BITMAP_PAGE * PAGE_SIZE;
    let distant = log.map(far, 2)?;
    log.start(&[near, distant])?;
    let written: Pages = [IOVA + PAGE_SIZE, far].into();
    log.write_all(&written)?;
    let all: Range = (IOVA, far + 2 * PAGE_SIZE - IOVA);
    expect_eq!(
        log.device.report_dma_log_to(
            Unwritable::ReadOnlyAfterFirstPage,
            all.0,
            all.1,
            PAGE_SIZE
        )?,
        Err(Errno::EFAULT),
        "REPORT"
    );
    expect_eq!(log.report(all)?, written, "the next one");
    expect_eq!(log.report(all)?, NONE, "each bit once");
    Ok(())
}
