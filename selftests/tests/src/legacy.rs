// SPDX-License-Identifier: GPL-2.0
//! Fixture `legacy`: a transitional device as a VMM and as a legacy driver see
//! it. Needs VFs whose PF has the legacy admin commands.

mod faults;
mod talk;
mod torture;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use vfio_bindings::bindings::vfio;
use vvp_harness::ktap::Suite;
use vvp_harness::net::{Io, register};
use vvp_harness::pci::{BAR0 as BAR0_REGISTER, COMMAND};
use vvp_harness::vfio::{Access, BAR0, CONFIG, Device, Space};
use vvp_harness::{expect, expect_eq};

use crate::config::{Config, Driver};
use crate::description::{describe, expect_same};
use crate::rig;

const LIMIT: Duration = Duration::from_secs(120);

const BAR_SIZE: u64 = 32;

/// Registers of the I/O BAR without MSI-X, as offset and width; of the device
/// configuration only what the BAR has room for with MSI-X, too.
const REGISTERS: [(u64, usize); 8] = [
    (register::DEVICE_FEATURES, 4),
    (register::DRIVER_FEATURES, 4),
    (register::QUEUE_ADDRESS, 4),
    (register::QUEUE_SIZE, 2),
    (register::QUEUE_SELECT, 2),
    (register::QUEUE_NOTIFY, 2),
    (register::DEVICE_STATUS, 1),
    (register::ISR_STATUS, 1),
];

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    type Body = fn(&Config, Driver, Access) -> Result<()>;
    let each: [(&str, Body); 6] = [
        ("looks_transitional", looks_transitional),
        ("command_io", command_io),
        ("misplaced_accesses", misplaced_accesses),
        ("frames_without_msix", talk::frames_without_msix),
        ("frames_with_msix", talk::frames_with_msix),
        ("merged_buffers", talk::merged_buffers),
    ];
    for (driver, access) in [
        (Driver::Rs, Access::Cdev),
        (Driver::Rs, Access::Group),
        (Driver::C, Access::Cdev),
    ] {
        for (name, test) in each {
            let config = Arc::clone(config);
            let variant = format!("{driver}_{access}");
            suite.add_slow("legacy", variant, name, LIMIT, move || {
                test(&config, driver, access)
            });
        }
    }
    type Own = fn(&Config) -> Result<()>;
    let ours: [(&str, Own); 12] = [
        ("same_as_c", same_as_c),
        ("header_as_c", header_as_c),
        ("registers_as_c", registers_as_c),
        ("wide_accesses", wide_accesses),
        ("bad_addresses", bad_addresses),
        ("a_new_user_finds_nothing", a_new_user_finds_nothing),
        ("commands_fail", faults::commands_fail),
        ("commands_are_retried", faults::commands_are_retried),
        ("commands_are_silent", faults::commands_are_silent),
        ("short_answers", faults::short_answers),
        ("no_notify_info", faults::no_notify_info),
        ("accesses_and_resets", torture::accesses_and_resets),
    ];
    for (name, test) in ours {
        let config = Arc::clone(config);
        suite.add_slow("legacy", "rs", name, LIMIT, move || test(&config));
    }
    for (from, to) in [
        (Driver::C, Driver::C),
        (Driver::Rs, Driver::Rs),
        (Driver::C, Driver::Rs),
        (Driver::Rs, Driver::C),
    ] {
        let config = Arc::clone(config);
        let variant = format!("{from}_to_{to}");
        suite.add_slow("legacy", variant, "migration", LIMIT, move || {
            talk::migration(&config, from, to)
        });
    }
}

fn open(config: &Config, driver: Driver) -> Result<Device> {
    rig::open(config, &config.vf()?, driver, Access::Cdev)
}

/// What a transitional network device must look like (virtio 1.4, 4.1.2).
fn looks_transitional(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let vf = config.vf()?;
    // The C driver shows what the last user left in BAR 0.
    vf.unbind()?;
    let device = rig::open(config, &vf, driver, access)?;
    let region = device.region(BAR0).context("BAR 0")?;
    expect_eq!(region.size, BAR_SIZE, "size of the I/O BAR");
    let access = vfio::VFIO_REGION_INFO_FLAG_READ | vfio::VFIO_REGION_INFO_FLAG_WRITE;
    expect_eq!(region.flags, access, "flags of the I/O BAR");
    expect!(
        region.capabilities.is_empty(),
        "capabilities of the I/O BAR"
    );
    expect!(device.map_region(BAR0).is_err(), "an I/O BAR was mapped");
    let mut header = [0; 64];
    device.config(0, &mut header)?;
    expect_eq!(
        header[..4],
        [0xf4, 0x1a, 0x00, 0x10],
        "vendor and device id"
    );
    expect_eq!(header[8], 0, "revision");
    expect_eq!(header[0x2c..0x30], [0xf4, 0x1a, 1, 0], "subsystem ids");
    expect_eq!(header[0x10..0x14], [1, 0, 0, 0], "BAR 0: I/O, no address");
    device.write_region(CONFIG, BAR0_REGISTER, &[0xff; 4])?;
    let mut bar = [0; 4];
    device.config(BAR0_REGISTER, &mut bar)?;
    expect_eq!(
        u32::from_le_bytes(bar),
        !(BAR_SIZE as u32 - 1) | 1,
        "BAR 0 when it is sized"
    );
    Ok(())
}

