// SPDX-License-Identifier: GPL-2.0
//! The steps of a migration that ends during pre-copy, and of a guest that is watched
//! where it is.

use anyhow::Result;

use super::{Machine, Plot};
use crate::control::Command;
use crate::host::migration::Migration;
use crate::host::patience::say;
use crate::host::report::Work;
use crate::host::transfer;
use crate::host::way::Transfer;
use crate::stats::PageStats;

impl Plot<'_> {
    /// Begins a migration that is not to complete. Returns when it began.
    pub fn begin_try(&mut self, source: &mut Machine, target: &mut Machine) -> Result<i64> {
        self.begin(source, target, &Transfer::live())
    }

    /// The same so that it crawls: it will be in pre-copy for as long as needed.
    pub fn begin_pre_copy(&mut self, source: &mut Machine, target: &mut Machine) -> Result<i64> {
        let start_us = self.begin(source, target, &Transfer::crawling())?;
        transfer::wait_until_in_pre_copy(source.vm.as_mut(), start_us)?;
        Ok(start_us)
    }

    fn begin(&self, source: &mut Machine, target: &mut Machine, way: &Transfer) -> Result<i64> {
        say("migrating, not to the end");
        target.vm.expect(way)?;
        transfer::begin(source.vm.as_mut(), way)
    }

    /// Waits for the end of such a migration, after which the source's device runs.
    pub fn end_try(
        &mut self,
        source: &mut Machine,
        target: &mut Machine,
        start_us: i64,
    ) -> Result<Migration> {
        let mut migration = transfer::wait_until_ended(source.vm.as_mut())?;
        transfer::wait_for_moment(source.vm.as_mut(), start_us, "device running")?;
        migration.note(start_us, "source", &source.vm.moments()?);
        // The target may have ended already.
        if let Ok(moments) = target.vm.moments() {
            migration.note(start_us, "target", &moments);
        }
        migration.target_state = target
            .vm
            .run_state()
            .map_or_else(|_| "gone".to_string(), |state| state.name().to_string());
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
