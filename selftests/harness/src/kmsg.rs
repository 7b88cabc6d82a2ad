// SPDX-License-Identifier: GPL-2.0
//! The kernel log, read from `/dev/kmsg`, and whether it tells of trouble.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use nix::errno::Errno;

/// In place of messages that were overwritten before they were read.
const LOST: &str = "(kernel messages lost)";

/// Follows the kernel log from the moment it was opened.
pub struct Log {
    device: File,
}

impl Log {
    /// Starts behind the newest message.
    pub fn follow() -> Result<Self> {
        let mut device = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("opening /dev/kmsg")?;
        device
            .seek(SeekFrom::End(0))
            .context("seeking in /dev/kmsg")?;
        Ok(Self { device })
    }

    /// The texts of all messages since the last call.
    pub fn messages(&mut self) -> Result<Vec<String>> {
        let mut messages = Vec::new();
        let mut record = vec![0; 8192];
        loop {
            match self.device.read(&mut record) {
                Ok(0) => break,
                Ok(length) => messages.push(text_of(&String::from_utf8_lossy(&record[..length]))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The ring buffer overtook us; the next read goes on with the oldest message left.
                Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {
                    messages.push(LOST.to_owned());
                }
                Err(error) => return Err(error).context("reading /dev/kmsg"),
            }
        }
        Ok(messages)
    }
}

/// Strips the prefix `level,sequence,time,flags;` and the dictionary lines of a record.
fn text_of(record: &str) -> String {
    let body = record.split_once(';').map_or(record, |(_, body)| body);
    body.lines().next().unwrap_or_default().to_owned()
}

/// Does this message mean that the kernel is in trouble? Nobody knows what lost messages
/// said, so that they are taken for the worst.
pub fn is_trouble(message: &str) -> bool {
    message == LOST || kernel_alarms::is_alarm(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_text() {
        assert_eq!(
            text_of("6,339,5140900,-;vfio: hello; you\n SUBSYSTEM=pci\n"),
            "vfio: hello; you"
        );
    }

    #[test]
    fn trouble() {
        assert!(is_trouble("BUG: KASAN: slab-use-after-free in x"));
        assert!(is_trouble(LOST));
        assert!(!is_trouble("x: loading out-of-tree module taints kernel."));
    }
}
