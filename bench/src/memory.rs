// SPDX-License-Identifier: GPL-2.0
//! Guest RAM, shared with QEMU through the file descriptors of DMA_MAP.
//!
//! One [`GuestRam`] serves every function. Accesses hold it for reading; a
//! change of the map, and the IOMMU when it must know that no access is under
//! way, hold it for writing.

use std::fs::File;
use std::io;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use vm_memory::mmap::{MmapRegionBuilder, MmapRegionError};
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
    GuestRegionCollectionError, GuestRegionMmap,
};

pub use write_log::WriteLog;

mod write_log;

/// A snapshot of the guest's RAM. Cheap to clone; mappings live as long as
/// their last snapshot.
pub type PhysicalMemory = GuestMemoryMmap<WriteLog>;

/// Why a DMA_MAP could not be honoured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too big for an address space.
    #[error("size {0:#x} does not fit this machine")]
    Size(u64),
    /// The file ends before the mapping does.
    #[error("the file has {0:#x} bytes, fewer than are to be mapped")]
    PastEnd(u64),
    /// The file is not one that could be mapped.
    #[error("cannot ask for the file's size: {0}")]
    File(#[from] io::Error),
    /// The kernel refuses.
    #[error("cannot map: {0}")]
    Map(#[from] MmapRegionError),
    /// The range wraps around.
    #[error("address {0:#x} and size {1:#x} overflow")]
    Overflow(u64, u64),
    /// The range overlaps with what is mapped.
    #[error("cannot add region: {0}")]
    Insert(#[from] GuestRegionCollectionError),
}

/// The guest's RAM as it is mapped now.
#[derive(Debug, Default)]
pub struct GuestRam {
    memory: RwLock<PhysicalMemory>,
}

impl GuestRam {
    /// RAM with nothing mapped.
    pub fn new() -> Self {
        Self::default()
    }

    /// RAM made of `memory`, for tests.
    pub fn from_memory(memory: PhysicalMemory) -> Self {
        Self {
            memory: RwLock::new(memory),
        }
    }

    /// Holds the map still for an access. Must not be nested: a writer that
    /// waits in between would deadlock both.
    pub fn read(&self) -> RwLockReadGuard<'_, PhysicalMemory> {
        // A panic in another thread leaves the map whole: it is replaced, never edited.
        self.memory
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until no access is under way and holds off new ones.
    pub fn quiesce(&self) -> RwLockWriteGuard<'_, PhysicalMemory> {
        self.memory
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Maps `size` bytes of `file` at `offset` to guest address `address`.
    pub fn map(&self, address: u64, size: u64, file: File, offset: u64) -> Result<(), Error> {
        let length = usize::try_from(size).map_err(|_| Error::Size(size))?;
        // An access beyond the end would be answered with SIGBUS.
        let end = offset
            .checked_add(size)
            .ok_or(Error::Overflow(offset, size))?;
        let bytes = file.metadata()?.len();
        if end > bytes {
            return Err(Error::PastEnd(bytes));
        }
        let mapping = MmapRegionBuilder::new_with_bitmap(length, WriteLog::default())
            .with_file_offset(FileOffset::new(file, offset))
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_SHARED | libc::MAP_NORESERVE)
            .build()?;
        let region = GuestRegionMmap::new(mapping, GuestAddress(address))
            .ok_or(Error::Overflow(address, size))?;
        let mut memory = self.quiesce();
        *memory = memory.insert_region(Arc::new(region))?;
        Ok(())
    }

    /// Removes every mapping that lies inside the range, and returns how many.
    /// No access to them is under way when this returns.
    pub fn unmap(&self, address: u64, size: u64) -> usize {
        let end = address.saturating_add(size);
        let mut memory = self.quiesce();
        let doomed: Vec<_> = memory
            .iter()
            .filter(|region| region.start_addr().0 >= address && region.last_addr().0 < end)
            .map(|region| (region.start_addr(), region.len()))
            .collect();
        for &(start, length) in &doomed {
            if let Ok((rest, _)) = memory.remove_region(start, length) {
                *memory = rest;
            }
        }
        doomed.len()
    }

    /// Removes all mappings.
    pub fn clear(&self) {
        *self.quiesce() = PhysicalMemory::default();
    }
}
