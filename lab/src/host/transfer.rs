// SPDX-License-Identifier: GPL-2.0
//! A migration as a VMM is told of it, on either side.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use vvp_harness::wait;

use super::migration::Migration;
use super::patience::RESUMED;
use super::vmm::{RunState, Vmm};
use super::way::Transfer;

/// How long a migration may take.
const MIGRATION: Duration = Duration::from_secs(120);
/// How long a step of it may take for which no memory is sent.
const STEP: Duration = Duration::from_secs(60);

/// Has `source` send the guest. Returns when that was, by the clock of its reports.
pub fn begin(source: &mut dyn Vmm, way: &Transfer) -> Result<i64> {
    let start_us = now_us()?;
    source.send(way)?;
    Ok(start_us)
}

/// Waits for the end of a migration, good or bad.
pub fn wait_until_ended(source: &mut dyn Vmm) -> Result<Migration> {
    let deadline = Instant::now() + MIGRATION;
    loop {
        let migration = source.migration()?;
        match migration.status.as_str() {
            "completed" | "failed" | "cancelled" => return Ok(migration),
            _ if Instant::now() > deadline => {
                bail!("the migration did not end within {} s", MIGRATION.as_secs());
            }
            _ => sleep(Duration::from_millis(50)),
        }
    }
}

/// Waits until memory is being sent while the device is in pre-copy.
pub fn wait_until_in_pre_copy(source: &mut dyn Vmm, start_us: i64) -> Result<()> {
    wait_for_moment(source, start_us, "device pre-copy")?;
    wait::until("memory is being sent", STEP, || {
        let migration = source.migration()?;
        let sent = migration.ram_bytes.unwrap_or(0);
        Ok((migration.status == "active" && sent > 0).then_some(()))
    })
}

/// Waits until the guest goes on in `target`.
pub fn wait_until_running(target: &mut dyn Vmm) -> Result<()> {
    wait::until("the guest runs on the target", RESUMED, || {
        target.check()?;
        Ok((target.run_state()? == RunState::Running).then_some(()))
    })
}

/// Waits until a VMM has reported, since `start_us`, that it is so.
pub fn wait_for_moment(vm: &mut dyn Vmm, start_us: i64, what: &str) -> Result<()> {
    wait::until(what, STEP, || {
        vm.check()?;
        let moments = vm.moments()?;
        let found = moments
            .iter()
            .any(|moment| moment.time_us >= start_us && moment.what == what);
        Ok(found.then_some(()))
    })
}

/// The clock that VMMs stamp their reports with, in microseconds.
pub fn now_us() -> Result<i64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("clock")?;
    i64::try_from(now.as_micros()).context("clock")
}
