// SPDX-License-Identifier: GPL-2.0
//! The one place where ioctls are made.

use std::os::fd::{AsRawFd, BorrowedFd};

use iommufd_bindings::iommufd as iommu;
use nix::errno::Errno;
use nix::libc;
use vfio_bindings::bindings::vfio;

/// VFIO ioctls by their number above VFIO_BASE.
pub(super) const fn vfio_request(number: u32) -> libc::c_ulong {
    nix::request_code_none!(vfio::VFIO_TYPE, vfio::VFIO_BASE + number)
}

/// iommufd ioctls share VFIO's type; their numbers are absolute.
pub(super) const fn iommufd_request(number: u32) -> libc::c_ulong {
    nix::request_code_none!(vfio::VFIO_TYPE, number)
}

/// A structure that VFIO or iommufd takes by pointer.
///
/// # Safety
///
/// The ioctls it is used with access no memory of this process but the structure
/// itself, or what an embedded pointer names; whoever fills in such a pointer
/// makes sure that the memory is there and is not referenced from Rust.
pub(super) unsafe trait Argument {}

macro_rules! argument {
    ($($name:path),* $(,)?) => {
        $(
            // SAFETY: as the uAPI headers document the structure; pointers in
            // them (the user address of a map, the bitmap) are filled in by
            // `space` and `dirty` only, which argue for them.
            unsafe impl Argument for $name {}
        )*
    };
}

argument!(
    vfio::vfio_device_info,
    vfio::vfio_irq_info,
    vfio::vfio_group_status,
    vfio::vfio_device_bind_iommufd,
    vfio::vfio_device_attach_iommufd_pt,
    vfio::vfio_device_detach_iommufd_pt,
    vfio::vfio_iommu_type1_dma_map,
    vfio::vfio_iommu_type1_dma_unmap,
    vfio::vfio_iommu_type1_dirty_bitmap,
    vfio::vfio_precopy_info,
    iommu::iommu_ioas_alloc,
    iommu::iommu_ioas_map,
    iommu::iommu_ioas_unmap,
    iommu::iommu_hwpt_alloc,
    iommu::iommu_hwpt_set_dirty_tracking,
    iommu::iommu_hwpt_get_dirty_bitmap,
    iommu::iommu_hw_info,
    iommu::iommu_destroy,
);

/// An ioctl whose argument is a structure.
pub(super) fn structure<T: Argument>(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: &mut T,
) -> Result<i32, Errno> {
    // SAFETY: the pointer is valid for the whole structure, which `Argument`
    // promises to be all that the kernel touches.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(argument)) })
}

/// An ioctl whose argument is a structure of variable length that begins with its `argsz`.
pub(super) fn bytes(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: &mut Words,
) -> Result<i32, Errno> {
    assert!(
        argument.get32(0) as usize <= argument.len(),
        "argsz announces more than there is"
    );
    // SAFETY: the kernel touches `argsz` bytes at most, except that it always
    // takes the fixed part of the structure for present; `Words` has room for that.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument.0.as_mut_ptr()) })
}

/// An ioctl whose argument is a number.
pub(super) fn number(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: u32,
) -> Result<i32, Errno> {
    // SAFETY: the kernel takes the argument as a number.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, libc::c_ulong::from(argument)) })
}

/// An ioctl that takes a 32-bit number by pointer.
pub(super) fn number_at(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    mut argument: i32,
) -> Result<i32, Errno> {
    // SAFETY: the kernel reads the 32 bits at the pointer.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut argument) })
}

/// An ioctl that takes a C string.
pub(super) fn text(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: &std::ffi::CStr,
) -> Result<i32, Errno> {
    // SAFETY: the kernel reads up to the terminating NUL.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument.as_ptr()) })
}

/// A buffer aligned for any of the structures and never shorter than their fixed parts.
#[derive(Clone)]
pub(super) struct Words(Vec<u64>);

impl Words {
    /// No structure's fixed part is longer.
    const FIXED: usize = 128;

    pub(super) fn new(length: usize) -> Self {
        Self(vec![0; length.max(Self::FIXED).div_ceil(8)])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() * 8
    }

    pub(super) fn get(&self, offset: usize, out: &mut [u8]) {
        for (index, byte) in out.iter_mut().enumerate() {
            let at = offset + index;
            *byte = self.0[at / 8].to_ne_bytes()[at % 8];
        }
    }

    pub(super) fn set(&mut self, offset: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let at = offset + index;
            let mut word = self.0[at / 8].to_ne_bytes();
            word[at % 8] = *byte;
            self.0[at / 8] = u64::from_ne_bytes(word);
        }
    }

    pub(super) fn get32(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.get(offset, &mut bytes);
        u32::from_ne_bytes(bytes)
    }

    pub(super) fn get64(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        self.get(offset, &mut bytes);
        u64::from_ne_bytes(bytes)
    }

    pub(super) fn set32(&mut self, offset: usize, value: u32) {
        self.set(offset, &value.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_numbers() {
        // From linux/vfio.h and linux/iommufd.h: _IO(';', 100 + 17) and _IO(';', 0x80).
        assert_eq!(vfio_request(17), 0x3b75);
        assert_eq!(iommufd_request(0x80), 0x3b80);
    }

    #[test]
    fn words() {
        let mut words = Words::new(200);
        assert_eq!(words.len(), 200);
        words.set(5, &[1, 2, 3, 4, 5]);
        assert_eq!(words.get32(6), 0x0504_0302);
        assert_eq!(Words::new(1).len(), Words::FIXED);
    }
}
