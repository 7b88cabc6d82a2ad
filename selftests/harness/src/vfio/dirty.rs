// SPDX-License-Identifier: GPL-2.0
//! IOMMU dirty tracking through iommufd.

use std::mem::size_of;
use std::sync::Arc;

use anyhow::{Context, Result};
use iommufd_bindings::iommufd as iommu;
use iommufd_dirty::HwptDirtyTracking;
use nix::errno::Errno;

use super::call;
use super::device::Device;
use super::space::Space;

/// Dirty pages of a range, as the kernel reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    iova: u64,
    length: u64,
    page_size: u64,
    words: Vec<u64>,
}

impl Bitmap {
    /// A clear one for `length` bytes at `iova`.
    pub(super) fn new(iova: u64, length: u64, page_size: u64) -> Result<Self, Errno> {
        // Of no page size there is one bit, for requests that are to be refused.
        let pages = length.div_ceil(page_size.max(1));
        let words = pages.div_ceil(64);
        Ok(Self {
            iova,
            length,
            page_size,
            words: vec![0; usize::try_from(words).map_err(|_| Errno::EINVAL)?],
        })
    }

    /// First address, length, and page size.
    pub(super) fn window(&self) -> (u64, u64, u64) {
        (self.iova, self.length, self.page_size)
    }

    /// Where the kernel may set bits.
    pub(super) fn address(&mut self) -> u64 {
        self.words.as_mut_ptr() as u64
    }

    /// Addresses of the dirty pages, ascending.
    pub fn pages(&self) -> Vec<u64> {
        let mut pages = Vec::new();
        for (index, word) in self.words.iter().enumerate() {
            for bit in (0..64).filter(|bit| (word >> bit) & 1 != 0) {
                pages.push(self.iova + (index as u64 * 64 + bit) * self.page_size);
            }
        }
        pages
    }
}

/// A page table whose dirty bits can be read. Destroyed when dropped, so detach
/// (or close) the devices before.
pub struct DirtyTracking {
    space: Arc<Space>,
    id: u32,
}

/// What the kernel said; what it was not asked is EINVAL.
fn errno(error: iommufd_dirty::Error) -> Errno {
    error.errno().map_or(Errno::EINVAL, Errno::from_raw)
}

impl DirtyTracking {
    /// Allocates one for `device` over its address space. EOPNOTSUPP means that the IOMMU cannot.
    pub fn allocate(device: &Device) -> Result<Self> {
        let space = Arc::clone(device.space());
        let (iommufd, ioas) = space.iommufd().context("dirty tracking needs iommufd")?;
        let mut alloc = iommu::iommu_hwpt_alloc {
            size: size_of::<iommu::iommu_hwpt_alloc>() as u32,
            flags: iommu::iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
            dev_id: device.iommufd_id()?,
            pt_id: ioas,
            ..Default::default()
        };
        iommufd
            .alloc_hwpt(&mut alloc)
            .map_err(errno)
            .context("IOMMU_HWPT_ALLOC with dirty tracking")?;
        let id = alloc.out_hwpt_id;
        Ok(Self { space, id })
    }

    /// The id to attach devices to.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Starts or stops tracking.
    pub fn enable(&self, enable: bool) -> Result<(), Errno> {
        let (iommufd, _) = self.space.iommufd().ok_or(Errno::ENOTTY)?;
        let flag = iommu::iommufd_hwpt_set_dirty_tracking_flags_IOMMU_HWPT_DIRTY_TRACKING_ENABLE;
        let set = iommu::iommu_hwpt_set_dirty_tracking {
            size: size_of::<iommu::iommu_hwpt_set_dirty_tracking>() as u32,
            flags: if enable { flag } else { 0 },
            hwpt_id: self.id,
            ..Default::default()
        };
        iommufd.set_hwpt_dirty_tracking(&set).map_err(errno)
    }

    /// Reads and clears the dirty bits of a range.
    pub fn read(&self, iova: u64, length: u64, page_size: u64) -> Result<Bitmap, Errno> {
        let (iommufd, _) = self.space.iommufd().ok_or(Errno::ENOTTY)?;
        let mut bitmap = Bitmap::new(iova, length, page_size)?;
        let mut get = iommu::iommu_hwpt_get_dirty_bitmap {
            size: size_of::<iommu::iommu_hwpt_get_dirty_bitmap>() as u32,
            hwpt_id: self.id,
            iova,
            length,
            page_size,
            data: bitmap.address(),
            ..Default::default()
        };
        // SAFETY: the kernel sets one bit a page: the bitmap has that many. No reference
        // to it is used until the call returns.
        unsafe { iommufd.get_hwpt_dirty_bitmap(&mut get) }.map_err(errno)?;
        Ok(bitmap)
    }
}

impl Drop for DirtyTracking {
    fn drop(&mut self) {
        if let Some((iommufd, _)) = self.space.iommufd() {
            let mut destroy = iommu::iommu_destroy {
                size: size_of::<iommu::iommu_destroy>() as u32,
                id: self.id,
            };
            // Fails while a device is attached; then closing the iommufd destroys it.
            let _ = call::structure(
                iommufd,
                call::iommufd_request(iommu::IOMMUFD_CMD_DESTROY),
                &mut destroy,
            );
        }
    }
}

impl Device {
    /// Can the IOMMU in front of it track dirty pages?
    pub fn iommu_tracks_dirty(&self) -> Result<bool> {
        let (iommufd, _) = self
            .space()
            .iommufd()
            .context("asking the IOMMU needs iommufd")?;
        let mut info = iommu::iommu_hw_info {
            size: size_of::<iommu::iommu_hw_info>() as u32,
            dev_id: self.iommufd_id()?,
            ..Default::default()
        };
        call::structure(
            iommufd,
            call::iommufd_request(iommu::IOMMUFD_CMD_GET_HW_INFO),
            &mut info,
        )
        .context("IOMMU_GET_HW_INFO")?;
        let flag = u64::from(iommu::iommufd_hw_capabilities_IOMMU_HW_CAP_DIRTY_TRACKING);
        Ok(info.out_capabilities & flag != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_bitmap() {
        let bitmap = Bitmap {
            iova: 0x10_0000,
            length: 128 * 4096,
            page_size: 4096,
            words: vec![0b101, 1 << 63],
        };
        assert_eq!(
            bitmap.pages(),
            [0x10_0000, 0x10_2000, 0x10_0000 + 127 * 4096]
        );
    }
}
