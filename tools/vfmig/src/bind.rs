// SPDX-License-Identifier: GPL-2.0
//! `vfmig bind` and `vfmig unbind`: by way of `driver_override`, undone if it fails.

use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use vvp_harness::pci::{Binding, Function};

use crate::access;
use crate::cli;
use crate::exit::Exit;
use crate::host::Host;
use crate::output;
use crate::usage::Use;

#[derive(Debug, Serialize)]
struct Report {
    function: String,
    before: Option<String>,
    driver: Option<String>,
}

/// Runs `vfmig bind`.
pub fn bind(arguments: &cli::Bind, json: bool) -> Result<Exit> {
    let function = access::find(&arguments.function)?;
    let before = bind_function(&Host::here(), &function, &arguments.driver, arguments.force)?;
    tell(&function, &before, json)
}

/// Runs `vfmig unbind`.
pub fn unbind(arguments: &cli::Unbind, json: bool) -> Result<Exit> {
    let function = access::find(&arguments.function)?;
    let before = unbind_function(&Host::here(), &function, arguments.probe, arguments.force)?;
    tell(&function, &before, json)
}

fn tell(function: &Function, before: &Binding, json: bool) -> Result<Exit> {
    let report = Report {
        function: function.address().to_string(),
        before: before.driver.clone(),
        driver: function.driver(),
    };
    if json {
        output::json(&report)?;
    } else {
        let name = |driver: &Option<String>| driver.clone().unwrap_or_else(|| "none".to_owned());
        output::text(&format!(
            "{}: driver {}, was {}\n",
            report.function,
            name(&report.driver),
            name(&report.before)
        ))?;
    }
    Ok(Exit::Ok)
}

/// Binds `driver`; returns what was bound before.
fn bind_function(host: &Host, function: &Function, driver: &str, force: bool) -> Result<Binding> {
    let before = function.binding();
    if before.driver.as_deref() == Some(driver) {
        return Ok(before);
    }
    if !function.bus().has_driver(driver) {
        bail!("there is no driver {driver}: modprobe {driver}");
    }
    refuse_if_used(host, function, force)?;
    undone_on_failure(function, before, || function.bind(driver))
}

/// Takes the driver away; returns what was bound before.
fn unbind_function(host: &Host, function: &Function, probe: bool, force: bool) -> Result<Binding> {
    refuse_if_used(host, function, force)?;
    undone_on_failure(function, function.binding(), || {
        function.unbind()?;
        if probe {
            function.probe()?;
        }
        Ok(())
    })
}

fn refuse_if_used(host: &Host, function: &Function, force: bool) -> Result<()> {
    match Use::of(host, function) {
        Some(used) if !(force && used.may_be_forced()) => Err(used.refusal(function).into()),
        _ => Ok(()),
    }
}

fn undone_on_failure(
    function: &Function,
    before: Binding,
    change: impl FnOnce() -> Result<()>,
) -> Result<Binding> {
    let Err(error) = change() else {
        return Ok(before);
    };
    let driver = before.driver.as_deref().unwrap_or("no driver");
    Err(match function.restore(&before) {
        Ok(()) => anyhow!(
            "{error:#}; undone: {} has {driver} again",
            function.address()
        ),
        Err(undoing) => anyhow!(
            "{error:#}; and {} could not be given {driver} again: {undoing:#}",
            function.address()
        ),
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use vvp_harness::fake_bus::{self, REFUSING};

    use super::*;
    use crate::exit::Failure;

    const ADDRESS: &str = "0000:01:00.1";

    fn bus() -> (TempDir, Function, Host) {
        let root = tempfile::tempdir().unwrap();
        let drivers = ["virtio-pci", "virtio_vfio_pci_rs", REFUSING];
        fake_bus::create(root.path(), ADDRESS, &drivers).unwrap();
        let function = fake_bus::function(root.path(), ADDRESS).unwrap();
        let host = Host::below(root.path());
        (root, function, host)
    }

    #[test]
    fn binding_there_and_back() {
        let (_root, function, host) = bus();
        let before = bind_function(&host, &function, "virtio_vfio_pci_rs", false).unwrap();
        assert_eq!(before.driver.as_deref(), Some("virtio-pci"));
        assert_eq!(function.driver().as_deref(), Some("virtio_vfio_pci_rs"));
        assert_eq!(
            function.driver_override().as_deref(),
            Some("virtio_vfio_pci_rs")
        );
        // Once more changes nothing.
        bind_function(&host, &function, "virtio_vfio_pci_rs", false).unwrap();

        unbind_function(&host, &function, false, false).unwrap();
        assert_eq!(function.binding(), Binding::default());
        function.restore(&before).unwrap();
        assert_eq!(function.binding(), before);
    }

    #[test]
    fn a_driver_that_refuses_is_undone() {
        let (_root, function, host) = bus();
        let before = function.binding();
        let error = bind_function(&host, &function, REFUSING, false).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.ends_with("undone: 0000:01:00.1 has virtio-pci again"),
            "{text}"
        );
        assert_eq!(function.binding(), before);

        // Also if it had a rule, and from a driver of VFIO's.
        bind_function(&host, &function, "virtio_vfio_pci_rs", false).unwrap();
        let before = function.binding();
        bind_function(&host, &function, REFUSING, false).unwrap_err();
        assert_eq!(function.binding(), before);
    }

    #[test]
    fn a_failure_half_way_is_undone() {
        let (_root, function, host) = bus();
        let before = function.binding();
        let failing = || {
            function.unbind()?;
            bail!("half way")
        };
        let error = undone_on_failure(&function, before.clone(), failing).unwrap_err();
        assert!(error.to_string().starts_with("half way; undone"), "{error}");
        assert_eq!(function.binding(), before);
        unbind_function(&host, &function, true, false).unwrap();
        assert_eq!(function.driver(), None);
    }

    #[test]
    fn a_driver_that_is_not_there_is_named() {
        let (_root, function, host) = bus();
        let error = bind_function(&host, &function, "missing", false).unwrap_err();
        assert!(error.to_string().contains("modprobe missing"));
        assert_eq!(function.driver().as_deref(), Some("virtio-pci"));
    }

    #[test]
    fn what_is_in_use_is_left_alone() {
        let (root, function, host) = bus();
        let interface = root.path().join("devices").join(ADDRESS).join("net/eth7");
        std::fs::create_dir_all(interface).unwrap();
        let class = root.path().join("sys/class/net/eth7");
        std::fs::create_dir_all(&class).unwrap();
        std::fs::write(class.join("flags"), "0x1003\n").unwrap();

        let error = unbind_function(&host, &function, false, false).unwrap_err();
        assert_eq!(Failure::exit_of(&error), Exit::Busy);
        assert!(
            error.to_string().contains("ip link set eth7 down"),
            "{error}"
        );
        unbind_function(&host, &function, false, true).unwrap();

        std::fs::write(function.path().join("sriov_numvfs"), "2\n").unwrap();
        let error = bind_function(&host, &function, "virtio-pci", true).unwrap_err();
        assert!(error.to_string().contains("sriov_numvfs"), "{error}");
    }
}
