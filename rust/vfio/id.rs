// SPDX-License-Identifier: GPL-2.0

//! Which devices a driver takes.

use kernel::{
    bindings,
    device_id::{
        IdTable,
        RawDeviceId, //
    }, //
};

/// The ids of a driver, which [`device_table!`](crate::compat::device_table) makes a table of.
pub(crate) type Ids = &'static dyn IdTable<OverrideId, ()>;

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
