// SPDX-License-Identifier: GPL-2.0
//! The guest is reset, and its device with it, during pre-copy: the state that QEMU
//! was reading is no more. The guest boots again on the source, and is migrated then.

use anyhow::Result;
use serde_json::json;

use super::Script;
use super::plot::{Plot, Side};
use crate::host::report::{Migration, Outcome};
use crate::host::transfer::{self, Transfer};
use crate::host::verdict::ensure;

const RESET: &str = "reset_in_pre_copy";

pub const SCRIPT: Script = Script {
    checks: &[RESET],
    reboots: true,
    ..Script::new("reset", play)
};

fn play(plot: &mut Plot) -> Result<()> {
    let mut source = plot.boot(Side::A)?;
    let mut target = plot.await_guest(Side::B)?;
    let start_us = plot.begin_pre_copy(&mut source, &mut target)?;
    source.vm.qmp().execute("system_reset", json!({}))?;
    transfer::wait_for_event(&mut source.vm, "the guest is reset", start_us, |event| {
        event.name == "RESET"
    })?;
    plot.renew_loads()?;
    // QEMU reads the device's state when memory has been sent.
    transfer::hurry(&mut source.vm)?;
    let migration = plot.end_try(&mut source, &mut target, start_us)?;
    plot.report.conclude(RESET, failed(&migration));
    drop(target);

    plot.wait_until_up(&mut source)?;
    let mut target = plot.hop(0, source, &Transfer::live())?;
    plot.finish(&mut target)?;
    plot.power_off(target);
    Ok(())
}

/// The migration ended without success; the guest and its device run on the source.
fn failed(migration: &Migration) -> Outcome {
    let states = migration.source_states();
    let as_it_must = migration.status == "failed"
        && states.contains(&"device pre-copy")
        && states.last() == Some(&"device running");
    ensure(as_it_must, || {
        format!("migration {}, source: {states:?}", migration.status)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_ends_the_migration_and_nothing_else() {
        let good = ["device pre-copy", "device running"];
        assert_eq!(failed(&Migration::ended("failed", &good)), Ok(()));
        assert!(failed(&Migration::ended("completed", &good)).is_err());
        assert!(failed(&Migration::ended("failed", &good[..1])).is_err());
        assert!(failed(&Migration::ended("failed", &good[1..])).is_err());
    }
}
