// SPDX-License-Identifier: GPL-2.0

//! The vtables through which VFIO calls a variant driver.

use super::{
    device::Device,
    dma_log::DmaLog,
    driver::Driver,
    migration::Migration,
    regions::{
        self,
        Regions, //
    }, //
};
use crate::abi;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    str::as_char_ptr_in_const_context,
    sync::aref::ARef, //
};

/// Vtables of driver `D`.
pub(super) struct Ops<D>(PhantomData<D>);

impl<D: Driver> Ops<D> {
    /// Device operations: those of `vfio-pci-core`, but for opening and closing,
    /// for the lifetime of our part of the device, and for emulated regions.
    pub(super) const DEVICE: abi::vfio_device_ops = abi::vfio_device_ops {
        name: as_char_ptr_in_const_context(D::NAME).cast_mut(),
        init: Some(init::<D>),
        release: Some(release::<D>),
        open_device: Some(open_device::<D>),
        close_device: Some(close_device::<D>),
        ioctl: Some(abi::vfio_pci_core_ioctl),
        get_region_info_caps: Some(regions::region_info::<D>),
        device_feature: Some(abi::vfio_pci_core_ioctl_feature),
        read: Some(regions::read::<D>),
        write: Some(regions::write::<D>),
        mmap: Some(abi::vfio_pci_core_mmap),
        request: Some(abi::vfio_pci_core_request),
        match_: Some(abi::vfio_pci_core_match),
        match_token_uuid: Some(abi::vfio_pci_core_match_token_uuid),
        #[cfg(CONFIG_IOMMUFD)]
        bind_iommufd: Some(abi::vfio_iommufd_physical_bind),
        #[cfg(CONFIG_IOMMUFD)]
        unbind_iommufd: Some(abi::vfio_iommufd_physical_unbind),
        #[cfg(CONFIG_IOMMUFD)]
        attach_ioas: Some(super::dma_log::attach::<D>),
        #[cfg(CONFIG_IOMMUFD)]
        detach_ioas: Some(super::dma_log::detach::<D>),
        // No PASIDs: DMA with one goes through a page table of its own, of which no log would know.
        ..pin_init::zeroed()
    };

    /// What `vfio-pci-core` asks of its driver: where the BARs lie, for dma-buf
    /// export.
    #[allow(
        clippy::needless_update,
        reason = "which fields there are depends on the kernel"
    )]
    pub(super) const PCI: abi::vfio_pci_device_ops = abi::vfio_pci_device_ops {
        #[cfg(CONFIG_VFIO_PCI_DMABUF)]
        get_dmabuf_phys: Some(abi::vfio_pci_core_get_dmabuf_phys),
        ..pin_init::zeroed()
    };

    /// Migration operations, for devices with a `Migration`.
    pub(super) const MIGRATION: abi::vfio_migration_ops = abi::vfio_migration_ops {
        migration_set_state: Some(set_state::<D>),
        migration_get_state: Some(get_state::<D>),
        migration_get_data_size: Some(get_data_size::<D>),
    };

    /// What devices with a `Migration` support.
    pub(super) const MIGRATION_FLAGS: u32 = abi::VFIO_MIGRATION_STOP_COPY
        | abi::VFIO_MIGRATION_P2P
        | if D::Migration::PRE_COPY {
            abi::VFIO_MIGRATION_PRE_COPY
        } else {
            0
        };
}

pub(super) fn to_errno(result: Result) -> c_int {
    result.map_or_else(Error::to_errno, |()| 0)
}

/// # Safety
///
/// `device` must be memory for a `Device<D>` that `_vfio_alloc_device` has just allocated.
unsafe extern "C" fn init<D: Driver>(device: *mut abi::vfio_device) -> c_int {
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
unsafe extern "C" fn release<D: Driver>(device: *mut abi::vfio_device) {
    // SAFETY: This is the `release` callback of a device that passed `init`.
    unsafe {
        Device::<D>::release(device);
        abi::vfio_pci_core_release_dev(device);
    }
}

/// # Safety
///
/// `device` must be a registered device of `D`.
unsafe extern "C" fn open_device<D: Driver>(device: *mut abi::vfio_device) -> c_int {
    // SAFETY: The device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    // SAFETY: Called as the `open_device` callback, on a device not open yet.
    let enabled = to_result(unsafe { abi::vfio_pci_core_enable(this.core()) });
    to_errno(enabled.map(|()| {
        if let Some(regions) = this.regions() {
            regions.opened();
        }
        if let Some(migration) = this.migration() {
            if let Some(bars) = migration.migration().bars() {
                // SAFETY: The device was enabled above, and `close_device` closes its BARs before it
                // is disabled.
                unsafe { bars.open(this.core()) };
            }
            migration.open();
        }
        // SAFETY: The device was enabled above.
        unsafe { abi::vfio_pci_core_finish_enable(this.core()) };
    }))
}

/// # Safety
///
/// `device` must be an open device of `D`.
unsafe extern "C" fn close_device<D: Driver>(device: *mut abi::vfio_device) {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    if let Some(migration) = this.migration() {
        migration.close();
        if let Some(bars) = migration.migration().bars() {
            bars.close();
        }
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

/// # Safety
///
/// `device` must be an open device of `D` with `migration_flags` as in [`Ops::MIGRATION_FLAGS`].
unsafe extern "C" fn set_state<D: Driver>(
    device: *mut abi::vfio_device,
    new_state: abi::vfio_device_mig_state,
) -> *mut kernel::bindings::file {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    let Some(migration) = this.migration() else {
        return ENOTTY.to_ptr();
    };
    // SAFETY: By the requirements of this function.
    match unsafe { migration.set::<D::OwnerModule>(device, new_state) } {
        Ok(None) => ptr::null_mut(),
        // `File` is a transparent wrapper of `struct file`; the reference goes to the caller.
        Ok(Some(file)) => ARef::into_raw(file).as_ptr().cast(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// `device` must be a registered device of `D`, open or not (VFIO's debugfs asks for those that
/// are not), and `state` valid for a write.
unsafe extern "C" fn get_state<D: Driver>(
    device: *mut abi::vfio_device,
    state: *mut abi::vfio_device_mig_state,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let this = unsafe { Device::<D>::from_vfio(device) };
    to_errno(this.migration().ok_or(ENOTTY).map(|migration| {
        // SAFETY: By the requirements of this function.
        unsafe { state.write(migration.get()) }
    }))
}

/// # Safety
///
/// `device` must be an open device of `D`, and `length` valid for a write.
unsafe extern "C" fn get_data_size<D: Driver>(
    device: *mut abi::vfio_device,
    length: *mut c_ulong,
) -> c_int {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    let size = this
        .migration()
        .ok_or(ENOTTY)
        .and_then(|migration| Ok(c_ulong::try_from(migration.data_size()?)?));
    to_errno(size.map(|size| {
        // SAFETY: By the requirements of this function.
        unsafe { length.write(size) }
    }))
}
