// SPDX-License-Identifier: GPL-2.0

//! Registration of a variant driver with the PCI core, and its devices' probe
//! and removal.
//!
//! `pci::Driver` of the kernel crate cannot host a VFIO driver: it has no error
//! handlers and no `driver_managed_dma`, and `vfio-pci-core` wants the driver
//! data to be its own device structure.

use super::{
    device::Device,
    dma_log::DmaLog,
    migration::Migration,
    ops::Ops,
    regions::Regions,
    setting::Settings, //
};
use crate::abi;
use core::{
    marker::PhantomData,
    mem::{
        offset_of,
        size_of, //
    },
    ptr, //
};
use kernel::{
    bindings,
    device::Core,
    device_id::{
        IdTable,
        RawDeviceId,
        RawDeviceIdIndex, //
    },
    error::{
        from_err_ptr,
        from_result,
        to_result, //
    },
    pci,
    prelude::*,
    types::{
        Opaque,
        ScopeGuard, //
    }, //
};

/// A vfio-pci variant driver.
#[vtable]
pub(crate) trait Driver: Sized + 'static {
    /// Migration of this driver's devices.
    type Migration: Migration;

    /// DMA logging of this driver's devices; [`NoDmaLog`](super::NoDmaLog) if they have none.
    type DmaLog: DmaLog;
    /// What this driver's devices show beyond what they have;
    /// [`NoRegions`](super::NoRegions) if that is nothing.
    type Regions: Regions;

    /// Name of the driver's device operations, as VFIO shows it.
    const NAME: &'static CStr;

    /// What userspace can set in sysfs, for each device that can be migrated.
    const SETTINGS: Settings<Self> = Settings::NONE;

    /// A device matched. Gives its migration, or `None` for plain passthrough.
    ///
    /// # Errors
    ///
    /// The device is not bound.
    fn probe(pdev: &pci::Device<Core<'_>>) -> Result<Option<Self::Migration>>;

    /// The device that `probe` took, with that migration, is to show regions of
    /// its own: gives them, or `None` for those of the device alone.
    ///
    /// # Errors
    ///
    /// The device is not bound.
    fn regions(
        _pdev: &pci::Device<Core<'_>>,
        _migration: Option<&Self::Migration>,
    ) -> Result<Option<Pin<KBox<Self::Regions>>>> {
        Ok(None)
    }

    /// Gives the DMA log of a device for which `probe` gave a migration, or `None`.
    ///
    /// # Errors
    ///
    /// The device is not bound.
    fn dma_log(_pdev: &pci::Device<Core<'_>>) -> Result<Option<Pin<KBox<Self::DmaLog>>>> {
        Ok(None)
    }
}

/// A PCI id that matches only a device whose `driver_override` names the driver:
/// the driver gives a device away to userspace, which is nothing to be done on
/// the kernel's own initiative.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct OverrideId(bindings::pci_device_id);

impl OverrideId {
    /// Any device with these ids. Its module alias begins with `vfio_pci:`.
    pub(crate) const fn new(vendor: u32, device: u32) -> Self {
        Self(bindings::pci_device_id {
            vendor,
            device,
            subvendor: !0,
            subdevice: !0,
            class: 0,
            class_mask: 0,
            driver_data: 0,
            override_only: bindings::PCI_ID_F_VFIO_DRIVER_OVERRIDE,
        })
    }
}

// SAFETY: `OverrideId` is a transparent wrapper of `pci_device_id`.
unsafe impl RawDeviceId for OverrideId {
    type RawType = bindings::pci_device_id;
}

// SAFETY: The offset is that of the `driver_data` field.
unsafe impl RawDeviceIdIndex for OverrideId {
    const DRIVER_DATA_OFFSET: usize = offset_of!(bindings::pci_device_id, driver_data);
}

/// The registration of driver `D`; dropping it unbinds all its devices.
///
/// # Invariants
///
/// `driver` is registered from the end of [`new`](Self::new) to the drop.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<D: Driver> {
    #[pin]
    driver: Opaque<bindings::pci_driver>,
    _driver: PhantomData<fn() -> D>,
}

// SAFETY: The PCI core may be asked to unregister a driver from any thread.
unsafe impl<D: Driver> Send for Registration<D> {}
// SAFETY: There are no methods on a shared reference.
unsafe impl<D: Driver> Sync for Registration<D> {}

impl<D: Driver> Registration<D> {
    /// Registers the driver under `name` for the devices of `ids`.
    pub(crate) fn new(
        name: &'static CStr,
        module: &'static ThisModule,
        ids: &'static dyn IdTable<OverrideId, ()>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- Opaque::try_ffi_init(move |slot: *mut bindings::pci_driver| {
                // SAFETY: `slot` is valid for writes, and a zeroed `pci_driver` is a valid one.
                unsafe {
                    slot.write_bytes(0, 1);
                    (*slot).name = name.as_char_ptr();
                    (*slot).id_table = ids.as_ptr();
                    (*slot).probe = Some(probe::<D>);
                    (*slot).remove = Some(remove::<D>);
                    (*slot).err_handler = &ErrorHandlers::<D>::OPS;
                    (*slot).driver_managed_dma = true;
                    (*slot).dev_groups = D::SETTINGS.groups().cast_mut().cast();
                }
                // SAFETY: `slot` is pinned and initialised; its strings and tables are static.
                // INVARIANT: The driver is registered if this succeeds.
                to_result(unsafe {
                    bindings::__pci_register_driver(slot, module.as_ptr(), name.as_char_ptr())
                })
            }),
            _driver: PhantomData,
        })
    }
}

