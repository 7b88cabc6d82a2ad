// SPDX-License-Identifier: GPL-2.0
//! Makes the host under test ready: modules, virtual functions, network.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use harness::pci::{Address, Function};
use harness::{kmod, sriov};

use super::tracking::Tracking;
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
            Driver::C => kmod::PEER,
        }
    }
}

/// The host under test, ready.
pub struct Host {
    /// The guest's device at first.
    pub source: Function,
    /// The guest's device after the migration.
    pub target: Function,
}

/// Loads modules, creates two virtual functions, binds them, and gives the
/// physical function the peer's address.
pub fn prepare(pf: &Address, driver: Driver, tracking: &Tracking) -> Result<Host> {
    kmod::load_vfio_stack(true)?;
    kmod::load("kvm", "")?;
    kmod::load("kvm_amd", "")?;
    kmod::load(driver.name(), &tracking.module_parameters())?;
    let pf = Function::open(pf)?;
    let mut vfs = sriov::bring_up_bench(&pf, 2)?.into_iter();
    let mut next = || -> Result<Function> {
        let vf = vfs.next().context("no second virtual function")?;
        vf.bind(driver.name())?;
        Ok(vf)
    };
    let host = Host {
        source: next()?,
        target: next()?,
    };
    let interface = pf.wait_netdev()?;
    let address = format!("{}/{}", wire::PEER, wire::PREFIX);
    ip(&["address", "replace", &address, "dev", &interface])?;
    ip(&["link", "set", &interface, "up"])?;
    Ok(host)
}

fn ip(arguments: &[&str]) -> Result<()> {
    let status = Command::new("ip")
        .args(arguments)
        .status()
        .context("running ip")?;
    ensure!(status.success(), "ip {}: {status}", arguments.join(" "));
    Ok(())
}
