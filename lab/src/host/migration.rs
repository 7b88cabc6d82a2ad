// SPDX-License-Identifier: GPL-2.0
//! The facts of one migration, as VMMs tell them.

use serde::Serialize;

/// A migration, in the VMM's words and figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Migration {
    /// "completed" if all went well.
    pub status: String,
    /// The VMM's reason, if it did not.
    pub failure: Option<String>,
    /// The state of the guest on the target afterwards.
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

/// Something that a VMM has reported by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Clock of the machine that the VMM runs on, in microseconds.
    pub time_us: i64,
    /// "migration", "device" or "guest", and what became of it.
    pub what: String,
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
    pub fn note(&mut self, start_us: i64, side: &'static str, moments: &[Moment]) {
        let since = moments.iter().filter(|moment| moment.time_us >= start_us);
        self.phases.extend(since.map(|moment| Phase {
            ms: (moment.time_us - start_us) as f64 / 1000.0,
            side,
            what: moment.what.clone(),
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

    #[test]
    fn phases_of_both_sides_are_merged_by_time() {
        let moment = |time_us, what: &str| Moment {
            time_us,
            what: what.to_string(),
        };
        let source = [
            moment(1_000, "guest running"),
            moment(2_500, "migration setup"),
            moment(9_000, "guest stopped"),
        ];
        let target = [moment(4_000, "device resuming")];
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
        assert_eq!(migration.source_states(), ["guest stopped"]);
    }
}
