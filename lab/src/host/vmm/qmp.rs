// SPDX-License-Identifier: GPL-2.0
//! QMP, the control protocol of QEMU: as much of it as a migration needs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::host::lines::Lines;
use crate::host::migration::{Migration, Moment};

/// How long QEMU may take to answer. The machine is emulated, and QEMU answers
/// nothing while it opens a device.
const ANSWER: Duration = Duration::from_secs(60);

/// Something that QEMU reported by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
    /// Clock of the machine QEMU runs on, in microseconds.
    pub time_us: i64,
}

impl Event {
    fn parse(message: &Value) -> Option<Self> {
        let part = |name: &str| message.pointer(&format!("/timestamp/{name}"))?.as_i64();
        Some(Self {
            name: message.get("event")?.as_str()?.to_string(),
            data: message.get("data").cloned().unwrap_or(Value::Null),
            time_us: part("seconds")? * 1_000_000 + part("microseconds")?,
        })
    }
}

/// A QMP session. QEMU serves only one at a time.
pub struct Qmp {
    lines: Lines,
    events: Vec<Event>,
}

impl Qmp {
    /// Connects and leaves negotiation mode.
    pub fn connect(path: &Path) -> Result<Self> {
        let mut qmp = Self {
            lines: Lines::connect(path)?,
            events: Vec::new(),
        };
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Executes a command and returns what it returned.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.lines
            .send(&json!({"execute": command, "arguments": arguments}))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let message = self
                .lines
                .receive(deadline)
                .with_context(|| format!("QMP {command}"))?
                .with_context(|| format!("QMP {command}: no answer"))?;
            if let Some(result) = message.get("return") {
                return Ok(result.clone());
            }
            if let Some(error) = message.get("error") {
                bail!(
                    "QMP {command}: {}",
                    error["desc"].as_str().unwrap_or("refused")
                );
            }
            // The greeting is neither.
            self.events.extend(Event::parse(&message));
        }
    }

    /// All events so far, including those that are still under way when called.
    pub fn events(&mut self) -> Result<&[Event]> {
        // The answer to any command comes after the events before it.
        self.execute("query-status", json!({}))?;
        Ok(&self.events)
    }
}

/// Takes the figures out of QEMU's answer to `query-migrate`.
pub fn figures(answer: &Value) -> Migration {
    let number = |path: &str| answer.pointer(path).and_then(Value::as_u64);
    Migration {
        status: answer["status"].as_str().unwrap_or("unknown").to_string(),
        failure: answer["error-desc"].as_str().map(str::to_string),
        total_ms: number("/total-time"),
        downtime_ms: number("/downtime"),
        ram_bytes: number("/ram/transferred"),
        ram_total_bytes: number("/ram/total"),
        multifd_bytes: number("/ram/multifd-bytes"),
        dirty_syncs: number("/ram/dirty-sync-count"),
        device_bytes: number("/vfio/transferred"),
        ..Migration::default()
    }
}

/// What an event means, if it is one of a migration.
pub fn describe(event: &Event) -> Option<Moment> {
    let what = match event.name.as_str() {
        "MIGRATION" => format!("migration {}", event.data["status"].as_str()?),
        "VFIO_MIGRATION" => format!("device {}", event.data["device-state"].as_str()?),
        "STOP" => "guest stopped".to_string(),
        "RESUME" => "guest running".to_string(),
        "RESET" => "guest reset".to_string(),
        _ => return None,
    };
    Some(Moment {
        time_us: event.time_us,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_other_messages() {
        let message = json!({
            "event": "MIGRATION", "data": {"status": "active"},
            "timestamp": {"seconds": 2, "microseconds": 5},
        });
        let event = Event::parse(&message).unwrap();
        assert_eq!(
            (event.name.as_str(), event.time_us),
            ("MIGRATION", 2_000_005)
        );
        assert_eq!(event.data["status"], "active");
        assert_eq!(Event::parse(&json!({"QMP": {"version": {}}})), None);
    }

    #[test]
    fn figures_are_taken_where_qemu_has_them() {
        let migration = figures(&json!({
            "status": "completed", "total-time": 700, "downtime": 90,
            "ram": {"transferred": 5, "total": 9, "dirty-sync-count": 3},
            "vfio": {"transferred": 224},
        }));
        assert_eq!(migration.status, "completed");
        assert_eq!(migration.device_bytes, Some(224));
        assert_eq!(migration.downtime_ms, Some(90));
        let failed = figures(&json!({"status": "failed", "error-desc": "no"}));
        assert_eq!(
            (failed.total_ms, failed.failure.as_deref()),
            (None, Some("no"))
        );
    }

    #[test]
    fn events_of_a_migration_are_moments() {
        let what = |name: &str, data: Value| {
            let event = Event {
                name: name.to_string(),
                data,
                time_us: 7,
            };
            describe(&event).map(|moment| moment.what)
        };
        let device = json!({"device-state": "resuming"});
        assert_eq!(what("VFIO_MIGRATION", device).unwrap(), "device resuming");
        let status = json!({"status": "setup"});
        assert_eq!(what("MIGRATION", status).unwrap(), "migration setup");
        assert_eq!(what("STOP", Value::Null).unwrap(), "guest stopped");
        assert_eq!(what("MIGRATION_PASS", json!({"pass": 1})), None);
    }
}
