// SPDX-License-Identifier: GPL-2.0
//! Fixture `weaknesses`: what can go wrong in a driver of this kind, found by
//! reading the in-tree C driver, by number; see Documentation/weaknesses.rst.
//!
//! Variant `rs`: none of them happens in our driver. Variant `c`: what the in-tree
//! driver does, for those where asking does no harm. That is reported and not
//! judged: it is not ours to pass or fail. Whether the page says the same is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use vvp_harness::control::{Action, Control, opcode};
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::{Access, DataFd, Device, PAGE, State};
use vvp_harness::wait::{self, PATIENCE};
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, Driver};
use crate::framing::{DATA, HEADER, OPTIONAL, record};
use crate::loading::Loading;
use crate::memory::{Hoard, Usage};
use crate::{memory, rig, weakness_table};

const LIMIT: Duration = Duration::from_secs(180);
/// For all probes, one after another.
const ALL: Duration = Duration::from_secs(600);

/// What a driver was seen to do.
enum Finding {
    Sound(String),
    Weak(String),
}
use Finding::{Sound, Weak};

impl Finding {
    fn weak_if(weak: bool, text: String) -> Self {
        if weak { Weak(text) } else { Sound(text) }
    }
}

/// Looks at either driver.
type Probe = fn(&Config, Driver) -> Result<Finding>;
/// Looks at ours only.
type Test = fn(&Config) -> Result<()>;

/// Weaknesses that the C driver can be asked for.
const PROBES: [(&str, Probe); 11] = [
    ("b08_memory_for_an_announced_record", announced_record),
    ("b10_memory_for_an_optional_record", optional_record),
    ("b13_half_a_stream_is_accepted", half_a_stream),
    (
        "b14_poll_promises_what_read_refuses",
        poll_at_the_temporary_end,
    ),
    (
        "b15_an_object_that_was_not_created_is_used",
        object_not_created,
    ),
    ("b16_byte_counts_without_headers", byte_counts),
    ("b17_everything_is_sent_again", idle_device),
    ("b19_unknown_flags_are_ignored", unknown_flags),
    ("b20_stopped_mode_survives_opening", stopped_mode),
    ("b21_try_again_is_not_tried_again", try_again),
    ("b22_a_size_costs_three_commands", size_query),
];

/// Those that would take the kernel or the device model down with the C driver,
/// or cannot be seen there from outside. Four more are tests of other fixtures; the page
/// says which.
const TESTS: [(&str, Test); 8] = [
    ("b01_write_after_the_session", write_after_the_session),
    ("b03_empty_record_behind_data", empty_record),
    ("b04_closing_during_a_question", closing_during_a_question),
    ("b06_status_beyond_errnos", status_beyond_errnos),
    ("b09_record_size_that_wraps", record_size_that_wraps),
    (
        "b11_sessions_leave_no_memory_behind",
        sessions_leave_nothing,
    ),
    (
        "b18_reading_while_the_stream_is_completed",
        reading_while_completed,
    ),
    ("b23_reset_during_an_arc", reset_during_an_arc),
];

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    for (name, test) in TESTS {
        let config = Arc::clone(config);
        suite.add_slow("weaknesses", "rs", name, ALL, move || test(&config));
    }
    for (name, probe) in PROBES {
        let own = Arc::clone(config);
        suite.add_slow("weaknesses", "rs", name, LIMIT, move || {
            match probe(&own, Driver::Rs)? {
                Sound(text) => note!("{text}"),
                Weak(text) => bail!("{text}"),
            }
            Ok(())
        });
    }
    let config = Arc::clone(config);
    suite.add_slow("weaknesses", "c", "as_documented", ALL, move || {
        as_documented(&config)
    });
}

