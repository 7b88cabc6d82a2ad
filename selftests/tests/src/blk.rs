// SPDX-License-Identifier: GPL-2.0
//! Fixture `blk`: virtio-block functions. The only one on a block PF.
//!
//! All functions of the PF see the same disk, and all of it is overwritten.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vvp_harness::blk::{DirectDisk, SECTORS_LIMIT, check, fill};
use vvp_harness::ktap::Suite;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, Device, MSIX, Space, State};
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, Driver};
use crate::disk_rig::Disk;
use crate::rig;
use crate::transfer::{Mode, compare_parts, save};

const LIMIT: Duration = Duration::from_secs(120);

/// Longer than any test takes.
const FOREVER_MS: u64 = 600_000;

type Test = Box<dyn Fn(&Config) -> Result<()>>;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    use Driver::{C, Rs};
    use Mode::{PreCopy, StopCopy};
    let mut add = |variant: String, name, test: Test| {
        let config = Arc::clone(config);
        suite.add_slow("blk", variant, name, LIMIT, move || test(&config));
    };
    add("virtio_blk".into(), "same_disk", Box::new(same_disk));
    for access in [Access::Cdev, Access::Group] {
        add(
            format!("rs_{access}"),
            "passthrough",
            Box::new(move |config| passthrough(config, access)),
        );
    }
    // C to C says that the bench and this test are right, whatever ours does.
    for (from, to, mode) in [
        (C, C, StopCopy),
        (Rs, Rs, StopCopy),
        (Rs, Rs, PreCopy),
        (Rs, C, StopCopy),
        (Rs, C, PreCopy),
        (C, Rs, StopCopy),
        (C, Rs, PreCopy),
    ] {
        add(
            format!("{from}_to_{to}_cdev"),
            mode.name(),
            Box::new(move |config| round_trip(config, from, to, mode)),
        );
    }
    let back: fn(&Config) -> Result<()> = there_and_back;
    add("rs_to_rs_cdev".into(), "there_and_back", Box::new(back));
    for state in [State::RunningP2p, State::Stop] {
        add(
            "rs_cdev".into(),
            match state {
                State::Stop => "in_flight_at_stop",
                _ => "in_flight_at_p2p",
            },
            Box::new(move |config| in_flight(config, state)),
        );
    }
}

/// The kernel's own driver works on PF and VF, and finds the same on both.
fn same_disk(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    config.require_blk(&vf)?;
    if !config.bench {
        vvp_harness::skip!("would overwrite the disk of the physical function");
    }
    vf.bind("virtio-pci")?;
    let pf = vf.physfn().context("no physical function")?;
    let (pf_name, vf_name) = (pf.wait_disk()?, vf.wait_disk()?);
    let (pf_disk, vf_disk) = (DirectDisk::open(&pf_name)?, DirectDisk::open(&vf_name)?);
    let size = |name: &str| {
        let path = format!("/sys/class/block/{name}/size");
        std::fs::read_to_string(&path).with_context(|| path.clone())
    };
    expect_eq!(size(&vf_name)?, size(&pf_name)?, "sectors");
    let last: u64 = size(&vf_name)?.trim().parse()?;
    let places = [0, 8, 4096, last - SECTORS_LIMIT as u64];
    for (round, sector) in (1..).zip(places) {
        let ways = [
            (round, &pf_disk, &vf_disk),
            (round + 100, &vf_disk, &pf_disk),
        ];
        for (round, from, to) in ways {
            from.write(sector, &fill(round, sector, SECTORS_LIMIT))?;
            check(round, sector, &to.read(sector, SECTORS_LIMIT)?)?;
        }
    }
    vf_disk.flush()?;
    let discard = Command::new("blkdiscard")
        .args(["-o", "0", "-l", "4096", &format!("/dev/{vf_name}")])
        .output()
        .context("running blkdiscard")?;
    ensure!(
        discard.status.success(),
        "blkdiscard: {}",
        String::from_utf8_lossy(&discard.stderr)
    );
    check(0, 0, &pf_disk.read(0, SECTORS_LIMIT)?)?;
    check(102, 8, &pf_disk.read(8, SECTORS_LIMIT)?)?;
    let counted = config.control()?.state()?;
    let counted = &counted.function(&config.bench_name(&vf)?)?.counters;
    expect!(counted.flushes > 0, "no flush has reached the device");
    expect_eq!(counted.failed_requests, 0, "failed requests of the VF");
    Ok(())
}

/// Requests of a userspace driver, and their interrupts.
fn passthrough(config: &Config, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, access)?;
    let mut disk = Disk::start(config, &vf, &device)?;
    disk.write(60)?;
    disk.verify()?;
    disk.expect_interrupts()?;
    if config.bench {
        // The kernel's driver of the PF sees the same sectors.
        let pf = vf.physfn().context("no physical function")?;
        let pf_disk = DirectDisk::open(&pf.wait_disk()?)?;
        for (sector, round) in disk.written() {
            check(round, sector, &pf_disk.read(sector, SECTORS_LIMIT)?)?;
        }
    }
    Ok(())
}

