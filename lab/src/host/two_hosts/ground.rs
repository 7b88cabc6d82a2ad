// SPDX-License-Identifier: GPL-2.0
//! Makes one of the hosts ready.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use vvp_harness::pci::Function;
use vvp_harness::{kmod, sriov};

use super::Options;
use crate::host::prepare::command;

/// The management network's function.
const MANAGEMENT: &str = "0000:00:10.0";
const PREFIX: u8 = 24;

/// Which host it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Target,
}

impl Role {
    /// Its name. libvirt tells hosts by that, among others.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "host-a",
            Self::Target => "host-b",
        }
    }

    /// Its address on the management network.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, if self == Self::Source { 1 } else { 2 })
    }

    /// Where it listens.
    pub fn place(self, port: u16) -> SocketAddr {
        (self.address(), port).into()
    }
}

/// A host with a virtual function that nobody has claimed for VFIO.
pub struct Ground {
    pub pf: Function,
    pub vf: Function,
}

/// Loads what QEMU needs of the host, brings up the management network and makes a
/// virtual function, which the kernel gives to its usual driver.
pub fn prepare(role: Role, options: &Options) -> Result<Ground> {
    command("hostname", &[role.name()])?;
    let management = MANAGEMENT.parse().context("management address")?;
    let interface = Function::open(&management)?.wait_netdev()?;
    let address = format!("{}/{PREFIX}", role.address());
    command("ip", &["address", "replace", &address, "dev", &interface])?;
    command("ip", &["link", "set", &interface, "up"])?;
    kmod::load_container_stack(true)?;
    kmod::load("kvm", "")?;
    kmod::load("kvm_amd", "")?;
    let pf = Function::open(&options.common.pf)?;
    let vf = sriov::bring_up_bench(&pf, 1)?
        .into_iter()
        .next()
        .context("no virtual function")?;
    vf.probe()?;
    Ok(Ground { pf, vf })
}
