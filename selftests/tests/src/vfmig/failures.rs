// SPDX-License-Identifier: GPL-2.0
//! What fails leaves nothing half done: the source runs, files are whole.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vvp_harness::control::{REFUSE, opcode};
use vvp_harness::debugfs::VfioMigration;
use vvp_harness::ktap::Suite;
use vvp_harness::pci::Function;
use vvp_harness::vfio::Access;
use vvp_harness::{expect, expect_eq, wait};

use super::program::{Run, command, directory, run, text};
use super::{LIMIT, state};
use crate::config::{Config, Driver};
use crate::rig;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let mut one = |name: &str, test: fn(&Config) -> Result<()>| {
        let own = Arc::clone(config);
        suite.add_slow("vfmig", "rs", name, LIMIT, move || test(&own));
    };
    one("function_in_use", in_use);
    one("corrupt_file", corrupt_file);
    one("interrupted", interrupted);
    if config.bench {
        one("target_refuses", target_refuses);
    }
}

fn pair(config: &Config) -> Result<(Function, Function)> {
    let (source, target) = (config.vf()?, config.vf2()?);
    config.bind(&source, Driver::Rs)?;
    config.bind(&target, Driver::Rs)?;
    Ok((source, target))
}

/// Who has it is named, and it stays with them.
fn in_use(config: &Config) -> Result<()> {
    let (source, target) = pair(config)?;
    let (own, other) = (source.address().to_string(), target.address().to_string());
    let directory = directory()?;
    let files = directory.path();
    let file = files.join("stream");
    for access in [Access::Cdev, Access::Group] {
        let device = rig::open(config, &source, Driver::Rs, access)?;
        for arguments in [
            &["save", &own, text(&file)?][..],
            &["migrate", &other, &own],
            &["unbind", &own],
            &["unbind", &own, "--force"],
            &["bind", &own, "--driver", "vfio-pci-of-somebody"],
        ] {
            let code = if arguments[0] == "bind" { 1 } else { 4 };
            let refused = run(arguments)?.expect(code)?;
            if code == 4 {
                refused.expect_error("is in use by vvp-selftests")?;
            }
        }
        run(&["check", &own])?.expect(0)?;
        expect_eq!(
            device.state()?.to_string(),
            "RUNNING",
            "its state by {access}"
        );
    }
    expect_eq!(fs::read_dir(files)?.count(), 0, "files");
    expect_eq!(
        source.driver().as_deref(),
        Some(config.driver_name(Driver::Rs)),
        "driver"
    );
    Ok(())
}

/// Refused by the driver, whose own words are passed on.
fn corrupt_file(config: &Config) -> Result<()> {
    let (source, target) = pair(config)?;
    let (from, to) = (source.address().to_string(), target.address().to_string());
    let directory = directory()?;
    let files = directory.path();
    let (good, bad) = (files.join("good"), files.join("bad"));
    let (good, bad) = (text(&good)?, text(&bad)?);
    run(&["save", &from, good])?.expect(0)?;
    let stream = fs::read(good)?;

    let mut corrupt = stream.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0x10;
    fs::write(bad, &corrupt)?;
    run(&["inspect", bad])?.expect(3)?.note();
    let refused = run(&["restore", &to, bad])?.expect(1)?;
    refused.expect_error("was reset and is RUNNING")?;

    fs::write(bad, &stream[..stream.len() - 5])?;
    run(&["inspect", bad])?.expect(3)?.note();
    let refused = run(&["restore", &to, bad])?.expect(1)?;
    refused.expect_error("is not accepted")?;
    expect!(
        refused.err.contains("ends inside a record"),
        "the driver's words: {}",
        refused.err
    );
    expect_eq!(state(&to)?, "RUNNING", "the target");
    run(&["restore", &to, good, "--verify"])?.expect(0)?;
    Ok(())
}

/// A signal during pre-copy.
fn interrupted(config: &Config) -> Result<()> {
    let (source, target) = pair(config)?;
    let (from, to) = (source.address().to_string(), target.address().to_string());
    let directory = directory()?;
    let files = directory.path();
    let record = files.join("timeline.json");
    let arguments = [
        "migrate",
        &from,
        &to,
        "--pause",
        "600000",
        "--record",
        text(&record)?,
    ];
    let child = command()?
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting vfmig")?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    wait::until("PRE_COPY", wait::PATIENCE, || {
        let state = VfioMigration::of(&source).map(|migration| migration.state);
        Ok((state.as_deref() == Some("PRE_COPY")).then_some(()))
    })?;
    std::thread::sleep(Duration::from_millis(200));
    kill(pid, Signal::SIGINT).context("SIGINT")?;
    let ended = child.wait_with_output().context("waiting for vfmig")?;
    let ended = Run::of(&arguments.join(" "), ended)?.expect(130)?;
    ended.expect_error(&format!("interrupted; {from} is RUNNING again"))?;
    let timeline = fs::read_to_string(record).context("the timeline")?;
    expect!(timeline.contains("\"failure\""), "no failure: {timeline}");
    expect_eq!(state(&from)?, "RUNNING", "the source");
    expect_eq!(state(&to)?, "RUNNING", "the target");
    Ok(())
}

/// The device refuses the parts, in either phase.
fn target_refuses(config: &Config) -> Result<()> {
    let (source, target) = pair(config)?;
    let (from, to) = (source.address().to_string(), target.address().to_string());
    let mut control = config.control()?;
    for more in [None, Some("--no-pre-copy")] {
        control.inject(opcode::DEV_PARTS_SET, 1, 1, REFUSE)?;
        let mut arguments = vec!["migrate", &from, &to];
        arguments.extend(more);
        let failed = run(&arguments)?.expect(1)?;
        failed.expect_error(&format!("{from} is RUNNING again, {to} was reset"))?;
        expect!(
            failed.err.contains("DEV_PARTS_SET"),
            "the driver's words: {}",
            failed.err
        );
        control.clear_faults()?;
        run(&[&arguments[..], &["--verify"]].concat())?.expect(0)?;
    }
    Ok(())
}
