// SPDX-License-Identifier: GPL-2.0
//! Memory that a device sees, and device memory that we see.
//!
//! Both change behind the compiler's back, so all access is volatile, by raw
//! pointer, and bounds-checked; no reference to such memory ever exists.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Page size of the machines this runs on.
pub const PAGE: usize = 4096;

/// Types that volatile access may move as they are.
pub trait Plain: Copy + private::Sealed {}
impl Plain for u8 {}
impl Plain for u16 {}
impl Plain for u32 {}
impl Plain for u64 {}

mod private {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}

/// A mapped range of memory.
///
/// # Invariants
///
/// `start` is the start of a mapping of `length` bytes, readable and writable,
/// that exists as long as this value.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    length: NonZeroUsize,
}

impl Mapping {
    /// Anonymous memory, shared so that a fork does not copy it.
    pub fn anonymous(length: usize) -> Result<Self> {
        let length = NonZeroUsize::new(length).context("empty mapping")?;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
        let start = unsafe {
            mmap_anonymous(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE,
            )
        }
        .context("mapping memory")?;
        // INVARIANT: just mapped so.
        Ok(Self { start, length })
    }

    /// Anonymous memory in pages of `page` bytes, which the system must have reserved.
    pub fn huge(length: usize, page: usize) -> Result<Self> {
        let length = NonZeroUsize::new(length).context("empty mapping")?;
        // mmap(2): the size's logarithm, at MAP_HUGE_SHIFT.
        let size = MapFlags::from_bits_retain((page.ilog2() << 26) as i32);
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
        let start = unsafe {
            mmap_anonymous(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE | MapFlags::MAP_HUGETLB | size,
            )
        }
        .context("mapping huge pages")?;
        // INVARIANT: just mapped so; the kernel gives whole huge pages.
        Ok(Self { start, length })
    }

