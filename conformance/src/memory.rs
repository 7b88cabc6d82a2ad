// SPDX-License-Identifier: GPL-2.0
//! Memory that is shared with the kernel, and buffers for its structures.
//!
//! No reference into such memory ever exists, so that a kernel that writes where it should
//! not is seen, and breaks no rule of the language.

use std::num::NonZeroUsize;
use std::ptr::NonNull;

use anyhow::{Context, Result, ensure};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// What may be done with pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
    None,
}

/// Whole pages of anonymous memory.
///
/// # Invariants
///
/// `start` is the start of a mapping of `length` bytes that exists as long as this value.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<std::ffi::c_void>,
    length: NonZeroUsize,
}

// SAFETY: the memory belongs to the process, and all access is by raw pointer.
unsafe impl Send for Memory {}
// SAFETY: as above; accesses are volatile, and races between them are what tests are after.
unsafe impl Sync for Memory {}

impl Memory {
    /// `pages` pages of zeroes.
    pub fn new(pages: usize) -> Result<Self> {
        let length = NonZeroUsize::new(pages * PAGE).context("no pages")?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
        let start = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_SHARED) }
            .context("mapping memory")?;
        // INVARIANT: just mapped so.
        Ok(Self { start, length })
    }

    /// Changes what may be done with `pages` pages from page `first` on.
    pub fn protect(&self, first: usize, pages: usize, access: Access) -> Result<()> {
        ensure!((first + pages) * PAGE <= self.len(), "no such pages");
        let protection = match access {
            Access::ReadWrite => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            Access::ReadOnly => ProtFlags::PROT_READ,
            Access::None => ProtFlags::PROT_NONE,
        };
        let Some(start) = NonNull::new(self.start.as_ptr().wrapping_byte_add(first * PAGE)) else {
            anyhow::bail!("a mapping at address 0");
        };
        // SAFETY: the pages are part of the mapping, which nobody else knows.
        unsafe { mprotect(start, pages * PAGE, protection) }.context("mprotect")
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.length.get()
    }

    /// Where it is.
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.len(), "offset {offset} of {}", self.len());
        self.start.as_ptr().cast::<u8>().wrapping_add(offset)
    }

    /// Copies `bytes` in.
    pub fn store(&self, offset: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: `at` has checked that it is in the mapping.
            unsafe { self.at(offset + index).write_volatile(*byte) };
        }
    }

    /// Copies `length` bytes out.
    pub fn load(&self, offset: usize, length: usize) -> Vec<u8> {
        (offset..offset + length)
            // SAFETY: as for `store`.
            .map(|at| unsafe { self.at(at).read_volatile() })
            .collect()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: by the invariant the range is ours, and the only way to it is going.
        let unmapped = unsafe { munmap(self.start, self.len()) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

/// A structure for an ioctl: aligned, and with more room than any of them needs, so that a
/// wrong `argsz` harms nobody.
#[derive(Clone, Debug)]
pub struct Structure(Vec<u64>);

impl Structure {
    const ROOM: usize = 2 * PAGE;

    /// The words of a structure of 32-bit fields.
    pub fn of_u32(words: &[u32]) -> Self {
        let mut structure = Self::empty();
        for (index, word) in words.iter().enumerate() {
            structure.set(4 * index, &word.to_ne_bytes());
        }
        structure
    }

    /// Nothing but zeroes.
    pub fn empty() -> Self {
        Self(vec![0; Self::ROOM / 8])
    }

    /// Puts `bytes` at `offset`.
    pub fn set(&mut self, offset: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let at = offset + index;
            let mut word = self.0[at / 8].to_ne_bytes();
            word[at % 8] = *byte;
            self.0[at / 8] = u64::from_ne_bytes(word);
        }
    }

    /// `length` bytes at `offset`.
    pub fn get(&self, offset: usize, length: usize) -> Vec<u8> {
        (offset..offset + length)
            .map(|at| self.0[at / 8].to_ne_bytes()[at % 8])
            .collect()
    }

    /// A 32-bit field.
    pub fn u32(&self, offset: usize) -> u32 {
        let bytes = self.get(offset, 4);
        u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// A 64-bit field.
    pub fn u64(&self, offset: usize) -> u64 {
        u64::from(self.u32(offset)) | u64::from(self.u32(offset + 4)) << 32
    }

    /// Where the kernel finds it.
    pub fn pointer(&mut self) -> *mut u64 {
        self.0.as_mut_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let mut structure = Structure::of_u32(&[1, 2]);
        structure.set(8, &7_u64.to_ne_bytes());
        assert_eq!((structure.u32(4), structure.u64(8)), (2, 7));
        structure.set(3, &[9]);
        assert_eq!(structure.get(3, 2), [9, 2]);
    }

    #[test]
    fn memory_keeps_what_is_stored() {
        let memory = Memory::new(2).unwrap();
        memory.store(PAGE - 1, &[1, 2]);
        memory.protect(1, 1, Access::ReadOnly).unwrap();
        assert_eq!(memory.load(PAGE - 1, 3), [1, 2, 0]);
        assert!(memory.protect(1, 2, Access::None).is_err());
    }
}
