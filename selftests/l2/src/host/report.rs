// SPDX-License-Identifier: GPL-2.0
//! The facts of one migration. What was not reached stays empty.

use serde::Serialize;
use serde_json::Value;

use super::prepare::DeviceType;
use super::qmp::Event;
use super::tracking::Teller;
use crate::stats::{DiskStats, PageStats, TrafficStats};

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What the scenario was stopped by, if it was.
    pub error: Option<String>,
    pub setting: Setting,
    /// Seconds from starting QEMU until the guest's traffic ran.
    pub guest_up_s: Option<f64>,
    pub migration: Option<Migration>,
    /// Who told QEMU of pages that the device wrote.
    pub teller: Option<Teller>,
    /// The source QEMU was paused, has ended when told to, and with success.
    pub source_gone: Option<bool>,
    /// Traffic right before the migration.
    pub before: Option<Traffic>,
    /// Traffic after the guest had run on the target for a while.
    pub after: Option<Traffic>,
    /// Traffic at the end, with senders stopped and nothing under way.
    pub end: Option<Traffic>,
    /// Features that the guest's driver has negotiated, by the device's word: on
    /// the source and on the target.
    pub features: Option<[u64; 2]>,
    /// What a guest with a disk has done on it.
    pub disk: DiskFacts,
    /// The pages as they arrived on the target.
    pub pages: Option<PageStats>,
    /// The pages after the device on the target has written them.
    pub pages_rewritten: Option<PageStats>,
    /// Lines of the guest's kernel log that report a fault.
    pub guest_alarms: Vec<String>,
    /// Those that are known to come from the emulated processor.
    pub guest_oddities: Vec<String>,
}

/// What was migrated with what.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Setting {
    pub device: DeviceType,
    pub driver: String,
    pub kernel: String,
    pub qemu: String,
    pub guest_memory_mib: u32,
    pub source: String,
    pub target: String,
    /// What its tests are called.
    pub fixture: &'static str,
    /// The IOMMU model was told not to set dirty bits.
    pub dirty_bits_off: bool,
    /// The guest was told to use the legacy interface.
    pub legacy_guest: bool,
    /// Who is to tell QEMU of pages that the device wrote, if that matters.
    pub expected_teller: Option<Teller>,
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
    /// Requests that stopping the source has found in flight, by the bench.
    pub drained: Option<u64>,
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
            dirty_syncs: number("/ram/dirty-sync-count"),
            device_bytes: number("/vfio/transferred"),
            ..Self::default()
        }
    }
}

/// The phases of both sides in the order of time.
pub fn phases(start_us: i64, source: &[Event], target: &[Event]) -> Vec<Phase> {
    let side = |side: &'static str, events: &[Event]| {
        events
            .iter()
            .filter(|event| event.time_us >= start_us)
            .filter_map(|event| {
                Some(Phase {
                    ms: (event.time_us - start_us) as f64 / 1000.0,
                    side,
                    what: describe(event)?,
                })
            })
            .collect::<Vec<_>>()
    };
    let mut all = side("source", source);
    all.extend(side("target", target));
    all.sort_by(|one, other| one.ms.total_cmp(&other.ms));
    all
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
        let found: Vec<String> = phases(2_000, &source, &target)
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
