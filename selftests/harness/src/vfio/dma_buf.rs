// SPDX-License-Identifier: GPL-2.0
//! Device memory as a dma-buf, and as memory of another device, or the same.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use vfio_bindings::bindings::vfio;

use super::call;
use super::device::{Device, FEATURE_HEADER};
use super::space::Space;

/// VFIO_DEVICE_FEATURE_DMA_BUF
const DMA_BUF: u32 = 11;

/// IOMMUFD_CMD_IOAS_MAP_FILE
const MAP_FILE: u32 = 0x8f;

/// IOMMU_IOAS_MAP_FIXED_IOVA, WRITEABLE, READABLE
const FIXED_READ_WRITE: u32 = 7;

impl Device {
    /// Exports `length` bytes at `offset` of a region.
    pub fn dma_buf(&self, region: u32, offset: u64, length: u64) -> Result<OwnedFd, Errno> {
        // struct vfio_device_feature_dma_buf, with one range.
        let mut export = Vec::new();
        for word in [region, (libc::O_CLOEXEC | libc::O_RDWR) as u32, 0, 1] {
            export.extend(word.to_ne_bytes());
        }
        export.extend(offset.to_ne_bytes());
        export.extend(length.to_ne_bytes());
        let argsz = (FEATURE_HEADER + export.len()) as u32;
        let flags = vfio::VFIO_DEVICE_FEATURE_GET | DMA_BUF;
        let fd = self.feature_number(flags, argsz, &mut export)?;
        // SAFETY: the ioctl has just returned this descriptor; nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

impl Space {
    /// Lets devices read and write the first `length` bytes of a dma-buf at `iova`.
    pub fn map_dma_buf(&self, buffer: impl AsFd, length: u64, iova: u64) -> Result<(), Errno> {
        let (iommufd, ioas) = self.iommufd().ok_or(Errno::ENOTTY)?;
        // struct iommu_ioas_map_file
        let mut map = call::Words::new(40);
        map.set32(0, 40);
        map.set32(4, FIXED_READ_WRITE);
        map.set32(8, ioas);
        map.set(12, &buffer.as_fd().as_raw_fd().to_ne_bytes());
        map.set(24, &length.to_ne_bytes());
        map.set(32, &iova.to_ne_bytes());
        call::bytes(iommufd, call::iommufd_request(MAP_FILE), &mut map).map(drop)
    }
}
