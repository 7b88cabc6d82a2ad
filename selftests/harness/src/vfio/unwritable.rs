// SPDX-License-Identifier: GPL-2.0
//! Reports of a DMA log into memory that cannot be written.

use std::fmt;
use std::num::NonZeroUsize;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::device::Device;
use super::mapping::PAGE;

/// Where a bitmap should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// At address 0.
    Null,
    /// In the kernel's half of the address space.
    Kernel,
    /// Where no access is allowed.
    Inaccessible,
    /// Where only reading is allowed.
    ReadOnly,
    /// The first page can be written, those after it can only be read.
    ReadOnlyAfterFirstPage,
}

impl Unwritable {
    pub const ALL: [Self; 5] = [
        Self::Null,
        Self::Kernel,
        Self::Inaccessible,
        Self::ReadOnly,
        Self::ReadOnlyAfterFirstPage,
    ];
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Kernel => "in the kernel",
            Self::Inaccessible => "inaccessible",
            Self::ReadOnly => "read-only",
            Self::ReadOnlyAfterFirstPage => "read-only after the first page",
        })
    }
}

impl Device {
    /// Asks for what was logged of `length` bytes at `iova`, to be put where it
    /// cannot. Returns the kernel's answer.
    ///
    /// # Errors
    ///
    /// The memory could not be set up.
    pub fn report_dma_log_to(
        &self,
        place: Unwritable,
        iova: u64,
        length: u64,
        page_size: u64,
    ) -> Result<Result<(), Errno>> {
        let report = |address| self.report_dma_log_at(iova, length, page_size, address);
        let writable = match place {
            Unwritable::Null => return Ok(report(0)),
            Unwritable::Kernel => return Ok(report(1 << 63)),
            Unwritable::ReadOnlyAfterFirstPage => PAGE,
            Unwritable::Inaccessible | Unwritable::ReadOnly => 0,
        };
        let protection = match place {
            Unwritable::Inaccessible => ProtFlags::PROT_NONE,
            _ => ProtFlags::PROT_READ,
        };
        let bytes = usize::try_from(length.div_ceil(page_size).div_ceil(64) * 8)?;
        let size = NonZeroUsize::new(bytes.next_multiple_of(PAGE)).context("no bitmap")?;
        let flags = MapFlags::MAP_PRIVATE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
        let start = unsafe { mmap_anonymous(None, size, protection, flags) }.context("mapping")?;
        let answer = (|| {
            if writable != 0 {
                // SAFETY: the range is part of the mapping, which nobody else knows.
                unsafe {
                    mprotect(
                        start,
                        writable,
                        ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                    )
                }
                .context("mprotect")?;
            }
            Ok(report(start.as_ptr() as u64))
        })();
        // SAFETY: the mapping is ours, and no reference into it was ever made.
        unsafe { munmap(start, size.get()) }.context("munmap")?;
        answer
    }
}
