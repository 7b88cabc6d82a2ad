// SPDX-License-Identifier: GPL-2.0
//! Trace events, in a trace buffer of one's own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::pci;

const TRACEFS: &str = "/sys/kernel/tracing";

/// A trace buffer that records the events of one system.
#[derive(Debug)]
pub struct Trace {
    instance: PathBuf,
}

impl Trace {
    /// Begins to record; `None` if the kernel or the module has no such events.
    pub fn of(system: &str) -> Result<Option<Self>> {
        let tracefs = Path::new(TRACEFS);
        if !tracefs.join("events").join(system).exists() {
            return Ok(None);
        }
        let name = format!("vvp-{}", std::process::id());
        let instance = tracefs.join("instances").join(name);
        fs::create_dir(&instance).with_context(|| format!("making {}", instance.display()))?;
        let trace = Self { instance };
        pci::write(
            &trace.instance.join("events").join(system).join("enable"),
            "1",
        )?;
        Ok(Some(trace))
    }

    /// What was recorded, the texts of the events named `event` in order.
    pub fn events(&self, event: &str) -> Result<Vec<String>> {
        let path = self.instance.join("trace");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mark = format!(" {event}: ");
        Ok(text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(&mark))
            .map(|(_, text)| text.to_owned())
            .collect())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // A test that fails must not be hidden by one that cannot clean up.
        let _ = fs::remove_dir(&self.instance);
    }
}

/// The value of `name=value` in an event's text.
pub fn field<'a>(event: &'a str, name: &str) -> Option<&'a str> {
    event
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let event = "0000:01:00.1 from=STOP to=STOP_COPY errno=-22 ns=5";
        assert_eq!(field(event, "to"), Some("STOP_COPY"));
        assert_eq!(field(event, "errno"), Some("-22"));
        assert_eq!(field(event, "from_"), None);
    }
}