/// Loads `stream` into `device` and lets the driver of `disk` go on there.
fn arrive(
    config: &Config,
    source: &Function,
    target: &Function,
    device: &Device,
    disk: &mut Disk,
    stream: &[u8],
) -> Result<()> {
    device.enable_bus_master()?;
    device.route_interrupts(MSIX, &disk.interrupts)?;
    rig::load(device, stream)?;
    if config.bench {
        compare_parts(config, source, target)?;
    }
    disk.forget_interrupts()?;
    device.go(State::Running)?;
    disk.blk.move_to(device)
}

fn round_trip(config: &Config, from: Driver, to: Driver, mode: Mode) -> Result<()> {
    let (vf, vf2) = (config.vf()?, config.vf2()?);
    let space = Arc::new(Space::new(Access::Cdev)?);
    let source = rig::open_in(config, &vf, from, &space)?;
    let target = rig::open_in(config, &vf2, to, &space)?;
    let mut disk = Disk::start(config, &vf, &source)?;
    disk.write(40)?;

    let stream = match mode {
        Mode::StopCopy => save(&source, mode)?,
        Mode::PreCopy => {
            let mut fd = source.begin(State::PreCopy)?;
            let mut stream = fd.read_available()?;
            expect!(!stream.is_empty(), "pre-copy gave no data");
            // The device is at work meanwhile.
            disk.write(40)?;
            disk.verify()?;
            source.go(State::StopCopy)?;
            stream.append(&mut fd.read_all()?);
            stream
        }
    };
    note!("stream of {} bytes", stream.len());
    // What the driver does now only the target can see.
    disk.enqueue(5)?;
    arrive(config, &vf, &vf2, &target, &mut disk, &stream)?;
    source.go(State::Stop)?;

    disk.settle()?;
    disk.expect_interrupts()?;
    disk.verify()?;
    disk.write(40)?;
    disk.verify()
}

/// A driver that is moved, and moved back to where it came from.
fn there_and_back(config: &Config) -> Result<()> {
    let (vf, vf2) = (config.vf()?, config.vf2()?);
    let space = Arc::new(Space::new(Access::Cdev)?);
    let first = rig::open_in(config, &vf, Driver::Rs, &space)?;
    let second = rig::open_in(config, &vf2, Driver::Rs, &space)?;
    let mut disk = Disk::start(config, &vf, &first)?;
    let mut ends = [(&vf, &first), (&vf2, &second)];
    for _ in 0..4 {
        let [(source, from), (target, to)] = ends;
        disk.write(10)?;
        let stream = rig::save(from)?;
        disk.enqueue(3)?;
        arrive(config, source, target, to, &mut disk, &stream)?;
        // As a VMM does that gives its device up.
        rig::recover(from)?;
        disk.settle()?;
        disk.verify()?;
        ends.swap(0, 1);
    }
    Ok(())
}

/// Requests that the device has taken are completed by the time that it is in
/// `state`, and the target takes none of them again.
fn in_flight(config: &Config, state: State) -> Result<()> {
    let (vf, vf2) = (config.vf()?, config.vf2()?);
    let space = Arc::new(Space::new(Access::Cdev)?);
    let source = rig::open_in(config, &vf, Driver::Rs, &space)?;
    let target = rig::open_in(config, &vf2, Driver::Rs, &space)?;
    let mut disk = Disk::start(config, &vf, &source)?;
    disk.write(3)?;
    config.control()?.slow_disk(FOREVER_MS)?;
    let tested = (|| {
        disk.enqueue(7)?;
        disk.blk.announce();
        // Any answer of the bench shows that the requests were taken.
        let taken = config.control()?.state()?;
        let name = config.bench_name(&vf)?;
        let queue = &taken.function(&name)?.queues[0];
        expect_eq!(queue.next_avail.wrapping_sub(queue.next_used), 7, "taken");
        expect_eq!(disk.blk.outstanding()?, 7, "in flight");
        disk.forget_interrupts()?;
        source.go(state)?;
        expect_eq!(disk.blk.outstanding()?, 0, "in flight in {state:?}");
        disk.expect_interrupts()
    })();
    config.control()?.slow_disk(0)?;
    tested?;
    let executed = || -> Result<u64> {
        let state = config.control()?.state()?;
        let name = config.bench_name(&vf2)?;
        Ok(state.function(&name)?.counters.requests)
    };
    let before = executed()?;
    let stream = rig::save(&source)?;
    disk.enqueue(2)?;
    arrive(config, &vf, &vf2, &target, &mut disk, &stream)?;
    disk.settle()?;
    let done = executed()? - before;
    expect_eq!(done, 2, "requests that the target has executed");
    disk.verify()
}
