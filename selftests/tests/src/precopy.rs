// SPDX-License-Identifier: GPL-2.0
//! Fixture `precopy`: the stream of a running device, what
//! VFIO_MIG_GET_PRECOPY_INFO says of it, and that it carries only changes.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use nix::errno::Errno;
use vvp_harness::ktap::Suite;
use vvp_harness::net::Mac;
use vvp_harness::pci::Function;
use vvp_harness::setting::Setting;
use vvp_harness::vfio::{DataFd, Device, Precopy, State};
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, DeviceType, Driver};
use crate::framing;
use crate::rig::{self, Talk};
use crate::transfer::moved_parts;
use crate::work::Work;

const LIMIT: Duration = Duration::from_secs(120);

/// Parameter `precopy_interval_ms` of the module, as it is by default.
const INTERVAL: Duration = Duration::from_millis(1000);

/// Headers of a record and of a device part.
const HEADER: u64 = 16;

/// The record that ends a stream.
const END: u64 = 2 * HEADER;

const NOTHING: Precopy = Precopy {
    initial_bytes: 0,
    dirty_bytes: 0,
    reinit: false,
};

const MACS: [Mac; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    type Test = fn(&Config) -> Result<()>;
    let of_any: [(&str, Test); 5] = [
        ("accounting", accounting),
        ("arguments", arguments),
        ("asks_the_device_once_per_interval", rate),
        ("idle_device", idle),
        ("cancelled", cancelled),
    ];
    // The driver of a network function can say what changes, and by how much.
    let of_net: [(&str, Test); 3] = [
        ("delta", delta),
        ("reinit", reinit),
        ("random_activity", random_activity),
    ];
    let net = config.device == DeviceType::Net;
    let tests = of_any.into_iter().chain(of_net.into_iter().filter(|_| net));
    let variant = format!("rs_{}", config.access);
    for (name, test) in tests {
        let config = Arc::clone(config);
        suite.add_slow("precopy", &*variant, name, LIMIT, move || test(&config));
    }
}

fn open(config: &Config) -> Result<(Function, Device)> {
    let vf = config.vf()?;
    let device = rig::open(config, &vf, Driver::Rs, config.access)?;
    Ok((vf, device))
}

/// Reads `length` bytes.
fn read(fd: &mut DataFd, length: u64) -> Result<()> {
    let mut bytes = vec![0; usize::try_from(length)?];
    expect_eq!(fd.read_once(&mut bytes), Ok(bytes.len()), "bytes read");
    Ok(())
}

/// The temporary end, by all that tells it.
fn expect_drained(fd: &mut DataFd) -> Result<()> {
    expect_eq!(fd.is_readable()?, false, "readable at the temporary end");
    expect_eq!(
        fd.read_once(&mut [0; 1]),
        Err(Errno::ENOMSG),
        "a read at the temporary end"
    );
    Ok(())
}

/// What is there counts down byte by byte, initial data first.
fn accounting(config: &Config) -> Result<()> {
    let (_, device) = open(config)?;
    let mut fd = device.begin(State::PreCopy)?;
    let start = fd.precopy()?;
    expect!(start.initial_bytes > HEADER, "initial bytes: {start:?}");
    expect_eq!(start.dirty_bytes, 0, "dirty bytes of a new session");
    expect!(fd.is_readable()?, "initial data is not readable");
    for step in [1, HEADER - 1, 7] {
        let before = fd.precopy()?.initial_bytes;
        read(&mut fd, step)?;
        expect_eq!(
            fd.precopy()?.initial_bytes,
            before - step,
            "initial bytes after reading {step}"
        );
    }
    let rest = fd.read_available()?.len() as u64;
    expect_eq!(
        rest + HEADER + 7,
        start.initial_bytes,
        "initial bytes in all"
    );
    expect_eq!(fd.precopy(), Ok(NOTHING), "after all was read");
    expect_drained(&mut fd)?;

    device.go(State::StopCopy)?;
    expect!(fd.is_readable()?, "not readable in STOP_COPY");
    let last = fd.read_all()?;
    note!("{} bytes in STOP_COPY", last.len());
    expect_eq!(fd.read_once(&mut [0; 1]), Ok(0), "a read at the end");
    expect!(fd.is_readable()?, "not readable at the end");
    rig::recover(&device)
}

