// SPDX-License-Identifier: GPL-2.0
//! The steps of a migration that is to complete.

use anyhow::{Context, Result, bail, ensure};
use vvp_harness::wait;

use super::{Machine, Plot, Side};
use crate::control::Command;
use crate::host::bench;
use crate::host::guest::Guest;
use crate::host::patience::{RESUMED, say};
use crate::host::transfer;
use crate::host::vmm::RunState;
use crate::host::way::Transfer;

impl Plot<'_> {
    /// Migrates the guest to the QEMU that waits for it on the other side, and has
    /// a look at it there.
    pub fn hop(&mut self, hop: usize, mut source: Machine, way: &Transfer) -> Result<Machine> {
        let mut target = self.await_guest(source.side.other())?;
        self.set_off(hop, &mut source)?;
        target.vm.expect(way)?;
        let start_us = self
            .leave(hop, &mut source, way)
            .with_context(|| target.vm.last_words())
            .with_context(|| source.vm.last_words())?;
        self.land(hop, start_us, &mut target)
            .with_context(|| target.vm.last_words())?;
        self.end_source(hop, start_us, source)?;
        self.settle(hop, &mut target)?;
        Ok(target)
    }

    /// Notes how things are right before a migration.
    pub fn set_off(&mut self, hop: usize, source: &mut Machine) -> Result<()> {
        self.note_features(hop, source.side)?;
        self.report.hops[hop].source = self.addresses(source.side);
        self.report.hops[hop].target = self.addresses(source.side.other());
        for (load, work) in self.loads.iter().zip(&mut self.report.hops[hop].work) {
            source.with_guest(|guest| load.mark(work, guest))?;
        }
        Ok(())
    }

    /// Features that the guest's driver has negotiated, with its first function.
    fn note_features(&mut self, hop: usize, side: Side) -> Result<()> {
        let setting = &self.report.setting;
        if setting.legacy_guest || !setting.features.is_empty() {
            let features = bench::state(&self.vfs(side)[0])?.features;
            let noted = &mut self.report.hops[hop].features;
            *noted = Some(noted.map_or([features, 0], |[source, _]| [source, features]));
        }
        Ok(())
    }

    /// Sends the guest, which must succeed. Returns when that began.
    pub fn leave(&mut self, hop: usize, source: &mut Machine, way: &Transfer) -> Result<i64> {
        say("migrating");
        if let Some(limit) = self.options.tracking.downtime_limit {
            source.vm.limit_downtime(limit)?;
        }
        let start_us = transfer::begin(source.vm.as_mut(), way)?;
        let mut migration = transfer::wait_until_ended(source.vm.as_mut())?;
        let facts = &mut self.report.hops[hop];
        facts.dirty_tracker = Some(source.vm.dirty_tracker()?);
        if let Some(kind) = self.options.scenario.guest.iommu {
            facts.virtual_iommu_used = Some(source.vm.virtual_iommu_used(kind)?);
        }
        if way.switchover_ack {
            facts.acknowledged = Some(source.vm.switchover_acknowledged()?);
        }
        if migration.completed() {
            facts.migration = Some(migration);
            return Ok(start_us);
        }
        migration.note(start_us, "source", &source.vm.moments()?);
        let failure = migration.failure.clone().unwrap_or_default();
        facts.migration = Some(migration);
        bail!("the migration did not complete: {failure}");
    }

    /// Waits until the guest, sent at `start_us`, goes on in `target`.
    pub fn land(&mut self, hop: usize, start_us: i64, target: &mut Machine) -> Result<()> {
        transfer::wait_until_running(target.vm.as_mut())?;
        let state = target.vm.run_state()?;
        if let Some(migration) = &mut self.report.hops[hop].migration {
            migration.target_state = state.name().to_string();
            migration.note(start_us, "target", &target.vm.moments()?);
        }
        Ok(())
    }

    /// Ends the QEMU that the guest has left.
    pub fn end_source(&mut self, hop: usize, start_us: i64, mut source: Machine) -> Result<()> {
        say("migrated; ending the source");
        let facts = &mut self.report.hops[hop];
        if let Some(migration) = &mut facts.migration {
            migration.note(start_us, "source", &source.vm.moments()?);
        }
        facts.source_gone = Some(false);
        let state = source.vm.run_state()?;
        ensure!(
            state == RunState::Left,
            "the guest is '{}' on the source after the migration",
            state.name()
        );
        source.vm.quit()?;
        facts.source_gone = Some(true);
        Ok(())
    }

    /// Has a look at a guest that has arrived: it must go on where it was, and the
    /// pages that the device wrote must have come along.
    pub fn settle(&mut self, hop: usize, target: &mut Machine) -> Result<()> {
        say("watching the guest on the target");
        target.migrated = true;
        self.note_features(hop, target.side)?;
        target.with_guest(|guest| self.look_at(hop, guest))
    }

    fn look_at(&mut self, hop: usize, guest: &mut Guest) -> Result<()> {
        let writes_pages = self.report.setting.writes_pages();
        let dirty_bits_off = self.report.setting.dirty_bits_off;
        let hop = &mut self.report.hops[hop];
        for function in (0..hop.work.len()).filter(|_| writes_pages) {
            wait::until("the guest notices that it has moved", RESUMED, || {
                let pages = guest.ask(function, Command::Status)?.pages;
                Ok((pages.moved || pages.error.is_some()).then_some(()))
            })?;
        }
        if dirty_bits_off {
            // The device's rings are as stale as the pages: nothing to watch.
            for (function, work) in hop.work.iter_mut().enumerate() {
                work.pages = Some(guest.ask(function, Command::CheckPages)?.pages);
            }
            return Ok(());
        }
        for (load, work) in self.loads.iter().zip(&mut hop.work) {
            load.wait_until_continued(work, guest)?;
        }
        if !writes_pages {
            return Ok(());
        }
        say("checking the pages that only the device wrote");
        for (function, work) in hop.work.iter_mut().enumerate() {
            work.pages = Some(guest.ask(function, Command::CheckPages)?.pages);
            work.pages_rewritten = Some(guest.ask(function, Command::RewritePages)?.pages);
        }
        Ok(())
    }

    /// Has the guest's functions write pages again, so that they can be checked
    /// after one more migration.
    pub fn write_pages(&mut self, machine: &mut Machine) -> Result<()> {
        for function in 0..self.loads.len() {
            machine.with_guest(|guest| guest.ask(function, Command::WritePages))?;
        }
        Ok(())
    }

    /// Ends what the guest does, and looks at what came of it, after the last hop.
    pub fn finish(&mut self, machine: &mut Machine) -> Result<()> {
        if let Some(hop) = self.report.hops.last_mut() {
            for (load, work) in self.loads.iter().zip(&mut hop.work) {
                machine.with_guest(|guest| load.finish(work, guest))?;
            }
        }
        Ok(())
    }

    fn addresses(&self, side: Side) -> String {
        let all: Vec<_> = self
            .vfs(side)
            .iter()
            .map(|vf| vf.address().to_string())
            .collect();
        all.join("+")
    }
}
