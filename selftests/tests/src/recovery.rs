// SPDX-License-Identifier: GPL-2.0
//! Fixture `recovery`: a reset, or closing the device, ends whatever was under way.

use std::sync::{Arc, Mutex, mpsc};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use vvp_harness::control::{Action, opcode};
use vvp_harness::ktap::Suite;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, Device, Space, State};
use vvp_harness::{expect, expect_eq, note, wait};

use crate::config::{Config, Driver};
use crate::rig;
use crate::states::{TABLE, enter};
use crate::work::Work;

/// After which a device in pre-copy is asked again.
const INTERVAL: Duration = Duration::from_millis(1000);

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    if config.bench {
        let variant = format!("rs_{}", config.access);
        let own = Arc::clone(config);
        suite.add(
            "recovery",
            &*variant,
            "closing_ends_stopped_mode",
            move || closing_ends_stopped_mode(&own),
        );
        let own = Arc::clone(config);
        suite.add("recovery", &*variant, "reset_waits_for_nobody", move || {
            reset_waits_for_nobody(&own)
        });
    }
    for access in [Access::Cdev, Access::Group] {
        let own = Arc::clone(config);
        suite.add(
            "recovery",
            format!("rs_{access}"),
            "reset_in_every_state",
            move || reset_in_every_state(&own, access),
        );
        let own = Arc::clone(config);
        suite.add(
            "recovery",
            format!("rs_{access}"),
            "close_in_every_state",
            move || close_in_every_state(&own, access),
        );
    }
}

/// The device is as new, for VFIO, for the bench, and for a driver.
fn expect_new(config: &Config, vf: &Function, device: &Device, what: &str) -> Result<()> {
    expect_eq!(device.state()?, State::Running, "state after {what}");
    if config.bench {
        let state = config.control()?.state()?;
        let function = state.function(&config.bench_name(vf)?)?;
        expect_eq!(function.stopped, false, "stopped mode after {what}");
        expect_eq!(function.status, 0, "device status after {what}");
        expect_eq!(state.admin.objects, [], "resource objects after {what}");
    }
    Ok(())
}

/// The states to leave, and a stream to load on the way.
fn states() -> impl Iterator<Item = State> {
    TABLE.iter().map(|(state, _)| *state)
}

fn reset_in_every_state(config: &Config, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, access)?;
    let stream = rig::save(&device)?;
    for state in states() {
        let fd = enter(&device, state, &stream)?;
        rig::recover(&device).with_context(|| format!("in {state}"))?;
        expect_new(config, &vf, &device, &format!("a reset in {state}"))?;
        drop(fd);
        rig::prove_migration(&device).with_context(|| format!("after a reset in {state}"))?;
    }
    Work::start(config, &vf, &device)?.exchange(3)
}

fn close_in_every_state(config: &Config, access: Access) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, access)?;
    let stream = rig::save(&device)?;
    drop(device);
    for state in states() {
        let device = rig::open(config, &vf, Driver::Rs, access)?;
        let fd = enter(&device, state, &stream)?;
        drop(device);
        // No reset by us: what the next user finds is the driver's doing.
        let device = Device::open(&vf, &Arc::new(Space::new(access)?))?;
        expect_new(config, &vf, &device, &format!("closing in {state}"))?;
        drop(fd);
        rig::prove_migration(&device).with_context(|| format!("after closing in {state}"))?;
        note!("closing in {state}: as new");
        drop(device);
    }
    Ok(())
}

/// A reset need not end stopped mode, and the next user may be a driver that has
/// never heard of it. A device that is not in it is left in peace.
fn closing_ends_stopped_mode(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    let mut control = config.control()?;
    for (state, commands) in [
        (State::Running, 0),
        (State::RunningP2p, 1),
        (State::Stop, 1),
        (State::StopCopy, 1),
    ] {
        let device = rig::open(config, &vf, Driver::Rs, config.access)?;
        let fd = device.set_state(state)?;
        let before = control.state()?.commands(opcode::DEV_MODE_SET);
        drop(device);
        drop(fd);
        let after = control.state()?;
        expect_eq!(
            after.commands(opcode::DEV_MODE_SET) - before,
            commands,
            "mode commands when closed in {state}"
        );
        let function = after.function(&config.bench_name(&vf)?)?;
        expect_eq!(function.stopped, false, "stopped mode after {state}");
    }
    Ok(())
}

/// A reset returns, and the device can be accessed, while the PF does not answer a
/// command that a session of the same device waits for.
fn reset_waits_for_nobody(config: &Config) -> Result<()> {
    /// After which a reset that waits is no longer waited for.
    const PATIENCE: Duration = Duration::from_secs(20);
    let vf = config.vf()?;
    let mut control = config.control()?;
    let device = rig::open(config, &vf, Driver::Rs, config.access)?;
    let bar = (0..6)
        .find(|&bar| device.region(bar).is_ok_and(|region| region.mappable()))
        .context("no BAR to map")?;
    let mut fd = device.begin(State::PreCopy)?;
    fd.read_available()?;
    sleep(INTERVAL);

    let before = control.state()?.commands(opcode::DEV_PARTS_METADATA_GET);
    control.inject(opcode::DEV_PARTS_METADATA_GET, 1, 1, Action::Silence)?;
    // There is one connection to the bench.
    let control = Mutex::new(control);
    let bench = || control.lock().map_err(|_| anyhow!("a thread panicked"));
    let (held, waited) = std::thread::scope(|scope| -> Result<_> {
        let (release, released) = mpsc::channel::<()>();
        let watchdog = scope.spawn(move || -> Result<bool> {
            let waited = released.recv_timeout(PATIENCE).is_err();
            bench()?.release()?;
            Ok(waited)
        });
        let asking = scope.spawn(|| fd.precopy());
        wait::until("the command", PATIENCE / 2, || {
            Ok((bench()?.state()?.commands(opcode::DEV_PARTS_METADATA_GET) > before).then_some(()))
        })?;
        device.reset().context("resetting")?;
        // A page fault, since the reset has taken the mapping away.
        let registers = device.map_region(bar)?;
        registers.read::<u32>(0);
        let held = !asking.is_finished();
        let _ = release.send(());
        let waited = watchdog
            .join()
            .map_err(|_| anyhow!("the watchdog panicked"))??;
        let _ = asking.join();
        Ok((held, waited))
    })?;
    drop(control);
    expect!(held && !waited, "the reset waited for the command");
    expect_new(config, &vf, &device, "the reset")?;
    expect_eq!(
        fd.read_once(&mut [0; 16]),
        Err(Errno::ENODEV),
        "reading from the session that was reset"
    );
    rig::prove_migration(&device)?;
    Work::start(config, &vf, &device)?.exchange(3)
}
