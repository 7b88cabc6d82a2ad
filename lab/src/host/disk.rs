// SPDX-License-Identifier: GPL-2.0
//! The load on a block function: a file system, made and afterwards examined by
//! way of the physical function, which sees the same disk.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use vvp_harness::pci::Function;

use super::bench;
use super::guest::Guest;
use super::patience::{GUEST_UP, RESUMED, say};
use super::prepare::command;
use super::report::{HostView, Work};
use super::whereabouts;
use crate::control::Command;
use crate::files::{Files, Way};

/// A guest with a disk has one.
const FUNCTION: usize = 0;
/// Rounds of writing that show that the guest is at work.
const RUNNING: u64 = 20;
/// Rounds that the guest must do on the target.
pub const CONTINUED: u64 = 20;
/// How long the disk lets the guest wait for each request while it is migrated:
/// much longer than the guest takes from one request to the next, so that
/// one is in flight when it is stopped.
const SLOW_MS: u64 = 500;
/// How long comparing all files may take, or unmounting.
const CHECKED: Duration = Duration::from_secs(60);
/// Where the host mounts the file system.
const MOUNT_POINT: &str = "/tmp/l2-disk";

/// The disk, by way of the physical function.
pub struct Disk {
    path: String,
}

impl Disk {
    /// Makes a file system on the disk of `pf`, which must be the bench's: whatever was
    /// there is gone.
    pub fn prepare(pf: &Function) -> Result<Self> {
        whereabouts::ensure_bench(pf)?;
        let path = format!("/dev/{}", pf.wait_disk()?);
        command("mkfs.ext4", &["-q", "-F", &path])?;
        Ok(Self { path })
    }

    pub fn wait_until_running(&self, guest: &mut Guest) -> Result<()> {
        let deadline = Instant::now() + GUEST_UP;
        let mut answer = guest.ask_within(FUNCTION, Command::Status, GUEST_UP)?;
        while answer.disk.rounds < RUNNING {
            if let Some(error) = &answer.disk.error {
                anyhow::bail!("the guest cannot use its disk: {error}");
            }
            ensure!(
                Instant::now() < deadline,
                "the guest has written {} rounds only",
                answer.disk.rounds
            );
            sleep(Duration::from_millis(200));
            answer = guest.ask(FUNCTION, Command::Status)?;
        }
        Ok(())
    }

    pub fn mark(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        guest.ask(FUNCTION, Command::Mark)?;
        work.disk.before = Some(guest.ask(FUNCTION, Command::Status)?.disk);
        work.disk.drained_before = drained()?;
        slow(SLOW_MS)
    }

    pub fn wait_until_continued(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        slow(0)?;
        // How many rounds were done in between nobody knows: count from here.
        let arrived = guest.ask(FUNCTION, Command::Status)?.disk;
        let deadline = Instant::now() + RESUMED;
        work.disk.arrived = Some(arrived.clone());
        work.disk.drained = Some(drained()?.saturating_sub(work.disk.drained_before));
        loop {
            let now = guest.ask(FUNCTION, Command::Status)?.disk;
            let over = now.rounds >= arrived.rounds + CONTINUED || now.error.is_some();
            if over || Instant::now() > deadline {
                // Not before: what a guest that is lost meanwhile did is no result.
                work.disk.after = Some(now);
                return Ok(());
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// Has the guest compare everything and leave the disk, and looks at it.
    pub fn finish(&self, work: &mut Work, guest: &mut Guest) -> Result<()> {
        say("comparing all files in the guest");
        work.disk.end = Some(
            guest
                .ask_within(FUNCTION, Command::CheckDisk, CHECKED)?
                .disk,
        );
        guest.ask_within(FUNCTION, Command::Unmount, CHECKED)?;
        say("examining the file system by way of the physical function");
        work.disk.on_host = Some(self.examine()?);
        Ok(())
    }

    fn examine(&self) -> Result<HostView> {
        let check = command("e2fsck", &["-f", "-n", &self.path]);
        let problem = check.err().map(|error| format!("{error:#}"));
        fs::create_dir_all(MOUNT_POINT).context("mount point")?;
        let options = "ro,noload";
        command(
            "mount",
            &["-t", "ext4", "-o", options, &self.path, MOUNT_POINT],
        )?;
        let survey = Files::in_directory(Path::new(MOUNT_POINT)).survey(Way::Direct);
        command("umount", &[MOUNT_POINT])?;
        let survey = survey.context("reading the guest's files")?;
        Ok(HostView {
            problem,
            blocks: survey.rounds.len(),
            digest: survey.digest(),
            example: survey.rounds.iter().find_map(|round| round.clone().err()),
        })
    }
}

fn slow(delay_ms: u64) -> Result<()> {
    Ok(bench::control()?.slow_disk(delay_ms)?)
}

/// Requests that stopping a function has found in flight, whichever it was.
fn drained() -> Result<u64> {
    let state = bench::control()?.state()?;
    let functions = state.functions.iter();
    Ok(functions
        .map(|function| function.counters.drained_requests)
        .sum())
}
