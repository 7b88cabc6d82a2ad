// SPDX-License-Identifier: GPL-2.0
//! A guest on a VF that cannot be migrated: plain passthrough, on hardware that is
//! not this project's (QEMU's own virtio-net with SR-IOV), every step bounded in time.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use supervise::tail;
use vvp_harness::pci::{Address, Function};
use vvp_harness::vfio::{Access, Device, Space};
use vvp_harness::{kmod, sriov};

use super::common::Common;
use super::guest::Guest;
use super::kernel_log::complaints;
use super::network::Network;
use super::patience::say;
use super::report::Traffic;
use super::tracking::{Container, Migratable, Tracking};
use super::vmm::qemu::Qemu;
use super::vmm::{Image, Program};
use super::whereabouts;
use crate::control::{Command, PLAIN};

/// Messages that must arrive at each end.
pub const MESSAGES: u64 = 200;
/// How long a guest that was told to power off may take to answer that it will.
const FAREWELL: Duration = Duration::from_secs(2);

/// The facts. What was not reached stays empty.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the scenario was stopped by, if it was.
    pub error: Option<String>,
    /// Features of migration that the VFIO device has.
    pub features: Option<Vec<&'static str>>,
    /// What QEMU says against a migration of the guest.
    pub blockers: Option<Vec<String>>,
    /// Traffic at the end, with senders stopped and nothing under way.
    pub traffic: Option<Traffic>,
    /// The guest has powered off when told to, and QEMU has ended with success.
    pub ended: Option<()>,
    /// The device could be opened and reset after the guest had left it.
    pub reusable: Option<()>,
    /// Lines of the guest's kernel log that report a fault.
    pub alarms: Vec<String>,
    /// Those that are known to come from the emulated processor.
    pub oddities: Vec<String>,
}

/// Runs the scenario as far as it goes.
pub fn run(common: &Common) -> Facts {
    let mut facts = Facts::default();
    if let Err(error) = steps(common, &mut facts) {
        facts.error = Some(format!("{error:#}"));
    }
    facts
}

fn steps(common: &Common, facts: &mut Facts) -> Result<()> {
    whereabouts::ensure_l1()?;
    say("preparing modules, virtual functions and the guest's peer");
    let (pf, vf) = prepare(&common.pf)?;
    facts.features = Some(open(&vf)?.migration_features()?);
    let network = Network::prepare(&pf, 0)?;

    say("starting the guest");
    let image = Image {
        kernel: common.kernel_image()?,
        initrd: common.initrd.clone(),
        append: PLAIN.to_string(),
        disguised: false,
        reboots: false,
        virtual_iommu: None,
        memory: common.memory,
        tracking: Tracking {
            container: Container::Iommufd,
            // QEMU asks the device, and takes what it hears.
            enable_migration: Migratable::Auto,
            downtime_limit: None,
            dma_logging: None,
        },
        logs: common.logs.clone(),
        sockets: PathBuf::from("/tmp"),
    };
    let mut vm = Qemu::default().start("plain", &image, std::slice::from_ref(&vf), false)?;
    let mut guest = Guest::connect(vm.control(), 1)?;
    facts.blockers = Some(vm.blockers()?);
    let worked = network
        .wait_for_messages(&mut guest, MESSAGES)
        .and_then(|()| network.stop(&mut guest));
    let log = fs::read(vm.console()).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    (facts.alarms, facts.oddities) = complaints(&log);
    facts.traffic = Some(worked.with_context(|| {
        let guest = tail(&log, 2).join(" | ");
        format!("{}, guest: '{guest}'", vm.last_words())
    })?);

    say("ending the guest");
    // It does not matter any more if the answer gets out before the end.
    let _ = guest.ask_within(0, Command::PowerOff, FAREWELL);
    vm.ended()?;
    facts.ended = Some(());
    drop(open(&vf)?);
    facts.reusable = Some(());
    Ok(())
}

/// Loads modules, creates a virtual function and binds it.
fn prepare(pf: &Address) -> Result<(Function, Function)> {
    kmod::load_vfio_stack(true)?;
    kmod::load("kvm", "")?;
    kmod::load("kvm_amd", "")?;
    kmod::load(kmod::OURS, "")?;
    let pf = Function::open(pf)?;
    let vf = sriov::bring_up(&pf, 1)?
        .into_iter()
        .next()
        .context("no virtual function")?;
    vf.bind(kmod::OURS)?;
    Ok((pf, vf))
}

/// Opens the function as a VMM does, and resets it.
fn open(vf: &Function) -> Result<Device> {
    let device = Device::open(vf, &Arc::new(Space::new(Access::Cdev)?))?;
    device.reset().context("VFIO_DEVICE_RESET")?;
    Ok(device)
}
