// SPDX-License-Identifier: GPL-2.0
//! Fixture `vfmig`: the command-line tool, as its user meets it: what it prints, its
//! exit status, and the state in which it leaves functions.

mod edu;
mod failures;
mod program;
mod transfers;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use vvp_harness::ktap::Suite;
use vvp_harness::vfio::Access;
use vvp_harness::{expect, expect_eq};

use crate::config::{Config, DeviceType, Driver};
use program::{Run, run};

pub use edu::add as add_edu;

/// Each runs the program several times, in an emulated machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let mut one = |variant: &str, name: &str, test: fn(&Config) -> Result<()>| {
        let own = Arc::clone(config);
        suite.add_slow("vfmig", variant, name, LIMIT, move || test(&own));
    };
    one("rs", "list_and_info", list_and_info);
    one("rs", "check", check);
    one("rs", "bind_and_unbind", bind_and_unbind);
    transfers::add(suite, config);
    failures::add(suite, config);
}

/// Adds what a physical function without admin queue is good for.
pub fn add_no_admin(suite: &mut Suite, config: &Arc<Config>) {
    let own = Arc::clone(config);
    suite.add_slow("vfmig", "no_admin", "check", LIMIT, move || {
        let vf = own.vf()?;
        own.bind(&vf, Driver::Rs)?;
        let address = vf.address().to_string();
        let report = run(&["check", &address, "--json"])?.expect(3)?.json()?;
        let failed: Vec<&str> = report["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finding| finding["status"] == "failed")
            .filter_map(|finding| finding["what"].as_str())
            .collect();
        expect_eq!(failed, ["admin queue", "migration"], "what fails");
        let refused = run(&["save", &address, "/tmp/unused"])?.expect(1)?;
        refused.expect_error("cannot be migrated")
    });
}

/// Runs `vfmig info --open`; the state that it tells.
fn state(address: &str) -> Result<String> {
    let info = run(&["info", address, "--open", "--json"])?
        .expect(0)?
        .json()?;
    Ok(info["opened"]["state"]
        .as_str()
        .unwrap_or("none")
        .to_owned())
}

fn list_and_info(config: &Config) -> Result<()> {
    let (vf, other) = (config.vf()?, config.vf2()?);
    config.bind(&vf, Driver::Rs)?;
    other.unbind()?;
    let list = run(&["list", "--json"])?.expect(0)?.json()?;
    let entry = |address: &str| {
        let mut entries = list.as_array().into_iter().flatten();
        entries.find(|entry| entry["function"] == address).cloned()
    };
    let found = entry(&vf.address().to_string()).unwrap_or_default();
    expect_eq!(found["driver"], config.driver_name(Driver::Rs), "driver");
    expect_eq!(found["vfio"], true, "vfio");
    let kind = match config.device {
        DeviceType::Net => "virtio network",
        DeviceType::Blk => "virtio block",
    };
    expect_eq!(found["kind"], kind, "kind");
    expect_eq!(found["migration"]["known"], "yes", "migration");
    expect_eq!(found["migration"]["state"], "RUNNING", "state");
    let unbound = entry(&other.address().to_string()).unwrap_or_default();
    expect_eq!(unbound["driver"], serde_json::Value::Null, "no driver");
    expect_eq!(
        unbound["migration"]["known"],
        "no",
        "migration without driver"
    );

    let address = vf.address().to_string();
    for access in [Access::Cdev, Access::Group] {
        let access = access.to_string();
        let arguments = ["info", &address, "--open", "--access", &access, "--json"];
        let opened = run(&arguments)?.expect(0)?.json()?["opened"].clone();
        expect_eq!(opened["access"], access, "access");
        expect_eq!(
            opened["migration"],
            serde_json::json!(["stop-copy", "p2p", "pre-copy"]),
            "what it can"
        );
        expect_eq!(opened["state"], "RUNNING", "state by {access}");
    }
    for arguments in [
        &["list"][..],
        &["info", &address],
        &["info", &address, "--open"],
    ] {
        run(arguments)?.expect(0)?.note();
    }
    Ok(())
}

fn check(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    config.bind(&vf, Driver::Rs)?;
    let address = vf.address().to_string();
    run(&["check", &address])?.expect(0)?.note();
    let report = run(&["check", &address, "--json"])?.expect(0)?.json()?;
    expect_eq!(report["ready"], true, "ready");
    let finding = |what: &str| {
        let mut findings = report["findings"].as_array().into_iter().flatten();
        findings.find(|finding| finding["what"] == what).cloned()
    };
    let status = |what: &str| finding(what).unwrap_or_default()["status"].clone();
    for what in [
        "kernel",
        "IOMMU",
        "IOMMU group",
        "physical function",
        "admin queue",
        "migration",
    ] {
        expect_eq!(status(what), "ok", "{what}");
    }
    if config.bench {
        expect_eq!(
            status("dirty pages"),
            "ok",
            "the bench's IOMMU has dirty bits"
        );
    }
    // Without a driver it cannot be migrated, and the remedy is a command.
    vf.unbind()?;
    let unready = run(&["check", &address])?.expect(3)?;
    expect!(
        unready.out.contains(&format!("vfmig bind {address}")),
        "the remedy: {}",
        unready.out
    );
    Ok(())
}

fn bind_and_unbind(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    config.load(Driver::Rs)?;
    vf.unbind()?;
    let address = vf.address().to_string();
    let driver = config.driver_name(Driver::Rs);
    let bound = run(&["bind", &address, "--driver", driver, "--json"])?.expect(0)?;
    expect_eq!(bound.json()?["driver"], driver, "what is told");
    expect_eq!(vf.driver().as_deref(), Some(driver), "driver");
    let before = vf.binding();

    // A driver for ports does not take it: all is as before.
    let refused = run(&["bind", &address, "--driver", "pcieport"])?.expect(1)?;
    refused.expect_error("undone")?;
    expect_eq!(vf.binding(), before, "binding after a failure");
    let missing = run(&["bind", &address, "--driver", "no-such-driver"])?.expect(1)?;
    missing.expect_error("modprobe no-such-driver")?;
    expect_eq!(vf.binding(), before, "binding after another failure");

    run(&["unbind", &address])?.expect(0)?;
    expect_eq!(vf.driver(), None, "driver after unbind");
    expect_eq!(vf.driver_override(), None, "override after unbind");
    let unbound: Run = run(&["save", &address, "/tmp/unused"])?.expect(1)?;
    unbound.expect_error(&format!("vfmig bind {address}"))
}
