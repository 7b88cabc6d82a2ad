// SPDX-License-Identifier: GPL-2.0

//! What a driver implements for regions that it emulates, and for the configuration
//! header it shows.
//!
//! `vfio-pci-core` serves the regions that the device has. A driver whose device
//! is to look different implements [`Regions`]: whole regions in place of what
//! the device lacks, and a view of the configuration header.

use super::open_device::OpenDevice;
use crate::abi;
use kernel::{
    mm::virt::VmaNew,
    prelude::*,
    uaccess::UserPtr, //
};

/// Most bytes in one access to an emulated region.
pub(crate) const MAX_ACCESS: usize = 8;

/// Bytes of the part of configuration space that every function has alike.
pub(crate) const HEADER_LEN: usize = 64;

/// Region number of BAR 0.
pub(crate) const BAR0: u32 = abi::VFIO_PCI_BAR0_REGION_INDEX;

/// What userspace sees of a device beyond, or instead of, what the device has.
///
/// Region numbers are those of `VFIO_PCI_*_REGION_INDEX`. Calls come from any
/// number of threads at a time, with no lock held, so that user memory may be
/// accessed. They are made while the device is open, but for
/// [`reset_done`](Self::reset_done), which may come at any time.
#[vtable]
pub(crate) trait Regions: Send + Sync + 'static {
    /// The device file was opened: whatever a former user left must not show.
    /// The device has just been reset, if it can be.
    ///
    /// # Errors
    ///
    /// The device is not opened.
    fn opened(&self, device: &OpenDevice) -> Result;

    /// The last user closes the device file; its memory mappings are gone.
    fn closed(&self, _device: &OpenDevice) {}

    /// The device was reset.
    ///
    /// Runs where the reset was asked for, with locks of VFIO held that are
    /// also taken inside page faults: user memory must not be accessed, and no
    /// lock be taken that is held elsewhere while that is done, or for long.
    fn reset_done(&self);

    /// Number of bytes of region `region` if it is emulated, and then never 0.
    /// It must be one that the device does not have itself, since
    /// `vfio-pci-core` goes on mapping and exporting those. An emulated region
    /// can be read and written, and not be mapped.
    fn len(&self, region: u32) -> Option<u64>;

    /// Reads from an emulated region. The access is within the region and has 1
    /// to [`MAX_ACCESS`] bytes, initially zero; it may have any alignment.
    ///
    /// # Errors
    ///
    /// Userspace gets them as they are.
    fn read(&self, device: &OpenDevice, region: u32, offset: u64, bytes: &mut [u8]) -> Result;

    /// Writes to an emulated region; otherwise as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// Userspace gets them as they are.
    fn write(&self, device: &OpenDevice, region: u32, offset: u64, bytes: &[u8]) -> Result;

    /// Changes what userspace reads from the configuration header: `bytes`, at
    /// offset `at`, are what `vfio-pci-core` shows.
    fn show_header(&self, at: usize, bytes: &mut [u8]);

    /// Userspace wrote `bytes` to the configuration header, at offset `at`, and
    /// `vfio-pci-core` has made of it what it makes of it.
    fn header_written(&self, at: usize, bytes: &[u8]);

    /// Userspace maps a region that the device has. False if `vfio-pci-core` is to
    /// map it.
    ///
    /// # Errors
    ///
    /// Userspace gets them as they are.
    fn map(&self, _device: &OpenDevice, _region: u32, _vma: &VmaNew) -> Result<bool> {
        Ok(false)
    }

    /// `ioctl()` on the device. `None` if `vfio-pci-core` is to answer it.
    ///
    /// # Errors
    ///
    /// Userspace gets them as they are.
    fn ioctl(
        &self,
        _device: &OpenDevice,
        _command: u32,
        _argument: usize,
    ) -> Result<Option<c_long>> {
        Ok(None)
    }

    /// `VFIO_DEVICE_FEATURE` that VFIO itself does not answer, with the flags, and the
    /// place and size of the data behind them. `None` if `vfio-pci-core` is to answer it.
    ///
    /// # Errors
    ///
    /// Userspace gets them as they are.
    fn feature(
        &self,
        _device: &OpenDevice,
        _flags: u32,
        _data: UserPtr,
        _size: usize,
    ) -> Result<Option<c_int>> {
        Ok(None)
    }
}

/// The [`Regions`] of a driver that has none.
pub(crate) enum NoRegions {}

#[vtable]
impl Regions for NoRegions {
    fn opened(&self, _: &OpenDevice) -> Result {
        match *self {}
    }

    fn reset_done(&self) {
        match *self {}
    }

    fn len(&self, _region: u32) -> Option<u64> {
        match *self {}
    }

    fn read(&self, _: &OpenDevice, _: u32, _: u64, _: &mut [u8]) -> Result {
        match *self {}
    }

    fn write(&self, _: &OpenDevice, _: u32, _: u64, _: &[u8]) -> Result {
        match *self {}
    }

    fn show_header(&self, _: usize, _: &mut [u8]) {
        match *self {}
    }

    fn header_written(&self, _: usize, _: &[u8]) {
        match *self {}
    }
}
