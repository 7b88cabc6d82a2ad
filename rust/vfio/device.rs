// SPDX-License-Identifier: GPL-2.0

//! The device structure of a variant driver.

use super::{
    driver::Driver,
    state::StateLock, //
};
use crate::abi;
use core::{
    mem::offset_of,
    ptr::addr_of_mut, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A device of driver `D`: the part that VFIO owns, and ours behind it.
///
/// Allocated by `_vfio_alloc_device`, freed by VFIO after the `release`
/// callback, both of which hold for as long as anybody has a reference.
///
/// # Invariants
///
/// - `core` is initialised from the end of the `init` callback to the `release`
///   callback, and so are the other fields.
/// - The other fields do not change after the device was registered.
#[repr(C)]
pub(super) struct Device<D: Driver> {
    core: Opaque<abi::vfio_pci_core_device>,
    migration: Option<Pin<KBox<StateLock<D::Migration>>>>,
    regions: Option<Pin<KBox<D::Regions>>>,
    dma_log: Option<Pin<KBox<D::DmaLog>>>,
}

impl<D: Driver> Device<D> {
    /// A `vfio_device` pointer, a `vfio_pci_core_device` pointer and a `Device`
    /// pointer of one device are the same address.
    const SAME_ADDRESS: () =
        assert!(offset_of!(Self, core) == 0 && offset_of!(abi::vfio_pci_core_device, vdev) == 0);

    /// # Safety
    ///
    /// `device` must be a `vfio_device` of driver `D`, after `init` and before
    /// `release`, for the whole of `'a`.
    pub(super) unsafe fn from_vfio<'a>(device: *mut abi::vfio_device) -> &'a Self {
        const { Self::SAME_ADDRESS };
        // SAFETY: By the requirement of this function and the assertion above. `core` is opaque,
        // and the other fields only change before the device is registered, when nobody has `Self`.
        unsafe { &*device.cast::<Self>() }
    }

    /// Makes the part that is ours valid.
    ///
    /// # Safety
    ///
    /// `device` must be memory for a `Device<D>` inside its `init` callback.
    pub(super) unsafe fn init(device: *mut abi::vfio_device) {
        const { Self::SAME_ADDRESS };
        let this = device.cast::<Self>();
        // SAFETY: `this` points to enough memory of ours; nothing to drop is there yet.
        unsafe {
            addr_of_mut!((*this).migration).write(None);
            addr_of_mut!((*this).regions).write(None);
            addr_of_mut!((*this).dma_log).write(None);
        }
    }

    /// Makes the device migratable.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    ///
    /// # Safety
    ///
    /// `device` must be a `vfio_device` of driver `D` after `init`, not yet registered.
    pub(super) unsafe fn set_migration(
        device: *mut abi::vfio_device,
        migration: D::Migration,
    ) -> Result {
        let state = KBox::pin_init(StateLock::new(migration), GFP_KERNEL)?;
        let this = device.cast::<Self>();
        // SAFETY: Nobody else knows an unregistered device, and `init` made `migration` valid.
        unsafe { (*this).migration = Some(state) };
        Ok(())
    }

    /// Gives the device regions and a header of the driver's.
    ///
    /// # Safety
    ///
    /// `device` must be a `vfio_device` of driver `D` after `init`, not yet registered.
    pub(super) unsafe fn set_regions(
        device: *mut abi::vfio_device,
        regions: Pin<KBox<D::Regions>>,
    ) {
        let this = device.cast::<Self>();
        // SAFETY: Nobody else knows an unregistered device, and `init` made `regions` valid.
        unsafe { (*this).regions = Some(regions) };
    }

    /// Gives the device DMA logging.
    ///
    /// # Safety
    ///
    /// As [`set_migration`](Self::set_migration).
    pub(super) unsafe fn set_dma_log(device: *mut abi::vfio_device, log: Pin<KBox<D::DmaLog>>) {
        // SAFETY: Nobody else knows an unregistered device, and `init` made `dma_log` valid.
        unsafe { (*device.cast::<Self>()).dma_log = Some(log) };
    }

    /// Drops the part that is ours.
    ///
    /// # Safety
    ///
    /// `device` must be a `vfio_device` of driver `D` inside its `release` callback.
    pub(super) unsafe fn release(device: *mut abi::vfio_device) {
        let this = device.cast::<Self>();
        // SAFETY: `release` is called once, after the last user, and `init` made the fields valid.
        unsafe {
            addr_of_mut!((*this).migration).drop_in_place();
            addr_of_mut!((*this).regions).drop_in_place();
            addr_of_mut!((*this).dma_log).drop_in_place();
        }
    }

    /// The migration state, if the device is migratable.
    pub(super) fn migration(&self) -> Option<&StateLock<D::Migration>> {
        self.migration.as_deref()
    }

    /// What the driver emulates, if anything.
    pub(super) fn regions(&self) -> Option<&D::Regions> {
        self.regions.as_deref()
    }

    /// The DMA log, if the device has one.
    pub(super) fn dma_log(&self) -> Option<&D::DmaLog> {
        self.dma_log.as_deref()
    }

    /// The part that VFIO owns.
    pub(super) fn core(&self) -> *mut abi::vfio_pci_core_device {
        self.core.get()
    }
}
