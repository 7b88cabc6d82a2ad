// SPDX-License-Identifier: GPL-2.0

//! Migration.

use super::super::{
    device::Device,
    driver::Driver,
    errno::to_errno, //
};
use crate::abi;
use core::ptr;
use kernel::{
    bindings,
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// # Safety
///
/// `device` must be an open device of `D` with `migration_flags` as in [`Ops::MIGRATION_FLAGS`](super::Ops::MIGRATION_FLAGS).
pub(super) unsafe extern "C" fn set_state<D: Driver>(
    device: *mut abi::vfio_device,
    new_state: abi::vfio_device_mig_state,
) -> *mut bindings::file {
    // SAFETY: An open device is registered.
    let this = unsafe { Device::<D>::from_vfio(device) };
    let Some(migration) = this.migration() else {
        return ENOTTY.to_ptr();
    };
    // SAFETY: By the requirements of this function.
    match unsafe { migration.set(device, new_state) } {
        Ok(None) => ptr::null_mut(),
        // `File` is a transparent wrapper of `struct file`; the reference goes to the caller.
        Ok(Some(file)) => ARef::<File>::into_raw(file).as_ptr().cast(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// `device` must be a registered device of `D`, open or not (VFIO's debugfs asks for those that
/// are not), and `state` valid for a write.
pub(super) unsafe extern "C" fn get_state<D: Driver>(
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
pub(super) unsafe extern "C" fn get_data_size<D: Driver>(
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
