// SPDX-License-Identifier: GPL-2.0
//! What the tests change on the machine they run on: looked at and told before anything is
//! touched, a reason to refuse where somebody else would suffer, and put back in the end,
//! whatever became of the tests.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use vvp_harness::kmod;
use vvp_harness::pci::{Address, Binding, Bus, Function};

use crate::module::entropy_source;

/// A virtio block function's device id.
const BLOCK: u16 = 0x1042;

/// One function, as it was.
#[derive(Debug)]
struct Bound {
    function: Function,
    binding: Binding,
}

/// An interface of the PF, as it was.
#[derive(Debug)]
struct Interface {
    name: String,
    up: bool,
    disable_ipv6: Option<String>,
}

/// The module under test, as it was.
#[derive(Debug)]
struct Module {
    name: String,
    /// As for insmod; `None` if it was not loaded.
    parameters: Option<String>,
}

/// All that is disturbed.
#[derive(Debug)]
pub struct Disturbance {
    under_test: Vec<Bound>,
    borrowed: Option<Bound>,
    interfaces: Vec<Interface>,
    module: Module,
    disks: Vec<Address>,
}

impl Disturbance {
    /// Looks, and changes nothing.
    pub fn find(functions: &[Function], module: &str) -> Result<Self> {
        let bound = |function: Function| Bound {
            binding: function.binding(),
            function,
        };
        let mut interfaces: Vec<Interface> = Vec::new();
        let mut disks = Vec::new();
        for function in functions {
            for name in function.physfn().iter().flat_map(Function::netdevs) {
                if !interfaces.iter().any(|known| known.name == name) {
                    interfaces.push(Interface::find(name)?);
                }
            }
            if function.ids()?.1 == BLOCK {
                disks.push(function.address().clone());
            }
        }
        Ok(Self {
            under_test: functions.iter().cloned().map(bound).collect(),
            borrowed: entropy_source()?.map(bound),
            interfaces,
            module: Module::find(module)?,
            disks,
        })
    }

    /// Refuses what would harm somebody who was not named: other users of the module and of
    /// the functions, and a disk that may not be `destroyed`.
    pub fn ensure_harmless(&self, destroyed: &[Address]) -> Result<()> {
        let bus = Bus::host();
        let driver = &self.module.name;
        for function in bus.functions()? {
            let ours = self
                .under_test
                .iter()
                .any(|bound| bound.function.address() == function.address());
            ensure!(
                ours || function.driver().as_ref() != Some(driver),
                "{} is bound to {driver}, which the tests unload: unbind it first",
                function.address()
            );
        }
        for bound in &self.under_test {
            if let Some((path, pid)) = user_of(&bound.function) {
                bail!(
                    "process {pid} has {} open, which is {}",
                    path.display(),
                    bound.function.address()
                );
            }
        }
        for disk in &self.disks {
            ensure!(
                destroyed.contains(disk),
                "the disk of {disk} would be overwritten, all of it: if that is wanted, say \
                 --destroy-disk {disk}"
            );
        }
        Ok(())
    }

    /// Has everything as it was. Goes on where something fails, and tells the first failure.
    pub fn restore(&self) -> Result<()> {
        let steps = self
            .under_test
            .iter()
            .map(|bound| bound.function.unbind())
            .chain([self.module.restore()])
            .chain(
                self.under_test
                    .iter()
                    .chain(&self.borrowed)
                    .map(Bound::restore),
            )
            .chain(self.interfaces.iter().map(Interface::restore));
        let mut outcome = Ok(());
        for step in steps {
            outcome = outcome.and(step);
        }
        outcome
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bound in &self.under_test {
            writeln!(
                f,
                "{}, now with {}: bound, opened and reset",
                bound.function.address(),
                driver_of(bound)
            )?;
        }
        for disk in &self.disks {
            writeln!(f, "the disk of {disk}: overwritten")?;
        }
        for interface in &self.interfaces {
            writeln!(
                f,
                "interface {}: up, without IPv6, and sent frames of ethertype 0x88b5",
                interface.name
            )?;
        }
        writeln!(f, "module {}: loaded and unloaded", self.module.name)?;
        if let Some(bound) = &self.borrowed {
            writeln!(
                f,
                "{}, now with {}: bound to another driver for a moment",
                bound.function.address(),
                driver_of(bound)
            )?;
        }
        Ok(())
    }
}