#[pinned_drop]
impl<D: Driver> PinnedDrop for Registration<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the driver is registered.
        unsafe { bindings::pci_unregister_driver(self.driver.get()) };
    }
}

struct ErrorHandlers<D>(PhantomData<D>);

impl<D: Driver> ErrorHandlers<D> {
    const OPS: bindings::pci_error_handlers = bindings::pci_error_handlers {
        error_detected: Some(abi::vfio_pci_core_aer_err_detected),
        reset_done: Some(reset_done::<D>),
        ..pin_init::zeroed()
    };
}

/// # Safety
///
/// Called by the PCI core with a device that is being bound.
unsafe extern "C" fn probe<D: Driver>(
    pdev: *mut bindings::pci_dev,
    _id: *const bindings::pci_device_id,
) -> c_int {
    from_result(|| {
        // SAFETY: The PCI core holds the device lock and a reference over this call, which is
        // what the `Core` context stands for.
        let bound = unsafe { &*pdev.cast::<pci::Device<Core<'_>>>() };
        let migration = D::probe(bound)?;
        let regions = D::regions(bound, migration.as_ref())?;
        let dma_log = match migration {
            Some(_) => D::dma_log(bound)?,
            None => None,
        };

        // SAFETY: `pdev` is a valid device, and `Ops::DEVICE` sets up what lies behind the
        // `vfio_device` in memory of this size.
        let device = from_err_ptr(unsafe {
            abi::_vfio_alloc_device(
                size_of::<Device<D>>(),
                ptr::addr_of_mut!((*pdev).dev),
                &Ops::<D>::DEVICE,
            )
        })?;
        let mut device = ScopeGuard::new_with_data(device, |device| {
            // SAFETY: The reference that the allocation gave is given back once.
            unsafe { abi::vvp_put_device(device) };
        });

        if let Some(migration) = migration {
            // SAFETY: The device passed `init` and is not registered.
            unsafe { Device::<D>::set_migration(*device, migration)? };
            // SAFETY: As above, these fields are the driver's to set.
            unsafe {
                (**device).mig_ops = &Ops::<D>::MIGRATION;
                (**device).migration_flags = Ops::<D>::MIGRATION_FLAGS;
            }
        }
        if let Some(dma_log) = dma_log {
            // SAFETY: As above.
            unsafe {
                Device::<D>::set_dma_log(*device, dma_log);
                (**device).log_ops = &Ops::<D>::LOG;
            }
        }

        if let Some(regions) = regions {
            // SAFETY: The device passed `init` and is not registered.
            unsafe { Device::<D>::set_regions(*device, regions) };
        }

        // SAFETY: `from_vfio` applies after `init`.
        let core = unsafe { Device::<D>::from_vfio(*device) }.core();
        // SAFETY: Nobody else knows an unregistered device.
        unsafe { (*core).pci_ops = &Ops::<D>::PCI };
        // SAFETY: `vfio-pci-core` wants its structure as driver data; both live until `remove`.
        unsafe { bindings::dev_set_drvdata(ptr::addr_of_mut!((*pdev).dev), core.cast()) };
        // SAFETY: The device is set up.
        to_result(unsafe { abi::vfio_pci_core_register_device(core) })?;
        device.dismiss();
        Ok(0)
    })
}

/// The device of driver `D` that `pdev` is.
///
/// # Safety
///
/// `pdev` must be bound to driver `D`, past its probe, for the whole of `'a`.
pub(super) unsafe fn device_of<'a, D: Driver>(pdev: *mut bindings::pci_dev) -> &'a Device<D> {
    // SAFETY: `probe` set the driver data to the start of a `Device<D>`, which `remove` gives up.
    unsafe {
        let data = bindings::dev_get_drvdata(ptr::addr_of_mut!((*pdev).dev));
        Device::from_vfio(data.cast())
    }
}

/// # Safety
///
/// Called by the PCI core once, with a device that `probe` bound.
unsafe extern "C" fn remove<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: The device is bound. The reference of `probe` is given back last.
    unsafe {
        let core = device_of::<D>(pdev).core();
        abi::vfio_pci_core_unregister_device(core);
        abi::vvp_put_device(core.cast());
    }
}

/// # Safety
///
/// Called by the PCI core with the device lock held.
unsafe extern "C" fn reset_done<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: The PCI core calls a driver's handlers only while the driver is bound.
    let device = unsafe { device_of::<D>(pdev) };
    if let Some(regions) = device.regions() {
        regions.reset_done();
    }
    if let Some(migration) = device.migration() {
        migration.reset_done();
    }
}
