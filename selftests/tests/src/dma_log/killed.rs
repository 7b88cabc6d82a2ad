// SPDX-License-Identifier: GPL-2.0
//! A report that takes long ends when its process is killed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use vvp_harness::vfio::{Mapping, PAGE};
use vvp_harness::{expect, expect_eq, wait};

use super::Test;
use super::rig::{Backing, Logged};
use crate::config::Config;

pub const TESTS: &[(&str, Test)] = &[("killed", killed)];

/// What is logged and asked for: so much that a report takes many seconds, in pages
/// so large that it takes a small bitmap.
const LENGTH: u64 = 1 << 62;
const LARGE_PAGE: u64 = 1 << 40;

fn killed(config: &Config, backing: Backing) -> Result<()> {
    let log = Logged::open(config, backing)?;
    let size = log
        .device
        .start_dma_log(LARGE_PAGE, &[(0, LENGTH)])
        .context("START")?;
    expect_eq!(size, LARGE_PAGE, "page size");
    let bytes = (LENGTH / LARGE_PAGE / 8) as usize;
    let bitmap = Mapping::anonymous(bytes.next_multiple_of(PAGE))?;
    // SAFETY: the child makes one system call and ends.
    let child = match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            let _ = log.device.report_into(&bitmap, 0, LENGTH, LARGE_PAGE);
            // SAFETY: ends this process, and does nothing else.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => child,
    };
    let begun = wait::until("the report begins", Duration::from_secs(30), || {
        Ok((bitmap.read::<u8>(0) != 0).then_some(()))
    });
    kill(child, Signal::SIGKILL).context("kill")?;
    let status = waitpid(child, None).context("waitpid")?;
    begun?;
    if status != WaitStatus::Signaled(child, Signal::SIGKILL, false) {
        bail!("the process was not killed in its report: {status:?}");
    }
    // What it was told to write last.
    expect!(
        bitmap.read::<u8>(bytes - 1) == 0,
        "the report went on to its end"
    );
    log.device.stop_dma_log().context("STOP")
}
