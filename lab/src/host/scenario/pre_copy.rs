// SPDX-License-Identifier: GPL-2.0
//! The steps of a migration that ends during pre-copy, and of a guest that is watched
//! where it is.

use anyhow::Result;

use super::plot::{Machine, Plot};
use crate::control::Command;
use crate::host::patience::say;
use crate::host::report::{Migration, Work};
use crate::host::transfer::{self, Transfer};
use crate::stats::PageStats;

impl Plot<'_> {
    /// Begins a migration that crawls: it will be in pre-copy for as long as needed.
    /// Returns when it began.
    pub fn begin_pre_copy(&mut self, source: &mut Machine, target: &mut Machine) -> Result<i64> {
        say("migrating, not to the end");
        let way = Transfer::crawling();
        way.expect(&mut target.vm)?;
        let start_us = way.begin(&mut source.vm)?;
        transfer::wait_until_in_pre_copy(&mut source.vm, start_us)?;
        Ok(start_us)
    }

    /// Waits for the end of such a migration, after which the source's device runs.
    pub fn end_try(
        &mut self,
        source: &mut Machine,
        target: &mut Machine,
        start_us: i64,
    ) -> Result<Migration> {
        let mut migration = transfer::wait_until_ended(&mut source.vm)?;
        transfer::wait_for_event(&mut source.vm, "the device runs again", start_us, |event| {
            transfer::is_device_state(event, "running")
        })?;
        migration.note(start_us, "source", source.vm.qmp().events()?);
        // The target may have ended already.
        if let Ok(events) = target.vm.qmp().events() {
            migration.note(start_us, "target", events);
        }
        migration.target_state = target.vm.run_state().unwrap_or_else(|_| "gone".to_string());
        self.report.tries.push(migration.clone());
        Ok(migration)
    }

    /// Watches what the guest does on its first function, where it is.
    pub fn watch(&mut self, machine: &mut Machine) -> Result<Work> {
        let mut work = Work::default();
        machine.with_guest(|guest| {
            self.loads[0].mark(&mut work, guest)?;
            self.loads[0].wait_until_continued(&mut work, guest)
        })?;
        Ok(work)
    }

    /// The pages that the guest's first function writes.
    pub fn pages(&mut self, machine: &mut Machine) -> Result<PageStats> {
        let answer = machine.with_guest(|guest| guest.ask(0, Command::Status))?;
        Ok(answer.pages)
    }

    /// What a guest does that works on its first function, where it is, and in the
    /// end has done there.
    pub fn whole_work(&mut self, machine: &mut Machine) -> Result<Work> {
        let mut work = self.watch(machine)?;
        machine.with_guest(|guest| {
            work.pages = Some(guest.ask(0, Command::CheckPages)?.pages);
            work.pages_rewritten = Some(guest.ask(0, Command::RewritePages)?.pages);
            self.loads[0].finish(&mut work, guest)
        })?;
        Ok(work)
    }
}
