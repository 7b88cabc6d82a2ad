// SPDX-License-Identifier: GPL-2.0
//! Fixture `blackout`: admin commands between the order to stop the source and the moment
//! that the target runs. On hardware each is a round trip to firmware, in which a guest
//! stands still; a count is the same on every machine.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use vvp_harness::control::opcode;
use vvp_harness::ktap::Suite;
use vvp_harness::memcg::Group;
use vvp_harness::vfio::{Access, DataFd, State};
use vvp_harness::{expect, note};

use crate::config::{Config, Driver};
use crate::rig::{self, Talk};

/// Parameter `precopy_interval_ms` of the module, as it is by default.
const INTERVAL: Duration = Duration::from_millis(1000);

/// How a device is migrated.
#[derive(Clone, Copy)]
enum Course {
    WithoutPreCopy,
    /// A part changes between pre-copy and stop.
    Changed,
    Unchanged,
}

impl Course {
    /// Most commands that our driver may need.
    fn limit(self) -> u64 {
        match self {
            Self::WithoutPreCopy => 5,
            Self::Changed => 4,
            Self::Unchanged => 3,
        }
    }
}

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    for (name, course) in [
        ("without_pre_copy", Course::WithoutPreCopy),
        ("changed", Course::Changed),
        ("unchanged", Course::Unchanged),
    ] {
        let config = Arc::clone(config);
        suite.add("blackout", "rs_cdev", name, move || {
            commands(&config, course)
        });
    }
    type Body = fn(&Config) -> Result<()>;
    let tests: [(&str, Body); 3] = [
        ("entering_resuming", entering_resuming),
        ("bytes_of_a_small_change", bytes_of_a_small_change),
        ("memory", memory),
    ];
    for (name, test) in tests {
        let config = Arc::clone(config);
        suite.add("blackout", "rs_cdev", name, move || test(&config));
    }
}

/// Commands that take a device in operation to RESUMING.
fn entering_resuming(config: &Config) -> Result<()> {
    const LIMIT: u64 = 3;
    let target = rig::open(config, &config.vf()?, Driver::Rs, Access::Cdev)?;
    let mut control = config.control()?;
    let before = control.state()?.all_commands();
    let incoming = rig::resume(&target)?;
    let commands = control.state()?.all_commands() - before;
    drop(incoming);
    note!("{commands} admin commands");
    expect!(commands <= LIMIT, "{commands} commands to enter RESUMING");
    rig::recover(&target)
}

/// Bytes of a part of ballast.
const PART: usize = 4096;

/// What is sent after the stop is a small part of what the in-tree driver sends. Of one part
/// in fifty, since that driver has a descriptor for each page, and the admin queue has 64.
fn bytes_of_a_small_change(config: &Config) -> Result<()> {
    const PARTS: usize = 50;
    const CHANGED: usize = 1;
    let mut control = config.control()?;
    let mut bytes = |driver| -> Result<usize> {
        let vf = config.vf()?;
        let name = config.bench_name(&vf)?;
        let source = rig::open(config, &vf, driver, Access::Cdev)?;
        control.ballast(&name, PARTS * PART, PART)?;
        let mut outgoing = source.begin(State::PreCopy)?;
        let initial = outgoing.read_available()?.len();
        expect!(initial > PARTS * PART, "{initial} bytes in pre-copy");
        control.touch_ballast(&name, CHANGED)?;
        source.go(State::StopCopy)?;
        let last = outgoing.read_all()?.len();
        control.ballast(&name, 0, PART)?;
        rig::recover(&source)?;
        Ok(last)
    };
    let (ours, theirs) = (bytes(Driver::Rs)?, bytes(Driver::C)?);
    note!("{ours} bytes after the stop, in-tree driver: {theirs}");
    expect!(ours > CHANGED * PART, "{ours} bytes for {CHANGED} parts");
    expect!(20 * ours <= theirs, "more than 5 % of {theirs}: {ours}");
    Ok(())
}

