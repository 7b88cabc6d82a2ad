// SPDX-License-Identifier: GPL-2.0
//! The migration itself: passes over memory until little is left or it does not
//! get less, then a stop, the rest, and the device's state.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use vfio_bindings::bindings::vfio;
use vfio_ioctls::VfioDevice;
use vvp_harness::expect_eq;

use super::client::{BASE, PAGES, Vmm, Writer};
use super::state::{PRE_COPY, RESUMING, RUNNING, STOP, STOP_COPY};

/// Passes with the device running, at most.
const PASSES: usize = 6;
/// So few pages that the rest can be sent with the device stopped.
const FEW: usize = 4;
const PAGE_SIZE: u64 = vvp_harness::vfio::PAGE as u64;

/// What happened.
pub struct Done {
    /// Pages reported dirty, by pass; the last one with the device stopped.
    pub passes: Vec<BTreeSet<u64>>,
    /// Pages that were not as sent when the device was stopped.
    pub left_at_stop: Vec<u64>,
    pub writes: u64,
    pub state_bytes: u64,
    pub last_state_bytes: u64,
}

impl Done {
    pub fn reported(&self) -> BTreeSet<u64> {
        self.passes.iter().flatten().copied().collect()
    }
}

/// Migrates. Both devices are RUNNING before, and afterwards the target's is.
pub fn migrate(source: &Vmm, target: &Vmm) -> Result<Done> {
    let flags = source
        .device
        .query_migration_support()?
        .context("no migration")?;
    ensure!(
        flags & u64::from(vfio::VFIO_MIGRATION_PRE_COPY) != 0,
        "no pre-copy: flags {flags:#x}"
    );
    source.start_tracking().context("starting to track")?;
    target.device.set_migration_state(RESUMING)?;
    source.device.set_migration_state(PRE_COPY)?;

    let (stop, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut done = thread::scope(|scope| -> Result<Done> {
        let device = source.writer();
        let (stop, writes) = (&stop, &writes);
        let writer = scope.spawn(move || keep_writing(&device, stop, writes));
        let running = run(source, target);
        stop.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| anyhow!("the writer died"))??;
        running
    })?;
    // However the threads went: something is left for the last pass.
    for page in [2, 30, 31] {
        source.writer().write(BASE + page * PAGE_SIZE)?;
    }
    done.writes = writes.load(Ordering::Relaxed);

    source.device.set_migration_state(STOP_COPY)?;
    done.left_at_stop = source.differences(target);
    let dirty = source.dirty()?;
    for page in &dirty {
        source.send(*page, target)?;
    }
    done.passes.push(dirty);
    let state = source.device.read_migration_data_to_end()?;
    done.last_state_bytes = state.len() as u64;
    done.state_bytes += state.len() as u64;
    target.device.write_migration_data(&state)?;
    source.stop_tracking().context("stopping to track")?;
    source.device.set_migration_state(STOP)?;
    target.device.set_migration_state(RUNNING)?;
    expect_eq!(
        target.device.get_migration_state()?,
        RUNNING,
        "state of the target"
    );
    Ok(done)
}

/// The device writes, as fast as it can, more in some places than in others.
fn keep_writing(device: &Writer<'_>, stop: &AtomicBool, writes: &AtomicU64) -> Result<()> {
    let mut page = 1;
    while !stop.load(Ordering::Relaxed) || writes.load(Ordering::Relaxed) < 64 {
        page = (page * 5 + 197) % PAGES;
        let place = if page % 3 == 0 { page } else { page % 16 };
        device.write(BASE + place * PAGE_SIZE)?;
        writes.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The passes with the device running.
fn run(source: &Vmm, target: &Vmm) -> Result<Done> {
    let mut done = Done {
        passes: Vec::new(),
        left_at_stop: Vec::new(),
        writes: 0,
        state_bytes: 0,
        last_state_bytes: 0,
    };
    for page in 0..PAGES {
        source.send(BASE + page * PAGE_SIZE, target)?;
    }
    for _ in 0..PASSES {
        done.state_bytes += forward(&source.device, &target.device)?;
        let dirty = source.dirty()?;
        for page in &dirty {
            source.send(*page, target)?;
        }
        let few = dirty.len() <= FEW;
        done.passes.push(dirty);
        if few {
            break;
        }
    }
    Ok(done)
}

/// Takes what the running device's state has new to the target.
fn forward(source: &VfioDevice, target: &VfioDevice) -> Result<u64> {
    let mut sum = 0;
    loop {
        let info = source.mig_get_precopy_info()?;
        let length = info.initial_bytes + info.dirty_bytes;
        if length == 0 {
            return Ok(sum);
        }
        let mut buffer = vec![0; usize::try_from(length)?];
        let count = source.read_migration_data(&mut buffer)?;
        target.write_migration_data(&buffer[..count])?;
        sum += count as u64;
    }
}
