// SPDX-License-Identifier: GPL-2.0
//! The guest as a domain of libvirt's.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vvp_harness::kmod;
use vvp_harness::pci::Function;
use vvp_harness::wait;

use super::domain::{self, NAME};
use super::ground::Role;
use super::virsh;
use crate::host::common::Common;
use crate::host::patience::say;

/// How long, in milliseconds, the guest may stand still: all of its memory is sent
/// meanwhile, from one emulated host to another.
const DOWNTIME: &str = "60000";
/// How long libvirt may take to clear a guest away that is gone.
const CLEARED: Duration = Duration::from_secs(60);

/// Drivers of the function, from sysfs, as libvirt changes them. What was not reached
/// stays empty.
#[derive(Clone, Debug, Default)]
pub struct Binding {
    /// Before libvirt had to do with it.
    pub before: Option<String>,
    /// While a guest runs for which libvirt has chosen.
    pub chosen: Option<String>,
    /// When that guest is gone.
    pub given_back: Option<String>,
    /// While a guest runs whose XML names the driver.
    pub named: Option<String>,
    /// When that guest has been migrated to the other host.
    pub left: Option<String>,
}

/// The name of the function's driver.
fn driver(vf: &Function) -> Option<String> {
    Some(vf.driver().unwrap_or_else(|| "none".to_string()))
}

/// Starts and destroys a guest for whose function libvirt chooses the driver, then starts
/// the one that is to be migrated, with the driver in its XML.
pub fn start(common: &Common, vf: &Function, binding: &mut Binding) -> Result<()> {
    binding.before = driver(vf);
    say("starting a guest for which libvirt chooses the driver");
    create(common, vf, None)?;
    binding.chosen = driver(vf);
    virsh::run(&["destroy", NAME])?;
    binding.given_back = driver(vf);
    say("starting the guest, with the driver in its XML");
    create(common, vf, Some(kmod::OURS))?;
    binding.named = driver(vf);
    virsh::run(&["list"]).map(drop)
}

fn create(common: &Common, vf: &Function, model: Option<&str>) -> Result<()> {
    let path = common.logs.join("l2.xml");
    let text = domain::xml(common, vf, model)?;
    fs::write(&path, text).with_context(|| format!("writing {path:?}"))?;
    virsh::run(&["create", &path.display().to_string()]).map(drop)
}

/// Sends the guest to the other host. The figures, if it gets there, or what libvirt says
/// against it.
pub fn migrate(vf: &Function, binding: &mut Binding) -> Result<Result<String, String>> {
    virsh::run(&["migrate-setmaxdowntime", NAME, DOWNTIME])?;
    let direct = format!("tcp://{}", Role::Target.address());
    if let Err(error) = virsh::run(&["migrate", "--live", NAME, &virsh::far(), &direct]) {
        return Ok(Err(format!("{error:#}")));
    }
    virsh::run(&["list", "--all"])?;
    binding.left = driver(vf);
    virsh::run(&["-c", &virsh::far(), "list"])?;
    virsh::run(&["-c", &virsh::far(), "domjobinfo", "--completed", NAME]).map(Ok)
}

/// Whether the guest runs here.
pub fn runs_here() -> Result<()> {
    let state = virsh::run(&["domstate", NAME])?;
    if state != "running" {
        bail!("the guest is '{state}'");
    }
    Ok(())
}

/// Waits until the target has no guest any more.
pub fn wait_until_gone() -> Result<()> {
    wait::until("no guest on the target", CLEARED, || {
        let guests = virsh::run(&["-c", &virsh::far(), "list", "--all", "--name"])?;
        Ok(guests.is_empty().then_some(()))
    })
}
