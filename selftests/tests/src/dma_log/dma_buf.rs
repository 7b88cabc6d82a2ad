// SPDX-License-Identifier: GPL-2.0
//! Device memory that a device may write to: a reset of its owner takes it away
//! without the locks under which dirty bits are read, so it is dirty always.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};
use fastrand::Rng;
use nix::errno::Errno;
use vvp_harness::vfio::{BAR0, Range};
use vvp_harness::{expect_eq, skip};

use super::Test;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, Pages, pages};
use crate::config::Config;

pub const TESTS: &[(&str, Test)] = &[("dma_buf_and_resets", resets)];

const LENGTH: u64 = PAGE_SIZE;
const ROUNDS: usize = 60;

fn resets(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    let buffer = match log.device.dma_buf(BAR0, 0, LENGTH) {
        Err(Errno::ENOTTY | Errno::EOPNOTSUPP) => skip!("the kernel exports no dma-bufs"),
        answer => answer.context("VFIO_DEVICE_FEATURE_DMA_BUF")?,
    };
    let exported: Range = (IOVA + 256 * PAGE_SIZE, LENGTH);
    log.device
        .space()
        .map_dma_buf(&buffer, exported.1, exported.0)
        .context("IOMMU_IOAS_MAP_FILE")?;
    let all: Range = (IOVA, exported.0 + exported.1 - IOVA);
    log.start(&[range, exported])?;
    let mut random = Rng::with_seed(12);
    let written = log.write_some(range, 10, &mut random)?;
    expect_eq!(
        log.report(all)?,
        &written | &pages(exported),
        "with a dma-buf"
    );
    let done = AtomicBool::new(false);
    let (device, done) = (&log.device, &done);
    thread::scope(|scope| -> Result<()> {
        let resetter = scope.spawn(move || -> Result<usize> {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                device.reset().context("reset")?;
                count += 1;
            }
            Ok(count)
        });
        let expected: Pages = pages(exported);
        let reports = (0..ROUNDS).try_for_each(|round| {
            let bitmap = device
                .read_dma_log(all.0, all.1, PAGE_SIZE)
                .context("REPORT")?;
            let found: Pages = bitmap.pages().into_iter().collect();
            expect_eq!(found, expected, "round {round}, between resets");
            Ok(())
        });
        done.store(true, Ordering::Relaxed);
        let count = resetter.join().map_err(|_| anyhow!("the thread died"))??;
        reports?;
        expect_eq!(count > 0, true, "resets were made");
        Ok(())
    })
}
