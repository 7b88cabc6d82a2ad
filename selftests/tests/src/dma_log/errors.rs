// SPDX-License-Identifier: GPL-2.0
//! Requests that are refused, with what, and that nothing comes of them.

use anyhow::{Context, Result};
use nix::errno::Errno;
use vvp_harness::vfio::Range;
use vvp_harness::{expect, expect_eq};

use super::Test;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE};
use crate::config::Config;

pub const TESTS: [(&str, Test); 5] = [
    ("out_of_turn", out_of_turn),
    ("ranges", ranges),
    ("page_sizes", page_sizes),
    ("reports", reports),
    ("closing_ends_it", closing),
];

const RANGE: Range = (IOVA, 16 * PAGE_SIZE);

fn out_of_turn(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    log.map(IOVA, 16)?;
    expect!(log.device.has_dma_log()?, "no DMA logging");
    let report = |log: &Logged| {
        log.device
            .read_dma_log(RANGE.0, RANGE.1, PAGE_SIZE)
            .map(drop)
    };
    for round in 0..2 {
        expect_eq!(
            log.device.stop_dma_log(),
            Err(Errno::EINVAL),
            "{round}: STOP"
        );
        expect_eq!(report(&log), Err(Errno::EINVAL), "{round}: REPORT");
        log.start(&[RANGE])?;
        expect_eq!(
            log.device.start_dma_log(PAGE_SIZE, &[RANGE]),
            Err(Errno::EINVAL),
            "{round}: START again"
        );
        // The first log goes on.
        expect_eq!(report(&log), Ok(()), "{round}: REPORT of a log");
        expect_eq!(log.device.stop_dma_log(), Ok(()), "{round}: STOP of a log");
    }
    Ok(())
}

fn ranges(config: &Config, backing: Backing) -> Result<()> {
    let log = Logged::open(config, backing)?;
    let bad: [(&str, &[Range]); 6] = [
        ("none", &[]),
        ("an empty one", &[(IOVA, 0)]),
        ("an empty one at zero", &[(0, 0)]),
        (
            "overlapping ones",
            &[RANGE, (IOVA + 15 * PAGE_SIZE, PAGE_SIZE)],
        ),
        ("half a page", &[(IOVA + 2048, PAGE_SIZE)]),
        (
            "one that wraps",
            &[(u64::MAX - 2 * PAGE_SIZE + 1, 4 * PAGE_SIZE)],
        ),
    ];
    for (what, list) in bad {
        let found = log.device.start_dma_log(PAGE_SIZE, list);
        let expected = if what.contains("wraps") {
            Errno::EOVERFLOW
        } else {
            Errno::EINVAL
        };
        expect_eq!(found, Err(expected), "{what}");
        expect_eq!(
            log.device.stop_dma_log(),
            Err(Errno::EINVAL),
            "STOP after {what}"
        );
    }
    // VMMs name the hull of what they may map, which the device need not reach.
    log.start(&[RANGE, (1 << 60, PAGE_SIZE), (1 << 63, 1 << 62)])?;
    let found = log.report(RANGE)?.len() as u64;
    expect_eq!(found, RANGE.1 / PAGE_SIZE, "pages of the range in reach");
    // Dirty bits know that nothing was written there; without them, nobody does.
    let found = log.report((1 << 60, PAGE_SIZE))?.len();
    let expected = usize::from(backing != Backing::Tracked);
    expect_eq!(found, expected, "pages out of reach");
    log.device.stop_dma_log().context("STOP")?;
    // As many as the uAPI guarantees, in the worst order.
    let many: Vec<Range> = (0..250)
        .rev()
        .map(|index| (IOVA + 2 * index * PAGE_SIZE, PAGE_SIZE))
        .collect();
    log.start(&many)?;
    let found = log.report((IOVA, 500 * PAGE_SIZE))?;
    expect!(
        found.iter().all(|page| (page - IOVA) / PAGE_SIZE % 2 == 0),
        "a page between the ranges"
    );
    // None of them is mapped, so all may have been written.
    expect_eq!(found.len(), 250, "pages in many ranges");
    Ok(())
}

fn page_sizes(config: &Config, backing: Backing) -> Result<()> {
    let log = Logged::open(config, backing)?;
    // Not larger than wanted if possible, and never an odd one.
    for (wanted, chosen) in [(512, PAGE_SIZE), (PAGE_SIZE, PAGE_SIZE), (1 << 21, 1 << 21)] {
        let found = log.device.start_dma_log(wanted, &[(1 << 32, 1 << 21)]);
        expect_eq!(found, Ok(chosen), "page size for {wanted:#x}");
        log.device.stop_dma_log().context("STOP")?;
    }
    let largest = log
        .device
        .start_dma_log(1 << 62, &[(0, 0)])
        .expect_err("an empty range");
    expect_eq!(largest, Errno::EINVAL, "an empty range of enormous pages");
    for wanted in [0, 3 * PAGE_SIZE, PAGE_SIZE + 1] {
        expect_eq!(
            log.device.start_dma_log(wanted, &[(0, 3 << 30)]),
            Err(Errno::EINVAL),
            "page size {wanted:#x}"
        );
    }
    Ok(())
}

fn reports(config: &Config, backing: Backing) -> Result<()> {
    let log = Logged::open(config, backing)?;
    log.start(&[RANGE])?;
    for (iova, length, page_size, expected) in [
        (IOVA, 0, PAGE_SIZE, Errno::EINVAL),
        (IOVA, PAGE_SIZE, 2048, Errno::EINVAL),
        (IOVA, PAGE_SIZE, 3 * PAGE_SIZE, Errno::EINVAL),
    ] {
        expect_eq!(
            log.device.read_dma_log(iova, length, page_size).map(drop),
            Err(expected),
            "REPORT of {length:#x} in pages of {page_size:#x}"
        );
    }
    // Where nothing is logged, nothing is reported.
    expect_eq!(
        log.report((IOVA + (1 << 20), 1 << 20))?.len(),
        0,
        "pages outside of the ranges"
    );
    Ok(())
}

fn closing(config: &Config, backing: Backing) -> Result<()> {
    let log = Logged::open(config, backing)?;
    log.start(&[RANGE])?;
    drop(log);
    let log = Logged::open(config, backing)?;
    expect_eq!(
        log.device.stop_dma_log(),
        Err(Errno::EINVAL),
        "STOP of a former user's log"
    );
    log.start(&[RANGE])
}
