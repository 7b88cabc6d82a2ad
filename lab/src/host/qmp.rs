// SPDX-License-Identifier: GPL-2.0
//! QMP, the control protocol of QEMU: as much of it as a migration needs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::lines::Lines;

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
}
