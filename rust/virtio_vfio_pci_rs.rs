// SPDX-License-Identifier: GPL-2.0

//! vfio-pci variant driver that makes virtio SR-IOV virtual functions
//! live-migratable.
//!
//! - `vfio`: abstractions for any vfio-pci variant driver
//! - `virtio`: admin commands and device parts, through the PF's driver
//! - `migrate`: this driver's migration, made of the two
//! - `legacy_io`: transitional devices, for legacy drivers
//! - `dirty`: this driver's DMA logging
//! - `sysfs`: settings, for administrators
//! - `observe`: counters, trace events and the log, for administrators
//! - `logic`: what can be decided without the kernel, shared with userspace

mod abi;
// The sample needs less of it, and the other way round.
#[allow(dead_code, unused_imports)]
mod compat;
mod dirty;
#[cfg(CONFIG_VIRTIO_PCI_ADMIN_LEGACY)]
mod legacy_io;
#[allow(dead_code, unreachable_pub, missing_docs)]
mod logic;
mod migrate;
mod observe;
mod sysfs;
// Has what other drivers need, too.
#[allow(dead_code, unused_imports)]
mod vfio;
mod virtio;

use kernel::prelude::*;
use virtio::PCI_VENDOR_ID_VIRTIO;

compat::module_with_flags! {
    type: VirtioVfioPci,
    name: "virtio_vfio_pci_rs",
    authors: ["The virtio_vfio_pci_rs authors"],
    description: "VFIO migration of virtio virtual functions, in Rust",
    license: "GPL",
    imports_ns: ["IOMMUFD"],
    @params {
        precopy_interval_ms: u32 {
            default: 1000,
            description: "Least time between two readings of a device's context in pre-copy, in milliseconds",
        },
    }
    @flags {
        precopy_delta: true, "Send only changed device parts after the first record of a pre-copy stream";
        stream_checksum: true, "End migration streams with a checksum of all their bytes";
        any_device_type: false, "Bind virtio devices of any type, not only network and block";
    }
}

compat::device_table!(
    ID_TABLE,
    [
        // Modern ids: 0x1040 plus the virtio device type.
        vfio::OverrideId::new(PCI_VENDOR_ID_VIRTIO, 0x1041), // network
        vfio::OverrideId::new(PCI_VENDOR_ID_VIRTIO, 0x1042), // block
    ]
);

#[pin_data]
struct VirtioVfioPci {
    #[pin]
    driver: vfio::PciDriver<migrate::VirtioVf>,
    /// Dropped after the driver: devices have files in it.
    _observe: observe::Root,
}

impl kernel::InPlaceModule for VirtioVfioPci {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _: {
                // SAFETY: The module is initialised once, and its driver, which has slots, below.
                unsafe { virtio::init() };
                dirty::init();
            },
            // SAFETY: The module is initialised once, and its driver below.
            _observe: unsafe { observe::Root::new() },
            driver <- vfio::PciDriver::new(c"virtio_vfio_pci_rs", module),
        })
    }
}
