// SPDX-License-Identifier: GPL-2.0
//! Fixture `faults`: admin commands that fail, at every place our driver issues
//! one. Needs the bench.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::control::{Action, Control};
use harness::ktap::Suite;
use harness::pci::Function;
use harness::vfio::{Access, Device, Space, State};
use harness::{expect, expect_eq, note};
use nix::errno::Errno;

use crate::config::{Config, Driver};
use crate::rig;

const LIMIT: Duration = Duration::from_secs(120);

const CREATE: u16 = 0x0a;
const DESTROY: u16 = 0x0d;
const METADATA: u16 = 0x0e;
const GET: u16 = 0x0f;
const SET: u16 = 0x10;
const MODE_SET: u16 = 0x11;

const EINVAL: u16 = 22;
const EAGAIN: u16 = 11;

/// Status codes of the virtio specification, with a qualifier each; and one that
/// is no status at all and larger than any errno.
const STATUSES: [(u16, u16); 6] = [(EINVAL, 3), (6, 0), (12, 0), (16, 0), (28, 6), (5000, 0)];

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Rc<Config>) {
    for (name, opcode) in [
        ("create", CREATE),
        ("metadata", METADATA),
        ("get", GET),
        ("set", SET),
        ("mode_set", MODE_SET),
    ] {
        let own = Rc::clone(config);
        suite.add_slow("faults", "rs", format!("{name}_fails"), LIMIT, move || {
            Faults::set_up(&own)?.every_call_site(opcode)
        });
        let own = Rc::clone(config);
        suite.add_slow(
            "faults",
            "rs",
            format!("{name}_is_retried"),
            LIMIT,
            move || Faults::set_up(&own)?.retried(opcode),
        );
        let own = Rc::clone(config);
        suite.add_slow(
            "faults",
            "rs",
            format!("{name}_is_slow"),
            LIMIT,
            move || Faults::set_up(&own)?.slow(opcode),
        );
    }
    let own = Rc::clone(config);
    suite.add_slow("faults", "rs", "destroy_fails", LIMIT, move || {
        Faults::set_up(&own)?.destroy()
    });
    let own = Rc::clone(config);
    suite.add_slow("faults", "rs", "metadata_lies", LIMIT, move || {
        Faults::set_up(&own)?.metadata_lies()
    });
}

/// How far a migration came.
#[derive(Debug)]
struct Broken {
    /// The step that failed.
    step: &'static str,
    errno: Errno,
    /// Whether the source or the target was at it, and the state it was in before.
    at_source: bool,
    before: State,
}

struct Faults {
    control: Control,
    source: Device,
    target: Device,
}

impl Faults {
    fn set_up(config: &Config) -> Result<Self> {
        let mut control = config.control()?;
        control.clear_faults()?;
        let open = |function: Result<Function>| -> Result<Device> {
            rig::open_in(
                config,
                &function?,
                Driver::Rs,
                &Rc::new(Space::new(Access::Cdev)?),
            )
        };
        Ok(Self {
            source: open(config.vf())?,
            target: open(config.vf2())?,
            control,
        })
    }