/// Reports what the in-tree driver does. The page must say so, and of nothing else.
fn as_documented(config: &Config) -> Result<()> {
    let table = weakness_table::read()?;
    let mut wrong = Vec::new();
    let mut asked = Vec::new();
    for (name, probe) in PROBES {
        let (number, _) = name.split_once('_').context("a name without a number")?;
        let finding = probe(config, Driver::C).with_context(|| name.to_owned())?;
        let (said, text) = match finding {
            Sound(text) => ("no", text),
            Weak(text) => ("yes", text),
        };
        note!("reported: weaknesses.c.{name}: {said}: {text}");
        if table.get(number) != Some(&said) {
            wrong.push(format!(
                "{number}: {said}, the page: {:?}",
                table.get(number)
            ));
        }
        asked.push(number);
    }
    for (number, said) in &table {
        if !said.is_empty() && !asked.contains(number) {
            wrong.push(format!("{number} was not asked, the page: {said}"));
        }
    }
    expect!(wrong.is_empty(), "Documentation/weaknesses.rst: {wrong:?}");
    Ok(())
}

fn open(config: &Config, driver: Driver) -> Result<Device> {
    rig::open(config, &config.vf()?, driver, Access::Cdev)
}

fn ours(config: &Config) -> Result<Device> {
    open(config, Driver::Rs)
}

/// How often the PF was given `opcode`.
fn commands(config: &Config, opcode: u16) -> Result<u64> {
    Ok(config.control()?.state()?.commands(opcode))
}

/// What it costs to write `bytes` to a loading device.
fn cost(config: &Config, driver: Driver, bytes: &[u8]) -> Result<Finding> {
    let device = open(config, driver)?;
    let mut fd = rig::resume(&device)?;
    let before = memory::available()?;
    let answer = fd.write_once(bytes);
    let cost = before.saturating_sub(memory::available()?);
    drop(fd);
    rig::recover(&device)?;
    let text = format!("{} bytes cost {} MiB ({answer:?})", bytes.len(), cost >> 20);
    Ok(Finding::weak_if(cost > memory::NOISE, text))
}

fn announced_record(config: &Config, driver: Driver) -> Result<Finding> {
    cost(config, driver, &record(512 << 20, 0, DATA, &[0x5a]))
}

fn optional_record(config: &Config, driver: Driver) -> Result<Finding> {
    cost(
        config,
        driver,
        &record(256 << 20, OPTIONAL, 0x7777, &[0x5a]),
    )
}

fn half_a_stream(config: &Config, driver: Driver) -> Result<Finding> {
    let device = open(config, driver)?;
    let stream = rig::save(&device)?;
    rig::recover(&device)?;
    let mut accepted = Vec::new();
    for (what, part) in [("half a stream", stream.len() / 2), ("nothing", 0)] {
        let mut fd = rig::resume(&device)?;
        fd.write_all(&stream[..part])?;
        if device.set_state(State::Stop).is_ok() {
            accepted.push(what);
        }
        rig::recover(&device)?;
    }
    Ok(Finding::weak_if(
        !accepted.is_empty(),
        format!("accepted: {accepted:?}"),
    ))
}

fn poll_at_the_temporary_end(config: &Config, driver: Driver) -> Result<Finding> {
    let device = open(config, driver)?;
    let mut fd = device.begin(State::PreCopy)?;
    fd.read_available()?;
    let readable = fd.is_readable()?;
    let answer = fd.read_once(&mut [0; 1]);
    drop(fd);
    rig::recover(&device)?;
    Ok(Finding::weak_if(
        readable && answer.is_err(),
        format!("poll says {readable}, read says {answer:?}"),
    ))
}

