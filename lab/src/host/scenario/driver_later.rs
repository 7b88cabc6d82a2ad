// SPDX-License-Identifier: GPL-2.0
//! The guest's driver has never touched the function when it is migrated: the device
//! is as after a reset, and has no state worth mentioning. It is migrated all the
//! same, and the driver finds a working device on the target.
//!
//! QEMU shows the guest a vendor that no driver knows; on the target virtio_pci is
//! told that the function is its own.

use anyhow::Result;

use super::Script;
use super::plot::{Plot, Side};
use crate::control::Command;
use crate::host::bench;
use crate::host::patience::{GUEST_UP, say};
use crate::host::report::Outcome;
use crate::host::transfer::Transfer;
use crate::host::verdict::{ensure, went_on};
use crate::host::{page_verdict, traffic_verdict};

const UNTOUCHED: &str = "function_untouched_on_source";
const STILL_UNTOUCHED: &str = "function_untouched_on_target";
const STREAM: &str = "stream_continued_on_target";
const INTACT: &str = "stream_intact";
const PAGES: &str = "target_device_writes_pages";

pub const SCRIPT: Script = Script {
    checks: &[UNTOUCHED, STILL_UNTOUCHED, STREAM, INTACT, PAGES],
    driver_later: true,
    ..Script::new("driver-later", play)
};

fn play(plot: &mut Plot) -> Result<()> {
    let source = plot.boot(Side::A)?;
    let outcome = untouched(bench::state(&plot.vfs(Side::A)[0])?.status);
    plot.report.conclude(UNTOUCHED, outcome);

    let mut target = plot.hop(0, source, &Transfer::live())?;
    let outcome = untouched(bench::state(&plot.vfs(Side::B)[0])?.status);
    plot.report.conclude(STILL_UNTOUCHED, outcome);

    say("loading the guest's driver on the target");
    target.with_guest(|guest| guest.ask_within(0, Command::LoadDriver, GUEST_UP))?;
    plot.wait_until_at_work(&mut target)?;
    let work = plot.whole_work(&mut target)?;
    let device = plot.options.device;
    plot.report.conclude(STREAM, went_on(device, &work));
    plot.report
        .conclude(INTACT, traffic_verdict::intact_at_the_end(&work));
    plot.report.conclude(PAGES, page_verdict::written(&work));
    plot.power_off(target);
    Ok(())
}

/// Whether no driver has acknowledged a device with this status.
fn untouched(status: u8) -> Outcome {
    ensure(status == 0, || {
        format!("the device's status is {status:#x}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_acknowledges_has_touched() {
        assert_eq!(untouched(0), Ok(()));
        assert!(untouched(1).is_err());
        assert!(untouched(0xf).is_err());
    }
}
