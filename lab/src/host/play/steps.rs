// SPDX-License-Identifier: GPL-2.0
//! Steps for which the guest stays where it is.

use anyhow::Result;

use crate::control::Command;
use crate::host::bench;
use crate::host::outcome::{Outcome, ensure};
use crate::host::patience::{GUEST_UP, say};
use crate::host::plot::{Machine, Plot, Side};
use crate::host::traffic_verdict::CONTINUED;
use crate::host::verdict::went_on;
use crate::host::{page_verdict, traffic_verdict};

pub const OWN_TRAFFIC: &str = "each_function_carries_its_traffic";

pub fn untouched_check(name: &str) -> String {
    format!("function_untouched_on_{name}")
}

pub fn work_checks(name: &str) -> [String; 3] {
    [
        format!("{name}_stream_continued"),
        format!("{name}_stream_intact"),
        format!("{name}_device_writes_pages"),
    ]
}

impl Plot<'_> {
    /// Notes whether a driver of the guest's has touched its first function.
    pub fn ensure_untouched(&mut self, name: &str, machine: &Machine) -> Result<()> {
        let outcome = untouched(bench::state(&self.vfs(machine.side)[0])?.status);
        self.report.conclude(&untouched_check(name), outcome);
        Ok(())
    }

    /// Has the guest load its driver, and waits until it works.
    pub fn load_driver(&mut self, machine: &mut Machine) -> Result<()> {
        say("loading the guest's driver");
        machine.with_guest(|guest| guest.ask_within(0, Command::LoadDriver, GUEST_UP))?;
        self.wait_until_at_work(machine)
    }

    /// Watches a guest that stays, until it has done all that it is to do.
    pub fn work(&mut self, name: &str, machine: &mut Machine) -> Result<()> {
        let work = self.whole_work(machine)?;
        let device = self.options.scenario.device;
        let outcomes = [
            went_on(device, &work),
            traffic_verdict::intact_at_the_end(&work),
            page_verdict::written(&work),
        ];
        for (check, outcome) in work_checks(name).iter().zip(outcomes) {
            self.report.conclude(check, outcome);
        }
        Ok(())
    }

    /// Asks the bench what each function has sent and received.
    pub fn compare_traffic(&mut self) -> Result<()> {
        let mut frames = Vec::new();
        for side in [Side::A, Side::B] {
            for vf in self.vfs(side) {
                let counters = bench::state(vf)?.counters;
                frames.push((counters.tx_frames, counters.rx_frames));
            }
        }
        self.report.conclude(OWN_TRAFFIC, own_traffic(&frames));
        Ok(())
    }
}

/// Whether no driver has acknowledged a device with this status.
fn untouched(status: u8) -> Outcome {
    ensure(status == 0, || {
        format!("the device's status is {status:#x}")
    })
}

/// Whether each function has sent and received what its traffic takes; `frames` are
/// its counts, sent and received.
fn own_traffic(frames: &[(u64, u64)]) -> Outcome {
    let enough = |&(sent, received): &(u64, u64)| sent >= CONTINUED && received >= CONTINUED;
    ensure(frames.iter().all(enough), || {
        format!("frames sent and received: {frames:?}")
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

    #[test]
    fn no_function_is_idle() {
        let busy = (CONTINUED, CONTINUED);
        assert_eq!(own_traffic(&[busy; 4]), Ok(()));
        for idle in [(0, CONTINUED), (CONTINUED, 0)] {
            assert!(own_traffic(&[busy, busy, busy, idle]).is_err());
        }
    }
}