    /// A whole migration of the idle source into the target.
    fn migrate(&self) -> Result<Option<Broken>> {
        let mut stream = Vec::new();
        let steps: [(&'static str, bool, State); 6] = [
            ("source to RUNNING_P2P", true, State::RunningP2p),
            ("source to STOP", true, State::Stop),
            ("source to STOP_COPY", true, State::StopCopy),
            ("source to STOP again", true, State::Stop),
            ("target to RESUMING", false, State::Resuming),
            ("target to STOP", false, State::Stop),
        ];
        for (step, at_source, to) in steps {
            let device = if at_source {
                &self.source
            } else {
                &self.target
            };
            let before = device.state()?;
            let broken = |errno| {
                Ok(Some(Broken {
                    step,
                    errno,
                    at_source,
                    before,
                }))
            };
            let fd = match device.set_state(to) {
                Ok(fd) => fd,
                Err(errno) => return broken(errno),
            };
            let Some(mut fd) = fd else { continue };
            let moved = match to {
                State::StopCopy => fd
                    .read_all()
                    .map(|bytes| stream = bytes)
                    .map_err(root_errno),
                _ => fd.write_all(&stream),
            };
            if let Err(errno) = moved {
                // The step that moves the data is part of the state's session.
                return Ok(Some(Broken {
                    step,
                    errno,
                    at_source,
                    before: to,
                }));
            }
        }
        let before = self.target.state()?;
        Ok(self
            .target
            .set_state(State::Running)
            .err()
            .map(|errno| Broken {
                step: "target to RUNNING",
                errno,
                at_source: false,
                before,
            }))
    }

    /// Whatever went wrong: after a reset nothing of it is left.
    fn works_again(&mut self) -> Result<()> {
        self.control.clear_faults()?;
        rig::recover(&self.source)?;
        rig::recover(&self.target)?;
        let broken = self.migrate()?;
        expect!(broken.is_none(), "the next migration failed: {broken:?}");
        rig::recover(&self.source)?;
        let objects = self.control.state()?.admin.objects;
        expect!(objects.is_empty(), "objects left behind: {objects:?}");
        Ok(())
    }

    /// How often a migration issues `opcode`.
    fn call_sites(&mut self, opcode: u16) -> Result<u64> {
        rig::recover(&self.source)?;
        rig::recover(&self.target)?;
        let before = self.control.state()?.commands(opcode);
        let broken = self.migrate()?;
        expect!(
            broken.is_none(),
            "a migration without faults failed: {broken:?}"
        );
        let sites = self.control.state()?.commands(opcode) - before;
        expect!(sites > 0, "a migration does without opcode {opcode:#x}");
        note!("{sites} commands with opcode {opcode:#x} in a migration");
        Ok(sites)
    }

    fn every_call_site(&mut self, opcode: u16) -> Result<()> {
        let sites = self.call_sites(opcode)?;
        for site in 1..=sites {
            for (status, qualifier) in STATUSES {
                self.fail(opcode, site, status, qualifier)
                    .with_context(|| {
                        format!("opcode {opcode:#x}, command {site}, status {status}")
                    })?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, opcode: u16, site: u64, status: u16, qualifier: u16) -> Result<()> {
        rig::recover(&self.source)?;
        rig::recover(&self.target)?;
        self.control
            .inject(opcode, site as u32, 1, Action::Status { status, qualifier })?;
        let broken = self
            .migrate()?
            .context("the migration succeeded all the same")?;
        expect!(
            broken.errno != Errno::UnknownErrno,
            "no such errno: {broken:?}"
        );
        let device = if broken.at_source {
            &self.source
        } else {
            &self.target
        };
        let state = device.state()?;
        expect!(
            state == broken.before || state == State::Error,
            "left in {state}: {broken:?}"
        );
        note!(
            "command {site}, status {status}: {}: {}, left in {state}",
            broken.step,
            broken.errno
        );
        self.works_again()
    }

    /// EAGAIN means that the command may be repeated, and that it will do.
    fn retried(&mut self, opcode: u16) -> Result<()> {
        let sites = self.call_sites(opcode)?;
        for site in 1..=sites {
            rig::recover(&self.source)?;
            rig::recover(&self.target)?;
            let again = Action::Status {
                status: EAGAIN,
                qualifier: 7,
            };
            self.control.inject(opcode, site as u32, 1, again)?;
            let broken = self.migrate()?;
            expect!(
                broken.is_none(),
                "opcode {opcode:#x}, command {site}: {broken:?}"
            );
        }
        self.works_again()
    }

    fn slow(&mut self, opcode: u16) -> Result<()> {
        rig::recover(&self.source)?;
        rig::recover(&self.target)?;
        self.control.inject(opcode, 1, 1, Action::DelayMs(500))?;
        let broken = self.migrate()?;
        expect!(broken.is_none(), "opcode {opcode:#x} delayed: {broken:?}");
        self.works_again()
    }

    /// An object that cannot be destroyed costs a migration nothing.
    fn destroy(&mut self) -> Result<()> {
        let sites = self.call_sites(DESTROY)?;
        for site in 1..=sites {
            rig::recover(&self.source)?;
            rig::recover(&self.target)?;
            let refuse = Action::Status {
                status: EINVAL,
                qualifier: 3,
            };
            self.control.inject(DESTROY, site as u32, 1, refuse)?;
            let broken = self.migrate()?;
            expect!(broken.is_none(), "command {site}: {broken:?}");
            self.control.clear_faults()?;
            rig::recover(&self.source)?;
            rig::recover(&self.target)?;
            expect_eq!(
                self.migrate()?.map(|broken| broken.step),
                None,
                "the migration after that"
            );
        }
        Ok(())
    }

    /// A size that is wrong must neither be believed nor paid for.
    fn metadata_lies(&mut self) -> Result<()> {
        let sites = self.call_sites(METADATA)?;
        for size in [0, 1, 15, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff] {
            for site in 1..=sites {
                rig::recover(&self.source)?;
                rig::recover(&self.target)?;
                self.control
                    .inject(METADATA, site as u32, 1, Action::ResultSize(size))?;
                // Whether a lie does harm depends on what the size is for.
                let broken = self.migrate()?;
                note!("size {size:#x} at command {site}: {broken:?}");
                self.works_again()
                    .with_context(|| format!("after size {size:#x} at command {site}"))?;
            }
        }
        Ok(())
    }
}

/// The errno at the root of an error.
fn root_errno(error: anyhow::Error) -> Errno {
    let root = error.root_cause();
    root.downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error)
        .map_or(Errno::UnknownErrno, Errno::from_raw)
}
