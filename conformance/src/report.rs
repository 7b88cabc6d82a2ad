// SPDX-License-Identifier: GPL-2.0
//! The report of a run, to be read by programs.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What a case came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Pass,
    Skip,
    Advice,
    Error,
}

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub rule: String,
    pub result: Kind,
    /// Deviations, or why it was skipped.
    pub said: Vec<String>,
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What the run is called in a table.
    pub title: String,
    /// Version of this program.
    pub version: String,
    /// Day of the run, UTC.
    pub date: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Whatever the caller calls this state of things.
    pub revision: String,
    pub driver: String,
    pub device: String,
    pub peer: Option<String>,
    /// `cdev` or `group`.
    pub way: String,
    /// What the device announces.
    pub flags: Vec<String>,
    pub cases: Vec<Entry>,
}

impl Report {
    /// Writes it to `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("writing the report")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }

    /// Reads one.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// How many cases came to `kind`.
    pub fn count(&self, kind: Kind) -> usize {
        self.cases
            .iter()
            .filter(|entry| entry.result == kind)
            .count()
    }
}

/// Today, in UTC.
pub fn today() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    date(seconds / 86400)
}

/// The date so many days after 1970-01-01 (Howard Hinnant's civil_from_days).
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    format!(
        "{year}-{month:02}-{:02}",
        of_year - (153 * shifted + 2) / 5 + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(20_784), "2026-11-27");
        assert_eq!(date(11_016), "2000-02-29");
    }
}
