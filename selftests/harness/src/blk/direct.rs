// SPDX-License-Identifier: GPL-2.0
//! A disk of the kernel's driver, past the page cache.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use anyhow::{Context, Result, ensure};

use super::pattern::SECTOR;

/// Direct I/O wants memory that is aligned to this. The memory is on the heap,
/// because rustc 1.85 loses the frame pointer of some functions with variables
/// aligned to a page.
const ALIGNMENT: usize = 4096;

/// An open block device.
pub struct DirectDisk {
    file: File,
}

impl DirectDisk {
    /// Opens the block device called `name`.
    pub fn open(name: &str) -> Result<Self> {
        let path = format!("/dev/{name}");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(&path)
            .with_context(|| format!("opening {path}"))?;
        Ok(Self { file })
    }

    pub fn read(&self, sector: u64, sectors: usize) -> Result<Vec<u8>> {
        let length = sectors * SECTOR;
        let mut memory = vec![0xee; length + ALIGNMENT];
        let start = start_of(&memory)?;
        let data = &mut memory[start..start + length];
        self.file
            .read_exact_at(data, sector * SECTOR as u64)
            .with_context(|| format!("reading sector {sector}"))?;
        Ok(data.to_vec())
    }

    pub fn write(&self, sector: u64, data: &[u8]) -> Result<()> {
        let mut memory = vec![0; data.len() + ALIGNMENT];
        let start = start_of(&memory)?;
        let aligned = &mut memory[start..start + data.len()];
        aligned.copy_from_slice(data);
        self.file
            .write_all_at(aligned, sector * SECTOR as u64)
            .with_context(|| format!("writing sector {sector}"))
    }

    /// Waits until all that was written is safe.
    pub fn flush(&self) -> Result<()> {
        self.file.sync_all().context("fsync")
    }
}

/// Where in `memory` aligned data begin.
fn start_of(memory: &[u8]) -> Result<usize> {
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    ensure!(start <= ALIGNMENT, "memory cannot be aligned");
    Ok(start)
}
