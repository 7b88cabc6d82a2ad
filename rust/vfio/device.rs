// SPDX-License-Identifier: GPL-2.0

//! The device structure of a variant driver.

use super::{
    driver::{
        Capabilities,
        Driver, //
    },
    open_device::OpenDevice,
    state::StateLock, //
};
use crate::abi;
use core::{
    mem::offset_of,
    ptr::addr_of_mut, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A device of driver `D`: the part that VFIO owns, and ours behind it.
///
/// Allocated by `_vfio_alloc_device`, freed by VFIO after the `release`
/// callback, both of which hold for as long as anybody has a reference.
///
/// # Invariants
///
/// - Both fields are initialised from the end of the `init` callback to the `release`
///   callback.
/// - `own` changes once at most, to `Some`, before the device is registered.
#[repr(C)]
pub(super) struct Device<D: Driver> {
    core: Opaque<abi::vfio_pci_core_device>,
    own: Option<Own<D>>,
}

/// What a device of driver `D` is capable of.
pub(super) struct Own<D: Driver> {
    migration: Option<Arc<StateLock<D::Migration>>>,
    regions: Option<Pin<KBox<D::Regions>>>,
    dma_log: Option<Pin<KBox<D::DmaLog>>>,
}

impl<D: Driver> Own<D> {
    /// # Errors
    ///
    /// ENOMEM.
    pub(super) fn new(capabilities: Capabilities<D>) -> Result<Self> {
        Ok(Self {
            migration: capabilities.migration.map(StateLock::new).transpose()?,
            regions: capabilities.regions,
            dma_log: capabilities.dma_log,
        })
    }

    pub(super) fn has_migration(&self) -> bool {
        self.migration.is_some()
    }
}

impl<D: Driver> Device<D> {
    /// A `vfio_device` pointer, a `vfio_pci_core_device` pointer and a `Device`
    /// pointer of one device are the same address.
    const SAME_ADDRESS: () =
        assert!(offset_of!(Self, core) == 0 && offset_of!(abi::vfio_pci_core_device, vdev) == 0);

    /// # Safety
    ///
    /// `device` must be a `vfio_device` of driver `D`, after `init` and before
    /// `release`, for the whole of `'a`, and [`set`](Self::set) not be called meanwhile.
    pub(super) unsafe fn from_vfio<'a>(device: *mut abi::vfio_device) -> &'a Self {
        const { Self::SAME_ADDRESS };
        // SAFETY: By the requirement of this function and the assertion above. `core` is opaque.
        unsafe { &*device.cast::<Self>() }
    }

    /// Makes the part that is ours valid: of a device without capabilities.
    ///
    /// # Safety
    ///
    /// `device` must be memory for a `Device<D>` inside its `init` callback.
    pub(super) unsafe fn init(device: *mut abi::vfio_device) {
        const { Self::SAME_ADDRESS };
        // SAFETY: This points to enough memory of ours; nothing to drop is there yet.
        unsafe { addr_of_mut!((*device.cast::<Self>()).own).write(None) };
    }

    /// Gives the device its capabilities.
    ///
    /// # Safety
    ///
    /// `device` must be a `vfio_device` of driver `D` that was just allocated, and that
    /// nobody else knows.
    pub(super) unsafe fn set(device: *mut abi::vfio_device, own: Own<D>) {
        // SAFETY: By the requirement of this function; `init` made the field valid.
        unsafe { (*device.cast::<Self>()).own = Some(own) };
    }

    /// Drops the part that is ours.
    ///
    /// # Safety
    ///
    /// `device` must be a `vfio_device` of driver `D` inside its `release` callback.
    pub(super) unsafe fn release(device: *mut abi::vfio_device) {
        // SAFETY: `release` is called once, after the last user, and `init` made the field valid.
        unsafe { addr_of_mut!((*device.cast::<Self>()).own).drop_in_place() };
    }

    /// The migration state, if the device can be migrated.
    pub(super) fn migration(&self) -> Option<&Arc<StateLock<D::Migration>>> {
        self.own.as_ref()?.migration.as_ref()
    }

    /// What the driver emulates, if anything.
    pub(super) fn regions(&self) -> Option<&D::Regions> {
        self.own.as_ref()?.regions.as_deref()
    }

    /// The DMA log, if the device has one.
    pub(super) fn dma_log(&self) -> Option<&D::DmaLog> {
        self.own.as_ref()?.dma_log.as_deref()
    }

    /// The device, for the driver to use.
    ///
    /// # Safety
    ///
    /// It must be enabled until the result is dropped.
    pub(super) unsafe fn as_open(&self) -> OpenDevice {
        // SAFETY: A device that is enabled is valid, and this one is by the requirement of this
        // function.
        unsafe { OpenDevice::new(&self.core) }
    }

    /// The part that VFIO owns.
    pub(super) fn core(&self) -> *mut abi::vfio_pci_core_device {
        self.core.get()
    }
}
