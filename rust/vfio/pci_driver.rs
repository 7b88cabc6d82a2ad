// SPDX-License-Identifier: GPL-2.0

//! Registration of a variant driver with the PCI core, and what the PCI core calls:
//! probe, removal and error handlers.
//!
//! `pci::Driver` of the kernel crate cannot host a VFIO driver: it has no error
//! handlers and no `driver_managed_dma`, and `vfio-pci-core` wants the driver
//! data to be its own device structure.

use super::{
    driver::Driver,
    migration::Migration,
    regions::Regions,
    registration::Registration, //
};
use crate::abi;
use core::marker::PhantomData;
use kernel::{
    bindings,
    device::Core,
    error::{
        from_result,
        to_result, //
    },
    pci,
    prelude::*,
    types::Opaque, //
};

/// The registration of driver `D`; dropping it unbinds all its devices.
///
/// # Invariants
///
/// `driver` is registered from the end of [`new`](Self::new) to the drop.
#[pin_data(PinnedDrop)]
pub(crate) struct PciDriver<D: Driver> {
    #[pin]
    driver: Opaque<bindings::pci_driver>,
    _driver: PhantomData<fn() -> D>,
}

// SAFETY: The PCI core may be asked to unregister a driver from any thread.
unsafe impl<D: Driver> Send for PciDriver<D> {}
// SAFETY: There are no methods on a shared reference.
unsafe impl<D: Driver> Sync for PciDriver<D> {}

impl<D: Driver> PciDriver<D> {
    /// Registers the driver under `name`.
    pub(crate) fn new(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- Opaque::try_ffi_init(move |slot: *mut bindings::pci_driver| {
                // SAFETY: `slot` is valid for writes, and a zeroed `pci_driver` is a valid one.
                unsafe {
                    slot.write_bytes(0, 1);
                    (*slot).name = name.as_char_ptr();
                    (*slot).id_table = D::IDS.as_ptr();
                    (*slot).probe = Some(probe::<D>);
                    (*slot).remove = Some(remove::<D>);
                    (*slot).err_handler = ErrorHandlers::<D>::OPS;
                    (*slot).driver_managed_dma = true;
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
impl<D: Driver> PinnedDrop for PciDriver<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the driver is registered.
        unsafe { bindings::pci_unregister_driver(self.driver.get()) };
    }
}

struct ErrorHandlers<D>(PhantomData<D>);

impl<D: Driver> ErrorHandlers<D> {
    const OPS: &'static bindings::pci_error_handlers = &bindings::pci_error_handlers {
        error_detected: Some(error_detected::<D>),
        reset_prepare: if D::Migration::HAS_RESET_PREPARE {
            Some(reset_prepare::<D>)
        } else {
            None
        },
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
        Registration::<D>::leak(bound, D::probe(bound)?)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the PCI core once, with a device that `probe` bound.
unsafe extern "C" fn remove<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: `probe` registered the device, and this is called once.
    drop(unsafe { Registration::<D>::take(pdev) });
}

/// # Safety
///
/// Called by the PCI core with the device lock held.
unsafe extern "C" fn reset_done<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: The PCI core calls a driver's handlers only while the driver is bound.
    let device = unsafe { Registration::<D>::device_of(pdev) };
    if let Some(regions) = device.regions() {
        regions.reset_done();
    }
    if let Some(migration) = device.migration() {
        migration.reset_done();
    }
}

/// # Safety
///
/// As [`reset_done`].
unsafe extern "C" fn reset_prepare<D: Driver>(pdev: *mut bindings::pci_dev) {
    // SAFETY: As in `reset_done`.
    if let Some(migration) = unsafe { Registration::<D>::device_of(pdev) }.migration() {
        migration.migration().reset_prepare();
    }
}

/// # Safety
///
/// As [`reset_done`].
unsafe extern "C" fn error_detected<D: Driver>(
    pdev: *mut bindings::pci_dev,
    state: bindings::pci_channel_state_t,
) -> bindings::pci_ers_result_t {
    // SAFETY: As in `reset_done`.
    if let Some(migration) = unsafe { Registration::<D>::device_of(pdev) }.migration() {
        migration.migration().error_detected();
    }
    // SAFETY: As required here, for the `error_detected` callback.
    unsafe { abi::vfio_pci_core_aer_err_detected(pdev, state) }
}
