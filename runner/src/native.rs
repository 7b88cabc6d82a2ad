// SPDX-License-Identifier: GPL-2.0
//! Programs that need no virtual machine: they run here, with a log and a limit.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::follow::Follow;
use crate::interrupt;
use crate::progress::Progress;
use supervise::{POLL, Supervised};

/// Runs `command`, which shows up as `name`, to its end, with all that it prints in
/// `log`. `None`: it was ended, because it took longer than `limit`.
pub fn run(
    name: &'static str,
    command: &mut Command,
    log: &Path,
    limit: Duration,
    progress: &mut Progress,
) -> Result<Option<ExitStatus>> {
    let output = File::create(log).with_context(|| format!("cannot create {log:?}"))?;
    let errors = output.try_clone()?;
    let mut child = Supervised::spawn(
        name,
        command.stdin(Stdio::null()).stdout(output).stderr(errors),
    )?;
    let mut follow = Follow::new(log);
    let deadline = Instant::now() + limit;
    loop {
        interrupt::check()?;
        let ended = child.ended()?;
        if let Some(last) = follow.lines()?.last() {
            progress.message(last);
        }
        progress.tick();
        if ended.is_some() || Instant::now() > deadline {
            return Ok(ended);
        }
        sleep(POLL);
    }
}
