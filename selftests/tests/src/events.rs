// SPDX-License-Identifier: GPL-2.0
//! Fixture `events`: what a device has to tell its driver just when the function is migrated.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::{Device, Interrupts, MSIX, Space, State};
use vvp_harness::{expect, expect_eq};

use crate::config::{Config, DeviceType, Driver};
use crate::disk_rig::Disk;
use crate::rig::{self, Talk};

const LIMIT: Duration = Duration::from_secs(120);

/// Vector of configuration changes, in both drivers.
const CONFIG_VECTOR: usize = 0;
/// How long an interrupt may take.
const RAISED: Duration = Duration::from_secs(20);

/// Device status: an error that only a reset ends.
const NEEDS_RESET: u8 = 0x40;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    type Test = fn(&Config) -> Result<()>;
    let (name, test): (&str, Test) = match config.device {
        DeviceType::Net => ("a_need_for_a_reset", need_for_a_reset),
        DeviceType::Blk => ("a_disk_that_grows", disk_that_grows),
    };
    let config = Arc::clone(config);
    suite.add_slow("events", "rs", name, LIMIT, move || test(&config));
}

/// The function under test and the one to migrate to, in one address space.
fn pair(config: &Config) -> Result<[Device; 2]> {
    let space = Arc::new(Space::new(config.access)?);
    let open = |function| rig::open_in(config, &function, Driver::Rs, &space);
    Ok([open(config.vf()?)?, open(config.vf2()?)?])
}

/// Moves the state of one to the other, which runs then with the same interrupts.
fn migrate(source: &Device, target: &Device, interrupts: &Interrupts) -> Result<()> {
    let stream = rig::save(source)?;
    target.enable_bus_master()?;
    target.route_interrupts(MSIX, interrupts)?;
    rig::load(target, &stream)?;
    target.go(State::Running)
}

fn expect_told(interrupts: &Interrupts) -> Result<()> {
    let raised = interrupts
        .wait(CONFIG_VECTOR, RAISED)
        .context("interrupt of a change")?;
    expect!(raised > 0, "no interrupt of a change");
    Ok(())
}

/// A device that has failed is no better for having been moved, until its driver resets it.
fn need_for_a_reset(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    let [source, target] = pair(config)?;
    let mut talk = Talk::start(config, &vf, &source)?;
    talk.exchange(5)?;
    config.control()?.need_reset(&config.bench_name(&vf)?)?;
    expect_told(&talk.interrupts)?;
    expect!(talk.net.status() & NEEDS_RESET != 0, "not in the status");

    migrate(&source, &target, &talk.interrupts)?;
    talk.net.move_to(&target)?;
    expect!(
        talk.net.status() & NEEDS_RESET != 0,
        "forgotten on the target"
    );
    drop((talk, source, target));

    // The next driver resets it, as the last one should have.
    let vf2 = config.vf2()?;
    let target = rig::open(config, &vf2, Driver::Rs, config.access)?;
    let mut talk = Talk::start(config, &vf2, &target)?;
    expect_eq!(talk.net.status() & NEEDS_RESET, 0, "after a reset");
    talk.exchange(5)
}

/// The disk grows when the driver has just been moved, or is about to be.
fn disk_that_grows(config: &Config) -> Result<()> {
    let [source, target] = pair(config)?;
    let mut disk = Disk::start(config, &config.vf()?, &source)?;
    let sectors = disk.blk.sectors();
    let bytes = |sectors: u64| sectors * 512;
    let tested = (|| {
        config.control()?.resize_disk(bytes(2 * sectors))?;
        expect_told(&disk.interrupts)?;
        disk.blk.look_at_capacity()?;
        expect_eq!(disk.blk.sectors(), 2 * sectors, "sectors on the source");
        disk.write(20)?;
        disk.verify()?;

        migrate(&source, &target, &disk.interrupts)?;
        disk.blk.move_to(&target)?;
        disk.settle()?;
        disk.verify()?;
        config.control()?.resize_disk(bytes(3 * sectors))?;
        expect_told(&disk.interrupts)?;
        disk.blk.look_at_capacity()?;
        expect_eq!(disk.blk.sectors(), 3 * sectors, "sectors on the target");
        disk.write(20)?;
        disk.verify()
    })();
    config.control()?.resize_disk(bytes(sectors))?;
    tested
}
