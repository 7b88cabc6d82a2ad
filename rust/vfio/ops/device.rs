// SPDX-License-Identifier: GPL-2.0

//! A device from its allocation to its release, and from its opening to its closing.

use super::{
    super::{
        device::Device,
        dma_log::DmaLog,
        driver::Driver,
        errno::to_errno,
        regions::Regions, //
    },
    dma_log, //
};
use crate::abi;
use kernel::{
    error::to_result,
    prelude::*,
    types::ScopeGuard, //
};

/// # Safety
///
/// `device` must be memory for a `Device<D>` that `_vfio_alloc_device` has just allocated.
pub(super) unsafe extern "C" fn init<D: Driver>(device: *mut abi::vfio_device) -> c_int {
    // SAFETY: Called as the `init` callback of a vfio-pci device.
    let ret = unsafe { abi::vfio_pci_core_init_dev(device) };
    if ret == 0 {
        // SAFETY: This is the `init` callback.
        unsafe { Device::<D>::init(device) };
    }
    ret
}

/// # Safety
///
/// `device` must be a device of `D` that nobody refers to any more.
pub(super) unsafe extern "C" fn release<D: Driver>(device: *mut abi::vfio_device) {
    // SAFETY: This is the `release` callback of a device that passed `init`.
    unsafe {
        Device::<D>::release(device);
        abi::vfio_pci_core_release_dev(device);
    }
}

/// # Safety
///
/// `device` must be a registered device of `D`, with its `dev_set` lock held, that is not open.
pub(super) unsafe extern "C" fn open<D: Driver>(device: *mut abi::vfio_device) -> c_int {
    // SAFETY: By the requirements of this function.
    to_errno(unsafe { try_open::<D>(device) })
}

/// # Safety
///
/// As [`open`].
unsafe fn try_open<D: Driver>(device: *mut abi::vfio_device) -> Result {
    // SAFETY: The device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    // SAFETY: Called as the `open_device` callback, on a device not open yet.
    to_result(unsafe { abi::vfio_pci_core_enable(this.core()) })?;
    let enabled = ScopeGuard::new(|| {
        // SAFETY: The device was enabled, and `finish_enable` not called.
        unsafe { abi::vfio_pci_core_disable(this.core()) };
    });
    // SAFETY: The device is enabled, and is not disabled before `open` is dropped.
    let open = unsafe { this.as_open() };
    // SAFETY: VFIO calls this with the `dev_set` lock held, before it gives the device to
    // userspace.
    unsafe { dma_log::offer::<D>(device, dma_log::container(device)) };
    if let Some(regions) = this.regions() {
        regions.opened(&open)?;
    }
    if let Some(migration) = this.migration() {
        // SAFETY: `close` closes it before the device is disabled.
        let opened = unsafe { migration.open(&open) };
        opened.inspect_err(|_| {
            if let Some(regions) = this.regions() {
                regions.closed(&open);
            }
        })?;
    }
    enabled.dismiss();
    // SAFETY: The device was enabled above.
    unsafe { abi::vfio_pci_core_finish_enable(this.core()) };
    Ok(())
}

/// # Safety
///
/// `device` must be an open device of `D`.
pub(super) unsafe extern "C" fn close<D: Driver>(device: *mut abi::vfio_device) {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    if let Some(migration) = this.migration() {
        migration.close();
    }
    if let Some(regions) = this.regions() {
        // SAFETY: The device is disabled below, when this is gone.
        regions.closed(&unsafe { this.as_open() });
    }
    if let Some(log) = this.dma_log() {
        // There need not be a log to end.
        let _ = log.stop();
    }
    // SAFETY: Called as the `close_device` callback.
    unsafe { abi::vfio_pci_core_close_device(device) };
    if let Some(migration) = this.migration() {
        migration.disabled();
    }
}
