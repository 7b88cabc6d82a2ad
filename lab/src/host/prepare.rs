// SPDX-License-Identifier: GPL-2.0
//! Makes the host under test ready: modules, virtual functions, network.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use supervise::tail;
use vvp_harness::pci::{Address, Function};
use vvp_harness::{kmod, sriov};

use super::scenario::Scenario;
use super::tracking::{Container, Tracking};
use super::whereabouts;
use crate::wire;

/// The driver that the virtual functions are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// This project's.
    Rs,
    /// The kernel's own, written in C.
    C,
}

impl Driver {
    /// Name of the driver and of its module.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Rs => kmod::OURS,
            Driver::C => kmod::REFERENCE,
        }
    }
}

/// The virtio device type of the bench's functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceType {
    /// Network
    #[default]
    Net,
    /// Block
    Blk,
}

/// The host under test, ready.
pub struct Host {
    /// The physical function.
    pub pf: Function,
    /// Its virtual functions, bound to the driver.
    pub vfs: Vec<Function>,
}

/// Loads modules, creates `count` virtual functions and binds them: on the bench, and
/// nowhere else.
pub fn prepare(pf: &Address, count: usize, driver: Driver, tracking: &Tracking) -> Result<Host> {
    let pf = Function::open(pf)?;
    whereabouts::ensure_bench(&pf)?;
    match tracking.container {
        Container::Iommufd => kmod::load_vfio_stack(true)?,
        Container::Type1 => kmod::load_container_stack(true)?,
    }
    kmod::load("kvm", "")?;
    kmod::load("kvm_amd", "")?;
    kmod::load(driver.name(), &tracking.module_parameters())?;
    let count = u32::try_from(count).context("number of virtual functions")?;
    let vfs = sriov::bring_up_bench(&pf, count)?;
    for vf in &vfs {
        vf.bind(driver.name())?;
    }
    Ok(Host { pf, vfs })
}

/// Fails if the bench's functions are not of the device type that `scenario` is for.
pub fn ensure_device(pf: &Function, scenario: &Scenario) -> Result<()> {
    let (_, id) = pf.ids()?;
    let fits = match scenario.device {
        DeviceType::Net => [0x1000, 0x1041].contains(&id),
        DeviceType::Blk => [0x1001, 0x1042].contains(&id),
    };
    ensure!(
        fits,
        "scenario '{}' is for another device: start the bench with '{}'",
        scenario.name,
        scenario.bench.join(" ")
    );
    Ok(())
}

/// Gives the physical function the address of the peer of function `index`.
pub fn configure_network(pf: &Function, index: usize) -> Result<()> {
    let interface = pf.wait_netdev()?;
    let address = format!("{}/{}", wire::peer(index), wire::PREFIX);
    command("ip", &["address", "replace", &address, "dev", &interface])?;
    command("ip", &["link", "set", &interface, "up"])
}

/// Runs a program, which must succeed.
pub fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("running {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "{program} {}: {}: {}",
        arguments.join(" "),
        output.status,
        tail(&String::from_utf8_lossy(&said), 3).join(" | ")
    );
    Ok(())
}
