// SPDX-License-Identifier: GPL-2.0
//! The facts of one migration. What was not reached stays empty.

use serde::Serialize;

use super::migration::Migration;
use super::outcome::{Outcome, Problem};
use super::prepare::DeviceType;
use super::tracking::DirtyTracker;
use super::virtual_iommu::VirtualIommu;
use crate::stats::{DiskStats, PageStats, TrafficStats};

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What the scenario was stopped by, if it was.
    pub error: Option<String>,
    pub setting: Setting,
    /// Seconds from starting QEMU until the guest's traffic ran.
    pub guest_up_s: Option<f64>,
    /// Migrations that were not to complete, in the order of time.
    pub tries: Vec<Migration>,
    /// Those that were to complete, in the order of time.
    pub hops: Vec<Hop>,
    /// What this scenario wants beyond what all want.
    pub checks: Vec<Check>,
    /// The scenario was played to its end.
    pub finished: bool,
    /// Lines of the guest's kernel log that report a fault.
    pub guest_alarms: Vec<String>,
    /// Those that are known to come from the emulated processor.
    pub guest_oddities: Vec<String>,
}

impl Report {
    /// Notes the outcome of one of the scenario's own checks.
    pub fn conclude(&mut self, name: &str, outcome: Outcome) {
        for check in &mut self.checks {
            if check.name == name {
                check.outcome = outcome.clone();
            }
        }
    }
}

/// A requirement of one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
}

impl Check {
    pub fn new(name: String) -> Self {
        Self {
            name,
            outcome: Err(Problem::NotReached),
        }
    }
}

/// One migration from end to end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Hop {
    /// Tells it from others of its scenario, if there are any.
    pub name: String,
    pub source: String,
    pub target: String,
    pub migration: Option<Migration>,
    /// Who reported to QEMU which pages the device wrote.
    pub dirty_tracker: Option<DirtyTracker>,
    /// The guest has used its IOMMU, if it has one, as it was told.
    pub virtual_iommu_used: Option<bool>,
    /// The target has told the source that it may stop the guest, where that is asked.
    pub acknowledged: Option<bool>,
    /// The source QEMU was paused, has ended when told to, and with success.
    pub source_gone: Option<bool>,
    /// Features that the guest's driver has negotiated, by the device's word: on
    /// the source and on the target.
    pub features: Option<[u64; 2]>,
    /// What the guest did on each of its functions.
    pub work: Vec<Work>,
}

/// What the guest did on one of its functions, before a migration and after it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Work {
    /// Traffic right before the migration.
    pub before: Option<Traffic>,
    /// Traffic after the guest had run on the target for a while.
    pub after: Option<Traffic>,
    /// Traffic at the end, with senders stopped and nothing under way.
    pub end: Option<Traffic>,
    /// What a guest with a disk has done on it.
    pub disk: DiskFacts,
    /// The pages as they arrived on the target.
    pub pages: Option<PageStats>,
    /// The pages after the device on the target has written them.
    pub pages_rewritten: Option<PageStats>,
}

/// What was migrated with what.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Setting {
    pub device: DeviceType,
    pub driver: String,
    pub kernel: String,
    /// The VMM and its version.
    pub vmm: String,
    pub guest_memory_mib: u32,
    /// What its tests are called.
    pub fixture: String,
    /// The IOMMU model was told not to set dirty bits.
    pub dirty_bits_off: bool,
    /// The guest was told to use the legacy interface.
    pub legacy_guest: bool,
    /// Features, by their bits, that the guest's driver must have negotiated.
    pub features: Vec<u8>,
    /// What the guest does with an IOMMU of its own, if it has one.
    pub virtual_iommu: Option<VirtualIommu>,
    /// Who is to report to QEMU which pages the device wrote.
    pub expected_tracker: Option<DirtyTracker>,
}

impl Setting {
    /// Whether the device writes pages of the guest's: with translation their
    /// addresses mean nothing to it.
    pub fn writes_pages(&self) -> bool {
        self.virtual_iommu.is_none_or(VirtualIommu::is_transparent)
    }
}

/// The load on a disk.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DiskFacts {
    /// Right before the migration.
    pub before: Option<DiskStats>,
    /// When the guest was first asked on the target.
    pub arrived: Option<DiskStats>,
    /// After it had run there for a while.
    pub after: Option<DiskStats>,
    /// Requests that stopping the device has found in flight since then, by the bench.
    pub drained: Option<u64>,
    /// The bench's count of such requests right before the migration.
    pub drained_before: u64,
    /// With all blocks compared.
    pub end: Option<DiskStats>,
    pub on_host: Option<HostView>,
}

/// What the host finds on the disk when the guest has left it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HostView {
    /// What e2fsck objects to.
    pub problem: Option<String>,
    pub blocks: usize,
    pub digest: u64,
    /// A block that is not whole.
    pub example: Option<String>,
}

/// Traffic as its two ends saw it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Traffic {
    pub guest: TrafficStats,
    pub peer: TrafficStats,
}

impl Traffic {
    /// Datagrams that were sent and not received, in both directions. Exact only
    /// when nothing is under way.
    pub fn probes_lost(&self) -> u64 {
        let to_guest = self
            .peer
            .probes
            .sent
            .saturating_sub(self.guest.probes.received);
        let to_peer = self
            .guest
            .probes
            .sent
            .saturating_sub(self.peer.probes.received);
        to_guest + to_peer
    }

    /// Datagrams that were sent, in both directions.
    pub fn probes_sent(&self) -> u64 {
        self.peer.probes.sent + self.guest.probes.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_summed_over_both_directions() {
        let mut traffic = Traffic::default();
        traffic.guest.probes.sent = 10;
        traffic.peer.probes.received = 8;
        traffic.peer.probes.sent = 5;
        traffic.guest.probes.received = 5;
        assert_eq!((traffic.probes_lost(), traffic.probes_sent()), (2, 15));
    }
}
