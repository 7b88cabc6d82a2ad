// SPDX-License-Identifier: GPL-2.0
//! Fixture `data_fd`: what a data descriptor answers in the wrong direction, and
//! after its session, its device, or its driver is gone.
//!
//! Not run against the C driver: a write after the session crashes it.

use std::io::{Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use vvp_harness::expect_eq;
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::{Access, DataFd, Device, State, errno_of};

use crate::config::{Config, Driver};
use crate::rig;

type Body = fn(&Config, Access) -> Result<()>;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let tests: [(&str, Body); 9] = [
        ("directions", directions),
        ("end_of_stream", end_of_stream),
        ("ends_with_the_session", ends_with_the_session),
        ("ends_with_a_reset", ends_with_a_reset),
        ("outlives_the_device_file", outlives_the_device_file),
        ("outlives_the_binding", outlives_the_binding),
        ("unbinding_waits_for_the_user", unbinding_waits),
        ("second_session", second_session),
        ("bad_buffers", bad_buffers),
    ];
    for access in [Access::Cdev, Access::Group] {
        for (name, test) in tests {
            let config = Arc::clone(config);
            suite.add("data_fd", format!("rs_{access}"), name, move || {
                test(&config, access)
            });
        }
    }
}

fn open(config: &Config, access: Access) -> Result<Device> {
    rig::open(config, &config.vf()?, Driver::Rs, access)
}

/// Both directions must be dead, each with its own error.
fn expect_dead(what: &str, saving: &mut DataFd, resuming: &mut DataFd) -> Result<()> {
    expect_eq!(
        saving.read_once(&mut [0; 64]),
        Err(Errno::ENODEV),
        "reading after {what}"
    );
    expect_eq!(
        resuming.write_once(&[0; 64]),
        Err(Errno::ENODEV),
        "writing after {what}"
    );
    Ok(())
}

/// A session that was used a little, and its descriptor.
fn start_saving(device: &Device) -> Result<DataFd> {
    let mut fd = device.begin(State::StopCopy)?;
    expect_eq!(fd.read_once(&mut [0; 4]), Ok(4), "bytes read");
    Ok(fd)
}

fn start_resuming(device: &Device) -> Result<DataFd> {
    let mut fd = rig::resume(device)?;
    // Half a record header.
    expect_eq!(fd.write_once(&[16, 0, 0, 0]), Ok(4), "bytes written");
    Ok(fd)
}

fn directions(config: &Config, access: Access) -> Result<()> {
    let device = open(config, access)?;
    let mut fd = device.begin(State::StopCopy)?;
    expect_eq!(
        fd.write_once(&[0; 16]),
        Err(Errno::EBADF),
        "writing while saving"
    );
    expect_eq!(
        fd.file().seek(SeekFrom::Start(0)).map_err(errno_of),
        Err(Errno::ESPIPE),
        "seeking"
    );
    expect_eq!(
        fd.precopy(),
        Err(Errno::EINVAL),
        "pre-copy information without pre-copy"
    );
    rig::recover(&device)?;
    let mut fd = rig::resume(&device)?;
    expect_eq!(
        fd.read_once(&mut [0; 16]),
        Err(Errno::EBADF),
        "reading while resuming"
    );
    rig::recover(&device)
}

fn end_of_stream(config: &Config, access: Access) -> Result<()> {
    let device = open(config, access)?;
    let mut fd = device.begin(State::StopCopy)?;
    let stream = fd.read_all()?;
    for _ in 0..3 {
        expect_eq!(fd.read_once(&mut [0; 64]), Ok(0), "reading at the end");
    }
    // Reading in tiny steps gives the same stream.
    device.go(State::Stop)?;
    let mut fd = device.begin(State::StopCopy)?;
    let mut again = Vec::new();
    let mut bytes = [0; 5];
    loop {
        match fd.read_once(&mut bytes).context("reading five bytes")? {
            0 => break,
            length => again.extend_from_slice(&bytes[..length]),
        }
    }
    expect_eq!(again, stream, "the stream read five bytes at a time");
    rig::recover(&device)
}

fn ends_with_the_session(config: &Config, access: Access) -> Result<()> {
    let device = open(config, access)?;
    let stream = rig::save(&device)?;
    device.go(State::Stop)?;
    let mut saving = start_saving(&device)?;
    device.go(State::Stop)?;
    let mut resuming = rig::resume(&device)?;
    resuming.write_all(&stream).context("loading")?;
    device.go(State::Stop)?;
    expect_dead("STOP", &mut saving, &mut resuming)?;
    device.go(State::Running)?;
    expect_dead("RUNNING", &mut saving, &mut resuming)?;
    rig::prove_migration(&device)
}

