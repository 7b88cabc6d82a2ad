// SPDX-License-Identifier: GPL-2.0
//! Fixture `faults`: admin commands that fail, at every place where our driver
//! issues one. Needs the bench.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use vvp_harness::control::{Action, AdminObject, Control, REFUSE, opcode};
use vvp_harness::ktap::Suite;
use vvp_harness::memcg::Group;
use vvp_harness::pci::Function;
use vvp_harness::vfio::{Access, DataFd, Device, Space, State, errno_of};
use vvp_harness::{expect, expect_eq, note};

use crate::config::{Config, Driver};
use crate::framing;
use crate::rig;

const LIMIT: Duration = Duration::from_secs(120);

/// Opcodes whose failure fails a migration.
const NEEDED: [(&str, u16); 5] = [
    ("create", opcode::RESOURCE_OBJ_CREATE),
    ("metadata", opcode::DEV_PARTS_METADATA_GET),
    ("get", opcode::DEV_PARTS_GET),
    ("set", opcode::DEV_PARTS_SET),
    ("mode_set", opcode::DEV_MODE_SET),
];

/// Status EAGAIN, qualifier "try again".
const TRY_AGAIN: Action = Action::Status {
    status: 11,
    qualifier: 7,
};

/// Status codes of the virtio specification, with a qualifier each; and one that
/// is no status at all and larger than any errno.
const STATUSES: [(u16, u16); 6] = [(22, 3), (6, 0), (12, 0), (16, 0), (28, 6), (5000, 0)];

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    type Body = fn(&mut Faults, u16) -> Result<()>;
    let each: [(&str, Body); 4] = [
        ("fails", Faults::every_call_site),
        ("is_retried", Faults::retried),
        ("is_slow", Faults::slow),
        ("is_silent", Faults::silent),
    ];
    for (command, opcode) in NEEDED {
        for (what, test) in each {
            let config = Arc::clone(config);
            let name = format!("{command}_{what}");
            suite.add_slow("faults", "rs", name, LIMIT, move || {
                test(&mut Faults::set_up(&config, Path::Stopped)?, opcode)
            });
        }
        for (what, test) in [each[0], each[3]] {
            let config = Arc::clone(config);
            let name = format!("{command}_{what}");
            suite.add_slow("faults", "rs_precopy", name, LIMIT, move || {
                test(&mut Faults::set_up(&config, Path::PreCopy)?, opcode)
            });
        }
    }
    for path in [Path::Stopped, Path::PreCopy] {
        let config = Arc::clone(config);
        let variant = match path {
            Path::Stopped => "rs",
            Path::PreCopy => "rs_precopy",
        };
        suite.add_slow("faults", variant, "context_grows", LIMIT, move || {
            Faults::set_up(&config, path)?.context_grows()
        });
    }
    let others: [(&str, Body, u16); 4] = [
        ("error_state", Faults::error_state, opcode::DEV_PARTS_SET),
        (
            "metadata_lies",
            Faults::metadata_lies,
            opcode::DEV_PARTS_METADATA_GET,
        ),
        ("get_lies", Faults::get_lies, opcode::DEV_PARTS_GET),
        (
            "destroy_fails",
            Faults::destroy,
            opcode::RESOURCE_OBJ_DESTROY,
        ),
    ];
    for (name, test, opcode) in others {
        let config = Arc::clone(config);
        suite.add_slow("faults", "rs", name, LIMIT, move || {
            test(&mut Faults::set_up(&config, Path::Stopped)?, opcode)
        });
    }
}

/// An arc of a migration.
#[derive(Clone, Copy, Debug)]
struct Step {
    name: &'static str,
    at_source: bool,
    to: State,
}

/// How the source gets to STOP_COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Stopped,
    PreCopy,
}

/// A migration, arc by arc, so that a failure can leave one state only.
fn steps(path: Path) -> impl Iterator<Item = Step> {
    let source = |(name, to)| Step {
        name,
        at_source: true,
        to,
    };
    let target = |(name, to)| Step {
        name,
        at_source: false,
        to,
    };
    let stopped = [
        ("source to RUNNING_P2P", State::RunningP2p),
        ("source to STOP", State::Stop),
        ("source to STOP_COPY", State::StopCopy),
    ];
    let pre_copy = [
        ("source to PRE_COPY", State::PreCopy),
        ("source to PRE_COPY_P2P", State::PreCopyP2p),
        ("source to STOP_COPY, pre-copied", State::StopCopy),
    ];
    let load = [
        ("target to RUNNING_P2P", State::RunningP2p),
        ("target to STOP", State::Stop),
        ("target to RESUMING", State::Resuming),
        ("target to STOP, loaded", State::Stop),
        ("target to RUNNING_P2P, loaded", State::RunningP2p),
        ("target to RUNNING", State::Running),
    ];
    let save = match path {
        Path::Stopped => stopped,
        Path::PreCopy => pre_copy,
    };
    save.into_iter()
        .chain([("source to STOP, saved", State::Stop)])
        .map(source)
        .chain(load.into_iter().map(target))
}

