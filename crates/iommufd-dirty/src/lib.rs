// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What `iommufd-ioctls` and `vfio-ioctls` lack for dirty page tracking: page tables
//! allocated with dirty bits, `IOMMU_HWPT_SET_DIRTY_TRACKING`,
//! `IOMMU_HWPT_GET_DIRTY_BITMAP`, and devices attached to such page tables.
//!
//! [`HwptDirtyTracking`] has ioctls as `iommufd-ioctls` has others, as methods of
//! `IommuFd` that take the uAPI's structures; there they would be in its `impl`.
//! [`TrackedHwpt`] is a page table that is destroyed when dropped. [`CdevIommufd`]
//! is what `vfio-ioctls` keeps to itself before version 0.10.

#![deny(clippy::undocumented_unsafe_blocks)]

use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use iommufd_bindings::iommufd::*;
use iommufd_ioctls::IommuFd;
use thiserror::Error;
use vfio_bindings::bindings::vfio::{
    VFIO_BASE, VFIO_TYPE, vfio_device_attach_iommufd_pt, vfio_device_bind_iommufd,
};
use vmm_sys_util::errno::Error as SysError;
use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref};
use vmm_sys_util::ioctl_io_nr;

/// What can go wrong.
#[derive(Debug, Error)]
pub enum Error {
    /// IOMMU_IOAS_ALLOC or IOMMU_HWPT_ALLOC.
    #[error("failed to allocate an address space or page table: {0}")]
    Alloc(#[source] SysError),
    /// IOMMU_HWPT_SET_DIRTY_TRACKING.
    #[error("failed to switch dirty tracking: {0}")]
    SetDirtyTracking(#[source] SysError),
    /// IOMMU_HWPT_GET_DIRTY_BITMAP.
    #[error("failed to read the dirty bitmap: {0}")]
    GetDirtyBitmap(#[source] SysError),
    /// VFIO_DEVICE_BIND_IOMMUFD.
    #[error("failed to bind the device to an iommufd: {0}")]
    Bind(#[source] SysError),
    /// VFIO_DEVICE_ATTACH_IOMMUFD_PT.
    #[error("failed to attach the device to a page table: {0}")]
    Attach(#[source] SysError),
    /// A page size of zero, or a range that is larger than memory.
    #[error("bad page size or length")]
    InvalidArgument,
}

impl Error {
    /// What the kernel said, if it was asked.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Alloc(errno)
            | Self::SetDirtyTracking(errno)
            | Self::GetDirtyBitmap(errno)
            | Self::Bind(errno)
            | Self::Attach(errno) => Some(errno.errno()),
            Self::InvalidArgument => None,
        }
    }
}

type Result<T> = std::result::Result<T, Error>;

ioctl_io_nr!(
    IOMMU_IOAS_ALLOC,
    IOMMUFD_TYPE as u32,
    IOMMUFD_CMD_IOAS_ALLOC
);
ioctl_io_nr!(
    IOMMU_HWPT_ALLOC,
    IOMMUFD_TYPE as u32,
    IOMMUFD_CMD_HWPT_ALLOC
);
ioctl_io_nr!(VFIO_DEVICE_BIND_IOMMUFD, VFIO_TYPE as u32, VFIO_BASE + 18);
ioctl_io_nr!(
    VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    VFIO_TYPE as u32,
    VFIO_BASE + 19
);
ioctl_io_nr!(
    IOMMU_HWPT_SET_DIRTY_TRACKING,
    IOMMUFD_TYPE as u32,
    IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING
);
ioctl_io_nr!(
    IOMMU_HWPT_GET_DIRTY_BITMAP,
    IOMMUFD_TYPE as u32,
    IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP
);

/// The ioctls of dirty tracking.
pub trait HwptDirtyTracking: AsRawFd {
    /// Allocates an I/O address space. (`IommuFd::alloc_iommu_ioas` takes the
    /// structure of older bindings.) Returns its id.
    fn alloc_ioas(&self) -> Result<u32>
    where
        Self: Sized,
    {
        let mut alloc = iommu_ioas_alloc {
            size: size_of::<iommu_ioas_alloc>() as u32,
            ..Default::default()
        };
        // SAFETY: the kernel accesses the structure, which has no pointers in it.
        let ret = unsafe { ioctl_with_mut_ref(self, IOMMU_IOAS_ALLOC(), &mut alloc) };
        if ret < 0 {
            return Err(Error::Alloc(SysError::last()));
        }
        Ok(alloc.out_ioas_id)
    }

    /// Allocates a page table.
    fn alloc_hwpt(&self, alloc: &mut iommu_hwpt_alloc) -> Result<()>
    where
        Self: Sized,
    {
        // SAFETY: the kernel accesses the structure; `data_len`, which says how long
        // what a pointer in it leads to is, is checked to be none.
        let ret = unsafe {
            if alloc.data_len != 0 {
                return Err(Error::InvalidArgument);
            }
            ioctl_with_mut_ref(self, IOMMU_HWPT_ALLOC(), alloc)
        };
        if ret < 0 {
            return Err(Error::Alloc(SysError::last()));
        }
        Ok(())
    }

    /// Switches dirty tracking of a page table on or off. Switching it on clears
    /// all dirty bits.
    fn set_hwpt_dirty_tracking(&self, set: &iommu_hwpt_set_dirty_tracking) -> Result<()>
    where
        Self: Sized,
    {
        // SAFETY: the kernel reads the structure, which has no pointers in it.
        let ret = unsafe { ioctl_with_ref(self, IOMMU_HWPT_SET_DIRTY_TRACKING(), set) };
        if ret < 0 {
            return Err(Error::SetDirtyTracking(SysError::last()));
        }
        Ok(())
    }

    /// Adds the dirty bits of a range to the bitmap at `get.data`, and clears them
    /// unless the flags say otherwise.
    ///
    /// # Safety
    ///
    /// `get.data` must be the address of memory with one bit for each page of
    /// `get.page_size` bytes in `get.length`, rounded up to 64 bits, to which
    /// there is no reference.
    unsafe fn get_hwpt_dirty_bitmap(&self, get: &mut iommu_hwpt_get_dirty_bitmap) -> Result<()>
    where
        Self: Sized,
    {
        // SAFETY: the kernel accesses the structure, and the bitmap as the caller promises.
        let ret = unsafe { ioctl_with_mut_ref(self, IOMMU_HWPT_GET_DIRTY_BITMAP(), get) };
        if ret < 0 {
            return Err(Error::GetDirtyBitmap(SysError::last()));
        }
        Ok(())
    }
}

impl<T: AsRawFd> HwptDirtyTracking for T {}

/// A VFIO character device and its iommufd.
pub trait CdevIommufd: AsRawFd {
    /// Binds the device to `iommufd`. Returns the id that iommufd knows it by.
    fn bind_iommufd(&self, iommufd: &IommuFd) -> Result<u32>
    where
        Self: Sized,
    {
        let mut bind = vfio_device_bind_iommufd {
            argsz: size_of::<vfio_device_bind_iommufd>() as u32,
            iommufd: iommufd.as_raw_fd(),
            ..Default::default()
        };
        // SAFETY: the kernel accesses the structure, which has no pointers in it.
        let ret = unsafe { ioctl_with_mut_ref(self, VFIO_DEVICE_BIND_IOMMUFD(), &mut bind) };
        if ret < 0 {
            return Err(Error::Bind(SysError::last()));
        }
        Ok(bind.out_devid)
    }

    /// Attaches the device to a page table in place of what it is attached to.
    fn attach_hwpt(&self, hwpt: &TrackedHwpt) -> Result<()>
    where
        Self: Sized,
    {
        let mut attach = vfio_device_attach_iommufd_pt {
            argsz: size_of::<vfio_device_attach_iommufd_pt>() as u32,
            pt_id: hwpt.id(),
            ..Default::default()
        };
        // SAFETY: the kernel accesses the structure, which has no pointers in it.
        let ret = unsafe { ioctl_with_mut_ref(self, VFIO_DEVICE_ATTACH_IOMMUFD_PT(), &mut attach) };
        if ret < 0 {
            return Err(Error::Attach(SysError::last()));
        }
        Ok(())
    }
}

impl<T: AsRawFd> CdevIommufd for T {}

/// A page table with dirty bits over an I/O address space.
pub struct TrackedHwpt {
    iommufd: Arc<IommuFd>,
    id: u32,
}

impl TrackedHwpt {
    /// Allocates one for the device `dev_id` over the address space `ioas_id`.
    pub fn new(iommufd: Arc<IommuFd>, ioas_id: u32, dev_id: u32) -> Result<Self> {
        let mut alloc = iommu_hwpt_alloc {
            size: size_of::<iommu_hwpt_alloc>() as u32,
            flags: iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
            dev_id,
            pt_id: ioas_id,
            ..Default::default()
        };
        iommufd.alloc_hwpt(&mut alloc)?;
        Ok(Self {
            iommufd,
            id: alloc.out_hwpt_id,
        })
    }

    /// The id to attach devices to.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Switches dirty tracking on or off.
    pub fn set_dirty_tracking(&self, enable: bool) -> Result<()> {
        let flag = iommufd_hwpt_set_dirty_tracking_flags_IOMMU_HWPT_DIRTY_TRACKING_ENABLE;
        self.iommufd
            .set_hwpt_dirty_tracking(&iommu_hwpt_set_dirty_tracking {
                size: size_of::<iommu_hwpt_set_dirty_tracking>() as u32,
                flags: if enable { flag } else { 0 },
                hwpt_id: self.id,
                ..Default::default()
            })
    }

    /// Reads the dirty bits of a range: page `i` is dirty if bit `i % 64` of word
    /// `i / 64` is set. Clears them, unless `keep`.
    pub fn dirty_bitmap(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        keep: bool,
    ) -> Result<Vec<u64>> {
        let words = length
            .checked_div(page_size)
            .and_then(|pages| usize::try_from(pages.div_ceil(64)).ok())
            .ok_or(Error::InvalidArgument)?;
        let mut bitmap = vec![0_u64; words];
        let flag = iommufd_hwpt_get_dirty_bitmap_flags_IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;
        let mut get = iommu_hwpt_get_dirty_bitmap {
            size: size_of::<iommu_hwpt_get_dirty_bitmap>() as u32,
            hwpt_id: self.id,
            flags: if keep { flag } else { 0 },
            iova,
            length,
            page_size,
            data: bitmap.as_mut_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the kernel takes no length that is no multiple of the page size, so
        // `bitmap` has a bit for each page; it is not used until the call returns.
        unsafe { self.iommufd.get_hwpt_dirty_bitmap(&mut get)? };
        Ok(bitmap)
    }
}

impl Drop for TrackedHwpt {
    fn drop(&mut self) {
        // Refused while a device is attached; then closing the iommufd destroys it.
        let _ = self.iommufd.destroy_iommu_object(self.id);
    }
}

/// The example there compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_numbers() {
        // From linux/iommufd.h: _IO(';', 0x8b) and _IO(';', 0x8c).
        assert_eq!(IOMMU_HWPT_ALLOC(), 0x3b89);
        assert_eq!(VFIO_DEVICE_BIND_IOMMUFD(), 0x3b76);
        assert_eq!(IOMMU_HWPT_SET_DIRTY_TRACKING(), 0x3b8b);
        assert_eq!(IOMMU_HWPT_GET_DIRTY_BITMAP(), 0x3b8c);
    }

    #[test]
    fn page_sizes_that_are_none() {
        let iommufd = Arc::new(IommuFd::new_from_fd(
            std::fs::File::open("/dev/null").unwrap(),
        ));
        let hwpt = TrackedHwpt { iommufd, id: 1 };
        assert!(matches!(
            hwpt.dirty_bitmap(0, 4096, 0, false),
            Err(Error::InvalidArgument)
        ));
        // Not an iommufd.
        assert!(matches!(
            hwpt.set_dirty_tracking(true),
            Err(Error::SetDirtyTracking(errno)) if errno.errno() == 25
        ));
    }
}
