// SPDX-License-Identifier: GPL-2.0
//! A migration that does not complete. The guest goes on where it was, and its device
//! works there.

use anyhow::Result;

use super::migrate::of;
use crate::host::migration::Migration;
use crate::host::outcome::{Outcome, ensure};
use crate::host::plot::{Machine, Plot};
use crate::host::scenario::step::{BreakOff, Cause};
use crate::host::transfer;
use crate::host::verdict::went_on;

const CANCELLED: &str = "cancelled_in_pre_copy";
const RESET: &str = "reset_in_pre_copy";
const FAILED: &str = "failed_by_fault";
const WENT_ON: &str = "guest_continued_on_source";
const PAGES: &str = "source_device_writes_pages";

/// What is wanted of it.
pub fn checks(end: &BreakOff) -> Vec<String> {
    let checks = match end.by {
        Cause::Cancel => &[CANCELLED, WENT_ON, PAGES][..],
        // The guest that went on is another one, which is watched when it is up.
        Cause::Reset => &[RESET],
        Cause::Fault => &[FAILED, WENT_ON, PAGES],
    };
    checks.iter().map(|check| of(&end.name, check)).collect()
}

impl Plot<'_> {
    /// Begins a migration to a fresh VMM, and has it end early.
    pub fn break_off(&mut self, end: &BreakOff, source: &mut Machine) -> Result<()> {
        let mut target = self.await_guest(source.side.other())?;
        let start_us = match end.by {
            // Its device may fail at once, and then there is no pre-copy.
            Cause::Fault => self.begin_try(source, &mut target)?,
            Cause::Cancel | Cause::Reset => self.begin_pre_copy(source, &mut target)?,
        };
        match end.by {
            Cause::Cancel => source.vm.cancel()?,
            Cause::Reset => {
                source.vm.reset()?;
                transfer::wait_for_moment(source.vm.as_mut(), start_us, "guest reset")?;
                self.renew_loads()?;
                // The device's state is read when memory has been sent.
                source.vm.hurry()?;
            }
            Cause::Fault => {}
        }
        let migration = self.end_try(source, &mut target, start_us)?;
        drop(target);
        let (check, outcome) = match end.by {
            Cause::Cancel => (CANCELLED, cancelled(&migration)),
            Cause::Reset => (RESET, failed_in_pre_copy(&migration)),
            Cause::Fault => (FAILED, failed(&migration)),
        };
        self.report.conclude(&of(&end.name, check), outcome);
        match end.by {
            Cause::Reset => self.wait_until_up(source),
            Cause::Cancel | Cause::Fault => self.watch_after(end, source),
        }
    }

    /// Watches the guest where it has stayed.
    fn watch_after(&mut self, end: &BreakOff, source: &mut Machine) -> Result<()> {
        let written = self.pages(source)?.writes;
        let work = self.watch(source)?;
        let outcome = went_on(self.options.scenario.device, &work);
        self.report.conclude(&of(&end.name, WENT_ON), outcome);
        let pages = self.pages(source)?;
        let outcome = ensure(!pages.moved && pages.writes > written, || {
            format!("{written} page writes, then {pages:?}")
        });
        self.report.conclude(&of(&end.name, PAGES), outcome);
        Ok(())
    }
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
    judge(as_it_must, migration)
}

/// The migration ended without success; the guest and its device run on the source.
fn failed(migration: &Migration) -> Outcome {
    let states = migration.source_states();
    let runs = |states: &[&str]| {
        let of_guest = states
            .iter()
            .rev()
            .find(|state| state.starts_with("guest ") && **state != "guest reset");
        let of_device = states
            .iter()
            .rev()
            .find(|state| state.starts_with("device "));
        of_guest.is_none_or(|state| *state == "guest running")
            && of_device.is_some_and(|state| *state == "device running")
    };
    judge(migration.status == "failed" && runs(&states), migration)
}

/// The same after pre-copy had begun.
fn failed_in_pre_copy(migration: &Migration) -> Outcome {
    failed(migration)?;
    let states = migration.source_states();
    judge(states.contains(&"device pre-copy"), migration)
}

fn judge(as_it_must: bool, migration: &Migration) -> Outcome {
    ensure(as_it_must, || {
        let states = migration.source_states();
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

    #[test]
    fn a_reset_ends_the_migration_and_nothing_else() {
        let good = ["device pre-copy", "device running"];
        let judge = |status, states| failed_in_pre_copy(&Migration::ended(status, states));
        assert_eq!(judge("failed", &good[..]), Ok(()));
        assert!(judge("completed", &good[..]).is_err());
        assert!(judge("failed", &good[..1]).is_err());
        assert!(judge("failed", &good[1..]).is_err());
    }

    #[test]
    fn after_a_fault_guest_and_device_run() {
        let judge = |states: &[&str]| failed(&Migration::ended("failed", states));
        let stopped = ["device pre-copy", "guest stopped", "device stop-copy"];
        assert!(judge(&stopped).is_err());
        assert!(judge(&[&stopped[..], &["device running"]].concat()).is_err());
        let good = [&stopped[..], &["device running", "guest running"]].concat();
        assert_eq!(judge(&good), Ok(()));
        assert!(failed(&Migration::ended("completed", &good)).is_err());
    }
}