fn driver_of(bound: &Bound) -> &str {
    bound.binding.driver.as_deref().unwrap_or("no driver")
}

impl Bound {
    fn restore(&self) -> Result<()> {
        self.function
            .restore(&self.binding)
            .with_context(|| format!("giving {} back", self.function.address()))
    }
}

impl Interface {
    fn find(name: String) -> Result<Self> {
        let flags = format!("/sys/class/net/{name}/flags");
        let text = fs::read_to_string(&flags).with_context(|| format!("reading {flags}"))?;
        let flags = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16)
            .with_context(|| format!("flags {text}"))?;
        Ok(Self {
            up: flags & nix::libc::IFF_UP as u32 != 0,
            disable_ipv6: fs::read_to_string(ipv6_switch(&name)).ok(),
            name,
        })
    }

    fn restore(&self) -> Result<()> {
        if let Some(value) = &self.disable_ipv6 {
            let path = ipv6_switch(&self.name);
            fs::write(&path, value).with_context(|| format!("writing {}", path.display()))?;
        }
        if !self.up {
            let status = Command::new("ip")
                .args(["link", "set", "dev", &self.name, "down"])
                .status()
                .context("running ip")?;
            ensure!(status.success(), "ip link set {} down: {status}", self.name);
        }
        Ok(())
    }
}

fn ipv6_switch(interface: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv6/conf")
        .join(interface)
        .join("disable_ipv6")
}

impl Module {
    fn find(name: &str) -> Result<Self> {
        let parameters = kmod::loaded(name)
            .then(|| parameters(&Path::new("/sys/module").join(name)))
            .transpose()?;
        Ok(Self {
            name: name.to_owned(),
            parameters,
        })
    }

    /// Nobody may have a device of it now.
    fn restore(&self) -> Result<()> {
        if Self::find(&self.name)?.parameters == self.parameters {
            return Ok(());
        }
        if kmod::loaded(&self.name) {
            kmod::unload(&self.name).with_context(|| format!("unloading {}", self.name))?;
        }
        match &self.parameters {
            Some(parameters) => kmod::load(&self.name, parameters),
            None => Ok(()),
        }
    }
}

/// The parameters of a loaded module, as for insmod.
fn parameters(module: &Path) -> Result<String> {
    let directory = module.join("parameters");
    let Ok(entries) = fs::read_dir(&directory) else {
        return Ok(String::new());
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // Not all may be read, and what may not be is not ours to know.
        if let (Some(name), Ok(value)) = (path.file_name(), fs::read_to_string(&path)) {
            found.push(format!("{}={}", name.to_string_lossy(), value.trim()));
        }
    }
    found.sort();
    Ok(found.join(" "))
}

/// A file of VFIO's by which a process has `function` open, and the process.
fn user_of(function: &Function) -> Option<(PathBuf, u32)> {
    let files: Vec<PathBuf> = [function.vfio_cdev(), function.vfio_group()]
        .into_iter()
        .flatten()
        .filter(|path| path.exists())
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find_map(|pid: u32| {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            descriptors
                .flatten()
                .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
                .find(|target| files.contains(target))
                .map(|path| (path, pid))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_as_for_insmod() {
        let module = tempfile::tempdir().unwrap();
        let module = module.path();
        assert_eq!(parameters(module).unwrap(), "");
        fs::create_dir_all(module.join("parameters")).unwrap();
        for (name, value) in [("precopy_interval_ms", "77\n"), ("dma_logging", "auto\n")] {
            fs::write(module.join("parameters").join(name), value).unwrap();
        }
        assert_eq!(
            parameters(module).unwrap(),
            "dma_logging=auto precopy_interval_ms=77"
        );
    }
}
