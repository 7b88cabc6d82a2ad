// SPDX-License-Identifier: GPL-2.0
//! What something costs the kernel.

use std::fs::{self, File};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::sys::eventfd::EventFd;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, setrlimit};
use vvp_harness::vfio::PAGE;

/// Memory that comes and goes in a system that does nothing, in bytes.
pub const NOISE: u64 = 48 << 20;

/// Memory that the kernel could give away, in bytes.
pub fn available() -> Result<u64> {
    meminfo("MemAvailable")
}

/// An entry of `/proc/meminfo`, in bytes.
fn meminfo(entry: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let kilobytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix(entry)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("no {entry}"))?
        .parse()
        .with_context(|| entry.to_owned())?;
    Ok(kilobytes * 1024)
}

/// What is in use when all has been given back that is only kept in case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all kinds that are free.
    free: u64,
    /// Bytes in small objects of the kernel.
    objects: u64,
}

impl Usage {
    /// Has the kernel give back what it can, and looks.
    pub fn now() -> Result<Self> {
        for (file, value) in [
            ("/proc/sys/vm/drop_caches", "3"),
            // Takes what the processors keep for themselves.
            ("/proc/sys/vm/compact_memory", "1"),
        ] {
            fs::write(file, value).with_context(|| format!("writing {file}"))?;
        }
        Ok(Self {
            free: meminfo("MemFree")?,
            objects: meminfo("SUnreclaim")?,
        })
    }

    /// How much more is in use than at `before`: bytes in all, and bytes in objects.
    pub fn growth_since(self, before: Self) -> [u64; 2] {
        [
            before.free.saturating_sub(self.free),
            self.objects.saturating_sub(before.objects),
        ]
    }
}

/// Memory of the kernel that somebody holds: what a leak looks like.
pub struct Hoard {
    _pages: File,
    _objects: Vec<EventFd>,
}

impl Hoard {
    /// So many pages, and so many objects of some hundred bytes.
    pub fn take(pages: usize, objects: usize) -> Result<Self> {
        let file: OwnedFd = memfd_create("hoard", MFdFlags::MFD_CLOEXEC).context("memfd")?;
        let mut file = File::from(file);
        for _ in 0..pages {
            std::io::Write::write_all(&mut file, &[1; PAGE]).context("filling a memfd")?;
        }
        let files = objects as u64 + 1024;
        setrlimit(Resource::RLIMIT_NOFILE, files, files).context("limit of files")?;
        let objects: Result<_, _> = (0..objects).map(|_| EventFd::new()).collect();
        Ok(Self {
            _pages: file,
            _objects: objects.context("eventfds")?,
        })
    }
}
