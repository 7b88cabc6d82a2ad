// SPDX-License-Identifier: GPL-2.0
//! Processor time.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

/// What the calling thread has used so far, in the kernel and outside, to the nanosecond.
/// Waiting for the device is not in it. Where an emulator's clock counts instructions, so
/// does this.
pub fn thread_time() -> Result<Duration> {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("processor time")?;
    Ok(now.into())
}

/// Microseconds, as results have them.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
