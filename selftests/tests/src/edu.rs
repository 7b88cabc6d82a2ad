// SPDX-License-Identifier: GPL-2.0
//! Fixture `edu`: the sample driver, which shows that `rust/vfio/` serves a
//! device that is not virtio. QEMU's edu device cannot be reset, so here a
//! device is new when it is opened.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use vvp_harness::ktap::Suite;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, BAR0, DataFd, Device, DmaBuffer, Flags, PAGE, Space, State};
use vvp_harness::{expect, expect_eq, kmod, note, skip, wait};

/// Where the device can reach: it has 28 address bits.
const IOVA: u64 = 0x0100_0000;
/// Address of the device's own memory, as its DMA sees it.
const INTERNAL: u64 = 0x4_0000;

const LIVENESS: u64 = 0x04;
const FACTORIAL: u64 = 0x08;
const STATUS: u64 = 0x20;
const COMPUTING: u32 = 1;
const INTERRUPT_WHEN_DONE: u32 = 0x80;
const IRQ: u64 = 0x24;
const IRQ_RAISE: u64 = 0x60;
const DMA_SOURCE: u64 = 0x80;
const DMA_DESTINATION: u64 = 0x88;
const DMA_COUNT: u64 = 0x90;
const DMA_COMMAND: u64 = 0x98;
const RUN: u64 = 1;
const TO_MEMORY: u64 = 2;

/// QEMU's device for teaching.
pub fn devices() -> Result<Vec<Function>> {
    Function::with_ids(0x1234, 0x11e8)
}

/// Adds the tests.
pub fn add(suite: &mut Suite) {
    for access in [Access::Cdev, Access::Group] {
        suite.add("edu", access.to_string(), "registers_move", move || {
            registers_move(access)
        });
    }
    type Test = fn() -> Result<()>;
    let tests: [(&str, Test); 12] = [
        ("flags", flags),
        ("arcs", arcs),
        ("every_factorial_moves", every_factorial_moves),
        ("pre_copy", pre_copy),
        ("pre_copy_of_a_busy_device", pre_copy_of_a_busy_device),
        ("pre_copy_is_over", pre_copy_is_over),
        ("bad_streams", bad_streams),
        ("early_end", early_end),
        ("waits_for_dma", waits_for_dma),
        ("waits_for_computation", waits_for_computation),
        ("memory_disabled", memory_disabled),
        ("new_when_opened", new_when_opened),
    ];
    for (name, test) in tests {
        suite.add_slow("edu", "cdev", name, Duration::from_secs(120), test);
    }
}

/// The device number `index`, as its user sees it.
struct Edu(Device);

impl Edu {
    fn open(index: usize, space: &Arc<Space>) -> Result<Self> {
        let found = devices()?;
        let Some(function) = found.get(index) else {
            skip!("this machine has {} edu devices", found.len());
        };
        kmod::load(kmod::SAMPLE, "")?;
        function.bind(kmod::SAMPLE)?;
        let device = Device::open(function, space)?;
        device.enable_bus_master()?;
        Ok(Self(device))
    }

