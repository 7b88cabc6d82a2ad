// SPDX-License-Identifier: GPL-2.0

//! The registration of a device with VFIO.

use super::{
    device::{
        Device,
        Own, //
    },
    driver::{
        Capabilities,
        Driver, //
    },
    ops::Ops, //
};
use crate::abi;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    device::Core,
    error::{
        from_err_ptr,
        to_result, //
    },
    pci,
    prelude::*,
    types::ScopeGuard, //
};

/// A PCI device of driver `D` that VFIO offers to userspace; dropping it waits for
/// its users to go.
///
/// # Invariants
///
/// `device` is registered, and a reference to it is ours.
pub(super) struct Registration<D: Driver> {
    device: *mut abi::vfio_device,
    _driver: PhantomData<D>,
}

impl<D: Driver> Registration<D> {
    /// Registers `pdev`, whose driver data from now on is what `vfio-pci-core` wants
    /// it to be. [`take`](Self::take) gives the registration.
    ///
    /// # Errors
    ///
    /// ENOMEM, EINVAL for a DMA log without migration, or why VFIO does not take the
    /// device.
    pub(super) fn leak(pdev: &pci::Device<Core<'_>>, capabilities: Capabilities<D>) -> Result {
        if capabilities.dma_log.is_some() && capabilities.migration.is_none() {
            return Err(EINVAL);
        }
        let own = Own::<D>::new(capabilities)?;
        let (migration, pdev) = (own.has_migration(), as_raw(pdev));
        // SAFETY: `pdev` is a valid device, and `Ops::DEVICE` sets up what lies behind the
        // `vfio_device` in memory of this size.
        let device = from_err_ptr(unsafe {
            abi::_vfio_alloc_device(
                size_of::<Device<D>>(),
                ptr::addr_of_mut!((*pdev).dev),
                Ops::<D>::DEVICE,
            )
        })?;
        let unused = ScopeGuard::new_with_data(device, |device| {
            // SAFETY: The reference that the allocation gave is given back once.
            unsafe { abi::vvp_put_device(device) };
        });
        // SAFETY: Nobody else knows the device, and these fields are the driver's to set.
        unsafe {
            Device::<D>::set(device, own);
            if migration {
                (*device).mig_ops = Ops::<D>::MIGRATION;
                (*device).migration_flags = Ops::<D>::MIGRATION_FLAGS;
            }
        }
        // SAFETY: `from_vfio` applies after `init`, and all is set.
        let core = unsafe { Device::<D>::from_vfio(device) }.core();
        // SAFETY: Nobody else knows the device. `vfio-pci-core` wants its structure as driver data;
        // both live until the driver is unbound.
        unsafe {
            (*core).pci_ops = Ops::<D>::PCI;
            bindings::dev_set_drvdata(ptr::addr_of_mut!((*pdev).dev), core.cast());
        }
        // SAFETY: The device is set up.
        to_result(unsafe { abi::vfio_pci_core_register_device(core) })?;
        unused.dismiss();
        Ok(())
    }

    /// The registration of `pdev`.
    ///
    /// # Safety
    ///
    /// `pdev` must have been registered by [`leak`](Self::leak), and not be taken twice.
    pub(super) unsafe fn take(pdev: *mut bindings::pci_dev) -> Self {
        // SAFETY: `leak` set the driver data.
        let device = unsafe { bindings::dev_get_drvdata(ptr::addr_of_mut!((*pdev).dev)) };
        // INVARIANT: By the requirement of this function.
        Self {
            device: device.cast(),
            _driver: PhantomData,
        }
    }

    /// The device that `pdev` is.
    ///
    /// # Safety
    ///
    /// `pdev` must be registered, by [`leak`](Self::leak), for the whole of `'a`.
    pub(super) unsafe fn device_of<'a>(pdev: *mut bindings::pci_dev) -> &'a Device<D> {
        // SAFETY: `leak` set the driver data to the start of a `Device<D>`.
        unsafe {
            let data = bindings::dev_get_drvdata(ptr::addr_of_mut!((*pdev).dev));
            Device::from_vfio(data.cast())
        }
    }
}

impl<D: Driver> Drop for Registration<D> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The reference is given back last.
        unsafe {
            let device = Device::<D>::from_vfio(self.device);
            abi::vfio_pci_core_unregister_device(device.core());
            if let Some(migration) = device.migration() {
                migration.settle();
            }
            abi::vvp_put_device(self.device);
        }
    }
}

fn as_raw(pdev: &pci::Device<Core<'_>>) -> *mut bindings::pci_dev {
    // `pci::Device` is a transparent wrapper of an opaque `struct pci_dev`.
    ptr::from_ref(pdev).cast_mut().cast()
}
