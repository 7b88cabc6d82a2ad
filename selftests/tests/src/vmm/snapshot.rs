// SPDX-License-Identifier: GPL-2.0
//! A guest that is paused, written down and goes on, or begins elsewhere with what was
//! written: the steps that cloud-hypervisor takes for its snapshots, which are also the
//! last ones of its migrations, and what it does when one of them fails.
//!
//! It never asks for what the next state is: it names where it wants to be, and the
//! kernel finds the way (`VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`).

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use vvp_harness::control::{Control, REFUSE, opcode};
use vvp_harness::ktap::Suite;
use vvp_harness::{expect, expect_eq};

use super::client::{BASE, Vmm, Way};
use super::state::{RESUMING, RUNNING, STOP, STOP_COPY};
use crate::config::{Config, Driver};

const PAGE: u64 = vvp_harness::vfio::PAGE as u64;

type Body = fn(&mut Rig) -> Result<()>;

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let tests: [(&str, Body); 5] = [
        ("snapshot_and_go_on", snapshot_and_go_on),
        ("restored_elsewhere", restored_elsewhere),
        ("snapshot_that_fails", snapshot_that_fails),
        ("restore_that_is_refused", restore_that_is_refused),
        ("restore_of_half_a_snapshot", restore_of_half_a_snapshot),
    ];
    for way in [Way::Type1, Way::Iommufd] {
        for (name, test) in tests {
            let config = Arc::clone(config);
            suite.add("vmm", format!("rs_{way}"), name, move || {
                test(&mut Rig::set_up(&config, way)?)
            });
        }
    }
}

/// A device in operation, and one that waits for a guest.
struct Rig {
    control: Control,
    source: Vmm,
    target: Vmm,
}

impl Rig {
    fn set_up(config: &Config, way: Way) -> Result<Self> {
        let (one, two) = (config.vf()?, config.vf2()?);
        for vf in [&one, &two] {
            config.bind(vf, Driver::Rs)?;
        }
        let rig = Self {
            control: config.control()?,
            source: Vmm::start(&one, way)?,
            target: Vmm::start(&two, way)?,
        };
        rig.source.writer().write(BASE + 3 * PAGE)?;
        Ok(rig)
    }
}

/// A step of the monitor's: on failure, to the state that it hopes for then, or else a
/// reset, after which the device runs.
fn step(vmm: &Vmm, to: u32, otherwise: Option<u32>) -> Result<()> {
    let device = &vmm.device;
    let Err(error) = device.set_migration_state(to) else {
        return Ok(());
    };
    let recovered = otherwise.is_some_and(|state| device.set_migration_state(state).is_ok());
    if !recovered {
        device.reset();
        expect_eq!(
            device.get_migration_state()?,
            RUNNING,
            "state after a reset"
        );
    }
    Err(error).with_context(|| format!("to state {to}"))
}

fn save(vmm: &Vmm) -> Result<Vec<u8>> {
    step(vmm, STOP_COPY, Some(STOP))?;
    let data = vmm.device.read_migration_data_to_end();
    // However that went.
    step(vmm, STOP, None)?;
    Ok(data?)
}

/// The device is in RESUMING afterwards: the guest's start makes it run.
fn load(vmm: &Vmm, data: &[u8]) -> Result<()> {
    step(vmm, RESUMING, Some(STOP))?;
    if let Err(error) = vmm.device.write_migration_data(data) {
        vmm.device.reset();
        bail!("writing the device's state: {error}");
    }
    Ok(())
}

/// It runs, and writes where it is told to.
fn works(vmm: &Vmm) -> Result<()> {
    expect_eq!(vmm.device.get_migration_state()?, RUNNING, "state");
    vmm.prove_device()
}

fn snapshot_and_go_on(rig: &mut Rig) -> Result<()> {
    let source = &rig.source;
    let mut sizes = Vec::new();
    for _ in 0..3 {
        step(source, STOP, None)?;
        sizes.push(save(source)?.len());
        step(source, RUNNING, None)?;
        works(source)?;
    }
    expect!(sizes[0] > 0, "an empty snapshot");
    expect_eq!(sizes[1..], [sizes[0], sizes[0]], "sizes of the snapshots");
    Ok(())
}

fn restored_elsewhere(rig: &mut Rig) -> Result<()> {
    step(&rig.source, STOP, None)?;
    let data = save(&rig.source)?;
    load(&rig.target, &data)?;
    step(&rig.target, RUNNING, None)?;
    works(&rig.target)?;
    // A snapshot can be used again, here by the device that it is from.
    load(&rig.source, &data)?;
    step(&rig.source, RUNNING, None)?;
    works(&rig.source)
}

fn snapshot_that_fails(rig: &mut Rig) -> Result<()> {
    step(&rig.source, STOP, None)?;
    rig.control.inject(opcode::DEV_PARTS_GET, 1, 1, REFUSE)?;
    let saved = save(&rig.source);
    rig.control.clear_faults()?;
    expect!(saved.is_err(), "a snapshot without device parts");
    // Nothing was lost: the guest goes on, and can be written down the next time.
    expect_eq!(rig.source.device.get_migration_state()?, STOP, "state");
    step(&rig.source, RUNNING, None)?;
    works(&rig.source)?;
    step(&rig.source, STOP, None)?;
    let data = save(&rig.source)?;
    load(&rig.target, &data)?;
    step(&rig.target, RUNNING, None)?;
    works(&rig.target)
}

fn restore_that_is_refused(rig: &mut Rig) -> Result<()> {
    step(&rig.source, STOP, None)?;
    let data = save(&rig.source)?;
    rig.control.inject(opcode::DEV_PARTS_SET, 1, 1, REFUSE)?;
    let loaded = load(&rig.target, &data);
    rig.control.clear_faults()?;
    expect!(loaded.is_err(), "a restored guest without device parts");
    expect_eq!(rig.target.device.get_migration_state()?, RUNNING, "state");
    load(&rig.target, &data)?;
    step(&rig.target, RUNNING, None)?;
    works(&rig.target)
}

/// The monitor learns of it when the guest is to run, and resets the device.
fn restore_of_half_a_snapshot(rig: &mut Rig) -> Result<()> {
    step(&rig.source, STOP, None)?;
    let data = save(&rig.source)?;
    load(&rig.target, &data[..data.len() / 2])?;
    expect!(
        step(&rig.target, RUNNING, None).is_err(),
        "a guest runs with half of its device"
    );
    load(&rig.target, &data)?;
    step(&rig.target, RUNNING, None)?;
    works(&rig.target)
}