fn object_not_created(config: &Config, driver: Driver) -> Result<Finding> {
    let device = open(config, driver)?;
    let mut control = config.control()?;
    let used = |control: &mut Control| -> Result<u64> {
        let state = control.state()?;
        Ok(state.commands(opcode::DEV_PARTS_METADATA_GET) + state.commands(opcode::DEV_PARTS_GET))
    };
    let before = used(&mut control)?;
    control.inject(
        opcode::RESOURCE_OBJ_CREATE,
        1,
        1,
        Action::Status {
            status: 28,
            qualifier: 6,
        },
    )?;
    let answer = device.set_state(State::PreCopy).map(drop);
    control.clear_faults()?;
    expect!(answer.is_err(), "PRE_COPY without an object");
    let used = used(&mut control)? - before;
    rig::recover(&device)?;
    Ok(Finding::weak_if(
        used > 0,
        format!("{used} commands with an object that was refused"),
    ))
}

fn byte_counts(config: &Config, driver: Driver) -> Result<Finding> {
    let device = open(config, driver)?;
    let mut fd = device.begin(State::PreCopy)?;
    let info = fd.precopy()?;
    let pre_copy = [
        info.initial_bytes + info.dirty_bytes,
        fd.read_available()?.len() as u64,
    ];
    rig::recover(&device)?;
    let mut fd = device.begin(State::StopCopy)?;
    let size = device.data_size().context("data size")?;
    let stop_copy = [size, fd.read_all()?.len() as u64];
    rig::recover(&device)?;
    Ok(Finding::weak_if(
        [pre_copy, stop_copy].iter().any(|[said, read]| said < read),
        format!("bytes announced and read: {pre_copy:?} in PRE_COPY, {stop_copy:?} in STOP_COPY"),
    ))
}

fn idle_device(config: &Config, driver: Driver) -> Result<Finding> {
    let device = open(config, driver)?;
    let mut fd = device.begin(State::PreCopy)?;
    let first = fd.read_available()?.len();
    device.go(State::StopCopy)?;
    let last = fd.read_all()?.len();
    drop(fd);
    rig::recover(&device)?;
    Ok(Finding::weak_if(
        last > first / 2,
        format!("{first} bytes in PRE_COPY, {last} more in STOP_COPY, of a device at rest"),
    ))
}

fn unknown_flags(config: &Config, driver: Driver) -> Result<Finding> {
    let device = open(config, driver)?;
    let stream = rig::save(&device)?;
    rig::recover(&device)?;
    let mut records = crate::framing::records(&stream)?;
    records.retain(|record| record.tag == DATA);
    let mut bytes = crate::framing::stream(&records);
    *bytes.get_mut(8).context("an empty stream")? = 2;
    let mut fd = rig::resume(&device)?;
    let answer = fd.write_all(&bytes);
    let ended = device.set_state(State::Stop).map(drop);
    drop(fd);
    rig::recover(&device)?;
    Ok(Finding::weak_if(
        answer.is_ok() && ended.is_ok(),
        format!("flags 0x2: write {answer:?}, RESUMING -> STOP {ended:?}"),
    ))
}

fn stopped_mode(config: &Config, driver: Driver) -> Result<Finding> {
    drop(open(config, driver)?);
    let before = commands(config, opcode::DEV_MODE_SET)?;
    let device = open(config, driver)?;
    let told = commands(config, opcode::DEV_MODE_SET)? - before;
    drop(device);
    Ok(Finding::weak_if(
        told == 0,
        format!("{told} commands that end stopped mode, at opening"),
    ))
}

fn try_again(config: &Config, driver: Driver) -> Result<Finding> {
    let device = open(config, driver)?;
    let mut control = config.control()?;
    control.inject(
        opcode::DEV_PARTS_GET,
        1,
        1,
        Action::Status {
            status: 11,
            qualifier: 7,
        },
    )?;
    let answer = device.set_state(State::StopCopy).map(drop);
    control.clear_faults()?;
    rig::recover(&device)?;
    Ok(Finding::weak_if(
        answer.is_err(),
        format!("STOP_COPY on a device that says EAGAIN once: {answer:?}"),
    ))
}