fn command_io(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    let io = Io(&device);
    let both = |what: &str, expected: Result<usize, Errno>| -> Result<()> {
        let read = io.read(register::DEVICE_STATUS, &mut [0]);
        expect_eq!(read, expected, "reading {what}");
        let written = io.write(register::QUEUE_SELECT, &[0, 0]);
        expect_eq!(written, expected.map(|_| 2), "writing {what}");
        Ok(())
    };
    both("without COMMAND.IO", Err(Errno::EIO))?;
    io.enable()?;
    let mut command = [0; 2];
    device.config(COMMAND, &mut command)?;
    expect_eq!(command[0] & 5, 5, "COMMAND.IO and BusMaster read back");
    both("with COMMAND.IO", Ok(1))?;
    device.reset().context("VFIO_DEVICE_RESET")?;
    both("after a reset", Err(Errno::EIO))?;
    io.enable()?;
    both("enabled after a reset", Ok(1))?;
    device.write_region(CONFIG, COMMAND, &[0, 0])?;
    both("disabled", Err(Errno::EIO))
}

/// What both drivers refuse.
fn misplaced_accesses(config: &Config, driver: Driver, access: Access) -> Result<()> {
    let device = rig::open(config, &config.vf()?, driver, access)?;
    let io = Io(&device);
    io.enable()?;
    for (at, length) in [
        (BAR_SIZE, 1),
        (BAR_SIZE - 1, 2),
        (BAR_SIZE - 2, 4),
        (0, BAR_SIZE as usize),
        (0, BAR_SIZE as usize + 1),
        (0, 9),
        (register::QUEUE_NOTIFY, 1),
        (register::QUEUE_NOTIFY + 1, 2),
        (1 << 39, 4),
    ] {
        let mut bytes = vec![0; length];
        let answer = io.read(at, &mut bytes);
        expect_eq!(answer, Err(Errno::EINVAL), "reading {length} bytes at {at}");
        let answer = io.write(at, &bytes);
        expect_eq!(answer, Err(Errno::EINVAL), "writing {length} bytes at {at}");
    }
    expect_eq!(io.read(0, &mut []), Ok(0), "an empty read");
    // Nothing of that had an effect.
    expect_eq!(io.get8(register::DEVICE_STATUS)?, 0, "device status");
    Ok(())
}

/// All that a device tells about itself.
fn same_as_c(config: &Config) -> Result<()> {
    for access in [Access::Cdev, Access::Group] {
        let vf = config.vf()?;
        let describe_new = |driver| {
            // As in `looks_transitional`.
            vf.unbind()?;
            describe(&rig::open(config, &vf, driver, access)?)
        };
        let theirs = describe_new(Driver::C)?;
        let ours = describe_new(Driver::Rs)?;
        expect_same(&ours, &theirs).with_context(|| format!("{access}"))?;
    }
    Ok(())
}

/// The header after each of some writes.
fn headers(device: &Device) -> Result<Vec<[u8; 64]>> {
    let writes: [(u64, &[u8]); 10] = [
        (COMMAND, &[0x07, 0x00]),
        (BAR0_REGISTER, &[0xff; 4]),
        (BAR0_REGISTER, &[0x00, 0xc0, 0x00, 0x00]),
        (BAR0_REGISTER + 1, &[0xd0]),
        (BAR0_REGISTER + 2, &[0x34, 0x12]),
        (COMMAND + 1, &[0x04]),
        // Nothing of this can be written.
        (0x02, &[0xff, 0xff]),
        (0x08, &[0xff]),
        (0x2c, &[0xff; 4]),
        (COMMAND, &[0x06, 0x04]),
    ];
    writes
        .into_iter()
        .map(|(at, bytes)| {
            device.write_region(CONFIG, at, bytes)?;
            let mut header = [0; 64];
            device.config(0, &mut header)?;
            Ok(header)
        })
        .collect()
}

fn header_as_c(config: &Config) -> Result<()> {
    let theirs = headers(&open(config, Driver::C)?)?;
    let device = open(config, Driver::Rs)?;
    let ours = headers(&device)?;
    for (write, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        expect_eq!(ours, theirs, "header after write {write}");
    }
    // In pieces it is the same.
    let mut whole = [0; 64];
    device.config(0, &mut whole)?;
    for length in [1, 2, 3, 4, 8, 20] {
        for at in 0..whole.len() - length {
            let mut piece = vec![0; length];
            device.config(at as u64, &mut piece)?;
            expect_eq!(piece, whole[at..at + length], "{length} bytes at {at:#x}");
        }
    }
    Ok(())
}