fn ends_with_a_reset(config: &Config, access: Access) -> Result<()> {
    let device = open(config, access)?;
    let mut saving = start_saving(&device)?;
    rig::recover(&device)?;
    let mut resuming = start_resuming(&device)?;
    rig::recover(&device)?;
    expect_dead("a reset", &mut saving, &mut resuming)?;
    rig::prove_migration(&device)
}

fn outlives_the_device_file(config: &Config, access: Access) -> Result<()> {
    let device = open(config, access)?;
    let mut saving = start_saving(&device)?;
    drop(device);
    let device = open(config, access)?;
    let mut resuming = start_resuming(&device)?;
    drop(device);
    expect_dead("closing the device", &mut saving, &mut resuming)?;
    rig::prove_migration(&open(config, access)?)
}

pub fn outlives_the_binding(config: &Config, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = open(config, access)?;
    let mut saving = start_saving(&device)?;
    drop(device);
    vf.unbind()?;
    let device = open(config, access)?;
    let mut resuming = start_resuming(&device)?;
    drop(device);
    vf.unbind()?;
    expect_dead("unbinding", &mut saving, &mut resuming)?;
    drop((saving, resuming));
    rig::prove_migration(&open(config, access)?)
}

/// Unbinding waits until the device is closed, in the midst of a session, too.
fn unbinding_waits(config: &Config, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = open(config, access)?;
    let mut saving = start_saving(&device)?;
    let unbound = std::thread::scope(|scope| {
        let unbinder = scope.spawn(|| vf.unbind());
        std::thread::sleep(Duration::from_millis(300));
        let early = unbinder.is_finished();
        let alive = saving.read_once(&mut [0; 4]);
        drop(device);
        (unbinder.join(), early, alive)
    });
    let (joined, early, alive) = unbound;
    joined.map_err(|_| anyhow!("the unbinding thread panicked"))??;
    expect_eq!(early, false, "unbound while the device was open");
    expect_eq!(alive, Ok(4), "reading while the unbinding waits");
    expect_eq!(
        saving.read_once(&mut [0; 4]),
        Err(Errno::ENODEV),
        "reading after unbinding"
    );
    drop(saving);
    rig::prove_migration(&open(config, access)?)
}

/// A descriptor of an earlier session has no part in a later one.
fn second_session(config: &Config, access: Access) -> Result<()> {
    let device = open(config, access)?;
    let mut first = start_saving(&device)?;
    device.go(State::Stop)?;
    let mut second = device.begin(State::StopCopy)?;
    expect_eq!(
        first.read_once(&mut [0; 64]),
        Err(Errno::ENODEV),
        "reading the first session"
    );
    let stream = second.read_all()?;
    device.go(State::Stop)?;
    let mut first = start_resuming(&device)?;
    rig::recover(&device)?;
    let mut second = rig::resume(&device)?;
    expect_eq!(
        first.write_once(&[0; 64]),
        Err(Errno::ENODEV),
        "writing the first session"
    );
    second
        .write_all(&stream)
        .context("loading in the second session")?;
    device.go(State::Stop)?;
    device.go(State::Running)
}

/// Memory that is not there fails the call and loses no byte.
fn bad_buffers(config: &Config, access: Access) -> Result<()> {
    use std::os::fd::AsRawFd;
    let device = open(config, access)?;
    let mut fd = device.begin(State::StopCopy)?;
    let nowhere = std::ptr::null_mut();
    // SAFETY: the kernel checks the address, finds nothing there, and says so.
    let answer = unsafe { nix::libc::read(fd.file().as_raw_fd(), nowhere, 64) };
    expect_eq!(
        Errno::result(answer),
        Err(Errno::EFAULT),
        "reading to nowhere"
    );
    let stream = fd.read_all()?;
    device.go(State::Stop)?;
    expect_eq!(
        rig::save(&device)?,
        stream,
        "the stream after a failed read"
    );
    device.go(State::Stop)?;
    let mut fd = rig::resume(&device)?;
    // SAFETY: as above.
    let answer = unsafe { nix::libc::write(fd.file().as_raw_fd(), nowhere, 64) };
    expect_eq!(
        Errno::result(answer),
        Err(Errno::EFAULT),
        "writing from nowhere"
    );
    fd.write_all(&stream)
        .context("loading after a failed write")?;
    device.go(State::Stop)?;
    device.go(State::Running)
}
