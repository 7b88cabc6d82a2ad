// SPDX-License-Identifier: GPL-2.0
//! Accesses to an emulated device from several threads, while it is reset and
//! migrated. What counts is that everything returns, that the kernel has nothing
//! to say, and that the device works afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use vvp_harness::net::{Io, register};
use vvp_harness::pci::{BAR0 as BAR0_REGISTER, COMMAND};
use vvp_harness::vfio::{Access, CONFIG, Device, State};
use vvp_harness::{expect, note};

use super::talk::Talk;
use crate::config::{Config, Driver};
use crate::rig;

/// Migrations of the device while it is accessed.
const ROUNDS: usize = 25;

pub fn accesses_and_resets(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, Access::Cdev)?;
    let over = AtomicBool::new(false);
    let (moved, others) = std::thread::scope(|scope| {
        let threads = [
            scope.spawn(|| ports(&device, &over)),
            scope.spawn(|| ports(&device, &over)),
            scope.spawn(|| header(&device, &over)),
            scope.spawn(|| resets(&device, &over)),
        ];
        let moved = migrations(&device);
        over.store(true, Ordering::Relaxed);
        let others: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        (moved, others)
    });
    let saved = moved?;
    note!("{saved} of {ROUNDS} saves succeeded");
    for other in others {
        other.map_err(|_| anyhow!("a thread panicked"))??;
    }
    expect!(saved > 0, "none of {ROUNDS} saves succeeded");
    rig::recover(&device)?;
    Talk::start(config, &device, false, false)?.exchange(5)
}

/// Accesses of all places and widths; they work, or are refused for a reason.
fn ports(device: &Device, over: &AtomicBool) -> Result<()> {
    let io = Io(device);
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        for at in 0..33 {
            for length in [1, 2, 4] {
                let mut bytes = [0; 4];
                let answers = [
                    io.read(at, &mut bytes[..length]),
                    io.write(at, &bytes[..length]),
                ];
                for answer in answers {
                    match answer {
                        Ok(_) => done += 1,
                        Err(Errno::EIO | Errno::EINVAL) => {}
                        Err(errno) => return Err(errno).context("an access to the I/O BAR"),
                    }
                }
            }
        }
    }
    expect!(done > 0, "no access succeeded");
    Ok(())
}

/// The registers that decide whether and where the BAR answers.
fn header(device: &Device, over: &AtomicBool) -> Result<()> {
    while !over.load(Ordering::Relaxed) {
        Io(device).enable()?;
        device.write_region(CONFIG, BAR0_REGISTER, &[0xff; 4])?;
        device.config(0, &mut [0; 64])?;
        std::thread::sleep(Duration::from_millis(5));
        // Memory space stays: a VF of the bench, unlike any other, needs it.
        device.write_region(CONFIG, COMMAND, &[0x02])?;
    }
    Ok(())
}

fn resets(device: &Device, over: &AtomicBool) -> Result<()> {
    while !over.load(Ordering::Relaxed) {
        device.reset().context("VFIO_DEVICE_RESET")?;
        std::thread::sleep(Duration::from_millis(70));
    }
    Ok(())
}

/// Saves the device again and again; how often that worked despite the resets.
fn migrations(device: &Device) -> Result<usize> {
    let mut saved = 0;
    for _ in 0..ROUNDS {
        // A reset in between ends the session, or puts the device elsewhere.
        if rig::save(device).is_ok() && device.set_state(State::Running).is_ok() {
            saved += 1;
        }
        Io(device).set(register::DEVICE_STATUS, &[0]).ok();
    }
    Ok(saved)
}