    fn read32(&self, register: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        self.0.read_region(BAR0, register, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn write32(&self, register: u64, value: u32) -> Result<()> {
        self.0.write_region(BAR0, register, &value.to_le_bytes())
    }

    fn read64(&self, register: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_region(BAR0, register, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write64(&self, register: u64, value: u64) -> Result<()> {
        self.0.write_region(BAR0, register, &value.to_le_bytes())
    }

    fn is_computing(&self) -> Result<bool> {
        Ok(self.read32(STATUS)? & COMPUTING != 0)
    }

    fn wait_computed(&self) -> Result<()> {
        wait::until("the factorial", Duration::from_secs(60), || {
            Ok((!self.is_computing()?).then_some(()))
        })
    }

    fn compute(&self, n: u32) -> Result<()> {
        self.write32(FACTORIAL, n)?;
        self.wait_computed()
    }

    /// Everything that a user can read and the driver migrates.
    fn registers(&self) -> Result<([u32; 4], [u64; 3])> {
        Ok((
            [
                self.read32(LIVENESS)?,
                self.read32(FACTORIAL)?,
                self.read32(STATUS)?,
                self.read32(IRQ)?,
            ],
            [
                self.read64(DMA_SOURCE)?,
                self.read64(DMA_DESTINATION)?,
                self.read64(DMA_COUNT)?,
            ],
        ))
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.0.begin(State::StopCopy)?.read_all()
    }

    fn load(&self, stream: &[u8]) -> Result<()> {
        let mut fd = self.0.begin(State::Resuming)?;
        fd.write_all(stream).context("writing the stream")?;
        self.0.go(State::Running)
    }
}

fn space() -> Result<Arc<Space>> {
    Ok(Arc::new(Space::new(Access::Cdev)?))
}

fn open() -> Result<Edu> {
    Edu::open(0, &space()?)
}

/// Source and target.
fn pair(access: Access) -> Result<(Edu, Edu)> {
    let space = Arc::new(Space::new(access)?);
    Ok((Edu::open(0, &space)?, Edu::open(1, &space)?))
}

fn registers_move(access: Access) -> Result<()> {
    let (source, target) = pair(access)?;
    source.write32(LIVENESS, 0x1234_5678)?;
    source.compute(7)?;
    source.write32(STATUS, INTERRUPT_WHEN_DONE)?;
    source.write32(IRQ_RAISE, 0x11)?;
    source.write64(DMA_SOURCE, INTERNAL + 8)?;
    source.write64(DMA_DESTINATION, 0x1_2345_6789_abcd)?;
    source.write64(DMA_COUNT, 0x40)?;
    let expected = (
        [!0x1234_5678, 5040, INTERRUPT_WHEN_DONE, 0x11],
        [INTERNAL + 8, 0x1_2345_6789_abcd, 0x40],
    );
    expect_eq!(source.registers()?, expected, "registers of the source");
    let size = source.0.data_size().context("size")?;
    let stream = source.save()?;
    expect_eq!(stream.len() as u64, size, "bytes of the stream");
    note!("{size} bytes");

    // The target has had other users.
    target.compute(3)?;
    target.write32(IRQ_RAISE, 0x100)?;
    target.load(&stream)?;
    expect_eq!(target.registers()?, expected, "registers of the target");
    expect_eq!(source.registers()?, expected, "the source's afterwards");

    // It goes on there.
    target.compute(5)?;
    expect_eq!(target.read32(FACTORIAL)?, 120, "the target's factorial");
    let interrupts = target.read32(IRQ)?;
    expect_eq!(interrupts, 0x11, "5! is done, and interrupts");
    source.0.go(State::Running)
}

fn flags() -> Result<()> {
    let edu = open()?;
    let claimed = Flags::STOP_COPY.and(Flags::P2P).and(Flags::PRE_COPY);
    expect_eq!(edu.0.migration_flags(), Ok(claimed), "migration flags");
    let fd = edu.0.begin(State::StopCopy)?;
    expect_eq!(fd.precopy(), Err(Errno::EINVAL), "a question of pre-copy");
    Ok(())
}

/// The stream follows the registers of a device in operation, byte for byte.
fn pre_copy() -> Result<()> {
    let (source, target) = pair(Access::Cdev)?;
    source.compute(3)?;
    let size = source.0.data_size().context("size")?;
    let mut fd = source.0.begin(State::PreCopy)?;
    let ahead = |fd: &DataFd| {
        fd.precopy()
            .map(|info| (info.initial_bytes, info.dirty_bytes))
    };
    expect_eq!(ahead(&fd), Ok((size, 0)), "at the beginning");
    let mut stream = fd.read_available()?;
    expect_eq!(stream.len() as u64, size, "bytes of the first snapshot");
    expect_eq!(ahead(&fd), Ok((0, 0)), "of a device at rest");
    for (n, value) in [(1, 5), (2, 7)] {
        source.write32(LIVENESS, value)?;
        expect_eq!(ahead(&fd), Ok((0, size)), "change {n}");
        expect_eq!(ahead(&fd), Ok((0, size)), "change {n}, asked again");
        stream.extend(fd.read_available()?);
        expect_eq!(ahead(&fd), Ok((0, 0)), "change {n}, when it is read");
    }
    // One change that is asked for, and one that is not.
    source.write64(DMA_SOURCE, 9)?;
    expect_eq!(ahead(&fd), Ok((0, size)), "a change of DMA");
    source.compute(6)?;
    source.0.go(State::StopCopy)?;
    stream.extend(fd.read_all()?);
    expect_eq!(stream.len() as u64, 5 * size, "bytes of the stream");
    let expected = source.registers()?;
    target.load(&stream)?;
    expect_eq!(target.registers()?, expected, "registers of the target");
    drop(fd);
    source.0.go(State::Running)
}

/// What is computed when the device is stopped out of pre-copy is waited for.
fn pre_copy_of_a_busy_device() -> Result<()> {
    let (source, target) = pair(Access::Cdev)?;
    let mut fd = source.0.begin(State::PreCopy)?;
    source.write32(FACTORIAL, 1_000_000)?;
    source.0.go(State::StopCopy)?;
    expect!(!source.is_computing()?, "the device computes in STOP_COPY");
    let stream = fd.read_all()?;
    target.load(&stream)?;
    expect_eq!(target.registers()?, source.registers()?, "registers");
    drop(fd);
    source.0.go(State::Running)
}

/// Pre-copy that is given up, and one of a device whose registers are out of reach.
fn pre_copy_is_over() -> Result<()> {
    let edu = open()?;
    let fd = edu.0.begin(State::PreCopy)?;
    edu.0.go(State::Running)?;
    expect_eq!(fd.precopy(), Err(Errno::EINVAL), "after the session");
    let mut fd = edu.0.begin(State::PreCopy)?;
    fd.read_available()?;
    edu.0.disable_memory()?;
    expect_eq!(fd.precopy(), Err(Errno::EIO), "with memory disabled");
    edu.0.enable_bus_master()?;
    let info = fd.precopy();
    expect_eq!(
        info.map(|info| info.dirty_bytes),
        Ok(0),
        "with memory enabled"
    );
    edu.0.go(State::Running)
}

/// Every pair of states, by the comment on `enum vfio_device_mig_state`.
fn arcs() -> Result<()> {
    const STATES: [State; 5] = [
        State::Stop,
        State::Running,
        State::StopCopy,
        State::Resuming,
        State::RunningP2p,
    ];
    let edu = open()?;
    let stream = edu.save()?;
    edu.0.go(State::Running)?;
    for from in STATES {
        for to in STATES {
            let mut fd = edu.0.set_state(from).context("the first state")?;
            if let (State::Resuming, Some(fd)) = (from, &mut fd) {
                fd.write_all(&stream).context("the stream")?;
            }
            let mut answer = edu.0.set_state(to);
            let session = match &answer {
                Ok(session) => session.is_some(),
                Err(errno) => bail!("{from} -> {to}: {errno}"),
            };
            let begins = from != to && matches!(to, State::StopCopy | State::Resuming);
            expect_eq!(session, begins, "{from} -> {to}: a descriptor");
            expect_eq!(edu.0.state()?, to, "state after {from} -> {to}");
            // RESUMING is left with a whole stream.
            if let (State::Resuming, Ok(Some(fd))) = (to, &mut answer) {
                fd.write_all(&stream).context("the stream")?;
            }
            edu.0.go(State::Running)?;
        }
    }
    Ok(())
}

/// What the device computes is what it must be told to have computed.
fn every_factorial_moves() -> Result<()> {
    let (source, target) = pair(Access::Cdev)?;
    for n in (0..=36).chain([1000]) {
        source.compute(n)?;
        let expected = source.read32(FACTORIAL)?;
        let stream = source.save()?;
        source.0.go(State::Running)?;
        target.load(&stream)?;
        expect_eq!(target.read32(FACTORIAL)?, expected, "{n}!");
    }
    Ok(())
}

/// Offsets in a stream.
mod at {
    /// Result of the factorial.
    pub const FACTORIAL: usize = 8;
    /// Status.
    pub const STATUS: usize = 12;
}

fn bad_streams() -> Result<()> {
    let good = {
        let edu = open()?;
        edu.save()?
    };
    let with = |offset: usize, byte: u8| {
        let mut stream = good.clone();
        stream[offset] = byte;
        stream
    };
    let cases = [
        ("another device's", with(0, b'X')),
        ("a busy device's", with(at::STATUS, 1)),
        ("no factorial", with(at::FACTORIAL, 7)),
        ("one byte more", [&good[..], &[0]].concat()),
        ("two devices'", [&good[..], &good[..]].concat()),
    ];
    for (what, stream) in cases {
        let edu = open()?;
        let mut fd = edu.0.begin(State::Resuming)?;
        let written = fd.write_all(&stream);
        if stream.len() > good.len() {
            expect_eq!(written, Err(Errno::EINVAL), "{what}: the write");
            let again = fd.write_all(&good);
            expect_eq!(again, Err(Errno::EINVAL), "{what}: the next write");
        } else {
            expect_eq!(written, Ok(()), "{what}: the write");
        }
        let ended = edu.0.set_state(State::Stop).map(drop);
        expect_eq!(ended, Err(Errno::EINVAL), "{what}: RESUMING -> STOP");
        expect_eq!(edu.0.state()?, State::Error, "{what}: state");
        drop((edu, fd));
        let edu = open()?;
        expect_eq!(edu.0.state()?, State::Running, "{what}: opened anew");
        edu.load(&good).context("a good stream afterwards")?;
    }
    Ok(())
}

/// A stream that is not all there yet may still become whole.
fn early_end() -> Result<()> {
    let (source, target) = pair(Access::Cdev)?;
    source.compute(6)?;
    let stream = source.save()?;
    let mut fd = target.0.begin(State::Resuming)?;
    for piece in stream.chunks(7) {
        let ended = target.0.set_state(State::Stop).map(drop);
        expect_eq!(ended, Err(Errno::EINVAL), "RESUMING -> STOP");
        expect_eq!(target.0.state()?, State::Resuming, "state");
        fd.write_all(piece).context("a piece")?;
    }
    target.0.go(State::Running)?;
    expect_eq!(target.read32(FACTORIAL)?, 720, "6!");
    Ok(())
}

/// RUNNING -> RUNNING_P2P returns when DMA under way is done, not before.
fn waits_for_dma() -> Result<()> {
    const PATTERN: u64 = 0x0123_4567_89ab_cdef;
    let space = space()?;
    let edu = Edu::open(0, &space)?;
    let memory = DmaBuffer::new(IOVA, PAGE)?;
    space.map(&memory)?;
    memory.write(0, PATTERN);
    let copy = |source, destination, command| -> Result<()> {
        edu.write64(DMA_SOURCE, source)?;
        edu.write64(DMA_DESTINATION, destination)?;
        edu.write64(DMA_COUNT, 8)?;
        edu.write64(DMA_COMMAND, command | RUN)
    };
    copy(IOVA, INTERNAL, 0)?;
    edu.0.go(State::RunningP2p)?;
    expect_eq!(edu.read64(DMA_COMMAND)? & RUN, 0, "DMA in RUNNING_P2P");
    edu.0.go(State::Running)?;
    copy(INTERNAL, IOVA + 64, TO_MEMORY)?;
    edu.0.go(State::Stop)?;
    expect_eq!(memory.read::<u64>(64), PATTERN, "memory in STOP");
    edu.0.go(State::Running)
}

/// RUNNING_P2P -> STOP returns when the factorial is there, or gives up.
fn waits_for_computation() -> Result<()> {
    let edu = open()?;
    edu.write32(FACTORIAL, 1_000_000)?;
    edu.0.go(State::Stop)?;
    expect!(!edu.is_computing()?, "the device computes in STOP");
    edu.0.go(State::Running)?;

    // Seconds, on most machines.
    edu.write32(FACTORIAL, u32::MAX)?;
    match edu.0.set_state(State::Stop).map(drop) {
        Err(errno) => {
            expect_eq!(errno, Errno::ETIMEDOUT, "giving up");
            expect_eq!(edu.0.state()?, State::RunningP2p, "state after that");
            edu.wait_computed()?;
            edu.0.go(State::Stop)?;
        }
        Ok(()) => note!("this machine is fast"),
    }
    expect!(!edu.is_computing()?, "the device computes in STOP");
    edu.0.go(State::Running)
}

/// Registers that the device does not answer on cannot be saved.
fn memory_disabled() -> Result<()> {
    let edu = open()?;
    edu.0.go(State::Stop)?;
    edu.0.disable_memory()?;
    let answer = edu.0.set_state(State::StopCopy).map(drop);
    expect_eq!(answer, Err(Errno::EIO), "STOP -> STOP_COPY");
    expect_eq!(edu.0.state()?, State::Stop, "state after that");
    edu.0.enable_bus_master()?;
    expect!(!edu.save()?.is_empty(), "an empty stream");
    edu.0.go(State::Running)
}

/// Nothing of a former user is left, and unloading waits for the present one.
fn new_when_opened() -> Result<()> {
    let edu = open()?;
    edu.write32(LIVENESS, 5)?;
    edu.compute(4)?;
    edu.write32(STATUS, INTERRUPT_WHEN_DONE)?;
    edu.write32(IRQ_RAISE, 2)?;
    edu.write64(DMA_SOURCE, 3)?;
    expect_eq!(
        kmod::unload(kmod::SAMPLE),
        Err(Errno::EWOULDBLOCK),
        "unloading with a device open"
    );
    drop(edu);
    let edu = open()?;
    expect_eq!(edu.registers()?, ([0; 4], [0; 3]), "registers");
    drop(edu);
    expect_eq!(kmod::unload(kmod::SAMPLE), Ok(()), "unloading");
    Ok(())
}
