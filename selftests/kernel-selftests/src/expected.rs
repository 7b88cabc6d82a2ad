// SPDX-License-Identifier: GPL-2.0
//! What the kernel's programs skip here, and why that is right.

/// A skip that is expected.
#[derive(Debug)]
pub struct Skip {
    /// The test's or the whole program's title.
    pub title: &'static str,
    /// Words of the program's own reason: another reason is another skip.
    pub said: &'static str,
    /// Why it cannot be otherwise.
    pub why: &'static str,
}

/// All of them. A test that is skipped and not here has failed, and so has one that
/// is here and is not skipped: the list says what is true.
pub const SKIPS: &[Skip] = &[
    Skip {
        title: "vfio.vfio_pci_device_test.vfio_pci_irq_test.msi.enable_trigger_disable",
        said: "MSI: not supported",
        why: "a virtio function has MSI-X only; the variant for it runs",
    },
    // Its devices are those that copy memory or send interrupts on command (DSA,
    // IOAT, igb, a GPU's Falcon), for each of which it brings a driver.
    Skip {
        title: "vfio.vfio_pci_driver_test",
        said: "No driver found for device",
        why: "it brings drivers for devices that copy memory, and none for virtio",
    },
    // It wants a PF bound to vfio-pci itself, which creates VFs that are bound to
    // vfio-pci in turn. The driver under test binds neither.
    Skip {
        title: "vfio.vfio_pci_sriov_uapi_test",
        said: "SR-IOV may not be supported",
        why: "it is about the VFs of a PF under vfio-pci; a VF has none",
    },
];
