// SPDX-License-Identifier: GPL-2.0
//! How `l2-migrate` talks to the guest: JSON lines over a virtio-serial port that
//! QEMU itself emulates. It does not pass through the device under test, so the
//! guest can be asked even when that device has ceased to work.

use serde::{Deserialize, Serialize};

use crate::stats::{DiskStats, PageStats, TrafficStats};

/// Name of the port.
pub const PORT: &str = "l2.control";

/// What the guest is asked to do.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Only report.
    Status,
    /// Report, and start measuring gaps anew.
    Mark,
    /// Stop the page writer and compare all pages with what was written.
    CheckPages,
    /// Have the device write every page once more, and compare.
    RewritePages,
    /// Stop sending.
    StopTraffic,
    /// Stop writing to the disk and compare all files with what was written.
    CheckDisk,
    /// Leave the disk to others.
    Unmount,
    /// Shut down.
    PowerOff,
}

/// A request, a line of JSON.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Request {
    /// Repeated in the answer, because answers to abandoned requests may come late.
    pub id: u64,
    pub command: Command,
}

/// The guest's answer, always with all it knows.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Answer {
    pub id: u64,
    /// Why the command could not be executed.
    pub error: Option<String>,
    /// All zero in a guest without a network function, as `disk` is in one without
    /// a block function.
    pub traffic: TrafficStats,
    pub pages: PageStats,
    pub disk: DiskStats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_readable_json() {
        let request = Request {
            id: 3,
            command: Command::CheckPages,
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"id":3,"command":"check-pages"}"#);
        let back: Request = serde_json::from_str(&text).unwrap();
        assert_eq!(back.command, Command::CheckPages);
    }
}
