// SPDX-License-Identifier: GPL-2.0
//! Legacy admin commands that fail, are late, or answer nonsense.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use nix::errno::Errno;
use vvp_harness::control::{Action, Control};
use vvp_harness::kmsg::Log;
use vvp_harness::net::{Io, register};
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, Device};
use vvp_harness::{expect, expect_eq, note};

use super::open;
use super::talk::Talk;
use crate::config::{Config, Driver};
use crate::rig;

const COMMON_WRITE: u16 = 2;
const COMMON_READ: u16 = 3;
const DEVICE_WRITE: u16 = 4;
const DEVICE_READ: u16 = 5;
const NOTIFY_INFO: u16 = 6;

/// An access that takes one command with this opcode.
fn access(io: Io<'_>, opcode: u16) -> Result<usize, Errno> {
    match opcode {
        COMMON_WRITE => io.write(register::QUEUE_SELECT, &[1, 0]),
        COMMON_READ => io.read(register::QUEUE_SELECT, &mut [0; 2]),
        DEVICE_WRITE => io.write(register::CONFIG, &[2]),
        _ => io.read(register::CONFIG, &mut [0]),
    }
}

const ACCESSES: [u16; 4] = [COMMON_WRITE, COMMON_READ, DEVICE_WRITE, DEVICE_READ];

fn faulty(config: &Config) -> Result<(Control, Device)> {
    let mut control = config.control()?;
    control.clear_faults()?;
    let device = open(config, Driver::Rs)?;
    Io(&device).enable()?;
    Ok((control, device))
}

/// The device's status becomes an errno, and the next access works.
pub fn commands_fail(config: &Config) -> Result<()> {
    let (mut control, device) = faulty(config)?;
    let io = Io(&device);
    for opcode in ACCESSES {
        for (status, expected) in [
            (22, Errno::EINVAL),
            (6, Errno::ENXIO),
            (12, Errno::ENOMEM),
            (16, Errno::EBUSY),
            (28, Errno::ENOSPC),
            (5000, Errno::EINVAL),
        ] {
            let action = Action::Status {
                status,
                qualifier: 3,
            };
            control.inject(opcode, 1, 1, action)?;
            let answer = access(io, opcode);
            expect_eq!(answer, Err(expected), "opcode {opcode}, status {status}");
            let answer = access(io, opcode);
            expect!(answer.is_ok(), "opcode {opcode} after {status}: {answer:?}");
        }
    }
    Ok(())
}

const TRY_AGAIN: Action = Action::Status {
    status: 11,
    qualifier: 7,
};

/// EAGAIN is not the guest's business, unless it stays.
pub fn commands_are_retried(config: &Config) -> Result<()> {
    let (mut control, device) = faulty(config)?;
    let io = Io(&device);
    for opcode in ACCESSES {
        let before = control.state()?.commands(opcode);
        control.inject(opcode, 1, 3, TRY_AGAIN)?;
        let answer = access(io, opcode);
        expect!(answer.is_ok(), "opcode {opcode}: {answer:?}");
        let commands = control.state()?.commands(opcode) - before;
        expect_eq!(commands, 4, "commands with opcode {opcode}");
        control.inject(opcode, 1, 1000, TRY_AGAIN)?;
        let answer = access(io, opcode);
        expect_eq!(answer, Err(Errno::EAGAIN), "opcode {opcode}, each time");
        control.clear_faults()?;
        let answer = access(io, opcode);
        expect!(answer.is_ok(), "opcode {opcode} afterwards: {answer:?}");
    }
    Ok(())
}

/// A command that is not answered holds the access up, and harms nothing.
pub fn commands_are_silent(config: &Config) -> Result<()> {
    const SILENCE: Duration = Duration::from_secs(1);
    let (mut control, device) = faulty(config)?;
    let io = Io(&device);
    for opcode in ACCESSES {
        control.inject(opcode, 1, 1, Action::Silence)?;
        let start = Instant::now();
        let control = &mut control;
        let (answer, released) = std::thread::scope(|scope| {
            let releaser = scope.spawn(move || {
                std::thread::sleep(SILENCE);
                control.release()
            });
            (access(io, opcode), releaser.join())
        });
        released.map_err(|_| anyhow!("the releasing thread panicked"))??;
        expect!(answer.is_ok(), "opcode {opcode}: {answer:?}");
        expect!(start.elapsed() >= SILENCE, "nobody waited for the answer");
    }
    Ok(())
}

/// A device that writes less than it was asked for shows nothing that was there
/// before: neither the last answer nor anybody's memory.
pub fn short_answers(config: &Config) -> Result<()> {
    let (mut control, device) = faulty(config)?;
    let io = Io(&device);
    for (opcode, at) in [
        (COMMON_READ, register::DEVICE_FEATURES),
        (DEVICE_READ, register::CONFIG),
    ] {
        let whole: [u8; 4] = io.get(at)?;
        expect!(whole != [0; 4], "the register is zero anyway");
        for length in 0..4 {
            control.inject(opcode, 1, 1, Action::ResultSize(length as u32))?;
            let found: [u8; 4] = io.get(at)?;
            let mut expected = [0; 4];
            expected[..length].copy_from_slice(&whole[..length]);
            // The bench fills up or cuts: what it wrote is what was there.
            expect_eq!(found, expected, "opcode {opcode}, {length} bytes");
        }
        control.inject(opcode, 1, 1, Action::ResultSize(64))?;
        expect_eq!(io.get::<4>(at)?, whole, "an answer that is too long");
    }
    Ok(())
}

/// A device that names no place for notifications is notified through its PF.
pub fn no_notify_info(config: &Config) -> Result<()> {
    let mut control = config.control()?;
    let vf = config.vf()?;
    config.load(Driver::Rs)?;
    let refusals = [
        Action::Status {
            status: 22,
            qualifier: 3,
        },
        // No entry at all; and one far beyond the end of BAR 2.
        Action::ResultSize(0),
        Action::ResultFill(2),
    ];
    for action in refusals {
        vf.unbind()?;
        control.clear_faults()?;
        let mut log = Log::follow()?;
        control.inject(NOTIFY_INFO, 1, 1, action)?;
        config.bind(&vf, Driver::Rs)?;
        let messages = about(&vf, &mut log)?;
        expect_eq!(messages.len(), 1, "messages: {messages:?}");
        let before = control.state()?.commands(COMMON_WRITE);
        let device = rig::open(config, &vf, Driver::Rs, Access::Cdev)?;
        let mut talk = Talk::start(config, &device, false, false)?;
        talk.exchange(5)?;
        let commands = control.state()?.commands(COMMON_WRITE) - before;
        note!("{commands} commands instead of notifications");
        expect!(commands > 10, "notified without the PF");
    }
    // And with it, the place is used.
    vf.unbind()?;
    let before = control.state()?.commands(NOTIFY_INFO);
    let device = rig::open(config, &vf, Driver::Rs, Access::Cdev)?;
    expect_eq!(
        control.state()?.commands(NOTIFY_INFO) - before,
        1,
        "questions for the place"
    );
    let mut talk = Talk::start(config, &device, false, false)?;
    let before = control.state()?.commands(COMMON_WRITE);
    talk.exchange(5)?;
    let commands = control.state()?.commands(COMMON_WRITE) - before;
    expect_eq!(commands, 0, "commands while frames are exchanged");
    Ok(())
}

fn about(vf: &Function, log: &mut Log) -> Result<Vec<String>> {
    let address = vf.address().to_string();
    let messages = log.messages()?.into_iter();
    Ok(messages
        .filter(|message| message.contains(&address) && message.contains("notifications"))
        .collect())
}