/// What registers read after reset, and after they were written.
fn registers(device: &Device) -> Result<Vec<Result<Vec<u8>, Errno>>> {
    let io = Io(device);
    io.enable()?;
    let mut found = Vec::new();
    for round in 0..2 {
        for (at, width) in REGISTERS {
            let mut bytes = vec![0; width];
            found.push(io.read(at, &mut bytes).map(|_| bytes));
        }
        for at in register::CONFIG..register::CONFIG + 6 {
            let mut byte = vec![0];
            found.push(io.read(at, &mut byte).map(|_| byte));
        }
        let mut status = vec![0; 2];
        found.push(io.read(register::CONFIG + 6, &mut status).map(|_| status));
        if round == 0 {
            io.set(register::DEVICE_STATUS, &[1])?;
            io.set(register::DEVICE_STATUS, &[3])?;
            io.set(register::DRIVER_FEATURES, &0x20_u32.to_le_bytes())?;
            io.set(register::QUEUE_SELECT, &1_u16.to_le_bytes())?;
            io.set(register::QUEUE_ADDRESS, &0x4_0000_u32.to_le_bytes())?;
        }
    }
    Ok(found)
}

fn registers_as_c(config: &Config) -> Result<()> {
    let theirs = registers(&open(config, Driver::C)?)?;
    let ours = registers(&open(config, Driver::Rs)?)?;
    expect_eq!(ours, theirs, "registers");
    expect!(ours.iter().all(Result::is_ok), "registers: {ours:?}");
    Ok(())
}

/// I/O ports take accesses of any width up to 8 bytes, whatever registers they
/// meet. The C driver leaves it to the device to refuse them.
fn wide_accesses(config: &Config) -> Result<()> {
    let device = open(config, Driver::Rs)?;
    let io = Io(&device);
    io.enable()?;
    io.set(register::DEVICE_STATUS, &[1])?;
    io.set(register::QUEUE_SELECT, &2_u16.to_le_bytes())?;
    // Byte for byte, but for the notification register, which has no halves.
    let mut bytes = Vec::new();
    for at in 0..BAR_SIZE - 4 {
        match at {
            register::QUEUE_NOTIFY => bytes.extend(io.get::<2>(at)?),
            17 => {}
            _ => bytes.push(io.get8(at)?),
        }
    }
    for length in 1..=8 {
        for at in 0..bytes.len() - length {
            let half = at == 17 || at + length == 17;
            let mut found = vec![0; length];
            let answer = io.read(at as u64, &mut found);
            if half {
                expect_eq!(answer, Err(Errno::EINVAL), "{length} bytes at {at}");
            } else {
                expect_eq!(answer, Ok(length), "{length} bytes at {at}");
                expect_eq!(found, bytes[at..at + length], "{length} bytes at {at}");
            }
        }
    }
    // Queue size, which cannot be written, and queue select.
    io.set(register::QUEUE_SIZE, &[0xff, 0xff, 1, 0])?;
    expect_eq!(io.get16(register::QUEUE_SELECT)?, 1, "queue select");
    expect_eq!(io.get16(register::QUEUE_SIZE)?, 256, "size of queue 1");
    Ok(())
}

/// Buffers that are not there.
fn bad_addresses(config: &Config) -> Result<()> {
    let device = open(config, Driver::Rs)?;
    let io = Io(&device);
    io.enable()?;
    let (config_at, bar_at) = (
        device.region(CONFIG).context("configuration space")?.offset,
        device.region(BAR0).context("BAR 0")?.offset,
    );
    for at in [config_at, bar_at] {
        expect_eq!(device.read_to_nowhere(at, 2), Err(Errno::EFAULT), "read");
        expect_eq!(
            device.write_from_nowhere(at, 2),
            Err(Errno::EFAULT),
            "write"
        );
    }
    expect_eq!(io.get8(register::DEVICE_STATUS)?, 0, "device status");
    Ok(())
}

/// COMMAND.IO and the address of BAR 0 do not outlive the device file.
fn a_new_user_finds_nothing(config: &Config) -> Result<()> {
    let device = open(config, Driver::Rs)?;
    Io(&device).enable()?;
    device.write_region(CONFIG, BAR0_REGISTER, &[0x40, 0xc0, 0, 0])?;
    drop(device);
    let vf = config.vf()?;
    let device = Device::open(&vf, &Arc::new(Space::new(Access::Cdev)?))?;
    let mut bar = [0; 4];
    device.config(BAR0_REGISTER, &mut bar)?;
    expect_eq!(bar, [1, 0, 0, 0], "BAR 0");
    let mut command = [0; 2];
    device.config(COMMAND, &mut command)?;
    expect_eq!(command[0] & 1, 0, "COMMAND.IO");
    let answer = Io(&device).read(0, &mut [0; 4]);
    expect_eq!(answer, Err(Errno::EIO), "an access to BAR 0");
    Ok(())
}