/// Where and how the question may be asked.
fn arguments(config: &Config) -> Result<()> {
    let (_, device) = open(config)?;
    let fd = device.begin(State::PreCopy)?;
    for argsz in [0, 8, 23] {
        expect_eq!(
            fd.precopy_of_size(argsz).err(),
            Some(Errno::EINVAL),
            "argsz {argsz}"
        );
    }
    expect!(fd.precopy_of_size(4096).is_ok(), "a large argsz is refused");
    device.go(State::PreCopyP2p)?;
    expect!(fd.precopy().is_ok(), "refused in PRE_COPY_P2P");
    device.go(State::PreCopy)?;
    expect!(fd.precopy().is_ok(), "refused back in PRE_COPY");
    device.go(State::StopCopy)?;
    expect_eq!(fd.precopy(), Err(Errno::EINVAL), "in STOP_COPY");
    device.go(State::Stop)?;
    expect_eq!(fd.precopy(), Err(Errno::EINVAL), "after the session");
    rig::recover(&device)
}

/// Userspace may ask in a tight loop; the device is not.
fn rate(config: &Config) -> Result<()> {
    const PARTS_GET: u16 = 0xf;
    let (_, device) = open(config)?;
    if !config.bench {
        vvp_harness::skip!("only the bench can tell what the device was asked");
    }
    let mut control = config.control()?;
    let mut fd = device.begin(State::PreCopy)?;
    fd.read_available()?;
    let before = control.state()?.commands(PARTS_GET);
    let start = Instant::now();
    for _ in 0..200 {
        expect_eq!(fd.precopy(), Ok(NOTHING), "an idle device");
    }
    let asked = control.state()?.commands(PARTS_GET) - before;
    let most = 1 + (start.elapsed().as_millis() / INTERVAL.as_millis()) as u64;
    expect!(
        asked <= most,
        "the device was asked {asked} times in {:?}",
        start.elapsed()
    );
    sleep(INTERVAL);
    expect_eq!(fd.precopy(), Ok(NOTHING), "an idle device");
    let asked = control.state()?.commands(PARTS_GET) - before;
    expect!(asked > 0, "the device was never asked");
    rig::recover(&device)
}

/// Only the parts that changed follow, behind those that must precede them, and
/// the target has all of it.
fn delta(config: &Config) -> Result<()> {
    let (vf, device) = open(config)?;
    let target = rig::open_in(config, &config.vf2()?, Driver::Rs, device.space())?;
    let mut talk = Talk::start(config, &vf, &device)?;
    let mut fd = device.begin(State::PreCopy)?;
    let full = fd.precopy()?.initial_bytes;
    let mut stream = fd.read_available()?;

    // Features, common configuration and status; the generation of the configuration, which
    // changes, too, is among them. Behind them the hardware address, 6 bytes.
    let one = HEADER + framing::preceding_length(&stream)? + (HEADER + 6);
    for mac in MACS {
        talk.net.set_mac(mac)?;
        sleep(INTERVAL);
        let info = fd.precopy()?;
        expect_eq!((info.initial_bytes, info.dirty_bytes), (0, one), "delta");
        expect!(fd.is_readable()?, "the delta is not readable");
        let record = fd.read_available()?;
        expect_eq!(record.len() as u64, one, "bytes of the delta");
        stream.extend(record);
        expect_drained(&mut fd)?;
    }
    expect!(one < full, "a delta is smaller than {full} bytes");

    talk.net.set_mac(MACS[0])?;
    device.go(State::StopCopy)?;
    let last = fd.read_all()?;
    expect_eq!(last.len() as u64, one + END, "bytes of the last delta");
    stream.extend(last);

    rig::load(&target, &stream)?;
    if config.bench {
        let mut control = config.control()?;
        let (from, to) = (config.bench_name(&vf)?, config.bench_name(&config.vf2()?)?);
        let (sent, received) = moved_parts(&mut control, &from, &to)?;
        expect_eq!(received, sent, "parts of the target");
    }
    rig::recover(&target)?;
    rig::recover(&device)
}

/// A device that nothing happened to has next to nothing to add.
fn idle(config: &Config) -> Result<()> {
    let (vf, device) = open(config)?;
    let _work = Work::start(config, &vf, &device)?;
    let mut fd = device.begin(State::PreCopy)?;
    fd.read_available()?;
    device.go(State::StopCopy)?;
    let last = fd.read_all()?.len();
    expect_eq!(last as u64, END, "bytes in STOP_COPY");
    rig::recover(&device)
}

