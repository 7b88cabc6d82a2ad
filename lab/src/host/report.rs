// SPDX-License-Identifier: GPL-2.0
//! The facts of one migration. What was not reached stays empty.

use serde::Serialize;
use serde_json::Value;

use super::prepare::DeviceType;
use super::qmp::Event;
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
    pub fn conclude(&mut self, name: &'static str, outcome: Outcome) {
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
    pub name: &'static str,
    pub outcome: Outcome,
}

impl Check {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            outcome: Err(Problem::NotReached),
        }
    }
}

/// Whether a requirement is met.
pub type Outcome = Result<(), Problem>;

/// Why a requirement is not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Problem {
    /// The fact to judge was never collected.
    NotReached,
    /// It is not as it must be.
    Found(String),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Problem::Found(problem)
    }
}

/// One migration from end to end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Hop {
    /// Tells it from others of its scenario, if there are any.
    pub name: &'static str,
    pub source: String,
    pub target: String,
    pub migration: Option<Migration>,
    /// Who reported to QEMU which pages the device wrote.
    pub dirty_tracker: Option<DirtyTracker>,
    /// The guest has used its IOMMU, if it has one, as it was told.
    pub virtual_iommu_used: Option<bool>,
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
    pub qemu: String,
    pub guest_memory_mib: u32,
    /// What its tests are called.
    pub fixture: String,
    /// The IOMMU model was told not to set dirty bits.
    pub dirty_bits_off: bool,
    /// The guest was told to use the legacy interface.
    pub legacy_guest: bool,
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

/// The migration, in QEMU's words and figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Migration {
    /// "completed" if all went well.
    pub status: String,
    /// QEMU's reason, if it did not.
    pub failure: Option<String>,
    /// QEMU's state of the guest on the target afterwards.
    pub target_state: String,
    pub phases: Vec<Phase>,
    pub total_ms: Option<u64>,
    pub downtime_ms: Option<u64>,
    pub ram_bytes: Option<u64>,
    pub ram_total_bytes: Option<u64>,
    /// Of those sent, the bytes that went over further connections.
    pub multifd_bytes: Option<u64>,
    /// Times that the dirty pages were collected.
    pub dirty_syncs: Option<u64>,
    pub device_bytes: Option<u64>,
}

/// A moment of the migration.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Phase {
    /// After the migrate command.
    pub ms: f64,
    /// "source" or "target".
    pub side: &'static str,
    pub what: String,
}

impl Migration {
    pub fn completed(&self) -> bool {
        self.status == "completed"
    }

    /// Adds the phases that one side has reported since `start_us`, in the order of
    /// time.
    pub fn note(&mut self, start_us: i64, side: &'static str, events: &[Event]) {
        let since = events.iter().filter(|event| event.time_us >= start_us);
        self.phases.extend(since.filter_map(|event| {
            Some(Phase {
                ms: (event.time_us - start_us) as f64 / 1000.0,
                side,
                what: describe(event)?,
            })
        }));
        self.phases
            .sort_by(|one, other| one.ms.total_cmp(&other.ms));
    }

    /// What happened to the device and to the guest on the source, in order.
    pub fn source_states(&self) -> Vec<&str> {
        self.phases
            .iter()
            .filter(|phase| phase.side == "source" && !phase.what.starts_with("migration "))
            .map(|phase| phase.what.as_str())
            .collect()
    }

    /// Takes the figures out of QEMU's answer to `query-migrate`.
    pub fn from_query(answer: &Value) -> Self {
        let number = |path: &str| answer.pointer(path).and_then(Value::as_u64);
        Self {
            status: answer["status"].as_str().unwrap_or("unknown").to_string(),
            failure: answer["error-desc"].as_str().map(str::to_string),
            total_ms: number("/total-time"),
            downtime_ms: number("/downtime"),
            ram_bytes: number("/ram/transferred"),
            ram_total_bytes: number("/ram/total"),
            multifd_bytes: number("/ram/multifd-bytes"),
            dirty_syncs: number("/ram/dirty-sync-count"),
            device_bytes: number("/vfio/transferred"),
            ..Self::default()
        }
    }
}

/// What an event means, if it is one of a migration.
fn describe(event: &Event) -> Option<String> {
    match event.name.as_str() {
        "MIGRATION" => Some(format!("migration {}", event.data["status"].as_str()?)),
        "VFIO_MIGRATION" => Some(format!("device {}", event.data["device-state"].as_str()?)),
        "STOP" => Some("guest stopped".to_string()),
        "RESUME" => Some("guest running".to_string()),
        _ => None,
    }
}

#[cfg(test)]
impl Migration {
    /// One that has ended as `status`, after these states of its source.
    pub fn ended(status: &str, states: &[&str]) -> Self {
        let phase = |what: &&str| Phase {
            ms: 0.0,
            side: "source",
            what: what.to_string(),
        };
        Self {
            status: status.to_string(),
            phases: states.iter().map(phase).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(name: &str, data: Value, time_us: i64) -> Event {
        Event {
            name: name.to_string(),
            data,
            time_us,
        }
    }

    #[test]
    fn figures_are_taken_where_qemu_has_them() {
        let migration = Migration::from_query(&json!({
            "status": "completed", "total-time": 700, "downtime": 90,
            "ram": {"transferred": 5, "total": 9, "dirty-sync-count": 3},
            "vfio": {"transferred": 224},
        }));
        assert_eq!(migration.status, "completed");
        assert_eq!(migration.device_bytes, Some(224));
        assert_eq!(migration.downtime_ms, Some(90));
        let failed = Migration::from_query(&json!({"status": "failed", "error-desc": "no"}));
        assert_eq!(
            (failed.total_ms, failed.failure.as_deref()),
            (None, Some("no"))
        );
    }

    #[test]
    fn phases_of_both_sides_are_merged_by_time() {
        let source = [
            event("RESUME", Value::Null, 1_000),
            event("MIGRATION", json!({"status": "setup"}), 2_500),
            event("STOP", Value::Null, 9_000),
            event("MIGRATION_PASS", json!({"pass": 1}), 9_100),
        ];
        let target = [event(
            "VFIO_MIGRATION",
            json!({"device-state": "resuming"}),
            4_000,
        )];
        let mut migration = Migration::default();
        migration.note(2_000, "target", &target);
        migration.note(2_000, "source", &source);
        let found: Vec<String> = migration
            .phases
            .iter()
            .map(|phase| format!("{} {} {}", phase.ms, phase.side, phase.what))
            .collect();
        assert_eq!(
            found,
            [
                "0.5 source migration setup",
                "2 target device resuming",
                "7 source guest stopped"
            ]
        );
    }

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