/// Kernel memory: a context and 1 MiB at most, two contexts in pre-copy, which needs the old
/// one to compare with.
fn memory(config: &Config) -> Result<()> {
    const PARTS: usize = 1000;
    const ROOM: u64 = 1 << 20;
    // The memory controller charges in advance, so many pages for each processor.
    const ADVANCE: u64 = 2 * 64 * 4096;
    let size = (PARTS * PART) as u64;
    let vf = config.vf()?;
    let name = config.bench_name(&vf)?;
    let device = rig::open(config, &vf, Driver::Rs, Access::Cdev)?;
    let mut control = config.control()?;
    control.ballast(&name, PARTS * PART, PART)?;
    // What the process itself needs for the stream has been touched before.
    let mut stream = rig::save(&device)?;
    stream.reserve_exact(stream.len());
    stream.resize(stream.capacity(), 1);
    device.go(State::Running)?;
    let group = Group::enter()?;
    let mut read = |fd: &mut DataFd| -> Result<usize> {
        let mut length = 0;
        while let Ok(count @ 1..) = fd.read_once(&mut stream[length..]) {
            length += count;
        }
        Ok(length)
    };

    let saving = group.peak(|| {
        let mut fd = device.begin(State::StopCopy)?;
        let length = read(&mut fd)?;
        expect!(length as u64 > size, "{length} bytes read");
        Ok(())
    })?;
    device.go(State::Running)?;
    let pre_copy = group.peak(|| {
        let mut fd = device.begin(State::PreCopy)?;
        read(&mut fd)?;
        control.touch_ballast(&name, PARTS)?;
        device.go(State::StopCopy)?;
        read(&mut fd)?;
        Ok(())
    })?;
    device.go(State::Stop)?;
    let whole = rig::save(&device)?;
    device.go(State::Stop)?;
    let loading = group.peak(|| {
        let mut fd = rig::resume(&device)?;
        for piece in whole.chunks(64 << 10) {
            fd.write_all(piece).context("loading")?;
        }
        device.go(State::Stop)
    })?;
    control.ballast(&name, 0, PART)?;
    rig::recover(&device)?;
    note!("of {size} bytes: saving {saving}, with pre-copy {pre_copy}, loading {loading}");
    for (what, peak, limit) in [
        ("saving", saving, size + ROOM),
        ("saving with pre-copy", pre_copy, 2 * size + ROOM),
        ("loading", loading, size + ROOM),
    ] {
        expect!(
            peak + ADVANCE >= size,
            "{what}: {peak} bytes are not all that it takes"
        );
        expect!(peak <= limit, "{what}: {peak} bytes, limit {limit}");
    }
    Ok(())
}

fn commands(config: &Config, course: Course) -> Result<()> {
    let ours = migrate(config, Driver::Rs, course)?;
    let theirs = migrate(config, Driver::C, course).context("with the in-tree driver")?;
    note!("{ours} admin commands, in-tree driver: {theirs}");
    expect!(ours <= course.limit(), "{ours} commands in the blackout");
    expect!(ours <= theirs, "the in-tree driver needs {theirs} only");
    Ok(())
}

/// Migrates a device in operation, in the order in which QEMU does; gives the number of
/// commands.
fn migrate(config: &Config, driver: Driver, course: Course) -> Result<u64> {
    let (vf, vf2) = (config.vf()?, config.vf2()?);
    let source = rig::open(config, &vf, driver, Access::Cdev)?;
    let target = rig::open_in(config, &vf2, driver, source.space())?;
    let mut talk = Talk::start(config, &vf, &source)?;
    let mut incoming = rig::resume(&target)?;
    let mut outgoing = None;
    match course {
        Course::WithoutPreCopy => {
            source.data_size().context("size")?;
        }
        Course::Changed | Course::Unchanged => {
            let mut fd = source.begin(State::PreCopy)?;
            incoming.write_all(&fd.read_available()?)?;
            if matches!(course, Course::Changed) {
                talk.net.set_mac([2, 0, 0, 0, 0, 9])?;
            }
            outgoing = Some(fd);
        }
    }
    // The last answer about pre-copy is old by then.
    sleep(INTERVAL);

    let mut control = config.control()?;
    let before = control.state()?;
    let mut outgoing = match outgoing {
        Some(fd) => {
            source.go(State::StopCopy)?;
            fd
        }
        None => source.begin(State::StopCopy)?,
    };
    incoming.write_all(&outgoing.read_all()?)?;
    target.go(State::RunningP2p)?;
    let after = control.state()?;
    // What a driver does when the guest runs holds nobody up; one command makes it run.
    let commands = after.all_commands() - before.all_commands() + 1;
    for opcode in opcode::MIGRATION {
        let given = after.commands(opcode) - before.commands(opcode);
        if given > 0 {
            note!("{driver:?}: {given} with opcode {opcode:#x}");
        }
    }
    target.go(State::Running)?;
    drop((incoming, outgoing));
    source.go(State::Running)?;
    Ok(commands)
}