/// Other parts than before are sent whole: as initial data to userspace that
/// knows of that, as dirty data to others.
fn reinit(config: &Config) -> Result<()> {
    for opt_in in [false, true] {
        let (vf, device) = open(config)?;
        let mut talk = Talk::start(config, &vf, &device)?;
        if opt_in {
            device.precopy_v2().context("opting in to version 2")?;
        }
        let mut fd = device.begin(State::PreCopy)?;
        let full = fd.precopy()?.initial_bytes;
        fd.read_available()?;
        expect!(
            talk.net.set_mac_table(&MACS)?,
            "the device has no control queue"
        );
        sleep(INTERVAL);
        let info = fd.precopy()?;
        let grown = full + 6 * MACS.len() as u64;
        let expected = if opt_in { (grown, 0) } else { (0, grown) };
        expect_eq!(
            (info.initial_bytes, info.dirty_bytes),
            expected,
            "opted in: {opt_in}"
        );
        expect_eq!(info.reinit, opt_in, "REINIT");
        let again = fd.precopy()?;
        expect_eq!(again.reinit, false, "REINIT when asked again");
        expect_eq!(fd.read_available()?.len() as u64, grown, "bytes to read");
        rig::recover(&device)?;
    }
    Ok(())
}

/// Pre-copy that leads nowhere leaves nothing behind.
fn cancelled(config: &Config) -> Result<()> {
    let (_, device) = open(config)?;
    for state in [State::PreCopy, State::PreCopyP2p] {
        let mut fd = device.begin(state)?;
        read(&mut fd, 5)?;
        device.go(State::Running)?;
        expect_eq!(
            fd.read_once(&mut [0; 8]),
            Err(Errno::ENODEV),
            "a read afterwards"
        );
        expect!(fd.is_readable()?, "poll sleeps on a dead descriptor");
    }
    rig::recover(&device)?;
    if config.bench {
        expect_eq!(
            config.control()?.state()?.admin.objects,
            [],
            "resource objects"
        );
    }
    rig::prove_migration(&device)
}

/// Whatever the guest does in which order, and whenever userspace asks and reads:
/// the target ends up with the source's parts.
fn random_activity(config: &Config) -> Result<()> {
    const MIGRATIONS: u32 = 8;
    const STEPS: usize = 16;
    if !config.bench {
        vvp_harness::skip!("only the bench can tell which parts a device has");
    }
    let (vf, source) = open(config)?;
    let vf2 = config.vf2()?;
    let target = rig::open_in(config, &vf2, Driver::Rs, source.space())?;
    let mut talk = Talk::start(config, &vf, &source)?;
    let mut control = config.control()?;
    let (from, to) = (config.bench_name(&vf)?, config.bench_name(&vf2)?);
    let _interval = Setting::change(vf.path().join("precopy_interval_ms"), "0")?;
    let mut random = Rng::with_seed(0x0bad_cafe);
    let (mut deltas, mut full) = (0, 0);
    for migration in 0..MIGRATIONS {
        let mut fd = source.begin(State::PreCopy)?;
        let mut stream = Vec::new();
        for _ in 0..STEPS {
            match random.usize(..4) {
                0 => {
                    talk.net
                        .set_mac([2, 0, 0, 0, 1, random.usize(..256) as u8])?;
                }
                1 => {
                    let table: Vec<Mac> = (0..random.usize(..4))
                        .map(|_| [2, 0, 0, 0, 2, random.usize(..256) as u8])
                        .collect();
                    talk.net.set_mac_table(&table)?;
                }
                2 => talk.exchange(1)?,
                _ => {}
            }
            if random.usize(..3) == 0 {
                continue;
            }
            let before = fd.precopy()?;
            match before.dirty_bytes {
                0 => {}
                1..=200 => deltas += 1,
                _ => full += 1,
            }
            // Some of it, or all.
            let ahead = usize::try_from(before.initial_bytes + before.dirty_bytes)?;
            let mut bytes = vec![0; random.usize(..2 * ahead + 1).min(ahead)];
            if !bytes.is_empty() {
                let length = fd.read_once(&mut bytes).context("reading")?;
                stream.extend_from_slice(&bytes[..length]);
            }
        }
        source.go(State::StopCopy)?;
        stream.extend(fd.read_all()?);
        drop(fd);
        rig::recover(&target)?;
        rig::load(&target, &stream).with_context(|| format!("migration {migration}"))?;
        let (sent, received) = moved_parts(&mut control, &from, &to)?;
        expect_eq!(received, sent, "parts of the target, migration {migration}");
        source.go(State::Running)?;
    }
    note!("{deltas} deltas and {full} full records in {MIGRATIONS} migrations");
    expect!(deltas > 0 && full > 0, "the test did not do what it is for");
    rig::recover(&target)?;
    rig::recover(&source)
}
