// SPDX-License-Identifier: GPL-2.0
//! How `l2-migrate` talks to the guest: JSON lines over a virtio-serial port that
//! QEMU itself emulates. It does not pass through the device under test, so the
//! guest can be asked even when that device has ceased to work.

use serde::{Deserialize, Serialize};

use crate::stats::{DiskStats, PageStats, TrafficStats};

/// Name of the port.
pub const PORT: &str = "l2.control";

/// Word on the guest's kernel command line, which the kernel hands on: leave the
/// functions alone until asked.
pub const DRIVER_LATER: &str = "l2_driver=later";

/// Likewise: the function is a plain network function, not one of the bench's.
pub const PLAIN: &str = "l2_device=plain";

/// Likewise: have the device write no pages, since their addresses mean nothing to it.
pub const NO_PAGES: &str = "l2_pages=none";

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
    /// Have the device write pages again all the time, counted anew.
    WritePages,
    /// Stop sending.
    StopTraffic,
    /// Stop writing to the disk and compare all files with what was written.
    CheckDisk,
    /// Leave the disk to others.
    Unmount,
    /// Give the functions to their driver, and put them to work.
    LoadDriver,
    /// Shut down.
    PowerOff,
}

/// A request, a line of JSON.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Request {
    /// Repeated in the answer, because answers to abandoned requests may come late.
    pub id: u64,
    /// Which of the guest's functions it is about.
    pub function: usize,
    pub command: Command,
}

/// The guest's answer, always with all it knows of the function.
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
            function: 1,
            command: Command::CheckPages,
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"id":3,"function":1,"command":"check-pages"}"#);
        let back: Request = serde_json::from_str(&text).unwrap();
        assert_eq!(back.command, Command::CheckPages);
    }
}