fn size_query(config: &Config, driver: Driver) -> Result<Finding> {
    let device = open(config, driver)?;
    device.data_size().context("data size")?;
    let all = || -> Result<u64> {
        let state = config.control()?.state()?;
        Ok((0..0x12).map(|opcode| state.commands(opcode)).sum())
    };
    let before = all()?;
    device.data_size().context("data size")?;
    let cost = all()? - before;
    rig::recover(&device)?;
    Ok(Finding::weak_if(cost > 1, format!("{cost} admin commands")))
}

fn write_after_the_session(config: &Config) -> Result<()> {
    let device = ours(config)?;
    let stream = rig::save(&device)?;
    rig::recover(&device)?;
    let mut fd = rig::resume(&device)?;
    fd.write_all(&stream)?;
    device.go(State::Stop)?;
    for bytes in [&stream[..], &stream[..1], &[]] {
        expect_eq!(
            fd.write_once(bytes),
            Err(Errno::ENODEV),
            "writing {} bytes after the session",
            bytes.len()
        );
    }
    rig::recover(&device)
}

fn empty_record(config: &Config) -> Result<()> {
    let loading = Loading::set_up(config)?;
    // The C driver subtracts from the length of a chunk of more than a page.
    let large = record(8192, OPTIONAL, 0x7777, &[0; 8192]);
    let empty = record(0, 0, DATA, &[]);
    loading.refuses("an empty record", &[&large[..], &empty].concat())
}

fn closing_during_a_question(config: &Config) -> Result<()> {
    let mut questions = 0;
    for _ in 0..30 {
        let device = ours(config)?;
        let fd = device.begin(State::PreCopy)?;
        let over = AtomicBool::new(false);
        let asked = scope(|scope| {
            let asker = scope.spawn(|| {
                let mut asked = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    match fd.precopy() {
                        Ok(_) => asked += 1,
                        Err(Errno::EINVAL) => break,
                        Err(errno) => return Err(errno),
                    }
                }
                Ok(asked)
            });
            std::thread::sleep(Duration::from_millis(5));
            drop(device);
            over.store(true, Ordering::Relaxed);
            asker.join()
        });
        questions += asked
            .map_err(|_| anyhow!("the asking thread panicked"))?
            .context("a question while the device is closed")?;
        expect_eq!(fd.precopy(), Err(Errno::EINVAL), "a question afterwards");
    }
    note!("{questions} questions were answered");
    expect!(questions > 0, "no question came before the closing");
    Ok(())
}

fn status_beyond_errnos(config: &Config) -> Result<()> {
    let device = ours(config)?;
    let mut control = config.control()?;
    for status in [4095, 4096, 5000, 0xffff] {
        let action = Action::Status {
            status,
            qualifier: 0,
        };
        control.inject(opcode::DEV_PARTS_GET, 1, 1, action)?;
        expect_eq!(
            device.set_state(State::StopCopy).map(drop),
            Err(Errno::EINVAL),
            "status {status}"
        );
        rig::recover(&device)?;
    }
    Ok(())
}

fn record_size_that_wraps(config: &Config) -> Result<()> {
    let loading = Loading::set_up(config)?;
    for size in [
        u64::from(u32::MAX) - 3,
        u64::from(u32::MAX) - 7,
        u64::MAX - 7,
    ] {
        let stream = record(size, 0, DATA, &loading.data()?);
        loading.refuses_with(Errno::EMSGSIZE, &format!("{size:#x} bytes"), &stream)?;
    }
    Ok(())
}

