// SPDX-License-Identifier: GPL-2.0
//! A scenario being played: its host, its guest, and the QEMUs that this one is in.
//! Each step is bounded in time.

use std::path::PathBuf;
use std::process::Command as Process;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use anyhow::{Context, Result};
use vvp_harness::pci::Function;

use super::{Options, Script};
use crate::control::{Command, DRIVER_LATER, NO_PAGES};
use crate::host::guest::Guest;
use crate::host::kernel_log;
use crate::host::load::Load;
use crate::host::patience::{GUEST_UP, say};
use crate::host::prepare::{self, Host};
use crate::host::report::Report;
use crate::host::tracking;
use crate::host::virtual_iommu::VirtualIommu;
use crate::host::vm::{Image, Vm};

/// Where QEMU's sockets go.
const SOCKETS: &str = "/tmp";
/// Has the guest's virtio_pci prefer the legacy interface. Devices without one,
/// as QEMU's own are here, are driven as ever.
const FORCE_LEGACY: &str = "virtio_pci.force_legacy=1";

/// A set of virtual functions that a guest can own: it moves from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::A => "a",
            Side::B => "b",
        })
    }
}

/// A QEMU, with the control channel to the guest that is in it, or will be.
pub struct Machine {
    pub vm: Vm,
    guest: Guest,
    pub side: Side,
}

impl Machine {
    /// Deals with the guest. If that fails, the error says how QEMU is doing, too: a
    /// guest that resets takes it along, of which its channel only says that it closed.
    pub fn with_guest<T>(&mut self, deal: impl FnOnce(&mut Guest) -> Result<T>) -> Result<T> {
        deal(&mut self.guest).with_context(|| self.vm.last_words())
    }
}

/// A scenario being played.
pub struct Plot<'a> {
    pub options: &'a Options,
    pub report: &'a mut Report,
    pub(super) loads: Vec<Load>,
    script: &'static Script,
    host: Host,
    image: Image,
    consoles: Vec<PathBuf>,
}

impl<'a> Plot<'a> {
    /// Makes the host under test ready.
    pub fn prepare(
        options: &'a Options,
        script: &'static Script,
        report: &'a mut Report,
    ) -> Result<Self> {
        say("preparing modules, virtual functions and what the guest works on");
        let vfs = 2 * script.functions;
        let host = prepare::prepare(&options.common.pf, vfs, options.driver, &options.tracking)?;
        describe(report)?;
        let loads = (0..script.functions)
            .map(|index| Load::prepare(options.device, &host.pf, index))
            .collect::<Result<_>>()?;
        let image = Image {
            kernel: options.common.kernel_image(),
            initrd: options.common.initrd.clone(),
            append: [
                options.legacy_guest.then_some(FORCE_LEGACY),
                script.driver_later.then_some(DRIVER_LATER),
                options.virtual_iommu.map(VirtualIommu::word),
                (!report.setting.writes_pages()).then_some(NO_PAGES),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
            disguised: script.driver_later,
            memory: options.common.memory,
            tracking: options.tracking,
            virtual_iommu: options.virtual_iommu,
            reboots: script.reboots,
            events: tracking::EVENTS
                .iter()
                .chain(script.events)
                .copied()
                .chain(options.virtual_iommu.map(VirtualIommu::event))
                .collect(),
            logs: options.common.logs.clone(),
            sockets: PathBuf::from(SOCKETS),
        };
        Ok(Self {
            options,
            report,
            script,
            host,
            loads,
            image,
            consoles: Vec::new(),
        })
    }

    /// The virtual functions of a side.
    pub fn vfs(&self, side: Side) -> &[Function] {
        let (a, b) = self.host.vfs.split_at(self.script.functions);
        match side {
            Side::A => a,
            Side::B => b,
        }
    }

    fn start(&mut self, side: Side, incoming: bool) -> Result<Machine> {
        let number = self.consoles.len() + 1;
        let name = format!("{number}{side}");
        let vm = Vm::start(&name, &self.image, self.vfs(side), incoming)?;
        self.consoles.push(vm.console().to_path_buf());
        // A guest may be asked in several QEMUs, one after the other.
        let guest = Guest::connect(vm.control(), (number as u64) << 32)?;
        Ok(Machine { vm, guest, side })
    }

    /// Boots a guest, and waits until it works on its functions.
    pub fn boot(&mut self, side: Side) -> Result<Machine> {
        say("starting the guest on the source");
        let started = Instant::now();
        let mut machine = self.start(side, false)?;
        self.wait_until_up(&mut machine)?;
        let seconds = started.elapsed().as_secs_f64();
        self.report.guest_up_s.get_or_insert(seconds);
        Ok(machine)
    }

    /// Gets ready for a guest that boots while another one was there before, or it.
    pub fn renew_loads(&mut self) -> Result<()> {
        self.loads.iter_mut().try_for_each(Load::renew)
    }

    /// Waits until a guest that boots works on its functions.
    pub fn wait_until_up(&mut self, machine: &mut Machine) -> Result<()> {
        if self.script.driver_later {
            machine.with_guest(|guest| guest.ask_within(0, Command::Status, GUEST_UP))?;
            return machine.vm.check();
        }
        self.wait_until_at_work(machine)
    }

    /// Waits until the guest works on its functions.
    pub fn wait_until_at_work(&mut self, machine: &mut Machine) -> Result<()> {
        for load in &self.loads {
            machine.with_guest(|guest| load.wait_until_running(guest))?;
        }
        machine.vm.check()
    }

    /// Starts a QEMU that waits for the guest.
    pub fn await_guest(&mut self, side: Side) -> Result<Machine> {
        say("starting the target");
        self.start(side, true)
    }

    /// Ends the guest.
    pub fn power_off(&mut self, mut machine: Machine) {
        // It does not matter any more if the answer gets out before the end.
        let limit = Duration::from_secs(2);
        let _ = machine.guest.ask_within(0, Command::PowerOff, limit);
    }

    /// Keeps what the guest's kernel had to say, wherever it was.
    pub fn listen_to_kernel(&mut self) {
        for console in &self.consoles {
            let log = fs::read(console).unwrap_or_default();
            kernel_log::listen(&String::from_utf8_lossy(&log), self.report);
        }
    }
}

/// Notes what is migrated with what.
fn describe(report: &mut Report) -> Result<()> {
    let version = Process::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .context("asking QEMU for its version")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let setting = &mut report.setting;
    setting.kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("kernel version")?
        .trim()
        .to_string();
    setting.qemu = version
        .split_whitespace()
        .nth(3)
        .unwrap_or("unknown")
        .to_string();
    Ok(())
}