    /// A range of `file`.
    pub fn of_file(file: impl AsFd, offset: u64, length: usize) -> Result<Self> {
        let length = NonZeroUsize::new(length).context("empty mapping")?;
        // SAFETY: as for anonymous memory.
        let start = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                file,
                i64::try_from(offset).context("offset")?,
            )
        }
        .context("mapping device memory")?;
        // INVARIANT: just mapped so.
        Ok(Self { start, length })
    }

    /// Puts a range of `file`, of the same length, in this mapping's place.
    pub fn replace(&mut self, file: impl AsFd, offset: u64) -> Result<()> {
        let address = NonZeroUsize::new(self.start.as_ptr() as usize).context("null mapping")?;
        // SAFETY: MAP_FIXED replaces exactly this mapping, which is ours alone;
        // all access to it is by checked offset, so nothing notices but that the
        // contents differ. The invariant holds before and after.
        unsafe {
            mmap(
                Some(address),
                self.length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
                file,
                i64::try_from(offset).context("offset")?,
            )
        }
        .context("replacing a mapping")?;
        Ok(())
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.length.get()
    }

    /// Never true; mappings are not empty.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Where it is in this process.
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    fn at<T>(&self, offset: usize) -> *mut T {
        let size = std::mem::size_of::<T>();
        assert!(
            offset % size == 0
                && offset
                    .checked_add(size)
                    .is_some_and(|end| end <= self.len()),
            "access of {size} bytes at {offset:#x} in a mapping of {:#x}",
            self.len()
        );
        self.start.as_ptr().wrapping_byte_add(offset).cast()
    }

    /// Reads one naturally aligned value.
    pub fn read<T: Plain>(&self, offset: usize) -> T {
        // SAFETY: `at` has checked bounds and alignment; by the invariant the
        // memory is mapped, and any bit pattern is a valid `Plain`.
        unsafe { self.at::<T>(offset).read_volatile() }
    }

    /// Writes one naturally aligned value.
    pub fn write<T: Plain>(&self, offset: usize, value: T) {
        // SAFETY: as for `read`.
        unsafe { self.at::<T>(offset).write_volatile(value) }
    }

    /// One read(2) of `file` into this memory, at its beginning.
    pub fn read_from(&self, file: impl AsFd, length: usize) -> Result<usize, Errno> {
        let length = length.min(self.len());
        let file = file.as_fd().as_raw_fd();
        // SAFETY: by the invariant there are `length` bytes that can be written, of which no
        // reference exists.
        let done = unsafe { libc::read(file, self.start.as_ptr(), length) };
        Errno::result(done).map(|done| done as usize)
    }

    /// One write(2) to `file` from this memory, from its beginning.
    pub fn write_to(&self, file: impl AsFd, length: usize) -> Result<usize, Errno> {
        let length = length.min(self.len());
        let file = file.as_fd().as_raw_fd();
        // SAFETY: by the invariant there are `length` bytes that can be read.
        let done = unsafe { libc::write(file, self.start.as_ptr(), length) };
        Errno::result(done).map(|done| done as usize)
    }

    /// Copies bytes out.
    pub fn load(&self, offset: usize, out: &mut [u8]) {
        for (index, byte) in out.iter_mut().enumerate() {
            *byte = self.read(offset + index);
        }
    }

    /// Copies bytes in.
    pub fn store(&self, offset: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            self.write(offset + index, *byte);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: by the invariant the range is ours, and this value, the only way to it, is going.
        let unmapped = unsafe { munmap(self.start, self.len()) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

/// Memory together with the address under which devices see it.
#[derive(Debug)]
pub struct DmaBuffer {
    memory: Mapping,
    iova: u64,
}

impl DmaBuffer {
    /// `length` bytes, to be mapped at `iova`.
    pub fn new(iova: u64, length: usize) -> Result<Self> {
        ensure!(
            iova % PAGE as u64 == 0 && length % PAGE == 0,
            "not whole pages"
        );
        Ok(Self {
            memory: Mapping::anonymous(length)?,
            iova,
        })
    }

    /// The first `length` bytes of `file`, to be mapped at `iova`.
    pub fn of_file(iova: u64, file: impl AsFd, length: usize) -> Result<Self> {
        ensure!(
            iova % PAGE as u64 == 0 && length % PAGE == 0,
            "not whole pages"
        );
        Ok(Self {
            memory: Mapping::of_file(file, 0, length)?,
            iova,
        })
    }

    /// `length` bytes of huge pages of `page` bytes, to be mapped at `iova`.
    pub fn huge(iova: u64, length: usize, page: usize) -> Result<Self> {
        ensure!(
            iova % page as u64 == 0 && length % page == 0,
            "not whole huge pages"
        );
        Ok(Self {
            memory: Mapping::huge(length, page)?,
            iova,
        })
    }

    /// Its first device address.
    pub fn iova(&self) -> u64 {
        self.iova
    }
}

impl std::ops::Deref for DmaBuffer {
    type Target = Mapping;

    fn deref(&self) -> &Mapping {
        &self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_bytes() {
        let memory = Mapping::anonymous(PAGE).unwrap();
        memory.write::<u32>(8, 0x0403_0201);
        let mut bytes = [0; 4];
        memory.load(8, &mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4]);
        memory.store(16, &[0xff; 8]);
        assert_eq!(memory.read::<u64>(16), u64::MAX);
    }

    #[test]
    #[should_panic(expected = "access of 8 bytes")]
    fn bounds() {
        Mapping::anonymous(PAGE).unwrap().read::<u64>(PAGE);
    }

    #[test]
    fn replacing_keeps_the_place() {
        let mut memory = Mapping::anonymous(PAGE).unwrap();
        memory.write::<u64>(0, 7);
        let address = memory.address();
        memory
            .replace(std::fs::File::open("/dev/zero").unwrap(), 0)
            .unwrap_err();
        let zero = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/zero")
            .unwrap();
        memory.replace(zero, 0).unwrap();
        assert_eq!((memory.address(), memory.read::<u64>(0)), (address, 0));
    }
}
