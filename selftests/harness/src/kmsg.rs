// SPDX-License-Identifier: GPL-2.0
//! The kernel log, read from `/dev/kmsg`, and what in it means trouble.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use nix::errno::Errno;

/// Texts that the kernel prints only when something is wrong with it.
const TROUBLE: [&str; 20] = [
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops:",
    "KASAN:",
    "UBSAN:",
    "KFENCE:",
    "general protection fault",
    "unable to handle",
    "possible circular locking",
    "possible recursive locking",
    "possible deadlock",
    "suspicious RCU usage",
    "inconsistent lock state",
    "held lock freed",
    "lock held when returning to user space",
    "blocked for more than",
    "detected stalls",
    "refcount_t:",
    "rust_kernel: panicked",
];

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
                    messages.push("(kernel messages lost)".to_owned());
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

/// Does this message mean that the kernel is in trouble?
pub fn is_trouble(message: &str) -> bool {
    TROUBLE.iter().any(|text| message.contains(text))
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
        assert!(is_trouble(
            "WARNING: CPU: 0 PID: 7 at drivers/vfio/vfio_main.c:1 vfio_x+0x1/0x2"
        ));
        assert!(is_trouble("BUG: KASAN: slab-use-after-free in x"));
        assert!(!is_trouble("x: loading out-of-tree module taints kernel."));
        assert!(!is_trouble(
            "AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1]"
        ));
    }
}