/// How far a migration came.
#[derive(Debug)]
struct Broken {
    step: Step,
    errno: Errno,
    /// The state that the failure must have left, unless that is ERROR.
    state: State,
}

/// Moves the state of `source` to `target`.
fn migrate(source: &Device, target: &Device, path: Path) -> Result<Option<Broken>> {
    let mut stream = Vec::new();
    let mut saving = None;
    for step in steps(path) {
        let device = if step.at_source { source } else { target };
        let before = device.state()?;
        let broken = |errno, state| Ok(Some(Broken { step, errno, state }));
        let fd = match device.set_state(step.to) {
            Ok(fd) => fd,
            Err(errno) => return broken(errno, before),
        };
        let transferred = match (step.to, fd) {
            (State::PreCopy, Some(mut fd)) => {
                let read = pre_copy(&mut fd, &mut stream);
                saving = Some(fd);
                read
            }
            (State::StopCopy, fd) => match fd.or(saving.take()) {
                Some(fd) => save(fd, &mut stream),
                None => bail!("no descriptor in STOP_COPY"),
            },
            (State::Resuming, Some(mut fd)) => fd.write_all(&stream),
            _ => Ok(()),
        };
        if let Err(errno) = transferred {
            return broken(errno, step.to);
        }
    }
    Ok(None)
}

/// Reads all there is in PRE_COPY, twice.
fn pre_copy(fd: &mut DataFd, stream: &mut Vec<u8>) -> Result<(), Errno> {
    for _ in 0..2 {
        let info = fd.precopy()?;
        let mut bytes = vec![0; (info.initial_bytes + info.dirty_bytes) as usize];
        if !bytes.is_empty() {
            fd.file().read_exact(&mut bytes).map_err(errno_of)?;
            stream.extend(bytes);
        }
    }
    Ok(())
}

/// Reads all there is in STOP_COPY.
fn save(mut fd: DataFd, stream: &mut Vec<u8>) -> Result<(), Errno> {
    let mut chunk = [0; 4096];
    loop {
        match fd.read_once(&mut chunk)? {
            0 => return Ok(()),
            length => stream.extend_from_slice(&chunk[..length]),
        }
    }
}

pub struct Faults {
    control: Control,
    source: Device,
    target: Device,
    path: Path,
    /// Resource objects that were there before.
    objects: Vec<AdminObject>,
}

impl Faults {
    pub fn set_up(config: &Config, path: Path) -> Result<Self> {
        let mut control = config.control()?;
        control.clear_faults()?;
        let open = |function: Result<Function>| -> Result<Device> {
            let space = Arc::new(Space::new(Access::Cdev)?);
            rig::open_in(config, &function?, Driver::Rs, &space)
        };
        let (source, target) = (open(config.vf())?, open(config.vf2())?);
        let objects = control.state()?.admin.objects;
        Ok(Self {
            control,
            source,
            target,
            path,
            objects,
        })
    }

    /// Both functions as at the beginning.
    fn begin_again(&self) -> Result<()> {
        rig::recover(&self.source)?;
        rig::recover(&self.target)
    }

    fn expect_success(&self, what: &str) -> Result<()> {
        let broken = migrate(&self.source, &self.target, self.path)?;
        expect!(broken.is_none(), "{what}: {broken:?}");
        Ok(())
    }

    /// Whatever went wrong: after a reset nothing of it is left.
    fn works_again(&mut self) -> Result<()> {
        self.control.clear_faults()?;
        self.begin_again()?;
        self.expect_success("the next migration")?;
        self.begin_again()?;
        let objects = self.control.state()?.admin.objects;
        expect_eq!(objects, self.objects, "resource objects left");
        Ok(())
    }

    /// How often a migration issues `opcode`.
    fn call_sites(&mut self, opcode: u16) -> Result<u32> {
        self.begin_again()?;
        let before = self.control.state()?.commands(opcode);
        self.expect_success("a migration without faults")?;
        let sites = self.control.state()?.commands(opcode) - before;
        expect!(sites > 0, "a migration does without opcode {opcode:#x}");
        note!("{sites} commands with opcode {opcode:#x} in a migration");
        u32::try_from(sites).context("number of commands")
    }

