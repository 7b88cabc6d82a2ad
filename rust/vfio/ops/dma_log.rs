// SPDX-License-Identifier: GPL-2.0

//! DMA logging, and what a device is attached to.

use super::{
    super::{
        attachment::Attachment,
        bitmap::Bitmap,
        device::Device,
        dma_log::{
            Container,
            DmaLog,
            Ranges, //
        },
        driver::Driver,
        errno::to_errno,
        span::Span, //
    },
    Ops, //
};
use crate::abi;
use core::ptr::{
    self,
    addr_of_mut, //
};
use kernel::{
    bindings,
    prelude::*, //
};

impl<D: Driver> Ops<D> {
    /// DMA logging operations, for devices that have a [`DmaLog`] and offer it.
    const LOG: &'static abi::vfio_log_ops = &abi::vfio_log_ops {
        log_start: Some(start::<D>),
        log_stop: Some(stop::<D>),
        log_read_and_clear: Some(read_and_clear::<D>),
    };
}

/// Has a device offer DMA logging to who opens it, or not.
///
/// # Safety
///
/// `device` must be a registered device of `D`, with its `dev_set` lock held, and userspace must
/// not have been given the device since it was closed last.
pub(super) unsafe fn offer<D: Driver>(device: *mut abi::vfio_device, container: Container) {
    // SAFETY: The device is registered.
    let Some(log) = (unsafe { Device::<D>::from_vfio(device) }).dma_log() else {
        return;
    };
    let ops: *const abi::vfio_log_ops = if log.opened(container) {
        Ops::<D>::LOG
    } else {
        ptr::null()
    };
    // SAFETY: vfio.h calls `log_ops` a static property, since VFIO takes no lock to read it. VFIO
    // reads it for files that were given access, of which there is none yet, and access is given by
    // a store with release semantics. (So it can stay after closing.) Its debugfs looks at any time
    // whether it is null, for which any value will do.
    unsafe { addr_of_mut!((*device).log_ops).write_volatile(ops) };
}

/// How userspace reaches a device that is being opened, as far as it is known
/// then: whether iommufd stands in for a container shows when it is attached.
///
/// # Safety
///
/// `device` must be a registered device, with its `dev_set` lock held.
pub(super) unsafe fn container(device: *mut abi::vfio_device) -> Container {
    #[cfg(CONFIG_IOMMUFD)]
    {
        // SAFETY: By the requirement of this function; the field changes under the lock.
        let iommufd = unsafe { (*device).iommufd_device };
        if !iommufd.is_null() {
            return Container::Iommufd;
        }
    }
    let _ = device;
    Container::Vfio
}

/// # Safety
///
/// `device` must be an open device of `D`, `ranges` an interval tree, and `page_size` valid for
/// reads and writes.
unsafe extern "C" fn start<D: Driver>(
    device: *mut abi::vfio_device,
    ranges: *mut bindings::rb_root_cached,
    _count: u32,
    page_size: *mut u64,
) -> c_int {
    // SAFETY: An open device is registered, and stays open over a call on its file.
    let (this, at) = unsafe { (Device::<D>::from_vfio(device), Attachment::new(device)) };
    // SAFETY: By the requirements of this function.
    let (ranges, wanted) = unsafe { (Ranges::new(ranges), *page_size) };
    let started = this
        .dma_log()
        .ok_or(ENOTTY)
        .and_then(|log| log.start(&at, ranges, wanted));
    to_errno(started.map(|size| {
        // SAFETY: By the requirements of this function.
        unsafe { page_size.write(size) }
    }))
}

/// # Safety
///
/// `device` must be an open device of `D`.
unsafe extern "C" fn stop<D: Driver>(device: *mut abi::vfio_device) -> c_int {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    to_errno(this.dma_log().ok_or(ENOTTY).and_then(DmaLog::stop))
}

/// # Safety
///
/// `device` must be an open device of `D`, and `bitmap` valid and used by nobody else.
unsafe extern "C" fn read_and_clear<D: Driver>(
    device: *mut abi::vfio_device,
    iova: c_ulong,
    length: c_ulong,
    bitmap: *mut abi::iova_bitmap,
) -> c_int {
    // SAFETY: An open device is registered, and stays open over a call on its file.
    let (this, at) = unsafe { (Device::<D>::from_vfio(device), Attachment::new(device)) };
    // SAFETY: By the requirements of this function.
    let mut bitmap = unsafe { Bitmap::from_raw(bitmap) };
    let window = Span::with_length(iova as u64, length as u64).ok_or(EINVAL);
    to_errno(window.and_then(|window| {
        this.dma_log()
            .ok_or(ENOTTY)?
            .read_and_clear(&at, window, &mut bitmap)
    }))
}

/// # Safety
///
/// `device` must be an open device of `D`, bound to an iommufd, and `page_table` valid for reads
/// and writes.
#[cfg(CONFIG_IOMMUFD)]
pub(super) unsafe extern "C" fn attach<D: Driver>(
    device: *mut abi::vfio_device,
    page_table: *mut u32,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let ret = unsafe { abi::vfio_iommufd_physical_attach_ioas(device, page_table) };
    if ret == 0 {
        // SAFETY: The caller holds the lock. Userspace has a device that was opened by its character
        // device; one that was not is attached once, at the end of its opening by its group.
        unsafe {
            if !abi::vvp_cdev_opened(device) {
                offer::<D>(device, Container::Emulated);
            }
        }
        // SAFETY: An open device is registered, and stays open over this call.
        let (this, at) = unsafe { (Device::<D>::from_vfio(device), Attachment::new(device)) };
        if let Some(log) = this.dma_log() {
            log.attached(&at);
        }
    }
    ret
}

/// # Safety
///
/// `device` must be an open device of `D`, bound to an iommufd.
#[cfg(CONFIG_IOMMUFD)]
pub(super) unsafe extern "C" fn detach<D: Driver>(device: *mut abi::vfio_device) {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    // SAFETY: By the requirements of this function.
    unsafe { abi::vfio_iommufd_physical_detach_ioas(device) };
    if let Some(log) = this.dma_log() {
        log.detached();
    }
}
