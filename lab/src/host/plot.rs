// SPDX-License-Identifier: GPL-2.0
//! A scenario being played: its host, its guest, and the VMMs that this one is in.
//! Each step is bounded in time.

mod hop;
mod pre_copy;

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use anyhow::{Context, Result};
use vvp_harness::pci::Function;

use super::guest::Guest;
use super::kernel_log;
use super::load::Load;
use super::options::Options;
use super::patience::{GUEST_UP, say};
use super::prepare::{self, Host};
use super::report::Report;
use super::virtual_iommu::VirtualIommu;
use super::vmm::{Image, Vmm};
use crate::control::{Command, DRIVER_LATER, NO_PAGES};

/// Where the VMMs' sockets go.
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

/// A VMM, with the control channel to the guest that is in it, or will be.
pub struct Machine {
    pub vm: Box<dyn Vmm>,
    guest: Guest,
    pub side: Side,
    /// The guest has come here from elsewhere.
    pub migrated: bool,
}

impl Machine {
    /// Deals with the guest. If that fails, the error says how the VMM is doing, too: a
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
    host: Host,
    image: Image,
    consoles: Vec<PathBuf>,
}

impl<'a> Plot<'a> {
    /// Makes the host under test ready.
    pub fn prepare(options: &'a Options, report: &'a mut Report) -> Result<Self> {
        say("preparing modules, virtual functions and what the guest works on");
        let scenario = &options.scenario;
        let vfs = 2 * scenario.functions;
        let host = prepare::prepare(&options.common.pf, vfs, options.driver, &options.tracking)?;
        prepare::ensure_device(&host.pf, scenario)?;
        describe(options, report)?;
        let loads = (0..scenario.functions)
            .map(|index| Load::prepare(scenario.device, &host.pf, index))
            .collect::<Result<_>>()?;
        let image = Image {
            kernel: options.common.kernel_image()?,
            initrd: options.common.initrd.clone(),
            append: [
                scenario.legacy_guest().then_some(FORCE_LEGACY),
                scenario.driver_later().then_some(DRIVER_LATER),
                scenario.guest.iommu.map(VirtualIommu::word),
                (!report.setting.writes_pages()).then_some(NO_PAGES),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
            disguised: scenario.driver_later(),
            memory: options.common.memory,
            tracking: options.tracking,
            virtual_iommu: scenario.guest.iommu,
            reboots: scenario.reboots(),
            logs: options.common.logs.clone(),
            sockets: PathBuf::from(SOCKETS),
        };
        Ok(Self {
            options,
            report,
            host,
            loads,
            image,
            consoles: Vec::new(),
        })
    }

    /// The virtual functions of a side.
    pub fn vfs(&self, side: Side) -> &[Function] {
        let (a, b) = self.host.vfs.split_at(self.options.scenario.functions);
        match side {
            Side::A => a,
            Side::B => b,
        }
    }

    /// Whether a guest has booted before.
    pub fn has_booted(&self) -> bool {
        self.report.guest_up_s.is_some()
    }

    fn start(&mut self, side: Side, incoming: bool) -> Result<Machine> {
        let number = self.consoles.len() + 1;
        let name = format!("{number}{side}");
        let program = &self.options.program;
        let vm = program.start(&name, &self.image, self.vfs(side), incoming)?;
        self.consoles.push(vm.console().to_path_buf());
        // A guest may be asked in several VMMs, one after the other.
        let guest = Guest::connect(vm.control(), (number as u64) << 32)?;
        Ok(Machine {
            vm,
            guest,
            side,
            migrated: false,
        })
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
        if self.options.scenario.driver_later() {
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

    /// Starts a VMM that waits for the guest.
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
fn describe(options: &Options, report: &mut Report) -> Result<()> {
    let setting = &mut report.setting;
    setting.vmm = options.program.version()?;
    setting.kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("kernel version")?
        .trim()
        .to_string();
    Ok(())
}
