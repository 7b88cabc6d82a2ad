// SPDX-License-Identifier: GPL-2.0
//! A migration is cancelled during pre-copy. The guest goes on where it was, and its
//! device works there; a second try, to a fresh QEMU, completes.

use anyhow::Result;
use serde_json::json;

use super::Script;
use super::plot::{Plot, Side};
use crate::host::report::{Migration, Outcome};
use crate::host::transfer::Transfer;
use crate::host::verdict::{ensure, went_on};

const CANCELLED: &str = "cancelled_in_pre_copy";
const WENT_ON: &str = "guest_continued_on_source";
const PAGES: &str = "source_device_writes_pages";

pub const SCRIPT: Script = Script {
    checks: &[CANCELLED, WENT_ON, PAGES],
    ..Script::new("cancel-and-retry", play)
};

fn play(plot: &mut Plot) -> Result<()> {
    let mut source = plot.boot(Side::A)?;
    let mut target = plot.await_guest(Side::B)?;
    let start_us = plot.begin_pre_copy(&mut source, &mut target)?;
    source.vm.qmp().execute("migrate_cancel", json!({}))?;
    let migration = plot.end_try(&mut source, &mut target, start_us)?;
    plot.report.conclude(CANCELLED, cancelled(&migration));
    drop(target);

    let written = plot.pages(&mut source)?.writes;
    let work = plot.watch(&mut source)?;
    let went_on = went_on(plot.options.device, &work);
    plot.report.conclude(WENT_ON, went_on);
    let pages = plot.pages(&mut source)?;
    let outcome = ensure(!pages.moved && pages.writes > written, || {
        format!("{written} page writes, then {pages:?}")
    });
    plot.report.conclude(PAGES, outcome);

    let mut target = plot.hop(0, source, &Transfer::live())?;
    plot.finish(&mut target)?;
    plot.power_off(target);
    Ok(())
}

/// The migration got as far as pre-copy, and no further; the device runs again and
/// never stood still.
fn cancelled(migration: &Migration) -> Outcome {
    let states = migration.source_states();
    let as_it_must = migration.status == "cancelled"
        && states.contains(&"device pre-copy")
        && states.last() == Some(&"device running")
        && !states.contains(&"device stop-copy")
        && !states.contains(&"guest stopped");
    ensure(as_it_must, || {
        format!("migration {}, source: {states:?}", migration.status)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn only_pre_copy_is_cancelled() {
        let good = ["device pre-copy", "device running"];
        assert_eq!(cancelled(&Migration::ended("cancelled", &good)), Ok(()));
        assert!(cancelled(&Migration::ended("completed", &good)).is_err());
        for bad in [
            &["device running"][..],
            &["device pre-copy"],
            &["device pre-copy", "device stop-copy", "device running"],
            &["device pre-copy", "guest stopped", "device running"],
        ] {
            assert!(
                cancelled(&Migration::ended("cancelled", bad)).is_err(),
                "{bad:?}"
            );
        }
    }
}