    fn every_call_site(&mut self, opcode: u16) -> Result<()> {
        let sites = self.call_sites(opcode)?;
        for site in 1..=sites {
            // How a status becomes an errno does not depend on the path.
            let statuses = match self.path {
                Path::Stopped => &STATUSES[..],
                Path::PreCopy => &STATUSES[..1],
            };
            for &(status, qualifier) in statuses {
                self.fail(opcode, site, status, qualifier)
                    .with_context(|| format!("command {site}, status {status}"))?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, opcode: u16, site: u32, status: u16, qualifier: u16) -> Result<()> {
        self.begin_again()?;
        let action = Action::Status { status, qualifier };
        self.control.inject(opcode, site, 1, action)?;
        let broken = migrate(&self.source, &self.target, self.path)?;
        let broken = broken.context("the migration succeeded all the same")?;
        expect!(
            broken.errno != Errno::UnknownErrno,
            "no such errno: {broken:?}"
        );
        let device = if broken.step.at_source {
            &self.source
        } else {
            &self.target
        };
        let state = device.state()?;
        expect!(
            state == broken.state || state == State::Error,
            "left in {state}: {broken:?}"
        );
        note!(
            "command {site}, status {status}: {}: {:?}, left in {state}",
            broken.step.name,
            broken.errno
        );
        self.works_again()
    }

    /// EAGAIN means that the command may be repeated, and that it will do.
    fn retried(&mut self, opcode: u16) -> Result<()> {
        for site in 1..=self.call_sites(opcode)? {
            self.begin_again()?;
            self.control.inject(opcode, site, 1, TRY_AGAIN)?;
            self.expect_success(&format!("EAGAIN for command {site}"))?;
        }
        self.works_again()
    }

    fn slow(&mut self, opcode: u16) -> Result<()> {
        self.begin_again()?;
        self.control.inject(opcode, 1, 1, Action::DelayMs(500))?;
        self.expect_success("a slow command")?;
        self.works_again()
    }

    /// A command that is not answered holds its caller up, and harms nothing.
    fn silent(&mut self, opcode: u16) -> Result<()> {
        for site in 1..=self.call_sites(opcode)? {
            self.silent_at(opcode, site)
                .with_context(|| format!("command {site}"))?;
        }
        Ok(())
    }

    fn silent_at(&mut self, opcode: u16, site: u32) -> Result<()> {
        const SILENCE: Duration = Duration::from_secs(1);
        self.begin_again()?;
        self.control.inject(opcode, site, 1, Action::Silence)?;
        let start = Instant::now();
        let control = &mut self.control;
        let (released, broken) = std::thread::scope(|scope| {
            let releaser = scope.spawn(move || {
                std::thread::sleep(SILENCE);
                control.release()
            });
            let broken = migrate(&self.source, &self.target, self.path);
            (releaser.join(), broken)
        });
        released.map_err(|_| anyhow!("the releasing thread panicked"))??;
        let broken = broken?;
        expect!(broken.is_none(), "an answer that came late: {broken:?}");
        expect!(start.elapsed() >= SILENCE, "nobody waited for the answer");
        self.works_again()
    }

    /// "To recover from ERROR VFIO_DEVICE_RESET must be used"
    fn error_state(&mut self, opcode: u16) -> Result<()> {
        let stream = rig::save(&self.source)?;
        self.control.inject(opcode, 1, 1, REFUSE)?;
        let mut fd = rig::resume(&self.target)?;
        let written = fd.write_all(&stream);
        expect_eq!(written, Err(Errno::EINVAL), "a state the device refuses");
        let ended = self.target.set_state(State::Stop).map(drop);
        expect_eq!(ended, Err(Errno::EINVAL), "RESUMING -> STOP");
        expect_eq!(self.target.state()?, State::Error, "state after that");
        for to in State::ALL.into_iter().filter(|to| *to != State::Error) {
            let answer = self.target.set_state(to).map(drop);
            expect_eq!(answer, Err(Errno::EINVAL), "ERROR -> {to}");
            expect_eq!(self.target.state()?, State::Error, "after ERROR -> {to}");
        }
        self.works_again()
    }

    /// What the device says it wrote and did not is zero, not what was in memory
    /// before. Zeroes are no parts but empty ones of type 0, if they are whole.
    pub fn get_lies(&mut self, opcode: u16) -> Result<()> {
        let good = rig::save(&self.source)?;
        let content = |stream: &[u8]| -> Result<Vec<u8>> {
            let records = framing::records(stream)?.into_iter();
            let data = records
                .into_iter()
                .find(|record| record.tag == framing::DATA);
            Ok(data.context("no device data")?.content)
        };
        let whole = content(&good)?;
        let parts = framing::parts(&whole)?;
        let mut written = 0;
        for (_, part) in parts {
            self.begin_again()?;
            self.control
                .inject(opcode, 1, 1, Action::Withhold(written as u32))?;
            match self.source.set_state(State::StopCopy) {
                Ok(Some(fd)) => {
                    let mut stream = Vec::new();
                    save(fd, &mut stream).context("reading what there is")?;
                    let found = content(&stream)?;
                    expect_eq!(
                        found[..written],
                        whole[..written],
                        "bytes that were written"
                    );
                    expect!(
                        found[written..].iter().all(|&byte| byte == 0),
                        "of {} bytes that were not written, some are not zero",
                        found.len() - written
                    );
                }
                Ok(None) => bail!("no descriptor in STOP_COPY"),
                // Not a whole number of parts.
                Err(errno) => expect_eq!(errno, Errno::EIO, "STOP -> STOP_COPY"),
            }
            written += part.len();
        }
        self.works_again()
    }

    /// Bytes of device parts that one command carries: pieces of at most 4 MiB, each with
    /// a descriptor of the admin queue, three of which are the command's own. More than 64
    /// are not used.
    fn most_bytes(&mut self) -> Result<u32> {
        let state = self.control.state()?;
        let queue = state.function("pf")?.queues.last();
        let size = u32::from(queue.context("the PF has no queues")?.size);
        Ok((size.min(64).saturating_sub(3)) * (4 << 20))
    }

    /// A size that is wrong must neither be believed nor paid for: one that no command
    /// could read, for which the PF's driver would wait forever, is refused before there is
    /// memory for it, and no size at all is as well. Of one that is too small, the driver finds
    /// out.
    fn metadata_lies(&mut self, opcode: u16) -> Result<()> {
        /// Bytes that a migration of a small context costs at most, here and in the kernel.
        const COST: u64 = 8 << 20;
        /// A size that might be. It is believed, which shows that the price of that is seen.
        const POSSIBLE: u32 = 16 << 20;
        let most = self.most_bytes()?;
        expect!(most >= POSSIBLE, "a command carries {most} bytes only");
        let lies: [(u32, Option<Errno>); 8] = [
            (POSSIBLE, None),
            (most + 1, Some(Errno::EFBIG)),
            (0, Some(Errno::EINVAL)),
            (1, None),
            (15, None),
            (0x7fff_ffff, Some(Errno::EFBIG)),
            (0xffff_fff0, Some(Errno::EFBIG)),
            (0xffff_ffff, Some(Errno::EFBIG)),
        ];
        let sites = self.call_sites(opcode)?;
        let group = Group::enter()?;
        for (size, refusal) in lies {
            for site in 1..=sites {
                let what = format!("size {size:#x} at command {site}");
                self.begin_again()?;
                self.control
                    .inject(opcode, site, 1, Action::ResultSize(size))?;
                let mut broken = None;
                let cost = group.peak(|| {
                    broken = migrate(&self.source, &self.target, self.path)?;
                    Ok(())
                })?;
                let outcome = broken
                    .as_ref()
                    .map(|broken| (broken.step.name, broken.errno));
                note!("{what}: {outcome:?}, {cost} bytes");
                expect_eq!(broken.map(|broken| broken.errno), refusal, "{what}");
                expect_eq!(
                    cost > COST,
                    size == POSSIBLE,
                    "{what}: {cost} bytes, too many"
                );
                self.works_again()
                    .with_context(|| format!("after {what}"))?;
            }
        }
        Ok(())
    }

    /// A device in operation may have more to say when it is read than when it was
    /// asked how much: it is asked again. To a target that says little, much may
    /// be given.
    fn context_grows(&mut self) -> Result<()> {
        for site in 1..=self.call_sites(opcode::DEV_PARTS_METADATA_GET)? {
            self.begin_again()?;
            self.control.inject(
                opcode::DEV_PARTS_METADATA_GET,
                site,
                1,
                Action::ResultSize(24),
            )?;
            self.expect_success(&format!("24 bytes at command {site}"))?;
        }
        self.works_again()
    }

    /// An object that cannot be destroyed costs no migration, neither this nor the next.
    pub fn destroy(&mut self, opcode: u16) -> Result<()> {
        for site in 1..=self.call_sites(opcode)? {
            self.begin_again()?;
            self.control.inject(opcode, site, 1, REFUSE)?;
            self.expect_success(&format!("command {site} refused"))?;
            self.control.clear_faults()?;
            self.begin_again()?;
            self.expect_success("the migration after that")?;
        }
        Ok(())
    }
}