fn sessions_leave_nothing(config: &Config) -> Result<()> {
    const SESSIONS: usize = 1500;
    /// Bytes that may be missing afterwards, in all and in objects: less than a page, and
    /// than a small object, of each session. Some 2 MiB come and go by themselves.
    const LIMITS: [u64; 2] = [(SESSIONS * PAGE * 3 / 4) as u64, (SESSIONS * 256) as u64];
    let device = ours(config)?;
    let session = |number: usize| -> Result<()> {
        match number % 3 {
            0 => drop(device.begin(State::StopCopy)?),
            1 => drop(device.begin(State::PreCopy)?),
            // Left with nothing loaded, which only a reset ends.
            _ => {
                drop(rig::resume(&device)?);
                return rig::recover(&device);
            }
        }
        device.go(State::Running)
    };
    for number in 0..30 {
        session(number)?;
    }
    let before = Usage::now()?;
    let exceeds = |growth: [u64; 2]| [0, 1].map(|kind| growth[kind] > LIMITS[kind]);
    for number in 0..SESSIONS {
        session(number)?;
    }
    // Some of it is given back late.
    let left = wait::until("memory of sessions is given back", PATIENCE, || {
        let growth = Usage::now()?.growth_since(before);
        note!("{growth:?} bytes more, in all and in objects");
        Ok((exceeds(growth) == [false; 2]).then_some(growth))
    })?;
    note!("{left:?} bytes more after {SESSIONS} sessions, limits {LIMITS:?}");
    // Would it be seen if each had left a page, or two objects?
    let _hoard = Hoard::take(SESSIONS, 2 * SESSIONS)?;
    let growth = Usage::now()?.growth_since(before);
    note!("with a page and two objects for each: {growth:?} bytes more");
    expect_eq!(exceeds(growth), [true; 2], "whether a leak would be seen");
    rig::recover(&device)
}

fn reading_while_completed(config: &Config) -> Result<()> {
    let (source, target) = (
        ours(config)?,
        rig::open(config, &config.vf2()?, Driver::Rs, Access::Cdev)?,
    );
    for _ in 0..20 {
        rig::recover(&source)?;
        rig::recover(&target)?;
        let mut fd = source.begin(State::PreCopy)?;
        let stream = scope(|scope| {
            let reader = scope.spawn(move || read_through(&mut fd));
            let moved = source.go(State::StopCopy);
            (reader.join(), moved)
        });
        stream.1?;
        let stream = stream.0.map_err(|_| anyhow!("the reader panicked"))??;
        expect!(stream.len() > HEADER, "a stream of {} bytes", stream.len());
        rig::load(&target, &stream)?;
    }
    rig::recover(&source)?;
    rig::recover(&target)
}

/// Reads to the end, over the temporary ends before it.
fn read_through(fd: &mut DataFd) -> Result<Vec<u8>> {
    let mut stream = Vec::new();
    let mut bytes = [0; 13];
    loop {
        match fd.read_once(&mut bytes) {
            Ok(0) => return Ok(stream),
            Ok(length) => stream.extend_from_slice(&bytes[..length]),
            Err(Errno::ENOMSG) => std::thread::yield_now(),
            Err(errno) => return Err(errno).context("reading"),
        }
    }
}

fn reset_during_an_arc(config: &Config) -> Result<()> {
    let device = ours(config)?;
    let mut control = config.control()?;
    for opcode in [
        opcode::RESOURCE_OBJ_CREATE,
        opcode::DEV_PARTS_METADATA_GET,
        opcode::DEV_PARTS_GET,
        opcode::DEV_MODE_SET,
    ] {
        control.inject(opcode, 1, 1, Action::DelayMs(100))?;
        let (moved, reset) = scope(|scope| {
            let resetter = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                device.reset()
            });
            let moved = device.set_state(State::StopCopy);
            (moved, resetter.join())
        });
        reset.map_err(|_| anyhow!("the resetting thread panicked"))??;
        // Whether the arc came before the reset or was undone by it: it is not seen.
        expect_eq!(device.state()?, State::Running, "state after the reset");
        if let Ok(Some(mut fd)) = moved {
            expect_eq!(
                fd.read_once(&mut [0; 8]),
                Err(Errno::ENODEV),
                "a stream from before the reset"
            );
        }
        control.clear_faults()?;
        rig::recover(&device)?;
    }
    rig::prove_migration(&device)
}
