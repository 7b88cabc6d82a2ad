// SPDX-License-Identifier: GPL-2.0
//! Several who ask for the dirty bits of one page table: iommufd's ioctls, and a
//! second device. Each bit goes to exactly one who asks; none is dropped.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use fastrand::Rng;
use vvp_harness::vfio::{Access, DmaBuffer, PAGE, Space};
use vvp_harness::{expect, expect_eq};

use super::Test;
use super::rig::{Backing, IOVA, Logged, PAGE_SIZE, Pages};
use crate::config::Config;

pub const TESTS: &[(&str, Test)] = &[
    ("first_who_asks", first_who_asks),
    ("start_and_stop_drop_nothing", drop_nothing),
    ("iommufd_ends_tracking", iommufd_ends),
    ("two_devices", two_devices),
    ("unmapped_in_parallel", unmapped_in_parallel),
];

const NONE: Pages = Pages::new();

fn some(first: u64) -> Pages {
    [0, 3, 11]
        .map(|page| IOVA + (first + page) * PAGE_SIZE)
        .into()
}

fn first_who_asks(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.start(&[range])?;
    log.tracking()?
        .enable(true)
        .context("enabling by iommufd")?;
    let mut random = Rng::with_seed(9);
    for round in 0..8 {
        let written = log.write_some(range, 16, &mut random)?;
        let half = (range.0, range.1 / 2);
        // Each takes a part, in changing order, and the other takes the rest.
        let (first, second) = if round % 2 == 0 {
            (log.report(half)?, log.ask_iommufd(range)?)
        } else {
            (log.ask_iommufd(half)?, log.report(range)?)
        };
        expect!(
            first.is_disjoint(&second),
            "round {round}: a bit was given twice"
        );
        expect_eq!(&first | &second, written, "round {round}: both together");
    }
    Ok(())
}

/// iommufd was first: its bits are there for it before, during and after a log.
fn drop_nothing(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.tracking()?
        .enable(true)
        .context("enabling by iommufd")?;
    let before = some(0);
    log.write_all(&before)?;
    log.start(&[range])?;
    expect_eq!(log.ask_iommufd(range)?, before, "written before START");
    let during = some(20);
    log.write_all(&during)?;
    log.device.stop_dma_log().context("STOP")?;
    expect_eq!(log.ask_iommufd(range)?, during, "written before STOP");
    let after = some(40);
    log.write_all(&after)?;
    expect_eq!(log.ask_iommufd(range)?, after, "written after STOP");
    Ok(())
}

/// Userspace ends the tracking that the log relies on: what was logged is there,
/// and the next report has it track again.
fn iommufd_ends(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let range = log.map(IOVA, 64)?;
    log.start(&[range])?;
    let written = some(0);
    log.write_all(&written)?;
    log.tracking()?
        .enable(false)
        .context("disabling by iommufd")?;
    expect_eq!(log.report(range)?, written, "written before");
    let written = some(20);
    log.write_all(&written)?;
    expect_eq!(log.report(range)?, written, "written after the next report");
    Ok(())
}

/// Two logs of one page table: together they have everything, and the end of one
/// takes nothing from the other.
fn two_devices(config: &Config, _: Backing) -> Result<()> {
    let space = Arc::new(Space::new(Access::Cdev)?);
    let control = Rc::new(RefCell::new(config.control()?));
    let mut one = Logged::open_in(config, &config.vf()?, &space, &control, Some("iommu"))?;
    let mut two = Logged::open_in(config, &config.vf2()?, &space, &control, Some("iommu"))?;
    let tracking = one.new_page_table()?;
    for log in [&mut one, &mut two] {
        log.device.attach(tracking.id()).context("attaching")?;
    }
    let range = one.map(IOVA, 64)?;
    // Memory of the second device, at addresses of its own.
    let other = two.map(IOVA + range.1, 64)?;
    let all = (range.0, range.1 + other.1);
    one.start(&[all])?;
    two.start(&[all])?;
    let mut random = Rng::with_seed(10);
    for round in 0..4 {
        let mut written = one.write_some(range, 10, &mut random)?;
        written.extend(two.write_some(other, 10, &mut random)?);
        let (first, second) = if round % 2 == 0 {
            (one.report(all)?, two.report(all)?)
        } else {
            (two.report(range)?, one.report(all)?)
        };
        expect_eq!(&first | &second, written, "round {round}: both together");
    }
    two.device.stop_dma_log().context("STOP of the second")?;
    let mut written = one.write_some(range, 10, &mut random)?;
    written.extend(two.write_some(other, 10, &mut random)?);
    expect_eq!(one.report(all)?, written, "of the first, alone");
    drop((one, two));
    drop(tracking);
    Ok(())
}

/// Reports of memory that comes and goes, in threads of their own, end well; and
/// memory that stays loses no bit by it.
fn unmapped_in_parallel(config: &Config, backing: Backing) -> Result<()> {
    let mut log = Logged::open(config, backing)?;
    let steady = log.map(IOVA, 64)?;
    let coming = IOVA + steady.1;
    let all = (IOVA, 1 << 30);
    log.start(&[all])?;
    let space = Arc::clone(log.device.space());
    let mapper = thread::spawn(move || -> Result<()> {
        let buffer = DmaBuffer::new(coming, 64 * PAGE)?;
        for _ in 0..300 {
            space.map(&buffer)?;
            space
                .unmap(buffer.iova(), buffer.len() as u64)
                .context("unmapping")?;
        }
        Ok(())
    });
    let mut random = Rng::with_seed(11);
    let mut rounds = 0;
    while !mapper.is_finished() || rounds < 10 {
        let written = log.write_some(steady, 4, &mut random)?;
        let mut found = log.report(all)?;
        found.retain(|page| *page < coming);
        expect_eq!(found, written, "round {rounds}: memory that stays");
        rounds += 1;
    }
    mapper
        .join()
        .map_err(|_| anyhow::anyhow!("the mapper died"))??;
    expect_eq!(log.report(steady)?, NONE, "in the end");
    Ok(())
}
